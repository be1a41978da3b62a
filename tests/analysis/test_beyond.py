"""Recorded predictions against the readers of the data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask import data as datasets
from softmask.analysis import beyond
from softmask.analysis.finished import Fitted
from softmask.analysis.table import COLUMNS
from softmask.analysis.training import scores_of
from softmask.config import Config
from softmask.errors import DataError
from softmask.experiments import Run
from softmask.experiments.inputs import recorded_soft_masks
from softmask.experiments.rows import rows_of
from softmask.measure.readers import MEASURES, against_readers, reliability
from softmask.measure.soft import soft_head

CENTRE = np.s_[8:56, 8:56]


@pytest.fixture
def samples(discs):
    """Six images; the second has three readers, the third none."""
    absent = discs(1, readers=discs(1).readers * (np.arange(4) < 3)[:, None, None], present=np.arange(4) < 3)
    axes = np.array([[[32, 23], [32, 41]], [[23, 32], [41, 32]]], float)
    none = discs(2, readers=np.zeros((4, 64, 64), bool), present=np.zeros(4, bool), recist=axes)
    return [discs(0), absent, none, *map(discs, (3, 4, 5))]


@pytest.fixture
def opened(monkeypatch, dataset_of, samples):
    dataset = dataset_of(samples)
    asked = []
    monkeypatch.setattr(datasets, "open_dataset", lambda name, config: asked.append((name, config.data)) or dataset)
    return asked


@pytest.fixture
def fitted(record, samples, monkeypatch, tmp_path) -> Fitted:
    """Two seeds under SoftGAN's losses and two under cross entropy; a record keeps five of six images."""
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path))
    config = Config.from_parameters("cpu", "embedded", seeds=2)
    ids, random = tuple(sample.id for sample in samples), np.random.default_rng(0)
    runs = {}
    for place, specs in rows_of(("softgan", "soft_mask_cross_entropy"), "lidc", config).items():
        runs[place] = []
        for seed in specs:
            spec = replace(seed, size=48)
            kept = {name: random.integers(0, 256, (48, 48)).astype(np.uint8) for name in ids[:5]}
            made = record(spec, {"dice": random.random(6)}, n=6, ids=ids, predictions=kept)
            runs[place].append(Run(spec, made))
    return Fitted(runs)


@pytest.fixture
def against(config) -> beyond.AgainstReaders:
    return beyond.AgainstReaders(config)


def test_the_long_table_has_every_image_run_and_measure(fitted, opened, samples, against) -> None:
    table = against.table(fitted)
    assert set(table.columns) == set(COLUMNS)
    assert len(table) == 2 * 2 * 5 * 6
    assert opened == [("lidc", "embedded")], "each data set is opened once"
    for (row, _), runs in fitted.items():
        for run in runs:
            lines = table[(table["row"] == row) & (table["run"] == run.spec.name)]
            wide = lines.pivot(index="image", columns="metric", values="value")
            assert set(wide.columns) == set(MEASURES)
            for i, sample in enumerate(samples):
                if i in (2, 5):  # without a reader, without a prediction
                    assert wide.loc[sample.id].isna().all()
                    continue
                probabilities = run.record.predictions[sample.id] / 255
                soft = soft_head(probabilities) if row == "softgan" else probabilities
                masks = np.array([mask[CENTRE] for mask in sample.masks])
                assert len(masks) == (3 if i == 1 else 4)
                assert wide.loc[sample.id].to_dict() == pytest.approx(against_readers(soft, masks))
    assert set(table["dataset"]) == {"lidc"}


def test_measures_come_from_the_cache_and_each_run_has_its_own(fitted, opened, against, config, monkeypatch) -> None:
    first = against.table(fitted)
    assert first["value"].nunique() > 70
    monkeypatch.setattr(beyond, "map_items", lambda *_, **__: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(beyond.AgainstReaders(config).table(fitted), first)


def test_scores_for_verdicts_are_the_same_values(fitted, opened, against) -> None:
    runs = fitted["softgan", "lidc"]
    scores = scores_of(runs, lambda some: against(some, "ged"), [fitted])
    np.testing.assert_array_equal(scores.values, against(runs, "ged"))
    assert scores.values.shape == (2, 6)


def test_reliability_pools_images_and_seeds(fitted, opened, samples, against) -> None:
    runs = fitted["soft_mask_cross_entropy", "lidc"]
    result = against.reliability(runs)
    marked = [sample for i, sample in enumerate(samples) if i not in (2, 5)]
    predictions = [run.record.predictions[sample.id] / 255 for run in runs for sample in marked]
    masks = [np.array([mask[CENTRE] for mask in sample.masks]) for _ in runs for sample in marked]
    expected = reliability(predictions, masks)
    np.testing.assert_array_equal(result.counts, expected.counts)
    assert result.counts.sum() == 2 * 4 * 48 * 48
    assert result.error == pytest.approx(expected.error)


def test_what_cannot_be_compared_is_refused(fitted, opened, samples, against, config, dataset_of, monkeypatch) -> None:
    runs = fitted["softgan", "lidc"]
    with pytest.raises(DataError, match=r"hausdorff is no measure against readers; choose one of ged, .*ece_vote"):
        against(runs, "hausdorff")
    other = replace(runs[1], record=replace(runs[1].record, ids=runs[1].record.ids[::-1]))
    with pytest.raises(DataError, match="other test images than"):
        against([runs[0], other], "ged")
    nobody = replace(runs[0].record, predictions={samples[2].id: np.zeros((48, 48), np.uint8)})
    with pytest.raises(DataError, match="no reader marked an image whose prediction"):
        against([replace(runs[0], record=nobody)], "ged")
    monkeypatch.setattr(datasets, "open_dataset", lambda name, config: dataset_of(samples[:3]))
    with pytest.raises(DataError, match="lidc/p3/n0/s3"):
        beyond.AgainstReaders(config)(runs, "ged")


@pytest.mark.parametrize(
    ("row", "dataset", "tanh"),
    [
        ("softgan", "lidc", True),
        ("unet_soft_mask_loss", "lidc", True),
        ("casgan_soft", "lnsm", False),  # whose record holds the tanh head itself, as no loss sees a binary mask
        ("softseg", "lidc", False),
        ("temperature_scaling", "lidc", False),
        ("casgan", "lidc", False),
    ],
)
def test_soft_masks_of_records_are_read_as_the_losses_did(row, dataset, tanh, record) -> None:
    config = Config.from_parameters("cpu", "embedded", seeds=1)
    [spec] = rows_of([row], dataset, config)[row, dataset]
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    soft = recorded_soft_masks(record(spec, n=1, predictions={"a": image}))["a"]
    np.testing.assert_allclose(soft, soft_head(image / 255) if tanh else image / 255)


def test_a_test_of_a_network_is_read_as_that_network(record) -> None:
    config = Config.from_parameters("cpu", "embedded", seeds=1)
    [spec] = rows_of(["dsnet"], "lidc-500", config, "dsnet-v2")["dsnet", "lidc-500"]
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    soft = recorded_soft_masks(record(spec, n=1, predictions={"a": image}))["a"]
    np.testing.assert_allclose(soft, soft_head(image / 255))
