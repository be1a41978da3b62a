"""CT slices and series in DICOM, and scans in DICOM, nrrd or NIfTI as volumes in Hounsfield units.

The series readers of SimpleITK and highdicom do not name the file and tag of a slice that does not fit, and SimpleITK
reads a series with a missing slice. Therefore the slices are compared here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from softmask.data.dicom import (
    Plane,
    check_decoder,
    dcmread,
    decoding,
    is_dicom,
    is_irreversible,
    numbers_of,
    padding_of,
    pixels_of,
    plane_of,
    title,
)
from softmask.data.image_files import cannot_list, doubt_low
from softmask.data.volume_files import Grid, grid_of_file, read_turned
from softmask.data.volume_headers import LARGEST_VOLUME
from softmask.errors import DataError, Remark, doubt
from softmask.files import AGAIN

AIR = -1024.0
"""Hounsfield units of air. Scanners store lower values (-2000) outside the scanned circle, where there is no tissue."""

LARGEST = 2048 * 2048  # largest number of pixels of a CT slice

SAME_Z = 0.05
"""Distance in mm below which two positions count as one position that was rounded differently."""

_SAME_TILT = 0.05  # degrees
_UNEVEN = 0.1  # tolerance of slice distances, as a share of the usual distance, because positions are rounded
_RUN = 3  # this many equal gaps in a row are a second slice distance, not missing slices
_GAP = 1.5  # a distance this many times the usual distance has room for a missing slice
_CT = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED = (f"{_CT}.1", f"{_CT}.2")
"""SOP classes: CT Image, and (Legacy Converted) Enhanced CT Image, which holds many slices in a file."""
_ONE_SCALE = 500.0  # HU by which the intercepts of slices may differ, where each has its own scale
_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_NEEDED += ("SeriesInstanceUID", "SOPInstanceUID")
_TAGS = [
    *(*_NEEDED, "SOPClassUID", "ImageType", "Modality", "PatientID", "FrameOfReferenceUID", "GantryDetectorTilt"),
    *("SliceThickness", "BitsAllocated", "PhotometricInterpretation", "LossyImageCompression", "RescaleIntercept"),
]
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")
"""Transfer syntaxes that are always lossy: JPEG Baseline and Extended, JPEG-LS Near-Lossless."""

_ONE_VALUE = {"Rows": "shape", "PixelSpacing": "spacing_mm", "PatientID": "patient"}
_ONE_VALUE |= {"FrameOfReferenceUID": "frame_of_reference"}
"""Tags that must be equal in all slices of a series, and the attributes of :class:`CtSlice` that hold them."""


@dataclass(frozen=True, kw_only=True)
class CtSlice(Plane):
    """Header of one CT slice.

    Attributes:
        uid: SOPInstanceUID.
        frame_of_reference: FrameOfReferenceUID; empty where the file names none.
        tilt: gantry tilt in degrees.
        pixel_bytes: size of the pixels in bytes; 0 where they are compressed.
        intercept: intercept of the scale to Hounsfield units; 0 where the file names none.
        lossy: whether the pixels were ever compressed with loss.
    """

    path: Path
    series_uid: str
    patient: str
    thickness_mm: float
    uid: str
    frame_of_reference: str
    tilt: float
    pixel_bytes: int
    intercept: float
    lossy: bool


Series = tuple[CtSlice, ...]
"""Slices of one CT series (at least one), ordered by position from the feet up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume(Grid):
    """Scan: ``hu`` (D, H, W) int16 Hounsfield units, at least -1024, on its grid."""

    hu: np.ndarray = field(repr=False)


