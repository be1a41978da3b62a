"""Labels against the truth and the readers: what enters a label, and numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import labelling
from softmask.errors import ConfigError, DataError, LabelError
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
    return labelling.labels_of(sample)


def test_every_label_is_a_soft_mask_of_the_image(sample, labels) -> None:
    assert tuple(labels) == labelling.LABELS
    for name, values in labels.items():
        assert values.shape == sample.image.shape, name
        assert values.min() == 0, name
        assert 0.5 <= values.max() <= 1, name
    assert {name for pair in labelling.PAIRS for name in pair} <= set(labelling.LABELS)


def test_labels_that_need_no_image_by_hand(sample, labels) -> None:
    first, mean = sample.readers[0], sample.readers.sum(axis=0) / 4
    np.testing.assert_array_equal(labels["mask_binary"], first)
    np.testing.assert_array_equal(labels["readers_mean"], mean)
    np.testing.assert_array_equal(labels["readers_consensus"], mean >= 0.5)
    np.testing.assert_array_equal(labels["softened"], np.maximum(first, labels["mask_soft"]))
    assert {0, 1} == set(np.unique(labels["recist_grabcut"])) == set(np.unique(labels["recist_ellipse"]))
    assert dice(labels["recist_ellipse"] > 0, first) > 0.95  # the first reader drew a disc


def test_half_of_the_iterations_beside_all_of_them(sample):
    records = labelling.halved(sample)
    found = by_label(records, "dice_consensus")
    assert list(found) == ["grabcut_all", "grabcut_half", "soft_half"]
    assert min(found.values()) > 0.8
    scores = labelling.scores(pd.DataFrame(records), "lidc", "embedded", "dice_consensus")
    [one] = [scores["soft_half", "lidc", "dice_consensus"]]
    assert one.values.tolist() == [[found["soft_half"]]]
    assert (one.ids, one.patients, one.fixed) == ((sample.id,), (sample.patient,), True)


def test_labels_find_a_clear_disc(sample, labels) -> None:
    truth = sample.alpha >= 0.5
    for name in ("mask_soft", "readers_soft", "recist_soft", "recist_grabcut"):
        assert dice(labels[name] >= 0.5, truth) > 0.93, name


def test_labels_from_one_reader_know_nothing_of_the_others_or_the_truth(sample, labels) -> None:
    readers = sample.readers.copy()
    readers[1:] = np.roll(readers[1:], 4, axis=1)
    other = labelling.labels_of(replace(sample, readers=readers, alpha=1 - sample.alpha))
    changed = {name for name in labels if not np.array_equal(labels[name], other[name])}
    assert changed == READER_LABELS


def test_the_first_reader_who_was_present_is_the_one_who_labels(sample, labels) -> None:
    readers = np.concatenate([np.zeros_like(sample.readers[:1]), sample.readers])
    later = labelling.labels_of(replace(sample, readers=readers, present=np.arange(5) > 0))
    for name in labelling.LABELS:
        np.testing.assert_array_equal(later[name], labels[name], err_msg=name)


def test_labels_are_the_same_every_time(sample, labels) -> None:
    for name, values in labelling.labels_of(sample).items():
        np.testing.assert_array_equal(values, labels[name], err_msg=name)


def test_no_label_without_a_reader(sample) -> None:
    axes = np.array([[[32, 23], [32, 41]], [[23, 32], [41, 32]]], float)
    alone = replace(sample, readers=sample.readers[:0], present=sample.present[:0], recist=axes)
    for study in (labelling.against_alpha, labelling.against_readers):
        with pytest.raises(LabelError, match="lidc/p0/n0/s0: no reader is present"):
            study(alone)


def test_a_lesion_of_one_pixel_is_left_out_and_listed(dataset_of, sample) -> None:
    dot = np.zeros_like(sample.readers)
    dot[:, 32, 32] = True
    dataset = dataset_of([replace(sample, patient="p1", slice="s1", readers=dot), sample])
    records = map_samples(labelling.against_alpha, dataset, [0, 1], jobs=1)
    assert {record["sample"] for record in records} == {sample.id}
    assert [problem.where for problem in dataset.problems] == ["lidc/p1/n0/s1"]


def test_errors_against_the_truth_by_hand(sample) -> None:
    records = labelling.against_alpha(sample)
    assert [record["label"] for record in records] == list(labelling.LABELS)
    assert {(r["sample"], r["patient"], r["kind"]) for r in records} == {("lidc/p0/n0/s0", "p0", None)}
    band, mask, truth = soft.edge_band(sample.alpha), sample.readers[0].astype(float), sample.alpha.astype(float)
    error = np.abs(mask - truth)[band]
    found = records[0]
    assert found["mae_band"] == pytest.approx(error.mean())
    assert found["mse_band"] == pytest.approx((error**2).mean())
    assert found["soft_dice"] == pytest.approx(2 * np.minimum(mask, truth).sum() / (mask + truth).sum())
    assert found["dice"] == pytest.approx(dice(mask > 0, truth >= 0.5))
    assert all(found["gradient_error"] > 0 for found in records)


def test_a_label_that_is_the_truth_has_no_error(sample) -> None:
    exact = labelling.against_alpha(replace(sample, alpha=sample.readers[0].astype(np.float32)))[0]
    assert [exact[name] for name in ("mae_band", "mse_band", "gradient_error", "soft_dice", "dice")] == [0, 0, 0, 1, 1]


def test_real_data_has_no_truth_to_compare_with(dataset_of, sample) -> None:
    dataset = dataset_of([replace(sample, alpha=None)])
    with pytest.raises(ConfigError, match="lidc/p0/n0/s0: real data has no true alpha"):
        map_samples(labelling.against_alpha, dataset, [0], jobs=1)


def test_agreement_with_the_readers_by_hand(sample) -> None:
    records = labelling.against_readers(sample)
    assert [record["label"] for record in records] == list(labelling.LABELS)
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


def test_readers_who_agree_leave_nothing_disputed(sample, recwarn) -> None:
    records = labelling.against_readers(replace(sample, readers=np.repeat(sample.readers[:1], 4, axis=0)))
    assert all(np.isnan(record["mae_mean"]) for record in records)
    assert by_label(records, "dice_others")["mask_binary"] == 1
    assert not recwarn


def test_two_readers_are_each_others_reference_and_one_has_none(dataset_of, sample) -> None:
    two = replace(sample, present=np.arange(4) < 2, readers=sample.readers * (np.arange(4) < 2)[:, None, None])
    others = by_label(labelling.against_readers(two), "dice_others")
    assert others["mask_binary"] == pytest.approx(dice(sample.readers[0], sample.readers[1]))
    one = replace(sample, present=np.arange(4) < 1, readers=sample.readers * (np.arange(4) < 1)[:, None, None])
    dataset = dataset_of([one])
    assert map_samples(labelling.against_readers, dataset, [0], jobs=1) == []
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
    table = labelling.compare(
        records, "m", [("mask_binary", "mask_soft"), ("mask_soft", "mask_binary"), ("mask_binary", "x")]
    )
    up, down, none = table.to_dict("records")
    assert (up["a"], up["b"], none["b"]) == ("one reader's mask", "soft mask from one reader's mask", "x")
    assert (up["mean of a"], up["mean of b"], up["difference"]) == pytest.approx((0.2, 0.4, 0.2))
    assert 0.1 <= up["low"] < 0.2 < up["high"] <= 0.3  # resamples of 0.1, 0.2, 0.3
    assert up["p"] == pytest.approx(2 / 8)  # three differences of one sign: two of the 2^3 sign patterns
    assert [row["p (Holm)"] for row in (up, down, none)] == pytest.approx([0.75, 0.75, 1])  # three lines
    assert [row["n"] for row in (up, down, none)] == [3, 3, 3]
    assert (down["difference"], down["low"]) == pytest.approx((-0.2, -up["high"]), abs=0.02)
    assert [row["b is"] for row in (up, down, none)] == ["higher", "lower", "no clear difference"]


def test_a_sample_without_one_of_the_values_counts_in_neither_mean() -> None:
    records = long(a=[0.1, 0.3, 0.9], b=[0.2, 0.5, np.nan])
    row = labelling.compare(records, "m", [("a", "b")]).iloc[0]
    assert row["n"] == 2
    assert (row["mean of a"], row["mean of b"]) == pytest.approx((0.2, 0.35))
    assert row["difference"] == pytest.approx(row["mean of b"] - row["mean of a"])
    fewer = records[~((records["sample"] == "s1") & (records["label"] == "b"))]  # the record is missing
    assert labelling.compare(fewer, "m", [("a", "b")]).iloc[0]["n"] == 1


def test_samples_are_paired_by_name_and_the_seed_decides_the_interval() -> None:
    rng = np.random.default_rng(0)
    records = long(a=rng.random(30).tolist(), b=rng.random(30).tolist())
    one = labelling.compare(records, "m", [("a", "b")])
    pd.testing.assert_frame_equal(
        one, labelling.compare(records.sample(frac=1, random_state=1), "m", [("a", "b")]).astype(one.dtypes)
    )
    other = labelling.compare(records, "m", [("a", "b")], seed=1)
    assert other["difference"].equals(one["difference"])
    assert not other["low"].equals(one["low"])


def test_labels_that_are_alike_do_not_differ() -> None:
    row = labelling.compare(long(a=[0.1, 0.2], b=[0.1, 0.2]), "m", [("a", "b")]).iloc[0]
    assert (row["difference"], row["low"], row["high"], row["p"], row["b is"]) == (0, 0, 0, 1, "no clear difference")


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(DataError):
        labelling.compare(long(a=[np.nan], b=[0.1]), "m", [("a", "b")])


def test_samples_of_one_patient_count_as_one() -> None:
    records = long(a=[0.1] * 6, b=[0.2, 0.3, 0.4] * 2)
    alone = labelling.compare(records, "m", [("a", "b")]).iloc[0]
    grouped = labelling.compare(records.assign(patient="p0"), "m", [("a", "b")]).iloc[0]
    assert alone["p"] == pytest.approx(2 / 2**6)
    assert (grouped["p"], grouped["n"]) == (1, 6)  # one patient has but two signs
    assert grouped["low"] == pytest.approx(grouped["difference"])
