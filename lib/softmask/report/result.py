"""Tables of our results, their join with the printed cells, and joined cells as text and grids."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from softmask import papers
from softmask.data.sample import SUBSTITUTE
from softmask.errors import ConfigError
from softmask.papers.printed import MATRIX, SCALES, VALUES, PrintedCell

WORKBOOK = "workbook"
"""Name in place of a paper for tables and figures that no paper prints."""
PRINTED = "printed"
"""Source of a cell that is computed from printed numbers only."""
_PAIR = "dice_with_"
"""Prefix of the metrics of a symmetric matrix, before the row of the partner."""

NOT_FINISHED = "not finished"
"""Text in place of our number where none of its runs is finished."""
NOTHING_PRINTED = "–"
NOT_A_RESULT = "not a result: the smoke profile only shows that everything runs"
SOURCE_WORDS = {
    "real": "real data",
    SUBSTITUTE: "real data in place of the paper's (real, substitute)",
    "embedded": "embedded data (simulated images)",
    PRINTED: "the papers' printed numbers",
}
_UNIT_WORDS = {"percent": "%"} | dict.fromkeys(("fraction", "number", "count", "text", "hundredths", "p value"), "")
_DECIMALS = {"percent": (2, 2), "fraction": (4, 4), "count": (0, 0), "hundredths": (2, 2), "p value": (3, 3)}

Key = tuple[str, str, str]
"""Row, data set and metric of a cell."""
Decimals = tuple[int, int]
"""Number of decimals of the mean and of the spread."""


@dataclass(frozen=True)
class Cell:
    """One of our numbers.

    Attributes:
        row, dataset, metric: as in the printed table.
        ours_mean, ours_std: shares (Dice, SEN, accuracy, ...) in [0, 1] whatever the paper's unit; other values in the
            table's unit (pixels, ms). NaN: undefined. inf: infinite.
        n_images, n_seeds: numbers of images and seeds of the mean; the spread is over images pooled over seeds.
        source: source of the data, a key of :data:`SOURCE_WORDS`.
        note: text below the table; in a cell with the unit ``text``, the text of the cell itself.
        extra: whether the cell is intended although the paper does not print it (not needed in the workbook's tables).
    """

    row: str
    dataset: str
    metric: str
    ours_mean: float
    ours_std: float
    n_images: int
    n_seeds: int
    source: str
    note: str = ""
    extra: bool = False

    @property
    def key(self) -> Key:
        return self.row, self.dataset, self.metric


@dataclass(frozen=True)
class ResultTable:
    """Our numbers for one table.

    Attributes:
        paper, table: such as ``softgan``, ``table-1``; or ``workbook`` and a name of its own (a-z, 0-9, -).
        title: title of the table; if empty, the title of the printed table.
        rows: our cells, in any order; a printed cell that is not among them is shown as not finished.
        units: units of metrics that the paper does not print: ``percent``, ``fraction``, or the name of another unit.
            In a table of the workbook's own, a metric without a unit is shown as it is.
        details: further content of the JSON beside the table, such as the spread between seeds.
    """

    paper: str
    table: str
    title: str
    caption: str
    rows: Sequence[Cell]
    units: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def printed_table(self) -> papers.PrintedTable | None:
        """The printed table, or None for a table of the workbook's own. Raises ConfigError for any other table."""
        return None if self.paper == WORKBOOK else papers.load(self.paper).table(self.table)

    @property
    def kind(self) -> str:
        """Kind of the printed table; :data:`softmask.papers.printed.VALUES` for a table of the workbook's own."""
        return self.printed_table.kind if self.printed_table else VALUES


@dataclass(frozen=True)
class JoinedCell:
    """Printed number and ours, both in ``unit`` and, as text, with ``decimals`` (None: four significant digits); NaN
    where there is no number. ``n_images`` is None where not run."""

    row: str
    dataset: str
    metric: str
    unit: str
    printed: bool
    decimals: Decimals | None = None
    paper_mean: float = math.nan
    paper_std: float = math.nan
    paper_text: str = ""
    ours_mean: float = math.nan
    ours_std: float = math.nan
    n_images: int | None = None
    n_seeds: int | None = None
    source: str = ""
    note: str = ""

    @property
    def key(self) -> Key:
        return self.row, self.dataset, self.metric

    @property
    def run(self) -> bool:
        """Whether we have measured this cell."""
        return self.n_images is not None

    @property
    def illegible(self) -> bool:
        """Whether the paper prints this cell, but without a legible number."""
        return self.printed and not self.paper_text and math.isnan(self.paper_mean)


def check_name(name: str) -> None:
    """Raise ConfigError where ``name`` is not valid as a file name and HTML anchor."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ConfigError(f"{name!r} cannot name a table or figure: use a-z, 0-9 and - in between")


def join(result: ResultTable) -> list[JoinedCell]:
    """Return every printed cell in print order with our number, then our extra cells in the given order.

    In a symmetric matrix, our cell for (a, b) also stands for (b, a).

    Raises:
        ConfigError: for an unknown paper or table, a cell that is given twice or is neither printed nor ``extra``, a
            share outside [0, 1], or a metric of unknown unit.
    """
    check_name(result.table)
    where, table = f"{result.paper}/{result.table}", result.printed_table
    printed: dict[Key, PrintedCell] = {(c.row, c.dataset, c.metric): c for c in table.cells} if table else {}
    ours: dict[Key, Cell] = {}
    for cell in result.rows:
        if cell.key in ours:
            raise ConfigError(f"{where}: cell {' / '.join(cell.key)} is given twice")
        ours[cell.key] = cell
    matrix = table is not None and table.kind == MATRIX
    for cell in [cell for cell in ours.values() if matrix and cell.metric.startswith(_PAIR)]:
        twin = replace(cell, row=cell.metric.removeprefix(_PAIR), metric=f"{_PAIR}{cell.row}")
        means = [ours.setdefault(twin.key, twin).ours_mean, cell.ours_mean]
        if not np.isclose(*means, rtol=1e-9, atol=0, equal_nan=True):
            raise ConfigError(f"{where}: cell {' / '.join(cell.key)} is {means[1]}, the other way round {means[0]}")

    units = {cell.metric: cell.unit for cell in printed.values()} | dict(result.units)
    joined = [
        JoinedCell(*key, cell.unit, True, paper_mean=cell.mean, paper_std=cell.std, paper_text=cell.text)
        for key, cell in printed.items()
    ]
    for key, cell in ours.items():
        if key in printed:
            continue
        if table and not (cell.extra or (matrix and cell.metric == f"{_PAIR}{cell.row}")):
            raise ConfigError(f"{where}: cell {' / '.join(key)} is not printed there; if it is meant, use extra=True")
        if table and cell.metric not in units:
            raise ConfigError(f"{where}: the paper prints no {cell.metric!r} here; give its unit in ResultTable.units")
        joined.append(JoinedCell(*key, units.get(cell.metric, "number"), False))
    joined = [replace(cell, decimals=decimals_of(table, cell.metric, cell.unit)) for cell in joined]
    return [_with_ours(cell, ours[cell.key], where) if cell.key in ours else cell for cell in joined]


def _with_ours(joined: JoinedCell, cell: Cell, where: str) -> JoinedCell:
    if cell.source not in SOURCE_WORDS:
        sources = ", ".join(SOURCE_WORDS)
        raise ConfigError(f"{where}: cell {' / '.join(cell.key)}: source must be {sources}, not {cell.source!r}")
    mean, std, scale = float(cell.ours_mean), float(cell.ours_std), SCALES.get(joined.unit, 1.0)
    if joined.unit in SCALES and not (math.isnan(mean) or 0 <= mean <= 1):
        raise ConfigError(
            f"{where}: cell {' / '.join(cell.key)}: {mean} is no share; give values in [0, 1], whatever the unit"
        )
    return replace(
        joined,
        ours_mean=mean * scale,
        ours_std=std * scale,
        n_images=int(cell.n_images),
        n_seeds=int(cell.n_seeds),
        source=cell.source,
        note=cell.note,
    )


class Column(NamedTuple):
    """Column of a :class:`Grid`: a metric on a data set, or in a matrix the partner of the row."""

    dataset: str
    metric: str
    title: str
    printed: bool


@dataclass(frozen=True)
class Grid:
    """Cells arranged for display, by row and column; in a symmetric ``matrix``, a cell shows paper and ours.

    ``heading`` is the data set; empty where the cells have several.
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


def grids(joined: Sequence[JoinedCell], kind: str) -> list[Grid]:
    """Return the grids of a table: rows by (data set, metric), or a matrix for each data set and a grid of the rest."""
    matrices: dict[str, list[JoinedCell]] = {}
    other_cells = []
    for cell in joined:
        is_pair = kind == MATRIX and cell.metric.startswith(_PAIR)
        (matrices.setdefault(cell.dataset, []) if is_pair else other_cells).append(cell)
    return [_grid(cells, matrix=True) for cells in matrices.values()] + ([_grid(other_cells)] if other_cells else [])


def _grid(joined: Sequence[JoinedCell], *, matrix: bool = False) -> Grid:
    many_datasets = len({cell.dataset for cell in joined}) > 1
    printed = {(cell.dataset, cell.metric) for cell in joined if cell.printed}
    columns: dict[tuple[str, str], Column] = {}
    for cell in joined:
        key = cell.dataset, cell.metric
        if key in columns:
            continue
        if matrix:
            title = papers.display("rows", cell.metric.removeprefix(_PAIR))
        else:
            unit, dataset = _UNIT_WORDS.get(cell.unit, cell.unit), papers.display("datasets", cell.dataset)
            title = papers.display("metrics", cell.metric) + (f" ({unit})" if unit else "")
            title += f", {dataset}" if many_datasets and dataset else ""
        columns[key] = Column(*key, title, key in printed)
    heading = "" if many_datasets else papers.display("datasets", joined[0].dataset)
    cells = {(cell.row, columns[cell.dataset, cell.metric]): cell for cell in joined}
    rows = tuple(dict.fromkeys(cell.row for cell in joined))
    places = {f"{_PAIR}{row}": place for place, row in enumerate(rows)} if matrix else {}
    in_order = sorted(columns.values(), key=lambda column: places.get(column.metric, len(rows)))  # as the rows
    return Grid(matrix, heading, rows, tuple(in_order), cells)


def words_of(cell: JoinedCell) -> tuple[str, str]:
    """Return the printed number (a dash where not legible) and ours, as text, with the cell's decimals."""
    if cell.paper_text:
        printed = cell.paper_text
    elif math.isnan(cell.paper_mean):
        printed = NOTHING_PRINTED
    else:
        printed = number(cell.paper_mean, cell.paper_std, cell.decimals)
    if not cell.run:
        return printed, NOT_FINISHED
    if cell.unit == "text":
        return printed, cell.note
    if cell.unit == "p value" and cell.ours_mean < 0.001:
        return printed, "< 0.001"
    return printed, number(cell.ours_mean, cell.ours_std, cell.decimals)


def number(mean: float, std: float, decimals: Decimals | None) -> str:
    """Return ``91.63 ± 3.2`` with the ``decimals`` (mean, spread), or with four significant digits where None."""
    if not math.isfinite(mean):
        return "undefined" if math.isnan(mean) else "infinite"
    formats = [f",.{places}f" for places in decimals] if decimals else [".4g", ".4g"]
    return f"{mean:{formats[0]}}" + (f" ± {std:{formats[1]}}" if math.isfinite(std) else "")


def decimals_of(table: papers.PrintedTable | None, metric: str, unit: str) -> Decimals | None:
    """Return the decimals of a metric: as printed where the ``table`` prints it, else by unit."""
    return (table and table.decimals_of(metric)) or _DECIMALS.get(unit)


def measured_on(joined: Sequence[JoinedCell]) -> str:
    """Return the source and the numbers of images and seeds of our numbers in a table, as a sentence."""
    cells = [cell for cell in joined if cell.run]
    if not cells:
        return f"Ours: {NOT_FINISHED}."
    sources = " and ".join(SOURCE_WORDS[name] for name in SOURCE_WORDS if any(cell.source == name for cell in cells))
    measured = [cell for cell in cells if cell.unit != "text" and cell.source != PRINTED]
    if not measured:
        return f"Ours: {sources}."
    images = _range([cell.n_images for cell in measured], "image")
    seeds = _range([cell.n_seeds for cell in measured], "seed")
    basis = f"over {images}, {seeds}."
    if any(math.isfinite(cell.ours_std) for cell in measured):
        pooled = any(cell.n_seeds > 1 for cell in measured)
        if pooled:
            images = _range([cell.n_images for cell in measured], "prediction")
        basis = f"mean ± standard deviation over {images}{' of' if pooled else ','} {seeds}."
    return f"Ours: {sources}; {basis}"


def _range(counts: Sequence[int], unit: str) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,} to {high:,} {unit}s" if low != high else f"{low:,} {unit}{'' if low == 1 else 's'}"


