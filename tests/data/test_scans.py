"""Which slices of whole scans are used: many scans, all heights, no patient in two parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softmask.data.sample import Dataset
from softmask.data.splits import SCANS, TAKEN, scan_rows
from softmask.errors import DataError

SLICES = 130


class Listed(Dataset):
    """An index and nothing behind it."""

    def __init__(self, scans: int, slices: int = SLICES) -> None:
        super().__init__()
        rows = [(f"p{p:03}", "lungs", f"slice-{s:04}", float(s)) for p in range(scans) for s in range(slices)]
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice", "z_mm"])


def parts_of(name: str, dataset: Dataset, cap: int | None) -> dict[str, pd.DataFrame]:
    return {part: dataset.index.iloc[rows] for part, rows in scan_rows(name, dataset, cap).items()}


@pytest.mark.parametrize("name", ["lidc-lung", "qin-lung"])
@pytest.mark.parametrize("cap", [None, 16, 200])
def test_no_patient_is_in_two_parts_and_no_slice_twice(name, cap) -> None:
    parts = parts_of(name, Listed(sum(SCANS[name].values())), cap)
    patients = [set(part["patient"]) for part in parts.values()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert not any(part.index.duplicated().any() for part in parts.values())


def test_the_papers_patients_train_and_test_in_full() -> None:
    for name, train, test in (("lidc-lung", 180, 40), ("qin-lung", 35, 12)):
        parts = parts_of(name, Listed(train + test), None)
        counts = {part: rows["patient"].value_counts() for part, rows in parts.items()}
        assert len(counts["train"]) + len(counts["validation"]) == train
        assert len(counts["test"]) == test
        assert all(set(count) == {TAKEN[part].each} for part, count in counts.items())


@pytest.mark.parametrize("name", ["lidc-lung", "qin-lung"])
def test_the_cpu_profile_takes_few_slices_of_many_patients(name) -> None:
    parts = parts_of(name, Listed(sum(SCANS[name].values())), 200)
    counts = {part: rows["patient"].value_counts() for part, rows in parts.items()}
    assert {part: (len(count), int(count.max())) for part, count in counts.items()} == {
        "train": (100, 2) if name == "lidc-lung" else (29, 7),
        "validation": (5, 8),
        "test": (12, 14),
    }
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 200, "validation": 40, "test": 168}


def test_slices_are_evenly_spaced_and_training_ones_lie_at_all_heights() -> None:
    parts = parts_of("lidc-lung", Listed(220), 200)
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


def test_fewer_scans_keep_the_proportions() -> None:
    parts = parts_of("lidc-lung", Listed(22), 200)
    assert {part: rows["patient"].nunique() for part, rows in parts.items()} == {
        "train": 17,
        "validation": 1,
        "test": 4,
    }
    assert len(parts["train"]) == 200
    assert parts["train"]["patient"].value_counts().max() == 12
    assert len(parts["validation"]) == 40


def test_short_scans_are_taken_whole() -> None:
    parts = parts_of("qin-lung", Listed(47, slices=5), None)
    assert set(parts["test"]["patient"].value_counts()) == {5}


def test_scans_to_test_on_alone() -> None:
    parts = parts_of("lung-ct", Listed(1, slices=119), 200)
    assert list(parts) == ["test"]
    assert len(parts["test"]) == 119
    with pytest.raises(DataError, match="2 patients cannot be split into 3 sets"):
        scan_rows("qin-lung", Listed(2), None)


def test_order_of_the_index_s_patients_does_not_matter() -> None:
    dataset = Listed(30)
    other = Listed(30)
    other.index = pd.concat([group for _, group in reversed(list(dataset.index.groupby("patient")))], ignore_index=True)
    for one, two in zip(
        parts_of("qin-lung", dataset, 50).values(), parts_of("qin-lung", other, 50).values(), strict=True
    ):
        assert one.reset_index(drop=True).equals(two.reset_index(drop=True))
