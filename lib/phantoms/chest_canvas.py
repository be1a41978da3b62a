"""The slice that a thorax is painted on, and smooth fields that are continuous from slice to slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from phantoms.chest_shape import Build
from softmask.data.kinds import FRAME

COARSE = 2
"""Pixels of the slice per cell of the grid that large surfaces are computed on."""


class Canvas:
    """One slice in the making.

    Attributes:
        hu: (512, 512) float32.
        x, y: (1, 512) and (512, 1) mm in the body's axes; cx, cy: the same of the coarse grid's (1, 256), (256, 1).
        t: level in the body.
        spacing: pixel size in mm.
    """

    def __init__(self, build: Build, z_mm: float) -> None:
        self.hu = np.full((FRAME, FRAME), np.float32(-1000))
        self.spacing = build.spacing_mm
        self.t = float(build.level(z_mm))
        pixels = np.arange(FRAME, dtype=np.float32)
        cells = np.arange(FRAME // COARSE, dtype=np.float32) * COARSE + np.float32((COARSE - 1) / 2)
        self.x = ((pixels - np.float32(build.column)) * np.float32(self.spacing))[None, :]
        self.y = ((pixels - np.float32(build.row)) * np.float32(self.spacing))[:, None]
        self.cx = ((cells - np.float32(build.column)) * np.float32(self.spacing))[None, :]
        self.cy = ((cells - np.float32(build.row)) * np.float32(self.spacing))[:, None]

    def share(self, distance: np.ndarray, width: np.ndarray | float | None = None) -> np.ndarray:
        """(512, 512) float32: share of each pixel inside a surface.

        Args:
            distance: mm, (256, 256) or (512, 512), negative inside.
            width: mm over which the surface fades; a pixel when None.
        """
        edge = distance / np.float32(self.spacing) if width is None else distance / width
        return np.clip(0.5 - enlarge(np.asarray(edge, np.float32)), 0, 1)

    def paint(self, share: np.ndarray, hu: np.ndarray | float) -> None:
        """Lay a tissue over what is there; ``share`` and ``hu`` are (512, 512), or ``hu`` one number."""
        self.hu += share * (hu - self.hu)

    def put(
        self,
        box: tuple[float, float, float],
        distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
        hu: np.ndarray | float,
        width: float | None = None,
    ) -> None:
        """Paint something small.

        Args:
            box: (x, y, reach) in mm: nothing of it is farther from there than ``reach`` along either axis.
            distance: of (1, w) x and (h, 1) y in mm.
            hu: a number or a (512, 512) field.
            width: mm over which its surface fades; a pixel when None.
        """
        x, y, reach = box
        columns = self._range(self.x[0], x - reach, x + reach)
        rows = self._range(self.y[:, 0], y - reach, y + reach)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        edge = distance(self.x[:, columns], self.y[rows])
        share = np.clip(0.5 - edge / np.float32(width or self.spacing), 0, 1).astype(np.float32)
        part = self.hu[rows, columns]
        part += share * ((hu[rows, columns] if isinstance(hu, np.ndarray) else np.float32(hu)) - part)

    def _range(self, axis: np.ndarray, low: float, high: float) -> slice:
        return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, side="right")))


def enlarge(coarse: np.ndarray) -> np.ndarray:
    """(512, 512) from (256, 256), linearly; an array of full size as it is."""
    if coarse.shape == (FRAME, FRAME):
        return coarse
    return cv2.resize(coarse, (FRAME, FRAME), interpolation=cv2.INTER_LINEAR)


def smooth(coarse: np.ndarray, sigma: float) -> np.ndarray:
    """``coarse`` with its corners rounded: blurred over ``sigma`` cells."""
    return cv2.GaussianBlur(coarse, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Field:
    """A smooth random function of the body, about normal, that varies over ``cell_mm`` in all directions.

    White noise on a grid, interpolated cubically in a slice and with constant variance between the grid's layers.
    """

    layers: np.ndarray  # (D, n, n)
    cell_mm: float
    lowest_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, cell_mm: float, spacing_mm: float, low_mm: float, high_mm: float) -> Field:
        """A field for the frame of a scan whose slices lie from ``low_mm`` to ``high_mm``."""
        size = int(np.ceil(FRAME * spacing_mm / cell_mm)) + 2
        count = int(np.ceil((high_mm - low_mm) / cell_mm)) + 2
        return cls(rng.standard_normal((count, size, size), dtype=np.float32), cell_mm, low_mm)

    def at(self, z_mm: float, size: int = FRAME // COARSE) -> np.ndarray:
        """(size, size) float32 values in the slice at ``z_mm``."""
        place = float(np.clip((z_mm - self.lowest_mm) / self.cell_mm, 0, len(self.layers) - 1.001))
        layer, part = int(place), place - int(place)
        turn = np.float32(part * np.pi / 2)
        flat = np.cos(turn) * self.layers[layer] + np.sin(turn) * self.layers[layer + 1]
        return cv2.resize(flat, (size, size), interpolation=cv2.INTER_CUBIC) / np.float32(0.8571)
