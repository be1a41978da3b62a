"""Pictures of an image and its masks, as PNG."""

from __future__ import annotations

import io

import numpy as np
from scipy.ndimage import binary_erosion

OUTLINE = (230, 159, 0)
"""Red, green, blue: the first of ``softmask.report.figures.COLORS``, which draws the binary masks of the figures."""

SHOWN = 512
"""Overlays are enlarged, each pixel to a square, until the longer side has at least this many pixels."""


def overlay(image: np.ndarray, mask: np.ndarray, least: int = SHOWN) -> np.ndarray:
    """Return ``image`` (H, W), in [0, 1], in grey with the outline of ``mask`` (H, W) in :data:`OUTLINE`, on the mask's
    own pixels: (f H, f W, 3) uint8, where the factor f makes the longer side at least ``least`` pixels."""
    factor = max(1, -(-least // max(image.shape)))
    grey = np.rint(image * 255).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    large = mask.repeat(factor, 0).repeat(factor, 1)
    picture = np.stack([grey] * 3, axis=-1)
    picture[large & ~binary_erosion(large, np.ones((3, 3)), border_value=1)] = OUTLINE
    return picture


def png(picture: np.ndarray) -> bytes:
    """Return the content of a PNG file: (H, W) uint8 or uint16 in grey, (H, W, 3) uint8 in colour."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    return content.getvalue()


def soft_png(alpha: np.ndarray) -> bytes:
    """Return a soft mask (H, W) in [0, 1] as a grey PNG of 16 bit, in which 65535 is 1."""
    return png(np.rint(alpha.astype(np.float64) * 65535).astype(np.uint16))


def mask_png(mask: np.ndarray) -> bytes:
    """Return a mask (H, W) bool as a grey PNG of 8 bit, 255 inside."""
    return png(mask.astype(np.uint8) * np.uint8(255))
