"""Labels against the truth and the readers: what enters a label, and numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import labels as study
from softmask.config import Config
from softmask.errors import ConfigError, LabelError
from softmask.experiments import Run
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import rows_of
from softmask.label import trimap
from softmask.label.matting import closed_form_alpha
from softmask.label.soft_labels import gros_interpolation, kats_dilation
from softmask.measure import soft
from softmask.parallel import map_samples

READER_LABELS = {"readers_consensus", "readers_mean", "readers_soft"}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def by_label(records: list[dict], metric: str) -> dict[str, float]:
    return {record["label"]: record[metric] for record in records}


@pytest.fixture(scope="module")
def sample(discs):
    return discs(0)


@pytest.fixture(scope="module")
def labels(sample):
    return study.labels_of(sample)


def test_labels_that_need_no_image_by_hand(sample, labels) -> None:
    first, mean = sample.readers[0], sample.readers.sum(axis=0) / 4
    np.testing.assert_array_equal(labels["mask_binary"], first)
    np.testing.assert_array_equal(labels["readers_mean"], mean)
    np.testing.assert_array_equal(labels["readers_consensus"], mean >= 0.5)
    np.testing.assert_array_equal(labels["softened"], np.maximum(first, labels["mask_soft"]))
    assert {0, 1} == set(np.unique(labels["recist_grabcut"])) == set(np.unique(labels["recist_ellipse"]))
    assert dice(labels["recist_ellipse"] > 0, first) > 0.95  # the first reader drew a disc


def test_labels_from_one_reader_know_nothing_of_the_others_or_the_truth(sample, labels) -> None:
    readers = sample.readers.copy()
    readers[1:] = np.roll(readers[1:], 4, axis=1)
    other = study.labels_of(replace(sample, readers=readers, alpha=1 - sample.alpha))
    changed = {name for name in labels if not np.array_equal(labels[name], other[name])}
    assert changed == READER_LABELS


@pytest.mark.parametrize(
    "study_of",
    [study.against_alpha, study.against_readers, study.compare_algorithms, study.compare_settings],
)
def test_no_label_without_a_reader(sample, study_of) -> None:
    axes = np.array([[[32, 23], [32, 41]], [[23, 32], [41, 32]]], float)
    alone = replace(sample, readers=sample.readers[:0], present=sample.present[:0], recist=axes)
    with pytest.raises(LabelError, match="lidc/p0/n0/s0: no reader is present"):
        study_of(alone)


def test_errors_against_the_truth_by_hand(sample) -> None:
    records = study.against_alpha(sample)
    assert {(r["sample"], r["patient"], r["kind"]) for r in records} == {("lidc/p0/n0/s0", "p0", None)}
    band, mask, truth = soft.edge_band(sample.alpha), sample.readers[0].astype(float), sample.alpha.astype(float)
    error = np.abs(mask - truth)[band]
    record = records[0]
    assert record["mae_band"] == pytest.approx(error.mean())
    assert record["mse_band"] == pytest.approx((error**2).mean())
    assert record["soft_dice"] == pytest.approx(2 * np.minimum(mask, truth).sum() / (mask + truth).sum())
    assert record["dice"] == pytest.approx(dice(mask > 0, truth >= 0.5))
    assert all(record["gradient_error"] > 0 for record in records)
    with pytest.raises(ConfigError, match="lidc/p0/n0/s0: real data has no true alpha"):
        study.against_alpha(replace(sample, alpha=None))


def test_agreement_with_the_readers_by_hand(sample) -> None:
    records = study.against_readers(sample)
    assert {record["nodule"] for record in records} == {"p0/n0"}
    readers = sample.readers
    first, votes = readers[0], readers.sum(axis=0)
    consensus = by_label(records, "dice_consensus")
    assert consensus["mask_binary"] == pytest.approx(dice(first, votes >= 2))
    assert consensus["readers_consensus"] == 1
    others = by_label(records, "dice_others")
    assert others["mask_binary"] == pytest.approx(dice(first, readers[1:].sum(axis=0) >= 2))
    mean = by_label(records, "mae_mean")
    disputed = (votes > 0) & (votes < 4)
    assert mean["mask_binary"] == pytest.approx(np.abs(first - votes / 4)[disputed].mean())
    assert mean["readers_mean"] == 0


def test_two_readers_are_each_others_reference_and_one_has_none(dataset_of, sample) -> None:
    two = replace(sample, present=np.arange(4) < 2, readers=sample.readers * (np.arange(4) < 2)[:, None, None])
    others = by_label(study.against_readers(two), "dice_others")
    assert others["mask_binary"] == pytest.approx(dice(sample.readers[0], sample.readers[1]))
    first = replace(sample, present=np.arange(4) < 1, readers=sample.readers * (np.arange(4) < 1)[:, None, None])
    dataset = dataset_of([first])
    assert map_samples(study.against_readers, dataset, [0], jobs=1) == []
    assert "at least two readers" in dataset.problems[0].why


def long(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"sample": f"s{i}", "patient": f"p{i}", "label": name, "m": v}
            for name, values in columns.items()
            for i, v in enumerate(values)
        ]
    )


def test_paired_differences_by_hand() -> None:
    records = long(mask_binary=[0.1, 0.2, 0.3], mask_soft=[0.2, 0.4, 0.6], x=[0.3, 0.2, 0.1])
    pairs = [("mask_binary", "mask_soft"), ("mask_soft", "mask_binary"), ("mask_binary", "x")]
    up, down, none = study.compare(records, "m", pairs).to_dict("records")
    assert (up["a"], up["b"], none["b"]) == ("one reader's mask", "soft mask from one reader's mask", "x")
    assert (up["mean of a"], up["mean of b"], up["difference"]) == pytest.approx((0.2, 0.4, 0.2))
    assert 0.1 <= up["low"] < 0.2 < up["high"] <= 0.3  # resamples of 0.1, 0.2, 0.3
    assert up["p"] == pytest.approx(2 / 8)  # three differences of one sign: two of the 2^3 sign patterns
    assert [row["p (Holm)"] for row in (up, down, none)] == pytest.approx([0.75, 0.75, 1])  # three lines
    assert [row["n"] for row in (up, down, none)] == [3, 3, 3]
    assert (down["difference"], down["low"]) == pytest.approx((-0.2, -up["high"]), abs=0.02)
    assert [row["b is"] for row in (up, down, none)] == ["higher", "lower", "no clear difference"]
    [first] = study.compare(records.assign(patient="p0"), "m", [("mask_binary", "mask_soft")]).to_dict("records")
    assert (first["p"], first["n"]) == (1, 3)  # one patient has but two signs


@pytest.fixture(scope="module")
def compared(sample):
    return {record["algorithm"]: record for record in study.compare_algorithms(sample)}


def test_matting_comes_nearer_than_the_mask_and_both_closed_forms_agree(compared) -> None:
    error = {name: record.get("mae_band") for name, record in compared.items()}
    for name in ("closed_form", "pymatting_closed_form", "pymatting_learning_based"):
        assert error[name] < error["binary_mask"], name
    assert error["closed_form"] == pytest.approx(error["pymatting_closed_form"], abs=0.002)


def test_a_solver_that_gives_up_is_recorded_and_other_errors_are_raised(sample, monkeypatch) -> None:
    def fails(message):
        def estimate(image, known):
            raise ValueError(message)

        return estimate

    methods = {"closed_form": closed_form_alpha, "x": fails("CG did not converge.")}
    monkeypatch.setattr(study, "algorithms", lambda: methods)
    records = study.compare_algorithms(sample)
    assert {line["algorithm"]: line["converged"] for line in records} == {"binary_mask": 1, "closed_form": 1, "x": 0}
    assert "mae_band" in records[1]
    assert not {"mae_band", "dice_consensus"} & set(records[2])
    monkeypatch.setattr(study, "algorithms", lambda: {"x": fails("not an image")})
    with pytest.raises(ValueError, match="not an image"):
        study.compare_algorithms(sample)


def test_pymatting_still_says_that_it_did_not_converge() -> None:
    """The words that compare_algorithms looks for are pymatting's own."""
    import pymatting

    hard = np.diag([1.0, 1e9, 3.0])
    with pytest.raises(ValueError, match="did not converge"):
        pymatting.cg(hard, np.ones(3), maxiter=1, rtol=1e-12, atol=0)


