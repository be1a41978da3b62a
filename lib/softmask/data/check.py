"""Status of the data sets: their sources, and whether they are whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from softmask.config import Config
from softmask.data import open_dataset, open_source
from softmask.data.sample import Problem
from softmask.data.sources import located, sources_of
from softmask.errors import ConfigError, DataError


@dataclass(frozen=True)
class Status:
    """Source of one data set, and its unusable parts.

    Attributes:
        name: of :data:`softmask.data.NAMES` or :data:`softmask.data.REAL_ONLY`.
        source: ``real`` or ``embedded``; ``none`` when nothing can be opened.
        origin: where it comes from, in words.
        where: folder or archive of real data, else None.
        licence: terms of the real data; empty for embedded data.
        images: how many samples there are (:func:`status`) or could be read (:func:`check`).
        problems: what is damaged or incomplete, file by file.
        left_out: what the published set itself gets wrong, and is not used.
        missing: for each source that would serve better or at all: what is missing, and how to get it.
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


def status(name: str, config: Config) -> Status:
    """Return the status of the data set that ``config`` gives; opens it and reads no sample."""
    return _look(name, config, read=False)


def check(name: str, config: Config) -> Status:
    """Return the status of real data for ``name``, whatever ``config.data`` says; reads every sample."""
    return _look(name, replace(config, data="real"), read=True)


def _look(name: str, config: Config, *, read: bool) -> Status:
    root = config.data_root
    place = None if config.data == "embedded" else located(name, root)
    where = place[1] if place else None
    licence = place[0].licence if place else ""
    better = sources_of(name)[: sources_of(name).index(place[0])] if place else sources_of(name)
    missing = tuple(f"{source.missing(root)}: {source.how_to_get(root)}" for source in better if source.missing(root))
    try:
        dataset = open_source(*place, name) if place else open_dataset(name, config)
    except (DataError, ConfigError) as error:  # the latter for embedded data that there is none of
        problems = (Problem(str(where), str(error)),) if place else ()
        return Status(name, "none", "not usable" if place else "not there", where, licence, 0, problems, (), missing)
    images = len(dataset)
    if read:
        images = sum(1 for _ in tqdm(dataset.samples(), total=len(dataset), desc=name, unit=" images"))
    problems, left_out = tuple(dataset.problems), tuple(dataset.left_out)
    return Status(name, dataset.source, dataset.origin, where, licence, images, problems, left_out, missing)
