"""PNG and TIFF files as arrays, files of a data set in a folder or zip archive, Hounsfield units as grey levels.

Checksums of PNG chunks are verified, and too large a declared size is refused before memory is allocated for it.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
import zlib
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

from softmask.errors import DataError, brief, doubt
from softmask.files import AGAIN, MOST_BYTES, read_bytes, sha256_of, size_of

MAX_PIXELS = 64 * 1024 * 1024
"""Largest number of pixels that is decoded (8192 x 8192), also of a stack; the data sets have at most 8 million."""

LUNG_WINDOW = (-1000.0, 400.0)
"""Hounsfield units that are mapped to 0 and 1."""

_BELOW_AIR, _PADDINGS = -1300, 8  # HU; largest number of different padding values
_LUNG_AT_MOST, _JUMP = -500, 500  # HU; largest median difference of tissue between neighbouring slices
_TISSUE, _ADDED, _MUCH = (-150, 150), 1024, 0.05  # HU; often added so that no value is negative; share of values
_NARROW = 20  # HU; noise alone spans more
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLE_FORMAT, _SIGNED = 258, 262, 274, 339, 2  # tags, and a value of the last tag
_COMPRESSION, _LOSSY = 259, (6, 7)  # a tag, and its values for JPEG
_TOO_LARGE = f"has more pixels than the {MAX_PIXELS} that are read; crop or scale it"
_MAX_FILE = 3 * MAX_PIXELS  # bytes: 16 bits a pixel without compression, and some more


def window_hu(hu: np.ndarray, window: tuple[float, float] = LUNG_WINDOW) -> np.ndarray:
    """Return grey levels in [0, 1] (float32): Hounsfield units in ``window`` are stretched, values outside clipped."""
    low, high = window
    return np.clip((np.asarray(hu, np.float32) - low) / (high - low), 0, 1).astype(np.float32, copy=False)


def doubt_units(hu: np.ndarray) -> None:
    """Warn (:class:`~softmask.errors.Doubt`) about values that look like Hounsfield units with 1024 added (a twentieth
    lies at soft tissue and blood plus 1024, where a CT has only dense bone), or divided by a thousand."""
    low, high = _TISSUE
    if np.ptp(hu) < _NARROW:
        text = f"all values lie between {hu.min():.4g} and {hu.max():.4g}, which shows no air beside tissue"
        doubt(f"{text}: check that they are Hounsfield units")
    if np.mean((hu >= low + _ADDED) & (hu <= high + _ADDED)) >= _MUCH:
        text = f"many values lie between {low + _ADDED} and {high + _ADDED}, as if {_ADDED} were added to HU"
        doubt(f"{text}: check the scale of the values")


def doubt_low(values: np.ndarray) -> None:
    """Warn about many different values below air, as in HU that were rescaled twice; padding has one or two values."""
    low_values = values[values < _BELOW_AIR]
    if low_values.size >= _MUCH * values.size and np.unique(low_values).size > _PADDINGS:
        text = f"{low_values.size / values.size:.0%} of the values lie below {_BELOW_AIR} HU, and air is -1000"
        doubt(f"{text}: as if {_ADDED} were subtracted twice; check the scale")


def doubt_stack(hu: np.ndarray) -> None:
    """Warn about slices of a scan (D, H, W) that are empty, about a large difference between the tissue of neighbouring
    slices, and about many pixels with one tissue value at the sides of the slices."""
    empty_slices = [str(z) for z, plane in enumerate(hu) if plane.min() == plane.max()]
    if empty_slices:
        listing = ", ".join(empty_slices[:5]) + (", ..." if len(empty_slices) > 5 else "")
        doubt(f"every pixel of slices {listing} has the same value: were they lost?")
    sides = np.concatenate([hu[:, [0, -1]].ravel(), hu[:, :, [0, -1]].ravel()])
    values, counts = np.unique(sides[sides > _LUNG_AT_MOST], return_counts=True)
    share = counts.max(initial=0) / sides.size
    if share >= _MUCH:
        text = f"{share:.0%} of the pixels at the sides of the slices have {values[counts.argmax()]:g} HU"
        doubt(f"{text}: padding? Give it that of air")
    for z, (below, above) in enumerate(pairwise(hu)):
        tissue = np.maximum(below, above) > _LUNG_AT_MOST
        jump = np.median(np.abs(above[tissue].astype(float) - below[tissue])) if tissue.any() else 0
        if jump > _JUMP and not {str(z), str(z + 1)} & {*empty_slices}:
            doubt(f"tissue differs by {jump:.0f} HU between slices {z} and {z + 1}: is the scale of some wrong?")
            return


def read_grey(source: str | Path | bytes, name: str | None = None, *, signed: bool = False) -> np.ndarray:
    """Read the only grey image of a PNG or TIFF file.

    Args:
        source: path of the file, or its bytes (a member of an archive).
        name: name of the image in messages; the path if None.
        signed: whether the file is a TIFF of signed 16-bit integers.

    Returns:
        (H, W) uint8 or uint16, or int16 where ``signed``; values as stored; a 1-bit image becomes {0, 255}.

    Raises:
        DataError: naming the file, when it is missing, truncated, damaged, too large, not PNG or TIFF, not grey, or
            has more than one page.
    """
    name = name or ("image" if isinstance(source, bytes) else str(source))
    pages = read_grey_stack(source, name, signed=signed)
    if len(pages) != 1:
        raise DataError(f"{name}: holds {len(pages)} images where one was expected; save it as one image")
    return pages[0]


def read_grey_stack(source: str | Path | bytes, name: str | None = None, *, signed: bool = False) -> np.ndarray:
    """Read all pages of a TIFF as (N, H, W); they must have one size and depth. Otherwise as :func:`read_grey`."""
    from PIL import Image, UnidentifiedImageError

    name = name or ("image" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, most=_MAX_FILE)
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data, name)
    if data.startswith(_JPEG):
        raise DataError(f"{name}: is a JPEG, whatever its name says, and alters grey levels; save it as PNG or TIFF")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # its warnings are about files that are refused below
            image = Image.open(io.BytesIO(data), formats=("PNG", "TIFF"))
        with image:
            pages, n_pixels = [], 0
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                n_pixels += image.width * image.height
                if n_pixels > MAX_PIXELS:
                    raise DataError(f"{name}: {_TOO_LARGE}")
                pages.append(_array_of(image, name, signed))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: {_TOO_LARGE}") from error
    except UnidentifiedImageError as error:  # its text is a memory address, which differs from run to run
        description = f"begins with {data[:8]!r}" if data else "0 bytes"
        remedy = AGAIN
        if data.startswith(_TIFF):
            tiff_kind = _what_tiff(data)
            description, remedy = tiff_kind or description, "save it as a plain TIFF or PNG of 8 or 16 bit"
            remedy = remedy if tiff_kind else f"{AGAIN}, or {remedy}"
        raise DataError(f"{name}: not a readable PNG or TIFF image ({description}); {remedy}") from error
    except Exception as error:  # decoders raise almost any exception for damaged bytes or a bomb
        raise DataError(f"{name}: not a readable PNG or TIFF image ({brief(error)}); {AGAIN}") from error
    if len({(page.shape, page.dtype) for page in pages}) != 1:
        raise DataError(f"{name}: its pages differ in size or depth; save the one that is meant by itself")
    return np.stack(pages)


def _array_of(image, name: str, signed: bool) -> np.ndarray:
    tags = getattr(image, "tag_v2", {})
    inverted = tags.get(_PHOTOMETRIC) == 0  # MinIsWhite; Pillow inverts 1 and 8 bits, but not 16
    if inverted:
        doubt(f"{name}: stored with 0 as white (MinIsWhite, ImageJ's inverting LUT); 0 was made black")
    if tags.get(_COMPRESSION) in _LOSSY:
        doubt(f"{name}: was compressed with loss (JPEG); edges may have changed")
    if (code := image.getexif().get(_ORIENTATION, 1)) != 1:
        text = f"{name}: turned or mirrored as its orientation {code} (TIFF, EXIF) says; rows and columns count there"
        doubt(text)
        if not tags:  # Pillow turns a TIFF when it loads it, but not a PNG
            from PIL import ImageOps

            image = ImageOps.exif_transpose(image)
    if signed:
        # Pillow gives signed integers of 16 and 32 bits and unsigned integers of 32 bits the same mode
        if image.mode == "I" and tags.get(_BITS) == (16,) and tags.get(_SAMPLE_FORMAT) == (_SIGNED,):
            return np.array(image).astype(np.int16)
    elif image.mode == "1":
        return np.asarray(image).astype(np.uint8) * np.uint8(255)
    elif image.mode == "L" and tags.get(_SAMPLE_FORMAT) != (_SIGNED,):  # Pillow takes signed for unsigned
        return np.array(image, dtype=np.uint8)
    elif image.mode in ("I;16", "I;16B", "I;16L"):
        values = np.array(image).astype(np.uint16)
        return ~values if inverted else values
    expected = "TIFF image of signed 16-bit numbers" if signed else "image of unsigned 8 or 16 bit"
    sign = ", signed" if tags.get(_SAMPLE_FORMAT) == (_SIGNED,) else ""
    raise DataError(f"{name}: expected a grey {expected}, found mode {image.mode!r}{sign}; convert the file")


def _what_tiff(data: bytes) -> str:
    """Return a description of a TIFF that Pillow cannot read; empty if the file is damaged."""
    import tifffile  # slow to import

    with suppress(Exception), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        properties = ["a BigTIFF"] if file.is_bigtiff else []
        properties += ["tiled"] if page.is_tiled else []
        properties += [f"compressed with {page.compression.name}"] if page.compression != 1 else []
        return ", ".join([*properties, f"its pixels are {page.dtype} numbers"])
    return ""


def _check_png(data: bytes, name: str) -> None:
    """Raise DataError unless every chunk is whole and carries its CRC-32 (PNG specification, section 5.3).

    ``verify`` of Pillow 13 misses a damaged last chunk and some changed bytes.
    """
    position, chunk_type = len(_PNG_SIGNATURE), b""
    while chunk_type != b"IEND":
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if len(data) < max(position + 12, end):
            raise DataError(f"{name}: truncated after {len(data)} bytes; {AGAIN}")
        chunk_type = data[position + 4 : position + 8]
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise DataError(f"{name}: damaged at byte {position} (checksum of chunk {chunk_type!r}); {AGAIN}")
        position = end


class FileStore:
    """Files below a folder, or members of a zip archive that is not unpacked: its names are never used as paths.

    Links to folders are not followed. Each process opens an archive once, so that a store can be sent to other
    processes.

    Attributes:
        path: the folder or archive.
        names: relative paths with ``/``, sorted.
        stamp: hex digest that is cheap to compute and changes when a file is added, removed or written again.

    Raises:
        DataError: when the archive is incomplete or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._process = 0
        self._checks: dict[str, tuple[int, int]] | None = None  # size and CRC-32 of an archive's members
        if path.is_dir():
            files = (Path(folder, name) for folder, _, names in os.walk(path, onerror=cannot_list) for name in names)
            states = [(file.relative_to(path).as_posix(), file.stat()) for file in files if file.is_file()]
            entries = sorted((name, state.st_size, state.st_mtime_ns) for name, state in states)
            self.names = tuple(name for name, _, _ in entries)
            self.stamp = sha256_of(repr(entries))
        else:
            size_of(path)  # a pipe would never end
            infos = [info for info in self._open().infolist() if info.filename and not info.is_dir()]
            self._checks = {info.filename: (info.file_size, info.CRC) for info in infos}
            self.names = tuple(sorted(self._checks))
            self.stamp = self.fingerprint(list(self.names))

    def title(self, name: str) -> str:
        """Return the name of the file in messages."""
        return str(self.path / name) if self._checks is None else f"{self.path}:{name}"

    def fingerprint(self, names: list[str], top: str = "") -> str:
        """Return a hex digest over names (without ``top``), sizes and checksums, equal for folder and archive."""
        if self._checks is None:
            contents = ((name, self.read(name)) for name in names)
            entries = [(name.removeprefix(top), len(data), zlib.crc32(data)) for name, data in contents]
        else:
            entries = [(name.removeprefix(top), *self._checks[name]) for name in names]
        return sha256_of(repr(entries))

    def read(self, name: str) -> bytes:
        """Read one file. Raises DataError, naming the file, when it cannot be read completely, or has more than
        :data:`~softmask.files.MOST_BYTES`: the real files are far smaller, a decompression bomb is not."""
        if self._checks is None:
            return read_bytes(self.path / name)
        size, _ = self._checks.get(name, (0, 0))
        if size > MOST_BYTES:
            raise DataError(f"{self.title(name)}: declares {size} bytes; refused. Get this archive again")
        try:
            return self._open().read(name)
        except DataError:
            raise
        except Exception as error:  # zlib, bz2, lzma, text and struct errors, and almost any other, for damaged bytes
            raise DataError(
                f"{self.title(name)}: missing, or damaged in the archive ({brief(error)}); get the archive again"
            ) from error

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()
            except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
                raise DataError(
                    f"{self.path}: not a whole zip archive ({error}); it may be truncated: download or copy it again"
                ) from error
        return self._archive

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_archive": None}


def cannot_list(error: OSError) -> None:
    """Raise DataError for a folder that ``os.walk`` cannot list."""
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check the folder's permissions")
