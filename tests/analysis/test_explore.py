"""The bench's computation and pictures."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.analysis import explore
from softmask.data.kinds import KINDS
from softmask.errors import ConfigError, LabelError
from softmask.label import label_sample, soft_mask
from softmask.measure import segmentation


def test_one_nodule_of_each_kind_in_a_window(dataset_of, discs):
    samples = [discs(i, kind=kind) for i, kind in enumerate([*reversed(KINDS), "isolated"])]
    result = explore.nodules(dataset_of(samples, areas=[50, 60, 70, 80, 90, 100, 10]))
    assert {kind: sample.patient for kind, sample in result.items()} == {
        kind: f"p{5 - i}" for i, kind in enumerate(KINDS)
    }
    assert list(result) == list(KINDS)


def test_cutting_moves_the_mark_along(discs):
    whole = discs(0, recist=np.array([[[23.0, 32.0], [41.0, 32.0]], [[32.0, 23.0], [32.0, 41.0]]]))
    there = ((30, 4), (10, 24))  # rows and columns before and after
    padded = replace(
        whole,
        image=np.pad(whole.image, there),
        readers=np.pad(whole.readers, ((0, 0), *there)),
        alpha=np.pad(whole.alpha, there),
        recist=whole.recist + np.array([30, 10]),
    )
    sample = explore.crop(padded)
    assert sample.image.shape == sample.alpha.shape == sample.readers.shape[1:] == (64, 64)
    ends, were = (step.recist.reshape(-1, 2).T.astype(int) for step in (sample, padded))
    assert np.array_equal(sample.readers[:, *ends], padded.readers[:, *were])
    assert np.array_equal(sample.image[tuple(ends)], padded.image[tuple(were)])
    assert np.array_equal(explore.crop(sample).image, sample.image)


def test_it_starts_as_a_sample_is_labelled(discs):
    sample = discs()
    step = explore.step(sample, explore.start(sample))
    assert np.array_equal(step.result.alpha, label_sample(sample, "recist").alpha)  # this mark's ends are whole pixels
    assert np.array_equal(step.binary, step.result.binary)
    assert list(step.dice) == ["reader 1", "reader 2", "reader 3", "reader 4", explore.CONSENSUS]
    assert step.dice["reader 2"] == segmentation.dice(step.binary, sample.readers[1])
    assert 0 < step.error < 0.2


@settings(max_examples=40)
@given(
    st.lists(st.floats(20, 44).map(lambda x: round(2 * x) / 2), min_size=8, max_size=8),
    st.none() | st.sampled_from([1.0, 2.5, 4.0]),
    st.sampled_from([1e-9, 3.16e-7, 0.01]),
    st.sampled_from([0.1, 0.5, 0.95]),
)
def test_the_line_of_code_gives_the_mask(discs, ends, radius, epsilon, threshold):
    sample = discs()
    setting = explore.Setting(np.reshape(ends, (2, 2, 2)), radius, epsilon, threshold)
    try:
        step = explore.step(sample, setting)
    except LabelError:
        return  # a mark without length
    mask = eval(explore.code(setting), {"soft_mask": soft_mask, "image": sample.image})
    assert np.array_equal(mask, step.binary)


def test_what_cannot_be_labelled(discs):
    sample = discs()
    with pytest.raises(LabelError, match="zero length"):
        explore.step(sample, explore.Setting(np.full((2, 2, 2), 30.0)))
    for threshold in (0, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="threshold"):
            explore.step(sample, replace(explore.start(sample), threshold=threshold))


class TestPictures:
    def test_a_strip_shows_each_row_as_if_it_were_the_first(self, discs):
        sample = discs()
        rows = [explore.pictures(sample, item, explore.step(sample, item)) for item in explore.fixed(sample).values()]
        rows.append(explore.pictures(sample, explore.start(sample), None))
        strip = explore.Strip()
        drawn = [strip.png(row) for row in rows]
        assert len(set(drawn)) == len(drawn)
        assert [strip.png(row) for row in rows] == drawn
        assert explore.Strip().png(rows[2]) == drawn[2]
