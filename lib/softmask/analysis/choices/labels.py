"""Choices about labels: where a soft mask is cut, how wide a trimap is, and what the other soft labels are made with.

Each is measured on the label itself: its error against the true alpha where that is known, else its Dice with the
consensus of the readers whom the label has not seen. Regularisation, window and fixed trimap radii stand in
``workbook/matting-settings``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from softmask.analysis.choices.comparison import Choice, compared
from softmask.analysis.labelling import first_mask
from softmask.data.sample import Sample
from softmask.data.splits import crops
from softmask.label import closed_form_alpha, consensus, recist, soft_labels, trimap
from softmask.label.grabcut import grabcut_mask
from softmask.measure import segmentation, soft

BAND = "trimap from a mask"
BANDS = (0.1, 0.2, 0.3)
CUT = "where a soft mask is cut"
CUTS = (128 / 255, 0.3, 0.7, 0.9)
RADIUS, PROBABILITY, FACTOR = "Kats, radius of the band", "Kats, probability of the band", "Gros, factor"
GREY, ITERATIONS = "grey levels", "GrabCut"

_CHOSEN = {
    BAND: f"{trimap.BAND:g} of the mask's radius",
    CUT: "0.5",
    RADIUS: "1 pixel",
    PROBABILITY: "0.3",
    FACTOR: "2",
    GREY: "as the data set has them",
    ITERATIONS: "5 iterations",
}


def label_choices(sample: Sample) -> list[dict]:
    """One record for each alternative: ``where``, ``instead``, and the measure with the ``choice`` and without.

    The error of a label is its mean absolute error in the band around the true edge. What is about cutting is measured
    by Dice with the consensus of all readers but the first, from whose mask or mark every label is made.

    Raises:
        LabelError: where the sample allows no label, or has one reader only.
    """
    mask, image = first_mask(sample), sample.image
    axes = recist.axes_from_mask(mask)
    others = consensus.leave_one_out(sample.masks)[0]
    alpha = closed_form_alpha(image, trimap.from_mask(mask))
    rough = grabcut_mask(image, axes)
    marked = closed_form_alpha(image, trimap.from_mask_and_axes(rough, axes))

    def cut(label: np.ndarray, at: float = 0.5) -> float:
        return float(segmentation.dice(label >= at, others))

    def error(label: np.ndarray) -> float:
        return cut(label) if sample.alpha is None else float(soft.mae(label, sample.alpha, edge))

    edge = None if sample.alpha is None else soft.edge_band(sample.alpha)
    radius = trimap.radius_of(mask)
    by_band = [
        (
            BAND,
            f"{share:g} of it",
            error(alpha),
            error(closed_form_alpha(image, trimap.from_mask(mask, max(1, round(share * radius))))),
        )
        for share in BANDS
    ]
    by_cut = [(CUT, f"{at:.3g}", cut(marked), cut(marked, at)) for at in CUTS]
    dilated, resampled = soft_labels.kats_dilation(mask), soft_labels.gros_interpolation(mask)
    by_label = [
        (RADIUS, "2 pixels", error(dilated), error(soft_labels.kats_dilation(mask, radius=2))),
        (PROBABILITY, "0.5", error(dilated), error(soft_labels.kats_dilation(mask, probability=0.5))),
        (FACTOR, "4", error(resampled), error(soft_labels.gros_interpolation(mask, 4))),
    ]
    stretched = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    again = grabcut_mask(image, axes, 1)
    by_image = [
        (
            GREY,
            "stretched from minimum to maximum",
            error(alpha),
            error(closed_form_alpha(stretched, trimap.from_mask(mask))),
        ),
        (ITERATIONS, "1 iteration", cut(rough), cut(again)),
    ]
    return [
        {"sample": sample.id, "patient": sample.patient, "where": where, "instead": instead, "a": a, "b": b}
        for where, instead, a, b in [*by_band, *by_cut, *by_label, *by_image]
    ]


def choices(records: pd.DataFrame, source: str, truth: bool) -> list[Choice]:
    """The choices behind the records of :func:`label_choices`; ``truth``: whether the true alpha was known."""
    dice = "Dice with the consensus of the other readers"
    error = "mean absolute error of alpha in the edge band" if truth else dice
    return [
        compared(
            str(where),
            _CHOSEN[str(where)],
            str(instead),
            dice if where in (CUT, ITERATIONS) else error,
            (mine["a"].to_numpy(), mine["b"].to_numpy()),
            mine["patient"].tolist(),
            source,
        )
        for (where, instead), mine in records.groupby(["where", "instead"], sort=False)
    ]


def shrunk(sample: Sample, dataset: str, size: int) -> list[dict]:
    """For each image that ``dataset``'s experiments cut from a sample: Dice between the truth as it is shown with
    ``size`` pixels (at least half of a pixel is lesion) and the value at each pixel's centre."""
    mask = first_mask(sample)
    found = []
    for crop in crops(dataset, sample, size):
        places = (np.arange(size) + 0.5) / size
        rows = np.clip((crop.top + places * crop.height).astype(int), 0, mask.shape[0] - 1)
        columns = np.clip((crop.left + places * crop.width).astype(int), 0, mask.shape[1] - 1)
        nearest = mask[np.ix_(rows, columns)]
        found.append({"patient": sample.patient, "b": float(segmentation.dice(nearest, crop.of(mask, size)))})
    return found


def shrunk_choice(records: Sequence[dict], dataset: str, source: str) -> Choice:
    """What the records of :func:`shrunk` say of a data set."""
    other = np.array([record["b"] for record in records])
    return compared(
        f"images shown with fewer pixels, {dataset}",
        "lesion where half of a pixel is",
        "the value at the pixel's centre",
        "Dice with the choice's mask",
        (np.ones(len(other)), other),
        [record["patient"] for record in records],
        source,
    )
