"""From made-up records to cells: means over images and seeds, what is undefined, and where it comes from."""

import time
from dataclasses import replace

import numpy as np
import pytest

from softmask.analysis import finished, training
from softmask.config import PROFILES, Config
from softmask.data.splits import SECTION_FOLDS
from softmask.data.words import IN_PLACE
from softmask.errors import DataError, MissingData
from softmask.experiments import Record, Run, specs
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import rows_of, spec
from softmask.experiments.store import Provenance, WeightsFile
from softmask.measure.calibration import calibration
from softmask.report import tables

N, SIZE, EPOCHS = 6, 8, 3
IDS = tuple(f"image{i}" for i in range(N))


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    return Config.from_parameters("cpu", "embedded", seeds=2)


def record_of(spec, **measures):
    """A record whose Dice depends on network and seed; ``measures`` take the place of those it makes up."""
    random = np.random.default_rng([spec.seed, *map(ord, spec.name)])
    names = ("dice", "sen", "ppv", "hd95", "surface_dice", "mae_band", "soft_dice", "brier", "gradient_error")
    made = {name: random.uniform(0.2, 0.9, N) for name in names}
    if spec.dataset == "lnsm":
        made["dice_consensus"] = random.uniform(0.2, 0.9, N)
    probabilities = random.uniform(size=(N, SIZE, SIZE))
    return Record(
        spec=spec,
        ids=IDS,
        groups=tuple(f"p{i // 2}" for i in range(N)),
        measures=made | measures,
        curves={"validation_dice": [0.1, 0.3, 0.2], "train_loss": [3.0, 2.0, 1.0]},
        best_epoch=2,
        n_parameters=100,
        calibration=calibration(probabilities, probabilities > 0.4),
        predictions={IDS[i]: (255 * probabilities[i]).astype(np.uint8) for i in (0, 3)},
        provenance=Provenance(
            data="d" * 8, numerics=1, origin="made by a test", weights=WeightsFile(9, "w"), seconds=12.5,
            device="cpu", cpu="a cpu", packages={"torch": "2"}, commit="abc", dirty=False,
        ),
    )  # fmt: skip


@pytest.fixture
def fitted(config):
    wanted = {place: some for table in ("table-1", "table-2", "table-3") for place, some in
              specs(f"softgan/{table}", config).items()}  # fmt: skip
    return {place: [Run(spec, record_of(spec)) for spec in some] for place, some in wanted.items()}


def with_measure(runs, name, *values):
    """``runs`` with other values of one measure, a list for each seed."""
    return [Run(run.spec, record_of(run.spec, **{name: one})) for run, one in zip(runs, values, strict=True)]


def cell_of(cells, *key):
    [found] = [cell for cell in cells if (cell.row, cell.dataset, cell.metric) == key]
    return found


def test_a_cell_is_over_images_pooled_over_seeds(fitted):
    cells = training.table_cells("softgan", "table-2", fitted)
    values = np.concatenate([run.record.measures["sen"] for run in fitted["unet", "lidc"]])
    cell = cell_of(cells, "unet", "lidc", "sen")
    assert cell.ours_mean == pytest.approx(values.mean())
    assert cell.ours_std == pytest.approx(values.std(ddof=1))
    assert (cell.n_images, cell.n_seeds, cell.source, cell.note) == (2 * N, 2, "embedded", "")
    assert len([cell for cell in cells if not cell.extra]) == 21


def test_undefined_values_are_left_out_and_counted(fitted):
    nan = float("nan")
    runs = with_measure(fitted["unet", "lidc"], "ppv", [nan, nan, 0.5, 0.5, 0.5, 0.5], [0.8] * N)
    cell = cell_of(
        training.table_cells("softgan", "table-2", {**fitted, ("unet", "lidc"): runs}), "unet", "lidc", "ppv"
    )
    assert cell.ours_mean == pytest.approx((4 * 0.5 + 6 * 0.8) / 10)
    assert cell.n_images == 10
    assert cell.note == "LIDC PPV is undefined on 2 of 12 images"


def test_readers_stand_beside_a_truth_that_is_not_theirs(fitted, config):
    cells = training.table_cells("softgan", "table-1", fitted)
    assert cell_of(cells, "unet", "lnsm", "dice_consensus").extra
    assert not [c for c in training.table_cells("softgan", "table-2", fitted) if c.metric == "dice_consensus"]
    result = tables.ResultTable("softgan", "table-1", "", "c", cells, {training.CONSENSUS: "percent"})
    assert "not finished" not in tables.write(result, config, {}).with_suffix(".md").read_text()


