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


def test_the_cell_its_section_and_its_link(notebook):
    notebook(
        "# 1 · Own",
        "x = 1",
        "",
        "## 1.1 What's a figure?\n\nText.",
        'results.figure("lgan/fig-1", fig)',
        'results.figure(f"workbook/{paper}-curves", fig)',
        CODE,
    )
    found = drawn_by.find("01_own", "lgan", "fig-1")
    assert str(found) == "01_own, 1.1 What's a figure?, code cell 2"
    assert found.link == "../../notebooks/01_own.ipynb#1.1-What%27s-a-figure%3F"
    assert drawn_by.find("01_own", "workbook", "dsnet-v1-curves").number == 3
    assert drawn_by.find("01_own", "lgan", "fig-2").number == 4  # put together from variables


def test_what_is_not_found_is_the_notebook(notebook):
    notebook('results.figure("lgan/fig-1", fig)', "results.figure(")
    for where, paper, name in (
        ("01_own", "lgan", "fig-1"),  # a cell that is no Python
        ("99_none", "lgan", "fig-1"),
    ):
        found = drawn_by.find(where, paper, name)
        assert (str(found), found.link) == (where, f"../../notebooks/{where}.ipynb")


def test_a_name_is_not_part_of_another(notebook):
    notebook('results.figure("lgan/fig-1", fig)', 'results.figure(f"lgan/fig-1{x}", fig)')
    assert drawn_by.find("01_own", "lgan", "fig-10").number == 2
    assert drawn_by.find("01_own", "softgan", "fig-1").number == 0


def test_every_committed_figure_is_found():
    paths = sorted((ROOT / "figures").glob("*/*/*.json"))
    figures = [json.loads(path.read_text()) for path in paths]
    lost = [
        f"{one['run']}: {one['paper']}/{one['figure']}"
        for one in figures
        if one["notebook"] and not drawn_by.find(one["notebook"], one["paper"], one["figure"]).number
    ]
    assert lost == []
