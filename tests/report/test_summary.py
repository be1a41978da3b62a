"""Means and spreads of records, against numbers worked out by hand."""

from __future__ import annotations

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


def summed(**changes):
    options = {"dataset": "lidc", "source": "embedded", **changes}
    return cells(RECORDS, "label", ["dice", "mae"], **options)


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


def test_no_warnings_and_the_tables_take_the_cells(recwarn) -> None:
    made = summed() + cells(
        pd.DataFrame({"label": ["x", "x"], "far": [np.inf, 2.0]}), "label", ["far"], dataset="lidc", source="real"
    )
    assert made[-1].ours_mean == np.inf  # a Hausdorff distance to an empty mask
    assert join(ResultTable("workbook", "t", "t", "c", made))
    assert not recwarn


def test_numbers_as_names_become_text() -> None:
    made = cells(pd.DataFrame({"radius": [3, 3], "m": [1.0, 2.0]}), "radius", ["m"], dataset="lidc", source="real")
    assert made[0].row == "3"
    assert type(made[0].ours_mean) is float


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(values, random) -> None:
    shuffled = random.sample(values, len(values))
    one, other = (
        cells(pd.DataFrame({"k": "x", "m": v}), "k", ["m"], dataset="d", source="real")[0] for v in (values, shuffled)
    )
    assert one.ours_mean == pytest.approx(np.mean(values), abs=1e-12)
    assert one.ours_std == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert (other.ours_mean, other.ours_std) == pytest.approx((one.ours_mean, one.ours_std), abs=1e-9)


def test_a_metric_that_no_record_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="iou"):
        cells(RECORDS, "label", ["iou"], dataset="lidc", source="real")
