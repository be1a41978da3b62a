"""What is written for an image that was segmented: soft mask, mask, and the mask's outline on the image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion

from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.models.model import Segmentation
from softmask.own_images import OwnImage

KINDS = ("soft", "mask", "overlay")

OUTLINE = (230, 159, 0)
"""Red, green, blue: the first of ``softmask.report.figures.COLORS``, which draws the binary masks of the figures."""

SHOWN = 512
"""Overlays are enlarged, each pixel to a square, until the longer side has at least this many pixels."""


def paths(image: OwnImage, folder: Path | None) -> dict[str, Path]:
    """Where the files of ``image`` go, by kind: to ``folder``, or beside it."""
    return {kind: (folder or image.path.parent) / f"{image.stem}-{kind}.png" for kind in KINDS}


def check_paths(images: Sequence[OwnImage], folder: Path | None) -> None:
    """Raises ConfigError where two images would write the same file, or one would overwrite another one."""
    inputs = {image.path.resolve(): image for image in images}
    writers: dict[Path, OwnImage] = {}
    for image in images:
        for path in paths(image, folder).values():
            place = path.resolve()
            other = writers.setdefault(place, image)
            if other is not image:
                raise ConfigError(
                    f"{other.where} and {image.where} would both write {path}; nothing was written. Rename one, or "
                    "segment them apart with another --out each"
                )
            if place in inputs:
                raise ConfigError(
                    f"{image.where} would write {path}, which is to be segmented itself; nothing was written. Leave "
                    "it out, or choose another folder with --out"
                )


def write(places: dict[str, Path], image: np.ndarray, found: Segmentation) -> None:
    """Write ``*-soft.png`` (16 bit, 65535 is 1), ``*-mask.png`` (8 bit, 255 inside) and ``*-overlay.png`` (colour).

    Args:
        places: by kind (:func:`paths`).
        image: (H, W) in [0, 1].

    Raises:
        OSError: where one cannot be written; each file is there whole or not at all.
    """
    pictures = {
        "soft": np.rint(found.alpha.astype(np.float64) * 65535).astype(np.uint16),
        "mask": found.mask.astype(np.uint8) * np.uint8(255),
        "overlay": overlay(image, found.mask),
    }
    for kind, path in places.items():
        write_atomic(path, png(pictures[kind]))


def overlay(image: np.ndarray, mask: np.ndarray, least: int = SHOWN) -> np.ndarray:
    """(f H, f W, 3) uint8: ``image`` (H, W) in [0, 1] in grey, the outline of ``mask`` (H, W) in :data:`OUTLINE` on the
    mask's own pixels; the factor f makes the longer side at least ``least`` pixels."""
    factor = max(1, -(-least // max(image.shape)))
    grey = np.rint(image * 255).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    large = mask.repeat(factor, 0).repeat(factor, 1)
    picture = np.stack([grey] * 3, axis=-1)
    picture[large & ~binary_erosion(large, np.ones((3, 3)), border_value=1)] = OUTLINE
    return picture


def png(picture: np.ndarray) -> bytes:
    """The content of a PNG file: (H, W) uint8 or uint16 in grey, (H, W, 3) uint8 in colour."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    return content.getvalue()
