"""Users' images as grey slices in [0, 1]: PNG, TIFF, CT slices and series in DICOM, NIfTI and nrrd volumes.

Hounsfield units are mapped with the lung window, and PNG and TIFF are used as stored: networks trained on CT expect
this. The published LIDC slices are instead stretched from their minimum to their maximum; :class:`Grey` can do both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from softmask.data.ct import (
    AIR,
    CtSlice,
    Series,
    by_series,
    files_below,
    grid_of_series,
    one_series,
    pass_over,
    read_header,
    read_hu,
)
from softmask.data.dicom import is_dicom
from softmask.data.image_files import LUNG_WINDOW, doubt_low, doubt_units, read_grey, window_hu
from softmask.data.volume_files import Grid, grid_of_file, is_volume_file, open_reader, read_turned, remedy_of
from softmask.data.volume_headers import LARGEST_VOLUME
from softmask.errors import ConfigError, DataError, Doubt, Remark, doubt
from softmask.files import size_of

READABLE = (
    "save it as one of those that are read: PNG or TIFF (grey, 8 or 16 bit), CT in DICOM, NIfTI (.nii, .nii.gz), nrrd"
)

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".png", ".tif", ".tiff", ".dcm", ".dicom", ".ima")
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

HU_OFFSET = 32768
"""Offset that the 16 bit PNG files of DeepLesion add to the Hounsfield units."""

_LEAST_OFFSET = HU_OFFSET - 3072  # padding of GE scanners; a photograph has darker pixels


@dataclass(frozen=True)
class Grey:
    """Mapping of stored values to grey levels. Raises ConfigError for a window that is not finite and rising.

    Attributes:
        window: Hounsfield units that become 0 and 1; None means :data:`~softmask.data.image_files.LUNG_WINDOW`, and
            then NIfTI and nrrd values must look like Hounsfield units. A window cannot be used for PNG and TIFF, except
            16 bit files of Hounsfield units with :data:`HU_OFFSET` added, such as those of DeepLesion.
        stretch: whether to map each slice from its own minimum to its own maximum instead, in files of every kind.
    """

    window: tuple[float, float] | None = None
    stretch: bool = False

    def __post_init__(self) -> None:
        if self.window is not None and not (np.isfinite(self.window).all() and self.window[0] < self.window[1]):
            low, high = self.window
            raise ConfigError(f"a window goes from a lower to a higher number of HU, not from {low:g} to {high:g}")

    @property
    def text(self) -> str:
        """Window or stretch in a few words."""
        if self.window is not None:
            return f"window {self.window[0]:g} {self.window[1]:g}"
        return "stretch" if self.stretch else "lung window"

    def levels(self, values: np.ndarray, hu: bool, where: object = "image") -> np.ndarray:
        """Return (H, W) float32 in [0, 1] for Hounsfield units (``hu``) or the 8 or 16 bit values of a PNG or TIFF.
        Raises DataError for a window on values that are not Hounsfield units."""
        has_offset = not hu and values.dtype == np.uint16 and values.min() >= _LEAST_OFFSET
        if not hu and self.window is not None and not has_offset:
            raise DataError(f"{where}: PNG and TIFF have no Hounsfield units, so --window has no effect; leave it out")
        if has_offset and self.window is not None:
            values, hu = values.astype(np.float32) - HU_OFFSET, True
        if not hu and not self.stretch and values.dtype == np.uint16:
            low, high = int(values.min()), int(values.max())
            if has_offset:
                text = f"looks like Hounsfield units + {HU_OFFSET} (DeepLesion); choose --window -1000 400"
                doubt(f"{where}: {text}")
            elif (high - low) * 8 < _MOST:
                text = f"uses {low} to {high} of 0 to {_MOST} grey levels; should it look dark, choose --stretch"
                doubt(f"{where}: {text}")
        if self.stretch:  # a constant image becomes 0
            low, high = float(values.min()), float(values.max())
            if hu and low < AIR:
                text = f"its least value, {low:g}, is padding and no tissue, and --stretch makes the rest bright"
                doubt(f"{where}: {text}; --window has no such effect")
            return ((values.astype(np.float64) - low) / ((high - low) or 1.0)).astype(np.float32)
        if hu:
            return window_hu(values, self.window or LUNG_WINDOW)
        return values.astype(np.float32) / np.iinfo(values.dtype).max


_LUNG_WINDOW = Grey()
_MOST = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Slice:
    """Grey slice of a file; its pixels are not read yet.

    Attributes:
        kind: ``picture`` (PNG, TIFF), ``ct`` (DICOM) or ``volume`` (NIfTI, nrrd).
        where: name in messages: the path, with the slice number in a volume.
        stem: beginning of the result names: the file name without its ending, with the slice number in a volume.
        z: slice number in a volume.
    """

    path: Path
    kind: str
    where: str
    stem: str
    z: int = 0

    def read(self, grey: Grey = _LUNG_WINDOW) -> np.ndarray:
        """Return (H, W) float32 in [0, 1]. Raises DataError, naming the file, if it is damaged or cannot be used."""
        with reading(self.where):
            if self.kind == "picture":
                return grey.levels(read_grey(self.path), hu=False, where=self.where)
            if self.kind == "ct":
                hu = read_hu(_ct_header(self.path))
                doubt_units(hu)
                return grey.levels(hu, hu=True)
            stat = self.path.stat()
            volume, lowest = _read_volume(self.path, stat.st_mtime_ns, stat.st_size)
            if not grey.stretch and grey.window is None:
                if lowest >= 0:
                    raise DataError(
                        f"{self.path}: no value lies below 0, so these are not the Hounsfield units of a CT; choose "
                        "--stretch, or name the values that become black and white with --window"
                    )
                doubt_units(volume[self.z])
                doubt_low(volume[self.z])
            return grey.levels(volume[self.z], hu=True)


@dataclass(frozen=True)
class Image:
    """Image to label or segment: its slices, from the feet up.

    Attributes:
        grid: positions of the voxels; None for PNG and TIFF, which have no positions, and for the slices of an oblique
            volume.
        series: series of a DICOM image, otherwise None.
    """

    path: Path
    slices: tuple[Slice, ...]
    grid: Grid | None = None
    series: Series | None = None

    @property
    def is_volume(self) -> bool:
        """Whether the image is a folder with a series or a volume file, not a PNG, TIFF or single DICOM file."""
        return self.path.is_dir() or is_volume_file(self.path)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every slice, of a picture or an image with a grid."""
        return read_grey(self.path).shape if self.grid is None else self.grid.shape[1:]

    @property
    def uids(self) -> tuple[str, ...]:
        """SOPInstanceUID of each slice of a DICOM image, otherwise empty."""
        return tuple(ct.uid for ct in self.series or ())


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Yield a list that receives, at the end of the block, all remarks of the block; doubts begin with "doubtful"."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always", Remark)
        yield texts
    for warning in caught_warnings:
        if isinstance(warning.message, Remark):
            text = f"{'doubtful: ' if isinstance(warning.message, Doubt) else ''}{warning.message}"
            texts += [] if text in texts else [text]
        else:
            warnings.warn_explicit(warning.message, None, warning.filename, warning.lineno)


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Raise DataError, naming the file (or ``where``), if the operating system cannot read a file inside the block."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{error.filename or where}: there is no such file; check the name") from error
    except OSError as error:
        raise DataError(
            f"{error.filename or where}: cannot be read ({error.strerror}); check the file and its rights"
        ) from error


