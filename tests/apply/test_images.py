"""Files that anybody may bring: the kinds that are read, and what else lies on people's disks."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from softmask.apply.images import Grey, list_slices, stem_of
from softmask.errors import ConfigError, DataError

RAMP = np.arange(20 * 30, dtype=np.int16).reshape(20, 30) - 1000  # HU
STACK = np.stack([RAMP, RAMP + 7, RAMP + 70])
STRETCH = Grey(stretch=True)


def png(path: Path, array: np.ndarray, **options) -> Path:
    Image.fromarray(array, **options).save(path)
    return path


def tiff(path: Path, array: np.ndarray, **options) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


def volume(path: Path, array: np.ndarray = STACK, direction=None, vector: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    if direction is not None:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(("name", "dtype"), [("a.b.png", np.uint8), ("a.b.png", np.uint16), ("a.b.tiff", np.uint16)])
def test_pictures_are_taken_as_they_are_stored_or_stretched(tmp_path, name, dtype):
    array = np.linspace(10, 90, 600).reshape(20, 30).astype(dtype)
    path = png(tmp_path / name, array)
    [image] = list_slices(path, (7,))  # which one image has not, and need not have
    assert (image.stem, image.where) == ("a.b", str(path))
    assert image.read().dtype == np.float32
    np.testing.assert_allclose(image.read(), array / np.iinfo(dtype).max, atol=1e-7)
    np.testing.assert_allclose(image.read(STRETCH), (array - 10.0) / 80, atol=1e-6)
    png(path, np.full((4, 4), 7, np.uint8))
    assert not image.read(STRETCH).any(), "a constant image becomes black"


def test_ct_goes_through_the_lung_window_or_the_one_named(series, tmp_path):
    [path] = series(tmp_path, np.full((1, 4, 4), -300)).iterdir()
    [image] = list_slices(path.rename(tmp_path / "1.2.840"))
    assert image.stem == "1.2.840"
    np.testing.assert_allclose(image.read(), 0.5)
    np.testing.assert_allclose(image.read(Grey((-400.0, 0.0))), 0.25)


def test_a_folder_is_a_series_from_the_feet_up(series, tmp_path):
    (series(tmp_path, STACK) / "0003.dcm").rename(tmp_path / "b")
    png(tmp_path / "other.png", np.zeros((4, 4), np.uint8))
    assert [image.path.name for image in list_slices(tmp_path)] == ["b", "0002.dcm", "0001.dcm"]
    assert [image.path.name for image in list_slices(tmp_path, (2, 0))] == ["b", "0001.dcm"]
    (tmp_path / "below").mkdir()
    (tmp_path / "b").rename(tmp_path / "below" / "b")
    assert [image.path.name for image in list_slices(tmp_path, (2, 0))] == ["b", "0001.dcm"]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_a_volume_has_its_axial_slices(tmp_path, ending):
    path = volume(tmp_path / f"scan{ending}")
    images = list_slices(path)
    assert [image.stem for image in images] == ["scan-0", "scan-1", "scan-2"]
    assert images[1].where.endswith("slice 1")
    np.testing.assert_allclose(images[1].read(), (STACK[1] + 1000) / 1400, atol=1e-6)
    assert [image.stem for image in list_slices(path, (2,))] == ["scan-2"]
    for number in (3, -1):
        with pytest.raises(DataError, match=f"no slice {number}; its 3 slices are 0 to 2"):
            list_slices(path, (0, number))
    [first] = list_slices(volume(tmp_path / f"one{ending}", RAMP[None]))
    assert (first.stem, first.read().shape) == ("one", (20, 30))


def test_a_volume_that_is_stored_another_way_round_is_turned(tmp_path):
    flipped = volume(tmp_path / "a.nii", STACK[::-1, ::-1, ::-1], (-1, 0, 0, 0, -1, 0, 0, 0, -1))
    np.testing.assert_allclose(list_slices(flipped)[0].read(), (STACK[0] + 1000) / 1400, atol=1e-6)
    coronal = volume(tmp_path / "b.nii", STACK.transpose(1, 0, 2), (1, 0, 0, 0, 0, 1, 0, 1, 0))  # x, z, y
    assert len(list_slices(coronal)) == 3
    np.testing.assert_allclose(list_slices(coronal)[2].read(), (STACK[2] + 1000) / 1400, atol=1e-6)


def test_values_that_are_no_hounsfield_units_must_be_explained(tmp_path):
    image = list_slices(volume(tmp_path / "mr.nii", np.stack([RAMP - RAMP.min()] * 2)))[0]
    with pytest.raises(DataError, match=r"mr\.nii: no value lies below 0.*--stretch"):
        image.read()
    for grey in (STRETCH, Grey((0.0, 599.0))):
        np.testing.assert_allclose(image.read(grey), (RAMP + 1000) / 599, atol=1e-6)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: ../b.raw\n\n"
NIFTI_2 = struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n" + bytes(9999)
EMPTY = ("a.nii", "a.nii.gz", "a.nrrd", "a.png", "a.dcm", "a.tif")
PLAIN = "save it as a plain TIFF or PNG of 8 or 16 bit"
PAGE = Image.fromarray(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none.png", "there is no such file; check the name"),
        (lambda d: written(d / "a.jpg", b"\xff\xd8\xff" * 99), "is a JPEG; save it as .*PNG"),
        *((lambda d, name=name: written(d / name, b""), "is empty; ") for name in EMPTY),
        (lambda d: d, "holds no DICOM file"),
        (lambda d: png(d / "a.png", np.zeros((4, 4, 3), np.uint8)), "8 or 16 bit, found mode 'RGB'; convert"),
        (lambda d: png(d / "a.png", np.zeros((4, 4, 2), np.uint8), mode="LA"), "grey image .*'LA'; convert the file"),
        (lambda d: PAGE.save(d / "a.tif", save_all=True, append_images=[PAGE]) or d / "a.tif", "holds 2 images"),
        (lambda d: written(d / "a.png", b"\x89PNG\r\n\x1a\n"), "truncated"),
        (lambda d: written(d / "a.nii", b"\0" * 400), "damaged"),
        (lambda d: volume(d / "a.nii", np.zeros((2, 4, 4, 3), np.float32), vector=True), "several numbers"),
        (lambda d: volume(d / "a.nii", np.zeros((2, 2, 4, 4), np.float32)), "4 x 4 x 2 x 2 .* volumes; save one"),
        (lambda d: written(d / "a.nrrd", NRRD), "keeps its voxels in another file"),
        (lambda d: written(d / "a.nii", NIFTI_2), "is NIfTI-2, which is not read; save as NIfTI-1$"),
        (lambda d: tiff(d / "a.tif", RAMP.astype(np.float16)), f"its pixels are float16 numbers.*{PLAIN}"),
        (lambda d: tiff(d / "a.tif", RAMP.astype(np.float64)), f"its pixels are float64 numbers.*{PLAIN}"),
        (lambda d: tiff(d / "a.tif", RAMP.astype(np.int8)), "found mode 'L', signed"),
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
        list_slices(volume(tmp_path / "a.nii"))


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_window_must_rise(window):
    with pytest.raises(ConfigError, match="lower to a higher"):
        Grey(window)


@pytest.mark.parametrize(
    ("name", "stem"), [("a.PNG", "a"), ("a.nii.gz", "a"), ("1.2.840", "1.2.840"), (".png", ".png"), ("a.b.dcm", "a.b")]
)
def test_stems(name, stem):
    assert stem_of(Path(name)) == stem
