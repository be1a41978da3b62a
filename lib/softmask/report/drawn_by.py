"""Which cell of which notebook drew a figure: found in the notebook's source, for the link below the figure."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from softmask.config import ROOT

_SAVE = "figures.save("


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
    """The cell of ``notebook`` whose code says ``"<paper>", ..., "<name>"`` in one call or tuple.

    Failing that, the first one that names the figure beside a variable, and the paper elsewhere; failing that, or
    where there is no such notebook, the notebook as a whole.

    Args:
        paper, name: as :func:`softmask.report.figures.save` got them.
    """
    for cell in _saving(notebook):
        if any(re.fullmatch(of, paper) and re.fullmatch(text, name) for of, text in cell.pairs):
            return cell.place
    for cell in _saving(notebook):
        if re.escape(paper) in cell.texts and any(re.fullmatch(text, name) for text in cell.texts):
            return cell.place
    return Place(notebook)


@dataclass(frozen=True)
class _Cell:
    """A cell that saves figures; its texts, and the pairs of them in one call or tuple, as regular expressions."""

    place: Place
    texts: frozenset[str]
    pairs: frozenset[tuple[str, str]]


@cache
def _saving(notebook: str) -> tuple[_Cell, ...]:
    """The cells that save figures; none where the notebook cannot be read."""
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
            if _SAVE in source:
                nodes = list(ast.walk(ast.parse(source)))
                texts = frozenset(text for node in nodes if (text := _text(node)))
                pairs = frozenset(pair for node in nodes for pair in _pairs(node))
                yield _Cell(Place(notebook, section, number), texts, pairs)


def _pairs(node: ast.AST) -> Iterator[tuple[str, str]]:
    parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
    return itertools.combinations([text for part in parts if (text := _text(part))], 2)


def _text(node: ast.AST) -> str:
    """The text that a node stands for, as a regular expression: what an f-string fills in may be anything."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in node.values)
    return ""
