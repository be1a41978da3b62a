"""Soft labels other than the soft mask: those with which the papers compare, and others in common use.

Each function takes a mask (H, W), :func:`geodesic` also the image, or the readers' masks, and returns (H, W) float32 in
[0, 1]. It raises LabelError for an empty mask. Binarised at 0.5, the label of a mask is the mask, except with
:func:`gros_interpolation`, and except for single pixels with :func:`svls`, which become 0.5.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from softmask.distance import distance_inside
from softmask.errors import LabelError
from softmask.label.common import bounding_box, checked_image, checked_mask, checked_readers
from softmask.label.trimap import default_radius


def kats_dilation(mask: np.ndarray, radius: float = 1, probability: float = 0.3) -> np.ndarray:
    """Return 1 in the mask, ``probability`` in the band that a dilation adds around it, and 0 elsewhere.

    Kats, Goldberger, Greenspan, "Soft labeling by distilling anatomical knowledge for improved MS lesion segmentation",
    ISBI 2019: brain lesions are grown (to 110 % - 140 % of their size in the comparison there), and the added voxels
    get one value below 1. The papers print neither number for lung nodules. This project uses a radius of one pixel
    (117 % to 144 % of the area at lesion radii of 12 to 5 pixels) and a probability of 0.3, below the threshold.

    Args:
        radius: radius of the dilating disc in pixels, at least 1.
        probability: value of the band, in [0, 1].
    """
    mask = checked_mask(mask)
    return np.where(mask, 1, np.where(distance_inside(~mask) <= radius, probability, 0)).astype(np.float32)


def gros_interpolation(mask: np.ndarray, factor: float = 2) -> np.ndarray:
    """Return the mask resampled with linear interpolation and not binarised again.

    Gros, Lemay, Cohen-Adad, "SoftSeg: advantages of soft versus binary training for image segmentation", Medical Image
    Analysis 71 (2021) 102038, keep the values between 0 and 1 that resampling to the network's grid produces. Here the
    grid does not change, so the mask is resampled to a grid ``factor`` (above 1) times coarser and back, bilinearly.
    """
    import cv2

    mask = checked_mask(mask)
    height, width = mask.shape
    coarse_size = (max(1, round(width / factor)), max(1, round(height / factor)))
    resampled = cv2.resize(mask.astype(np.float32), coarse_size, interpolation=cv2.INTER_LINEAR)
    return np.clip(cv2.resize(resampled, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


def label_smoothing(mask: np.ndarray, smoothing: float = 0.1) -> np.ndarray:
    """Return 1 - ``smoothing`` / 2 in the mask and ``smoothing`` / 2 elsewhere.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7, with two classes
    and their 0.1, which Mueller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS 2019, also use.

    Args:
        smoothing: share of the label that is spread evenly over both classes, in [0, 1].
    """
    return np.where(checked_mask(mask), 1 - smoothing / 2, smoothing / 2).astype(np.float32)


def svls(mask: np.ndarray, sigma: float = 1) -> np.ndarray:
    """Return spatially varying label smoothing: the weighted mean of the mask over 3 x 3 pixels.

    Islam and Glocker, "Spatially Varying Label Smoothing: Capturing Uncertainty from Expert Annotations", IPMI 2021:
    the weights are a Gaussian of ``sigma`` pixels, except the central weight, which is the sum of its eight neighbours.
    Edge pixels are repeated beyond the border. The paper's 3 x 3 x 3 weights are for volumes; these are its 2D form.
    """
    from scipy.ndimage import correlate

    profile = np.exp(-np.array([1.0, 0, 1]) / (2 * sigma**2))
    weights = np.outer(profile, profile)
    weights[1, 1] = weights.sum() - 1
    return correlate(checked_mask(mask).astype(np.float32), weights / weights.sum(), mode="nearest").clip(0, 1)


def signed_distance(mask: np.ndarray, width: float | None = None) -> np.ndarray:
    """Return a ramp over the signed distance s to the mask's outline, 1/2 + s / (2 ``width``), clipped to [0, 1].

    The outline lies half a pixel from the pixels beside it. Soft labels by distance are common under many names; this
    simple form has the geometry of a soft mask, without the image.

    Args:
        width: width of the ramp on each side, in pixels, above 0; default
            :func:`softmask.label.trimap.default_radius`, as wide as the unknown band of a trimap of the mask.

    Raises:
        LabelError: for an empty mask, one that covers the whole image, or a width that is not above 0.
    """
    mask = _with_outside(mask)
    width = _checked_width(mask, width)
    return _ramp(distance_inside(mask) - 0.5, distance_inside(~mask) - 0.5, mask, width)


def geodesic(mask: np.ndarray, image: np.ndarray, width: float | None = None, contrast: float = 10) -> np.ndarray:
    """Return the ramp of :func:`signed_distance` over the geodesic distance to the outline, which depends on the image.

    The cost of a path is its length times 1 + ``contrast`` |grad I|, in units of the mean cost beside the outline: the
    ramp is steeper than that of :func:`signed_distance` across strong edges, and flatter where the image is flat.
    SimpleITK's fast marching computes the distances. After Vasudeva, Dolz and Lombaert, "GeoLS: Geodesic Label
    Smoothing for Image Segmentation", MIDL 2023, who mix the binary label with exp(-distance), where the distance is
    from the mask's skeleton, in units of its mean; here it is from the outline.

    Args:
        image: (H, W) in [0, 1].
        width: see :func:`signed_distance`.
        contrast: length in pixels with the same cost as a change of the grey level by 1.

    Raises:
        LabelError: as :func:`signed_distance`, and for an image of another size, or of one row or column.
    """
    mask, image = _with_outside(mask), checked_image(image)
    if image.shape != mask.shape:
        raise LabelError(f"an image of {image.shape} pixels does not fit a mask of {mask.shape}")
    if min(mask.shape) < 2:
        raise LabelError(f"an image of {mask.shape} pixels has no gradient along both axes: use a larger crop")
    width = _checked_width(mask, width)
    costs = 1 + contrast * np.hypot(*np.gradient(image))
    costs /= costs[_beside_outline(mask) | _beside_outline(~mask)].mean()
    box = bounding_box(mask, math.ceil(width / costs.min()) + 1)  # outside the box the ramp is 0
    label = np.zeros(mask.shape, np.float32)
    distances = (_from_outline(region, costs[box], width) for region in (mask[box], ~mask[box]))
    label[box] = _ramp(*distances, mask[box], width)
    return label


def readers_mean(masks: np.ndarray) -> np.ndarray:
    """Return the share of the readers who marked each pixel, from the masks (P, H, W) bool of the readers present.

    Raises LabelError if there is no mask, or an empty mask.
    """
    return checked_readers(masks).mean(axis=0, dtype=np.float32)


def _with_outside(mask: np.ndarray) -> np.ndarray:
    mask = checked_mask(mask)
    if mask.all():
        raise LabelError("the mask covers the whole image: it has no outline; use a larger crop")
    return mask


def _checked_width(mask: np.ndarray, width: float | None) -> float:
    width = default_radius(mask) if width is None else width
    if not 0 < width < np.inf:
        raise LabelError(f"the width of a ramp must be above 0 pixels, not {width!r}")
    return width


def _ramp(inside: np.ndarray, outside: np.ndarray, mask: np.ndarray, width: float) -> np.ndarray:
    """Return the ramp over the distance from a mask's outline: ``inside`` for its pixels, ``outside`` elsewhere."""
    return (0.5 + np.where(mask, inside, -outside) / (2 * width)).clip(0, 1).astype(np.float32)


