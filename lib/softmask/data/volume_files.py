"""Volumes in one file, NIfTI or nrrd: what the header declares, checked before anything is taken at its word.

SimpleITK decodes them, and fills with zeros what a truncated NIfTI file lacks; so files are counted first.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softmask.errors import DataError, brief
from softmask.files import AGAIN, size_of

ENDINGS = (".nrrd", ".nii", ".nii.gz")

LARGEST_VOLUME = 1 << 29
"""Voxels of the largest volume that is read: 2048 slices of 512 x 512, 1 GB in 16 bits."""

_NIFTI1, _NIFTI2 = 348, 540  # bytes of the header, which begins with this number
_MOST_BYTES = 16  # no type of voxel takes more
_LARGEST = _MOST_BYTES * LARGEST_VOLUME
_CHUNK = 1 << 20
_NRRD_HEADER = 1 << 16
_NRRD_TYPES = ((8, ("long", "64", "double")), (2, ("short", "16")), (1, ("char", "8")), (4, ("int", "float")))
"""Bytes of a voxel, and what names of its type hold: ``unsigned short int``, ``uint16_t``."""


@dataclass(frozen=True)
class Frame:
    """Where a volume lies once it is turned: slices from the feet up, rows to the back, columns to the patient's left.

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: of slices, rows and columns.
        origin: (x, y, z) in mm of the first voxel's centre, in DICOM's axes: left, back and head count up.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin: tuple[float, float, float]


def is_volume_file(path: Path) -> bool:
    """Whether the name ends as one of :data:`ENDINGS`."""
    return path.name.lower().endswith(ENDINGS)


def read_frame(path: Path) -> Frame:
    """What the header declares; no voxel is read.

    Raises:
        DataError: naming the file, when it is not there, is no readable volume of one number a voxel, is larger than
            :data:`LARGEST_VOLUME`, keeps its voxels in another file, or has axes that are not the patient's.
    """
    import SimpleITK

    if path.name.lower().endswith(".nrrd"):
        nrrd_header(path)
    _need_file(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(image_io(path))
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path}: not a readable volume ({brief(error)}); {AGAIN}") from error
    size = reader.GetSize()
    if len(size) != 3 or reader.GetNumberOfComponents() != 1:
        raise DataError(f"{path}: {' x '.join(map(str, size))} with several numbers or images; save one grey volume")
    _refuse_large(path, size)
    spacing, origin = np.array(reader.GetSpacing()), np.array(reader.GetOrigin())
    direction = np.array(reader.GetDirection()).reshape(3, 3)  # (world axis, image axis)
    if not (np.isfinite(spacing).all() and np.isfinite(origin).all() and (spacing > 0).all()):
        raise DataError(f"{path}: spacing {spacing.tolist()} or origin {origin.tolist()} cannot be right; {AGAIN}")
    turned = np.rint(direction)
    if not np.allclose(direction, turned, atol=1e-3) or not (np.abs(turned).sum(axis=0) == 1).all():
        raise DataError(
            f"{path}: its axes are not the patient's (direction {np.round(direction, 4).tolist()}: gantry tilt, or an "
            "oblique volume); resample it to axial slices"
        )
    order = np.abs(turned).argmax(axis=1)  # the image axis of each world axis
    back = turned[np.arange(3), order] < 0
    sizes, steps = np.array(size)[order], spacing[order]
    origin = origin - np.where(back, steps * (sizes - 1), 0)
    return Frame(*(tuple(values.tolist()) for values in (sizes[::-1], steps[::-1], origin)))


def read_turned(path: Path) -> np.ndarray:
    """The voxels as stored, turned as :class:`Frame` says; a 2D image is one slice.

    Raises:
        DataError: naming the file, when it is damaged or truncated.
    """
    import SimpleITK

    if path.name.lower().endswith(".nrrd"):
        check_nrrd(path)
    else:
        check_nifti(path)
    try:
        image = SimpleITK.ReadImage(str(path), imageIO=image_io(path))
        if image.GetDimension() == 3:
            image = SimpleITK.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise DataError(f"{path}: the voxels cannot be read ({brief(error)}); {AGAIN}") from error
    array = SimpleITK.GetArrayFromImage(image)
    return array if array.ndim == 3 else array[None]


