"""What a record holds of the test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from softmask.measure.calibration import calibration
from softmask.measure.images import measure_images
from softmask.runs.prepared import Part
from softmask.train.loop import Outcome


class Made(NamedTuple):
    """The trained network (None where nothing was trained), how training went, and what goes into the record of what
    came out, by field."""

    network: nn.Module | None
    outcome: Outcome
    found: Mapping[str, Any]


def measured(
    test: Part, probabilities: np.ndarray, alphas: np.ndarray, threshold: float, keeps: int | None = 8
) -> dict[str, Any]:
    """Every measure of a segmentation of the test images, and its predictions.

    Where the test part holds masks at the size that the scanner stored, those of lungs are taken there.

    Args:
        probabilities, alphas: (N, S, S) in [0, 1]: of lesion, and the soft masks. Of lungs, which have no soft masks,
            the probabilities may have the stored size.
        threshold: where probabilities are cut.
        keeps: see :attr:`softmask.config.Profile.keeps`.
    """
    if "native" in test.references:
        return _of_lungs(test, probabilities, threshold, keeps)
    masks = test.masks[:, 0] > 0
    references = {name: reference[:, 0] for name, reference in test.references.items()}
    soft = test.soft["soft_mask"][:, 0]
    return {
        "measures": measure_images(probabilities, masks, soft, references, alphas, threshold),
        "calibration": calibration(probabilities, masks),
        "predictions": kept(test, probabilities, keeps),
        "threshold": threshold,
    }


def _of_lungs(test: Part, probabilities: np.ndarray, threshold: float, keeps: int | None) -> dict[str, Any]:
    from softmask.measure.lungs import measure_lungs, reduced

    native, nodules = (test.references[name][:, 0] for name in ("native", "nodules"))
    small = reduced(probabilities, test.masks.shape[-2:])
    return {
        "measures": measure_lungs(probabilities, native, nodules, threshold),
        "calibration": calibration(small, test.masks[:, 0] > 0),
        "predictions": kept(test, small, keeps),
        "threshold": threshold,
    }


def kept(test: Part, predictions: np.ndarray, keeps: int | None) -> dict[str, np.ndarray]:
    """Of ``predictions`` (N, S, S) in [0, 1] at most ``keeps``, evenly spread over all, by image: (S, S) uint8."""
    n = len(test.ids)
    rows = np.linspace(0, n - 1, n if keeps is None else min(n, keeps)).round().astype(int)
    return {test.ids[i]: np.rint(predictions[i] * 255).astype(np.uint8) for i in rows}
