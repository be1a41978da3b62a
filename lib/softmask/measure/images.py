"""All measures of predictions, image by image, as stored in the record of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softmask.errors import DataError
from softmask.measure import segmentation
from softmask.measure.readers import MEASURES, against_readers
from softmask.measure.soft import auc, brier, edge_band, gradient_error, mae, mse, soft_dice

DOCTORS = ("doctor1", "doctor2", "doctor3", "doctor4")
"""The readers of LIDC, in the order of the annotation database."""

THRESHOLD = 0.5
"""Probability from which a pixel counts as lesion, unless another threshold was learned."""


def measure_images(
    probabilities: np.ndarray,
    masks: np.ndarray,
    soft: np.ndarray,
    references: Mapping[str, np.ndarray],
    alphas: np.ndarray | None = None,
    threshold: float = THRESHOLD,
) -> dict[str, np.ndarray]:
    """Return all measures of N predictions, each an array (N,), by name.

    Args:
        probabilities: (N, H, W) in [0, 1].
        masks: (N, H, W) bool or {0, 1}, the true binary masks.
        soft: (N, H, W) in [0, 1], the soft labels.
        references: (N, H, W) each: ``alpha`` in [0, 1], the true lesion fraction; ``consensus`` and the readers
            ``doctor1`` to ``doctor4``, bool or {0, 1}, present in every image. Missing references are not compared.
        alphas: (N, H, W) in [0, 1], the predicted soft masks; None: the probabilities are used.
        threshold: probability from which a pixel counts as lesion.

    Raises:
        DataError: for probabilities that are NaN, or masks with values other than 0 and 1.
    """
    probabilities = np.asarray(probabilities, dtype=float)
    if np.isnan(probabilities).any():
        raise DataError("the network predicts NaN: train it again with a lower learning rate")
    alphas = probabilities if alphas is None else np.asarray(alphas, dtype=float)
    predicted, band = probabilities >= threshold, edge_band(soft)
    measures = {
        "dice": segmentation.dice(predicted, masks),
        "iou": segmentation.iou(predicted, masks),
        "acc": segmentation.accuracy(predicted, masks),
        "sen": segmentation.sensitivity(predicted, masks),
        "ppv": segmentation.ppv(predicted, masks),
        "auc": auc(probabilities, masks),
        "hd95": segmentation.hd95(predicted, masks),
        "hausdorff": segmentation.hausdorff(predicted, masks),
        "surface_dice": segmentation.surface_dice(predicted, masks),
        "mae_band": mae(alphas, soft, band),
        "mse_band": mse(alphas, soft, band),
        "gradient_error": gradient_error(alphas, soft),
        "soft_dice": soft_dice(alphas, soft),
        "brier": brier(probabilities, masks),
    }
    if "alpha" in references:
        measures["mae_alpha"] = mae(alphas, references["alpha"], edge_band(references["alpha"]))
    if "consensus" in references:
        measures["dice_consensus"] = segmentation.dice(predicted, references["consensus"])
    doctors = [name for name in DOCTORS if name in references]
    for doctor in doctors:
        measures[f"dice_{doctor}"] = segmentation.dice(predicted, references[doctor])
        measures[f"truth_{doctor}"] = segmentation.dice(masks, references[doctor])
    if doctors:
        readers = np.stack([references[doctor] for doctor in doctors], axis=1)  # (N, R, H, W)
        reader_measures = [against_readers(*pair) for pair in zip(alphas, readers, strict=True)]
        measures |= {name: np.array([values[name] for values in reader_measures]) for name in MEASURES}
    return measures
