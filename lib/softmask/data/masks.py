"""Masks on the slices of a scan: RTSTRUCT, DICOM SEG, and label volumes in NIfTI or nrrd.

A pixel belongs to a contour if its centre lies inside; :func:`_joined` combines several contours of one structure in
one slice. Several structures are joined. highdicom neither limits the declared size of a SEG nor compares grids, and
its errors do not name file and tag. Therefore the frames read by pydicom are placed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from softmask.data.ct import LARGEST
from softmask.data.dicom import Plane, dcmread, decoding, is_dicom, modality_of, numbers_of, pixels_of, plane_of, title
from softmask.data.outlines import area, area_inside, fill
from softmask.data.structures import choose
from softmask.data.volume_files import ENDINGS, Grid, grid_of_file, is_volume_file, read_turned, remedy_of
from softmask.data.volume_headers import LARGEST_VOLUME, label_names
from softmask.errors import DataError, doubt
from softmask.files import AGAIN, size_of

MASKS_IN_DICOM = ("RTSTRUCT", "SEG")
"""Modalities that hold masks, the preferred one first."""

_SAME_PLANE = 0.1  # largest distance of a plane from its slice, as a share of the slice distance
_SAME_VOXEL = 0.1  # largest shift of the mask's first and last voxels from the scan's, as a share of a voxel
_CUT = 0.001  # share of the contours' area that may lie outside the image because of rounding
_FLAT = 0.01  # largest difference in z between the points of a contour, in mm
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")


def lung_mask(grid: Grid, path: str | Path, *, read: bool = True) -> np.ndarray | None:
    """Read the mask of both lungs of a scan.

    Args:
        grid: the scan, or only its grid.
        path: an RTSTRUCT or a SEG, whose structures are chosen by name (:func:`~softmask.data.structures.side_of`); or
            a ``.nrrd``, ``.nii`` or ``.nii.gz`` file of labels, chosen by name or, without names, all except 0.
        read: whether contours and voxels are read; if False, only the header is checked.

    Returns:
        (D, H, W) bool on the scan's voxels; None unless ``read``. Planes between the slices are ignored; a fractional
        SEG is thresholded at one half.

    Raises:
        DataError: naming the file, and for DICOM the tag, when the file is damaged, has no lung
            (:class:`~softmask.data.structures.NoLung`) or only one, leaves slices out, or has another frame of
            reference or another grid than the scan.
    """
    return _mask(grid, Path(path), None, read)


def lesion_mask(grid: Grid, path: str | Path, label: str = "") -> np.ndarray:
    """Read one structure of an RTSTRUCT, segment of a SEG, or label of a ``.nrrd``, ``.nii`` or ``.nii.gz`` file.

    Args:
        label: number or name of the structure; not needed if there is only one.

    Returns:
        (D, H, W) bool on the slices of ``grid``. :class:`~softmask.errors.Doubt` warns about planes that lie on no
        slice, contours that extend beyond the image, and slices without a mark between slices that mark the same pixel.

    Raises:
        DataError: naming the file, and for DICOM the tag, when ``label`` does not name exactly one of the structures,
            when the mask is empty, or as :func:`lung_mask`.
    """
    mask = _mask(grid, Path(path), label, read=True)
    pairs = pairwise(np.flatnonzero(mask.any(axis=(1, 2))).tolist())
    gaps = [z for below, above in pairs if (mask[below] & mask[above]).any() for z in range(below + 1, above)]
    if gaps:
        slices = ", ".join(map(str, gaps[:9]))
        doubt(f"{path}: no mark in slices {slices}, between some that mark the same pixels: of another slice distance?")
    return mask


def _mask(grid: Grid, path: Path, label: str | None, read: bool) -> np.ndarray | None:
    """Return :func:`lesion_mask`, or :func:`lung_mask` where ``label`` is None."""
    size_of(path, "check the name")
    if is_volume_file(path):
        return _volume_mask(grid, path, label, read)
    if not is_dicom(path):
        raise DataError(
            f"{path}: is of an unknown kind; DICOM RTSTRUCT or SEG, or a file {', '.join(ENDINGS)} was expected"
            f"{remedy_of(path)}"
        )
    modality = modality_of(path)
    if modality not in MASKS_IN_DICOM:
        raise DataError(f"{path}: {title('Modality')} = {modality}; RTSTRUCT or SEG was expected")
    return (_rtstruct_mask if modality == "RTSTRUCT" else _seg_mask)(grid, path, label, read)


def _doubt_places(grid: Grid, path: Path, beside: int, elsewhere: int, kind: str, label: str | None) -> None:
    """Warn about ``beside`` marked planes that lie on no slice, except for lungs and for a scan of one slice, and about
    ``elsewhere`` contours or frames (``kind``) that lie on other slices than the slices they name."""
    if beside and label is not None and len(grid.z_mm) > 1:
        doubt(f"{path}: marks {beside} planes that lie on no slice of {grid.path}; they are left out")
    if elsewhere:
        text = f"{elsewhere} {kind} lie on other slices than those they name as their source; the position counts"
        doubt(f"{path}: {text}")


def _volume_mask(grid: Grid, path: Path, label: str | None, read: bool) -> np.ndarray | None:
    """Return the voxels of the chosen labels: (D, H, W) bool; None unless ``read``, after a check of the header. A
    file that covers only a part of the scan's voxels, as 3D Slicer saves segments, is padded."""
    mask_grid = grid_of_file(path)
    voxel = np.array(grid.spacing_mm)
    first = (np.array(mask_grid.origin[::-1]) - grid.origin[::-1]) / voxel  # in voxels of the scan
    start = np.rint(first).astype(int)
    last = first + (np.array(mask_grid.shape) - 1) * (np.array(mask_grid.spacing_mm) / voxel)
    stop = start + mask_grid.shape
    is_off_grid = (np.abs([first - start, last - (stop - 1)]) > _SAME_VOXEL).any()
    if is_off_grid or (start < 0).any() or (stop > grid.shape).any():
        extent, expected = (
            f"{g.shape} voxels of {np.round(g.spacing_mm[::-1], 3)} mm that begin at {np.round(g.origin, 3)} mm"
            for g in (mask_grid, grid)
        )
        raise DataError(f"{path}: {extent} are not among the {expected} of {grid.path}; resample the mask to the scan")
    if not read:
        return None
    values = read_turned(path)
    if values.min() < 0 or (values.dtype.kind == "f" and (values % 1).any()):
        wrong_value = values[(values < 0) | (values % 1 != 0)][0]
        remedy = "; of probabilities, threshold it at 0.5" if values.min() >= 0 and values.max() <= 1 else ""
        why = f"has the value {wrong_value:.9g}, which is no label; whole numbers from 0 up are expected{remedy}"
        raise DataError(f"{path}: {why}")
    labels = [int(value) for value in np.unique(values) if value]
    if not labels:
        raise DataError(f"{path}: every voxel has label 0; get the mask of this scan")
    names = label_names(path)
    chosen_labels = choose({value: names.get(value, "") for value in labels}, path, "its voxels", label)
    mask = np.zeros(grid.shape, bool)
    mask[tuple(map(slice, start, stop))] = np.isin(values, chosen_labels)
    return mask


