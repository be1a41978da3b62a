"""Closed-form matting: Levin, Lischinski, Weiss, "A closed-form solution to natural image matting", PAMI 2008.

In every window w of the image, alpha is assumed to be an affine function of the intensities, alpha_i = a . I_i + b,
with a ridge term epsilon |a|^2. Eliminating a and b leaves the quadratic J(alpha) = alpha' L alpha with, per window,

    L_w = Id - 1 / |w| - X (X'X + epsilon Id)^-1 X' = Id - 1 / |w| - Q Q'

where X, (|w|, channels), holds the intensities minus their mean (Levin et al., eq. 12; for one channel eq. 8 of DSNet),
and Q R = X with R'R = X'X + epsilon Id.
The known pixels K of the trimap are hard constraints: dJ/dalpha_U = 0 gives L_UU alpha_U = -L_UK alpha_K for the
unknown pixels U. L_UU is positive definite for epsilon > 0: J = 0 forces a = 0, so alpha is constant in each window,
and windows overlap all the way to a known pixel.

The unknown pixels mostly form a ring. They are numbered along it, so that pixels of one window have similar numbers:
the rows of L_UU, and of its Cholesky factor F, L_UU = F F', begin close to the diagonal. The rows of the lower triangle
are stored from there on, as the profile: entry (i, j) is ``profile[row[i] + j]``, j >= ``first[i]``. F overwrites L_UU.
The right-hand side b = -L_UK alpha_K is one more row, n, which the same elimination turns into F^-1 b.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from softmask.errors import LabelError
from softmask.label.common import as_array, bounding_box, checked_image

MOST_NUMBERS = 2**28
"""Maximum number of entries of the profile, of 8 bytes each: 2 GiB."""


@cache
def compiled(function: Callable) -> Callable:
    """Return the function compiled by numba: in seconds at the first call, later loaded from ``__pycache__`` or the
    user's cache folder (compiled again in every process only if neither can be written)."""
    from numba import njit  # takes a third of a second, so only when an alpha is computed

    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


def closed_form_alpha(image: np.ndarray, trimap: np.ndarray, *, epsilon: float = 1e-7, radius: int = 1) -> np.ndarray:
    """Return the alpha matte of an image from a trimap.

    Args:
        image: (H, W) or (H, W, channels), in [0, 1].
        trimap: (H, W), 0 background, 1 foreground, 0.5 unknown.
        epsilon: ridge term, above 0; larger smooths more. A constant image gives a smooth ramp between known regions.
        radius: half size of the windows, which have (2 radius + 1)^2 pixels and lie completely inside the image.

    The profile takes 8 bytes per entry, about six entries per unknown pixel and pixel of the unknown band's width: 1 MB
    for a disc 60 pixels across with a band of 11 pixels, 0.2 GB for one of 400 pixels with a band of 61.

    Returns:
        (H, W) float64 in [0, 1], equal to the trimap at known pixels. The solution is clipped, because the quadratic
        is unbounded and overshoots (by 0.2 in noise) where the affine model extrapolates beyond the known intensities.

    Raises:
        LabelError: shapes that do not match, values outside the ranges above, NaN, an image smaller than a window, a
            trimap without foreground or background, or more than :data:`MOST_NUMBERS` entries.
    """
    image, trimap = _checked(image, trimap, epsilon, radius)
    alpha = trimap.copy()
    unknown = trimap == 0.5
    if unknown.any():
        box = bounding_box(unknown, 2 * radius)  # no window that holds an unknown pixel reaches further
        alpha[box] = _solution(image[box], trimap[box], unknown[box], epsilon, radius)
    return np.clip(alpha, 0, 1, out=alpha)


