"""Counts and splits of small data sets whose contents are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from softmask import data as datasets
from softmask.analysis import contents
from softmask.config import Config
from softmask.data import selection, splits
from softmask.data.sample import Dataset
from softmask.errors import DataError, MissingData
from softmask.report.result import ResultTable, join


class Listed(Dataset):
    """An index and nothing behind it: no count or split may read an image."""

    origin = "made by a test"
    fingerprint = "0"

    def __init__(self, name: str, index: pd.DataFrame, source: str = "real") -> None:
        super().__init__()
        self.name, self.index, self.source = name, index, source


def table(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers", "area", "kind"]).assign(
        long_axis=10.0
    )


SMALL = table(
    ("p1", "n0", "1", 4, 90.0, "isolated"),
    ("p1", "n0", "2", 3, 50.0, "isolated"),
    ("p1", "n1", "1", 4, 20.0, "tiny"),
    ("p2", "n0", "1", 4, 70.0, "isolated"),
    ("p2", "n0", "2", 4, 80.0, "isolated"),
    ("p3", "n0", "1", 1, 30.0, "tiny"),
)


def many(patients: int, slices: int = 2) -> pd.DataFrame:
    return table(
        *((f"p{p:03}", "n0", f"s{s}", 4, 100.0 - s, "isolated") for p in range(patients) for s in range(slices))
    )


def values(cells) -> dict[tuple[str, str], float]:
    return {(cell.row, cell.metric): cell.ours_mean for cell in cells}


def test_counts_by_hand() -> None:
    cells = contents.count_cells({"lidc": Listed("lidc", SMALL), "isbi2012": Listed("isbi2012", SMALL[:1], "embedded")})
    assert values(cells) == {
        ("lidc", "patients"): 3,
        ("lidc", "lesions"): 4,  # n0 of p1, p2 and p3 are three nodules
        ("lidc", "images"): 6,
        ("lidc", "four_readers"): 4,
        ("isbi2012", "patients"): 1,
        ("isbi2012", "lesions"): 1,
        ("isbi2012", "images"): 1,
        ("isbi2012", "four_readers"): 1,
    }
    assert {(c.row, c.source, c.n_images, c.extra) for c in cells} == {
        ("lidc", "real", 6, True),
        ("isbi2012", "embedded", 1, True),
    }
    assert all(math.isnan(cell.ours_std) for cell in cells)


def test_kinds_by_hand() -> None:
    cells = contents.kind_cells(Listed("lidc", SMALL), ("isolated", "tiny", "cavitary"))
    assert values(cells) == {
        ("isolated", "nodules"): 2,
        ("isolated", "four_readers"): 2,
        ("tiny", "nodules"): 2,
        ("tiny", "four_readers"): 1,
        ("cavitary", "nodules"): 0,
        ("cavitary", "four_readers"): 0,
    }


@pytest.mark.parametrize("make", [contents.count_cells, lambda opened: contents.kind_cells(opened["lidc"], ["tiny"])])
def test_the_tables_take_the_cells_as_counts(make) -> None:
    joined = join(ResultTable("workbook", "t", "t", "c", make({"lidc": Listed("lidc", SMALL)}), contents.COUNTS))
    assert {cell.unit for cell in joined} == {"count"}


def test_the_rows_of_the_experiments_follow_the_selection() -> None:
    index = many(30)
    lidc, lnsm = (splits.experiment_rows(name, Listed(name, index)) for name in ("lidc", "lnsm"))
    patients = index["patient"].to_numpy()
    assert {selection.role(p) for p in patients[lidc]} == {"lidc"}
    assert {selection.role(p) for p in patients[lnsm]} == {"lnsm"}
    assert len(lidc) + len(lnsm) == len(index)
    assert splits.experiment_rows("isbi2012", Listed("isbi2012", index)).tolist() == list(range(60))


def test_splits_share_no_patient_and_are_the_same_every_time() -> None:
    opened = {name: Listed(name, many(80)) for name in ("lidc", "lnsm", "promise12")}
    parts = contents.splits(opened)
    assert list(parts) == list(opened)
    patients = opened["lidc"].index["patient"].to_numpy()
    for name, chosen in parts.items():
        assert list(chosen) == ["train", "validation", "test"]
        rows = np.concatenate(list(chosen.values()))
        assert len(set(rows)) == len(rows)
        owners = [set(patients[part]) for part in chosen.values()]
        assert all(owners)
        assert sum(map(len, owners)) == len(set.union(*owners)), name
        assert set(rows) <= set(splits.experiment_rows(name, opened[name]))
    assert not set(patients[np.concatenate(list(parts["lidc"].values()))]) & set(
        patients[np.concatenate(list(parts["lnsm"].values()))]
    )
    again, other = contents.splits(opened), contents.splits(opened, seed=1)
    same = [np.array_equal(parts["lidc"][part], again["lidc"][part]) for part in parts["lidc"]]
    assert all(same)
    assert any(not np.array_equal(parts["lidc"][part], other["lidc"][part]) for part in parts["lidc"])


def test_enough_data_gives_the_papers_sizes() -> None:
    parts = contents.splits({"promise12": Listed("promise12", many(655, 1))})
    sizes = {part: len(rows) for part, rows in parts["promise12"].items()}
    assert sizes == splits.PAPER_SIZES["promise12"]
    assert sum(splits.PAPER_SIZES["lidc"].values()) == selection.LIDC_SLICES


def test_two_patients_cannot_be_split() -> None:
    with pytest.raises(DataError, match="2 patients"):
        contents.splits({"promise12": Listed("promise12", many(2))})


def test_cells_of_the_parts_by_hand() -> None:
    opened = {"lidc": Listed("lidc", SMALL)}
    cells = contents.split_cells({"lidc": {"train": np.array([0, 1, 2]), "test": np.array([3, 5])}}, opened)
    assert values(cells) == {
        ("lidc_train", "images"): 3,
        ("lidc_train", "patients"): 1,
        ("lidc_train", "images_in_the_papers"): 387,
        ("lidc_test", "images"): 2,
        ("lidc_test", "patients"): 2,
        ("lidc_test", "images_in_the_papers"): 544,
    }
    assert {cell.metric for cell in cells} <= set(contents.COUNTS)


def test_what_is_not_there_is_left_out_with_its_message(tmp_path, monkeypatch) -> None:
    def open_dataset(name, config):
        if name == "lnsm":
            raise MissingData("lnsm: get it there")
        return Listed(name, SMALL)

    config = Config.from_parameters("smoke", "embedded", data_root=tmp_path)
    monkeypatch.setattr(datasets, "open_dataset", open_dataset)
    opened, missing = contents.open_all(config)
    assert list(opened) == [name for name in datasets.NAMES if name != "lnsm"]
    assert missing == {"lnsm": "lnsm: get it there"}


def test_damaged_data_is_not_taken_for_missing_data(tmp_path, monkeypatch) -> None:
    def open_dataset(name, config):
        raise DataError("lidc.zip is truncated")

    monkeypatch.setattr(datasets, "open_dataset", open_dataset)
    with pytest.raises(DataError, match="truncated"):
        contents.open_all(Config.from_parameters("smoke", "embedded", data_root=tmp_path))


def test_real_data_that_is_nowhere_is_all_missing(tmp_path) -> None:
    opened, missing = contents.open_all(Config.from_parameters("smoke", "real", data_root=tmp_path))
    assert opened == {}
    assert list(missing) == list(datasets.NAMES)
    assert all(name in message and str(tmp_path) in message for name, message in missing.items())