def test_the_largest_slice_of_each_nodule_stands_beside_all_slices_of_lidc(fitted):
    names = [f"lidc/p{nodule}/n0/s{i}" for i, nodule in enumerate([0, 1, 2, 0, 1, 0])]
    runs = [replace(run, record=replace(run.record, ids=tuple(names))) for run in fitted["unet", "lidc"]]
    cells = training.table_cells("softgan", "table-2", {("unet", "lidc"): runs})
    cell = cell_of(cells, "unet", "lidc-largest", "dice")
    assert cell.ours_mean == pytest.approx(np.mean([run.record.measures["dice"][:3] for run in runs]))
    assert (cell.n_images, cell.extra) == (6, True)
    assert not [c for c in training.table_cells("softgan", "table-1", fitted) if c.dataset == "lidc-largest"]


def test_rows_that_are_not_run_have_no_cell(fitted):
    without = {place: runs for place, runs in fitted.items() if place[0] != "medt"}
    assert not [c for c in training.table_cells("softgan", "table-1", without) if c.row == "medt"]


def test_each_seed_stands_in_the_details(fitted):
    cells = training.table_cells("softgan", "table-2", fitted)
    found = training.seed_spread(cells, fitted)["seeds"]["unet / lidc / dice"]
    means = [np.mean(run.record.measures["dice"]) for run in fitted["unet", "lidc"]]
    assert found["means"] == {"2020": pytest.approx(means[0]), "2021": pytest.approx(means[1])}
    assert found["spread"] == pytest.approx(np.std(means, ddof=1))


def test_infinite_distances_are_counted_and_left_out_of_the_mean(fitted):
    inf = float("inf")
    runs = with_measure(fitted["unet", "lidc"], "hd95", [inf, 2, 2, 2, 2, 2], [4] * N)
    cells = training.beyond_cells({("unet", "lidc"): runs})
    distance = cell_of(cells, "unet", "lidc", "hd95")
    assert (distance.ours_mean, distance.n_images) == (pytest.approx((5 * 2 + 6 * 4) / 11), 11)
    assert cell_of(cells, "unet", "lidc", "hd95_infinite").ours_mean == 1
    assert not [cell for cell in cells if cell.metric == "mae_alpha"]  # the records have none


def on_folds(n=5):
    full = Config.from_parameters("full", "embedded", seeds=2)
    specs_of = rows_of(["unet"], "isbi2012", full)["unet", "isbi2012"]
    assert [one.dataset for one in specs_of] == list(SECTION_FOLDS)
    assert {one.seed for one in specs_of} == {2020}
    runs = []
    for number, fold in enumerate(specs_of[:n]):
        record = record_of(fold)
        names = tuple(f"isbi2012/section-{6 * number + i:02d}" for i in range(N))
        predictions = {names[0]: record.predictions[IDS[0]]}
        runs.append(Run(fold, replace(record, ids=names, groups=names, predictions=predictions)))
    return runs


def test_the_folds_of_a_specimen_are_one_run_with_all_test_images(config, monkeypatch):
    runs = on_folds()
    monkeypatch.setattr(finished, "fit", lambda specs, config, title: runs)
    place = ("unet", "isbi2012")
    fitted = finished.fit_rows({place: [run.spec for run in runs]}, config)
    [run] = fitted[place]
    assert run.record.ids == tuple(name for one in runs for name in one.record.ids)
    assert len(set(run.record.groups)) == 30
    dice = np.concatenate([one.record.measures["dice"] for one in runs])
    assert run.record.measures["dice"] == tuple(dice)
    assert run.record.calibration.counts.sum() == sum(one.record.calibration.counts.sum() for one in runs)
    assert len(run.record.predictions) == 5
    assert run.record.provenance.needs == tuple(one.key for one in runs)
    assert not run.record.failed
    score = training.scores(fitted, ["dice"])["unet", "isbi2012", "dice"]
    assert score.values.shape == (1, 30)
    [cell] = training.extra_cells([place], ["dice"], fitted)
    assert (cell.n_images, cell.n_seeds) == (30, 1)
    assert cell.ours_mean == pytest.approx(dice.mean())
    assert finished.sources_of(fitted) == ("isbi2012 (simulated; one specimen, 5 folds of neighbouring sections)")
    assert [one["name"] for one in finished.provenance_of(fitted, config, time.perf_counter())["runs"]] == [
        one.spec.name for one in runs
    ]


