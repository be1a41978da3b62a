"""Soft masks from any prior, and from samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data.sample import Sample
from softmask.errors import LabelError
from softmask.label import STRATEGIES, closed_form_alpha, label_sample, soft_mask
from softmask.label.consensus import fifty_percent
from softmask.label.recist import axes_from_mask
from softmask.label.trimap import from_mask, from_readers, from_recist


def disc(radius: float, centre=(32, 32)) -> np.ndarray:
    row, column = np.indices((64, 64))
    return np.hypot(row - centre[0], column - centre[1]) <= radius


READERS = np.stack([disc(11), disc(12, (33, 31)), np.zeros((64, 64), bool), disc(10, (31, 33))])
PRESENT = np.array([True, True, False, True])


def picture(seed: int = 0) -> np.ndarray:
    row, column = np.indices((64, 64)) - 32
    lesion = 1 / (1 + np.exp((np.hypot(row, column) - 11) / 1.2))
    noise = np.random.default_rng(seed).normal(0, 0.03, lesion.shape)
    return np.clip(0.2 + 0.5 * lesion + noise, 0, 1).astype(np.float32)


def sample(name: str = "0", **changes) -> Sample:
    fields = {"image": picture(), "readers": READERS, "present": PRESENT, **changes}
    return Sample("lidc", "embedded", "LIDC-IDRI-0001", "nodule-0", name, **fields)


def test_each_prior_goes_through_its_trimap():
    image, mask = picture(), READERS[0]
    axes = axes_from_mask(mask)
    for prior, trimap in (
        ({"mask": mask}, from_mask(mask)),
        ({"mask": mask, "radius": 3}, from_mask(mask, 3)),
        ({"mask": mask, "epsilon": 1.0}, from_mask(mask)),
        ({"readers": READERS}, from_readers(READERS[PRESENT])),
        ({"recist": axes}, from_recist(image, axes)),
    ):
        soft = soft_mask(image, **prior)
        assert (soft.trimap == trimap).all()
        alpha = closed_form_alpha(image, trimap, epsilon=prior.get("epsilon", 1e-7))
        assert (soft.alpha == alpha.astype(np.float32)).all()
        assert soft.alpha.dtype == soft.trimap.dtype == np.float32
        assert (soft.binary == (soft.alpha >= 0.5)).all()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from(STRATEGIES))
def test_a_clear_lesion_is_found_from_every_prior(seed, strategy):
    binary = label_sample(sample(image=picture(seed)), strategy).binary
    truth = disc(11)
    assert 2 * (binary & truth).sum() / (binary.sum() + truth.sum()) > 0.93


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({}, "exactly one of mask, readers and recist, not none"),
        ({"mask": disc(5), "readers": READERS}, "not mask and readers"),
        ({"readers": READERS, "radius": 2}, "radius"),
        ({"readers": READERS[0]}, r"the mask of reader 0 must be \(H, W\)"),
        ({"readers": np.zeros_like(READERS)}, "no reader"),
        ({"mask": disc(5)[:32]}, "size"),
        ({"recist": np.zeros((2, 2, 2))}, "from its mask"),
        ({"recist": [[[1, 2], [3]], [[4, 5], [6, 7]]]}, "RECIST axes cannot be made an array"),
        ({"mask": [[1, 0], [1]]}, "the mask cannot be made an array"),
        ({"readers": [disc(5), disc(5)[:40]]}, r"differ in size: \(64, 64\), \(40, 64\)"),
    ],
)
def test_an_unusable_prior_is_refused(prior, message):
    with pytest.raises(LabelError, match=message):
        soft_mask(picture(), **prior)


def test_a_sample_is_labelled_by_each_strategy():
    for strategy, trimap in (
        ("mask", from_mask(fifty_percent(READERS[PRESENT]))),
        ("readers", from_readers(READERS[PRESENT])),
        ("recist", from_recist(picture(), axes_from_mask(READERS[0]))),
    ):
        assert (label_sample(sample(), strategy).trimap == trimap).all()


def test_a_mark_without_readers_is_enough_for_recist_alone():
    only_mark = sample(readers=READERS[:0], present=PRESENT[:0], recist=axes_from_mask(READERS[1]))
    assert label_sample(only_mark, "recist").binary.any()
    with pytest.raises(LabelError, match="lidc/LIDC-IDRI-0001/nodule-0/0: no reader"):
        label_sample(only_mark, "mask")


def test_a_bad_sample_is_named():
    flat = sample("flat", image=np.full((64, 64), 0.5, np.float32))
    point = sample("point", readers=np.stack([disc(0)]), present=np.array([True]))
    with pytest.raises(LabelError, match=f"{flat.id}.*constant"):
        label_sample(flat, "recist")
    with pytest.raises(LabelError, match=f"{point.id}.*from its mask"):
        label_sample(point, "recist")
    with pytest.raises(LabelError, match="'doctor'; choose one of mask, readers, recist"):
        label_sample(sample(), "doctor")


def test_the_mask_is_a_copy_of_bool():
    given = READERS[0].astype(np.uint8) * 255
    soft = soft_mask(picture(), mask=given)
    assert soft.mask.dtype == bool
    given[:] = 0
    assert (soft.mask == READERS[0]).all()
    bools = READERS[0].copy()
    assert not np.shares_memory(soft_mask(picture(), mask=bools).mask, bools)
