"""From made-up records and networks to the tables and examples of super-resolution."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from softmask.analysis import super_resolution as study
from softmask.experiments.prepare import Part
from softmask.measure.resolution import INTERPOLATIONS, interpolate, measure_upscaled
from softmask.report import tables

N, SIZE = 24, 32
IDS = tuple(f"lnsm/p{i // 2}/n0/s{i}" for i in range(N))
GROUPS = tuple(f"p{i // 2}" for i in range(N))
BETTER = {"psnr": 2.0, "ssim": 0.1, "sharpness": 0.2, "texture": -0.3}


class Brighter(nn.Module):
    """Enlarges by interpolation and adds ``more``."""

    def __init__(self, more):
        super().__init__()
        self.more = nn.Parameter(torch.tensor(more))

    def forward(self, images):
        return nn.functional.interpolate(images, scale_factor=4, mode="bicubic") + self.more


def images(n=N, size=SIZE):
    random = np.random.default_rng(0)
    rows, columns = np.indices((size, size))
    masks = np.hypot(rows - size / 2, columns - size / 2)[None] < random.uniform(3, 8, n)[:, None, None]
    return np.clip(0.2 + 0.5 * masks + random.normal(0, 0.05, masks.shape), 0, 1).astype(np.float32), masks


@pytest.fixture
def fitted(record):
    """Two seeds of each row, all better than the interpolations; the more, the brighter the images."""
    pictures, same = (255 * images()[0]).astype(np.uint8), np.random.default_rng(7)
    interpolated = {f"{name}_{method}": same.normal(0, 0.01, N) for method in INTERPOLATIONS for name in BETTER}

    def run(row, seed, better):
        random = np.random.default_rng([seed, len(row)])
        measures = {name: random.normal(better * step, 0.01, N) for name, step in BETTER.items()} | interpolated
        spec = SimpleNamespace(name=row, source="embedded", dataset="lnsm", seed=seed)
        kept = {IDS[i]: pictures[i] for i in range(0, N, 3)}
        made = record(spec, measures, ids=IDS, groups=GROUPS, predictions=kept)
        return SimpleNamespace(spec=spec, record=made, folder="somewhere", network=lambda: Brighter(0.05 * better))

    better = {"content_only": 2, "srgan": 1}
    return {(row, "lnsm"): [run(row, seed, by) for seed in (0, 1)] for row, by in better.items()}


@pytest.fixture
def _prepared(monkeypatch):
    pictures, masks = images()
    part = Part(IDS, GROUPS, pictures[:, None], masks[:, None].astype(np.float32))
    monkeypatch.setattr("softmask.analysis.finished.prepare", lambda spec, config: SimpleNamespace(test=part))


def test_cells_pool_seeds_and_make_a_table(fitted, config):
    cells = study.cells(study.quality(fitted), "lnsm")
    assert len(cells) == 16
    [cell] = [cell for cell in cells if (cell.row, cell.metric) == ("srgan", "psnr")]
    values = np.array([run.record.measures["psnr"] for run in fitted["srgan", "lnsm"]])
    assert cell.ours_mean == pytest.approx(values.mean())
    assert cell.ours_std == pytest.approx(values.std(ddof=1))
    assert (cell.n_images, cell.n_seeds, cell.source) == (2 * N, 2, "embedded")
    result = tables.ResultTable("workbook", "sr-quality", "t", "c", cells, study.METRICS)
    text = tables.write(result, config, {}).with_suffix(".md").read_text()
    assert "SRGAN, content loss alone" in text
    assert "texture distance" in text


def test_differences_are_tested_over_patients(fitted):
    frame = study.differences(study.quality(fitted))
    assert len(frame) == 12
    line = frame[(frame["comparison"] == "SRGAN minus SRGAN, content loss alone") & (frame["measure"] == "PSNR")].iloc[
        0
    ]
    assert line["low"] < line["difference"] < line["high"] < 0
    assert line["difference"] == pytest.approx(-2, abs=0.05)
    assert line["patients"] == N // 2
    assert float(line["p"]) < 0.001 < 12 * 0.001
    assert (frame["p (Holm)"].astype(float) >= frame["p"].astype(float)).all()


@pytest.mark.usefixtures("_prepared")
def test_examples_are_the_kept_images_beside_their_truth(fitted, config):
    result = study.examples(fitted, config, 3)
    assert len(result) == 3
    pictures, masks = images()
    first = result[0]
    np.testing.assert_array_equal(first.truth, pictures[0])
    np.testing.assert_array_equal(first.mask, masks[0])
    np.testing.assert_allclose(first.low, pictures[0].reshape(8, 4, 8, 4).mean(axis=(1, 3)), rtol=1e-6)
    np.testing.assert_allclose(first.upscaled["bicubic"], interpolate(first.low[None], "bicubic")[0])
    np.testing.assert_array_equal(first.upscaled["srgan"], (255 * pictures[0]).astype(np.uint8) / 255)
    assert list(first.upscaled) == ["bilinear", "bicubic", "content_only", "srgan"]


@pytest.fixture
def _drawn(monkeypatch):
    """64 x 64 noise with a disc instead of simulated CT."""

    class Slices:
        def __init__(self, name):
            assert name == "lnsm"

        def __len__(self):
            return N

        def name_of(self, i):
            return IDS[i]

        def high_resolution(self, i, size):
            high, masks = (array[0] for array in images(1, 4 * size))
            low = high.reshape(size, 4, size, 4).mean(axis=(1, 3)) * (1 - 0.01 * i)
            return SimpleNamespace(low=low, high=high, alpha=masks.astype(np.float32))

    monkeypatch.setattr(study, "open_simulated", Slices)
    monkeypatch.setattr(study, "MOST", 4)


@pytest.mark.usefixtures("_drawn")
def test_the_truth_judges_every_row_on_the_same_images(fitted):
    result = study.truth(fitted, 2)
    assert {row for row, _ in result.measured} == {"bilinear", "bicubic", "content_only", "srgan"}
    scores = result.measured["srgan", "psnr"]
    assert scores.values.shape == (2, 4)
    assert scores.ids == (IDS[0], IDS[8], IDS[15], IDS[23])
    dataset = study.open_simulated("lnsm")
    low = np.stack([dataset.high_resolution(i, study.SIZE).low for i in (0, 8, 15, 23)])
    made = dataset.high_resolution(0, study.SIZE)
    bicubic = interpolate(low, "bicubic")
    high, masks = (np.stack([array] * 4) for array in (made.high, made.alpha))
    expected = measure_upscaled(bicubic, high, masks)["psnr"]
    np.testing.assert_allclose(result.measured["bicubic", "psnr"].values[0], expected)
    assert len(result.examples) == 2
    np.testing.assert_allclose(result.examples[0].upscaled["srgan"], np.clip(bicubic[0] + 0.05, 0, 1), atol=1e-5)
    assert len(study.differences(result.measured)) == 12
