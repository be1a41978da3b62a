"""The report: one HTML file with every table and figure, published and ours, and where each number comes from.

It needs no network and no other file to be viewed: figures are embedded, there is no script. It depends on the files
of the run, on those of the runs beside it, and on the notebooks' sources (which cell drew a figure).
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from PIL import Image

from softmask import papers
from softmask.config import ROOT, Config, output_root
from softmask.errors import DataError
from softmask.files import write_atomic
from softmask.papers.audit import gains
from softmask.papers.printed import VALUES
from softmask.report import contents, provenance, tables, verdicts
from softmask.report.contents import Contents, FigureEntry, TableEntry
from softmask.report.result import (
    NOT_A_RESULT,
    NOTHING_PRINTED,
    WORKBOOK,
    Grid,
    JoinedCell,
    decimals_of,
    grids,
    notes_of,
    words_of,
)

WIDTH = 1280
"""Of an embedded figure, in pixels; the page shows one 1088 wide at most."""
_WIDEST = 14  # numbers side by side in a printed table
_CLASSES = {
    "filled": (contents.FILLED, contents.DRAWN, verdicts.HOLDS),
    "partly": (contents.PARTLY, contents.PARTLY_DRAWN, verdicts.INCONCLUSIVE),
    "damaged": (contents.DAMAGED, verdicts.FAILS),
}
"""Of a status or verdict on the page; any other is ``none``."""


def build(config: Config) -> Path:
    """Write ``results/<run>/report.html`` from what the run has produced so far, and return its path.

    All 26 printed tables and 38 printed figures are on it, ours or not; what cannot be read is named there.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("softmask.report") / "page.html.j2").read_text(encoding="utf-8"))
    return write_atomic(config.results / "report.html", template.render(**_context(config)))


def _context(config: Config) -> dict[str, Any]:
    read = contents.read(config.run)
    sections = [_section(read, name) for name in (*papers.NAMES, WORKBOOK)]
    own = os.environ.get(tables.NOTEBOOK_VARIABLE, "")
    notebooks = [notebook for notebook in read.notebooks if notebook["name"] != own]  # the one that builds this page
    entries = [*read.tables, *read.figures]
    beside = {}
    for run in contents.others(config.run):
        try:
            beside[run] = contents.read(run)
        except DataError:  # no reason for this page to fail
            beside[run] = None
    runs = {config.run: read} | {run: other for run, other in beside.items() if other}
    ways = [difference_of(entry, cell)[1] for entry in read.tables for cell in entry.cells if cell.printed]
    return {
        "run": config.run,
        "profile": config.profile.name,
        "warning": "" if config.profile.is_result else NOT_A_RESULT,
        "sections": [section for section in sections if section["tables"] or section["figures"]],
        "overview": [(section, contents.state(read, [section["name"]])) for section in sections[:-1]],
        "total": contents.state(read),
        "differences": Counter(ways),
        "runs": [_beside(run, other) for run, other in beside.items()],
        "claims": {papers.display("papers", name): _claims(runs, name) for name in papers.NAMES},
        "gains": gains.sentence(gains.run()),
        "seen": next((entry for entry in read.tables if entry.name == "could-be-seen"), None),
        "class_of": {status: name for name, statuses in _CLASSES.items() for status in statuses}.get,
        "not_run": [entry for entry in entries if entry.status == contents.NOT_RUN],
        "damaged": [entry for entry in entries if entry.status == contents.DAMAGED],
        "notebooks": notebooks,
        "unfinished": [notebook for notebook in notebooks if notebook["status"] != "ok"],
        "display": papers.display,
        "title": _title,
        "anchor": _anchor,
        "grids": _grids,
        "words_of": words_of,
        "difference_of": difference_of,
        "notes_of": notes_of,
        "provenance_of": provenance.lines,
        "embedded": embedded,
        "drawn_by": drawn_by,
        "nothing_printed": NOTHING_PRINTED,
    }


def _title(name: str) -> str:
    """``table-1`` as a heading says it; a table or figure of the workbook's own keeps its name."""
    kind, _, number = name.partition("-")
    words = {"table": "Table", "fig": "Figure"}
    return f"{words[kind]} {number}" if kind in words else name


def _anchor(entry: TableEntry | FigureEntry) -> str:
    """The entry's id on the page; a table and a figure of the workbook's own may have one name."""
    own_figure = entry.paper == WORKBOOK and isinstance(entry, FigureEntry)
    return f"{entry.paper}-{'figure-' if own_figure else ''}{entry.name}"


def _beside(run: str, read: Contents | None) -> dict[str, Any]:
    page = (output_root() / "results" / run / "report.html").exists()
    link = f"../{run}/{'report.html' if page else 'tables/'}"
    return {"run": run, "state": contents.state(read) if read else None, "link": link, "page": page}


