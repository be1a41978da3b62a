"""Which cell of which notebook drew a figure: searched in the notebook's source, for the link below the figure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from urllib.parse import quote

from softmask.config import ROOT

_ANYTHING = ".+/.+"


def find(notebook: str, paper: str, name: str) -> tuple[str, str]:
    """Return the cell of ``notebook`` that draws a figure, in words, and its address relative to ``results/<run>/``.

    That is the code cell (counted from 1, as in the runner's messages) that says ``"<paper>/<name>"``, where an
    f-string's fields may be anything, and failing that one that puts paper and name together from variables and names
    both; failing that, or where there is no such notebook, the notebook as a whole.
    """
    words, section = notebook, ""
    for number, heading, texts in _drawing(notebook):
        said = any(text != _ANYTHING and re.fullmatch(text, f"{paper}/{name}") for text in texts)
        if said or (words == notebook and _ANYTHING in texts and {re.escape(paper), re.escape(name)} <= texts):
            section, words = heading, ", ".join(part for part in (notebook, heading, f"code cell {number}") if part)
        if said:
            break
    # the fragment is the heading's, as JupyterLab and GitHub spell it
    return words, f"../../notebooks/{notebook}.ipynb{'#' + quote(section.replace(' ', '-')) if section else ''}"


@cache
def _drawing(notebook: str) -> tuple[tuple[int, str, set[str]], ...]:
    """Number, heading and texts of the cells that draw figures; none where the notebook cannot be read."""
    try:
        content = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
        return tuple(_cells(content["cells"]))
    except (OSError, ValueError, KeyError, TypeError):  # a link is not worth a failed report
        return ()


def _cells(cells: list[dict]) -> Iterator[tuple[int, str, set[str]]]:
    heading, number = "", 0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^#{1,6} +(.+?)\s*$", source, re.MULTILINE) or [heading])[-1]
        elif source.strip():
            number += 1
            if ".figure(" in source:
                texts = map(re.escape, re.findall(r'"([^"\n]*)"', source))
                yield number, heading, {re.sub(r"\\\{.*?\\\}", ".+", text) for text in texts}