def read_header(path: Path) -> CtSlice | None:
    """Return the checked header of a CT slice; None for a DICOM file that is not part of a scan: another modality, a
    directory (DICOMDIR), a localizer, or a picture such as a dose report.

    Raises:
        DataError: naming the file, when it is not readable DICOM, has no position, is not axial, or has many slices.
    """
    header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    with decoding(path, "damaged"):
        modality, sop_class = header.get("Modality"), header.get("SOPClassUID", _CT)
        if header.file_meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
            return None
        if modality in (None, "", "C"):  # "C": the file ends within "CT"
            raise ValueError("it names no modality")
        if modality != "CT" or "LOCALIZER" in (header.get("ImageType") or ()):
            return None
        if sop_class != _CT and sop_class not in _ENHANCED and "ImagePositionPatient" not in header:
            return None
        if sop_class in _ENHANCED:
            remedy = "convert it to single slices (dcm4che: emf2sf)"
            raise DataError(f"{path}: an enhanced CT image with many slices; {remedy}")
        if missing_tags := [title(tag) for tag in _NEEDED if header.get(tag) in (None, "")]:
            raise DataError(f"{path}: has no {', '.join(missing_tags)}, which a CT slice has; export the series again")
        syntax = header.file_meta.get("TransferSyntaxUID", "")
        check_decoder(path, syntax)
        position = numbers_of(path, header, "ImagePositionPatient", 3)
        spacing = numbers_of(path, header, "PixelSpacing", 2)
        orientation = numbers_of(path, header, "ImageOrientationPatient", 6)
        shape = (int(header.Rows), int(header.Columns))
        if not np.isfinite([*position, *spacing]).all() or min(spacing) <= 0:
            raise DataError(f"{path}: position {position} or pixel spacing {spacing} cannot be right; {AGAIN}")
        if not 0 < shape[0] * shape[1] <= LARGEST:
            raise DataError(f"{path}: declares {shape[0]} x {shape[1]} pixels, no size of a CT slice; {AGAIN}")
        plane = plane_of(position, orientation, spacing, shape)
        if plane is None:
            is_axis_aligned = np.allclose(orientation, np.rint(orientation), atol=1e-3)
            why = "a coronal or sagittal slice" if is_axis_aligned else "gantry tilt, or turned in its plane?"
            raise DataError(
                f"{path}: not an axial slice along the patient's axes ({title('ImageOrientationPatient')} = "
                f"{orientation}: {why}); resample the series, or remove this slice if the others are axial"
            )
        if (photometric := header.get("PhotometricInterpretation")) in ("MONOCHROME1", "PALETTE COLOR"):
            # inverted values, or indices of colours
            raise DataError(f"{path}: {title('PhotometricInterpretation')} = {photometric}; export it as MONOCHROME2")
        tilt = float(header.get("GantryDetectorTilt") or 0)
        compressed = syntax and (syntax.is_compressed or syntax.is_deflated)
        return CtSlice(
            **vars(plane),
            path=path,
            series_uid=str(header.SeriesInstanceUID),
            patient=str(header.get("PatientID") or "unnamed"),
            thickness_mm=float(header.get("SliceThickness") or 0) or 1.0,
            uid=str(header.SOPInstanceUID),
            frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
            tilt=tilt if np.isfinite(tilt) else 0.0,
            pixel_bytes=0 if compressed else header.Rows * header.Columns * int(header.get("BitsAllocated") or 16) // 8,
            intercept=float(header.get("RescaleIntercept") or 0),
            lossy=syntax in _LOSSY or header.get("LossyImageCompression") == "01" or is_irreversible(path, syntax),
        )


def read_hu(ct: CtSlice) -> np.ndarray:
    """Return the (H, W) float32 Hounsfield units of one CT slice, at least :data:`AIR`, on the patient's axes.

    Raises:
        DataError: naming the file, when it is truncated, compressed without an available decoder, not a CT slice, or
            not in HU.
    """
    path = ct.path
    dataset = dcmread(path)
    if (units := dataset.get("RescaleType")) not in (None, "", "HU", "US"):
        raise DataError(f"{path}: {title('RescaleType')} = {units}, no Hounsfield units; get the images in HU")
    if units == "US":  # without the path, so that a series gives one warning
        doubt(f"{title('RescaleType')} = US, unspecified units, which were taken for Hounsfield units")
    if "ModalityLUTSequence" in dataset:
        raise DataError(f"{path}: {title('ModalityLUTSequence')} in place of a scale; export it with RescaleSlope")
    if (bits := dataset.get("BitsStored")) and dataset.get("HighBit", bits - 1) != bits - 1:
        high_bit = f"{title('HighBit')} = {dataset.HighBit} with {bits} bits stored"
        raise DataError(f"{path}: {high_bit}: values that do not begin at bit 0 are not read; export it again")
    for tag in ("RescaleSlope", "RescaleIntercept"):
        if dataset.get(tag) is None and "PixelData" in dataset:
            raise DataError(f"{path}: has no {title(tag)}, the scale of Hounsfield units; export the series again")
    with decoding(path, "the scale of the pixels cannot be read"):
        n_pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if not 0 < n_pixels <= LARGEST:  # before anything is decompressed
            raise ValueError(f"it declares {n_pixels} pixels")
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    stored = pixels_of(path, dataset)
    if stored.ndim != 2 or not np.isfinite([slope, intercept]).all() or slope == 0:
        values = f"{title('RescaleSlope')} = {slope:g}, {title('RescaleIntercept')} = {intercept:g}"
        raise DataError(
            f"{path}: pixels of shape {stored.shape}, {values}: no grey slice in Hounsfield units; export it again"
        )
    if bits:
        least = -(2 ** (bits - 1)) if dataset.get("PixelRepresentation") else 0
        if stored.min() < least or stored.max() >= least + 2**bits:
            text = f"holds {stored.min()} to {stored.max()}, and {bits} bits, as they are declared, from {least} on"
            doubt(f"{path}: {text}: were its pixels decoded rightly?")
    values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    values[padding_of(dataset, stored)] = AIR
    values = ct.turn.turn(values)
    doubt_low(values)
    hu = np.maximum(values, AIR)
    if (hu > np.iinfo(np.int16).max).any():
        raise DataError(f"{path}: has {hu.max():g} HU; is {title('PixelRepresentation')} wrong? Export it again")
    return hu


