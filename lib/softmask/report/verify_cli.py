"""``softmask verify``: a run's tables beside those that were committed, in words."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from softmask.data import configure
from softmask.report import kept, verify
from softmask.report.verify import Comparison

if TYPE_CHECKING:
    import pandas as pd

MOST = 20
"""Lines of a short list."""
WIDEST = 60
"""Characters of a column."""
STATED = (
    f"Tolerance: computed tables identical, or within {verify.ROUNDING:g} of a number where versions or hardware "
    f"differ; trained ones within {verify.SEEDS_APART:g} of the spread over images (over the root of the number of "
    "seeds), differences within half their interval."
)


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison; the exit status: 0 nothing differs, 1 something does.

    Raises:
        ConfigError: what should be compared is not there.
    """
    name = arguments.name or configure().run
    found = comparison(name, arguments.against)
    print(text(found, arguments.all))
    return 1 if found.differs else 0


def comparison(name: str, against: str | None = None) -> Comparison:
    """The run ``name`` (or a folder) beside ``against``; None: beside what the checkout's commit has of that run."""
    ours, committed = kept.here(name), Path(name).name
    theirs = kept.against(against, committed) if against else kept.committed(committed)
    return verify.compare(verify.read(ours.content, ours.name), verify.read(theirs.content, theirs.name))


def text(found: Comparison, everything: bool = False) -> str:
    """The summary, and every cell that differs (:data:`MOST` of them), or with ``everything`` every cell there is."""
    lines = [f"{found.here} here, beside {found.there}", "", *_counts(found, MOST)]
    lines += [f"damaged   {table}: {why}" for table, why in found.damaged.items()]
    if not found.cells.empty and (found.cells["state"] != verify.IDENTICAL).any():
        lines += ["", "What may have moved them:", *_moved(found)]
    cells = found.cells if everything else found.cells[found.cells["state"].isin(verify.DIFFERING)]
    if not cells.empty:
        lines += [
            "",
            "Every cell:" if everything else "What differs, the biggest first:",
            *_table(found, cells, everything),
        ]
    return "\n".join([*lines, "", STATED])


def summary(found: Comparison) -> str:
    """A few lines, for the end of a run."""
    told = [f"damaged   {', '.join(found.damaged)}"] if found.damaged else []
    more = ["softmask verify tells what, and what may have moved it"] if found.differs else []
    return "\n".join([f"Beside {found.there}:", *_counts(found), *told, *more])


def _counts(found: Comparison, most: int = 0) -> list[str]:
    """A line for each kind of table; of tables that only one side has, the names of the first ``most``."""
    lines = []
    for kind in (verify.COMPUTED, verify.TRAINED):
        cells = found.cells[found.cells["kind"] == kind]
        if cells.empty:
            continue
        counts = Counter(cells["state"])
        whole = sum((states == verify.IDENTICAL).all() for _, states in cells.groupby("table")["state"])
        said = ", ".join(f"{counts[state]:,} {state}" for state in reversed(verify.STATES) if counts[state])
        lines.append(f"{kind:<8}  {cells['table'].nunique()} tables, {whole} of them identical; cells: {said}")
    for state, tables in ((verify.MISSING, found.missing), (verify.ADDED, found.added)):
        if tables:
            names = [*tables[:most], *([f"and {len(tables) - most} more"] if len(tables) > most > 0 else [])]
            lines.append(f"{state:<8}  {len(tables)} tables{': ' if names else ''}{', '.join(names)}")
    return lines or ["there is nothing to compare"]


def _moved(found: Comparison) -> list[str]:
    """Each cause with the number of tables it may have moved."""
    tables = Counter(cause for causes in found.moved.values() for cause in causes)
    return [f"  {cause}  ({number} table{'' if number == 1 else 's'})" for cause, number in tables.most_common(MOST)]


def _table(found: Comparison, cells: pd.DataFrame, everything: bool) -> list[str]:
    chosen = cells if everything else cells.head(MOST)
    rows = [("table", "row", "data set", "measure", "state", "there", "here", "difference", "tolerance", "moved by")]
    for cell in chosen.itertuples():
        numbers = ("" if math.isnan(value) else f"{value:.3g}" for value in (cell.difference, cell.tolerance))
        causes = found.moved.get(cell.table, ()) if cell.state != verify.IDENTICAL else ()
        kinds = ", ".join(dict.fromkeys(cause.partition(":")[0] for cause in causes))
        rows.append(
            (cell.table, cell.row, cell.dataset, cell.metric, cell.state, cell.there, cell.here, *numbers, kinds)
        )
    widths = [min(max(map(len, column)), WIDEST) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(field[:WIDEST].ljust(width) for field, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rest = len(cells) - len(chosen)
    return [*lines, f"... and {rest:,} more; --all lists every cell"] if rest else lines
