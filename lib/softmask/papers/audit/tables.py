"""Checks of rows and matrices against one another, and against the text of the papers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import combinations, permutations
from typing import Any

import yaml

from softmask.measure.verdicts import BETTER
from softmask.papers.audit.check import (
    MUST_HOLD,
    POINTS,
    TO_EXPLAIN,
    Finding,
    Papers,
    Row,
    as_printed,
    check,
    printed_range,
    rows,
    share,
)
from softmask.papers.claims import display
from softmask.papers.printed import MATRIX, SCALES, PrintedCell, PrintedTable, decimals

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
"""Network of a row of an ablation study, where the row has another name."""

OWN = ("soft_mask_loss", "kats_dilation", "gros_interpolation", "no_soft_label", "edrfm", "sdrfm", "drtm")
"""Rows whose name means a different network in each paper."""


def _matrices(papers: Papers) -> list[tuple[PrintedTable, dict[tuple[str, str], PrintedCell]]]:
    """Return every symmetric matrix, with its cells by pairs of raters; the last rater is the network."""
    tables = [table for paper in papers.values() for table in paper.tables.values() if table.kind == MATRIX]
    return [(table, {(c.row, c.metric.removeprefix("dice_with_")): c for c in table.cells}) for table in tables]


@check("triangles of raters", MUST_HOLD)
def triangles(papers: Papers) -> Iterator[Finding]:
    """1 - IoU obeys the triangle inequality, so 1 - D13 <= 2 - D12 / (2 - D12) - D23 / (2 - D23) for mean Dice"""
    # 1 - IoU is a distance (Levandowsky and Winter 1971), and so is its mean; mean IoU lies in [D / (2 - D), D]
    for table, cells in _matrices(papers):
        for x, y, z in combinations(table.rows, 3):
            for a, b, c in ((x, y, z), (y, z, x), (z, x, y)):
                sides = [cells.get(pair) for pair in ((a, c), (a, b), (b, c))]
                if any(cell is None or math.isnan(cell.mean) for cell in sides):
                    continue
                direct, *detour = (share(cell) for cell in sides)
                violation = 1 - direct.high - sum(1 - side.low / (2 - side.low) for side in detour)
                d, e, f = (as_printed(cell.mean) for cell in sides)
                statement = f"Dice {d} between the first and the last, {e} and {f} by way of the second"
                place = f"{table.paper}/{table.name}, {', '.join(display('rows', rater) for rater in (a, b, c))}"
                yield Finding((place,), statement, 100 * violation)


@check("equal matrices", TO_EXPLAIN)
def equal_matrices(papers: Papers) -> Iterator[Finding]:
    """different networks differ in at least one of their Dice with the same raters"""
    for first, second in combinations(_matrices(papers), 2):
        networks = [table.rows[-1] for table, _ in (first, second)]
        raters = [rater for rater in first[0].rows if rater in second[0].rows]
        if networks[0] == networks[1] or len(raters) < 2:
            continue
        sides = [
            [cells[network, rater] for rater in raters]
            for (_, cells), network in zip((first, second), networks, strict=True)
        ]
        ranges = [(share(a), share(b)) for a, b in zip(*sides, strict=True)]
        is_equal = all(a.low <= b.high and b.low <= a.high for a, b in ranges)
        places = tuple(f"{table.paper}/{table.name}, {display('rows', table.rows[-1])}" for table, _ in (first, second))
        numbers = " and ".join(", ".join(as_printed(cell.mean) for cell in side) for side in sides)
        statement = f"Dice with {', '.join(display('rows', rater) for rater in raters)}: {numbers}"
        explanation = "one network's numbers stand in both papers"
        yield Finding(places, statement, float(len(raters)) if is_equal else 0.0, "equal numbers", explanation)


def network(row: Row) -> str:
    """Return the network of a row; two papers have the same name only where they mean the same network."""
    name = SAME.get((row.paper, row.row), row.row)
    return f"{row.paper}: {name}" if name in OWN else name


def _numbers(row: Row) -> dict[tuple[str, str], float]:
    """Return every mean and spread by (metric, ``mean`` or ``std``), with shares in [0, 1]."""
    return {
        (name, statistic): round(value / SCALES.get(cell.unit, 1.0), 9)
        for name, cell in row.cells.items()
        for statistic, value in (("mean", cell.mean), ("std", cell.std))
        if not math.isnan(value)
    }


def _side_by_side(first: Row, second: Row, metrics: Iterable[str]) -> str:
    parts = []
    for name in dict.fromkeys(metrics):
        a, b = (row.words(name, spread=not math.isnan(row.cells[name].std)) for row in (first, second))
        parts.append(f"{display('metrics', name)} {a} and {b}")
    return "; ".join(parts)


@check("equal rows", TO_EXPLAIN)
def equal_rows(papers: Papers) -> Iterable[Finding]:
    """two networks on one data set differ in at least one of the means that are printed of both"""
    cases = {}  # rows that several tables repeat count once
    for first, second in combinations(rows(papers), 2):
        if first.dataset != second.dataset or network(first) == network(second):
            continue
        a, b = _numbers(first), _numbers(second)
        shared_keys = [key for key in a if key in b]
        means = {key for key in shared_keys if key[1] == "mean"}
        key = (network(first), first.numbers, network(second), second.numbers)
        if len(shared_keys) < 2 or not means or key in cases:
            continue
        equal_keys = {key for key in shared_keys if a[key] == b[key]}
        violation = float(len(equal_keys)) if len(equal_keys) >= 2 and means <= equal_keys else 0.0
        statement = _side_by_side(first, second, [name for name, _ in shared_keys])
        explanation = "a row was printed twice under two names"
        cases[key] = Finding((first.place, second.place), statement, violation, "equal numbers", explanation)
    return cases.values()


def _changes(papers: Papers, explanation: str, *, within: bool) -> Iterable[Finding]:
    """Return a finding for each network that two tables print on one data set: whether the numbers are the same."""
    cases = {}
    for first, second in combinations(rows(papers), 2):
        same_network = (network(first), first.dataset) == (network(second), second.dataset)
        if not same_network or (first.paper == second.paper) != within or first[:3] == second[:3]:
            continue
        shared_metrics = [name for name in first.cells if first.has(name) and second.has(name)]
        # rows that are repeated, within a paper or between papers, are compared once
        numbers = sorted(tuple((name, row.words(name)) for name in shared_metrics) for row in (first, second))
        key = (network(first), first.dataset, *numbers)
        if not shared_metrics or key in cases:
            continue
        gaps = {name: _min_gap(first.cells[name], second.cells[name]) for name in shared_metrics}
        changed_metrics = [name for name, gap in gaps.items() if gap > 0]
        unit = POINTS if {first.cells[name].unit for name in changed_metrics} <= set(SCALES) else "as printed"
        statement = _side_by_side(first, second, changed_metrics)
        cases[key] = Finding((first.place, second.place), statement, max(gaps.values()), unit, explanation)
    return cases.values()


@check("one network in two tables", MUST_HOLD)
def one_network_in_two_tables(papers: Papers) -> Iterable[Finding]:
    """a network that two tables of one paper print has the same means in both"""
    return _changes(papers, "a misprint", within=True)


@check("baselines between papers", TO_EXPLAIN)
def baselines_between_papers(papers: Papers) -> Iterable[Finding]:
    """a network that two papers print on the same data set has the same means in both"""
    return _changes(papers, "trained anew, or on other images", within=False)


@check("rows a digit apart", TO_EXPLAIN)
def rows_a_digit_apart(papers: Papers) -> Iterable[Finding]:
    """two networks in a paper differ in a spread, or in more than one digit of a mean"""
    row_groups: dict[tuple[str, str, str], list[Row]] = {}  # a row over all of its data sets
    for row in rows(papers):
        row_groups.setdefault(row[:3], []).append(row)
    cases = {}
    for first, second in permutations(row_groups.values(), 2):
        networks = (network(first[0]), network(second[0]))
        if first[0].paper != second[0].paper or networks[0] >= networks[1]:
            continue
        row_pairs = [(a, b) for a in first for b in second if a.dataset == b.dataset]
        shared_cells = [(a.cells[name], b.cells[name]) for a, b in row_pairs for name in a.cells if name in b.cells]
        pairs = [(a, b) for a, b in shared_cells if not math.isnan(a.std + b.std)]
        key = (*networks, *((a.mean, a.std, b.mean, b.std) for a, b in pairs))
        if len(pairs) < 2 or key in cases:
            continue
        means = [(as_printed(a.mean), as_printed(b.mean)) for a, b in pairs]
        match = all(a.std == b.std for a, b in pairs) and all(_a_digit_apart(a, b) for a, b in means)
        spreads = [as_printed(a.std) for a, _ in pairs]
        statement = "; ".join(f"{a} and {b}, both ± {spread}" for (a, b), spread in zip(means, spreads, strict=True))
        places, explanation = (first[0].place, second[0].place), "one row, with a digit misread on each data set"
        cases[key] = Finding(places, statement, float(len(pairs)) if match else 0.0, "means a digit apart", explanation)
    return cases.values()


def _a_digit_apart(a: str, b: str) -> bool:
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def _min_gap(a: PrintedCell, b: PrintedCell) -> float:
    """Return the smallest possible distance between two printed means; shares in points."""
    first, second = (printed_range(cell.mean, SCALES.get(cell.unit, 1.0)) for cell in (a, b))
    gap = max(0.0, first.low - second.high, second.low - first.high)
    return 100 * gap if a.unit in SCALES else gap


@cache
def stated() -> Mapping[str, Any]:
    """Return the numbers that the text of the papers states (``stated.yaml``)."""
    return yaml.safe_load((files("softmask.papers") / "stated.yaml").read_text(encoding="utf-8"))


@check("parts and wholes", MUST_HOLD)
def parts_and_wholes(papers: Papers) -> Iterator[Finding]:
    """stated parts add up to the stated whole"""
    for item in stated()["sums"]:
        total, whole = sum(item["parts"]), item["whole"]
        statement = f"{' + '.join(map(str, item['parts']))} = {total}, not {whole}"
        yield Finding((f"{item['paper']}, {item['what']}",), statement, abs(total - whole), "count")


@check("sizes of data sets", TO_EXPLAIN)
def sizes_of_data_sets(papers: Papers) -> Iterator[Finding]:
    """papers that name the same set of images state the same number of them"""
    for item in stated()["sizes"]:
        sums = {paper: sum(parts) for paper, parts in item["sizes"].items()}
        terms = {paper: " + ".join(map(str, parts)) for paper, parts in item["sizes"].items()}
        pairs: dict[tuple[str, str], tuple[str, str]] = {}
        for a, b in combinations(sums, 2):
            pairs.setdefault((terms[a], terms[b]), (a, b))  # the first of equal ones
        for pair, (a, b) in pairs.items():
            statement = f"{pair[0]} = {sums[a]} in {a}, {pair[1]} = {sums[b]} in {b}"
            places = tuple(f"{paper}, {item['what']}" for paper in sums if terms[paper] in pair)
            yield Finding(places, statement, abs(sums[a] - sums[b]), "count", "slices were chosen anew")


@check("stated gains", MUST_HOLD)
def stated_gains(papers: Papers) -> Iterator[Finding]:
    """what the text says a network leads by is what its table gives, as a difference or as a ratio"""
    for item in stated()["gains"]:
        printed = {(c.row, c.dataset, c.metric): c for c in papers[item["paper"]].table(item["table"]).cells}
        better, worse = (printed[item[role], item["dataset"], item["metric"]] for role in ("row", "over"))
        high, low = (printed_range(cell.mean, SCALES[cell.unit] / 100) for cell in (better, worse))
        names = " over ".join(display("rows", item[role]) for role in ("row", "over"))
        place = f"{item['paper']}/{item['table']}, {names}, {display('metrics', item['metric'])}"
        if "points" in item:
            gain = printed_range(item["points"])
            violation = max(0.0, high.low - low.high - gain.high, gain.low - (high.high - low.low))
            statement = f"{better.mean:g} - {worse.mean:g} = {better.mean - worse.mean:.4g}, not {item['points']:g}"
        else:
            max_gain = max(high.high - low.low, 100 * (high.high / low.low - 1))
            violation = max(0.0, 100 * item["more_than"] - max_gain)
            statement = f"{better.mean:g} / {worse.mean:g} = {better.mean / worse.mean:.3f} < {1 + item['more_than']:g}"
        yield Finding((place,), statement, violation, POINTS, "rounding of other digits, or another row")


@check("counted nodules", TO_EXPLAIN)
def counted_nodules(papers: Papers) -> Iterator[Finding]:
    """an accuracy over n nodules is k / n with a whole k"""  # Brown and Heathers 2017
    for item in stated()["counted"]:
        n = item["of"]
        for cell in papers[item["paper"]].table(item["table"]).cells:
            if cell.dataset != item["dataset"] or cell.metric not in item["metrics"]:
                continue
            low, high = printed_range(cell.mean, SCALES[cell.unit])
            is_possible = math.floor(high * n + 1e-9) >= math.ceil(low * n - 1e-9)
            k = int(cell.mean / SCALES[cell.unit] * n)
            fractions = " and ".join(f"{i} / {n} = {i / n:.{decimals(cell.mean) + 2}f}" for i in (k, k + 1))
            place = f"{item['paper']}/{item['table']}, {display('rows', cell.row)}, {display('metrics', cell.metric)}"
            violation = 0.0 if is_possible else 100 * min(abs(i / n - x) for i in (k, k + 1) for x in (low, high))
            statement = f"{cell.mean:g} lies between {fractions}"
            yield Finding((place,), statement, violation, POINTS, "a mean over repeated divisions")


@check("claims and their own tables", MUST_HOLD)
def claims_and_their_own_tables(papers: Papers) -> Iterator[Finding]:
    """the printed means are in the order that the claim says, pair by pair"""
    for paper in papers.values():
        for claim in filter(lambda claim: claim.quote, paper.claims):
            for pair in claim.pairs:
                if pair.kind == BETTER and not math.isnan(pair.printed):
                    statement = f"{pair} on {display('datasets', pair.dataset)}: {pair.printed:g}"
                    yield Finding((f"{paper.name}: {claim.words}",), statement, float(pair.printed <= 0), "pairs")
