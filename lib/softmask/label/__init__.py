"""From annotations to soft masks: RECIST axes, trimaps, closed-form matting, other soft labels, consensus."""

from softmask.label.matting import closed_form_alpha
from softmask.label.pipeline import STRATEGIES, SoftMask, label_sample, soft_mask

__all__ = ["STRATEGIES", "SoftMask", "closed_form_alpha", "label_sample", "soft_mask"]