def test_a_fold_that_failed_fails_the_row_and_one_fold_is_no_joining(config):
    runs = on_folds()
    runs[3] = replace(runs[3], record=replace(runs[3].record, failed=True))
    assert finished.joined(runs, 5)[0].record.failed
    assert finished.joined(runs[:1], 1) == runs[:1]
    assert finished.joined(runs[:3], 5) == [], "not all folds are finished"
    said = finished.sources_of({("unet", "isbi2012"): runs[:1]})
    assert said == "isbi2012 (simulated; one specimen, the first of 5 folds of neighbouring sections)"
    other = replace(runs[1], record=replace(runs[1].record, measures={"dice": (0.5,) * N}))
    with pytest.raises(DataError, match="other measures"):
        finished.joined([runs[0], other], 2)


def test_lidc_in_place_of_deeplesion_is_called_a_substitute(fitted):
    runs = fitted["unet", "lnsm"]
    provenance = replace(runs[0].record.provenance, origin="LIDC-IDRI-slices.zip" + IN_PLACE)
    run = Run(replace(runs[0].spec, source="real"), replace(runs[0].record, provenance=provenance))
    there = {("unet", "lnsm"): [run]}
    assert finished.sources_of(there) == "lnsm (real, substitute)"
    assert training.extra_cells(there, ["dice"], there)[0].source == "substitute"
    assert training.scores(there, ["dice"])["unet", "lnsm", "dice"].substitute


def test_rows_of_the_same_runs_are_measured_once(fitted):
    rows = {(cell.row, cell.dataset) for cell in training.beyond_cells(fitted)}
    assert ("softgan", "lidc") in rows
    assert ("gan_loss", "lidc") not in rows
    assert ("soft_mask_loss", "lidc") in rows


def test_the_calibration_of_all_seeds_is_that_of_all_their_pixels(fitted):
    random = np.random.default_rng(0)
    probabilities, masks = random.uniform(size=(2, 500)) ** 2, random.uniform(size=(2, 500)) > 0.5
    parts = [calibration(p, m) for p, m in zip(probabilities, masks, strict=True)]
    runs = [Run(run.spec, replace(run.record, calibration=one)) for run, one in
            zip(fitted["unet", "lidc"], parts, strict=True)]  # fmt: skip
    pooled, whole = finished.calibration(runs), calibration(probabilities.ravel(), masks.ravel())
    np.testing.assert_array_equal(pooled.counts, whole.counts)
    np.testing.assert_allclose(pooled.observed, whole.observed)
    assert pooled.error == pytest.approx(whole.error)


def test_scores_are_by_seed_and_image(fitted):
    found = training.scores(fitted, ["dice", training.CONSENSUS])
    one = found["unet", "lnsm", "dice_consensus"]
    assert one.values.shape == (2, N)
    assert one.values[1].tolist() == list(fitted["unet", "lnsm"][1].record.measures["dice_consensus"])
    assert ("unet", "lidc", "dice_consensus") not in found


def test_seeds_of_other_images_or_without_the_measure_are_refused(fitted):
    first, second = fitted["unet", "lidc"]
    with pytest.raises(DataError, match="other test images"):
        training.values_of([first, Run(second.spec, replace(second.record, ids=IDS[::-1]))], "dice")
    with pytest.raises(DataError, match="no nonsense"):
        training.values_of([first, second], "nonsense")


def test_fit_rows_hands_every_row_its_runs(config, fitted, monkeypatch):
    asked = []

    def fit(wanted, config, title):
        asked.extend(wanted)
        return [Run(spec, record_of(spec)) for spec in wanted]

    monkeypatch.setattr(finished, "fit", fit)
    wanted = {place: [run.spec for run in runs] for place, runs in fitted.items()}
    found = finished.fit_rows(wanted, config)
    assert {place: [run.spec for run in runs] for place, runs in found.items()} == wanted
    assert len(asked) == 2 * len(wanted)


