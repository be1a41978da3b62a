"""Files of a data set, in a folder or in a zip archive that is read where it lies: one way to list and read them."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from softmask.errors import DataError, MissingData
from softmask.files import read_bytes, sha256_of

MAX_BYTES = 64 * 1024 * 1024
"""Largest single file that is read: the files of these data sets are far smaller, a decompression bomb is not."""


class FileStore(Protocol):
    """What :func:`open_store` gives.

    Attributes:
        path: the folder or archive.
        names: relative paths with ``/``, sorted.
        stamp: hex digest that is cheap to get and changes when a file is added, removed or written again.
    """

    path: Path
    names: tuple[str, ...]
    stamp: str

    def read(self, name: str) -> bytes:
        """The content of one file. Raises DataError, naming it, when it cannot be read whole."""

    def title(self, name: str) -> str:
        """What messages call the file."""

    def fingerprint(self, names: list[str], top: str = "") -> str:
        """Hex digest over names (without ``top`` before them), sizes and checksums of the files' content.

        It is equal for a folder and its archive.
        """


def open_store(path: str | Path) -> FileStore:
    """The files below a folder, or the members of a zip archive.

    Raises:
        MissingData: when there is nothing at ``path``.
        DataError: when it is neither a folder nor a whole zip archive.
    """
    path = Path(path)
    if path.is_dir():
        return FolderStore(path)
    if path.is_file():
        return ZipStore(path)
    raise MissingData(f"{path}: there is no such folder or archive; `softmask data list` says what goes where")


class FolderStore:
    """See :class:`FileStore`. Links to folders are not followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        entries = sorted(_walk(str(path), ""))
        self.names = tuple(name for name, _, _ in entries)
        self.stamp = sha256_of("\n".join(f"{name}\0{size}\0{time}" for name, size, time in entries))

    def read(self, name: str) -> bytes:
        return read_bytes(self.path / name, most=MAX_BYTES)

    def title(self, name: str) -> str:
        return str(self.path / name)

    def fingerprint(self, names: list[str], top: str = "") -> str:
        entries = []
        for name in names:
            data = self.read(name)
            entries.append((name.removeprefix(top), len(data), zlib.crc32(data)))
        return _digest(entries)


class ZipStore:
    """See :class:`FileStore`. Nothing is unpacked; names are compared, never used as paths.

    The archive is opened when it is first read from, once in each process, so that a store can be sent to others.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._process = 0
        infos = [info for info in self._open().infolist() if info.filename and not info.is_dir()]
        self._checks = {info.filename: (info.file_size, info.CRC) for info in infos}
        self.names = tuple(sorted(self._checks))
        self.stamp = self.fingerprint(list(self.names))

    def read(self, name: str) -> bytes:
        size = self._checks.get(name, (0, 0))[0]
        if size > MAX_BYTES:
            raise DataError(f"{self.title(name)}: declares {size} bytes; refused. Get this archive again")
        try:
            return self._open().read(name)
        except KeyError as error:
            raise DataError(
                f"{self.title(name)}: there is no such file in the archive; get the archive again"
            ) from error
        except Exception as error:  # zlib, bz2, lzma, text and struct errors: damaged bytes raise nearly anything
            raise DataError(f"{self.title(name)}: damaged in the archive ({error}); get the archive again") from error

    def title(self, name: str) -> str:
        return f"{self.path}:{name}"

    def fingerprint(self, names: list[str], top: str = "") -> str:
        return _digest([(name.removeprefix(top), *self._checks[name]) for name in names])

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
                raise DataError(
                    f"{self.path}: not a whole zip archive ({error}); it may be truncated: get it again"
                ) from error
            self._process = os.getpid()
        return self._archive

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_archive": None}


def _walk(folder: str, prefix: str):
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(entry.path, f"{prefix}{entry.name}/")
                elif entry.is_file():
                    state = entry.stat()
                    yield prefix + entry.name, state.st_size, state.st_mtime_ns
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check the folder's permissions") from error


def _digest(entries: list[tuple[str, int, int]]) -> str:
    return sha256_of("\n".join(f"{name}\0{size}\0{crc:08x}" for name, size, crc in entries))
