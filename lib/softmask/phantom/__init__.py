"""Embedded data: simulated images with a known truth, for every data set of :data:`softmask.data.NAMES`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softmask.data.kinds import KINDS
from softmask.errors import ConfigError

if TYPE_CHECKING:
    from softmask.config import Config
    from softmask.data.sample import Dataset

__all__ = ["KINDS", "open_embedded"]

EMBEDDED = ("lidc", "lnsm", "isbi2012", "promise12", "deeplesion", "lidc-lung", "qin-lung")


def open_embedded(name: str, config: Config) -> Dataset:
    """The embedded data set ``name``.

    What it holds does not depend on the profile: which and how many samples are used is the caller's choice.
    ``deeplesion`` is another name for ``lnsm``.

    Raises:
        ConfigError: for a name that is not known.
        MissingData: when the annotation database is not installed (``lidc``, ``lnsm``, ``lidc-lung``, ``qin-lung``).
    """
    if name in ("lidc", "lnsm", "deeplesion"):
        from softmask.phantom.lidc import EmbeddedLidc

        return EmbeddedLidc("lnsm" if name == "deeplesion" else name)
    if name == "isbi2012":
        from softmask.phantom.membranes import EmbeddedIsbi2012

        return EmbeddedIsbi2012()
    if name == "promise12":
        from softmask.phantom.prostate import EmbeddedPromise12

        return EmbeddedPromise12()
    if name in ("lidc-lung", "qin-lung"):
        from softmask.phantom.lungs import EmbeddedLungs

        return EmbeddedLungs(name)
    raise ConfigError(f"there is no embedded data set {name!r}; choose one of {', '.join(EMBEDDED)}")