def test_several_tables_are_fitted_in_one_call(config, fitted, monkeypatch):
    calls = []

    def fit(wanted, config, title):
        calls.append(title)
        return [Run(spec, record_of(spec)) for spec in wanted]

    monkeypatch.setattr(finished, "fit", fit)
    every = {place: [run.spec for run in runs] for place, runs in fitted.items()}
    first = dict(list(every.items())[:1])
    found = finished.fit_tables({"a": first, "b": every}, config, "both")
    assert {
        name: {place: [run.spec for run in runs] for place, runs in rows.items()} for name, rows in found.items()
    } == {"a": first, "b": every}
    assert calls == ["both"]


def test_provenance_names_every_run_once(config, fitted):
    found = finished.provenance_of(fitted, config, time.perf_counter())
    assert len(found["runs"]) == len({run["key"] for run in found["runs"]}) == 36  # 40 less those that two rows share
    assert found["seeds"] == [2020, 2021]
    assert found["runs"][0] | {"key": "", "name": ""} == {
        "key": "", "name": "", "seconds": 12.5, "device": "cpu", "commit": "abc", "dirty": False, "parameters": 100,
        "recorded": True,
    }  # fmt: skip
    assert {(data["name"], data["n"]) for data in found["datasets"]} == {("lnsm", N), ("lidc", N)}
    assert len(training.overview(fitted)) == 36


def test_other_data_behind_a_run_is_another_line(config, fitted):
    runs = fitted["unet", "lidc"]
    other = replace(runs[1].record, provenance=replace(runs[1].record.provenance, data="e" * 8))
    mixed = {("unet", "lidc"): [runs[0], Run(runs[1].spec, other)]}
    found = finished.provenance_of(mixed, config, time.perf_counter())["datasets"]
    assert [(data["name"], data["fingerprint"]) for data in found] == [("lidc", "d" * 8), ("lidc", "e" * 8)]


@pytest.mark.parametrize(
    ("dice", "best", "said"),
    [([0.5, 0.6, 0.61, 0.62], 4, "still rising"), ([0.5, 0.6, 0.605, 0.609], 4, ""),
     ([0.5, 0.7, 0.6, 0.65], 2, ""), ([*[0.5] * 5, 0.62, 0.6, 0.62, 0.61, 0.622], 10, ""),
     ([0.5, 0.6], 2, "still rising"), ([0.5], 1, "still rising"), ([0.6, 0.0, 0.0], 2, "finds nothing")],
)  # fmt: skip
def test_what_stopped_early_is_marked(fitted, dice, best, said):
    run = fitted["unet", "lidc"][0]
    record = replace(run.record, curves={"validation_dice": dice}, best_epoch=best)
    [line] = training.overview({("unet", "lidc"): [Run(run.spec, record)]}).to_dict("records")
    assert (line["at the end"], line["validation Dice"]) == (said, dice[best - 1])


def test_scores_count_failed_seeds_and_leave_them_out(fitted):
    one, two = fitted["unet", "lidc"]
    failed = replace(two, record=replace(two.record, failed=True))
    again = replace(one, record=replace(one.record, failures=({"validation_dice": (0.0,)},)))
    made = training.scores({("unet", "lidc"): [again, failed]}, ["dice", "nothing"])
    assert list(made) == [("unet", "lidc", "dice")]
    scores = made["unet", "lidc", "dice"]
    assert scores.values.tolist() == [list(one.record.measures["dice"])]
    assert (scores.begun, scores.failed, scores.restarts, scores.fixed) == (2, 1, 1, False)
    assert scores.curves == (one.record.curves["validation_dice"],)
    all_failed = [replace(run, record=replace(run.record, failed=True)) for run in (one, two)]
    assert training.scores({("unet", "lidc"): all_failed}, ["dice"])["unet", "lidc", "dice"].values.shape == (0, N)


def test_a_tested_network_has_the_curves_of_its_training(config):
    trained, tested = spec("dsnet", "lnsm", config), spec("dsnet", "lidc-500", config)
    known = {("dsnet", "lnsm"): [Run(trained, replace(record_of(trained), failed=True))]}
    runs = {("dsnet", "lidc-500"): [Run(tested, replace(record_of(tested), curves={}))]}
    [alone] = training.scores(runs, ["dice"]).values()
    assert (alone.curves, alone.failed) == ((), 0)
    [found] = training.scores(runs, ["dice"], known).values()
    assert (found.curves, found.failed) == ((), 1)
    good = {("dsnet", "lnsm"): [Run(trained, record_of(trained))]}
    [found] = training.scores(runs, ["dice"], good).values()
    assert found.curves == (record_of(trained).curves["validation_dice"],)


