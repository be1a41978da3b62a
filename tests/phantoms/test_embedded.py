"""The embedded data sets, through the interface that every data set has."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from phantoms import DATASETS
from phantoms.lidc import EmbeddedLidc
from phantoms.membranes import EmbeddedIsbi2012
from phantoms.prostate import SLICES, EmbeddedPromise12, draw_slice, signal_range
from softmask.config import Config
from softmask.data import NAMES, open_dataset
from softmask.data.image_files import window_hu
from softmask.data.kinds import KINDS
from softmask.data.outlines import recist_axes
from softmask.data.selection import LONG_AXES, four_reader_rows
from softmask.data.splits import PAPER_SIZES, split_rows

PER_KIND = 10


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


def test_index_comes_back_from_the_cache(lidc):
    again = EmbeddedLidc("lidc")
    assert again.index.equals(lidc.index)
    assert again.fingerprint == lidc.fingerprint
    assert EmbeddedLidc("lnsm").fingerprint != lidc.fingerprint


def test_sample_depends_on_its_names_alone(lidc, chosen):
    again = EmbeddedLidc("lidc")
    for row, sample in chosen[::-11]:  # in another order, from another instance
        other = again[row]
        assert other.id == sample.id
        for name in ("hu", "alpha", "image", "readers"):
            np.testing.assert_array_equal(getattr(other, name), getattr(sample, name))
    assert not np.array_equal(EmbeddedLidc("lnsm")[chosen[0][0]].hu, chosen[0][1].hu)


def test_masks_are_the_readers_own(lidc, chosen):
    for row, sample in chosen[::7]:
        readers, present = lidc.read_masks(row)
        np.testing.assert_array_equal(readers, sample.readers)
        np.testing.assert_array_equal(present, sample.present)
        assert present.sum() == lidc.index["n_readers"][row]
        for values in sample.ratings.values():
            np.testing.assert_array_equal(np.isfinite(values), present)


def test_image_is_hu_in_the_lung_window(chosen):
    for _, sample in chosen:
        np.testing.assert_array_equal(sample.image, window_hu(sample.hu))
        assert sample.image.shape == (128, 128)
        assert sample.hu.min() >= -1024
        assert sample.hu.max() < 3072


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


def test_truth_agrees_with_readers_about_as_they_agree_with_each_other(chosen):
    with_truth, among = [], []
    for _, sample in chosen:
        if len(sample.masks) > 1:
            with_truth.append(np.mean([dice(mask, sample.alpha >= 0.5) for mask in sample.masks]))
            among.append(np.mean([dice(a, b) for a, b in itertools.combinations(sample.masks, 2)]))
    assert np.mean(among) < np.mean(with_truth) < 0.95


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


def test_a_threshold_does_not_solve_it(chosen):
    # connected to the lesion's known middle, halfway between lung and soft tissue: more help than a method gets
    scores = []
    for _, sample in chosen:
        truth = sample.alpha >= 0.5
        parts, _ = ndimage.label(sample.hu > -450)
        part = parts[np.unravel_index(np.argmax(ndimage.gaussian_filter(sample.alpha, 1)), truth.shape)]
        scores.append(dice((parts == part) & (part > 0), truth) if truth.any() else 0.0)
    assert np.mean(scores) < 0.65
    assert np.mean([dice(s.hu > -450, s.alpha >= 0.5) for _, s in chosen]) < 0.15


def test_lnsm_carries_axes_of_the_first_present_reader(chosen):
    sample = EmbeddedLidc("lnsm")[chosen[3][0]]
    assert sample.dataset == "lnsm"
    np.testing.assert_array_equal(sample.recist, recist_axes(sample.masks[0]))
    assert chosen[3][1].recist is None


def test_slices_of_a_patient_share_the_scanner_and_nodules_the_density(lidc):
    rows = lidc.index.query("kind == 'isolated' and area > 150").groupby(["patient", "nodule"]).head(2)
    group = rows[rows.duplicated(["patient", "nodule"], keep=False)].index[:2]
    first, second = (lidc[int(i)] for i in group)
    assert first.nodule == second.nodule
    means = [sample.hu[sample.alpha > 0.99].mean() for sample in (first, second)]
    assert abs(means[0] - means[1]) < 60
    assert not np.array_equal(first.hu, second.hu)


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


def test_membranes_are_dark_and_cells_fill_most_of_the_section():
    data = EmbeddedIsbi2012()
    shares = []
    for row in (2, 12, 22):
        sample = data[row]
        assert sample.image[sample.alpha < 0.1].mean() < sample.image[sample.alpha > 0.9].mean() - 0.15
        shares.append(sample.readers.mean())
        threshold = (
            sample.image > (sample.image[sample.alpha < 0.1].mean() + sample.image[sample.alpha > 0.9].mean()) / 2
        )
        assert dice(~threshold, sample.alpha < 0.5) < 0.85
    assert 0.5 < np.mean(shares) < 0.85


def test_gland_is_largest_in_its_middle():
    data = EmbeddedPromise12()
    area = np.array([data[row].alpha.sum() for row in range(SLICES)])
    assert 3 <= np.argmax(area) <= 7
    assert area[0] < 0.8 * area.max()
    assert area[-1] < 0.6 * area.max()
    assert area.min() > 100


@pytest.mark.parametrize(("name", "dataset"), DATASETS.items())
def test_every_data_set_is_registered(name, dataset, tmp_path):
    data = open_dataset(name, Config.from_parameters("smoke", "embedded", data_root=tmp_path))
    assert type(data) is dataset
    assert data.name == name
    assert data.source == "embedded"
    assert len(data) > 0
    assert data.problems == []


def test_every_data_set_of_the_experiments_is_simulated():
    assert set(DATASETS) == set(NAMES)


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
    for patient, found in ranges.items():
        np.testing.assert_allclose(found, [signal_range(patient)] * len(found), atol=1e-3)
    middle = dataset[SLICES // 2].image
    assert (middle == 0).mean() == pytest.approx(0.01, abs=0.001)
    assert (middle == 1).mean() == pytest.approx(0.01, abs=0.001)


def test_a_change_of_code_changes_every_fingerprint(lidc, monkeypatch):
    before = [lidc.fingerprint, EmbeddedIsbi2012().fingerprint, EmbeddedPromise12().fingerprint]
    for module in ("embedded", "lidc"):
        monkeypatch.setattr(f"phantoms.{module}.simulation_digest", lambda: "0" * 64)
    rows = []
    monkeypatch.setattr("phantoms.lidc._build_rows", lambda annotations: rows.append(1) or _build_rows_of(lidc))
    after = [EmbeddedLidc("lidc").fingerprint, EmbeddedIsbi2012().fingerprint, EmbeddedPromise12().fingerprint]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert rows == [1], "the rows are built again"


def _build_rows_of(lidc):
    columns = {name: lidc.index[name] for name in ("n_readers", "area", "long_axis")}
    return dict(nodule=np.zeros(len(lidc), int), z=lidc._z, slice=np.arange(len(lidc)), **columns)


def test_lnsm_s_parts_have_deeplesion_s_long_axes_and_thirty_validation_patients(lidc):
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