def stem_of(path: Path) -> str:
    """Return the file name without the ending of its format; a DICOM name such as ``1.2.840`` has no ending."""
    ending = next((ending for ending in _SUFFIXES if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)] or path.name


def open_image(path: Path) -> Image:
    """Return the image at ``path``: a file, or a folder with one CT series."""
    if path.is_dir():
        series = one_series(path)
        return Image(path, tuple(_single(ct.path, "ct") for ct in series), grid_of_series(path, series), series)
    slices = tuple(list_slices(path))
    if slices[0].kind == "volume":
        return Image(path, slices, grid_of_file(path))
    if slices[0].kind == "picture":
        return Image(path, slices)
    series = (_ct_header(path),)
    return Image(path, slices, grid_of_series(path, series), series)


def list_slices(path: str | Path, numbers: tuple[int, ...] = ()) -> list[Slice]:
    """Return the grey slices at ``path``; pixels are read later.

    Args:
        path: a PNG, TIFF or DICOM file: its single slice; a NIfTI or nrrd file: its axial slices, from the feet up; a
            folder: the CT slices of the DICOM files in it and its subfolders, from the feet up.
        numbers: slices to take from a volume or folder, from 0; empty for all. A single slice is always taken.

    Raises:
        DataError: naming the file or folder, if it is missing, of an unsupported format, or has no such slice.
    """
    path = Path(path)
    with reading(path):
        slices = _slices_of_folder(path, bool(numbers)) if path.is_dir() else _slices_of_file(path)
    if not numbers or len(slices) == 1:
        return slices
    for number in numbers:
        if not 0 <= number < len(slices):
            raise DataError(f"{path}: has no slice {number}; its {len(slices)} slices are 0 to {len(slices) - 1}")
    return [slices[number] for number in sorted(set(numbers))]


