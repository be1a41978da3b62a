"""The long training under kill -9: between epochs, and while a record is written in the store or beside the tables."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from softmask.experiments import plan
from softmask.experiments.store import Record

SCRIPT = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from conftest import DATA, blobs, tiny_spec

from softmask import files
from softmask.config import Config
from softmask.experiments import fit, prepare
from softmask.experiments.prepare import Prepared
from softmask.train import checkpoints
from softmask.train.loop import Settings

log, moment = Path(sys.argv[2]), sys.argv[3]
parts = {"train": blobs("a", 8, 0), "validation": blobs("b", 4, 1), "test": blobs("c", 10, 2)}
prepare.prepare = lambda spec, config: Prepared(spec.dataset, spec.source, "blobs", DATA, **parts)
prepare.digest_of = lambda spec, config: DATA
save, replace_file = checkpoints.save, os.replace

def counted(path, state, fingerprint):
    with log.open("a") as file:
        file.write(f"{fingerprint['seed']} {state.epochs - 1}\\n")
    save(path, state, fingerprint)

def replaced(source, target):
    written = Path(target)
    if (moment == "store" and written.name == "record.json") or (
        moment == "beside" and written.parent.name == "records"
    ) or (moment in ("epoch", "half") and written.name == "checkpoint.pt" and len(log.read_text().split()) == 8):
        if moment == "epoch":
            replace_file(source, target)
        os.kill(os.getpid(), signal.SIGKILL)
    replace_file(source, target)

checkpoints.save = counted
os.replace = replaced
config = Config.from_parameters("smoke", "embedded")
config = replace(config, profile=replace(config.profile, long=True))
settings = Settings(epochs=3, batch_size=4, learning_rate=1e-2)
fit([tiny_spec(seed=seed, settings=settings) for seed in (1, 2)], config, jobs=1)
"""


@pytest.mark.parametrize("moment", ["epoch", "half", "store", "beside"])
def test_after_a_kill_training_continues_and_nothing_is_trained_twice(config, tmp_path, moment):
    def start(moment: str) -> int:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, Path(__file__).parent, log, moment], check=False, env=os.environ
        ).returncode

    log = tmp_path / "epochs.txt"
    assert start(moment) == -signal.SIGKILL
    records = plan.records_folder(config)
    for path in records.glob("*.json"):
        Record.read(path)  # none is damaged
    assert start("never") == 0
    epochs = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    assert sorted(set(epochs)) == [(seed, epoch) for seed in (1, 2) for epoch in (0, 1, 2)]
    assert len(epochs) == 6 + (moment == "half"), "only an epoch whose checkpoint was not written is trained again"
    result = sorted(records.glob("*.json"))
    assert [Record.read(path).spec.seed for path in result] == [1, 2]
    assert all(len(json.loads(path.read_text())["curves"]["validation_dice"]) == 3 for path in result)