def slice_at(grid: Grid, z: float) -> int | None:
    """Return the number of the slice at ``z`` mm; None for a plane between slices or outside the scan."""
    nearest = int(np.abs(grid.z_mm - z).argmin())
    return nearest if abs(grid.z_mm[nearest] - z) <= _SAME_PLANE * grid.spacing_mm[0] else None


def _need_unbroken(grid: Grid, marked: Iterable[int], path: Path, tag: str) -> None:
    """Raise DataError unless all slices from the lowest to the highest marked slice are marked: lungs have no gap."""
    slices = set(marked)
    if not slices:
        raise DataError(f"{path}: no plane of {tag} lies on a slice of {grid.path}; get the mask of this series")
    missing_slices = sorted(set(range(min(slices), max(slices))) - slices)
    if missing_slices:
        raise DataError(
            f"{path}: {tag} marks nothing in {len(missing_slices)} slices between those it marks, such as z = "
            f"{grid.z_mm[missing_slices[0]]:g} mm; get the mask of this series"
        )


def doubt_patient(grid: Grid, patient: str, path: Path) -> None:
    """Warn if the file at ``path`` and the series name different patients; perhaps the patient was renamed in only one
    of them."""
    if grid.series_uid and patient and grid.patient not in (patient, "unnamed"):
        doubt(f"{path}: {title('PatientID')} is {patient}, and {grid.patient} in {grid.path}; is it of this patient?")


