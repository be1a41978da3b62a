"""Printed tables, read from the YAML files of the package into long form.

Each file lists the tables of one paper in the layout that is easiest to check against the print; this module
turns every layout into the same long form, one :class:`PrintedCell` per number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from softmask.errors import ConfigError, DataError
from softmask.papers import claims
from softmask.papers.claims import Claim

NAMES = ("casgan", "softgan", "dsnet-v1", "dsnet-v2", "lgan")

VALUES, MATRIX, DESCRIPTION = "values", "symmetric-matrix", "description"
SCALES = {"percent": 100.0, "fraction": 1.0}
"""Factor from a share in [0, 1] to the unit; a value in any other unit is kept as it is."""


class Printed(float):
    """Number with its printed decimals: 87.20 is 87.2 with two decimals."""

    def __new__(cls, text: str) -> Printed:
        number = super().__new__(cls, text)
        number.decimals = len(text.partition(".")[2])
        return number


def decimals(value: float) -> int:
    """Return the number of printed decimals; for a plain number, the number that it needs (one for 87.20)."""
    if isinstance(value, Printed):
        return value.decimals
    return len(f"{value!r}".partition(".")[2]) if value % 1 else 0


class PrintedCell(NamedTuple):
    """One printed number.

    Attributes:
        dataset: data set; empty where the table has none.
        metric: ``dice``, ``sen``, ...; ``dice_with_<row>`` in a matrix; ``description`` for text.
        mean, std: as printed, in :attr:`unit` (:class:`Printed` where read from a file); NaN where nothing is legible.
        unit: ``percent``, ``fraction``, ``pixels``, ``ms`` or ``text``.
        text: the words of a ``description`` cell, else empty.
    """

    row: str
    dataset: str
    metric: str
    mean: float
    std: float
    unit: str
    text: str = ""


@dataclass(frozen=True)
class PrintedTable:
    """One printed table, with title and note in this project's words.

    ``rows`` and ``cells`` are in print order, row by row; ``pandas.DataFrame(table.cells)`` is the long table. A matrix
    gives both of its triangles, and its diagonal where it is printed.
    """

    paper: str
    name: str
    title: str
    kind: str
    note: str
    rows: tuple[str, ...]
    cells: tuple[PrintedCell, ...]

    def decimals_of(self, metric: str) -> tuple[int, int] | None:
        """Return the most decimals of the means and of the spreads for ``metric`` (in a matrix: of all cells). Without
        spreads, the second number is that of the means; None where nothing is printed."""
        cells = [cell for cell in self.cells if self.kind == MATRIX or cell.metric == metric]
        means = [decimals(cell.mean) for cell in cells if not math.isnan(cell.mean)]
        spreads = [decimals(cell.std) for cell in cells if not math.isnan(cell.std)]
        return (max(means), max(spreads or means)) if means else None


@dataclass(frozen=True)
class Paper:
    """Printed content of one paper.

    Attributes:
        citation: title, authors (none where the text does not name them), year, venue, and arxiv where there is one.
        figures: content of each figure, by name such as ``fig-1``, in this project's words.
        epochs: number of epochs of the segmentation network in the paper; None where it is not stated.
    """

    name: str
    citation: Mapping[str, Any]
    tables: Mapping[str, PrintedTable]
    figures: Mapping[str, str]
    claims: tuple[Claim, ...]
    epochs: int | None = None

    def table(self, name: str) -> PrintedTable:
        """Return the table with this name. Raises ConfigError, which lists the known names, for any other."""
        if name not in self.tables:
            raise ConfigError(f"{self.name} has no table {name!r}; its tables are {', '.join(self.tables)}")
        return self.tables[name]


@cache
def load(paper: str) -> Paper:
    """Return the paper with this name; raise ConfigError for a name that is not in :data:`NAMES`."""
    if paper not in NAMES:
        raise ConfigError(f"unknown paper {paper!r}; choose one of {', '.join(NAMES)}")
    text = (files("softmask.papers") / f"{paper}.yaml").read_text(encoding="utf-8")
    return parse(_Loader(text).get_single_data())


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, with :class:`Printed` for its floats; a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        if repeats := {name for name in names if names.count(name) > 1}:
            raise DataError(f"line {node.start_mark.line + 1}: {', '.join(map(str, repeats))}: stands there twice")
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Printed(loader.construct_scalar(node)))


def parse(content: Mapping[str, Any]) -> Paper:
    """Return a :class:`Paper` from the content of its YAML file.

    Raises:
        DataError: if a table, row or claim does not fit; the message names it.
    """
    location = "a paper"
    try:
        location = name = content["paper"]
        tables = {}
        for key, table in content["tables"].items():
            location = f"{name}/{key}"
            tables[key] = _table(name, key, table, content["units"])
        location = name
        cells = [cell for table in tables.values() for cell in table.cells]
        in_percent = {(c.row, c.dataset, c.metric): c.mean * (100 if c.unit == "fraction" else 1) for c in cells}
        parsed_claims = claims.parse(name, content["claims"], in_percent)
        epochs = content.get("settings", {}).get("epochs")
        return Paper(name, content["citation"], tables, dict(content["figures"]), parsed_claims, epochs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{location}: does not have the layout of the other papers' files ({error!r})") from error


def _table(paper: str, name: str, table: Mapping[str, Any], units: Mapping[str, str]) -> PrintedTable:
    kind = table.get("kind", VALUES)
    layouts = {VALUES: _values, MATRIX: _matrix, DESCRIPTION: _description}
    if kind not in layouts:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(layouts)}")
    cells = []
    for row, dataset, metric, value in layouts[kind](table):
        if kind == DESCRIPTION:
            cell = PrintedCell(row, dataset, metric, math.nan, math.nan, "text", value)
        else:
            cell = PrintedCell(row, dataset, metric, *_number(row, value), units.get(metric, units["default"]))
        cells.append(cell)
    rows = tuple(dict.fromkeys(cell.row for cell in cells))
    return PrintedTable(paper, name, str(table["title"]), kind, str(table.get("note", "")), rows, tuple(cells))


def _values(table: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Yield rows by columns, rows by data sets by columns, or data sets by rows by kinds of mask by columns."""

    def by_column(row: str, values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        if len(values) != len(table["columns"]):
            raise ValueError(f"{row}: {len(values)} values for {len(table['columns'])} columns")
        return zip(table["columns"], values, strict=True)

    for row, values in table["rows"].items():
        if not isinstance(values, Mapping):
            for column, value in by_column(row, values):
                dataset, metric = (table["dataset"], column) if isinstance(column, str) else column
                yield row, dataset, metric, value
        elif "datasets" in table:
            for dataset in table["datasets"]:
                for metric, value in by_column(f"{row}, {dataset}", values[dataset]):
                    yield row, dataset, metric, value
        else:
            for method, by_kind in values.items():  # the outer key is the data set
                for kind, numbers in by_kind.items():
                    for metric, value in by_column(f"{row}, {method}, {kind}", numbers):
                        yield method, row, f"{metric}_{kind}", value


def _matrix(table: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    labels, matrix = table["labels"], table["matrix"]
    if {len(matrix), *map(len, matrix)} != {len(labels)}:
        raise ValueError(f"a matrix over {len(labels)} labels needs {len(labels)} rows and columns")
    for i, row in enumerate(labels):
        for j, column in enumerate(labels):
            if matrix[i][j] != matrix[j][i]:
                raise ValueError(f"{row} with {column} is {matrix[i][j]}, the other way round {matrix[j][i]}")
            if i != j or matrix[i][j] is not None:  # an unprinted diagonal is not missing
                yield row, table["dataset"], f"dice_with_{column}", matrix[i][j]


def _description(table: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for row, text in table["rows"].items():
        if not isinstance(text, str) or not text:
            raise ValueError(f"{row}: a description must be text, not {text!r}")
        yield row, "", "description", text


def _number(row: str, value: Any) -> tuple[float, float]:
    """Return (mean, std) of a number, a [mean, std] pair, or null."""
    mean, std = value if isinstance(value, list) else (value, None)
    if not all(part is None or (type(part) in (int, float, Printed) and math.isfinite(part)) for part in (mean, std)):
        raise ValueError(f"{row}: {value!r} is neither a number, nor [mean, std], nor null")
    if std is not None and (mean is None or std < 0):
        raise ValueError(f"{row}: {value!r} has a spread that cannot be")
    mean, std = (math.nan if part is None else part if isinstance(part, float) else float(part) for part in (mean, std))
    return mean, std
