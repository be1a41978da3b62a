"""The lungs of a scan from a file of any kind: RTSTRUCT, DICOM SEG, NIfTI or nrrd."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from softmask.data.dicom_ct import dcmread, is_dicom, named
from softmask.data.dicom_seg import check_seg, seg_mask
from softmask.data.label_volumes import check_label_volume, label_volume_mask
from softmask.data.rtstruct import check_rtstruct, rtstruct_mask
from softmask.data.volume import Grid
from softmask.data.volume_files import ENDINGS, is_volume_file
from softmask.errors import DataError, brief
from softmask.files import size_of

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
    return label_volume_mask(volume, path, labels)


def check_mask(grid: Grid, path: str | Path) -> None:
    """What :func:`lung_mask` checks before it reads contours or voxels."""
    path = Path(path)
    checks = {"RTSTRUCT": check_rtstruct, "SEG": check_seg}
    kind = _kind(path)
    if kind in checks:
        checks[kind](path, grid)
    else:
        check_label_volume(grid, path)


def modality_of(path: Path) -> str:
    """The Modality that a DICOM file names, such as ``SEG``. Raises DataError for a file that is damaged."""
    header = dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    try:
        return str(header.get("Modality"))
    except Exception as error:  # values are decoded only now, and on damaged bytes that raises nearly anything
        raise DataError(f"{path}: {named('Modality')} cannot be read ({brief(error)}); get this file again") from error


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
