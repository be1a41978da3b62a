"""What a choice changes, on masks and records whose numbers are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import choices
from softmask.errors import DataError
from softmask.experiments.plan import records_folder
from softmask.experiments.rows import spec


@pytest.fixture
def slices(dataset_of, strips):
    """Three slices: no pixel is everyone's; all agree; one doctor marks half."""
    return dataset_of([
        strips(0, [0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 2, 3], [4, 5, 6, 7]),
        strips(1, *[[0, 1, 2, 3]] * 4),
        strips(2, [0, 1], [0, 1], [0, 1], [0]),
    ])  # fmt: skip


def by_name(made):
    return {(item.where, item.instead): item for item in made}


def test_readers_masks_slice_by_slice(slices):
    result = choices.read_slices(slices, range(3))
    np.testing.assert_allclose(result["pairs"], [(0.5 + 1 + 0 + 0.5 + 0.5 + 0) / 6, 1, (3 + 3 * 2 / 3) / 6])
    np.testing.assert_allclose(result["two_votes"], [0.7, 1, (3 + 2 / 3) / 4])
    # three votes: columns 2 and 3; all; 0 and 1
    np.testing.assert_allclose(result["three_votes"], [(3 * 2 / 3 + 0) / 4, 1, (3 + 2 / 3) / 4])
    assert list(result["no_common_pixel"]) == [1, 0, 0]
    assert list(result["all_agree"]) == [0, 1, 0]
    np.testing.assert_allclose(result["pairs_pooled"] * result["pairs_size"], [2 * 10 / 6, 8, 2 * (3 * 2 + 3 * 1) / 6])


def test_choices_about_readers(slices):
    result = choices.read_slices(slices, range(3))
    made = by_name(choices.reader_choices(result, "real"))
    votes = made["50 % consensus", "more than half: 3 of 4"]
    assert (votes.chosen, votes.other) == pytest.approx((result["two_votes"].mean(), result["three_votes"].mean()))
    pooled = made["mean of Dice", "pooled: over the pixels of all slices"]
    assert pooled.other == pytest.approx((10 / 3 + 8 + 3) / (8 + 8 + 3.5))
    none = made["readers who share no pixel", "any other"]
    assert none.other == pytest.approx(1 / 3)
    assert made["the contour's own pixels", "inside"].n == 3


def test_slices_of_a_nodule():
    names = {"nodule": list("abbb"), "patient": list("pqqq")}
    result = pd.DataFrame(names | {"pairs": [0.9, 0.5, 0.7, 0.6], "area": [4, 9, 9, 2]})
    nodules = choices.by_nodule(result).set_index("nodule")
    assert list(nodules.loc["b", ["largest", "middle", "least"]]) == [0.5, 0.7, 0.5]
    assert nodules.loc["b", "every"] == pytest.approx(0.6)
    assert list(nodules.loc["a", ["largest", "middle", "least", "every"]]) == [0.9] * 4


def test_slices_without_four_readers_are_left_out_and_listed(dataset_of, strips):
    dataset = dataset_of([strips(0, [0], [0], [0], []), strips(1, *[[0, 1]] * 4)])
    assert len(choices.read_slices(dataset, [0, 1])) == 1
    assert "four" in dataset.problems[0].why
    with pytest.raises(DataError, match="no image"):
        choices.read_slices(dataset, [0])


def test_choices_about_labels(discs):
    lines = pd.DataFrame([line for i in range(3) for line in choices.label_lines(discs(i, radius=10 + i))])
    made = by_name(choices.label_choices(lines, "embedded"))
    assert len(made) == len(lines) / 3 == 12
    wider = made["Kats, radius of the band", "2 pixels"]
    assert wider.other > wider.chosen
    grey = made["grey levels", "stretched from minimum to maximum"]
    assert grey.other == pytest.approx(grey.chosen, abs=1e-3)
    assert all(0 <= item.chosen <= 1 and item.low <= item.other - item.chosen <= item.high for item in made.values())


