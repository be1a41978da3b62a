"""What a sample must be, and how a data set hands samples out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.data.sample import IN_PLACE, Dataset, Problem, Sample, data_kind, data_words
from softmask.errors import DataError

AXES = np.array([[[4, 2], [4, 6]], [[3, 4], [5, 4]]], float)


def make(i: int = 0, **changes) -> Sample:
    readers = np.zeros((3, 8, 10), bool)
    readers[0, 3:6, 3:7] = readers[2, 2:5, 3:7] = True
    fields = {
        "source": "embedded",
        "image": np.full((8, 10), 0.5, np.float32),
        "readers": readers,
        "present": np.array([True, False, True]),
        **changes,
    }
    return Sample(dataset="lidc", patient=f"P{i}", nodule="nodule-1", slice="slice-2", **fields)


def with_pixel(value: float) -> np.ndarray:
    image = np.full((8, 10), 0.5, np.float32)
    image[3, 4] = value
    return image


def readers_like(shape, dtype=bool) -> np.ndarray:
    return np.ones(shape, dtype)


def test_a_whole_sample() -> None:
    sample = make(hu=np.zeros((8, 10), np.float32), alpha=np.zeros((8, 10), np.float32), recist=AXES, kind="tiny")
    assert sample.id == "lidc/P0/nodule-1/slice-2"
    assert sample.masks.shape == (2, 8, 10)
    np.testing.assert_array_equal(sample.masks, sample.readers[[0, 2]])
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.image = sample.image


def test_a_recist_mark_alone_is_enough() -> None:
    for readers in (0, 2):
        alone = make(readers=np.zeros((readers, 8, 10), bool), present=np.zeros(readers, bool), recist=AXES)
        assert alone.masks.shape == (0, 8, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "simulated"}, "source must be real or embedded, not 'simulated'"),
        ({"image": with_pixel(np.nan)}, "NaN or infinite"),
        ({"image": with_pixel(np.inf)}, "NaN or infinite"),
        ({"image": with_pixel(-0.01)}, r"lie in \[0, 1\]"),
        ({"image": with_pixel(1.01)}, r"lie in \[0, 1\]"),
        ({"image": with_pixel(0.5).astype(np.float64)}, "2D float32, not 2D float64"),
        ({"image": np.zeros((8, 10), np.uint8)}, "2D float32, not 2D uint8"),
        ({"image": np.zeros((8, 10, 3), np.float32)}, "2D float32, not 3D float32"),
        ({"image": np.zeros((0, 10), np.float32), "readers": np.zeros((3, 0, 10), bool)}, r"lie in \[0, 1\]"),
        ({"readers": readers_like((3, 10, 8))}, r"mask of size \(10, 8\) on an image of size \(8, 10\)"),
        ({"readers": readers_like((3, 8, 10), np.uint8)}, r"\(R, H, W\) bool"),
        ({"readers": readers_like((8, 10))}, r"\(R, H, W\) bool"),
        ({"present": np.array([True, True])}, r"present must be \(R,\) bool"),
        ({"present": np.array([1, 0, 1])}, r"present must be \(R,\) bool"),
        ({"present": np.array([True, True, True])}, "present has an empty mask"),
        ({"present": np.array([True, False, False])}, "absent has a mask"),
        ({"readers": np.zeros((3, 8, 10), bool), "present": np.zeros(3, bool)}, "no reader present and no RECIST"),
        ({"readers": np.zeros((0, 8, 10), bool), "present": np.zeros(0, bool)}, "no reader present and no RECIST"),
        ({"hu": np.zeros((10, 8), np.float32)}, r"hu must be float32 of size \(8, 10\)"),
        ({"hu": np.zeros((8, 10), np.int16)}, "hu must be float32"),
        ({"alpha": np.zeros((8, 10))}, "alpha must be float32"),
        ({"alpha": np.zeros((1, 8, 10), np.float32)}, "alpha must be float32"),
        ({"alpha": np.full((8, 10), 1.5, np.float32)}, r"alpha must lie in \[0, 1\]"),
        ({"alpha": np.full((8, 10), np.nan, np.float32)}, r"alpha must lie in \[0, 1\]"),
        ({"hu": np.full((8, 10), np.nan, np.float32)}, "hu has NaN"),
        ({"recist": AXES[0]}, "recist must be"),
        ({"recist": AXES * np.nan}, "recist has NaN"),
        ({"spacing": (0.7, 0.0)}, "spacing must be above 0 mm"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_sample_named(changes, message) -> None:
    with pytest.raises(DataError, match=rf"^lidc/P0/nodule-1/slice-2: .*{message}"):
        make(**changes)


@given(st.lists(st.booleans(), max_size=5), st.lists(st.booleans(), max_size=5))
def test_presence_fits_exactly_where_it_says_who_marked(marked, present) -> None:
    readers = np.zeros((len(marked), 8, 10), bool)
    readers[np.flatnonzero(marked), 4, 4] = True
    fits = marked == present and any(marked)
    try:
        sample = make(readers=readers, present=np.array(present, bool))
    except DataError:
        assert not fits
    else:
        assert fits
        assert len(sample.masks) == sum(marked)


class Four(Dataset):
    """Four samples, some of which fail; remembers what was read."""

    name, source, origin, fingerprint = "lidc", "embedded", "made by a test", "0"

    def __init__(self, failing: dict[int, Exception] | None = None) -> None:
        super().__init__()
        self.failing, self.reads = failing or {}, []
        self.index = pd.DataFrame(
            {"patient": [f"P{i}" for i in range(4)], "nodule": "nodule-1", "slice": "slice-2", "n_readers": 2}
        )

    def read(self, i: int) -> Sample:
        self.reads.append(i)
        if i in self.failing:
            raise self.failing[i]
        return make(i)


def test_samples_by_number() -> None:
    dataset = Four()
    assert len(dataset) == 4
    assert [dataset[i].patient for i in (0, 3, -1, -4, np.int64(2))] == ["P0", "P3", "P3", "P0", "P2"]
    for i in (4, -5):
        with pytest.raises(IndexError):
            dataset[i]
    assert [sample.patient for sample in dataset] == ["P0", "P1", "P2", "P3"]  # iteration ends


def test_samples_come_in_order_and_the_unreadable_are_listed_once() -> None:
    dataset = Four({2: DataError("P2.png is truncated")})
    for _ in range(2):
        assert [sample.patient for sample in dataset.samples()] == ["P0", "P1", "P3"]
    assert [sample.patient for sample in dataset.samples(np.array([3, 2, 0]))] == ["P3", "P0"]
    assert list(dataset.samples([])) == []
    assert dataset.problems == [Problem("lidc/P2/nodule-1/slice-2", "P2.png is truncated")]


def test_other_errors_are_raised() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        list(Four({1: RuntimeError("boom")}).samples())
    with pytest.raises(IndexError):
        list(Four().samples([7]))


def test_masks_alone() -> None:
    dataset = Four({1: DataError("P1.png is truncated")})
    readers, present = dataset.read_masks(0)
    np.testing.assert_array_equal(readers, make(0).readers)
    np.testing.assert_array_equal(present, make(0).present)
    with pytest.raises(DataError, match="truncated"):
        dataset.read_masks(1)


def test_problems_are_each_data_sets_own() -> None:
    one, other = Four(), Four()
    one.add_problem("a", "x")
    one.add_problem("a", "x")
    one.add_problem("a", "y")
    assert one.problems == [Problem("a", "x"), Problem("a", "y")]
    assert other.problems == []


@pytest.mark.parametrize(
    ("dataset", "source", "origin", "words"),
    [
        ("lnsm", "real", "DeepLesion, 1100 lung lesions with RECIST axes", "real"),
        ("lnsm", "real", f"LIDC-IDRI-slices.zip{IN_PLACE}", "real, substitute"),
        ("lnsm", "substitute", "", "real, substitute"),
        ("lidc", "real", "LIDC-IDRI-slices.zip", "real"),
        ("lnsm", "embedded", "simulated CT", "simulated"),
    ],
)
def test_words(dataset: str, source: str, origin: str, words: str) -> None:
    assert data_words(dataset, source, origin) == words
    assert data_words(dataset, data_kind(dataset, source, origin)) == words
