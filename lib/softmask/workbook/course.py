"""Slides of the lessons, and assignments for teachers who grade with nbgrader.

``python -m softmask.workbook.course slides FOLDER`` runs each lesson's solution and writes ``<lesson>.slides.html``:
the cells with the tag ``slide``, each with the figures of the cells with the tag ``figure`` since the previous slide. A
page loads reveal.js and MathJax from the network when it is opened; ``?print-pdf`` after its address makes it
printable.

``python -m softmask.workbook.course assignments FOLDER`` writes ``source/<lesson>/<lesson>.ipynb`` for nbgrader: the
student's answers, and the source's hidden tests, each of :data:`POINTS` points.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import nbformat

from softmask.errors import SoftmaskError
from softmask.files import write_atomic
from softmask.workbook.lessons import TEACHING, read, tags
from softmask.workbook.notebook import PATTERN

POINTS = 2
"""Points of an exercise, all or none."""

_CHECK = re.compile(r'^with exercise\("([\d.]+)"\)', re.MULTILINE)


def assignment(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a lesson's source as nbgrader's source: cells for answers, locked cells with checks, and graded cells with
    hidden tests, which nbgrader removes from the released version. Notes and slides are left out."""
    result = deepcopy(book)
    result.cells = [cell for cell in result.cells if not tags(cell) & {"notes", "slide"}]
    number = ""
    for cell in result.cells:
        if cell.cell_type != "code":
            continue
        if match := _CHECK.search(cell.source):
            number = match[1].replace(".", "-")
            _mark(cell, f"check-{number}", locked=True)
        elif "BEGIN SOLUTION" in cell.source:
            _mark(cell, f"answer-{cell.id}", solution=True)
        elif "hidden" in tags(cell):
            cell.source = f"### BEGIN HIDDEN TESTS\n{cell.source}\n### END HIDDEN TESTS"
            _mark(cell, f"test-{number}", locked=True, grade=True, points=POINTS)
    return result


def _mark(cell: nbformat.NotebookNode, grade_id: str, **values: object) -> None:
    """Add the metadata of nbgrader, schema version 3, to a cell."""
    defaults = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3}
    cell.metadata["nbgrader"] = {**defaults, "grade_id": grade_id, **values}


def deck(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the slides of an executed lesson's source, as a notebook for nbconvert: the text of each slide and, as its
    subslides, the figures drawn since the previous slide. Figures after the last slide follow it."""
    slide_cells: list[nbformat.NotebookNode] = []
    figures: list[nbformat.NotebookNode] = []
    for cell in book.cells:
        if "slide" in tags(cell):
            text = nbformat.v4.new_markdown_cell(cell.source, metadata={"slideshow": {"slide_type": "slide"}})
            slide_cells += [text, *figures]
            figures = []
        elif "figure" in tags(cell):
            plots = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
            figures.append(nbformat.v4.new_code_cell(outputs=plots, metadata={"slideshow": {"slide_type": "subslide"}}))
    return nbformat.v4.new_notebook(cells=slide_cells + figures, metadata=book.metadata)


def slides(book: nbformat.NotebookNode) -> str:
    """Return the HTML page of slides of an executed lesson's source."""
    from nbconvert import SlidesExporter

    exporter = SlidesExporter(reveal_scroll=True, exclude_input=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    page, _ = exporter.from_notebook_node(deck(book))
    return page


def run(book: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Return a lesson's source with the outputs of its cells, executed in ``folder``; SOFTMASK_PROFILE sets the amount
    of computation."""
    from nbclient import NotebookClient

    result = deepcopy(book)
    return NotebookClient(result, timeout=None, resources={"metadata": {"path": str(folder)}}).execute()


def main(argv: Sequence[str] | None = None) -> int:
    """Write the slides or the assignments and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m softmask.workbook.course", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("slides", "assignments"))
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--only", default="", help="lessons whose name begins so, such as 03")
    arguments = parser.parse_args(argv)
    try:
        paths = [path for path in sorted((TEACHING / "source").glob(PATTERN)) if path.name.startswith(arguments.only)]
        if not paths:
            parser.error(f"there is no lesson {arguments.only}")
        for path in paths:
            if arguments.what == "slides":
                target = arguments.folder / f"{path.stem}.slides.html"
                text = slides(run(read(path), TEACHING))
            else:
                target = arguments.folder / "source" / path.stem / path.name
                text = nbformat.writes(assignment(read(path))) + "\n"
            print(write_atomic(target, text))
    except (SoftmaskError, OSError) as error:
        print(f"the {arguments.what} cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
