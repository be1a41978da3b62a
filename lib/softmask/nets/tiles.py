"""Super-resolution of a whole image in bounded memory: tile by tile, with no seam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from softmask.errors import DataError
from softmask.nets.srgan import REACH, SCALE, Generator


class _Span(NamedTuple):
    """A tile along one axis.

    Attributes:
        read: what is cut out of the image, in its pixels, margins included.
        keep: what is kept of the result, in its pixels.
        write: where that belongs in the whole result.
    """

    read: slice
    keep: slice
    write: slice

    @classmethod
    def of(cls, start: int, tile: int, size: int) -> _Span:
        """The tile that begins at ``start``, of an axis of ``size`` pixels."""
        stop = min(start + tile, size)
        first = max(start - REACH, 0)
        return cls(
            slice(first, min(stop + REACH, size)),
            slice(SCALE * (start - first), SCALE * (stop - first)),
            slice(SCALE * start, SCALE * stop),
        )


@torch.inference_mode()
def super_resolve(generator: Generator, image: np.ndarray, tile: int = 128) -> np.ndarray:
    """``image`` (H, W) in [0, 1], of any size, four times as high and wide: (4H, 4W) float32 in [0, 1].

    Every tile is cut out with a margin as wide as the network can see, which is dropped afterwards: the result does not
    depend on ``tile``, height and width in pixels, but for rounding. At full width a tile of 128 takes about 1 GB.

    Raises:
        DataError: for an image that is not (H, W), empty, or holds NaN or values outside [0, 1].
    """
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or not image.size:
        raise DataError(f"super-resolution takes a grey image (H, W), not an array of shape {image.shape}")
    if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
        raise DataError(
            f"super-resolution takes values in [0, 1], not {image.min():g} to {image.max():g}; scale the image first"
        )
    device = next(generator.parameters()).device
    height, width = image.shape
    result = np.empty((SCALE * height, SCALE * width), np.float32)
    training = generator.training
    generator.eval()
    try:
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                rows, columns = _Span.of(top, tile, height), _Span.of(left, tile, width)
                piece = torch.tensor(image[rows.read, columns.read], device=device)[None, None]  # (1, 1, h, w)
                found = generator(piece)[0, 0, rows.keep, columns.keep]
                result[rows.write, columns.write] = found.clamp(0, 1).cpu().numpy()
    finally:
        generator.train(training)
    return result
