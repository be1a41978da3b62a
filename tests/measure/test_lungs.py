"""Measures of lung masks, by hand."""

import numpy as np
import pytest

from softmask.errors import DataError
from softmask.measure.lungs import at_wall, dice3d, enlarge, measure_lungs


def square(top: int, left: int, side: int, shape: tuple[int, int] = (24, 24)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def measured(predicted, mask, nodules=None) -> dict[str, float]:
    nodules = np.zeros_like(mask) if nodules is None else nodules
    values = measure_lungs(predicted[None].astype(np.float32), mask[None], nodules[None])
    return {name: value.item() for name, value in values.items()}


def test_by_hand() -> None:
    values = measured(square(4, 4, 8), square(4, 6, 8))
    assert values["pixels_true"] == values["pixels_found"] == 64
    assert values["pixels_common"] == 48
    assert values["iou"] == pytest.approx(48 / 80)
    assert values["dice"] == pytest.approx(0.75)
    assert values["hausdorff"] == 2
    assert np.isnan(values["nodules_inside"])
    assert np.isnan(values["nodules_at_wall_inside"])


def test_nothing_where_nothing_is_is_right() -> None:
    empty = np.zeros((24, 24), bool)
    values = measured(empty, empty)
    assert (values["iou"], values["dice"], values["hausdorff"]) == (1, 1, 0)
    assert measured(square(0, 0, 2), empty)["hausdorff"] == np.inf


def test_nodules_by_hand() -> None:
    """A lung of 16 x 16 pixels; one nodule deep inside, one at 3 and one at 4 pixels from its left outline."""
    lung = square(4, 4, 16)
    deep, near, far = square(10, 11, 2), square(9, 7, 2), square(14, 8, 2)
    assert np.array_equal(at_wall(deep | near | far, lung), near)
    outside = square(0, 8, 2)  # rows 0 and 1: the lung's outline is row 4
    assert np.array_equal(at_wall(outside, lung), outside)
    assert not at_wall(square(0, 0, 1), lung).any()  # 4 rows and 4 columns away
    predicted = lung.copy()
    predicted[:, :8] = False  # half of the nodule near the wall is lost
    values = measured(predicted, lung, deep | near | far)
    assert values["nodules_inside"] == pytest.approx(10 / 12)
    assert values["nodules_at_wall_inside"] == pytest.approx(0.5)
    assert np.isnan(measured(predicted, lung, deep)["nodules_at_wall_inside"])


def test_a_nodule_is_at_the_wall_with_all_its_pixels() -> None:
    lung, long = square(4, 4, 16), np.zeros((24, 24), bool)
    long[9, 6:14] = True
    assert np.array_equal(at_wall(long, lung), long)
    diagonal = np.eye(24, dtype=bool) & square(6, 6, 6)  # pixels that touch with their corners are one nodule
    assert np.array_equal(at_wall(diagonal, lung), diagonal)


def test_probabilities_are_enlarged_before_they_are_cut() -> None:
    row = np.array([[0.0, 0.0, 1.0, 1.0]] * 4, np.float32)
    large = enlarge(row[None], (8, 8))[0]
    np.testing.assert_allclose(large[0], [0, 0, 0, 0.25, 0.75, 1, 1, 1])
    values = measure_lungs(row[None], square(0, 4, 8, (8, 8))[None], np.zeros((1, 8, 8), bool))
    assert values["iou"].item() == 1
    tilted = np.array([[0.0, 0.4, 1.0, 1.0]] * 4, np.float32)  # 0.55 lies a quarter of a small pixel further left
    assert measure_lungs(tilted[None], square(0, 4, 8, (8, 8))[None], np.zeros((1, 8, 8), bool))["pixels_found"] == 40


def test_dice3d_is_dice_of_the_volume() -> None:
    by_scan = dice3d(["b", "a", "b", "c"], [10, 4, 0, 0], [6, 4, 4, 0], [5, 4, 0, 0])
    assert list(by_scan) == ["b", "a", "c"]
    assert by_scan == pytest.approx({"b": 2 * 5 / 20, "a": 1.0, "c": 1.0})
    random = np.random.default_rng(0)
    masks, predicted = random.random((2, 6, 9, 9)) < 0.4
    values = measure_lungs(predicted.astype(np.float32), masks, np.zeros_like(masks))
    names = ("pixels_true", "pixels_found", "pixels_common")
    volume = 2 * (masks & predicted).sum() / (masks.sum() + predicted.sum())
    assert dice3d(["s"] * 6, *(values[name] for name in names))["s"] == pytest.approx(volume)


def test_nan_is_no_prediction() -> None:
    empty = np.zeros((24, 24), bool)
    with pytest.raises(DataError, match="predicts NaN"):
        measured(np.full((24, 24), np.nan), empty)