def files_below(folder: Path) -> list[Path]:
    """Return the files in ``folder`` and its subfolders, and links to missing ones, ordered by path, except those whose
    names begin with ``._``, which macOS creates on foreign disks. Raises DataError for a folder that cannot be read."""
    listing = os.walk(folder, onerror=cannot_list)
    return sorted(Path(top, name) for top, _, names in listing for name in names if not name.startswith("._"))


def sort_files(folder: Path) -> tuple[tuple[Series, ...], tuple[Path, ...]]:
    """Return :func:`by_series` of the DICOM files in ``folder`` and its subfolders."""
    return by_series([path for path in files_below(folder) if path.suffix.lower() == ".dcm" or is_dicom(path)])


def by_series(
    files: Iterable[Path], bad: Callable[[Path, str], object] | None = None
) -> tuple[tuple[Series, ...], tuple[Path, ...]]:
    """Return the CT series of DICOM files, ordered by SeriesInstanceUID, and the files that are not slices of a scan
    (:func:`read_header`). Only headers are read.

    Args:
        bad: function called with the path and the error message of each unusable file instead of an exception.

    Raises:
        DataError: naming a file that is damaged, has no position or is not axial, because it may belong to any series.
    """
    stacks: dict[str, list[CtSlice]] = {}
    other_files = []
    for path in files:
        try:
            ct = read_header(path)
        except DataError as error:
            if bad is None:
                raise
            bad(path, str(error))
            continue
        if ct is None:
            other_files.append(path)
        else:
            stacks.setdefault(ct.series_uid, []).append(ct)
    series = (tuple(sorted(stacks[uid], key=lambda ct: (ct.z_mm, str(ct.path)))) for uid in sorted(stacks))
    return tuple(series), tuple(other_files)


def one_series(folder: Path, listed: tuple[Series, ...] | None = None) -> Series:
    """Return the only CT series of ``folder``, or of the ``listed`` series. Raises DataError for none or several."""
    if listed is None:
        listed, other_files = sort_files(folder)
        pass_over(other_files)
    if not listed:
        raise DataError(f"{folder}: holds no CT slice in DICOM; check that the series was unpacked into it")
    if len(listed) > 1:
        description = ", ".join(f"{s[0].series_uid}: {len(s)} slices, such as {s[0].path}" for s in listed)
        raise DataError(
            f"{folder}: holds {len(listed)} CT series by {title('SeriesInstanceUID')} ({description}); put each into "
            "a folder of its own"
        )
    return listed[0]


def pass_over(files: Sequence[Path]) -> None:
    """Warn (:class:`~softmask.errors.Remark`) that DICOM files that are not slices of a scan are not used."""
    if files:
        names = ", ".join(path.name for path in files[:3]) + (", ..." if len(files) > 3 else "")
        warnings.warn(Remark(f"passed over {len(files)} DICOM files that are no CT slices ({names})"), stacklevel=2)


