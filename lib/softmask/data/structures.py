"""Choice of structures in a mask: lungs by their names, or one of several structures by its number or name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from softmask.errors import DataError, doubt

_LEFT, _RIGHT, _BOTH = "l|lt|left", "r|rt|right", "both|bilateral|total|tot|whole|all|combined|sum"
_NAME = re.compile(rf"({_LEFT}|{_RIGHT}|{_BOTH})?lungs?({_LEFT}|{_RIGHT}|{_BOTH})?")
_MANY = 40  # in a mask without names, more values than this are more organs than anyone labels by hand


class NoLung(DataError):
    """A file whose structures or segments are not lungs."""


def side_of(name: str) -> str | None:
    """Return ``left``, ``right`` or ``both`` for a name that means one or both lungs, such as ``Lung-Left``,
    ``RT LUNG`` or ``Lungs``; None for other names, such as ``Lungs-GTV`` and ``Lung nodule``."""
    match = _NAME.fullmatch(re.sub(r"[\W_]+", "", name.lower()))
    if match is None:
        return None
    words = set(match.groups())
    left, right = words & set(_LEFT.split("|")), words & set(_RIGHT.split("|"))
    return "left" if left and not right else "right" if right and not left else "both"


def _listed(names: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {name}".strip() for number, name in names.items()) or "it names nothing"


def _lungs(names: Mapping[int, str], path: Path, tag: str) -> list[int]:
    """Return the numbers of the structures whose names mean a lung; all numbers if no structure has a name."""
    if names and not any(names.values()):
        return list(names)
    sides = {number: side_of(name) for number, name in names.items() if side_of(name)}
    if not sides:
        raise NoLung(f"{path}: {tag} names no lung ({_listed(names)}); expected names such as Lung-Left and Lung-Right")
    if set(sides.values()) in ({"left"}, {"right"}):
        raise DataError(f"{path}: {tag} names one lung alone ({_listed(names)}); add the other")
    return list(sides)


def choose(names: Mapping[int, str], path: Path, tag: str, label: str | None) -> list[int]:
    """Return the numbers of the structures to use, from their ``names`` by number, which ``tag`` of the file gives: the
    one with the number, else the name, ``label``; the only one for an empty ``label``; the lungs if it is None."""
    if label is None:
        return _lungs(names, path, tag)
    number_matches = [number for number in names if label in (f"{number}", f"{number}.0")]
    name_matches = [number for number, name in names.items() if label == name]
    if number_matches and name_matches not in ([], number_matches):
        doubt(f"{path}: number {label} was taken, and not that named {label} ({_listed(names)})")
    chosen = number_matches or name_matches if label else list(names)
    if len(chosen) != 1:
        why = f"{len(chosen)} of the {len(names)} structures of {tag} are meant"
        if not label and len(names) > _MANY and not any(names.values()):
            raise DataError(f"{path}: {tag} hold {len(names)} values; of probabilities or grey levels, threshold it")
        raise DataError(f"{path}: {why} ({_listed(names)}); name one with --label (column label): number or name")
    return chosen
