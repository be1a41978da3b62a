"""CT: DICOM files and series, and a scan, in DICOM, nrrd or NIfTI, as one volume in Hounsfield units.

pydicom reads; :func:`dcmread` bounds what it reads. The readers of series in SimpleITK and highdicom name neither file
nor tag of a slice that does not fit, and SimpleITK reads a series with a missing slice; so slices are compared here.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from softmask.data.volume_files import LARGEST_VOLUME, Grid, grid_of_file, read_turned
from softmask.errors import DataError, brief
from softmask.files import AGAIN, size_of

if TYPE_CHECKING:
    from pydicom import FileDataset

AIR = -1024.0
"""Hounsfield units of air. Scanners store less (-2000) outside the scanned circle, which is no tissue."""

LARGEST = 2048 * 2048  # pixels of a CT slice
LARGEST_FILE = 1 << 30  # bytes in DICOM, twice those of the largest fractional segmentation
MOST_READS = 1_000_000  # ten times those of a structure set of 10,000 contours: endless empty elements end

AXIAL = (1, 0, 0, 0, 1, 0)
"""ImageOrientationPatient of a slice whose columns go to the patient's left and whose rows go to the back."""

SAME_Z = 0.05
"""mm: positions nearer to one another are one position, rounded differently."""

_SAME_TILT = 0.05  # degrees
_UNEVEN = 0.1  # share of the usual distance of slices by which a distance may differ from it, for rounded positions
_GAP = 1.5  # a distance this many times the usual one has room for a missing slice
_TAGS = [
    *("Modality", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "FrameOfReferenceUID", "GantryDetectorTilt"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"),
]
_ONE_VALUE = {"Rows": "shape", "PixelSpacing": "spacing_mm", "PatientID": "patient"}
_ONE_VALUE |= {"FrameOfReferenceUID": "frame_of_reference"}
"""Tags that all slices of a series share, and the attributes of :class:`CtSlice` that hold them."""


@dataclass(frozen=True, kw_only=True)
class CtSlice:
    """Header of one CT slice.

    Attributes:
        z_mm: position of the slice; ``corner_mm`` is (x, y) of the first pixel's centre, left and back counting up.
        spacing_mm: (row, column) size of a pixel; ``shape`` is (rows, columns).
        uid: SOPInstanceUID.
        frame_of_reference: FrameOfReferenceUID; empty where the file names none.
        tilt: of the gantry, in degrees.
        syntax: TransferSyntaxUID; ``pixel_bytes`` are those of the pixels, 0 where they are compressed.
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
    syntax: str
    pixel_bytes: int


@dataclass(frozen=True)
class Series:
    """One CT series: its SeriesInstanceUID, its patient, and its slices by position, from the feet up."""

    uid: str
    patient: str
    slices: tuple[CtSlice, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume(Grid):
    """A scan: ``hu`` (D, H, W) int16 Hounsfield units, at least -1024, on its grid."""

    hu: np.ndarray = field(repr=False)


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


def dcmread(path: Path, **options) -> FileDataset:
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
            return file.read(132)[128:] == b"DICM"
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
        photometric = header.get("PhotometricInterpretation")
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
            syntax=str(syntax or ""),
            pixel_bytes=0 if compressed else header.Rows * header.Columns * int(header.get("BitsAllocated") or 16) // 8,
        )
    except Exception as error:  # as above
        raise DataError(f"{path}: damaged, or its place is missing ({brief(error)}); {AGAIN}") from error
    if len(position) != 3 or len(spacing) != 2 or not np.isfinite([*position, *spacing]).all() or min(spacing) <= 0:
        raise DataError(f"{path}: position {position} or pixel spacing {spacing} cannot be right; {AGAIN}")
    if not 0 < ct.shape[0] * ct.shape[1] <= LARGEST:
        raise DataError(f"{path}: declares {ct.shape[0]} x {ct.shape[1]} pixels, no size of a CT slice; {AGAIN}")
    if len(orientation) != 6 or not np.allclose(orientation, AXIAL, atol=1e-3):
        raise DataError(
            f"{path}: not an axial slice ({named('ImageOrientationPatient')} = {orientation}: gantry tilt?); "
            "remove it, or resample the series"
        )
    if photometric == "MONOCHROME1":
        raise DataError(f"{path}: {named('PhotometricInterpretation')} = MONOCHROME1; export it as MONOCHROME2")
    return ct


def read_hu(path: Path) -> np.ndarray:
    """Return the (H, W) float32 Hounsfield units of one CT slice, at least :data:`AIR`.

    Raises:
        DataError: naming the file, when it is truncated, compressed with no decoder here, no CT slice by its size, or
            without the scale of Hounsfield units.
    """
    dataset = dcmread(path)
    try:
        pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if not 0 < pixels <= LARGEST:  # before anything is decompressed
            raise ValueError(f"it declares {pixels} pixels")
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    except Exception as error:  # as above
        raise DataError(f"{path}: the scale of the pixels cannot be read ({brief(error)}); {AGAIN}") from error
    stored = pixels_of(path, dataset)
    if stored.ndim != 2 or not np.isfinite([slope, intercept]).all() or slope == 0:
        raise DataError(f"{path}: pixels of shape {stored.shape}, scale {slope}, {intercept}: not a CT slice; {AGAIN}")
    return np.maximum(stored.astype(np.float32) * np.float32(slope) + np.float32(intercept), np.float32(AIR))


def pixels_of(path: Path, dataset: FileDataset) -> np.ndarray:
    """Return the stored pixels. Raises DataError, naming file and tag, for no decoder, and for damaged pixels."""
    check_decoder(path, str(dataset.file_meta.get("TransferSyntaxUID", "")))
    try:
        return dataset.pixel_array
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(
            f"{path}: the pixels cannot be read, the file may be truncated ({brief(error)}); {AGAIN}"
        ) from error


def check_decoder(path: Path, uid: str) -> None:
    """Raise DataError, naming file and tag, where there is no decoder for the pixels."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    syntax = UID(uid)
    try:
        readable = not (syntax.is_private or syntax.is_compressed) or get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):  # no syntax of images, or one without any decoder
        readable = not syntax
    if not readable:
        raise DataError(
            f"{path}: {named('TransferSyntaxUID')} = {syntax.name}: there is no decoder for it here; decompress the "
            "file (dcmtk: dcmdjpeg, gdcm: gdcmconv --raw)"
        )


