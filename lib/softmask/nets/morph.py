"""Lung segmentation by threshold and morphology, without learning.

After Hu, Hoffman, Reinhardt, "Automatic Lung Segmentation for Accurate Quantitation of Volumetric X-Ray CT Images",
IEEE Transactions on Medical Imaging 20(6), 2001: an optimal threshold between air and tissue inside the body, the large
airways tracked from slice to slice and removed, the two lungs separated, and their outlines smoothed.

Differs from the publication: airways are chains of small dark regions instead of being grown from a seed; the lungs are
separated by erosion instead of a search for the best line; dents at vessels and nodules are closed with a disc. Regions
are classified on slices reduced to about 256 pixels across; the outline is drawn on the original slices.
"""

import numpy as np
from scipy import ndimage
from skimage.morphology import disk

FIELD_MM = 360.0
"""Width of the image if no pixel size is given: typical of chest CT, within about 20 %."""

COARSE = 256
"""Number of pixels across the slices on which regions are classified."""

START, LOWEST, HIGHEST = -500.0, -600.0, -300.0  # HU: start of the search for the threshold, and its bounds
SKIN = -500.0  # HU: limit between body and air; at -300 an opening breaks through thin chest walls
WALL = -750.0  # HU: limit between an airway's air and its thin, blurred wall
LUMEN = -850.0  # HU: upper bound of the mean over an airway's air, with its blurred rim
AIR = -1024.0  # HU: stored values below it do not represent tissue
SURROUNDINGS = -1000.0  # HU of air around the patient
GAS = -955.0  # HU: a region with a lower median is air without tissue, such as bowel gas
AIRWAY_MM2 = (20.0, 900.0)  # area of a large airway in a slice; the trachea at its fork is the largest
TRACHEA_MM2 = 60.0
TRACHEA_MM = 25.0  # least height of a chain of regions that counts as airway
MIDDLE = 0.2  # largest distance of the trachea from the body's middle, as a share of the body's width
SMALLEST = 0.003  # least size of a part of the lungs, as a share of all voxels of air in the body
SMALLEST_MM2 = 80.0  # the same for a single slice, as an area
CLOSING_MM = 6.0  # radius of the disc that closes dents; a larger one would close over the vessels at the lung's root
WALL_CLOSING_MM = 14.0  # the same along the ribs, where a dent is a nodule
RIBS_MM = 20.0  # a lung's side at the ribs: at most this much deeper in the body than its point nearest to the skin
SPLIT_MM = (2.0, 4.0, 6.0, 8.0)  # radii of the erosions that are tried, in this order, to separate two lungs that touch
SPLIT_SHARE = 0.15  # least size of each of two separated lungs, as a share of the pixels left by erosion


def lungs(hu: np.ndarray, spacing_mm: tuple[float, ...] | None = None) -> np.ndarray:
    """Return the mask of both lungs with their vessels, without trachea and main bronchi.

    Args:
        hu: (H, W), or (D, H, W) slices from the feet up, in Hounsfield units; rows from front to back. In a single
            slice, small parts of the lungs are lost, and airways that are not round are kept.
        spacing_mm: ([slice,] row, column) distance; None for :data:`FIELD_MM` across and slices 2.5 mm apart.

    Returns:
        bool of the shape of ``hu``; all False if there is no lung.
    """
    volume = hu if hu.ndim == 3 else hu[None]
    pixel = FIELD_MM / hu.shape[-1]
    z, row, column = (2.5, pixel, pixel) if spacing_mm is None else (2.5, *spacing_mm)[-3:]
    spacing = float(z), float(np.sqrt(row * column))  # of the slices, and of the pixels
    factor = max(1, round(max(hu.shape[-2:]) / COARSE))
    pixel = spacing[1] * factor

    coarse = np.stack([_shrunk(values, factor) for values in volume])  # (D, h, w) float32
    body = np.stack([_body(values, pixel) for values in coarse])
    threshold = optimal_threshold(coarse[body])
    lumen = airways(volume, body, factor, spacing)
    air = (coarse < threshold) & body
    air &= ~np.stack([_blocks(mask, factor).any(axis=(1, 3)) for mask in lumen])
    sides = [side for part in _lung_parts(air, coarse, pixel) for side in _separated(part, pixel)]
    result = np.zeros(volume.shape, bool)
    for z, values in enumerate(volume):
        slice_lungs = [side[z] for side in sides if side[z].any()]
        if not slice_lungs:
            continue
        outline = ndimage.binary_dilation(np.logical_or.reduce(slice_lungs))
        depth = _depth(body[z]) * pixel
        dents = np.logical_or.reduce([_dents(side, depth, pixel) for side in slice_lungs])
        fine = (values < threshold) & _enlarged(outline, values.shape) & ~lumen[z]
        result[z] = ndimage.binary_fill_holes(fine | _enlarged(dents, values.shape))
    return result.reshape(hu.shape)


