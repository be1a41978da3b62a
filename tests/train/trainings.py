"""Trainings in processes of their own: killed again and again, or two together.

Called as ``trainings.py killed|together FOLDER``; leaves ``<name>.npz`` (weights) and ``<name>.json`` (curves) in the
folder for each training. Processes are forked from this one, so that torch is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch._dynamo
from conftest import Tiny, discs

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
    name += f"-{os.environ['RANK']}" if "RANK" in os.environ else ""
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


def together(folder: Path) -> None:
    """One process alone, then two that share each batch."""
    settings = Settings(epochs=3, batch_size=6, learning_rate=5e-3, discriminator_width=4)

    def work(name: str, **environment: str) -> None:
        os.environ.update(environment)
        run(folder, f"tiny-{name}", lambda: Tiny(dropout=0.0), settings, (("soft_l1", 1.0),), discs())
        run(folder, f"softgan-{name}", lambda: build("improved_backbone", 2), settings, SOFTGAN, discs())

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [fork(lambda rank=rank: work("two", RANK=str(rank), **common)) for rank in (0, 1)]
    processes.append(fork(lambda: work("one")))
    for process in processes:
        finish(process)


if __name__ == "__main__":
    {"killed": killed, "together": together}[sys.argv[1]](Path(sys.argv[2]))
