"""What becomes of tables and figures when none, some or all of the runs have a record, and when runs failed."""

from dataclasses import replace

import numpy as np
import pytest

from softmask import papers
from softmask.analysis import cascade, choices, claims, doctors, finished, lungs, super_resolution, training
from softmask.experiments import specs
from softmask.experiments.rows import CT, rows_of, spec
from softmask.measure.resolution import INTERPOLATIONS
from softmask.measure.soft import calibration
from softmask.papers import display
from softmask.report import contents, figures, panels, plots, tables, verdicts

N, SIZE = 24, 16
IDS = tuple(f"lidc/p{i // 2}/n0/s{i}" for i in range(N))
MEASURES = (
    "dice", "sen", "ppv", "iou", "hausdorff", "hd95", "surface_dice", "soft_dice", "brier", "dice_consensus",
    *(f"truth_{doctor}" for doctor in doctors.DOCTORS), *(f"dice_{doctor}" for doctor in doctors.DOCTORS),
    "pixels_true", "pixels_found", "pixels_common", "nodules_inside", "nodules_at_wall_inside",
    *super_resolution.METRICS,
    *(f"{metric}_{method}" for metric in super_resolution.METRICS for method in INTERPOLATIONS),
)  # fmt: skip


@pytest.fixture
def config(config):
    return replace(config, seeds=3, recorded=True)


@pytest.fixture
def wanted(config):
    return {place: of for n in (1, 2, 3, 4) for place, of in specs(f"softgan/table-{n}", config).items()}


@pytest.fixture
def record_of(record):
    def record_of(one, **changes):
        random = np.random.default_rng([one.seed, len(one.name)])
        probabilities = random.uniform(size=(2, SIZE, SIZE))
        curves = ("train_loss", "validation_dice", "validation_psnr", "loss_dice", "loss_soft_l1", "loss_gan")
        curves += ("discriminator_accuracy_real", "discriminator_accuracy_fake", "critic_gap", "adversarial_share")
        measures = {name: random.uniform(0.2, 0.9, N) for name in MEASURES}
        measures["pixels_common"] = np.minimum(measures["pixels_true"], measures["pixels_found"])
        fields = {"ids": IDS, "curves": {name: (0.1, 0.2, 0.3) for name in curves}, "best_epoch": 3}
        fields |= {"calibration": calibration(probabilities, probabilities > 0.4)}
        return record(one, measures | changes.pop("measures", {}), N, **fields | changes)

    return record_of


@pytest.fixture
def keep(config, record_of):
    def keep(some, **changes):
        """Put records of these specs where recorded runs are looked for."""
        folder = config.results / "records"
        folder.mkdir(parents=True, exist_ok=True)
        for item in some:
            (folder / f"{item.name}.json").write_text(record_of(item, **changes).to_json())

    return keep


def softgan(config, fitted, name="table-2"):
    """The table's Markdown, and how the report sees it."""
    rows = training.table_cells("softgan", name, fitted)
    units = {training.CONSENSUS: "percent"}
    result = tables.ResultTable("softgan", name, "", finished.sources_of(fitted), rows, units)
    written = tables.write(replace(result, details=training.seed_spread(rows, fitted)), config, {})
    tables.show(result)
    [entry] = [table for table in contents.read(config.run).tables if (table.paper, table.name) == ("softgan", name)]
    return written.with_suffix(".md").read_text(), entry


def line_of(text, row):
    [line] = [line for line in text.splitlines() if line.startswith(f"| {display('rows', row)} |")]
    return line


def test_without_any_record_the_printed_numbers_stand_beside_not_finished(config, wanted, capsys):
    fitted = finished.fit_rows(wanted, config)
    assert fitted == {}
    assert capsys.readouterr().err.count("are not finished") == 1
    text, entry = softgan(config, fitted)
    assert text.count("not finished") == 1 + 3 * 7  # the summary, and every printed number
    assert f"none of {len({item for of in wanted.values() for item in of})} runs is finished" in text
    assert entry.status == contents.NOT_RUN
    assert training.overview(fitted).empty
    assert training.beyond_cells(fitted) == training.extra_cells(wanted, ["dice"], fitted) == []
    assert training.parameters_of(fitted, ["unet"]) == "no network is finished"
    assert finished.left_out(fitted, config).empty
    assert finished.provenance_of(fitted, config, 0.0)["runs"] == []
    everything(fitted, config)


def judge(paper, scores):
    return [claims.judge(claim, scores) for claim in papers.load(paper).claims if claim.judged]


