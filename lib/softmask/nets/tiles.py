"""Super-resolution of a whole image, and its features, in bounded memory: tile by tile, with no seam."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

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


def super_resolve(generator: Generator, image: np.ndarray, tile: int = 128) -> np.ndarray:
    """``image`` (H, W) in [0, 1], of any size, four times as high and wide: (4H, 4W) float32 in [0, 1].

    Every tile is cut out with a margin as wide as the network can see, which is dropped afterwards: the result does not
    depend on ``tile``, height and width in pixels, but for rounding. At full width a tile of 128 takes about 1 GB.

    Raises:
        DataError: for an image that is not (H, W), empty, or holds NaN or values outside [0, 1].
    """
    return _tiled(generator, image, lambda piece: generator(piece).clamp(0, 1), tile)[0]


def enlarge(generator: Generator, image: np.ndarray, scale: int = SCALE, tile: int = 128) -> np.ndarray:
    """The super-resolved image in [0, 1], and after it what the last convolution reads, of ``image`` (H, W) in [0, 1]:
    (1 + width, scale H, scale W) float32.

    Where ``scale``, a divisor of :data:`~softmask.nets.srgan.SCALE`, is less than it, pixels are averaged, within each
    tile: what is never held is the whole at full size. Tiles and errors as in :func:`super_resolve`.
    """

    def both(piece: torch.Tensor) -> torch.Tensor:
        picture, detail = generator.features(piece)
        return torch.cat([picture.clamp(0, 1), detail], dim=1)

    return _tiled(generator, image, both, tile, SCALE // scale)


@torch.inference_mode()
def _tiled(
    generator: Generator,
    image: np.ndarray,
    make: Callable[[torch.Tensor], torch.Tensor],
    tile: int,
    averaged: int = 1,
) -> np.ndarray:
    """What ``make`` gives for the tiles of ``image``, put together, each ``averaged`` x ``averaged`` pixels made one:
    (C, 4H / averaged, 4W / averaged)."""
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or not image.size:
        raise DataError(f"super-resolution takes a grey image (H, W), not an array of shape {image.shape}")
    if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
        raise DataError(
            f"super-resolution takes values in [0, 1], not {image.min():g} to {image.max():g}; scale the image first"
        )
    device = next(generator.parameters()).device
    height, width = image.shape
    result: np.ndarray | None = None
    training = generator.training
    generator.eval()
    try:
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                rows, columns = _Span.of(top, tile, height), _Span.of(left, tile, width)
                piece = torch.tensor(image[rows.read, columns.read], device=device)[None, None]  # (1, 1, h, w)
                found = make(piece)[:, :, rows.keep, columns.keep]
                if averaged > 1:
                    found = F.avg_pool2d(found, averaged)
                if result is None:
                    size = (SCALE * height // averaged, SCALE * width // averaged)
                    result = np.empty((found.shape[1], *size), np.float32)
                place = (slice(span.start // averaged, span.stop // averaged) for span in (rows.write, columns.write))
                result[(slice(None), *place)] = found[0].cpu().numpy()
    finally:
        generator.train(training)
    return result