def _checked(image: np.ndarray, trimap: np.ndarray, epsilon: float, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image (H, W, channels) and trimap (H, W), both float64. Raises LabelError for invalid arguments."""
    image, trimap = checked_image(image), as_array(trimap, "the trimap", float)
    if trimap.shape != image.shape[:2]:
        raise LabelError(f"trimap of size {trimap.shape} on an image of size {image.shape[:2]}: they must be the same")
    if not 1 <= radius <= (min(trimap.shape) - 1) // 2 or not 0 < epsilon < np.inf:
        raise LabelError(
            f"the radius must be at least 1, its window within the image {trimap.shape}, and epsilon above 0, not "
            f"{radius!r} and {epsilon!r}"
        )
    values = set(np.unique(trimap))
    if not {0, 1} <= values <= {0, 0.5, 1}:
        raise LabelError(
            "the trimap must contain foreground (1) and background (0), and otherwise 0.5 alone; its values are "
            f"{', '.join(f'{value:g}' for value in sorted(values)[:9])}"
        )
    return image.reshape(*image.shape[:2], -1), trimap


def _solution(image: np.ndarray, trimap: np.ndarray, unknown: np.ndarray, epsilon: float, radius: int) -> np.ndarray:
    """Return alpha before clipping. Arrays are always contiguous and writable: numba compiles for each array type."""
    _, width, channels = image.shape
    touching = cv2.dilate(unknown.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)).astype(bool)
    walk = compiled(_walk)(touching.flatten(), width)
    pixels = walk[unknown.ravel()[walk]]
    number = np.full(unknown.size, -1)
    number[pixels] = np.arange(pixels.size)
    touching[:radius] = touching[-radius:] = touching[:, :radius] = touching[:, -radius:] = False  # windows lie inside
    offsets = range(-radius, radius + 1)
    windows = number, np.flatnonzero(touching), tuple(y * width + x for y in offsets for x in offsets)

    first = np.minimum.accumulate(compiled(_first)(*windows, pixels.size)[::-1])[::-1]
    first[-1] = 0  # the right-hand side has all columns
    first, end = np.repeat(first, 4), np.repeat(4 * np.arange(first.size) + 4, 4)
    length = np.cumsum(end - first)
    if length[-1] > MOST_NUMBERS:
        raise LabelError(
            f"the {pixels.size} unknown pixels need {length[-1] / 2**27:.1f} GiB of memory, and "
            f"{MOST_NUMBERS / 2**27:.0f} GiB are allowed: crop the image to the lesion, reduce it, or make the unknown "
            "band narrower"
        )
    row, profile = length - end, np.zeros(length[-1])
    alpha = np.where(unknown, 0, trimap).ravel()
    compiled(_add_windows)(*windows, image.reshape(-1, channels).copy(), alpha, float(epsilon), row, profile)
    alpha[pixels] = compiled(_solve)(first, row, profile, pixels.size)
    return alpha.reshape(unknown.shape)


def _walk(ahead: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels of ``ahead``, which is cleared, breadth first: both ways round a ring (Cuthill and McKee)."""
    walk = np.empty(ahead.sum(), np.int64)
    n_done = n_found = 0
    for start in np.flatnonzero(ahead):
        if ahead[start]:
            ahead[start] = False
            walk[n_found] = start
            n_found += 1
        while n_done < n_found:
            pixel = walk[n_done]
            n_done += 1
            for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                neighbour = pixel + dy * width + dx
                if 0 <= pixel % width + dx < width and 0 <= neighbour < ahead.size and ahead[neighbour]:
                    ahead[neighbour] = False
                    walk[n_found] = neighbour
                    n_found += 1
    return walk


def _first(number: np.ndarray, centres: np.ndarray, shifts: tuple[int, ...], n: int) -> np.ndarray:
    """Return the first column of the windows that end in each block of four rows, as :func:`_solve` uses them."""
    first = 4 * np.arange(n // 4 + 1)
    for centre in centres:
        low, high = n, 0
        for shift in shifts:
            i = number[centre + shift]
            if i >= 0:
                low, high = min(low, i), max(high, i)
        first[high // 4] = min(first[high // 4], low // 4 * 4)
    return first


def _add_windows(number, centres, shifts, pixels, alpha, epsilon, row, profile) -> None:
    """Add L_UU and b to the profile, window by window.

    Args:
        number: (P,) numbers of the unknown pixels; -1 for known pixels.
        centres, shifts: central pixels of the windows, and offsets from them to all pixels of a window.
        pixels: (P, channels) intensities.
        alpha: (P,), 0 for unknown pixels.
    """
    area, channels, n = len(shifts), pixels.shape[1], number.max() + 1
    x, q, weight = np.empty(area), np.empty((channels, area)), np.empty(area)
    for centre in centres:
        for c in range(channels):  # Q R = X, column by column
            mean = 0.0
            for p in range(area):
                x[p] = pixels[centre + shifts[p], c]
                mean += x[p] / area
            square = epsilon
            for p in range(area):
                x[p] -= mean
                q[c, p] = x[p]
                square += x[p] * x[p]
            for d in range(c):
                product = 0.0
                for p in range(area):
                    product += x[p] * q[d, p]
                for p in range(area):
                    q[c, p] -= product * q[d, p]
                square -= product * product
            scale = 1 / np.sqrt(square)
            for p in range(area):
                q[c, p] *= scale
        for p in range(area):
            i = number[centre + shifts[p]]
            if i < 0:
                continue
            for s in range(area):  # row p of Id - L_w
                weight[s] = 1 / area
            for c in range(channels):
                for s in range(area):
                    weight[s] += q[c, p] * q[c, s]
            profile[row[i] + i] += 1
            for s in range(area):
                j = number[centre + shifts[s]]
                if j < 0:
                    profile[row[n] + i] += weight[s] * alpha[centre + shifts[s]]
                elif j <= i:
                    profile[row[i] + j] -= weight[s]


def _solve(first: np.ndarray, row: np.ndarray, profile: np.ndarray, n: int) -> np.ndarray:
    """Replace the profile by F, with 1 / F_ii on its diagonal, and F^-1 b; return F'^-1 F^-1 b.

    F is computed in blocks of 4 x 4, whose 16 products of rows are summed together: each loaded number is used 4 times.
    """
    for i in range(n, row.size):  # from the right-hand side on, pivots have no meaning, and rows stay 0
        profile[row[i] + i] = np.inf
    for i in range(0, row.size, 4):
        for j in range(first[i], i + 4, 4):
            left = max(first[i], first[j])
            i0, i1 = profile[row[i] + left : row[i] + j], profile[row[i + 1] + left : row[i + 1] + j]
            i2, i3 = profile[row[i + 2] + left : row[i + 2] + j], profile[row[i + 3] + left : row[i + 3] + j]
            j0, j1 = profile[row[j] + left : row[j] + j], profile[row[j + 1] + left : row[j + 1] + j]
            j2, j3 = profile[row[j + 2] + left : row[j + 2] + j], profile[row[j + 3] + left : row[j + 3] + j]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = 0.0
            for k in range(j - left):
                a, b, c, d = i0[k], i1[k], i2[k], i3[k]
                e, f, g, h = j0[k], j1[k], j2[k], j3[k]
                a0, a1, a2, a3 = a0 + a * e, a1 + a * f, a2 + a * g, a3 + a * h
                b0, b1, b2, b3 = b0 + b * e, b1 + b * f, b2 + b * g, b3 + b * h
                c0, c1, c2, c3 = c0 + c * e, c1 + c * f, c2 + c * g, c3 + c * h
                d0, d1, d2, d3 = d0 + d * e, d1 + d * f, d2 + d * g, d3 + d * h
            products = ((a0, a1, a2, a3), (b0, b1, b2, b3), (c0, c1, c2, c3), (d0, d1, d2, d3))
            for p in range(4):
                for q in range(min(4, i + p - j + 1)):
                    offset_i, offset_j = row[i + p] + j, row[j + q] + j
                    value = profile[offset_i + q] - products[p][q]
                    for k in range(q):
                        value -= profile[offset_i + k] * profile[offset_j + k]
                    if offset_i != offset_j:
                        profile[offset_i + q] = value * profile[offset_j + q]
                    elif value > 1e-13:  # the diagonal of L_UU is about 8, so that a smaller value is a rounding error
                        profile[offset_i + q] = 1 / np.sqrt(value)
                    else:
                        raise LabelError("the matting system is numerically singular: raise epsilon")
    x = profile[row[n] : row[n] + n]
    for i in range(n - 1, -1, -1):
        x[i] *= profile[row[i] + i]
        factor, value, x_before = profile[row[i] + first[i] : row[i] + i], x[i], x[first[i] : i]
        for k in range(factor.size):
            x_before[k] -= factor[k] * value
    return x
