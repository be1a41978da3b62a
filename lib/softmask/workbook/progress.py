"""The display: on a terminal one line that moves (notebook, cell, elapsed), elsewhere a line now and then."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TextIO

QUIET_SECONDS = 60.0
"""Where nobody watches live, a long notebook says how far it is this often."""


def clock(seconds: float) -> str:
    """``0:07``, ``12:03``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Where the run is. Use as a context around one notebook; :meth:`cell` is called as its cells start."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self.stream.write(f"\r\033[K{text}\n" if self.live else f"{text}\n")
            self.stream.flush()

    def start(self, number: int, name: str, cells: int, expected: float | None = None) -> None:
        """Notebook ``number`` of the total begins; ``expected`` seconds, where known."""
        self._head = f"[{number}/{self.total}] {name}"
        self._cells, self._cell, self._began = cells, 0, time.monotonic()
        self._about = f" of about {clock(expected)}" if expected else ""
        self._done.clear()
        if not self.live:
            self.say(f"{self._head}: {cells} cells{', about ' + clock(expected) if expected else ''}")
        self._thread = threading.Thread(target=self._tick, args=(1.0 if self.live else QUIET_SECONDS,), daemon=True)
        self._thread.start()

    def cell(self, number: int) -> None:
        """Code cell ``number`` (from 1) begins."""
        self._cell = number
        if self.live:
            self._show()

    def stop(self, text: str) -> None:
        """The notebook is over; ``text`` says how."""
        self._done.set()
        if self._thread:
            self._thread.join()
        self.say(f"{self._head}: {text}")

    def _show(self) -> None:
        elapsed = clock(time.monotonic() - self._began)
        line = f"{self._head}  cell {self._cell}/{self._cells}  {elapsed}{self._about}"
        if self.live:
            with self._lock:
                width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be overwritten
                self.stream.write(f"\r\033[K{line[:width]}")
                self.stream.flush()
        else:
            self.say(line)

    def _tick(self, every: float) -> None:
        while not self._done.wait(every):
            self._show()
