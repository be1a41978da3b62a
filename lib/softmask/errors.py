"""Errors for people: each message says which file or sample, which value, and what to do about it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class SoftmaskError(Exception):
    """Base of every error this package raises on purpose. The command line prints it without a traceback."""


class ConfigError(SoftmaskError):
    """A profile, option or parameter that does not exist or is not valid here."""


class DataError(SoftmaskError):
    """A file or sample that cannot be used: unreadable, truncated, of another size, empty, without a reader."""


class MissingData(DataError):
    """A data set that is not where it was looked for. The message says where to get it and where to put it."""


class LabelError(SoftmaskError):
    """An image, mask, trimap or RECIST mark from which no soft mask can be made."""


class TrainingError(SoftmaskError):
    """A training run that cannot go on: numbers that are no longer finite, a checkpoint that cannot be written."""


class Remark(UserWarning):
    """Something about a file that is used all the same; the command line prints it and the manifest lists it."""


class Doubt(Remark):
    """A sign that the result of a file that is used may not be what was wanted."""


def unknown(kind: str, name: str, known: Iterable[str], error: type[SoftmaskError] = ConfigError) -> SoftmaskError:
    """Return an error for a ``name`` that is not among the ``known`` ones of its ``kind``, with the nearest of them."""
    names = list(map(str, known))
    nearest = get_close_matches(str(name), names, n=1)
    meant = f" (did you mean {nearest[0]}?)" if nearest else ""
    return error(f"unknown {kind} {name!r}{meant}; choose one of {', '.join(names)}")


def brief(error: BaseException) -> str:
    """Return a library's message on one line of at most 200 characters, without memory addresses, which differ from run
    to run."""
    text = " ".join(str(error).split()).rpartition("ITK ERROR: ")[2]  # SimpleITK says where in its source, first
    text = re.sub(r"<([\w.]+) object at 0x[0-9a-f]+>", r"\1", text)
    return re.sub(r"\s*\(?0x[0-9a-f]{6,}\)?", "", text)[:200]
