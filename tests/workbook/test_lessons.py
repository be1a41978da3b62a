"""How lessons are made, and that those of the checkout are as their sources say, run, and check what they ask."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

from softmask.config import Config
from softmask.workbook import lessons
from softmask.workbook.exercises import (
    _buttons,
    exercise,
    judged,
    or_given,
    own,
    questions,
    quiz,
    returned,
    reveal,
    say_profile,
    seen,
)
from softmask.workbook.notebook import NotebookError, load

LESSONS = sorted((lessons.TEACHING / "source").glob("*.ipynb"))
SOURCE = """def twice(x):
    \"\"\"2 x.\"\"\"
    ### BEGIN SOLUTION: add "x" to itself
    return x + x
    ### END SOLUTION"""


@pytest.fixture
def source(write: Callable[..., Path], folder: Path) -> Callable[..., Path]:
    """``source(code, ...)`` makes a lesson's source in ``folder/source``."""

    def source(*code: str, name: str = "01_one"):
        path = write(name, code, title="One")
        (folder / "source").mkdir(exist_ok=True)
        return path.rename(folder / "source" / path.name)

    return source


def code_of(text: str):
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


def test_one_source_gives_two_notebooks(source, folder):
    hint = 100 * "h"
    source(SOURCE, f"def f():\n    ### BEGIN SOLUTION: {hint}\n    return 1\n    ### END SOLUTION")
    texts = lessons.make(folder)
    student, solution = texts[folder / "01_one.ipynb"], texts[folder / "solutions" / "01_one.ipynb"]
    assert code_of(student)[1:] == [
        'def twice(x):\n    """2 x."""\n    # your code here\n    raise NotImplementedError("add \\"x\\" to itself")',
        f'def f():\n    # your code here\n    raise NotImplementedError(\n        "{hint}"\n    )',
    ]
    assert code_of(solution)[1:] == ['def twice(x):\n    """2 x."""\n    return x + x', "def f():\n    return 1"]
    titles = [json.loads(text)["metadata"]["softmask"]["title"] for text in (student, solution)]
    assert titles == ["One", "One (with solutions)"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "has exercises"),
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "not understood"),
        ("### BEGIN SOLUTION: hint\nx = 1", "not understood"),
        ("x = 1\n### END SOLUTION", "not understood"),
        ("### BEGIN SOLUTION: a\n### BEGIN SOLUTION: b\n### END SOLUTION", "not understood"),
    ],
)
def test_what_is_not_understood_is_an_error(source, folder, code, message):
    source(code)
    with pytest.raises(NotebookError, match=message) as error:
        lessons.make(folder)
    assert "01_one.ipynb" in str(error.value)


def test_sources_with_outputs_missing_or_no_notebooks_are_errors(source, folder):
    with pytest.raises(NotebookError, match="no lessons"):
        lessons.make(folder)
    path = source(SOURCE)
    book = nbformat.read(path, as_version=4)
    book.cells[1].execution_count = 1
    nbformat.write(book, path)
    with pytest.raises(NotebookError, match="clear them"):
        lessons.make(folder)
    path.write_text("[]")
    with pytest.raises(NotebookError, match=r"01_one\.ipynb cannot be read"):
        lessons.make(folder)


def test_exercise_says_what_became_of_it(capsys):
    with exercise("1.1"):
        raise NotImplementedError("think")
    with exercise("1.2"):
        pass
    with pytest.raises(AssertionError, match="too large"), exercise("1.3"):
        raise AssertionError("too large")
    reveal("Dice", None, 0.8)
    reveal("Dice", 0.7, 0.8, 1)
    assert capsys.readouterr().out.splitlines() == [
        "Exercise 1.1 is not solved yet. Hint: think",
        "Exercise 1.2: right.",
        "Dice: you wrote no guess; measured 0.80",
        "Dice: you guessed 0.7; measured 0.8",
    ]


def test_committed_lessons_are_what_the_sources_give():
    texts = lessons.make()
    stale = [path.name for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run python -m softmask.workbook.lessons: {stale}"
    teaching = lessons.TEACHING
    there = [*teaching.glob("*.ipynb"), *teaching.glob("solutions/*"), *teaching.glob("notes/*")]
    assert {path for path in there if path.is_file()} == texts.keys()


def test_without_a_repository_there_are_no_links(source, folder, monkeypatch):
    path = source(SOURCE)
    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_markdown_cell("# Lesson 1"))
    nbformat.write(book, path)
    for repository, linked in (("", False), ("someone/workbook", True)):
        monkeypatch.setattr(lessons, "REPOSITORY", repository)
        text = lessons.make(folder)[folder / "01_one.ipynb"]
        assert "CC BY" in text
        assert ("colab" in text) == linked