def _need_frame(grid: Grid, frame: str, path: Path, tag: str) -> None:
    """Raise DataError if mask and scan name different frames of reference."""
    if frame and grid.frame_of_reference and frame != grid.frame_of_reference:
        raise DataError(
            f"{path}: {tag} = {frame}, but {grid.path} lies in {grid.frame_of_reference}; get the mask of this scan"
        )


def _rtstruct_mask(grid: Grid, path: Path, label: str | None, read: bool) -> np.ndarray | None:
    dataset = dcmread(path, **({} if read else {"specific_tags": ["StructureSetROISequence", "PatientID"]}))
    contours: dict[int, list[tuple[str, np.ndarray, list[str]]]] = {}
    with decoding(path, "the structures cannot be read"):
        structures = dataset.get("StructureSetROISequence") or ()
        names = {int(item.ROINumber): str(item.get("ROIName") or "") for item in structures}
        frames = {int(item.ROINumber): str(item.get("ReferencedFrameOfReferenceUID") or "") for item in structures}
    chosen_rois = choose(names, path, title("ROIName"), label)
    doubt_patient(grid, str(dataset.get("PatientID") or ""), path)
    for number in chosen_rois:
        _need_frame(grid, frames[number], path, f"{title('ReferencedFrameOfReferenceUID')} of {names[number]}")
    if not read:
        return None
    with decoding(path, "the contours cannot be read"):
        for roi in dataset.get("ROIContourSequence") or ():
            if (number := int(roi.ReferencedROINumber)) in chosen_rois:
                entries = contours.setdefault(number, [])
                for item in roi.get("ContourSequence") or ():
                    if any(item.get("ContourOffsetVector") or ()):
                        offset_text = f"{title('ContourOffsetVector')}, which is retired, moves its contours"
                        raise DataError(f"{path}: {offset_text}; save it with the contours where they belong")
                    images = [str(image.ReferencedSOPInstanceUID) for image in item.get("ContourImageSequence") or ()]
                    entries.append((str(item.get("ContourGeometricType")), np.array(item.ContourData, float), images))
    mask, n_beside, n_lone_points, n_open, n_elsewhere = np.zeros(grid.shape, bool), 0, 0, 0, 0
    drawn_px = kept_px = 0.0  # areas of the contours, and of their parts inside the image
    for number in chosen_rois:
        name = names[number]
        if not contours.get(number):
            raise DataError(f"{path}: {title('ROIContourSequence')} has no contour of {name}; choose one that has")
        planes_by_slice: dict[int, list[tuple[str, np.ndarray]]] = {}
        has_closed = any(kind in _CLOSED for kind, *_ in contours[number])
        for kind, values, images in contours[number]:
            if kind == "POINT" and has_closed and len(values) == 3:  # a point of interest; more are a misnamed outline
                n_lone_points += 1
                continue
            z, points = _in_pixels(path, name, kind, values, grid)
            slice_number = slice_at(grid, z)
            if slice_number is None:
                n_beside += 1
            else:
                planes_by_slice.setdefault(slice_number, []).append((kind, fill(points, grid.shape[1:])))
                n_open += len(points) < 3
                n_elsewhere += _elsewhere(grid, slice_number, images)
                drawn_px, kept_px = drawn_px + area(points), kept_px + area_inside(points, grid.shape[1:])
        if label is None:
            _need_unbroken(grid, planes_by_slice, path, f"{title('ContourData')} of {name}")
        for slice_number, planes in planes_by_slice.items():
            mask[slice_number] |= _joined(planes)
    if not mask.any():
        roi_names = ", ".join(names[number] for number in chosen_rois)
        why = "enclose no pixel" if not n_beside else "lie between the slices or beyond them, and enclose no pixel"
        raise DataError(f"{path}: the contours of {roi_names} {why} of {grid.path}; get those drawn on it")
    _doubt_places(grid, path, n_beside, n_elsewhere, "contours", label)
    if n_lone_points:
        doubt(f"{path}: {n_lone_points} POINTs beside the closed contours were passed over")
    if n_open:
        doubt(f"{path}: {n_open} of its contours have one or two points, which enclose nothing; redraw them")
    if (cut_share := 1 - kept_px / drawn_px if drawn_px else 0) > _CUT:
        doubt(f"{path}: {cut_share:.1%} of its area lies beside {grid.path} in x or y, and is cut off")
    return mask


