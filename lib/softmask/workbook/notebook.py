"""Declarations of a notebook: title, what it regenerates, what it needs.

They are in the notebook's metadata, under ``softmask``::

    {"title": "Soft masks", "regenerates": ["casgan/fig-2"], "needs": ["01_data"],
     "seconds": {"smoke": 20, "cpu": 60}, "after": "*"}

``needs`` names notebooks that must not have failed; ``seconds`` is the expected time by profile; ``"after": "*"`` runs
a notebook (the report) after all others, even if these failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softmask.errors import SoftmaskError
from softmask.files import read_json

PATTERN = "[0-9][0-9]_*.ipynb"
_GOAL = re.compile(r"^\*\*Goals?\.?\*\*\.?\s*(.+?)\s*(?:\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
_REMEDY = "get the notebook again"
_KINDS = {"title": str, "regenerates": list, "needs": list, "seconds": dict, "after": str}


class NotebookError(SoftmaskError):
    """Error for a notebook that cannot be run, or that failed."""


@dataclass(frozen=True)
class Notebook:
    """Declarations of one notebook, in its file ``path``, and the sources of its code cells.

    ``goal`` is the paragraph that begins with ``**Goal.**`` in the first cell, without those words; empty without one.
    """

    path: Path
    title: str
    goal: str = ""
    regenerates: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    last: bool = False
    code: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.name[:2]


def load(path: Path) -> Notebook:
    """Return the notebook at ``path``. Raises DataError or NotebookError if the file is not a notebook, or its
    declaration is invalid."""
    try:
        content = read_json(path, _REMEDY)
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in content["cells"]]
        declaration = dict(content["metadata"].get("softmask", {}))
        for cell in content["cells"]:
            iter(cell.get("metadata", {}).get("tags", []))  # papermill searches the tags for the parameters
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        raise NotebookError(f"{path} cannot be read as a notebook ({kind}: {error}); {_REMEDY}") from error
    regenerates, needs = declaration.get("regenerates", []), declaration.get("needs", [])
    seconds = declaration.get("seconds", {})
    valid = (
        all(isinstance(value, _KINDS.get(name, ())) for name, value in declaration.items())
        and all(isinstance(name, str) for name in regenerates + needs)
        and all(isinstance(value, (int, float)) for value in seconds.values())
        and declaration.get("after", "*") == "*"
    )
    if not valid:
        raise NotebookError(
            f"{path.name}: metadata softmask is {declaration}; expected are title, regenerates and needs (lists of "
            "names), seconds (by profile) and after (only '*')"
        )
    goal = _GOAL.search(cells[0][1]) if cells and cells[0][0] == "markdown" else None
    return Notebook(
        path=path,
        title=declaration.get("title", path.stem),
        goal=goal[1] if goal else "",
        regenerates=tuple(regenerates),
        needs=tuple(needs),
        seconds=seconds,
        last=declaration.get("after") == "*",
        code=tuple(source for kind, source in cells if kind == "code"),
    )


def discover(folder: Path) -> list[Notebook]:
    """Return the numbered notebooks of ``folder`` in the order of execution: by name, those ``after`` all others last.
    Raises NotebookError for a repeated number, or a needed notebook that does not run earlier."""
    books = sorted(map(load, folder.glob(PATTERN)), key=lambda book: (book.last, book.name))
    earlier_names: dict[str, str] = {}  # names by number
    for book in books:
        for need in book.needs:
            if need not in earlier_names.values():
                raise NotebookError(f"{book.path.name} needs {need!r}, which does not run before it; correct its needs")
        if book.number in earlier_names:
            raise NotebookError(f"{book.name} and {earlier_names[book.number]} have the same number; rename one")
        earlier_names[book.number] = book.name
    return books


def choose(books: Sequence[Notebook], only: str | None = None, start: str | None = None) -> list[Notebook]:
    """Return, in order, the notebooks selected by ``--only`` and ``--from``, given as numbers or full names. Raises
    NotebookError for a number or name that no notebook has, or if no notebook is selected."""

    def position(text: str) -> int:
        for index, book in enumerate(books):
            if text.strip() in (book.name, book.number):
                return index
        names = ", ".join(book.name for book in books)
        raise NotebookError(f"there is no notebook {text.strip()!r}; there are {names}")

    first_index = 0 if start is None else position(start)
    indices = set(range(len(books))) if only is None else set(map(position, only.split(",")))
    chosen = [book for index, book in enumerate(books) if index >= first_index and index in indices]
    if books and not chosen:
        raise NotebookError(f"--only {only} and --from {start} leave no notebook to run")
    return chosen