def _slices_of_folder(folder: Path, numbered: bool) -> list[Slice]:
    """Return the slices of the one series in ``folder``, then the files that cannot be used. Raises DataError for
    several series, or without any DICOM file. A series with a missing slice, or another fault that
    :func:`~softmask.data.ct.grid_of_series` finds, is refused if its slices are to be ``numbered``, else doubted."""
    files = [path for path in files_below(folder) if is_dicom(path)]
    if not files:
        raise DataError(f"{folder}: holds no DICOM file; name other files one by one")
    bad_files: list[Path] = []
    series, unused_files = by_series(files, None if numbered else lambda path, _: bad_files.append(path))
    slices = one_series(folder, series) if series or not bad_files else ()
    try:
        if slices:
            grid_of_series(folder, slices)
    except DataError as error:
        if numbered:
            raise
        doubt(str(error))
    pass_over(unused_files)
    return [_single(path, "ct") for path in (*(ct.path for ct in slices), *bad_files)]


def _ct_header(path: Path) -> CtSlice:
    header = read_header(path)
    if header is None:
        raise DataError(f"{path}: is DICOM, but no slice of a CT scan; export it as a grey PNG")
    return header


def _single(path: Path, kind: str) -> Slice:
    return Slice(path, kind, str(path), stem_of(path))


def _slices_of_file(path: Path) -> list[Slice]:
    size_of(path, "check the name")
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_PICTURES):
        return [_single(path, "picture")]
    if is_dicom(path):
        return [_single(path, "ct")]
    if not is_volume_file(path):
        kind = "is a JPEG" if head.startswith(b"\xff\xd8\xff") else "is of an unknown kind" if head else "is empty"
        raise DataError(f"{path}: {kind}{remedy_of(path) or f'; {READABLE}'}")
    n_slices = _count_axial_slices(path)
    if n_slices == 1:
        return [_single(path, "volume")]
    digits = len(str(n_slices - 1))
    return [Slice(path, "volume", f"{path}, slice {z}", f"{stem_of(path)}-{z:0{digits}d}", z) for z in range(n_slices)]


def _count_axial_slices(path: Path) -> int:
    """Return the number of axial slices that the header declares; unlike in a scan, the axes may be oblique."""
    import SimpleITK

    reader = open_reader(path)
    size, text = reader.GetSize(), " x ".join(map(str, reader.GetSize()))
    several = reader.GetNumberOfComponents() != 1 or "complex" in SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    if several or len(size) not in (2, 3):
        raise DataError(f"{path}: {text} with several numbers at each voxel, or volumes; save one grey volume")
    if np.prod(size, dtype=float) > LARGEST_VOLUME:
        raise DataError(f"{path}: declares {text} voxels, more than is read; crop it")
    if len(size) == 2:
        return 1
    letters = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(reader.GetDirection())
    return next(count for count, letter in zip(size, letters, strict=True) if letter in "SI")


@lru_cache(maxsize=1)  # the slices of a volume are read one after the other
def _read_volume(path: Path, mtime_ns: int, size: int) -> tuple[np.ndarray, float]:
    """Return the voxels, read by :func:`~softmask.data.volume_files.read_turned`, and their minimum."""
    volume = read_turned(path)
    return volume, float(volume.min())
