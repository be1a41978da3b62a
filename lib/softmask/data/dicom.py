"""DICOM files: a bounded pydicom, and one CT slice, its checked header and its Hounsfield units."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softmask.errors import DataError, brief
from softmask.files import AGAIN, size_of

AIR = -1024.0
"""Hounsfield units of air. Scanners store less (-2000) outside the scanned circle, which is no tissue."""

LARGEST = 2048 * 2048
"""Most pixels of a CT slice."""

AXIAL = (1, 0, 0, 0, 1, 0)
"""ImageOrientationPatient of a slice whose columns go to the patient's left and whose rows go to the back."""

LARGEST_FILE = 1 << 30
"""Bytes of the largest file that is read, twice those of the largest fractional segmentation."""

MOST_READS = 1_000_000
"""Most reads from one file, ten times those of a structure set of ten thousand contours: endless empty elements end."""

_MARK_AT, _MARK = 128, b"DICM"
_TAGS = [
    *("Modality", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "FrameOfReferenceUID", "GantryDetectorTilt"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"),
]


@dataclass(frozen=True, kw_only=True)
class CtSlice:
    """Header of one CT slice.

    Attributes:
        z_mm: position of the slice; ``corner_mm`` is (x, y) of the first pixel's centre, left and back counting up.
        spacing_mm: (row, column) size of a pixel; ``shape`` is (rows, columns).
        uid, syntax: SOPInstanceUID, and UID of the transfer syntax.
        frame_of_reference: FrameOfReferenceUID; empty where the file names none.
        tilt: of the gantry, in degrees.
        pixel_bytes: bytes of the pixels, 0 where they are compressed.
    """

    path: Path
    series_uid: str
    patient: str
    z_mm: float
    corner_mm: tuple[float, float]
    spacing_mm: tuple[float, float]
    thickness_mm: float
    shape: tuple[int, int]
    uid: str
    frame_of_reference: str
    tilt: float
    pixel_bytes: int
    syntax: str


class _Bounded(io.BufferedReader):
    """File of which no more is read than it holds, whatever lengths it declares."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size, self._reads = os.fstat(self.fileno()).st_size, 0

    def read(self, size: int | None = -1) -> bytes:
        self._reads += 1
        if self._reads > MOST_READS:
            raise ValueError(f"it has more than {MOST_READS} pieces")
        return super().read(self._size if size is None or size < 0 else min(size, self._size))


def dcmread(path: Path, **options):
    """Return what ``pydicom.dcmread`` reads. Raises DataError, naming the file, for every failure of it."""
    import pydicom
    from pydicom.filereader import read_dataset, read_preamble

    if (size := size_of(path)) > LARGEST_FILE:
        raise DataError(f"{path}: has {size} bytes, larger than {LARGEST_FILE}, and is refused; {AGAIN}")
    try:
        with _Bounded(path) as file:
            read_preamble(file, force=False)
            meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
            if meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
                raise ValueError("deflated as a whole, which no CT archive does: it could unpack to any size")
            file.seek(0)
            return pydicom.dcmread(file, **options)
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        raise DataError(f"{path}: not a readable DICOM file ({brief(error)}); {AGAIN}") from error


def is_dicom(path: Path) -> bool:
    """Return whether the file has DICOM's mark. Raises DataError where it cannot be opened, or is no plain file."""
    size_of(path)
    try:
        with path.open("rb") as file:
            return file.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error


def named(keyword: str) -> str:
    """Return a tag as messages name it: ``PixelSpacing (0028,0030)``."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    return f"{keyword} ({tag >> 16:04x},{tag & 0xFFFF:04x})"


def modality_of(path: Path) -> str:
    """Return the Modality that a DICOM file names, such as ``SEG``. Raises DataError for a damaged file."""
    header = dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    try:
        return str(header.get("Modality"))
    except Exception as error:  # values are decoded only now, and damaged bytes raise nearly anything
        raise DataError(f"{path}: {named('Modality')} cannot be read ({brief(error)}); {AGAIN}") from error


def read_header(path: Path) -> CtSlice | None:
    """Return the checked header of a CT slice; None for DICOM of another modality.

    Raises:
        DataError: naming the file, when it is no readable DICOM, has no position, or is not an axial slice.
    """
    header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    try:
        modality = header.get("Modality")
        if modality in (None, "", "C"):  # or the part of it before the file breaks off
            raise ValueError("it names no modality")
        if modality != "CT":
            return None
        position = [float(value) for value in header.ImagePositionPatient]
        spacing = [float(value) for value in header.PixelSpacing]
        orientation = [float(value) for value in header.get("ImageOrientationPatient") or AXIAL]
        tilt = float(header.get("GantryDetectorTilt") or 0)
        photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
        syntax = header.file_meta.get("TransferSyntaxUID")
        compressed = syntax is not None and syntax.is_compressed
        ct = CtSlice(
            path=path,
            series_uid=str(header.SeriesInstanceUID),
            patient=str(header.get("PatientID") or "unnamed"),
            z_mm=position[-1],
            spacing_mm=(spacing[0], spacing[-1]),
            thickness_mm=float(header.get("SliceThickness") or 0) or 1.0,
            shape=(int(header.Rows), int(header.Columns)),
            uid=str(header.SOPInstanceUID),
            corner_mm=(position[0], position[1]),
            frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
            tilt=tilt if np.isfinite(tilt) else 0.0,
            pixel_bytes=0 if compressed else header.Rows * header.Columns * int(header.get("BitsAllocated") or 16) // 8,
            syntax=str(syntax or ""),
        )
    except Exception as error:  # as above
        raise DataError(
            f"{path}: damaged, or its place is missing (position, spacing, size, series); {brief(error)}; {AGAIN}"
        ) from error
    if len(position) != 3 or len(spacing) != 2 or not np.isfinite([*position, *spacing]).all() or min(spacing) <= 0:
        raise DataError(f"{path}: position {position} or pixel spacing {spacing} cannot be right; {AGAIN}")
    if not 0 < ct.shape[0] * ct.shape[1] <= LARGEST:
        raise DataError(f"{path}: declares {ct.shape[0]} x {ct.shape[1]} pixels, no size of a CT slice; {AGAIN}")
    if len(orientation) != 6 or not np.allclose(orientation, AXIAL, atol=1e-3):
        raise DataError(
            f"{path}: not an axial slice ({named('ImageOrientationPatient')} = {orientation}: gantry tilt, or a "
            "reformatted series); remove it, or resample the series to axial slices"
        )
    if photometric == "MONOCHROME1":
        raise DataError(
            f"{path}: {named('PhotometricInterpretation')} = MONOCHROME1 shows high values dark, which CT does not; "
            "export the series again as MONOCHROME2"
        )
    return ct


def read_hu(path: Path) -> np.ndarray:
    """Return the (H, W) float32 Hounsfield units of one CT slice, at least :data:`AIR`.

    Raises:
        DataError: naming the file, when it is truncated, compressed with no decoder here, no CT slice by its size, or
            without the scale of Hounsfield units.
    """
    dataset = dcmread(path)
    check_decoder(path, str(dataset.file_meta.get("TransferSyntaxUID", "")))
    try:
        pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if not 0 < pixels <= LARGEST:  # before anything is decompressed
            raise ValueError(f"it declares {pixels} pixels")
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        stored = dataset.pixel_array
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(
            f"{path}: the pixels cannot be read, the file may be truncated ({brief(error)}); {AGAIN}"
        ) from error
    if stored.ndim != 2 or not np.isfinite([slope, intercept]).all() or slope == 0:
        raise DataError(f"{path}: pixels of shape {stored.shape}, scale {slope}, {intercept}: not a CT slice; {AGAIN}")
    return np.maximum(stored.astype(np.float32) * np.float32(slope) + np.float32(intercept), np.float32(AIR))


def check_decoder(path: Path, syntax: str) -> None:
    """Raise DataError, naming file and tag, where there is no decoder for the pixels."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    try:
        readable = not (uid.is_private or uid.is_compressed) or get_decoder(uid).is_available
    except (NotImplementedError, ValueError):  # no syntax of images, or one without any decoder
        readable = not syntax
    if not readable:
        raise DataError(
            f"{path}: {named('TransferSyntaxUID')} = {uid.name}: there is no decoder for it here; decompress the file "
            "(dcmtk: dcmdjpeg, gdcm: gdcmconv --raw), or install pylibjpeg with its plug-ins"
        )
