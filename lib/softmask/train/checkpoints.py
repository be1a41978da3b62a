"""Checkpoints: one file after each epoch, whole or not there, of which nothing is executed."""

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
    """Write ``checkpoint`` to ``path`` whole, or raise TrainingError (a full disk) and leave the earlier one."""
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
    """Return the checkpoint at ``path``, or an empty one where there is none of this ``fingerprint``: what the training
    depends on, by name. A damaged file is renamed ``checkpoint.damaged``, one of another training
    ``checkpoint.other``, with a warning.
    """
    if not path.exists():
        return Checkpoint()
    data = path.read_bytes()
    try:
        content = _parse(data)
    except _DAMAGED as error:
        suffix, why = "damaged", f"is damaged ({brief(error)})"
    else:
        differs = [name for name, value in fingerprint.items() if content["fingerprint"].get(name) != value]
        if not differs:
            return Checkpoint(**{name: content[name] for name in vars(Checkpoint())})
        suffix, why = "other", f"is of a training with other {', '.join(differs)}"
    aside = path.with_suffix(f".{suffix}")
    path.replace(aside)
    _log.warning("%s %s; it is kept as %s, and training starts over", path, why, aside.name)
    return Checkpoint()


def _parse(data: bytes) -> dict[str, Any]:
    """Return the content of a checkpoint file, checked: a changed bit, which torch would not see, is an error."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        changed = archive.testzip()
    if changed is not None:
        raise ValueError(f"wrong checksum of {changed}")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not a checkpoint of format {FORMAT}")
    missing = {"fingerprint", *vars(Checkpoint())} - content.keys()
    if missing or not isinstance(content["fingerprint"], dict):
        raise ValueError(f"no {', '.join(sorted(missing)) or 'names in fingerprint'}")
    return content
