"""Functions that the cells of a lesson call: checks of exercises, and guesses beside measured values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exercise(number: str) -> Iterator[None]:
    """Print what became of the checks inside, of exercise ``number``, such as ``1.2``.

    An unsolved exercise (NotImplementedError) is no error, so that a lesson runs as it is handed out. The
    AssertionError of a wrong answer goes on to the reader.
    """
    try:
        yield
    except NotImplementedError as error:
        print(f"Exercise {number} is not solved yet. Hint: {error}")
    else:
        print(f"Exercise {number}: right.")


def reveal(name: str, guess: object, measured: float, digits: int = 2) -> None:
    """Print a guess (None where there is none) beside the measured value, to ``digits`` decimals."""
    text = "you wrote no guess" if guess is None else f"you guessed {guess}"
    print(f"{name}: {text}; measured {measured:.{digits}f}")
