"""The report: one HTML file with every claim, table and figure, published and ours, and the evidence for each number.

It needs no network and no other file to be viewed: figures, images and scripts are embedded, and it can be read without
scripts. It depends on the files of this and the other runs, on the notebooks' sources, and on ``docs/glossary.md``.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from softmask import papers
from softmask.config import ROOT, Config, output_root
from softmask.errors import DataError
from softmask.files import write_atomic
from softmask.measure import verdicts as rule
from softmask.measure.statistics import LEVEL
from softmask.papers.audit import gains
from softmask.papers.printed import SCALES, VALUES
from softmask.report import contents, notebooks, provenance, result, summary, tables, verdicts
from softmask.report.contents import ClaimEntry, Contents, FigureEntry, TableEntry
from softmask.report.evidence import Evidence, embedded, packed
from softmask.report.result import NOT_A_RESULT, WORKBOOK, Grid, JoinedCell, grids

_WIDEST = 14  # most columns of numbers on a sheet of paper
_CLASSES = {
    "filled": (contents.FILLED, contents.DRAWN, rule.HOLDS),
    "partly": (contents.PARTLY, contents.PARTLY_DRAWN, rule.INCONCLUSIVE),
    "damaged": (contents.DAMAGED, rule.FAILS, rule.CONTRADICTED, rule.NO_GAIN),
}
"""CSS class of a status or verdict on the page; the class of any other is ``none``."""
_SCRIPTS = ("verdicts.js", "page.js", "images.js")


def build(config: Config, evidence: Evidence | None = None) -> Path:
    """Write ``results/<run>/report.html`` from what the run has produced so far, and return its path.

    It has all 26 printed tables and 38 printed figures, whether or not they have results here, and names the files that
    cannot be read. Without ``evidence`` (:func:`softmask.analysis.evidence.collect`), numbers do not open their images.
    """
    template = notebooks.TEMPLATES.get_template("page.html.j2")
    return write_atomic(config.results / "report.html", template.render(_context(config, evidence or Evidence())))


def _context(config: Config, evidence: Evidence) -> dict[str, Any]:
    read = contents.read(config.run)
    builder = os.environ.get(tables.NOTEBOOK_VARIABLE, "")
    books = [notebook for notebook in read.notebooks if notebook["name"] != builder]  # without the builder of this page
    other_names, other_runs = contents.other_run_names(config.run), {}
    for run in other_names:
        with suppress(DataError):  # another run must not make this page fail
            other_runs[run] = contents.read(run)
    executed = notebooks.as_html(config, builder)
    claims = {name: list(_claims(read, other_runs, evidence, executed, name)) for name in papers.NAMES}
    sections = [_section(read, name, claims.get(name, [])) for name in (*papers.NAMES, WORKBOOK)]
    entries = [*read.tables, *read.figures]
    ways = [difference_of(cell)[1] for entry in read.tables for cell in entry.cells if cell.printed]
    total, comparisons = contents.state(read), summary.comparisons(read, evidence)
    usual_verdicts = ("holds", "fails", "inconclusive", "not run yet")
    folder = files("softmask.report") / "page"
    return {
        "run": config.run,
        "profile": config.profile.name,
        "source": config.data,
        "warning": "" if config.profile.is_result else NOT_A_RESULT,
        "style": Markup((folder / "page.css").read_text(encoding="utf-8")),
        "script": Markup("\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)),
        "evidence": Markup(packed(evidence, _claims_data(chain(*claims.values())), _constants(evidence))),
        "sentences": summary.sentences(read, total, comparisons),
        "data": summary.data(read, evidence),
        "took": summary.hours(evidence.seconds),
        "training": summary.training(evidence, not config.profile.long),
        "comparisons": comparisons,
        "sections": [section for section in sections if section["tables"] or section["figures"]],
        "overview": [(section, contents.state(read, [section["name"]])) for section in sections[:-1]],
        "counted": [verdict for verdict, count in total.claims.items() if count or verdict in usual_verdicts],
        "total": total,
        "differences": Counter(ways),
        "runs": [_run_link(run, other_runs.get(run)) for run in other_names],
        "level": f"{100 * LEVEL:g}",
        "least_patients": rule.LEAST_PATIENTS,
        "alpha": f"{rule.ALPHA:g}",
        "rising": rule.RISING,
        "gains": gains.sentence(gains.run()),
        "seen": next((entry for entry in read.tables if entry.name == "could-be-seen"), None),
        "class_of": {status: name for name, statuses in _CLASSES.items() for status in statuses}.get,
        "not_run": [entry for entry in entries if entry.status == rule.NOT_RUN],
        "damaged": [entry for entry in entries if entry.status == contents.DAMAGED],
        "notebooks": books,
        "unfinished": [notebook for notebook in books if notebook["status"] != "ok"],
        "display": papers.display,
        "title": _title,
        "short": _short,
        "anchor": _anchor,
        "keys": evidence.key,
        "points": verdicts.POINTS,
        "signed": summary.signed,
        "unfit": _unfit,
        "p_value": lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        "terms": _terms(),
        "hours": summary.hours,
        "grids": _grids,
        "result": result,
        "difference_of": difference_of,
        "provenance_of": provenance.lines,
        "embedded": embedded,
        "drawn_by": partial(notebooks.drawn_by, executed),
        "notebook_address": partial(notebooks.address, executed),
        "executed": executed,
    }


def _terms() -> list[tuple[str, str]]:
    """Return terms and meanings from the tables in ``docs/glossary.md``; none outside a checkout."""
    path = ROOT / "docs" / "glossary.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [re.split(r"(?<!\\)\|", line)[1:3] for line in lines if line.startswith("| ")]
    rows = [[cell.strip().replace(r"\|", "|") for cell in row] for row in rows]
    return sorted((tuple(row) for row in rows if row != ["term", "meaning"]), key=lambda row: row[0].lower())


def _title(name: str) -> str:
    """Return the heading ``Table 1`` of ``table-1``; a table or figure of the workbook's own keeps its name."""
    kind, _, number = name.partition("-")
    headings = {"table": "Table", "fig": "Figure"}
    return f"{headings[kind]} {number}" if kind in headings else name


