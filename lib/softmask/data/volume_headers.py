"""Headers of NIfTI and nrrd files: the declared voxels, and whether the file holds all of them.

SimpleITK fills the missing voxels of a truncated NIfTI file with zeros, takes a NaN spacing for 1 mm, opens any other
file that an nrrd header names, and does not check the end of a compressed file. Therefore this is checked here.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmask.errors import DataError, brief, doubt
from softmask.files import AGAIN, read_start, size_of

LARGEST_VOLUME = 1 << 29
"""Most voxels of a volume that is read: 2048 slices of 512 x 512, 1 GB in 16 bits."""

_LARGEST_FILE = 16 * LARGEST_VOLUME  # bytes; no type of voxel takes more than 16
_CHUNK = 1 << 20
_SAME_PLACE = 0.1  # share of a voxel; if sform and qform differ by more, they contradict each other
_NIFTI = (("8h", 40), ("2h", 70), ("4f", 76), ("f", 108), ("2f", 112), ("2h", 252), ("6f", 256), ("12f", 280))
"""Format and place in the header of dimensions, type and bits of a voxel, handedness and spacing, start of
the voxels, slope and intercept of their scale, codes of qform and sform, quaternion and offset, rows of the sform."""
_SPACES = ("left-posterior-superior", "left-anterior-superior", "right-anterior-superior", "lps", "las", "ras")
"""Spaces of nrrd that define the patient's left, front and head."""
_NIFTI_1, _NIFTI_2 = 348, 540  # header sizes in bytes, which are also the first number of each header
_FIRST = 352  # smallest byte offset of the first voxel in a single-file NIfTI-1
_NIFTI_REAL = {16: "f4", 64: "f8"}  # floating-point types
_NRRD_HEADER = 1 << 20  # bytes; 3D Slicer keeps terminology and colours of all segments in the header
_SEGMENT = re.compile(r"segment\d+_")  # prefix of the keys that 3D Slicer writes for a segment
_NRRD_TYPES = ((8, ("long", "64", "double")), (2, ("short", "16")), (1, ("char", "8")), (4, ("int", "float")))
"""Bytes of a voxel, and parts of the names of types of this size: ``unsigned short int``, ``uint16_t``."""


def check_header(path: Path) -> None:
    """Raise DataError, naming the file, unless its header is readable; warn if the header leaves something open."""
    if not is_nrrd(path):
        _nifti_header(path)
    elif missing := _left_open(_nrrd_header(path)[0]):
        doubt(f"{path}: {missing}")


def check_voxels(path: Path) -> None:
    """Raise DataError unless the file holds as many voxels as its header declares, and in NIfTI only finite ones."""
    if is_nrrd(path):
        fields, start, end = _nrrd_header(path)  # the voxels are unpacked by themselves, so that they begin at 0
        _, length = _unpacked(path, start, fields["encoding"] != "raw", end)
        kind, real_type = "bytes of voxel data", ""
    else:
        start, end, real_type = _nifti_header(path)
        _, length = _unpacked(path, 0, _is_packed(path), _LARGEST_FILE)
        kind = "bytes"
    if length > _LARGEST_FILE:
        raise DataError(f"{path}: larger than the limit of {_LARGEST_FILE:,} bytes; crop the volume")
    if not length >= end:
        raise DataError(f"{path}: truncated: {length} of {end:.0f} {kind}; {AGAIN}")
    if length > end:
        doubt(f"{path}: has more than the {end:.0f} bytes that its header declares; check its number of slices")
    if real_type:  # SimpleITK's reader of NIfTI replaces NaN and infinity by 0
        with path.open("rb") as file:
            content = gzip.GzipFile(fileobj=file) if _is_packed(path) else file
            content.seek(int(start))
            bytes_left = int(end - start)
            while bytes_left and (piece := content.read(min(_CHUNK, bytes_left))):
                need_finite(path, np.frombuffer(piece, real_type))
                bytes_left -= len(piece)


def label_names(path: Path) -> dict[int, str]:
    """Return label names by value of a ``.seg.nrrd`` file, without default names (``Segment_1``); {} for others."""
    if not is_nrrd(path):
        return {}
    fields, _, _ = _nrrd_header(path)
    values = {key.removesuffix("_labelvalue"): value for key, value in fields.items() if key.endswith("_labelvalue")}
    names = {int(value): fields.get(f"{key}_name", "") for key, value in values.items() if value.isdigit()}
    return {value: name for value, name in names.items() if not re.fullmatch(r"Segment_\d+", name)}


def is_nrrd(path: Path) -> bool:
    """Return whether the name says that the file is an nrrd."""
    return path.name.lower().endswith(".nrrd")


