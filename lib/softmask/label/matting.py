"""Closed-form matting: Levin, Lischinski, Weiss, "A closed-form solution to natural image matting", PAMI 2008.

In every window w of the image, alpha is taken to be an affine function of the intensities, alpha_i = a . I_i + b, with
a ridge term epsilon |a|^2. Eliminating a and b leaves the quadratic J(alpha) = alpha' L alpha with, per window,

    L_w = Id - 1 / |w| - X (X'X + epsilon Id)^-1 X' = Id - 1 / |w| - Q Q'

where X, (|w|, channels), holds the intensities minus their mean (Levin et al., eq. 12; for one channel eq. 8 of DSNet),
and Q = X R^-1 with R'R = X'X + epsilon Id, found column by column: Q R = X.
The known pixels K of the trimap are hard constraints: dJ/dalpha_U = 0 gives L_UU alpha_U = -L_UK alpha_K for the
unknown pixels U. L_UU is positive definite for epsilon > 0: J = 0 forces a = 0, so alpha is constant in each window,
and windows overlap all the way to a known pixel.

The unknown pixels mostly form a ring. They are numbered along it, so that each shares windows with only a few of lower
number: row i of the lower triangle of L_UU begins near its diagonal. So does row i of Cholesky's factor F, L_UU = F F'.
Rows are held from there on, the profile, and F replaces L_UU. The right side is held as a row n below the n rows of
L_UU: in its place, the factor has the solution of F y = -L_UK alpha_K.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numba import njit

from softmask.errors import LabelError
from softmask.label.common import as_array, bounding_box, checked_image

LEAST_PIVOT = 1e-13
"""Pivots of L_UU, whose diagonal is some 8 for windows of 3 x 3, are rounding errors below this."""


def compiled(function: Callable) -> Callable:
    """Return the function, compiled at its first call, which takes seconds. Later processes find the code in
    ``__pycache__`` or the user's cache, unless neither can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


def closed_form_alpha(image: np.ndarray, trimap: np.ndarray, *, epsilon: float = 1e-7, radius: int = 1) -> np.ndarray:
    """Return the alpha matte of an image whose trimap says where it is known.

    Args:
        image: (H, W) or (H, W, channels), in [0, 1].
        trimap: (H, W), 0 background, 1 foreground, 0.5 unknown.
        epsilon: ridge term, above 0; larger smooths more. A constant image gives a smooth ramp between the known
            regions.
        radius: windows have (2 radius + 1)^2 pixels and lie wholly inside the image.

    Returns:
        (H, W) float64 in [0, 1], equal to the trimap where that is known. The quadratic has no bounds and overshoots
        (by 0.2 in noise) where the affine model extrapolates beyond the known intensities: the solution is clipped.

    Raises:
        LabelError: shapes that do not match, values outside the ranges above, NaN, an image smaller than a window, a
            trimap without foreground or background.
    """
    image, trimap = _checked(image, trimap, epsilon, radius)
    alpha = trimap.copy()
    unknown = trimap == 0.5
    if not unknown.any():
        return alpha
    box = bounding_box(unknown, 2 * radius)  # no window that holds an unknown pixel reaches further
    inside = unknown[box].copy()  # copies are contiguous and writable: another kind of array is compiled for anew
    width = inside.shape[1]
    touching = cv2.dilate(inside.view(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)).view(bool)
    number = _numbered(inside.ravel(), touching.ravel(), width)
    touching[:radius] = touching[-radius:] = touching[:, :radius] = touching[:, -radius:] = False  # windows lie inside
    centres = np.flatnonzero(touching)
    offsets = range(-radius, radius + 1)
    shifts = tuple(down * width + across for down in offsets for across in offsets)  # its length is compiled in

    pixels, known = image[box].copy().reshape(number.size, -1), np.where(inside, 0, trimap[box]).ravel()
    alpha[unknown] = _solve(*_system(pixels, known, number, centres, shifts, float(epsilon)))[number[inside.ravel()]]
    return np.clip(alpha, 0, 1, out=alpha)


