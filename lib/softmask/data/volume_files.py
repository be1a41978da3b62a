"""Volumes in one file, NIfTI or nrrd: checked headers, voxels turned to the patient's axes, and NIfTI output.

SimpleITK decodes. It fills the missing voxels of a truncated NIfTI file with zeros, takes a NaN spacing for 1 mm,
follows an nrrd header to any other file and does not check the end of a compressed one; so that is checked here.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import tempfile
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmask.errors import DataError, Doubt, brief
from softmask.files import AGAIN, size_of

if TYPE_CHECKING:
    import SimpleITK

ENDINGS = (".nii.gz", ".nrrd", ".nii")

LARGEST_VOLUME = 1 << 29
"""Voxels of the largest volume that is read: 2048 slices of 512 x 512, 1 GB in 16 bits."""

_LARGEST_FILE = 16 * LARGEST_VOLUME  # bytes; no type of voxel takes more than 16
_CHUNK = 1 << 20
_SAME_PLACE = 0.1  # of a voxel: further apart, two accounts of a voxel's place contradict one another
_LEAST_MM, _MOST_MM = 0.02, 50  # of a voxel, from micro-CT to the coarsest slices
_NIFTI = (("8h", 40), ("2h", 70), ("4f", 76), ("f", 108), ("2f", 112), ("2h", 252), ("6f", 256), ("12f", 280))
"""Format and place in the header of dimensions, type and bits of a voxel, handedness and spacing, start of
the voxels, slope and intercept of their scale, codes of qform and sform, quaternion and offset, rows of the sform."""
_OTHERS = {
    **dict.fromkeys((".nhdr", ".raw", ".raw.gz"), "detached: save as one .nrrd"),
    **dict.fromkeys((".hdr", ".img", ".mha", ".mhd", ".mgz", ".mgh"), "convert to NIfTI or nrrd"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar"), "unpack it"),
}
"""By the ending of files that are not read, what to do about them."""
_SPACES = ("left-posterior-superior", "left-anterior-superior", "right-anterior-superior", "lps", "las", "ras")
"""Those spaces of nrrd that say where the patient's left, front and head are."""
_NIFTI_1, _NIFTI_2 = 348, 540  # bytes of their headers, which begin with that number
_NIFTI_REAL = {16: "f4", 64: "f8"}  # types of real numbers
_NRRD_HEADER = 1 << 20  # 3D Slicer keeps terminology and colours of all segments in it
_SEGMENT = re.compile(r"segment\d+_")  # beginning of the keys with what 3D Slicer says of a segment
_NRRD_TYPES = ((8, ("long", "64", "double")), (2, ("short", "16")), (1, ("char", "8")), (4, ("int", "float")))
"""Bytes of a voxel, and parts of the names of such types: ``unsigned short int``, ``uint16_t``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Where the voxels of a scan lie, without their values.

    Slices go from the feet up, rows from front to back, columns to the patient's left (DICOM's axes).

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: distance of slices, rows and columns.
        z_mm: (D,) position of each slice, ascending.
        origin: (x, y, z) in mm of the first voxel's centre.
        frame_of_reference, series_uid, uids: of DICOM, the last of each slice; empty for a file.
        patient: PatientID, or the file's name without its ending.
        path: the folder or file.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    z_mm: np.ndarray
    origin: tuple[float, float, float]
    frame_of_reference: str = ""
    series_uid: str = ""
    uids: tuple[str, ...] = ()
    patient: str
    path: Path


def remedy_of(path: Path) -> str:
    """Return what to do about a file of a kind that is not read; empty where its name tells no kind."""
    return next((f"; {remedy}" for ending, remedy in _OTHERS.items() if path.name.lower().endswith(ending)), "")


def is_volume_file(path: Path) -> bool:
    """Return whether the name ends with one of :data:`ENDINGS`."""
    return path.name.lower().endswith(ENDINGS)


def name_of(path: Path) -> str:
    """Return how the names of a scan's outputs begin: the folder's name, or the file's without its ending."""
    name = Path(os.path.abspath(path)).name
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return (name if path.is_dir() else name[: len(name) - len(ending)]) or "scan"


