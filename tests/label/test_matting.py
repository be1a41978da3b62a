"""Closed-form matting against pymatting, the authors' MATLAB result and a dense solve of eq. 8; its invariances."""

from pathlib import Path

import cv2
import numba
import numpy as np
import pymatting
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import spsolve

from softmask.errors import LabelError
from softmask.label import matting
from softmask.label.matting import closed_form_alpha


def scene(seed: int, shape=(32, 40), channels=None, band=3.0, centre=(0.5, 0.5), noise=0.05):
    """A blob in structured noise, and a trimap with a band of +-``band`` pixels round its outline."""
    rng = np.random.default_rng(seed)
    row, column = np.indices(shape)
    distance = np.hypot(row - centre[0] * shape[0], column - centre[1] * shape[1]) - 0.28 * min(shape)
    distance += 3 * gaussian_filter(rng.normal(size=shape), 3) / 0.1
    lesion = 1 / (1 + np.exp(distance / 1.2))
    size = (*shape, channels) if channels else shape
    light, dark = rng.uniform(0.5, 0.9, channels), rng.uniform(0.1, 0.4, channels)
    image = lesion[..., None] * light + (1 - lesion[..., None]) * dark if channels else dark + (light - dark) * lesion
    image = np.clip(image + rng.normal(0, noise, size), 0, 1)
    trimap = np.where(distance < -band, 1.0, np.where(distance > band, 0.0, 0.5))
    trimap[0, 0], trimap[np.unravel_index(distance.argmin(), shape)] = 0, 1  # both are there, however wide the band
    return image, trimap


def dense_alpha(image: np.ndarray, trimap: np.ndarray, epsilon: float, radius: int) -> np.ndarray:
    """Grey: the matrix of DSNet eq. 8 written out entry by entry, and L_UU alpha_U = -L_UK alpha_K solved densely."""
    height, width = image.shape
    area = (2 * radius + 1) ** 2
    laplacian = np.zeros((height * width, height * width))
    pixels = np.arange(height * width).reshape(height, width)
    for row in range(height - 2 * radius):
        for column in range(width - 2 * radius):
            window = pixels[row : row + 2 * radius + 1, column : column + 2 * radius + 1].ravel()
            values = image.ravel()[window]
            mean, variance = values.mean(), values.var()
            for i, first in zip(window, values, strict=True):
                for j, other in zip(window, values, strict=True):
                    product = (first - mean) * (other - mean) / (epsilon / area + variance)
                    laplacian[i, j] += (i == j) - (1 + product) / area
    alpha = trimap.ravel().copy()
    unknown = alpha == 0.5
    right = -laplacian[np.ix_(unknown, ~unknown)] @ alpha[~unknown]
    alpha[unknown] = np.linalg.solve(laplacian[np.ix_(unknown, unknown)], right)
    return np.clip(alpha.reshape(image.shape), 0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_dense_solve_agrees(seed):
    small = np.random.default_rng(seed).random((5, 5)), np.full((5, 5), 0.5)
    small[1][0], small[1][4, 1:3] = 0, 1
    large = scene(seed, shape=(11, 12), band=1.5)
    for (image, trimap), epsilon, radius in ((small, 1e-7, 1), (small, 1e-3, 1), (large, 1e-5, 2)):
        alpha = closed_form_alpha(image, trimap, epsilon=epsilon, radius=radius)
        np.testing.assert_allclose(alpha, dense_alpha(image, trimap, epsilon, radius), atol=1e-8)


@pytest.mark.parametrize("channels", [None, 3])
def test_pymatting_agrees_on_50_scenes(channels):
    # 25 scenes each. pymatting solves by conjugate gradients: its tolerance is tightened, as the default leaves errors
    # of up to 1e-4. It wants three channels, and three equal ones with epsilon are one channel with epsilon / 3.
    touching = 0
    epsilon = 1e-7 if channels else 3e-7
    for seed in range(25):
        centre = (0.5, 0.5) if seed % 3 else (0.1, 0.6)
        image, trimap = scene(seed, channels=channels, band=(1.0, 2.5, 6.0, 12.0)[seed % 4], centre=centre)
        touching += (trimap[[0, -1]] == 0.5).any() or (trimap[:, [0, -1]] == 0.5).any()
        colour = image if channels else np.stack([image] * 3, axis=-1)
        expected = pymatting.estimate_alpha_cf(
            colour, trimap, laplacian_kwargs={"epsilon": epsilon}, cg_kwargs={"rtol": 1e-10}
        )
        ours = closed_form_alpha(image, trimap)
        assert np.abs(ours - expected).max() < 1e-3, seed
    assert touching >= 8


def test_the_authors_matlab_alpha_is_met(real_data: Path):
    # Levin's own code: known pixels weighted by 100, epsilon 1e-7 on [0, 1]; the stored alpha has 8 bits (error 1/510).
    folder = real_data / "matting"
    image = cv2.imread(str(folder / "source.png"), cv2.IMREAD_COLOR) / 255
    marks = cv2.imread(str(folder / "trimap.png"), cv2.IMREAD_GRAYSCALE)
    expected = cv2.imread(str(folder / "matlab_alpha.png"), cv2.IMREAD_GRAYSCALE) / 255
    trimap = np.where(marks == 0, 0, np.where(marks == 255, 1, 0.5))
    error = np.abs(closed_form_alpha(image, trimap) - expected)
    assert error.mean() < 2e-3
    assert error.max() < 1e-2


scenes = st.builds(
    scene,
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(12, 24), st.integers(12, 24)),
    channels=st.sampled_from([None, 3]),
    band=st.floats(0.5, 8),
    centre=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)),
    noise=st.floats(0.01, 0.2),
)
relaxed = settings(max_examples=25, deadline=None)


