"""The models that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

from softmask import models
from softmask.config import Config
from softmask.data import found
from softmask.runs.prepared import prepare

NAMES = ("dsnet", "softgan")


def test_both_are_there() -> None:
    assert models.names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_bright_disc_on_a_dark_lung_is_found(name: str) -> None:
    rows, columns = np.indices((64, 72))
    distance = np.hypot(rows - 30, columns - 36)
    noise = np.random.default_rng(0).normal(0, 0.02, distance.shape)
    image = np.clip(0.1 + 0.5 / (1 + np.exp(distance - 8)) + noise, 0, 1)
    made = models.load(name).segment(image)
    disc = distance < 8
    dice = 2 * (made.mask & disc).sum() / (made.mask.sum() + disc.sum())
    assert dice > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_its_card_tells_what_its_weights_reach(name: str) -> None:
    config = Config.from_parameters("cpu", "auto")
    model = models.load(name)
    if "lidc" not in found(config.data_root):
        pytest.skip("real LIDC is not there")
    data = prepare(model.spec, config)
    assert data.digest == model.description.data
    dice = models.measure(model, data.test)["measures"]["dice"]
    assert float(np.mean(dice)) == pytest.approx(model.description.measures["dice"][0], abs=1e-3)
