"""Cells of notebooks that draw figures and judge claims."""

import json

import pytest

from softmask.config import ROOT
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
    return notebooks.drawn_by("01_own", paper, name)[0].partition("code cell ")[2]


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
    words, link = notebooks.drawn_by("01_own", "lgan", "fig-1")
    assert words == "01_own, 1.1 What's a figure?, code cell 2"
    assert link == "../../notebooks/01_own.ipynb#1.1-What%27s-a-figure%3F"
    assert cell_of("workbook", "dsnet-v1-curves") == "3"
    assert cell_of("lgan", "fig-2") == "4"  # put together from variables
    assert cell_of("softgan", "fig-1") == ""
    (tmp_path / "notebooks" / "02_broken.ipynb").write_text("no notebook")
    for where in ("02_broken", "99_none"):
        assert notebooks.drawn_by(where, "lgan", "fig-1") == (where, f"../../notebooks/{where}.ipynb")


def test_a_name_is_not_part_of_another(notebook):
    notebook('results.figure("lgan/fig-1", fig)', 'results.figure(f"lgan/fig-1{x}", fig)')
    assert cell_of("lgan", "fig-10") == "2"


def test_every_committed_figure_is_found():
    paths = sorted((ROOT / "figures").glob("*/*/*.json"))
    committed = [json.loads(path.read_text()) for path in paths]
    for figure in committed:
        if figure["notebook"]:
            assert "code cell" in notebooks.drawn_by(figure["notebook"], figure["paper"], figure["figure"])[0], figure


def test_the_cell_that_judges(notebook):
    notebook(
        "# 1 · Own", "verdict = claims.judge(claim, scores)", "## 1.1 Claims", "claims.judge_paper(paper)", "judged()"
    )
    assert notebooks.judged_in("01_own")[0] == "01_own, 1.1 Claims, code cell 2"
    notebook("misjudge(x)", "claims.judge(claim, scores)", name="02_own")
    assert notebooks.judged_in("02_own")[0] == "02_own, code cell 2"
    notebook("x = 1", name="03_own")
    assert notebooks.judged_in("03_own")[0] == "03_own"
