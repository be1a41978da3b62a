"""What a check is, what it finds, and which values a printed number can stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from softmask.papers.claims import display
from softmask.papers.printed import VALUES, Paper, Printed, PrintedCell

MUST_HOLD, TO_EXPLAIN = "must hold", "to explain"
"""``must hold``: true of any numbers that were measured as the papers define them; ``to explain``: numbers may break it
for a reason, which the paper does not give."""

SCALES = {"percent": 100.0, "fraction": 1.0}
"""What a share in [0, 1] is multiplied by to be in the unit."""

POINTS = "points"


@dataclass(frozen=True)
class Finding:
    """One set of printed numbers, and whether it is as a check expects.

    Attributes:
        places: where the numbers are printed, such as ``softgan/table-1, U-Net, LNSM``.
        inequality: the formula with the numbers in it.
        beyond: how far outside it they are after rounding and truncation have been allowed for, in ``unit``; what is
            not above 0 is as expected.
        reading: an innocent reading, or empty where none is known.
    """

    places: tuple[str, ...]
    inequality: str
    beyond: float
    unit: str = POINTS
    reading: str = ""


@dataclass(frozen=True)
class Check:
    """One rule, and what came of it.

    Attributes:
        rule: what is expected, in words and as a formula.
        level: :data:`MUST_HOLD` or :data:`TO_EXPLAIN`.
        checked: sets of numbers it was tried on; those that several tables repeat count once.
        findings: the sets that are not as expected.
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
    """Register a function of the papers that gives a :class:`Finding` for each set of numbers; its docstring is the
    rule."""

    def register(cases: Callable[[Papers], Iterable[Finding]]) -> Callable:
        def run(papers: Papers) -> Check:
            results = list(cases(papers))
            broken = tuple(finding for finding in results if finding.beyond > 0)
            return Check(name, " ".join(cases.__doc__.split()), level, len(results), broken)

        CHECKS[name] = run
        return cases

    return register


class Range(NamedTuple):
    """Values that a printed number can stand for."""

    low: float
    high: float


def decimals(value: float) -> int:
    """Decimals that were printed; of a plain number those that it needs, so that 87.20 counts one."""
    if isinstance(value, Printed):
        return value.decimals
    return len(f"{value!r}".partition(".")[2]) if value % 1 else 0


def printed_range(value: float, scale: float = 1.0) -> Range:
    """[v - u/2, v + u] / scale, with u one unit in the last printed place: the number may be rounded or cut off."""
    unit = 10.0 ** -decimals(value)
    return Range((value - unit / 2) / scale, (value + unit) / scale)


def as_printed(value: float) -> str:
    """With its decimals."""
    return f"{value:.{decimals(value)}f}"


def share(cell: PrintedCell) -> Range:
    """The printed mean of a share: in [0, 1] whatever the printed unit."""
    low, high = printed_range(cell.mean, SCALES[cell.unit])
    return Range(max(low, 0.0), min(high, 1.0))


class Row(NamedTuple):
    """The numbers that one row of a table prints for one data set; ``note``: what should be known about the print."""

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
        """What makes rows equal: data set, metrics, and their numbers."""
        return (self.dataset, *((name, cell.mean, str(cell.std)) for name, cell in self.cells.items()))

    def has(self, *metrics: str, spread: bool = False) -> bool:
        """Whether a mean, and if asked a spread, is printed for each of ``metrics``."""
        cells = [self.cells.get(name) for name in metrics]
        return all(cell and not math.isnan(cell.mean) and not (spread and math.isnan(cell.std)) for cell in cells)

    def mean(self, metric: str) -> Range:
        return share(self.cells[metric])

    def spread(self, metric: str) -> Range:
        low, high = printed_range(self.cells[metric].std, self.scale(metric))
        return Range(max(low, 0.0), high)

    def words(self, metric: str, *, spread: bool = False) -> str:
        """The number as printed: ``88.98``, or ``88.98 ± 2.5``."""
        cell = self.cells[metric]
        return f"{as_printed(cell.mean)} ± {as_printed(cell.std)}" if spread else as_printed(cell.mean)

    def scale(self, metric: str) -> float:
        return SCALES[self.cells[metric].unit]


def rows(papers: Papers) -> list[Row]:
    """All rows of the tables of numbers (not of matrices and descriptions), in print order."""
    cells: dict[tuple[str, str, str, str], dict[str, PrintedCell]] = {}
    for paper in papers.values():
        for table in paper.tables.values():
            for cell in table.cells() if table.kind == VALUES else ():
                cells.setdefault((paper.name, table.name, cell.row, cell.dataset), {})[cell.metric] = cell
    return [Row(*key, by_metric, papers[key[0]].tables[key[1]].note) for key, by_metric in cells.items()]


def row_check(
    name: str, level: str, *needs: str, each: Callable[[Row, Sequence[Row]], Iterable[Row]] = lambda row, _: (row,)
) -> Callable:
    """Register a function of a :class:`Row`, which gives a finding without places; its docstring is the rule.

    Rows of equal numbers are judged once, their places named together.

    Args:
        needs: metrics that a row must print.
        each: gives the rows to judge from one row and all rows; by default the row itself.
    """

    def register(judge: Callable[[Row], Finding]) -> Callable:
        def cases(papers: Papers) -> Iterable[Finding]:
            groups: dict[tuple, list[Row]] = {}
            every = rows(papers)
            for row in every:
                for part in each(row, every):
                    if part.has(*needs):
                        groups.setdefault(part.numbers, []).append(part)
            for same in groups.values():
                finding = judge(same[0])
                notes = dict.fromkeys(row.note for row in same if row.note)
                reading = "; ".join([finding.reading, *(f"of the print: {note}" for note in notes)])
                yield replace(finding, places=tuple(row.place for row in same), reading=reading)

        cases.__doc__ = judge.__doc__
        check(name, level)(cases)
        return judge

    return register
