"""One slice labelled: the part of it round the lesion goes to :func:`softmask.label.soft_mask`, and comes back whole.

The part is so large that nothing changes. Beyond the lesion's bounding box it has at least the box' longer side (for a
RECIST mark twice the long axis) on each side, or ends with the image: all that the labelling looks at lies nearer
(bands of 0.15 radii, windows of three pixels, GrabCut's crop of 0.6 long axes), and the mask fills less than half of
the part where it fills less than half of the image, which :func:`softmask.label.trimap.radius_of` asks. It begins at
even rows and columns, so that ends at half a pixel round as they do in the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from softmask.label import SoftMask, soft_mask
from softmask.label.common import bounding_box, checked_readers

LEAST = 16
"""Pixels round a lesion that are always looked at, and shown in its overlay."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A soft mask of a whole slice, and the part of the slice that was looked at."""

    found: SoftMask
    part: tuple[slice, slice]


def label_slice(
    image: np.ndarray,
    *,
    readers: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    epsilon: float = 1e-7,
    radius: float | None = None,
) -> Labelled:
    """Soft mask of a slice from its mask or readers' masks, or from RECIST axes.

    Args:
        image: (H, W) in [0, 1].
        readers: (R, H, W) bool: one is a mask; of several, those that are empty are readers who were not there.
        axes: (2, 2, 2), valid (:func:`softmask.label.recist.validate`).
        epsilon, radius: as in :func:`softmask.label.soft_mask`.

    Raises:
        LabelError: as :func:`softmask.label.soft_mask`.
    """
    if axes is not None:
        part = _round_axes(axes, image.shape, radius)
        corner = [part[0].start, part[1].start]
        prior = {"recist": axes - corner}
    else:
        present = checked_readers(readers[readers.any(axis=(1, 2))])
        part = _round_mask(present.any(axis=0), radius)
        cut = present[:, *part]
        prior = {"readers": cut} if len(readers) > 1 else {"mask": cut[0]}
    found = soft_mask(image[part], epsilon=epsilon, radius=radius, **prior)
    mask = None if found.mask is None else _whole(found.mask, part, image.shape)
    return Labelled(
        SoftMask(_whole(found.alpha, part, image.shape), _whole(found.trimap, part, image.shape), mask), part
    )


def _round_mask(region: np.ndarray, radius: float | None) -> tuple[slice, slice]:
    box = bounding_box(region, 0)
    longer = max(side.stop - side.start for side in box)
    return _even(bounding_box(region, _margin(longer, radius)), region.shape)


def _round_axes(axes: np.ndarray, shape: tuple[int, int], radius: float | None) -> tuple[slice, slice]:
    margin = _margin(math.ceil(2 * np.linalg.norm(axes[0, 1] - axes[0, 0])), radius)
    low = np.maximum(np.floor(axes.min(axis=(0, 1))).astype(int) - margin, 0)
    high = np.ceil(axes.max(axis=(0, 1))).astype(int) + margin + 1
    return _even(tuple(slice(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)), shape)


def _margin(longer: int, radius: float | None) -> int:
    return max(longer, LEAST) + math.ceil(radius or 0)


def _even(part: tuple[slice, slice], shape: tuple[int, int]) -> tuple[slice, slice]:
    return tuple(slice(side.start // 2 * 2, min(side.stop, size)) for side, size in zip(part, shape, strict=True))


def _whole(cut: np.ndarray, part: tuple[slice, slice], shape: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(shape, cut.dtype)
    whole[part] = cut
    return whole
