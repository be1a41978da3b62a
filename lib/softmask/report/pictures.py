"""Figures as they are embedded in the report: small enough that the page stays a few megabytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

WIDTH = 1280
"""Pixels; the page shows a figure 1088 wide at most."""
QUALITY = 80


@dataclass(frozen=True)
class Embedded:
    """An image as a ``data:`` address, and its size in pixels."""

    address: str
    width: int
    height: int


def check(png: bytes) -> None:
    """Raise OSError where ``png`` is no whole PNG file: its chunks are not those that were written."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
            opened.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # PIL's ways to say so
        raise OSError(f"not a whole PNG file: {error}") from error


def embedded(png: bytes) -> Embedded:
    """``png`` as WebP of at most :data:`WIDTH` pixels, on white; the same bytes give the same address.

    Raises:
        OSError: where the bytes are no PNG file.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return Embedded(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}", *image.size)
