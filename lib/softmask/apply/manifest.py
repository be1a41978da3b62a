"""``manifest.csv``: what was done to each image of a folder of results, from which a later call goes on."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable
from pathlib import Path

from softmask.errors import DataError
from softmask.files import write_atomic

MANIFEST = "manifest.csv"
COLUMNS = (
    "name", "image", "label", "prior", "slices", "rows", "columns", "row_mm", "column_mm", "soft_area_px",
    "mask_area_px", "settings", "status", "message", "digest",
)  # fmt: skip
"""``slices``: those labelled, from 0, separated by spaces. ``soft_area_px`` is the sum of alpha over them,
``mask_area_px`` the pixels with alpha of at least 0.5. ``status`` is ``done`` or ``failed``, and ``digest`` the SHA-256
of all that the result depends on."""

EVERY = 2.0
"""Seconds between two writings while images are labelled: what a kill takes from the manifest is done again."""

_MOST_BYTES = 1 << 28

Row = dict[str, str]


class Manifest:
    """The rows of a folder by name.

    Args:
        folder: of the results; made where it is missing.
        names: of the rows that come first, in this order; rows of earlier calls follow, unless they failed.

    Attributes:
        earlier: rows of earlier calls with status ``done``, by name.

    Raises:
        DataError: naming file or folder, when there is another ``manifest.csv``, or nothing can be written there.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._path = folder / MANIFEST
        self.earlier = {row["name"]: row for row in self._read() if row["status"] == "done"}
        self._rows: dict[str, Row | None] = dict.fromkeys(names)
        try:
            self.save()
        except OSError as error:
            raise cannot_write(folder, error) from error

    def put(self, row: Row) -> None:
        """Add a row; now and then the file is written."""
        self._rows[row["name"]] = row
        if time.monotonic() - self._saved > EVERY:
            self.save()

    def save(self) -> None:
        """Write the file, whole. Raises OSError."""
        rows = {name: row or self.earlier.get(name) for name, row in self._rows.items()}
        rows |= {name: row for name, row in self.earlier.items() if name not in rows}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(filter(None, rows.values()))
        write_atomic(self._path, text.getvalue())
        self._saved = time.monotonic()

    def _read(self) -> list[Row]:
        if not self._path.exists():
            return []
        try:
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode()
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            rows = list(reader)
            if tuple(reader.fieldnames or ()) != COLUMNS or any(None in row or None in row.values() for row in rows):
                raise ValueError("its columns are others")
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read ({error.strerror}); check its rights") from error
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{self._path}: is damaged, or no manifest of softmask label ({error}); move it away, or choose "
                "another folder with --out"
            ) from error
        return rows


def cannot_write(folder: Path, error: OSError) -> DataError:
    """Return the error of a folder that cannot be written to."""
    return DataError(
        f"{folder}: cannot be written to ({error.strerror}); check its rights and the space left, or choose another "
        "folder with --out. The same command then goes on from what manifest.csv lists as done"
    )