def without_surroundings(hu: np.ndarray, spacing_mm: tuple[float, float] | None = None) -> np.ndarray:
    """Return a slice ``hu`` (H, W) with everything outside the body (couch, blankets) replaced by air. ``spacing_mm``
    is the (row, column) distance; None for an image :data:`FIELD_MM` across."""
    factor = max(1, round(max(hu.shape) / COARSE))
    pixel = FIELD_MM / hu.shape[-1] if spacing_mm is None else float(np.sqrt(np.prod(spacing_mm)))
    body = _enlarged(_body(_shrunk(hu, factor), pixel * factor), hu.shape)
    return np.where(body, hu, np.asarray(SURROUNDINGS, hu.dtype))


def optimal_threshold(hu: np.ndarray) -> float:
    """Return the value half way between the means of the values below and above it (Ridler and Calvard, 1978), within
    bounds, from Hounsfield units of any shape; :data:`START` if air or tissue is missing."""
    threshold = START
    values = np.sort(hu, axis=None)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=float)])
    for _ in range(50):
        n_below = int(np.searchsorted(values, threshold))
        if n_below in (0, len(values)):
            return START
        means = sums[n_below] / n_below, (sums[-1] - sums[n_below]) / (len(values) - n_below)
        threshold, old_threshold = float(np.clip(sum(means) / 2, LOWEST, HIGHEST)), threshold
        if abs(threshold - old_threshold) < 0.5:
            break
    return threshold


def airways(hu: np.ndarray, body: np.ndarray, factor: int, spacing: tuple[float, float]) -> np.ndarray:
    """Return the air of trachea and main bronchi, with the blurred rim of their walls, (D, H, W) bool.

    An airway is a long enough chain, from slice to slice, of regions of air with an airway's size, separated from the
    lungs by a wall, that begins near the middle. In a single slice, it is a round region near the middle.
    """
    candidates = np.zeros(hu.shape, bool)
    pixel_mm2 = spacing[1] ** 2
    for z, values in enumerate(hu):
        labels, count = ndimage.label((values < WALL) & _enlarged(body[z], values.shape))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        mean = np.bincount(labels.ravel(), np.maximum(values, AIR).ravel(), minlength=count + 1) / np.maximum(sizes, 1)
        fits = (sizes * pixel_mm2 >= AIRWAY_MM2[0]) & (sizes * pixel_mm2 <= AIRWAY_MM2[1]) & (mean < LUMEN)
        fits[0] = False
        candidates[z] = fits[labels]
    chains, count = ndimage.label(candidates)
    is_airway = np.zeros(count + 1, bool)
    for number, box in enumerate(ndimage.find_objects(chains), 1):
        top = box[0].stop - 1
        long_enough = (box[0].stop - box[0].start) * spacing[0] >= TRACHEA_MM
        if (len(hu) == 1 or long_enough) and body[top].any():
            is_airway[number] = _begins_as_trachea(chains[box] == number, box[2].start, body[top], factor, pixel_mm2)
    rim = max(1, round(1.5 / spacing[1]))
    return ndimage.binary_dilation(is_airway[chains], disk(rim)[None])


