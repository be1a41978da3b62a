from __future__ import annotations

import numpy as np
import pytest

from softmask.train.loop import Start
from softmask.train.segmentation import baseline


def curves(values):
    return {"validation_dice": values}


def test_baseline_is_the_better_of_nothing_and_everything():
    masks = np.zeros((2, 4, 4), bool)
    masks[:, :2] = True  # half of the pixels: foreground everywhere has 2 * 8 / (8 + 16)
    assert baseline(masks) == pytest.approx(2 / 3)
    masks[1] = False  # now an empty mask is right once
    assert baseline(masks) == pytest.approx(0.5)
    assert baseline(masks, together=True) == pytest.approx(2 * 8 / (8 + 32))


def test_first_epoch_of_all_losses():
    start = Start(baseline=0.5, warmup=3, epochs=10, steps=100)  # half of the way from 0.5 to 1 is 0.75
    assert [start.first(curves(values)) for values in ([], [0.75], [0.76], [0.7, 0.8], [0.7, 0.7, 0.7])] == [
        None,
        None,
        1,
        2,
        3,
    ]
    assert start.first(curves([0.7, 0.8, 0.1, 0.1])) == 2
    assert Start(0.5, 0, 10, 100).first(curves([])) == 0


def test_failure_is_seen_after_a_fifth_of_the_steps_with_all_losses():
    start = Start(baseline=0.1, warmup=2, epochs=20, steps=100)  # 400 steps are 4 epochs
    warm = [0.5, 0.6]  # half of the way is 0.55
    assert not start.failed(curves([*warm, 0, 0, 0]))
    assert start.failed(curves([*warm, 0, 0, 0, 0.119]))
    assert start.failed(curves([*warm, 0, 0, 0, 0.119, 0.9])), "what comes after is not looked at"
    assert not start.failed(curves([*warm, 0.121, 0, 0, 0]))
    assert start.failed(curves([*warm, 0.121, 0, 0, 0, 0])), "a later collapse is a failure as well"
    assert not start.failed(curves([*warm, 0.121, 0, 0, 0, 0.2, 0, 0, 0]))
    assert not start.failed(curves([]))


def test_short_trainings_are_given_200_steps_or_do_not_fail():
    assert not Start(0.1, 0, 10, 19).failed(curves([0.0] * 10))
    assert not Start(0.1, 0, 10, 25).failed(curves([0.0] * 7))
    assert Start(0.1, 0, 10, 25).failed(curves([0.0] * 8))
