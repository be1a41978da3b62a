"""Files that anybody may bring: the three kinds that are read, and what else lies on people's disks."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from softmask.apply.images import Grey, list_slices, stem_of
from softmask.errors import ConfigError, DataError

RAMP = np.arange(20 * 30, dtype=np.int16).reshape(20, 30) - 1000  # HU


def png(path: Path, array: np.ndarray, **options) -> Path:
    Image.fromarray(array, **options).save(path)
    return path


def dicom(path: Path, z: float, value: int, **changes) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, f"1.2.{int(z) + 100}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.SeriesInstanceUID = "CT", "1.2.3"
    ds.ImagePositionPatient, ds.PixelSpacing = [0, 0, z], [0.5, 0.5]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 20, 30, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelData = np.full((20, 30), value, "<i2").tobytes()
    for name, changed in changes.items():
        setattr(ds, name, changed) if changed is not None else delattr(ds, name)
    path.parent.mkdir(exist_ok=True)
    ds.save_as(path)
    return path


def nifti(path: Path, array: np.ndarray, direction=None, vector: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    if direction is not None:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_png_is_taken_as_it_is_stored_or_stretched(tmp_path, dtype, largest):
    array = np.linspace(10, 90, 600).reshape(20, 30).astype(dtype)
    path = png(tmp_path / "a.b.png", array)
    [image] = list_slices(path, numbers=(7,))  # which one image has not, and need not have
    assert (image.stem, image.where) == ("a.b", str(path))
    assert image.read().dtype == np.float32
    np.testing.assert_allclose(image.read(), array / largest, atol=1e-7)
    stretched = list_slices(path, Grey(stretch=True))[0].read()
    np.testing.assert_allclose(stretched, (array - 10.0) / 80, atol=1e-6)


def test_a_constant_image_stretched_is_black(tmp_path):
    [image] = list_slices(png(tmp_path / "a.png", np.full((4, 4), 7, np.uint8)), Grey(stretch=True))
    assert not image.read().any()


def test_ct_goes_through_the_lung_window_or_the_one_named(tmp_path):
    path = dicom(tmp_path / "1.2.840", 0, -300)
    [image] = list_slices(path)
    assert image.stem == "1.2.840"
    np.testing.assert_allclose(image.read(), 0.5)
    np.testing.assert_allclose(list_slices(path, Grey((-400.0, 0.0)))[0].read(), 0.25)


def test_a_folder_is_a_series_from_the_feet_up(tmp_path):
    for name, z in (("a.dcm", 5), ("b", -5), ("c.dcm", 0)):
        dicom(tmp_path / name, z, int(z))
    png(tmp_path / "other.png", np.zeros((4, 4), np.uint8))
    assert [image.path.name for image in list_slices(tmp_path)] == ["b", "c.dcm", "a.dcm"]
    assert [image.path.name for image in list_slices(tmp_path, numbers=(2, 0))] == ["b", "a.dcm"]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_has_its_axial_slices(tmp_path, ending):
    volume = np.stack([RAMP, RAMP + 7, RAMP + 70])
    images = list_slices(nifti(tmp_path / f"scan{ending}", volume))
    assert [image.stem for image in images] == ["scan-0", "scan-1", "scan-2"]
    assert images[1].where.endswith("slice 1")
    np.testing.assert_allclose(images[1].read(), (volume[1] + 1000) / 1400, atol=1e-6)
    [last] = list_slices(tmp_path / f"scan{ending}", numbers=(2,))
    assert last.stem == "scan-2"


def test_a_volume_that_is_stored_another_way_round_is_turned(tmp_path):
    volume = np.stack([RAMP, RAMP + 7, RAMP + 70])
    flipped = nifti(tmp_path / "a.nii", volume[::-1, ::-1, ::-1], (-1, 0, 0, 0, -1, 0, 0, 0, -1))
    np.testing.assert_allclose(list_slices(flipped)[0].read(), (volume[0] + 1000) / 1400, atol=1e-6)
    coronal = nifti(tmp_path / "b.nii", volume.transpose(1, 0, 2), (1, 0, 0, 0, 0, 1, 0, 1, 0))  # x, z, y
    assert len(list_slices(coronal)) == 3
    np.testing.assert_allclose(list_slices(coronal)[2].read(), (volume[2] + 1000) / 1400, atol=1e-6)


def test_one_slice_needs_no_number(tmp_path):
    [image] = list_slices(nifti(tmp_path / "a.nii", RAMP[None]))
    assert image.stem == "a"
    assert image.read().shape == (20, 30)


def test_values_that_are_no_hounsfield_units_must_be_explained(tmp_path):
    path = nifti(tmp_path / "mr.nii", np.stack([RAMP - RAMP.min()] * 2))
    with pytest.raises(DataError, match=r"mr\.nii: no value lies below 0.*--stretch"):
        list_slices(path)[0].read()
    for grey in (Grey(stretch=True), Grey((0.0, 599.0))):
        np.testing.assert_allclose(list_slices(path, grey)[0].read(), (RAMP + 1000) / 599, atol=1e-6)


def damaged(path: Path, change) -> Path:
    """A volume of nine slices in ``path``, whose bytes ``change`` replaces."""
    nifti(path, np.stack([RAMP] * 9))
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none.png", "there is no such file; check the name"),
        (lambda d: (d / "a.jpg", (d / "a.jpg").write_bytes(b"\xff\xd8\xff" * 99))[0], "unknown kind; save it as .*PNG"),
        (lambda d: (d / "a.png", (d / "a.png").write_bytes(b""))[0], "is empty; save it as .*PNG"),
        (lambda d: d, "holds no DICOM file"),
        (lambda d: png(d / "a.png", np.zeros((4, 4, 3), np.uint8)), "colour image"),
        (lambda d: png(d / "a.png", np.zeros((4, 4, 2), np.uint8), mode="LA"), "colour image, or has transparency"),
        (lambda d: (d / "a.png", (d / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n"))[0], "truncated"),
        (lambda d: dicom(d / "a.dcm", 0, 0, Modality="MR"), "another kind than CT"),
        (lambda d: dicom(d / "a.dcm", 0, 0, PixelData=b"\0\0"), "pixels cannot be read"),
        (lambda d: dicom(d / "a.dcm", 0, 0, ImagePositionPatient=None), "its place is missing"),
        (lambda d: (d / "a.nii", (d / "a.nii").write_bytes(b"\0" * 400))[0], "not a readable volume"),
        (
            lambda d: nifti(d / "a.nii", np.zeros((2, 4, 4, 3), np.float32), vector=True),
            "several numbers at each voxel",
        ),
        (lambda d: nifti(d / "a.nii", np.zeros((2, 2, 4, 4), np.float32)), "series of volumes, 4 x 4 x 2 x 2"),
        (lambda d: damaged(d / "a.nii", lambda b: b[:-1]), "truncated, 11151 bytes of 11152"),
        (lambda d: damaged(d / "a.nii.gz", lambda b: gzip.compress(gzip.decompress(b)[:900])), "truncated, 900 bytes"),
        (lambda d: damaged(d / "a.nii.gz", lambda b: b[:-20]), "damaged"),
        (lambda d: damaged(d / "a.nii.gz", lambda b: b[:-8] + bytes(4) + b[-4:]), "damaged|not a readable"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        list_slices(path)[0].read()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_volume_larger_than_memory_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("softmask.apply.images.LARGEST_VOLUME", 1000)
    with pytest.raises(DataError, match="more than is read"):
        list_slices(nifti(tmp_path / "a.nii", np.stack([RAMP] * 9)))


def test_slices_that_are_not_there_are_named(tmp_path):
    path = nifti(tmp_path / "a.nii", np.stack([RAMP] * 3))
    for number in (3, -1):
        with pytest.raises(DataError, match=f"no slice {number}; its 3 slices are 0 to 2"):
            list_slices(path, numbers=(0, number))


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_window_must_rise(window):
    with pytest.raises(ConfigError, match="lower to a higher"):
        Grey(window)


def test_window_and_stretching_exclude_one_another():
    with pytest.raises(ConfigError, match="exclude one another"):
        Grey((0.0, 1.0), stretch=True)


@pytest.mark.parametrize(
    ("name", "stem"), [("a.PNG", "a"), ("a.nii.gz", "a"), ("1.2.840", "1.2.840"), (".png", ".png"), ("a.b.dcm", "a.b")]
)
def test_stems(name, stem):
    assert stem_of(Path(name)) == stem


def test_dicom_files_are_made_as_pydicom_reads_them(tmp_path):
    assert pydicom.dcmread(dicom(tmp_path / "a.dcm", 3, 1)).ImagePositionPatient[2] == 3


def test_tiff_is_taken_as_png_is(tmp_path):
    array = np.linspace(0, 40000, 600).reshape(20, 30).astype(np.uint16)
    [image] = list_slices(png(tmp_path / "a.tiff", array))
    assert image.stem == "a"
    np.testing.assert_allclose(image.read(), array / 65535, atol=1e-7)
    pages = [Image.fromarray(array.astype(np.uint8))] * 2
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"two\.tif: holds 2 images"):
        list_slices(tmp_path / "two.tif")[0].read()


def test_nrrd_has_the_slices_that_nifti_has(tmp_path):
    volume = np.stack([RAMP, RAMP + 200, RAMP - 20])
    ours, theirs = (list_slices(nifti(tmp_path / name, volume)) for name in ("a.nrrd", "b.nii.gz"))
    assert [one.stem for one in ours] == ["a-0", "a-1", "a-2"]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.read(), other.read())


def test_an_nrrd_that_points_to_another_file_is_refused(tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_text("NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: ../b.raw\n\n")
    with pytest.raises(DataError, match="keeps its voxels in another file"):
        list_slices(path)
