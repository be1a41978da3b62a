"""What a notebook declares about itself: title, what it regenerates, what it needs, its parameters.

It stands in the notebook's metadata, under ``softmask``::

    {"title": "Soft masks", "regenerates": ["casgan/fig-2"], "needs": ["01_data"],
     "seconds": {"smoke": 20, "cpu": 60}, "after": "*"}

``needs`` names notebooks that must not have failed; ``"after": "*"`` puts a notebook behind all others, whatever
became of them (the report). Parameters are the plain assignments of the cell tagged ``parameters``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from softmask.errors import DataError, SoftmaskError
from softmask.files import read_json

PATTERN = "[0-9][0-9]_*.ipynb"
_GOAL = re.compile(r"^\*\*Goals?\.?\*\*\.?\s*(.+?)\s*(?:\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
KEYS = {"title", "regenerates", "needs", "seconds", "after"}


class NotebookError(SoftmaskError):
    """A notebook that cannot be run as it stands, or that did not run as it should."""


@dataclass(frozen=True)
class Notebook:
    """One notebook as its file declares it.

    Attributes:
        path: the ``.ipynb`` file; ``name`` is its stem, such as ``02_soft_masks``.
        goal: the paragraph that begins with ``**Goal.**`` in the first cell, without those words; empty without one.
        regenerates: the tables and figures it writes, as ``paper/table-or-figure``.
        needs: names of notebooks that must not have failed.
        seconds: expected time by profile name.
        last: whether it runs behind all others, whatever became of them.
        code: the sources of its code cells, in order.
        parameters: names assigned in the cell tagged ``parameters``; None where there is no such cell.
    """

    path: Path
    title: str
    goal: str = ""
    regenerates: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    last: bool = False
    code: tuple[str, ...] = ()
    parameters: frozenset[str] | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits its name begins with."""
        return self.name[:2]

    def check_parameters(self, given: Iterable[str]) -> None:
        """Raise NotebookError unless there is a parameters cell that declares every name in ``given``."""
        if self.parameters is None:
            raise NotebookError(
                f"{self.path.name} has no parameters cell: tag the cell that assigns profile, data and seeds "
                f"with 'parameters'"
            )
        unknown = [name for name in given if name not in self.parameters]
        if unknown:
            raise NotebookError(
                f"{self.path.name} does not know the parameter {', '.join(unknown)}; its parameters cell declares "
                f"{', '.join(sorted(self.parameters)) or 'nothing'}"
            )


def _strings(value: object, key: str, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise NotebookError(f"{path.name}: metadata softmask.{key} must be a list of names, not {value!r}")
    return tuple(value)


def _declared(source: str, path: Path) -> set[str]:
    """The names that a parameters cell assigns; anything but plain assignments there is an error."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise NotebookError(f"{path.name}: the parameters cell is not plain Python: {error}") from error
    names = set()
    for statement in statements:
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_docstring and (not targets or not all(isinstance(target, ast.Name) for target in targets)):
            raise NotebookError(
                f"{path.name}: the parameters cell may hold nothing but assignments, not {ast.unparse(statement)!r}"
            )
        names.update(target.id for target in targets)
    return names


def load(path: str | Path) -> Notebook:
    """Read the notebook at ``path``.

    Raises:
        NotebookError: when the file is not a notebook or declares something that is not understood.
    """
    path = Path(path)
    remedy = "get the notebook again"
    try:
        content = read_json(path, remedy)
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
        first = next(iter(content["cells"]), {"cell_type": "code"})
        goal = _GOAL.search("".join(first["source"])) if first["cell_type"] == "markdown" else None
        metadata = dict(content["metadata"].get("softmask", {}))
        tags = [cell.get("metadata", {}).get("tags", []) for cell in cells]
    except DataError as error:
        raise NotebookError(str(error)) from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise NotebookError(f"{path} cannot be read as a notebook ({why}); {remedy}") from error
    unknown = set(metadata) - KEYS
    if unknown:
        raise NotebookError(
            f"{path.name}: metadata softmask has {', '.join(sorted(unknown))}; known are {', '.join(sorted(KEYS))}"
        )
    if metadata.get("after") not in (None, "*"):
        raise NotebookError(f"{path.name}: metadata softmask.after can only be '*', not {metadata['after']!r}")
    seconds = metadata.get("seconds", {})
    if not isinstance(seconds, dict) or not all(isinstance(value, int | float) for value in seconds.values()):
        raise NotebookError(f"{path.name}: metadata softmask.seconds must give seconds by profile, not {seconds!r}")
    parameters: set[str] | None = None
    for tagged, source in zip(tags, sources, strict=True):
        if "parameters" in tagged:
            parameters = (parameters or set()) | _declared(source, path)
    return Notebook(
        path=path,
        title=str(metadata.get("title", path.stem)),
        goal=goal[1] if goal else "",
        regenerates=_strings(metadata.get("regenerates", []), "regenerates", path),
        needs=_strings(metadata.get("needs", []), "needs", path),
        seconds=seconds,
        last=metadata.get("after") == "*",
        code=tuple(sources),
        parameters=None if parameters is None else frozenset(parameters),
    )


def discover(folder: str | Path) -> list[Notebook]:
    """The numbered notebooks of ``folder`` in the order they run: by name, those ``after`` all others last.

    Raises:
        NotebookError: for an unreadable notebook, two of the same number, or a need that does not run earlier.
    """
    found = sorted((load(path) for path in Path(folder).glob(PATTERN)), key=lambda book: (book.last, book.name))
    earlier: dict[str, Notebook] = {}
    for book in found:
        for need in book.needs:
            if need not in earlier:
                raise NotebookError(
                    f"{book.path.name} needs {need!r}, which is not one of the notebooks that run before it: "
                    f"{', '.join(earlier) or 'none'}"
                )
        twin = next((name for name in earlier if name[:2] == book.number), None)
        if twin:
            raise NotebookError(f"{book.name} and {twin} have the same number")
        earlier[book.name] = book
    return found


def choose(books: Iterable[Notebook], only: str | None = None, start: str | None = None) -> list[Notebook]:
    """The notebooks that ``--only 02,05`` and ``--from 04`` leave, in order; numbers or whole names.

    Raises:
        NotebookError: for a number or name that no notebook has.
    """
    books = list(books)

    def named(text: str) -> Notebook:
        for book in books:
            if text in (book.name, book.number):
                return book
        raise NotebookError(f"there is no notebook {text!r}; there are {', '.join(book.name for book in books)}")

    chosen = books
    if start is not None:
        chosen = books[books.index(named(start.strip())) :]
    if only is not None:
        wanted = [named(text.strip()) for text in only.split(",")]
        chosen = [book for book in chosen if book in wanted]
        if not chosen:
            raise NotebookError(f"--only {only} and --from {start} leave no notebook to run")
    return chosen
