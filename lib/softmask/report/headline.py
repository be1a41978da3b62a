"""Headlines of README, docs/results.md and docs/findings.md: what came out, from the committed results.

``python -m softmask.report.headline`` writes them between the two markers of each file; a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from softmask import papers
from softmask.config import ROOT
from softmask.errors import ConfigError, SoftmaskError
from softmask.files import write_atomic
from softmask.report import contents, summary, verdicts
from softmask.report.contents import Contents
from softmask.report.evidence import Evidence
from softmask.report.result import NOTHING_PRINTED

if TYPE_CHECKING:
    import pandas as pd

RUNS = ("night-real", "cpu-embedded", "cpu-real-3seeds", "cpu-embedded-3seeds")
"""The runs whose results are committed."""
_VERDICTS = {
    "hold": (verdicts.HOLDS,),
    "fail": (verdicts.FAILS,),
    "inconclusive": (verdicts.INCONCLUSIVE,),
    "not judged": (verdicts.UNDERTRAINED, verdicts.FAILED_TRAINING, verdicts.REPORTED),
    "not run or not finished": (verdicts.NOT_FINISHED, verdicts.NOT_RUN),
}
"""Columns, and the verdicts that each counts."""
BEGIN = "<!-- headline, written by python -m softmask.report.headline -->"
END = "<!-- end of the headline -->"


def blocks() -> dict[str, str]:
    """Return the headlines in Markdown by the file that holds them: in the README what came out on real data, and each
    paper's main number; in docs/results.md every run, where it has a table of a paper, and all numbers; in
    docs/findings.md every claim on real data in the paper's words, with its verdict."""
    runs = {run: contents.read(run) for run in RUNS}
    return {"README.md": _short(runs), "docs/results.md": _whole(runs), "docs/findings.md": _claims(runs[RUNS[0]])}


def _short(runs: Mapping[str, Contents]) -> str:
    real, simulated = RUNS[:2]
    read = runs[real]
    sentences = summary.sentences(read, contents.state(read), summary.comparisons(read, Evidence()))
    table = [["paper, data", "printed", f"[{real}](results/{real})", f"[{simulated}](results/{simulated})"]]
    table[0] += [f"claims on real data: {', '.join(_VERDICTS)}"]
    frame, seen = contents.frame(read), set()
    for paper, dataset, printed, *ours in _numbers({run: runs[run] for run in (real, simulated)}):
        counts = ", ".join(_counts(frame.loc[papers.display("papers", paper)]))
        words = f"{papers.display('papers', paper)}, {papers.display('datasets', dataset)}"
        table.append([words, printed, *ours, "" if paper in seen else counts])
        seen.add(paper)
    return "\n".join([" ".join(sentences), "", *_table(table)])


def _whole(runs: Mapping[str, Contents]) -> str:
    links = {run: f"[{run}](../results/{run})" for run in runs}
    frames = {run: contents.frame(read) for run, read in runs.items()}
    names = {paper: papers.display("papers", paper) for paper in papers.NAMES}
    counted = list(_VERDICTS)
    states = [["paper", "run", "tables", "figures", "rows measured", "cells on real data", f"claims: {counted[0]}"]]
    states[0] += counted[1:]
    for name in names.values():
        for run, frame in frames.items():
            line = frame.loc[name]
            if not line["rows measured"].startswith("0 "):
                states.append([name, links[run], *line.iloc[:4], *_counts(line)])
    numbers = [["paper", "measure", "printed", *links.values()]]
    for paper, dataset, printed, *ours in _numbers(runs):
        measure = papers.display("metrics", summary.PROPOSED[paper][2])
        numbers.append([names[paper], f"{measure}, {papers.display('datasets', dataset)}", printed, *ours])
    return "\n".join([*_table(states), "", *_table(numbers)])


def _claims(read: Contents) -> str:
    """Return a section for each paper, with its claims that have a verdict, and how many wait for training."""
    lines = []
    for paper in papers.NAMES:
        quotes = {claim.words: claim.quote for claim in papers.load(paper).claims}
        entries = [entry for entry in read.claims if entry.paper == paper]
        judged = [entry for entry in entries if entry.verdict not in _VERDICTS["not run or not finished"]]
        lines += [f"### {papers.display('papers', paper)}", ""]
        for entry in judged:
            words = contents.claim_words(entry.claim)
            lines += [f"> {quotes[entry.claim]}", ""]
            lines += [f"{words[0].upper()}{words[1:]}: **{entry.verdict}**. {entry.why}.", ""]
        if len(entries) > len(judged):
            lines += [f"{len(entries) - len(judged)} of {len(entries)} claims wait for networks in training.", ""]
    return "\n".join(lines).rstrip()


def _counts(line: pd.Series) -> list[str]:
    """Return how many claims of a paper have each of :data:`_VERDICTS`."""
    counts = [sum(line[f"claims: {verdict}"] for verdict in judged) for judged in _VERDICTS.values()]
    return [str(count) if any(counts) else NOTHING_PRINTED for count in counts]  # none where judged by another rule


def _numbers(runs: Mapping[str, Contents]) -> Iterator[list[str]]:
    """Yield paper, data set, the printed comparison, and that of each run."""
    for found in zip(*(summary.comparisons(run, Evidence()) for run in runs.values()), strict=True):
        yield [
            found[0].entry.paper,
            found[0].dataset,
            in_bold(found[0].in_print),
            *(in_bold(one.here) for one in found),
        ]


def _table(rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def in_bold(pair: summary.Rivals | None) -> str:
    """Return ``**0.919**, U-Net++ 0.893``, with the higher mean in bold."""
    if pair is None:
        return NOTHING_PRINTED
    ours, theirs = pair.words
    if pair.own > pair.best:
        return f"**{ours}**, {papers.display('rows', pair.row)} {theirs}"
    return f"{ours}, {papers.display('rows', pair.row)} **{theirs}**"


def inserted(name: str, text: str, headline: str) -> str:
    """Return the ``text`` of a file with ``headline`` between its markers. Raises ConfigError, naming the file,
    where these are not there."""
    head, _, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ConfigError(f"{name}: the headline goes between two lines, {BEGIN} and {END}; put them back")
    return f"{head}{BEGIN}\n{headline}\n{END}{tail}"


if __name__ == "__main__":
    try:
        for name, headline in blocks().items():
            path = ROOT / name
            write_atomic(path, inserted(name, path.read_text(encoding="utf-8"), headline))
    except (SoftmaskError, OSError) as error:
        sys.exit(f"headline: {error}")
