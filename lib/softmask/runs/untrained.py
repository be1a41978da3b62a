"""A run that trains no network: max-flow and level sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softmask.measure.images import THRESHOLD
from softmask.nets.classical import classical
from softmask.runs.inputs import Finished, soft_masks
from softmask.runs.measured import Made, measured
from softmask.runs.prepared import Prepared
from softmask.runs.spec import RunSpec
from softmask.train.epochs import Outcome, Progress


def make(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    """Fit a classical segmentor, which may start from the soft masks of the network of ``spec.prior``. See
    :func:`softmask.runs.single.run_one`."""
    segmentor = classical(spec.network)
    segmentor.fit(data.train.images, data.train.masks)
    starts = soft_masks(needs[0], data.test.images) if needs else None
    found = segmentor.predict(data.test.images, starts)[:, 0]
    return Made(None, Outcome({}, 0, 0.0, "cpu"), measured(data.test, found, found, THRESHOLD))
