"""Hardware, versions and memory of this machine, without any name of a person or host."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def clock(seconds: float) -> str:
    """Return the duration as text, such as ``0:07``, ``12:03`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def cpu_model() -> str:
    """Return the name of the processor, if the system provides it."""
    info = Path("/proc/cpuinfo")  # Linux only
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def keep_freed_memory() -> None:
    """Make this process keep the memory that it frees (glibc), because training steps reuse blocks of the same size."""
    if mallopt := _glibc("mallopt"):
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # constants of malloc.h
        mallopt(mmap_threshold, 32 << 20)  # the maximum allowed
        mallopt(trim_threshold, 256 << 20)
        mallopt(top_pad, 16 << 20)


def release_freed_memory() -> None:
    """Release freed memory that glibc still holds to the system."""
    if trim := _glibc("malloc_trim"):
        trim(0)


def _glibc(function: str) -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None


def end_with(parent: int) -> None:
    """Make this process end within a second after ``parent``, which started it and may be killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process or of one of its finished children, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak * unit / 1e6, 1)


def package_version(package: str) -> str | None:
    """Return the installed version; None if the package is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return (commit, whether the files differ from it) of the checkout at ``folder``; (None, None) outside git.
    Results, figures and the tables that a long training extends (``rates.csv``, ``longer.csv``) do not count."""

    def git(*arguments: str) -> str | None:
        try:
            result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        except OSError:  # no git on this machine
            return None
        return result.stdout.strip() if result.returncode == 0 else None

    rev_parse = (git("rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    if len(rev_parse) != 2 or Path(rev_parse[0]).resolve() != folder.resolve():
        return None, None
    excluded_paths = ("results", "figures", "lib/softmask/experiments/*.csv")
    status = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in excluded_paths))
    return rev_parse[1], None if status is None else bool(status)
