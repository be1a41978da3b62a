"""Which images are used and shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.analysis.examples import examples, one_of_each_kind, spread
from softmask.errors import DataError


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=300), st.integers(0, 400) | st.none())
def test_spread_keeps_order_takes_no_row_twice_and_as_many_as_it_may(rows, cap) -> None:
    chosen = spread(rows, cap).tolist()
    assert len(chosen) == (len(rows) if cap is None else min(cap, len(rows)))
    places = [rows.index(row) for row in chosen]
    assert places == sorted(set(places))
    if len(chosen) >= 2:
        assert (chosen[0], chosen[-1]) == (rows[0], rows[-1])
        assert np.ptp(np.diff(places)) <= 1  # evenly


def test_spread_by_hand() -> None:
    assert spread([10, 11, 12, 13, 14], 3).tolist() == [10, 12, 14]
    assert spread([10, 11, 12], 1).tolist() == [10]
    assert spread([], 3).tolist() == []


def test_examples_are_spread_over_those_of_fitting_area(dataset_of, discs) -> None:
    areas = [59, 60, 100, 200, 300, 900, 901, np.nan]
    dataset = dataset_of([discs(i) for i in range(8)], areas=areas)
    ids = [sample.patient for sample in examples(dataset, range(8), 3)]
    assert ids == ["p1", "p3", "p5"]
    assert [s.patient for s in examples(dataset, range(8), 1, area=(901, 1000))] == ["p6"]
    assert [s.patient for s in examples(dataset, [5, 1], 2)] == ["p5", "p1"]
    assert examples(dataset, range(8), 0) == []


def test_an_unreadable_example_makes_way_for_the_next(dataset_of, discs) -> None:
    samples = [DataError("truncated") if i == 2 else discs(i) for i in range(5)]
    dataset = dataset_of(samples, areas=[100] * 5)
    assert [sample.patient for sample in examples(dataset, range(5), 3)] == ["p0", "p4", "p1"]
    assert [problem.where for problem in dataset.problems] == ["lidc/p2/n0/s2"]


def test_no_more_is_read_than_is_shown(dataset_of, discs) -> None:
    dataset = dataset_of([discs(0), RuntimeError("must not be read"), discs(2)], areas=[100] * 3)
    assert len(examples(dataset, range(3), 2)) == 2


def test_a_small_data_set_gives_fewer_examples_and_a_damaged_one_says_why(dataset_of, discs) -> None:
    dataset = dataset_of([discs(0), discs(1), DataError("p2.png is truncated")], areas=[100, 5, 100])
    assert [sample.patient for sample in examples(dataset, range(3), 2)] == ["p0"]
    with pytest.raises(DataError, match=r"lidc: none of 1 images .* can be shown; 1 problems.*p2.png is truncated"):
        examples(dataset, [2], 2)


def test_one_of_each_kind_is_of_the_middle_size(dataset_of, discs) -> None:
    kinds = ["tiny", "isolated", "isolated", "isolated", "tiny"]
    dataset = dataset_of([discs(i, kind=kind) for i, kind in enumerate(kinds)], areas=[7, 300, 100, 200, 9])
    shown = one_of_each_kind(dataset, range(5), ("isolated", "cavitary", "tiny"))
    assert {kind: sample.patient for kind, sample in shown.items()} == {"isolated": "p3", "tiny": "p4"}
    assert list(shown) == ["isolated", "tiny"]
    assert one_of_each_kind(dataset, [1, 2], ("isolated", "tiny"))["isolated"].patient == "p1"


def test_an_unreadable_one_of_its_kind_makes_way_for_the_next_larger_then_smaller(dataset_of, discs) -> None:
    samples = [discs(i, kind="tiny") for i in range(4)]
    dataset = dataset_of(samples, areas=[1, 2, 3, 4])
    for bad, expected in (([2], "p3"), ([2, 3], "p1"), ([2, 3, 1], "p0")):
        dataset.given = [DataError("bad") if i in bad else sample for i, sample in enumerate(samples)]
        assert one_of_each_kind(dataset, range(4), ["tiny"])["tiny"].patient == expected
    assert {problem.where for problem in dataset.problems} == {f"lidc/p{i}/n0/s{i}" for i in (1, 2, 3)}
    dataset.given = [DataError("bad")] * 4
    assert one_of_each_kind(dataset, range(4), ["tiny"]) == {}
