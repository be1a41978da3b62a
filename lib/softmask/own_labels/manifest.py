"""``manifest.csv``: what was done to each image of a folder of results. It is what a later call goes on from."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable
from pathlib import Path

from softmask.errors import DataError
from softmask.files import write_atomic
from softmask.own_labels.items import MANIFEST

COLUMNS = (
    "name", "image", "label", "prior", "slices", "rows", "columns", "row_mm", "column_mm", "soft_area_px",
    "mask_area_px", "settings", "status", "message", "digest",
)  # fmt: skip
"""``slices``: those labelled, from 0, separated by spaces. ``soft_area_px`` is the sum of alpha over them,
``mask_area_px`` the pixels with alpha of at least 0.5. ``status`` is ``done`` or ``failed``, and ``digest`` the SHA-256
of all that the result hangs on."""

EVERY = 2.0
"""Seconds between two writings while images are labelled: what a kill takes from the manifest is done again."""

_MOST_BYTES = 1 << 28

Row = dict[str, str]


class Manifest:
    """The rows of a folder by name.

    Args:
        folder: of the results; made where it is not there.
        order: names that come first, in this order; other rows of earlier calls follow, unless they failed.

    Raises:
        DataError: naming file or folder, when there is another ``manifest.csv``, or nothing can be written there.
    """

    def __init__(self, folder: Path, order: Iterable[str]) -> None:
        self.path = folder / MANIFEST
        earlier = self._read()
        self._earlier = {name: row for name, row in earlier.items() if row["status"] == "done"}
        self._rows: dict[str, Row | None] = dict.fromkeys(order)
        try:
            self.save()
        except OSError as error:
            raise cannot_write(folder, error) from error

    def of(self, name: str) -> Row | None:
        """What an earlier call did to the item of this name; None where it did nothing, or failed."""
        return self._earlier.get(name)

    def put(self, row: Row) -> None:
        """Add a row; now and then the file is written."""
        self._rows[row["name"]] = row
        if time.monotonic() - self._saved > EVERY:
            self.save()

    def save(self) -> None:
        """Write the file, whole. Raises OSError."""
        kept = {name: row or self._earlier.get(name) for name, row in self._rows.items()}
        others = [row for name, row in self._earlier.items() if name not in kept]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in [*kept.values(), *others] if row)
        write_atomic(self.path, text.getvalue())
        self._saved = time.monotonic()

    def _read(self) -> dict[str, Row]:
        if not self.path.exists():
            return {}
        try:
            with self.path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode()
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            rows = list(reader)
            if tuple(reader.fieldnames or ()) != COLUMNS or any(None in row or None in row.values() for row in rows):
                raise ValueError("its columns are others")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); check its rights") from error
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{self.path}: is damaged, or no manifest of softmask label ({error}); move it away, or choose another "
                "folder with --out"
            ) from error
        return {row["name"]: row for row in rows}


def cannot_write(folder: Path, error: OSError) -> DataError:
    """What to say where nothing can be written to a folder."""
    return DataError(
        f"{folder}: cannot be written to ({error.strerror}); check its rights and the space left, or choose another "
        "folder with --out. The same command then goes on from what manifest.csv lists as done"
    )