def _short(title: str) -> str:
    """Return a short form of a paper's title, such as ``DSNet v1``."""
    return title.replace(", first version", " v1").replace(", journal version (2023)", " v2")


def _anchor(entry: TableEntry | FigureEntry) -> str:
    """Return the entry's id on the page. A table and a figure of the workbook's own may share a name."""
    own_figure = entry.paper == WORKBOOK and isinstance(entry, FigureEntry)
    return f"{entry.paper}-{'figure-' if own_figure else ''}{entry.name}"


def _run_link(run: str, read: Contents | None) -> dict[str, Any]:
    has_page = (output_root() / "results" / run / "report.html").exists()
    link = f"../{run}/{'report.html' if has_page else 'tables/'}"
    return {"run": run, "state": contents.state(read) if read else None, "link": link, "page": has_page}


def _section(read: Contents, name: str, claims: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "title": papers.display("papers", name),
        "citation": "" if name == WORKBOOK else citation_line(papers.load(name).citation),
        "tables": [entry for entry in read.tables if entry.paper == name],
        "figures": [entry for entry in read.figures if entry.paper == name],
        "claims": claims,
    }


def citation_line(citation: Mapping[str, Any]) -> str:
    """Return authors, title, venue, year and arXiv number in one line, as far as known."""
    venue = ", ".join(str(citation[key]) for key in ("venue", "year") if citation[key])
    arxiv = f"arXiv {citation['arxiv']}" if "arxiv" in citation else ""
    parts = (", ".join(citation["authors"]), citation["title"], venue, arxiv)
    return ". ".join(part for part in parts if part) + "."


