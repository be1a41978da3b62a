"""Which cell of which notebook drew a figure: found in the notebook's source, for the link below the figure."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from softmask.config import ROOT

_FIGURE, _ANYTHING = ".figure(", ".+/.+"


@dataclass(frozen=True)
class Place:
    """A code cell.

    Attributes:
        notebook: such as ``05_softgan``.
        section: the heading that the cell stands under, such as ``5.3 The segmentor``; empty where there is none.
        number: of the cell among the notebook's code cells, from 1, as in the runner's messages; 0: not found.
    """

    notebook: str
    section: str = ""
    number: int = 0

    @property
    def link(self) -> str:
        """Relative to ``results/<run>/``; the fragment is the heading's, as JupyterLab and GitHub spell it."""
        fragment = f"#{quote(self.section.replace(' ', '-'))}" if self.section else ""
        return f"../../notebooks/{self.notebook}.ipynb{fragment}"

    def __str__(self) -> str:
        if not self.number:
            return self.notebook
        return f"{self.notebook}, {self.section + ', ' if self.section else ''}code cell {self.number}"


def find(notebook: str, paper: str, name: str) -> Place:
    """Return the cell of ``notebook`` that draws a figure.

    That is the cell whose code says ``"<paper>/<name>"``, where an f-string's fields may be anything, and failing that
    one that puts paper and name together from variables and names both; failing that, or where there is no such
    notebook, the notebook as a whole.

    Args:
        paper, name: as :meth:`softmask.analysis.results.Results.figure` got them, parted by a slash.
    """
    for cell in _drawing(notebook):
        if any(text != _ANYTHING and re.fullmatch(text, f"{paper}/{name}") for text in cell.texts):
            return cell.place
    for cell in _drawing(notebook):
        if _ANYTHING in cell.texts and {re.escape(paper), re.escape(name)} <= cell.texts:
            return cell.place
    return Place(notebook)


@dataclass(frozen=True)
class _Cell:
    """A cell that draws figures, and its texts as regular expressions."""

    place: Place
    texts: frozenset[str]


@cache
def _drawing(notebook: str) -> tuple[_Cell, ...]:
    """The cells that draw figures; none where the notebook cannot be read."""
    try:
        cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
        return tuple(_read(notebook, cells))
    except (OSError, ValueError, KeyError, TypeError, SyntaxError):  # a link is not worth a failed report
        return ()


def _read(notebook: str, cells: list[dict]) -> Iterator[_Cell]:
    section, number = "", 0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            section = (re.findall(r"^#{1,6} +(.+?)\s*$", source, re.MULTILINE) or [section])[-1]
        elif source.strip():
            number += 1
            if _FIGURE in source:
                texts = frozenset(text for node in ast.walk(ast.parse(source)) if (text := _text(node)))
                yield _Cell(Place(notebook, section, number), texts)


def _text(node: ast.AST) -> str:
    """The text that a node stands for, as a regular expression: what an f-string fills in may be anything."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in node.values)
    return ""
