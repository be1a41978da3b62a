"""Closed-form matting: Levin, Lischinski, Weiss, "A closed-form solution to natural image matting", PAMI 2008.

In every window w of the image, alpha is taken to be an affine function of the intensities, alpha_i = a . I_i + b, with
a ridge term epsilon |a|^2. Eliminating a and b leaves the quadratic J(alpha) = alpha' L alpha with, per window,

    L_w = Id - (1 + X (X'X / |w| + epsilon / |w| Id)^-1 X') / |w|

where X, (|w|, channels), holds the intensities minus their mean (Levin et al., eq. 12; for one channel eq. 8 of DSNet).
The known pixels K of the trimap are hard constraints: dJ/dalpha_U = 0 gives L_UU alpha_U = -L_UK alpha_K for the
unknown pixels U. L_UU is positive definite for epsilon > 0: J = 0 forces a = 0, so alpha is constant in each window,
and windows overlap all the way to a known pixel.
"""

from functools import cache

import cv2
import numpy as np
import scipy.sparse
from scipy.linalg import solveh_banded
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from softmask.errors import LabelError
from softmask.label.common import as_array, bounding_box, checked_image

CHUNK = 1024
"""Fewest windows gathered at a time, so that temporaries stay in the cache; at most some sixteen chunks."""

BAND_ENTRIES = 2_000_000
"""Largest band (unknowns x bandwidth) for which a banded Cholesky is faster than a sparse LU (measured: up to 3x)."""


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
    alpha[unknown] = _solve(*_system(image[box], trimap[box], unknown[box], epsilon, radius))
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


def _system(
    image: np.ndarray, trimap: np.ndarray, unknown: np.ndarray, epsilon: float, radius: int
) -> tuple[np.ndarray, ...]:
    """Upper triangle of L_UU as row, column, value and "these two pixels are adjacent"; right side -L_UK alpha_K.

    Unknown pixels are numbered in raster order. Two pixels share a window when they are at most 2 radius apart, so row
    i is held as a stencil: ``stencil[i, code]`` with ``code = dy (4 radius + 1) + dx`` >= 0, the shift from i to its
    later neighbour. The overlapping windows then add up in one bincount.
    """
    _, width, channels = image.shape
    n = np.count_nonzero(unknown)
    number = np.full(unknown.shape, n)  # n stands for "known"
    number[unknown] = np.arange(n)
    number = number.ravel()

    touching = cv2.dilate(unknown.view(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    touching[:radius] = touching[-radius:] = touching[:, :radius] = touching[:, -radius:] = 0  # windows lie inside
    centres = np.flatnonzero(touching)

    dy, dx, first, second, code = _window(radius)
    area, codes = dy.size, code.max() + 1
    pixels = np.ascontiguousarray(image.reshape(-1, channels).T)
    known_alpha = np.where(unknown, 0, trimap).ravel()
    stencil = np.zeros((n + 1) * codes)  # row n gathers what belongs to known pixels, and is dropped
    right = np.zeros(n + 1)
    chunk = max(CHUNK, centres.size // 16)
    for start in range(0, centres.size, chunk):
        window = (dy * width + dx)[:, None] + centres[start : start + chunk]  # (area, windows)
        row = number[window]
        x = pixels[:, window]  # (channels, area, windows)
        x -= x.mean(axis=1, keepdims=True)
        covariance = np.einsum("ipw,jpw->wij", x, x) / area + np.eye(channels) * (epsilon / area)
        precision = 1 / covariance if channels == 1 else np.linalg.inv(covariance)
        y = np.einsum("wij,jpw->ipw", precision / area, x)

        weight = np.einsum("ipw,ipw->pw", x[:, first], y[:, second])
        np.subtract((first == second)[:, None] - 1 / area, weight, out=weight)
        place = (row * codes)[first] + code[:, None]
        place[row[second] == n] = n * codes
        stencil += np.bincount(place.ravel(), weight.ravel(), stencil.size)

        a = known_alpha[window]
        fitted = a.mean(axis=0) + np.einsum("ipw,iw->pw", x, np.einsum("ipw,pw->iw", y, a))
        right += np.bincount(row.ravel(), (fitted - a).ravel(), n + 1)

    stencil = stencil.reshape(n + 1, codes)[:n]
    row, shift = np.nonzero(stencil)
    down = (shift + 2 * radius) // (4 * radius + 1)
    across = shift - down * (4 * radius + 1)
    column = number[np.flatnonzero(unknown)[row] + down * width + across]
    adjacent = (down <= 1) & (np.abs(across) <= 1)
    return row, column, stencil[row, shift], adjacent, right[:n]


@cache
def _window(radius: int) -> tuple[np.ndarray, ...]:
    """Rows and columns of a window's pixels; first and second pixel of its pairs, in raster order, and their code."""
    dy, dx = (grid.ravel() for grid in np.mgrid[-radius : radius + 1, -radius : radius + 1])
    first, second = np.triu_indices(dy.size)
    code = (dy[second] - dy[first]) * (4 * radius + 1) + dx[second] - dx[first]
    return dy, dx, first, second, code


def _solve(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, adjacent: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """x of A x = right for a positive definite A, given its upper triangle and which entries are of adjacent pixels.

    The unknown pixels mostly form a thin ring. Cuthill and McKee's ordering of the graph of adjacent pixels runs round
    it from one point both ways, so that the bandwidth is a few times the ring's width, and LAPACK's banded Cholesky is
    fast. Large unknown regions go to a sparse LU: 512x512 pixels, nearly all unknown, take about 10 s and 2 GB.
    """
    n = right.size
    order = reverse_cuthill_mckee(_symmetric(row[adjacent], column[adjacent], value[adjacent], n), symmetric_mode=True)
    place = np.empty_like(order)
    place[order] = np.arange(n)
    first, second = place[row], place[column]
    distance = np.abs(first - second)
    bandwidth = int(distance.max())
    try:
        if n * bandwidth <= BAND_ENTRIES:
            band = np.zeros(n * (bandwidth + 1))  # column by column, from the diagonal down
            band[np.minimum(first, second) * (bandwidth + 1) + distance] = value
            band = band.reshape(n, bandwidth + 1).T
            return solveh_banded(band, right[order], lower=True, overwrite_ab=True, check_finite=False)[place]
        matrix = _symmetric(row, column, value, n).tocsc()
        options = {"SymmetricMode": True}
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve(right)
    except (np.linalg.LinAlgError, RuntimeError) as error:
        raise LabelError(f"the matting system is numerically singular ({error}): raise epsilon") from error


def _symmetric(row: np.ndarray, column: np.ndarray, value: np.ndarray, n: int) -> scipy.sparse.csr_array:
    """(n, n) matrix with these entries, in raster order, on and above the diagonal, and their mirror images below."""
    start = np.searchsorted(row, np.arange(n + 1))
    upper = scipy.sparse.csr_array((value, column, start), shape=(n, n))
    above = scipy.sparse.csr_array((np.where(row == column, 0, value), column, start), shape=(n, n))
    return upper + above.T
