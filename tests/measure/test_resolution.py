"""Measures of upscaled images against scikit-image, MONAI, PyTorch, and what can be worked out."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import erf
from skimage.metrics import peak_signal_noise_ratio

from softmask.measure import resolution
from softmask.measure.soft import edge_band


def pairs(n=3, size=48, noise=0.05):
    random = np.random.default_rng(0)
    references = gaussian_filter(random.random((n, size, size)), (0, 1.5, 1.5))
    return np.clip(references + noise * random.standard_normal(references.shape), 0, 1), references


def disc(size=48, radius=10.0):
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    return np.hypot(rows, columns) < radius


def test_psnr_is_that_of_scikit_image():
    images, references = pairs()
    expected = [peak_signal_noise_ratio(b, a, data_range=1) for a, b in zip(images, references, strict=True)]
    np.testing.assert_allclose(resolution.psnr(images, references), expected)
    assert resolution.psnr(np.full((4, 4), 0.6), np.full((4, 4), 0.5)) == pytest.approx(20)
    assert resolution.psnr(images[0], images[0]) == np.inf


def test_ssim_is_that_of_monai():
    import torch
    from monai.metrics import SSIMMetric

    images, references = pairs()
    metric = SSIMMetric(spatial_dims=2, data_range=1.0)
    expected = metric(*(torch.tensor(array[:, None], dtype=torch.float64) for array in (images, references)))
    np.testing.assert_allclose(resolution.ssim(images, references), expected[:, 0], atol=1e-5)


def test_sharpness_of_an_edge_falls_with_the_root_of_its_width():
    """Of an edge of height h, blurred by a Gaussian of width s, the squared slopes add up to h^2 / (2 s sqrt(pi))."""
    edge = np.zeros((64, 64))
    edge[:, 32:] = 0.8
    for width in (2.0, 3.0, 4.0):
        blurred = gaussian_filter(edge, width, mode="nearest")
        expected = np.sqrt(0.8**2 / (2 * width * np.sqrt(np.pi)) / 64)
        assert resolution.sharpness(blurred, np.ones(edge.shape, bool)) == pytest.approx(expected, rel=0.05)


def test_sharpness_in_the_band_sees_nothing_beside_it():
    image = disc().astype(float)
    assert resolution.sharpness(image, edge_band(disc())) > 0.2
    assert resolution.sharpness(image, edge_band(disc(radius=18))) == 0
    assert np.isnan(resolution.sharpness(image, np.zeros(image.shape, bool)))


def test_white_noise_has_its_variance_at_every_frequency():
    noise = 0.5 + 0.1 * np.clip(np.random.default_rng(1).standard_normal((60, 64, 64)), -4, 4)
    frequencies, power = resolution.spectrum(noise)
    assert frequencies == pytest.approx(np.arange(2, 33) / 64)
    np.testing.assert_allclose(power.mean(axis=0), 0.01, rtol=0.1)
    assert power[:, 3:].mean() == pytest.approx(0.01, rel=0.01)


def test_a_blur_has_the_transfer_function_of_its_gaussian():
    images, _ = pairs(n=20, size=64, noise=0.2)
    frequencies, power = resolution.spectrum(images)
    np.testing.assert_allclose(power[4], resolution.spectrum(images[4])[1])
    blurred = resolution.spectrum(gaussian_filter(images, (0, 1, 1)))[1]
    low = (frequencies > 0.05) & (frequencies < 0.3)
    expected = np.exp(-((2 * np.pi * frequencies) ** 2))
    np.testing.assert_allclose((blurred.mean(0) / power.mean(0))[low], expected[low], rtol=0.25)


def test_texture_distance_counts_decades_of_fine_power():
    noise = np.random.default_rng(2).uniform(-0.4, 0.4, (2, 64, 64))
    assert resolution.texture_distance(0.5 + noise, 0.5 + noise) == pytest.approx([0, 0])
    assert resolution.texture_distance(0.5 + noise / 10, 0.5 + noise) == pytest.approx([2, 2])
    assert resolution.texture_distance(0.5 + noise, 0.5 + noise / 10) == pytest.approx([2, 2])
    # the same texture elsewhere is as good; a slow change of brightness is no texture
    assert resolution.texture_distance(0.5 + noise[0].T, 0.5 + noise[0]) == pytest.approx(0)
    # no texture at all is as little as 256 grey levels can show
    ideal, flat = np.log10(0.16 / 3 * 12 * 255**2), np.full((64, 64), 0.5)
    assert resolution.texture_distance(flat, 0.5 + noise[0]) == pytest.approx(ideal, abs=0.1)
    slow = 0.1 * np.sin(2 * np.pi * np.arange(64) / 32)
    assert resolution.texture_distance(0.5 + slow + noise[0], 0.5 + noise[0]) < 0.01


def test_all_measures_of_upscaled_images():
    images, references = pairs()
    masks = np.stack([disc(), disc(radius=6), np.zeros((48, 48), bool)])
    measured = resolution.measure_upscaled(images, references, masks)
    assert list(measured) == ["psnr", "ssim", "sharpness", "texture"]
    assert all(values.shape == (3,) for values in measured.values())
    ratio = np.divide(*(resolution.sharpness(image, edge_band(masks[0])) for image in (images[0], references[0])))
    assert measured["sharpness"] == pytest.approx([ratio, measured["sharpness"][1], np.nan], nan_ok=True)
    perfect = resolution.measure_upscaled(references, references, masks)
    assert [perfect[name][0] for name in perfect] == pytest.approx([np.inf, 1, 1, 0])
    assert np.isnan(resolution.measure_upscaled(images, np.full(images.shape, 0.5), masks)["sharpness"]).all()


@pytest.mark.parametrize("order", [1, 3])
def test_interpolations_are_those_of_opencv(order):
    import cv2

    low = np.random.default_rng(4).random((2, 12, 12)).astype(np.float32)
    flag = {1: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}[order]
    expected = [np.clip(cv2.resize(item, None, fx=4, fy=4, interpolation=flag), 0, 1) for item in low]
    measured = resolution.interpolate(low, {1: "bilinear", 3: "bicubic"}[order])
    np.testing.assert_allclose(measured, expected, atol=1e-5)


def test_interpolations_are_measured_by_name():
    _, references = pairs()
    low = references.reshape(3, 12, 4, 12, 4).mean(axis=(2, 4))
    masks = np.broadcast_to(disc(), references.shape)
    measured = resolution.measure_interpolated(low, references, masks)
    assert len(measured) == 8
    expected = resolution.measure_upscaled(resolution.interpolate(low, "bicubic"), references, masks)
    for name, values in expected.items():
        np.testing.assert_array_equal(measured[f"{name}_bicubic"], values)
    assert (measured["psnr_bicubic"] > measured["psnr_bilinear"]).all()


def test_profile_of_a_blurred_edge_is_the_error_function():
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    image = gaussian_filter(np.where(mask, 0.9, 0.1), 1.5, mode="nearest")
    distances, profile = resolution.edge_profile(image, mask, 6)
    assert distances == pytest.approx(np.arange(-6, 6) + 0.5)
    np.testing.assert_allclose(profile, 0.5 - 0.4 * erf(distances / (1.5 * np.sqrt(2))), atol=0.005)


def test_profile_is_undefined_where_no_pixel_is():
    masks = np.stack([disc(radius=4), np.zeros((48, 48), bool)])
    _, profiles = resolution.edge_profile(masks.astype(float), masks, 8)
    assert profiles.shape == (2, 16)
    assert np.isnan(profiles[0, :4]).all()
    assert profiles[0, 4:] == pytest.approx([1] * 4 + [0] * 8)
    assert np.isnan(profiles[1]).all()


def test_a_mask_that_covers_the_image_has_no_profile():
    full = np.ones((9, 9), bool)
    assert np.isnan(resolution.edge_profile(full.astype(float), full, 4)[1]).all()
