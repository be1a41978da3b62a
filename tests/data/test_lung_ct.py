"""The data set of chest scans: what is found in a scan's folder, what is said of it, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

import softmask.data.annotations as annotations
from softmask.config import Config
from softmask.data import open_dataset
from softmask.data.ct import read_volume
from softmask.data.image_files import window_hu
from softmask.data.lung_ct import LungCt
from softmask.data.masks import lung_mask
from softmask.errors import DataError, MissingData


@pytest.fixture
def root(chest, tmp_path):
    """Three scans: a series with contours in folders below, a file with labels, and a series without a mask."""
    folder = tmp_path / "lung-ct"
    chest.write_series(folder / "b" / "study" / "ct")
    chest.write_rtstruct(folder / "b" / "study" / "rt" / "rt.dcm")
    chest.write_image(folder / "a" / "scan.nrrd", chest.hu())
    labels = np.zeros(chest.shape, np.uint8)
    labels[2, 5:9, 4:20] = 2
    labels[3, 5:9, 4:20] = 5
    chest.write_image(folder / "a" / "labels.nii.gz", labels)
    for place in range(6):
        chest.write_slice(folder / "c" / f"{place}.dcm", place, PatientID="P-0", SeriesInstanceUID="1.2.3")
    return folder


def test_every_slice_of_every_scan_is_a_sample(chest, root):
    dataset = LungCt(root)
    assert (len(dataset), dataset.problems, dataset.left_out) == (18, [], [])
    assert dataset.index.patient.unique().tolist() == ["P-0", "P-1", "a"]
    assert dataset.index.groupby("patient").reference.unique().map(list).to_dict() == {
        "P-0": ["morph"],
        "P-1": ["contour"],
        "a": ["contour"],
    }
    assert dataset.origin == "lung-ct: 3 CT scans in HU, 1 of them without lung contours, outlined by morph"
    assert {"patient", "nodule", "slice", "n_readers", "z_mm"} <= set(dataset.index)
    assert (dataset.index.groupby("patient").z_mm.diff().dropna() > 0).all()

    sample = dataset[6 + 2]
    assert sample.id == "lung-ct/P-1/lungs/slice-0002"
    assert sample.blank
    assert sample.present.tolist() == [True]
    assert sample.spacing == (1.5, 1.25)
    assert sample.nodules is None
    np.testing.assert_array_equal(sample.hu, chest.hu()[2])
    np.testing.assert_array_equal(sample.image, window_hu(chest.hu()[2]))
    expected = lung_mask(read_volume(root / "b"), root / "b" / "study" / "rt" / "rt.dcm")
    np.testing.assert_array_equal([dataset[6 + z].readers[0] for z in range(6)], expected)
    np.testing.assert_array_equal([dataset.read_masks(6 + z)[0][0] for z in range(6)], expected)
    assert not dataset[6].readers.any()


def test_a_scan_without_a_mask_is_outlined_by_morph(chest, tmp_path, monkeypatch):
    calls = []

    def lungs(hu, spacing):
        calls.append((hu.shape, spacing))
        return hu > -800

    monkeypatch.setattr("softmask.nets.morph.lungs", lungs)
    for place in range(6):
        chest.write_slice(tmp_path / "scan" / f"{place}.dcm", place, SOPInstanceUID=f"1.9.{place}")
    for _ in range(2):  # the second time from the cache
        dataset = LungCt(tmp_path)
        np.testing.assert_array_equal([sample.readers[0] for sample in dataset.samples()], chest.hu() > -800)
    assert calls == [(chest.shape, chest.spacing)]


def test_nodules_come_from_the_annotation_database(chest, tmp_path):
    nodule = annotations.load().nodules[0]
    z = nodule.slices()[len(nodule.slices()) // 2]
    pixels = np.full((512, 512), 100, np.int16).tobytes()
    for place in range(3):
        chest.write_slice(
            tmp_path / "scan" / f"{place}.dcm",
            place,
            SeriesInstanceUID=nodule.series_uid,
            ImagePositionPatient=[0, 0, z + nodule.slice_thickness_mm * (place - 1)],
            Rows=512,
            Columns=512,
            PixelData=pixels,
        )
    chest.write_image(
        tmp_path / "scan" / "lungs.nrrd",
        np.ones((3, 512, 512), np.uint8),
        origin=(0.0, 0.0, z - nodule.slice_thickness_mm),
        spacing=(nodule.slice_thickness_mm, *chest.spacing[1:]),
    )
    sample = LungCt(tmp_path, "lidc-lung")[1]
    assert sample.dataset == "lidc-lung"
    readers, present = nodule.masks(z, (0, 0, 512, 512))
    at_least = 2 * readers.sum(axis=0) >= present.sum()
    assert (sample.nodules & at_least).sum() == at_least.sum() > 0


def test_the_better_mask_is_taken(chest, root):
    grid = read_volume(root / "b")
    lungs = lung_mask(grid, root / "b" / "study" / "rt" / "rt.dcm")
    other = np.zeros_like(lungs)
    other[2, 3, 4] = True
    chest.write_seg(root / "b" / "seg.dcm", {"Lungs": other})
    chest.write_image(root / "b" / "lung.nrrd", other.astype(np.uint8))
    assert LungCt(root)[6 + 2].readers.sum() == lungs[2].sum()
    (root / "b" / "study" / "rt" / "rt.dcm").unlink()
    assert LungCt(root)[6 + 2].readers.sum() == 1
    chest.write_image(root / "a" / "wholeLung.nii.gz", lungs.astype(np.uint8))
    assert LungCt(root)[12 + 2].readers.sum() == lungs[2].sum()


def test_outlines_of_other_things_are_left_out(chest, root):
    chest.write_rtstruct(root / "c" / "rt.dcm", {"GTV-1": chest.outlines["Lung-Left"]})
    chest.write_slice(root / "c" / "dose.dcm", 1, Modality="RTDOSE")
    dataset = LungCt(root)
    assert dataset.index.reference[0] == "morph"
    ((where, why),) = [(item.where, item.why) for item in dataset.left_out]
    assert where == "lung-ct/c"
    assert "names no lung (3 GTV-1)" in why


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda chest, scan: (scan / "study" / "ct" / "7.dcm").unlink(), "slices are missing"),
        (lambda chest, scan: chest.write_slice(scan / "x.dcm", 1, SeriesInstanceUID="1.9"), "2 CT series"),
        (lambda chest, scan: (scan / "study" / "ct" / "7.dcm").write_bytes(b"short"), r"7\.dcm: not a readable"),
        (lambda chest, scan: chest.write_rtstruct(scan / "y.dcm"), r"2 lung masks \(rt.dcm, y.dcm\)"),
        (lambda chest, scan: chest.write_image(scan.parent / "a" / "two.nrrd", chest.hu()), "2 files with Hounsfield"),
        (lambda chest, scan: (scan.parent / "a" / "scan.nrrd").unlink(), "0 files with Hounsfield"),
        (lambda chest, scan: chest.write_series(scan.parent / "d"), "another scan of P-1"),
        (
            lambda chest, scan: chest.write_image(
                scan.parent / "a" / "labels.nii.gz", np.pad(chest.hu(), ((0, 1), (0, 0), (0, 0))) + 999
            ),
            "resample",
        ),
    ],
)
def test_a_scan_that_cannot_be_used_leaves_the_others(chest, root, spoil, message):
    spoil(chest, root / "b")
    dataset = LungCt(root)
    (problem,) = dataset.problems
    assert problem.where in ("lung-ct/a", "lung-ct/b", "lung-ct/d")
    assert len(dataset) == (18 if problem.where == "lung-ct/d" else 12)
    assert len(list(dataset.samples())) == len(dataset)
    with pytest.raises(DataError, match=message):
        raise DataError(problem.why)


def test_the_fingerprint_follows_scans_and_masks(chest, root):
    prints = [LungCt(root).fingerprint]
    assert LungCt(root).fingerprint == prints[0]
    chest.write_rtstruct(root / "b" / "study" / "rt" / "rt.dcm", slices=range(1, 4))
    prints.append(LungCt(root).fingerprint)
    chest.write_image(root / "a" / "scan.nrrd", chest.hu() + 1)
    prints.append(LungCt(root).fingerprint)
    (root / "c" / "0.dcm").unlink()
    prints.append(LungCt(root).fingerprint)
    assert len(set(prints)) == 4


def test_folders_without_a_scan(tmp_path):
    with pytest.raises(MissingData, match="no such folder"):
        LungCt(tmp_path / "none")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "License.txt").write_text("free")
    with pytest.raises(DataError, match=r"no usable scan.*First of 1 problems: .*no CT series in DICOM, and 0"):
        LungCt(tmp_path)


def test_the_real_scans(real_data):
    dataset = open_dataset("lung-ct", Config.from_parameters(profile="smoke", data="real", data_root=real_data))
    assert dataset.index.groupby("patient").size().to_dict() == {"LUNG1-001": 67, "chest-imaging-platform": 79}
    assert set(dataset.index.reference) == {"contour"}
    assert not dataset.problems
    sample = dataset[30]
    assert sample.readers.sum() == 32474
    assert sample.hu[sample.readers[0]].mean() < -700
