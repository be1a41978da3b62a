import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from softmask.errors import DataError
from softmask.measure import segmentation, soft
from softmask.measure.images import measure_images
from softmask.measure.readers import MEASURES, against_readers

NAMES = {
    "dice", "iou", "acc", "sen", "ppv", "auc", "hd95", "hausdorff", "surface_dice",
    "mae_band", "mse_band", "gradient_error", "soft_dice", "brier",
}  # fmt: skip


@pytest.fixture(scope="module")
def images():
    """Six discs: predicted probabilities, binary masks and soft masks, each (6, 32, 32)."""
    generator = np.random.default_rng(3)
    row, column = np.mgrid[:32, :32]
    radius = np.arange(4, 10)[:, None, None]
    alpha = np.clip(radius - np.hypot(row - 15.3, column - 16.2) + 0.5, 0, 1)
    predicted = np.stack([gaussian_filter(image, 1.5) for image in np.roll(alpha, 1, axis=2)])
    noise = generator.normal(0, 0.05, alpha.shape)
    return np.clip(predicted + noise, 0, 1).astype(np.float32), alpha >= 0.5, alpha.astype(np.float32)


def test_each_measure_is_the_one_it_is_called_after(images):
    probabilities, masks, alpha = images
    consensus = np.roll(masks, 2, axis=1)
    assert set(measure_images(*images, {})) == NAMES
    measured = measure_images(probabilities, masks, alpha, {"alpha": alpha**2, "consensus": consensus})
    assert set(measured) == NAMES | {"mae_alpha", "dice_consensus"}
    for i, (p, y, a) in enumerate(zip(*images, strict=True)):
        cut, band = p >= 0.5, soft.edge_band(a)
        expected = {
            "dice": segmentation.dice(cut, y),
            "iou": segmentation.iou(cut, y),
            "acc": (cut == y).mean(),
            "sen": y[cut].sum() / y.sum(),
            "ppv": y[cut].mean(),
            "auc": soft.auc(p, y),
            "hd95": segmentation.hd95(cut, y),
            "hausdorff": segmentation.hausdorff(cut, y),
            "surface_dice": segmentation.surface_dice(cut, y, 1.0),
            "mae_band": np.abs(p - a)[band].mean(),
            "mse_band": ((p - a) ** 2)[band].mean(),
            "gradient_error": soft.gradient_error(p, a),
            "soft_dice": soft.soft_dice(p, a),
            "brier": ((p - y) ** 2).mean(),
            "mae_alpha": np.abs(p - a**2)[soft.edge_band(a**2)].mean(),
            "dice_consensus": segmentation.dice(cut, consensus[i]),
        }
        assert {name: values[i] for name, values in measured.items()} == pytest.approx(expected, rel=1e-5)
    assert len({round(float(values[3]), 9) for values in measured.values()}) > 10  # the case tells them apart


def test_a_pixel_of_one_half_is_lesion():
    mask = np.ones((1, 4, 4), bool)
    assert measure_images(np.full(mask.shape, 0.5), mask, mask, {})["dice"][0] == 1
    assert measure_images(np.full(mask.shape, 0.4999), mask, mask, {})["dice"][0] == 0


def test_what_does_not_fit_is_refused(images):
    probabilities, masks, alpha = images
    with pytest.raises(DataError, match="binarise"):
        measure_images(probabilities, alpha, alpha, {})
    with pytest.raises(DataError, match="NaN"):
        measure_images(probabilities * np.nan, masks, alpha, {})


def test_predicted_alphas_are_what_soft_measures_read_and_no_other(images):
    _, masks, alpha = images
    probabilities = np.clip(alpha + 0.2, 0, 1)
    plain = measure_images(probabilities, masks, alpha, {"alpha": alpha})
    measured = measure_images(probabilities, masks, alpha, {"alpha": alpha}, alphas=alpha)
    soft = {"mae_band", "mse_band", "gradient_error", "mae_alpha"}
    assert all((measured[name] == 0).all() for name in soft)
    assert (measured["soft_dice"] == 1).all()
    for name in set(plain) - soft - {"soft_dice"}:
        np.testing.assert_array_equal(measured[name], plain[name])


def test_readers_are_compared_with_the_prediction_and_with_the_truth():
    masks = np.zeros((2, 8, 8))
    masks[:, 2:6, 2:6] = 1
    reader = np.roll(masks, 1, axis=2)
    measured = measure_images(0.6 * masks, masks, masks, {"doctor3": reader})
    assert measured["dice_doctor3"].tolist() == measured["truth_doctor3"].tolist() == [0.75, 0.75]
    assert measure_images(0.6 * masks, masks, masks, {"doctor3": reader}, threshold=0.7)["dice_doctor3"].max() == 0


def test_the_soft_mask_is_measured_against_all_readers_together(images):
    probabilities, masks, alpha = images
    readers = {f"doctor{i}": np.roll(masks, i, axis=1).astype(np.float32) for i in (1, 2, 4)}
    measured = measure_images(probabilities, masks, alpha, readers, alphas=alpha)
    assert set(measured) == NAMES | set(MEASURES) | {f"{kind}_{name}" for kind in ("dice", "truth") for name in readers}
    for i, own in enumerate(zip(*readers.values(), strict=True)):
        expected = against_readers(alpha[i], np.stack(own))
        assert {name: measured[name][i] for name in MEASURES} == pytest.approx(expected)
