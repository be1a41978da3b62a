"""Which images are used and shown; counts and splits of small data sets whose contents are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask import data as datasets
from softmask.analysis import examples
from softmask.analysis.examples import one_of_each_kind, spread
from softmask.config import Config
from softmask.data import splits
from softmask.data.sample import Dataset
from softmask.errors import DataError, MissingData


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=300), st.integers(0, 400) | st.none())
def test_spread_keeps_order_takes_no_row_twice_and_as_many_as_it_may(rows, cap) -> None:
    chosen = spread(rows, cap).tolist()
    assert len(chosen) == (len(rows) if cap is None else min(cap, len(rows)))
    places = [rows.index(row) for row in chosen]
    assert places == sorted(set(places))
    if len(chosen) >= 2:
        assert (chosen[0], chosen[-1]) == (rows[0], rows[-1])
        assert np.ptp(np.diff(places)) <= 1  # evenly


def test_examples_are_spread_over_those_of_fitting_area(dataset_of, discs) -> None:
    areas = [59, 60, 100, 200, 300, 900, 901, np.nan]
    dataset = dataset_of([discs(i) for i in range(8)], areas=areas)
    ids = [sample.patient for sample in examples.examples(dataset, range(8), 3)]
    assert ids == ["p1", "p3", "p5"]
    assert [s.patient for s in examples.examples(dataset, range(8), 1, area=(901, 1000))] == ["p6"]
    assert [s.patient for s in examples.examples(dataset, [5, 1], 2)] == ["p5", "p1"]
    assert examples.examples(dataset, range(8), 0) == []


def test_an_unreadable_example_makes_way_for_the_next(dataset_of, discs) -> None:
    samples = [DataError("truncated") if i == 2 else discs(i) for i in range(5)]
    dataset = dataset_of(samples, areas=[100] * 5)
    assert [sample.patient for sample in examples.examples(dataset, range(5), 3)] == ["p0", "p4", "p1"]
    assert [problem.where for problem in dataset.problems] == ["lidc/p2/n0/s2"]


def test_a_small_data_set_gives_fewer_examples_and_a_damaged_one_says_why(dataset_of, discs) -> None:
    dataset = dataset_of([discs(0), discs(1), DataError("p2.png is truncated")], areas=[100, 5, 100])
    assert [sample.patient for sample in examples.examples(dataset, range(3), 2)] == ["p0"]
    with pytest.raises(DataError, match=r"lidc: none of 1 images .* can be shown; 1 problems.*p2.png is truncated"):
        examples.examples(dataset, [2], 2)


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
    cells = examples.count_cells({"lidc": Listed("lidc", SMALL), "isbi2012": Listed("isbi2012", SMALL[:1], "embedded")})
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
    cells = examples.kind_cells(Listed("lidc", SMALL), ("isolated", "tiny", "cavitary"))
    assert values(cells) == {
        ("isolated", "nodules"): 2,
        ("isolated", "four_readers"): 2,
        ("tiny", "nodules"): 2,
        ("tiny", "four_readers"): 1,
        ("cavitary", "nodules"): 0,
        ("cavitary", "four_readers"): 0,
    }


def test_splits_share_no_patient_and_are_the_same_every_time() -> None:
    opened = {name: Listed(name, many(80)) for name in ("lidc", "lnsm", "promise12")}
    parts = examples.splits(opened)
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
    again, other = examples.splits(opened), examples.splits(opened, seed=1)
    same = [np.array_equal(parts["lidc"][part], again["lidc"][part]) for part in parts["lidc"]]
    assert all(same)
    assert any(not np.array_equal(parts["lidc"][part], other["lidc"][part]) for part in parts["lidc"])


def test_cells_of_the_parts_by_hand() -> None:
    opened = {"lidc": Listed("lidc", SMALL)}
    cells = examples.split_cells({"lidc": {"train": np.array([0, 1, 2]), "test": np.array([3, 5])}}, opened)
    assert values(cells) == {
        ("lidc_train", "images"): 3,
        ("lidc_train", "patients"): 1,
        ("lidc_train", "images_in_the_papers"): 387,
        ("lidc_test", "images"): 2,
        ("lidc_test", "patients"): 2,
        ("lidc_test", "images_in_the_papers"): 544,
    }
    assert {cell.metric for cell in cells} <= set(examples.COUNTS)


def test_what_is_not_there_is_left_out_with_its_message(tmp_path, monkeypatch) -> None:
    def open_dataset(name, config):
        if name == "lnsm":
            raise MissingData("lnsm: get it there")
        return Listed(name, SMALL)

    config = Config.from_parameters("smoke", "embedded", data_root=tmp_path)
    monkeypatch.setattr(datasets, "open_dataset", open_dataset)
    opened, missing = examples.open_all(config)
    assert list(opened) == [name for name in datasets.NAMES if name != "lnsm"]
    assert missing == {"lnsm": "lnsm: get it there"}


def test_damaged_data_is_not_taken_for_missing_data(tmp_path, monkeypatch) -> None:
    def open_dataset(name, config):
        raise DataError("lidc.zip is truncated")

    monkeypatch.setattr(datasets, "open_dataset", open_dataset)
    with pytest.raises(DataError, match="truncated"):
        examples.open_all(Config.from_parameters("smoke", "embedded", data_root=tmp_path))
