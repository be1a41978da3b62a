"""A run that trains nothing: another run's network tested on other data, and where readers marked that, beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmask.config import PROFILES
from softmask.measure.images import DOCTORS, THRESHOLD
from softmask.measure.segmentation import dice
from softmask.runs.inputs import Finished, predicted
from softmask.runs.measured import Made, kept, measured
from softmask.runs.prepared import Part, Prepared
from softmask.runs.spec import RunSpec
from softmask.train.loop import Outcome, Progress

KEPT = 48
"""Test images whose predictions a record keeps at least: enough that most kinds of nodules are among them."""

MEASURES = (
    "dice_staple",
    *(f"dice_others_{doctor}" for doctor in DOCTORS),
    *(f"others_{doctor}" for doctor in DOCTORS),
    *(f"staple_{doctor}" for doctor in DOCTORS),
)
"""What :func:`beside_readers` gives."""


def make(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    """Test the network of ``spec.prior`` as it is. See :func:`softmask.runs.single.run_one`."""
    [prior] = needs
    probabilities, alphas = predicted(prior, data.test.images)
    keeps = PROFILES[spec.profile].keeps
    found = measured(data.test, probabilities, alphas, THRESHOLD, keeps) | {"failed": prior.failed}
    if set(DOCTORS) <= set(data.test.references):
        found["measures"] |= beside_readers(probabilities >= THRESHOLD, data.test)
        found["predictions"] = kept(data.test, probabilities, keeps and KEPT)
    return Made(None, Outcome({}, 0, 0.0, "cpu"), found)


def beside_readers(predicted: np.ndarray, test: Part) -> dict[str, np.ndarray]:
    """Measures of references that the doctor who is compared is no part of, or is weighed in; each (N,), NaN where a
    doctor's mask lies outside the crop.

    ``dice_others_doctor1`` is the network's Dice with the 50 % consensus of all but doctor 1, ``others_doctor1`` that
    doctor's own; ``dice_staple`` and ``staple_doctor1`` are with STAPLE of all four, cut at 0.5. So for each doctor.

    Args:
        predicted: (N, S, S) bool.
    """
    readers = np.stack([test.references[doctor][:, 0] > 0 for doctor in DOCTORS], axis=1)  # (N, 4, S, S)
    found = [_of_one(*pair) for pair in zip(predicted, readers, strict=True)]
    return {name: np.array([one[name] for one in found]) for name in MEASURES}


def _of_one(predicted: np.ndarray, readers: np.ndarray) -> dict[str, float]:
    """:data:`MEASURES` of one image: ``predicted`` (S, S), ``readers`` (4, S, S)."""
    from softmask.label import consensus

    if not readers.any(axis=(1, 2)).all():
        return dict.fromkeys(MEASURES, float("nan"))
    others, staple = consensus.leave_one_out(readers), consensus.staple(readers) >= 0.5  # (4, S, S), (S, S)
    values = [dice(predicted, staple), *dice(predicted[None], others), *dice(readers, others), *dice(readers, staple)]
    return dict(zip(MEASURES, map(float, values), strict=True))
