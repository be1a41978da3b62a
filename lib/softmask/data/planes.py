"""Where an axial DICOM image lies in the patient, and how its stored pixels are turned to the patient's axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AXIAL = (1, 0, 0, 0, 1, 0)
"""ImageOrientationPatient of a slice whose columns go to the patient's left and whose rows go to the back."""


@dataclass(frozen=True)
class Turn:
    """How the pixels of an axial image, as they are stored, become rows from front to back and columns to the left.

    Attributes:
        transposed: whether rows and columns change places, before anything else.
        rows, columns: whether their order is reversed.
    """

    transposed: bool = False
    rows: bool = False
    columns: bool = False

    def turn(self, pixels: np.ndarray) -> np.ndarray:
        """Return ``pixels`` (..., rows, columns) as stored, turned to the patient's axes."""
        pixels = pixels.swapaxes(-1, -2) if self.transposed else pixels
        return pixels[..., :: -1 if self.rows else 1, :: -1 if self.columns else 1]

    def back(self, pixels: np.ndarray) -> np.ndarray:
        """Return ``pixels`` (..., H, W) on the patient's axes as they are stored."""
        pixels = pixels[..., :: -1 if self.rows else 1, :: -1 if self.columns else 1]
        return pixels.swapaxes(-1, -2) if self.transposed else pixels

    def stored(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the inverse of :meth:`points`."""
        points = np.where([self.rows, self.columns], np.array(shape) - 1 - points, points)
        return points[:, :: -1 if self.transposed else 1]

    def points(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return points (N, 2), row and column in stored pixels, as in the turned image of ``shape`` (H, W)."""
        points = np.array(points, float)[:, :: -1 if self.transposed else 1]
        return np.where([self.rows, self.columns], np.array(shape) - 1 - points, points)


@dataclass(frozen=True)
class Plane:
    """Where an axial image lies once it is turned: (x, y) in mm of its first pixel, its height, (row, column) size of a
    pixel, and (rows, columns)."""

    turn: Turn
    corner_mm: tuple[float, float]
    z_mm: float
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]


def plane_of(
    position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], shape: tuple[int, int]
) -> Plane | None:
    """Return where an image lies that DICOM places by ImagePositionPatient, ImageOrientationPatient and PixelSpacing;
    ``shape`` is (rows, columns) as stored. None for an image that is not axial.
    """
    axes = np.reshape(orientation, (2, 3))  # of a row (along columns), and of a column (along rows)
    whole = np.rint(axes)
    if not np.allclose(axes, whole, atol=1e-3) or whole[:, 2].any() or (np.abs(whole).sum(axis=0)[:2] != 1).any():
        return None
    transposed = bool(whole[0, 1])
    (sizes, steps, axes) = (shape[::-1], spacing[::-1], whole) if transposed else (shape, spacing, whole[::-1])
    backwards = [bool(axes[0, 1] < 0), bool(axes[1, 0] < 0)]  # of the image axes along y and x
    far = [(size - 1) * step if back else 0 for size, step, back in zip(sizes, steps, backwards, strict=True)]
    corner = (position[0] - far[1], position[1] - far[0])
    return Plane(Turn(transposed, *backwards), corner, position[2], tuple(steps), tuple(sizes))
