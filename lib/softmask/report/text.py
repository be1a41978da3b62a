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
    """Cells arranged for the eye, by row and column.

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
        """Return a cell; None where the table has none there."""
        return self.cells.get((row, column))


def grids(joined: Sequence[JoinedCell], kind: str) -> list[Grid]:
    """Return the grids of a table: one of rows by (data set, metric), or a matrix per data set and one of the rest."""
    pairs = [cell for cell in joined if kind == MATRIX and cell.metric.startswith("dice_with_")]
    rest = [cell for cell in joined if cell not in pairs] if pairs else list(joined)
    datasets = dict.fromkeys(cell.dataset for cell in pairs)
    matrices = [_grid([cell for cell in pairs if cell.dataset == name], matrix=True) for name in datasets]
    return matrices + ([_grid(rest)] if rest else [])


def _grid(joined: Sequence[JoinedCell], *, matrix: bool = False) -> Grid:
    several = len({cell.dataset for cell in joined}) > 1
    columns: dict[tuple[str, str], Column] = {}
    for cell in joined:
        dataset, metric = place = cell.dataset, cell.metric
        printed = cell.printed or (place in columns and columns[place].printed)
        if matrix:
            title = papers.display("rows", metric.removeprefix("dice_with_"))
        else:
            title = f"{papers.display('datasets', dataset)} " * several + papers.display("metrics", metric)
            unit = _UNIT_WORDS.get(cell.unit, cell.unit)
            title += f" ({unit})" if unit else ""
        columns[place] = Column(dataset, metric, columns[place].title if place in columns else title, printed)
    heading = "" if several else papers.display("datasets", joined[0].dataset)
    cells = {(cell.row, columns[cell.dataset, cell.metric]): cell for cell in joined}
    return Grid(matrix, heading, tuple(dict.fromkeys(cell.row for cell in joined)), tuple(columns.values()), cells)


def paper_words(cell: JoinedCell, decimals: Decimals | None) -> str:
    """Return what the paper prints in this cell; a dash where nothing (legible) is printed."""
    if cell.paper_text:
        return cell.paper_text
    return NOTHING_PRINTED if math.isnan(cell.paper_mean) else number(cell.paper_mean, cell.paper_std, decimals)


def our_words(cell: JoinedCell, decimals: Decimals | None) -> str:
    """Return our number; ``not finished`` where there is none, ``undefined`` for NaN."""
    if not cell.run:
        return NOT_FINISHED
    return cell.note if cell.unit == "text" else number(cell.ours_mean, cell.ours_std, decimals)


def number(mean: float, std: float, decimals: Decimals | None) -> str:
    """Return ``91.63 ± 3.2``, with ``decimals`` places (mean, spread), or four significant digits without them."""
    if not math.isfinite(mean):
        return "undefined" if math.isnan(mean) else "infinite"
    forms = [f",.{places}f" for places in decimals] if decimals else [".4g", ".4g"]
    return f"{mean:{forms[0]}}" + (f" ± {std:{forms[1]}}" if math.isfinite(std) else "")


def decimals_of(paper: str, table: str, cell: JoinedCell) -> Decimals | None:
    """Return places after the point in a table's cell: the paper's own where it prints the metric, else by unit."""
    printed = None if paper == WORKBOOK else papers.load(paper).table(table).decimals_of(cell.metric)
    return printed or {"percent": (2, 2), "fraction": (4, 4), "count": (0, 0)}.get(cell.unit)


def measured_on(joined: Sequence[JoinedCell]) -> str:
    """Return in words on what our numbers of a table were measured: source, images, seeds."""
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
    return f"Ours: {sources}; {'mean ± standard deviation ' if spread else ''}over {images}, {seeds}."


def _range(counts: Sequence[int], unit: str) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,} to {high:,} {unit}s" if low != high else f"{low:,} {unit}{'' if low == 1 else 's'}"
