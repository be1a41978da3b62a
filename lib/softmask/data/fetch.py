"""Fetching of public data sets: a folder of a git repository at a pinned commit, or zip archives over https.

Both are resumable and moved into place whole. A commit's id is a digest of everything below it, so git verifies what
arrives. Only the wanted folder's files are asked for (a blobless, shallow fetch, then the missing blobs in batches): a
batch that has arrived is kept, and a killed fetch goes on behind it. An archive goes on where it broke off, as far as
the server tells that it still has the same one.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import ipaddress
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from softmask.data.sources import GitFolder, Source, ZipArchive
from softmask.errors import DataError, brief
from softmask.files import write_atomic

BATCH = 4000
"""Files asked of git at a time: the most that a kill can cost."""

MOST_BYTES = 4 * 1024**3
"""Largest archive that is fetched, and largest content that is unpacked."""

_CHUNK = 1024 * 1024
_SECONDS = 60  # without a byte, after which a connection is given up
_SETTINGS = {
    "core.autocrlf": "false",
    "core.symlinks": "false",
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": str(_SECONDS),
    "fetch.negotiationAlgorithm": "noop",
}


class _GitFailed(Exception):
    """git ended with an error; the text is its last message."""


def fetch(source: Source, root: str | Path, loopback: bool = False) -> str:
    """Get ``source`` into its folder under the data root ``root``.

    Args:
        source: what is fetched.
        root: the data root.
        loopback: whether archives may come from http addresses of this machine, for tests.

    Returns:
        The outcome in one line for people: fetched, or there already and nothing done.

    Raises:
        DataError: without git, without a network, when the repository has no such commit or folder, when an archive
            is not the expected one, when the destination cannot be written, or when another fetch of it is running.
            The message says what to do; what has arrived is kept for the next call, unless it is not as expected.
    """
    if not source.public:
        raise DataError(f"{source.name} cannot be fetched without registration: {source.how_to_get(Path(root))}")
    root = Path(root).absolute()
    target = root / source.folder
    there = source.locate(root)
    if there is not None:
        return f"{source.name}: is there already ({there}); nothing done"
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is there and is not {source.title}; move it away, or set SOFTMASK_DATA elsewhere")
    if source.git is not None and shutil.which("git") is None:
        raise DataError(
            f"{source.name}: git is needed to fetch it and was not found; install git, or get the folder "
            f"{source.git.folder} of {source.place} (commit {source.git.commit}) by hand into {target}"
        )
    staging = root / f".{source.folder}.fetching"
    try:
        with _locked(staging, source.name):
            if source.git is not None:
                count = _fetch_folder(source.git, staging, source.name)
            else:
                downloads = [_Download(archive, staging, source.name, loopback) for archive in source.archives]
                paths = [download.fetch() for download in downloads]
                shutil.rmtree(staging / "tree", ignore_errors=True)  # from a kill while unpacking
                print(f"{source.name}: unpacking {len(paths)} archives", file=sys.stderr)
                count = sum(_unpack(path, staging / "tree" / path.stem) for path in paths)
            if target.is_dir():
                target.rmdir()  # empty, seen above; rename needs it gone on some file systems
            os.rename(staging / "tree", target)
            shutil.rmtree(staging)
    except _GitFailed as error:
        raise DataError(f"{source.name}: git failed ({error}); remove {staging} and call again") from error
    except OSError as error:
        raise DataError(
            f"{source.name}: cannot write {error.filename or staging} ({error.strerror}); "
            "make the data folder writable, or set SOFTMASK_DATA elsewhere"
        ) from error
    return f"{source.name}: {count} files of {source.title} are now in {target}"


@contextmanager
def _locked(staging: Path, name: str) -> Iterator[None]:
    """Hold the lock of the staging folder; the system lets it go if the process is killed."""
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{name}: another fetch of it is running (it holds {staging / 'lock'})") from error
        yield


# ---- a folder of a git repository ----


def _fetch_folder(git: GitFolder, staging: Path, name: str) -> int:
    """Bring the folder's files to ``staging/tree``; returns how many there are."""
    repository = staging / "git"
    if not (repository / "HEAD").is_file():
        shutil.rmtree(repository, ignore_errors=True)  # from a kill within git init
        repository.mkdir()
        _git(repository, "init", "--quiet", "--bare")
    for stale in repository.glob("*.lock"):  # from a kill; no other fetch runs, see _locked
        stale.unlink()
    # files are written as committed, whatever attributes and filters the repository or the user has
    write_atomic(repository / "info" / "attributes", "* -text -eol -ident -filter -working-tree-encoding\n")
    _git(repository, "config", "remote.origin.url", git.url)

    print(f"{name}: asking {git.url} for commit {git.commit[:12]}", file=sys.stderr)
    _from_network(repository, name, git, [git.commit], "--depth=1")
    arrived = _git(repository, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
    if arrived != git.commit:
        raise DataError(f"{name}: asked {git.url} for commit {git.commit} and got {arrived}; nothing of it is used")
    try:
        tree = _git(repository, "rev-parse", "--verify", f"{git.commit}:{git.folder}").strip()
    except _GitFailed as error:
        raise DataError(f"{name}: {git.url} has no folder {git.folder} in commit {git.commit}") from error

    entries = [entry.partition("\t") for entry in _git(repository, "ls-tree", "-r", "-z", tree).split("\0")[:-1]]
    for head, _, path in entries:
        if not head.startswith("100"):
            raise DataError(f"{name}: {path} in the repository is no plain file (mode {head.split()[0]}); refused")
    blobs = {head.split()[2] for head, _, _ in entries}
    missing = sorted(_missing(repository, tree))
    with tqdm(total=len(blobs), initial=len(blobs) - len(missing), desc=name, unit=" files") as bar:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            _from_network(repository, name, git, batch, "--no-write-fetch-head")
            bar.update(len(batch))
    missing = _missing(repository, tree)
    if missing:
        raise DataError(f"{name}: {git.url} did not send {len(missing)} of {len(blobs)} files; call again")

    print(f"{name}: writing {len(entries)} files", file=sys.stderr)
    shutil.rmtree(staging / "tree", ignore_errors=True)  # from a kill while writing
    _git(repository, "read-tree", tree)
    _git(repository, f"--work-tree={staging}", "checkout-index", "--all", "--prefix=tree/")
    return len(entries)


def _missing(repository: Path, tree: str) -> set[str]:
    """Ids of objects below ``tree`` that have not arrived yet (asking for them this way fetches nothing)."""
    listing = _git(repository, "rev-list", "--objects", "--missing=print", tree)
    return {line[1:] for line in listing.splitlines() if line.startswith("?")}


def _from_network(repository: Path, name: str, git: GitFolder, ids: list[str], *options: str) -> None:
    options = ("--quiet", "--no-tags", "--no-auto-maintenance", *options, "--filter=blob:none", "--stdin", "origin")
    try:
        _git(repository, "fetch", *options, send="\n".join(ids) + "\n")
    except _GitFailed as error:
        raise DataError(
            f"{name}: {git.folder} at commit {git.commit} could not be fetched from {git.url}; git says: {error}. "
            f"Check the network and run `softmask data fetch {name}` again; it goes on where it stopped"
        ) from error


def _git(repository: Path, *arguments: str, send: str = "") -> str:
    """Run git on ``repository`` and return its output. Raises _GitFailed when it ends with an error."""
    settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
    # no GIT_DIR and the like of a caller that is itself inside git; no password prompt, which would hang; English
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", f"--git-dir={repository}", *settings, *arguments]
    ended = subprocess.run(command, cwd=repository.parent, env=environment, input=send.encode(), capture_output=True)
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise _GitFailed("; ".join(lines[-2:]) or f"exit status {ended.returncode}")
    return ended.stdout.decode(errors="surrogateescape")


# ---- zip archives over https ----


@dataclass(frozen=True)
class _Download:
    """Download of one archive into ``staging``, for the data set ``name``."""

    archive: ZipArchive
    staging: Path
    name: str
    loopback: bool

    def fetch(self) -> Path:
        """The path of the whole, verified archive. Raises DataError."""
        path = self.staging / f"{self.archive.folder}.zip"
        if path.is_file():  # verified before it got this name
            return path
        part, etag = path.with_suffix(".zip.part"), path.with_suffix(".zip.etag")
        total = self._receive(part, etag)
        size = part.stat().st_size
        if total is not None and size < total:
            raise self._interrupted(f"broke off after {size} of {total} bytes")
        why = self._fault(part, total)
        if why:
            part.unlink()
            raise self._refused(f"sent an archive that {why}; it was removed, nothing of it is used")
        os.replace(part, path)
        etag.unlink(missing_ok=True)
        return path

    def _receive(self, part: Path, etag_file: Path) -> int | None:
        """Append to ``part`` what is missing of the archive; returns the whole length where the server tells it."""
        start = part.stat().st_size if part.is_file() else 0
        etag = etag_file.read_text() if etag_file.is_file() else ""
        if start and start == self.archive.size:
            return start
        if not (etag or self.archive.sha256):  # nothing could tell whether the rest belongs to the part
            start = 0
        try:
            response = self._open(start, etag)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                part.unlink()
                return self._receive(part, etag_file)
            raise self._interrupted(f"answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._interrupted(f"cannot be reached ({brief(error)})") from error
        with response:
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                content_range = response.headers.get("Content-Range", "").strip()
                match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", content_range)
                first = int(match[1]) if match else -1
                total = int(match[2]) if match and match[2] != "*" else None
            else:  # the server does not resume, or has another version by now
                length = response.headers.get("Content-Length", "")
                first, total = 0, int(length) if length.isdigit() else None
            if first not in (0, start):
                raise self._refused(f"sent bytes from {first} where {start} was asked for")
            expected = self.archive.size or MOST_BYTES
            if total is not None and (total > expected or (self.archive.size and total < expected)):
                part.unlink(missing_ok=True)
                most = "" if self.archive.size else "at most "
                raise self._refused(f"has {total} bytes where {most}{expected} are expected; its part is removed")
            if not first:
                part.unlink(missing_ok=True)
            tag = response.headers.get("ETag", "")
            write_atomic(etag_file, tag if tag.startswith('"') else "")  # a weak one says nothing about bytes
            with (
                part.open("r+b" if first else "wb") as file,
                tqdm(total=total, initial=first, desc=f"{self.name}: {part.stem}", unit="B", unit_scale=True) as bar,
            ):
                file.seek(first)
                while file.tell() <= expected and (chunk := self._read(response)):
                    file.write(chunk)
                    bar.update(len(chunk))
        return total

    def _open(self, start: int, etag: str) -> http.client.HTTPResponse:
        _check_address(self.archive.url, self.loopback)
        headers = {"User-Agent": "softmask", "Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={start}-"} if start else {}
        headers |= {"If-Range": etag} if start and etag else {}
        handlers: list[urllib.request.BaseHandler] = [_Redirects(self.loopback)]
        if self.loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(self.archive.url, headers=headers)
        return urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise self._interrupted(f"broke off ({brief(error)})") from error

    def _fault(self, part: Path, total: int | None) -> str:
        """In words, why what arrived cannot be used; empty where it can."""
        size = part.stat().st_size
        expected = self.archive.size if self.archive.size is not None else total
        if expected is not None and size != expected:
            return f"has {size} bytes where {expected} are expected"
        if self.archive.sha256:
            with part.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != self.archive.sha256:
                return f"has SHA-256 {digest} where {self.archive.sha256} is expected"
        try:
            with zipfile.ZipFile(part) as content:
                why = _unsafe(content)
                damaged = None if why or self.archive.sha256 else content.testzip()
        except Exception as error:  # damaged bytes raise nearly anything
            return f"is no whole zip archive ({brief(error)})"
        return f"is damaged at {damaged}" if damaged else why

    def _interrupted(self, why: str) -> DataError:
        again = f"check the network and run `softmask data fetch {self.name}` again: it goes on where it stopped"
        return DataError(f"{self.name}: {self.archive.url} {why}; {again}")

    def _refused(self, why: str) -> DataError:
        again = f"Run `softmask data fetch {self.name}` again, or get it by hand"
        return DataError(f"{self.name}: {self.archive.url} {why}. {again}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to addresses that :func:`_check_address` lets pass."""

    def __init__(self, loopback: bool) -> None:
        self.loopback = loopback

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_address(newurl, self.loopback)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, loopback: bool) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        local = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = False
    if not (loopback and local and parts.scheme == "http"):
        raise DataError(f"{url}: only https addresses are fetched from; get the data by hand if it moved there")


def _unsafe(content: zipfile.ZipFile) -> str:
    """In words, why the archive cannot be unpacked safely; empty where it can."""
    members = [info for info in content.infolist() if not info.is_dir()]
    for info in members:
        parts = re.split(r"[/\\]", info.filename)
        linked = stat.S_ISLNK(info.external_attr >> 16)
        if linked or ":" in info.filename or any(part in ("", ".", "..") for part in parts):
            return f"has a member {info.filename!r}, which leads out of the archive or is a link"
    if len({info.filename for info in members}) < len(members):
        return "has two members of the same name"
    if sum(info.file_size for info in members) > MOST_BYTES:
        return f"unpacks to more than {MOST_BYTES} bytes"
    return ""


def _unpack(path: Path, folder: Path) -> int:
    """Unpack a safe archive and return its number of files."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(path) as content:
        members = [info for info in content.infolist() if not info.is_dir()]
        for info in members:
            target = folder / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with content.open(info) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
    return len(members)
