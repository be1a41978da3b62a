"""Functions that the cells of a lesson call: checks of exercises, guesses next to measured values, and the quiz."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import ipywidgets as widgets
import yaml
from IPython.display import display

from softmask.config import ROOT, Config
from softmask.files import read_text
from softmask.workbook.bench import is_interactive

QUIZ = ROOT / "notebooks" / "teaching" / "quiz.yaml"
"""Questions by lesson number: ``question``, and ``answers``, each with ``text``, ``why`` (the reason why it is right or
wrong) and, for one answer, ``right: true``."""

_checked: list[Callable] = []
"""Answers that :func:`own` returned for the last check."""
_failed: list[Callable] = []
"""Answers that did not pass their last check, or are not solved."""


@contextmanager
def exercise(number: str) -> Iterator[None]:
    """Print the result of the checks in this context, for exercise ``number``, such as ``1.2``.

    An unsolved exercise (NotImplementedError) is not an error, so that a lesson runs without any answers. The
    AssertionError of a wrong answer is not caught.
    """
    _checked.clear()
    passed = False
    try:
        yield
        passed = True
        print(f"Exercise {number}: right.")
    except NotImplementedError as error:
        print(f"Exercise {number} is not solved yet. Hint: {error}")
    finally:
        _failed[:] = [answer for answer in _failed if answer not in _checked] + ([] if passed else _checked)


def or_given(yours: Callable, given: Callable) -> Callable:
    """Return a function that calls ``yours`` or, if that is not solved or its last check failed, ``given``. Prints once
    that the given function is used."""
    yours = getattr(yours, "own", yours)  # if the cell is run twice
    replaced = False

    def replace() -> None:
        nonlocal replaced
        replaced = True
        print(f"The lesson goes on with the given {getattr(yours, '__qualname__', 'function')}.")

    @wraps(yours)
    def call(*arguments: object, **more: object) -> object:
        if not replaced:
            try:
                return yours(*arguments, **more)
            except NotImplementedError:
                replace()
        return given(*arguments, **more)

    if yours in _failed:  # now: half an answer may change a network before it raises NotImplementedError
        replace()
    call.own = yours
    return call


def own(function: Callable) -> Callable:
    """Return the student's function behind a result of :func:`or_given`; any other function unchanged. For checks."""
    answer = getattr(function, "own", function)  # not __wrapped__, which a student's decorator may also set
    _checked.append(answer)
    return answer


def returned(answer: object) -> object:
    """Return the result of a student's function. Raises AssertionError for None, as after a forgotten ``return``."""
    assert answer is not None, "your function returns nothing: is there a return?"
    return answer


def reveal(name: str, guess: object, measured: float, digits: int = 2) -> None:
    """Print a guess (None without a guess) and the measured value with ``digits`` decimals."""
    text = "you wrote no guess" if guess is None else f"you guessed {guess}"
    print(f"{name}: {text}; measured {measured:.{digits}f}")


def say_profile(config: Config) -> None:
    """Print whether a lesson runs as it is taught or, in the smoke profile, as a test that measures nothing."""
    if config.profile.name == "smoke":
        print(
            "SMOKE PROFILE: a test that every cell runs, on a few images and for a few steps. Its numbers and figures "
            'mean nothing; what the text says of them is about profile "cpu". No statement is judged by them.'
        )
    else:
        print(f"Profile {config.profile.name}: the lesson as it is taught.")


def seen(statement: str, holds: bool, config: Config) -> None:
    """Print a statement and whether it holds in this run. The smoke profile is not judged (meaningless numbers)."""
    if config.profile.name == "smoke":
        print(f"Not judged in the smoke profile: {statement}")
    else:
        print(f"{'Seen' if holds else 'Not seen in this run'}: {statement}")


def questions(lesson: int) -> list[dict]:
    """Return the questions of a lesson's quiz (:data:`QUIZ`)."""
    return yaml.safe_load(read_text(QUIZ))[lesson]


def judged(question: dict, number: int) -> str:
    """Return the comment on answer ``number``, counted from 0, of a question."""
    answer = question["answers"][number]
    return f"{'Right' if answer.get('right') else 'Wrong'}: {answer['why']}"


def quiz(lesson: int, answers: str = "") -> None:
    """Show the quiz of a lesson, with buttons, or as text where no page can show buttons.

    ``answers``: a letter for each question, such as ``"acbda"``; the comments on these answers are printed.
    """
    if not is_interactive() and not answers:
        print(f'Answer with a letter for each question, in their order, such as: quiz({lesson}, "aaaaa")')
    for number, question in enumerate(questions(lesson), start=1):
        if is_interactive() and not answers:
            display(_buttons(number, question))
            continue
        print(f"{number}. {question['question']}")
        for letter, answer in zip("abcd", question["answers"], strict=False):
            print(f"   {letter}) {answer['text']}")
        index = "abcd".find(answers[number - 1]) if number <= len(answers) else -1
        if 0 <= index < len(question["answers"]):
            print(f"   {answers[number - 1]}: {judged(question, index)}")


def _buttons(number: int, question: dict) -> widgets.VBox:
    """Return the widget of a question: answers are chosen by click or key, and commented immediately."""
    layout = widgets.Layout(width="max-content")
    options = [(answer["text"], i) for i, answer in enumerate(question["answers"])]
    choice, comment = widgets.RadioButtons(options=options, value=None, layout=layout), widgets.HTML()

    def show_comment(change: dict) -> None:
        comment.value = html.escape(judged(question, change["new"]))

    choice.observe(show_comment, "value")
    return widgets.VBox([widgets.HTML(f"<b>{number}. {html.escape(question['question'])}</b>"), choice, comment])