def check_nifti(path: Path) -> None:
    """Raises DataError unless the file holds as many voxels as its header says. A compressed file's checksum is
    verified by the way."""
    size, packed = _need_file(path), path.name.lower().endswith(".gz")
    if size > _LARGEST:
        raise DataError(f"{path}: holds more than is read; crop it")
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            header = file.read(_NIFTI2)
            length = len(header) if packed else size
            while length <= _LARGEST and (piece := file.read(_CHUNK) if packed else b""):
                length += len(piece)
            if length > _LARGEST:
                raise DataError(f"{path}: holds more than is read; crop it")
        order = "<" if int.from_bytes(header[:4], "little") in (_NIFTI1, _NIFTI2) else ">"
        if struct.unpack_from(f"{order}i", header)[0] == _NIFTI1:
            dims = struct.unpack_from(f"{order}8h", header, 40)
            bits, start = *struct.unpack_from(f"{order}h", header, 72), *struct.unpack_from(f"{order}f", header, 108)
            spacing = struct.unpack_from(f"{order}3f", header, 80)
        else:
            dims = struct.unpack_from(f"{order}8q", header, 16)
            bits, start = *struct.unpack_from(f"{order}h", header, 14), *struct.unpack_from(f"{order}q", header, 168)
            spacing = struct.unpack_from(f"{order}3d", header, 112)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path}: damaged ({brief(error)}); {AGAIN}") from error
    if not np.isfinite(spacing).all():  # which the library that decodes takes for 1 mm
        raise DataError(f"{path}: spacing {spacing} cannot be right; {AGAIN}")
    expected = start + np.prod(dims[1 : 1 + dims[0]], dtype=float) * bits / 8
    if not length >= expected:
        raise DataError(f"{path}: truncated, {length} bytes of {expected:.0f}; {AGAIN}")


def check_nrrd(path: Path) -> None:
    """As :func:`check_nifti`, for nrrd."""
    fields, start = nrrd_header(path)
    expected = math.prod(_nrrd_sizes(path, fields)) * _nrrd_bytes(path, fields)
    length = 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            with gzip.open(file) if fields["encoding"] != "raw" else file as voxels:
                while length <= expected and (piece := voxels.read(_CHUNK)):
                    length += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({brief(error)}); {AGAIN}") from error
    if length < expected:
        raise DataError(f"{path}: truncated, {length} bytes of voxels of {expected}; {AGAIN}")


def nrrd_header(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, lower case, and where the voxels begin. Raises DataError as :func:`read_frame`."""
    _need_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(_NRRD_HEADER)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    ends = [start.find(blank) + len(blank) for blank in (b"\n\n", b"\n\r\n") if blank in start]
    if not start.startswith(b"NRRD000") or not ends:
        raise DataError(f"{path}: not a readable nrrd file, its header does not begin or end as one; {AGAIN}")
    lines = start[: min(ends)].decode("latin-1").splitlines()[1:]
    # "key:=value" is no field; "data file: a:=b" is one
    pairs = [line.partition(":") for line in lines if not line.startswith("#")]
    pairs = [(key, colon, value) for key, colon, value in pairs if colon and not value.startswith("=")]
    fields = {key.strip().lower(): value.strip().lower() for key, _, value in pairs}
    if "data file" in fields or "datafile" in fields:
        raise DataError(f"{path}: keeps its voxels in another file; save it as one nrrd file")
    if fields.get("encoding") not in ("raw", "gzip", "gz"):
        raise DataError(f"{path}: encoding {fields.get('encoding', 'missing')!r}; save it as raw or gzip")
    if fields.get("byte skip", "0") != "0" or fields.get("line skip", "0") != "0":
        raise DataError(f"{path}: has something before its voxels; save it as a plain nrrd file")
    _refuse_large(path, _nrrd_sizes(path, fields))
    return fields, min(ends)


def _nrrd_sizes(path: Path, fields: dict[str, str]) -> tuple[int, ...]:
    sizes = fields.get("sizes", "").split()
    if len(sizes) != 3 or not all(size.isascii() and size.isdigit() for size in sizes):
        raise DataError(f"{path}: sizes {fields.get('sizes', 'missing')!r}; three are expected: save one grey volume")
    return tuple(int(size[:20]) for size in sizes)


def _nrrd_bytes(path: Path, fields: dict[str, str]) -> int:
    kind = fields.get("type", "missing")
    for size, parts in _NRRD_TYPES:
        if any(part in kind for part in parts):
            return size
    raise DataError(f"{path}: type {kind!r}: whole or real numbers are expected; {AGAIN}")


def _need_file(path: Path) -> int:
    """Its size in bytes."""
    size = size_of(path, "check the name")
    twin = path.with_name(path.name[:-3])
    if path.name.lower().endswith(".nii.gz") and twin.is_file():  # the library that decodes would open the other one
        raise DataError(f"{path}: lies beside {twin.name}, and the two cannot be told apart; move one of them away")
    return size


def _refuse_large(path: Path, size: tuple[int, ...]) -> None:
    if not 0 < math.prod(size) <= LARGEST_VOLUME:
        raise DataError(f"{path}: declares {' x '.join(map(str, size))} voxels, none or more than is read; crop it")


def image_io(path: Path) -> str:
    """SimpleITK's name of the one decoder that may open the file."""
    return "NrrdImageIO" if path.name.lower().endswith(".nrrd") else "NiftiImageIO"
