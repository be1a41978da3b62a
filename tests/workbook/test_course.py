"""Slides and nbgrader's assignments of the lessons. That the hidden tests grade: test_lessons."""

from __future__ import annotations

import re

import nbformat
import pytest

from softmask.workbook import course, lessons

LESSONS = sorted((lessons.TEACHING / "source").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_an_assignment_has_what_nbgrader_asks_for(path):
    book = course.assignment(lessons.read(path))
    nbformat.validate(book)
    marked = [cell for cell in book.cells if "nbgrader" in cell.metadata]
    ids = [cell.metadata["nbgrader"]["grade_id"] for cell in marked]
    assert len(set(ids)) == len(ids)
    keys = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}
    points = 0
    for cell in marked:
        about = cell.metadata["nbgrader"]
        assert set(about) == keys | ({"points"} if about["grade"] else set())
        assert about["schema_version"] == 3
        assert about["solution"] == ("### BEGIN SOLUTION" in cell.source)
        assert about["grade"] == ("### BEGIN HIDDEN TESTS" in cell.source)
        assert about["locked"] != about["solution"], "students change answers, and these alone"
        points += about.get("points", 0)
    exercises = re.findall(r'^with exercise\("([\d.]+)"\)', "\n".join(c.source for c in book.cells), re.MULTILINE)
    assert points == course.POINTS * len(exercises)
    assert [name for name in ids if name.startswith("test")] == [f"test-{n.replace('.', '-')}" for n in exercises]
    assert not any(lessons.tags(cell) & {"notes", "slide"} for cell in book.cells)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_slides_are_short(path):
    cells = [cell.source for cell in lessons.read(path).cells if "slide" in lessons.tags(cell)]
    assert len(cells) >= 6
    assert cells[0].startswith("# ")
    for text in cells[1:]:
        assert text.startswith("## ")
        assert len(text.split()) < 75, f"too much for one slide: {text}"


def test_slides_have_text_and_figures_and_no_code():
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    image = nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8=", "text/plain": "<Figure>"})
    words = nbformat.v4.new_output("stream", text="words that are printed")
    cells = [
        markdown("explained at length"),
        markdown("# One", metadata={"tags": ["slide"]}),
        code("secret = 1", outputs=[words]),
        code("draw()", outputs=[words, image], metadata={"tags": ["figure"]}),
        markdown("## Two", metadata={"tags": ["slide"]}),
        markdown("## Three", metadata={"tags": ["slide"]}),
    ]
    page = course.slides(nbformat.v4.new_notebook(cells=cells))
    assert page.count("aGVsbG8=") == 1
    assert page.index(">One") < page.index(">Two") < page.index("aGVsbG8=") < page.index(">Three")
    assert not re.search("secret|draw\\(\\)|words that are printed|explained at length", page)


def test_the_command_writes_assignments_and_says_what_is_wrong(tmp_path, capsys):
    assert course.main(["assignments", str(tmp_path), "--only", "01"]) == 0
    assert [path.name for path in tmp_path.glob("source/*/*.ipynb")] == [LESSONS[0].name]
    assert LESSONS[0].name in capsys.readouterr().out
    (tmp_path / "file").touch()
    assert course.main(["assignments", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        course.main(["assignments", str(tmp_path), "--only", "77"])
