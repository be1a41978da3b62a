"""Lungs, or one lesion, in a DICOM SEG, binary or fractional: frames of segments, laid on the slices of a scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from softmask.data.dicom_ct import AXIAL, LARGEST, check_decoder, dcmread, named
from softmask.data.lung_names import lungs_among
from softmask.data.planes import need_frame, need_unbroken, slice_at
from softmask.data.volume import Grid
from softmask.data.volume_files import LARGEST_VOLUME
from softmask.errors import DataError, brief

_SAME = 0.1  # share of a pixel by which the mask's corner may lie beside the scan's

_Choose = Callable[[Iterable[str], Path, str], list[str]]


def check_seg(path: Path, grid: Grid) -> list[tuple[int, int]]:
    """(frame, slice) pairs of the frames that show a lung; no pixel is read.

    Raises:
        DataError: naming file and tag, when it is no SEG of the types BINARY and FRACTIONAL, names no lung or only
            one, or lies in another frame of reference or on another grid than the scan.
    """
    return _lungs(path, dcmread(path, stop_before_pixels=True), grid)


def seg_mask(path: Path, grid: Grid) -> np.ndarray:
    """(D, H, W) bool: both lungs, on the slices of ``grid``; a fractional mask is cut at one half. Frames between the
    slices are passed over.

    Raises:
        DataError: as :func:`check_seg`, and when the pixels cannot be read or hold no lung.
    """
    dataset = dcmread(path)
    mask = _joined(path, dataset, _lungs(path, dataset, grid), grid)
    if not mask.any():
        raise DataError(f"{path}: the frames of the lungs are empty on the slices of {grid.path}; get it again")
    return mask


def lesion_mask(path: Path, grid: Grid) -> np.ndarray:
    """(D, H, W) bool: the only segment of the file, of any name, on the slices of ``grid``; as :func:`seg_mask`.

    Raises:
        DataError: naming file and tag, when it is no SEG of the types BINARY and FRACTIONAL, has several segments,
            lies in another frame of reference or on another grid than the scan, is damaged, or is empty.
    """
    dataset = dcmread(path)
    mask = _joined(path, dataset, _frames(path, dataset, grid, _single), grid)
    if not mask.any():
        raise DataError(f"{path}: nothing of it lies on a slice of {grid.path}; get the SEG that was drawn on it")
    return mask


def _single(names: Iterable[str], path: Path, tag: str) -> list[str]:
    names = list(names)
    if len(names) != 1:
        found = ", ".join(names) or "it names nothing"
        raise DataError(f"{path}: {len(names)} segments by {tag} ({found}); save the one that is meant as a SEG alone")
    return names


def _joined(path: Path, dataset, frames: list[tuple[int, int]], grid: Grid) -> np.ndarray:
    """(D, H, W) bool: these frames on their slices."""
    check_decoder(path, str(dataset.file_meta.get("TransferSyntaxUID", "")))
    try:
        stored = dataset.pixel_array
        fractional = dataset.SegmentationType == "FRACTIONAL"
        half = int(dataset.get("MaximumFractionalValue") or 255) / 2 if fractional else 1
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(
            f"{path}: the pixels cannot be read, the file may be truncated ({brief(error)}); get this file again"
        ) from error
    stored = stored if stored.ndim == 3 else stored[None]
    mask = np.zeros(grid.shape, bool)
    for frame, place in frames:
        mask[place] |= stored[frame] >= half
    return mask


def _lungs(path: Path, dataset, grid: Grid) -> list[tuple[int, int]]:
    frames = _frames(path, dataset, grid, lungs_among)
    need_unbroken(grid, (place for _, place in frames), path, f"{named('SegmentLabel')} of lungs")
    return frames


def _frames(path: Path, dataset, grid: Grid, choose: _Choose) -> list[tuple[int, int]]:
    """(frame, slice) pairs of the segments that are chosen by their labels."""
    try:
        modality, kind = dataset.get("Modality"), str(dataset.get("SegmentationType"))
        segments = {int(item.SegmentNumber): str(item.SegmentLabel) for item in dataset.get("SegmentSequence") or ()}
        shape, count = (int(dataset.Rows), int(dataset.Columns)), int(dataset.get("NumberOfFrames") or 1)
        frame_of_reference = str(dataset.get("FrameOfReferenceUID") or "")
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
        each = [_place(item, shared) for item in dataset.PerFrameFunctionalGroupsSequence]
    except Exception as error:  # values are decoded only now, and on damaged bytes that raises nearly anything
        raise DataError(f"{path}: damaged, or lacks what places its frames ({brief(error)}); get it again") from error
    if modality != "SEG" or kind not in ("BINARY", "FRACTIONAL"):
        raise DataError(
            f"{path}: {named('Modality')} = {modality}, {named('SegmentationType')} = {kind}; a SEG of type BINARY or "
            "FRACTIONAL was expected"
        )
    if not 0 < shape[0] * shape[1] <= LARGEST or not 0 < count * shape[0] * shape[1] <= LARGEST_VOLUME:
        raise DataError(
            f"{path}: declares {count} frames of {shape[0]} x {shape[1]}, none or more than is read; get it again"
        )
    if count != len(each):
        raise DataError(f"{path}: {named('NumberOfFrames')} = {count}, but {len(each)} are placed; get it again")
    wanted = choose(segments.values(), path, named("SegmentLabel"))
    need_frame(grid, frame_of_reference, path, named("FrameOfReferenceUID"))
    if shape != grid.shape[1:]:
        raise DataError(
            f"{path}: {named('Rows')} and columns are {shape}, and {grid.shape[1:]} in {grid.path}; resample it"
        )
    frames = []
    for number, (segment, position, orientation, spacing) in enumerate(each):
        if segments.get(segment) in wanted:
            _need_grid(path, grid, position, orientation, spacing)
            place = slice_at(grid, position[2])
            if place is not None:
                frames.append((number, place))
    return frames


def _place(item, shared) -> tuple[int, list[float], list[float], list[float]]:
    """Segment number, position, orientation and pixel spacing of a frame; what frames share stands in ``shared``."""

    def group(name: str):
        found = item.get(name) or (shared.get(name) if shared is not None else None)
        return found[0]

    numbers = (
        group("PlanePositionSequence").ImagePositionPatient,
        group("PlaneOrientationSequence").ImageOrientationPatient,
        group("PixelMeasuresSequence").PixelSpacing,
    )
    segment = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
    return segment, *([float(value) for value in values] for values in numbers)


def _need_grid(path: Path, grid: Grid, position: list[float], orientation: list[float], spacing: list[float]) -> None:
    tolerance = _SAME * min(grid.spacing_mm[1:])
    for tag, found, expected, allowed in (
        ("ImageOrientationPatient", orientation, AXIAL, 1e-3),
        ("PixelSpacing", spacing, grid.spacing_mm[1:], tolerance / max(grid.shape[1:])),
        ("ImagePositionPatient", position[:2], grid.origin[:2], tolerance),
    ):
        if len(found) != len(expected) or not np.allclose(found, expected, rtol=0, atol=allowed):
            raise DataError(
                f"{path}: {named(tag)} = {found}, and {list(expected)} in {grid.path}; resample the mask to the scan"
            )
