"""Slices with lungs: colours of what is found and missed, and where the arrow points."""

from __future__ import annotations

import numpy as np
import pytest

from softmask.report import lung_panels

pytestmark = pytest.mark.usefixtures("style")


def pictures(fig) -> list[np.ndarray]:
    return [np.asarray(ax.images[0].get_array()) for ax in fig.axes]


def test_lungs_nodules_and_activations():
    image, truth = np.full((16, 16), 0.5), np.zeros((16, 16), bool)
    truth[:8] = True
    fig = lung_panels.lungs([image], [truth], [{"lgan_basic": ~truth, "morph": truth}])
    whole, reference, wrong, right = pictures(fig)
    np.testing.assert_array_equal(reference, right)
    assert (whole.shape, reference.shape) == ((16, 16, 3), (6, 6, 3))
    assert [sum(text.get_text() == "" for text in ax.texts) for ax in fig.axes] == [0, 0, 1, 0]  # an arrow at the error
    colors = {tuple(color) for color in wrong.reshape(-1, 3).round(6)}
    assert len(colors) == 2  # missed, and too much
    assert [text.get_text() for text in fig.legends[0].texts] == ["found", "missed", "found, and is no lung"]
    above, below = pictures(lung_panels.nodules_in_lungs([image], [truth], [truth], [~truth]))
    np.testing.assert_array_equal(above, below)
    fig = lung_panels.activations(image, {"encoder1": image, "bridge": image[:4, :4]}, truth)
    assert [ax.get_title() for ax in fig.axes] == ["image", "encoder, level 1\n16 × 16", "bridge\n4 × 4", "mask"]
    assert lung_panels.lungs([], [], []) is None
