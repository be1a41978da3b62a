import json

import pytest

from softmask.config import ROOT
from softmask.report import drawn_by

CODE = """
for paper, name in (("lgan", "fig-2"), ("softgan", "fig-3")):
    results.figure(f"{paper}/{name}", fig)
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn_by, "ROOT", tmp_path)
    drawn_by._drawing.cache_clear()

    def write(*cells, name="01_own"):
        made = [
            {"cell_type": "markdown" if c.startswith("#") else "code", "source": c.splitlines(keepends=True)}
            for c in cells
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": made}))

    yield write
    drawn_by._drawing.cache_clear()


def cell(paper, name):
    return drawn_by.find("01_own", paper, name)[0].partition("code cell ")[2]


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
    words, link = drawn_by.find("01_own", "lgan", "fig-1")
    assert words == "01_own, 1.1 What's a figure?, code cell 2"
    assert link == "../../notebooks/01_own.ipynb#1.1-What%27s-a-figure%3F"
    assert cell("workbook", "dsnet-v1-curves") == "3"
    assert cell("lgan", "fig-2") == "4"  # put together from variables
    assert cell("softgan", "fig-1") == ""
    (tmp_path / "notebooks" / "02_broken.ipynb").write_text("no notebook")
    for where in ("02_broken", "99_none"):
        assert drawn_by.find(where, "lgan", "fig-1") == (where, f"../../notebooks/{where}.ipynb")


def test_a_name_is_not_part_of_another(notebook):
    notebook('results.figure("lgan/fig-1", fig)', 'results.figure(f"lgan/fig-1{x}", fig)')
    assert cell("lgan", "fig-10") == "2"


def test_every_committed_figure_is_found():
    paths = sorted((ROOT / "figures").glob("*/*/*.json"))
    figures = [json.loads(path.read_text()) for path in paths]
    lost = [
        f"{one['run']}: {one['paper']}/{one['figure']}"
        for one in figures
        if one["notebook"] and "code cell" not in drawn_by.find(one["notebook"], one["paper"], one["figure"])[0]
    ]
    assert lost == []
