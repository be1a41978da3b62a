"""The embedded data sets, through the interface that every data set has."""

import numpy as np
import pytest
from scipy import ndimage

from phantoms import DATASETS
from phantoms import lidc as simulated
from phantoms.base import block_mean
from phantoms.lidc import EmbeddedLidc
from phantoms.membranes import EmbeddedIsbi2012
from phantoms.prostate import SLICES, EmbeddedPromise12, draw_slice, signal_range
from softmask.config import Config
from softmask.data import open_dataset
from softmask.data.image_files import window_hu
from softmask.data.kinds import KINDS
from softmask.data.outlines import recist_axes
from softmask.data.selection import LONG_AXES, four_reader_rows
from softmask.data.splits import PAPER_SIZES, split_rows

PER_KIND = 10
OWN = [  # data set, row, mean HU, standard deviation between neighbours, lesion in pixels
    ("lidc", 0, -644.689, 79.794, 109.447),
    ("lidc", 17, -786.718, 81.922, 762.523),
    ("lidc", 14002, -649.883, 82.559, 5.518),
    ("lnsm", 9999, -477.417, 74.105, 7.123),
]


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture(scope="module")
def lidc():
    return EmbeddedLidc("lidc")


@pytest.fixture(scope="module")
def chosen(lidc):
    """Ten fixed rows of each kind, with their samples."""
    rng = np.random.default_rng(5)
    kinds = lidc.index["kind"].to_numpy()
    rows = np.concatenate([rng.choice(np.flatnonzero(kinds == kind), PER_KIND, replace=False) for kind in KINDS])
    return [(int(row), lidc[int(row)]) for row in rows]


def test_index(lidc):
    index = lidc.index
    assert {"patient", "nodule", "slice", "n_readers", "area", "kind"} <= set(index.columns)
    assert not index.duplicated(["patient", "nodule", "slice"]).any()
    assert index["n_readers"].between(1, 4).all()
    assert len(index) > 15_000
    assert index["patient"].nunique() > 850
    shares = index.drop_duplicates(["patient", "nodule"])["kind"].value_counts(normalize=True)
    assert set(shares.index) == set(KINDS)
    assert shares.min() > 0.02
    assert (index.groupby(["patient", "nodule"])["kind"].nunique() == 1).all()


def test_sample_depends_on_its_names_alone(lidc, chosen):
    again = EmbeddedLidc("lidc")
    for row, sample in chosen[::-11]:  # in another order, from another instance
        other = again[row]
        assert other.id == sample.id
        for name in ("hu", "alpha", "image", "readers"):
            np.testing.assert_array_equal(getattr(other, name), getattr(sample, name))
    assert not np.array_equal(EmbeddedLidc("lnsm")[chosen[0][0]].hu, chosen[0][1].hu)


def test_truth_is_soft_and_lies_among_the_readers(chosen):
    inside = []
    for _, sample in chosen:
        alpha = sample.alpha
        assert alpha.min() >= 0
        assert alpha.max() <= 1
        assert ((alpha > 0.05) & (alpha < 0.95)).any()
        assert alpha.max() > 0.3
        union, common = sample.masks.any(axis=0).sum(), sample.masks.all(axis=0).sum()
        inside.append(0.9 * common - 3 <= alpha.sum() <= 1.1 * union + 3)
        assert all((alpha >= 0.5).tobytes() != mask.tobytes() for mask in sample.masks if mask.sum() > 60)
    assert np.mean(inside) > 0.9
    areas = np.array([(s.alpha.sum(), s.masks.all(axis=0).sum(), s.masks.any(axis=0).sum()) for _, s in chosen])
    assert areas[:, 1].mean() < areas[:, 0].mean() < areas[:, 2].mean()


def test_hu_of_kinds(chosen):
    # the middle of each lesion, after blur and noise; lesions of a few pixels show no plateau
    middle = {kind: [] for kind in KINDS}
    for _, sample in chosen:
        core = ndimage.binary_erosion(sample.alpha > 0.95)
        if core.sum() >= 4:
            middle[sample.kind].append(sample.hu[core])
    assert -750 < np.median(np.concatenate(middle["ground_glass"])) < -250
    assert -300 < np.median(np.concatenate(middle["isolated"])) < 100
    assert np.median(np.concatenate(middle["calcific"])) > 100
    assert max(values.max() for values in middle["calcific"]) > 300
    assert np.percentile(np.concatenate(middle["cavitary"]), 10) < -600


