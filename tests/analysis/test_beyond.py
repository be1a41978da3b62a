"""Recorded predictions against the readers of the data set."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask import data as datasets
from softmask import papers
from softmask.analysis import beyond
from softmask.analysis.finished import Fitted
from softmask.analysis.table import COLUMNS
from softmask.analysis.training import scores_of
from softmask.config import Config
from softmask.errors import DataError
from softmask.experiments import Run
from softmask.experiments.inputs import recorded_soft_masks
from softmask.experiments.rows import METHODS, TABLES, labels_compared, rows_of
from softmask.experiments.rows import specs as specs_of
from softmask.experiments.spec import UNCHANGED
from softmask.measure.differences import Scores
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
def fitted(config, record, samples, monkeypatch, tmp_path) -> Fitted:
    """Two seeds under SoftGAN's losses and two under cross entropy; a record keeps five of six images."""
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path))
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
    scores = scores_of(runs, "ged", fitted, against)
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
        ("dsnet", "lidc-500", True),  # a test of a network is read as that network
    ],
)
def test_soft_masks_of_records_are_read_as_the_losses_did(row, dataset, tanh, record) -> None:
    config = Config.from_parameters("cpu", "embedded", seeds=1)
    [spec] = rows_of([row], dataset, config, "dsnet-v2")[row, dataset]
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    soft = recorded_soft_masks(record(spec, n=1, predictions={"a": image}))["a"]
    np.testing.assert_allclose(soft, soft_head(image / 255) if tanh else image / 255)


def test_a_small_profile_trains_one_pair_that_no_table_has() -> None:
    config = Config.from_parameters("cpu", "embedded")
    printed = {spec for table in TABLES for runs in specs_of(table, config).values() for spec in runs}
    new = {place for place, runs in beyond.wanted(config).items() if not set(runs) <= printed}
    assert new == {("readers_mean", "lidc"), ("soft_mask_cross_entropy", "lidc")}
    night = Config.from_parameters("night", "real")
    rows = {(row, dataset) for network in beyond.NETWORKS for dataset in ("lidc", "lnsm") for row in
            labels_compared(network, dataset)}  # fmt: skip
    assert set(beyond.wanted(night)) == rows
    paired = {row for by_row in beyond.PAIRS.values() for better, rivals in by_row.items() for row in (better, *rivals)}
    assert paired <= {row for row, _ in rows}


def test_pairs_have_the_same_network_and_those_of_labels_the_same_loss() -> None:
    methods = {}
    for network, by_row in beyond.PAIRS.items():
        for better, rivals in by_row.items():
            assert METHODS[better].label == "soft_mask"
            for worse in rivals:
                methods[worse] = METHODS[worse].losses == METHODS[better].losses
                assert METHODS[worse].network in (network, UNCHANGED, "softseg", "unet_softseg")
    other = {row.removeprefix("unet_") for row, same in methods.items() if not same}
    assert other == {"no_soft_label", "unet", "binary_cross_entropy", "temperature_scaling", "softseg"}


def made_scores(mean: float, seed: int, curve: tuple[float, ...] = (0.8,) * 5) -> Scores:
    """Four seeds on 40 images of 20 patients."""
    values = mean + np.random.default_rng(seed).normal(0, 0.2, (4, 40))
    ids, patients = (tuple(f"{name}{i // n}" for i in range(40)) for name, n in (("i", 1), ("p", 2)))
    return Scores(ids, patients, values, "real", curves=4 * (curve,))


@pytest.fixture
def found() -> dict:
    """The soft mask is better than label smoothing in all measures, and as good as the readers' mean and SVLS."""
    means = {"soft_mask_cross_entropy": 0, "label_smoothing": 5, "readers_mean": 0, "svls": 0}
    values = {}
    for seed, (row, mean) in enumerate(means.items()):
        for metric, low in beyond.LOWER_IS_BETTER.items():
            values[row, "lidc", metric] = made_scores(mean if low else -mean, seed)
    rising = tuple(np.linspace(0, 0.9, 10))
    values["svls", "lidc", "ged"] = made_scores(0, 3, rising)
    return values