@relaxed
@given(scenes)
def test_known_pixels_are_kept_and_alpha_is_bounded(case):
    image, trimap = case
    before = image.copy(), trimap.copy()
    alpha = closed_form_alpha(image, trimap)
    assert alpha.shape == trimap.shape
    assert ((alpha >= 0) & (alpha <= 1)).all()
    known = trimap != 0.5
    assert (alpha[known] == trimap[known]).all()
    assert (image == before[0]).all()
    assert (trimap == before[1]).all()


@relaxed
@given(scenes)
def test_flips_transposes_and_complements_commute(case):
    image, trimap = case
    alpha = closed_form_alpha(image, trimap, epsilon=1e-4)
    for turn in (np.flipud, np.fliplr, lambda array: np.swapaxes(array, 0, 1)):
        turned = closed_form_alpha(turn(image), turn(trimap), epsilon=1e-4)
        np.testing.assert_allclose(turned, turn(alpha), atol=1e-6)
    np.testing.assert_allclose(closed_form_alpha(image, 1 - trimap, epsilon=1e-4), 1 - alpha, atol=1e-6)


@relaxed
@given(scenes, st.floats(0.1, 0.5), st.floats(0, 0.5))
def test_brightness_and_contrast_do_not_matter(case, contrast, offset):
    image, trimap = case
    alpha = closed_form_alpha(image, trimap, epsilon=1e-4)
    changed = closed_form_alpha(contrast * image + offset, trimap, epsilon=1e-4 * contrast**2)
    np.testing.assert_allclose(changed, alpha, atol=1e-6)


