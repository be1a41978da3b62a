"""Files of a data set, in a folder or in a zip archive that is read where it lies: one way to list and read them."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

from softmask.errors import DataError, MissingData
from softmask.files import read_bytes, sha256_of

MAX_BYTES = 64 * 1024 * 1024
"""Largest single file that is read: the files of these data sets are far smaller, a decompression bomb is not."""


def open_store(path: str | Path) -> FileStore:
    """Return the files below a folder, or the members of a zip archive.

    Raises:
        MissingData: when there is nothing at ``path``.
        DataError: when it is neither a folder nor a whole zip archive.
    """
    path = Path(path)
    if path.is_dir():
        return FileStore(path)
    if path.is_file():
        return ZipStore(path)
    raise MissingData(f"{path}: there is no such folder or archive; `softmask data list` says what goes where")


class FileStore:
    """Files below a folder. Links to folders are not followed.

    Attributes:
        path: the folder or archive.
        names: relative paths with ``/``, sorted.
        stamp: hex digest that is cheap to get and changes when a file is added, removed or written again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        entries = sorted(_walk(str(path), ""))
        self.names = tuple(name for name, _, _ in entries)
        self.stamp = sha256_of(repr(entries))

    def read(self, name: str) -> bytes:
        """Read one file. Raises DataError, naming it, when it cannot be read whole."""
        return read_bytes(self.path / name, most=MAX_BYTES)

    def title(self, name: str) -> str:
        """Return how messages call the file."""
        return str(self.path / name)

    def fingerprint(self, names: list[str], top: str = "") -> str:
        """Return a hex digest over names (without ``top`` before them), sizes and checksums of the files' content.

        It is equal for a folder and its archive.
        """
        return sha256_of(repr([(name.removeprefix(top), *self._size_and_crc(name)) for name in names]))

    def _size_and_crc(self, name: str) -> tuple[int, int]:
        data = self.read(name)
        return len(data), zlib.crc32(data)


class ZipStore(FileStore):
    """Members of a zip archive. Nothing is unpacked; names are compared, never used as paths.

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
        size, _ = self._checks.get(name, (0, 0))
        if size > MAX_BYTES:
            raise DataError(f"{self.title(name)}: declares {size} bytes; refused. Get this archive again")
        try:
            return self._open().read(name)
        except KeyError as error:
            raise DataError(f"{self.title(name)}: no such file in the archive; get the archive again") from error
        except Exception as error:  # zlib, bz2, lzma, text and struct errors: damaged bytes raise nearly anything
            raise DataError(f"{self.title(name)}: damaged in the archive ({error}); get the archive again") from error

    def title(self, name: str) -> str:
        return f"{self.path}:{name}"

    def _size_and_crc(self, name: str) -> tuple[int, int]:
        return self._checks[name]

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
    """Name, size and time of change of every file."""
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
