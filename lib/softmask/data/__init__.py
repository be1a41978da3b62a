"""Data sets, real or embedded: a reader for each, :func:`open_dataset`, and their :func:`status`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from softmask.config import ROOT, Config
from softmask.data.sample import IN_PLACE, Dataset, Problem, Sample
from softmask.data.sources import NAMES, REAL_ONLY, Source, locate_source, open_simulated, real_paths, sources_of
from softmask.errors import ConfigError, DataError, MissingData
from softmask.files import whole_path

__all__ = ["NAMES", "REAL_ONLY", "Dataset", "Problem", "Sample", "configure", "open_dataset", "real_paths", "status"]


def configure(
    profile: str | None = None,
    data: str | None = None,
    seeds: int | None = None,
    data_root: str | Path | None = None,
) -> Config:
    """Return the settings of a run, as :meth:`softmask.config.Config.from_parameters` does. If ``data`` is ``auto`` and
    no real data is found, it becomes ``embedded``, so that the run is named after the data that it uses.

    Raises:
        ConfigError: also when the data folder is a file, or its path is invalid on this machine.
    """
    root = whole_path(data_root or os.environ.get("SOFTMASK_DATA") or ROOT / "data", "SOFTMASK_DATA")
    config = Config.from_parameters(profile, data, seeds, root)
    return config if config.data != "auto" or real_paths(root) else replace(config, data="embedded")


def open_dataset(name: str, config: Config) -> Dataset:
    """Return the data set ``name`` from the source that ``config.data`` asks for: ``embedded`` (simulated), ``real``
    (under ``config.data_root``), or ``auto``: real where found, else embedded.

    Raises:
        ConfigError: for an unknown name, or when the stored images are of the other kind.
        MissingData: when real data is asked for and missing; the message says where to get it and where to put it.
        DataError: when the data is there but none of it can be used.
    """
    location = locate_source(name, config.data_root, config.data)
    if location:
        return open_source(*location, name)
    other_location = locate_source(name, config.data_root) if name in REAL_ONLY else None
    if other_location:
        description = (
            "real images; ask for --data real" if config.data == "embedded" else "simulated ones; ask for --data auto"
        )
        raise ConfigError(f"{name}: {config.data} images are asked for, and {other_location[1]} holds {description}")
    if config.data == "real" or name in REAL_ONLY:
        hints = "; or ".join(source.missing(config.data_root) for source in sources_of(name))
        raise MissingData(
            f"{name}: there is no real data for it under {config.data_root}. {hints}. SOFTMASK_DATA names another data "
            "folder" + ("; --data embedded needs none" if name in NAMES else "")
        )
    return open_simulated(name)


def open_source(source: Source, path: Path, name: str) -> Dataset:
    """Return the data set that the reader of ``source`` opens at ``path``, with the name ``name``."""
    module, _, reader = source.reader.partition(":")
    dataset = getattr(import_module(f"softmask.data.{module}"), reader)(path, name)
    if name == "lnsm" and source.name != "deeplesion":
        dataset.origin += IN_PLACE
    return dataset


@dataclass(frozen=True)
class Status:
    """Source of one data set, and its unusable parts.

    Attributes:
        source: ``real`` or ``embedded``; ``none`` when nothing can be opened.
        where, licence: folder or archive of real data, and its terms; None and empty for embedded data.
        images: number of samples, or of usable samples if all were read.
        problems, left_out: faults of this copy of the data, and faults of the published set itself, file by file.
        missing: what is missing and how to get it, for each preferred source, or for every source if none is there.
    """

    name: str
    source: str
    origin: str
    where: Path | None
    licence: str
    images: int
    problems: tuple[Problem, ...]
    left_out: tuple[Problem, ...]
    missing: tuple[str, ...]


def status(name: str, config: Config, *, read: bool = False) -> Status:
    """Return the status of the data set that ``config`` selects; if ``read``, every sample is read."""
    root, sources = config.data_root, sources_of(name)
    location = locate_source(name, root, config.data)
    where, licence = (location[1], location[0].licence) if location else (None, "")
    preferred_sources = sources[: sources.index(location[0])] if location else sources
    missing = tuple(text for source in preferred_sources if (text := source.missing(root)))
    try:
        dataset = open_dataset(name, config)
    except (DataError, ConfigError) as error:  # ConfigError: there is no embedded data of this name
        problems = (Problem(str(where), str(error)),) if location else ()
        return Status(name, "none", "not usable" if location else "not there", where, licence, 0, problems, (), missing)
    images = len(dataset)
    if read:
        from softmask.data.splits import CROP_PX, crops  # imports this package

        images = 0
        for sample in tqdm(dataset.samples(), total=len(dataset), desc=name, unit=" images"):
            try:
                images += bool(crops(name, sample, CROP_PX))
            except (ConfigError, DataError) as error:  # too small to train on
                dataset.add_problem(sample.id, error)
    problems, left_out = tuple(dataset.problems), tuple(dataset.left_out)
    return Status(name, dataset.source, dataset.origin, where, licence, images, problems, left_out, missing)