def _beside_outline(region: np.ndarray) -> np.ndarray:
    return region & (distance_inside(region) <= 1)


def _from_outline(region: np.ndarray, costs: np.ndarray, most: float) -> np.ndarray:
    """Return the geodesic distance of the pixels of ``region`` from its outline; beyond ``most``, at least ``most``."""
    import SimpleITK

    trial_points = np.argwhere(_beside_outline(region))
    march = SimpleITK.FastMarchingImageFilter()
    march.SetTrialPoints(trial_points[:, ::-1].tolist())
    march.SetInitialTrialValues((costs[tuple(trial_points.T)] / 2).tolist())  # half a pixel from the outline
    march.SetStoppingValue(most)
    return SimpleITK.GetArrayFromImage(march.Execute(SimpleITK.GetImageFromArray(1 / costs)))


FROM_MASK: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "kats_dilation": kats_dilation,
        "gros_interpolation": gros_interpolation,
        "label_smoothing": label_smoothing,
        "svls": svls,
        "signed_distance": signed_distance,
    }
)
"""Labels, by name, for training rows of experiments; notebook 2 compares them with the true alpha."""

GEODESIC, READERS_MEAN = "geodesic", "readers_mean"
"""Names of labels for the same use that need more than a mask."""


def softened(mask: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return max(mask, soft mask ``alpha``): a binary label whose outside is softened (CasGAN, eq. 6)."""
    return np.maximum(checked_mask(mask), np.asarray(alpha, np.float32))