def _begins_as_trachea(chain: np.ndarray, left: int, body: np.ndarray, factor: int, pixel_mm2: float) -> bool:
    """Return whether the upper half of a chain, which begins at column ``left``, has the trachea's size and lies near
    the middle of the ``body`` (h, w) there."""
    upper = chain[len(chain) // 2 :]  # slices go from the feet up
    columns = np.flatnonzero(body.any(axis=0)) * factor
    middle, width = (columns[0] + columns[-1] + factor) / 2, columns[-1] + factor - columns[0]
    column = left + np.nonzero(upper)[2].mean()
    if abs(column - middle) > MIDDLE * width or np.median(upper.sum(axis=(1, 2))) * pixel_mm2 < TRACHEA_MM2:
        return False
    height, breadth = chain.shape[1:]
    # a disc fills 79 % of its box; a sliver of lung fills less, or its box is long
    return len(chain) > 1 or bool(max(height, breadth) <= 2 * min(height, breadth) and chain.mean() > 0.6)


def _lung_parts(air: np.ndarray, coarse: np.ndarray, pixel: float) -> list[np.ndarray]:
    """Return the connected parts of ``air`` that are lung: large, and not only gas."""
    labels, _ = ndimage.label(air)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    min_size = SMALLEST_MM2 / pixel**2 if len(air) == 1 else SMALLEST * sizes.sum()
    parts = [labels == number for number in np.flatnonzero(sizes >= max(min_size, 1))]
    return [part for part in parts if np.median(coarse[part]) > GAS]


def _separated(part: np.ndarray, pixel: float) -> list[np.ndarray]:
    """Return ``part`` as one lung, or as two touching lungs if erosion breaks it into two large pieces."""
    depth = np.stack([ndimage.distance_transform_edt(mask) if mask.any() else np.zeros(mask.shape) for mask in part])
    for radius in SPLIT_MM:
        labels, count = ndimage.label(depth > radius / pixel)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        large_labels = 1 + np.flatnonzero(sizes >= SPLIT_SHARE * sizes.sum())
        if len(large_labels) == 2:  # each voxel goes to the nearer piece; slices count as one pixel apart
            first, second = (ndimage.distance_transform_cdt(labels != number, "taxicab") for number in large_labels)
            return [part & (first <= second), part & (second < first)]
    return [part]


def _body(hu: np.ndarray, pixel: float) -> np.ndarray:
    """Return (h, w) bool: the largest piece of tissue and all it encloses, cut off from table and blankets by opening.

    A body that the image cuts off is closed along the image's sides, so that a lung that reaches a side lies inside.
    """
    tissue = ndimage.binary_opening(hu > SKIN, disk(max(1, round(3 / pixel))))
    labels, count = ndimage.label(tissue)
    if not count:
        return tissue
    body = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    framed = np.pad(body, 1)
    for image in (framed, framed.T):
        for side, frame in ((1, 0), (-2, -1)):
            if len(indices := np.flatnonzero(image[side])):
                image[frame, indices[0] : indices[-1] + 1] = True
    return ndimage.binary_fill_holes(framed)[1:-1, 1:-1]


def _dents(lung: np.ndarray, depth: np.ndarray, pixel: float) -> np.ndarray:
    """Return (h, w) bool: pixels that closing adds to one lung; ``depth`` (h, w) is the distance to the skin in mm."""
    at_ribs = depth < depth[lung].min() + RIBS_MM
    return (_closed(lung, CLOSING_MM / pixel) | (_closed(lung, WALL_CLOSING_MM / pixel) & at_ribs)) & ~lung


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return ``mask`` (h, w) bool closed with a disc, as if the image had no border; holes are filled."""
    reach = int(np.ceil(radius)) + 1
    (box,) = ndimage.find_objects(mask.astype(int))
    padded = np.pad(mask[box], reach)
    closed = _depth(ndimage.distance_transform_edt(~padded) <= radius) > radius
    result = mask.copy()
    result[box] |= ndimage.binary_fill_holes(closed | padded)[reach:-reach, reach:-reach]
    return result


def _depth(mask: np.ndarray) -> np.ndarray:
    """Return (h, w): distance of each pixel of ``mask`` to the nearest pixel outside mask or image, in pixels."""
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def _blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """Return ``image`` (H, W) in blocks (h, factor, w, factor), with the last row and column repeated to fit."""
    padded = np.pad(image, [(0, -size % factor) for size in image.shape], mode="edge")
    return padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Return (h, w) float32: means of blocks, with values below :data:`AIR`, which are not tissue, raised to it."""
    return _blocks(np.maximum(image, AIR), factor).mean(axis=(1, 3), dtype=np.float32)


def _enlarged(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return ``mask`` (h, w) with every pixel repeated, cropped to ``shape`` (H, W)."""
    factor = max(-(-size // small) for size, small in zip(shape, mask.shape, strict=True))
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]
