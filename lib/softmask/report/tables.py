"""Tables on disk: a long CSV, a Markdown table (paper | ours), and a JSON with the provenance."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from softmask import papers
from softmask.config import Config
from softmask.errors import DataError
from softmask.files import read_bytes, write_atomic
from softmask.report import result as words
from softmask.report.result import NOT_A_RESULT, Cell, Grid, JoinedCell, ResultTable, join

__all__ = ["COLUMNS", "Cell", "ResultTable", "read", "show", "show_cells", "write"]

_NUMBERS = ("paper_mean", "paper_std", "ours_mean", "ours_std")
_COUNTS = ("n_images", "n_seeds")
COLUMNS = ("paper", "table", "row", "dataset", "metric", *_NUMBERS, *_COUNTS, "data", "profile")
NOTEBOOK_VARIABLE = "SOFTMASK_NOTEBOOK"
"""Environment variable with the name of the running notebook, so that the report can link to it."""
AGAIN = "run its notebook again"
"""Remedy for a damaged file of a run, in error messages."""


def write(result: ResultTable, config: Config, provenance: Mapping[str, Any]) -> Path:
    """Write ``results/<run>/tables/<paper>/<table>.{json,md,csv}``, each whole or not at all. Return the CSV's path.

    The files have every printed cell. Where ours is missing, the CSV has an empty field, and the Markdown "not
    finished". Both numbers are in the printed unit. The same numbers give the same CSV, byte for byte.

    Raises:
        ConfigError: where the cells do not fit the table (see :func:`softmask.report.result.join`).
    """
    joined, title = join(result), result.title or (result.printed_table.title if result.printed_table else "")
    path = config.results / "tables" / result.paper / f"{result.table}.csv"
    content = {
        "paper": result.paper,
        "table": result.table,
        "title": title,
        "caption": result.caption,
        "measured": words.measured_on(joined),
        "notebook": os.environ.get(NOTEBOOK_VARIABLE, ""),
        "units": {cell.metric: cell.unit for cell in joined},
        "notes": [[*cell.key, cell.note] for cell in joined if cell.note],
        "details": result.details,
        "provenance": provenance,
    }
    fields = {"paper": result.paper, "table": result.table, "profile": config.profile.name}
    records = [{**vars(cell), **fields, "data": cell.source} for cell in joined]
    types = dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(_NUMBERS, float)
    numbers = pd.DataFrame(records, columns=list(COLUMNS)).astype(types)
    numbers[list(_NUMBERS)] += 0.0  # turns -0 into 0
    write_atomic(path.with_suffix(".json"), to_json(content | about_run(config)))
    write_atomic(path.with_suffix(".md"), _markdown(result, title, joined, config))
    return write_atomic(path, numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def about_run(config: Config) -> dict[str, Any]:
    """Return the entries about the run in the JSON beside every table and figure."""
    warning = {} if config.profile.is_result else {"warning": NOT_A_RESULT}
    return {"profile": config.profile.name, "run": config.run, "result": config.profile.is_result, **warning}


def read(path: str | Path) -> pd.DataFrame:
    """Read the long table of a CSV: columns of text, float (NaN where empty; may be inf) and integer (NA where empty).

    Raises:
        DataError: names the file (and the line) that is missing, damaged, or not such a table.
    """
    try:
        content = read_bytes(path, "run the notebook that writes it").decode()
        lines = list(csv.reader(io.StringIO(content), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); {AGAIN}") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise DataError(f"{path}: not a table of results: its first line must be {','.join(COLUMNS)}; {AGAIN}")
    records: dict[tuple, dict[str, Any]] = {}
    for i, line in enumerate(lines[1:], start=2):
        if len(line) != len(COLUMNS):
            raise DataError(f"{path}, line {i}: {len(line)} fields instead of {len(COLUMNS)}; {AGAIN}")
        record: dict[str, Any] = dict(zip(COLUMNS, line, strict=True))
        try:
            record |= {name: float(record[name] or "nan") for name in _NUMBERS}
            record |= {name: int(record[name]) if record[name] else None for name in _COUNTS}
        except ValueError as error:
            raise DataError(f"{path}, line {i}: {error}; {AGAIN}") from error
        key = (record["row"], record["dataset"], record["metric"])
        if key in records:
            raise DataError(f"{path}, line {i}: {' / '.join(key)} stands there twice; {AGAIN}")
        records[key] = record
    return pd.DataFrame(list(records.values()), columns=list(COLUMNS)).astype(dict.fromkeys(_COUNTS, "Int64"))


def show(result: ResultTable) -> Shown:
    """Return the table for display, as text: rows by (metric, paper | ours); a symmetric matrix as a matrix.

    Several grids (a matrix for each of two data sets) stand below one another, with the data set in the index.
    """
    joined = join(result)
    notes = (f"{result.caption} {words.measured_on(joined)}", *words.notes_of(joined))
    return Shown(show_cells(result.kind, joined), words.outcome(joined), notes)


class Shown(NamedTuple):
    """A table for display. Below it are the outcome in words (:func:`softmask.report.result.outcome`) and, in a fold,
    the ``notes``: the caption with the data, and the notes on cells."""

    frame: pd.DataFrame
    outcome: str
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        return "\n\n".join([str(self.frame), *self.notes, self.outcome])

    def _repr_html_(self) -> str:
        table = self.frame.to_html(max_rows=60, notebook=True).replace(" ± ", "&nbsp;±&nbsp;")
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"{table}<p>{escape(self.outcome)}</p><details><summary>Caption and notes</summary>{notes}</details>"


def show_cells(kind: str, joined: Sequence[JoinedCell]) -> pd.DataFrame:
    """Return the frame of :func:`show` for joined cells, such as a :class:`softmask.report.contents.TableEntry` has."""
    frames, headings = [], []
    for grid in words.grids(joined, kind):
        [_, *columns], body = _header_and_body(grid)
        frames.append(pd.DataFrame([line[1:] for line in body], [line[0] for line in body], columns))
        headings.append(grid.heading or "more")
    if len(frames) < 2:
        return frames[0] if frames else pd.DataFrame()
    return pd.concat(frames, keys=headings).fillna("")


def to_json(content: Mapping[str, Any]) -> str:
    """Return ``content`` as stable JSON: sorted keys, NaN as null, infinities as strings, numpy numbers as numbers."""
    return json.dumps(_plain(content), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _header_and_body(grid: Grid) -> tuple[list[str], list[list[str]]]:
    header = [""]
    for column in grid.columns:
        has_both = column.printed and not grid.matrix
        header += [f"{column.title}, paper", f"{column.title}, ours"] if has_both else [column.title]
    body = []
    for row in grid.rows:
        line = [papers.display("rows", row)]
        for column in grid.columns:
            cell = grid.cells.get((row, column))
            printed, ours = ("", "") if cell is None else words.words_of(cell)
            if grid.matrix:
                line.append(f"{printed} / {ours}" if cell is not None and grid.printed else ours)
            else:
                line += [printed, ours] if column.printed else [ours]
        body.append(line)
    return header, body


def _markdown(result: ResultTable, title: str, joined: Sequence[JoinedCell], config: Config) -> str:
    lines = [f"# {papers.display('papers', result.paper)}, {result.table}: {title}", ""]
    if not config.profile.is_result:
        lines += [f"**{NOT_A_RESULT[0].upper()}{NOT_A_RESULT[1:]}.**", ""]
    lines += [result.caption, "", f"{words.measured_on(joined)} Profile {config.profile.name}.", ""]
    grids = words.grids(joined, result.kind)
    for grid in grids:
        if len(grids) > 1 and grid.heading:
            lines += [f"## {grid.heading}", ""]
        if grid.matrix and grid.printed:
            lines += ["Each cell: paper / ours.", ""]
        header, body = _header_and_body(grid)
        lines += [*markdown_table([header, *body]), ""]
    outcome = words.outcome(joined)
    lines += [outcome, ""] if outcome else []
    if any(cell.printed for cell in joined):
        lines += [f"{words.NOTHING_PRINTED}: no legible number is printed.", ""]
    notes = words.notes_of(joined)
    return "\n".join([*lines, *(f"- {note}" for note in notes), *([""] if notes else [])])


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, with the first of ``rows`` as the header."""
    cells = [[field.replace("|", "\\|").replace("\n", " ") for field in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]
