"""DICOM files read within size limits: data sets, pixels, and the position of an axial image in the patient. pydicom
reads the files; :func:`dcmread` limits how much it reads."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from softmask.errors import DataError, brief
from softmask.files import AGAIN, read_start, size_of

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

LARGEST_FILE = 1 << 30  # bytes, twice the size of the largest fractional segmentation
MOST_READS = 1_000_000  # ten times the reads of a structure set of 10,000 contours; stops endless empty elements

_JPEG_2000 = "1.2.840.10008.1.2.4.91"
_PREAMBLE = 132  # bytes: 128, and DICM
_CHUNK = 1 << 20


class _Bounded(io.BufferedReader):
    """File whose reads are limited to its size, whatever lengths it declares."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size, self._reads = os.fstat(self.fileno()).st_size, 0

    def read(self, size: int | None = -1) -> bytes:
        self._reads += 1
        if self._reads > MOST_READS:
            raise ValueError(f"it has more than {MOST_READS} pieces")
        return super().read(self._size if size is None or size < 0 else min(size, self._size))


@contextmanager
def decoding(path: Path, failure: str, remedy: str = AGAIN) -> Iterator[None]:
    """Raise DataError, naming the file and the ``failure``, for any error in the block. pydicom decodes values when
    they are accessed, and damaged bytes can raise almost any exception."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: {failure} ({brief(error)}); {remedy}") from error


def dcmread(path: Path, **options) -> FileDataset:
    """Return the data set that ``pydicom.dcmread`` reads, also from a file without preamble and file meta information.

    Raises:
        DataError: naming the file, for every failure of pydicom, and for more than :data:`LARGEST_FILE` bytes.
    """
    size_of(path, most=LARGEST_FILE)
    import pydicom  # takes a third of a second, so only once there is a file
    from pydicom.filereader import read_dataset, read_preamble

    with decoding(path, "not a readable DICOM file"), _Bounded(path) as file:
        lacks_preamble = _is_bare(file.read(_PREAMBLE))
        file.seek(0)
        read_preamble(file, force=lacks_preamble)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
        if meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
            _check_deflated(file)
        file.seek(0)
        dataset = pydicom.dcmread(file, force=lacks_preamble, **options)
        if "TransferSyntaxUID" not in dataset.file_meta and lacks_preamble:
            implicit, _ = dataset.original_encoding
            syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax
        return dataset


def _check_deflated(file: io.BufferedReader) -> None:
    """Raise ValueError if the deflated rest of the file unpacks to more than :data:`LARGEST_FILE` bytes."""
    decompressor, length = zlib.decompressobj(-zlib.MAX_WBITS), 0
    content = file.read()
    while content and not decompressor.eof:
        length += len(decompressor.decompress(content, _CHUNK))
        content = decompressor.unconsumed_tail
        if length > LARGEST_FILE:
            raise ValueError(f"it unpacks to more than {LARGEST_FILE} bytes; dcmtk's dcmconv +te unpacks it")


def is_dicom(path: Path) -> bool:
    """Return whether the file begins like DICOM, with a preamble or with the first group of a data set. Raises
    DataError if the file cannot be opened or is not a regular file."""
    size_of(path)
    start = read_start(path, _PREAMBLE, "check its rights")
    return start[128:] == b"DICM" or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    """Return whether these are the first bytes of a data set, or of file meta information, without preamble."""
    group, element = (int.from_bytes(start[offset : offset + 2], "little") for offset in (0, 2))
    length = start[6:8] if start[4:6].isalpha() and start[4:6].isupper() else start[4:8]  # explicit or implicit VR
    return group in (2, 8) and element < 0x20 and len(start) == _PREAMBLE and int.from_bytes(length, "little") < 1 << 10


def title(keyword: str) -> str:
    """Return the name of a tag in messages: ``PixelSpacing (0028,0030)``."""
    from pydicom.tag import Tag

    return f"{keyword} {str(Tag(keyword)).lower()}"


def modality_of(path: Path) -> str:
    """Return the Modality that a DICOM file names, such as ``SEG``. Raises DataError for a damaged file."""
    header = dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    with decoding(path, f"{title('Modality')} cannot be read"):
        return str(header.get("Modality"))


def numbers_of(path: Path, header: Dataset, tag: str, count: int) -> list[float]:
    """Return the ``count`` numbers of a tag. Raises DataError, naming file and tag, if its value is something else."""
    value = header.get(tag)
    parts = value.split("\\") if isinstance(value, str) else value  # text of another value representation
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count:
        text = f"{title(tag)} = {str(value)!r}, not {count} numbers with points, separated by backslashes"
        raise DataError(f"{path}: {text}; correct the header")
    return numbers


def pixels_of(path: Path, dataset: FileDataset) -> np.ndarray:
    """Return the stored pixels. Raises DataError, naming file and tag, without a decoder and for damaged pixels."""
    check_decoder(path, str(dataset.file_meta.get("TransferSyntaxUID", "")))
    with decoding(path, "the pixels cannot be read, the file may be truncated"):
        return dataset.pixel_array


def is_irreversible(path: Path, uid: str) -> bool:
    """Return whether JPEG 2000 pixels, which can be lossless or lossy, were compressed with the irreversible wavelet
    (9-7): the last byte of the coding style (COD, ISO/IEC 15444-1 A.6.1). The DICOM header need not state this."""
    if uid != _JPEG_2000:
        return False
    content = path.read_bytes()
    style_start = content.find(b"\xff\x52", content.find(b"\xff\x4f\xff\x51"))
    return style_start > 0 and content[style_start + 13 : style_start + 14] == b"\0"


def padding_of(dataset: FileDataset, stored: np.ndarray) -> np.ndarray:
    """Return where the stored pixels (H, W) are padding: regions of the padding value declared by the file that touch
    the image border. The same value elsewhere may be tissue."""
    limits = [dataset.get(tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if not isinstance(limits[0], int):
        return np.zeros(stored.shape, bool)
    values = np.array([limit for limit in limits if isinstance(limit, int)])
    values = values.astype(stored.dtype)  # the pixels may be signed where the tag's values are not
    regions, _ = ndimage.label((stored >= values.min()) & (stored <= values.max()))
    at_border = np.concatenate([regions[[0, -1]].ravel(), regions[:, [0, -1]].ravel()])
    return np.isin(regions, at_border[at_border > 0])


def check_decoder(path: Path, uid: str) -> None:
    """Raise DataError, naming file and tag, where there is no decoder for the pixels."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    syntax = UID(uid)
    try:
        readable = not (syntax.is_private or syntax.is_compressed) or get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):  # not a syntax of images, or a syntax without any decoder
        readable = not syntax
    if not readable:
        raise DataError(
            f"{path}: {title('TransferSyntaxUID')} = {syntax.name}: there is no decoder for it here; convert the "
            "file to Explicit VR Little Endian (dcmtk: dcmdjpeg, gdcm: gdcmconv --raw)"
        )


