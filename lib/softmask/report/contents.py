"""Contents of a run: every printed table and figure with its status, the claims, and counts of each."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from softmask import papers
from softmask.config import PROFILES, output_root
from softmask.data.sample import SUBSTITUTE
from softmask.errors import DataError, brief
from softmask.files import read_json
from softmask.measure.verdicts import NOT_RUN
from softmask.papers.printed import NAMES, PrintedTable
from softmask.report import provenance, tables, verdicts
from softmask.report.result import WORKBOOK, JoinedCell, ResultTable, decimals_of, join
from softmask.report.tables import AGAIN

FILLED, PARTLY, DRAWN, PARTLY_DRAWN = "filled", "partly filled", "drawn", "partly drawn"
DAMAGED = "damaged"
VERDICTS = (*verdicts.VERDICTS, DAMAGED)


@dataclass(frozen=True)
class TableEntry:
    """A table and its status in a run.

    Attributes:
        status: ``filled`` (all printed cells are measured), ``partly filled``, ``not run yet``, ``damaged`` (``why``).
        cells: all printed cells and our extra cells; our number is empty where not run or damaged.
        provenance: result of :func:`softmask.report.provenance.collect`; empty where not run.
    """

    paper: str
    name: str
    title: str
    kind: str
    printed_note: str
    status: str
    cells: tuple[JoinedCell, ...]
    why: str = ""
    caption: str = ""
    measured: str = ""
    notebook: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Picture(NamedTuple):
    """One figure file: its PNG, caption, alternative text, and the content that is still missing."""

    name: str
    png: bytes
    caption: str
    alt: str
    missing: str
    notebook: str


class FigureEntry(NamedTuple):
    """A printed figure, or a figure of the workbook's own, and its pictures in a run.

    ``status`` is ``drawn``, ``partly drawn`` (some content is still missing), ``not run yet`` or ``damaged`` (``why``).
    """

    paper: str
    name: str
    shows: str
    status: str
    pictures: Sequence[Picture] = ()
    why: str = ""


@dataclass(frozen=True)
class ClaimEntry(verdicts.Verdict):
    """A paper's claim and its verdict, one of :data:`VERDICTS`. ``by_readers`` is the verdict by the readers' consensus
    on LNSM, with the reason. A question of our own has no ``quote`` and is not counted among the papers' claims."""

    paper: str = ""
    quote: str = ""
    by_readers: str = ""


class Contents(NamedTuple):
    """Contents of a run, in the order of the papers; the workbook's own tables and figures come last.

    Each notebook has its ``name``, ``status`` and ``reason`` as the runner wrote them.
    """

    tables: Sequence[TableEntry]
    figures: Sequence[FigureEntry]
    claims: Sequence[ClaimEntry]
    notebooks: Sequence[Mapping[str, str]]


def read(run: str) -> Contents:
    """Return the contents of the ``results`` and ``figures`` folders of a run, beside everything that the papers print.

    A file that cannot be read makes only its own entry ``damaged``, with the reason; a damaged ``state.json`` raises
    DataError.
    """
    results, figures = output_root() / "results" / run, output_root() / "figures" / run
    contents = Contents([], [], [], _notebooks(results / "state.json"))
    for name in NAMES:
        paper = papers.load(name)
        contents.tables.extend(_table(results, name, table) for table in paper.tables)
        contents.figures.extend(_figure(figures, name, *figure) for figure in paper.figures.items())
        contents.claims.extend(_claims(results, name))
    for path in sorted((results / "tables" / WORKBOOK).glob("*.csv")):
        contents.tables.append(_table(results, WORKBOOK, path.stem))
    for path in sorted((figures / WORKBOOK).glob("*.png")):
        contents.figures.append(_figure(figures, WORKBOOK, path.stem))
    return contents


