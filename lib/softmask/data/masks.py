"""Masks on the slices of a scan: RTSTRUCT, DICOM SEG, and label volumes in NIfTI or nrrd.

A pixel belongs to a contour when its centre lies inside. Contours of one structure in one slice cut holes into one
another where they are nested (even-odd rule); structures are joined. highdicom bounds no declared size of a SEG and
compares no grid, and its errors name neither file nor tag; so pydicom's frames are placed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from softmask.data.ct import AXIAL, LARGEST, dcmread, is_dicom, modality_of, named, pixels_of
from softmask.data.outlines import fill
from softmask.data.volume_files import ENDINGS, LARGEST_VOLUME, Grid, grid_of_file, is_volume_file, read_turned
from softmask.errors import DataError, brief
from softmask.files import AGAIN, size_of

MASKS_IN_DICOM = ("RTSTRUCT", "SEG")
"""Modalities that hold masks, the preferred one first."""

_SAME_PLANE = 0.1  # share of the slices' distance by which a plane may lie beside its slice
_SAME_VOXEL = 0.1  # share of a voxel by which the mask's first and last voxels may lie beside the scan's
_FLAT = 0.01  # mm by which the points of a contour may differ in z
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_LEFT, _RIGHT, _BOTH = "l|lt|left", "r|rt|right", "both|bilateral|total|tot|whole|all|combined|sum"
_NAME = re.compile(rf"({_LEFT}|{_RIGHT}|{_BOTH})?lungs?({_LEFT}|{_RIGHT}|{_BOTH})?")


class NoLung(DataError):
    """The structures or segments of a file are others than lungs."""


def lung_mask(grid: Grid, path: str | Path, *, read: bool = True) -> np.ndarray | None:
    """Read both lungs of a scan.

    Args:
        grid: the scan, or its grid alone.
        path: an RTSTRUCT or a SEG, whose structures are chosen by name (:func:`side_of`); or a ``.nrrd``, ``.nii`` or
            ``.nii.gz`` file of labels, of which any but 0 is lung.
        read: whether contours and voxels are read, and not the header alone checked.

    Returns:
        (D, H, W) bool on the scan's voxels; None unless ``read``. What lies between its slices is passed over; a
        fractional SEG is cut at one half.

    Raises:
        DataError: naming the file, and the tag in DICOM: when it is damaged, holds no lung (:class:`NoLung`) or only
            one, leaves slices out, or lies in another frame of reference or on another grid than the scan.
    """
    path = Path(path)
    size_of(path, "check the name")
    if is_volume_file(path):
        return label_volume_mask(grid, path, read=read)
    if not is_dicom(path):
        raise DataError(f"{path}: is no lung mask; name a DICOM RTSTRUCT or SEG, or a file {', '.join(ENDINGS)}")
    modality = modality_of(path)
    if modality not in MASKS_IN_DICOM:
        raise DataError(f"{path}: {named('Modality')} = {modality}; RTSTRUCT or SEG was expected")
    return (_rtstruct_mask if modality == "RTSTRUCT" else _seg_mask)(path, grid, lungs=True, read=read)


def lesion_mask(path: Path, grid: Grid) -> np.ndarray:
    """Read the only segment of a SEG, of any name: (D, H, W) bool on the slices of ``grid``.

    Raises:
        DataError: naming file and tag, when it has several segments, is empty, or as :func:`lung_mask`.
    """
    return _seg_mask(path, grid, lungs=False, read=True)


def label_volume_mask(grid: Grid, path: Path, *, read: bool = True) -> np.ndarray | None:
    """Read the voxels whose label is any but 0: (D, H, W) bool; None unless ``read``, where the header is checked.

    Raises:
        DataError: naming the file, when it is damaged, lies on another grid than the scan, or holds no such label.
    """
    own = grid_of_file(path)
    if own.shape != grid.shape:
        raise DataError(f"{path}: {own.shape} voxels, and {grid.shape} in {grid.path}; resample the mask to the scan")
    spacing, expected = np.array(own.spacing_mm[::-1]), np.array(grid.spacing_mm[::-1])  # as x, y, z
    first = np.array(own.origin) - grid.origin
    last = first + (spacing - expected) * (np.array(grid.shape[::-1]) - 1)
    if (np.abs([first, last]) > _SAME_VOXEL * expected).any():
        begins, voxels = np.round(own.origin, 3), spacing.round(3)
        raise DataError(f"{path}: begins at {begins} mm with voxels of {voxels} mm; resample the mask to {grid.path}")
    if not read:
        return None
    values = read_turned(path)
    if not np.isfinite(values).all() or values.min() < 0 or (values.dtype.kind == "f" and (values % 1).any()):
        span = f"{values.min():g} to {values.max():g}"
        raise DataError(f"{path}: its values, {span}, are no labels; whole numbers from 0 up are expected")
    if not values.any():
        raise DataError(f"{path}: no voxel has another label than 0; get the mask of this scan")
    return values != 0


def slice_at(grid: Grid, z: float) -> int | None:
    """Return the number of the slice at ``z`` mm; None for a plane between slices or outside the scan."""
    nearest = int(np.abs(grid.z_mm - z).argmin())
    return nearest if abs(grid.z_mm[nearest] - z) <= _SAME_PLANE * grid.spacing_mm[0] else None


def side_of(name: str) -> str | None:
    """Return ``left``, ``right`` or ``both`` for a name that means a lung or both, such as ``Lung-Left``, ``RT LUNG``
    or ``Lungs``; None for others, as ``Lungs-GTV`` and ``Lung nodule``.
    """
    match = _NAME.fullmatch(re.sub(r"[\W_]+", "", name.lower()))
    if match is None:
        return None
    words = set(match.groups())
    left, right = words & set(_LEFT.split("|")), words & set(_RIGHT.split("|"))
    return "left" if left and not right else "right" if right and not left else "both"


def _chosen(names: list[str], path: Path, tag: str, lungs: bool) -> list[str]:
    """Return those of the file's ``names`` that mean a lung, else the only one there must be."""
    listed = ", ".join(names) or "it names nothing"
    if not lungs:
        if len(names) != 1:
            raise DataError(f"{path}: {len(names)} segments by {tag} ({listed}); save the one that is meant alone")
        return names
    chosen = [name for name in names if side_of(name)]
    if not chosen:
        raise NoLung(f"{path}: {tag} names no lung ({listed}); expected names such as Lung-Left and Lung-Right")
    if {side_of(name) for name in chosen} in ({"left"}, {"right"}):
        raise DataError(f"{path}: {tag} names one lung alone ({', '.join(chosen)}); add the other")
    return chosen