@pytest.mark.parametrize(
    ("dataset", "rows", "agreement"),
    [(EmbeddedIsbi2012, (0, 17, 29), (0.85, 0.99)), (EmbeddedPromise12, (0, 6, 13, 300, 699), (0.8, 0.995))],
)
def test_other_data_sets(dataset, rows, agreement):
    data = dataset()
    assert len(data) in (30, 700)
    assert not data.index.duplicated(["patient", "slice"]).any()
    for row in rows:
        sample = data[row]
        np.testing.assert_array_equal(sample.image, dataset()[row].image)
        assert sample.source == "embedded"
        assert sample.readers.shape == (1, 256, 256)
        assert sample.alpha.min() >= 0
        assert sample.alpha.max() <= 1
        assert ((sample.alpha > 0.05) & (sample.alpha < 0.95)).sum() > 100
        assert sample.image.std() > 0.1
        low, high = agreement
        assert low < dice(sample.readers[0], sample.alpha >= 0.5) < high
    assert not np.array_equal(data[rows[0]].image, data[rows[1]].image)


@pytest.mark.parametrize(("name", "dataset"), DATASETS.items())
def test_every_data_set_is_registered(name, dataset, tmp_path):
    data = open_dataset(name, Config.from_parameters("smoke", "embedded", data_root=tmp_path))
    assert type(data) is dataset
    assert data.name == name
    assert data.source == "embedded"
    assert len(data) > 0
    assert data.problems == []


def test_the_prostate_has_one_range_of_signal_per_patient():
    dataset = EmbeddedPromise12()
    rows = [row for row in range(2 * SLICES) if row % SLICES in (0, SLICES // 2, SLICES - 1)]
    ranges = {}
    for row in rows:
        patient, number = dataset.index["patient"][row], dataset.index["slice"][row]
        signal, _, _ = draw_slice(patient, int(number))
        image = dataset[row].image
        inner = (image > 0) & (image < 1)
        # of one patient all slices follow the same line from signal to grey
        slope, offset = np.polyfit(signal[inner], image[inner], 1)
        ranges.setdefault(patient, []).append((-offset / slope, (1 - offset) / slope))
        assert 0.85 < inner.mean() < 0.999
    for patient, pairs in ranges.items():
        np.testing.assert_allclose(pairs, [signal_range(patient)] * len(pairs), atol=1e-3)
    middle = dataset[SLICES // 2].image
    assert (middle == 0).mean() == pytest.approx(0.01, abs=0.001)
    assert (middle == 1).mean() == pytest.approx(0.01, abs=0.001)


def test_parts_of_lnsm_have_long_axes_as_in_deeplesion(lidc):
    parts = split_rows("lnsm", lidc)
    assert {part: len(rows) for part, rows in parts.items()} == PAPER_SIZES["lnsm"]
    quartiles = [LONG_AXES[share] for share in (0.25, 0.5, 0.75)]
    for part, rows in parts.items():
        assert lidc.index.patient[rows].nunique() >= 30, part
        assert np.abs(lidc.index.long_axis[rows].quantile([0.25, 0.5, 0.75]) - quartiles).max() < 2, part
    row = int(parts["test"][0])
    masks, present = lidc.read_masks(row)
    (start, end), _ = recist_axes(masks[present][0])
    assert lidc.index.long_axis[row] == pytest.approx(np.linalg.norm(end - start))


def test_four_reader_slices_of_merged_nodules_are_not_selected(lidc):
    merged = lidc.index[lidc.index["merged"]]
    assert len(merged.drop_duplicates(["patient", "nodule"])) == 14
    rows = four_reader_rows(lidc.index)
    assert (lidc.index["n_readers"].to_numpy()[rows] == 4).all()
    assert len(rows) == (lidc.index["n_readers"] == 4).sum() - (merged["n_readers"] == 4).sum()
    assert not lidc.index["merged"].to_numpy()[rows].any()


@pytest.mark.parametrize(("name", "row", "hu", "noise", "area"), OWN)
def test_the_images_are_what_they_have_been(name, row, hu, noise, area):
    """Committed results were measured on them."""
    sample = EmbeddedLidc(name)[row]
    assert sample.hu.mean() == pytest.approx(hu, abs=0.01)
    assert np.diff(sample.hu).std() == pytest.approx(noise, abs=0.01)
    assert sample.alpha.sum() == pytest.approx(area, abs=0.01)


def test_the_low_resolution_is_the_averaged_high_one_as_scanned(monkeypatch):
    lnsm = EmbeddedLidc("lnsm")
    fine, _ = simulated.draw(*lnsm.plan(17), 4)
    monkeypatch.setattr(simulated, "scan", lambda hu, *args: hu)
    both = lnsm.high_resolution(17, 128)
    np.testing.assert_array_equal(both.low, window_hu(block_mean(fine, 4)))
    np.testing.assert_array_equal(both.high, window_hu(fine))
