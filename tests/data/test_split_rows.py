"""Which rows the experiments take, and how they are divided."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from softmask.config import BASE_SEED
from softmask.data import NAMES, REAL_ONLY, selection
from softmask.data.sample import Dataset
from softmask.data.splits import (
    CROPS,
    FOLDS,
    PAPER_SIZES,
    PARTS,
    SCANS,
    SECTION_FOLDS,
    dataset_name,
    experiment_rows,
    split_by_patient,
    split_rows,
)
from softmask.errors import DataError


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
    assert all("test" in sizes and set(sizes) <= set(PARTS) for sizes in PAPER_SIZES.values())


def test_119_lesions_are_the_first_of_lidc_each_with_its_largest_slice() -> None:
    dataset = nodules(120)
    rows = experiment_rows("lidc-119", dataset)
    assert rows.tolist() == experiment_rows("lidc", dataset)[:119].tolist()
    chosen = dataset.index.iloc[rows]
    assert not chosen.duplicated(["patient", "nodule"]).any()
    assert set(chosen["slice"]) == {"s0"}
    assert {selection.role(patient) for patient in chosen["patient"]} == {"lidc"}


def test_fewer_nodules_are_not_made_up_with_second_slices() -> None:
    rows = experiment_rows("lidc-119", nodules(40, per_patient=1))
    assert 0 < len(rows) < 40
    assert len(set(rows)) == len(rows)


def test_119_lesions_are_divided_by_patient_as_casgan_does() -> None:
    dataset = nodules(200, per_patient=1)
    parts = split_rows("lidc-119", dataset)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 60, "validation": 11, "test": 48}
    patients = dataset.index["patient"].to_numpy()
    owners = [set(patients[rows]) for rows in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))


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


def test_prostates_are_tested_on_the_challenge_s_test_cases_which_never_train() -> None:
    dataset = prostates(50, 30)
    patients = dataset.index["patient"].to_numpy()
    parts = split_rows("promise12", dataset)
    assert {part: len(rows) for part, rows in parts.items()} == PAPER_SIZES["promise12"]
    assert list(parts) == ["train", "validation", "test"]
    for part, rows in parts.items():
        assert {patient.startswith("test-") for patient in patients[rows]} == {part == "test"}
    owners = [set(patients[rows]) for rows in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_few_test_cases_are_all_tested_on_and_training_cases_make_up_for_the_others() -> None:
    dataset = prostates(50, 3)
    patients = dataset.index["patient"].to_numpy()
    parts = split_rows("promise12", dataset)
    assert {part: len(rows) for part, rows in parts.items()} == PAPER_SIZES["promise12"]
    assert sum(patient.startswith("test-") for patient in patients[parts["test"]]) == 45
    owners = [set(patients[rows]) for rows in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_prostates_without_test_cases_are_divided_as_ever() -> None:
    dataset = prostates(50, 0)
    expected = split_by_patient(dataset.index["patient"], PAPER_SIZES["promise12"], BASE_SEED)
    for part, rows in split_rows("promise12", dataset).items():
        np.testing.assert_array_equal(rows, expected[part])