def test_a_classical_method_has_no_seeds(config):
    classical = spec("graph_cut", "lidc-119", config)
    [found] = training.scores({("graph_cut", "lidc-119"): [Run(classical, record_of(classical))]}, ["dice"]).values()
    assert found.fixed


def test_real_images_in_place_of_others_are_a_substitute(fitted):
    [run, _] = fitted["unet", "lnsm"]
    where = replace(run.record.provenance, origin="LIDC; in place of DeepLesion")
    real = replace(run, spec=replace(run.spec, source="real"), record=replace(run.record, provenance=where))
    assert [training.scores_of([one], lambda runs: np.zeros((1, N))).substitute for one in (run, real)] == [False, True]


def test_parameters_are_told_row_by_row(fitted):
    assert training.parameters_of(fitted, ["unet", "medt", "unet"]) == "U-Net 100, MedT 100"


def test_every_profile_says_on_what_terms_it_compares():
    assert set(training.TERMS) >= set(PROFILES)


def test_pictures_and_predictions_are_found_by_their_ids(fitted):
    found = training.predictions_of(fitted, ["unet", "nothing"], "lidc")
    assert found["nothing"] == {}
    assert list(found["unet"]) == ["image0", "image3"]
    assert 0.9 < max(image.max() for image in found["unet"].values()) <= 1
    assert training.pictures_of(None, IDS) == {}
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) / 4
    part = Part(("image3", "image1", "image0"), ("a", "b", "c"), images, (images == 0.5).astype(np.float32))
    pictures = training.pictures_of(
        Prepared("lidc", "real", "made up", "d", part, part, part), ["image0", "image3", "x"]
    )
    assert {name: (image.item(), truth.item()) for name, (image, truth) in pictures.items()} == {
        "image0": (0.5, True), "image3": (0.0, False),
    }  # fmt: skip


def test_what_was_left_out_is_told_of_all_data_at_hand(config, fitted, monkeypatch):
    part = Part((), (), np.zeros((0, 1, 1, 1)), np.zeros((0, 1, 1, 1)))
    data = {
        "lnsm": Prepared("lnsm", "real", "o", "d", part, part, part, (("lnsm/p1", "no mark"), ("lnsm/p2", "empty"))),
        "lidc": Prepared("lidc", "real", "o", "d", part, part, part, (("lidc/p1", "torn"),)),
    }
    monkeypatch.setattr(finished, "data_of", lambda spec, config: data[spec.dataset])
    assert finished.left_out(fitted, config).to_numpy().tolist() == [
        ["LNSM", "lnsm/p1", "no mark"], ["LNSM", "lnsm/p2", "empty"], ["LIDC", "lidc/p1", "torn"],
    ]  # fmt: skip
    data["lnsm"] = None
    assert finished.left_out(fitted, config)["could not be used"].tolist() == ["lidc/p1"]


def test_an_example_of_data_that_is_not_at_hand_is_embedded(config, fitted, monkeypatch):
    def prepare(spec, config):
        if spec.source == "real":
            raise MissingData("nowhere")
        return spec.source

    monkeypatch.setattr(finished, "prepare", prepare)
    spec = fitted["unet", "lidc"][0].spec
    real = replace(spec, source="real")
    assert finished.data_of(real, config) is None
    assert finished.example_of(real, config) == finished.data_of(spec, config) == "embedded"


def test_networks_that_call_every_pixel_the_object_are_told(fitted):
    full = {IDS[0]: np.full((SIZE, SIZE), 255, np.uint8), IDS[3]: np.full((SIZE, SIZE), 140, np.uint8)}
    first, second = fitted["unet", "lidc"]
    runs = [Run(first.spec, replace(first.record, predictions=full)), second]
    assert [training.marks_everything(run) for run in runs] == [True, False]
    cells = training.table_cells("softgan", "table-2", {**fitted, ("unet", "lidc"): runs})
    assert "1 of 2 networks on LIDC call every pixel" in cell_of(cells, "unet", "lidc", "dice").note
    assert cell_of(cells, "unet", "lidc", "sen").note == ""
    assert "marks everything" in training.overview({("unet", "lidc"): runs})["at the end"].tolist()
