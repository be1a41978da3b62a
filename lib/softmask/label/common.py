"""Checks of images and masks, and the box around a mask."""

import numpy as np

from softmask.errors import LabelError


def as_array(value: object, name: str, dtype: type | None = None) -> np.ndarray:
    """Return ``value`` as an array. Raises LabelError for a ragged list, or for text if ``dtype`` is a number."""
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{name} cannot be made an array of numbers ({error})") from error


def checked_image(image: np.ndarray) -> np.ndarray:
    """Return the image as float64. Raises LabelError unless it is (H, W) or (H, W, channels), finite and in [0, 1]."""
    image = as_array(image, "the image", float)
    if image.ndim not in (2, 3) or image.size == 0:
        raise LabelError(f"the image must be (H, W) or (H, W, channels) with pixels in it, not {image.shape}")
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise LabelError(f"the image must be finite and lie in [0, 1], but spans {low:.9g} to {high:.9g}: rescale it")
    return image


def checked_mask(mask: np.ndarray, name: str = "the mask") -> np.ndarray:
    """Return the mask as bool. Raises LabelError unless it is (H, W), of bool, 0 and 1 or 0 and 255, and not empty."""
    mask = as_array(mask, name)
    if mask.ndim != 2:
        raise LabelError(f"{name} must be (H, W), not {mask.shape}")
    if mask.dtype != bool:
        values = set(np.unique(mask))
        if not (values <= {0, 1} or values <= {0, 255}):
            raise LabelError(f"{name} must be binary (bool, or 0 and 1, or 0 and 255): threshold it first")
        mask = mask > 0
    if not mask.any():
        raise LabelError(f"{name} is empty: there is no lesion to label; leave it out")
    return mask


def checked_readers(masks: np.ndarray) -> np.ndarray:
    """Return the readers' masks as (P, H, W) bool. Raises LabelError for no mask, an empty mask or different sizes."""
    if len(masks) == 0:
        raise LabelError("no reader is present: leave this sample out")
    masks = [checked_mask(mask, f"the mask of reader {reader}") for reader, mask in enumerate(masks)]
    if len({mask.shape for mask in masks}) > 1:
        raise LabelError(f"the readers' masks differ in size: {', '.join(str(mask.shape) for mask in masks)}")
    return np.stack(masks)


def bounding_box(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return slices around the True pixels of ``region`` (H, W), widened by ``margin`` but not beyond the array."""
    spans = (np.flatnonzero(region.any(axis=1 - axis)) for axis in (0, 1))
    rows, columns = (slice(max(span[0] - margin, 0), span[-1] + margin + 1) for span in spans)
    return rows, columns