@dataclass(frozen=True)
class Turn:
    """Turn from the stored pixels of an axial image to rows from front to back and columns to the patient's left.

    Attributes:
        transposed: whether rows and columns are swapped, before any reversal.
        rows, columns: whether their order is reversed.
    """

    transposed: bool = False
    rows: bool = False
    columns: bool = False

    def turn(self, pixels: np.ndarray) -> np.ndarray:
        """Return ``pixels`` (..., rows, columns) as stored, turned to the patient's axes."""
        pixels = pixels.swapaxes(-1, -2) if self.transposed else pixels
        return pixels[..., :: -1 if self.rows else 1, :: -1 if self.columns else 1]

    def back(self, pixels: np.ndarray) -> np.ndarray:
        """Return ``pixels`` (..., H, W) on the patient's axes, turned back to the stored axes."""
        pixels = pixels[..., :: -1 if self.rows else 1, :: -1 if self.columns else 1]
        return pixels.swapaxes(-1, -2) if self.transposed else pixels

    def to_stored(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return points (N, 2) of the turned image in stored pixels: the inverse of :meth:`to_turned`."""
        points = np.where([self.rows, self.columns], np.array(shape) - 1 - points, points)
        return points[:, :: -1 if self.transposed else 1]

    def to_turned(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return points (N, 2), given as row and column in stored pixels, in the turned image of ``shape`` (H, W)."""
        points = np.array(points, float)[:, :: -1 if self.transposed else 1]
        return np.where([self.rows, self.columns], np.array(shape) - 1 - points, points)


@dataclass(frozen=True)
class Plane:
    """Position of an axial image after its turn: (x, y) of the first pixel and z of the image in mm, (row, column) size
    of a pixel in mm, and shape (rows, columns)."""

    turn: Turn
    corner_mm: tuple[float, float]
    z_mm: float
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]


def plane_of(
    position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], shape: tuple[int, int]
) -> Plane | None:
    """Return the plane of an image from its ImagePositionPatient, ImageOrientationPatient and PixelSpacing in DICOM;
    ``shape`` is (rows, columns) as stored. None for an image that is not axial.
    """
    axes = np.reshape(orientation, (2, 3))  # directions of a row (along columns) and of a column (along rows)
    signs = np.rint(axes)
    if not np.allclose(axes, signs, atol=1e-3) or signs[:, 2].any() or (np.abs(signs).sum(axis=0)[:2] != 1).any():
        return None
    transposed = bool(signs[0, 1])
    (sizes, steps, axes) = (shape[::-1], spacing[::-1], signs) if transposed else (shape, spacing, signs[::-1])
    flips = [bool(axes[0, 1] < 0), bool(axes[1, 0] < 0)]  # the image axes along y and x
    offsets = [(size - 1) * step if flip else 0 for size, step, flip in zip(sizes, steps, flips, strict=True)]
    corner = (position[0] - offsets[1], position[1] - offsets[0])
    return Plane(Turn(transposed, *flips), corner, position[2], tuple(steps), tuple(sizes))
