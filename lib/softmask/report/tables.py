"""Tables on disk: a long CSV, a Markdown table (paper | ours), and a JSON with the provenance."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmask import papers
from softmask.config import Config
from softmask.errors import DataError
from softmask.files import read_bytes, write_atomic
from softmask.papers.printed import VALUES
from softmask.report import text
from softmask.report.result import WORKBOOK, Cell, JoinedCell, ResultTable, join, title_of

if TYPE_CHECKING:
    import pandas as pd

    from softmask.measure.segmentation import DiceMatrix

__all__ = ["COLUMNS", "Cell", "ResultTable", "matrix_cells", "read", "show", "show_cells", "to_frame", "write"]

COLUMNS = (
    "paper",
    "table",
    "row",
    "dataset",
    "metric",
    "paper_mean",
    "paper_std",
    "ours_mean",
    "ours_std",
    "n_images",
    "n_seeds",
    "data",
    "profile",
)
NOTEBOOK_VARIABLE = "SOFTMASK_NOTEBOOK"
"""Environment variable with the name of the notebook that is running, so that the report can link it."""

_NUMBERS = ("paper_mean", "paper_std", "ours_mean", "ours_std")
_COUNTS = ("n_images", "n_seeds")


def write(result: ResultTable, config: Config, provenance: Mapping[str, Any]) -> Path:
    """Write ``results/<run>/tables/<paper>/<table>.{json,md,csv}``, each whole or not at all; returns the CSV's path.

    Every printed cell is in the files, ours or not: an empty field in the CSV, "not finished" in the Markdown.
    Both numbers are in the printed unit. The same numbers give the same CSV, byte for byte.

    Raises:
        ConfigError: where the cells do not fit the table (see :func:`softmask.report.result.join`).
    """
    joined = join(result)
    folder = config.results / "tables" / result.paper
    content = {
        "paper": result.paper,
        "table": result.table,
        "title": title_of(result),
        "caption": result.caption,
        "profile": config.profile.name,
        "run": config.run,
        "result": config.profile.is_result,
        **({} if config.profile.is_result else {"warning": text.NOT_A_RESULT}),
        "measured": text.measured_on(joined),
        "notebook": os.environ.get(NOTEBOOK_VARIABLE, ""),
        "units": {cell.metric: cell.unit for cell in joined},
        "notes": [[*cell.key, cell.note] for cell in joined if cell.note],
        "details": result.details,
        "provenance": provenance,
    }
    write_atomic(folder / f"{result.table}.json", to_json(content))
    write_atomic(folder / f"{result.table}.md", _markdown(result, joined, config))
    return write_atomic(folder / f"{result.table}.csv", _csv(result, joined, config))


def matrix_cells(
    labels: Sequence[str],
    matrix: DiceMatrix,
    *,
    dataset: str,
    n_seeds: int,
    source: str,
    extra: Sequence[str] = (),
    note: str = "",
) -> list[Cell]:
    """The cells of a symmetric table from a :class:`~softmask.measure.segmentation.DiceMatrix`.

    Args:
        labels: names of the matrix's rows, such as ``doctor1`` ... ``consensus50``.
        extra: those of ``labels`` that the paper's matrix does not have; the whole of ``labels`` where the
            paper prints no such ``dataset``.
    """
    return [
        Cell(
            row,
            dataset,
            f"dice_with_{column}",
            float(matrix.mean[i, j]),
            float(matrix.std[i, j]),
            int(matrix.counts[i, j]),
            n_seeds,
            source,
            note,
            extra=row in extra or column in extra,
        )
        for i, row in enumerate(labels)
        for j, column in enumerate(labels)
    ]


def read(path: str | Path) -> pd.DataFrame:
    """The long table of a CSV: text columns, float columns (NaN where empty, inf), whole-number columns (NA).

    Raises:
        DataError: names the file, and the line, that is missing, damaged, or not such a table.
    """
    return parse(read_bytes(path, "run the notebook that writes it"), path)


def parse(content: bytes, path: str | Path) -> pd.DataFrame:
    """The long table that a CSV's ``content`` holds, as :func:`read` gives it; errors name ``path``."""
    import pandas as pd

    try:
        lines = list(csv.reader(io.StringIO(content.decode()), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); run its notebook again") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise DataError(
            f"{path}: not a table of results: its first line must be {','.join(COLUMNS)}; run its notebook again"
        )
    records, seen = [], set()
    for i, line in enumerate(lines[1:], start=2):
        if len(line) != len(COLUMNS):
            raise DataError(f"{path}, line {i}: {len(line)} fields instead of {len(COLUMNS)}; run its notebook again")
        record: dict[str, Any] = dict(zip(COLUMNS, line, strict=True))
        try:
            record |= {name: float(record[name] or "nan") for name in _NUMBERS}
            record |= {name: int(record[name]) if record[name] else None for name in _COUNTS}
        except ValueError as error:
            raise DataError(f"{path}, line {i}: {error}; run its notebook again") from error
        key = (record["row"], record["dataset"], record["metric"])
        if key in seen:
            raise DataError(f"{path}, line {i}: {' / '.join(key)} stands there twice; run its notebook again")
        seen.add(key)
        records.append(record)
    return pd.DataFrame(records, columns=list(COLUMNS)).astype({name: "Int64" for name in _COUNTS})


