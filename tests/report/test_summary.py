"""Means and spreads of records, against numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.report.result import ResultTable, join
from softmask.report.summary import cells

RECORDS = pd.DataFrame(
    {
        "label": ["b", "a", "b", "a", "b", "c"],
        "dice": [0.1, 0.5, 0.3, 0.7, np.nan, np.nan],
        "mae": [1.0, 2.0, 3.0, 4.0, 8.0, 5.0],
    }
)


def summed(records=RECORDS, by="label", metrics=("dice", "mae"), **order):
    return cells(records, by, metrics, dataset="lidc", source="embedded", **order)


def test_means_and_spreads_by_hand() -> None:
    found = {(c.row, c.metric): (c.ours_mean, c.ours_std, c.n_images) for c in summed()}
    assert found["a", "dice"] == pytest.approx((0.6, math.sqrt(0.02), 2))
    assert found["b", "dice"] == pytest.approx((0.2, math.sqrt(0.02), 2))  # the undefined value is not counted
    assert found["b", "mae"] == pytest.approx((4, math.sqrt(13), 3))
    assert found["c", "mae"] == pytest.approx((5, math.nan, 1), nan_ok=True)
    assert found["c", "dice"] == pytest.approx((math.nan, math.nan, 0), nan_ok=True)
    assert {(c.dataset, c.n_seeds, c.source, c.extra) for c in summed()} == {("lidc", 1, "embedded", True)}


@pytest.mark.parametrize(
    ("order", "rows"), [((), "bac"), (("c", "x", "a"), "cab"), (("a", "b", "c"), "abc"), (("c",), "cba")]
)
def test_rows_come_in_order_then_as_they_occur(order, rows) -> None:
    assert list(dict.fromkeys(cell.row for cell in summed(order=order))) == list(rows)
    assert [cell.metric for cell in summed(order=order)] == ["dice", "mae"] * 3


def test_infinite_means_and_numbers_as_names(recwarn) -> None:
    far, number = summed(pd.DataFrame({"radius": [3, 3], "far": [np.inf, 2.0], "m": [1.0, 2]}), "radius", ["far", "m"])
    assert far.ours_mean == np.inf  # a Hausdorff distance to an empty mask
    assert (far.row, type(number.ours_mean)) == ("3", float)
    assert join(ResultTable("workbook", "t", "t", "c", [far, number]))
    assert not recwarn


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(values, random) -> None:
    shuffled = random.sample(values, len(values))
    made = [summed(pd.DataFrame({"k": "x", "m": of}), "k", ["m"])[0] for of in (values, shuffled)]
    for cell in made:
        expected = (np.mean(values), np.std(values, ddof=1))
        assert (cell.ours_mean, cell.ours_std) == pytest.approx(expected, abs=1e-9)
