"""Executed notebooks as HTML; cells of notebooks that draw figures and judge claims."""

import base64
import io
import json
import os
import re
import sys

import nbformat
import numpy as np
import pytest
from PIL import Image

from softmask.config import ROOT
from softmask.errors import DataError
from softmask.report import notebooks

CODE = """
for paper, name in (("lgan", "fig-2"), ("softgan", "fig-3")):
    results.figure(f"{paper}/{name}", fig)
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    notebooks._cells.cache_clear()

    def write(*cells, name="01_own"):
        made = [
            {"cell_type": "markdown" if c.startswith("#") else "code", "source": c.splitlines(keepends=True)}
            for c in cells
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": made}))

    yield write
    notebooks._cells.cache_clear()


def cell_of(paper, name):
    return notebooks.drawn_by((), "01_own", paper, name)[0].partition("code cell ")[2]


def test_the_cell_its_section_and_its_link(notebook, tmp_path):
    notebook(
        "# 1 · Own",
        "x = 1",
        "",
        "## 1.1 What's a figure?\n\nText.",
        'results.figure("lgan/fig-1", fig)',
        'results.figure(f"workbook/{paper}-curves", fig)',
        CODE,
    )
    words, link = notebooks.drawn_by((), "01_own", "lgan", "fig-1")
    assert words == "01_own, 1.1 What's a figure?, code cell 2"
    assert link == "../../notebooks/01_own.ipynb#1.1-What%27s-a-figure%3F"
    assert cell_of("workbook", "dsnet-v1-curves") == "3"
    assert cell_of("lgan", "fig-2") == "4"  # put together from variables
    assert cell_of("softgan", "fig-1") == ""
    (tmp_path / "notebooks" / "02_broken.ipynb").write_text("no notebook")
    for where in ("02_broken", "99_none"):
        assert notebooks.drawn_by((), where, "lgan", "fig-1") == (where, f"../../notebooks/{where}.ipynb")


def test_a_name_is_not_part_of_another(notebook):
    notebook('results.figure("lgan/fig-1", fig)', 'results.figure(f"lgan/fig-1{x}", fig)')
    assert cell_of("lgan", "fig-10") == "2"


def test_every_committed_figure_is_found():
    paths = sorted((ROOT / "figures").glob("*/*/*.json"))
    committed = [json.loads(path.read_text()) for path in paths]
    for figure in committed:
        if figure["notebook"]:
            assert "code cell" in notebooks.drawn_by((), figure["notebook"], figure["paper"], figure["figure"])[0], (
                figure
            )


def test_the_cell_that_judges(notebook):
    notebook(
        "# 1 · Own", "verdict = claims.judge(claim, scores)", "## 1.1 Claims", "claims.judge_paper(paper)", "judged()"
    )
    assert notebooks.judged_in((), "01_own", "a > b")[0] == "01_own, 1.1 Claims, code cell 2"
    notebook("misjudge(x)", "claims.judge(claim, scores)", name="02_own")
    assert notebooks.judged_in((), "02_own", "a > b")[0] == "02_own, code cell 2"
    notebook("x = 1", name="03_own")
    assert notebooks.judged_in((), "03_own", "a > b")[0] == "03_own"
    notebook("x = 1", 'claims.judge(claims.find("casgan", "suffices"), scores)', name="04_own")
    assert notebooks.judged_in((), "03_own", "half suffices")[0] == "04_own, code cell 2"


def executed(config, name="05_own", side=200):
    """An executed notebook with a heading, text and a picture of noise, which does not compress."""
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)).save(picture, "PNG")
    made = nbformat.v4.new_notebook()
    heads = "# 5 · Own\n## 5.1 What's new?"
    made.cells = [nbformat.v4.new_markdown_cell(heads), nbformat.v4.new_code_cell("print('a < b')")]
    encoded = base64.b64encode(picture.getvalue()).decode()
    made.cells[1].outputs = [
        nbformat.v4.new_output("stream", text="a < b\n"),
        nbformat.v4.new_output("stream", name="stderr", text=f"{sys.prefix}/lib/a.py:3: UserWarning\n"),
        nbformat.v4.new_output("stream", name="stderr", text="images:   0%\rimages:  40%"),
        nbformat.v4.new_output("stream", name="stderr", text="\rimages: 100%\n"),
        nbformat.v4.new_output("display_data", {"image/png": encoded, "text/plain": "noise"}),
        nbformat.v4.new_output("display_data", {"text/html": '<table border="1"><tr><td>1</td></tr></table>'}),
    ]
    path = config.results / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(made))
    return path


def test_executed_notebooks_become_html_that_loads_nothing(config, notebook):
    source = executed(config)
    executed(config, "11_report")
    assert notebooks.as_html(config, running="11_report") == ["05_own"]
    text = source.with_suffix(".html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "a &lt; b" in text
    assert "lib/a.py:3: UserWarning" in text
    assert re.findall(r"images: +(\d+)%", text) == ["100"], "of a progress bar its end alone"
    assert sys.prefix not in text
    ids = re.findall(r'<h\d id="(.+?)"', text)
    assert ids == ["5-·-Own", "5.1-What's-new?"], "as the links from the report spell them"
    assert text.count("href=") == 2, "of the icon and the report"
    assert '<table aria-labelledby="5.1-What\'s-new?" border="1">' in text
    assert text.count("data:image/webp;base64,") == 1
    assert not any(words in text for words in ("image/png", "<script", "http:", "https:", "@import"))
    notebook("## 5.1 What's new?", 'results.figure("lgan/fig-1", fig)', name="05_own")
    link = notebooks.drawn_by(["05_own"], "05_own", "lgan", "fig-1")[1]
    assert link == "notebooks/05_own.html#5.1-What%27s-new%3F"


def test_equations_are_mathml_and_a_broken_one_stays_as_typed(config):
    path = executed(config)
    made = nbformat.read(path, as_version=4)
    made.cells[0].source = "Of $\\alpha$:\n\n$$ y = \\frac{a}{2} \\tag{3} $$\n\nbut $a < x^2^3$, and `$x$` is code."
    nbformat.write(made, path)
    notebooks.as_html(config)
    text = path.with_suffix(".html").read_text()
    assert '<math display="inline"><mrow><mi>α</mi></mrow></math>' in text
    assert re.search(r'<math display="block">.*<mfrac><mrow><mi>a</mi>.*\(.*3.*\)', text)
    assert "a &lt; x^2^3" in text
    assert "<code>$x$</code>" in text


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_equation_of_the_notebooks_has_a_command_that_is_not_understood(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    equations = [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", "\n\n".join(cells))]
    assert [latex for latex in equations if "\\" in notebooks._mathml(latex, "inline")] == []


def test_a_notebook_is_written_again_where_it_is_newer_and_html_alone_is_enough(config):
    source = executed(config)
    target = source.with_suffix(".html")
    target.write_text("kept")
    os.utime(source, (1, 1))
    assert notebooks.as_html(config) == ["05_own"]
    assert target.read_text() == "kept"
    os.utime(target, (0, 0))
    notebooks.as_html(config)
    assert "a &lt; b" in target.read_text()
    source.write_text("cut off")
    with pytest.raises(DataError, match=r"05_own\.ipynb: is no notebook"):
        notebooks.as_html(config)
    source.unlink()
    assert notebooks.as_html(config) == ["05_own"]


def test_pictures_are_shrunk_until_a_notebook_is_small_enough(config, monkeypatch):
    source = executed(config, side=1500)
    notebooks.as_html(config)
    whole = source.with_suffix(".html").stat().st_size
    monkeypatch.setattr(notebooks, "LARGEST", whole // 2)
    source.with_suffix(".html").unlink()
    notebooks.as_html(config)
    assert source.with_suffix(".html").stat().st_size <= whole // 2
