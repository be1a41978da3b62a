"""Overviews of the notebooks: the text of ``--list``, and the page that JupyterLab opens on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from softmask.config import Config
from softmask.machine import clock
from softmask.workbook import state
from softmask.workbook.notebook import PATTERN, Notebook, NotebookError, load

START = "START.md"
"""Name of the page, beside the notebooks."""
SECTIONS = (
    ("The workbook", "The five papers, in this order.", PATTERN),
    ("The bench", "The labelling under sliders.", "explore.ipynb"),
    ("Lessons", "A course on soft-mask segmentation, with exercises.", "teaching/*.ipynb"),
)
"""Headings, the sentence below each, and which notebooks are listed there."""
HOW = (
    "A click opens a notebook; *Run > Run All Cells* runs it, Shift-Enter runs cell by cell. Change what you like: "
    "parameters stand in the first code cell, settings are the arguments of the calls, and what is called is in "
    "`lib/softmask`.\n"
)


def listing(config: Config, books: Sequence[Notebook], entries: Mapping[str, state.Entry]) -> str:
    """Return the notebooks, what each regenerates, and the time and memory it takes from scratch, as text."""
    lines, costs = [f"Notebooks of {config.run}", ""], [state.expected(book, config) for book in books]
    for book, cost in zip(books, costs):  # noqa: B905 (Python 3.8 has no strict)
        entry = entries.get(book.name)
        last = f"last {clock(entry.seconds)}" if entry and entry.status == state.OK else ""
        lines.append(f"{book.name:<22} {_cost(cost)}  {last:<12}  {book.title}")
        if book.regenerates:
            lines.append(f"{'':<22} regenerates {', '.join(book.regenerates)}")
    together = state.Cost(sum(cost.seconds for cost in costs), max((cost.memory_mb for cost in costs), default=0.0))
    lines += ["", f"{'together':<22} {_cost(together)}".rstrip()]
    known = state.load_times(config)
    if known:
        like = "hardware like this" if known[0].is_this else "another than this machine"
        origin = f"The longest of earlier runs on {known[0].cpu}, cores: {known[0].cores} ({like})."
    else:
        origin = "These are estimates: no earlier run is known."
    return "\n".join([*lines, f"{origin} Where all has been trained, it takes less."])


def _cost(cost: state.Cost) -> str:
    time = f"about {clock(cost.seconds)}" if cost.seconds else "time not known"
    memory = f"{cost.memory_mb / 1000:.1f} GB" if cost.memory_mb else ""
    return f"{time:<14}  {memory:<7}"


def start_page(folder: Path, config: Config) -> str:
    """Return the page for the notebooks of ``folder``, as Markdown.

    Times are those that the notebooks declare for the profile. An unreadable notebook is listed with the reason; a
    section without notebooks is left out.
    """
    lines = ["# The soft-mask workbook", "", HOW]
    for title, sentence, pattern in SECTIONS:
        rows = [_row(path, folder, config) for path in sorted(folder.glob(pattern))]
        if rows:
            lines += [f"## {title}", "", sentence, "", f"| notebook | what it shows | time ({config.profile.name}) |"]
            lines += ["|---|---|---|", *rows, ""]
    reports = sorted((folder.parent / "results").glob("*/report.html"))
    if reports:
        lines += ["## Reports", "", "Every table and figure, printed and measured, of the runs that are there.", ""]
        lines += [f"- [{path.parent.name}](../results/{path.parent.name}/report.html)" for path in reports]
    return "\n".join(lines).rstrip() + "\n"


def _row(path: Path, folder: Path, config: Config) -> str:
    link = path.relative_to(folder).as_posix()
    try:
        book = load(path)
    except NotebookError as error:
        return f"| [{path.stem}]({link}) | {_cell(str(error))} | |"
    seconds = book.seconds.get(config.profile.name)
    time = "" if seconds is None else clock(seconds)
    number = f"{int(book.number)} · " if book.number.isdigit() else ""
    return f"| [{number}{_cell(book.title)}]({link}) | {_cell(book.goal)} | {time} |"


def _cell(text: str) -> str:
    """Text for one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
