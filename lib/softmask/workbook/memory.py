"""How much memory a notebook takes: its kernel and all processes that this starts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

EVERY = 1.0
"""Seconds between two looks."""


def memory_of(group: int, proc: Path = Path("/proc")) -> int:
    """Bytes that the processes of a group hold, what they share counted once; 0 where the system does not tell.

    The sum of their proportional set sizes; of their resident sizes where those may not be read.
    """
    held = 0
    for stat in proc.glob("[0-9]*/stat"):
        try:
            of = stat.read_text(errors="replace").rpartition(")")[2].split()  # the name before it may hold anything
            if int(of[2]) == group:
                held += _held(stat.parent)
        except (OSError, IndexError, ValueError):
            continue  # it has ended meanwhile
    return held


def _held(process: Path) -> int:
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (process / name).read_text(errors="replace").splitlines()
        except OSError:
            continue
        sizes = [int(line.split()[1]) for line in lines if line.startswith(field)]
        if sizes:
            return 1024 * sizes[0]
    return 0


class Peak:
    """The most that the process ``groups`` hold while the context lasts, in :attr:`bytes`; groups may be added."""

    def __init__(self, groups: Sequence[int]) -> None:
        self.groups, self.bytes = groups, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            self.bytes = max(self.bytes, sum(map(memory_of, self.groups)))
