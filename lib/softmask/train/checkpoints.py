"""Checkpoints: one file after each epoch, complete or not there, and nothing in it is executed."""

from __future__ import annotations

import io
import logging
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from softmask.errors import TrainingError, brief
from softmask.files import write_atomic

FORMAT = 2

_log = logging.getLogger(__name__)
# What zipfile and torch raise for bytes that are not, or no longer, what was written.
_DAMAGED = (RuntimeError, ValueError, KeyError, EOFError, OSError, zlib.error, struct.error)
_DAMAGED += (zipfile.BadZipFile, pickle.UnpicklingError)


@dataclass
class Checkpoint:
    """A training after some epochs.

    Attributes:
        curves: one number for each epoch done, by name.
        seconds: spent so far.
        best, best_value: weights of the best epoch so far, and its value.
        states: state dicts of modules and optimisers by name.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_value: float = 0.0
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Number of epochs done."""
        return len(self.curves.get("train_loss", ()))


def save(path: Path, checkpoint: Checkpoint, fingerprint: Mapping[str, str]) -> None:
    """Write ``checkpoint`` to ``path``, replacing the earlier one only when it is complete on disk.

    Raises:
        TrainingError: where it cannot be written (a full disk); the earlier one is untouched.
    """
    content = io.BytesIO()
    torch.save({"format": FORMAT, "fingerprint": dict(fingerprint), **vars(checkpoint)}, content)
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise TrainingError(
            f"{path}: the checkpoint of epoch {checkpoint.epochs} could not be written ({error.strerror or error}); "
            "an earlier one is untouched. Make room and start again: training goes on from there"
        ) from error


def load(path: Path, fingerprint: Mapping[str, str]) -> Checkpoint:
    """What is at ``path``, or an empty checkpoint where there is none that fits.

    A damaged file is renamed ``checkpoint.damaged``, one of another training ``checkpoint.other``, with a warning.

    Args:
        fingerprint: what the training depends on, by name; a checkpoint with another one is not used.
    """
    if not path.exists():
        return Checkpoint()
    data = path.read_bytes()
    try:
        content = _parse(data)
    except _DAMAGED as error:
        _set_aside(path, "damaged", f"is damaged ({brief(error)})")
        return Checkpoint()
    differs = [name for name, value in fingerprint.items() if content["fingerprint"].get(name) != value]
    if differs:
        _set_aside(path, "other", f"is of a training with other {', '.join(differs)}")
        return Checkpoint()
    return Checkpoint(**{name: content[name] for name in vars(Checkpoint())})


def _parse(data: bytes) -> dict[str, Any]:
    """The content of a checkpoint file, checked: a changed bit, which torch would not see, is an error."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        changed = archive.testzip()
    if changed is not None:
        raise ValueError(f"wrong checksum of {changed}")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not a checkpoint of format {FORMAT}")
    lacking = {"fingerprint", *vars(Checkpoint())} - content.keys()
    if lacking or not isinstance(content["fingerprint"], dict):
        raise ValueError(f"no {', '.join(sorted(lacking)) or 'names in fingerprint'}")
    return content


def _set_aside(path: Path, suffix: str, what: str) -> None:
    aside = path.with_suffix(f".{suffix}")
    path.replace(aside)
    _log.warning("%s %s; it is kept as %s, and training starts over", path, what, aside.name)
