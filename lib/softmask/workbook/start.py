"""The page that JupyterLab opens on: links to every notebook, in order, with what it shows and how long it takes.

``python -m softmask.workbook.start <folder>`` writes ``<folder>/START.md`` from the notebooks that are there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from softmask.config import ROOT, Config
from softmask.errors import SoftmaskError
from softmask.files import write_atomic
from softmask.workbook.notebook import PATTERN, NotebookError, load
from softmask.workbook.progress import clock

NAME = "START.md"
SECTIONS = (
    ("The workbook", "The five papers, in this order.", PATTERN),
    ("The bench", "The labelling under sliders.", "explore.ipynb"),
    ("Lessons", "A course on soft-mask segmentation, with exercises.", "teaching/*.ipynb"),
)
"""Headings, what is said below them, and which notebooks are listed there."""

HOW = (
    "A click opens a notebook; *Run > Run All Cells* runs it, Shift-Enter runs cell by cell. Change what you like: "
    "parameters stand in the first code cell, settings are the arguments of the calls, and what is called is in "
    "`lib/softmask`.\n"
)


def page(folder: Path, config: Config) -> str:
    """The page for the notebooks of ``folder``, as Markdown.

    Times are what the notebooks declare for the profile. One that cannot be read is listed with the reason; a section
    without notebooks is left out.
    """
    lines = ["# The soft-mask workbook", "", HOW]
    for title, words, pattern in SECTIONS:
        rows = [_row(path, folder, config) for path in sorted(folder.glob(pattern))]
        if rows:
            lines += [f"## {title}", "", words, "", f"| notebook | what it shows | time ({config.profile.name}) |"]
            lines += ["|---|---|---|", *rows, ""]
    reports = sorted((folder.parent / "results").glob("*/report.html"))
    if reports:
        lines += ["## Reports", "", "Every table and figure, printed and measured, of the runs that are there.", ""]
        lines += [f"- [{path.parent.name}](../results/{path.parent.name}/report.html)" for path in reports]
    return "\n".join(lines).rstrip() + "\n"


def _row(path: Path, folder: Path, config: Config) -> str:
    place = path.relative_to(folder).as_posix()
    try:
        book = load(path)
    except NotebookError as error:
        return f"| [{path.stem}]({place}) | {_cell(str(error))} | |"
    seconds = book.seconds.get(config.profile.name)
    time = "" if seconds is None else clock(seconds)
    number = f"{int(book.number)} · " if book.number.isdigit() else ""
    return f"| [{number}{_cell(book.title)}]({place}) | {_cell(book.goal)} | {time} |"


def _cell(text: str) -> str:
    """Text for one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def main(argv: Sequence[str]) -> int:
    """Write the page into the folder that ``argv`` names, or the checkout's; the exit status."""
    folder = Path(argv[0]) if argv else ROOT / "notebooks"
    try:
        write_atomic(folder / NAME, page(folder, Config.from_parameters()))
    except (SoftmaskError, OSError) as error:
        print(f"the start page {folder / NAME} cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
