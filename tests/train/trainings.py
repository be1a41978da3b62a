"""A training in processes of its own, killed again and again.

Called as ``trainings.py FOLDER``; leaves ``<name>.npz`` (weights) and ``<name>.json`` (curves) in the folder, of it and
of one left alone. Processes are forked from this one, so that torch is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from conftest import discs

from softmask.nets import build
from softmask.train import Settings, seeded, train

KILLS = 5
SOFTGAN = (("dice", 0.5), ("soft_l1", 2.0), ("gan", 1.0))


def run(folder: Path, name: str, network: Callable[[], torch.nn.Module], settings: Settings, losses, data) -> None:
    """Train in ``folder/<name>``, and leave what came of it beside."""
    torch.set_num_threads(1)
    with seeded(7):
        network = network()
    outcome = train(network, losses, "soft_mask", data, settings, 7, folder / name, name="run")
    np.savez(folder / f"{name}.npz", **{key: value.numpy() for key, value in network.state_dict().items()})
    (folder / f"{name}.json").write_text(json.dumps(outcome.curves))


def fork(work: Callable[[], None]) -> int:
    """The id of a process that does ``work``."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return process


def finish(process: int) -> None:
    """Wait for a process, which must succeed."""
    assert os.waitpid(process, 0)[1] == 0


def killed(folder: Path) -> None:
    """One training left alone, and one killed at random moments of later and later epochs."""
    settings = Settings(epochs=2 * KILLS + 2, batch_size=4, learning_rate=5e-3, discriminator_width=4)

    def work(name: str) -> None:
        run(folder, name, lambda: build("improved_backbone", 2), settings, SOFTGAN, discs())

    started = time.perf_counter()
    finish(fork(lambda: work("alone")))
    epoch_seconds = (time.perf_counter() - started) / settings.epochs
    chance = random.Random(2020)
    checkpoint = folder / "killed" / "checkpoint.pt"
    for _ in range(KILLS):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        process = fork(lambda: work("killed"))
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:  # one epoch further each time
            time.sleep(0.001)
        time.sleep(chance.random() * epoch_seconds)
        os.kill(process, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL, "the training ended before it was killed"
    finish(fork(lambda: work("killed")))


if __name__ == "__main__":
    killed(Path(sys.argv[1]))
