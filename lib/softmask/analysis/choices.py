"""What a choice changes that the papers leave open, about readers' masks and labels. Nothing is trained for it.

A choice is compared with its alternative on the same images: mean with the choice, mean with the alternative, and a
95 % bootstrap interval of their difference that draws whole patients. A label is measured by its error against the true
alpha where that is known, else by its Dice with the consensus of the readers whom it has not seen.
:mod:`softmask.analysis.ledger` adds the choices about testing; ``docs/choices.md`` says why each was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from softmask.analysis.doctors import PAIRS, masks_of_four
from softmask.analysis.labels import first_mask
from softmask.config import BASE_SEED
from softmask.data.sample import Dataset, Sample
from softmask.data.splits import crops
from softmask.errors import DataError
from softmask.label import closed_form_alpha, consensus, recist, soft_labels, trimap
from softmask.label.grabcut import grabcut_mask
from softmask.measure import segmentation, soft
from softmask.measure.segmentation import dice_matrix
from softmask.measure.statistics import mean_difference
from softmask.parallel import progress

CROP = 64
"""Side of what networks see."""
LABEL_CUTS = (128 / 255, 0.3, 0.7, 0.9)


class Choice(NamedTuple):
    """One choice against one alternative."""

    where: str  # the open point
    choice: str
    instead: str  # the alternative
    measure: str  # of both, with its unit
    chosen: float  # the measure with the choice
    other: float  # and with the alternative
    low: float  # 95 % interval of other - chosen
    high: float
    n: int  # images, or as ``measure`` says
    source: str  # real or embedded


def compared(
    words: Sequence[str], a: Sequence, b: Sequence, groups: Sequence[str], source: str, weights=None
) -> Choice:
    """Return the two means of ``a`` and ``b``, and the interval of their difference.

    Args:
        words: where, choice, instead and measure of a :class:`Choice`.
        a, b: (N,) values with the choice and with the alternative, NaN for what is left out of either mean.
        groups: (N,) patients.
        weights: (N,) of the alternative's values.
    """
    means = mean_difference(np.asarray(a, float), np.asarray(b, float), BASE_SEED, list(groups), weights)
    return Choice(*words, *means, len(groups), source)


def read_slices(dataset: Dataset, rows: Iterable[int]) -> pd.DataFrame:
    """Return one line for each slice that four readers marked, with the measures of :func:`reader_choices`.

    A row that cannot be read, or that not all four marked, is left out and listed in ``dataset.problems``.

    Raises:
        DataError: when no row is left.
    """
    lines = []
    for row in progress([int(row) for row in rows], "readers' masks"):
        where, about = dataset.name_of(row), dataset.index.iloc[row]
        try:
            masks = masks_of_four(dataset, row, "choices about a consensus need")
        except DataError as error:
            dataset.add_problem(where, str(error))
            continue
        nodule = f"{about['patient']}/{about['nodule']}"
        lines.append({"patient": about["patient"], "nodule": nodule, "area": about["area"], **_slice(masks)})
    if not lines:
        raise DataError(f"{dataset.name}: no image that all four readers marked could be read from {dataset.origin}")
    return pd.DataFrame(lines)


def _slice(masks: np.ndarray) -> dict[str, float]:
    """Measures of one slice's masks (4, H, W)."""

    def mean_of_pairs(masks: np.ndarray) -> float:
        return float(dice_matrix([masks]).values[0][PAIRS].mean())

    votes, sizes = masks.sum(axis=0), masks.sum(axis=(1, 2))
    matrix = dice_matrix([masks], extra=[np.stack([votes >= 2, votes >= 3])]).values[0]  # (6, 6)
    box = tuple(slice(max(0, (side - CROP) // 2), (side - CROP) // 2 + CROP) for side in masks.shape[1:])
    wider = np.stack([binary_dilation(mask) for mask in masks])  # LIDC's contour is the first pixel outside
    of_both = sizes[PAIRS[0]] + sizes[PAIRS[1]]
    return {
        "pairs": float(matrix[PAIRS].mean()),
        "pairs_size": float(np.mean(of_both)),
        "pairs_pooled": float(np.mean(matrix[PAIRS] * of_both)) / np.mean(of_both),  # 2 |A and B| over the pairs
        "pairs_seen": mean_of_pairs(masks[:, *box]),
        "pairs_with_contour": mean_of_pairs(wider),
        "two_votes": float(matrix[:4, 4].mean()),
        "three_votes": float(matrix[:4, 5].mean()),
        "doctor1": float(matrix[0, 4]),
        "no_common_pixel": float(votes.max() < 4),
        "all_agree": float(votes[votes > 0].min() == 4),
        "mean_area": float(sizes.mean()),
        "mean_area_with_contour": float(wider.sum(axis=(1, 2)).mean()),
    }


def by_nodule(slices: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each nodule: Dice of two doctors on its largest slice (the first of equals), on the middle
    one of those that four readers marked (the lower of two), on the one on which it is least, and their mean."""
    lines = []
    for nodule, lines_of in slices.groupby("nodule", sort=False):
        pairs = lines_of["pairs"].to_numpy()
        line = {"nodule": nodule, "patient": lines_of["patient"].iloc[0]}
        line |= {"largest": pairs[int(np.argmax(lines_of["area"].to_numpy()))], "middle": pairs[(len(pairs) - 1) // 2]}
        lines.append(line | {"every": pairs.mean(), "least": pairs.min()})
    return pd.DataFrame(lines)


def reader_choices(slices: pd.DataFrame, source: str) -> list[Choice]:
    """Return the choices about readers' masks: consensus, slices, contours, and how Dice is averaged.

    Args:
        slices: of :func:`read_slices`.
        source: of the data set; its readers' masks are real in either case.
    """
    doctors = "Dice of two doctors, mean over the six pairs"
    reference = "Dice of a doctor with the consensus, mean over four"
    share = "share of slices whose label could differ"
    contour = ("the contour's own pixels", "outside the mask", "inside")
    which, averaged = ("which slice of a nodule", "the largest"), ("mean of Dice", "over slices")
    each = slices.groupby("patient")["pairs"].transform("size")
    slices = slices.assign(zero=0.0, share_of_patient=1 / each)
    nodules = by_nodule(slices)
    asked = [  # words, columns of choice and alternative, weights of the alternative
        (
            "50 % consensus",
            "at least half: 2 of 4",
            "more than half: 3 of 4",
            reference,
            "two_votes",
            "three_votes",
            "",
        ),
        (
            *("who is doctor 1", "the first of the database", "any, mean over all orders"),
            *("Dice of doctor 1 with the consensus", "doctor1", "two_votes", ""),
        ),
        (*which, "the middle one", doctors, "largest", "middle", ""),
        (*which, "all, averaged", doctors, "largest", "every", ""),
        (*which, "the one on which doctors agree least", doctors, "largest", "least", ""),
        (*contour, doctors, "pairs", "pairs_with_contour", ""),
        (*contour, "area of a doctor's mask, pixels", "mean_area", "mean_area_with_contour", ""),
        (f"{CROP} pixels at the centre", "the crop", "the whole image", doctors, "pairs_seen", "pairs", ""),
        (*averaged, "over patients, of each the mean of its slices", doctors, "pairs", "pairs", "share_of_patient"),
        (*averaged, "pooled: over the pixels of all slices", doctors, "pairs", "pairs_pooled", "pairs_size"),
        (
            *("readers who share no pixel", "the core of most votes is sure lesion", "any other", share),
            *("zero", "no_common_pixel", ""),
        ),
        (
            *("readers who agree on every pixel", "a band of one pixel is unknown", "any other", share),
            *("zero", "all_agree", ""),
        ),
    ]
    made = []
    for *words, a, b, weights in asked:
        frame = slices if a in slices else nodules
        weighted = frame[weights].to_numpy() if weights else None
        made.append(compared(words, frame[a], frame[b], frame["patient"], source, weighted))
    return made


def label_lines(sample: Sample) -> list[dict]:
    """Return one record for each alternative in the making of a label: ``where``, ``choice``, ``instead``, ``measure``,
    and the measure with the choice (``a``) and without (``b``).

    The error of a label is its mean absolute error in the band around the true edge. What is about cutting is measured
    by Dice with the consensus of all readers but the first, from whose mask or mark every label is made.
    Regularisation, window and fixed trimap radii stand in ``workbook/matting-settings``.

    Raises:
        LabelError: where the sample allows no label, or has one reader only.
    """
    mask, image = first_mask(sample), sample.image
    axes = recist.axes_from_mask(mask)
    others = consensus.leave_one_out(sample.masks)[0]
    edge = None if sample.alpha is None else soft.edge_band(sample.alpha)

    def cut(label: np.ndarray, at: float = 0.5) -> float:
        return float(segmentation.dice(label >= at, others))

    def error(label: np.ndarray) -> float:
        return cut(label) if edge is None else float(soft.mae(label, sample.alpha, edge))

    def band(share: float) -> np.ndarray:
        return closed_form_alpha(image, trimap.from_mask(mask, max(1, round(share * trimap.radius_of(mask)))))

    alpha = closed_form_alpha(image, trimap.from_mask(mask))
    rough = grabcut_mask(image, axes)
    marked = closed_form_alpha(image, trimap.from_mask_and_axes(rough, axes))
    dilated, resampled = soft_labels.kats_dilation(mask), soft_labels.gros_interpolation(mask)
    stretched = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    grey, trimaps = "as the data set has them", f"{trimap.BAND:g} of the mask's radius"
    of_label = [  # where, choice, instead, the label with either
        *(("trimap from a mask", trimaps, f"{share:g} of it", alpha, band(share)) for share in (0.1, 0.2, 0.3)),
        ("Kats, radius of the band", "1 pixel", "2 pixels", dilated, soft_labels.kats_dilation(mask, radius=2)),
        ("Kats, probability of the band", "0.3", "0.5", dilated, soft_labels.kats_dilation(mask, probability=0.5)),
        ("Gros, factor", "2", "4", resampled, soft_labels.gros_interpolation(mask, 4)),
        (
            *("grey levels", grey, "stretched from minimum to maximum", alpha),
            closed_form_alpha(stretched, trimap.from_mask(mask)),
        ),
    ]
    dice = "Dice with the consensus of the other readers"
    by_error = dice if edge is None else "mean absolute error of alpha in the edge band"
    lines = [(*words, by_error, error(a), error(b)) for *words, a, b in of_label]
    cuts = [("where a soft mask is cut", "0.5", f"{at:.3g}", dice, cut(marked), cut(marked, at)) for at in LABEL_CUTS]
    lines[3:3] = cuts
    lines.append(("GrabCut", "5 iterations", "1 iteration", dice, cut(rough), cut(grabcut_mask(image, axes, 1))))
    names = ("where", "choice", "instead", "measure", "a", "b")
    return [{"sample": sample.id, "patient": sample.patient} | dict(zip(names, line, strict=True)) for line in lines]


def label_choices(lines: pd.DataFrame, source: str) -> list[Choice]:
    """Return the choices behind the records of :func:`label_lines`."""
    return [
        compared(words, records["a"], records["b"], records["patient"], source)
        for words, records in lines.groupby(["where", "choice", "instead", "measure"], sort=False)
    ]


def shrunk_lines(sample: Sample, dataset: str, size: int) -> list[dict]:
    """Return, for each image that ``dataset``'s experiments cut from a sample, Dice between the truth as it is shown
    with ``size`` pixels (at least half of a pixel is lesion) and the value at each pixel's centre."""
    mask, lines = first_mask(sample), []
    places = (np.arange(size) + 0.5) / size
    for crop in crops(dataset, sample, size):
        rows = np.clip((crop.top + places * crop.height).astype(int), 0, mask.shape[0] - 1)
        columns = np.clip((crop.left + places * crop.width).astype(int), 0, mask.shape[1] - 1)
        dice = segmentation.dice(mask[np.ix_(rows, columns)], crop.of(mask, size))
        lines.append({"patient": sample.patient, "b": float(dice)})
    return lines


def shrunk_choice(lines: Sequence[dict], dataset: str, source: str) -> Choice:
    """Return what the records of :func:`shrunk_lines` say of a data set."""
    where = f"images shown with fewer pixels, {dataset}"
    instead, measure = "the value at the pixel's centre", "Dice with the choice's mask"
    words = (where, "lesion where half of a pixel is", instead, measure)
    other = [line["b"] for line in lines]
    return compared(words, np.ones(len(other)), other, [line["patient"] for line in lines], source)
