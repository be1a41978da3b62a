"""Which names of structures mean a lung: ``Lung-Left``, ``lung_r``, ``Lungs``, ``RT LUNG``, ``Total Lung``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from softmask.errors import DataError

_LEFT, _RIGHT, _BOTH = "l|lt|left", "r|rt|right", "both|bilateral|total|tot|whole|all|combined|sum"
_NAME = re.compile(rf"({_LEFT}|{_RIGHT}|{_BOTH})?lungs?({_LEFT}|{_RIGHT}|{_BOTH})?")


class NoLung(DataError):
    """The structures or segments of a file are others than lungs."""


def is_lung(name: str) -> bool:
    """Whether ``name`` means a lung or both, in any case and with any separators; not what is left of one without a
    tumour (``Lungs-GTV``), nor something in it (``Lung nodule``)."""
    return _side(name) is not None


def lungs_among(names: Iterable[str], path: Path, tag: str) -> list[str]:
    """Those of ``names`` that mean a lung.

    Args:
        path, tag: where the names stand, for messages.

    Raises:
        NoLung: when there is none.
        DataError: when there is only the left or only the right lung.
    """
    names = list(names)
    lungs = [name for name in names if is_lung(name)]
    if not lungs:
        raise NoLung(
            f"{path}: {tag} names no lung ({', '.join(names) or 'it names nothing'}); expected names such as "
            "Lung-Left and Lung-Right, or Lungs"
        )
    sides = {_side(name) for name in lungs}
    if sides in ({"left"}, {"right"}):
        raise DataError(
            f"{path}: {tag} names one lung alone ({', '.join(lungs)}), and the reference must hold both; add the other"
        )
    return lungs


def _side(name: str) -> str | None:
    """``left``, ``right``, ``both``, or None for what is no lung."""
    match = _NAME.fullmatch(re.sub(r"[\W_]+", "", name.lower()))
    if match is None:
        return None
    words = {word for word in match.groups() if word}
    left, right = words & set(_LEFT.split("|")), words & set(_RIGHT.split("|"))
    return "left" if left and not right else "right" if right and not left else "both"
