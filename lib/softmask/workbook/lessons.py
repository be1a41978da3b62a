"""Lessons for the student and with solutions, both made from one notebook.

``python -m softmask.workbook.lessons`` writes, for each ``notebooks/teaching/source/<lesson>.ipynb``, the student's
``notebooks/teaching/<lesson>.ipynb`` and ``notebooks/teaching/solutions/<lesson>.ipynb``. Edit the source alone.

A solution stands in the source between two lines, which nbgrader understands, too (Jupyter et al., "nbgrader: A tool
for creating and grading assignments in the Jupyter notebook", Journal of Open Source Education 2 (2019) 32)::

    ### BEGIN SOLUTION: what helps a student who is stuck
    return 2 * x
    ### END SOLUTION

The student finds in their place a comment and a NotImplementedError that says the hint.
"""

from __future__ import annotations

import re
import sys
from copy import deepcopy
from pathlib import Path

import nbformat

from softmask.config import ROOT
from softmask.errors import SoftmaskError
from softmask.files import write_atomic
from softmask.workbook.notebook import PATTERN, NotebookError

TEACHING = ROOT / "notebooks" / "teaching"
SOURCE, SOLUTIONS = "source", "solutions"
LINE = 120
"""Longest line of the code, as the formatter is set."""

_BEGIN = re.compile(r"(?P<indent>\s*)### BEGIN SOLUTION: (?P<hint>\S.*)")
_END = re.compile(r"\s*### END SOLUTION")


def versions(source: Path) -> tuple[str, str]:
    """The text of the student's notebook and of that with solutions, of the lesson at ``source``.

    Raises:
        NotebookError: for a file that is no notebook, outputs or counts in it, a solution that is not closed or has no
            hint, or a lesson without any.
    """
    try:
        book = nbformat.read(source, as_version=4)
    except Exception as error:  # nbformat has an exception of its own for each way a file can be wrong
        raise NotebookError(f"{source} cannot be read as a notebook ({type(error).__name__})") from error
    student, solution = deepcopy(book), deepcopy(book)
    solved = 0
    for number, cell in enumerate(book.cells):
        if cell.cell_type != "code":
            continue
        where = f"{source.name}, cell {number + 1}"
        if cell.outputs or cell.execution_count is not None:
            raise NotebookError(f"{where}: the source of a lesson has no outputs; clear them")
        student.cells[number].source, solution.cells[number].source, found = _divided(cell.source, where)
        solved += found
    if not solved:
        raise NotebookError(f"{source.name}: there is no ### BEGIN SOLUTION in it: a lesson has exercises")
    solution.metadata["softmask"]["title"] += " (with solutions)"
    return nbformat.writes(student) + "\n", nbformat.writes(solution) + "\n"


def _divided(code: str, where: str) -> tuple[str, str, int]:
    """The student's and the solved version of a cell's ``code``, and how many solutions it holds."""
    student: list[str] = []
    solution: list[str] = []
    inside, found = False, 0
    for line in code.splitlines():
        begin = _BEGIN.fullmatch(line)
        if begin and not inside:
            indent, inside, found = begin["indent"], True, found + 1
            student += [f"{indent}# your code here", *_stub(indent, begin["hint"])]
        elif _END.fullmatch(line) and inside:
            inside = False
        elif "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            raise NotebookError(
                f"{where}: {line.strip()!r} is not understood; a solution stands between "
                "'### BEGIN SOLUTION: <hint>' and '### END SOLUTION'"
            )
        else:
            solution.append(line)
            if not inside:
                student.append(line)
    if inside:
        raise NotebookError(f"{where}: a solution is not closed; add '### END SOLUTION'")
    return "\n".join(student), "\n".join(solution), found


def _stub(indent: str, hint: str) -> list[str]:
    """The lines that raise NotImplementedError with the hint, as the formatter would have them."""
    text = '"' + hint.replace("\\", "\\\\").replace('"', '\\"') + '"'
    line = f"{indent}raise NotImplementedError({text})"
    if len(line) <= LINE:
        return [line]
    return [f"{indent}raise NotImplementedError(", f"{indent}    {text}", f"{indent})"]


def make(folder: Path = TEACHING) -> dict[Path, str]:
    """The text of every notebook that the sources in ``folder`` give, by the path it belongs to.

    Raises:
        NotebookError: no source, or one that is not understood (:func:`versions`).
    """
    sources = sorted((folder / SOURCE).glob(PATTERN))
    if not sources:
        raise NotebookError(f"there are no lessons {PATTERN} in {folder / SOURCE}")
    made = {}
    for source in sources:
        made[folder / source.name], made[folder / SOLUTIONS / source.name] = versions(source)
    return made


def main() -> int:
    """Write the lessons; the exit status."""
    try:
        for path, text in make().items():
            write_atomic(path, text)
            print(path)
    except (SoftmaskError, OSError) as error:
        print(f"the lessons cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
