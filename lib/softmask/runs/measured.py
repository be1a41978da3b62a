"""What a record holds of the test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from softmask.measure.calibration import calibration
from softmask.measure.images import measure_images
from softmask.runs.prepared import Part
from softmask.train.epochs import Outcome

SHOWN = 8
"""Test images whose predictions a record keeps."""


class Made(NamedTuple):
    """The trained network (None where nothing was trained), how training went, and what goes into the record of what
    came out, by field."""

    network: nn.Module | None
    outcome: Outcome
    found: Mapping[str, Any]


def measured(test: Part, probabilities: np.ndarray, alphas: np.ndarray, threshold: float) -> dict[str, Any]:
    """Every measure of a segmentation of the test images, and some of its predictions.

    Where the test part holds masks at the size that the scanner stored, those of lungs are taken there.

    Args:
        probabilities, alphas: (N, S, S) in [0, 1]: of lesion, and the soft masks. Of lungs, which have no soft masks,
            the probabilities may have the stored size.
        threshold: where probabilities are cut.
    """
    if "native" in test.references:
        return _of_lungs(test, probabilities, threshold)
    masks = test.masks[:, 0] > 0
    references = {name: reference[:, 0] for name, reference in test.references.items()}
    soft = test.soft["soft_mask"][:, 0]
    return {
        "measures": measure_images(probabilities, masks, soft, references, alphas, threshold),
        "calibration": calibration(probabilities, masks),
        "predictions": kept(test, probabilities),
        "threshold": threshold,
    }


def _of_lungs(test: Part, probabilities: np.ndarray, threshold: float) -> dict[str, Any]:
    from softmask.measure.lungs import measure_lungs, reduced

    native, nodules = (test.references[name][:, 0] for name in ("native", "nodules"))
    small = reduced(probabilities, test.masks.shape[-2:])
    return {
        "measures": measure_lungs(probabilities, native, nodules, threshold),
        "calibration": calibration(small, test.masks[:, 0] > 0),
        "predictions": kept(test, small),
        "threshold": threshold,
    }


def kept(test: Part, predictions: np.ndarray) -> dict[str, np.ndarray]:
    """Of ``predictions`` (N, S, S) in [0, 1] those that the record keeps, by image: (S, S) uint8."""
    return {test.ids[i]: np.rint(predictions[i] * 255).astype(np.uint8) for i in shown(len(test.ids))}


def shown(n: int) -> list[int]:
    """Rows of the test images whose predictions are kept: at most :data:`SHOWN`, evenly spread over all ``n``."""
    return np.linspace(0, n - 1, min(n, SHOWN)).round().astype(int).tolist()
