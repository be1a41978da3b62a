import base64
import io

import numpy as np
import pytest
from PIL import Image

from softmask.report import pictures


def png(array, mode=None):
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, "PNG")
    return buffer.getvalue()


def opened(embedded):
    head, _, data = embedded.address.partition(",")
    assert head == "data:image/webp;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (embedded.width, embedded.height)
    return np.asarray(image.convert("RGB"))


def test_a_wide_picture_becomes_as_wide_as_the_page_needs():
    picture = png(np.random.default_rng(0).integers(0, 255, (300, 3 * pictures.WIDTH, 3), np.uint8))
    found = pictures.embedded(picture)
    assert (found.width, found.height) == (pictures.WIDTH, 100)
    assert len(found.address) < len(picture) / 2
    assert pictures.embedded(picture) == found


def test_a_small_one_keeps_its_size_and_its_colours():
    array = np.zeros((40, 60, 3), np.uint8)
    array[:, 30:] = (230, 159, 0)
    found = opened(pictures.embedded(png(array)))
    assert found.shape == array.shape
    assert np.abs(found[:, 40:].astype(int) - array[:, 40:]).max() < 8
    assert found[:, :20].max() < 8


def test_what_is_see_through_becomes_white():
    assert opened(pictures.embedded(png(np.zeros((20, 20, 4), np.uint8)))).min() > 250


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no picture",
        lambda data: data[:-20],
        lambda data: data[: len(data) // 2],
        lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:],
        lambda data: data[:16] + b"\xff" * 8 + data[24:],  # a width and height of four thousand million
    ],
    ids=["empty", "text", "end cut off", "half", "a flipped byte", "huge"],
)
def test_a_damaged_file_is_told(damage):
    data = png(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8))
    pictures.check(data)
    with pytest.raises(OSError, match="not a whole PNG file"):
        pictures.check(damage(data))
