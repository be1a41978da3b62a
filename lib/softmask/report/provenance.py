"""Where a number comes from: code, data, settings, machine, time and memory. Nothing that names a person or host."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from softmask.config import BASE_SEED, ROOT, Config, cache_root, output_root
from softmask.data.sample import Dataset, Problem
from softmask.errors import ConfigError

PACKAGES = (
    "softmask",
    "numpy",
    "scipy",
    "pandas",
    "scikit-image",
    "scikit-learn",
    "opencv-python-headless",
    "pymatting",
    "SimpleITK",
    "pydicom",
    "pylidc",
    "matplotlib",
    "torch",
)
_GENERATED = ("results", "figures")


def collect(
    config: Config, datasets: Iterable[Dataset], started: float, seeds: Sequence[int] = (BASE_SEED,)
) -> dict[str, Any]:
    """What stands behind a table made from ``datasets``, as plain values for JSON.

    Of each data set ``problems`` has what is damaged in the copy at hand, ``left_out`` what the published set itself
    gets wrong.

    Args:
        started: ``time.perf_counter()`` when the work began.
        seeds: those that were used.

    Paths are written relative to the data root, the checkout or the home folder, by name.

    Raises:
        ConfigError: where ``started`` lies in the future (a wall-clock time, say).
    """
    seconds = time.perf_counter() - started
    if seconds < 0:
        raise ConfigError("started must be the value of time.perf_counter() when the work began")
    commit, dirty = git_state(ROOT)
    content = {
        "run": config.run,
        "profile": config.profile.name,
        "seeds": list(seeds),
        "git_commit": commit,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": " ".join(part for part in (platform.system(), platform.machine(), *platform.libc_ver()) if part),
        "cpu": cpu_model(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "datasets": [
            {
                "name": data.name,
                "source": data.source,
                "origin": data.origin,
                "fingerprint": data.fingerprint,
                "n": len(data),
                "problems": _listed(data.problems),
                "n_left_out": len(data.left_out),
                "left_out": _listed(data.left_out),
            }
            for data in datasets
        ],
        "seconds": round(seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
    }
    return _without_paths(content, config)


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """(commit, whether the code differs from it) of the checkout at ``folder``; (None, None) outside git.

    What the workbook itself writes (results, figures) does not make it dirty.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        except OSError:  # no git on this machine
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    top = git("rev-parse", "--show-toplevel")
    commit = git("rev-parse", "HEAD")
    if top is None or commit is None or Path(top).resolve() != folder.resolve():
        return None, None
    status = git("status", "--porcelain", "--", ".", *(f":(exclude){name}" for name in _GENERATED))
    return commit, None if status is None else bool(status)


def cpu_model() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def peak_memory_mb() -> float:
    """Largest resident memory of this process or of one of its finished children, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak * unit / 1e6, 1)


def _listed(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"where": problem.where, "why": problem.why} for problem in problems]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _without_paths(value: Any, config: Config) -> Any:
    """``value`` with this machine's folders replaced by what they are."""
    if isinstance(value, Mapping):
        return {key: _without_paths(item, config) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item, config) for item in value]
    if isinstance(value, str):
        folders = {config.data_root: "data", cache_root(): "cache", output_root(): "output", ROOT: "checkout"}
        for folder, name in sorted({**folders, Path.home(): "home"}.items(), key=lambda item: -len(str(item[0]))):
            if str(folder) != folder.anchor:
                value = value.replace(str(folder), f"<{name}>")
    return value
