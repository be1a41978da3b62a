"""From made-up records of lungs to cells, scans' Dice, verdicts and pictures; the losses' signs on fresh networks."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from softmask import papers
from softmask.analysis import claims, lungs, lungs_shown
from softmask.config import Config
from softmask.experiments import Run, specs
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import LUNGS_COMPARED, rows_of
from softmask.measure.verdicts import FAILS, HOLDS, INCONCLUSIVE, NOT_RUN
from softmask.nets import build
from softmask.nets.critics import CRITICS
from softmask.report import lung_panels, tables

SCANS, EACH = 12, 2
N = SCANS * EACH
GROUPS = tuple(f"scan{i // EACH:02d}" for i in range(N))
IDS = tuple(f"lidc-lung/{group}/lungs/slice-{i % EACH}" for i, group in enumerate(GROUPS))
SIZE, STORED = 16, (32, 32)


@pytest.fixture
def config(config):
    return Config.from_parameters("smoke", "embedded", seeds=2)


@pytest.fixture
def record_of(record):
    def record_of(spec, **measures):
        random = np.random.default_rng([spec.seed, *map(ord, spec.name)])
        true, common = random.integers(500, 900, N), random.integers(300, 500, N)
        inside = np.where(np.arange(N) % 3 == 0, random.uniform(0.97, 1, N), np.nan)
        made = {
            "iou": random.uniform(0.5, 0.9, N),
            "hausdorff": random.uniform(2, 9, N),
            "pixels_true": true,
            "pixels_found": common + 100,
            "pixels_common": common,
            "nodules_inside": inside,
            "nodules_at_wall_inside": inside,
        }
        curves = {"validation_dice": [0.3] * 5}
        return record(spec, made | measures, ids=IDS, groups=GROUPS, curves=curves)

    return record_of


@pytest.fixture
def fitted(config, record_of):
    wanted = {place: some for n in (2, 3, 4) for place, some in specs(f"lgan/table-{n}", config).items()}
    return {place: [Run(spec, record_of(spec)) for spec in some] for place, some in wanted.items()}


def again(runs, **measures):
    changed = {name: tuple(values) for name, values in measures.items()}
    return [replace(run, record=replace(run.record, measures=run.record.measures | changed)) for run in runs]


def test_means_and_medians_are_over_slices_pooled_over_seeds(fitted):
    runs = fitted["lgan_basic", "lidc-lung"]
    values = np.concatenate([run.record.measures["iou"] for run in runs])
    result = {cell.metric: cell for cell in lungs.table_cells("table-2", {("lgan_basic", "lidc-lung"): runs})}
    assert result["mean_iou"].ours_mean == pytest.approx(values.mean())
    assert result["mean_iou"].ours_std == pytest.approx(values.std(ddof=1))
    assert result["median_iou"].ours_mean == pytest.approx(np.median(values))
    assert np.isnan(result["median_iou"].ours_std)
    assert (result["mean_iou"].n_images, result["mean_iou"].n_seeds) == (2 * N, 2)


def test_infinite_distances_are_left_out_and_counted(fitted):
    runs = again(fitted["lgan_basic", "lidc-lung"], hausdorff=[float("inf")] * 3 + [4.0] * (N - 3))
    result = {cell.metric: cell for cell in lungs.table_cells("table-2", {("lgan_basic", "lidc-lung"): runs})}
    assert result["mean_hausdorff"].ours_mean == pytest.approx(4)
    assert "infinite on 6 of 48 slices" in result["mean_hausdorff"].note


def test_slices_without_lung_count_as_blank_or_not_and_in_no_mean(fitted):
    true, result = np.full(N, 500.0), np.full(N, 400.0)
    true[:4], result[:3] = 0, 0
    iou = np.where(true > 0, 0.8, 0.0)
    place = ("lgan_basic", "lidc-lung")
    runs = again(fitted[place], pixels_true=true, pixels_found=result, iou=iou)
    cells = {cell.metric: cell for cell in lungs.all_cells({place: runs})}
    assert cells["mean_iou"].ours_mean == pytest.approx(0.8)
    assert cells["mean_iou"].n_images == 2 * (N - 4)
    assert cells["left_blank"].ours_mean == pytest.approx(3 / 4)
    assert np.isnan(lungs.scores({place: runs})[*place, "iou"].values[:, :4]).all()


def test_a_scans_dice_counts_the_pixels_of_all_its_slices(fitted):
    runs = again(
        fitted["lgan_basic", "lidc-lung"],
        pixels_true=[100.0, 300.0] * SCANS, pixels_found=[100.0, 100.0] * SCANS, pixels_common=[50.0, 100.0] * SCANS,
    )  # fmt: skip
    assert lungs.measured(runs, lungs.DICE3D) == pytest.approx(np.full((2, SCANS), 2 * 150 / 600))


def test_claims_compare_slices_and_scans(fitted):
    scores = lungs.scores(fitted)
    judged = {claim.words: claims.judge(claim, scores) for claim in papers.load("lgan").claims}
    pairs = [pair for verdict in judged.values() for pair in verdict.pairs]
    assert all(pair.outcome.difference is not None for pair in pairs)
    assert {pair.outcome.difference.images for pair in pairs if pair.pair.metric.endswith("dice3d")} == {SCANS}
    assert {verdict.unit for verdict in judged.values()} == {"percentage points", "pixels"}


@pytest.mark.parametrize(
    ("inside", "verdict"), [([1.0, 0.99], HOLDS), ([0.5, 0.55], FAILS), ([0.85, 1.0], INCONCLUSIVE)]
)
def test_nodules_on_the_boundary_are_judged_over_scans(fitted, inside, verdict):
    place = ("lgan_regression", "lidc-lung")
    runs = again(fitted[place], nodules_at_wall_inside=np.repeat(np.resize(inside, SCANS), EACH))
    result = claims.judge(claims.find("lgan", "contains the nodules"), lungs.scores({place: runs}))
    assert result.verdict == verdict
    assert result.pairs[0].outcome.difference.patients == SCANS


def test_places_with_nodules_are_of_different_scans_first(fitted):
    runs = again(fitted["lgan_basic", "lidc-lung"], nodules_at_wall_inside=[1.0] * 6 + [float("nan")] * (N - 6))
    assert lungs_shown.wall_places(runs, 3) == [0, 2, 4]
    assert lungs_shown.wall_places(runs, 5) == [0, 1, 2, 3, 4]


def test_slices_and_maps_come_from_the_networks(fitted, config, monkeypatch):
    random = np.random.default_rng(0)
    images = random.uniform(size=(N, 1, SIZE, SIZE)).astype(np.float32)
    stored = random.integers(0, 2, (N, 1, *STORED)).astype(bool)
    references = {"native": stored, "nodules": ~stored, "native_image": (255 * stored).astype(np.uint8)}
    test = Part(IDS, GROUPS, images, images > 0.5, references=references)
    data = Prepared("lidc-lung", "embedded", "", "", test, test, test)
    monkeypatch.setattr(lungs_shown, "data_of", lambda run, config: data)
    [recorded, _] = fitted["lgan_basic", "lidc-lung"]
    own = {"spec": recorded.spec, "record": recorded.record, "key": "k", "folder": "somewhere", "needs": ()}
    untrained = SimpleNamespace(**own, network=lambda: build("lgan_generator", 2).eval())
    runs = {("lgan_basic", "lidc-lung"): [untrained]}
    result = lungs_shown.slices(runs, ["lgan_basic"], "lidc-lung", lambda runs, count: [3, 5], 2, config)
    np.testing.assert_array_equal([item.seen for item in result], images[[3, 5], 0])
    assert result[0].lungs.shape == result[0].masks["lgan_basic"].shape == STORED
    assert (result[1].nodules == ~stored[5, 0]).all()
    maps = lungs_shown.activations(untrained, images[0, 0])
    assert maps["encoder1"].shape == (SIZE, SIZE)
    assert maps["encoder5"].shape == (SIZE // 16, SIZE // 16)
    assert all(item.min() >= 0 and item.max() <= 1 for item in maps.values())
    lungs_shown.activation_figure(runs, "lgan_basic", "lidc-lung", config).canvas.draw()
    lung_panels.lungs(*zip(*((item.image, item.lungs, item.masks) for item in result), strict=True)).canvas.draw()
    arrays = ((item.image, item.lungs, item.masks["lgan_basic"], item.nodules) for item in result)
    lung_panels.nodules_in_lungs(*zip(*arrays, strict=True)).canvas.draw()


def test_the_hardest_slices_are_of_different_parts_and_scans():
    iou = np.full(12, 0.9)
    iou[[1, 2, 6, 10]] = (0.3, 0.2, 0.4, 0.1)  # of scan a, slices 0 to 5, and of scan b
    measures = {"iou": iou, "pixels_true": np.r_[1, np.full(11, 100)]}
    runs = [SimpleNamespace(record=SimpleNamespace(measures=measures, groups=("a",) * 6 + ("b",) * 6))]
    assert lungs_shown.hardest_places(runs, 2) == [2, 10]
    assert len(set(lungs_shown.hardest_places(runs, 3))) == 3


def test_the_surroundings_of_a_nodule_stay_inside_the_image():
    nodules = np.zeros((200, 200), bool)
    nodules[5:9, 100:104] = True
    whole = lungs_shown.Slice(nodules, nodules, nodules, nodules, {"x": ~nodules})
    part = lungs_shown.around_nodules(whole, reach=40)
    assert part.image.shape == part.masks["x"].shape == (80, 80)
    assert np.argwhere(part.nodules)[[0, -1]].tolist() == [[5, 38], [8, 41]]


def test_the_signs_of_every_critic_and_of_the_generator_are_right(config):
    rows, columns = np.indices((32, 32))
    masks = np.stack([np.hypot(rows - 16, columns - c) < 9 for c in (12, 14, 16, 18)])[:, None].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.05, masks.shape)
    images = np.clip(0.7 - 0.5 * masks + noise, 0, 1).astype(np.float32)
    ids = tuple(map(str, range(4)))
    frame = lungs_shown.sign_frame(Part(ids, ids, images, masks), config)
    assert len(frame) == len(CRITICS)
    assert frame["gap increased"].all()
    assert frame["D(predicted) increased"].all()


@pytest.fixture
def real(config, record_of):
    """Made-up runs of all methods on real slices, one of each scan."""
    groups = tuple(f"ID_{i:04d}" for i in range(N))
    shares = {"lgan_basic": [0.0, 0.02, 0.01], "lgan_basic_amplified": [0.0, 0.3, 0.2]}
    runs = {}
    for (row, _), specs_ in rows_of(LUNGS_COMPARED, lungs.REAL, config, "lgan").items():
        records = [replace(record_of(spec), groups=groups) for spec in specs_]
        if row in shares:
            records = [replace(record, curves=record.curves | {"adversarial_share": shares[row]}) for record in records]
        runs[row, lungs.REAL] = [Run(record.spec, record) for record in records]
    return runs


def test_real_slices_are_a_substitute_without_whole_scans(real, config):
    cells = lungs.all_cells(real)
    assert {cell.source for cell in cells} == {"substitute"}
    assert not {cell.metric for cell in cells} & {"mean_dice3d", "median_dice3d", *lungs.SHARES}
    assert not [key for key in lungs.scores(real) if key[2].endswith("dice3d")]
    result = tables.ResultTable("workbook", "lgan-real-slices", "lungs", "a test", cells, lungs.UNITS)
    tables.write(result, config, {})


def test_claims_about_slices_are_judged_on_real_ones_each_pair_once(real):
    questions = [claim for claim in map(lungs.on_real, papers.load("lgan").claims) if claim]
    assert len(questions) == 6, "of ten claims two are about 3D Dice and one about nodules, and none is given twice"
    words = [claim.words for claim in questions]
    assert len(set(words)) == len(words)
    assert all(text.endswith(", on real slices") for text in words)
    first = questions[0]
    assert [pair.better for pair in first.pairs] == [f"lgan_{critic}" for critic in CRITICS]
    assert {pair.dataset for claim in questions for pair in claim.pairs} == {lungs.REAL}
    verdict = claims.judge(first, lungs.scores(real))
    assert all("substitute" in judged.outcome.data for judged in verdict.pairs)


def test_a_claim_that_its_own_collections_do_not_decide_is_decided_on_real_slices(real):
    asked = papers.load("lgan").claims
    judged = [claims.judge(claim, {}) for claim in asked]
    decided = lungs.decided_on_real(judged, lungs.scores(real))
    assert [verdict.claim for verdict in decided] == [claim.words for claim in asked]
    real_too = {verdict.claim for verdict in decided if verdict.verdict != NOT_RUN}
    assert real_too == {claim.words for claim in asked if lungs.on_real(claim)}
    assert lungs.decided_on_real(judged, {}) == judged
    other = [replace(verdict, verdict=HOLDS) for verdict in judged]
    assert lungs.decided_on_real(other, lungs.scores(real)) == other


def test_networks_are_compared_with_morphology_in_the_right_direction(real):
    place, good = ("lgan_basic", lungs.REAL), {"hausdorff": (1.0,) * N, "iou": (0.99,) * N}
    records = [replace(run.record, measures=run.record.measures | good) for run in real[place]]
    changed = real | {place: [Run(record.spec, record) for record in records]}
    for claim in lungs.against_morphology(["lgan_basic"]):
        [judged] = claims.judge(claim, lungs.scores(changed)).pairs
        assert (judged.pair.worse, judged.outcome.verdict) == ("morph", HOLDS)


def test_the_critics_share_counts_from_the_epoch_in_which_it_is_followed(real):
    cells = lungs.share_cells(real)
    assert [cell.row for cell in cells] == ["lgan_basic"] * 2 + ["lgan_basic_amplified"] * 2
    assert [cell.metric for cell in cells] == ["share_first", "share_mean"] * 2
    assert [cell.ours_mean for cell in cells] == pytest.approx([0.02, 0.015, 0.3, 0.25])
