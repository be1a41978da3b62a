"""How identifiers are written for people."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from softmask.errors import ConfigError


@cache
def _names() -> dict[str, dict[str, str]]:
    return yaml.safe_load((files("softmask.papers") / "names.yaml").read_text(encoding="utf-8"))


def display(kind: str, name: str) -> str:
    """``name`` as people write it: ``display("rows", "unetplusplus")`` is ``U-Net++``.

    A name that is not listed is shown with spaces for underscores; ``dice_with_<row>`` becomes ``Dice with <row>``,
    ``dice_of_<row>`` ``Dice of <row>``.

    Args:
        kind: ``papers``, ``datasets``, ``metrics`` or ``rows``.

    Raises:
        ConfigError: for another kind.
    """
    names = _names()
    if kind not in names:
        raise ConfigError(f"unknown kind of name {kind!r}; choose one of {', '.join(names)}")
    for word in ("with", "of"):
        if kind == "metrics" and name.startswith(f"dice_{word}_"):
            return f"Dice {word} {display('rows', name.removeprefix(f'dice_{word}_'))}"
    return names[kind].get(name, name.replace("_", " "))


def known(kind: str) -> frozenset[str]:
    """The identifiers that are listed, of a kind as in :func:`display`."""
    return frozenset(_names()[kind])
