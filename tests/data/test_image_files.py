"""PNG and TIFF as stored, folders and archives read alike; damage and bombs are refused by name."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from softmask.data.image_files import FileStore, read_grey, read_grey_stack
from softmask.errors import DataError

RNG = np.random.default_rng(1)
GREY8 = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)


def encoded(image, kind="PNG", pages=()):
    buffer = io.BytesIO()
    first, *others = [page if isinstance(page, Image.Image) else Image.fromarray(page) for page in (image, *pages)]
    first.save(buffer, kind, **({"save_all": True, "append_images": others} if others else {}))
    return buffer.getvalue()


PNG8 = encoded(GREY8)
TIFF8 = encoded(GREY8, "TIFF")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("array", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_values_and_depth_are_those_stored(array, kind, tmp_path):
    path = tmp_path / "a.img"
    path.write_bytes(encoded(array, kind))
    for source in (path, str(path), path.read_bytes()):
        result = read_grey(source)
        assert result.dtype == array.dtype
        np.testing.assert_array_equal(result, array)


def test_big_endian_tiff_is_read_with_the_same_values():
    header = b"MM\0*" + struct.pack(">I", 8)
    tags = [(256, 3), (257, 2), (258, 16), (259, 1), (262, 1), (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 2), (279, 12)]
    entries = b"".join(
        struct.pack(">HHI", tag, 4, 1) + struct.pack(">I", value)
        if tag in (273, 279)
        else struct.pack(">HHIHH", tag, 3, 1, value, 0)
        for tag, value in tags
    )
    values = np.array([[1, 256, 65535], [0, 2, 40000]], np.uint16)
    data = header + struct.pack(">H", len(tags)) + entries + struct.pack(">I", 0) + values.astype(">u2").tobytes()
    result = read_grey(data)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, values)


def test_a_tiff_that_is_not_read_says_of_which_kind_it_is(recwarn):
    file = io.BytesIO()
    pixels = np.arange(128 * 128, dtype=">u2").reshape(128, 128)
    tifffile.imwrite(file, pixels, bigtiff=True, tile=(64, 64), compression="zlib", predictor=True, byteorder=">")
    message = "a BigTIFF, tiled, compressed with ADOBE_DEFLATE, its pixels are uint16 numbers.*save it as a plain TIFF"
    with pytest.raises(DataError, match=message):
        read_grey(file.getvalue(), "big.tif")
    assert not recwarn.list  # Pillow's own, of damaged EXIF


def test_too_many_pixels_are_to_be_cropped_or_scaled():
    with pytest.raises(DataError, match="crop or scale it"):
        read_grey(encoded(Image.new("1", (8193, 8193))), "large.png")


def test_a_jpeg_of_another_name_is_called_one():
    with pytest.raises(DataError, match=r"mask\.png: is a JPEG.*save it as PNG or TIFF"):
        read_grey(encoded(GREY8, "JPEG"), "mask.png")


def test_one_bit_image_becomes_0_and_255():
    mask = GREY8 > 127
    np.testing.assert_array_equal(read_grey(encoded(mask)), mask * np.uint8(255))


def test_stack_reads_every_page():
    data = encoded(GREY8, "TIFF", pages=[GREY8[::-1].copy()])
    np.testing.assert_array_equal(read_grey_stack(data), np.stack([GREY8, GREY8[::-1]]))
    with pytest.raises(DataError, match="2 images where one"):
        read_grey(data)
    with pytest.raises(DataError, match="pages differ"):
        read_grey_stack(encoded(GREY8, "TIFF", pages=[GREY8[:4]]), "volume.tif")


def test_truncated_png_is_named():
    for length in range(8, len(PNG8)):
        with pytest.raises(DataError, match=r"mask-0/slice-3\.png: truncated after"):
            read_grey(PNG8[:length], "mask-0/slice-3.png")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(PNG8) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_png_is_noticed(position, change):
    damaged = bytearray(PNG8)
    damaged[position] ^= change
    with pytest.raises(DataError, match=r"^a\.png: "):
        read_grey(bytes(damaged), "a.png")


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P", "LA", "F"])
def test_colour_is_refused(kind):
    data = encoded(Image.fromarray(GREY8).convert(kind), "TIFF" if kind == "F" else "PNG")
    with pytest.raises(DataError, match=f"grey image .* mode '{kind}'"):
        read_grey(data)


FILES = {"a/one.txt": b"one", "a/b/two.txt": b"two" * 100, "three.txt": b""}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "set"


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in reversed(FILES.items()):
            file.writestr(name, content)
    return tmp_path / "set.zip"


def test_a_folder_and_its_archive_read_alike(folder, archive):
    first, other = FileStore(folder), FileStore(archive)
    assert first.names == other.names == tuple(sorted(FILES))
    assert all(first.read(name) == other.read(name) == content for name, content in FILES.items())
    assert first.fingerprint(list(first.names)) == other.fingerprint(list(other.names))
    assert FileStore(folder).stamp == first.stamp
    (folder / "three.txt").write_bytes(b"more")
    assert FileStore(folder).stamp != first.stamp


def test_an_archive_can_be_sent_to_another_process(archive):
    store = pickle.loads(pickle.dumps(FileStore(archive)))
    assert store.read("a/one.txt") == b"one"


@pytest.mark.parametrize("which", ["folder", "archive"])
def test_a_file_that_is_not_there(which, request):
    path = request.getfixturevalue(which)
    with pytest.raises(DataError, match=r"nothing\.png"):
        FileStore(path).read("nothing.png")
