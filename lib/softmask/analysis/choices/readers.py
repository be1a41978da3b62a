"""Choices about readers' masks: consensus, slices, contours, and how Dice is averaged. No image is looked at."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from softmask.analysis.choices.comparison import Choice, compared
from softmask.data.sample import Dataset
from softmask.errors import DataError
from softmask.measure.segmentation import dice_matrix
from softmask.parallel import progress

CROP = 64
"""Side of what networks see."""

_PAIRS = np.triu_indices(4, 1)


def read(dataset: Dataset, rows: Iterable[int]) -> pd.DataFrame:
    """One line for each slice that four readers marked, with the measures of :func:`choices`.

    A row that cannot be read, or that not all four marked, is left out and listed in ``dataset.problems``.

    Raises:
        DataError: when no row is left.
    """
    lines = []
    index = dataset.index
    for row in progress([int(row) for row in rows], "readers' masks"):
        where = dataset.name_of(row)
        try:
            readers, present = dataset.read_masks(row)
            if present.sum() != 4:
                raise DataError(f"marked by {present.sum()} readers; choices about a consensus need four")
        except DataError as error:
            dataset.add_problem(where, str(error))
            continue
        of = index.iloc[row]
        nodule = {"patient": of["patient"], "nodule": f"{of['patient']}/{of['nodule']}", "area": of["area"]}
        lines.append({"id": where, **nodule, **_slice(readers[present])})
    if not lines:
        raise DataError(f"{dataset.name}: no image that all four readers marked could be read from {dataset.origin}")
    return pd.DataFrame(lines)


def _slice(masks: np.ndarray) -> dict[str, float]:
    """Measures of one slice's masks (4, H, W)."""
    votes = masks.sum(axis=0)
    matrix = dice_matrix([masks], extra=[np.stack([votes >= 2, votes >= 3])]).values[0]  # (6, 6)
    sizes = masks.sum(axis=(1, 2))
    box = tuple(slice(max(0, (side - CROP) // 2), (side - CROP) // 2 + CROP) for side in masks.shape[1:])
    seen, wider = masks[:, *box], np.stack([_with_contour(mask) for mask in masks])
    return {
        "pairs": _mean_of_pairs(matrix),
        "pairs_size": float(np.mean(sizes[_PAIRS[0]] + sizes[_PAIRS[1]])),
        "pairs_pooled": float(_common(matrix, sizes) / np.mean(sizes[_PAIRS[0]] + sizes[_PAIRS[1]])),
        "pairs_seen": _mean_of_pairs(dice_matrix([seen]).values[0]),
        "pairs_with_contour": _mean_of_pairs(dice_matrix([wider]).values[0]),
        "two_votes": float(matrix[:4, 4].mean()),
        "three_votes": float(matrix[:4, 5].mean()),
        "doctor1": float(matrix[0, 4]),
        "no_common_pixel": float(votes.max() < 4),
        "all_agree": float(votes[votes > 0].min() == 4),
        "mean_area": float(sizes.mean()),
        "mean_area_with_contour": float(wider.sum(axis=(1, 2)).mean()),
    }


def _with_contour(mask: np.ndarray) -> np.ndarray:
    """The mask and the pixels beside it: LIDC's contour is the first pixel outside."""
    return binary_dilation(mask)


def _mean_of_pairs(matrix: np.ndarray) -> float:
    return float(matrix[:4, :4][_PAIRS].mean())


def _common(matrix: np.ndarray, sizes: np.ndarray) -> float:
    """Mean of 2 |A and B| over the pairs of readers."""
    return float(np.mean(matrix[:4, :4][_PAIRS] * (sizes[_PAIRS[0]] + sizes[_PAIRS[1]])))


def choices(found: pd.DataFrame, source: str) -> list[Choice]:
    """Every choice that :func:`read` has measured.

    Args:
        found: of :func:`read`.
        source: of the data set; its readers' masks are real in either case.
    """
    nodules = by_nodule(found)
    pairs, patients = found["pairs"].to_numpy(), found["patient"].tolist()
    owners = nodules["patient"].tolist()
    doctors = "Dice of two doctors, mean over the six pairs"
    reference = "Dice of a doctor with the consensus, mean over four"

    def slices(where: str, choice: str, instead: str, measure: str, a: str, b: str) -> Choice:
        return compared(where, choice, instead, measure, (found[a].to_numpy(), found[b].to_numpy()), patients, source)

    def of_nodules(instead: str, b: str) -> Choice:
        values = (nodules["largest"].to_numpy(), nodules[b].to_numpy())
        return compared("which slice of a nodule", "the largest", instead, doctors, values, owners, source)

    each = found.groupby("patient")["pairs"].transform("size").to_numpy()
    return [
        slices(
            "50 % consensus", "at least half: 2 of 4", "more than half: 3 of 4", reference, "two_votes", "three_votes"
        ),
        compared(
            "who is doctor 1",
            "the first of the database",
            "any, mean over all orders",
            "Dice of doctor 1 with the consensus",
            (found["doctor1"].to_numpy(), found["two_votes"].to_numpy()),
            patients,
            source,
        ),
        of_nodules("the middle one", "middle"),
        of_nodules("all, averaged", "every"),
        of_nodules("the one on which doctors agree least", "least"),
        slices("the contour's own pixels", "outside the mask", "inside", doctors, "pairs", "pairs_with_contour"),
        slices(
            "the contour's own pixels",
            "outside the mask",
            "inside",
            "area of a doctor's mask, pixels",
            "mean_area",
            "mean_area_with_contour",
        ),
        slices(f"{CROP} pixels at the centre", "the crop", "the whole image", doctors, "pairs_seen", "pairs"),
        compared(
            "mean of Dice",
            "over slices",
            "over patients, of each the mean of its slices",
            doctors,
            (pairs, pairs),
            patients,
            source,
            1 / each,
        ),
        compared(
            "mean of Dice",
            "over slices",
            "pooled: over the pixels of all slices",
            doctors,
            (pairs, found["pairs_pooled"].to_numpy()),
            patients,
            source,
            found["pairs_size"].to_numpy(),
        ),
        _share(found, "readers who share no pixel", "the core of most votes is sure lesion", "no_common_pixel", source),
        _share(found, "readers who agree on every pixel", "a band of one pixel is unknown", "all_agree", source),
    ]


def _share(found: pd.DataFrame, where: str, choice: str, column: str, source: str) -> Choice:
    """On what share of the slices another choice could change the label at all."""
    zero = np.zeros(len(found))
    measure = "share of slices whose label could differ"
    values = (zero, found[column].to_numpy())
    return compared(where, choice, "any other", measure, values, found["patient"].tolist(), source)


def by_nodule(found: pd.DataFrame) -> pd.DataFrame:
    """One line for each nodule: Dice of two doctors on its largest slice (the first of equals), on the middle one of
    those that four readers marked (the lower of two), on the one on which it is least, and their mean."""
    lines = []
    for nodule, mine in found.groupby("nodule", sort=False):
        pairs = mine["pairs"].to_numpy()
        lines.append(
            {
                "nodule": nodule,
                "patient": mine["patient"].iloc[0],
                "largest": pairs[int(np.argmax(mine["area"].to_numpy()))],
                "middle": pairs[(len(pairs) - 1) // 2],
                "every": pairs.mean(),
                "least": pairs.min(),
            }
        )
    return pd.DataFrame(lines)
