"""What a notebook's result depends on, as digests: code, parameters, package, locked environment, data.

They decide whether a notebook is skipped as unchanged, so they are cheap: of the data they take names, sizes and
modification times, not content.
"""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from softmask.config import ROOT, Config
from softmask.data import found
from softmask.files import sha256_of
from softmask.workbook.notebook import Notebook

CODE = (".py", ".yaml", ".j2")
MOST_FILES = 300_000
"""Largest number of files of a data set that are looked at: a longer walk would cost more than the skip saves."""


def code_digest(root: Path = ROOT) -> str:
    """Return a digest of the packages' sources and data files, ``requirements.lock`` and the Python version."""
    files = sorted(path for path in (root / "lib").rglob("*") if path.suffix in CODE and path.is_file())
    named = ((path.relative_to(root).as_posix(), path) for path in (*files, root / "requirements.lock"))
    return sha256_of(platform.python_version(), *itertools.chain.from_iterable(named))


def _stats(place: Path) -> Iterator[str]:
    """A line for each file at or below ``place``, in an order the file system does not decide; no link is followed."""
    if place.is_file():
        stat = place.stat()
        yield f"{place.name} {stat.st_size} {stat.st_mtime_ns}"
    for folder, folders, files in os.walk(place):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            yield f"{os.path.relpath(path, place.parent)} {stat.st_size} {stat.st_mtime_ns}"


def data_digest(root: str | Path, places: Iterable[Path] | None = None) -> str:
    """Return a digest over names, sizes and modification times of the real data below ``root``.

    Args:
        places: the files and folders of the data sets (default: those :func:`softmask.data.found` finds). The plain
            files directly in ``root``, such as a flags file, always count.
    """
    root = Path(root)
    if not root.is_dir():
        return sha256_of("no data folder")
    places = found(root).values() if places is None else places
    beside = (path for path in root.iterdir() if path.is_file())
    lines = (itertools.islice(_stats(place), MOST_FILES) for place in sorted({*places, *beside}))
    return sha256_of("\n".join(itertools.chain.from_iterable(lines)))


def common_digest(config: Config) -> str:
    """Return a digest of what all notebooks of a run depend on: :func:`code_digest`, the data, and the records where
    those are the source. Embedded data is part of the locked packages."""
    data = "embedded" if config.data == "embedded" else data_digest(config.data_root)
    records = sorted((config.results / "records").glob("*.json")) if config.recorded else ["trained"]
    return sha256_of(code_digest(), data, f"recorded={config.recorded}", *records)


def notebook_digest(
    book: Notebook, parameters: Mapping[str, object], common: str, others: Mapping[str, str] | None = None
) -> str:
    """Return a digest of everything that ``book``'s outputs depend on.

    Args:
        common: :func:`common_digest`.
        others: digests of the notebooks it needs, by name; for one that runs after all others, their states.
    """
    given = [f"{name}={parameters[name]!r}" for name in sorted(parameters)]
    needed = [f"{name} {value}" for name, value in sorted((others or {}).items())]
    return sha256_of(common, "\n".join(given), "\n".join(needed), *book.code)
