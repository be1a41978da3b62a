"""From annotations to soft masks: RECIST axes, trimaps, closed-form matting, other soft labels, consensus."""

import inspect

from softmask.label import grabcut, soft_labels, trimap
from softmask.label.matting import closed_form_alpha
from softmask.label.pipeline import STRATEGIES, SoftMask, label_sample, soft_mask

SETTINGS: tuple[tuple[str, object], ...] = (
    ("trimap band", trimap.BAND),
    ("GrabCut margins", (grabcut.BOX_MARGIN, grabcut.CROP_MARGIN)),
    *(
        (f"{function.__name__} {name}", parameter.default)
        for function in (
            closed_form_alpha,
            grabcut.grabcut_mask,
            soft_labels.kats_dilation,
            soft_labels.gros_interpolation,
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    ),
)
"""The numbers that decide the labels, by name: part of what a trained run is known by."""

__all__ = ["SETTINGS", "STRATEGIES", "SoftMask", "closed_form_alpha", "label_sample", "soft_mask"]
