"""What the papers' texts say in numbers (``stated.yaml``), held against itself and against their tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files
from itertools import combinations
from typing import Any

import yaml

from softmask.papers.audit.finding import MUST_HOLD, SCALES, TO_EXPLAIN, Check, Finding, decimals, printed_range
from softmask.papers.audit.shares import POINTS
from softmask.papers.names import display
from softmask.papers.printed import Paper, PrintedCell


def checks(papers: Mapping[str, Paper], content: Mapping[str, Any] | None = None) -> list[Check]:
    """Sums, sizes between papers, gains, and counted shares; ``content``: by default the package's own file."""
    if content is None:
        content = yaml.safe_load((files("softmask.papers") / "stated.yaml").read_text(encoding="utf-8"))
    return [
        _sums(content["sums"]),
        _sizes(content["sizes"]),
        _gains(content["gains"], papers),
        _counted(content["counted"], papers),
    ]


def _sums(stated: list[Mapping[str, Any]]) -> Check:
    findings = []
    for one in stated:
        total = sum(one["parts"])
        if total != one["whole"]:
            words = f"{' + '.join(map(str, one['parts']))} = {total}, not {one['whole']}"
            place = f"{one['paper']}, {one['what']}"
            findings.append(Finding((place,), words, abs(total - one["whole"]), "count"))
    return Check("parts and wholes", "stated parts add up to the stated whole", MUST_HOLD, len(stated), tuple(findings))


def _sizes(stated: list[Mapping[str, Any]]) -> Check:
    checked, findings = 0, []
    for one in stated:
        sums = {paper: sum(parts) for paper, parts in one["sizes"].items()}
        words = {paper: " + ".join(map(str, parts)) for paper, parts in one["sizes"].items()}
        seen = set()
        for a, b in combinations(sums, 2):
            if (words[a], words[b]) in seen:
                continue
            seen.add((words[a], words[b]))
            checked += 1
            if sums[a] != sums[b]:
                said = f"{words[a]} = {sums[a]} in {a}, {words[b]} = {sums[b]} in {b}"
                reading = "slices were chosen anew"
                same = [p for p in sums if words[p] in (words[a], words[b])]
                places = tuple(f"{paper}, {one['what']}" for paper in same)
                findings.append(Finding(places, said, abs(sums[a] - sums[b]), "count", reading))
    rule = "papers that name the same set of images state the same number of them"
    return Check("sizes of data sets", rule, TO_EXPLAIN, checked, tuple(findings))


def _gains(stated: list[Mapping[str, Any]], papers: Mapping[str, Paper]) -> Check:
    findings = []
    for one in stated:
        better, worse = (_find(papers, one, one[role]) for role in ("row", "over"))
        high, low = (printed_range(cell.mean, SCALES[cell.unit] / 100) for cell in (better, worse))
        names = [display("rows", one[role]) for role in ("row", "over")]
        place = f"{one['paper']}/{one['table']}, {names[0]} over {names[1]}, {display('metrics', one['metric'])}"
        if "points" in one:
            said = printed_range(one["points"])
            beyond = max(0.0, high.low - low.high - said.high, said.low - (high.high - low.low))
            words = f"{better.mean:g} - {worse.mean:g} = {better.mean - worse.mean:.4g}, not {one['points']:g}"
        else:
            most = max(high.high - low.low, 100 * (high.high / low.low - 1))
            beyond = max(0.0, 100 * one["more_than"] - most)
            words = f"{better.mean:g} / {worse.mean:g} = {better.mean / worse.mean:.3f} < {1 + one['more_than']:g}"
        if beyond > 0:
            findings.append(Finding((place,), words, beyond, POINTS, "rounding of other digits, or another row"))
    rule = "what the text says a network leads by is what its table gives, as a difference or as a ratio"
    return Check("stated gains", rule, MUST_HOLD, len(stated), tuple(findings))


def _counted(stated: list[Mapping[str, Any]], papers: Mapping[str, Paper]) -> Check:
    """Whether a printed share is k / n for a whole k (Brown and Heathers 2017)."""
    checked, findings = 0, []
    for one in stated:
        for cell in papers[one["paper"]].table(one["table"]).cells():
            if cell.dataset != one["dataset"] or cell.metric not in one["metrics"]:
                continue
            checked += 1
            low, high = printed_range(cell.mean, SCALES[cell.unit])
            if math.floor(high * one["of"] + 1e-9) >= math.ceil(low * one["of"] - 1e-9):
                continue
            k = cell.mean / SCALES[cell.unit] * one["of"]
            near = [f"{n} / {one['of']} = {n / one['of']:.{decimals(cell.mean) + 2}f}" for n in (int(k), int(k) + 1)]
            place = f"{one['paper']}/{one['table']}, {display('rows', cell.row)}, {display('metrics', cell.metric)}"
            beyond = min(abs(n / one["of"] - x) for n in (int(k), int(k) + 1) for x in (low, high))
            words = f"{cell.mean:g} lies between {near[0]} and {near[1]}"
            findings.append(Finding((place,), words, 100 * beyond, POINTS, "a mean over repeated divisions"))
    rule = "an accuracy over n nodules is k / n with a whole k"
    return Check("counted nodules", rule, TO_EXPLAIN, checked, tuple(findings))


def _find(papers: Mapping[str, Paper], one: Mapping[str, Any], row: str) -> PrintedCell:
    wanted = (row, one["dataset"], one["metric"])
    cells = papers[one["paper"]].table(one["table"]).cells()
    return next(cell for cell in cells if (cell.row, cell.dataset, cell.metric) == wanted)
