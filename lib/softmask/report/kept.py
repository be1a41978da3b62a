"""Where the tables of a run lie: in a folder of results, or in a commit of the checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from softmask.config import ROOT, output_root
from softmask.errors import ConfigError, DataError
from softmask.machine import git_state

FOLDERS = ("tables", "claims")
SUFFIXES = (".csv", ".json")


class Files(NamedTuple):
    """Content of a run's tables and verdicts, by path below the run's folder; ``name`` says where they are from."""

    name: str
    content: Mapping[str, bytes]


def here(run: str) -> Files:
    """The tables of a run by its name, or in a folder of results.

    Raises:
        ConfigError: there is no such run; it lists those there are.
    """
    results = output_root() / "results"
    for folder in (results / run, Path(run)):
        if any((folder / name).is_dir() for name in FOLDERS):
            return _in_folder(folder, run)
    raise ConfigError(f"{run!r} is no run in {results} and no folder with tables; {_known(results)}")


def against(other: str, run: str) -> Files:
    """What ``run`` is compared with: another run's name, a folder of results, or a commit that holds ``run``.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        return here(other)
    except ConfigError as error:
        if (commit := _commit(other)) is None:
            raise ConfigError(f"{error}; nor is it a commit") from None
        return committed(run, commit)


def committed(run: str, commit: str = "HEAD") -> Files:
    """The tables of ``run`` as a commit of the checkout has them.

    Raises:
        ConfigError: there is no history (a downloaded archive), or the commit holds no tables of that run.
    """
    if git_state(ROOT)[0] is None:
        raise ConfigError(
            f"{ROOT} has no git history to compare with (it may be a downloaded archive); unpack a second copy and "
            f"name its folder: softmask verify {run} --against COPY/results/{run}"
        )
    places = [f"results/{run}/{name}" for name in FOLDERS]
    listed = _git("ls-tree", "-r", "-z", "--name-only", commit, "--", *places).decode().split("\0")
    paths = [path for path in listed if path.endswith(SUFFIXES)]
    if not paths:
        raise ConfigError(f"commit {commit} holds no tables of {run}; {_known_in(commit)}")
    names = "".join(f"{commit}:{path}\n" for path in paths)
    packed = _git("cat-file", "--batch", given=names.encode())
    content, start = {}, 0
    for path in paths:  # each is "<object> blob <size>\n<content>\n"
        end = packed.index(b"\n", start)
        size = int(packed[start:end].split()[-1])
        content[path.removeprefix(f"results/{run}/")] = packed[end + 1 : end + 1 + size]
        start = end + size + 2
    short = _git("rev-parse", "--short", commit).decode().strip()
    return Files(f"{run} of commit {short}", content)


def has_committed(run: str) -> bool:
    """Whether the checkout's commit holds tables of ``run``."""
    return git_state(ROOT)[0] is not None and bool(_git("ls-tree", "HEAD", "--", f"results/{run}/tables"))


def _in_folder(folder: Path, name: str) -> Files:
    content = {}
    for place in FOLDERS:
        for path in sorted((folder / place).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                try:
                    content[path.relative_to(folder).as_posix()] = path.read_bytes()
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    return Files(name, content)


def _known(results: Path) -> str:
    runs = sorted(path.parent.name for path in results.glob("*/tables"))
    return f"there are {', '.join(runs)}" if runs else "nothing has run yet: ./run_all.sh"


def _known_in(commit: str) -> str:
    folders = _git("ls-tree", "--name-only", commit, "--", "results/").decode().split()
    return f"it holds {', '.join(Path(folder).name for folder in folders)}" if folders else "it holds no results"


def _commit(text: str) -> str | None:
    """The full name of the commit that ``text`` means; None where it means none."""
    if git_state(ROOT)[0] is None:
        return None
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}").decode().strip()
    except ConfigError:
        return None


def _git(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], input=given, capture_output=True, check=False)
    if done.returncode:
        raise ConfigError(f"git {arguments[0]} failed in {ROOT}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