def _checked(image: np.ndarray, trimap: np.ndarray, epsilon: float, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Image as (H, W, channels) and trimap as (H, W), both float64, or LabelError."""
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


@compiled
def _numbered(unknown: np.ndarray, touching: np.ndarray, width: int) -> np.ndarray:
    """Return the unknown pixels' numbers from 0, and -1 elsewhere; all pixels in raster order.

    The order is that of a breadth-first walk over neighbouring windows that touch unknown pixels (Cuthill and McKee).
    """
    number = np.full(unknown.size, -1)
    walk = np.empty(unknown.size, np.int64)
    ahead = touching.copy()
    numbered = done = found = 0
    for start in np.flatnonzero(touching):
        if ahead[start]:
            ahead[start] = False
            walk[found] = start
            found += 1
        while done < found:
            pixel = walk[done]
            done += 1
            if unknown[pixel]:
                number[pixel] = numbered
                numbered += 1
            for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                near = pixel + dy * width + dx
                if 0 <= pixel % width + dx < width and 0 <= near < ahead.size and ahead[near]:
                    ahead[near] = False
                    walk[found] = near
                    found += 1
    return number


@compiled
def _rows(number: np.ndarray, centres: np.ndarray, shifts: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Return ``first`` and ``row``: entry (i, j) is ``profile[row[i] + j]``, for j from ``first[i]`` to the end of i's
    block. Rows go in blocks of four, filled up with rows of no meaning, and ``row[-1]`` is the length of the profile.
    """
    n = number.max() + 1
    first = np.arange(n + 4 - n % 4) // 4 * 4
    for centre in centres:
        least = n
        for shift in shifts:
            if 0 <= number[centre + shift] < least:
                least = number[centre + shift]
        for shift in shifts:
            i = number[centre + shift] // 4 * 4
            if i >= 0:
                first[i : i + 4] = min(first[i], least // 4 * 4)
    first[-4:] = 0  # the right side has all columns
    row = np.zeros(first.size + 1, np.int64)
    for i in range(first.size):
        row[i] -= first[i]
        row[i + 1] = row[i] + i // 4 * 4 + 4
    return first, row


@compiled
def _system(
    pixels: np.ndarray, known: np.ndarray, number: np.ndarray, centres: np.ndarray, shifts: tuple, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return L_UU and the right side -L_UK alpha_K, summed over windows: ``first``, ``row``, the profile and n.

    Windows are given by their central pixels and the shifts from there. ``known`` is alpha, and 0 where it is unknown.
    """
    first, row = _rows(number, centres, shifts)
    n = number.max() + 1
    profile = np.zeros(row[-1])
    for i in range(n, first.size):
        profile[row[i] + i] = np.inf  # a pivot that is no LEAST_PIVOT
    area, channels = len(shifts), pixels.shape[1]
    q, x, weight = np.empty((channels, area)), np.empty(area), np.empty(area)
    for centre in centres:
        for c in range(channels):
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
            for other in range(area):  # row p of Id - L_w
                weight[other] = 1 / area
            for c in range(channels):
                for other in range(area):
                    weight[other] += q[c, p] * q[c, other]
            profile[row[i] + i] += 1
            for other in range(area):
                j = number[centre + shifts[other]]
                if j < 0:
                    profile[row[n] + i] += weight[other] * known[centre + shifts[other]]
                elif j <= i:
                    profile[row[i] + j] -= weight[other]
    return first, row, profile, n


@compiled
def _solve(first: np.ndarray, row: np.ndarray, profile: np.ndarray, n: int) -> np.ndarray:
    """Return the solution x of F' x = y, after Cholesky's factorisation in the profile; LabelError if that fails.

    The factor's entries come in blocks of 4 x 4, whose 16 products of rows are summed at once: each number read is used
    four times, which is what makes it fast. Its diagonal is kept as 1 / F_ii.
    """
    for i in range(0, first.size, 4):
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
                    here, there = row[i + p] + j, row[j + q] + j
                    value = profile[here + q] - products[p][q]
                    for k in range(q):
                        value -= profile[here + k] * profile[there + k]
                    if here != there:
                        profile[here + q] = value * profile[there + q]
                    elif value > LEAST_PIVOT:
                        profile[here + q] = 1 / np.sqrt(value)
                    else:
                        raise LabelError("the matting system is numerically singular: raise epsilon")
    x = profile[row[n] : row[n] + n]
    for i in range(n - 1, -1, -1):
        x[i] *= profile[row[i] + i]
        factor, value, above = profile[row[i] + first[i] : row[i] + i], x[i], x[first[i] : i]
        for k in range(factor.size):
            above[k] -= factor[k] * value
    return x
