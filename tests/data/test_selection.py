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
from softmask.errors import DataError


def make_index(patients: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    keys, readers, areas = [], [], []
    for patient in range(patients):
        for nodule in range(rng.integers(1, 4)):
            for place in range(rng.integers(1, 6)):
                keys.append((f"LIDC-IDRI-{patient:04d}", f"nodule-{nodule}", f"slice-{place}"))
                readers.append(rng.integers(1, 5))
                areas.append(float(rng.integers(5, 60)))
    area = np.array(areas)
    return index_frame(keys, np.array(readers), area, np.full(len(keys), 0.7), long_axis=2 * np.sqrt(area / np.pi))


def many_sizes(patients: int = 1400, seed: int = 1) -> pd.DataFrame:
    """Nodules mostly as small as LIDC's, each with slices from its middle outwards; a few of every size to 45 px."""
    rng = np.random.default_rng(seed)
    keys, readers, axes = [], [], []
    for patient in range(patients):
        for nodule in range(rng.integers(1, 4)):
            longest = min(3 + rng.exponential(8), 45)
            for place in range(int(1 + longest / 5)):
                keys.append((f"P{patient:04d}", f"nodule-{nodule}", f"slice-{place}"))
                readers.append(4 if patient % 3 else rng.integers(1, 4))
                axes.append(longest * np.sqrt(1 - (place * 5 / longest) ** 2 * 0.9))
    axis = np.array(axes)
    return index_frame(keys, np.array(readers), np.pi / 4 * axis**2, np.full(len(keys), 0.7), long_axis=axis)


SIZES = {"train": 300, "validation": 60, "test": 120}


@pytest.fixture(scope="module")
def index():
    return make_index()


def test_no_patient_has_two_roles(index):
    ours, theirs = selection.lidc_rows(index, None), selection.lnsm_rows(index)
    assert not set(index.patient[ours]) & set(index.patient[theirs])
    assert len(set(ours)) == len(ours)
    assert len(ours) == ((index.n_readers == 4) & (index.patient.map(selection.role) == "lidc")).sum()
    assert 700 < [selection.role(f"LIDC-IDRI-{number:04}") for number in range(1000)].count("lidc") < 800
    never_four = ~index.patient.isin(set(index.patient[index.n_readers == 4]))
    assert never_four.any()
    assert len(theirs) == ((index.patient.map(selection.role) == "lnsm") | never_four).sum()


@pytest.mark.parametrize("choose", [selection.lidc_rows, selection.lnsm_rows])
def test_rounds(index, choose):
    rows = choose(index)
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
    assert selection.lidc_rows(index, 7).tolist() == selection.lidc_rows(index)[:7].tolist()


@given(st.integers(0, 50), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(seed, random):
    index = make_index(30, seed)
    order = list(range(len(index)))
    random.shuffle(order)
    shuffled = index.iloc[order].reset_index(drop=True)
    keys = ["patient", "nodule", "area"]
    assert shuffled.loc[selection.lnsm_rows(shuffled)[:40], keys].values.tolist() == (
        index.loc[selection.lnsm_rows(index)[:40], keys].values.tolist()
    )


def test_lnsm_has_deeplesion_s_long_axes_in_every_part_and_in_the_first_of_each():
    index = many_sizes()
    wanted = [selection.LONG_AXES[share] for share in (0.25, 0.5, 0.75)]
    everyone = index.long_axis[selection.lnsm_rows(index)].quantile([0.25, 0.5, 0.75])
    assert everyone.iloc[1] < wanted[1] - 4, "the patients' slices are smaller"
    for part, rows in selection.lnsm_parts(index, SIZES).items():
        assert len(rows) == SIZES[part]
        for first in (rows, rows[:60]):
            reached = np.quantile(index.long_axis[first], [0.25, 0.5, 0.75])
            assert np.abs(reached - wanted).max() < 2, (part, reached)


def test_lnsm_s_parts_share_no_patient_with_each_other_or_with_lidc():
    index = many_sizes()
    parts = selection.lnsm_parts(index, SIZES)
    owners = [set(index.patient[rows]) for rows in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert not set.union(*owners) & set(index.patient[selection.lidc_rows(index, None)])
    assert len(owners[1]) >= 15
    assert len(set(np.concatenate(list(parts.values())))) == sum(SIZES.values())
    again = selection.lnsm_parts(index, SIZES)
    assert all(rows.tolist() == again[part].tolist() for part, rows in parts.items())


def test_parts_of_few_patients():
    index = many_sizes(9).query("n_readers < 4").reset_index(drop=True)
    assert index.patient.nunique() == 3
    assert all(len(rows) for rows in selection.lnsm_parts(index, SIZES).values())
    two = index[index.patient != index.patient[0]].reset_index(drop=True)
    with pytest.raises(DataError, match="2 patients cannot be split into 3 sets"):
        selection.lnsm_parts(two, SIZES)


def test_a_draw_takes_each_nodule_s_largest_slice_that_fits_and_fills_up_with_what_there_is():
    axes = [4.0, 4.5, 4.9, 20.0, 40.0, 41.0]
    keys = [("A", "n0", "0"), ("A", "n0", "1"), ("A", "n1", "0"), ("B", "n0", "0"), ("B", "n1", "0"), ("B", "n1", "1")]
    index = index_frame(keys, np.ones(6), np.square(axes), np.ones(6), long_axis=np.array(axes))
    rows = np.arange(6)
    assert sorted(selection.draw_rows(index, rows, 99)) == rows.tolist()
    # one each of 5.0 to 7.1, 9.9 to 13.1, 20.4 to 26.5 and above 35.6 pixels
    drawn = selection.draw_rows(index, rows, 4)
    assert sorted(drawn) == [1, 2, 3, 5], "the largest slice of each nodule, and the next shorter for what is missing"
    assert selection.draw_rows(index, rows, 1).size == 1


def test_largest_per_nodule(index):
    rows = selection.four_reader_rows(index)
    assert (np.diff(rows) > 0).all()
    best = selection.largest_per_nodule(index, rows)
    part = index.iloc[rows]
    expected = part.groupby(["patient", "nodule"]).area.max().sort_index()
    result = index.iloc[best].set_index(["patient", "nodule"]).area.sort_index()
    assert result.index.is_unique
    assert result.tolist() == expected.tolist()
    assert len(selection.largest_per_nodule(index, [])) == 0


def test_nodules_that_the_clustering_could_not_part_are_no_four_reader_slices():
    merged, whole = (
        Nodule("A", 1, "1", 0.5, 1.0, number, f"nodule-{number}", (), size) for number, size in enumerate((5, 4))
    )
    keys = [("A", "nodule-0", "s"), ("A", "nodule-1", "s"), ("A", "nodule-1", "t"), ("A", "nodule-2", "s")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softmask.data.lidc.kind_of_nodule", lambda nodule, diameter: "")
        index = index_frame(keys, np.array([4, 4, 3, 4]), np.ones(4), np.ones(4), [merged, whole, whole, None])
    assert index.merged.tolist() == [True, False, False, False]
    assert index.merged.dtype == bool
    assert selection.four_reader_rows(index).tolist() == [1, 3]
    patient = next(name for name in map(str, range(99)) if selection.role(name) == "lidc")
    assert 0 not in selection.lidc_rows(index.assign(patient=patient))
    assert selection.four_reader_rows(index.drop(columns="merged")).tolist() == [0, 1, 3], "not of LIDC"


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
