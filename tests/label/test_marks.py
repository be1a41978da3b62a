"""RECIST marks: checks, ellipses, and GrabCut from them."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from softmask.errors import LabelError
from softmask.label import soft_mask
from softmask.label.consensus import fifty_percent
from softmask.label.recist import axes_from_mask, axes_pixels, ellipse_mask, grabcut_mask, validate

AXES = np.array([[[32, 20], [32, 44]], [[24, 32], [40, 32]]], float)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def lesion_image(noise: float = 0.04, axes: np.ndarray = AXES) -> tuple[np.ndarray, np.ndarray]:
    truth = ellipse_mask(axes, (64, 64))
    image = 0.2 + 0.5 * truth + np.random.default_rng(0).normal(0, noise, truth.shape)
    return np.clip(image, 0, 1), truth


def test_a_good_mark_passes_and_the_long_axis_comes_first():
    assert (validate(AXES, (64, 64)) == AXES).all()
    assert (validate(AXES[::-1].tolist(), (64, 64)) == AXES).all()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (AXES[0], r"\(2, 2, 2\)"),
        (np.full((2, 2, 2), np.nan), "finite"),
        (AXES + np.array([0, 20]), "row 32, column 64, outside the image of 64 x 64"),
        (AXES - np.array([25, 0]), "row -1, column 32"),
        (np.full((2, 2, 2), 7.0), "row 7, column 7: label this lesion from its mask"),
    ],
)
def test_a_bad_mark_is_refused(axes, message):
    with pytest.raises(LabelError, match=message):
        validate(axes, (64, 64))


def test_the_ellipse_has_the_extents_of_the_mark():
    mask = ellipse_mask(AXES, (64, 64))
    row, column = np.nonzero(mask)
    assert (column.min(), column.max()) == (20, 44)
    assert (row.min(), row.max()) == (24, 40)
    assert mask.sum() == pytest.approx(np.pi * 12.5 * 8.5, rel=0.05)


@pytest.mark.parametrize("shift", [(0, 0), (-24, -20), (23, 19), (-24, 19)])
def test_an_ellipse_in_noise_is_found_also_at_the_border(shift):
    image, truth = lesion_image(axes=AXES + shift)
    assert dice(grabcut_mask(image, AXES + shift), truth) > 0.95


def test_a_lesion_one_pixel_wide_has_a_mark_and_is_labelled():
    line = np.zeros((64, 64), bool)
    line[32, 30:35] = True
    axes = validate(axes_from_mask(line), line.shape)
    np.testing.assert_allclose(np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1), [4, 0])
    assert (ellipse_mask(axes, line.shape) == line).all()
    assert grabcut_mask(lesion_image()[0], axes)[line].all()


def test_only_what_touches_the_mark_is_kept_and_holes_are_filled():
    image, truth = lesion_image(0.02)
    image[30:33, 28:31] = 0.2  # a cavity
    image[22:25, 20:23] = 0.7  # a vessel beside it, within the box
    mask = grabcut_mask(image, AXES)
    assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
    assert (ndimage.binary_fill_holes(mask) == mask).all()
    assert not mask[23, 21]
    assert dice(mask, truth) > 0.95


def test_the_axes_belong_to_the_result_whatever_the_image():
    image = np.random.default_rng(1).random((64, 64))
    assert grabcut_mask(image, AXES)[axes_pixels(AXES, image.shape)].all()


def test_every_call_gives_the_same_whatever_came_before():
    image, _ = lesion_image(0.2)
    first = grabcut_mask(image, AXES)
    cv2.setRNGSeed(12345)
    cv2.randu(np.zeros((50, 50), np.uint8), 0, 255)
    grabcut_mask(np.random.default_rng(3).random((64, 64)), AXES)
    assert (grabcut_mask(image, AXES) == first).all()


@pytest.mark.parametrize(
    ("image", "axes", "message"),
    [
        (np.full((64, 64), 0.5), AXES, "constant"),
        (np.full((64, 64), np.nan), AXES, "finite"),
        (np.zeros((64, 64, 3)), AXES, "grey"),
        (np.eye(64), AXES + 40, "outside the image"),
        (np.eye(3), np.array([[[0, 0], [2, 2]], [[0, 2], [2, 0]]]), "no background"),
    ],
)
def test_bad_input_is_refused(image, axes, message):
    with pytest.raises(LabelError, match=message):
        grabcut_mask(image, axes)


def test_real_slices_from_one_readers_mark(real_data: Path):
    """Every 24th slice, where four readers marked it: near the consensus, nearer than the RECIST ellipse."""
    archive = zipfile.ZipFile(real_data / "LIDC-IDRI-slices.zip")

    def picture(name: str) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)

    scores = []
    for name in sorted(name for name in archive.namelist() if "/images/" in name and name.endswith(".png"))[::24]:
        masks = np.stack([picture(name.replace("/images/", f"/mask-{reader}/")) > 0 for reader in range(4)])
        if not masks.any(axis=(1, 2)).all() or not masks[0].sum() > 1:
            continue
        axes, consensus = axes_from_mask(masks[0]), fifty_percent(masks)
        labelled = soft_mask(picture(name) / 255, recist=axes).binary
        scores.append((dice(labelled, consensus), dice(ellipse_mask(axes, labelled.shape), consensus)))
    assert len(scores) > 100
    soft, ellipse = np.mean(scores, axis=0)
    assert soft > 0.86
    assert soft > ellipse + 0.02
