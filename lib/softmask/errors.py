"""Errors for users: each message names the file or sample and the value, and says what to do."""

import re
import warnings
from collections.abc import Iterable
from difflib import get_close_matches


class SoftmaskError(Exception):
    """Base class of all errors that the package raises on purpose. The command line prints them without a traceback."""


class ConfigError(SoftmaskError):
    """Profile, option or parameter that does not exist or is not valid here."""


class DataError(SoftmaskError):
    """File or sample that cannot be used: unreadable, truncated, of wrong size, empty, or without a reader."""


class MissingData(DataError):
    """Data set that was not found. The message says where to get it and where to put it."""


class LabelError(SoftmaskError):
    """Image, mask, trimap or RECIST mark from which no soft mask can be made."""


class TrainingError(SoftmaskError):
    """Training that cannot continue: values that are not finite, or a checkpoint that cannot be written."""


class Remark(UserWarning):
    """Remark on a file that is used nevertheless; the command line prints it and the manifest lists it."""


class Doubt(Remark):
    """Remark that the result of a file may not be what the user wanted."""


def doubt(text: str) -> None:
    """Warn of a :class:`Doubt`."""
    warnings.warn(Doubt(text), stacklevel=3)


def unknown(kind: str, name: str, known: Iterable[str], error: type[SoftmaskError] = ConfigError) -> SoftmaskError:
    """Return an error for a ``name`` that is not among the ``known`` names of its ``kind``, with the closest name."""
    names = list(map(str, known))
    nearest = get_close_matches(str(name), names, n=1)
    suggestion = f" (did you mean {nearest[0]}?)" if nearest else ""
    return error(f"unknown {kind} {name!r}{suggestion}; choose one of {', '.join(names)}")


def brief(error: BaseException) -> str:
    """Return a library's message in one line of at most 200 characters, without memory addresses, which differ between
    runs."""
    text = " ".join(str(error).split()).rpartition("ITK ERROR: ")[2]  # SimpleITK first names its source line
    text = re.sub(r"<([\w.]+) object at 0x[0-9a-f]+>", r"\1", text)
    return re.sub(r"\s*\(?0x[0-9a-f]{6,}\)?", "", text)[:200]
