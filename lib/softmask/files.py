"""Reading files up to a size limit, writing files atomically, and content digests."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from softmask.errors import ConfigError, DataError, brief

MOST_BYTES = 64 * 1024 * 1024
"""Default size limit of :func:`read_bytes` in bytes."""

PART = ".softmask-part"
"""Ending of files and folders while they are written; no program of another maker uses it."""

AGAIN = "download or copy this file again"


def size_of(path: str | Path, remedy: str = AGAIN, most: float = math.inf) -> int:
    """Return the size of a regular file in bytes. Raises DataError, naming the file and the ``remedy``, for a missing
    file, a folder, a pipe or device, which might never end, or a file of more than ``most`` bytes."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; {remedy}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise DataError(f"{path}: cannot be read ({_why(error)}); {remedy}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "is a folder" if stat.S_ISDIR(status.st_mode) else "is no plain file"
        raise DataError(f"{path}: cannot be read ({kind}); {remedy}")
    if status.st_size > most:
        raise DataError(f"{path}: has {status.st_size} bytes, larger than {most}, and is refused; {remedy}")
    return status.st_size


def read_bytes(path: str | Path, remedy: str = AGAIN, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file. Raises DataError as :func:`size_of`, before anything is read."""
    return read_start(path, max(size_of(path, remedy, most), 1), remedy)


def read_start(path: str | Path, n_bytes: int, remedy: str = AGAIN) -> bytes:
    """Return the first ``n_bytes`` of a file. Raises DataError, naming the file and the ``remedy``."""
    try:
        with open(path, "rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_why(error)}); {remedy}") from error


def read_text(path: str | Path, remedy: str = AGAIN, most: int = MOST_BYTES) -> str:
    """Return the text of a file in UTF-8, read by :func:`read_bytes`. Line ends are not changed."""
    try:
        return read_bytes(path, remedy, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as text ({brief(error)}); {remedy}") from error


def read_json(path: str | Path, remedy: str = AGAIN) -> Any:
    """Return the parsed content of a JSON file, read by :func:`read_text`."""
    text = read_text(path, remedy)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({brief(error)}); {remedy}") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or brief(error)


def whole_path(path: str | Path, option: str) -> Path:
    """Return the absolute ``path``. Raises ConfigError, naming the ``option``, if it cannot be a folder."""
    try:
        folder = Path(path).expanduser().resolve()
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{option} = {str(path)!r} is a file; name a folder")
    except (OSError, RuntimeError, ValueError) as error:  # unknown user, loop of links, too long name, NUL
        kind = type(error).__name__
        raise ConfigError(f"{option} = {str(path)[:200]!r} names no folder ({kind}); set it to one") from error
    return folder


def write_atomic(path: str | Path, content: bytes | memoryview | str) -> Path:
    """Write ``content`` (text as UTF-8) to a temporary file in the same folder, which then replaces ``path``: a
    half-written ``path`` is never read or left by a kill. Missing folders are created."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{secrets.token_urlsafe(6)}{PART}")  # tempfile's files are private
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


@contextmanager
def sole_writer(folder: Path | None) -> Iterator[None]:
    """Lock ``folder`` against other softmask processes (None: no lock). Raises DataError if it is already locked."""
    if folder is None:
        yield
        return
    path, is_new = folder / ".softmask-lock", not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            why = "another softmask is writing into it; wait until it has ended, or choose another folder with --out"
            raise DataError(f"{folder}: {why}") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if is_new:
                with suppress(OSError):
                    folder.rmdir()  # if nothing was written


def remove_parts(folder: str | Path) -> None:
    """Remove files below ``folder`` that a kill left half-written (:data:`PART`). No process may be writing there."""
    for part in [*Path(folder).rglob(f".*{PART}")]:
        with suppress(FileNotFoundError):  # inside a folder that is already removed
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def sha256_of(*parts: bytes | memoryview | str | Path) -> str:
    """Return the hex SHA-256 over ``parts`` in order: bytes and text as they are, a path as the content of its file.
    Each part is preceded by its length, so that moving a boundary changes the digest."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):  # may be a file name in another encoding
            part = part.encode(errors="surrogateescape")
        data = part.read_bytes() if isinstance(part, Path) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
