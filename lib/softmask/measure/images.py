"""Every measure of predictions, image by image: what a run's record holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softmask.errors import DataError
from softmask.measure import segmentation
from softmask.measure.soft import auc, brier, edge_band, gradient_error, mae, mse, soft_dice

DOCTORS = ("doctor1", "doctor2", "doctor3", "doctor4")
"""The readers of LIDC, in the order of the annotation database."""

THRESHOLD = 0.5
"""A pixel is lesion where its probability is at least this, unless another threshold was learned."""


def measure_images(
    probabilities: np.ndarray,
    masks: np.ndarray,
    soft: np.ndarray,
    references: Mapping[str, np.ndarray],
    alphas: np.ndarray | None = None,
    threshold: float = THRESHOLD,
) -> dict[str, np.ndarray]:
    """All measures of N predictions, each an array (N,), by name.

    ``dice``, ``iou``, ``acc``, ``sen``, ``ppv``, ``hd95``, ``hausdorff`` and ``surface_dice`` compare the prediction
    cut at the threshold with the mask; ``auc`` and ``brier`` the probabilities with it; ``mae_band``, ``mse_band``,
    ``gradient_error`` and ``soft_dice`` the predicted alphas with the soft mask (the first two in its edge band);
    ``mae_alpha`` the predicted with the true alpha (in its edge band); ``dice_consensus`` the cut prediction with the
    consensus; ``dice_doctor1`` and so on the cut prediction with a reader, ``truth_doctor1`` the mask with that reader.
    Those are given only where their reference is. Which values are NaN or infinite, each measure
    says.

    Args:
        probabilities: (N, H, W) in [0, 1].
        masks: (N, H, W) bool or {0, 1}, the binary truth.
        soft: (N, H, W) in [0, 1].
        references: (N, H, W) each: ``alpha`` in [0, 1], the true lesion fraction; bool or {0, 1} ``consensus`` and
            the readers, ``doctor1`` to ``doctor4``.
        alphas: (N, H, W) in [0, 1], the predicted soft masks; None where the probabilities stand for them.
        threshold: at and above which a probability means lesion.

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
    known = ("alpha", "consensus", *DOCTORS)
    unknown = sorted(set(references).difference(known))
    if unknown:
        raise DataError(f"there is no measure against {', '.join(unknown)}; known references: {', '.join(known)}")

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
    for doctor in (name for name in DOCTORS if name in references):
        measures[f"dice_{doctor}"] = segmentation.dice(predicted, references[doctor])
        measures[f"truth_{doctor}"] = segmentation.dice(masks, references[doctor])
    return measures