def grid_of_series(folder: Path, slices: Series) -> Grid:
    """Return the grid of a series after checking that its slices form a volume.

    Raises:
        DataError: naming file and tag, for gantry tilt, slices of different sizes or frames of reference, slices that
            are shifted sideways, two slices at one position, a missing slice, uneven distances, and too many voxels.
    """
    first = slices[0]
    for ct in slices:
        if (size := ct.path.stat().st_size) < ct.pixel_bytes:
            raise DataError(f"{ct.path}: truncated, {size} bytes of {ct.pixel_bytes} and a header; {AGAIN}")
        if abs(ct.tilt) > _SAME_TILT:
            raise DataError(f"{ct.path}: {title('GantryDetectorTilt')} = {ct.tilt:g}; resample to axial slices")
        for tag, name in _ONE_VALUE.items():
            value, expected = getattr(ct, name), getattr(first, name)
            if value != expected:
                raise DataError(
                    f"{ct.path}: {title(tag)} is {value}, and {expected} in {first.path} of the same series; remove one"
                )
        if not np.allclose(ct.corner_mm, first.corner_mm, rtol=0, atol=SAME_Z):
            raise DataError(
                f"{ct.path}: {title('ImagePositionPatient')} begins with {ct.corner_mm}: it does not lie above "
                f"{first.path} (gantry tilt?); resample the series"
            )
    if len({ct.uid for ct in slices}) < len(slices):
        text = f"{title('SOPInstanceUID')} is the same in several slices, so that DICOM outputs cannot name them"
        doubt(f"{first.path.parent}: {text}")
    if lossy := [ct.path for ct in slices if ct.lossy]:
        doubt(f"{lossy[0]}: {len(lossy)} of {len(slices)} slices were compressed with loss; edges may have changed")
    low, high = (extreme(ct.intercept for ct in slices) for extreme in (min, max))
    if high - low > _ONE_SCALE:
        text = f"{title('RescaleIntercept')} goes from {low:g} to {high:g} among the slices: is one scale wrong?"
        doubt(f"{first.path.parent}: {text}")
    shape = (len(slices), *first.shape)
    if np.prod(shape, dtype=float) > LARGEST_VOLUME:
        raise DataError(f"{first.path.parent}: {' x '.join(map(str, shape))} voxels are more than is read; crop it")
    steps = np.diff([ct.z_mm for ct in slices])
    distinct_steps = np.sort(steps[steps >= SAME_Z])
    usual_mm = float(distinct_steps[(len(distinct_steps) - 1) // 2]) if len(distinct_steps) else 0.0
    for number, (step, below, above) in enumerate(zip(steps.tolist(), slices[:-1], slices[1:], strict=True)):
        prefix = f"{above.path}: {title('ImagePositionPatient')} is z = {above.z_mm:g} mm"
        if step < SAME_Z:
            raise DataError(f"{prefix} as in {below.path} of the same series; remove one of them")
        is_uneven, run, remedy = abs(step - usual_mm) > _UNEVEN * usual_mm + SAME_Z, "", ""
        if is_uneven and (np.abs(steps[number : number + _RUN] - step) < SAME_Z).sum() == _RUN:
            run = " and so on"
            remedy = ": a scan of several slice distances; keep the slices of one of them, or resample the series"
        elif step > _GAP * usual_mm:
            remedy = ": slices are missing in between; get the series again"
        elif is_uneven:
            remedy = "; resample the series"
        if remedy:
            distances = f"{step:g} mm above {below.path}{run}, and others are {usual_mm:g} mm apart"
            raise DataError(f"{prefix}, {distances}{remedy}")
    distance = float((slices[-1].z_mm - first.z_mm) / len(steps)) if len(steps) else first.thickness_mm
    return Grid(
        shape=shape,
        spacing_mm=(distance, *first.spacing_mm),
        z_mm=np.array([ct.z_mm for ct in slices]),
        origin=(*first.corner_mm, first.z_mm),
        frame_of_reference=first.frame_of_reference,
        series_uid=first.series_uid,
        uids=tuple(ct.uid for ct in slices),
        patient=first.patient,
        path=folder,
    )


def read_volume(path: str | Path, series: Series | None = None) -> Volume:
    """Read the scan at ``path``.

    Args:
        path: folder with one CT series in DICOM (subfolders included; files in any order and of any name), or
            a ``.nrrd``, ``.nii`` or ``.nii.gz`` file of Hounsfield units.
        series: series of the folder, if it was read before.

    Raises:
        DataError: naming the file, and for DICOM the tag: as :func:`grid_of_series`, :func:`read_hu` and
            :func:`softmask.data.volume_files.grid_of_file`; also for values that are not Hounsfield units.
    """
    path = Path(path)
    if path.is_dir():
        series = series or one_series(path)
        grid = grid_of_series(path, series)
        hu = np.empty(grid.shape, np.int16)
        for z, ct in enumerate(series):
            hu[z] = _as_int16(read_hu(ct))
        return Volume(**vars(grid), hu=hu)
    grid = grid_of_file(path)
    values = read_turned(path)
    if values.min() >= 0:
        raise DataError(f"{path}: no value lies below 0; save it in Hounsfield units")
    doubt_low(values)
    # slice by slice, because float64 takes four times as much memory
    return Volume(**vars(grid), hu=np.stack([_as_int16(np.maximum(plane, AIR)) for plane in values]))


def _as_int16(hu: np.ndarray) -> np.ndarray:
    """Return Hounsfield units rounded to integers; metal above 32767 HU is clipped."""
    return np.rint(np.minimum(hu, np.iinfo(np.int16).max)).astype(np.int16)
