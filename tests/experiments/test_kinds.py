"""What a network's test beside readers measures, by hand on rows of pixels."""

import numpy as np
import pytest

from softmask.experiments import kinds
from softmask.experiments.prepare import Part
from softmask.measure.images import DOCTORS


def masks(*pixels):
    """(N, 1, 1, 8): one row of eight pixels each."""
    made = np.zeros((len(pixels), 1, 1, 8), np.float32)
    for row, chosen in zip(made, pixels, strict=True):
        row[0, 0, list(chosen)] = 1
    return made


def part(*readers):
    """Images of which four readers marked ``readers[i][j]``: reader i, image j."""
    n = len(readers[0])
    none = np.zeros((n, 1, 1, 8), np.float32)
    references = {name: masks(*of) for name, of in zip(DOCTORS, readers, strict=True)}
    return Part(tuple(map(str, range(n))), ("p",) * n, none, none, references=references)


def test_the_consensus_of_the_others_leaves_one_doctor_out():
    test = part([(0, 1)], [(0, 1)], [(0, 1)], [(0, 1, 2, 3)])
    predicted = masks((0, 1, 2))[:, 0] > 0
    result = kinds.beside_readers(predicted, test)
    assert set(result) == set(kinds.READER_MEASURES)
    assert result["others_doctor4"] == pytest.approx([2 / 3])  # (0..3) with (0, 1)
    assert result["others_doctor1"] == pytest.approx([1.0])
    assert [float(result[f"dice_others_{doctor}"][0]) for doctor in DOCTORS] == pytest.approx([0.8] * 4)
    assert result["dice_staple"] == pytest.approx([0.8])
    assert result["staple_doctor4"] == pytest.approx([2 / 3])


def test_a_reader_outside_the_crop_leaves_nothing_to_compare():
    test = part([(0,), (0,)], [(0,), ()], [(0,), (0,)], [(0,), (0,)])
    result = kinds.beside_readers(masks((0,), (0,))[:, 0] > 0, test)
    assert all(values[0] == 1 and np.isnan(values[1]) for values in result.values())
