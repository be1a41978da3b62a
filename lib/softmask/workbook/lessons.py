"""Lessons for students and with solutions, both made from one notebook.

``python -m softmask.workbook.lessons`` writes, for each ``notebooks/teaching/source/<lesson>.ipynb``, the student's
``notebooks/teaching/<lesson>.ipynb`` and ``notebooks/teaching/solutions/<lesson>.ipynb``.

A solution stands in the source between nbgrader's markers (Journal of Open Source Education 2 (2019) 32), in whose
place the student finds a NotImplementedError with the hint::

    ### BEGIN SOLUTION: hint for a student who is stuck
    return 2 * x
    ### END SOLUTION
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
LINE = 120
"""Longest line of the code, as the formatter is set."""

_SOLUTION = re.compile(
    r"^(?P<indent> *)### BEGIN SOLUTION: (?P<hint>\S.*)\n(?P<answer>(?:(?! *###).*\n)*) *### END SOLUTION$",
    re.MULTILINE,
)


def versions(source: Path) -> tuple[str, str]:
    """Return the text of the student's notebook and of that with solutions, of the lesson at ``source``. Raises
    NotebookError for no notebook, outputs in it, a solution not closed or without hint, or a lesson without any."""
    try:
        student = nbformat.read(source, as_version=4)
    except Exception as error:  # nbformat has an exception of its own for each way a file can be wrong
        raise NotebookError(f"{source} cannot be read as a notebook ({type(error).__name__})") from error
    solution = deepcopy(student)
    exercises = 0
    for number, (cell, solved) in enumerate(zip(student.cells, solution.cells, strict=True), start=1):
        if cell.cell_type != "code":
            continue
        if cell.outputs or cell.execution_count is not None:
            raise NotebookError(f"{source.name}, cell {number}: the source of a lesson has no outputs; clear them")
        cell.source, n = _SOLUTION.subn(_stub, cell.source)
        solved.source = _SOLUTION.sub(lambda match: match["answer"].removesuffix("\n"), solved.source)
        exercises += n
        if "BEGIN SOLUTION" in cell.source or "END SOLUTION" in cell.source:
            markers = "'### BEGIN SOLUTION: <hint>' and '### END SOLUTION'"
            raise NotebookError(
                f"{source.name}, cell {number}: a solution is not understood; it stands between {markers}"
            )
    if not exercises:
        raise NotebookError(f"{source.name}: there is no ### BEGIN SOLUTION in it: a lesson has exercises")
    solution.metadata["softmask"]["title"] += " (with solutions)"
    return nbformat.writes(student) + "\n", nbformat.writes(solution) + "\n"


def _stub(match: re.Match) -> str:
    """Return what the student finds in place of a solution, broken as the formatter would."""
    indent, hint = match["indent"], match["hint"].replace("\\", "\\\\").replace('"', '\\"')
    line = f'{indent}raise NotImplementedError("{hint}")'
    if len(line) > LINE:
        line = f'{indent}raise NotImplementedError(\n{indent}    "{hint}"\n{indent})'
    return f"{indent}# your code here\n{line}"


def make(folder: Path = TEACHING) -> dict[Path, str]:
    """Return the text of every notebook that the sources in ``folder`` give, by path. Raises NotebookError where there
    is no source, or one is not understood."""
    texts = {}
    for source in sorted((folder / "source").glob(PATTERN)):
        texts[folder / source.name], texts[folder / "solutions" / source.name] = versions(source)
    if not texts:
        raise NotebookError(f"there are no lessons {PATTERN} in {folder / 'source'}")
    return texts


if __name__ == "__main__":
    try:
        for path, text in make().items():
            write_atomic(path, text)
            print(path)
    except (SoftmaskError, OSError) as error:
        sys.exit(f"the lessons cannot be written: {error}")
