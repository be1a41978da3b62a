"""Finished runs on disk: a folder for each, found by its key.

::

    <SOFTMASK_RUNS, default ./runs>/<first digits of the key>/
        spec.json            what is or was being trained here
        checkpoint.pt        while it is; again/checkpoint.pt of a second attempt
        weights.safetensors  float32
        record.json          written last: a run is finished when it is there

Nothing read from here is executed. What is damaged counts as not there; training sets it aside under another name.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load, save
from torch import nn

from softmask.config import ROOT
from softmask.errors import ConfigError, DataError
from softmask.experiments.record import Record, WeightsFile
from softmask.experiments.spec import RunSpec
from softmask.files import remove_parts, sha256_of, whole_path, write_atomic
from softmask.nets.registry import build

SPEC, CHECKPOINT, WEIGHTS, RECORD = "spec.json", "checkpoint.pt", "weights.safetensors", "record.json"
AGAIN = "again"
"""Folder of the checkpoint of a training that was begun once more (:mod:`softmask.experiments.kinds`)."""
_LOCK, _PROGRESS = "lock", "progress"


def root() -> Path:
    """Where finished runs are kept: ``SOFTMASK_RUNS``, else ``runs`` in the checkout."""
    return whole_path(os.environ.get("SOFTMASK_RUNS") or ROOT / "runs", "SOFTMASK_RUNS")


def folder_of(key: str) -> Path:
    """The folder of the run with that key."""
    return root() / key[:24]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other process trains the run of ``folder`` meanwhile; waits until none does. A process that ends lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(folder: Path) -> bool:
    """Whether some process is training the run of ``folder``."""
    try:
        with (folder / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def begin(folder: Path, spec: RunSpec) -> None:
    """Say in ``folder`` what is trained there. What is left of a damaged run is renamed ``*.damaged``; what a kill left
    half written is removed."""
    remove_parts(folder)
    for name in (RECORD, WEIGHTS):
        if (folder / name).exists():
            (folder / name).replace(folder / f"{name}.damaged")
    write_atomic(folder / SPEC, json.dumps(spec.to_json(), indent=1) + "\n")


def save_weights(folder: Path, network: nn.Module) -> WeightsFile:
    """Write the network's weights and buffers, in float32 where they are numbers with fractions."""
    tensors = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    content = save(tensors)
    write_atomic(folder / WEIGHTS, content)
    return WeightsFile(len(content), sha256_of(content))


def finish(folder: Path, record: Record) -> None:
    """Write the record of a run whose weights are there; with it, the run is finished."""
    write_atomic(folder / RECORD, record.to_json())
    for name in (CHECKPOINT, _PROGRESS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / AGAIN, ignore_errors=True)


def read(folder: Path, spec: RunSpec, key: str) -> Record | None:
    """The record of the finished run in ``folder``; None where there is none.

    Raises:
        DataError: where it is damaged or of another run; says which file and why.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    record = Record.read(path)
    if record.spec != spec or record.key != key:
        raise DataError(f"{path}: is the record of another run, {record.spec.name}")
    written = record.provenance.weights
    if written is not None:
        weights = folder / WEIGHTS
        size = weights.stat().st_size if weights.exists() else 0
        if size != written.bytes:
            raise DataError(f"{weights}: has {size} bytes of {written.bytes}: cut short, or of another run")
    return record


def network_of(folder: Path, record: Record) -> nn.Module:
    """The trained network of a finished run, on the CPU, in evaluation mode.

    Raises:
        ConfigError: for a run without weights of its own.
        DataError: where the weights cannot be read or are not those written with the record.
    """
    if record.provenance.weights is None:
        raise ConfigError(f"{record.spec.name} has no network of its own: {record.spec.network} is not trained")
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if sha256_of(content) != record.provenance.weights.sha256:
        raise DataError(f"{path}: is damaged; delete {folder} and the run is trained again")
    spec = record.spec
    network = build(spec.network, spec.width, spec.inputs, spec.reduction)
    network.load_state_dict(load(content))
    return network.eval()


def write_progress(folder: Path, done: int) -> None:
    """Note that ``done`` epochs are behind the run that is trained in ``folder``."""
    write_atomic(folder / _PROGRESS, str(done))


def progress(folder: Path) -> int:
    """How many epochs are behind the run that is trained in ``folder``."""
    try:
        return int((folder / _PROGRESS).read_text())
    except (OSError, ValueError):  # not begun
        return 0
