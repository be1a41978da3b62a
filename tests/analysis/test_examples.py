"""Which images are used and shown; counts and splits of small data sets whose contents are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.analysis import examples
from softmask.analysis.examples import one_of_each_kind, spread
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


def test_one_of_each_kind_is_of_the_middle_size_or_the_next_readable_one(dataset_of, discs) -> None:
    kinds = ["tiny", "isolated", "isolated", "isolated", "tiny"]
    samples = [discs(i, kind=kind) for i, kind in enumerate(kinds)]
    dataset = dataset_of(samples, areas=[7, 300, 100, 200, 9])
    shown = one_of_each_kind(dataset, range(5), ("isolated", "cavitary", "tiny"))
    assert {kind: sample.patient for kind, sample in shown.items()} == {"isolated": "p3", "tiny": "p4"}
    for bad, expected in (([3], "p1"), ([3, 1], "p2")):
        dataset.given = [DataError("bad") if i in bad else sample for i, sample in enumerate(samples)]
        assert one_of_each_kind(dataset, range(5), ["isolated"])["isolated"].patient == expected
    dataset.given = [DataError("bad")] * 5
    assert one_of_each_kind(dataset, range(5), ["isolated"]) == {}


class Listed(Dataset):
    """An index and nothing behind it: no count or split may read an image."""

    origin = "made by a test"
    fingerprint = "0"

    def __init__(self, name: str, index: pd.DataFrame, source: str = "real") -> None:
        super().__init__()
        self.name, self.index, self.source = name, index, source


SMALL = pd.DataFrame(
    [
        ("p1", "n0", "1", 4, 90.0, "isolated"),
        ("p1", "n0", "2", 3, 50.0, "isolated"),
        ("p1", "n1", "1", 4, 20.0, "tiny"),
        ("p2", "n0", "1", 4, 70.0, "isolated"),
        ("p2", "n0", "2", 4, 80.0, "isolated"),
        ("p3", "n0", "1", 1, 30.0, "tiny"),
    ],
    columns=["patient", "nodule", "slice", "n_readers", "area", "kind"],
)


def values(cells) -> dict[tuple[str, str], float]:
    return {(cell.row, cell.metric): cell.ours_mean for cell in cells}


def test_counts_by_hand() -> None:
    cells = examples.count_cells({"lidc": Listed("lidc", SMALL), "isbi2012": Listed("isbi2012", SMALL[:1], "embedded")})
    names = ("patients", "lesions", "images", "four_readers")
    expected = {("lidc", name): n for name, n in zip(names, (3, 4, 6, 4), strict=True)}
    assert values(cells) == expected | {("isbi2012", name): 1 for name in names}
    assert {(c.row, c.source, c.n_images, c.extra) for c in cells} == {
        ("lidc", "real", 6, True), ("isbi2012", "embedded", 1, True),
    }  # fmt: skip
    kinds = values(examples.kind_cells(Listed("lidc", SMALL), ("isolated", "tiny", "cavitary")))
    assert [kinds[kind, "nodules"] for kind in ("isolated", "tiny", "cavitary")] == [2, 2, 0]
    assert [kinds[kind, "four_readers"] for kind in ("isolated", "tiny", "cavitary")] == [2, 1, 0]


def test_missing_data_is_left_out_with_its_message_and_damaged_data_is_not(config, monkeypatch) -> None:
    def open_dataset(name, config):
        if name == "lnsm":
            raise errors.pop()
        return Listed(name, SMALL)

    errors = [DataError("lnsm.zip is truncated"), MissingData("lnsm: get it there")]
    monkeypatch.setattr(examples.datasets, "open_dataset", open_dataset)
    opened, missing = examples.open_all(config)
    assert list(opened) == [name for name in examples.datasets.NAMES if name != "lnsm"]
    assert missing == {"lnsm": "lnsm: get it there"}
    with pytest.raises(DataError, match="truncated"):
        examples.open_all(config)


def test_cells_of_the_parts_by_hand(monkeypatch) -> None:
    parts = {"train": np.array([0, 1, 2]), "test": np.array([3, 5])}
    monkeypatch.setattr(examples, "split_rows", lambda name, dataset: parts)
    cells = values(examples.split_cells({"lidc": Listed("lidc", SMALL)}))
    assert [cells["lidc_train", name] for name in ("images", "patients", "images_in_the_papers")] == [3, 1, 387]
    assert [cells["lidc_test", name] for name in ("images", "patients", "images_in_the_papers")] == [2, 2, 544]
