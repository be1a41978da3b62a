"""Images that are nobody's data set: PNG, TIFF, CT slices and series in DICOM, NIfTI, nrrd; as grey slices in [0, 1].

How values become grey levels is what a network trained on CT expects: Hounsfield units through the lung window, PNG
and TIFF as stored. The published LIDC slices are stretched instead, each from its own minimum to its own maximum, which
:class:`Grey` can do too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from softmask.data.dicom import is_dicom, read_header, read_hu
from softmask.data.image_files import LUNG_WINDOW, read_grey, window_hu
from softmask.data.volume_files import LARGEST_VOLUME, image_io, is_volume_file, nrrd_header, read_turned
from softmask.errors import ConfigError, DataError, brief
from softmask.files import size_of

KINDS = (
    "save it as one of those that are read: PNG or TIFF (grey, 8 or 16 bit), CT in DICOM, NIfTI (.nii, .nii.gz), nrrd"
)

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".png", ".tif", ".tiff", ".dcm", ".dicom", ".ima")
_PNG, _TIFF, _DICOM = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*"), b"DICM"
_COLOUR_TYPE, _DICOM_AT = 25, 128  # where a PNG says its colour type, and DICOM its mark


@dataclass(frozen=True)
class Grey:
    """How values become grey levels.

    Attributes:
        window: Hounsfield units that become 0 and 1; None for :data:`~softmask.data.image_files.LUNG_WINDOW`, and then
            a NIfTI or nrrd file must look like Hounsfield units. PNG and TIFF have none.
        stretch: from the slice's own minimum to its own maximum instead, in files of every kind.

    Raises:
        ConfigError: for a window that is not finite and rising, or both at once.
    """

    window: tuple[float, float] | None = None
    stretch: bool = False

    def __post_init__(self) -> None:
        if self.window is not None:
            if self.stretch:
                raise ConfigError("a window and stretching exclude one another; choose one of --window and --stretch")
            if not (np.isfinite(self.window).all() and self.window[0] < self.window[1]):
                low, high = self.window
                raise ConfigError(f"a window goes from a lower to a higher number of HU, not from {low:g} to {high:g}")

    def of_hu(self, hu: np.ndarray) -> np.ndarray:
        """(H, W) float32 in [0, 1] of Hounsfield units."""
        return self.stretched(hu) if self.stretch else window_hu(hu, self.window or LUNG_WINDOW)

    def of_stored(self, stored: np.ndarray) -> np.ndarray:
        """(H, W) float32 in [0, 1] of 8 or 16 bit grey values."""
        return self.stretched(stored) if self.stretch else stored.astype(np.float32) / np.iinfo(stored.dtype).max

    @staticmethod
    def stretched(values: np.ndarray) -> np.ndarray:
        """(H, W) float32: 0 at the least value, 1 at the largest; a constant image becomes 0."""
        low, high = float(values.min()), float(values.max())
        return ((values.astype(np.float64) - low) / ((high - low) or 1.0)).astype(np.float32)


@dataclass(frozen=True)
class OwnImage:
    """One grey slice of a file.

    Attributes:
        path: of the file.
        where: what messages call it: the path, with the slice's number in a volume.
        stem: how names of what is made from it begin: the file's name without its ending, with the slice's number.
        read: (H, W) float32 in [0, 1]. Raises DataError, naming the file, where it is damaged or of another kind.
    """

    path: Path
    where: str
    stem: str
    read: Callable[[], np.ndarray] = field(repr=False)


def find(path: str | Path, grey: Grey | None = None, slices: tuple[int, ...] = ()) -> list[OwnImage]:
    """The grey slices at ``path``, none of them read yet.

    Args:
        path: a PNG, TIFF or DICOM file, which holds one; a NIfTI or nrrd file: its axial slices, from the feet up; a
            folder: the CT slices of the DICOM files in it (not in folders below), from the feet up.
        slices: numbers of those to take of a volume or a folder, from 0; empty for all. One image is taken
            whatever they say.

    Raises:
        DataError: naming the file or folder, when it is not there, of a kind that is not read, or holds no such slice.
    """
    path, grey = Path(path), grey or Grey()
    if path.is_dir():
        return _chosen(path, list(_series(path, grey)), slices)
    size_of(path, "check the name")
    try:
        with path.open("rb") as file:
            start = file.read(_DICOM_AT + len(_DICOM))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    if start.startswith(_PNG):
        return [OwnImage(path, str(path), stem_of(path), lambda: grey.of_stored(_png(path)))]
    if start.startswith(_TIFF):
        return [OwnImage(path, str(path), stem_of(path), lambda: grey.of_stored(read_grey(path)))]
    if start[_DICOM_AT:] == _DICOM:
        return [ct_slice(path, grey)]
    if is_volume_file(path):
        return _chosen(path, _volume_slices(path, grey), slices)
    raise DataError(f"{path}: {'is empty' if not start else 'is of an unknown kind'}; {KINDS}")


def stem_of(path: Path) -> str:
    """The file's name without the ending of its kind; a DICOM name such as ``1.2.840`` has none."""
    name = path.name
    ending = next((ending for ending in _SUFFIXES if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or name


def _chosen(path: Path, images: list[OwnImage], slices: tuple[int, ...]) -> list[OwnImage]:
    if not slices or len(images) == 1:
        return images
    beyond = [number for number in slices if not 0 <= number < len(images)]
    if beyond:
        raise DataError(f"{path}: has no slice {beyond[0]}; its {len(images)} slices are 0 to {len(images) - 1}")
    return [images[number] for number in sorted(set(slices))]


def _png(path: Path) -> np.ndarray:
    """(H, W) uint8 or uint16."""
    with path.open("rb") as file:
        start = file.read(_COLOUR_TYPE + 1)
    if len(start) > _COLOUR_TYPE and start[_COLOUR_TYPE] != 0:
        raise DataError(f"{path}: is a colour image, or has transparency; save it as plain grey, 8 or 16 bit")
    return read_grey(path)


def ct_slice(path: Path, grey: Grey) -> OwnImage:
    """The CT slice in a DICOM file; see :class:`OwnImage` for what reading it may raise."""
    return OwnImage(path, str(path), stem_of(path), lambda: grey.of_hu(_hu(path)))


def _hu(path: Path) -> np.ndarray:
    if read_header(path) is None:
        raise DataError(f"{path}: is DICOM of another kind than CT, without Hounsfield units; export it as a grey PNG")
    return read_hu(path)


def _series(folder: Path, grey: Grey) -> Iterator[OwnImage]:
    """The CT slices of the DICOM files in ``folder``, by position. Files without a position come last, so that each is
    told of when it is read."""
    try:
        files = sorted(
            Path(entry.path) for entry in os.scandir(folder) if entry.is_file() and is_dicom(Path(entry.path))
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); check its rights") from error
    if not files:
        raise DataError(f"{folder}: holds no DICOM file; name other files one by one")
    placed = []
    for path in files:
        try:
            header = read_header(path)
        except DataError:
            header = None
        placed.append((np.inf if header is None else header.z_mm, path))
    for _, path in sorted(placed):
        yield ct_slice(path, grey)


def _volume_slices(path: Path, grey: Grey) -> list[OwnImage]:
    """The slices that the header declares."""
    import SimpleITK

    if path.name.lower().endswith(".nrrd"):
        nrrd_header(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(image_io(path))
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path}: not a readable volume ({brief(error)}); get this file again") from error
    size, channels = reader.GetSize(), reader.GetNumberOfComponents()
    if channels != 1 or "complex" in SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()):
        raise DataError(f"{path}: has several numbers at each voxel; save one grey volume")
    if len(size) not in (2, 3):
        raise DataError(f"{path}: is a series of volumes, {' x '.join(map(str, size))}; save one of them")
    if np.prod(size, dtype=float) > LARGEST_VOLUME:
        raise DataError(f"{path}: declares {' x '.join(map(str, size))} voxels, more than is read; crop it")
    if len(size) == 2:
        return [OwnImage(path, str(path), stem_of(path), lambda: _slice(path, 0, grey))]
    letters = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(reader.GetDirection())
    n = next(count for count, letter in zip(size, letters, strict=True) if letter in "SI")
    if n == 1:
        return [OwnImage(path, str(path), stem_of(path), lambda: _slice(path, 0, grey))]
    digits = len(str(n - 1))

    def one(number: int) -> OwnImage:
        stem = f"{stem_of(path)}-{number:0{digits}d}"
        return OwnImage(path, f"{path}, slice {number}", stem, lambda: _slice(path, number, grey))

    return [one(number) for number in range(n)]


def _slice(path: Path, number: int, grey: Grey) -> np.ndarray:
    """(H, W) float32 in [0, 1]: an axial slice, the patient's front up, as CT is shown."""
    stat = path.stat()
    volume, lowest = _volume(path, stat.st_mtime_ns, stat.st_size)
    if not grey.stretch and grey.window is None and lowest >= 0:
        raise DataError(
            f"{path}: no value lies below 0, so these are not the Hounsfield units of a CT; choose --stretch, or name "
            "the values that become black and white with --window"
        )
    return grey.of_hu(volume[number])


@lru_cache(maxsize=1)  # the slices of one volume are asked for one after the other
def _volume(path: Path, mtime_ns: int, size: int) -> tuple[np.ndarray, float]:
    """(slices, H, W), as stored but turned (slices from the feet up, rows from front to back, columns to the left), and
    its least value."""
    array = read_turned(path)
    return array, float(array.min())