def _joined(planes: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Return the mask (H, W) bool of a structure in a slice from its filled contours, each with its type. CLOSED_PLANAR
    contours inside an odd number of other contours are holes in them (an island in a hole lies inside two); all others
    are joined, whether they overlap or not. For CLOSEDPLANAR_XOR, pixels inside an odd number of contours count."""
    xor_planes = [plane for kind, plane in planes if "XOR" in kind]
    plain_planes = sorted((plane for kind, plane in planes if "XOR" not in kind), key=np.count_nonzero, reverse=True)
    mask = np.zeros_like(planes[0][1])
    for i, plane in enumerate(plain_planes):
        if any(np.array_equal(plane, larger) for larger in plain_planes[:i]):  # drawn twice
            continue
        depth = sum(not (plane & ~larger).any() for larger in plain_planes[:i])
        mask = mask & ~plane if depth % 2 else mask | plane
    return mask | np.logical_xor.reduce(xor_planes) if xor_planes else mask


def _in_pixels(path: Path, name: str, kind: str, values: np.ndarray, grid: Grid) -> tuple[float, np.ndarray]:
    """Return z in mm, and the (N, 2) row and column coordinates of a contour's points."""
    if kind not in _CLOSED:
        raise DataError(f"{path}: {title('ContourGeometricType')} = {kind} in {name}; closed contours are expected")
    if not len(values) or len(values) % 3 or not np.isfinite(values).all():
        raise DataError(f"{path}: {title('ContourData')} of {name} has {len(values)} numbers, not 3 a point; {AGAIN}")
    points = values.reshape(-1, 3)
    if np.ptp(points[:, 2]) > _FLAT:
        raise DataError(
            f"{path}: {title('ContourData')} of {name} is not confined to one axial plane; redraw it on axial slices"
        )
    return float(points[0, 2]), (points[:, 1::-1] - grid.origin[1::-1]) / grid.spacing_mm[1:]


def _seg_mask(grid: Grid, path: Path, label: str | None, read: bool) -> np.ndarray | None:
    """Return (D, H, W) bool: the frames of the chosen segments on their slices."""
    dataset = dcmread(path, stop_before_pixels=not read)
    with decoding(path, "damaged, or a frame's place is missing"):
        kind = str(dataset.get("SegmentationType"))
        segments = {int(item.SegmentNumber): str(item.SegmentLabel) for item in dataset.get("SegmentSequence") or ()}
        shape, n_frames = (int(dataset.Rows), int(dataset.Columns)), int(dataset.get("NumberOfFrames") or 1)
        frame_of_reference = str(dataset.get("FrameOfReferenceUID") or "")
        scale = int(dataset.get("MaximumFractionalValue") or 255)
        threshold = scale / 2 if kind == "FRACTIONAL" else 1
        shared_groups = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
        frames = [_frame(path, item, shared_groups, shape) for item in dataset.PerFrameFunctionalGroupsSequence]
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise DataError(f"{path}: {title('SegmentationType')} = {kind}; BINARY, FRACTIONAL or LABELMAP was expected")
    if not 0 < shape[0] * shape[1] <= LARGEST or not 0 < n_frames * shape[0] * shape[1] <= LARGEST_VOLUME:
        raise DataError(f"{path}: declares {n_frames} frames of {shape} pixels, none or more than is read; {AGAIN}")
    if n_frames != len(frames):
        raise DataError(f"{path}: {title('NumberOfFrames')} = {n_frames}, but {len(frames)} are placed; {AGAIN}")
    if kind == "LABELMAP":
        segments.pop(0, None)  # the background, where it is described
    chosen_segments = choose(segments, path, title("SegmentLabel"), label)
    doubt_patient(grid, str(dataset.get("PatientID") or ""), path)
    _need_frame(grid, frame_of_reference, path, title("FrameOfReferenceUID"))
    tolerance = _SAME_VOXEL * min(grid.spacing_mm[1:])
    placements: dict[int, tuple[int | None, Plane]] = {}  # slice and plane of each frame that may show a chosen segment
    for number, (segment, plane, _) in enumerate(frames):
        if segment not in (*chosen_segments, None):
            continue
        if plane is None:
            raise DataError(f"{path}: {title('ImageOrientationPatient')} is not axial; resample the mask")
        for tag, values, expected, atol in (
            ("Rows", plane.shape, grid.shape[1:], 0),
            ("PixelSpacing", plane.spacing_mm, grid.spacing_mm[1:], tolerance / max(grid.shape[1:])),
            ("ImagePositionPatient", plane.corner_mm, grid.origin[:2], tolerance),
        ):
            if not np.allclose(values, expected, rtol=0, atol=atol):
                raise DataError(f"{path}: {title(tag)} = {list(values)}, not {list(expected)}; resample the mask")
        placements[number] = slice_at(grid, plane.z_mm), plane
    if label is None:
        marked_slices = {z for z, _ in placements.values() if z is not None}
        _need_unbroken(grid, marked_slices, path, f"{title('SegmentLabel')} of lungs")
    if not read:
        return None
    stored = pixels_of(path, dataset).reshape(-1, *shape)
    if kind == "FRACTIONAL" and (largest := stored.max(initial=0)) > scale:
        raise DataError(f"{path}: holds {largest}, above {title('MaximumFractionalValue')} = {scale}; export it again")
    mask, n_beside, n_elsewhere = np.zeros(grid.shape, bool), 0, 0
    marks: dict[tuple[int, int | None], np.ndarray] = {}  # by slice and segment
    for number, (z, plane) in placements.items():
        pixels = plane.turn.turn(stored[number])
        mark = np.isin(pixels, chosen_segments) if kind == "LABELMAP" else pixels >= threshold
        if z is None:
            n_beside += bool(mark.any())
            continue
        earlier_mark = marks.setdefault((z, frames[number][0]), mark)
        if not np.array_equal(earlier_mark, mark):
            doubt(f"{path}: two frames of a segment lie on slice {z} and differ; they are joined")
        mask[z] |= mark
        n_elsewhere += _elsewhere(grid, z, frames[number][2])
    if not mask.any():
        if kind == "FRACTIONAL" and (peak := stored[list(placements)].max(initial=0)):
            raise DataError(f"{path}: no pixel reaches 0.5; the largest value is {peak / threshold / 2:.2f}")
        if not n_beside and len(placements) == len(frames):
            raise DataError(f"{path}: marks no pixel; get one that is not empty")
        raise DataError(f"{path}: nothing of it lies on a slice of {grid.path}; get the SEG that was drawn on it")
    _doubt_places(grid, path, n_beside, n_elsewhere, "frames", label)
    return mask


def _elsewhere(grid: Grid, place: int, images: Iterable[str]) -> bool:
    """Return whether ``images`` (SOPInstanceUIDs) include slices of the scan, but not the slice at ``place``."""
    return bool(set(images) & set(grid.uids)) and grid.uids[place] not in images


def _frame(path: Path, item, shared, shape: tuple[int, int]) -> tuple[int | None, Plane | None, list[str]]:
    """Return the segment number of a frame (None in a label map), its plane (None if not axial), and the
    SOPInstanceUIDs of its source images; ``shared`` holds the functional groups shared by all frames."""

    def group(name: str):
        if not (values := item.get(name) or shared.get(name)):
            raise ValueError(f"it has no {title(name)}")
        return values[0]

    position = numbers_of(path, group("PlanePositionSequence"), "ImagePositionPatient", 3)
    orientation = numbers_of(path, group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    spacing = numbers_of(path, group("PixelMeasuresSequence"), "PixelSpacing", 2)
    name = "SegmentIdentificationSequence"
    segment = int(group(name).ReferencedSegmentNumber) if name in item or name in shared else None
    derivations = item.get("DerivationImageSequence") or ()
    sources = [image for derivation in derivations for image in derivation.get("SourceImageSequence") or ()]
    images = [str(image.ReferencedSOPInstanceUID) for image in sources]
    return segment, plane_of(position, orientation, spacing, shape), images