def grid_of_file(path: Path) -> Grid:
    """Return the grid that the header of an nrrd or NIfTI file declares, turned to the patient's axes.

    Raises:
        DataError: naming the file, when it is no readable volume of one number a voxel, is larger than
            :data:`LARGEST_VOLUME`, keeps its voxels in another file, or has axes that are not the patient's.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the name")
    if not is_volume_file(path):
        kinds = f"a folder with one CT series in DICOM, or a file {', '.join(ENDINGS)}"
        raise DataError(f"{path}: a scan is {kinds}{remedy_of(path)}")
    reader = header(path)
    size = reader.GetSize()
    if len(size) != 3 or reader.GetNumberOfComponents() != 1:
        text = f"{' x '.join(map(str, size))} voxels of {reader.GetNumberOfComponents()} numbers"
        raise DataError(f"{path}: {text}; one grey volume of three dimensions is expected (of a slice, PNG)")
    _refuse_large(path, size)
    spacing, origin = np.array(reader.GetSpacing()), np.array(reader.GetOrigin())
    direction = np.array(reader.GetDirection()).reshape(3, 3)  # (world axis, image axis)
    if not (np.isfinite(spacing).all() and np.isfinite(origin).all() and (spacing > 0).all()):
        raise DataError(f"{path}: spacing {spacing.tolist()} or origin {origin.tolist()} cannot be right; {AGAIN}")
    if not _LEAST_MM <= spacing.min() <= spacing.max() <= _MOST_MM:
        sides = " x ".join(f"{side:g}" for side in spacing)
        warnings.warn(Doubt(f"{path}: its voxels are {sides} mm; check the units of the header"), stacklevel=2)
    turned = np.rint(direction)
    if not np.allclose(direction, turned, atol=1e-3) or not (np.abs(turned).sum(axis=0) == 1).all():
        raise DataError(
            f"{path}: the image axes are not aligned with the patient axes (direction "
            f"{np.round(direction, 4).tolist()}; gantry tilt or oblique acquisition); resample it to axial slices"
        )
    order = np.abs(turned).argmax(axis=1)  # the image axis of each world axis
    backwards = turned[np.arange(3), order] < 0
    sizes, steps = np.array(size)[order], spacing[order]
    origin = (origin - np.where(backwards, steps * (sizes - 1), 0)).tolist()
    shape, spacing_mm = tuple(sizes[::-1].tolist()), tuple(steps[::-1].tolist())
    z = origin[2] + spacing_mm[0] * np.arange(shape[0])
    return Grid(shape=shape, spacing_mm=spacing_mm, z_mm=z, origin=tuple(origin), patient=name_of(path), path=path)


def header(path: Path) -> SimpleITK.ImageFileReader:
    """Return SimpleITK's reader of the file, its header read and checked."""
    import SimpleITK

    _file_size(path)
    if not _is_nrrd(path):
        _nifti_header(path)
    elif not {"spacings", "space directions"} & (fields := _nrrd_header(path)[0]).keys():
        warnings.warn(Doubt(f"{path}: states no size of its voxels; 1 mm is taken"), stacklevel=2)
    elif (space := fields.get("space", "")) not in _SPACES:
        named = f"names the space {space!r}, which is none of the patient's" if space else "names no space"
        warnings.warn(Doubt(f"{path}: {named}, so which way its axes run is not known; check it"), stacklevel=2)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if _is_nrrd(path) else "NiftiImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        remedy = "correct its sform" if "direction" in str(error) else AGAIN
        raise DataError(f"{path}: not a readable volume ({brief(error)}); {remedy}") from error
    return reader


def label_names(path: Path) -> dict[int, str]:
    """Return the names of the labels of a ``.seg.nrrd`` file of 3D Slicer by their values, unless they are its default
    names (``Segment_1``); of other files none."""
    if not _is_nrrd(path):
        return {}
    fields, _ = _nrrd_header(path)
    values = {key.removesuffix("_labelvalue"): value for key, value in fields.items() if key.endswith("_labelvalue")}
    names = {int(value): fields.get(f"{key}_name", "") for key, value in values.items() if value.isdigit()}
    return {value: name for value, name in names.items() if not re.fullmatch(r"Segment_\d+", name)}