def _need_unbroken(grid: Grid, marked: Iterable[int], path: Path, tag: str) -> None:
    """Raise DataError unless all slices from the lowest to the highest marked one are marked: lungs have no gap."""
    slices = set(marked)
    if not slices:
        raise DataError(f"{path}: no plane of {tag} lies on a slice of {grid.path}; get the mask of this series")
    missing = sorted(set(range(min(slices), max(slices))) - slices)
    if missing:
        raise DataError(
            f"{path}: {tag} marks nothing in {len(missing)} slices between those it marks, such as z = "
            f"{grid.z_mm[missing[0]]:g} mm; get the mask of this series"
        )


def _need_frame(grid: Grid, frame: str, path: Path, tag: str) -> None:
    """Raise DataError where both mask and scan name a frame of reference, and not the same."""
    if frame and grid.frame_of_reference and frame != grid.frame_of_reference:
        raise DataError(
            f"{path}: {tag} = {frame}, but {grid.path} lies in {grid.frame_of_reference}; get the mask of this scan"
        )


def _rtstruct_mask(path: Path, grid: Grid, lungs: bool, read: bool) -> np.ndarray | None:
    dataset = dcmread(path, **({} if read else {"specific_tags": ["StructureSetROISequence"]}))
    contours: dict[int, list[tuple[str, np.ndarray]]] = {}
    try:
        structures = [
            (int(item.ROINumber), str(item.ROIName), str(item.get("ReferencedFrameOfReferenceUID") or ""))
            for item in dataset.get("StructureSetROISequence") or ()
        ]
        names = {number: name for number, name, _ in structures}
        for roi in dataset.get("ROIContourSequence") or ():
            number = int(roi.ReferencedROINumber)
            if side_of(names.get(number, "")):
                drawn = contours.setdefault(number, [])
                for item in roi.get("ContourSequence") or ():
                    drawn.append((str(item.get("ContourGeometricType")), np.array(item.ContourData, float)))
    except Exception as error:  # values are decoded only now, and damaged bytes raise nearly anything
        raise DataError(f"{path}: the structures cannot be read ({brief(error)}); {AGAIN}") from error
    chosen = _chosen([name for _, name, _ in structures], path, named("ROIName"), lungs)
    for _, name, frame in structures:
        if name in chosen:
            _need_frame(grid, frame, path, f"{named('ReferencedFrameOfReferenceUID')} of {name}")
    if not read:
        return None
    mask = np.zeros(grid.shape, bool)
    marked: set[int] = set()
    for number, name, _ in structures:
        if name not in chosen:
            continue
        if not contours.get(number):
            raise DataError(f"{path}: {named('ROIContourSequence')} has no contour of {name}; {AGAIN}")
        lung: dict[int, np.ndarray] = {}
        for kind, values in contours[number]:
            z, points = _in_pixels(path, name, kind, values, grid)
            place = slice_at(grid, z)
            if place is not None:
                lung[place] = lung.get(place, False) ^ fill(points, grid.shape[1:])
        for place, plane in lung.items():
            mask[place] |= plane
        marked |= lung.keys()
    _need_unbroken(grid, marked, path, f"{named('ContourData')} of {', '.join(chosen)}")
    if not mask.any():
        raise DataError(f"{path}: the contours of {', '.join(chosen)} enclose no pixel of {grid.path}; {AGAIN}")
    return mask


