"""Every measure of predictions, image by image: what a run's record holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softmask.errors import DataError
from softmask.measure import segmentation
from softmask.measure.soft import auc, brier, edge_band, gradient_error, mae, mse, soft_dice

THRESHOLD = 0.5
"""A pixel is lesion where its probability is at least this."""


def measure_images(
    probabilities: np.ndarray,
    masks: np.ndarray,
    soft: np.ndarray,
    references: Mapping[str, np.ndarray],
    alphas: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """All measures of N predictions, each an array (N,), by name.

    ``dice``, ``iou``, ``acc``, ``sen``, ``ppv``, ``hd95``, ``hausdorff`` and ``surface_dice`` compare the prediction
    cut at 0.5 with the mask; ``auc`` and ``brier`` the probabilities with the mask; ``mae_band``, ``mse_band``,
    ``gradient_error`` and ``soft_dice`` the predicted alphas with the soft mask (the first two in its edge band);
    ``mae_alpha`` the predicted with the true alpha (in its edge band); ``dice_consensus`` the cut prediction with the
    consensus. The last two are given only where their reference is. Which values are NaN or infinite, each measure
    says.

    Args:
        probabilities: (N, H, W) in [0, 1].
        masks: (N, H, W) bool or {0, 1}, the binary truth.
        soft: (N, H, W) in [0, 1].
        references: (N, H, W) each: ``alpha`` in [0, 1], the true lesion fraction; ``consensus`` bool or {0, 1}.
        alphas: (N, H, W) in [0, 1], the predicted soft masks; None where the probabilities stand for them.

    Raises:
        DataError: for arrays of different shape, values that do not fit, or a reference of another name.
    """
    probabilities = np.asarray(probabilities, dtype=float)
    if probabilities.ndim != 3:
        raise DataError(f"probabilities must be (N, H, W), not of shape {probabilities.shape}")
    alphas = probabilities if alphas is None else np.asarray(alphas, dtype=float)
    for name, array in {"masks": masks, "soft masks": soft, "alphas": alphas, **references}.items():
        if np.shape(array) != probabilities.shape:
            raise DataError(f"{name} of shape {np.shape(array)} for probabilities of shape {probabilities.shape}")
    unknown = sorted(set(references) - {"alpha", "consensus"})
    if unknown:
        raise DataError(f"there is no measure against {', '.join(unknown)}; known references: alpha, consensus")

    predicted, band = probabilities >= THRESHOLD, edge_band(soft)
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
    return measures
