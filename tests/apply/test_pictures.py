"""Pictures in unusual forms, and masks of them: read as they are seen, doubted, or refused with the cause."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from softmask.data.image_files import read_grey
from softmask.errors import Doubt


def test_doubtful_pictures_and_masks(image, drawn, made, ct, label, tmp_path):
    grey, disc, mark = made.grey(), made.disc(), ("--recist", *made.ends())

    def saved(name: str, picture: np.ndarray):
        return made.save(tmp_path / f"{name}.png", picture)

    padded, volume = made.hu(), made.volume_mask()
    padded[:, 0] = -3024
    scan = made.write_volume(tmp_path / "padded.nii.gz", padded)
    around = made.write_volume(tmp_path / "m.nii.gz", ~volume & volume.any(axis=(1, 2), keepdims=True))
    inverted = tmp_path / "m.tif"
    tifffile.imwrite(inverted, disc.astype(np.uint8) * 255, photometric="miniswhite")
    lossy = tmp_path / "lossy.tif"
    Image.fromarray(grey).save(lossy, compression="jpeg")
    hounsfield = (grey.astype(np.int32) * 5 - 1000 + 32768).astype(np.uint16)
    for name, arguments, *doubts in (
        ("plain", (image, *mark)),
        ("flat", (saved("flat", np.full(made.size, 90, np.uint8)), "--mask", drawn), "have one grey level"),
        ("ring", (image, "--mask", saved("ring", disc & ~made.disc(radius=6))), "looks like an outline"),
        ("padded", (scan, *mark, "--slice", 2, "--stretch"), "its least value, -3024, is padding"),
        ("twelve", (saved("12", grey.astype(np.uint16) << 4), *mark), "uses 592 to 3120 of 0 to 65535 ", "--stretch"),
        ("sixteen", (saved("16", grey.astype(np.uint16) << 8), *mark)),
        ("hounsfield", (saved("hu", hounsfield), *mark), "Hounsfield units + 32768 (DeepLesion)", "--window"),
        ("most", (image, "--mask", saved("most", ~disc)), "of the image"),
        ("most-of-a-slice", (ct, "--mask", around), "of the image"),
        ("jpeg", (lossy, *mark), "was compressed with loss (JPEG); edges may have changed"),
        ("imagej", (image, "--mask", inverted), "0 as white (MinIsWhite, ImageJ's inverting LUT)", "inverted"),
    ):
        assert label(*arguments, "--name", name, "--format", "png") == 0
        message = made.read_manifest(tmp_path / "out")[name]["message"]
        assert message.startswith("doubtful: ") if doubts else not message, name
        assert all(doubt in message for doubt in doubts), name


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_turned_picture_is_turned_and_said(made, tmp_path, ending):
    exif = Image.Exif()
    exif[274] = 3  # turned by half
    Image.fromarray(made.grey()).save(tmp_path / f"a.{ending}", exif=exif)
    with pytest.warns(Doubt, match=rf"a.{ending}: turned or mirrored as its orientation 3 \(TIFF, EXIF\) says"):
        turned = read_grey(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(turned, made.grey()[::-1, ::-1])


def test_the_offset_of_deeplesion_is_known(drawn, made, label, tmp_path):
    hu = made.grey().astype(np.int32) * 5 - 1000
    picture = made.save(tmp_path / "a.png", (hu + 32768).astype(np.uint16))
    assert label(picture, "--mask", drawn, "--window", -1000, 275) == 0
    windowed = made.save(tmp_path / "b.png", np.rint((hu + 1000) / 1275 * 65535).astype(np.uint16))
    assert label(windowed, "--mask", drawn) == 0
    first, other = (made.soft(tmp_path / "out" / f"{name}-soft.png") for name in "ab")
    np.testing.assert_allclose(first, other, atol=2e-3)
    assert made.read_manifest(tmp_path / "out")["a"]["message"] == ""


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_as_zero_is_turned_alike_in_8_and_16_bits(made, tmp_path, dtype):
    values = made.grey().astype(dtype) * (np.iinfo(dtype).max // 255)
    tifffile.imwrite(tmp_path / "white.tif", ~values, photometric="miniswhite")
    with pytest.warns(Doubt, match=r"white.tif: stored with 0 as white \(MinIsWhite"):
        np.testing.assert_array_equal(read_grey(tmp_path / "white.tif"), values)


@pytest.mark.parametrize("big", [False, True])
def test_a_bigtiff_image_is_read_as_a_tiff_image(made, tmp_path, big):
    tifffile.imwrite(tmp_path / "a.tif", made.grey(), bigtiff=big)
    assert (tmp_path / "a.tif").read_bytes()[2] == (43 if big else 42)
    np.testing.assert_array_equal(read_grey(tmp_path / "a.tif"), made.grey())
