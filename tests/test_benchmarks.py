"""The benchmarks run: each once, nothing timed, at small sizes."""

from __future__ import annotations

import subprocess
import sys

from softmask.config import ROOT


def test_every_benchmark_runs():
    files = sorted((ROOT / "benchmarks").glob("bench_*.py"))
    assert files
    options = ["-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "--benchmark-disable"]
    done = subprocess.run([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout
