"""The lungs of a scan from a file of any kind: RTSTRUCT, DICOM SEG, NIfTI or nrrd."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from softmask.data.dicom_ct import dcmread, is_dicom, named
from softmask.data.dicom_seg import check_seg, seg_mask
from softmask.data.rtstruct import check_rtstruct, rtstruct_mask
from softmask.data.volume import Grid
from softmask.data.volume_files import ENDINGS, is_volume_file, read_frame, read_turned
from softmask.errors import DataError
from softmask.files import size_of

_SAME = 0.1  # share of a voxel by which the mask's first and last voxels may lie beside the scan's

MASKS_IN_DICOM = ("RTSTRUCT", "SEG")
"""Modalities that hold masks, the one that is preferred first."""


def lung_mask(volume: Grid, path: str | Path, labels: Collection[int] | None = None) -> np.ndarray:
    """Both lungs of a scan, from the file that outlines them.

    Args:
        volume: the scan, or its grid alone.
        path: an RTSTRUCT or a SEG, whose structures are chosen by name (:mod:`softmask.data.lung_names`); or a
            ``.nrrd``, ``.nii`` or ``.nii.gz`` file of labels.
        labels: of such a file, the values that are lung; None for every value but 0. (Label volumes often have one for
            the trachea.)

    Returns:
        (D, H, W) bool on the scan's voxels.

    Raises:
        DataError: naming the file, and the tag in DICOM: when it is damaged, holds no lung, or lies in another frame
            of reference or on another grid than the scan.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "RTSTRUCT":
        return rtstruct_mask(path, volume)
    if kind == "SEG":
        return seg_mask(path, volume)
    _check_file(volume, path)
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


def check_mask(grid: Grid, path: str | Path) -> None:
    """What :func:`lung_mask` checks before it reads contours or voxels."""
    path = Path(path)
    checks = {"RTSTRUCT": check_rtstruct, "SEG": check_seg}
    kind = _kind(path)
    if kind in checks:
        checks[kind](path, grid)
    else:
        _check_file(grid, path)


def modality_of(path: Path) -> str:
    """The Modality that a DICOM file names, such as ``SEG``."""
    return str(dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality"))


def _kind(path: Path) -> str:
    """``RTSTRUCT``, ``SEG`` or ``file``. Raises DataError for a file that is none of them, or is not there."""
    size_of(path, "check the name")
    if is_volume_file(path):
        return "file"
    if not is_dicom(path):
        raise DataError(f"{path}: is no lung mask; name a DICOM RTSTRUCT or SEG, or a file {', '.join(ENDINGS)}")
    modality = modality_of(path)
    if modality not in MASKS_IN_DICOM:
        raise DataError(f"{path}: {named('Modality')} = {modality}; RTSTRUCT or SEG was expected")
    return modality


def _check_file(grid: Grid, path: Path) -> None:
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