def test_one_setting_varies_at_a_time_round_the_packages_own(sample) -> None:
    errors = {record["choice"]: record["mae_band"] for record in study.compare_settings(sample)}
    own = errors["trimap_radius=automatic"]
    assert errors["epsilon=1e-07"] == own == errors["window_radius=1"]
    names = (("epsilon", study.EPSILONS), ("window_radius", study.WINDOW_RADII), ("trimap_radius", study.RADII))
    for setting, values in names:  # a value that changed nothing would not have been passed on
        assert len({errors[f"{setting}={value:g}"] for value in values}) == len(values), setting


def test_times_are_medians_over_samples(sample) -> None:
    times = study.time_labelling([sample, sample], size=64, repeats=2)
    assert times["unknown_pixels"] == np.count_nonzero(trimap.from_mask(sample.masks[0]) == 0.5)
    assert times["total"] == times["trimap"] + times["matting"]
    assert times["recist_total"] == times["recist_trimap"] + times["matting"]
    assert "trimap from a RECIST mark, GrabCut included, 4.2 ms (printed 5), matting 0.8 ms (printed 15)" in (
        study.measured({"recist_trimap": 4.24, "matting": 0.79})
    )
    assert min(times[name] for name in ("trimap", "recist_trimap", "matting", "pymatting")) > 0


