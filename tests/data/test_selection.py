"""Roles by patient, and which slices come first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data import selection
from softmask.data.annotations import Nodule
from softmask.data.lidc import index_frame
from softmask.data.sample import Sample
from softmask.errors import ConfigError, DataError


def make_index(patients: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    keys, readers, areas = [], [], []
    for patient in range(patients):
        for nodule in range(rng.integers(1, 4)):
            for place in range(rng.integers(1, 6)):
                keys.append((f"LIDC-IDRI-{patient:04d}", f"nodule-{nodule}", f"slice-{place}"))
                readers.append(rng.integers(1, 5))
                areas.append(float(rng.integers(5, 60)))
    return index_frame(keys, np.array(readers), np.array(areas), np.full(len(keys), 0.7))


@pytest.fixture(scope="module")
def index():
    return make_index()


def test_no_patient_has_two_roles(index):
    ours, theirs = selection.lidc_rows(index, None), selection.lnsm_rows(index, None)
    assert not set(index.patient[ours]) & set(index.patient[theirs])
    assert len(set(ours)) == len(ours)
    assert len(theirs) == (index.patient.map(selection.role) == "lnsm").sum()


def test_three_patients_in_four_are_lidcs_and_roles_do_not_depend_on_the_data():
    names = [f"LIDC-IDRI-{number:04d}" for number in range(1000)]
    roles = [selection.role(name) for name in names]
    assert 700 < roles.count("lidc") < 800
    assert [selection.role(name) for name in names[::-1]] == roles[::-1]
    assert [selection.role(name, seed=7) for name in names] != roles


def test_lidc_takes_what_four_readers_marked(index):
    rows = selection.lidc_rows(index, None)
    assert (index.n_readers[rows] == 4).all()
    assert len(rows) == ((index.n_readers == 4) & (index.patient.map(selection.role) == "lidc")).sum()


@pytest.mark.parametrize("choose", [selection.lidc_rows, selection.lnsm_rows])
def test_rounds(index, choose):
    rows = choose(index, None)
    seen: dict[tuple, list[float]] = {}
    rounds = []
    for row in rows:
        key = (index.patient[row], index.nodule[row])
        seen.setdefault(key, []).append(index.area[row])
        rounds.append(len(seen[key]))
    assert rounds == sorted(rounds), "every nodule's largest slice before any nodule's second"
    assert all(areas == sorted(areas, reverse=True) for areas in seen.values())
    first = [index.area[row] for row, number in zip(rows, rounds, strict=True) if number == 1]
    assert first != sorted(first, reverse=True), "fewer slices are not the largest nodules alone"
    assert choose(index, 7).tolist() == rows[:7].tolist()
    assert choose(index, 7, seed=3).tolist() != rows[:7].tolist()


@given(st.integers(0, 50), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(seed, random):
    index = make_index(30, seed)
    order = list(range(len(index)))
    random.shuffle(order)
    shuffled = index.iloc[order].reset_index(drop=True)
    keys = ["patient", "nodule", "area"]
    assert shuffled.loc[selection.lnsm_rows(shuffled, 40), keys].values.tolist() == (
        index.loc[selection.lnsm_rows(index, 40), keys].values.tolist()
    )


def test_largest_per_nodule(index):
    rows = selection.four_reader_rows(index)
    assert (np.diff(rows) > 0).all()
    best = selection.largest_per_nodule(index, rows)
    part = index.iloc[rows]
    expected = part.groupby(["patient", "nodule"]).area.max().sort_index()
    found = index.iloc[best].set_index(["patient", "nodule"]).area.sort_index()
    assert found.index.is_unique
    assert found.tolist() == expected.tolist()
    assert len(selection.largest_per_nodule(index, [])) == 0


def test_nodules_that_the_clustering_could_not_part_are_no_four_reader_slices():
    merged, whole = (
        Nodule("A", 1, "1", 0.5, 1.0, number, f"nodule-{number}", (), size) for number, size in enumerate((5, 4))
    )
    keys = [("A", "nodule-0", "s"), ("A", "nodule-1", "s"), ("A", "nodule-1", "t"), ("A", "nodule-2", "s")]
    with_kind = "softmask.data.lidc.kinds_of_rows"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_kind, lambda nodules, diameter: np.array([""] * len(nodules)))
        index = index_frame(keys, np.array([4, 4, 3, 4]), np.ones(4), np.ones(4), [merged, whole, whole, None])
    assert index.merged.tolist() == [True, False, False, False]
    assert index.merged.dtype == bool
    assert selection.four_reader_rows(index).tolist() == [1, 3]
    patient = next(name for name in map(str, range(99)) if selection.role(name) == "lidc")
    assert 0 not in selection.lidc_rows(index.assign(patient=patient))
    assert selection.four_reader_rows(index.drop(columns="merged")).tolist() == [0, 1, 3], "not of LIDC"


def test_two_patients_may_share_a_nodule_name():
    index = index_frame(
        [("A", "nodule-0", "s"), ("B", "nodule-0", "s")], np.array([4, 4]), np.array([5.0, 6.0]), np.ones(2)
    )
    assert selection.largest_per_nodule(index, [0, 1]).tolist() == [0, 1]


def test_recist_is_measured_on_the_first_present_reader():
    readers = np.zeros((4, 32, 32), bool)
    readers[1, 10:13, 5:16] = True
    readers[3, 2:30, 2:30] = True
    image = np.zeros((32, 32), np.float32)
    sample = Sample("lnsm", "real", "P", "n", "s", image, readers, readers.any(axis=(1, 2)))
    marked = selection.with_recist(sample)
    lengths = np.linalg.norm(marked.recist[:, 1] - marked.recist[:, 0], axis=1)
    assert lengths[0] == pytest.approx(np.hypot(2, 10))
    assert lengths[1] < 4
    assert selection.with_recist(marked) is marked
    assert sample.recist is None


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_a_count_that_is_none(index, count):
    with pytest.raises(ConfigError, match="positive whole number"):
        selection.lidc_rows(index, count)


def test_a_data_set_without_four_readers(index):
    with pytest.raises(DataError, match="no lidc slices that four readers marked"):
        selection.lidc_rows(index[index.n_readers < 4].reset_index(drop=True))
