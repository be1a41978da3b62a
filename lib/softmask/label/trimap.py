"""Trimaps: certain lesion (1), certain background (0), and unknown pixels, which matting decides (0.5).

Sources: DSNet (Wang et al. 2023, section III-A, strategies 1 to 3, equations 2 to 4) and CasGAN (2020, section 3.1.2).
All trimaps are (H, W) float32 in {0, 0.5, 1}, with foreground, background and unknown pixels.
"""

import math

import numpy as np

from softmask.distance import distance_inside
from softmask.errors import LabelError
from softmask.label.common import bounding_box, checked_mask, checked_readers
from softmask.label.recist import axes_pixels, grabcut_mask, validate

BAND = 0.15
"""Radius of erosion and dilation as a fraction of the mask's own radius (:func:`radius_of`): 1.5 times the distance of
the outlines of LIDC readers, which overlap with a Dice of about 0.8, from their mean outline."""


def radius_of(mask: np.ndarray) -> float:
    """Return twice the area divided by the length of the outline, in pixels, of the mask (H, W) bool or its outside,
    whichever is smaller: the radius of a disc, and about the width of a long strip, for any number of parts.

    The outline's length is pi / 4 times its number of pixel edges, which is correct on average over all directions
    (Cauchy and Crofton); the image's border does not count as outline.
    """
    edges = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    area = min(np.count_nonzero(mask), mask.size - np.count_nonzero(mask))
    return 2 * area / (np.pi / 4 * edges)


def default_radius(mask: np.ndarray) -> int:
    """Return the radius of erosion and dilation, in pixels: :data:`BAND` times :func:`radius_of`, at least 1."""
    return max(1, round(BAND * radius_of(mask)))


def from_mask(mask: np.ndarray, radius: float | None = None) -> np.ndarray:
    """Return a trimap: the eroded mask is lesion, the outside of its dilation background, the band between unknown.

    Each connected part (8-neighbours) that the erosion would empty keeps its core, the pixels farthest from its
    outline; if the dilation leaves no background, the pixels farthest from the lesion stay background. A lesion that
    the image's border cuts is not eroded from the border.

    Args:
        mask: (H, W) bool.
        radius: radius of the disc, in pixels, at least 1; default :func:`default_radius`.

    Raises:
        LabelError: for a mask that is empty, full or not two-dimensional, or a radius below 1.
    """
    mask = checked_mask(mask)
    if mask.all():
        raise LabelError("the mask covers the whole image: no background is left; use a larger crop")
    radius = default_radius(mask) if radius is None else radius
    if not 1 <= radius < np.inf:
        raise LabelError(f"the radius of erosion and dilation must be at least 1 pixel, not {radius!r}")
    trimap = np.zeros(mask.shape, np.float32)
    box = bounding_box(mask, math.ceil(radius) + 1)  # outside the box all is background
    distances = distance_inside(~mask[box])
    trimap[box][distances <= min(radius, np.nextafter(distances.max(), 0))] = 0.5
    trimap[box][_eroded(mask[box], radius)] = 1
    return trimap


def from_readers(masks: np.ndarray) -> np.ndarray:
    """Return a trimap: pixels marked by all readers are lesion, pixels marked by none background (DSNet, eq. 2 to 4).

    - One reader: :func:`from_mask`.
    - No pixel marked by all readers: the pixels with the most votes, eroded as in :func:`from_mask`, are lesion.
    - Readers who agree on every pixel: a band of one pixel is unknown on each side of the outline.

    ``masks`` (P, H, W) bool are those of the readers who were present. Raises LabelError if there is no mask or an
    empty mask, or if every pixel was marked by a reader.
    """
    masks = checked_readers(masks)
    if len(masks) == 1:
        return from_mask(masks[0])
    votes = masks.sum(axis=0)
    union, intersection = votes > 0, votes == len(masks)
    if union.all():
        raise LabelError("the readers together marked the whole image: no background is left; use a larger crop")
    if (union == intersection).all():
        return from_mask(union, radius=1)
    most_voted = votes == votes.max()
    trimap = np.where(union, np.float32(0.5), np.float32(0))
    trimap[intersection if intersection.any() else _eroded(most_voted, default_radius(most_voted))] = 1
    return trimap


def from_recist(image: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return :func:`from_mask_and_axes` of GrabCut's mask (:func:`softmask.label.recist.grabcut_mask`)."""
    return from_mask_and_axes(grabcut_mask(image, axes), axes)


def from_mask_and_axes(mask: np.ndarray, axes: np.ndarray, radius: float | None = None) -> np.ndarray:
    """Return :func:`from_mask` with the pixels on the RECIST axes as lesion: a reader drew the axes through the lesion.

    Otherwise matting removes some of the lesion at the ends of the axes; notebook 02 shows the effect on the Dice.
    Arguments and errors are those of :func:`from_mask` and :func:`softmask.label.recist.validate`.
    """
    trimap = from_mask(mask, radius)
    trimap[axes_pixels(validate(axes, trimap.shape), trimap.shape)] = 1
    return trimap


def _eroded(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return ``mask`` eroded by a disc; each 8-connected part keeps at least its innermost pixels."""
    import cv2

    depth = distance_inside(mask)
    count, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    max_depth = np.zeros(count, np.float32)
    np.maximum.at(max_depth, components[mask], depth[mask])
    limit = np.minimum(np.float32(radius), np.nextafter(max_depth, np.float32(0)))
    return mask & (depth > limit[components])