def test_what_is_for_teachers_is_in_the_notes_and_not_handed_out(source, folder, monkeypatch):
    monkeypatch.setattr(lessons, "REPOSITORY", "someone/workbook")
    path = source(SOURCE)
    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_markdown_cell("# Lesson 1\n\n**Goals.** Think."))
    book.cells.append(nbformat.v4.new_markdown_cell("text\n\n## 1.2 More"))
    for tag in ("notes", "slide"):
        book.cells.append(nbformat.v4.new_markdown_cell(f"for {tag}", metadata={"tags": [tag]}))
    book.cells.append(nbformat.v4.new_code_cell("for_hidden", metadata={"tags": ["hidden"]}))
    nbformat.write(book, path)
    texts = lessons.make(folder)
    assert texts.pop(folder / "notes" / "01_one.md") == "# Notes for teachers · One\n\n## 1.2 More\n\nfor notes\n"
    for place, text in texts.items():
        cells = json.loads(text)["cells"]
        assert not any(re.search("for.(notes|slide|hidden)", "".join(cell["source"])) for cell in cells)
        assert f"{lessons.REPOSITORY}/blob/HEAD/notebooks/teaching/" in "".join(cells[0]["source"])
        assert ("solutions/01_one" in "".join(cells[0]["source"])) == (place.parent.name == "solutions")
        assert cells[1]["id"] == "colab"
        exec("".join(cells[1]["source"]), {})  # nothing, as this is not Colab


def test_lessons_that_binder_offers_need_no_torch(monkeypatch):
    """Their imports, and those of the bench, in a Python without it."""
    monkeypatch.setattr(lessons, "REPOSITORY", "someone/workbook")
    texts = lessons.make()
    books = [lessons.TEACHING / path.name for path in LESSONS]
    without = [path for path in books if "mybinder" in texts[path]]
    assert {path.name[:2] for path in without} == {"01", "02", "05"}
    code = (
        "import sys\n\nclass NoTorch:\n    def find_spec(self, name, *_):\n"
        "        if name == 'torch': raise ImportError('no torch')\n\n"
        "sys.meta_path.insert(0, NoTorch())\nprofile = 'smoke'\n"
    )
    for path in without:
        code += next(cell for cell in load(path).code if cell.startswith("import matplotlib")) + "\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_an_answer_goes_before_what_is_given():
    def unsolved(x):
        raise NotImplementedError("hint")

    assert or_given(lambda x: x + 1, lambda x: 10 * x)(2) == 3
    assert or_given(unsolved, lambda x: 10 * x)(2) == 20
    assert own(or_given(unsolved, len)) is own(unsolved) is unsolved
    decorated = contextmanager(unsolved)
    assert own(or_given(decorated, len)) is own(decorated) is decorated
    with pytest.raises(ZeroDivisionError):
        or_given(lambda x: x / 0, lambda x: x)(1)


def test_an_answer_that_failed_its_check_is_replaced_and_that_is_said(capsys):
    def twice(x):
        return 3 * x

    def check():
        with exercise("1.1"):
            assert own(twice)(1) == right

    right = 2
    with pytest.raises(AssertionError):
        check()
    wrapped = or_given(twice, lambda x: 2 * x)
    said = "The lesson goes on with the given test_an_answer_that_failed_its_check_is_replaced_and_that_is_said"
    assert capsys.readouterr().out.startswith(said)
    assert wrapped(5) == 10
    right = 3
    check()
    assert or_given(wrapped, lambda x: 2 * x)(5) == 15
    assert capsys.readouterr().out == "Exercise 1.1: right.\n"


def test_an_unsolved_answer_is_replaced_and_that_is_said_once(capsys):
    asked = []

    def half(x):
        asked.append(x)
        raise NotImplementedError("hint")

    wrapped = or_given(half, lambda x: 2 * x)
    assert (wrapped(1), wrapped(2), asked) == (2, 4, [1])
    assert capsys.readouterr().out.count("The lesson goes on with the given") == 1
    with exercise("1.1"):
        own(half)(3)
    assert or_given(wrapped, lambda x: 3 * x)(4) == 12
    assert asked == [1, 3]
    assert capsys.readouterr().out.count("The lesson goes on with the given") == 1


def test_a_forgotten_return_is_said():
    assert returned(0) == 0
    with pytest.raises(AssertionError, match="returns nothing"):
        returned(None)


def test_a_statement_is_seen_or_not_and_smoke_is_said(capsys):
    smoke, cpu = (Config.from_parameters(name, "embedded") for name in ("smoke", "cpu"))
    seen("it learns", True, cpu)
    seen("it learns", False, cpu)
    seen("it learns", True, smoke)
    say_profile(smoke)
    say_profile(cpu)
    first, second, third, smoke, cpu = capsys.readouterr().out.splitlines()
    assert (first, second) == ("Seen: it learns", "Not seen in this run: it learns")
    assert third == "Not judged in the smoke profile: it learns"
    assert "mean nothing" in smoke
    assert "as it is taught" in cpu