def _file_size(path: Path) -> int:
    size = size_of(path, "check the name")
    if not size:
        raise DataError(f"{path}: is empty; {AGAIN}")
    twin = path.with_name(path.name[:-3])
    if path.name.lower().endswith(".nii.gz") and twin.is_file():  # SimpleITK would open the other one
        raise DataError(f"{path}: lies beside {twin.name}, and the two cannot be told apart; move one of them away")
    return size


def need_finite(path: Path, values: np.ndarray) -> None:
    """Raise DataError, naming the file, where one of the ``values`` (of any shape) is NaN or infinite."""
    if not np.isfinite(values).all():
        raise DataError(f"{path}: has voxels that are NaN or infinite; give them a value, such as that of air")


def refuse_large(path: Path, size: tuple[int, ...]) -> None:
    """Raise DataError, naming the file, unless ``size`` has between 1 and :data:`LARGEST_VOLUME` voxels."""
    if not 0 < math.prod(size) <= LARGEST_VOLUME:
        text = " x ".join(map(str, size))
        raise DataError(f"{path}: declares {text} voxels; between 1 and {LARGEST_VOLUME:,} are read; crop it")


def _nifti_header(path: Path) -> tuple[float, float, str]:
    """Return the byte offsets where the voxels begin and end, and the NumPy type of floating-point voxels, else "".

    Raises:
        DataError: naming the file, for a spacing that is not finite, and for positions of the voxels by sform and qform
            that contradict each other, because programs use one or the other.
    """
    head, _ = _unpacked(path, 0, _is_packed(path), 0)
    if head.startswith(b"\x1f\x8b"):
        raise DataError(f"{path}: is compressed, and its name does not say so; rename it to end with .nii.gz")
    byte_order = "<" if int.from_bytes(head[:4], "little") in (_NIFTI_1, _NIFTI_2) else ">"
    size = int.from_bytes(head[:4], "little" if byte_order == "<" else "big")
    if size == _NIFTI_2:
        raise DataError(f"{path}: is NIfTI-2, which is not read; save as NIfTI-1")
    if size != _NIFTI_1:
        raise DataError(f"{path}: damaged, its header does not begin as one of NIfTI; {AGAIN}")
    try:
        parts = [struct.unpack_from(byte_order + kind, head, offset) for kind, offset in _NIFTI]
    except struct.error as error:
        raise DataError(f"{path}: damaged ({brief(error)}); {AGAIN}") from error
    dims, (kind, bits), (hand, *spacing), (start,), (slope, intercept), codes, quaternion, sform = parts
    if not np.isfinite(spacing).all():
        raise DataError(f"{path}: spacing {spacing} cannot be right; {AGAIN}")
    if slope == 0 and intercept != 0:  # the format says no scale; SimpleITK adds the intercept
        raise DataError(f"{path}: scl_slope 0 means no scale, but scl_inter is {intercept:g}; correct one of them")
    if np.isfinite(slope) and slope and not np.isfinite(intercept):
        raise DataError(f"{path}: scl_inter is {intercept:g} beside scl_slope {slope:g}; correct the scale")
    if head[344:348] == b"n+1\0" and not start >= _FIRST:  # 352 by the format; programs take it as it is
        raise DataError(f"{path}: vox_offset is {start:g}, within the header; save the file again, or set {_FIRST}")
    lengths = np.linalg.norm(np.reshape(sform, (3, 4))[:, :3], axis=0)
    if codes[1] > 0 and not np.allclose(lengths, spacing, rtol=_SAME_PLACE, atol=0):
        sform_mm, pixdim_mm = (" x ".join(f"{side:g}" for side in values) for values in (lengths, spacing))
        raise DataError(f"{path}: voxels are {sform_mm} by its sform, and {pixdim_mm} by pixdim; correct the wrong one")
    if max(codes) <= 0:
        doubt(f"{path}: has neither sform nor qform, so which way its axes run is not known; check that left is left")
    if min(codes) > 0:
        qform_axes = _rotation(quaternion[:3]) * np.array([*spacing[:2], spacing[2] * (-1 if hand < 0 else 1)])
        difference = np.reshape(sform, (3, 4)) - np.column_stack([qform_axes, quaternion[3:]])
        corners = np.array([*np.ndindex(2, 2, 2)]) * (np.maximum(dims[1:4], 1) - 1)
        if not np.abs(corners @ difference[:, :3].T + difference[:, 3]).max() <= _SAME_PLACE * min(spacing):
            raise DataError(
                f"{path}: its sform and its qform lay the voxels on different places; remove the wrong one (nibabel: "
                "image.set_qform(image.affine))"
            )
    end = start + np.prod(dims[1 : 1 + dims[0]], dtype=float) * bits / 8
    return start, end, byte_order + _NIFTI_REAL[kind] if kind in _NIFTI_REAL else ""


