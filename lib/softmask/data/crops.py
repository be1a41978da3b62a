"""Which part of an image the experiments use, and how it becomes S x S pixels.

Of an image of ``lidc`` and ``lnsm`` the S pixels at its centre are taken as they are. ISBI 2012 and PROMISE12 come in
other sizes, and larger; there the same piece of tissue is taken from every image, and S only says how finely it is
shown: each new pixel is the mean over the area it covers. Slices whose lungs are sought are shown whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from softmask.config import BASE_SEED
from softmask.data.sample import Sample
from softmask.data.scans import SCANS
from softmask.errors import ConfigError, DataError

SECTION_FOLDS = tuple(f"isbi2012-fold{number}" for number in range(1, 6))
"""The five folds of ISBI 2012's thirty sections (:func:`softmask.data.experiments.split_rows`)."""

CROPS: Mapping[str, int] = dict.fromkeys(("isbi2012", *SECTION_FOLDS), 10)
"""How many images the experiments cut from one stored image, where it is not one: CasGAN makes 300 of 30 sections."""

SECTION_PX = 128
"""Side of a crop of ISBI 2012: 512 nm, one or two dozen cells. Membranes are labelled about 5 of these pixels wide;
2 to 3 are left of them at 64 pixels."""

FIELD_MM = 100.0
"""Side of the field at the centre of a PROMISE12 slice: the largest gland with its surroundings."""


WHOLE = (*SCANS, "lungs-2d")
"""Data sets of chest CT, whose slices are shown whole."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of an image in its pixels, which its edges need not follow; pixel (0, 0) spans 0 to 1 both ways."""

    top: float
    left: float
    height: float
    width: float

    def of(self, array: np.ndarray, size: int) -> np.ndarray:
        """Means of ``array`` (H, W) over size x size equal cells of the rectangle: (size, size) float32.

        Of a bool array the cells that are at least half True, (size, size) bool.
        """
        rows = _shares(array.shape[0], self.top, self.height, size)
        columns = _shares(array.shape[1], self.left, self.width, size)
        means = rows @ array.astype(np.float64) @ columns.T
        # a cell that is exactly half covered must not hang on how the sum was rounded
        return means.round(6) >= 0.5 if array.dtype == bool else means.astype(np.float32)


def crops(dataset: str, sample: Sample, size: int) -> list[Crop]:
    """The rectangles of a sample of ``dataset`` that are shown with size x size pixels.

    ISBI 2012: :data:`CROPS` squares of :data:`SECTION_PX` pixels at seeded places, which may overlap and are the same
    in every fold. ``promise12``: the square of :data:`FIELD_MM` at the centre. Those of :data:`WHOLE`: the whole
    slice. Others: the ``size`` x ``size`` pixels at the centre.

    Raises:
        ConfigError: fewer stored pixels than ``size``; none are invented.
        DataError: an image smaller than what is shown of one.
    """
    shape = sample.image.shape
    window: tuple[float, float] = (size, size)
    if dataset in CROPS:
        window = (SECTION_PX, SECTION_PX)
    elif dataset == "promise12":
        window = (FIELD_MM / sample.spacing[0], FIELD_MM / sample.spacing[1])
    elif dataset in WHOLE:
        window = shape
    height, width = (min(pair) for pair in zip(shape, window, strict=True))
    if min(height, width) < size:
        raise ConfigError(f"{sample.id}: {height:g} x {width:g} pixels hold no crop of {size} x {size}; lower the size")
    if (height, width) != window:
        raise DataError(
            f"{sample.id}: {shape[0]} x {shape[1]} pixels are fewer than the {window[0]:g} x {window[1]:g} "
            "that are shown of an image"
        )
    if dataset in CROPS:
        random = np.random.default_rng([BASE_SEED, *sample.id.encode()])
        places = random.integers(0, np.subtract(shape, window), (CROPS[dataset], 2), endpoint=True)
        return [Crop(*place, *window) for place in places.tolist()]
    if dataset == "promise12" or dataset in WHOLE:
        return [Crop((shape[0] - height) / 2, (shape[1] - width) / 2, height, width)]
    return [Crop((shape[0] - size) // 2, (shape[1] - size) // 2, size, size)]


def _shares(n: int, start: float, length: float, size: int) -> np.ndarray:
    """(size, n): what part of each of ``size`` equal cells, which span ``length`` from ``start``, each pixel covers."""
    edges = start + np.arange(size + 1)[:, None] * (length / size)
    pixels = np.arange(n)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return covered.clip(min=0) * (size / length)