class Axis(NamedTuple):
    """Horizontal axis of a plot of differences, from ``low`` to ``high`` over ``width`` pixels."""

    low: float
    high: float
    width: int = 240

    def __call__(self, value: float) -> float:
        return round(8 + (self.width - 16) * (value - self.low) / (self.high - self.low), 1)

    @classmethod
    def of(cls, pairs: tuple[verdicts.JudgedPair, ...]) -> Axis:
        """Return an axis that includes zero, every difference with its interval, and the printed differences."""
        differences = [judged.outcome.difference for judged in pairs if judged.outcome.difference]
        ends = [end for difference in differences for end in (difference.mean, difference.low, difference.high)]
        ends = [0.0, *(end for end in [*ends, *(judged.pair.printed for judged in pairs)] if math.isfinite(end))]
        return cls(min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Three to five round values on the axis, each with its text."""
        values = [float(value) for value in MaxNLocator(4).tick_values(self.low, self.high)]
        return [(value, f"{value:g}".replace("-", "−")) for value in values if self.low <= value <= self.high]


def _claims(
    read: Contents, others: Mapping[str, Contents], evidence: Evidence, executed: Collection[str], paper: str
) -> Iterator[dict[str, Any]]:
    """Yield a paper's claims, each with the deciding comparison, its verdicts in other runs, and links."""
    non_verdicts = (rule.NOT_RUN, contents.DAMAGED)
    entries = (entry for entry in read.claims if entry.paper == paper)
    for number, (entry, claim) in enumerate(zip(entries, papers.load(paper).claims, strict=True), start=1):
        other_entries = [
            (name, other)
            for name, run_contents in others.items()
            for other in run_contents.claims
            if (other.paper, other.claim) == (paper, entry.claim) and other.verdict not in non_verdicts
        ]
        yield {
            "id": f"claim-{paper}-{number}",
            "words": contents.claim_words(entry.claim),
            "printed": claim,
            "entry": entry,
            "axis": Axis.of((entry.deciding_pair,) if entry.deciding_pair else ()),
            "wide": Axis.of(entry.pairs),
            "others": other_entries,
            "trained": list(_trained(entry, evidence)),
            "links": list(_links(entry, read, evidence, executed)),
        }


def _trained(entry: ClaimEntry, evidence: Evidence) -> Iterator[str]:
    """Yield for each method of the deciding comparison how it was trained, in words."""
    if entry.deciding_pair:
        for row, dataset, _ in entry.deciding_pair.pair.keys:
            if trained := evidence.trained.get((entry.paper, row, dataset)):
                size = f"{trained.parameters:,} parameters, " if trained.parameters else ""
                yield f"{papers.display('rows', row)}: {size}{summary.trained_words(trained)}"


def _unfit(judged: verdicts.JudgedPair) -> str:
    """Return the networks that keep a comparison from being judged, with the reason; empty where there are none."""
    reasons = []
    for name, training in judged.trainings:
        if training.obstacle == rule.UNDERTRAINED:
            few = math.isinf(training.gain)
            reasons.append(f"{name}: " + ("fewer than five epochs" if few else f"still rising by {training.gain:.4f}"))
        elif training.obstacle:
            reasons.append(f"{name}: {training.failed} of {training.begun} seeds failed")
    return "; ".join(reasons)


def _links(
    entry: ClaimEntry, read: Contents, evidence: Evidence, executed: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield words and address of a claim's links: tables and figures on the page, curves, notebook cell and code.

    A claim without a table has the notebook of the paper's first one; curves are linked if a network was trained.
    """
    entries = {(target.paper, target.name): target for target in [*read.figures, *read.tables]}
    targets = []
    for kind, first, more in re.findall(r"\b(table|fig)s?[ -](\d+)((?:, \d+\b(?!\.))*)", entry.claim):
        targets += [entries.get((entry.paper, f"{kind}-{number}")) for number in [first, *more.split(", ")[1:]]]
    for target in filter(None, targets):
        yield _title(target.name), f"#{_anchor(target)}"
    family = entry.paper.partition("-")[0]
    figures = {figure.name: figure for figure in read.figures if figure.paper == WORKBOOK}
    keys = dict.fromkeys((row, dataset) for judged in entry.pairs for row, dataset, _ in judged.pair.keys)
    trainings = [evidence.trained[entry.paper, *key] for key in keys if (entry.paper, *key) in evidence.trained]
    networks = list(dict.fromkeys(trained.network for trained in trainings if trained.network))
    for text, name in (
        ("plot of all differences", f"{entry.paper}-differences"),
        ("training curves", f"{family}-curves" if networks else ""),
    ):
        if name in figures:
            yield text, f"#{_anchor(figures[name])}"
    targets += [table for table in read.tables if table.paper == entry.paper]
    books = [target.notebook for target in targets if isinstance(target, TableEntry) and target.notebook]
    if books:
        text, link = notebooks.judged_in(executed, books[0], entry.claim)
        yield f"notebook {text}", link
    for network in networks[:2]:
        yield f"nets/{network}.py", f"../../lib/softmask/nets/{network}.py"
    if entry.pairs:
        yield "experiments/rows.py", "../../lib/softmask/experiments/rows.py"


def _claims_data(claims: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the claims with comparisons, in the form that ``verdicts.js`` judges."""
    return [
        {
            "id": claim["id"],
            "words": claim["words"],
            "scale": claim["printed"].scale,
            "lower": claim["printed"].lower,
            "verdict": claim["entry"].verdict,
            "deciding": claim["entry"].deciding,
            "pairs": [_pair_data(claim["entry"].paper, judged) for judged in claim["entry"].pairs],
        }
        for claim in claims
        if claim["entry"].pairs
    ]


def _pair_data(paper: str, judged: verdicts.JudgedPair) -> dict[str, Any]:
    pair, difference = judged.pair, judged.outcome.difference
    values = {name: getattr(difference, name) for name in ("mean", "low", "high")} if difference else {}
    return {
        "better": "|".join((paper, pair.better, pair.dataset, pair.metric)),
        "worse": "|".join((paper, pair.worse, pair.dataset, pair.metric)),
        "bound": pair.at_least,
        "words": f"{pair} on {papers.display('datasets', pair.dataset)}",
        "kind": pair.kind,
        "delta": pair.delta,
        "times": pair.times,
        "verdict": judged.outcome.verdict,
        "difference": {name: value if math.isfinite(value) else None for name, value in values.items()} or None,
    }


def _constants(evidence: Evidence) -> dict[str, Any]:
    """Return constants of the verdict rule, and names, for the scripts."""
    words = {
        "holds": rule.HOLDS,
        "fails": rule.FAILS,
        "inconclusive": rule.INCONCLUSIVE,
        "contradicted": rule.CONTRADICTED,
        "noGain": rule.NO_GAIN,
        "undertrained": rule.UNDERTRAINED,
        "failed": rule.FAILED_TRAINING,
        "outOfReach": rule.OUT_OF_REACH,
        "notRun": rule.NOT_RUN,
        "notFinished": rule.NOT_FINISHED,
    }
    keys = list(evidence.scores)
    cells = [(name, cell) for name in papers.NAMES for t in papers.load(name).tables.values() for cell in t.cells]
    units = {f"{name}|{cell.metric.removeprefix('mean_')}": cell.unit for name, cell in cells}
    return {
        "rule": {"level": LEVEL, "leastPatients": rule.LEAST_PATIENTS, "rising": rule.RISING, "words": words},
        "names": {f"{paper}|{row}": papers.display("rows", row) for paper, row, _, _ in keys},
        "metrics": {metric: papers.display("metrics", metric) for *_, metric in keys},
        "datasets": {dataset: papers.display("datasets", dataset) for _, _, dataset, _ in keys},
        "kinds": {f"{paper}|{dataset}": trained.kind for (paper, _, dataset), trained in evidence.trained.items()},
        "scales": {name: SCALES[unit] for name, unit in units.items() if unit in SCALES},
        "own": {paper: row for paper, (row, *_) in summary.PROPOSED.items()},
    }


def _grids(entry: TableEntry) -> list[Grid]:
    """Return the table's grids; a grid too wide for a sheet of paper is split by data set."""
    parts: list[Grid] = []
    for grid in grids(entry.cells, entry.kind):
        datasets = dict.fromkeys(column.dataset for column in grid.columns)
        if sum(1 + column.printed for column in grid.columns) > _WIDEST and len(datasets) > 1:
            for name in datasets:
                parts += grids([cell for cell in grid.cells.values() if cell.dataset == name], VALUES)
        else:
            parts.append(grid)
    return parts


def difference_of(cell: JoinedCell | None) -> tuple[str, str]:
    """Return ours against print: ``1.20 higher`` and ``higher``; empty where a number is missing or infinite."""
    difference = cell.ours_mean - cell.paper_mean if cell and cell.run else math.nan
    if not math.isfinite(difference):
        return "", ""
    size = f"{abs(difference):.{cell.decimals[0]}f}" if cell.decimals else f"{abs(difference):.4g}"
    if float(size) == 0:
        return "the same", "same"
    way = "higher" if difference > 0 else "lower"
    return f"{size} {way}", way
