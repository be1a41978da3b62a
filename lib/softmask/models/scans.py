"""The lungs of a whole scan: slice by slice by a model, or at once by threshold and morphology."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from softmask.config import Config
from softmask.data.image_files import window_hu
from softmask.errors import ConfigError
from softmask.measure import segmentation
from softmask.measure.lungs import hausdorff
from softmask.models import whole
from softmask.models.model import Model, load, names
from softmask.nets import morph
from softmask.nets.morph import without_surroundings

SLICES = 16
"""Slices that a network is shown at once. No more of a scan than these is ever held in float32."""


MORPH = "morph"
"""Name of threshold and morphology (:func:`softmask.nets.morph.lungs`) among the methods."""

REAL_SLICES = "lungs-2d"

IOU: Mapping[str, float] = MappingProxyType({MORPH: 0.974, "lungs": 0.959})
"""Mean IoU of the methods that come with the package, on the test slices of :data:`REAL_SLICES`.
``tests/models/test_shipped.py`` measures it again where the slices are at hand."""


def best() -> str:
    """The method that comes with the package and does best on real slices: a model's name, or :data:`MORPH`."""
    return max(IOU, key=IOU.__getitem__)


def compared(config: Config) -> dict[str, dict[str, np.ndarray]]:
    """Measure every method that comes with the package on the test slices of :data:`REAL_SLICES`.

    Returns:
        By method, ``iou`` in [0, 1] and ``hausdorff`` in pixels, (N,) each.

    Raises:
        MissingData: where the slices are not there; says how to get them.
    """
    from softmask.data import open_dataset
    from softmask.data.splits import split_rows

    dataset = open_dataset(REAL_SLICES, config)
    models = [model for model in map(load, names()) if model.sought == "lung"]
    measures = {name: {"iou": [], "hausdorff": []} for name in (MORPH, *(model.name for model in models))}
    for row in split_rows(REAL_SLICES, dataset)["test"]:
        sample = dataset[int(row)]
        masks = {MORPH: morph.lungs(sample.hu)} | {model.name: lungs(model, sample.hu[None])[0] for model in models}
        for name, mask in masks.items():
            measures[name]["iou"].append(float(segmentation.iou(mask, sample.masks[0])))
            measures[name]["hausdorff"].append(hausdorff(mask, sample.masks[0]))
    return {name: {metric: np.array(values) for metric, values in of.items()} for name, of in measures.items()}


def check_model(model: Model) -> None:
    """Raises ConfigError for a model that does not seek lungs."""
    if not model.spec.of_lungs:
        raise ConfigError(
            f"the model {model.name} seeks {model.sought}s, not lungs; name one that was trained on lungs, or {MORPH}"
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
