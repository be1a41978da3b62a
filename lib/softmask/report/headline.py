"""The README's headline: the state of each paper and its main number, drawn from the committed results.

``python -m softmask.report.headline`` writes it between the README's two markers; a test compares them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import NamedTuple

from softmask import papers
from softmask.config import ROOT
from softmask.errors import ConfigError, SoftmaskError
from softmask.files import write_atomic
from softmask.report import contents, verdicts
from softmask.report.contents import TableEntry
from softmask.report.result import NOTHING_PRINTED, decimals_of, number

RUNS = ("night-real", "cpu-embedded", "cpu-real-3seeds", "cpu-embedded-3seeds")
"""The runs whose results are committed."""
PROPOSED: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "casgan": ("casgan_soft", ("table-1",), "dice"),
    "softgan": ("softgan", ("table-1", "table-2"), "dice"),
    "dsnet-v1": ("dsnet_v1", ("table-1", "table-2"), "dice"),
    "dsnet-v2": ("dsnet", ("table-1", "table-2"), "dice"),
    "lgan": ("lgan_regression", ("table-4",), "mean_dice3d"),
}
"""Each paper's own method, the tables that compare it with other networks, and the measure."""
_VERDICTS = {
    "hold": (verdicts.HOLDS,),
    "fail": (verdicts.FAILS,),
    "inconclusive": (verdicts.INCONCLUSIVE,),
    "not judged": (verdicts.UNDERTRAINED, verdicts.FAILED_TRAINING, verdicts.REPORTED),
    "not run or finished": (verdicts.NOT_FINISHED, verdicts.NOT_RUN),
}
"""Columns, and the verdicts that each counts."""
BEGIN = "<!-- headline, written by python -m softmask.report.headline -->"
END = "<!-- end of the headline -->"


def block() -> str:
    """Return the headline in Markdown: a table of states by paper and run, and one of main numbers beside the printed.

    A run stands beside a paper of which it has a table.
    """
    runs = {run: contents.read(run) for run in RUNS}
    links = {run: f"[{run}](results/{run})" for run in RUNS}
    frames = {run: contents.frame(read) for run, read in runs.items()}
    names = {paper: papers.display("papers", paper) for paper in papers.NAMES}
    counted = list(_VERDICTS)
    states = [["paper", "run", "tables", "figures", "rows measured", "cells on real data", f"claims: {counted[0]}"]]
    states[0] += counted[1:]
    for name in names.values():
        for run, frame in frames.items():
            line = frame.loc[name]
            counts = [sum(line[f"claims: {verdict}"] for verdict in judged) for judged in _VERDICTS.values()]
            counts = [str(count) if any(counts) else NOTHING_PRINTED for count in counts]  # of another rule: none
            if not line["rows measured"].startswith("0 "):
                states.append([name, links[run], *line.iloc[:4], *counts])
    numbers = [["paper", "measure", "printed", *links.values()]]
    for paper, (own, tables, metric) in PROPOSED.items():
        for table in tables:
            entries = []
            for run in runs.values():
                entries += [entry for entry in run.tables if (entry.paper, entry.name) == (paper, table)]
            cells = [cell for cell in entries[0].cells if cell.printed and cell.metric == metric]
            for dataset in dict.fromkeys(cell.dataset for cell in cells):
                measure = f"{papers.display('metrics', metric)}, {papers.display('datasets', dataset)}"
                printed = compared(entries[0], own, dataset, metric, "paper_mean")
                ours = [compared(entry, own, dataset, metric, "ours_mean") for entry in entries]
                numbers.append([names[paper], measure, printed, *ours])
    return "\n".join([*_table(states), "", *_table(numbers)])


def _table(rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


class Rivals(NamedTuple):
    """Mean of a paper's own method, and the best other network of its table with its mean."""

    own: float
    row: str
    best: float


def rivals(entry: TableEntry, own: str, dataset: str, metric: str, mean: str) -> Rivals | None:
    """Return the method ``own`` and the best other network; None where one is missing.

    Variants of the method itself (``casgan_bin``) are no other network. ``mean``: ``paper_mean`` or ``ours_mean``.
    """
    cells = [cell for cell in entry.cells if cell.printed and (cell.dataset, cell.metric) == (dataset, metric)]
    means = {cell.row: getattr(cell, mean) for cell in cells if not math.isnan(getattr(cell, mean))}
    others = {row: value for row, value in means.items() if row.partition("_")[0] != own.partition("_")[0]}
    if own not in means or not others:
        return None
    best = max(others, key=others.get)
    return Rivals(means[own], best, means[best])


def compared(entry: TableEntry, own: str, dataset: str, metric: str, mean: str) -> str:
    """Return ``0.919, U-Net++ 0.893``: what :func:`rivals` gives, the higher mean in bold."""
    pair = rivals(entry, own, dataset, metric, mean)
    if pair is None:
        return NOTHING_PRINTED
    decimals = decimals_of(entry.paper, entry.name, next(cell for cell in entry.cells if cell.metric == metric))
    ours, theirs = (number(value, math.nan, decimals) for value in (pair.own, pair.best))
    if pair.own > pair.best:
        return f"**{ours}**, {papers.display('rows', pair.row)} {theirs}"
    return f"{ours}, {papers.display('rows', pair.row)} **{theirs}**"


def inserted(readme: str, headline: str) -> str:
    """Return ``readme`` with ``headline`` between its markers. Raises ConfigError where these are not there."""
    head, _, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end or readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ConfigError(f"README.md: the headline goes between two lines, {BEGIN} and {END}; put them back")
    return f"{head}{BEGIN}\n{headline}\n{END}{tail}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    try:
        write_atomic(path, inserted(path.read_text(encoding="utf-8"), block()))
    except (SoftmaskError, OSError) as error:
        sys.exit(f"headline: {error}")
