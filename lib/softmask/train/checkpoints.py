"""Checkpoints: one file after each epoch, written atomically and loaded without executing code."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from softmask.errors import TrainingError, brief
from softmask.files import write_atomic

FORMAT = 2

_log = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """State of a training run after some epochs.

    Attributes:
        curves: one number for each finished epoch, by name.
        seconds: training time so far.
        best, best_value: weights and score of the best epoch so far.
        states: state dicts of modules and optimisers by name.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_value: float = 0.0
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.curves.get("train_loss", ()))


def save(path: Path, checkpoint: Checkpoint, fingerprint: Mapping[str, str]) -> None:
    """Write ``checkpoint`` to ``path`` atomically. Raises TrainingError (full disk, for example), and keeps the earlier
    file then."""
    content = io.BytesIO()
    torch.save({"format": FORMAT, "fingerprint": dict(fingerprint), **vars(checkpoint)}, content)
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise TrainingError(
            f"{path}: the checkpoint of epoch {checkpoint.epochs} could not be written ({error.strerror or error}); "
            "make room and start again: training continues from the earlier one"
        ) from error


def load(path: Path, fingerprint: Mapping[str, str]) -> Checkpoint:
    """Return the checkpoint at ``path``, or an empty one if there is none with this ``fingerprint``: everything that
    the training depends on, by name. A damaged file is renamed ``checkpoint.damaged``, and the file of another training
    ``checkpoint.other``, with a warning."""
    if not path.exists():
        return Checkpoint()
    data = path.read_bytes()  # not in the try block: a file that cannot be read now may be intact
    try:
        written_fingerprint, checkpoint = _parse(data)
    except MemoryError:
        raise
    except Exception as error:  # changed bytes can cause nearly any exception
        suffix, reason = "damaged", f"is damaged ({brief(error)})"
    else:
        changed_names = [name for name, value in fingerprint.items() if written_fingerprint.get(name) != value]
        if not changed_names:
            return checkpoint
        suffix, reason = "other", f"is of a training run with other {', '.join(changed_names)}"
    aside_path = path.with_suffix(f".{suffix}")
    path.replace(aside_path)
    _log.warning("%s %s; it is kept as %s, and training starts over", path, reason, aside_path.name)
    return Checkpoint()


def _parse(data: bytes) -> tuple[dict[str, str], Checkpoint]:
    """Return fingerprint and checkpoint from the bytes of a file. Raises for a changed bit, which torch would miss."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        bad_member = archive.testzip()
    if bad_member is not None:
        raise ValueError(f"wrong checksum of {bad_member}")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if content.pop("format") != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    fingerprint = dict(content.pop("fingerprint"))
    if content.keys() != vars(Checkpoint()).keys():
        odd_fields = sorted(map(str, content.keys() ^ vars(Checkpoint()).keys()))
        raise ValueError(f"missing or unexpected checkpoint fields: {', '.join(odd_fields)}")
    return fingerprint, Checkpoint(**content)
