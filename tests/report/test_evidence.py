"""Images and values behind numbers, in the form that a page takes."""

import base64
import io

import numpy as np
from PIL import Image

from softmask.measure.differences import Scores
from softmask.report.evidence import SHOWN, WIDTH, Evidence, embedded, sheet


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def opened(address):
    head, _, data = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_a_wide_picture_is_shrunk_and_shown_on_the_scale_of_all():
    picture = png(np.random.default_rng(0).integers(0, 255, (300, 3 * WIDTH, 3), np.uint8))
    address, *size = embedded(picture)
    assert size == [round(SHOWN * 3 * WIDTH), round(SHOWN * 300)]
    assert opened(address).shape == (100, WIDTH, 3)
    assert len(address) < len(picture) / 2
    assert embedded(picture)[0] == address


def test_a_small_picture_keeps_size_and_colours_and_what_is_see_through_becomes_white():
    array = np.zeros((40, 60, 3), np.uint8)
    array[:, 30:] = (230, 159, 0)
    parsed = opened(embedded(png(array))[0])
    assert parsed.shape == array.shape
    assert np.abs(parsed[:, 40:].astype(int) - array[:, 40:]).max() < 8
    assert parsed[:, :20].max() < 8
    assert opened(embedded(png(np.zeros((20, 20, 4), np.uint8)))[0]).min() > 250


def test_sheets_have_every_image_in_its_place():
    masks = np.random.default_rng(0).random((5, 8, 8)) > 0.5
    columns, address = sheet(masks)
    head, _, content = address.partition(",")
    assert (columns, head) == (3, "data:image/png;base64")
    whole = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert whole.shape == (16, 24)
    for i, mask in enumerate(masks):
        row, column = divmod(i, columns)
        assert (whole[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] == mask).all()


def test_a_cell_of_means_or_medians_opens_onto_its_measure():
    scores = Scores(("a",), ("p",), np.ones((1, 1)), "real")
    result = Evidence({("lgan", "morph", "lungs-2d", name): scores for name in ("iou", "median_iou")})
    assert result.key("lgan", "morph", "lungs-2d", "median_iou") == "lgan|morph|lungs-2d|iou"
    assert result.key("lgan", "morph", "lungs-2d", "mean_iou") == "lgan|morph|lungs-2d|iou"
    assert result.key("lgan", "morph", "lungs-2d", "dice") == ""
