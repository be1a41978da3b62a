"""PNG and TIFF files as arrays, and Hounsfield units as grey levels.

Damage is looked for: the checksums of PNG chunks are verified, and a declared size is refused before memory is taken
for it.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np

from softmask.errors import DataError, brief
from softmask.files import AGAIN, read_bytes

MAX_PIXELS = 64 * 1024 * 1024
"""Largest image, or stack of images, that is decoded (8192 x 8192); the data sets' own are at most 8 million pixels."""

LUNG_WINDOW = (-1000.0, 400.0)
"""Hounsfield units that become 0 and 1."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS, _SAMPLE_FORMAT, _SIGNED = 258, 339, 2  # TIFF tags BitsPerSample and SampleFormat
_MAX_BYTES = 3 * MAX_PIXELS  # 16 bits a pixel that nothing was saved of, and some more


def read_grey(source: str | Path | bytes, name: str | None = None) -> np.ndarray:
    """Read the one grey image of a PNG or TIFF file.

    Args:
        source: path of the file, or its bytes (a member of an archive).
        name: what messages call it; the path when None.

    Returns:
        (H, W) uint8 or uint16, values as stored; a 1-bit image becomes {0, 255}.

    Raises:
        DataError: naming the file, when it is missing, truncated, damaged, too large, not PNG or TIFF, not grey, or
            has more than one page.
    """
    return _only(*_decode(source, name))


def read_signed(source: str | Path | bytes, name: str | None = None) -> np.ndarray:
    """Read the one image of a TIFF file of signed 16-bit numbers, (H, W) int16; otherwise as :func:`read_grey`."""
    return _only(*_decode(source, name, _signed_array))


def read_grey_stack(source: str | Path | bytes, name: str | None = None) -> np.ndarray:
    """Read all pages of a multi-page TIFF, (N, H, W); otherwise as :func:`read_grey`."""
    pages, name = _decode(source, name)
    kinds = {(page.shape, page.dtype.name) for page in pages}
    if len(kinds) != 1:
        raise DataError(f"{name}: its pages differ in size or depth: {sorted(kinds)}; {AGAIN}")
    return np.stack(pages)


def window_hu(hu: np.ndarray, window: tuple[float, float] = LUNG_WINDOW) -> np.ndarray:
    """Return grey levels in [0, 1] (float32): Hounsfield units of ``window`` stretched, others clipped."""
    low, high = window
    return np.clip((np.asarray(hu, np.float32) - low) / (high - low), 0, 1).astype(np.float32, copy=False)


def _only(pages: list[np.ndarray], name: str) -> np.ndarray:
    if len(pages) != 1:
        raise DataError(f"{name}: holds {len(pages)} images where one was expected; save it as one image")
    return pages[0]


def _decode(source: str | Path | bytes, name: str | None, to_array=None) -> tuple[list[np.ndarray], str]:
    from PIL import Image, UnidentifiedImageError

    name = name or ("image" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, most=_MAX_BYTES)
    if not data:
        raise DataError(f"{name}: not a readable PNG or TIFF image (0 bytes); {AGAIN}")
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data, name)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "TIFF")) as image:
            count = getattr(image, "n_frames", 1)
            pages = []
            pixels = 0
            for index in range(count):
                image.seek(index)
                pixels += image.width * image.height
                if pixels > MAX_PIXELS:
                    raise DataError(f"{name}: declares more than {MAX_PIXELS} pixels; refused. {AGAIN.capitalize()}")
                pages.append((to_array or _grey_array)(image, name))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: declares a huge size and is refused ({error}); {AGAIN}") from error
    except UnidentifiedImageError as error:  # its text is a memory address: it would differ from run to run
        raise DataError(f"{name}: not a readable PNG or TIFF image (begins with {data[:8]!r}); {AGAIN}") from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"{name}: not a readable PNG or TIFF image ({brief(error)}); {AGAIN}") from error
    return pages, name


def _grey_array(image, name: str) -> np.ndarray:
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * np.uint8(255)
    if image.mode == "L":
        return np.array(image, dtype=np.uint8)
    if image.mode in ("I;16", "I;16B", "I;16L"):
        return np.array(image).astype(np.uint16)
    raise DataError(f"{name}: a grey image of 8 or 16 bit was expected, this one is of kind {image.mode!r}; save it so")


def _signed_array(image, name: str) -> np.ndarray:
    # Pillow gives signed numbers of 16 and 32 bits, and unsigned ones of 32 bits, the same mode
    tags = getattr(image, "tag_v2", {})
    if image.mode != "I" or tags.get(_BITS) != (16,) or tags.get(_SAMPLE_FORMAT) != (_SIGNED,):
        raise DataError(
            f"{name}: a grey TIFF image of signed 16-bit numbers was expected, this one is of kind {image.mode!r} with "
            f"{tags.get(_BITS, 'unknown')} bits; save it so"
        )
    return np.array(image).astype(np.int16)


def _check_png(data: bytes, name: str) -> None:
    """Raise DataError unless every chunk is whole and carries its CRC-32 (PNG specification, section 5.3).

    ``verify`` of Pillow 13 passes over a damaged last chunk and over some changed bytes.
    """
    position = len(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if len(data) < position + 12 or len(data) < end:
            raise DataError(f"{name}: truncated after {len(data)} bytes; {AGAIN}")
        kind = data[position + 4 : position + 8]
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise DataError(f"{name}: damaged at byte {position} (checksum of chunk {kind!r}); {AGAIN}")
        position = end