def notes_of(joined: Sequence[JoinedCell]) -> list[str]:
    """Return the cells' notes, each once, with the rows they belong to."""
    rows: dict[str, list[str]] = {}
    for cell in joined:
        if cell.note and cell.unit != "text":
            rows.setdefault(cell.note, []).append(papers.display("rows", cell.row))
    return [f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in rows.items()]


_OF_SEVERAL_UNITS = ("difference", "chosen")
"""First metrics of tables in which every row has its own unit."""


def outcome(joined: Sequence[JoinedCell]) -> str:
    """Return the outcome in one sentence for each data set: lowest and highest value of the table's first metric that
    was measured there, beside the printed values; and the number of printed cells that are not finished. Empty where
    nothing is measured, for counts, and where every row has its own unit."""
    measured = [cell for cell in joined if cell.run and cell.unit not in ("text", "count") and cell.source != PRINTED]
    measured = [cell for cell in measured if math.isfinite(cell.ours_mean) and cell.metric != f"{_PAIR}{cell.row}"]
    if not measured or (measured[0].unit in ("number", "hundredths") and measured[0].metric in _OF_SEVERAL_UNITS):
        return ""
    sentences = []
    for dataset in dict.fromkeys(cell.dataset for cell in measured):
        dataset_cells = [cell for cell in measured if cell.dataset == dataset]
        metric = dataset_cells[0].metric
        is_matrix = metric.startswith(_PAIR)
        cells = {
            (frozenset((cell.row, cell.metric.removeprefix(_PAIR))) if is_matrix else cell.row): cell
            for cell in reversed(dataset_cells)  # so that the first order of a pair names it
            if (cell.metric.startswith(_PAIR) if is_matrix else cell.metric == metric)
        }
        sentences.append(_sentence(list(cells.values())))
    n_open = sum(cell.printed and not cell.run for cell in joined)
    if n_open:
        sentences.append(f"{n_open} of {sum(cell.printed for cell in joined)} published values are not finished here.")
    return " ".join(sentences)