def _claims(runs: Mapping[str, Contents], paper: str) -> list[dict[str, Any]]:
    """A paper's claims, each with its verdict in the first run and in every other run that has one."""
    first, nothing = next(iter(runs)), (contents.NOT_RUN, contents.DAMAGED)
    claims = {claim.words: [] for claim in papers.load(paper).claims}
    for run, read in runs.items():
        for entry in read.claims:
            if entry.paper == paper and (run == first or entry.verdict not in nothing):
                claims[entry.claim].append((run, entry))
    return [{"words": contents.claim_words(words), "verdicts": entries} for words, entries in claims.items()]


def _section(read: Contents, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": papers.display("papers", name),
        "citation": "" if name == WORKBOOK else citation_line(papers.load(name).citation),
        "tables": [entry for entry in read.tables if entry.paper == name],
        "figures": [entry for entry in read.figures if entry.paper == name],
    }


def citation_line(citation: Mapping[str, Any]) -> str:
    """Return authors, title, venue, year and arXiv number in one line, as far as they are known."""
    venue = ", ".join(str(citation[key]) for key in ("venue", "year") if citation[key])
    arxiv = f"arXiv {citation['arxiv']}" if "arxiv" in citation else ""
    parts = (", ".join(citation["authors"]), citation["title"], venue, arxiv)
    return ". ".join(part for part in parts if part) + "."


def _grids(entry: TableEntry) -> list[Grid]:
    """The table's grids; what is too wide for a sheet of paper has one for each data set."""
    parts: list[Grid] = []
    for grid in grids(entry.cells, entry.kind):
        datasets = dict.fromkeys(column.dataset for column in grid.columns)
        if sum(1 + column.printed for column in grid.columns) > _WIDEST and len(datasets) > 1:
            for name in datasets:
                parts += grids([cell for cell in grid.cells.values() if cell.dataset == name], VALUES)
        else:
            parts.append(grid)
    return parts


def difference_of(entry: TableEntry, cell: JoinedCell | None) -> tuple[str, str]:
    """Return ``1.20 higher`` and ``higher``; empty where one of the numbers is missing or infinite."""
    difference = cell.ours_mean - cell.paper_mean if cell and cell.run else math.nan
    if not math.isfinite(difference):
        return "", ""
    decimals = decimals_of(entry.paper, entry.name, cell)
    size = f"{abs(difference):.{decimals[0]}f}" if decimals is not None else f"{abs(difference):.4g}"
    if float(size) == 0:
        return "the same", "same"
    way = "higher" if difference > 0 else "lower"
    return f"{size} {way}", way


def embedded(png: bytes) -> tuple[str, int, int]:
    """Return ``png`` as a ``data:`` address of WebP, at most :data:`WIDTH` pixels wide, on white, and its size.

    The same bytes give the same address.
    """
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}", *image.size


def drawn_by(notebook: str, paper: str, name: str) -> tuple[str, str]:
    """Return the cell of ``notebook`` that draws a figure, in words, and its address relative to ``results/<run>/``.

    That is the code cell (counted from 1) that has ``"<paper>/<name>"``, where an f-string's fields may be anything,
    else one that joins paper and name from variables, else the notebook as a whole.
    """
    words, section = notebook, ""
    for number, heading, texts in _drawing_cells(notebook):
        named = any(text != _ANYTHING and re.fullmatch(text, f"{paper}/{name}") for text in texts)
        if named or (words == notebook and {_ANYTHING, re.escape(paper), re.escape(name)} <= texts):
            section, words = heading, ", ".join(part for part in (notebook, heading, f"code cell {number}") if part)
        if named:
            break
    # the fragment is the heading's, as JupyterLab and GitHub spell it
    return words, f"../../notebooks/{notebook}.ipynb{'#' + quote(section.replace(' ', '-')) if section else ''}"


_ANYTHING = ".+/.+"


@cache
def _drawing_cells(notebook: str) -> list[tuple[int, str, set[str]]]:
    """Number, heading and texts of the cells that draw figures; none where the notebook cannot be read."""
    try:
        content = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
        heading, number, drawing = "", 0, []
        for cell in content["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                heading = (re.findall(r"^#{1,6} +(.+?)\s*$", source, re.MULTILINE) or [heading])[-1]
            elif source.strip():
                number += 1
                if ".figure(" in source:
                    texts = map(re.escape, re.findall(r'"([^"\n]*)"', source))
                    drawing.append((number, heading, {re.sub(r"\\\{.*?\\\}", ".+", text) for text in texts}))
        return drawing
    except (OSError, ValueError, KeyError, TypeError):  # a link is not worth a failed report
        return []
