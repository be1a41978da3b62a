"""What a choice changes that the papers leave open, measured where no network has to be trained for it.

A choice is compared with its alternative on the same images: mean with the choice, mean with the alternative, and a
95 % bootstrap interval of their difference that draws whole patients. ``docs/choices.md`` says why each was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from softmask.config import BASE_SEED
from softmask.measure.statistics import mean_difference
from softmask.report.result import WORKBOOK, Cell, ResultTable

NEEDS_TRAINING = (
    "warm-up of SoftGAN's segmentor",
    "one head or two, and their layers",
    "turns of the adversary, its loss and Adam's betas",
    "loss of the baselines, and encoders trained before",
    "augmentation, and features augmented with it",
    "size of the network's images (64, or super-resolved 256)",
    "what stands for the soft label where there is none",
    "width, epochs and learning rates of the small profiles",
    "DSNet's Dice loss, with squares or without",
    "LGAN's Lipschitz bound, critic's layers and first weights",
)
"""Open points whose alternatives take a training each, so that they are not compared here."""


@dataclass(frozen=True)
class Choice:
    """One choice against one alternative.

    Attributes:
        where: what is open.
        choice, instead: what was chosen, and the alternative.
        measure: what both are measured by, with its unit.
        chosen, other: the measure with either.
        low, high: 95 % interval of other - chosen; NaN where there is none.
        n: images, or what ``measure`` says.
        source: ``real`` or ``embedded``.
    """

    where: str
    choice: str
    instead: str
    measure: str
    chosen: float
    other: float
    low: float
    high: float
    n: int
    source: str


def compared(
    where: str,
    choice: str,
    instead: str,
    measure: str,
    values: tuple[np.ndarray, np.ndarray],
    groups: Sequence[str],
    source: str,
    weights: np.ndarray | None = None,
) -> Choice:
    """The two means of ``values``, each (N,) with NaN for what is left out of it, and the interval of their difference.

    ``groups`` (N,) are patients; ``weights`` (N,) those of the alternative's values.

    Raises:
        DataError: as :func:`softmask.measure.statistics.mean_difference`.
    """
    chosen, other, low, high = mean_difference(*values, BASE_SEED, groups, weights)
    return Choice(where, choice, instead, measure, chosen, other, low, high, len(groups), source)


def table(choices: Iterable[Choice], about: str) -> ResultTable:
    """The workbook's table of choices; ``about`` says in its caption what they were measured on."""
    cells = []
    for number, one in enumerate(choices, start=1):
        texts = {"choice_and_alternative": f"{one.choice} / {one.instead}", "measure": one.measure}
        numbers = {"chosen": one.chosen, "alternative": one.other, "difference": one.other - one.chosen}
        numbers |= {"low": one.low, "high": one.high}
        row, nothing = f"{number}. {one.where}", float("nan")
        cells += [Cell(row, "", name, nothing, nothing, one.n, 1, one.source, text) for name, text in texts.items()]
        cells += [Cell(row, "", name, value, nothing, one.n, 1, one.source) for name, value in numbers.items()]
        cells.append(Cell(row, "", "values", float(one.n), nothing, one.n, 1, one.source))
    caption = (
        f"{about} Difference: alternative minus choice, with a 95 % interval (low to high) that draws whole patients. "
        f"Not here, because each takes a training: {'; '.join(NEEDS_TRAINING)}."
    )
    units = {"choice_and_alternative": "text", "measure": "text", "values": "count"}
    return ResultTable(WORKBOOK, "choices", "What open choices change", caption, cells, units)
