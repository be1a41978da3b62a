"""The models that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms.chest import Chest, draw_slice
from softmask.apply import models, segment
from softmask.apply.exporting import measure
from softmask.config import Config
from softmask.data import real_paths
from softmask.data.image_files import window_hu
from softmask.experiments.prepare import prepare
from softmask.measure.segmentation import dice

OF_LUNGS = [name for name in models.names() if models.load(name).target == "lung"]
OF_LESIONS = [name for name in models.names() if name not in OF_LUNGS]


@pytest.mark.parametrize("name", models.names())
def test_its_card_is_of_these_weights(name):
    card, about = (models.SHIPPED / name / "README.md").read_text(), models.load(name).description
    assert card.startswith(f"# {name}\n")
    assert about.sha256 in card
    assert f"{about.measures['dice'][0]:.4g}" in card


@pytest.mark.parametrize("name", OF_LUNGS)
def test_the_lungs_of_a_chest_that_it_has_not_seen_are_found(name):
    z_mm = np.arange(0, 320, 2.5)
    chest = Chest("lidc-lung", "nobody", 0.7, 2.5, z_mm, [])
    model = models.load(name)
    for z in (130.0, 180.0, 230.0):
        drawn = draw_slice(chest, z)
        assert dice(model.segment(window_hu(drawn.hu)).mask, drawn.lungs) > 0.85, z


@pytest.mark.parametrize("name", OF_LESIONS)
def test_a_bright_disc_on_a_dark_lung_is_found(name):
    rows, columns = np.indices((64, 72))
    distance = np.hypot(rows - 30, columns - 36)
    noise = np.random.default_rng(0).normal(0, 0.02, distance.shape)
    image = np.clip(0.1 + 0.5 / (1 + np.exp(distance - 8)) + noise, 0, 1)
    assert dice(models.load(name).segment(image).mask, distance < 8) > 0.8


@pytest.mark.parametrize("name", OF_LESIONS)
def test_its_card_tells_what_its_weights_reach(name):
    config = Config.from_parameters("cpu", "auto")
    model = models.load(name)
    if "lidc" not in real_paths(config.data_root):
        pytest.skip("real LIDC is not there")
    data = prepare(model.spec, config)
    assert data.digest == model.description.data
    reached = measure(model, data.test)["measures"]["dice"]
    assert float(np.mean(reached)) == pytest.approx(model.description.measures["dice"][0], abs=1e-3)
    if name == segment.LESION:  # one slice of each nodule: that with the largest consensus
        areas = np.sum(data.test.masks, axis=(-1, -2))
        largest = {data.test.ids[i].rpartition("/")[0]: reached[i] for i in np.argsort(areas, axis=None)}
        assert np.mean(list(largest.values())) == pytest.approx(0.888, abs=1e-3), "as docs/own-images.md has it"


def test_softmask_lungs_takes_what_does_best_on_real_slices():
    """The numbers by which it chooses are those of these methods on the slices that are there."""
    assert set(segment.IOU) == {segment.MORPH, *OF_LUNGS}
    assert {segment.LESION, "softgan", "lungs"} <= {*models.names()}, "as README.md and the cards have it"
    config = Config.from_parameters("cpu", "auto")
    if segment.REAL_SLICES not in real_paths(config.data_root):
        pytest.skip("the real slices are not there (softmask data fetch lungs)")
    measured = {name: of["iou"].mean() for name, of in segment.compare_methods(config).items()}
    assert max(measured, key=measured.get) == max(segment.IOU, key=segment.IOU.get)
    assert measured == pytest.approx(segment.IOU, abs=0.003)
