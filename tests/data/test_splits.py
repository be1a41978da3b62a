"""Splits share no patient, hit their sizes, and are scaled down when the data does not suffice."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data.splits import split_by_patient
from softmask.errors import ConfigError, DataError

SIZES = {"train": 30, "validation": 5, "test": 12}


def patients_of(counts):
    return [f"P{number}" for number, count in enumerate(counts) for _ in range(count)]


@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=40),
    st.tuples(st.integers(1, 60), st.integers(1, 20), st.integers(1, 30)),
    st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_no_patient_is_on_two_sides(counts, sizes, seed):
    patients = patients_of(counts)
    wanted = dict(zip(SIZES, sizes, strict=True))
    split = split_by_patient(patients, wanted, seed)
    assert list(split) == list(wanted)
    owners = {name: {patients[row] for row in rows} for name, rows in split.items()}
    assert sum(map(len, owners.values())) == len(set().union(*owners.values()))
    for name, rows in split.items():
        assert 1 <= len(rows) <= wanted[name]
        assert (np.diff(rows) > 0).all()
        assert rows.max() < len(patients)
    if sum(sizes) > len(patients):
        assert all(len(split[n]) <= max(1, wanted[n] * len(patients) / sum(sizes)) for n in wanted)


@given(st.lists(st.integers(1, 4), min_size=60, max_size=80), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_sizes_are_met_where_there_is_enough(counts, seed):
    split = split_by_patient(patients_of(counts), SIZES, seed)
    assert {name: len(rows) for name, rows in split.items()} == SIZES


def test_the_papers_sizes_of_single_slices():
    split = split_by_patient([f"P{i}" for i in range(1500)], {"train": 1000, "validation": 100, "test": 400}, 1)
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(1500))


def test_scaled_down_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        split = split_by_patient([f"P{i}" for i in range(47)], {"train": 100, "test": 88}, 0)
    assert [len(rows) for rows in split.values()] == [25, 22]
    assert "train 25 (of 100), test 22 (of 88)" in caplog.text
    caplog.clear()
    split_by_patient([f"P{i}" for i in range(47)], SIZES, 0)
    assert not caplog.text


def test_the_seed_decides_and_the_order_of_rows_does_not():
    patients = patients_of([3, 1, 4, 1, 5, 2, 6, 5, 3, 5] * 3)
    split = split_by_patient(patients, SIZES, 1)
    assert all(np.array_equal(split[n], split_by_patient(patients, SIZES, 1)[n]) for n in SIZES)
    assert any(not np.array_equal(split[n], split_by_patient(patients, SIZES, 2)[n]) for n in SIZES)
    turned = patients[::-1]
    other = split_by_patient(turned, SIZES, 1)
    for name, rows in split.items():
        assert Counter(patients[row] for row in rows) == Counter(turned[row] for row in other[name])


@pytest.mark.parametrize("sizes", [{}, {"train": 0}, {"train": -3}, {"train": 2.0}, {"train": True}])
def test_sizes_that_are_none(sizes):
    with pytest.raises(ConfigError):
        split_by_patient(["A", "B"], sizes, 0)


def test_too_few_patients():
    with pytest.raises(DataError, match=r"2 patients cannot be split into 3 sets \(train, validation, test\)"):
        split_by_patient(["A", "A", "B"], SIZES, 0)
