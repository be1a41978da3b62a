"""What a check is, what it finds, and which values a printed number can stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from softmask.papers.names import display
from softmask.papers.printed import MATRIX, VALUES, Paper, Printed, PrintedCell

MUST_HOLD, TO_EXPLAIN = "must hold", "to explain"
LEVELS = (MUST_HOLD, TO_EXPLAIN)
"""``must hold``: true of any numbers that were measured as the papers define them; ``to explain``: numbers may break it
for a reason, which the paper does not give."""

SCALES = {"percent": 100.0, "fraction": 1.0}
"""What a share in [0, 1] is multiplied by to be in the unit."""


@dataclass(frozen=True)
class Finding:
    """One set of printed numbers that a check does not find as it should.

    Attributes:
        places: where the numbers are printed, such as ``softgan/table-1, U-Net, LNSM``.
        inequality: the formula with the numbers in it.
        beyond: how far outside it they are after rounding and truncation have been allowed for, in ``unit``.
        reading: an innocent reading, or empty where none is known.
    """

    places: tuple[str, ...]
    inequality: str
    beyond: float
    unit: str
    reading: str = ""


@dataclass(frozen=True)
class Check:
    """One rule, and what came of it.

    Attributes:
        rule: what is expected, in words and as a formula.
        level: one of :data:`LEVELS`.
        checked: sets of numbers it was tried on; those that several tables repeat count once.
    """

    name: str
    rule: str
    level: str
    checked: int
    findings: tuple[Finding, ...]


class Range(NamedTuple):
    """Values that a printed number can stand for."""

    low: float
    high: float


def decimals(value: float) -> int:
    """Decimals that were printed (:class:`~softmask.papers.printed.Printed`); of a plain number those that it needs, so
    that 87.20 counts one, and its :func:`printed_range` is wider than it has to be."""
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

    def has(self, *metrics: str) -> bool:
        """Whether a mean is printed for each of ``metrics``."""
        return all(name in self.cells and not math.isnan(self.cells[name].mean) for name in metrics)

    def mean(self, metric: str) -> Range:
        """Of a share: in [0, 1] whatever the printed unit."""
        low, high = printed_range(self.cells[metric].mean, SCALES[self.cells[metric].unit])
        return Range(max(low, 0.0), min(high, 1.0))

    def spread(self, metric: str) -> Range:
        low, high = printed_range(self.cells[metric].std, SCALES[self.cells[metric].unit])
        return Range(max(low, 0.0), high)

    def words(self, metric: str, *, spread: bool = False) -> str:
        """The number as printed: ``88.98``, or ``88.98 ± 2.5``."""
        cell = self.cells[metric]
        return f"{as_printed(cell.mean)} ± {as_printed(cell.std)}" if spread else as_printed(cell.mean)

    def scale(self, metric: str) -> float:
        return SCALES[self.cells[metric].unit]


def rows(papers: Mapping[str, Paper]) -> list[Row]:
    """All rows of the tables of numbers (not of matrices and descriptions), in print order."""
    found: dict[tuple[str, str, str, str], dict[str, PrintedCell]] = {}
    for paper in papers.values():
        for table in paper.tables.values():
            if table.kind == VALUES:
                for cell in table.cells():
                    found.setdefault((paper.name, table.name, cell.row, cell.dataset), {})[cell.metric] = cell
    return [Row(*key, cells, papers[key[0]].tables[key[1]].note) for key, cells in found.items()]


class Matrix(NamedTuple):
    """A symmetric matrix: its cells by pairs of ``raters``, of whom the last is the network."""

    paper: str
    table: str
    raters: tuple[str, ...]
    cells: Mapping[tuple[str, str], PrintedCell]


def matrices(papers: Mapping[str, Paper]) -> list[Matrix]:
    """All symmetric matrices, in print order."""
    found = []
    for paper in papers.values():
        for table in paper.tables.values():
            if table.kind == MATRIX:
                cells = {(cell.row, cell.metric.removeprefix("dice_with_")): cell for cell in table.cells()}
                found.append(Matrix(paper.name, table.name, table.rows, cells))
    return found


def over_rows(
    name: str,
    rule: str,
    level: str,
    found: Iterable[Row],
    needs: Callable[[Row], bool],
    judge: Callable[[Row], Finding | None],
) -> Check:
    """The check of every row that ``needs`` accepts; rows of equal numbers are judged once, their places named
    together."""
    groups: dict[tuple, list[Row]] = {}
    for row in found:
        if needs(row):
            groups.setdefault(row.numbers, []).append(row)
    findings = []
    for same in groups.values():
        one = judge(same[0])
        if one is not None:
            notes = dict.fromkeys(row.note for row in same if row.note)
            reading = "; ".join([one.reading, *(f"of the print: {note}" for note in notes)])
            findings.append(replace(one, places=tuple(row.place for row in same), reading=reading))
    return Check(name, rule, level, len(groups), tuple(findings))
