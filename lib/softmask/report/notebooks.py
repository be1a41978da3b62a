"""Executed notebooks as HTML beside the report, and links to the cells that draw a figure or judge claims."""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from softmask.config import ROOT, Config
from softmask.errors import DataError, brief
from softmask.files import write_atomic
from softmask.report.evidence import embedded

LARGEST = 2_000_000
"""Maximum size of an executed notebook as HTML, in bytes, as far as shrinking its pictures can reach it."""
_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.ERROR)  # some pictures of notebooks have no alternative text
_WIDTHS = (1280, 960, 640, 320)
_ANYTHING = ".+/.+"
TEMPLATES = Environment(
    loader=PackageLoader("softmask.report", "page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Templates of the report and of notebooks."""
TEMPLATES.filters["capital"] = lambda words: words[:1].upper() + words[1:]


def as_html(config: Config, running: str = "") -> list[str]:
    """Write the run's executed notebooks as HTML beside them, except ``running``; return the names of all HTML files.

    HTML that is newer than its notebook is kept. Files are self-contained, with pictures shrunk to fit :data:`LARGEST`.

    Raises:
        DataError: names the notebook that cannot be read.
    """
    folder = config.results / "notebooks"
    for source in sorted(path for path in folder.glob("*.ipynb") if path.stem != running):
        target = source.with_suffix(".html")
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            write_atomic(target, _html(source, config.run))
    return sorted(path.stem for path in folder.glob("*.html"))


def _html(source: Path, run: str) -> str:
    from nbconvert import HTMLExporter, preprocessors  # slow to import
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, latex: str) -> str:
            return _mathml(latex, "block")

        def inline_math(self, latex: str) -> str:
            return _mathml(latex, "inline")

        def heading(self, text: str, level: int, **_: object) -> str:
            """Write a heading with an id spelt as it reads: nbconvert quotes some signs, and adds a link to itself."""
            anchor = re.sub("<.+?>", "", text).replace(" ", "-").replace('"', "&quot;")
            return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    exporter = HTMLExporter(template_name="basic", log=_LOG)
    exporter.register_filter("markdown2html", MarkdownWithMath(Renderer(escape=False)).render)
    exporter.register_preprocessor(preprocessors.CoalesceStreamsPreprocessor(), enabled=True)  # bars as they ended
    try:
        body, resources = exporter.from_filename(str(source))
    except ValueError as error:
        raise DataError(f"{source}: is no notebook ({brief(error)}); run it again") from error
    for folder in (sys.prefix, str(ROOT)):  # warnings name files: keep the location of the checkout private
        body = body.replace(f"{folder}/", "")
    body = _named(body)
    template = TEMPLATES.get_template("notebook.html.j2")
    colours = Markup("\n".join(resources["inlining"]["css"]))
    for width in _WIDTHS:
        page = template.render(name=source.stem, run=run, colours=colours, body=Markup(_shrunk(body, width)))
        if len(page.encode()) <= LARGEST:
            break
    return page


def _mathml(latex: str, display: str) -> str:
    """Return LaTeX as MathML, which browsers draw without a script."""
    try:
        equation = convert(re.sub(r"\\tag\{(.+?)\}", r"\\qquad (\1)", latex), display=display)
    except Exception:  # an incomplete equation is shown as it was typed, and does not stop the report
        return escape(latex)
    return equation.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")  # HTML needs none


def _named(body: str) -> str:
    """Name each table, for those who hear the page, by the heading above it."""
    parts = re.split(r'(?=<h\d id="(.+?)")', body)  # the id of a heading, then all that follows it
    sections = zip(parts[1::2], parts[2::2], strict=True)
    named = (part.replace("<table", f'<table aria-labelledby="{anchor}"') for anchor, part in sections)
    return parts[0] + "".join(named)


def _shrunk(body: str, width: int) -> str:
    png = re.compile(r"data:image/png;base64,([\w+/=\s]+)")
    return png.sub(lambda match: embedded(base64.b64decode(match[1]), width)[0], body)


def address(executed: Collection[str], notebook: str) -> str:
    """Return the address of a notebook, relative to ``results/<run>/``: its HTML if ``executed``, else its source."""
    return f"notebooks/{notebook}.html" if notebook in executed else f"../../notebooks/{notebook}.ipynb"


class CodeCell(NamedTuple):
    """Code cell of a notebook: its number (from 1), the heading above it, and its source."""

    number: int
    heading: str
    source: str


def drawn_by(executed: Collection[str], notebook: str, paper: str, name: str) -> tuple[str, str]:
    """Return the cell of ``notebook`` that draws a figure, in words, and its :func:`address`.

    It is the first cell with the string ``"<paper>/<name>"``, else the first that joins them, else the whole notebook.
    """
    joining_cell = None
    for cell in _cells(notebook):
        if ".figure(" not in cell.source:
            continue
        texts = set(_texts(cell.source))
        if any(text != _ANYTHING and re.fullmatch(text, f"{paper}/{name}") for text in texts):
            return _link(executed, notebook, cell)
        if {_ANYTHING, re.escape(paper), re.escape(name)} <= texts:
            joining_cell = joining_cell or cell
    return _link(executed, notebook, joining_cell)


def judged_in(executed: Collection[str], notebook: str, claim: str) -> tuple[str, str]:
    """Return the cell that judges ``claim``, in words, and its :func:`address`.

    It is the cell of any notebook that finds the claim by some of its words, else the one of ``notebook`` that judges.
    """
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in _cells(path.stem):
            if any(words in claim for words in re.findall(r'claims\.find\(.+?, "(.+?)"\)', cell.source)):
                return _link(executed, path.stem, cell)
    candidates = (cell for cell in _cells(notebook) if re.search(r"\bjudge(_paper)?\(", cell.source))
    cells = sorted(candidates, key=lambda cell: "judge_paper(" not in cell.source)  # stable: the first of each kind
    return _link(executed, notebook, cells[0] if cells else None)


def _link(executed: Collection[str], notebook: str, cell: CodeCell | None) -> tuple[str, str]:
    link = address(executed, notebook)
    if cell is None:
        return notebook, link
    description = ", ".join(part for part in (notebook, cell.heading, f"code cell {cell.number}") if part)
    # the fragment is the heading, spelt as in JupyterLab, GitHub and nbconvert
    return description, link + (f"#{quote(cell.heading.replace(' ', '-'))}" if cell.heading else "")


def _texts(source: str) -> Iterator[str]:
    """Yield the strings of a cell as patterns; the fields of an f-string match anything."""
    for text in re.findall(r'"([^"\n]*)"', source):
        yield re.sub(r"\\\{.*?\\\}", ".+", re.escape(text))


@cache
def _cells(notebook: str) -> tuple[CodeCell, ...]:
    """Return the code cells of a notebook; none where it cannot be read."""
    try:
        content = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
        heading, cells = "", []
        for cell in content["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                heading = (re.findall(r"^#{1,6} +(.+?)\s*$", source, re.MULTILINE) or [heading])[-1]
            elif source.strip():
                cells.append(CodeCell(len(cells) + 1, heading, source))
        return tuple(cells)
    except (OSError, ValueError, KeyError, TypeError):  # a missing link must not fail the report
        return ()
