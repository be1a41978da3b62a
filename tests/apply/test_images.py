"""Files that users may bring: the kinds that are read, and those that are refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from softmask.apply.images import Grey, list_slices, stem_of
from softmask.errors import ConfigError, DataError

RAMP = np.arange(20 * 30, dtype=np.int16).reshape(20, 30) - 1000  # HU
STACK = np.stack([RAMP, RAMP + 7, RAMP + 70])
WINDOW, STRETCH = Grey(), Grey(stretch=True)


def png(path: Path, array: np.ndarray, **options):
    Image.fromarray(array, **options).save(path)
    return path


@pytest.fixture(scope="module")
def dicom_bytes(series, tmp_path_factory) -> bytes:
    """A CT slice of -300 HU."""
    return (series(tmp_path_factory.mktemp("ct"), np.full((1, 20, 30), -300)) / "0001.dcm").read_bytes()


def volume(path: Path, array: np.ndarray = STACK, direction=None, vector: bool = False):
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    if direction is not None:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(("name", "dtype"), [("a.b.png", np.uint8), ("a.b.png", np.uint16), ("a.b.tiff", np.uint16)])
def test_pictures_are_taken_as_stored_or_stretched(tmp_path, name, dtype):
    array = np.linspace(10, 90, 600).reshape(20, 30).astype(dtype)
    path = png(tmp_path / name, array)
    [image] = list_slices(path, (7,))  # a single image is always taken
    assert (image.stem, image.where) == ("a.b", str(path))
    assert image.read(WINDOW).dtype == np.float32
    np.testing.assert_allclose(image.read(WINDOW), array / np.iinfo(dtype).max, atol=1e-7)
    np.testing.assert_allclose(image.read(STRETCH), (array - 10.0) / 80, atol=1e-6)
    png(path, np.full((4, 4), 7, np.uint8))
    assert not image.read(STRETCH).any(), "a constant image becomes black"


def test_ct_goes_through_the_lung_window_or_the_given_one(tmp_path, dicom_bytes):
    (tmp_path / "1.2.840").write_bytes(dicom_bytes)
    [image] = list_slices(tmp_path / "1.2.840")
    assert image.stem == "1.2.840"
    np.testing.assert_allclose(image.read(WINDOW), 0.5)
    np.testing.assert_allclose(image.read(Grey((-400.0, 0.0))), 0.25)


def test_a_folder_is_a_series_from_the_feet_up(tmp_path, series):
    series(tmp_path, STACK)
    png(tmp_path / "other.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "0002.dcm").unlink()  # the slices need not make a volume
    assert [image.path.name for image in list_slices(tmp_path)] == ["0003.dcm", "0001.dcm"]
    assert [image.path.name for image in list_slices(tmp_path, (1,))] == ["0001.dcm"]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_a_volume_has_its_axial_slices(tmp_path, ending):
    path = volume(tmp_path / f"scan{ending}")
    images = list_slices(path)
    assert [image.stem for image in images] == ["scan-0", "scan-1", "scan-2"]
    assert images[1].where.endswith("slice 1")
    np.testing.assert_allclose(images[1].read(WINDOW), (STACK[1] + 1000) / 1400, atol=1e-6)
    assert [image.stem for image in list_slices(path, (2,))] == ["scan-2"]
    for number in (3, -1):
        with pytest.raises(DataError, match=f"no slice {number}; its 3 slices are 0 to 2"):
            list_slices(path, (0, number))


@pytest.mark.parametrize(
    ("stored", "direction"),
    [
        (STACK[::-1, ::-1, ::-1], (-1, 0, 0, 0, -1, 0, 0, 0, -1)),
        (STACK.transpose(1, 0, 2), (1, 0, 0, 0, 0, 1, 0, 1, 0)),  # coronal: x, z, y
    ],
)
def test_a_volume_that_is_stored_another_way_round_is_turned(tmp_path, stored, direction):
    images = list_slices(volume(tmp_path / "a.nii", stored, direction))
    assert len(images) == 3
    np.testing.assert_allclose(images[2].read(WINDOW), (STACK[2] + 1000) / 1400, atol=1e-6)


def test_values_that_are_no_hounsfield_units_must_be_explained(tmp_path):
    image = list_slices(volume(tmp_path / "mr.nii", np.stack([RAMP - RAMP.min()] * 2)))[0]
    with pytest.raises(DataError, match=r"mr\.nii: no value lies below 0.*--stretch"):
        image.read(WINDOW)
    for grey in (STRETCH, Grey((0.0, 599.0))):
        np.testing.assert_allclose(image.read(grey), (RAMP + 1000) / 599, atol=1e-6)


def cut(path: Path, change):
    """A volume of nine slices in ``path``, whose bytes ``change`` replaces."""
    volume(path, np.stack([RAMP] * 9))
    return written(path, change(path.read_bytes()))


def written(path: Path, content: bytes):
    path.write_bytes(content)
    return path


PAGE = Image.fromarray(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none.png", "there is no such file; check the name"),
        (lambda d: written(d / "a.jpg", b"\xff\xd8\xff" * 99), "unknown kind; save it as .*PNG"),
        (lambda d: written(d / "a.png", b""), "is empty; save it as .*PNG"),
        (lambda d: d, "holds no CT slice in DICOM"),
        (lambda d: png(d / "a.png", np.zeros((4, 4, 3), np.uint8)), "grey image of 8 or 16 bit .*'RGB'; save it so"),
        (lambda d: PAGE.save(d / "a.tif", save_all=True, append_images=[PAGE]) or d / "a.tif", "holds 2 images"),
        (lambda d: written(d / "a.nii", b"\0" * 400), "not a readable volume"),
        (lambda d: volume(d / "a.nii", np.zeros((2, 4, 4, 3), np.float32), vector=True), "several numbers"),
        (lambda d: volume(d / "a.nii", np.zeros((2, 2, 4, 4), np.float32)), "4 x 4 x 2 x 2 .* images; save one"),
        (lambda d: cut(d / "a.nii.gz", lambda b: gzip.compress(gzip.decompress(b)[:900])), "truncated, 900 bytes"),
    ],
)
def test_unusable_files_are_named(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        list_slices(path)[0].read(WINDOW)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"Modality": "MR"}, "another kind than CT"), ({"PixelData": b"\0\0"}, "pixels cannot be read")],
)
def test_unusable_dicom_is_named(tmp_path, dicom_bytes, changes, message):
    dataset = pydicom.dcmread(written(tmp_path / "a.dcm", dicom_bytes))
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=rf"a\.dcm: .*{message}"):
        list_slices(tmp_path / "a.dcm")[0].read(WINDOW)


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_window_must_rise(window):
    with pytest.raises(ConfigError, match="lower to a higher"):
        Grey(window)


@pytest.mark.parametrize(
    ("name", "stem"), [("a.PNG", "a"), ("a.nii.gz", "a"), ("1.2.840", "1.2.840"), (".png", ".png"), ("a.b.dcm", "a.b")]
)
def test_stems(name, stem):
    assert stem_of(Path(name)) == stem
