"""Pictures in unusual forms, and masks of them: read as they are seen, doubted, or refused with the cause."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from softmask.data.image_files import read_grey
from softmask.errors import Doubt


def test_one_grey_level_a_filled_outline_and_padding_are_doubts(image, drawn, made, label, tmp_path):
    flat = made.save(tmp_path / "flat.png", np.full(made.size, 90, np.uint8))
    ring = made.disc() & ~made.disc(radius=6)
    outline = made.save(tmp_path / "ring.png", ring)
    padded = made.hu()
    padded[:, 0] = -3024
    scan = made.write_volume(tmp_path / "padded.nii.gz", padded)
    mark = ("--recist", *made.ends())
    for arguments, name, doubt in (
        ((flat, "--mask", drawn), "flat", "have one grey level in this window"),
        ((image, "--mask", outline), "ring", "looks like an outline"),
        ((scan, *mark, "--slice", 2, "--stretch"), "padded", "its least value, -3024, is padding"),
        ((image, *mark), "plain", ""),
    ):
        assert label(*arguments, "--name", name, "--format", "png") == 0
        message = made.read_manifest(tmp_path / "out")[name]["message"]
        assert doubt in message if doubt else not message


def test_the_orientation_of_a_png_is_heeded(made, tmp_path):
    exif = Image.Exif()
    exif[274] = 3  # turned by half
    Image.fromarray(made.grey()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), made.grey()[::-1, ::-1])


def test_a_16_bit_picture_that_uses_few_grey_levels_is_a_doubt(drawn, made, label, tmp_path):
    values = {
        "twelve": made.grey().astype(np.uint16) << 4,
        "sixteen": made.grey().astype(np.uint16) << 8,
        "hounsfield": (made.grey().astype(np.int32) * 5 - 1000 + 32768).astype(np.uint16),
    }
    messages = {}
    for name, picture in values.items():
        assert label(made.save(tmp_path / f"{name}.png", picture), "--mask", drawn) == 0
        messages = {name: row["message"] for name, row in made.read_manifest(tmp_path / "out").items()}
    assert "uses 592 to 3120 of 0 to 65535 grey levels" in messages["twelve"]
    assert "--stretch" in messages["twelve"]
    assert messages["sixteen"] == ""
    assert "looks like Hounsfield units + 32768 (DeepLesion); choose --window" in messages["hounsfield"]


def test_the_offset_of_deeplesion_is_known(drawn, made, label, tmp_path):
    hu = made.grey().astype(np.int32) * 5 - 1000
    picture = made.save(tmp_path / "a.png", (hu + 32768).astype(np.uint16))
    assert label(picture, "--mask", drawn, "--window", -1000, 275) == 0
    windowed = made.save(tmp_path / "b.png", np.rint((hu + 1000) / 1275 * 65535).astype(np.uint16))
    assert label(windowed, "--mask", drawn) == 0
    one, other = (made.soft(tmp_path / "out" / f"{name}-soft.png") for name in "ab")
    np.testing.assert_allclose(one, other, atol=2e-3)
    assert made.read_manifest(tmp_path / "out")["a"]["message"] == ""


@pytest.mark.parametrize("kind", ["png", "nii.gz"])
def test_a_mask_of_most_of_the_image_is_a_doubt(made, ct, label, tmp_path, kind):
    if kind == "png":
        image = made.save(tmp_path / "ct.png", made.grey())
        drawn = made.save(tmp_path / "m.png", ~made.disc())
    else:
        mask = made.volume_mask()
        image, drawn = ct, made.write_volume(tmp_path / "m.nii.gz", ~mask & mask.any(axis=(1, 2), keepdims=True))
    assert label(image, "--mask", drawn, "--format", "png", "nifti") == 0
    (row,) = made.read_manifest(tmp_path / "out").values()
    assert row["message"].startswith("doubtful: ")
    assert "of the image" in row["message"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_as_zero_is_turned_alike_in_8_and_16_bits(made, tmp_path, dtype):
    values = made.grey().astype(dtype) * (np.iinfo(dtype).max // 255)
    tifffile.imwrite(tmp_path / "white.tif", ~values, photometric="miniswhite")
    with pytest.warns(Doubt, match=r"white.tif: stored with 0 as white \(MinIsWhite"):
        np.testing.assert_array_equal(read_grey(tmp_path / "white.tif"), values)


def test_a_mask_with_the_inverting_table_of_imagej_is_a_doubt(image, made, label, tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", made.disc().astype(np.uint8) * 255, photometric="miniswhite")
    assert label(image, "--mask", tmp_path / "m.tif") == 0
    message = made.read_manifest(tmp_path / "out")["a"]["message"]
    assert "stored with 0 as white (MinIsWhite, ImageJ's inverting LUT)" in message
    assert "of the image; should it be inverted" in message


@pytest.mark.parametrize("big", [False, True])
def test_a_bigtiff_image_is_read_as_a_tiff_image(made, tmp_path, big):
    tifffile.imwrite(tmp_path / "a.tif", made.grey(), bigtiff=big)
    assert (tmp_path / "a.tif").read_bytes()[2] == (43 if big else 42)
    np.testing.assert_array_equal(read_grey(tmp_path / "a.tif"), made.grey())
