"""Masks in NIfTI or nrrd files: volumes of labels on the grid of a scan."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from softmask.data.volume import Grid
from softmask.data.volume_files import read_frame, read_turned
from softmask.errors import DataError

_SAME = 0.1  # share of a voxel by which the mask's first and last voxels may lie beside the scan's


def label_volume_mask(grid: Grid, path: Path, labels: Collection[int] | None = None) -> np.ndarray:
    """(D, H, W) bool on the scan's voxels: those whose label is one of ``labels``, or where that is None, any but 0.

    Raises:
        DataError: naming the file, when it is damaged, lies on another grid than the scan, or holds no such label.
    """
    check_label_volume(grid, path)
    values = read_turned(path)
    if not np.isfinite(values).all() or values.min() < 0 or (values.dtype.kind == "f" and (values % 1).any()):
        raise DataError(
            f"{path}: holds values such as {values.min():g} that are no labels; whole numbers from 0 up are expected"
        )
    mask = values != 0 if labels is None else np.isin(values, list(labels))
    if not mask.any():
        found = ", ".join(f"{value:g}" for value in np.unique(values)[:20])
        wanted = "another label than 0" if labels is None else f"a label of {sorted(labels)}"
        raise DataError(f"{path}: no voxel has {wanted}; there are {found}")
    return mask


def check_label_volume(grid: Grid, path: Path) -> None:
    """What :func:`label_volume_mask` checks before it reads voxels: that the file lies on the grid of the scan."""
    frame = read_frame(path)
    if frame.shape != grid.shape:
        raise DataError(
            f"{path}: {' x '.join(map(str, frame.shape))} voxels (slices, rows, columns), and "
            f"{' x '.join(map(str, grid.shape))} in {grid.path}; resample the mask to the scan"
        )
    spacing = np.array(frame.spacing_mm[::-1]), np.array(grid.spacing_mm[::-1])  # as x, y, z
    first = np.array(frame.origin) - grid.origin
    last = first + (spacing[0] - spacing[1]) * (np.array(grid.shape[::-1]) - 1)
    if (np.abs([first, last]) > _SAME * spacing[1]).any():
        raise DataError(
            f"{path}: begins at {_mm(frame.origin)} with voxels of {_mm(frame.spacing_mm[::-1])}, and {grid.path} at "
            f"{_mm(grid.origin)} with {_mm(grid.spacing_mm[::-1])} (x, y, z in mm); resample the mask to the scan"
        )


def _mm(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"
