"""Masks that come plane by plane, as contours or as frames, and the slices of the scan that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from softmask.data.volume import Grid
from softmask.errors import DataError

_SAME_PLANE = 0.1  # share of the slices' distance by which a plane may lie beside its slice


def slice_at(grid: Grid, z: float) -> int | None:
    """Number of the slice at ``z`` mm; None where the plane lies between slices or outside the scan."""
    nearest = int(np.abs(grid.z_mm - z).argmin())
    return nearest if abs(grid.z_mm[nearest] - z) <= _SAME_PLANE * grid.spacing_mm[0] else None


def need_unbroken(grid: Grid, marked: Iterable[int], path: Path, tag: str) -> None:
    """Raises DataError unless planes lie on slices of the scan, and on all slices from the lowest to the highest one:
    lungs have no gap. Planes between slices do not count: the scan may hold every second slice."""
    slices = sorted(set(marked))
    if not slices:
        raise DataError(
            f"{path}: no plane of {tag} lies on a slice of {grid.path} (z = {grid.z_mm[0]:g} to {grid.z_mm[-1]:g} mm); "
            "it belongs to another scan, or to another series of it"
        )
    absent = sorted(set(range(slices[0], slices[-1] + 1)) - set(slices))
    if absent:
        raise DataError(
            f"{path}: {tag} marks nothing in {len(absent)} slices between those it marks, such as z = "
            f"{grid.z_mm[absent[0]]:g} mm of {grid.path}; it was drawn on another series, or is not complete"
        )


def need_frame(grid: Grid, found: str, path: Path, tag: str) -> None:
    """Raises DataError where the mask names another frame of reference than the scan does; nothing is asked of files
    that name none."""
    if found and grid.frame_of_reference and found != grid.frame_of_reference:
        raise DataError(
            f"{path}: {tag} = {found}, but {grid.path} lies in {grid.frame_of_reference}: positions in one mean "
            "nothing in the other; get the mask that was drawn on this scan"
        )
