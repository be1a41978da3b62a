"""The Dice that soft labels reach themselves."""

from __future__ import annotations

import numpy as np
import pytest

from softmask.analysis import ceilings
from softmask.config import Config
from softmask.experiments import Record, Run
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import rows_of
from softmask.experiments.store import Provenance
from softmask.label.soft_labels import gros_interpolation, kats_dilation

ROWS = ("no_soft_label", "kats_dilation", "gros_interpolation", "soft_mask")


def disc(radius: float) -> np.ndarray:
    rows, columns = np.indices((32, 32)) - 16
    return np.hypot(rows, columns) <= radius


@pytest.fixture
def masks() -> np.ndarray:
    return np.stack([disc(radius) for radius in (4, 6, 9)])


def test_a_cut_label_is_compared_with_the_truth(masks) -> None:
    assert ceilings.ceiling(masks.astype(float), masks).tolist() == [1, 1, 1]
    half = np.where(np.stack([disc(radius + 1) for radius in (4, 6, 9)]), 0.5, 0)
    assert ceilings.ceiling(half, masks)[0] == 2 * disc(4).sum() / (disc(4).sum() + disc(5).sum())
    assert ceilings.ceiling(half, masks, 0.6).tolist() == [0, 0, 0]


def test_rows_with_a_soft_label_have_its_own_dice(masks, monkeypatch) -> None:
    config = Config.from_parameters("cpu", "embedded", seeds=1)
    labels = {
        "soft_mask": np.where(masks, 0.4, 0.0),
        "kats_dilation": np.stack([kats_dilation(mask) for mask in masks]),
        "gros_interpolation": np.stack([gros_interpolation(mask) for mask in masks]),
    }
    part = Part(
        ("a", "b", "c"), ("p", "p", "q"), masks[:, None], masks[:, None], {k: v[:, None] for k, v in labels.items()}
    )
    data = [Prepared("lidc", "embedded", "discs", "d", part, part, part)]
    monkeypatch.setattr(ceilings, "data_of", lambda run, config: data[0])
    provenance = Provenance("d", "c", "a test", None, 1.0, "cpu", "a cpu", {}, None, None)
    fitted = {
        place: [Run(spec, Record(spec, part.ids, part.groups, {}, {}, 1, 1, None, {}, provenance)) for spec in specs]
        for place, specs in rows_of(ROWS, "lidc", config).items()
    }
    found = {(cell.row, cell.metric): cell for cell in ceilings.cells(fitted, fitted, config)}
    assert {row for row, _ in found} == set(ROWS[1:])
    assert found["kats_dilation", "ceiling"].ours_mean == 1
    assert 0.9 < found["gros_interpolation", "ceiling"].ours_mean < 1
    assert found["soft_mask", "ceiling"].ours_mean == 0
    best = found["soft_mask", "ceiling_best"]
    assert (best.ours_mean, best.n_images, best.n_seeds, best.extra) == (1, 3, 1, True)
    assert best.note.endswith("on LIDC: best cut 0.05")
    data[0] = None
    assert ceilings.cells(fitted, fitted, config) == []
