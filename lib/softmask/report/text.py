"""How joined cells become words: numbers, units, sources, and the grids in which tables are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softmask import papers
from softmask.data.sample import SUBSTITUTE
from softmask.papers.printed import MATRIX
from softmask.report.result import PRINTED, WORKBOOK, JoinedCell

NOT_FINISHED = "not finished"
"""In place of our number, where none of its runs is finished."""
NOTHING_PRINTED = "–"
NOT_A_RESULT = "not a result: the smoke profile only shows that everything runs"
SOURCE_WORDS = {
    "real": "real data",
    SUBSTITUTE: "real data in place of the paper's (real, substitute)",
    "embedded": "embedded data (simulated images)",
    PRINTED: "the papers' printed numbers",
}
Decimals = tuple[int, int]  # places after the point of the mean and of the spread
_UNIT_WORDS = {"percent": "%", "fraction": "", "number": "", "count": "", "text": ""}


@dataclass(frozen=True)
class Column:
    """One column of a :class:`Grid`: a data set's metric, or in a matrix the row's partner."""

    dataset: str
    metric: str
    title: str
    printed: bool


@dataclass(frozen=True)
class Grid:
    """Cells arranged for the eye. ``cells[row, column]`` is None where the table has no such cell.

    Attributes:
        matrix: a symmetric matrix, whose cells hold paper and ours in one place.
        heading: the data set, where a table has several grids; else empty.
    """

    matrix: bool
    heading: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[tuple[str, Column], JoinedCell]

    @property
    def printed(self) -> bool:
        """Whether the paper prints any of these cells."""
        return any(column.printed for column in self.columns)

    def at(self, row: str, column: Column) -> JoinedCell | None:
        return self.cells.get((row, column))


def grids(joined: Sequence[JoinedCell], kind: str) -> list[Grid]:
    """The grids of a table: one of rows by (data set, metric), or one matrix per data set and one for the rest."""
    if kind != MATRIX:
        return [_grid(joined)] if joined else []
    pairs = [cell for cell in joined if cell.metric.startswith("dice_with_")]
    rest = [cell for cell in joined if not cell.metric.startswith("dice_with_")]
    found = [_grid([c for c in pairs if c.dataset == name], matrix=True) for name in _unique(c.dataset for c in pairs)]
    return found + ([_grid(rest)] if rest else [])


def _grid(joined: Sequence[JoinedCell], *, matrix: bool = False) -> Grid:
    several = len({cell.dataset for cell in joined}) > 1
    columns: dict[tuple[str, str], Column] = {}
    for dataset, metric in _unique((cell.dataset, cell.metric) for cell in joined):
        here = [cell for cell in joined if (cell.dataset, cell.metric) == (dataset, metric)]
        title = column_title(dataset if several else "", metric, here[0].unit, matrix=matrix)
        columns[dataset, metric] = Column(dataset, metric, title, any(cell.printed for cell in here))
    heading = "" if several or not joined else papers.display("datasets", joined[0].dataset)
    cells = {(cell.row, columns[cell.dataset, cell.metric]): cell for cell in joined}
    return Grid(matrix, heading, tuple(_unique(cell.row for cell in joined)), tuple(columns.values()), cells)


def _unique(items) -> list:
    return list(dict.fromkeys(items))


def column_title(dataset: str, metric: str, unit: str, *, matrix: bool = False) -> str:
    """``LNSM Dice (%)``; in a matrix the partner's name alone."""
    if matrix:
        return papers.display("rows", metric.removeprefix("dice_with_"))
    words = _UNIT_WORDS.get(unit, unit)
    name = " ".join(part for part in (dataset and papers.display("datasets", dataset), _metric(metric)) if part)
    return f"{name} ({words})" if words else name


def _metric(metric: str) -> str:
    return papers.display("metrics", metric)


def paper_words(cell: JoinedCell, decimals: Decimals | None) -> str:
    """What the paper prints in this cell; a dash where nothing (legible) is printed."""
    if cell.paper_text:
        return cell.paper_text
    return number(cell.paper_mean, cell.paper_std, decimals) if not math.isnan(cell.paper_mean) else NOTHING_PRINTED


def our_words(cell: JoinedCell, decimals: Decimals | None) -> str:
    """Our number; ``not finished`` where there is none, ``undefined`` for NaN."""
    if not cell.run:
        return NOT_FINISHED
    if cell.unit == "text":
        return cell.note
    return number(cell.ours_mean, cell.ours_std, decimals)


def number(mean: float, std: float, decimals: Decimals | None) -> str:
    """``91.63 ± 3.2``, with ``decimals`` places (mean, spread), or four significant digits where that is None."""
    if math.isnan(mean):
        return "undefined"
    if math.isinf(mean):
        return "infinite"

    def form(value: float, places: int | None) -> str:
        return f"{value:.4g}" if places is None else f"{value:,.{places}f}"

    of_mean, of_std = decimals or (None, None)
    return form(mean, of_mean) if not math.isfinite(std) else f"{form(mean, of_mean)} ± {form(std, of_std)}"


def decimals_of(paper: str, table: str, cell: JoinedCell) -> Decimals | None:
    """Places after the point in a table's cell: the paper's own where it prints the metric, else by unit."""
    printed = None if paper == WORKBOOK else papers.load(paper).table(table).decimals_of(cell.metric)
    return printed or {"percent": (2, 2), "fraction": (4, 4), "count": (0, 0)}.get(cell.unit)


def measured_on(joined: Sequence[JoinedCell]) -> str:
    """In words, what our numbers of a table were measured on: source, images, seeds."""
    run = [cell for cell in joined if cell.run]
    if not run:
        return f"Ours: {NOT_FINISHED}."
    sources = " and ".join(SOURCE_WORDS[name] for name in SOURCE_WORDS if any(cell.source == name for cell in run))
    measured = [cell for cell in run if cell.unit != "text" and cell.source != PRINTED]
    if not measured:
        return f"Ours: {sources}."
    images = _range([cell.n_images for cell in measured], "image")
    seeds = _range([cell.n_seeds for cell in measured], "seed")
    spread = any(math.isfinite(cell.ours_std) for cell in measured)
    over = "mean ± standard deviation over" if spread else "over"
    return f"Ours: {sources}; {over} {images}, {seeds}."


def _range(counts: Sequence[int], what: str) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,} to {high:,} {what}s" if low != high else f"{low:,} {what}{'' if low == 1 else 's'}"