def read_table(path: Path) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """Return the long table of a CSV with the columns ``unit`` and ``note``, and the content of the JSON beside it.

    Raises:
        DataError: names the file that is missing, cannot be read, or lacks expected content, and the remedy.
    """
    frame, json_path = tables.read(path), path.with_suffix(".json")
    content = read_json(json_path, AGAIN)
    if frame.loc[frame["data"] != "", ["n_images", "n_seeds"]].isna().any(axis=None):
        raise DataError(f"{path}: a measured number has no count of images or seeds; {AGAIN}")
    try:
        notes = {tuple(key): str(note) for *key, note in content["notes"]}
        keys = zip(frame["row"], frame["dataset"], frame["metric"], strict=True)
        frame["note"] = [notes.get(key, "") for key in keys]
        frame["unit"] = [str(content["units"][metric]) for metric in frame["metric"]]
        provenance.lines(content["provenance"])  # raises an error where it cannot be read
        for key in ("title", "caption", "measured", "notebook"):
            content[key] = str(content[key])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{json_path}: does not hold what it should ({error!r}); {AGAIN}") from error
    return frame, content


def _table(results: Path, paper: str, name: str) -> TableEntry:
    empty = ResultTable(paper, name, "", "", [])
    printed = empty.printed_table
    title, note = (printed.title, printed.note) if printed else (name, "")
    entry = TableEntry(paper, name, title, empty.kind, note, NOT_RUN, tuple(join(empty)))
    path = results / "tables" / paper / f"{name}.csv"
    if not path.exists():
        return entry
    try:
        frame, content = read_table(path)
        cells = tuple(_joined(path, frame, entry.cells, printed))
    except DataError as error:
        return replace(entry, status=DAMAGED, why=str(error).replace(f"{results}/", ""))
    measured = [cell.run for cell in cells]
    status = FILLED if all(measured) else PARTLY if any(measured) else NOT_RUN
    fields = {key: content[key] for key in ("title", "caption", "measured", "notebook", "provenance")}
    return replace(entry, status=status, cells=cells, **fields)


def _joined(
    path: Path, frame: pd.DataFrame, printed: Sequence[JoinedCell], table: PrintedTable | None
) -> Iterator[JoinedCell]:
    printed_cells = {cell.key: cell for cell in printed}
    for line in frame.rename(columns={"data": "source"}).to_dict("records"):
        key = (line["row"], line["dataset"], line["metric"])
        cell = printed_cells.pop(key, None)
        if cell and not np.isclose(cell.paper_mean, line["paper_mean"], rtol=1e-5, atol=0, equal_nan=True):
            raise DataError(f"{path}: holds another printed number for {' / '.join(key)}; {AGAIN}")
        fields = {name: line[name] for name in JoinedCell.__dataclass_fields__ if name in line}
        if not line["source"]:
            fields |= {"n_images": None, "n_seeds": None}
        fields |= {"printed": cell is not None, "paper_text": cell.paper_text if cell else ""}
        yield JoinedCell(**fields, decimals=decimals_of(table, line["metric"], line["unit"]))
    if printed_cells:
        raise DataError(f"{path}: printed cells are missing, such as {' / '.join(next(iter(printed_cells)))}; {AGAIN}")


def _figure(folder: Path, paper: str, name: str, shows: str = "") -> FigureEntry:
    paths = [] if paper == WORKBOOK else sorted((folder / paper).glob(f"{name}-*.png"))
    pictures = []
    for path in [folder / paper / f"{name}.png", *paths]:
        if not path.exists():
            continue
        try:
            content = read_json(path.with_suffix(".json"), AGAIN)
            fields = {key: str(content[key]) for key in ("caption", "alt", "missing", "notebook")}
            png = path.read_bytes()
            with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                image.verify()
            pictures.append(Picture(path.stem, png, **fields))
        except (KeyError, TypeError, DataError) as error:
            why = f"{path.stem}: its JSON cannot be used ({error}); {AGAIN}"
            return FigureEntry(paper, name, shows, DAMAGED, why=why.replace(f"{folder}/", ""))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # read and PIL errors
            why = f"{path.stem}: not a whole PNG file ({brief(error)}); {AGAIN}"
            return FigureEntry(paper, name, shows, DAMAGED, why=why.replace(f"{folder}/", ""))
    status = PARTLY_DRAWN if any(picture.missing for picture in pictures) else DRAWN
    return FigureEntry(paper, name, shows, status if pictures else NOT_RUN, pictures)


