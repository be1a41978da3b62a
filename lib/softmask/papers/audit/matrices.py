"""Matrices of Dice between doctors, a consensus and a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

from softmask.papers.audit.finding import (
    MUST_HOLD,
    SCALES,
    TO_EXPLAIN,
    Check,
    Finding,
    Matrix,
    Range,
    as_printed,
    matrices,
    printed_range,
)
from softmask.papers.audit.shares import POINTS
from softmask.papers.names import display
from softmask.papers.printed import Paper, PrintedCell


def checks(papers: Mapping[str, Paper]) -> list[Check]:
    """The triangle inequality within each matrix, and equal matrices for different networks."""
    found = matrices(papers)
    return [_triangles(found), _equal(found)]


def _dice(cell: PrintedCell) -> Range:
    low, high = printed_range(cell.mean, SCALES[cell.unit])
    return Range(max(low, 0.0), min(high, 1.0))


def _triangles(found: list[Matrix]) -> Check:
    """1 - IoU is a distance (Levandowsky and Winter 1971), and so is its mean; mean IoU lies in [D / (2 - D), D]."""
    checked, findings = 0, []
    for matrix in found:
        for three in combinations(matrix.raters, 3):
            for a, b, c in (three, (three[1], three[2], three[0]), (three[2], three[0], three[1])):
                sides = [matrix.cells.get(pair) for pair in ((a, c), (a, b), (b, c))]
                if any(cell is None or math.isnan(cell.mean) for cell in sides):
                    continue
                checked += 1
                direct, first, second = (_dice(cell) for cell in sides)
                longest = sum(1 - side.low / (2 - side.low) for side in (first, second))
                if 1 - direct.high > longest:
                    names = ", ".join(display("rows", rater) for rater in (a, b, c))
                    d, e, f = (as_printed(cell.mean) for cell in sides)
                    words = f"Dice {d} between the first and the last, {e} and {f} by way of the second"
                    place = f"{matrix.paper}/{matrix.table}, {names}"
                    findings.append(Finding((place,), words, 100 * (1 - direct.high - longest), POINTS))
    rule = "1 - IoU obeys the triangle inequality, so 1 - D13 <= 2 - D12 / (2 - D12) - D23 / (2 - D23) for mean Dice"
    return Check("triangles of raters", rule, MUST_HOLD, checked, tuple(findings))


def _equal(found: list[Matrix]) -> Check:
    """Of each two matrices of different networks: whether the networks' own Dice, with everyone, are the same."""
    checked, findings = 0, []
    for one, other in combinations(found, 2):
        raters = [rater for rater in one.raters if rater in other.raters]
        if one.raters[-1] == other.raters[-1] or len(raters) < 2:
            continue
        checked += 1
        sides = [[matrix.cells[matrix.raters[-1], rater] for rater in raters] for matrix in (one, other)]
        if all(_overlap(_dice(a), _dice(b)) for a, b in zip(*sides, strict=True)):
            places = tuple(f"{m.paper}/{m.table}, {display('rows', m.raters[-1])}" for m in (one, other))
            numbers = " and ".join(", ".join(as_printed(cell.mean) for cell in side) for side in sides)
            words = f"Dice with {', '.join(display('rows', rater) for rater in raters)}: {numbers}"
            reading = "one network's numbers stand in both papers"
            findings.append(Finding(places, words, float(len(raters)), "equal numbers", reading))
    rule = "different networks differ in at least one of their Dice with the same raters"
    return Check("equal matrices", rule, TO_EXPLAIN, checked, tuple(findings))


def _overlap(a: Range, b: Range) -> bool:
    return a.low <= b.high and b.low <= a.high