def everything(fitted, config):
    """What the notebooks make of runs besides tables."""
    training.overview(fitted)
    judged = judge("softgan", training.scores(fitted, ["dice", training.CONSENSUS]))
    verdicts.pairs_frame(judged)
    tables.write(verdicts.table("softgan-claims", "t", "c", judged), config, {})
    verdicts.write("softgan", judged, config)
    drawn = [
        plots.curves(training.curves_of(fitted, ["unet", "gan_loss"])),
        plots.gan_health({name: rows["softgan"] for name, rows in training.curves_of(fitted, ["softgan"]).items()}),
        plots.reliability(training.by_dataset(fitted, ["unet", "softgan"], finished.calibration)),
        verdicts.figure(judged),
        panels.predicted({}, ("softgan", training.predictions_of(fitted, ["softgan"], "lidc")["softgan"]), {}),
        cascade.side_by_side(fitted, "softgan", config),
    ]
    for fig in drawn:
        figures.save(fig, "workbook", "a-figure", config, caption="c")
    rows = training.beyond_cells(fitted)
    tables.write(tables.ResultTable("workbook", "m", "t", "c", rows, training.BEYOND), config, {})
    choices.read_records(config, "lidc")
    return drawn


def test_rows_that_are_finished_stand_among_those_that_are_not(config, wanted, capsys, keep):
    keep(wanted["unet", "lidc"] + wanted["softgan", "lidc"][:2])
    other = wanted["infnet", "lidc"][0]
    changed = replace(other, width=other.width + 1)  # under its name a record of other settings
    keep([changed])
    folder = config.results / "records"
    (folder / f"{changed.name}.json").rename(folder / f"{other.name}.json")
    fitted = finished.fit_rows(wanted, config)
    places = {place for place, of in wanted.items() if of in (wanted["unet", "lidc"], wanted["softgan", "lidc"])}
    assert set(fitted) == places
    assert [len(fitted[row, "lidc"]) for row in ("unet", "softgan")] == [3, 2]
    total = len({item for of in wanted.values() for item in of})
    assert f"{total - 5} of {total} runs are not finished" in capsys.readouterr().err
    text, entry = softgan(config, fitted)
    assert "not finished" not in line_of(text, "unet") + line_of(text, "softgan")
    assert line_of(text, "infnet").count("not finished") == 3
    assert "- SoftGAN: 2 of 3 runs on LIDC finished" in text
    assert f"lidc (simulated), 5 of {total} runs finished" in text
    assert "2 to 3 seeds" in text
    assert entry.status == contents.PARTLY
    cells = {cell.key: cell for cell in entry.cells}
    assert (cells["softgan", "lidc", "dice"].n_seeds, cells["unet", "lidc", "dice"].n_seeds) == (2, 3)


def test_with_every_record_nothing_is_said(config, wanted, capsys, keep):
    keep({item for of in wanted.values() for item in of})
    fitted = finished.fit_rows(wanted, config)
    assert capsys.readouterr().err == ""
    assert {place: [run.spec for run in runs] for place, runs in fitted.items()} == wanted
    text, entry = softgan(config, fitted)
    assert "finished" not in text
    assert entry.status == contents.FILLED
    everything(fitted, config)


def test_failed_trainings_enter_no_mean_and_are_told(config, wanted, keep, record_of):
    curves = ({"train_loss": (1.0,)}, {"train_loss": (1.0,)})
    low = {name: [0.0] * N for name in MEASURES}
    keep(wanted["unet", "lidc"])
    keep(wanted["unet", "lidc"][:1], failed=True, failures=curves, measures=low, curves=curves[0], best_epoch=1)
    keep(wanted["infnet", "lidc"], failed=True, failures=curves, measures=low, curves=curves[0], best_epoch=1)
    keep(wanted["medt", "lidc"], failures=curves[:1])
    fitted = finished.fit_rows(wanted, config)
    text, entry = softgan(config, fitted)
    cells = {cell.key: cell for cell in entry.cells}
    good = [record_of(item).measures["dice"] for item in wanted["unet", "lidc"][1:]]
    assert cells["unet", "lidc", "dice"].ours_mean == pytest.approx(100 * np.mean(good), abs=1e-3)
    assert (cells["unet", "lidc", "dice"].n_seeds, cells["unet", "lidc", "dice"].n_images) == (2, 2 * N)
    assert np.isnan(cells["infnet", "lidc", "dice"].ours_mean)
    assert "- U-Net: 1 of 3 training runs on LIDC failed" in text
    assert "- Inf-Net: training on LIDC failed (3 of 3)" in text
    assert "MedT:" not in text
    starts = training.overview(fitted)["failed attempts"]
    assert [starts[item.name] for item in wanted["unet", "lidc"]] == [2, 0, 0]
    assert starts[wanted["medt", "lidc"][0].name] == 1
    assert [len(rows) for rows in training.curves_of(fitted, ["unet", "infnet"])["lidc"].values()] == [2]
    assert not [cell for cell in training.beyond_cells(fitted) if cell.row == "infnet"]
    assert finished.first_runs(fitted, ["unet", "infnet"], "lidc")["unet"].spec == wanted["unet", "lidc"][1]
    assert all(not record.failed for record in choices.read_records(config, "lidc"))


