import nbformat
import pytest

from softmask.errors import SoftmaskError
from softmask.workbook.notebook import NotebookError, choose, discover, load


def test_declarations(write):
    declared = {"title": "Masks", "regenerates": ["casgan/fig-2"], "needs": ["01_data"], "seconds": {"smoke": 20}}
    book = load(write("02_masks", ["x = 1", "", "y = 2"], **declared))
    assert (book.name, book.number, book.title) == ("02_masks", "02", "Masks")
    assert (book.regenerates, book.needs, book.seconds) == (("casgan/fig-2",), ("01_data",), {"smoke": 20})
    assert not book.last
    assert book.code[1:] == ("x = 1", "", "y = 2")
    assert load(write("01_data")).title == "01_data"


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("# 1 · Data\n\n**Goal.** See what\nis there.\n\n**Time:** long", "See what\nis there."),
        ("**Goals.** Two.", "Two."),
        ("# 1 · Data\n\nThe **Goal.** is not at the beginning.", ""),
        ("", ""),
    ],
)
def test_the_goal_is_the_first_cells(write, text, goal):
    path = write("01_data")
    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    nbformat.write(book, path)
    assert load(path).goal == goal
    assert load(write("01_data")).goal == ""


def test_order_is_by_name_and_the_report_last(write, folder):
    write("11_report", after="*")
    write("12_more")
    write("02_masks", needs=["01_data"])
    write("01_data")
    write("notes")  # without a number: not one of the workbook's
    assert [book.name for book in discover(folder)] == ["01_data", "02_masks", "12_more", "11_report"]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"neds": ["01_data"]}, "neds"),
        ({"needs": "01_data"}, "needs.*lists of names"),
        ({"regenerates": [1]}, "lists of names"),
        ({"seconds": {"cpu": "long"}}, "by profile"),
        ({"after": "01_data"}, "only '"),
    ],
)
def test_what_is_not_understood_is_an_error(write, declared, message):
    with pytest.raises(NotebookError, match=message) as error:
        load(write("01_data", **declared))
    assert "01_data.ipynb" in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": [{}], "metadata": {}}', '{"cells": 1, "metadata": {}}'])
def test_a_file_that_is_no_notebook_is_named(folder, content):
    (folder / "01_data.ipynb").write_text(content)
    with pytest.raises(SoftmaskError, match=r"01_data\.ipynb"):
        discover(folder)


@pytest.mark.parametrize(
    ("names", "message"), [(("01_data", "02_masks"), "02_masks"), (("01_data", "01_other"), "same number")]
)
def test_needs_run_before_and_numbers_are_unique(write, folder, names, message):
    for name in names:
        write(name, **({"needs": ["02_masks"]} if message == "02_masks" and name == "01_data" else {}))
    with pytest.raises(NotebookError, match=message):
        discover(folder)


def test_choose(write, folder):
    for name in ("01_data", "02_masks", "05_gan"):
        write(name)
    write("11_report", after="*")
    books = discover(folder)

    def names(**options):
        return [book.number for book in choose(books, **options)]

    assert names() == ["01", "02", "05", "11"]
    assert names(only="05, 02") == ["02", "05"]
    assert names(only="02_masks") == ["02"]
    assert names(start="05") == ["05", "11"]
    assert names(only="11,02", start="05") == ["11"]
    with pytest.raises(NotebookError, match="no notebook '03'; there are 01_data"):
        names(only="02,03")
    with pytest.raises(NotebookError, match="leave no notebook"):
        names(only="01", start="02")