def to_frame(result: ResultTable) -> pd.DataFrame:
    """The long table as a DataFrame: the CSV's columns but ``profile``, and ``unit`` and ``note``."""
    import pandas as pd

    joined = join(result)
    columns = [name for name in COLUMNS if name != "profile"]
    records = [{**_record(result, cell), "unit": cell.unit, "note": cell.note} for cell in joined]
    return pd.DataFrame(records, columns=[*columns, "unit", "note"]).astype({name: "Int64" for name in _COUNTS})


def show(result: ResultTable) -> pd.DataFrame:
    """The table for the eye, in words: rows by (metric, paper | ours); a symmetric matrix as a matrix.

    A table with several grids (a matrix of two data sets) has them below one another, the data set in the index.
    """
    return show_cells(result.paper, result.table, _kind(result), join(result))


def show_cells(paper: str, table: str, kind: str, joined: Sequence[JoinedCell]) -> pd.DataFrame:
    """As :func:`show`, of cells that are joined already (:class:`softmask.report.contents.TableEntry` has them)."""
    import pandas as pd

    found = text.grids(joined, kind)
    frames = []
    for grid in found:
        header, body = _words(paper, table, grid)
        frames.append(pd.DataFrame([line[1:] for line in body], index=[line[0] for line in body], columns=header[1:]))
    if not frames:
        return pd.DataFrame()
    if len(frames) == 1:
        return frames[0]
    return pd.concat(frames, keys=[grid.heading or "more" for grid in found]).fillna("")


def to_json(content: Mapping[str, Any]) -> str:
    """``content`` as stable JSON: sorted keys, NaN and infinities as null and words, numpy numbers as numbers."""
    return json.dumps(_plain(content), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    import numpy as np

    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _kind(result: ResultTable) -> str:
    return VALUES if result.paper == WORKBOOK else papers.load(result.paper).table(result.table).kind


def _record(result: ResultTable, cell: JoinedCell) -> dict[str, Any]:
    values = (cell.row, cell.dataset, cell.metric, cell.paper_mean, cell.paper_std, cell.ours_mean, cell.ours_std)
    return dict(
        zip(COLUMNS, (result.paper, result.table, *values, cell.n_images, cell.n_seeds, cell.source), strict=False)
    )


def _csv(result: ResultTable, joined: Sequence[JoinedCell], config: Config) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in joined:
        record = _record(result, cell) | {"profile": config.profile.name}
        writer.writerow([_field(record[name]) for name in COLUMNS])
    return buffer.getvalue()


def _field(value: Any) -> str:
    """Six significant digits; NaN and None empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)  # + 0.0 turns -0 into 0


def _words(paper: str, table: str, grid: text.Grid) -> tuple[list[str], list[list[str]]]:
    """Header and body of a grid, in words; the first column is the row's name."""
    if grid.matrix:
        header = [""] + [column.title for column in grid.columns]
    else:
        header = [""]
        for column in grid.columns:
            header += [f"{column.title}, paper", f"{column.title}, ours"] if column.printed else [column.title]
    body = []
    for row in grid.rows:
        line = [papers.display("rows", row)]
        for column in grid.columns:
            cell = grid.at(row, column)
            printed, ours = ("", "") if cell is None else words_of(paper, table, cell)
            if grid.matrix:
                line.append("" if cell is None else f"{printed} / {ours}" if grid.printed else ours)
            else:
                line += [printed, ours] if column.printed else [ours]
        body.append(line)
    return header, body


def words_of(paper: str, table: str, cell: JoinedCell) -> tuple[str, str]:
    """The printed number and ours, in words, with the paper's decimals."""
    decimals = text.decimals_of(paper, table, cell)
    return text.paper_words(cell, decimals), text.our_words(cell, decimals)


def _markdown(result: ResultTable, joined: Sequence[JoinedCell], config: Config) -> str:
    lines = [f"# {papers.display('papers', result.paper)}, {result.table}: {title_of(result)}", ""]
    if not config.profile.is_result:
        lines += [f"**{text.NOT_A_RESULT[0].upper()}{text.NOT_A_RESULT[1:]}.**", ""]
    lines += [result.caption, "", f"{text.measured_on(joined)} Profile {config.profile.name}.", ""]
    found = text.grids(joined, _kind(result))
    for grid in found:
        if len(found) > 1 and grid.heading:
            lines += [f"## {grid.heading}", ""]
        if grid.matrix and grid.printed:
            lines += ["Each cell: paper / ours.", ""]
        header, body = _words(result.paper, result.table, grid)
        lines += [_pipe(header), "|" + "---|" * len(header), *map(_pipe, body), ""]
    if any(cell.printed for cell in joined):
        lines += [f"{text.NOTHING_PRINTED}: no legible number is printed.", ""]
    notes = notes_of(joined)
    lines += [*(f"- {note}" for note in notes), ""] if notes else []
    return "\n".join(lines)


def notes_of(joined: Sequence[JoinedCell]) -> list[str]:
    """The cells' notes, each once, with the rows they belong to."""
    rows: dict[str, list[str]] = {}
    for cell in joined:
        name = papers.display("rows", cell.row)
        if cell.note and cell.unit != "text" and name not in rows.setdefault(cell.note, []):
            rows[cell.note].append(name)
    return [f"{', '.join(names)}: {note}" for note, names in rows.items()]


def _pipe(fields: Sequence[str]) -> str:
    return "| " + " | ".join(field.replace("|", "\\|").replace("\n", " ") for field in fields) + " |"
