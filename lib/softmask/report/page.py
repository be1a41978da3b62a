"""The report: one HTML file with every table and figure, printed beside ours, and where each number comes from.

It needs no network and no other file to be viewed: figures are embedded, there is no script; its links lead to files
of the checkout. What it says depends on the files of the run, on those of the runs beside it (their state, and their
verdicts on the same claims) and on the notebooks' sources (which cell drew a figure).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from softmask import papers
from softmask.config import Config
from softmask.errors import DataError
from softmask.files import write_atomic
from softmask.papers.printed import VALUES
from softmask.report import contents, drawn_by, overview, tables, text, verdicts
from softmask.report.pictures import embedded
from softmask.report.result import WORKBOOK, JoinedCell

_SHOWN_PROBLEMS = 20  # of what was left out of a table; its JSON has them all
_WIDEST = 14  # numbers side by side in a printed table
_STATUS_CLASS = {
    contents.FILLED: "filled",
    contents.DRAWN: "filled",
    contents.PARTLY: "partly",
    contents.PARTLY_DRAWN: "partly",
    contents.NOT_RUN: "none",
    contents.DAMAGED: "damaged",
}
_VERDICT_CLASS = {
    verdicts.HOLDS: "filled",
    verdicts.FAILS: "damaged",
    verdicts.INCONCLUSIVE: "partly",
    verdicts.UNDERTRAINED: "none",
    verdicts.FAILED_TRAINING: "none",
    verdicts.NOT_FINISHED: "none",
    verdicts.REPORTED: "none",
    contents.NOT_RUN: "none",
    contents.DAMAGED: "damaged",
}


def build(config: Config) -> Path:
    """Write ``results/<run>/report.html`` from what the run has produced so far; returns its path.

    All 26 printed tables and 38 printed figures are on it, ours or not; what cannot be read is named there.

    Raises:
        DataError: when the runner's ``state.json`` cannot be read.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("softmask.report") / "page.html.j2").read_text(encoding="utf-8"))
    return write_atomic(config.results / "report.html", template.render(**_context(config)))


def _context(config: Config) -> dict[str, Any]:
    found = contents.read(config)
    sections = [_section(found, name) for name in (*papers.NAMES, WORKBOOK)]
    own = os.environ.get(tables.NOTEBOOK_VARIABLE, "")
    notebooks = [notebook for notebook in found.notebooks if notebook.name != own]  # the one that builds this page
    entries = [*found.tables, *found.figures]
    beside = [(other, _read(other)) for other in overview.others(config)]
    return {
        "run": config.run,
        "profile": config.profile.name,
        "on_real_data": overview.on_real_data,
        "warning": "" if config.profile.is_result else text.NOT_A_RESULT,
        "sections": [section for section in sections if section["tables"] or section["figures"]],
        "overview": [(section, overview.state(found, [section["name"]])) for section in sections[:-1]],
        "total": overview.state(found),
        "differences": _differences(found),
        "runs": [_beside(other, contained) for other, contained in beside],
        "claims": [(papers.display("papers", name), _claims(config.run, found, beside, name)) for name in papers.NAMES],
        "status_class": _STATUS_CLASS | _VERDICT_CLASS,
        "not_run": [entry for entry in entries if entry.status == contents.NOT_RUN],
        "damaged": [entry for entry in entries if entry.status == contents.DAMAGED],
        "notebooks": notebooks,
        "unfinished": [notebook for notebook in notebooks if notebook.status != "ok"],
        "display": papers.display,
        "title": _title,
        "anchor": _anchor,
        "shown_problems": _SHOWN_PROBLEMS,
        "nothing_printed": text.NOTHING_PRINTED,
    }


def _title(name: str) -> str:
    """``table-1`` as a heading says it; a table or figure of the workbook's own keeps its name."""
    what, _, number = name.partition("-")
    words = {"table": "Table", "fig": "Figure"}
    return f"{words[what]} {number}" if what in words else name


