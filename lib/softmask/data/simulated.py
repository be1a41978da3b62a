"""Registry of simulated data sets. They come from a package of their own, beside softmask, that no module imports.

:data:`PLUGIN` is imported by name when a simulated data set is opened for the first time, and registers what it offers.
This works wherever softmask itself is found: installed, under ``PYTHONPATH``, and in worker processes.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from softmask.errors import ConfigError, MissingData

if TYPE_CHECKING:
    from softmask.data.sample import Dataset

PLUGIN = "phantoms"
"""Package that registers the simulated data sets."""

_DATASETS: dict[str, Callable[[str], Dataset]] = {}


def register(name: str, dataset: Callable[[str], Dataset]) -> None:
    """Make ``dataset(name)`` the simulated data set ``name``."""
    _DATASETS[name] = dataset


def open_simulated(name: str) -> Dataset:
    """Return the simulated data set ``name``. It is the same in every profile: which samples are used is up to callers.

    Raises:
        ConfigError: for a name that is not registered.
        MissingData: when the plug-in is not installed, or the annotation database that it draws nodules from.
    """
    try:
        import_module(PLUGIN)
    except ModuleNotFoundError as error:
        if error.name != PLUGIN:
            raise
        raise MissingData(
            f"{name}: the package {PLUGIN}, which simulates it, is missing; install softmask again (pip install -e .)"
        ) from error
    if name not in _DATASETS:
        raise ConfigError(f"there is no embedded data set {name!r}; choose one of {', '.join(_DATASETS)}")
    return _DATASETS[name](name)
