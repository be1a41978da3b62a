"""Feasibility of printed means and spreads of Dice, SEN and PPV: whether any images can have them together.

For one image D = 2SP / (S + P), so a table row gives six constraints on one distribution over the square of all (S, P):
the means and the spreads of S, P and D. Whether such a distribution exists is a linear programme over its masses w:

    minimise or maximise  sum w D   (or  sum w D^2)
    subject to  sum w = 1,  and  sum w S,  sum w S^2,  sum w P,  sum w P^2,  sum w D  within what is printed.

It is solved on a grid. Splitting a mass bilinearly between the corners of its cell keeps the means of S and P, and
changes the other sums by at most the interpolation error of each cell. The constraints are widened by this error, so if
the programme has no solution, there is none off the grid either, and its optimum is a bound. Images with an empty
prediction may count for Dice and SEN but not for PPV: an additional mass, at D = S = 0, represents them.

The +- is assumed to be the standard deviation over images, at least :data:`IMAGES` of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from softmask.measure.statistics import ratio
from softmask.papers.audit.check import POINTS, TO_EXPLAIN, Finding, Range, Row, as_printed, dice_sen_ppv, row_check

IMAGES = 30
"""Smallest number of test images of any table with spreads; a smaller number makes the spread with n - 1 larger."""

_EXPLANATION = "± is over runs or folds, or the numbers are of different runs"


def _complete(row: Row, _: Sequence[Row]) -> Iterator[Row]:
    if row.has("dice", "sen", "ppv", spread=True) and not dice_sen_ppv(row).violation > 0:
        yield row


@row_check("Dice, and SEN and PPV with their spreads", TO_EXPLAIN, each=_complete)
def mean_dice(row: Row) -> Finding:
    """Dice lies between the smallest and the largest mean of any images with these means and spreads of SEN and PPV, if
    ± is over images: where both vary little, it is near their harmonic mean. Rows that no images have whatever the
    spreads (above) are not asked again"""
    dice = row.mean("dice")
    low, high = (_optimum(_moments(row), sign) for sign in (1, -1))
    violation = float(np.max([low - dice.high, dice.low - high]))  # NaN: no shares have these means and spreads
    sen, ppv = row.words("sen", spread=True), row.words("ppv", spread=True)
    statement = (
        f"SEN {sen} and PPV {ppv} need a mean Dice of {100 * low:.2f} to {100 * high:.2f}, not {row.words('dice')}"
    )
    return Finding((), statement, 100 * violation, POINTS, _EXPLANATION)


def _means_fit(row: Row, every: Sequence[Row]) -> Iterator[Row]:
    return (part for part in _complete(row, every) if not mean_dice(part).violation > 0)


@row_check("spread of Dice", TO_EXPLAIN, each=_means_fit)
def spread_of_dice(row: Row) -> Finding:
    """it lies between the smallest and the largest of any images with these means, and these spreads of SEN and PPV, if
    ± is over images. Rows whose means do not fit are not asked again"""
    dice, spread = row.mean("dice"), row.spread("dice")
    square_min, square_max = (_optimum(_moments(row), sign, dice) for sign in (1, -1))
    # a printed spread divides by n - 1, so it is larger than these by a factor of up to sqrt(n / (n - 1))
    low = np.sqrt(np.maximum(0.0, square_min - dice.high**2))
    high = np.sqrt(np.maximum(0.0, square_max - dice.low**2) * IMAGES / (IMAGES - 1))
    violation = float(np.max([low - spread.high, spread.low - high]))  # NaN as above
    text = f"Dice {row.words('dice')}, SEN {row.words('sen', spread=True)} and PPV {row.words('ppv', spread=True)}"
    statement = (
        f"{text} need a spread of Dice of {100 * low:.1f} to {100 * high:.1f}, not {as_printed(row.cells['dice'].std)}"
    )
    return Finding((), statement, 100 * violation, POINTS, _EXPLANATION)


def _moments(row: Row) -> tuple[Range, ...]:
    """Return ranges of the means of SEN, SEN^2, PPV and PPV^2."""

    def squared(metric: str) -> Range:
        mean, spread = row.mean(metric), row.spread(metric)
        return Range(mean.low**2 + spread.low**2 * (IMAGES - 1) / IMAGES, mean.high**2 + spread.high**2)

    return row.mean("sen"), squared("sen"), row.mean("ppv"), squared("ppv")


class _Grid(NamedTuple):
    """Nodes (K,) of the square: S, P, D, and the largest errors of D, D^2, S^2 and P^2 when masses in the cells of a
    node are split."""

    sen: np.ndarray
    ppv: np.ndarray
    dice: np.ndarray
    of_dice: np.ndarray
    of_dice_squared: np.ndarray
    of_sen_squared: np.ndarray
    of_ppv_squared: np.ndarray


@cache
def _grid() -> _Grid:
    """Return a grid that is finer where means are printed; elsewhere the masses are small, and so is their error."""
    x = np.unique(np.concatenate([np.linspace(0, 0.5, 11), np.linspace(0.5, 0.8, 16), np.linspace(0.8, 1, 41)]))
    sen, ppv = np.meshgrid(x, x, indexing="ij")
    s0, p0 = np.meshgrid(x[:-1], x[:-1], indexing="ij")  # the corners of each cell
    s1, p1 = np.meshgrid(x[1:], x[1:], indexing="ij")
    height, width = s1 - s0, p1 - p0
    # bilinear interpolation errs by at most (h_S^2 max |f_SS| + h_P^2 max |f_PP|) / 8 and by the change in the cell
    with np.errstate(divide="ignore", invalid="ignore"):
        ss, pp = 4 * p1**2 / (s0 + p0) ** 3, 4 * s1**2 / (s0 + p0) ** 3  # |D_SS|, |D_PP|
        s, p = np.fmin(2 * p1**2 / (s0 + p0) ** 2, 2), np.fmin(2 * s1**2 / (s0 + p0) ** 2, 2)  # D_S, D_P
        d_max = _harmonic(s1, p1)
        dice_error = (height**2 * ss + width**2 * pp) / 8
        squared_error = (height**2 * np.fmax(s**2, d_max * ss) + width**2 * np.fmax(p**2, d_max * pp)) / 4
    dice_error = np.fmin(dice_error, d_max)
    squared_error = np.fmin(squared_error, d_max**2)
    errors = []
    for cell_errors in (dice_error, squared_error, height**2 / 4, width**2 / 4):  # per node: the largest of its cells
        padded = np.pad(cell_errors, 1)
        neighbours = [padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]]
        errors.append(np.maximum.reduce(neighbours).ravel())
    return _Grid(sen.ravel(), ppv.ravel(), _harmonic(sen, ppv).ravel(), *errors)


def _harmonic(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    return ratio(2 * s * p, s + p, empty=0.0)


@cache
def _optimum(moments: tuple[Range, ...], sign: int, dice: Range | None = None) -> float:
    """Return the smallest (``sign`` 1) or largest (-1) mean of D for these ``moments``, or of D^2 if ``dice`` gives the
    mean of D; NaN if no images fit."""
    from scipy.optimize import linprog  # slow import (a second), not needed to read printed numbers

    grid = _grid()
    sen, sen_squared, ppv, ppv_squared = moments
    rows, bounds = [], []  # conditions sum w row <= bound; last column: images with an empty prediction

    def require(low: np.ndarray, high: np.ndarray, allowed: Range) -> None:
        """Require sum w low <= allowed.high and sum w high >= allowed.low."""
        rows.extend([np.append(low, 0.0), np.append(-high, 0.0)])
        bounds.extend([allowed.high, -allowed.low])

    def require_found(low: np.ndarray, high: np.ndarray, allowed: Range) -> None:
        """Require the same of a mean over the images whose prediction is not empty."""
        rows.extend([np.append(low - allowed.high, 0.0), np.append(allowed.low - high, 0.0)])
        bounds.extend([0.0, 0.0])

    require(grid.sen, grid.sen, sen)
    require(grid.sen**2 - grid.of_sen_squared, grid.sen**2, sen_squared)
    require_found(grid.ppv, grid.ppv, ppv)
    require_found(grid.ppv**2 - grid.of_ppv_squared, grid.ppv**2, ppv_squared)
    values, error = grid.dice, grid.of_dice
    if dice is not None:
        require(values - error, values + error, dice)
        values, error = grid.dice**2, grid.of_dice_squared
    cost = np.append(sign * values - error, 0.0)
    equality = {"A_eq": np.ones((1, len(cost))), "b_eq": [1.0]}
    solution = linprog(cost, np.array(rows), bounds, **equality, bounds=(0, None), method="highs-ds")
    return sign * solution.fun if solution.status == 0 else math.nan
