"""Cache for arrays that take seconds to compute, with a key that covers the data and the code."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from softmask.config import cache_root
from softmask.errors import ConfigError
from softmask.files import sha256_of, write_atomic

_KEY = "cache-key"


def cached_arrays(name: str, key: str, build: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of numbers or text by name that ``build`` returns, from the cache folder if they were computed
    before with the same ``key`` (hex digest of everything they depend on).

    A file that is damaged or contains another key is computed again and replaced. No code in it is executed.
    """
    path = cache_root() / f"{name}-{key[:24]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {member: stored[member] for member in stored.files}
        if str(arrays.pop(_KEY)) == key:
            return arrays
    except Exception:  # a damaged or missing file raises nearly any error
        pass
    arrays = {member: np.asarray(array) for member, array in build().items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{_KEY: np.array(key)})
    write_atomic(path, buffer.getbuffer())
    return arrays


def digest_of_code(*folders: Path) -> str:
    """Return the hex digest over names and content of all ``*.py`` files below ``folders``. Raises ConfigError for a
    folder without such files."""
    parts: list[str | Path] = []
    for folder in folders:
        files = sorted(folder.rglob("*.py"))
        if not files:
            raise ConfigError(f"{folder}: there is no Python file in it; install softmask again")
        for file in files:
            parts += [file.relative_to(folder).as_posix(), file]
    return sha256_of(*parts)


@cache
def code_digest(*packages: str) -> str:
    """Return :func:`digest_of_code` of subpackages of softmask, computed once per process."""
    return digest_of_code(*(Path(__file__).parent / package for package in packages))
