"""Users' images as grey slices in [0, 1]: PNG, TIFF, CT slices and series in DICOM, NIfTI and nrrd volumes.

Hounsfield units go through the lung window, PNG and TIFF are taken as stored, as networks trained on CT expect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from softmask.data.ct import (
    Series,
    grid_of_series,
    is_dicom,
    one_series,
    read_header,
    read_hu,
    sort_files,
)
from softmask.data.image_files import LUNG_WINDOW, read_grey, window_hu
from softmask.data.volume_files import Grid, grid_of_file, is_volume_file, name_of, read_turned
from softmask.errors import ConfigError, DataError
from softmask.files import size_of

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".png", ".tif", ".tiff", ".dcm", ".dicom", ".ima")
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
_NO_CT = "is DICOM of another kind than CT; export it as a grey PNG"
_KINDS = "save it as PNG or TIFF (grey, 8 or 16 bit), CT in DICOM, NIfTI (.nii, .nii.gz) or nrrd"


@dataclass(frozen=True)
class Grey:
    """Mapping of stored values to grey levels. Raises ConfigError for a window that is not finite and rising.

    Attributes:
        window: Hounsfield units that become 0 and 1, not of PNG and TIFF; None for the lung window, and then a NIfTI
            or nrrd file must have values below 0.
        stretch: from the slice's own minimum to its own maximum instead.
    """

    window: tuple[float, float] | None = None
    stretch: bool = False

    def __post_init__(self) -> None:
        if self.window is not None and not (np.isfinite(self.window).all() and self.window[0] < self.window[1]):
            low, high = self.window
            raise ConfigError(f"a window goes from a lower to a higher number of HU, not from {low:g} to {high:g}")

    def levels(self, values: np.ndarray, hu: bool) -> np.ndarray:
        """Return (H, W) float32 in [0, 1] of Hounsfield units, else of the 8 or 16 bit values of a picture."""
        if self.stretch:  # a constant image becomes 0
            low, high = float(values.min()), float(values.max())
            return ((values.astype(np.float64) - low) / ((high - low) or 1.0)).astype(np.float32)
        if hu:
            return window_hu(values, self.window or LUNG_WINDOW)
        return values.astype(np.float32) / np.iinfo(values.dtype).max


@dataclass(frozen=True)
class Slice:
    """A grey slice of a file, which is not read yet.

    Attributes:
        kind: ``picture`` (PNG, TIFF), ``ct`` (DICOM) or ``volume`` (NIfTI, nrrd).
        where: its name in messages: the path, with the slice's number in a volume.
        stem: beginning of the names of results.
        z: its number in a volume.
    """

    path: Path
    kind: str
    where: str
    stem: str
    z: int = 0

    def read(self, grey: Grey) -> np.ndarray:
        """Return (H, W) float32 in [0, 1]. Raises DataError, naming the file, where it cannot be used."""
        with reading(self.where):
            if self.kind == "picture":
                return grey.levels(read_grey(self.path), hu=False)
            if self.kind == "ct":
                if read_header(self.path) is None:
                    raise DataError(f"{self.path}: {_NO_CT}")
                return grey.levels(read_hu(self.path), hu=True)
            volume, lowest = _read_volume(self.path, self.path.stat().st_mtime_ns)
            if not grey.stretch and grey.window is None and lowest >= 0:
                remedy = "choose --stretch, or name black and white with --window"
                raise DataError(f"{self.path}: no value lies below 0, so these are no Hounsfield units; {remedy}")
            return grey.levels(volume[self.z], hu=True)


@dataclass(frozen=True)
class Image:
    """An image to label: its slices, from the feet up.

    Attributes:
        shape: (H, W) of every slice.
        grid: positions of its voxels; None for PNG and TIFF.
        uids: SOPInstanceUID of each slice of DICOM, else empty.
    """

    path: Path
    slices: tuple[Slice, ...]
    shape: tuple[int, int]
    grid: Grid | None = None
    uids: tuple[str, ...] = ()

    @property
    def is_volume(self) -> bool:
        """Whether it is a series or volume, and not a file of one slice."""
        return self.path.is_dir() or is_volume_file(self.path)


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Raise DataError, naming the file (else ``where``), for a file inside that cannot be read."""
    try:
        yield
    except OSError as error:
        path = error.filename or where
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its name and rights") from error


def stem_of(path: Path) -> str:
    """Return a folder's name, or a file's without the ending of its kind (a DICOM name may have none)."""
    if path.is_dir():
        return name_of(path)
    ending = next((ending for ending in _SUFFIXES if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)] or path.name


def open_image(path: Path) -> Image:
    """Return the image at ``path``: a file, or a folder with one CT series.

    Raises:
        DataError: naming the file, when it is missing, of a kind that is not read, or its voxels are on no grid.
    """
    with reading(path):
        if path.is_dir():
            return _image_of_series(path, one_series(path))
        size_of(path, "check the name")
        if is_dicom(path):
            ct = read_header(path)
            if ct is None:
                raise DataError(f"{path}: {_NO_CT}")
            return _image_of_series(path, Series(ct.series_uid, ct.patient, (ct,)))
        if is_volume_file(path):
            grid, stem = grid_of_file(path), stem_of(path)
            n = grid.shape[0]
            digits = len(str(n - 1))
            slices = [Slice(path, "volume", f"{path}, slice {z}", f"{stem}-{z:0{digits}d}", z) for z in range(n)]
            return Image(path, tuple(slices), grid.shape[1:], grid)
        with path.open("rb") as file:
            start = file.read(max(map(len, _PICTURES)))
        if not start.startswith(_PICTURES):
            raise DataError(f"{path}: {'is of an unknown kind' if start else 'is empty'}; {_KINDS}")
        return Image(path, (Slice(path, "picture", str(path), stem_of(path)),), read_grey(path).shape)


def _image_of_series(path: Path, series: Series) -> Image:
    grid = grid_of_series(path, series)
    slices = tuple(_ct_slice(ct.path) for ct in series.slices)
    return Image(path, slices, grid.shape[1:], grid, tuple(ct.uid for ct in series.slices))


def _ct_slice(path: Path) -> Slice:
    return Slice(path, "ct", str(path), stem_of(path))


def list_slices(path: Path, numbers: Sequence[int] = ()) -> list[Slice]:
    """Return the grey slices at ``path``; pixels are read later.

    Args:
        path: a file, or a folder of CT slices in DICOM, which need not make a volume.
        numbers: those to take of several slices, from 0 at the feet; empty for all.

    Raises:
        DataError: as :func:`open_image`, and for a number of no slice.
    """
    if path.is_dir():
        slices = [_ct_slice(ct.path) for series in sort_files(path)[0] for ct in series.slices]
        if not slices:
            raise DataError(f"{path}: holds no CT slice in DICOM; name other files one by one")
    else:
        size_of(path, "check the name")
        slices = [_ct_slice(path)] if is_dicom(path) else list(open_image(path).slices)
    if not numbers or len(slices) == 1:
        return slices
    for number in numbers:
        if not 0 <= number < len(slices):
            raise DataError(f"{path}: has no slice {number}; its {len(slices)} slices are 0 to {len(slices) - 1}")
    return [slices[number] for number in sorted(set(numbers))]


@lru_cache(maxsize=1)  # the slices of a volume are read one after the other
def _read_volume(path: Path, mtime_ns: int) -> tuple[np.ndarray, float]:
    """Return (slices, H, W), as stored but turned to the patient's axes, and its least value."""
    volume = read_turned(path)
    return volume, float(volume.min())
