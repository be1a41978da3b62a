"""A run in numbers: how much of each paper it has, on which data, and how the claims stand; and the runs beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softmask import papers
from softmask.config import PROFILES, Config
from softmask.data.sample import SUBSTITUTE, WORDS
from softmask.papers.printed import NAMES
from softmask.report import contents, verdicts
from softmask.report.contents import Contents, TableEntry

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = (*verdicts.VERDICTS, contents.DAMAGED)
TABLES = (contents.FILLED, contents.PARTLY, contents.NOT_RUN, contents.DAMAGED)
FIGURES = (contents.DRAWN, contents.PARTLY_DRAWN, contents.NOT_RUN, contents.DAMAGED)
_RUN = re.compile(r"(\w+)-(embedded|real)(?:-([1-9]\d*)seeds)?")


@dataclass(frozen=True)
class State:
    """How much of one paper, or of several together, a run has.

    Attributes:
        tables, figures, claims: how many of each status (:data:`TABLES`, :data:`FIGURES`, :data:`VERDICTS`).
        rows, rows_measured: of the printed tables; a row is measured where each of its printed cells is.
        cells: printed cells.
        sources: of the measured ones, how many on ``real`` and how many on ``embedded`` data.
    """

    tables: Mapping[str, int]
    figures: Mapping[str, int]
    claims: Mapping[str, int]
    rows: int
    rows_measured: int
    cells: int
    sources: Mapping[str, int]


def state(found: Contents, names: Sequence[str] = NAMES) -> State:
    """The state of the papers ``names`` together."""
    tables = [entry for entry in found.tables if entry.paper in names]
    rows = [row for entry in tables for row in _rows(entry).values()]
    cells = [cell for entry in tables for cell in entry.cells if cell.printed]
    return State(
        _counted((entry.status for entry in tables), TABLES),
        _counted((entry.status for entry in found.figures if entry.paper in names), FIGURES),
        _counted((entry.verdict for entry in found.claims if entry.paper in names), VERDICTS),
        len(rows),
        sum(rows),
        len(cells),
        _counted((cell.source for cell in cells), WORDS),
    )


def on_real_data(of: State) -> str:
    """``107 of 122``, and how many of them on a substitute."""
    substitute = of.sources[SUBSTITUTE]
    counted = f"{of.sources['real'] + substitute} of {of.cells}"
    return f"{counted} ({substitute} on a substitute)" if substitute else counted


def frame(found: Contents) -> pd.DataFrame:
    """One line for each paper and one for all together, in words: ``4 of 5``."""
    import pandas as pd

    states = {papers.display("papers", name): state(found, [name]) for name in NAMES} | {"together": state(found)}
    lines = {
        name: {
            "tables filled": f"{one.tables[contents.FILLED]} of {sum(one.tables.values())}",
            "figures drawn": f"{one.figures[contents.DRAWN]} of {sum(one.figures.values())}",
            "rows measured": f"{one.rows_measured} of {one.rows}",
            "cells on real data": on_real_data(one),
            **{f"claims: {verdict}": count for verdict, count in one.claims.items()},
        }
        for name, one in states.items()
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def _counted(statuses: Iterable[str], known: Sequence[str]) -> dict[str, int]:
    counts = Counter(statuses)
    return {name: counts[name] for name in known}


def _rows(entry: TableEntry) -> dict[str, bool]:
    """Of each printed row, whether all its printed cells are measured."""
    rows: dict[str, bool] = {}
    for cell in entry.cells:
        if cell.printed:
            rows[cell.row] = rows.get(cell.row, True) and cell.run
    return rows


def config_of(run: str, config: Config) -> Config | None:
    """The settings of the run that has this name, on ``config``'s data folder; None where it is no run's name."""
    match = _RUN.fullmatch(run)
    if match is None or match[1] not in PROFILES:
        return None
    profile = PROFILES[match[1]]
    found = Config(profile, match[2], int(match[3] or profile.seeds), config.data_root)
    return found if found.run == run else None


def others(config: Config) -> list[Config]:
    """The other runs whose results lie beside this one's, by name; those that are no results are left out."""
    names = sorted(path.parent.name for path in config.results.parent.glob("*/tables"))
    found = [config_of(name, config) for name in names if name != config.run]
    return [one for one in found if one is not None and one.profile.is_result]


def claim_words(claim: str) -> str:
    """A claim for the eye: ``lgan_regression`` in it becomes ``LGAN regression``, ``table-1`` becomes ``table 1``."""
    named = re.sub(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*", _named, claim)
    return re.sub(r"\b(table|fig)-(\d+)", r"\1 \2", named)


def _named(match: re.Match) -> str:
    """A row or data set as people write it; any other word as it is, also one that is a row's name by chance."""
    for kind in ("rows", "datasets"):
        shown = papers.display(kind, match[0]).removeprefix("+ ")
        if shown != match[0] and ("_" in match[0] or re.sub(r"\W", "", shown).lower() == match[0]):
            return shown
    return match[0]
