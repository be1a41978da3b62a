"""Runs in processes of their own: each trained once, killed ones told or taken over, none left after an interrupt."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed
import pytest
from joblib import delayed

from softmask.errors import ConfigError, TrainingError
from softmask.experiments import fit, plan, prepare, store
from softmask.experiments import run as running
from softmask.experiments.store import Record


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_two_processes_that_want_one_run_train_it_once(tiny, config, data_from, tmp_path):
    log, parent = tmp_path / "log", os.getpid()

    def slow(spec):
        if os.getpid() == parent:  # planning
            return
        with log.open("a") as file:
            file.write("trained\n")
        time.sleep(1.5)  # the other process comes meanwhile

    data_from(slow)
    [run] = plan.plan([tiny()], config)
    both = [delayed(running.perform)(run, config, prepare.prepare)] * 2
    assert list(running.processes(2)(both)) == [(run.spec.name, None)] * 2
    assert lines(log) == ["trained"]
    assert store.read(run.folder, run.spec, run.key)


def test_a_killed_process_is_told_and_all_other_runs_go_on(tiny, config, data_from):
    parent = os.getpid()

    def deadly(spec):
        if spec.seed == 1 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    data_from(deadly)
    specs = [tiny(seed=seed) for seed in (1, 2)]
    with pytest.raises(TrainingError, match=r"(?s)1 of 2 runs failed.*-1: its process was killed"):
        fit(specs, config, jobs=2)
    finished = {Record.read(path).spec.seed for path in store.root().glob("*/record.json")}
    assert finished == {2}


def test_a_cluster_finishes_though_a_worker_is_lost(tiny, config, data_from, tmp_path):
    log, parent = tmp_path / "log", os.getpid()

    def deadly_once(spec):
        if os.getpid() != parent and not log.exists():
            log.write_text("killed")
            os.kill(os.getpid(), signal.SIGKILL)

    data_from(deadly_once)
    specs = [tiny(seed=seed) for seed in (1, 2)]
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "local_directory": str(tmp_path)}
    with distributed.LocalCluster(**options) as cluster:
        runs = fit(specs, config, dask=cluster.scheduler_address)
    assert lines(log) == ["killed"]
    assert [run.spec for run in runs] == specs
    assert all(run.network() for run in runs)


def test_a_cluster_that_is_not_there_or_has_threads_is_refused(tiny, config, data_from, monkeypatch):
    data_from()
    monkeypatch.setattr(running, "ANSWER_WITHIN", 1)
    with pytest.raises(ConfigError, match=r"no dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        fit([tiny()], config, dask="tcp://127.0.0.1:9")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, pytest.raises(ConfigError, match="--nthreads 1"):
        fit([tiny()], config, dask=cluster.scheduler_address)


INTERRUPTED = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that a shell put in the background ignore it
sys.path.insert(0, {tests!r})
from pathlib import Path
import conftest
from softmask.config import Config
from softmask.experiments import fit
from softmask.experiments import prepare as module
from softmask.train.loop import Settings

data = conftest.DATA
parts = {{part: conftest.blobs(part, 8, 0) for part in module.PARTS}}

def prepare(spec, config):
    Path({pids!r}, str(os.getpid())).touch()
    return module.Prepared(spec.dataset, spec.source, "blobs", data, **parts)

def main():
    module.prepare, module.digest_of = prepare, lambda spec, config: data
    specs = [conftest.tiny_spec(seed=seed, settings=Settings(10**6, 4, 1e-2)) for seed in (1, 2)]
    try:
        fit(specs, Config.from_parameters("smoke", "embedded"), jobs=2)
    except KeyboardInterrupt:
        sys.exit(130)

if __name__ == "__main__":
    main()
"""


def test_an_interrupt_ends_all_processes_and_keeps_checkpoints(config, tmp_path):
    pids, script = tmp_path / "pids", tmp_path / "script.py"
    pids.mkdir()
    script.write_text(INTERRUPTED.format(tests=str(Path(__file__).parent), pids=str(pids)))
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while len(list(store.root().glob("*/checkpoint.pt"))) < 2:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:  # it would train on for hours
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    numbers = [int(path.name) for path in pids.iterdir()]
    assert len(numbers) == 3
    for _ in range(100):
        if not any(Path(f"/proc/{number}").exists() for number in numbers):
            break
        time.sleep(0.1)
    assert not [number for number in numbers if Path(f"/proc/{number}").exists()]
    assert len(list(store.root().glob("*/checkpoint.pt"))) == 2
