"""Rows held against one another, within a paper and between papers."""

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
    Row,
    as_printed,
    printed_range,
    rows,
)
from softmask.papers.audit.shares import POINTS
from softmask.papers.names import display
from softmask.papers.printed import Paper

SAME: Mapping[tuple[str, str], str] = {
    ("softgan", "gan_loss"): "softgan",
    ("softgan", "soft_mask"): "softgan",
    ("softgan", "no_soft_label"): "improved_backbone",
    ("dsnet-v1", "gan_loss"): "dsnet_v1",
    ("dsnet-v2", "gan_loss"): "dsnet",
    ("dsnet-v2", "soft_mask"): "dsnet",
    ("dsnet-v2", "dtm_csf"): "dsnet",
    ("dsnet-v2", "with_transfer"): "dsnet",
    ("dsnet-v2", "without_transfer"): "softgan",
    ("dsnet-v2", "backbone"): "improved_backbone",
}
"""The network that a row of an ablation is, where it has another name."""

OWN = ("soft_mask_loss", "kats_dilation", "gros_interpolation", "no_soft_label", "edrfm", "sdrfm", "drtm")
"""Rows whose name means another network in each paper."""


def checks(papers: Mapping[str, Paper]) -> list[Check]:
    """Equal rows of different networks, different rows of the same network, and rows that differ by single digits."""
    found = rows(papers)
    return [
        _equal(found),
        _changes(found, within=True),
        _changes(found, within=False),
        _a_digit_apart(found),
    ]


def network(row: Row) -> str:
    """The network that a row is about; the same in two papers only where they mean the same."""
    name = SAME.get((row.paper, row.row), row.row)
    return f"{row.paper}: {name}" if name in OWN else name


def _numbers(row: Row) -> dict[str, float]:
    """Every mean and spread, shares in [0, 1]."""
    found = {}
    for name, cell in row.cells.items():
        for what, value in (("mean", cell.mean), ("std", cell.std)):
            if not math.isnan(value):
                found[f"{name} {what}"] = round(value / SCALES.get(cell.unit, 1.0), 9)
    return found


def _equal(found: list[Row]) -> Check:
    """Of each two networks on one data set: whether all means that both print are equal."""
    pairs: dict[tuple, tuple[Row, Row]] = {}
    for one, other in combinations(found, 2):
        if one.dataset == other.dataset and network(one) != network(other):
            a, b = _numbers(one), _numbers(other)
            if len([name for name in a if name in b]) > 1 and any(name.endswith("mean") and name in b for name in a):
                pairs.setdefault((network(one), one.numbers, network(other), other.numbers), (one, other))
    findings = []
    for one, other in pairs.values():
        a, b = _numbers(one), _numbers(other)
        shared = [name for name in a if name in b]
        equal = [name for name in shared if a[name] == b[name]]
        if len(equal) > 1 and all(name in equal for name in shared if name.endswith("mean")):
            metrics = dict.fromkeys(name.split()[0] for name in shared)
            words = "; ".join(
                f"{display('metrics', name)} {_cell(one, name)} and {_cell(other, name)}" for name in metrics
            )
            reading = "a row was printed twice under two names"
            findings.append(Finding((one.place, other.place), words, float(len(equal)), "equal numbers", reading))
    rule = "two networks on one data set differ in at least one of the means that are printed of both"
    return Check("equal rows", rule, TO_EXPLAIN, len(pairs), tuple(findings))


