"""Agreement between several readers of the same images, and between several measurements of one number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from softmask.errors import DataError


@dataclass(frozen=True, eq=False)
class DiceMatrix:
    """Dice of every pair among K masks of each image; K is the readers and then the extra masks.

    Attributes:
        mean, std: (K, K) over the images on which both are present (std with N - 1); NaN where there is none
            (std: fewer than two). Symmetric, diagonal 1.
        counts: (K, K) int, the number of those images.
        values: (N, K, K), image by image; NaN where one of the two is absent.
    """

    mean: np.ndarray
    std: np.ndarray
    counts: np.ndarray
    values: np.ndarray


def dice_matrix(
    masks: np.ndarray | Iterable[np.ndarray],
    present: np.ndarray | Iterable[np.ndarray] | None = None,
    extra: np.ndarray | Iterable[np.ndarray] | None = None,
) -> DiceMatrix:
    """Pairwise Dice between the readers of N images, averaged over the images.

    Args:
        masks: (N, R, H, W) bool, or an iterable of (R, H, W) bool whose sizes may differ from image to image.
        present: (N, R) bool, or an iterable of (R,) bool; None when every reader marked every image. A pair is
            compared only on the images that both marked. A present reader's empty mask counts as empty (Dice 0,
            or 1 with another empty one).
        extra: (N, E, H, W) bool, or an iterable of (E, H, W): further masks to compare with, such as a
            consensus; present everywhere.

    Raises:
        DataError: names the image, by its number, whose arrays do not fit.
    """
    values = [
        _image(i, *arrays)
        for i, arrays in enumerate(
            zip(
                masks,
                repeat(None) if present is None else present,
                repeat(None) if extra is None else extra,
                strict=False,
            )
        )
    ]
    if not values:
        raise DataError("there is no image to compare readers on")
    if len({len(matrix) for matrix in values}) > 1:
        raise DataError(f"the number of masks differs between images: {sorted({len(matrix) for matrix in values})}")
    for name, arrays in (("masks", masks), ("present flags", present), ("extra masks", extra)):
        if hasattr(arrays, "__len__") and len(arrays) != len(values):
            raise DataError(f"{len(arrays)} {name} for {len(values)} images")
    return summary(np.stack(values))


def summary(values: np.ndarray) -> DiceMatrix:
    """Mean, spread and counts over the images of ``values`` (N, K, K), NaN where one of a pair is absent."""
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    mean = np.divide(total, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    squares = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    variance = np.divide(squares, counts - 1, out=np.full(counts.shape, np.nan), where=counts > 1)
    return DiceMatrix(mean, np.sqrt(variance), counts, values)


def icc(values: np.ndarray) -> np.ndarray:
    """ICC(2,1): agreement of K measurements of the same N subjects (Shrout and Fleiss 1979, case 2, single rater).

        ICC = (BMS - EMS) / (BMS + (K - 1) EMS + K (JMS - EMS) / N)

    of the mean squares between subjects, between measurements, and of the rest. 1: every measurement gives the same
    value. It may be below 0.

    Args:
        values: (..., N, K), finite, N and K at least 2.

    Returns:
        (...); NaN where nothing varies.
    """
    n, k = values.shape[-2:]
    mean = values.mean(axis=(-2, -1), keepdims=True)
    subjects, raters = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
    between = k * ((subjects - mean) ** 2).sum(axis=(-2, -1)) / (n - 1)
    judges = n * ((raters - mean) ** 2).sum(axis=(-2, -1)) / (k - 1)
    rest = ((values - subjects - raters + mean) ** 2).sum(axis=(-2, -1)) / ((n - 1) * (k - 1))
    total = between + (k - 1) * rest + k * (judges - rest) / n
    return np.divide(between - rest, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def _image(i: int, masks: np.ndarray, present: np.ndarray | None, extra: np.ndarray | None) -> np.ndarray:
    """(K, K) Dice of one image; NaN in the rows and columns of absent readers."""
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.dtype != bool:
        raise DataError(f"image {i}: reader masks must be (R, H, W) bool, not {masks.dtype} of shape {masks.shape}")
    there = np.ones(len(masks), dtype=bool) if present is None else np.asarray(present)
    if there.shape != masks.shape[:1] or there.dtype != bool:
        raise DataError(f"image {i}: present must be ({len(masks)},) bool, not {there.dtype} of shape {there.shape}")
    if extra is not None:
        extra = np.asarray(extra)
        if extra.ndim != 3 or extra.dtype != bool or extra.shape[1:] != masks.shape[1:]:
            raise DataError(f"image {i}: extra masks must be (E, {masks.shape[1]}, {masks.shape[2]}) bool")
        masks = np.concatenate([masks, extra])
        there = np.concatenate([there, np.ones(len(extra), dtype=bool)])
    rows, columns = masks.any(axis=(0, 2)), masks.any(axis=(0, 1))
    pixels = masks[:, rows][:, :, columns].reshape(len(masks), -1).astype(np.float32)  # counts are exact below 2^24
    shared = (pixels @ pixels.T).astype(float)
    sizes = np.diag(shared)
    total = sizes[:, None] + sizes
    dice = np.divide(2 * shared, total, out=np.ones_like(total), where=total > 0)
    return np.where(there[:, None] & there, dice, np.nan)