def read_turned(path: Path) -> np.ndarray:
    """Return the voxels as stored, turned as :class:`Grid` says; a 2D image is one slice. Raises DataError, naming the
    file, when it is damaged or truncated.
    """
    import SimpleITK

    if _is_nrrd(path):
        _check_nrrd(path)
    else:
        _check_nifti(path)
    try:
        image = header(path).Execute()
        if image.GetDimension() == 3:
            image = SimpleITK.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise DataError(f"{path}: the voxels cannot be read ({brief(error)}); {AGAIN}") from error
    array = SimpleITK.GetArrayFromImage(image)
    _need_finite(path, array)
    return array if array.ndim == 3 else array[None]


def image_of(values: np.ndarray, grid: Grid) -> SimpleITK.Image:
    """Return ``values`` (D, H, W) with the axes, origin, spacing and direction of the scan's own file."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(values)
    if not is_volume_file(grid.path) or grid.path.is_dir():  # DICOM has the axes of the grid
        image.SetOrigin(grid.origin)
        image.SetSpacing(grid.spacing_mm[::-1])
        return image
    own = header(grid.path)
    letters = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(own.GetDirection())
    image = SimpleITK.DICOMOrient(image, letters)
    image.SetOrigin(own.GetOrigin())
    image.SetSpacing(own.GetSpacing())
    image.SetDirection(own.GetDirection())
    return image


def packed(image: SimpleITK.Image, folder: Path, ending: str = ".nii.gz") -> bytes:
    """Return the content of a compressed file of one of :data:`ENDINGS`; SimpleITK writes it to a temporary place in
    ``folder``."""
    import SimpleITK

    with tempfile.TemporaryDirectory(dir=folder, prefix=".volume.", suffix=".part") as scratch:
        path = Path(scratch, f"volume{ending}")
        try:
            SimpleITK.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:  # which says nothing of why
            raise OSError(None, "the volume could not be stored, the disk may be full", str(path)) from error
        return path.read_bytes()


def _nifti_header(path: Path) -> tuple[float, float, str]:
    """Return where the voxels begin and end, in bytes, and numpy's type of real voxels (empty for whole ones).

    Raises:
        DataError: naming the file, for a spacing that is not finite, and for two accounts of the voxels' place (sform
            and qform) that contradict one another: programs follow one or the other.
    """
    head, _ = _unpacked(path, 0, _is_packed(path), 0)
    if head.startswith(b"\x1f\x8b"):
        raise DataError(f"{path}: is compressed, and its name does not say so; rename it to end with .nii.gz")
    order = "<" if int.from_bytes(head[:4], "little") in (_NIFTI_1, _NIFTI_2) else ">"
    size = int.from_bytes(head[:4], "little" if order == "<" else "big")
    if size == _NIFTI_2:
        raise DataError(f"{path}: is NIfTI-2, which is not read; save as NIfTI-1")
    if size != _NIFTI_1:
        raise DataError(f"{path}: damaged, its header does not begin as one of NIfTI; {AGAIN}")
    try:
        parts = [struct.unpack_from(order + kind, head, place) for kind, place in _NIFTI]
    except struct.error as error:
        raise DataError(f"{path}: damaged ({brief(error)}); {AGAIN}") from error
    dims, (kind, bits), (hand, *spacing), (start,), (slope, intercept), codes, quaternion, rows = parts
    if not np.isfinite(spacing).all():
        raise DataError(f"{path}: spacing {spacing} cannot be right; {AGAIN}")
    if slope == 0 and intercept != 0:  # no scale, by the format; SimpleITK adds the intercept
        raise DataError(f"{path}: scl_slope 0 means no scale, but scl_inter is {intercept:g}; correct one of them")
    lengths = np.linalg.norm(np.reshape(rows, (3, 4))[:, :3], axis=0)
    if codes[1] > 0 and not np.allclose(lengths, spacing, rtol=_SAME_PLACE, atol=0):
        sides, others = (" x ".join(f"{side:g}" for side in values) for values in (lengths, spacing))
        raise DataError(f"{path}: voxels are {sides} by its sform, and {others} by pixdim; correct the wrong one")
    if max(codes) <= 0:
        text = "has neither sform nor qform, so which way its axes run is not known"
        warnings.warn(Doubt(f"{path}: {text}; check that left is left"), stacklevel=2)
    if min(codes) > 0:
        scaled = _rotation(quaternion[:3]) * np.array([*spacing[:2], spacing[2] * (-1 if hand < 0 else 1)])
        apart = np.reshape(rows, (3, 4)) - np.column_stack([scaled, quaternion[3:]])
        corners = np.array([*np.ndindex(2, 2, 2)]) * (np.maximum(dims[1:4], 1) - 1)
        if not np.abs(corners @ apart[:, :3].T + apart[:, 3]).max() <= _SAME_PLACE * min(spacing):
            raise DataError(
                f"{path}: its sform and its qform lay the voxels on different places; remove the wrong one (nibabel: "
                "image.set_qform(image.affine))"
            )
    end = start + np.prod(dims[1 : 1 + dims[0]], dtype=float) * bits / 8
    return start, end, order + _NIFTI_REAL[kind] if kind in _NIFTI_REAL else ""


def _check_nifti(path: Path) -> None:
    """Raise DataError unless the file holds as many voxels as its header declares, and finite ones."""
    start, end, real = _nifti_header(path)
    _, length = _unpacked(path, 0, _is_packed(path), _LARGEST_FILE)
    if length > _LARGEST_FILE:
        raise DataError(f"{path}: larger than the limit of {_LARGEST_FILE:,} bytes; crop the volume")
    if not length >= end:
        raise DataError(f"{path}: truncated: {length} of {end:.0f} bytes; {AGAIN}")
    if real:  # SimpleITK's reader makes 0 of NaN and infinity
        with path.open("rb") as file:
            content = gzip.GzipFile(fileobj=file) if _is_packed(path) else file
            content.seek(int(start))
            left = int(end - start)
            while left and (piece := content.read(min(_CHUNK, left))):
                _need_finite(path, np.frombuffer(piece, real))
                left -= len(piece)


def _need_finite(path: Path, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise DataError(f"{path}: has voxels that are NaN or infinite; give them a value, such as that of air")


def _rotation(quaternion: Sequence[float]) -> np.ndarray:
    """Return (3, 3) of the last three numbers of a unit quaternion, as NIfTI stores it."""
    from scipy.spatial.transform import Rotation  # takes its time

    b, c, d = quaternion
    rest = 1 - (b * b + c * c + d * d)
    scalar = math.sqrt(rest) if rest > 1e-7 else 0.0  # NIfTI's own tolerance, of single precision
    return Rotation.from_quat([b, c, d, scalar]).as_matrix() if any(quaternion) else np.eye(3)


def _check_nrrd(path: Path) -> None:
    """Raise DataError unless the file holds as many voxels as its header declares."""
    fields, start = _nrrd_header(path)
    kind = fields.get("type", "missing")
    size = next((size for size, parts in _NRRD_TYPES if any(part in kind for part in parts)), None)
    if size is None:
        raise DataError(f"{path}: type {kind!r}: whole or real numbers are expected; {AGAIN}")
    expected = size * math.prod(int(side) for side in fields["sizes"].split())
    _, length = _unpacked(path, start, fields["encoding"] != "raw", expected)
    if length < expected:
        raise DataError(f"{path}: truncated: {length} of {expected} bytes of voxel data; {AGAIN}")


def _unpacked(path: Path, start: int, packed: bool, most: int) -> tuple[bytes, int]:
    """Return the first bytes of the content behind ``start``, and its length; compressed content is read up to
    ``most`` bytes, and the checksum at its end is verified by the way.
    """
    size = _file_size(path)
    if size > _LARGEST_FILE:
        raise DataError(f"{path}: larger than the limit of {_LARGEST_FILE:,} bytes; crop the volume")
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = gzip.GzipFile(fileobj=file) if packed else file
            head = content.read(_NIFTI_2)
            length = len(head) if packed else size - start
            while packed and length <= most and (piece := content.read(_CHUNK)):
                length += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({brief(error)}); {AGAIN}") from error
    return head, length


def _nrrd_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the header's fields, lower case, and where the voxels begin. Raises DataError as :func:`grid_of_file`."""
    _file_size(path)
    try:
        with path.open("rb") as file:
            start = file.read(_NRRD_HEADER)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    ends = [start.find(blank) + len(blank) for blank in (b"\n\n", b"\n\r\n") if blank in start]
    if start.startswith(b"NRRD000") and not ends and b"data file:" in start.lower():
        raise DataError(f"{path}: keeps its voxels in another file; save it as one nrrd file")
    if not start.startswith(b"NRRD000") or not ends:
        raise DataError(f"{path}: not a readable nrrd file, its header does not begin or end as one; {AGAIN}")
    head = start[: min(ends)]  # in UTF-8, as 3D Slicer writes names, or in Latin-1, as others do
    lines = head.decode("latin-1" if "\ufffd" in head.decode(errors="replace") else "utf-8").splitlines()[1:]
    pairs = [line.partition(":") for line in lines if not line.startswith("#")]
    # "key:=value" is no field of the format, but one of a program; "data file: a:=b" is one
    names = {key.strip().lower(): value[1:].strip() for key, _, value in pairs if _SEGMENT.match(key.lower())}
    pairs = [(key, colon, value) for key, colon, value in pairs if colon and not value.startswith("=")]
    fields = names | {key.strip().lower(): value.strip().lower() for key, _, value in pairs}
    if "data file" in fields or "datafile" in fields:
        raise DataError(f"{path}: keeps its voxels in another file; save it as one nrrd file")
    if fields.get("encoding") not in ("raw", "gzip", "gz"):
        raise DataError(f"{path}: encoding {fields.get('encoding', 'missing')!r}; save it as raw or gzip")
    if {fields.get("byte skip", "0"), fields.get("line skip", "0")} != {"0"}:
        raise DataError(f"{path}: has something before its voxels; save it as a plain nrrd file")
    units = set(re.findall(r"[^\s\"]+", fields.get("space units", "") + " " + fields.get("units", "")))
    if units - {"mm", "millimeter", "millimeters", "millimetre", "millimetres"}:
        raise DataError(f"{path}: is in units of {' and '.join(sorted(units))}; save it in mm")
    sizes = fields.get("sizes", "").split()
    if len(sizes) == 4 and any(key.endswith("_layer") for key in fields):
        raise DataError(f"{path}: its segments overlap, in layers; export them from 3D Slicer as a binary labelmap")
    if len(sizes) != 3 or not all(size.isascii() and size.isdigit() and len(size) < 20 for size in sizes):
        raise DataError(f"{path}: sizes {fields.get('sizes', 'missing')!r}; three are expected: save one grey volume")
    _refuse_large(path, tuple(map(int, sizes)))
    return fields, min(ends)


def _is_packed(path: Path) -> bool:
    """Return whether the name says that the file is compressed."""
    return path.name.lower().endswith(".gz")


def _is_nrrd(path: Path) -> bool:
    return path.name.lower().endswith(".nrrd")


def _file_size(path: Path) -> int:
    size = size_of(path, "check the name")
    if not size:
        raise DataError(f"{path}: is empty; {AGAIN}")
    twin = path.with_name(path.name[:-3])
    if path.name.lower().endswith(".nii.gz") and twin.is_file():  # SimpleITK would open the other one
        raise DataError(f"{path}: lies beside {twin.name}, and the two cannot be told apart; move one of them away")
    return size


def _refuse_large(path: Path, size: tuple[int, ...]) -> None:
    if not 0 < math.prod(size) <= LARGEST_VOLUME:
        text = " x ".join(map(str, size))
        raise DataError(f"{path}: declares {text} voxels; between 1 and {LARGEST_VOLUME:,} are read; crop it")