@pytest.mark.parametrize("there", [(), ("lgan_basic", "baseline_unet"), None])
def test_lungs(config, there, keep):
    wanted = {place: of for n in (2, 3, 4) for place, of in specs(f"lgan/table-{n}", config).items()}
    keep([item for (row, _), of in wanted.items() if there is None or row in there for item in of])
    fitted = finished.fit_rows(wanted, config)
    for name in ("table-2", "table-3", "table-4"):
        rows = lungs.table_cells(name, fitted)
        result = tables.ResultTable("lgan", name, "", "c", rows, details=lungs.seed_spread(fitted))
        text = tables.write(result, config, {}).with_suffix(".md").read_text()
        assert ("not finished" in text) == (there is not None)
    rows = lungs.all_cells(fitted)
    tables.write(tables.ResultTable("workbook", "lgan", "t", "c", rows, lungs.UNITS), config, {})
    judge("lgan", lungs.scores(fitted))
    critics = plots.curves(training.curves_of(fitted, ["lgan_basic"]), ["critic_gap", "adversarial_share"])
    assert (critics is None) == (there == ())


def test_failed_trainings_of_lungs_are_told(config, keep):
    wanted = specs("lgan/table-2", config)
    keep(wanted["lgan_basic", "lidc-lung"], failed=True)
    fitted = finished.fit_rows(wanted, config)
    assert lungs.seed_spread(fitted)["seeds"] == {}
    assert {(len(score.values), score.failed) for score in lungs.scores(fitted).values()} == {(0, 3)}
    [note] = {cell.note.partition(";")[0] for cell in lungs.table_cells("table-2", fitted)}
    assert note.endswith("failed (3 of 3)")
    assert all(np.isnan(cell.ours_mean) for cell in lungs.all_cells(fitted))


@pytest.mark.parametrize("there", [(), ("content_only",), ("content_only", "srgan")])
def test_super_resolution(config, there, keep, record_of):
    wanted = {(row, CT): [spec(row, CT, config, 2020 + i) for i in range(2)] for row in ("content_only", "srgan")}
    terms = {f"loss_{name}": (0.1, 0.2, 0.3) for name in ("content", "adversarial", "vgg22", "total_variation")}
    curves = record_of(wanted["srgan", CT][0]).curves | terms
    keep([item for (row, _), of in wanted.items() if row in there for item in of], curves=curves)
    fitted = finished.fit_rows(wanted, config)
    assert len(super_resolution.overview(fitted)) == 2 * len(there)
    measured = super_resolution.quality(fitted)
    rows = super_resolution.cells(measured, CT)
    result = tables.ResultTable("workbook", "sr", "t", "c", rows, units=super_resolution.METRICS)
    tables.write(replace(result, details=training.seed_spread(rows, fitted)), config, {})
    pairs = set(super_resolution.differences(measured)["comparison"])
    assert len(pairs) == sum({*pair} <= {*there, *INTERPOLATIONS} for pair in super_resolution.PAIRS) * bool(there)
    assert super_resolution.truth(fitted, 3) is None
    seeds = {row: [training.with_steps(run.record) for run in runs] for (row, _), runs in fitted.items()}
    assert (plots.curves({CT: seeds} if seeds else {}, ["validation_psnr"]) is None) == (not there)
    drawn = plots.gan_health({CT: seeds["srgan"]} if "srgan" in seeds else {})
    assert (drawn is None) == ("srgan" not in there)
    assert panels.enlarged([]) is plots.spectra({}) is plots.edges({}) is None


def test_networks_beside_doctors(config):
    assert cascade.doctors(finished.fit_rows(rows_of(["casgan"], "lidc-500", config), config)) == {}
    assert cascade.views(finished.Fitted({}), ("neither", "dtm_csf"), "lnsm", config) == []
    words = finished.unfinished(finished.Fitted({}), ["casgan_soft"], cascade.BEYOND_NODULES)
    assert words == "CasGAN, soft masks on ISBI 2012, CasGAN, soft masks on PROMISE12"
