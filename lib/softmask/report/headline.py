"""The README's headline: the state of each paper and its main number, drawn from the committed results.

``python -m softmask.report.headline`` writes it between the README's two markers; a test compares them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

from softmask import papers
from softmask.config import ROOT, Config
from softmask.errors import ConfigError, SoftmaskError
from softmask.files import write_atomic
from softmask.report import contents, overview, text, verdicts
from softmask.report.contents import Contents, TableEntry
from softmask.report.result import JoinedCell

RUNS = ("cpu-real-3seeds", "cpu-embedded", "cpu-embedded-3seeds")
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
    """The headline in Markdown: a table of states by paper and run, and one of main numbers, printed beside ours.

    A run stands beside a paper of which it has a table.

    Raises:
        DataError: when a run's ``state.json`` cannot be read.
    """
    base = Config.from_parameters("cpu", "embedded")
    found = {run: contents.read(overview.config_of(run, base)) for run in RUNS}
    return "\n".join([*_states(found), "", *_numbers(found)])


def _states(found: Mapping[str, Contents]) -> list[str]:
    lines = [
        f"| paper | run | tables | figures | rows measured | cells on real data | claims: {' | '.join(_VERDICTS)} |",
        "|---|---|---|---|---|---|" + "---|" * len(_VERDICTS),
    ]
    for name in papers.NAMES:
        for run, of in found.items():
            state = overview.state(of, [name])
            if not state.tables[contents.FILLED]:
                continue
            fields = [
                papers.display("papers", name),
                _run(run),
                f"{state.tables[contents.FILLED]} of {sum(state.tables.values())}",
                f"{state.figures[contents.DRAWN]} of {sum(state.figures.values())}",
                f"{state.rows_measured} of {state.rows}",
                overview.on_real_data(state),
                *(str(sum(state.claims[verdict] for verdict in counted)) for counted in _VERDICTS.values()),
            ]
            lines.append(f"| {' | '.join(fields)} |")
    return lines


def _run(run: str) -> str:
    return f"[{run}](results/{run})"


def _numbers(found: Mapping[str, Contents]) -> list[str]:
    lines = [
        f"| paper | measure | printed | {' | '.join(map(_run, RUNS))} |",
        "|---|---|---|" + "---|" * len(RUNS),
    ]
    for name, (own, tables, metric) in PROPOSED.items():
        for table in tables:
            entries = {run: _entry(found[run], name, table) for run in RUNS}
            cells = [cell for cell in entries[RUNS[0]].cells if cell.printed]
            for dataset in dict.fromkeys(cell.dataset for cell in cells if cell.metric == metric):
                fields = [
                    papers.display("papers", name),
                    f"{papers.display('metrics', metric)}, {papers.display('datasets', dataset)}",
                    _compared(entries[RUNS[0]], own, dataset, metric, printed=True),
                    *(_compared(entry, own, dataset, metric, printed=False) for entry in entries.values()),
                ]
                lines.append(f"| {' | '.join(fields)} |")
    return lines


def _entry(found: Contents, paper: str, table: str) -> TableEntry:
    return next(entry for entry in found.tables if (entry.paper, entry.name) == (paper, table))


def _compared(entry: TableEntry, own: str, dataset: str, metric: str, *, printed: bool) -> str:
    """``0.919, U-Net++ 0.893``: the paper's method and the best other network, the higher one in bold.

    Variants of the method itself (``casgan_bin``) are no other network.
    """

    def value(cell: JoinedCell) -> float:
        return cell.paper_mean if printed else cell.ours_mean

    cells = [cell for cell in entry.cells if cell.printed and (cell.dataset, cell.metric) == (dataset, metric)]
    there = {cell.row: cell for cell in cells if not math.isnan(value(cell))}
    others = [cell for row, cell in there.items() if row.partition("_")[0] != own.partition("_")[0]]
    if own not in there or not others:
        return text.NOTHING_PRINTED
    best = max(others, key=value)
    decimals = text.decimals_of(entry.paper, entry.name, best)
    ours, theirs = (text.number(value(cell), math.nan, decimals) for cell in (there[own], best))
    if value(there[own]) > value(best):
        ours = f"**{ours}**"
    else:
        theirs = f"**{theirs}**"
    return f"{ours}, {papers.display('rows', best.row)} {theirs}"


def inserted(readme: str, headline: str) -> str:
    """``readme`` with ``headline`` between its markers.

    Raises:
        ConfigError: unless each marker stands there once, in order.
    """
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or END not in rest:
        raise ConfigError(f"README.md: the headline goes between two lines, {BEGIN} and {END}; put them back")
    return f"{head}{BEGIN}\n{headline}\n{END}{tail}"


def main(path: Path = ROOT / "README.md") -> int:
    """Write the headline into the README; the exit status."""
    try:
        write_atomic(path, inserted(path.read_text(encoding="utf-8"), block()))
    except (SoftmaskError, OSError) as error:
        print(f"headline: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
