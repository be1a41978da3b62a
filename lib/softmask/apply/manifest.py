"""``manifest.csv``: a line for each image of the calls that wrote into a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from softmask.errors import DataError
from softmask.files import read_text, write_atomic

MANIFEST = "manifest.csv"
COLUMNS = (
    "name", "image", "label", "prior", "slices", "rows", "columns", "row_mm", "column_mm", "soft_area_px",
    "mask_area_px", "measured_slice", "long_mm", "short_mm", "mark_long_mm", "mark_short_mm", "area_mm2",
    "soft_area_mm2", "volume_mm3", "soft_volume_mm3", "settings", "formats", "status", "message", "digest",
)  # fmt: skip
"""``slices`` are the slices with a mask, from 0; ``soft_area_px`` is the sum of alpha over these slices, and
``mask_area_px`` the number of mask pixels. The columns from ``measured_slice`` to ``soft_volume_mm3`` are those of
:class:`~softmask.measure.size.Size`, for images with positions in mm (volumes only for results of several slices);
``mark_long_mm`` and ``mark_short_mm`` are the axes of the RECIST mark. ``formats`` are the written formats; ``status``
is ``done`` or ``failed``; ``digest`` covers everything that the result depends on, and the size of its files."""

_LARGEST_MANIFEST = 1 << 28  # bytes

Row = dict[str, str]


def read_manifest(path: Path | None) -> dict[str, Row]:
    """Return the rows by name, or no rows if there is no manifest. Raises DataError for another file of that name."""
    if path is None or not path.exists():
        return {}
    remedy = "move it away, or choose another folder with --out"
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, remedy, _LARGEST_MANIFEST), newline=""), strict=True)
        rows = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS or any(None in row or None in row.values() for row in rows):
            raise ValueError("its columns are others")
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: is damaged, or no manifest of this softmask ({error}); {remedy}") from error
    return {row["name"]: row for row in rows}


def write_manifest(path: Path | None, rows: Iterable[Row | None]) -> None:
    if path is None:
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in rows if row is not None)
    write_atomic(path, text.getvalue().encode(errors="backslashreplace"))  # a file name may contain undecodable bytes


def failed(name: str, why: str) -> Row:
    return dict.fromkeys(COLUMNS, "") | {"name": name, "status": "failed", "message": why}
