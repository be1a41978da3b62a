"""Where a number comes from: code, data, settings, machine, time and memory. Nothing that names a person or host."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softmask.config import BASE_SEED, ROOT, Config, cache_root, output_root
from softmask.data.sample import Dataset, Problem, data_kind
from softmask.errors import ConfigError
from softmask.machine import cores, cpu_model, git_state, package_version, peak_memory_mb

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
        "recorded": config.recorded,
        "seeds": list(seeds),
        "git_commit": commit,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "platform": " ".join(part for part in (platform.system(), platform.machine(), *platform.libc_ver()) if part),
        "cpu": cpu_model(),
        "cpu_count": cores(),
        "datasets": [
            {
                "name": data.name,
                "source": data_kind(data.name, data.source, data.origin),
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


def _listed(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"where": problem.where, "why": problem.why} for problem in problems]


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
