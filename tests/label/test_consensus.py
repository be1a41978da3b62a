"""Consensus of readers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from softmask.errors import LabelError
from softmask.label.consensus import fifty_percent, leave_one_out, staple

readers = arrays(bool, st.tuples(st.integers(1, 5), st.integers(3, 9), st.integers(3, 9))).filter(
    lambda masks: masks.any(axis=(1, 2)).all()
)


def square(row: int, column: int, size: int = 8) -> np.ndarray:
    mask = np.zeros((30, 30), bool)
    mask[row : row + size, column : column + size] = True
    return mask


@given(readers)
def test_half_of_the_readers_are_enough(masks):
    agreed = fifty_percent(masks)
    assert (agreed == (masks.mean(axis=0) >= 0.5)).all()


@given(readers.filter(lambda masks: len(masks) > 1))
def test_the_others_decide_without_the_reader(masks):
    others = leave_one_out(masks)
    assert others.shape == masks.shape
    for reader in range(len(masks)):
        assert (others[reader] == fifty_percent(np.delete(masks, reader, axis=0))).all()


@settings(deadline=None, max_examples=30)
@given(readers)
def test_staple_is_a_probability_between_all_and_none(masks):
    probability = staple(masks)
    assert probability.shape == masks.shape[1:]
    assert ((probability >= 0) & (probability <= 1)).all()


def test_staple_follows_the_reliable_readers():
    # three readers who nearly agree, and one far off
    masks = np.stack([square(5, 5), square(5, 6), square(6, 5), square(18, 18)])
    probability = staple(masks)
    assert (probability[masks[:3].all(axis=0)] > 0.99).all()
    assert (probability[square(18, 18)] < 0.5).all()
    assert (probability[~masks.any(axis=0)] < 0.01).all()


@pytest.mark.parametrize("count", [1, 4])
def test_staple_of_readers_who_agree_is_their_mask(count):
    assert (staple(np.stack([square(5, 5)] * count)) == square(5, 5)).all()


@pytest.mark.parametrize("function", [fifty_percent, leave_one_out, staple])
def test_unusable_readers_are_refused(function):
    with pytest.raises(LabelError, match="no reader"):
        function(np.zeros((0, 5, 5), bool))
    with pytest.raises(LabelError, match="reader 1 is empty"):
        function(np.stack([square(1, 1), np.zeros((30, 30), bool)]))
    with pytest.raises(LabelError, match="at least two"):
        leave_one_out(square(1, 1)[None])
