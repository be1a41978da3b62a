"""Download of public data sets: a folder of a git repository at a pinned commit, or zip archives over https.

Both are resumable, and moved into place when they are complete. A commit id is a digest of everything below it, so that
git verifies the received files; only the files of the wanted folder are requested. The download of an archive continues
where it stopped if its digest is known or the server names its version (ETag).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from softmask.data.sources import GitFolder, Source, ZipArchive
from softmask.errors import DataError, brief
from softmask.files import write_atomic

BATCH = 4000
"""Number of files requested from git at a time, and thus the most that are lost if the process is killed."""

MOST_BYTES = 4 * 1024**3
"""Size limit in bytes of an archive, and of its unpacked content."""

_CHUNK = 1024 * 1024
_SECONDS = 60  # without a byte, after which a connection is closed
_SETTINGS = {
    "core.autocrlf": "false",
    "core.symlinks": "false",
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": str(_SECONDS),
    "fetch.negotiationAlgorithm": "noop",
}
_HANDLERS = (
    # https only: no redirect leads to http, ftp or a file
    *(urllib.request.HTTPSHandler, urllib.request.ProxyHandler, urllib.request.UnknownHandler),
    *(urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor, urllib.request.HTTPDefaultErrorHandler),
)


class _GitFailed(Exception):
    """git ended with an error; the text is its last message."""


def fetch(source: Source, root: str | Path) -> str:
    """Fetch ``source`` into its folder under the data root ``root``; return a message of one line about the outcome.

    Raises:
        DataError: without git, without a network, when the received content is not as expected, when the destination
            cannot be written, or when another fetch of ``source`` is running. Content that is as expected is kept.
    """
    if not source.public:
        raise DataError(f"{source.name} cannot be fetched without registration: {source.how_to_get(Path(root))}")
    root = Path(root).absolute()
    target, staging = root / source.folder, root / f".{source.folder}.fetching"
    existing_path = source.locate(root)
    if existing_path is not None:
        return f"{source.name}: is there already ({existing_path}); nothing done"
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{target} exists but does not contain {source.title}; move it, or set SOFTMASK_DATA to another folder"
        )
    if source.git is not None and shutil.which("git") is None:
        raise DataError(
            f"{source.name}: git is needed to fetch it and was not found; install git, or get the folder "
            f"{source.git.folder} of {source.place} (commit {source.git.commit}) by hand into {target}"
        )
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with FileLock(staging / "lock", timeout=0):  # the system releases it if the process is killed
            if source.git is not None:
                count = _fetch_folder(source.git, staging, source.name)
            else:
                paths = [_download(archive, staging, source.name) for archive in source.archives]
                shutil.rmtree(staging / "tree", ignore_errors=True)  # left by a process killed while unpacking
                print(f"{source.name}: unpacking {len(paths)} archives", file=sys.stderr)
                count = sum(_unpack(path, staging / "tree" / path.stem) for path in paths)
            if target.is_dir():
                target.rmdir()  # empty, as checked above; on some file systems rename needs it to be absent
            os.rename(staging / "tree", target)
            shutil.rmtree(staging)
    except Timeout as error:
        raise DataError(f"{source.name}: another fetch of it is running (it holds {staging / 'lock'})") from error
    except _GitFailed as error:
        raise DataError(f"{source.name}: git failed ({error}); remove {staging} and call again") from error
    except OSError as error:
        raise DataError(
            f"{source.name}: cannot write {error.filename or staging} ({error.strerror}); "
            "make the data folder writable, or set SOFTMASK_DATA to another folder"
        ) from error
    return f"{source.name}: {count} files of {source.title} are now in {target}"


def _fetch_folder(git: GitFolder, staging: Path, name: str) -> int:
    """Fetch the files of the folder to ``staging/tree``; return their number."""
    repository = staging / "git"
    if not (repository / "HEAD").is_file():
        shutil.rmtree(repository, ignore_errors=True)  # left by a process killed during git init
        repository.mkdir()
        _git(repository, "init", "--quiet", "--bare")
    for stale_lock in repository.glob("*.lock"):  # left by a killed process; no other fetch is running
        stale_lock.unlink()
    # files are written as committed, whatever attributes and filters the repository or the user has
    write_atomic(repository / "info" / "attributes", "* -text -eol -ident -filter -working-tree-encoding\n")
    _git(repository, "config", "remote.origin.url", git.url)

    print(f"{name}: asking {git.url} for commit {git.commit[:12]}", file=sys.stderr)
    _from_network(repository, name, git, [git.commit], "--depth=1")
    commit = _git(repository, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
    if commit != git.commit:
        raise DataError(f"{name}: asked {git.url} for commit {git.commit} and got {commit}; nothing of it is used")
    try:
        tree = _git(repository, "rev-parse", "--verify", f"{git.commit}:{git.folder}").strip()
    except _GitFailed as error:
        raise DataError(f"{name}: {git.url} has no folder {git.folder} in commit {git.commit}") from error

    entries = [entry.partition("\t") for entry in _git(repository, "ls-tree", "-r", "-z", tree).split("\0")[:-1]]
    for head, _, path in entries:
        if not head.startswith("100"):
            raise DataError(f"{name}: {path} in the repository is no plain file (mode {head.split()[0]}); refused")
    blobs = {head.split()[2] for head, _, _ in entries}
    missing_ids = _missing(repository, tree)
    with tqdm(total=len(blobs), initial=len(blobs) - len(missing_ids), desc=name, unit=" files") as bar:
        for start in range(0, len(missing_ids), BATCH):
            batch = missing_ids[start : start + BATCH]
            _from_network(repository, name, git, batch, "--no-write-fetch-head")
            bar.update(len(batch))
    if missing_ids := _missing(repository, tree):
        raise DataError(f"{name}: {git.url} did not send {len(missing_ids)} of {len(blobs)} files; call again")

    print(f"{name}: writing {len(entries)} files", file=sys.stderr)
    shutil.rmtree(staging / "tree", ignore_errors=True)  # left by a process killed while writing
    _git(repository, "read-tree", tree)
    _git(repository, f"--work-tree={staging}", "checkout-index", "--all", "--prefix=tree/")
    return len(entries)


def _missing(repository: Path, tree: str) -> list[str]:
    """Return the ids of objects below ``tree`` that have not arrived (this query fetches nothing)."""
    listing = _git(repository, "rev-list", "--objects", "--missing=print", tree)
    return sorted({line[1:] for line in listing.splitlines() if line.startswith("?")})


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
    # no GIT_DIR etc. from a caller that is itself run by git; no password prompt, which would hang; English messages
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", f"--git-dir={repository}", *settings, *arguments]
    result = subprocess.run(command, cwd=repository.parent, env=environment, input=send.encode(), capture_output=True)
    if result.returncode:
        lines = [line.strip() for line in result.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise _GitFailed("; ".join(lines[-2:]) or f"exit status {result.returncode}")
    return result.stdout.decode(errors="surrogateescape")


def _download(archive: ZipArchive, staging: Path, name: str) -> Path:
    """Return the path of the whole, verified archive in ``staging``."""
    path = staging / f"{archive.folder}.zip"
    if path.is_file():  # verified before it got this name
        return path
    part, version = path.with_suffix(".zip.part"), path.with_suffix(".zip.etag")
    # without a digest or a version, nothing shows whether the rest belongs to the part
    start = part.stat().st_size if part.is_file() and (archive.sha256 or version.is_file()) else 0
    total = archive.size
    if not (start and start == total):
        try:
            total = _receive(archive, part, version, start if start < (total or MOST_BYTES) else 0)
        except (OSError, http.client.HTTPException) as error:
            raise DataError(
                f"{name}: {archive.url} cannot be reached, or broke off after "
                f"{part.stat().st_size if part.is_file() else 0} bytes ({brief(error)}); check the network and run "
                f"`softmask data fetch {name}` again: it goes on where it stopped"
            ) from error
    fault = _fault(archive, part, total)
    if fault:
        part.unlink()
        raise DataError(
            f"{name}: {archive.url} sent an archive that {fault}; it was removed, nothing of it is used. Run "
            f"`softmask data fetch {name}` again, or get it by hand"
        )
    os.replace(part, path)
    version.unlink(missing_ok=True)
    return path


def _receive(archive: ZipArchive, part: Path, version: Path, start: int) -> int | None:
    """Append to ``part`` the bytes from ``start`` on; return the total length, None if the server does not state it.

    Raises:
        OSError, HTTPException: when the server cannot be reached, or the connection breaks off.
    """
    headers = {"User-Agent": "softmask", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    if start and version.is_file():
        headers["If-Range"] = version.read_text()  # if its version differs, the server sends the whole archive
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    with opener.open(urllib.request.Request(archive.url, headers=headers), timeout=_SECONDS) as response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # the server does not resume
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                raise http.client.HTTPException("the server sent other bytes than were asked for")
            version.unlink(missing_ok=True)
            if (etag := response.headers.get("ETag", "")).startswith('"'):  # a weak ETag does not identify the bytes
                write_atomic(version, etag)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        max_bytes = archive.size or MOST_BYTES
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, desc=f"{part.parent.name}: {part.stem}", unit="B", unit_scale=True) as bar,
        ):
            # one byte more than expected is enough for refusing the archive
            while start <= max_bytes and (chunk := response.read1(min(_CHUNK, max_bytes + 1 - start))):
                start += file.write(chunk)
                bar.update(len(chunk))
    if total is not None and start < min(total, max_bytes):
        raise http.client.HTTPException(f"{start} of {total} bytes")
    return total


def _fault(archive: ZipArchive, part: Path, total: int | None) -> str:
    """Return the reason why the received archive cannot be used; empty if it can."""
    size, expected_size = part.stat().st_size, archive.size or total
    if size > MOST_BYTES or (expected_size is not None and size != expected_size):
        return f"has {size} bytes where {expected_size or f'at most {MOST_BYTES}'} are expected"
    if archive.sha256:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != archive.sha256:
            return f"has SHA-256 {digest} where {archive.sha256} is expected"
    try:
        with zipfile.ZipFile(part) as zip_file:
            members = [info for info in zip_file.infolist() if not info.is_dir()]
            for info in members:
                parts = re.split(r"[/\\]", info.filename)
                is_link = stat.S_ISLNK(info.external_attr >> 16)
                if is_link or ":" in info.filename or any(part in ("", ".", "..") for part in parts):
                    return f"has a member {info.filename!r}, which leads out of the archive or is a link"
            if len({info.filename for info in members}) < len(members):
                return "has two members of the same name"
            if sum(info.file_size for info in members) > MOST_BYTES:
                return f"unpacks to more than {MOST_BYTES} bytes"
            damaged_member = None if archive.sha256 else zip_file.testzip()
    except Exception as error:  # damaged bytes can raise almost any exception
        return f"is no whole zip archive ({brief(error)})"
    return f"is damaged at {damaged_member}" if damaged_member else ""


def _unpack(path: Path, folder: Path) -> int:
    """Unpack an archive that :func:`_fault` found safe; return its number of files."""
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        for info in members:
            target = folder / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file)
    return len(members)
