"""Which rows the experiments take, how they are divided by patient, and which slices of whole scans are used."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data import NAMES, REAL_ONLY, selection
from softmask.data.finding_lungs import WRONG_MASKS
from softmask.data.sample import Dataset
from softmask.data.splits import (
    CROPS,
    FOLDS,
    PAPER_SIZES,
    SCANS,
    SECTION_FOLDS,
    TAKEN,
    dataset_name,
    scan_rows,
    split_by_patient,
    split_rows,
)
from softmask.errors import DataError

SLICES = 130
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


class Listed(Dataset):
    """An index and nothing behind it."""

    def __init__(self, index: pd.DataFrame) -> None:
        super().__init__()
        self.index = index


def nodules(patients: int, per_patient: int = 2, slices: int = 3) -> Dataset:
    rows = [
        (f"p{p:03}", f"n{n}", f"s{s}", 4, 100.0 - s)
        for p in range(patients)
        for n in range(per_patient)
        for s in range(slices)
    ]
    return Listed(pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers", "area"]))


def test_every_experiment_opens_a_data_set() -> None:
    assert {dataset_name(name) for name in PAPER_SIZES} == {*NAMES, *REAL_ONLY}
    assert set(SCANS) <= set(PAPER_SIZES)
    assert dataset_name("lidc-119") == "lidc"
    assert all("test" in sizes for sizes in PAPER_SIZES.values())


def test_119_lesions_are_the_first_of_lidc_each_with_its_largest_slice() -> None:
    dataset = nodules(120)
    rows = np.concatenate(list(split_rows("lidc-119", dataset).values()))
    assert set(rows) <= set(selection.lidc_rows(dataset.index)[:119])
    assert len(rows) > 110  # what is left of a division by patients
    chosen = dataset.index.iloc[rows]
    assert not chosen.duplicated(["patient", "nodule"]).any()
    assert set(chosen["slice"]) == {"s0"}


def test_folds_divide_lidc_s_training_and_validation_patients_and_keep_the_test_part() -> None:
    dataset = nodules(300)
    patients, whole = dataset.index["patient"].to_numpy(), split_rows("lidc", dataset)
    pool = set(whole["train"]) | set(whole["validation"])
    validated: list[int] = []
    for name in FOLDS:
        parts = split_rows(name, dataset)
        assert parts["test"].tolist() == whole["test"].tolist()
        train, validation = set(parts["train"]), set(parts["validation"])
        assert train | validation <= pool
        assert len(train | validation) > len(pool) - len(FOLDS) - 6  # what is left of a division by patients
        owners = [set(patients[sorted(rows)]) for rows in (train, validation, whole["test"])]
        assert sum(map(len, owners)) == len(set.union(*owners))
        validated += validation
    assert len(validated) == len(set(validated))


def test_sections_are_counted_with_their_crops(caplog: pytest.LogCaptureFixture) -> None:
    index = pd.DataFrame({"patient": [f"section-{i:02d}" for i in range(30)]})
    with caplog.at_level(logging.WARNING):
        parts = split_rows("isbi2012-fold1", Listed(index))
    assert not caplog.text
    assert {part: len(rows) * CROPS["isbi2012"] for part, rows in parts.items()} == PAPER_SIZES["isbi2012-fold1"]


def test_folds_of_isbi_2012_are_blocks_of_neighbouring_sections() -> None:
    dataset = Listed(pd.DataFrame({"patient": [f"section-{i:02d}" for i in range(30)]}))
    tested = []
    for number, name in enumerate(SECTION_FOLDS):
        assert dataset_name(name) == "isbi2012"
        parts = split_rows(name, dataset)
        assert sorted(np.concatenate(list(parts.values()))) == list(range(30))
        assert parts["test"].tolist() == list(range(6 * number, 6 * number + 6))
        assert parts["validation"].tolist() == [(6 * number + 6 + i) % 30 for i in range(6)]
        tested += parts["test"].tolist()
    assert tested == list(range(30))
    assert split_rows("isbi2012", dataset)["test"].tolist() == list(range(6))
    with pytest.raises(DataError, match="4 sections cannot be divided into 5 blocks"):
        split_rows("isbi2012-fold2", Listed(dataset.index[:4]))


def prostates(training: int, tested: int, slices: int = 15) -> Dataset:
    names = [f"Case{i:02}" for i in range(training)] + [f"test-Case{i:02}" for i in range(tested)]
    return Listed(pd.DataFrame({"patient": [name for name in names for _ in range(slices)]}))


@pytest.mark.parametrize("tested", [30, 3, 0])
def test_prostates_are_tested_on_the_challenge_s_test_cases_which_never_train(tested) -> None:
    dataset = prostates(50, tested)  # three fill a part of the test part, and training cases the rest
    patients = dataset.index["patient"].to_numpy()
    parts = split_rows("promise12", dataset)
    assert {part: len(rows) for part, rows in parts.items()} == PAPER_SIZES["promise12"]
    assert list(parts) == ["train", "validation", "test"]
    assert sum(patient.startswith("test-") for patient in patients[parts["test"]]) == min(130, 15 * tested)
    assert not any(patient.startswith("test-") for part in ("train", "validation") for patient in patients[parts[part]])
    owners = [set(patients[rows]) for rows in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_parts_of_finding_lungs_follow_the_scan_s_number_alone(caplog):
    patients = [f"ID_{number:04}" for number in range(267) if f"ID_{number:04}" not in WRONG_MASKS]
    with caplog.at_level(logging.WARNING):
        parts = split_rows("lungs-2d", Listed(pd.DataFrame({"patient": patients})))
    assert not caplog.text
    assert {part: len(rows) for part, rows in parts.items()} == PAPER_SIZES["lungs-2d"]
    numbers = {part: [int(patients[row][3:]) for row in rows] for part, rows in parts.items()}
    assert sorted(np.concatenate(list(numbers.values()))) == [int(patient[3:]) for patient in patients]
    assert {number % 5 for number in numbers["test"]} == {0, 1}
    assert not {0, 1} & {number % 5 for number in numbers["train"] + numbers["validation"]}
    some = patients[::3]
    fewer = split_rows("lungs-2d", Listed(pd.DataFrame({"patient": some})))
    for part, rows in fewer.items():
        assert {some[row] for row in rows} <= {patients[row] for row in parts[part]}


def scans(count: int, slices: int = SLICES) -> Dataset:
    rows = [(f"p{p:03}", "lungs", f"slice-{s:04}", float(s)) for p in range(count) for s in range(slices)]
    return Listed(pd.DataFrame(rows, columns=["patient", "nodule", "slice", "z_mm"]))


def parts_of(name: str, dataset: Dataset, cap: int | None) -> dict[str, pd.DataFrame]:
    return {part: dataset.index.iloc[rows] for part, rows in scan_rows(name, dataset, cap).items()}


@pytest.mark.parametrize("name", ["lidc-lung", "qin-lung"])
@pytest.mark.parametrize("cap", [None, 16])
def test_no_patient_is_in_two_parts_and_no_slice_twice(name, cap) -> None:
    parts = parts_of(name, scans(sum(SCANS[name].values())), cap)
    patients = [set(part["patient"]) for part in parts.values()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert not any(part.index.duplicated().any() for part in parts.values())
    if cap is None:  # all scans, and the most slices of each
        counts = {part: rows["patient"].value_counts() for part, rows in parts.items()}
        assert {part: len(count) for part, count in counts.items()} == SCANS[name]
        assert all(set(count) == {TAKEN[part].per_scan} for part, count in counts.items())


@pytest.mark.parametrize("name", ["lidc-lung", "qin-lung"])
def test_the_cpu_profile_takes_few_slices_of_many_patients(name) -> None:
    parts = parts_of(name, scans(sum(SCANS[name].values())), 200)
    counts = {part: rows["patient"].value_counts() for part, rows in parts.items()}
    assert {part: (len(count), int(count.max())) for part, count in counts.items()} == {
        "train": (100, 2) if name == "lidc-lung" else (29, 7),
        "validation": (5, 8),
        "test": (12, 14),
    }
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 200, "validation": 40, "test": 168}


def test_slices_are_evenly_spaced_and_training_ones_lie_at_all_heights() -> None:
    parts = parts_of("lidc-lung", scans(220), 200)
    for rows in parts["test"].groupby("patient")["z_mm"]:
        steps = np.diff(rows[1])
        assert steps.min() >= SLICES // 14
        assert steps.max() <= SLICES // 14 + 1
        assert rows[1].min() < SLICES / 14
        assert rows[1].max() > SLICES * 13 / 14
    heights = np.sort(parts["train"]["z_mm"].unique())
    assert np.diff(heights).max() <= 3
    assert heights[0] <= 3
    assert heights[-1] >= SLICES - 4


def test_scans_to_test_on_alone() -> None:
    parts = parts_of("lung-ct", scans(1, slices=119), 200)
    assert list(parts) == ["test"]
    assert len(parts["test"]) == 119
    with pytest.raises(DataError, match="2 patients cannot be split into 3 sets"):
        scan_rows("qin-lung", scans(2), None)