@pytest.fixture
def record_of(config, record):
    def record_of(network="unet", **changes):
        prediction = np.zeros((64, 64), np.uint8)
        prediction[25:40, 25:40] = 200
        measures = {
            "dice": [0.8, 0, 0.6],
            "ppv": [0.9, np.nan, 0.7],
            "hausdorff": [2, np.inf, 4],
            "hd95": [1, np.inf, 3],
        }
        changed = {"predictions": {"lidc/p0/n0/s0": prediction}, "curves": {"validation_dice": [0.5, 0.7, 0.6]}}
        return record(spec(network, "lidc", config), measures | changes, 3, **changed)

    return record_of


def test_choices_about_testing(record_of):
    made = by_name(choices.lesion_choices([record_of()]))
    empty = made["Dice where nothing was found", "left out"]
    assert (empty.chosen, empty.other) == pytest.approx((1.4 / 3, 0.7))
    assert made["PPV where nothing was found", "0"].other == pytest.approx(1.6 / 3)
    assert made["Hausdorff distance", "its 95th percentile"].other == 2
    diagonal = made["Hausdorff distance where nothing was found", "the image's diagonal"]
    assert diagonal.other == pytest.approx((6 + np.hypot(64, 64)) / 3)
    assert made["mean of Dice", "over patients, of each the mean of its images"].other == pytest.approx((0.4 + 0.6) / 2)
    epoch = made["which epoch is tested", "last"]
    assert (epoch.chosen, epoch.other) == (0.7, 0.6)
    assert not any(where.startswith("truth of") for where, _ in made)
    again = choices.lesion_choices([record_of(dice_consensus=[0.7, 0.0, 0.5])])
    assert by_name(again)["truth of lidc's test images", "the readers' 50 % consensus"].other == pytest.approx(0.4)


def test_slices_without_lung(record_of):
    first = record_of(iou=[0.9, 0.0, 0.7], pixels_true=[5, 0, 5])
    [choice] = choices.lung_choices([first])
    assert (choice.chosen, choice.other) == pytest.approx((0.8, 1.6 / 3))


def test_predictions_that_a_record_keeps(record_of, discs):
    sample = discs(0)
    networks = [record_of(), record_of("softgan")]
    lines = choices.kept_lines(sample, networks)
    assert [line["learnt"] for line in lines] == [False, True]
    assert lines[0]["0.5"] == lines[0]["0.3"] == lines[0]["0.7"] > lines[0]["0.9"] == 0
    made = by_name(choices.kept_choices(lines, "lidc", "embedded"))
    assert made["where a network's output is cut", "0.9"].other == 0
    assert len(made) == 4
    assert len(choices.kept_choices(lines[:1], "lidc", "embedded")) == 3  # nobody learnt a soft mask
    assert choices.kept_choices([], "lidc", "embedded") == []


def test_records_are_read_by_data_set(config, record_of):
    folder = records_folder(config)
    folder.mkdir(parents=True)
    first = record_of()
    (folder / f"{first.spec.name}.json").write_text(first.to_json())
    assert [len(choices.read_records(config, name)) for name in ("lidc", "lnsm")] == [1, 0]
    assert choices.lesion_choices([]) == choices.lung_choices([]) == []
    (folder / "lidc-broken.json").write_text("{")
    with pytest.raises(DataError, match=r"lidc-broken\.json"):
        choices.read_records(config, "lidc")


def test_the_table_numbers_its_rows():
    first = choices.compared(("here", "a", "b", "Dice"), [0.5, 0.7], [0.6, 0.9], "pq", "real")
    cells = {(cell.row, cell.metric): cell for cell in choices.cells([first, first])}
    assert list(dict.fromkeys(row for row, _ in cells)) == ["1. here", "2. here"]
    assert cells["1. here", "difference"].ours_mean == pytest.approx(0.15)
    assert cells["1. here", "choice_and_alternative"].note == "a / b"
