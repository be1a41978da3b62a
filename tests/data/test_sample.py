"""What a sample must be, and how a data set hands samples out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.data.sample import IN_PLACE, Dataset, Problem, Sample, data_kind, data_words
from softmask.errors import DataError

SHAPE = (8, 10)
AXES = np.array([[[4, 2], [4, 6]], [[3, 4], [5, 4]]], float)
HALF = np.full(SHAPE, 0.5, np.float32)


def make(i: int = 0, **changes) -> Sample:
    readers = np.zeros((3, *SHAPE), bool)
    readers[0, 3:6, 3:7] = readers[2, 2:5, 3:7] = True
    fields = {"source": "embedded", "image": HALF, "readers": readers, "present": np.array([True, False, True])}
    return Sample(dataset="lidc", patient=f"P{i}", nodule="nodule-1", slice="slice-2", **(fields | changes))


def test_a_whole_sample() -> None:
    sample = make(hu=HALF, alpha=HALF, recist=AXES, kind="tiny")
    assert sample.id == "lidc/P0/nodule-1/slice-2"
    np.testing.assert_array_equal(sample.masks, sample.readers[[0, 2]])
    for readers in (0, 2):  # a RECIST mark alone is enough
        alone = make(readers=np.zeros((readers, *SHAPE), bool), present=np.zeros(readers, bool), recist=AXES)
        assert alone.masks.shape == (0, *SHAPE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": HALF * np.nan}, "must be finite"),
        ({"image": HALF * np.inf}, "must be finite"),
        ({"image": HALF - 0.51}, r"lie in \[0, 1\]"),
        ({"image": HALF + 0.51}, r"lie in \[0, 1\]"),
        ({"image": HALF.astype(np.float64)}, r"2D float32, not \(8, 10\) float64"),
        ({"image": np.zeros((8, 10, 3), np.float32)}, r"2D float32, not \(8, 10, 3\)"),
        ({"image": np.zeros((0, 10), np.float32), "readers": np.zeros((3, 0, 10), bool)}, r"lie in \[0, 1\]"),
        ({"readers": np.ones((3, 10, 8), bool)}, r"of size \(8, 10\), not bool \(3, 10, 8\)"),
        ({"readers": np.ones((3, 8, 10), np.uint8)}, r"not uint8 \(3, 8, 10\)"),
        ({"readers": np.ones((8, 10), bool)}, r"not bool \(8, 10\)"),
        ({"present": np.array([True, True])}, r"present must be \(R,\) bool"),
        ({"present": np.array([1, 0, 1])}, r"present must be \(R,\) bool"),
        ({"readers": np.zeros((0, 8, 10), bool), "present": np.zeros(0, bool)}, "no reader present and no RECIST"),
        ({"hu": np.zeros((10, 8), np.float32)}, r"hu must be float32 of size \(8, 10\)"),
        ({"hu": np.zeros((8, 10), np.int16)}, "hu must be float32"),
        ({"alpha": np.zeros((8, 10))}, "alpha must be float32"),
        ({"alpha": HALF + 1}, r"alpha must lie in \[0, 1\]"),
        ({"alpha": HALF * np.nan}, r"alpha must lie in \[0, 1\]"),
        ({"hu": HALF * np.nan}, "hu must be finite"),
        ({"source": "simulated"}, "source must be real or embedded, not 'simulated'"),
        ({"recist": AXES[0]}, "recist must be"),
        ({"recist": AXES * np.nan}, "recist must be finite"),
        ({"spacing": (0.7, 0.0)}, "spacing must be above 0 mm"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_sample_named(changes, message) -> None:
    with pytest.raises(DataError, match=rf"^lidc/P0/nodule-1/slice-2: .*{message}"):
        make(**changes)


@given(st.lists(st.booleans(), max_size=5), st.lists(st.booleans(), max_size=5))
def test_presence_fits_exactly_where_it_says_who_marked(marked, present) -> None:
    readers = np.zeros((len(marked), *SHAPE), bool)
    readers[np.flatnonzero(marked), 4, 4] = True
    if marked == present and any(marked):
        assert len(make(readers=readers, present=np.array(present, bool)).masks) == sum(marked)
    else:
        with pytest.raises(DataError, match=r"present|absent"):
            make(readers=readers, present=np.array(present, bool))


class Four(Dataset):
    """Four samples, some of which fail."""

    name, source, origin, fingerprint = "lidc", "embedded", "made by a test", "0"

    def __init__(self, failing: dict[int, Exception] | None = None) -> None:
        super().__init__()
        self.failing = failing or {}
        patients = [f"P{i}" for i in range(4)]
        self.index = pd.DataFrame({"patient": patients, "nodule": "nodule-1", "slice": "slice-2", "n_readers": 2})

    def read(self, i: int) -> Sample:
        if i in self.failing:
            raise self.failing[i]
        return make(i)


def test_samples_by_number() -> None:
    dataset = Four({1: DataError("P1.png is truncated")})
    assert len(dataset) == 4
    assert [dataset[i].patient for i in (0, 3, -1, -4, np.int64(2))] == ["P0", "P3", "P3", "P0", "P2"]
    for i in (4, -5):
        with pytest.raises(IndexError):
            dataset[i]
    assert [sample.patient for sample in Four()] == ["P0", "P1", "P2", "P3"]  # iteration ends
    np.testing.assert_array_equal(dataset.read_masks(0)[0], make(0).readers)
    with pytest.raises(DataError, match="truncated"):
        dataset.read_masks(1)


def test_samples_come_in_order_and_the_unreadable_are_listed_once() -> None:
    dataset = Four({2: DataError("P2.png is truncated")})
    for _ in range(2):
        assert [sample.patient for sample in dataset.samples()] == ["P0", "P1", "P3"]
    assert [sample.patient for sample in dataset.samples(np.array([3, 2, 0]))] == ["P3", "P0"]
    assert dataset.problems == [Problem("lidc/P2/nodule-1/slice-2", "P2.png is truncated")]
    assert str(dataset.problems[0]) == "lidc/P2/nodule-1/slice-2: P2.png is truncated"
    assert str(Problem("a.png", "a.png: truncated")) == "a.png: truncated", "named once"
    assert Four().problems == []
    with pytest.raises(RuntimeError, match="boom"):  # other errors are raised
        list(Four({1: RuntimeError("boom")}).samples())


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