def _anchor(entry: contents.TableEntry | contents.FigureEntry) -> str:
    """The entry's id on the page; a table and a figure of the workbook's own may have one name."""
    own_figure = entry.paper == WORKBOOK and isinstance(entry, contents.FigureEntry)
    return f"{entry.paper}-{'figure-' if own_figure else ''}{entry.name}"


def _differences(found: contents.Contents) -> dict[str, int]:
    """How many of our numbers are higher than the printed ones, lower, and the same, as the tables say it."""
    ways = Counter(
        _difference(cell, text.decimals_of(entry.paper, entry.name, cell))[1]
        for entry in found.tables
        for cell in entry.cells
        if cell.printed
    )
    return {way: ways[way] for way in ("higher", "lower", "same")}


def _read(config: Config) -> contents.Contents | None:
    """Another run's contents; None where its ``state.json`` is damaged, which is no reason for this page to fail."""
    try:
        return contents.read(config)
    except DataError:
        return None


def _beside(config: Config, found: contents.Contents | None) -> dict[str, Any]:
    """Another run: its state and the address of its page, or of its tables where it has no page."""
    page = (config.results / "report.html").exists()
    return {
        "run": config.run,
        "state": overview.state(found) if found else None,
        "link": f"../{config.run}/{'report.html' if page else 'tables/'}",
        "page": page,
    }


def _claims(
    run: str, found: contents.Contents, beside: Sequence[tuple[Config, contents.Contents | None]], paper: str
) -> list[dict[str, Any]]:
    """A paper's claims, each with its verdict in this run and in every other run that has one."""
    everywhere = [(run, entry) for entry in found.claims] + [
        (other.run, entry)
        for other, contained in beside
        for entry in (contained.claims if contained else ())
        if entry.verdict not in (contents.NOT_RUN, contents.DAMAGED)
    ]
    return [
        {
            "words": overview.claim_words(claim.words),
            "verdicts": [one for one in everywhere if one[1].claim == claim.words and one[1].paper == paper],
        }
        for claim in papers.load(paper).claims
    ]


def _section(found: contents.Contents, name: str) -> dict[str, Any]:
    own_tables, own_figures = found.of(name)
    return {
        "name": name,
        "title": papers.display("papers", name),
        "citation": "" if name == WORKBOOK else citation_line(papers.load(name).citation),
        "tables": [_table(entry) for entry in own_tables],
        "figures": [_figure(entry) for entry in own_figures],
    }


def citation_line(citation: Mapping[str, Any]) -> str:
    """Authors, title, venue, year and arXiv number in one line, as far as they are known."""
    parts = [
        ", ".join(citation["authors"]),
        citation["title"],
        ", ".join(str(citation[key]) for key in ("venue", "year") if citation[key]),
    ]
    if "arxiv" in citation:
        parts.append(f"arXiv {citation['arxiv']}")
    return ". ".join(part for part in parts if part) + "."


def _table(entry: contents.TableEntry) -> dict[str, Any]:
    found = _grids(entry)
    return {
        "entry": entry,
        "anchor": _anchor(entry),
        "grids": [_grid(entry, grid, len(found) > 1) for grid in found],
        "notes": tables.notes_of(entry.cells),
        "provenance": _provenance(entry.provenance),
        "problems": [
            f"{problem['where']}: {problem['why']}"
            for data in entry.provenance.get("datasets", [])
            for problem in data["problems"]
        ],
        "dashes": any(cell.printed and not cell.paper_text and math.isnan(cell.paper_mean) for cell in entry.cells),
    }


def _grids(entry: contents.TableEntry) -> list[text.Grid]:
    """The table's grids; what is too wide for a sheet of paper has one for each data set."""
    found = []
    for grid in text.grids(entry.cells, entry.kind):
        names = list(dict.fromkeys(column.dataset for column in grid.columns))
        if sum(1 + column.printed for column in grid.columns) > _WIDEST and len(names) > 1:
            for name in names:
                found += text.grids([cell for cell in grid.cells.values() if cell.dataset == name], VALUES)
        else:
            found.append(grid)
    return found