@relaxed
@given(scenes, st.sampled_from([1, 2]), st.integers(0, 40), st.integers(0, 10**6))
def test_a_sparse_solve_of_pymattings_matrix_agrees(case, radius, unknown, seed):
    # With unknown pixels strewn over the image, too: the walk begins anew in each part.
    image, trimap = case
    trimap.flat[np.random.default_rng(seed).choice(np.arange(1, trimap.size), unknown, replace=False)] = 0.5
    if (trimap != 1).all() or (trimap == 0.5).all():
        trimap[1, :2] = 0, 1
    colour = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)  # epsilon / 3: see above
    laplacian = pymatting.cf_laplacian(colour, epsilon=1e-4 if image.ndim == 3 else 3e-4, radius=radius).tocsc()
    free = trimap.ravel() == 0.5
    expected = trimap.copy()
    right = -laplacian[free][:, ~free] @ trimap.ravel()[~free]
    expected[free.reshape(trimap.shape)] = spsolve(laplacian[free][:, free], right)
    alpha = closed_form_alpha(image, trimap, epsilon=1e-4, radius=radius)
    np.testing.assert_allclose(alpha, np.clip(expected, 0, 1), atol=1e-6)


def test_an_image_that_is_affine_in_alpha_gives_it_back():
    row, column = np.indices((40, 40)) - 19.5
    truth = np.clip(0.5 - (np.hypot(row, column) - 11) / 5, 0, 1)
    trimap = np.where(truth == 1, 1, np.where(truth == 0, 0, 0.5))
    np.testing.assert_allclose(closed_form_alpha(0.2 + 0.5 * truth, trimap), truth, atol=1e-3)


def test_a_constant_image_gives_a_ramp():
    trimap = np.full((16, 16), 0.5)
    trimap[:3], trimap[13:] = 0, 1
    ramp = closed_form_alpha(np.full((16, 16), 0.4), trimap)
    np.testing.assert_allclose(ramp, np.broadcast_to(ramp[:, :1], ramp.shape), atol=0.05)
    assert (np.diff(ramp[2:14, 8]) > 0).all()
    np.testing.assert_allclose(ramp + ramp[::-1], 1, atol=1e-9)


def test_a_trimap_without_unknown_pixels_is_the_answer():
    image, trimap = scene(1)
    trimap = np.round(trimap)
    assert (closed_form_alpha(image, trimap) == trimap).all()


def test_a_singular_system_says_so():
    # Alpha is affine in the column, and known in one column alone: its slope is free.
    trimap = np.full((9, 9), 0.5)
    trimap[:2, 0] = 0, 1
    with pytest.raises(LabelError, match="raise epsilon"):
        closed_form_alpha(np.tile(np.arange(9) / 8, (9, 1)), trimap, epsilon=1e-30)


def test_functions_are_compiled_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch):
    njit = numba.njit

    def without_a_place(*, cache: bool = False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_a_place)
    assert matting.compiled(lambda number: number + 1)(2) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((4, 4, 3, 1))}, "must be"),
        ({"image": np.full((16, 17), 0.5)}, "size"),
        ({"image": np.full((16, 16), np.nan)}, "finite"),
        ({"image": np.full((16, 16), 255.0)}, r"\[0, 1\].*rescale"),
        ({"image": np.full((16, 16), -0.1)}, "rescale"),
        ({"trimap": np.full((16, 16), 128)}, "its values are 128"),
        ({"trimap": np.full((16, 16), np.nan)}, "its values are nan"),
        ({"trimap": np.pad(np.full((14, 14), 0.5), 1)}, "must contain foreground"),
        ({"trimap": np.pad(np.full((14, 14), 0.5), 1, constant_values=1)}, "and background"),
        ({"epsilon": 0}, "epsilon above 0"),
        ({"radius": 0}, "radius must be at least 1"),
        ({"radius": 8}, "its window within the image"),
    ],
)
def test_bad_input_is_refused(change, message):
    image, trimap = scene(0, shape=(16, 16), band=2)
    with pytest.raises(LabelError, match=message):
        closed_form_alpha(**{"image": image, "trimap": trimap, **change})


def test_a_system_too_large_for_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch):
    image, trimap = scene(0)
    closed_form_alpha(image, trimap)
    monkeypatch.setattr(matting, "MOST_NUMBERS", 1000)
    with pytest.raises(LabelError, match=r"unknown pixels need .* GiB of memory.*crop the image"):
        closed_form_alpha(image, trimap)
