"""Definition of a check, and bounds between the numbers of one row.

Means of shares bound one another if they come from the same pixel counts. With TP, FP and FN of one
image, IoU J = TP / (TP + FP + FN), Dice D = 2J / (1 + J), sensitivity S = TP / (TP + FN), PPV P = TP / (TP + FP) and
D = 2SP / (S + P). Each bound follows from Jensen's inequality or from a chord, so it holds for means over images, for
numbers pooled over pixels, and for means over runs of either. Pairs of empty masks are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from softmask.papers.claims import display
from softmask.papers.printed import SCALES, VALUES, Paper, PrintedCell, decimals

MUST_HOLD, TO_EXPLAIN = "must hold", "to explain"
"""``must hold``: true for all numbers that were measured as the papers define them; ``to explain``: numbers may violate
the rule for a reason that the paper does not give."""

POINTS = "points"


@dataclass(frozen=True)
class Finding:
    """Result of a check for one set of printed numbers.

    Attributes:
        places: where the numbers are printed, such as ``softgan/table-1, U-Net, LNSM``.
        inequality: the formula with the numbers in it.
        violation: size of the violation in ``unit``, allowing for rounding or truncation; 0 or less if it passes.
        explanation: a benign explanation, or empty where none is known.
    """

    places: tuple[str, ...]
    inequality: str
    violation: float
    unit: str = POINTS
    explanation: str = ""


@dataclass(frozen=True)
class Check:
    """One rule and its results.

    Attributes:
        checked: number of sets of numbers checked; sets that several tables repeat count once.
        findings: findings for the sets that fail.
    """

    name: str
    rule: str
    level: str
    checked: int
    findings: tuple[Finding, ...]


Papers = Mapping[str, Paper]

CHECKS: dict[str, Callable[[Papers], Check]] = {}
"""Every check by name, in the order of the report."""


def check(name: str, level: str) -> Callable:
    """Return a decorator for a function of the papers that yields a :class:`Finding` for each set of numbers: the
    function is registered in :data:`CHECKS`, with its docstring as the rule."""

    def register(cases: Callable[[Papers], Iterable[Finding]]) -> Callable:
        def run(papers: Papers) -> Check:
            findings = list(cases(papers))
            violations = tuple(finding for finding in findings if finding.violation > 0)
            return Check(name, " ".join(cases.__doc__.split()), level, len(findings), violations)

        CHECKS[name] = run
        return cases

    return register


class Range(NamedTuple):
    """Range of the values that a printed number can represent."""

    low: float
    high: float


def printed_range(value: float, scale: float = 1.0) -> Range:
    """Return [v - u/2, v + u] / scale, with u one unit in the last printed place: v may be rounded or truncated."""
    unit = 10.0 ** -decimals(value)
    return Range((value - unit / 2) / scale, (value + unit) / scale)


def as_printed(value: float) -> str:
    return f"{value:.{decimals(value)}f}"


def share(cell: PrintedCell) -> Range:
    """Return the range of the printed mean of a share, in [0, 1] whatever the printed unit."""
    low, high = printed_range(cell.mean, SCALES[cell.unit])
    return Range(max(low, 0.0), min(high, 1.0))


class Row(NamedTuple):
    """Printed numbers in one row of a table for one data set; ``note``: the note on the printed table."""

    paper: str
    table: str
    row: str
    dataset: str
    cells: Mapping[str, PrintedCell]
    note: str = ""

    @property
    def place(self) -> str:
        dataset = display("datasets", self.dataset)
        return f"{self.paper}/{self.table}, {display('rows', self.row)}" + (f", {dataset}" if dataset else "")

    @property
    def numbers(self) -> tuple:
        """Key for equality of rows: data set, metrics, and their numbers."""
        return (self.dataset, *((name, cell.mean, str(cell.std)) for name, cell in self.cells.items()))

    def has(self, *metrics: str, spread: bool = False) -> bool:
        """Return whether a mean (with ``spread``, also a spread) is printed for each of ``metrics``."""
        cells = [self.cells.get(name) for name in metrics]
        return all(cell and not math.isnan(cell.mean) and not (spread and math.isnan(cell.std)) for cell in cells)

    def mean(self, metric: str) -> Range:
        return share(self.cells[metric])

    def spread(self, metric: str) -> Range:
        low, high = printed_range(self.cells[metric].std, self.scale(metric))
        return Range(max(low, 0.0), high)

    def words(self, metric: str, *, spread: bool = False) -> str:
        """Return the number as printed: ``88.98``, or ``88.98 ± 2.5``."""
        cell = self.cells[metric]
        return f"{as_printed(cell.mean)} ± {as_printed(cell.std)}" if spread else as_printed(cell.mean)

    def scale(self, metric: str) -> float:
        return SCALES[self.cells[metric].unit]


def rows(papers: Papers) -> list[Row]:
    """Return all rows of the tables of numbers (not of matrices and descriptions), in print order."""
    cells: dict[tuple[str, str, str, str], dict[str, PrintedCell]] = {}
    for paper in papers.values():
        for table in paper.tables.values():
            for cell in table.cells if table.kind == VALUES else ():
                cells.setdefault((paper.name, table.name, cell.row, cell.dataset), {})[cell.metric] = cell
    return [Row(*key, by_metric, papers[key[0]].tables[key[1]].note) for key, by_metric in cells.items()]


def row_check(
    name: str, level: str, *needs: str, each: Callable[[Row, Sequence[Row]], Iterable[Row]] = lambda row, _: (row,)
) -> Callable:
    """Return a decorator like :func:`check` for a function of a :class:`Row` that returns a finding without places.

    Rows with equal numbers are judged once; the finding then has the places of all of them.

    Args:
        needs: metrics that a row must print.
        each: function of one row and all rows that yields the rows to judge; by default the row itself.
    """

    def register(judge: Callable[[Row], Finding]) -> Callable:
        def cases(papers: Papers) -> Iterable[Finding]:
            groups: dict[tuple, list[Row]] = {}
            all_rows = rows(papers)
            for row in all_rows:
                for judged_row in each(row, all_rows):
                    if judged_row.has(*needs):
                        groups.setdefault(judged_row.numbers, []).append(judged_row)
            for equal_rows in groups.values():
                finding = judge(equal_rows[0])
                notes = dict.fromkeys(f"note on the published table: {row.note}" for row in equal_rows if row.note)
                explanation = "; ".join([finding.explanation, *notes])
                yield replace(finding, places=tuple(row.place for row in equal_rows), explanation=explanation)

        cases.__doc__ = judge.__doc__
        check(name, level)(cases)
        return judge

    return register


_OTHER_IMAGES = (
    "a misprint; numbers of different runs or images; or one is a mean over images and another over all pixels together"
)


def _violation(words: str, share: float, explanation: str = _OTHER_IMAGES) -> Finding:
    """Return a finding without places, given the share by which a bound is violated."""
    return Finding((), words, 100 * share, POINTS, explanation)


def _larger(*bounds: Finding) -> Finding:
    return max(bounds, key=lambda finding: finding.violation)


@row_check("Dice and IoU", MUST_HOLD, "dice", "iou")
def dice_and_iou(row: Row) -> Finding:
    """mean J <= mean D <= 2 mean J / (1 + mean J): D = 2J / (1 + J) is concave in J"""
    dice, iou, scale = row.mean("dice"), row.mean("iou"), row.scale("dice")
    j, d_text, j_text = row.cells["iou"].mean, row.words("dice"), row.words("iou")
    statement = f"2 x {j_text} / ({scale:g} + {j_text}) = {_bound(2 * j / (scale + j) * scale, scale)} < {d_text}"
    upper_finding = _violation(statement, dice.low - 2 * iou.high / (1 + iou.high))
    return _larger(upper_finding, _violation(f"{d_text} < {j_text}", iou.low - dice.high))


@row_check("Dice, SEN and PPV", MUST_HOLD, "dice", "sen", "ppv")
def dice_sen_ppv(row: Row) -> Finding:
    """S + P - 1 <= mean D <= 2SP / (S + P), with S and P the means: the harmonic mean of two shares is concave. It
    holds, too, where images with nothing found count for Dice and SEN and not for PPV"""
    dice, sen, ppv, scale = row.mean("dice"), row.mean("sen"), row.mean("ppv"), row.scale("dice")
    s, p = row.cells["sen"].mean, row.cells["ppv"].mean
    d_text, s_text, p_text = (row.words(name) for name in ("dice", "sen", "ppv"))
    statement = f"2 x {s_text} x {p_text} / ({s_text} + {p_text}) = {_bound(2 * s * p / (s + p), scale)} < {d_text}"
    upper_finding = _violation(statement, dice.low - 2 * sen.high * ppv.high / (sen.high + ppv.high))
    statement = f"{s_text} + {p_text} - {scale:g} = {_bound(s + p - scale, scale)} > {d_text}"
    return _larger(upper_finding, _violation(statement, sen.low + ppv.low - 1 - dice.high))


@row_check("IoU and accuracy", MUST_HOLD, "iou", "acc")
def iou_and_accuracy(row: Row) -> Finding:
    """mean J <= mean ACC: the lesion and what was found cover no more than the image"""
    return _violation(f"{row.words('iou')} > {row.words('acc')}", row.mean("iou").low - row.mean("acc").high)


def _by_mask(row: Row, _: Sequence[Row]) -> Iterator[Row]:
    """Yield ``acc_binary`` and ``auc_binary`` as ``acc`` and ``auc``, and the same for the soft mask."""
    for kind in dict.fromkeys(name.partition("_")[2] for name in row.cells if name.startswith(("acc_", "auc_"))):
        cells = {name.partition("_")[0]: cell for name, cell in row.cells.items() if name.endswith(f"_{kind}")}
        yield row._replace(row=f"{row.row}, {kind} mask", cells=cells)


@row_check("AUC and accuracy", MUST_HOLD, "acc", "auc", each=_by_mask)
def auc_and_accuracy(row: Row) -> Finding:
    """AUC >= 2 ACC - 1 for two classes of one size: one point of the ROC curve with the accuracy ACC"""
    a, scale = row.cells["acc"].mean, row.scale("auc")
    statement = f"2 x {a:g} - {scale:g} = {_bound(2 * a - scale, scale)} > {row.words('auc')}"
    explanation = "the AUC is of other scores than the decisions"
    return _violation(statement, 2 * row.mean("acc").low - 1 - row.mean("auc").high, explanation)


def _one_by_one(row: Row, _: Sequence[Row]) -> Iterator[Row]:
    for name, cell in row.cells.items():
        if cell.unit in SCALES and not math.isnan(cell.std):
            yield row._replace(cells={name: cell})


@row_check("spread of a share", MUST_HOLD, each=_one_by_one)
def spread_of_share(row: Row) -> Finding:
    """standard deviation <= sqrt(2 m (1 - m)) for values in [0, 1] with mean m, whatever their number"""
    [metric] = row.cells
    mean, spread, scale = row.mean(metric), row.spread(metric), row.scale(metric)
    worst_mean = min(max(0.5, mean.low), mean.high)  # the possible mean of largest spread
    m = row.cells[metric].mean / scale
    bound = _bound(math.sqrt(2 * m * (1 - m)) * scale, scale)
    statement = f"{row.words(metric, spread=True)}: sqrt(2 x {m:g} x {1 - m:.4g}) = {bound} < {row.cells[metric].std:g}"
    explanation = "the spread is in another unit than the mean: percent"
    return _violation(statement, spread.low - math.sqrt(2 * worst_mean * (1 - worst_mean)), explanation)


def _means_and_medians(row: Row, _: Sequence[Row]) -> Iterator[Row]:
    """Yield ``mean_iou`` and ``median_iou`` as ``mean`` and ``median``, and the same for every metric with both."""
    for name in (name.removeprefix("mean_") for name in row.cells if name.startswith("mean_")):
        if f"median_{name}" in row.cells:
            yield row._replace(cells={"mean": row.cells[f"mean_{name}"], "median": row.cells[f"median_{name}"]})


@row_check("mean and median", MUST_HOLD, "mean", "median", each=_means_and_medians)
def mean_and_median(row: Row) -> Finding:
    """median / 2 <= mean, and for shares mean <= (1 + median) / 2: half of the values lie on either side"""
    mean, median = row.cells["mean"], row.cells["median"]
    low = printed_range(median.mean).low / 2 - printed_range(mean.mean).high
    lower_finding = Finding((), f"{median.mean:g} / 2 > {mean.mean:g}", low, mean.unit, _OTHER_IMAGES)
    if mean.unit not in SCALES:
        return lower_finding
    high = row.mean("mean").low - (1 + row.mean("median").high) / 2
    return _larger(lower_finding, _violation(f"(1 + {median.mean:g}) / 2 < {mean.mean:g}", high))


def other_unit(every: Sequence[Row], paper: str, table: str) -> bool:
    """Return whether a spread of a table cannot be in the unit of its mean: all its spreads are in another unit."""
    parts = (part for row in every if row[:2] == (paper, table) for part in _one_by_one(row, every))
    return any(spread_of_share(part).violation > 0 for part in parts)


def _with_unit_of_spread(row: Row, every: Sequence[Row]) -> Iterator[Row]:
    """Yield :func:`_means_and_medians` with a spread, and with a cell ``percent`` if :func:`other_unit` is true."""
    percent = other_unit(every, *row[:2])
    for part in _means_and_medians(row, every):
        if part.has("mean", spread=True):
            cells = part.cells | ({"percent": part.cells["mean"]} if percent else {})
            yield part._replace(cells=cells)


@row_check("mean, median and spread", MUST_HOLD, "mean", "median", each=_with_unit_of_spread)
def mean_median_spread(row: Row) -> Finding:
    """|mean - median| <= standard deviation (Hotelling and Solomons 1932); a spread that cannot be in the unit of its
    mean, like the others of its table, is read as percent"""
    m, s, median_value = row.cells["mean"].mean, row.cells["mean"].std, row.cells["median"].mean
    spread_scale = 100.0 if "percent" in row.cells and row.cells["mean"].unit == "fraction" else 1.0
    mean, median = printed_range(m), printed_range(median_value)
    spread = printed_range(s, spread_scale)
    gap = max(mean.low - median.high, median.low - mean.high)
    statement = f"|{as_printed(m)} - {as_printed(median_value)}| = {abs(m - median_value):.4g} > {s / spread_scale:g}"
    explanation = _OTHER_IMAGES
    if spread_scale > 1:
        statement += f" ({s:g} %)"
        explanation = f"the printed spread is a variance in percent: its root is {math.sqrt(s / spread_scale):.3g}"
    violation = 100 * (gap - spread.high) / row.scale("mean")
    return Finding((), statement, violation, POINTS, explanation)


def _in_pixels(row: Row, every: Sequence[Row]) -> Iterator[Row]:
    return (part for part in _means_and_medians(row, every) if part.cells["median"].unit == "pixels")


@row_check("medians of Hausdorff distances", TO_EXPLAIN, "median", each=_in_pixels)
def hausdorff_median(row: Row) -> Finding:
    """a distance between two pixels of a slice is the root of a sum of two squares, and a median is one of them or lies
    midway between two that follow one another"""
    value = row.cells["median"].mean
    low, high = printed_range(value)
    squares = sorted({a * a + b * b for a in range(int(high) + 2) for b in range(int(high) + 2)})
    roots = [math.sqrt(n) for n in squares]
    violation = min(max(low - x, x - high) for x in [*roots, *((a + b) / 2 for a, b in pairwise(roots))])
    nearest = min(range(1, int(high**2) + 3), key=lambda n: abs(math.sqrt(n) - value))
    if low <= math.sqrt(nearest) <= high:
        statement = f"{value:g} = sqrt({nearest}), and {nearest} is no sum of two squares"
        sum_of_three = any(nearest - c * c in squares for c in range(int(high) + 2))
        explanation = "distances were taken in the volume, where three squares add up" if sum_of_three else ""
    else:
        statement = f"{value:g}² = {value**2:.3f}, and sqrt({nearest}) = {math.sqrt(nearest):.3f}"
        explanation = f"a misprint of {math.sqrt(nearest):.3f}"
    return Finding((), statement, violation, "pixels", explanation)


def _slices_and_volumes(row: Row, every: Sequence[Row]) -> Iterator[Row]:
    """Yield each row that has a median IoU over slices, together with the 3D Dice of the same network in another table
    of the paper, in which names of baselines have no prefix."""
    for other in every if row.has("mean_iou", "median_iou") else ():
        same = (row.row.removeprefix("baseline_"), row.paper, row.dataset) == (other.row, other.paper, other.dataset)
        if same and other.has("mean_dice3d"):
            cells = {"median": row.cells["median_iou"], "dice3d": other.cells["mean_dice3d"]}
            yield row._replace(table=f"{row.table} and {other.table}", cells=cells)


@row_check("IoU of slices and 3D Dice", TO_EXPLAIN, each=_slices_and_volumes)
def slices_and_volume(row: Row) -> Finding:
    """with 3D Dice D, IoU in the volume is D / (2 - D), a mean of the slices' IoU weighted by their size; with median m
    of the slices, the worse half holds at most (1 - D / (2 - D)) / (1 - m) of all pixels. Expected: half of them, or
    more possible. Scans are taken to be alike"""
    volume = row.mean("dice3d")
    max_share = (1 - volume.low / (2 - volume.low)) / (1 - row.mean("median").high)
    d, m = row.cells["dice3d"].mean, row.cells["median"].mean
    pooled = d / (2 - d)
    exact = (1 - pooled) / (1 - m)
    statement = (
        f"{d:g} / (2 - {d:g}) = {pooled:.3f}; (1 - {pooled:.3f}) / (1 - {m:g}) = {exact:.2f}: the half of the slices "
        f"whose IoU is at most {m:g} would hold {exact:.0%} of the lung or less"
    )
    explanation = "the two tables are of different training runs, or the poor slices are those that hold little lung"
    return _violation(statement, 0.5 - max_share, explanation)


def _bound(value: float, scale: float) -> str:
    return f"{value:.4f}" if scale == 1 else f"{value:.2f}"
