"""Getting public data sets: one folder of a git repository at a pinned commit, or zip archives over https
(:mod:`softmask.data.download`), resumable and moved into place whole.

The commit's id is a digest of everything below it, so git itself verifies what arrives. Only the wanted folder's files
are asked for (a blobless, shallow fetch, then the missing blobs in batches): a batch that has arrived is kept, which is
what makes a killed fetch go on where it stopped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from softmask.data.download import fetch_archives
from softmask.data.sources import GitFolder, Source
from softmask.errors import DataError
from softmask.files import write_atomic

BATCH = 4000
"""Files asked for at a time: what a kill can cost."""

_SETTINGS = {
    "core.autocrlf": "false",
    "core.symlinks": "false",
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",  # a dead line is given up after a minute
    "http.lowSpeedTime": "60",
    "fetch.negotiationAlgorithm": "noop",
}


class _GitFailed(Exception):
    """git ended with an error; the text is what it said last."""


def fetch(source: Source, root: str | Path, loopback: bool = False) -> str:
    """Get ``source`` into its folder under the data root ``root``.

    Args:
        source: what is fetched.
        root: the data root.
        loopback: whether archives may come from http addresses of this machine, for tests.

    Returns:
        What happened, in one line for people: fetched, or there already and nothing done.

    Raises:
        DataError: without git, without a network, when the repository lacks the commit or the folder, when an archive
            is not the one that was expected, when the destination cannot be written, or when another fetch of it is
            running. The message says what to do; what has arrived by then is kept for the next call, unless it is not
            what was expected.
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
        with _alone(staging, source.name):
            if source.git is not None:
                count = _fetch_folder(source.git, staging, source.name)
            else:
                count = fetch_archives(source.archives, staging, source.name, loopback)
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
def _alone(staging: Path, name: str) -> Iterator[None]:
    """Hold the lock of the staging folder; the system lets it go if the process is killed."""
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{name}: another fetch of it is running (it holds {staging / 'lock'})") from error
        yield


def _fetch_folder(git: GitFolder, staging: Path, name: str) -> int:
    """Bring the folder's files to ``staging/tree``; returns how many there are."""
    repository = staging / "git"
    if not (repository / "HEAD").is_file():
        shutil.rmtree(repository, ignore_errors=True)  # from a kill within git init
        repository.mkdir()
        _git(repository, "init", "--quiet", "--bare")
    for stale in repository.glob("*.lock"):  # from a kill; no other fetch runs, see _alone
        stale.unlink()
    # files are written as committed, whatever attributes and filters the repository or the user has
    write_atomic(repository / "info" / "attributes", "* -text -eol -ident -filter -working-tree-encoding\n")
    _git(repository, "config", "remote.origin.url", git.url)

    print(f"{name}: asking {git.url} for commit {git.commit[:12]}", file=sys.stderr)
    _from_network(repository, name, git, [git.commit], "--depth=1", "--progress")
    arrived = _git(repository, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
    if arrived != git.commit:
        raise DataError(f"{name}: asked {git.url} for commit {git.commit} and got {arrived}; nothing of it is used")
    try:
        tree = _git(repository, "rev-parse", "--verify", f"{git.commit}:{git.folder}").strip()
    except _GitFailed as error:
        raise DataError(f"{name}: {git.url} has no folder {git.folder} in commit {git.commit}") from error

    blobs, count = _blobs(repository, name, tree)
    missing = sorted(_missing(repository, tree))
    with tqdm(total=len(blobs), initial=len(blobs) - len(missing), desc=name, unit=" files") as bar:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            _from_network(repository, name, git, batch, "--no-write-fetch-head", "--quiet")
            bar.update(len(batch))
    lacking = _missing(repository, tree)
    if lacking:
        raise DataError(f"{name}: {git.url} did not send {len(lacking)} of {len(blobs)} files; call again")

    print(f"{name}: writing {count} files", file=sys.stderr)
    if (staging / "tree").exists():  # from a kill while writing
        shutil.rmtree(staging / "tree")
    _git(repository, "read-tree", tree)
    _git(repository, f"--work-tree={staging}", "checkout-index", "--all", "--prefix=tree/")
    return count


def _blobs(repository: Path, name: str, tree: str) -> tuple[set[str], int]:
    """Ids of the folder's files, and how many files there are; anything but plain files is refused."""
    blobs, count = set(), 0
    for entry in _git(repository, "ls-tree", "-r", "-z", tree).split("\0")[:-1]:
        head, _, path = entry.partition("\t")
        mode, _, blob = head.split()
        if not mode.startswith("100"):
            raise DataError(f"{name}: {path} in the repository is no plain file (mode {mode}); refused")
        blobs.add(blob)
        count += 1
    return blobs, count


def _missing(repository: Path, tree: str) -> set[str]:
    """Ids of objects below ``tree`` that have not arrived yet (asking for them this way fetches nothing)."""
    listing = _git(repository, "rev-list", "--objects", "--missing=print", tree)
    return {line[1:] for line in listing.splitlines() if line.startswith("?")}


def _from_network(repository: Path, name: str, git: GitFolder, ids: list[str], *options: str) -> None:
    command = ("fetch", "--no-tags", "--no-auto-maintenance", *options, "--filter=blob:none", "--stdin", "origin")
    try:
        _git(repository, *command, send="\n".join(ids) + "\n", show="--progress" in options)
    except _GitFailed as error:
        raise DataError(
            f"{name}: {git.folder} at commit {git.commit} could not be fetched from {git.url}; git says: {error}. "
            f"Check the network and run `softmask data fetch {name}` again; it goes on where it stopped"
        ) from error


def _git(repository: Path, *arguments: str, send: str = "", show: bool = False) -> str:
    """Run git on ``repository`` and return what it prints; with ``show``, what it tells meanwhile is passed on.

    Raises:
        _GitFailed: when it ends with an error.
    """
    settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
    # no GIT_DIR and the like of a caller that is itself inside git; no password prompt, which would hang; English
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    with subprocess.Popen(
        ["git", f"--git-dir={repository}", *settings, *arguments],
        cwd=repository.parent,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            printed, told = _pass_on(process, send) if show else process.communicate(send.encode())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = [line.strip() for line in told.decode(errors="replace").splitlines() if line.strip()]
        raise _GitFailed("; ".join(lines[-2:]) or f"exit status {process.returncode}")
    return printed.decode(errors="surrogateescape")


def _pass_on(process: subprocess.Popen[bytes], send: str) -> tuple[bytes, bytes]:
    """As ``communicate``, copying git's progress to our own standard error; for few lines in and out."""
    process.stdin.write(send.encode())
    process.stdin.close()
    told = b""
    while piece := process.stderr.read1(4096):
        sys.stderr.write(piece.decode(errors="replace"))
        sys.stderr.flush()
        told += piece
    return process.stdout.read(), told
