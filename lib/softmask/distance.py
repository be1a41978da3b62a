"""Exact Euclidean distance transform, bitwise identical on any number of threads."""

from __future__ import annotations

import numpy as np


def distance_inside(region: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel of ``region`` (H, W) bool to the nearest pixel outside it; 0 outside.

    Felzenszwalb and Huttenlocher 2012 ("Distance transforms of sampled functions"), computed by OpenCV without Intel's
    IPP, whose rounding on one thread depends on the memory address of a large array.

    Returns:
        (H, W) float32: :func:`scipy.ndimage.distance_transform_edt` in single precision. If ``region`` is the whole
        image, the values are larger than the image.
    """
    import cv2

    used_ipp = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)  # for this thread only
    try:
        pixels = np.ascontiguousarray(region, bool).view(np.uint8)
        return cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    finally:
        cv2.ipp.setUseIPP(used_ipp)