def sort_files(
    folder: Path, *, bad: list[tuple[Path, str]] | None = None
) -> tuple[tuple[Series, ...], tuple[Path, ...]]:
    """Return the CT series of the DICOM files in ``folder`` and below, by SeriesInstanceUID, and the DICOM files of
    other modalities by path. Headers alone are read.

    Args:
        bad: takes path and error of each unusable file in place of an exception; files not named ``*.dcm`` are then
            passed over unopened.

    Raises:
        DataError: naming a file that is damaged, has no position or is not axial: any series could miss it.
    """
    stacks: dict[str, list[CtSlice]] = {}
    others = []
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if bad is not None:
        files = [path for path in files if path.suffix.lower() == ".dcm"]
    for path in tqdm(files, desc=f"{folder.name}: DICOM headers", unit=" files", disable=bad is None):
        if path.suffix.lower() != ".dcm" and not is_dicom(path):  # *.dcm that is no DICOM is damaged
            continue
        try:
            ct = read_header(path)
        except DataError as error:
            if bad is None:
                raise
            bad.append((path, str(error)))
            continue
        if ct is None:
            others.append(path)
        else:
            stacks.setdefault(ct.series_uid, []).append(ct)
    series = []
    for uid in sorted(stacks):
        slices = sorted(stacks[uid], key=lambda ct: (ct.z_mm, str(ct.path)))
        series.append(Series(uid, slices[0].patient, tuple(slices)))
    return tuple(series), tuple(others)


def one_series(folder: Path, listed: tuple[Series, ...] | None = None) -> Series:
    """Return the only CT series of ``folder``, or of those ``listed``. Raises DataError for none or several."""
    listed = sort_files(folder)[0] if listed is None else listed
    if not listed:
        raise DataError(f"{folder}: holds no CT slice in DICOM; check that the series was unpacked into it")
    if len(listed) > 1:
        several = ", ".join(f"{s.uid}: {len(s.slices)} slices, such as {s.slices[0].path}" for s in listed)
        raise DataError(
            f"{folder}: holds {len(listed)} CT series by {named('SeriesInstanceUID')} ({several}); put each into a "
            "folder of its own"
        )
    return listed[0]