def _rotation(quaternion: Sequence[float]) -> np.ndarray:
    """Return the rotation matrix (3, 3) of a unit quaternion, given by its last three numbers as NIfTI stores it."""
    from scipy.spatial.transform import Rotation  # slow to import

    b, c, d = quaternion
    rest = 1 - (b * b + c * c + d * d)
    scalar = math.sqrt(rest) if rest > 1e-7 else 0.0  # NIfTI's own tolerance, of single precision
    return Rotation.from_quat([b, c, d, scalar]).as_matrix() if any(quaternion) else np.eye(3)


def _nrrd_header(path: Path) -> tuple[dict[str, str], int, int]:
    """Return the header's fields in lower case, and the byte offset and the (unpacked) number of bytes of the voxels.
    Raises DataError as :func:`softmask.data.volume_files.grid_of_file`."""
    _file_size(path)
    content = read_start(path, _NRRD_HEADER)
    ends = [content.find(blank) + len(blank) for blank in (b"\n\n", b"\n\r\n") if blank in content]
    if content.startswith(b"NRRD000") and not ends and b"data file:" in content.lower():
        raise DataError(f"{path}: keeps its voxels in another file; save it as one nrrd file")
    if not content.startswith(b"NRRD000") or not ends:
        raise DataError(f"{path}: not a readable nrrd file, its header does not begin or end as one; {AGAIN}")
    head = content[: min(ends)]  # in UTF-8, as 3D Slicer writes names, or in Latin-1, as other programs do
    lines = head.decode("latin-1" if "\ufffd" in head.decode(errors="replace") else "utf-8").splitlines()[1:]
    pairs = [line.partition(":") for line in lines if not line.startswith("#")]
    # "key:=value" is not a field of the format but of a program; "data file: a:=b" is a field
    segment_fields = {key.strip().lower(): value[1:].strip() for key, _, value in pairs if _SEGMENT.match(key.lower())}
    pairs = [(key, colon, value) for key, colon, value in pairs if colon and not value.startswith("=")]
    fields = segment_fields | {key.strip().lower(): value.strip().lower() for key, _, value in pairs}
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
    shape = tuple(map(int, sizes))
    refuse_large(path, shape)
    kind = fields.get("type", "missing")
    voxel_bytes = next((size for size, parts in _NRRD_TYPES if any(part in kind for part in parts)), None)
    if voxel_bytes is None:
        raise DataError(f"{path}: type {kind!r}: whole or real numbers are expected; {AGAIN}")
    if voxel_bytes > 1 and fields.get("endian") not in ("little", "big"):
        raise DataError(f"{path}: endian {fields.get('endian', 'missing')!r}: little or big is expected; save it again")
    if "spacings" in fields and "space directions" in fields:
        raise DataError(f"{path}: has both spacings and space directions; remove one of them")
    for key, n_vectors in (("space directions", 3), ("space origin", 1)):
        if key in fields and not _has_vectors(fields[key], n_vectors):
            text = f"{key} {fields[key]!r}: {n_vectors} vectors of three numbers are expected"
            raise DataError(f"{path}: {text.replace('1 vectors', 'one vector')}; correct it")
    return fields, min(ends), voxel_bytes * math.prod(shape)


def _has_vectors(text: str, n_vectors: int) -> bool:
    """Return whether ``text`` is ``n_vectors`` times three finite numbers, such as ``(1,0,0) (0,1,0) (0,0,1)``."""
    vectors = re.findall(r"\(([^()]*)\)", text)
    try:
        values = np.array([vector.split(",") for vector in vectors], float)
    except ValueError:
        return False
    return values.shape == (n_vectors, 3) and bool(np.isfinite(values).all()) and "none" not in text


def _left_open(fields: dict[str, str]) -> str:
    """Return which statement is missing in the header of an nrrd file, and the value taken for it; empty if none is."""
    if not {"spacings", "space directions"} & fields.keys():
        return "states no size of its voxels; 1 mm is taken"
    if (space := fields.get("space", "")) not in _SPACES:
        statement = f"names the space {space!r}, which is none of the patient's" if space else "names no space"
        return f"{statement}, so which way its axes run is not known; check it"
    return "" if "space origin" in fields else "states no place (space origin); 0 0 0 mm is taken"


def _unpacked(path: Path, start: int, packed: bool, most: int) -> tuple[bytes, int]:
    """Return the first bytes of the content after ``start``, and its length; compressed content is read up to ``most``
    bytes, which also verifies the checksum at its end."""
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


def _is_packed(path: Path) -> bool:
    """Return whether the name says that the file is compressed."""
    return path.name.lower().endswith(".gz")