def _in_pixels(path: Path, name: str, kind: str, values: np.ndarray, grid: Grid) -> tuple[float, np.ndarray]:
    """Return z in mm, and (N, 2) row and column of a contour's points."""
    if kind not in _CLOSED:
        raise DataError(f"{path}: {named('ContourGeometricType')} = {kind} in {name}; closed contours are expected")
    if not len(values) or len(values) % 3 or not np.isfinite(values).all():
        raise DataError(f"{path}: {named('ContourData')} of {name} has {len(values)} numbers, not 3 a point; {AGAIN}")
    points = values.reshape(-1, 3)
    if np.ptp(points[:, 2]) > _FLAT:
        raise DataError(
            f"{path}: {named('ContourData')} of {name} is not confined to one axial plane; redraw it on axial slices"
        )
    return float(points[0, 2]), (points[:, 1::-1] - grid.origin[1::-1]) / grid.spacing_mm[1:]


def _seg_mask(path: Path, grid: Grid, lungs: bool, read: bool) -> np.ndarray | None:
    """Return (D, H, W) bool: the frames of the chosen segments on their slices."""
    dataset = dcmread(path, stop_before_pixels=not read)
    try:
        modality, kind = dataset.get("Modality"), str(dataset.get("SegmentationType"))
        segments = {int(item.SegmentNumber): str(item.SegmentLabel) for item in dataset.get("SegmentSequence") or ()}
        shape, count = (int(dataset.Rows), int(dataset.Columns)), int(dataset.get("NumberOfFrames") or 1)
        frame_of_reference = str(dataset.get("FrameOfReferenceUID") or "")
        half = int(dataset.get("MaximumFractionalValue") or 255) / 2 if kind == "FRACTIONAL" else 1
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
        frames = [_frame(item, shared) for item in dataset.PerFrameFunctionalGroupsSequence]
    except Exception as error:  # values are decoded only now, and damaged bytes raise nearly anything
        raise DataError(f"{path}: damaged, or a frame's place is missing ({brief(error)}); {AGAIN}") from error
    if modality != "SEG" or kind not in ("BINARY", "FRACTIONAL"):
        raise DataError(
            f"{path}: {named('Modality')} = {modality}, {named('SegmentationType')} = {kind}; a BINARY or FRACTIONAL "
            "SEG was expected"
        )
    if not 0 < shape[0] * shape[1] <= LARGEST or not 0 < count * shape[0] * shape[1] <= LARGEST_VOLUME:
        raise DataError(f"{path}: declares {count} frames of {shape} pixels, none or more than is read; {AGAIN}")
    if count != len(frames):
        raise DataError(f"{path}: {named('NumberOfFrames')} = {count}, but {len(frames)} are placed; {AGAIN}")
    chosen = _chosen(list(segments.values()), path, named("SegmentLabel"), lungs)
    _need_frame(grid, frame_of_reference, path, named("FrameOfReferenceUID"))
    if shape != grid.shape[1:]:
        raise DataError(f"{path}: {named('Rows')} and columns are {shape}, not {grid.shape[1:]}; resample the mask")
    tolerance = _SAME_VOXEL * min(grid.spacing_mm[1:])
    places: dict[int, int] = {}  # of each chosen frame on a slice
    for number, (segment, position, orientation, spacing) in enumerate(frames):
        if segments.get(segment) not in chosen:
            continue
        for tag, values, expected, allowed in (
            ("ImageOrientationPatient", orientation, AXIAL, 1e-3),
            ("PixelSpacing", spacing, grid.spacing_mm[1:], tolerance / max(grid.shape[1:])),
            ("ImagePositionPatient", position[:2], grid.origin[:2], tolerance),
        ):
            if len(values) != len(expected) or not np.allclose(values, expected, rtol=0, atol=allowed):
                raise DataError(f"{path}: {named(tag)} = {values}, not {list(expected)}; resample the mask")
        z = slice_at(grid, position[2])
        if z is not None:
            places[number] = z
    if lungs:
        _need_unbroken(grid, places.values(), path, f"{named('SegmentLabel')} of lungs")
    if not read:
        return None
    stored = pixels_of(path, dataset).reshape(-1, *shape)
    mask = np.zeros(grid.shape, bool)
    for number, z in places.items():
        mask[z] |= stored[number] >= half
    if not mask.any():
        raise DataError(f"{path}: nothing of it lies on a slice of {grid.path}; get the SEG that was drawn on it")
    return mask


def _frame(item, shared) -> tuple[int, list[float], list[float], list[float]]:
    """Return segment number, position, orientation and pixel spacing of a frame; ``shared`` has what all share."""

    def group(name: str):
        return (item.get(name) or shared.get(name))[0]

    numbers = (
        group("PlanePositionSequence").ImagePositionPatient,
        group("PlaneOrientationSequence").ImageOrientationPatient,
        group("PixelMeasuresSequence").PixelSpacing,
    )
    segment = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
    return segment, *([float(value) for value in values] for values in numbers)
