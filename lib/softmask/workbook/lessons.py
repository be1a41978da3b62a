"""Lessons: one source notebook gives the student's notebook, the notebook with solutions, and the teacher's notes.

``python -m softmask.workbook.lessons`` writes, for each ``notebooks/teaching/source/<lesson>.ipynb``, the student's
``notebooks/teaching/<lesson>.ipynb``, ``notebooks/teaching/solutions/<lesson>.ipynb``, and the teacher's
``notebooks/teaching/notes/<lesson>.md``. :mod:`softmask.workbook.course` makes slides and nbgrader's assignments.

Cells with a tag of :data:`FOR_TEACHERS` are in neither notebook.

In the source, nbgrader's markers (Journal of Open Source Education 2 (2019) 32) enclose a solution. The student's
notebook has a NotImplementedError with the hint instead::

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
"""Maximum length of a code line, as set for the formatter."""

FOR_TEACHERS = {"notes", "slide", "hidden"}
"""Tags of cells for the teacher's notes, for the slides, and for grading (hidden tests)."""

REPOSITORY = ""
"""Repository on GitHub (owner/name), for the links to Binder and Colab: empty, and no links, until there is one."""
_BINDER = "[Binder](https://mybinder.org/v2/gh/{repository}/HEAD?labpath={path}) or "
"""Link for lessons without PyTorch, which is not in the environment ``binder/``."""
_LAUNCH = "Run it on {binder}[Colab](https://colab.research.google.com/github/{repository}/blob/HEAD/{path}). "
_LICENCE = "Text and figures: CC BY 4.0."
_COLAB = """# on Colab, fetches the package and what it needs; elsewhere it does nothing
import sys

if "google.colab" in sys.modules:
    import subprocess

    address, folder = "https://github.com/{repository}", "/content/workbook"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", address, folder], check=True)
    missing = ["pymatting==1.1.16", "pylidc==0.2.3"]  # Colab has the others
    subprocess.run(["pip", "install", "--quiet", "--no-deps", *missing], check=True)
    sys.path.insert(0, f"{{folder}}/lib")"""

_SOLUTION = re.compile(
    r"^(?P<indent> *)### BEGIN SOLUTION: (?P<hint>\S.*)\n(?P<answer>(?:(?! *###).*\n)*) *### END SOLUTION$",
    re.MULTILINE,
)


def versions(source: Path) -> tuple[str, str]:
    """Return the texts of the student's notebook and the notebook with solutions for the lesson at ``source``. Raises
    NotebookError for an invalid notebook, outputs, no solution, or a solution that is not closed or has no hint."""
    student = read(source)
    student.cells = [cell for cell in student.cells if not tags(cell) & FOR_TEACHERS]
    solution = deepcopy(student)
    n_exercises = 0
    for number, (cell, solution_cell) in enumerate(zip(student.cells, solution.cells, strict=True), start=1):
        if cell.cell_type != "code":
            continue
        if cell.outputs or cell.execution_count is not None:
            raise NotebookError(f"{source.name}, cell {number}: the source of a lesson has no outputs; clear them")
        cell.source, n_solutions = _SOLUTION.subn(_stub, cell.source)
        solution_cell.source = _SOLUTION.sub(lambda match: match["answer"].removesuffix("\n"), solution_cell.source)
        n_exercises += n_solutions
        if "BEGIN SOLUTION" in cell.source or "END SOLUTION" in cell.source:
            markers = "'### BEGIN SOLUTION: <hint>' and '### END SOLUTION'"
            raise NotebookError(
                f"{source.name}, cell {number}: a solution is not understood; it stands between {markers}"
            )
    if not n_exercises:
        raise NotebookError(f"{source.name}: there is no ### BEGIN SOLUTION in it: a lesson has exercises")
    solution.metadata["softmask"]["title"] += " (with solutions)"
    for book, folder in ((student, ""), (solution, "solutions/")):
        _add_launch(book, f"notebooks/teaching/{folder}{source.name}")
    return nbformat.writes(student) + "\n", nbformat.writes(solution) + "\n"


def read(source: Path) -> nbformat.NotebookNode:
    """Return the notebook at ``source``. Raises NotebookError if the file is not a notebook."""
    try:
        return nbformat.read(source, as_version=4)
    except Exception as error:  # nbformat raises many types of exceptions for invalid files
        raise NotebookError(f"{source} cannot be read as a notebook ({type(error).__name__})") from error


def tags(cell: nbformat.NotebookNode) -> set[str]:
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", []))


def notes(source: Path) -> str:
    """Return the teacher's notes of the lesson at ``source``, as Markdown: its cells with the tag ``notes``, under the
    headings of the parts of the lesson."""
    book = read(source)
    lines, heading = [f"# Notes for teachers · {book.metadata['softmask']['title']}", ""], ""
    for cell in book.cells:
        if cell.cell_type == "markdown" and not tags(cell):
            headings = re.findall(r"^## .*", cell.source, re.MULTILINE)
            heading = headings[-1] if headings else heading
        elif "notes" in tags(cell):
            if heading and heading not in lines:
                lines += [heading, ""]
            lines += [cell.source, ""]
    return "\n".join(lines)


def _add_launch(book: nbformat.NotebookNode, path: str) -> None:
    """Add the licence and, if there is a :data:`REPOSITORY`, links to the notebook at its ``path`` on Binder and Colab,
    and the cell that Colab needs."""
    if not book.cells or book.cells[0].cell_type != "markdown":
        return
    if not REPOSITORY:
        book.cells[0].source += f"\n\n{_LICENCE}"
        return
    uses_torch = any(re.search(r"^(import|from) torch\b", cell.source, re.MULTILINE) for cell in book.cells)
    binder = "" if uses_torch else _BINDER.format(repository=REPOSITORY, path=path)
    book.cells[0].source += "\n\n" + _LAUNCH.format(binder=binder, repository=REPOSITORY, path=path) + _LICENCE
    cell = nbformat.v4.new_code_cell(_COLAB.format(repository=REPOSITORY), id="colab")
    book.cells.insert(1, cell)


def _stub(match: re.Match) -> str:
    """Return the student's placeholder for a solution, with line breaks as from the formatter."""
    indent, hint = match["indent"], match["hint"].replace("\\", "\\\\").replace('"', '\\"')
    line = f'{indent}raise NotImplementedError("{hint}")'
    if len(line) > LINE:
        line = f'{indent}raise NotImplementedError(\n{indent}    "{hint}"\n{indent})'
    return f"{indent}# your code here\n{line}"


def make(folder: Path = TEACHING) -> dict[Path, str]:
    """Return, by path, the texts of the notebooks and notes from the sources in ``folder``. Raises NotebookError if
    there is no source or a source is invalid."""
    texts = {}
    for source in sorted((folder / "source").glob(PATTERN)):
        texts[folder / source.name], texts[folder / "solutions" / source.name] = versions(source)
        texts[folder / "notes" / f"{source.stem}.md"] = notes(source)
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
