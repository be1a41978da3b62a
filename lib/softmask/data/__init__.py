"""Data sets, real or embedded: a reader for each, and :func:`open_dataset`."""

import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from softmask.config import ROOT, Config
from softmask.data.sample import Dataset, Problem, Sample
from softmask.data.simulated import open_simulated
from softmask.data.sources import NAMES, REAL_ONLY, Source, found, how_to_get, located
from softmask.data.words import IN_PLACE
from softmask.errors import ConfigError, MissingData
from softmask.files import whole_path

__all__ = ["NAMES", "REAL_ONLY", "Dataset", "Problem", "Sample", "configure", "found", "open_dataset"]


def configure(
    profile: str | None = None,
    data: str | None = None,
    seeds: int | None = None,
    data_root: str | Path | None = None,
) -> Config:
    """Return the settings of a run from the parameters of a notebook or a command line.

    As :meth:`softmask.config.Config.from_parameters`; and ``data`` becomes ``embedded`` where it is ``auto`` and no
    real data is found, so that the run is named after what it computes.

    Raises:
        ConfigError: also when the data folder is a file, or no folder of this machine.
    """
    root = whole_path(data_root or os.environ.get("SOFTMASK_DATA") or ROOT / "data", "SOFTMASK_DATA")
    config = Config.from_parameters(profile, data, seeds, root)
    return config if config.data != "auto" or found(root) else replace(config, data="embedded")


def open_dataset(name: str, config: Config) -> Dataset:
    """The data set ``name`` of :data:`NAMES` or :data:`REAL_ONLY`, from the source that ``config.data`` asks for.

    ``embedded`` gives the simulated one, ``real`` the one under ``config.data_root``, ``auto`` the real one where it
    is found, else the embedded one. ``Dataset.source`` and ``Dataset.origin`` say which.

    Raises:
        ConfigError: for a name that is not known.
        MissingData: with ``real``, and for :data:`REAL_ONLY` always, when it is not there; says where to get it and
            which folder it goes to.
        DataError: when it is there and nothing of it can be used.
    """
    if name not in (*NAMES, *REAL_ONLY):
        raise ConfigError(f"unknown data set {name!r}; choose one of {', '.join((*NAMES, *REAL_ONLY))}")
    if name in REAL_ONLY and config.data == "embedded":
        raise ConfigError(f"{name}: is made of real scans only, there is no embedded version; ask for --data real")
    place = None if config.data == "embedded" else located(name, config.data_root)
    if place:
        return open_source(*place, name)
    if config.data == "real" or name in REAL_ONLY:
        raise MissingData(
            f"{name}: there is no real data for it under {config.data_root}. {how_to_get(name, config.data_root)}. "
            "SOFTMASK_DATA names another data folder" + ("; --data embedded needs none" if name in NAMES else "")
        )
    return open_simulated(name)


def open_source(source: Source, path: Path, name: str) -> Dataset:
    """The reader of ``source`` on what lies at ``path``, called ``name`` (``lidc`` or ``lnsm``, where both fit)."""
    module, _, reader = source.reader.partition(":")
    dataset = getattr(import_module(f"softmask.data.{module}"), reader)(path, name)
    if name == "lnsm" and source.name != "deeplesion":
        dataset.origin += IN_PLACE
    return dataset
