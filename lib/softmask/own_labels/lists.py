"""Many images in one csv file: a line for each, with its mask, its readers' masks or the ends of its RECIST axes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from softmask.data.sample import Problem
from softmask.errors import ConfigError, DataError
from softmask.own_images import stem_of
from softmask.own_labels.arguments import COLUMNS_HELP
from softmask.own_labels.items import Item
from softmask.own_labels.marks import Mark

ENDS = {order: tuple(f"{letter}{end}" for end in range(4) for letter in order) for order in ("rc", "xy")}
"""Columns of the ends: r0, c0, r1, c1 of the long axis, r2, c2, r3, c3 of the short one; or x0, y0, ..."""

COLUMNS = ("image", "name", "mask", "readers", *ENDS["rc"], *ENDS["xy"], "units", "slice")

MOST_BYTES = 1 << 28
"""Largest list that is read."""


def read_list(path: Path) -> tuple[list[Item], list[Problem]]:
    """Its lines as items, and those that are none.

    Raises:
        DataError: naming the file, when it cannot be read, is no csv in UTF-8, or has no line.
        ConfigError: no column ``image``, a column that is not known, or none to label from.
    """
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    items, problems = [], []
    try:
        header = [cell.strip() for cell in next(rows, [])]
        _check_header(path, header)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}, line {rows.line_num}"
            try:
                items.append(_item(path.parent, where, header, row))
            except (ConfigError, DataError) as error:
                problems.append(Problem(where, str(error).removeprefix(f"{where}: ")))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: is no csv ({error}); save the list as csv again") from error
    if not items and not problems:
        raise DataError(f"{path}: has no line below its header; {COLUMNS_HELP}")
    return items, problems


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"{path}: larger than {MOST_BYTES} bytes; refused. Split the list")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name and its rights") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8 (byte {error.start}); save the list as csv in UTF-8") from error


def _check_header(path: Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if "image" not in header or unknown or len(set(header)) != len(header):
        found = ", ".join(repr(name[:40]) for name in header[:40]) or "none"
        raise ConfigError(f"{path}: its first line names the columns {found} (separated by commas); {COLUMNS_HELP}")
    ends = [order for order in ENDS if set(ENDS[order]) & set(header)]
    if not {"mask", "readers"} & set(header) and not ends:
        raise ConfigError(f"{path}: has no column to label from; {COLUMNS_HELP}")


def _item(folder: Path, where: str, header: list[str], row: list[str]) -> Item:
    if len(row) != len(header):
        raise DataError(f"{len(row)} cells where {len(header)} were expected; put cells with commas into quotes")
    if any("\0" in cell for cell in row):
        raise DataError("has a NUL byte; save the list again")
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
    if "image" not in cells:
        raise DataError("names no image")
    image = folder / cells["image"]
    readers = tuple(folder / one.strip() for one in cells.get("readers", "").split(";") if one.strip())
    return Item(
        name=cells.get("name") or stem_of(image),
        image=image,
        mask=folder / cells["mask"] if "mask" in cells else None,
        readers=readers,
        mark=_mark(cells),
        slice=int(_number(cells, "slice", int)) if "slice" in cells else None,
        where=where,
    )


def _mark(cells: dict[str, str]) -> Mark | None:
    given = {order: [name for name in names if name in cells] for order, names in ENDS.items()}
    orders = [order for order, names in given.items() if names]
    if not orders:
        if "units" in cells:
            raise DataError("has units and no RECIST ends")
        return None
    if len(orders) == 2:
        raise DataError("has RECIST ends both as rows and columns and as x and y; leave one of them")
    names = ENDS[orders[0]]
    missing = [name for name in names if name not in cells]
    if missing:
        raise DataError(f"has RECIST ends without {', '.join(missing)}")
    values = [float(_number(cells, name, float)) for name in names]
    return Mark(tuple(zip(values[::2], values[1::2], strict=True)), orders[0], cells.get("units", "px"))


def _number(cells: dict[str, str], name: str, kind: type) -> float:
    try:
        return kind(cells[name])
    except ValueError as error:
        what = "a whole number" if kind is int else "a number, with a point"
        raise DataError(f"{name} = {cells[name][:40]!r} is not {what}") from error