def _sentence(cells: Sequence[JoinedCell]) -> str:
    """Return the sentence of :func:`outcome` for the cells of one metric (in a matrix, all pairs) on one data set."""
    first = cells[0]
    is_matrix = first.metric.startswith(_PAIR)
    decimals = (first.decimals or (None,))[0]
    unit = _UNIT_WORDS.get(first.unit, first.unit)

    def value_text(value: float) -> str:
        return f"{number(value, math.nan, None if decimals is None else (decimals, 0))} {unit}".rstrip()

    def name(cell: JoinedCell) -> str:
        rows = [cell.row, cell.metric.removeprefix(_PAIR)] if is_matrix else [cell.row]
        return " and ".join(papers.display("rows", row) for row in rows)

    def span(values: Mapping[str, float]) -> str:
        low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
        if len(values) == 1:
            return f"{value_text(values[low])} ({low})"
        if values[low] == values[high]:
            return f"{value_text(values[low])} (all rows)"
        return f"{value_text(values[low])} ({low}) to {value_text(values[high])} ({high})"

    printed = [cell for cell in cells if math.isfinite(cell.paper_mean)]
    dataset = papers.display("datasets", first.dataset)
    text = papers.display("metrics", "dice" if is_matrix else first.metric)
    text = f"{text[0].upper()}{text[1:]}{f' on {dataset}' if dataset else ''}: "
    text += span({name(cell): cell.ours_mean for cell in cells})
    if printed:
        text += f"; published {span({name(cell): cell.paper_mean for cell in printed})}"
        differences = [cell.ours_mean - cell.paper_mean for cell in printed]
        n_lower = sum(difference < 0 for difference in differences)
        median, suffix = float(np.median(differences)), " points" if first.unit == "percent" else f" {unit}".rstrip()
        size = f"{median:+.4g}" if decimals is None else f"{median:+.{decimals}f}"
        text += f"; {n_lower} of {len(printed)} values lower than the published ones, median difference {size}{suffix}"
    return text + "."
