"""Headlines of README, docs/results.md and docs/findings.md: main findings, from the committed results.

``python -m softmask.report.headline`` writes them between the two markers of each file; a test compares them. Other
files of the checkout that are made from its results or data are written in the same way (:func:`regenerate`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping

from softmask import papers
from softmask.config import ROOT
from softmask.errors import ConfigError, SoftmaskError
from softmask.files import read_text, write_atomic
from softmask.measure import verdicts as rule
from softmask.report import contents, summary
from softmask.report.contents import Contents, State
from softmask.report.evidence import Evidence
from softmask.report.result import NOTHING_PRINTED
from softmask.report.tables import markdown_table

RUNS = ("night-real", "cpu-embedded", "cpu-real-3seeds", "cpu-embedded-3seeds")
"""Runs whose results are committed."""
_VERDICTS = {
    "hold": (rule.HOLDS,),
    "fail": (rule.FAILS,),
    "inconclusive": (rule.INCONCLUSIVE,),
    "not judged": (rule.UNDERTRAINED, rule.FAILED_TRAINING, rule.OUT_OF_REACH, rule.REPORTED),
    "not run or not finished": (rule.NOT_FINISHED, rule.NOT_RUN),
}
"""Columns of the tables of claims, and the verdicts counted in each."""
BEGIN = "<!-- headline, written by python -m softmask.report.headline -->"
END = "<!-- end of the headline -->"


def written() -> dict[str, str]:
    """Return the text of each file with its headline: in README.md the findings on real data and each paper's main
    number; in docs/results.md the state of every run with measured rows of a paper, and all main numbers; in
    docs/findings.md every claim judged on real data, in the paper's words, with its verdict."""
    runs = {run: contents.read(run) for run in RUNS}
    headlines = {"README.md": _short(runs), "docs/results.md": _whole(runs), "docs/findings.md": _claims(runs[RUNS[0]])}
    return {name: inserted(name, headline, BEGIN, END) for name, headline in headlines.items()}


def _short(runs: Mapping[str, Contents]) -> str:
    real, simulated = RUNS[:2]
    read = runs[real]
    sentences = summary.sentences(read, contents.state(read), summary.comparisons(read, Evidence()))
    table = [["paper, data", "printed", f"[{real}](results/{real})", f"[{simulated}](results/{simulated}), simulated"]]
    table[0] += [f"claims on real data or a substitute: {', '.join(_VERDICTS)}"]
    seen_papers = set()
    for paper, dataset, printed, *ours in _numbers({run: runs[run] for run in (real, simulated)}):
        counts = ", ".join(_counts(contents.state(read, [paper])))
        description = f"{papers.display('papers', paper)}, {papers.display('datasets', dataset)}"
        table.append([description, printed, *ours, "" if paper in seen_papers else counts])
        seen_papers.add(paper)
    return "\n".join([" ".join(sentences), "", *markdown_table(table)])


def _whole(runs: Mapping[str, Contents]) -> str:
    links = {run: f"[{run}](../results/{run})" for run in runs}
    names = {paper: papers.display("papers", paper) for paper in papers.NAMES}
    columns = list(_VERDICTS)
    states = [["paper", "run", "tables", "figures", "rows measured", "cells on real data", f"claims: {columns[0]}"]]
    states[0] += columns[1:]
    for paper, name in names.items():
        for run, read in runs.items():
            state = contents.state(read, [paper])
            if state.rows_measured:
                states.append([name, links[run], *state.counts.values(), *_counts(state)])
    simulated = {run: ", simulated" if "embedded" in run else "" for run in runs}
    numbers = [["paper", "measure", "printed", *(f"{link}{simulated[run]}" for run, link in links.items())]]
    for paper, dataset, printed, *ours in _numbers(runs):
        measure = papers.display("metrics", summary.PROPOSED[paper][2])
        numbers.append([names[paper], f"{measure}, {papers.display('datasets', dataset)}", printed, *ours])
    return "\n".join([*markdown_table(states), "", *markdown_table(numbers)])


def _claims(read: Contents) -> str:
    """Return a section for each paper, with its judged claims and the number of open claims."""
    lines = []
    for paper in papers.NAMES:
        entries = [entry for entry in read.claims if entry.paper == paper and entry.quote]
        judged = [entry for entry in entries if entry.verdict not in _VERDICTS["not run or not finished"]]
        lines += [f"### {papers.display('papers', paper)}", ""]
        for entry in judged:
            claim = contents.claim_words(entry.claim)
            lines += [f"> {entry.quote}", ""]
            lines += [f"{claim[0].upper()}{claim[1:]}: **{entry.verdict}**. {entry.why}.", ""]
        if len(entries) > len(judged):
            n_open = len(entries) - len(judged)
            reason = "networks are not trained yet, or data is missing"
            lines += [f"{n_open} of {len(entries)} claims are open: {reason}.", ""]
    return "\n".join(lines).rstrip()


def _counts(state: State) -> list[str]:
    """Return the number of claims in each column of :data:`_VERDICTS`."""
    counts = [sum(state.claims[verdict] for verdict in group) for group in _VERDICTS.values()]
    return [str(count) if any(counts) else NOTHING_PRINTED for count in counts]  # files of another rule are damaged


def _numbers(runs: Mapping[str, Contents]) -> Iterator[list[str]]:
    """Yield paper, data set, the printed comparison, and the comparison of each run."""
    for comparisons in zip(*(summary.comparisons(run, Evidence()) for run in runs.values()), strict=True):
        yield [
            comparisons[0].entry.paper,
            comparisons[0].dataset,
            in_bold(comparisons[0].in_print),
            *(in_bold(comparison.here) for comparison in comparisons),
        ]


def in_bold(pair: summary.Rivals | None) -> str:
    """Return ``**0.919**, U-Net++ 0.893``, the higher mean in bold, and how many rivals are finished if not all."""
    if pair is None:
        return NOTHING_PRINTED
    own_text, best_text = pair.words
    note = f" ({pair.finished} of {pair.others})" if pair.finished < pair.others else ""
    if pair.own > pair.best:
        return f"**{own_text}**, {papers.display('rows', pair.row)} {best_text}{note}"
    return f"{own_text}, {papers.display('rows', pair.row)} **{best_text}**{note}"


def inserted(name: str, content: str, begin: str, end: str) -> str:
    """Return the text of the checkout's file ``name`` with ``content`` on lines between two markers. Raise ConfigError,
    naming the file, where the markers are not there exactly once and in this order."""
    text = read_text(ROOT / name)
    head, _, rest = text.partition(begin)
    if text.count(begin) != 1 or text.count(end) != 1 or end not in rest:
        raise ConfigError(f"{name}: what is written goes between two lines, {begin} and {end}; put them back")
    return f"{head}{begin}\n{content}\n{end}{rest.partition(end)[2]}"


def regenerate(make: Callable[[], Mapping[str, str]]) -> None:
    """Write the texts that ``make`` returns by file name in the checkout; exit with a message if either step fails."""
    try:
        for name, text in make().items():
            print(write_atomic(ROOT / name, text))
    except (SoftmaskError, OSError) as error:
        sys.exit(f"softmask: {error}")


if __name__ == "__main__":
    regenerate(written)