def _grid(entry: contents.TableEntry, grid: text.Grid, several: bool) -> dict[str, Any]:
    return {
        "matrix": grid.matrix,
        "printed": grid.printed,
        "heading": grid.heading if several else "",
        "columns": grid.columns,
        "rows": [
            {
                "title": papers.display("rows", row),
                "cells": [_cell(entry, grid.at(row, column), column) for column in grid.columns],
            }
            for row in grid.rows
        ],
    }


def _cell(entry: contents.TableEntry, cell: JoinedCell | None, column: text.Column) -> dict[str, Any]:
    if cell is None:
        return {"printed": column.printed, "paper": "", "ours": "", "run": True, "difference": "", "way": ""}
    paper, ours = tables.words_of(entry.paper, entry.name, cell)
    difference, way = _difference(cell, text.decimals_of(entry.paper, entry.name, cell))
    return {
        "printed": column.printed,
        "paper": paper if cell.printed else "",
        "ours": ours,
        "run": cell.run,
        "difference": difference,
        "way": way,
    }


def _difference(cell: JoinedCell, decimals: text.Decimals | None) -> tuple[str, str]:
    """``1.20 higher`` and ``higher``; empty where one of the numbers is missing or infinite."""
    difference = cell.ours_mean - cell.paper_mean
    if not cell.run or not math.isfinite(difference):
        return "", ""
    size = f"{abs(difference):.{decimals[0]}f}" if decimals is not None else f"{abs(difference):.4g}"
    if float(size) == 0:
        return "the same", "same"
    way = "higher" if difference > 0 else "lower"
    return f"{size} {way}", way


def _figure(entry: contents.FigureEntry) -> dict[str, Any]:
    return {
        "entry": entry,
        "anchor": _anchor(entry),
        "pictures": [
            {
                "picture": picture,
                "image": embedded(picture.png),
                "cell": drawn_by.find(picture.notebook, entry.paper, picture.name) if picture.notebook else None,
            }
            for picture in entry.pictures
        ],
    }


def _provenance(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The provenance as (what, value) lines for people; what a table does not say is left out."""
    lines: list[tuple[str, str]] = []
    for data in content.get("datasets", []):
        left_out = f", {len(data['problems'])} left out" if data["problems"] else ""
        lines.append(
            (
                f"data {data['name']}",
                f"{text.SOURCE_WORDS.get(data['source'], data['source'])}; {data['origin']}; "
                f"{data['n']:,} images{left_out}; fingerprint {data['fingerprint']}",
            )
        )
    if "runs" in content:
        runs = content["runs"]
        devices = ", ".join(sorted({run["device"] for run in runs}))
        seconds = sum(run["seconds"] for run in runs)
        recorded = sum(run["recorded"] for run in runs)
        lines.append(("training", f"{len(runs)} runs, {seconds:,.0f} s on {devices}; {recorded} taken from records"))
    if "git_commit" in content:
        state = {True: ", with changes that are not committed", False: "", None: ""}[content["git_dirty"]]
        lines.append(("code", f"{content['git_commit']}{state}" if content["git_commit"] else "not in a git checkout"))
    if "seeds" in content:
        lines.append(("seeds", ", ".join(str(seed) for seed in content["seeds"])))
    if "cpu" in content:
        lines.append(("machine", f"{content['cpu']}, {content['cpu_count']} cores; {content['platform']}"))
    if "seconds" in content:
        lines.append(("cost", f"{content['seconds']} s, {content['peak_memory_mb']} MB at most"))
    if "packages" in content:
        versions = [f"{name} {number}" for name, number in content["packages"].items() if number]
        lines.append(("packages", ", ".join([f"python {content['python']}", *versions])))
    return lines