@pytest.mark.parametrize("lesson", range(1, len(LESSONS) + 1))
def test_the_quiz_accepts_one_answer_and_explains_the_others(lesson, capsys):
    asked = questions(lesson)
    assert len(asked) == 5
    for number, question in enumerate(asked):
        said = [judged(question, i) for i in range(len(question["answers"]))]
        assert len(said) >= 3
        assert sum(text.startswith("Right: ") for text in said) == 1
        assert sum(text.startswith("Wrong: ") for text in said) == len(said) - 1
        assert len(set(said)) == len(said)
        assert all(len(answer["why"]) > 15 for answer in question["answers"])
        box = _buttons(number, question)
        for i, text in enumerate(said):
            box.children[1].value = i
            assert html.unescape(box.children[2].value) == text
    quiz(lesson, answers="abcab")
    printed = capsys.readouterr().out
    for question, letter in zip(asked, "abcab", strict=True):
        assert f"{letter}: {judged(question, 'abc'.index(letter))}" in printed
    quiz(lesson)
    assert f'quiz({lesson}, "aaaaa")' in capsys.readouterr().out
    assert len({[bool(a.get("right")) for a in q["answers"]].index(True) for q in asked}) > 1, "not always the same"


@dataclass
class Lesson:
    """A lesson that ran: what it printed, its names, the code of its checks and hidden tests by exercise, and what
    became of the hidden tests, each run where it stands in the source: an exception, or None."""

    said: str
    names: dict
    checks: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    graded: dict[str, Exception | None] = field(default_factory=dict)


def hidden_after(path: Path) -> dict[str, str]:
    """The hidden tests of a lesson's source, by the id of the cell that they follow."""
    cells = [cell for cell in lessons.read(path).cells if not lessons.tags(cell) & {"notes", "slide"}]
    return {cell.id: after.source for cell, after in pairwise(cells) if "hidden" in lessons.tags(after)}


@pytest.fixture(scope="module")
def ran() -> Iterator[Callable[[Path], Lesson]]:
    """``ran(path)`` runs every code cell of a lesson in the smoke profile, here and not in a kernel: seconds less."""
    import torch

    known: dict[str, Lesson] = {}
    # on a busy machine the threads of pymatting's and torch's loops wait for one another: three times the time
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(path: Path) -> Lesson:
        import contextlib
        import io
        import warnings

        import matplotlib.pyplot as plt
        from IPython.display import display

        key = str(path)
        if key in known:
            return known[key]
        said, names = io.StringIO(), {"display": display}
        lesson = Lesson("", names)
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore", UserWarning)  # figures are shown nowhere
            patch.setenv("SOFTMASK_PROFILE", "smoke")
            patch.setattr(plt, "show", lambda: plt.close("all"))
            with plt.rc_context(), np.printoptions():
                tests = hidden_after(lessons.TEACHING / "source" / path.name)
                for cell in lessons.read(path).cells:
                    if cell.cell_type != "code":
                        continue
                    exec(compile(cell.source, path.name, "exec"), names)
                    for number in re.findall(r'^with exercise\("([\d.]+)"\)', cell.source, re.MULTILINE):
                        lesson.checks[number] = cell.source
                        lesson.hidden[number], lesson.graded[number] = tests.pop(cell.id), None
                        try:
                            exec(compile(lesson.hidden[number], path.name, "exec"), names)
                        except Exception as error:
                            lesson.graded[number] = error
                assert not tests, "a hidden test follows no check"
        lesson.said = said.getvalue()
        known[key] = lesson
        return lesson

    yield run
    torch.set_num_threads(threads)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_unsolved_and_solved(path, ran):
    student = ran(lessons.TEACHING / path.name)
    solution = ran(lessons.TEACHING / "solutions" / path.name)
    assert 4 <= len(student.checks) <= 6
    for number in student.checks:
        assert f"Exercise {number} is not solved yet. Hint: " in student.said
        assert "Seen: " not in student.said, "in the smoke profile no statement is judged"
        assert f"Exercise {number}: right." in solution.said
        assert isinstance(student.graded[number], NotImplementedError)
        assert solution.graded[number] is None
    assert student.said.count("you wrote no guess") == solution.said.count("you wrote no guess") >= 3
    assert "SMOKE PROFILE" in student.said
    assert "The lesson goes on with the given" not in solution.said


ANSWERS = yaml.safe_load(Path(__file__).with_name("answers.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_other_right_answers_pass(path, ran, capsys):
    """In the student's notebook, one exercise after the other."""
    student = ran(lessons.TEACHING / path.name)
    names = dict(student.names)
    for number, check in student.checks.items():
        exec(ANSWERS["right"][number], names)
        exec(check, names)
        assert f"Exercise {number}: right." in capsys.readouterr().out
        exec(student.hidden[number], names)


@pytest.mark.parametrize(
    ("number", "answer"),
    [(number, answer) for number, answers in ANSWERS["wrong"].items() for answer in answers],
)
def test_a_wrong_answer_is_found_out(number, answer, ran):
    solved = ran(lessons.TEACHING / "solutions" / LESSONS[int(number.partition(".")[0]) - 1].name)
    names = dict(solved.names)
    exec(ANSWERS["wrong"][number][answer], names)
    with pytest.raises(AssertionError) as result:
        exec(solved.checks[number], names)
    assert str(result.value), "a student must be told what is wrong"
    assert answer.partition(" -> ")[2] in str(result.value)
    with pytest.raises((AssertionError, TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError)):
        exec(solved.hidden[number], names)
