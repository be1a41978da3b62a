"""Which cell of a notebook drew a figure or judged a claim, for links from the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

from softmask.config import ROOT

_ANYTHING = ".+/.+"


class CodeCell(NamedTuple):
    """A code cell: its number (from 1), the heading above it, and its source."""

    number: int
    heading: str
    source: str


def drawn_by(notebook: str, paper: str, name: str) -> tuple[str, str]:
    """Return the cell of ``notebook`` that draws a figure, in words, and its address relative to ``results/<run>/``.

    That is the cell that has ``"<paper>/<name>"``, where an f-string's fields may be anything, else one that joins
    paper and name from variables, else the notebook as a whole.
    """
    joined = None
    for cell in _cells(notebook):
        if ".figure(" not in cell.source:
            continue
        texts = set(_texts(cell.source))
        if any(text != _ANYTHING and re.fullmatch(text, f"{paper}/{name}") for text in texts):
            return _link(notebook, cell)
        if {_ANYTHING, re.escape(paper), re.escape(name)} <= texts:
            joined = joined or cell
    return _link(notebook, joined)


def judged_in(notebook: str) -> tuple[str, str]:
    """Return the cell of ``notebook`` that judges claims, as :func:`drawn_by`."""
    judging = (cell for cell in _cells(notebook) if re.search(r"\bjudge(_paper)?\(", cell.source))
    best = sorted(judging, key=lambda cell: "judge_paper(" not in cell.source)  # stable: the first of either kind
    return _link(notebook, best[0] if best else None)


def _link(notebook: str, cell: CodeCell | None) -> tuple[str, str]:
    address = f"../../notebooks/{notebook}.ipynb"
    if cell is None:
        return notebook, address
    words = ", ".join(part for part in (notebook, cell.heading, f"code cell {cell.number}") if part)
    # the fragment is the heading's, as JupyterLab and GitHub spell it
    return words, address + (f"#{quote(cell.heading.replace(' ', '-'))}" if cell.heading else "")


def _texts(source: str) -> Iterator[str]:
    """The strings of a cell as patterns; the fields of an f-string match anything."""
    for text in re.findall(r'"([^"\n]*)"', source):
        yield re.sub(r"\\\{.*?\\\}", ".+", re.escape(text))


@cache
def _cells(notebook: str) -> tuple[CodeCell, ...]:
    """The code cells of a notebook; none where it cannot be read."""
    try:
        content = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
        heading, found = "", []
        for cell in content["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                heading = (re.findall(r"^#{1,6} +(.+?)\s*$", source, re.MULTILINE) or [heading])[-1]
            elif source.strip():
                found.append(CodeCell(len(found) + 1, heading, source))
        return tuple(found)
    except (OSError, ValueError, KeyError, TypeError):  # a link is not worth a failed report
        return ()
