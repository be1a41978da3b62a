"""What the cells of a lesson call: checks of exercises, and guesses beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exercise(number: str) -> Iterator[None]:
    """The checks of an exercise stand inside; what became of them is printed.

    An unsolved exercise, one whose code raises NotImplementedError, is no error, so that a lesson runs through as it
    is handed out. A wrong answer is one: its AssertionError says what is wrong and goes on to the reader.

    Args:
        number: as the lesson names it, such as ``1.2``.
    """
    try:
        yield
    except NotImplementedError as error:
        print(f"Exercise {number} is not solved yet. Hint: {error}")
    else:
        print(f"Exercise {number}: right.")


def reveal(what: str, guess: object, measured: float, digits: int = 2) -> None:
    """Print a guess beside what was measured, to ``digits`` decimals.

    Args:
        guess: a number, or None where the reader has not written one.
    """
    said = "you wrote no guess" if guess is None else f"you guessed {guess}"
    print(f"{what}: {said}; measured {measured:.{digits}f}")