ROWS = ("no_soft_label", "kats_dilation", "gros_interpolation", "soft_mask")


def disc(radius: float) -> np.ndarray:
    rows, columns = np.indices((32, 32)) - 16
    return np.hypot(rows, columns) <= radius


@pytest.fixture
def masks() -> np.ndarray:
    return np.stack([disc(radius) for radius in (4, 6, 9)])


def test_rows_with_a_soft_label_have_its_own_dice(masks, record, monkeypatch) -> None:
    config = Config.from_parameters("cpu", "embedded", seeds=1)
    labels = {
        "soft_mask": np.where(masks, 0.4, 0.0)[:, None],
        "kats_dilation": np.stack([kats_dilation(mask) for mask in masks])[:, None],
        "gros_interpolation": np.stack([gros_interpolation(mask) for mask in masks])[:, None],
    }
    part = Part(("a", "b", "c"), ("p", "p", "q"), masks[:, None], masks[:, None], labels)
    data = [Prepared("lidc", "embedded", "discs", "d", part, part, part)]
    monkeypatch.setattr(study, "data_of", lambda run, config: data[0])
    wanted = rows_of(ROWS, "lidc", config)
    fitted = {place: [Run(spec, record(spec, n=3)) for spec in specs] for place, specs in wanted.items()}
    result = {(cell.row, cell.metric): cell for cell in study.ceiling_cells(fitted, fitted, config)}
    assert {row for row, _ in result} == set(ROWS[1:])
    assert result["kats_dilation", "ceiling"].ours_mean == 1
    assert 0.9 < result["gros_interpolation", "ceiling"].ours_mean < 1
    assert result["soft_mask", "ceiling"].ours_mean == 0
    best = result["soft_mask", "ceiling_best"]
    assert (best.ours_mean, best.n_images, best.n_seeds, best.extra) == (1, 3, 1, True)
    assert best.note == "best threshold on LIDC 0.05"
    data[0] = None
    assert study.ceiling_cells(fitted, fitted, config) == []
