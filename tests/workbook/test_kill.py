"""``run_all.sh`` killed again and again, by TERM and by KILL, at random moments.

Nothing is left behind, nothing is half written, and in the end the tables are those of a run that nobody disturbed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from softmask.config import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")

HEAD = """
from softmask.config import Config
from softmask.report import tables
from softmask.report.result import WORKBOOK, Cell, ResultTable
config = Config.from_parameters(profile, data, seeds)
def write(name, values):
    cells = [Cell(row, "lidc", "dice", value, 0.1, 10, 1, "embedded", extra=True) for row, value in values.items()]
    tables.write(ResultTable(WORKBOOK, name, name, "", cells, {"dice": "fraction"}), config, {})
"""
PATIENCE = 900
"""Seconds that a start may take on a busy machine; a quiet one takes a thirtieth."""
DATA = """
import time
from softmask.config import Config
from softmask.files import write_atomic
for step in range(10):
    time.sleep(0.05)
    write_atomic(Config.from_parameters(profile, data, seeds).results / "tables" / "data.csv", f"step\\n{step}\\n")
"""
REPORT = """
from softmask.config import Config
results = Config.from_parameters(profile, data, seeds).results
print(*(path.read_text() for path in sorted(results.rglob("*.csv"))))
"""
TRAIN = """
import numpy as np
from softmask.experiments import fit
from softmask.experiments import prepare as module
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import RunSpec
from softmask.train.loop import Settings

def part(name, n, seed):
    images = np.random.default_rng(seed).random((n, 1, 32, 32), np.float32)
    masks = (images > 0.5).astype(np.float32)
    ids = tuple(f"{name}{i}" for i in range(n))
    return Part(ids, ids, images, masks, dict.fromkeys(module.SOFT_LABELS, masks), {"alpha": masks})

def prepare(spec, config):
    return Prepared("lidc", "embedded", "noise", "da" * 32, part("a", 24, 0), part("b", 4, 1), part("c", 8, 2))