def _claims(results: Path, paper: str) -> list[ClaimEntry]:
    path, claims = results / "claims" / f"{paper}.json", papers.load(paper).claims
    try:
        by_claim = verdicts.read(path) if path.exists() else {}
    except DataError as error:
        why = str(error).replace(f"{results}/", "")
        return [ClaimEntry(claim.words, DAMAGED, why, paper=paper, quote=claim.quote) for claim in claims]
    fields = [by_claim.get(claim.words, {"claim": claim.words, "verdict": NOT_RUN}) for claim in claims]
    return [ClaimEntry(**each, paper=paper, quote=claim.quote) for each, claim in zip(fields, claims, strict=True)]


def _notebooks(path: Path) -> Sequence[Mapping[str, str]]:
    if not path.exists():
        return []
    content = read_json(path, AGAIN)
    try:
        return [
            {"name": str(book["name"]), "status": str(book["status"]), "reason": str(book.get("reason") or "")}
            for book in content["notebooks"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no list of notebooks ({error!r}); run the notebooks again") from error


class State(NamedTuple):
    """Number of tables, figures and claims with each status, and of printed cells with each source.

    A row counts as measured where all of its printed cells are measured.
    """

    tables: Counter[str]
    figures: Counter[str]
    claims: Mapping[str, int]
    rows: int
    rows_measured: int
    cells: int
    sources: Counter[str]

    @property
    def counts(self) -> dict[str, str]:
        """Numbers, such as ``4 of 5``, of filled tables, drawn figures, measured rows, and cells on real data (with the
        number of those on a substitute)."""
        n_substitute = self.sources[SUBSTITUTE]
        substitute = f" ({n_substitute} on a substitute)" if n_substitute else ""
        return {
            "tables filled": f"{self.tables[FILLED]} of {self.tables.total()}",
            "figures drawn": f"{self.figures[DRAWN]} of {self.figures.total()}",
            "rows measured": f"{self.rows_measured} of {self.rows}",
            "cells on real data": f"{self.sources['real'] + n_substitute} of {self.cells}{substitute}",
        }


def state(contents: Contents, names: Sequence[str] = NAMES) -> State:
    """Return the state of the papers ``names`` together."""
    entries = [entry for entry in contents.tables if entry.paper in names]
    cells = [(entry, cell) for entry in entries for cell in entry.cells if cell.printed]
    rows = {(entry.paper, entry.name, cell.row) for entry, cell in cells}
    unmeasured = {(entry.paper, entry.name, cell.row) for entry, cell in cells if not cell.run}
    claims = Counter(claim.verdict for claim in contents.claims if claim.paper in names and claim.quote)
    return State(
        Counter(entry.status for entry in entries),
        Counter(entry.status for entry in contents.figures if entry.paper in names),
        {verdict: claims[verdict] for verdict in VERDICTS},
        len(rows),
        len(rows - unmeasured),
        len(cells),
        Counter(cell.source for _, cell in cells),
    )


def other_run_names(run: str) -> list[str]:
    """Return the names of the other runs with tables, except runs of profiles that are no result."""
    names = sorted(path.parent.name for path in (output_root() / "results").glob("*/tables"))
    profiles = {name for name, profile in PROFILES.items() if profile.is_result}
    return [name for name in names if name != run and name.partition("-")[0] in profiles]


def claim_words(claim: str) -> str:
    """Return a claim as people write it: ``lgan_regression`` becomes ``LGAN regression``, ``table-1`` ``table 1``."""

    def display_name(match: re.Match) -> str:
        for kind in ("rows", "datasets"):
            name = papers.display(kind, match[0]).removeprefix("+ ")
            # an ordinary word that is also a row's name, such as "all", stays; names of data sets are never words
            if name != match[0] and (
                kind == "datasets" or "_" in match[0] or re.sub(r"\W", "", name).lower() == match[0]
            ):
                return name
        return match[0]

    text = re.sub(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*", display_name, claim)
    return re.sub(r"\b(table|fig)-(\d+)", r"\1 \2", text)
