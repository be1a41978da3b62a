"""A run that trains nothing: another run's network tested on other data, or max-flow and level sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softmask.measure.images import THRESHOLD
from softmask.nets.classical import classical
from softmask.runs.inputs import Finished, channels, read, soft_masks
from softmask.runs.measured import Made, measured
from softmask.runs.prepared import Prepared
from softmask.runs.spec import UNCHANGED, RunSpec
from softmask.train.engine import predict
from softmask.train.epochs import Outcome, Progress


def make(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    """Test the network of ``spec.prior`` as it is; or fit a classical segmentor, which may start from its soft masks.
    See :func:`softmask.runs.single.run_one`."""
    none = Outcome({}, 0, 0.0, "cpu")
    if spec.network == UNCHANGED:
        [prior] = needs
        seen = channels(prior.spec, data.test.images, prior.needs)
        answers = read(prior.spec, predict(prior.network(), seen))
        return Made(None, none, measured(data.test, *answers, THRESHOLD))
    segmentor = classical(spec.network)
    segmentor.fit(data.train.images, data.train.masks)
    starts = soft_masks(needs[0], data.test.images) if needs else None
    found = segmentor.predict(data.test.images, starts)[:, 0]
    return Made(None, none, measured(data.test, found, found, THRESHOLD))