module.prepare, module.digest_of = prepare, lambda spec, config: "da" * 32
settings = Settings(epochs=24, batch_size=4, learning_rate=1e-2)
specs = [
    RunSpec("lidc", "embedded", "smoke", "improved_backbone", 2, "soft_mask", (("dice", 1.0),), seed, 32, 24, settings)
    for seed in (1, 2)
]
runs = fit(specs, config, jobs=2)
write("trained", {f"seed {run.spec.seed}": float(np.mean(run.record.measures["soft_dice"])) for run in runs})
"""


class Workbook:
    """Notebooks that take seconds, run by a copy of ``run_all.sh`` into folders of their own below ``folder``."""

    def __init__(self, checkout: Path, folder: Path):
        self.script, self.folder, self.output = checkout / "run_all.sh", folder, folder / "output"
        self.results = self.output / "results" / "smoke-embedded"
        self.process: subprocess.Popen | None = None
        (folder / "tmp").mkdir(parents=True)

    def start(self) -> subprocess.Popen:
        variables = {"OUTPUT": self.output, "RUNS": self.folder / "runs", "CACHE": self.folder / "cache", "DATA": ""}
        environment = os.environ | {f"SOFTMASK_{name}": str(value) for name, value in variables.items()}
        self.process = subprocess.Popen(
            ["bash", str(self.script), "--profile", "smoke", "--data", "embedded"],
            env=environment | {"TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.process

    def stop(self):
        """End what a failed test has left running."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)

    def finish(self):
        process = self.start()
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said

    def tables(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.results.rglob("*.csv"))}

    def wait(self, epochs: int):
        """Until that many epochs are behind the runs that are being trained, or the process has ended."""
        while self.process.poll() is None:
            if sum(int(path.read_text()) for path in (self.folder / "runs").glob("*/progress")) >= epochs:
                return
            time.sleep(0.02)

    def left(self):
        """The processes that still run with this output folder, a moment later: they look twice a second whether who
        started them is still there, and may be starting themselves on a busy machine."""
        for _ in range(300):
            result = [process for process in Path("/proc").glob("[0-9]*") if self._is_mine(process)]
            if not result:
                return []
            time.sleep(0.1)
        return [(process / name).read_text().replace("\0", " ") for process in result for name in ("stat", "cmdline")]

    def _is_mine(self, process: Path):
        try:
            ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            return not ended and f"SOFTMASK_OUTPUT={self.output}\0".encode() in (process / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            return False

    def check(self):
        """Nothing is half written: what is there can be read."""
        files = [path for path in self.output.rglob("*") if path.is_file()]
        for path in files:
            if path.suffix in (".json", ".ipynb") and not path.name.startswith("."):
                json.loads(path.read_text())
            if path.suffix == ".csv":
                assert path.read_text().endswith("\n")
        for path in (self.folder / "runs").glob("*/record.json"):
            json.loads(path.read_text())


@pytest.fixture
def workbook(tmp_path: Path, checkout: Path) -> Iterator[Callable[[str], Workbook]]:
    """``workbook(name)``: a fresh place for results."""
    made: list[Workbook] = []

    def make(name: str) -> Workbook:
        made.append(Workbook(checkout, tmp_path / name))
        return made[-1]

    yield make
    for item in made:
        item.stop()


@pytest.fixture
def checkout(tmp_path: Path, write: Callable[..., Path], folder: Path, program: str):
    """A copy of the scripts whose environment stands: this interpreter, this package, and three small notebooks."""
    write("01_data", [DATA])
    write("04_train", [HEAD, TRAIN], needs=["01_data"])
    write("11_report", [REPORT], after="*")
    place = tmp_path / "checkout"
    (place / "tools").mkdir(parents=True)
    for name in ("run_all.sh", "tools/setup.sh", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, place / name)
    python = place / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\n[ "$2" = softmask.workbook.cli ] && shift 2\n'
        f'PYTHONPATH="{ROOT / "lib"}" exec "{sys.executable}" -c "{program}" "{folder}" "$@"\n'
    )
    python.chmod(0o755)
    stamp = f'ROOT="{place}"; . "$ROOT/tools/setup.sh"; setup_stamp >"$ROOT/.venv/.softmask-made-from"'
    subprocess.run(["bash", "-c", stamp], check=True)
    return place


def test_killed_at_random_moments_it_ends_with_the_same_tables(workbook):
    calm = workbook("calm")
    calm.finish()
    assert sorted(calm.tables()) == ["data.csv", "trained.csv"]

    torn, moments = workbook("torn"), random.Random(8)
    epochs = sorted(moments.sample(range(2, 40), 2))  # of 48
    kills = ((signal.SIGTERM, 0), (signal.SIGKILL, epochs[0]), (signal.SIGTERM, epochs[1]), (signal.SIGKILL, 0))
    for number, least in kills:
        process = torn.start()
        torn.wait(least)
        time.sleep(moments.uniform(0, 0.05 if least else 3))  # no run is done in three seconds
        process.send_signal(number)
        said, _ = process.communicate(timeout=PATIENCE)
        if number == signal.SIGTERM and process.returncode != -number:  # before anything has begun
            assert process.returncode == 128 + number, said
            assert "stopped by SIGTERM; the next start goes on from here" in said
        else:
            assert process.returncode == -number, said
        assert "Traceback" not in said
        assert torn.left() == []
        torn.check()
    torn.finish()
    assert torn.tables() == calm.tables()
    assert not [path for path in (*torn.output.rglob("*"), *torn.folder.glob("runs/*/*")) if path.name[0] == "."]
    state = json.loads((torn.results / "state.json").read_text())
    assert {entry["name"]: entry["status"] for entry in state["notebooks"]} == dict.fromkeys(
        ("01_data", "04_train", "11_report"), "ok"
    )
