"""Pixels of DICOM files: what the header leaves out about their compression, and padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from softmask.data.dicom import is_irreversible, numbers_of, padding_of
from softmask.errors import DataError

JPEG_2000, JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.90"


@pytest.mark.parametrize("loses", [False, True])
def test_the_wavelet_tells_whether_jpeg_2000_loses(tmp_path, loses):
    path = tmp_path / "slice.j2k"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    Image.fromarray(pixels).save(path, "JPEG2000", irreversible=loses)
    path.write_bytes(b"a header \xff\x52\x00" + path.read_bytes())
    assert is_irreversible(path, JPEG_2000) == loses
    assert not is_irreversible(path, JPEG_2000_LOSSLESS)


@pytest.mark.parametrize(
    ("value", "limit", "dtype", "outside"),
    [
        (-2000, None, np.int16, 4),
        (63536, None, np.int16, 4),  # -2000, written as if the pixels were unsigned
        (63536, None, np.uint16, 4),
        (-2001, -1990, np.int16, 7),
        (-1990, -2001, np.int16, 7),
        (-2001, -1, np.int16, 7),
        (7, None, np.int16, 0),
        (None, None, np.int16, 0),
        ("", None, np.int16, 0),
    ],
)
def test_padding_reaches_from_the_border(value, limit, dtype, outside):
    stored = np.zeros((7, 9), np.int16)
    stored[0, :2] = stored[1, :2] = -2000
    stored[3, 4] = -2000  # tissue by chance, or metal
    stored[4:, 8] = -1995
    dataset = pydicom.Dataset()
    dataset.BitsAllocated, dataset.PixelRepresentation = 16, int(dtype == np.int16)
    for tag, number in ((0x00280120, value), (0x00280121, limit)):
        if number is not None:
            dataset.add_new(tag, "US" if isinstance(number, str) or number > 0 else "SS", number)
    padding = padding_of(dataset, stored.view(dtype))
    assert padding.sum() == outside
    assert not padding[3, 4]


@pytest.mark.parametrize(("text", "numbers"), [("0.5\\0.75", [0.5, 0.75]), ("0.5,0.75", None), ("0,5\\0,75", None)])
def test_numbers_that_are_none_are_named_with_their_tag(text, numbers):
    header = pydicom.Dataset()
    header.add_new(0x00280030, "UT", text)
    if numbers:
        assert numbers_of(Path("1.dcm"), header, "PixelSpacing", 2) == numbers
    else:
        with pytest.raises(DataError, match=r"1\.dcm: PixelSpacing \(0028,0030\) = .*, not 2 numbers with points"):
            numbers_of(Path("1.dcm"), header, "PixelSpacing", 2)