def grid_of_series(folder: Path, series: Series) -> Grid:
    """Return the grid of a series, once its slices have been found to make a volume.

    Raises:
        DataError: naming file and tag: gantry tilt, slices of several sizes or frames of reference or that lie beside
            one another, two slices at one position, a missing slice, uneven distances, more voxels than are read.
    """
    slices, first = series.slices, series.slices[0]
    for ct in slices:
        check_decoder(ct.path, ct.syntax)
        if (size := ct.path.stat().st_size) < ct.pixel_bytes:
            raise DataError(f"{ct.path}: truncated, {size} bytes of {ct.pixel_bytes} and a header; {AGAIN}")
        if abs(ct.tilt) > _SAME_TILT:
            raise DataError(f"{ct.path}: {named('GantryDetectorTilt')} = {ct.tilt:g}; resample to axial slices")
        for tag, name in _ONE_VALUE.items():
            value, expected = getattr(ct, name), getattr(first, name)
            if value != expected:
                raise DataError(
                    f"{ct.path}: {named(tag)} is {value}, and {expected} in {first.path} of the same series; remove one"
                )
        if not np.allclose(ct.corner_mm, first.corner_mm, rtol=0, atol=SAME_Z):
            raise DataError(
                f"{ct.path}: {named('ImagePositionPatient')} begins with {ct.corner_mm}: it does not lie above "
                f"{first.path} (gantry tilt?); resample the series"
            )
    shape = (len(slices), *first.shape)
    if np.prod(shape, dtype=float) > LARGEST_VOLUME:
        raise DataError(f"{first.path.parent}: {' x '.join(map(str, shape))} voxels are more than is read; crop it")
    steps = np.diff([ct.z_mm for ct in slices])
    distinct = np.sort(steps[steps >= SAME_Z])
    usual = float(distinct[(len(distinct) - 1) // 2]) if len(distinct) else 0.0
    for step, below, above in zip(steps.tolist(), slices[:-1], slices[1:], strict=True):
        position = f"{above.path}: {named('ImagePositionPatient')} is z = {above.z_mm:g} mm"
        if step < SAME_Z:
            raise DataError(f"{position} as in {below.path} of the same series; remove one of them")
        if step > _GAP * usual:
            raise DataError(
                f"{position}, {step:g} mm above {below.path}, and others are {usual:g} mm apart: slices are missing in "
                "between; get the series again"
            )
        if abs(step - usual) > _UNEVEN * usual + SAME_Z:
            raise DataError(
                f"{position}, {step:g} mm above {below.path}, and others are {usual:g} mm apart; resample the series"
            )
    distance = float((slices[-1].z_mm - first.z_mm) / len(steps)) if len(steps) else first.thickness_mm
    return Grid(
        shape=shape,
        spacing_mm=(distance, *first.spacing_mm),
        z_mm=np.array([ct.z_mm for ct in slices]),
        origin=(*first.corner_mm, first.z_mm),
        frame_of_reference=first.frame_of_reference,
        series_uid=series.uid,
        patient=series.patient,
        path=folder,
    )


def read_volume(path: str | Path, series: Series | None = None) -> Volume:
    """Read the scan at ``path``.

    Args:
        path: a folder with one CT series in DICOM (in it or in folders below; files in any order and of any name), or
            a ``.nrrd``, ``.nii`` or ``.nii.gz`` file of Hounsfield units.
        series: that of the folder, where it was read before.

    Raises:
        DataError: naming the file, and the tag in DICOM: as :func:`grid_of_series`, :func:`read_hu` and
            :func:`softmask.data.volume_files.grid_of_file`; and for values that are no Hounsfield units.
    """
    path = Path(path)
    if path.is_dir():
        series = series or one_series(path)
        grid = grid_of_series(path, series)
        hu = np.empty(grid.shape, np.int16)
        for z, ct in enumerate(series.slices):
            hu[z] = _as_int16(read_hu(ct.path))
        return Volume(**vars(grid), hu=hu)
    grid = grid_of_file(path)
    values = read_turned(path)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{path}: has NaN or infinite voxels; save it in Hounsfield units")
    if values.min() >= 0:
        raise DataError(f"{path}: no value lies below 0; save it in Hounsfield units")
    # slice by slice: float64 takes four times as much memory
    return Volume(**vars(grid), hu=np.stack([_as_int16(np.maximum(plane, AIR)) for plane in values]))


def _as_int16(hu: np.ndarray) -> np.ndarray:
    """Return Hounsfield units rounded to whole numbers; metal above 32767 HU is cut to that."""
    return np.rint(np.minimum(hu, np.iinfo(np.int16).max)).astype(np.int16)