def test_differences_are_in_favour_of_the_soft_mask_and_corrected_over_the_table(found) -> None:
    judged = beyond.compared(found)
    assert len(judged) == 9
    told = {(each.pair.worse, each.pair.metric): beyond.shown(each) for each in judged}
    assert {told["label_smoothing", metric] for metric in beyond.LOWER_IS_BETTER} == {"better"}
    assert {told["readers_mean", metric] for metric in beyond.LOWER_IS_BETTER} == {"not significant"}
    assert told["svls", "ged"] == "not judged: undertrained"
    by_pair = {(each.pair.worse, each.pair.metric): each.outcome for each in judged}
    for (worse, metric), outcome in by_pair.items():
        sign = -1 if beyond.LOWER_IS_BETTER[metric] else 1
        ours, theirs = (found[row, "lidc", metric].values.mean() for row in ("soft_mask_cross_entropy", worse))
        assert outcome.difference.mean == pytest.approx(sign * (ours - theirs))
    p = [outcome.p_holm for outcome in by_pair.values()]
    alone = [each.outcome.p_holm for each in beyond.compared({key: found[key] for key in found if key[2] == "ged"})]
    assert np.nansum(np.array(p)) > np.nansum(alone), "more comparisons, larger p values"
    assert np.isnan(by_pair["svls", "ged"].p_holm)
    swapped = {("readers_mean" if k[0] == "soft_mask_cross_entropy" else "soft_mask_cross_entropy", *k[1:]): v
               for k, v in found.items() if k[0] in ("soft_mask_cross_entropy", "label_smoothing")}  # fmt: skip
    assert {beyond.shown(each) for each in beyond.compared(swapped)} == {"worse"}
    few = {key: replace(first, patients=("a",) * 20 + ("b",) * 20) for key, first in swapped.items()}
    assert {beyond.shown(each) for each in beyond.compared(few)} == {"not judged: fewer than 10 patients"}


def test_conclusions_name_the_hardest_row_and_what_is_not_finished(found, record) -> None:
    config = Config.from_parameters("night", "real")
    wanted = beyond.wanted(config)
    done = {place: [Run(runs[0], record(runs[0]))] for place, runs in wanted.items() if (*place, "ged") in found}
    sentences = beyond.conclusions(beyond.compared(found), Fitted(done, wanted))
    assert sentences[0] == (
        "Against other soft labels, in 6 comparisons: the soft mask is better in 3 and worse in 0; "
        "2 are not significant; 1 are not judged."
    )
    assert sentences[1].startswith("On LIDC with the improved backbone (real), the soft mask against other soft labels")
    assert "SVLS: not significant" in sentences[1]
    assert "label smoothing" not in sentences[1]
    assert sentences[-1].startswith("Not finished: other soft labels on LNSM with the improved backbone; ")
    assert "the readers' mean on LIDC with the U-Net" in sentences[-1]
    assert "the readers' mean on LNSM" not in sentences[-1], "which is not asked for"


def test_the_tables_have_every_row_and_the_figure_every_comparison(fitted, opened, against, found) -> None:
    wanted = dict(fitted.wanted) | {("svls", "lidc"): fitted.wanted["softgan", "lidc"]}
    unfinished = Fitted(fitted, wanted)
    words = {cell.row: cell.note for cell in beyond.run_cells(unfinished)}
    assert words == {"softgan": "2 of 2 finished", "soft_mask_cross_entropy": "2 of 2 finished", "svls": "not finished"}
    cells = {(cell.row, cell.metric): cell for cell in beyond.cells(unfinished, against)}
    ged = against(fitted["softgan", "lidc"], "ged")
    assert cells["softgan", "ged"].ours_mean == pytest.approx(np.nanmean(ged))
    assert cells["softgan", "ged"].n_images == np.count_nonzero(~np.isnan(ged))
    dice = [run.record.measures["dice"] for run in fitted["softgan", "lidc"]]
    assert cells["softgan", "dice_consensus"].ours_mean == pytest.approx(np.mean(dice))
    scores = beyond.scores(fitted, against)
    np.testing.assert_allclose(scores["softgan", "lidc", "ged"].values, 100 * ged)
    np.testing.assert_allclose(scores["softgan", "lidc", "dice_consensus"].values, 100 * np.array(dice))
    judged = beyond.compared(found)
    rows = beyond.difference_cells(judged, fitted)
    assert len(rows) == 5 * len(judged) - 1, "no p value of the undertrained one"
    fig = beyond.figure(judged, "lidc")
    titles = [papers.display("metrics", metric) for metric in beyond.LOWER_IS_BETTER]
    assert [ax.get_title().replace("\n", " ") for ax in fig.axes] == titles
    assert beyond.figure(judged, "lnsm") is None
