"""A run that trains no network: max-flow and level sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmask.config import PROFILES
from softmask.measure.images import THRESHOLD
from softmask.nets.classical import ClassicalSegmentor, classical
from softmask.runs.inputs import Finished, soft_masks
from softmask.runs.measured import Made, measured
from softmask.runs.prepared import Part, Prepared
from softmask.runs.spec import RunSpec
from softmask.train.loop import Outcome, Progress


def make(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    """Fit a classical segmentor, which may start from the soft masks of the network of ``spec.prior``. See
    :func:`softmask.runs.single.run_one`."""
    segmentor = classical(spec.network)
    if segmentor.LEARNS:
        segmentor.fit(data.train.images, data.train.masks)
    starts = soft_masks(needs[0], data.test.images) if needs else None
    found = segmentor.predict(_seen(segmentor, data.test), starts)[:, 0]
    made = measured(data.test, found, found, THRESHOLD, PROFILES[spec.profile].keeps)
    return Made(None, Outcome({}, 0, 0.0, "cpu"), made | {"failed": any(need.failed for need in needs)})


def _seen(segmentor: ClassicalSegmentor, test: Part) -> np.ndarray:
    """(N, 1, H, W) in [0, 1]: the test images; as the scanner stored them, where the segmentor wants those."""
    if segmentor.NATIVE and "native_image" in test.references:
        return test.references["native_image"] / np.float32(255)
    return test.images
