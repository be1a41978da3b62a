"""Soft masks from any one prior: a binary mask, several readers' masks, or a RECIST mark.

The papers' automatic labelling (DSNet, "Labeling of Soft Mask"; CasGAN, 3.1.2): prior -> trimap -> closed-form matting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmask.data.sample import Sample
from softmask.errors import LabelError, SoftmaskError
from softmask.label import trimap as trimaps
from softmask.label.common import checked_sizes
from softmask.label.consensus import fifty_percent
from softmask.label.grabcut import grabcut_mask
from softmask.label.matting import closed_form_alpha
from softmask.label.recist import axes_from_mask

STRATEGIES = ("mask", "readers", "recist")


@dataclass(frozen=True, eq=False)
class SoftMask:
    """A soft mask and the trimap it was made from.

    Attributes:
        alpha: (H, W) float32 in [0, 1].
        trimap: (H, W) float32 in {0, 0.5, 1}.
        mask: (H, W) bool, the binary mask that the trimap widens: the one given, or GrabCut's from a RECIST mark;
            None from several readers.
    """

    alpha: np.ndarray
    trimap: np.ndarray
    mask: np.ndarray | None = None

    @property
    def binary(self) -> np.ndarray:
        """(H, W) bool, ``alpha >= 0.5``."""
        return self.alpha >= 0.5


def soft_mask(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    readers: np.ndarray | None = None,
    present: np.ndarray | None = None,
    recist: np.ndarray | None = None,
    epsilon: float = 1e-7,
    radius: float | None = None,
) -> SoftMask:
    """Return the soft mask of an image from exactly one of ``mask``, ``readers`` and ``recist``.

    Args:
        image: (H, W) in [0, 1], or (H, W, 3) unless from a RECIST mark.
        mask: (H, W) bool, for :func:`softmask.label.trimap.from_mask`.
        readers: (R, H, W) bool, for :func:`softmask.label.trimap.from_readers`.
        present: (R,) bool, which of the readers were there; by default those whose mask is not empty.
        recist: (2, 2, 2) axes in pixels, for GrabCut and :func:`softmask.label.trimap.from_mask_and_axes`.
        epsilon: of the matting, see :func:`softmask.label.matting.closed_form_alpha`.
        radius: of erosion and dilation in pixels, for ``mask`` and ``recist``; default in proportion to the lesion.

    Raises:
        LabelError: no prior or several, and whatever the trimap and the matting refuse.
    """
    given = [name for name, prior in zip(STRATEGIES, (mask, readers, recist), strict=True) if prior is not None]
    if len(given) != 1:
        raise LabelError(f"give exactly one of mask, readers and recist, not {' and '.join(given) or 'none'}")
    if present is not None and readers is None:
        raise LabelError("present says which readers were there: it goes with readers only")
    if radius is not None and readers is not None:
        raise LabelError("radius goes with mask or recist: the readers' own disagreement is the unknown band")
    if mask is not None:
        trimap = trimaps.from_mask(mask, radius)
    elif readers is not None:
        readers = checked_sizes(readers)
        if readers.ndim != 3:
            raise LabelError(f"readers must be (readers, H, W), not {readers.shape}")
        present = readers.any(axis=(1, 2)) if present is None else np.asarray(present)
        if present.shape != readers.shape[:1] or present.dtype != bool:
            raise LabelError(
                f"present must be {len(readers)} bools, one per reader, not {present.dtype} {present.shape}"
            )
        trimap = trimaps.from_readers(readers[present])
    else:
        mask = grabcut_mask(image, recist)
        trimap = trimaps.from_mask_and_axes(mask, recist, radius)
    return SoftMask(closed_form_alpha(image, trimap, epsilon=epsilon).astype(np.float32), trimap, mask)


def label_sample(sample: Sample, strategy: str) -> SoftMask:
    """Return the soft mask of a sample: from the readers' 50 % consensus (``mask``), their masks (``readers``), or the
    RECIST mark, where it has none that measured on the first reader's mask (``recist``).

    Raises:
        LabelError, DataError: naming the sample.
    """
    try:
        if strategy == "mask":
            return soft_mask(sample.image, mask=fifty_percent(sample.masks))
        if strategy == "readers":
            return soft_mask(sample.image, readers=sample.readers, present=sample.present)
        if strategy == "recist":
            axes = axes_from_mask(sample.masks[0]) if sample.recist is None else sample.recist
            return soft_mask(sample.image, recist=axes)
    except SoftmaskError as error:
        raise type(error)(f"{sample.id}: {error}") from error
    raise LabelError(f"unknown labelling strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}")
