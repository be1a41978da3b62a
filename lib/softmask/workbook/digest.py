"""What a notebook's result depends on, as digests: code, parameters, package, locked environment, data.

They decide whether a notebook is skipped as unchanged, so they are cheap: the data's fingerprint is taken from names,
sizes and modification times, not from content.
"""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from softmask import config as settings
from softmask.config import Config
from softmask.files import sha256_of
from softmask.workbook.notebook import Notebook

CODE = (".py", ".yaml", ".j2")
MOST_FILES = 300_000
"""A data folder is looked at up to this many files: a walk over more would cost more than the skip saves."""


def code_digest(root: Path | None = None) -> str:
    """Digest of the packages' sources and data files, of ``requirements.lock`` and of the Python version."""
    root = root or settings.ROOT
    files = [path for path in (root / "lib").rglob("*") if path.suffix in CODE and path.is_file()]
    parts: list[str | Path] = [platform.python_version()]
    for path in [*sorted(files), root / "requirements.lock"]:
        parts += [path.relative_to(root).as_posix(), path]
    return sha256_of(*parts)


def _stats(place: Path) -> Iterator[str]:
    """One line for each file at or below ``place``, in an order the file system does not decide; no link followed."""
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
    """Digest over names, sizes and modification times of the real data below ``root``.

    Args:
        places: the files and folders that hold the data sets (default: those :func:`softmask.data.found` finds).
            The plain files directly in ``root``, such as a flags file, always count.
    """
    root = Path(root)
    if places is None:
        from softmask.data import found  # the readers are needed only where there may be real data

        places = found(root).values()
    if not root.is_dir():
        return sha256_of("no data folder")
    beside = (path for path in root.iterdir() if path.is_file())
    lines: list[str] = []
    for place in sorted({*places, *beside}):
        lines += itertools.islice(_stats(place), MOST_FILES)
    return sha256_of("\n".join(lines))


def common_digest(config: Config) -> str:
    """What all notebooks of a run depend on: :func:`code_digest`, the data, and the records where those are the source.

    Embedded data is in the lock.
    """
    data = "embedded" if config.data == "embedded" else data_digest(config.data_root)
    records = sorted((config.results / "records").glob("*.json")) if config.recorded else ["trained"]
    return sha256_of(code_digest(), data, f"recorded={config.recorded}", *records)


def notebook_digest(
    book: Notebook, parameters: Mapping[str, object], common: str, others: Mapping[str, str] | None = None
) -> str:
    """Digest of all that ``book``'s outputs depend on.

    Args:
        common: :func:`common_digest`.
        others: digests of the notebooks it needs, by name; for one that runs after all others, their states.
    """
    given = [f"{name}={parameters[name]!r}" for name in sorted(parameters)]
    needed = [f"{name} {value}" for name, value in sorted((others or {}).items())]
    return sha256_of(common, "\n".join(given), "\n".join(needed), *book.code)
