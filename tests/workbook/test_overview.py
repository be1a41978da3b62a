"""The page that JupyterLab opens on, and the settings it is opened with. ``--list``: test_workbook_cli."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from softmask.config import ROOT, Config
from softmask.workbook.cli import START, main, start_page

GOAL = "# 1 · Data\n\n**Goal.** See what\nthe papers | learn from.\n\n**Time:** long"


@pytest.fixture
def config() -> Config:
    return Config.from_parameters("cpu", "embedded")


def links(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\[([^]]*)\]\(([^)]*)\)", text)


def test_every_notebook_of_the_checkout_is_linked_once(config):
    folder = ROOT / "notebooks"
    result = [place for _, place in links(start_page(folder, config)) if place.endswith(".ipynb")]
    there = [*sorted(folder.glob("[0-9]*.ipynb")), folder / "explore.ipynb", *sorted(folder.glob("teaching/*.ipynb"))]
    assert result == [path.relative_to(folder).as_posix() for path in there]


def test_numbered_notebooks_of_the_checkout_say_their_goal_and_time(config):
    rows = [line for line in start_page(ROOT / "notebooks", config).splitlines() if re.match(r"\| \[\d+ · ", line)]
    assert len(rows) >= 9
    for row in rows:
        _, title, goal, time, _ = re.split(r"(?<!\\)\|", row)
        assert title.strip()
        assert len(goal) > 40, row
        assert re.fullmatch(r"\d+:\d\d", time.strip()), row


def test_rows_of_notebooks_lessons_bench_and_reports(write, folder, config):
    path = write("01_data", title="Data: where from", seconds={"cpu": 90, "smoke": 5})
    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_markdown_cell(GOAL))
    nbformat.write(book, path)
    (folder / "02_masks.ipynb").write_text("{")
    text = start_page(folder, config)
    assert "| [1 · Data: where from](01_data.ipynb) | See what the papers \\| learn from. | 1:30 |" in text
    assert "02_masks.ipynb: is no JSON" in text
    assert not re.search("Interactive labelling|Lessons|Reports", text)
    for name in ("explore", "notes"):
        write(name)
    (folder / "teaching").mkdir()
    for lesson in ("02_matting", "01_masks"):
        write("lesson").rename(folder / "teaching" / f"{lesson}.ipynb")
    report = folder.parent / "results" / "cpu-embedded" / "report.html"
    report.parent.mkdir(parents=True)
    report.touch()
    lessons = ["teaching/01_masks.ipynb", "teaching/02_matting.ipynb"]
    assert [place for _, place in links(start_page(folder, config))] == [
        "01_data.ipynb", "02_masks.ipynb", "explore.ipynb", *lessons, "../results/cpu-embedded/report.html",
    ]  # fmt: skip


def test_it_is_written_beside_the_notebooks(write, folder, capsys, monkeypatch):
    write("01_data")
    assert main(["--start-page", str(folder)]) == 0
    assert (folder / START).read_text() == start_page(folder, Config.from_parameters())
    monkeypatch.setenv("SOFTMASK_PROFILE", "tiny")
    assert main(["--start-page", str(folder)]) == 2
    assert "unknown profile 'tiny'" in capsys.readouterr().err


def test_the_settings_are_ones_that_jupyterlab_has():
    """Each overridden setting is in the schema of its plugin, with a value of the type it has there."""
    import jupyterlab.commands

    schemas = Path(jupyterlab.commands.get_app_dir()) / "schemas"
    types = {"object": dict, "boolean": bool, "string": str}
    for plugin, settings in json.loads((ROOT / "tools/jupyterlab/overrides.json").read_text()).items():
        package, _, name = plugin.partition(":")
        schema = json.loads((schemas / package / f"{name}.json").read_text())
        for setting, value in settings.items():
            declared = schema["properties"][setting]
            assert isinstance(value, types[declared["type"]])
            assert value in declared.get("enum", [value])
