"""Tables of our results, and their join with what a paper prints."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from softmask import papers
from softmask.data.sample import WORDS
from softmask.errors import ConfigError
from softmask.papers.printed import MATRIX, PrintedCell

WORKBOOK = "workbook"
"""The "paper" of tables and figures that no paper prints."""
PRINTED = "printed"
"""The source of a cell that is made from printed numbers alone."""
SCALES = {"percent": 100.0, "fraction": 1.0}
"""Factor from a share in [0, 1] to the unit; a value in any other unit is kept as it is."""

Key = tuple[str, str, str]
"""Row, data set and metric of a cell."""


@dataclass(frozen=True)
class Cell:
    """One of our numbers.

    Attributes:
        row, dataset, metric: as in the printed table (see :meth:`softmask.papers.PrintedTable.cells`).
        ours_mean, ours_std: shares (Dice, SEN, accuracy, ...) in [0, 1] whatever the paper's unit; all else in the
            table's unit (pixels, ms). NaN: undefined. inf: infinite.
        n_images, n_seeds: what the mean is over; the spread is over images pooled over seeds.
        source: of the data, a key of :data:`softmask.data.sample.WORDS`; :data:`PRINTED` where nothing was measured.
        note: shown below the table; for a ``description`` cell, the text itself.
        extra: the paper does not print this cell, and that is meant (not needed in the workbook's own tables).
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
        title: of the table; empty for the printed table's own title.
        caption: what was measured on what, and what the reader must know.
        rows: our cells, in any order; a printed cell that is not among them is shown as not finished.
        units: of metrics that the paper does not print: ``percent``, ``fraction``, or any other unit by its name.
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


@dataclass(frozen=True)
class JoinedCell:
    """A printed number and ours, both in ``unit``; NaN where there is none. ``n_images`` is None where not run."""

    row: str
    dataset: str
    metric: str
    unit: str
    printed: bool
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


def title_of(result: ResultTable) -> str:
    """Return the table's own title, or the printed table's."""
    return result.title or (papers.load(result.paper).table(result.table).title if result.paper != WORKBOOK else "")


def check_name(name: str) -> None:
    """Raise ConfigError where ``name`` cannot be a file name and an anchor: a-z, 0-9 and - only."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ConfigError(f"{name!r} cannot name a table or figure: use a-z, 0-9 and - in between")


def join(result: ResultTable) -> list[JoinedCell]:
    """Return every printed cell in print order with ours beside it, then our extra cells in the order given.

    In a symmetric matrix, our cell for (a, b) also stands for (b, a).

    Raises:
        ConfigError: for an unknown paper or table, a cell given twice, one that is not printed and not declared
            ``extra`` (or printed and declared so), a number outside its range, or a metric of unknown unit.
    """
    where, own = f"{result.paper}/{result.table}", result.paper == WORKBOOK
    printed: dict[Key, PrintedCell] = {}
    matrix = False
    if own:
        check_name(result.table)
    else:
        table = papers.load(result.paper).table(result.table)
        printed, matrix = {(cell.row, cell.dataset, cell.metric): cell for cell in table.cells()}, table.kind == MATRIX
    ours: dict[Key, Cell] = {}
    for cell in result.rows:
        if cell.key in ours:
            raise ConfigError(f"{where}: cell {_name(cell.key)} is given twice")
        ours[cell.key] = cell
    for cell in [cell for cell in ours.values() if matrix and cell.metric.startswith("dice_with_")]:
        row = cell.metric.removeprefix("dice_with_")
        twin = replace(cell, row=row, metric=f"dice_with_{cell.row}")
        other = ours.setdefault(twin.key, twin).ours_mean
        if not np.isclose(other, cell.ours_mean, rtol=1e-9, equal_nan=True):
            raise ConfigError(f"{where}: {cell.row} with {row} is {cell.ours_mean}, the other way {other}")

    units = {cell.metric: cell.unit for cell in printed.values()} | dict(result.units)
    joined = [
        JoinedCell(*key, cell.unit, True, paper_mean=cell.mean, paper_std=cell.std, paper_text=cell.text)
        for key, cell in printed.items()
    ]
    for key, cell in ours.items():
        if key in printed:
            if cell.extra:
                raise ConfigError(f"{where}: cell {_name(key)} is declared extra, but the paper prints it")
            continue
        if not (cell.extra or own or (matrix and cell.metric == f"dice_with_{cell.row}")):
            raise ConfigError(
                f"{where}: cell {_name(key)} is not printed in that table; declare it extra=True if it is meant"
                f"{_hint(key, printed)}"
            )
        unit = units.get(cell.metric, "number" if own else "")
        if not unit:
            raise ConfigError(
                f"{where}: the paper prints no metric {cell.metric!r} here; give its unit in ResultTable.units"
            )
        joined.append(JoinedCell(*key, unit, False))
    return [_with(cell, ours[cell.key], where) if cell.key in ours else cell for cell in joined]


def _with(joined: JoinedCell, cell: Cell, where: str) -> JoinedCell:
    """``joined`` with our number, in the joined cell's unit."""
    name = f"{where}: cell {_name(joined.key)}"
    mean, std = float(cell.ours_mean), float(cell.ours_std)
    if cell.source not in (*WORDS, PRINTED):
        raise ConfigError(
            f"{name}: source must be {', '.join(WORDS)}, or {PRINTED} of printed numbers, not {cell.source!r}"
        )
    for field_, count, least in (("n_images", cell.n_images, 0), ("n_seeds", cell.n_seeds, 1)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
            raise ConfigError(f"{name}: {field_} must be a whole number of images or seeds, not {count!r}")
    if joined.unit in SCALES and not (math.isnan(mean) or 0 <= mean <= 1):
        raise ConfigError(f"{name}: {mean} is no share; give values in [0, 1], they are shown in {joined.unit}")
    if std < 0:
        raise ConfigError(f"{name}: a spread cannot be {std}")
    if joined.unit == "text" and not cell.note:
        raise ConfigError(f"{name}: a description needs its text in note")
    scale, counts = SCALES.get(joined.unit, 1.0), {"n_images": int(cell.n_images), "n_seeds": int(cell.n_seeds)}
    return replace(joined, ours_mean=mean * scale, ours_std=std * scale, source=cell.source, note=cell.note, **counts)


def _name(key: Key) -> str:
    return " / ".join(part or "-" for part in key)


def _hint(key: Key, printed: Mapping[Key, PrintedCell]) -> str:
    """Which part of the key is unknown, and what is known."""
    for i, parts in enumerate(("rows", "data sets", "metrics")):
        known = list(dict.fromkeys(other[i] or "-" for other in printed))
        if (key[i] or "-") not in known and known:
            return f" (its {parts}: {', '.join(known)})"
    return ""
