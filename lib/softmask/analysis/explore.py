"""The interactive bench without its sliders: a nodule, a setting of the labelling, and what that gives.

The same :func:`softmask.label.soft_mask` that makes the papers' labels, called once for each position of the sliders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from softmask.analysis import examples
from softmask.data import selection
from softmask.data.kinds import KINDS
from softmask.data.sample import Dataset, Sample
from softmask.errors import ConfigError, DataError
from softmask.label import SoftMask, consensus, soft_mask
from softmask.measure import segmentation, soft
from softmask.report import panels

SIZE = 64
"""Rows and columns of the window round a nodule, as in DSNet's crops."""

CONSENSUS = "50 % consensus"


@dataclass(frozen=True, eq=False)
class Setting:
    """What a person sets.

    Attributes:
        recist: (2, 2, 2) axes (axis, end, (row, column)) in pixels.
        radius: of the trimap's erosion and dilation in pixels; None: in proportion to the lesion.
        epsilon: ridge term of the matting.
        threshold: the soft mask is cut where alpha is at least this, in (0, 1].
    """

    recist: np.ndarray
    radius: float | None = None
    epsilon: float = 1e-7
    threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class Step:
    """What a setting gives on a nodule.

    Attributes:
        made: soft mask, trimap and GrabCut's mask.
        binary: (H, W) bool, the soft mask cut at the threshold.
        dice: Dice of ``binary`` with each reader who was present (``reader 1``, ...) and with :data:`CONSENSUS`.
        error: mean absolute error of alpha inside the band round the true edge
            (:func:`softmask.measure.soft.edge_band`); None where the true alpha is not known.
    """

    made: SoftMask
    binary: np.ndarray
    dice: Mapping[str, float]
    error: float | None


def nodules(dataset: Dataset) -> dict[str, Sample]:
    """One nodule of each kind that four readers marked, of the middle size and cut by :func:`cut`, by kind.

    Raises:
        DataError: when the data set has no such nodule.
    """
    rows = selection.largest_per_nodule(dataset.index, selection.four_reader_rows(dataset.index))
    found = examples.one_of_each_kind(dataset, rows, KINDS)
    if not found:
        raise DataError(
            f"{dataset.name}: no nodule of a known kind that four readers marked in {dataset.origin}; "
            "use data = 'embedded'"
        )
    return {kind: cut(sample) for kind, sample in found.items()}


def cut(sample: Sample) -> Sample:
    """The :data:`SIZE` x :data:`SIZE` pixels round the lesion of a sample (all of a smaller image)."""
    rows, columns = panels.crop(sample, SIZE)

    def inside(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[..., rows, columns]

    return replace(
        sample,
        image=inside(sample.image),
        readers=inside(sample.readers),
        hu=inside(sample.hu),
        alpha=inside(sample.alpha),
        nodules=inside(sample.nodules),
        recist=None if sample.recist is None else sample.recist - (rows.start, columns.start),
    )


def start(sample: Sample) -> Setting:
    """The setting to begin with: the sample's RECIST mark, or the one measured on its first reader's mask, with ends at
    half pixels, which is as finely as the sliders move them; all else as :func:`softmask.label.soft_mask` has it."""
    return Setting(np.round(2 * selection.with_recist(sample).recist) / 2)


def step(sample: Sample, setting: Setting) -> Step:
    """What a setting gives on a nodule that at least one reader marked.

    Raises:
        LabelError: where no soft mask can be made, such as of a mark without length, or there is no reader's mask.
        ConfigError: a threshold outside (0, 1].
    """
    if not 0 < setting.threshold <= 1:
        raise ConfigError(f"the threshold must lie above 0 and be at most 1, not {setting.threshold!r}")
    made = soft_mask(sample.image, recist=setting.recist, radius=setting.radius, epsilon=setting.epsilon)
    binary = made.alpha >= setting.threshold
    dice = {f"reader {i + 1}": segmentation.dice(binary, sample.readers[i]) for i in np.flatnonzero(sample.present)}
    dice[CONSENSUS] = segmentation.dice(binary, consensus.fifty_percent(sample.masks))
    error = None
    if sample.alpha is not None:
        error = float(soft.mae(made.alpha, sample.alpha, soft.edge_band(sample.alpha)))
    return Step(made, binary, {name: float(value) for name, value in dice.items()}, error)


def code(setting: Setting) -> str:
    """The call that gives the setting's binary mask of ``image``, as a line of Python."""
    return (
        f"soft_mask(image, recist={setting.recist.tolist()}, radius={setting.radius!r}, "
        f"epsilon={setting.epsilon!r}).alpha >= {setting.threshold!r}"
    )


def fixed(sample: Sample) -> dict[str, Setting]:
    """Settings that show what each slider does, by name: the one to begin with, then one change at a time."""
    first = start(sample)
    middle = first.recist.mean(axis=1, keepdims=True)
    return {
        "as marked": first,
        "mark half as long": replace(first, recist=middle + (first.recist - middle) / 2),
        "trimap radius 4 pixels": replace(first, radius=4.0),
        "epsilon 0.01": replace(first, epsilon=0.01),
        "threshold 0.1": replace(first, threshold=0.1),
    }
