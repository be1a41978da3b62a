"""From made-up records to cells: means over images and seeds, what is undefined, and where it comes from."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import finished, table, training
from softmask.config import Config
from softmask.data.sample import IN_PLACE
from softmask.data.splits import SECTION_FOLDS
from softmask.errors import DataError
from softmask.experiments import Run, night, schedules, specs
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import rows_of, spec
from softmask.measure.soft import calibration
from softmask.report import tables

N, SIZE = 6, 8
IDS = tuple(f"image{i}" for i in range(N))
UNET = ("unet", "lidc")
INF, NAN = float("inf"), float("nan")


@pytest.fixture
def record_of(record):
    """Gives a record whose Dice depends on network and seed; ``measures`` take the place of those it makes up."""

    def record_of(spec, **measures):
        random = np.random.default_rng([spec.seed, *map(ord, spec.name)])
        names = ["dice", "sen", "ppv", "hd95", "surface_dice", "mae_band", "soft_dice", "brier", "gradient_error"]
        names += ["dice_consensus"] if spec.dataset == "lnsm" else []
        made = {name: random.uniform(0.2, 0.9, N) for name in names}
        probabilities = random.uniform(size=(N, SIZE, SIZE))
        kept = {IDS[i]: (255 * probabilities[i]).astype(np.uint8) for i in (0, 3)}
        reliability = calibration(probabilities, probabilities > 0.4)
        return record(spec, made | measures, calibration=reliability, predictions=kept)

    return record_of


@pytest.fixture
def fitted(config, record_of):
    wanted = {place: some for n in (1, 2, 3) for place, some in specs(f"softgan/table-{n}", config).items()}
    return {place: [Run(spec, record_of(spec)) for spec in some] for place, some in wanted.items()}


def changed(run, **fields):
    return replace(run, record=replace(run.record, **fields))


def cell_of(cells, *key):
    [cell] = [cell for cell in cells if cell.key == key]
    return cell


def test_a_cell_is_over_images_pooled_over_seeds(fitted):
    cells = training.table_cells("softgan", "table-2", fitted)
    values = np.concatenate([run.record.measures["sen"] for run in fitted[UNET]])
    cell = cell_of(cells, *UNET, "sen")
    assert (cell.ours_mean, cell.ours_std) == pytest.approx((values.mean(), values.std(ddof=1)))
    assert (cell.n_images, cell.n_seeds, cell.source, cell.note) == (2 * N, 2, "embedded", "")
    assert len([cell for cell in cells if not cell.extra]) == 21
    seeds = training.seed_spread(cells, fitted)["seeds"]["unet / lidc / sen"]
    means = [np.mean(run.record.measures["sen"]) for run in fitted[UNET]]
    assert seeds["means"] == {"2020": pytest.approx(means[0]), "2021": pytest.approx(means[1])}
    assert seeds["spread"] == pytest.approx(np.std(means, ddof=1))
    without = {place: runs for place, runs in fitted.items() if place[0] != "medt"}
    assert not [c for c in training.table_cells("softgan", "table-1", without) if c.row == "medt"]


def test_records_become_a_long_table_in_the_order_of_rows():
    records = pd.DataFrame({"label": ["b", "a", "b"], "dice": [0.5, 1, NAN], "value": "text", "mae": [1, INF, 2]})
    cells = table.summarise(table.of_records(records, "label", ["mae", "dice"], dataset="lidc", source="real"))
    assert [cell.key for cell in cells] == [(row, "lidc", metric) for row in "ba" for metric in ("mae", "dice")]
    assert [(cell.ours_mean, cell.n_images) for cell in cells] == [(1.5, 2), (0.5, 1), (INF, 1), (1, 1)]
    assert cells[0].ours_std == pytest.approx(np.sqrt(0.5))
    assert np.isnan(cells[2].ours_std)


def test_undefined_values_are_left_out_and_counted(fitted, record_of):
    values = ([NAN, NAN, 0.5, 0.5, 0.5, 0.5], [0.8] * N)
    runs = [Run(run.spec, record_of(run.spec, ppv=ppv)) for run, ppv in zip(fitted[UNET], values, strict=True)]
    cell = cell_of(training.table_cells("softgan", "table-2", fitted | {UNET: runs}), *UNET, "ppv")
    assert cell.ours_mean == pytest.approx((4 * 0.5 + 6 * 0.8) / 10)
    assert (cell.n_images, cell.note) == (10, "PPV on LIDC is undefined for 2 of 12 predictions")


def test_readers_stand_beside_a_truth_that_is_not_theirs(fitted, config):
    cells = training.table_cells("softgan", "table-1", fitted)
    assert cell_of(cells, "unet", "lnsm", "dice_consensus").extra
    assert not [c for c in training.table_cells("softgan", "table-2", fitted) if c.metric == "dice_consensus"]
    result = tables.ResultTable("softgan", "table-1", "", "c", cells, {training.CONSENSUS: "percent"})
    assert "not finished" not in tables.write(result, config, {}).with_suffix(".md").read_text()


def test_the_largest_slice_of_each_nodule_stands_beside_all_slices_of_lidc(fitted):
    names = tuple(f"lidc/p{nodule}/n0/s{i}" for i, nodule in enumerate([0, 1, 2, 0, 1, 0]))
    runs = [changed(run, ids=names) for run in fitted[UNET]]
    cell = cell_of(training.table_cells("softgan", "table-2", {UNET: runs}), "unet", "lidc-largest", "dice")
    assert cell.ours_mean == pytest.approx(np.mean([run.record.measures["dice"][:3] for run in runs]))
    assert (cell.n_images, cell.extra) == (6, True)
    assert not [c for c in training.table_cells("softgan", "table-1", fitted) if c.dataset == "lidc-largest"]


def test_measures_beyond_the_papers(fitted, record_of):
    values = ([INF, 2, 2, 2, 2, 2], [4] * N)
    runs = [Run(run.spec, record_of(run.spec, hd95=hd95)) for run, hd95 in zip(fitted[UNET], values, strict=True)]
    cells = training.beyond_cells(fitted | {UNET: runs})
    distance = cell_of(cells, *UNET, "hd95")
    assert (distance.ours_mean, distance.n_images) == (pytest.approx((5 * 2 + 6 * 4) / 11), 11)
    assert cell_of(cells, *UNET, "hd95_infinite").ours_mean == 1
    order = [cell.metric for cell in cells if cell.key[:2] == UNET]
    assert order == [metric for metric in training.BEYOND if metric != "mae_alpha"], "the records have no alpha"
    rows = {(cell.row, cell.dataset) for cell in cells}
    assert {("softgan", "lidc"), ("soft_mask_loss", "lidc")} <= rows
    assert ("gan_loss", "lidc") not in rows, "rows of the same runs are given once"


def on_folds(record_of, n=5):
    full = Config.from_parameters("full", "embedded", seeds=2)
    specs_of = rows_of(["unet"], "isbi2012", full)["unet", "isbi2012"]
    assert [item.dataset for item in specs_of] == list(SECTION_FOLDS)
    assert {item.seed for item in specs_of} == {2020}
    runs = []
    for number, fold in enumerate(specs_of[:n]):
        made = record_of(fold)
        names = tuple(f"isbi2012/section-{6 * number + i:02d}" for i in range(N))
        kept = {names[0]: made.predictions[IDS[0]]}
        runs.append(Run(fold, replace(made, ids=names, groups=names, predictions=kept)))
    return runs


def test_the_folds_of_a_specimen_are_one_run_with_all_test_images(config, record_of, monkeypatch):
    runs, place = on_folds(record_of), ("unet", "isbi2012")
    monkeypatch.setattr(finished, "fit", lambda specs, config, title: runs)
    fitted = finished.fit_rows({place: [run.spec for run in runs]}, config)
    [run] = fitted[place]
    assert run.record.ids == tuple(name for item in runs for name in item.record.ids)
    assert len(set(run.record.groups)) == 30
    dice = np.concatenate([item.record.measures["dice"] for item in runs])
    assert run.record.measures["dice"] == tuple(dice)
    assert run.record.calibration.counts.sum() == sum(item.record.calibration.counts.sum() for item in runs)
    assert (len(run.record.predictions), run.record.failed) == (5, False)
    assert run.record.provenance.needs == tuple(item.key for item in runs)
    assert training.scores(fitted, ["dice"])[(*place, "dice")].values.shape == (1, 30)
    [cell] = training.extra_cells([place], ["dice"], fitted)
    assert (cell.n_images, cell.n_seeds, cell.note) == (30, 1, "")
    assert cell.ours_mean == pytest.approx(dice.mean())
    assert finished.sources_of(fitted) == "isbi2012 (simulated; one specimen, 5 folds of neighbouring sections)"
    listed = finished.provenance_of(fitted, config, time.perf_counter())["runs"]
    assert [line["name"] for line in listed] == [item.spec.name for item in runs]


def test_a_fold_that_failed_fails_the_row_and_one_fold_is_no_joining(record_of):
    runs = on_folds(record_of)
    runs[3] = changed(runs[3], failed=True)
    assert finished.joined(runs, 5)[0].record.failed
    assert finished.joined(runs[:1], 1) == runs[:1]
    assert finished.joined(runs[:3], 5) == [], "not all folds are finished"
    said = finished.sources_of({("unet", "isbi2012"): runs[:1]})
    assert said == "isbi2012 (simulated; one specimen, the first of 5 folds of neighbouring sections)"
    with pytest.raises(DataError, match="its metrics differ"):
        finished.joined([runs[0], changed(runs[1], measures={"dice": (0.5,) * N})], 2)


def test_lidc_in_place_of_deeplesion_is_called_a_substitute(fitted):
    place = ("unet", "lnsm")
    run = fitted[place][0]
    provenance = replace(run.record.provenance, origin="LIDC-IDRI-slices.zip" + IN_PLACE)
    there = {place: [Run(replace(run.spec, source="real"), replace(run.record, provenance=provenance))]}
    assert finished.sources_of(there) == "lnsm (real, substitute)"
    assert training.extra_cells(there, ["dice"], there)[0].source == "substitute"
    assert training.scores(there, ["dice"])[(*place, "dice")].substitute
    assert not training.scores(fitted, ["dice"])[(*place, "dice")].substitute


def test_the_calibration_of_all_seeds_is_that_of_all_their_pixels(fitted):
    random = np.random.default_rng(0)
    probabilities, masks = random.uniform(size=(2, 500)) ** 2, random.uniform(size=(2, 500)) > 0.5
    parts = [calibration(p[None], m[None]) for p, m in zip(probabilities, masks, strict=True)]
    runs = [changed(run, calibration=part) for run, part in zip(fitted[UNET], parts, strict=True)]
    pooled, whole = finished.calibration(runs), calibration(probabilities, masks)
    np.testing.assert_array_equal(pooled.counts, whole.counts)
    np.testing.assert_allclose(pooled.observed, whole.observed)
    assert pooled.error == pytest.approx(whole.error)


def test_seeds_of_other_images_or_without_the_measure_are_refused(fitted):
    first, second = fitted[UNET]
    with pytest.raises(DataError, match="other test images"):
        table.values_of([first, changed(second, ids=IDS[::-1])], "dice")
    with pytest.raises(DataError, match="no nonsense"):
        table.values_of([first, second], "nonsense")


def test_provenance_names_every_run_once(config, fitted):
    made = finished.provenance_of(fitted, config, time.perf_counter())
    assert len(made["runs"]) == len({run["key"] for run in made["runs"]}) == 36  # 40 less those that two rows share
    assert made["seeds"] == [2020, 2021]
    assert made["runs"][0] | {"key": "", "name": ""} == {
        "key": "", "name": "", "seconds": 12.5, "device": "cpu", "commit": "abc", "dirty": False, "parameters": 100,
        "recorded": True,
    }  # fmt: skip
    assert {(data["name"], data["n"]) for data in made["datasets"]} == {("lnsm", N), ("lidc", N)}
    assert len(training.overview(fitted)) == 36
    first, second = fitted[UNET]
    other = changed(second, provenance=replace(second.record.provenance, data="e" * 8))
    listed = finished.provenance_of({UNET: [first, other]}, config, time.perf_counter())["datasets"]
    assert [(data["name"], data["fingerprint"]) for data in listed] == [("lidc", "d" * 8), ("lidc", "e" * 8)]


@pytest.mark.parametrize(
    ("dice", "best", "said"),
    [([0.5, 0.6, 0.6, 0.61, 0.62], 5, "still rising"), ([0.5, 0.6, 0.6, 0.605, 0.609], 5, ""),
     ([0.5, 0.7, 0.6, 0.6, 0.65], 2, ""), ([0.5, 0.7, 0.6, 0.65], 2, "still rising"),
     ([*[0.5] * 5, 0.62, 0.6, 0.62, 0.61, 0.622], 10, ""),
     ([0.5, 0.6], 2, "still rising"), ([0.5], 1, "still rising"), ([0.6, 0.0, 0.0], 2, "finds nothing")],
)  # fmt: skip
def test_what_stopped_early_is_marked(fitted, dice, best, said):
    run = changed(fitted[UNET][0], curves={"validation_dice": dice}, best_epoch=best)
    [line] = training.overview({UNET: [run]}).to_dict("records")
    assert (line["at the end"], line["validation Dice"]) == (said, dice[best - 1])


def test_scores_are_by_seed_and_image_and_leave_out_failed_seeds(fitted):
    made = training.scores(fitted, ["dice", training.CONSENSUS])
    scores = made["unet", "lnsm", "dice_consensus"]
    assert scores.values.shape == (2, N)
    assert scores.values[1].tolist() == list(fitted["unet", "lnsm"][1].record.measures["dice_consensus"])
    assert (*UNET, "dice_consensus") not in made
    first, two = fitted[UNET]
    again = changed(first, failures=({"validation_dice": (0.0,)},))
    [scores] = training.scores({UNET: [again, changed(two, failed=True)]}, ["dice", "nothing"]).values()
    assert scores.values.tolist() == [list(first.record.measures["dice"])]
    assert (scores.begun, scores.failed, scores.restarts, scores.fixed) == (2, 1, 1, False)
    assert scores.curves == (first.record.curves["validation_dice"],)
    [scores] = training.scores({UNET: [changed(run, failed=True) for run in (first, two)]}, ["dice"]).values()
    assert scores.values.shape == (0, N)


def test_a_tested_network_has_the_curves_of_its_training(config, record_of):
    trained, tested = spec("dsnet", "lnsm", config), spec("dsnet", "lidc-500", config)
    runs = {("dsnet", "lidc-500"): [Run(tested, replace(record_of(tested), curves={}))]}
    curve = record_of(trained).curves["validation_dice"]
    for failed, expected in ((None, ((), 0)), (True, ((), 1)), (False, ((curve,), 0))):
        training_run = Run(trained, replace(record_of(trained), failed=bool(failed)))
        known = {} if failed is None else {("dsnet", "lnsm"): [training_run]}
        scores = training.scores(runs | known, ["dice"])["dsnet", "lidc-500", "dice"]
        assert (scores.curves, scores.failed) == expected
    classical = spec("graph_cut", "lidc-119", config)
    [scores] = training.scores({("graph_cut", "lidc-119"): [Run(classical, record_of(classical))]}, ["dice"]).values()
    assert scores.fixed, "a classical method has no seeds"


def test_pictures_and_predictions_are_found_by_their_ids(fitted):
    kept = training.predictions_of(fitted, ["unet", "nothing"], "lidc")
    assert kept["nothing"] == {}
    assert list(kept["unet"]) == ["image0", "image3"]
    assert 0.9 < max(image.max() for image in kept["unet"].values()) <= 1
    assert training.pictures_of(None, IDS) == {}
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) / 4
    part = Part(("image3", "image1", "image0"), ("a", "b", "c"), images, (images == 0.5).astype(np.float32))
    data = Prepared("lidc", "real", "made up", "d", part, part, part)
    pictures = training.pictures_of(data, ["image0", "image3", "x"])
    assert {name: (image.item(), truth.item()) for name, (image, truth) in pictures.items()} == {
        "image0": (0.5, True), "image3": (0.0, False),
    }  # fmt: skip


def test_networks_that_predict_foreground_everywhere_are_told(fitted):
    full = {IDS[0]: np.full((SIZE, SIZE), 255, np.uint8), IDS[3]: np.full((SIZE, SIZE), 140, np.uint8)}
    first, second = fitted[UNET]
    runs = [changed(first, predictions=full), second]
    assert [training.marks_everything(run) for run in runs] == [True, False]
    cells = training.table_cells("softgan", "table-2", {**fitted, UNET: runs})
    assert "1 of 2 networks on LIDC predict foreground everywhere" in cell_of(cells, *UNET, "dice").note
    assert cell_of(cells, *UNET, "sen").note == ""
    assert "marks everything" in training.overview({UNET: runs})["at the end"].tolist()


def test_a_network_that_was_trained_again_elsewhere_for_a_test_is_told(config, record_of):
    places = ("unet", "unet_temperature_scaling")
    fitted = {
        key: [Run(spec, record_of(spec)) for spec in some] for key, some in rows_of(places, "lidc", config).items()
    }
    tested = (places[1], "lidc")
    assert cell_of(training.extra_cells(fitted, ["dice"], fitted), *tested, "dice").note == ""
    elsewhere = replace(fitted[tested][0].record.provenance, cpu="Another")
    fitted[tested] = [changed(run, provenance=elsewhere) for run in fitted[tested]]
    cells = training.extra_cells(fitted, ["dice"], fitted)
    assert "trained again on another processor" in cell_of(cells, *tested, "dice").note
    assert cell_of(cells, *UNET, "dice").note == ""


def test_trainings_twice_as_long_are_compared_on_the_same_images(record, monkeypatch):
    """Twenty images of ten patients; a training twice as long is better by 0.01 on every one."""

    def fit(specs, config, title):
        runs = []
        for item in specs:
            dice = [0.7 + i / 100 + 0.01 * (item.settings.epochs in (124, 48)) for i in range(20)]
            curves = {"validation_dice": [0.5] * 8 + [0.6] * 2}
            runs.append(Run(item, record(item, {"dice": dice}, 20, curves=curves, best_epoch=9)))
        return runs

    monkeypatch.setattr(finished, "fit", fit)
    assert training.longer_rows("softgan", Config.from_parameters("smoke", "embedded")) == {}
    night = Config.from_parameters("night", "embedded")
    longer = training.longer(finished.fit_rows(training.longer_rows("softgan", night), night))
    cells = {cell.key: cell.ours_mean for cell in longer}
    assert {row for row, *_ in cells} == {"unet", "softgan"}
    assert cells[(*UNET, "difference")] == pytest.approx(1.0, abs=1e-3)
    assert cells[(*UNET, "gain")] == pytest.approx(10.0)
    assert cells["softgan", "lnsm", "dice_doubled"] > cells["softgan", "lnsm", "dice"]


def test_other_forms_have_their_validation_dice(record):
    wanted = training.other_rows(Config.from_parameters("night", "embedded"))
    place = ("dsnet_averaged", "lnsm")
    runs = []
    for first, best in zip(wanted[place], (0.7, 0.8, 0.9), strict=True):
        measures = dict.fromkeys(("dice", "sen", "ppv"), (0.5, 0.6))
        curves = {"validation_dice": (0.1, best, 0.2)}
        runs.append(Run(first, record(first, measures, 2, curves=curves)))
    cells = training.other_forms(finished.Fitted({place: runs}, wanted))
    [cell] = [cell for cell in cells if cell.metric == "validation_dice"]
    assert (cell.ours_mean, cell.n_seeds) == (pytest.approx(0.8), 3)
    assert cell.ours_std == pytest.approx(0.1)
    assert training.other_forms(finished.Fitted({}, wanted)) == []


def test_every_rate_that_was_tried_has_a_column(monkeypatch, tmp_path):
    monkeypatch.setattr(schedules, "TABLE", tmp_path / "rates.csv")
    for rate, dice in zip(schedules.RATES, (0.1, 0.9, 0.8, 0.0), strict=True):
        schedules.add_trial(schedules.Trial("embedded", "lidc", "unet", 16, "1dice", rate, dice, 1.0))
    frame = training.rates_tried(night.groups(Config.from_parameters("night", "embedded"))["SoftGAN"])
    assert frame.columns.tolist() == ["0.0003", "0.001", "0.003", "0.01", "taken"]
    assert frame.loc["LIDC, unet, 1dice"].tolist() == [0.1, 0.9, 0.8, 0.0, 0.001]
