"""Lungs outlined in a DICOM RTSTRUCT: contours in mm of the patient, filled on the slices of a scan.

A pixel belongs to a contour when its centre lies inside. Contours of one structure in one slice cut holes into one
another where they are nested (even-odd rule); structures are joined.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from softmask.data.dicom_ct import dcmread, named
from softmask.data.lung_names import lungs_among
from softmask.data.planes import need_frame, need_unbroken, slice_at
from softmask.data.rasterise import fill
from softmask.data.volume import Grid
from softmask.errors import DataError, brief

_FLAT = 0.01  # mm that the points of a contour may differ in z
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_LISTING = ["Modality", "StructureSetROISequence"]


def check_rtstruct(path: Path, grid: Grid) -> dict[int, str]:
    """Numbers and names of the structures that are lungs; no contour is read.

    Raises:
        DataError: naming file and tag, when it is no RTSTRUCT, names no lung or only one, or another frame of reference
            than the scan's.
    """
    return _lungs(path, dcmread(path, stop_before_pixels=True, specific_tags=_LISTING), grid)


def rtstruct_mask(path: Path, grid: Grid) -> np.ndarray:
    """(D, H, W) bool: both lungs on the slices of ``grid``. Contours between its slices are passed over.

    Raises:
        DataError: as :func:`check_rtstruct`, and when a lung has no contour, a contour is not a closed one in an axial
            plane or is damaged, or the contours leave slices out.
    """
    dataset = dcmread(path)
    lungs = _lungs(path, dataset, grid)
    mask = np.zeros(grid.shape, bool)
    marked: list[int] = []
    for number, name in lungs.items():
        try:
            contours = [
                (str(item.get("ContourGeometricType")), np.array(item.ContourData, float))
                for roi in dataset.ROIContourSequence
                if int(roi.ReferencedROINumber) == number
                for item in roi.get("ContourSequence") or ()
            ]
        except Exception as error:  # values are decoded only now, and on damaged bytes that raises nearly anything
            raise DataError(f"{path}: the contours of {name} cannot be read ({brief(error)}); get it again") from error
        if not contours:
            raise DataError(f"{path}: {named('ROIContourSequence')} has no contour of {name}; get it again")
        lung: dict[int, np.ndarray] = {}
        for kind, values in contours:
            z, points = _in_pixels(path, name, kind, values, grid)
            place = slice_at(grid, z)
            if place is not None:
                inner = fill(points, grid.shape[1:])
                lung[place] = lung[place] ^ inner if place in lung else inner
        for place, one in lung.items():
            mask[place] |= one
        marked += lung
    need_unbroken(grid, marked, path, f"{named('ContourData')} of {', '.join(lungs.values())}")
    if not mask.any():
        raise DataError(
            f"{path}: the contours of {', '.join(lungs.values())} enclose no pixel of {grid.path}; get it again"
        )
    return mask


def _lungs(path: Path, dataset, grid: Grid) -> dict[int, str]:
    try:
        modality = dataset.get("Modality")
        structures = [
            (int(item.ROINumber), str(item.ROIName), str(item.get("ReferencedFrameOfReferenceUID") or ""))
            for item in dataset.get("StructureSetROISequence") or ()
        ]
    except Exception as error:  # as above
        raise DataError(f"{path}: the list of structures cannot be read ({brief(error)}); get it again") from error
    if modality != "RTSTRUCT":
        raise DataError(f"{path}: {named('Modality')} = {modality}; RTSTRUCT was expected")
    wanted = lungs_among((name for _, name, _ in structures), path, named("ROIName"))
    for _, name, frame in structures:
        if name in wanted:
            need_frame(grid, frame, path, f"{named('ReferencedFrameOfReferenceUID')} of {name}")
    return {number: name for number, name, _ in structures if name in wanted}


def _in_pixels(path: Path, name: str, kind: str, values: np.ndarray, grid: Grid) -> tuple[float, np.ndarray]:
    """z in mm, and (N, 2) row and column of a contour's points."""
    if kind not in _CLOSED:
        raise DataError(f"{path}: {named('ContourGeometricType')} = {kind} in {name}; closed contours are expected")
    if not len(values) or len(values) % 3 or not np.isfinite(values).all():
        raise DataError(
            f"{path}: {named('ContourData')} of {name} holds {len(values)} numbers, not three a point; get it again"
        )
    points = values.reshape(-1, 3)
    if np.ptp(points[:, 2]) > _FLAT:
        raise DataError(f"{path}: {named('ContourData')} of {name} leaves the axial plane; redraw it on axial slices")
    corner, spacing = np.array(grid.origin[1::-1]), np.array(grid.spacing_mm[1:])
    return float(points[0, 2]), (points[:, 1::-1] - corner) / spacing