def _changes(found: list[Row], within: bool) -> Check:
    """Of each network that two tables print on one data set: whether the same numbers stand there."""
    seen: dict[tuple, tuple[Row, Row]] = {}
    for one, other in combinations(found, 2):
        same = (network(one), one.dataset) == (network(other), other.dataset)
        if not same or (one.paper == other.paper) != within or one[:3] == other[:3]:
            continue
        shared = [name for name in one.cells if one.has(name) and other.has(name)]
        if shared:  # a paper that repeats its row is compared once, and so are papers that repeat one another's
            numbers = sorted(tuple((name, row.words(name)) for name in shared) for row in (one, other))
            seen.setdefault((network(one), one.dataset, *numbers), (one, other))
    findings = []
    for one, other in seen.values():
        apart = {
            name: gap
            for name, cell in one.cells.items()
            if name in other.cells
            for gap in [_apart(cell.mean, other.cells[name].mean, cell.unit, other.cells[name].unit)]
            if gap > 0
        }
        if apart:
            words = "; ".join(
                f"{display('metrics', name)} {_cell(one, name)} and {_cell(other, name)}" for name in apart
            )
            units = {one.cells[name].unit for name in apart}
            unit = POINTS if units <= set(SCALES) else "as printed"
            reading = "a misprint" if within else "trained anew, or on other images"
            findings.append(Finding((one.place, other.place), words, max(apart.values()), unit, reading))
    if within:
        rule = "a network that two tables of one paper print has the same means in both"
        return Check("one network in two tables", rule, MUST_HOLD, len(seen), tuple(findings))
    rule = "a network that two papers print on the same data set has the same means in both"
    return Check("baselines between papers", rule, TO_EXPLAIN, len(seen), tuple(findings))


def _a_digit_apart(found: list[Row]) -> Check:
    """Of each two networks in a paper: whether, on several data sets, they have the same spreads, and means that differ
    in a single digit each."""
    printed: dict[tuple[str, str, str], list[Row]] = {}
    for row in found:
        printed.setdefault((row.paper, row.table, row.row), []).append(row)
    pairs: dict[tuple, Finding | None] = {}
    for (paper, *_), one in printed.items():
        for (other_paper, *_), other in printed.items():
            names = (network(one[0]), network(other[0]))
            if paper != other_paper or names[0] >= names[1]:
                continue
            cells = [
                (a.cells[name], b.cells[name])
                for a in one
                for b in other
                if a.dataset == b.dataset
                for name in a.cells
                if name in b.cells and not math.isnan(a.cells[name].std + b.cells[name].std)
            ]
            if len(cells) < 2:
                continue
            numbers = tuple((a.mean, a.std, b.mean, b.std) for a, b in cells)
            alike = all(a.std == b.std and _digits_between(a.mean, b.mean) == 1 for a, b in cells)
            words = "; ".join(
                f"{as_printed(a.mean)} and {as_printed(b.mean)}, both ± {as_printed(a.std)}" for a, b in cells
            )
            places = (one[0].place, other[0].place)
            reading = "one row, with a digit misread on each data set"
            finding = Finding(places, words, float(len(cells)), "means a digit apart", reading) if alike else None
            pairs.setdefault((*names, numbers), finding)
    rule = "two networks in a paper differ in a spread, or in more than one digit of a mean"
    findings = tuple(finding for finding in pairs.values() if finding is not None)
    return Check("rows a digit apart", rule, TO_EXPLAIN, len(pairs), findings)


def _digits_between(a: float, b: float) -> int:
    """In how many digits two printed numbers differ; -1 where they are not printed alike."""
    one, other = as_printed(a), as_printed(b)
    return sum(x != y for x, y in zip(one, other, strict=True)) if len(one) == len(other) else -1


def _apart(a: float, b: float, unit: str, other_unit: str) -> float:
    """How far apart two printed means are at least; shares in points. 0 where one is not printed."""
    if math.isnan(a) or math.isnan(b):
        return 0.0
    first, second = (printed_range(x, SCALES.get(u, 1.0)) for x, u in ((a, unit), (b, other_unit)))
    gap = max(0.0, first.low - second.high, second.low - first.high)
    return 100 * gap if unit in SCALES else gap


def _cell(row: Row, name: str) -> str:
    return row.words(name, spread=not math.isnan(row.cells[name].std))
