"""What a run has produced so far: every printed table and figure, there or not, and how the notebooks went."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softmask import papers
from softmask.config import Config
from softmask.errors import DataError
from softmask.files import read_json
from softmask.measure.verdicts import NOT_RUN
from softmask.papers.printed import VALUES, PrintedTable
from softmask.report import tables, verdicts
from softmask.report.pictures import check
from softmask.report.result import WORKBOOK, JoinedCell, ResultTable, join

FILLED, PARTLY, DRAWN, PARTLY_DRAWN = "filled", "partly filled", "drawn", "partly drawn"
DAMAGED = "damaged"
_REMEDY = "run its notebook again"


@dataclass(frozen=True)
class TableEntry:
    """A table as it stands in a run.

    Attributes:
        status: ``filled`` (every printed cell is measured), ``partly filled``, ``not run yet`` or ``damaged``.
        why: what is wrong with a damaged one.
        printed_note: what should be known about the print.
        cells: every printed cell and our extra ones; ours is empty where not run or damaged.
        provenance: as :func:`softmask.report.provenance.collect` gave it; empty where not run.
    """

    paper: str
    name: str
    title: str
    kind: str
    status: str
    cells: tuple[JoinedCell, ...]
    printed_note: str = ""
    why: str = ""
    caption: str = ""
    measured: str = ""
    notebook: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """One figure file: its PNG, caption, alternative text, and what it still lacks."""

    name: str
    png: bytes
    caption: str
    alt: str
    missing: str
    notebook: str


@dataclass(frozen=True)
class FigureEntry:
    """A printed figure (or one of the workbook's own) and the pictures that stand for it in a run.

    ``status`` is ``drawn``, ``partly drawn`` (a picture still lacks something), ``not run yet`` or ``damaged`` (``why``
    says how).
    """

    paper: str
    name: str
    shows: str
    status: str
    pictures: tuple[Picture, ...]
    why: str = ""


@dataclass(frozen=True)
class NotebookEntry:
    """How one notebook went: ``status`` and ``reason`` as the runner wrote them."""

    name: str
    status: str
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class ClaimEntry:
    """A paper's claim and its verdict: one of :data:`softmask.report.verdicts.VERDICTS`, or ``damaged``.

    Attributes:
        why: in words.
        by_readers: verdict and why where the readers' consensus on LNSM judges; empty where it does not.
    """

    paper: str
    claim: str
    verdict: str
    why: str = ""
    by_readers: str = ""


@dataclass(frozen=True)
class Contents:
    """All of a run; tables, figures and claims in the order of the papers, the workbook's own last."""

    tables: tuple[TableEntry, ...]
    figures: tuple[FigureEntry, ...]
    notebooks: tuple[NotebookEntry, ...]
    claims: tuple[ClaimEntry, ...]

    def of(self, paper: str) -> tuple[list[TableEntry], list[FigureEntry]]:
        """The tables and figures of one paper, or of ``workbook``."""
        return [t for t in self.tables if t.paper == paper], [f for f in self.figures if f.paper == paper]


def read(config: Config) -> Contents:
    """What lies in the run's ``results`` and ``figures`` folders, beside all that the papers print.

    A file that cannot be read makes its own entry ``damaged``, with the reason, and nothing else.

    Raises:
        DataError: when the runner's ``state.json`` cannot be read.
    """
    found_tables: list[TableEntry] = []
    found_figures: list[FigureEntry] = []
    claims: list[ClaimEntry] = []
    for name in papers.NAMES:
        paper = papers.load(name)
        found_tables += [_table(config, name, table) for table in paper.tables]
        found_figures += [_figure(config, name, figure, shows) for figure, shows in paper.figures.items()]
        claims += _claims(config, name)
    own = sorted(path.stem for path in (config.results / "tables" / WORKBOOK).glob("*.csv"))
    found_tables += [_table(config, WORKBOOK, table) for table in own]
    drawn = sorted(path.stem for path in (config.figures / WORKBOOK).glob("*.png"))
    found_figures += [_figure(config, WORKBOOK, figure, "") for figure in drawn]
    notebooks = tuple(_notebooks(config.results / "state.json"))
    return Contents(tuple(found_tables), tuple(found_figures), notebooks, tuple(claims))


def _table(config: Config, paper: str, name: str) -> TableEntry:
    printed = None if paper == WORKBOOK else papers.load(paper).table(name)
    known = {
        "paper": paper,
        "name": name,
        "title": printed.title if printed else name,
        "kind": printed.kind if printed else VALUES,
        "printed_note": printed.note if printed else "",
    }
    empty = tuple(join(ResultTable(paper, name, "", "", [])))
    path = config.results / "tables" / paper / f"{name}.csv"
    if not path.exists():
        return TableEntry(**known, status=NOT_RUN, cells=empty)
    try:
        beside = read_json(path.with_suffix(".json"), _REMEDY)
        cells = _joined(path, beside, printed)
        words = {key: str(beside[key]) for key in ("caption", "measured", "notebook")}
        known["title"] = str(beside["title"])
        provenance = dict(beside["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        why = f"{path.with_suffix('.json').name} lacks what it should hold ({error!r}); run its notebook again"
        return TableEntry(**known, status=DAMAGED, cells=empty, why=why)
    except DataError as error:
        return TableEntry(**known, status=DAMAGED, cells=empty, why=_relative(error, config))
    return TableEntry(**known, status=_status(cells), cells=cells, provenance=provenance, **words)


def _joined(path: Path, beside: Mapping[str, Any], printed: PrintedTable | None) -> tuple[JoinedCell, ...]:
    frame = tables.read(path)
    prints = {(cell.row, cell.dataset, cell.metric): cell for cell in (printed.cells() if printed else ())}
    notes = {tuple(key): note for *key, note in beside["notes"]}
    cells = []
    for line in frame.itertuples():
        key = (line.row, line.dataset, line.metric)
        cell = prints.pop(key, None)
        if cell is not None and not _same(cell.mean, line.paper_mean):
            raise DataError(f"{path}: holds another printed number for {' / '.join(key)}; run its notebook again")
        run = line.data != ""
        cells.append(
            JoinedCell(
                *key,
                unit=str(beside["units"][line.metric]),
                printed=cell is not None,
                paper_mean=line.paper_mean,
                paper_std=line.paper_std,
                paper_text=cell.text if cell else "",
                ours_mean=line.ours_mean,
                ours_std=line.ours_std,
                n_images=int(line.n_images) if run else None,
                n_seeds=int(line.n_seeds) if run else None,
                source=line.data,
                note=str(notes.get(key, "")),
            )
        )
    if prints:
        raise DataError(
            f"{path}: lacks printed cells, such as {' / '.join(next(iter(prints)))}; run its notebook again"
        )
    return tuple(cells)


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-5)


def _status(cells: tuple[JoinedCell, ...]) -> str:
    if all(cell.run for cell in cells):
        return FILLED
    return PARTLY if any(cell.run for cell in cells) else NOT_RUN


def _figure(config: Config, paper: str, name: str, shows: str) -> FigureEntry:
    folder = config.figures / paper
    parts = [] if paper == WORKBOOK else sorted(folder.glob(f"{name}-*.png"))
    pictures = []
    for path in [folder / f"{name}.png", *parts]:
        if not path.exists():
            continue
        try:
            beside = read_json(path.with_suffix(".json"), _REMEDY)
            words = {key: str(beside[key]) for key in ("caption", "alt", "missing", "notebook")}
            png = path.read_bytes()
            check(png)
            pictures.append(Picture(path.stem, png, **words))
        except (KeyError, TypeError, OSError) as error:
            why = f"{path.stem}: its files cannot be used ({error!r}); run its notebook again"
            return FigureEntry(paper, name, shows, DAMAGED, (), _relative(why, config))
        except DataError as error:
            return FigureEntry(paper, name, shows, DAMAGED, (), _relative(error, config))
    status = PARTLY_DRAWN if any(picture.missing for picture in pictures) else DRAWN
    return FigureEntry(paper, name, shows, status if pictures else NOT_RUN, tuple(pictures))


def _claims(config: Config, paper: str) -> list[ClaimEntry]:
    claims = [claim.words for claim in papers.load(paper).claims]
    try:
        known = verdicts.read(paper, config)
    except DataError as error:
        return [ClaimEntry(paper, claim, DAMAGED, _relative(error, config)) for claim in claims]
    return [ClaimEntry(paper, claim, **known.get(claim, {"verdict": NOT_RUN})) for claim in claims]


def _notebooks(path: Path) -> list[NotebookEntry]:
    if not path.exists():
        return []
    content = read_json(path, _REMEDY)
    try:
        return [
            NotebookEntry(str(one["name"]), str(one["status"]), one.get("seconds"), str(one.get("reason") or ""))
            for one in content["notebooks"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no list of notebooks ({error!r}); run the notebooks again") from error


def _relative(message: object, config: Config) -> str:
    """The message without this machine's folders."""
    for folder in (config.results, config.figures):
        message = str(message).replace(f"{folder}/", "")
    return str(message)
