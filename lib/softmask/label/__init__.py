"""Conversion of annotations to soft masks: RECIST marks, trimaps, closed-form matting, other soft labels, consensus.

The papers' automatic labelling (DSNet, "Labeling of Soft Mask"; CasGAN, 3.1.2): a binary mask, several readers' masks
or a RECIST mark -> trimap -> closed-form matting.
"""

import inspect
from dataclasses import dataclass

import numpy as np

from softmask.data.sample import Sample
from softmask.errors import LabelError, SoftmaskError, unknown
from softmask.label import recist as marks
from softmask.label import soft_labels
from softmask.label import trimap as trimaps
from softmask.label.common import checked_mask
from softmask.label.consensus import fifty_percent
from softmask.label.matting import closed_form_alpha

__all__ = ["SETTINGS", "STRATEGIES", "SoftMask", "closed_form_alpha", "label_sample", "soft_mask"]

STRATEGIES = ("mask", "readers", "recist")
FUNCTIONS = (closed_form_alpha, marks.grabcut_mask, soft_labels.kats_dilation, soft_labels.gros_interpolation)
SETTINGS: tuple[tuple[str, object], ...] = (
    ("trimap band", trimaps.BAND),
    ("GrabCut margins", (marks.BOX_MARGIN, marks.CROP_MARGIN)),
    *(
        (f"{function.__name__} {name}", parameter.default)
        for function in FUNCTIONS
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    ),
)
"""Settings of matting, GrabCut, and Kats' and Gros' labels, by name: part of the identity of a trained run. The other
labels, and the code of all, are protected by ``tests/experiments/test_golden.py`` and
:data:`softmask.experiments.spec.NUMERICS` instead."""


@dataclass(frozen=True, eq=False)
class SoftMask:
    """Soft mask, and the trimap from which it was made.

    Attributes:
        alpha: (H, W) float32 in [0, 1].
        trimap: (H, W) float32 in {0, 0.5, 1}.
        mask: (H, W) bool, the binary mask from which the trimap was made: the given mask, or GrabCut's mask from a
            RECIST mark; None for several readers.
    """

    alpha: np.ndarray
    trimap: np.ndarray
    mask: np.ndarray | None = None

    @property
    def binary(self) -> np.ndarray:
        """Binary mask (H, W) bool, ``alpha >= 0.5``."""
        return self.alpha >= 0.5


def soft_mask(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    readers: np.ndarray | None = None,
    recist: np.ndarray | None = None,
    epsilon: float = 1e-7,
    radius: float | None = None,
) -> SoftMask:
    """Return the soft mask of an image from exactly one of ``mask``, ``readers`` and ``recist``.

    Args:
        image: (H, W) in [0, 1], or (H, W, 3) except with a RECIST mark.
        mask: (H, W) bool, for :func:`softmask.label.trimap.from_mask`.
        readers: (R, H, W) bool, for :func:`softmask.label.trimap.from_readers`; an empty mask is an absent reader.
        recist: (2, 2, 2) axes in pixels, for GrabCut and :func:`softmask.label.trimap.from_mask_and_axes`.
        epsilon: ridge term of the matting, see :func:`softmask.label.matting.closed_form_alpha`.
        radius: radius of erosion and dilation in pixels, not with ``readers``; by default proportional to the lesion.

    Raises:
        LabelError: for none or several of the three, and for input that the trimap or the matting refuses.
    """
    given_names = [name for name, prior in zip(STRATEGIES, (mask, readers, recist), strict=True) if prior is not None]
    if len(given_names) != 1:
        raise LabelError(f"give exactly one of mask, readers and recist, not {' and '.join(given_names) or 'none'}")
    if radius is not None and readers is not None:
        raise LabelError(
            "radius can be used only with mask or recist; with readers, the unknown band is where the readers disagree"
        )
    if mask is not None:
        mask = checked_mask(mask).copy()  # not the caller's array, which may change
        trimap = trimaps.from_mask(mask, radius)
    elif readers is not None:
        trimap = trimaps.from_readers([reader for reader in readers if np.any(reader)])
    else:
        mask = marks.grabcut_mask(image, recist)
        trimap = trimaps.from_mask_and_axes(mask, recist, radius)
    return SoftMask(closed_form_alpha(image, trimap, epsilon=epsilon).astype(np.float32), trimap, mask)


def label_sample(sample: Sample, strategy: str) -> SoftMask:
    """Return the soft mask of a sample by one of :data:`STRATEGIES`: from the readers' 50 % consensus (``mask``), the
    readers' masks (``readers``), or the RECIST mark (``recist``; of the first reader's mask if the sample has none).

    Raises:
        LabelError, DataError: with the sample's id in the message; LabelError also for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise unknown("labelling strategy", strategy, STRATEGIES, LabelError)
    try:
        if strategy == "mask":
            return soft_mask(sample.image, mask=fifty_percent(sample.masks))
        if strategy == "readers":
            return soft_mask(sample.image, readers=sample.masks)
        axes = marks.axes_from_mask(sample.masks[0]) if sample.recist is None else sample.recist
        return soft_mask(sample.image, recist=axes)
    except SoftmaskError as error:
        raise type(error)(f"{sample.id}: {error}") from error
