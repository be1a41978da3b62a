"""The lungs of a whole scan: slice by slice by a model, or at once by threshold and morphology."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from softmask.data.image_files import window_hu
from softmask.errors import ConfigError
from softmask.models import whole
from softmask.models.model import Model
from softmask.nets.morph import without_surroundings

SLICES = 16
"""Slices that a network is shown at once. No more of a scan than these is ever held in float32."""


def check_model(model: Model) -> None:
    """Raises ConfigError for a model that does not seek lungs."""
    if not model.spec.of_lungs:
        raise ConfigError(
            f"the model {model.name} seeks {model.sought}s, not lungs; name one that was trained on lungs, or choose "
            "--morph"
        )


def lungs(
    model: Model,
    hu: np.ndarray,
    spacing_mm: tuple[float, float] | None = None,
    progress: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """(D, H, W) bool: the lungs in the slices ``hu`` (D, H, W), Hounsfield units, each by itself.

    What surrounds the patient is shown as air (:func:`softmask.nets.morph.without_surroundings`): couches are many, and
    a network takes what lies between one and the back for lung. Otherwise the same as :meth:`Model.segment` of each
    slice in the lung window, cut at the model's threshold.

    Args:
        spacing_mm: (row, column) distance.
        progress: called with the number of slices that are done since the last call.

    Raises:
        ConfigError: for a model that does not seek lungs.
        DataError: for slices smaller or larger than the model takes.
    """
    check_model(model)
    model.check_size(*hu.shape[1:])
    mask = np.empty(hu.shape, bool)
    for first in range(0, len(hu), SLICES):
        slices = [window_hu(without_surroundings(one, spacing_mm)) for one in hu[first : first + SLICES]]
        probabilities, _ = whole.answers(model.network, model.spec, slices)  # (n, S, S)
        for z, one in enumerate(probabilities, first):
            mask[z] = whole.enlarged(one[None], hu.shape[1:])[0] >= model.description.threshold
        progress(len(slices))
    return mask


def largest(mask: np.ndarray, n: int = 2) -> np.ndarray:
    """(D, H, W) bool: the ``n`` largest connected parts of ``mask`` (D, H, W); voxels connect through their faces."""
    labels, count = ndimage.label(mask)
    if count <= n:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.zeros(count + 1, bool)
    kept[np.argsort(-sizes, kind="stable")[:n]] = True
    return kept[labels]
