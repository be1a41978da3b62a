"""Store of finished runs: a folder for each run, found by its key, and the record of the run.

::

    <SOFTMASK_RUNS, default ./runs>/<first digits of the key>/
        spec.json            what is or was being trained here
        checkpoint.pt        during training; again/checkpoint.pt in a second attempt
        weights.safetensors  float32
        record.json          written last: a run is finished when it is there

Damaged files count as missing; training sets them aside under another name.

A record is plain JSON: settings and numbers by name, and predictions as one block of bytes (images, rows, columns),
compressed with LZMA (``xz``), in base64. Tables are computed from its numbers, of :data:`DIGITS` significant digits.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import lzma
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

from softmask.config import ROOT
from softmask.errors import ConfigError, DataError
from softmask.experiments.spec import RunSpec, read_fields, to_plain
from softmask.files import read_json, remove_parts, sha256_of, whole_path, write_atomic
from softmask.machine import cpu_model, git_state, package_version
from softmask.measure.soft import Calibration
from softmask.nets.registry import build

if TYPE_CHECKING:
    import pandas as pd

SPEC, CHECKPOINT, WEIGHTS, RECORD = "spec.json", "checkpoint.pt", "weights.safetensors", "record.json"
AGAIN = "again"
"""Folder of the checkpoint of a restarted training run (:mod:`softmask.experiments.kinds`)."""
_LOCK, _PROGRESS = "lock", "progress"

DIGITS = 5
LARGEST = 8192
"""Maximum height and width of predictions that are read."""
MOST_PIXELS = 2**28
"""Maximum number of pixels of all predictions of a record that is read."""

PACKAGES = ("softmask", "torch", "numpy", "scipy", "monai", "segmentation-models-pytorch")

Numbers = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class WeightsFile:
    """Size of a file of weights in bytes, and hex SHA-256 of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Origin of a record: data, code and machine.

    Attributes:
        data: hex digest of the data (:attr:`softmask.experiments.prepare.Prepared.digest`).
        numerics: :data:`softmask.experiments.spec.NUMERICS` of the code that trained the run.
        origin: origin of the data (and of the weights of a perceptual loss), in words.
        weights: file that the run's weights were written to; None if nothing was trained.
        seconds: training time (:class:`softmask.train.loop.Outcome`) over all starts of the run.
        device, cpu: training device, ``cpu`` or the GPU's name, and the processor's name.
        packages: versions by package; None if it is not installed.
        commit, dirty: commit of the checkout, and whether the code differed from it; None outside git.
        needs: keys of the runs that it builds on (:attr:`RunSpec.needs`).
        features: hex digest of the weights of a perceptual loss; empty without one.
    """

    data: str
    numerics: int
    origin: str
    weights: WeightsFile | None
    seconds: float
    device: str
    cpu: str
    packages: Mapping[str, str | None]
    commit: str | None
    dirty: bool | None
    needs: tuple[str, ...] = ()
    features: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """Record of a finished run, tested on N images.

    Attributes:
        ids, groups: id and patient of each test image.
        measures: N numbers for each measure, by name (:func:`softmask.measure.images.measure_images`).
        curves: one number for each epoch, by name.
        best_epoch: epoch whose weights were tested.
        n_parameters: number of the network's parameters.
        calibration: calibration of the probabilities of all pixels of the test images; None in super-resolution.
        predictions: (S, S) uint8 by id of the test image: probability, or super-resolved image, times 255; in the small
            profiles only of some images (:attr:`softmask.config.Profile.keeps`).
        threshold: probability at and above which a pixel is foreground.
        failed: whether the training failed with both seeds, or that of the prior failed; such a run enters no mean.
        failures: curves of each failed attempt, in order.
    """

    spec: RunSpec
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    measures: Numbers
    curves: Numbers
    best_epoch: int
    n_parameters: int
    calibration: Calibration | None
    predictions: Mapping[str, np.ndarray]
    provenance: Provenance
    threshold: float = 0.5
    failed: bool = False
    failures: tuple[Numbers, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "measures", _rounded(self.measures))
        object.__setattr__(self, "curves", _rounded(self.curves))
        object.__setattr__(self, "failures", tuple(map(_rounded, self.failures)))

    @property
    def key(self) -> str:
        """Key of the run (:meth:`RunSpec.key`)."""
        provenance = self.provenance
        return self.spec.key(provenance.data, provenance.needs, provenance.numerics, provenance.features)

    def frame(self) -> pd.DataFrame:
        """Return one row for each test image: ``id``, ``group`` and every measure."""
        import pandas as pd

        return pd.DataFrame({"id": self.ids, "group": self.groups, **self.measures})

    def some_predictions(self, most: int = 8) -> dict[str, np.ndarray]:
        """Return at most ``most`` of the predictions, evenly spaced, for figures."""
        names = list(self.predictions)
        indices = np.linspace(0, len(names) - 1, min(len(names), most)).round().astype(int)
        return {names[index]: self.predictions[names[index]] for index in indices}

    def to_json(self) -> str:
        """Return the record as JSON text, with one line for each measure and curve."""
        content = to_plain({name: value for name, value in vars(self).items() if name != "predictions"})
        images = [np.ascontiguousarray(image, np.uint8).tobytes() for image in self.predictions.values()]
        pixels = base64.b64encode(lzma.compress(b"".join(images), preset=9 | lzma.PRESET_EXTREME)).decode()
        content["predictions"] = {"ids": list(self.predictions), "pixels": pixels}
        return _lines(content) + "\n"

    @classmethod
    def read(cls, path: Path) -> Record:
        """Return the record in the file at ``path``. Raises DataError, naming the field that does not fit."""
        remedy = "delete it, and its run is trained again"
        content = read_json(path, remedy)
        packed = content.pop("predictions", None) if isinstance(content, dict) else None
        try:
            if not isinstance(packed, dict) or not isinstance(packed.get("ids"), list):
                raise DataError(f"{path}: predictions: is missing, or no object with ids and pixels")
            fields = read_fields(cls, content, str(path), besides="predictions")
            size = fields["spec"].size
            if not 0 < size <= LARGEST:
                raise DataError(f"{path}: spec: size: predictions of {size} x {size} pixels cannot be")
            predictions = _unpacked(packed["ids"], packed.get("pixels"), size, f"{path}: predictions")
            record = cls(**fields, predictions=predictions)
            for name, values in {"groups": record.groups, **record.measures}.items():
                if len(values) != len(record.ids):
                    raise DataError(f"{path}: {name}: {len(values)} values for {len(record.ids)} test images")
        except DataError as error:
            raise DataError(f"{error}; {remedy}") from error
        return record


@dataclass(frozen=True, eq=False)
class Run:
    """A run, finished or to be trained.

    Attributes:
        record: record of the run; None if it is missing, or if the weights are missing and a missing run needs them.
        folder: folder in the store; None if the record is there without the weights.
        needs: runs that it builds on; recorded runs have none.
        data: hex digest of its data.
    """

    spec: RunSpec
    record: Record | None = None
    folder: Path | None = None
    needs: tuple[Run, ...] = ()
    data: str = ""

    @property
    def key(self) -> str:
        """Key of the run (:meth:`RunSpec.key`)."""
        return self.record.key if self.record else self.spec.key(self.data, [need.key for need in self.needs])

    @property
    def failed(self) -> bool:
        """Whether the training failed; known once the run is finished."""
        return self.finished().record.failed

    @property
    def weights(self) -> str:
        """Hex SHA-256 of the weights, known once the run is finished; empty without its own."""
        weights_file = self.finished().record.provenance.weights
        return weights_file.sha256 if weights_file else ""

    def finished(self) -> Run:
        """Return the run with its record, read from the store if needed. Raises DataError if it is (still) missing."""
        if self.record:
            return self
        record = read(self.folder, self.spec, self.key)
        if record is None:
            raise DataError(f"{self.spec.name}: {self.folder} has no record; have the workers another store?")
        return replace(self, record=record)

    def network(self) -> nn.Module:
        """Return the trained network, on the CPU, in evaluation mode.

        Raises:
            ConfigError: for a run without its own weights, or of which only the record is there.
            DataError: if the weights cannot be read or are not those written with the record.
        """
        if self.folder is None:
            raise ConfigError(
                f"{self.spec.name} comes from its record, which holds no weights; run without SOFTMASK_RECORDED "
                "(--recorded) and without the committed record to train it"
            )
        weights_file = self.finished().record.provenance.weights
        if weights_file is None:
            raise ConfigError(f"{self.spec.name} has no network of its own: {self.spec.network} is not trained")
        path = self.folder / WEIGHTS
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if sha256_of(content) != weights_file.sha256:
            raise DataError(f"{path}: is damaged; delete {self.folder} and the run is trained again")
        network = build(self.spec.network, self.spec.width, self.spec.inputs, self.spec.reduction)
        network.load_state_dict(load(content))
        return network.eval()


def root() -> Path:
    """Return the folder of finished runs: ``SOFTMASK_RUNS``, else ``runs`` in the checkout."""
    return whole_path(os.environ.get("SOFTMASK_RUNS") or ROOT / "runs", "SOFTMASK_RUNS")


def folder_of(key: str) -> Path:
    """Return the folder of the run with that key."""
    return root() / key[:24]


@contextmanager
def locked(folder: Path, name: str = "") -> Iterator[None]:
    """Wait until no other process trains the run ``name`` in ``folder``; lock it, at most until this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name or folder} is being trained by another process; waiting for it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def begin(folder: Path, spec: RunSpec) -> None:
    """Write the specification of the run in ``folder``, and rename files left by a damaged run to ``*.damaged``."""
    remove_parts(folder)
    for name in (RECORD, WEIGHTS):
        if (folder / name).exists():
            (folder / name).replace(folder / f"{name}.damaged")
    write_atomic(folder / SPEC, json.dumps(spec.to_json(), indent=1) + "\n")


def save_weights(folder: Path, network: nn.Module) -> WeightsFile:
    """Write the network's weights and buffers, those of floating point in float32."""
    tensors = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    content = save(tensors)
    write_atomic(folder / WEIGHTS, content)
    return WeightsFile(len(content), sha256_of(content))


def finish(folder: Path, record: Record) -> None:
    """Write the record of a run after its weights, which finishes the run."""
    write_atomic(folder / RECORD, record.to_json())
    for name in (CHECKPOINT, _PROGRESS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / AGAIN, ignore_errors=True)


def read(folder: Path, spec: RunSpec, key: str) -> Record | None:
    """Return the record of the finished run in ``folder``, if any. Raises DataError if it is damaged."""
    path = folder / RECORD
    if not path.exists():
        return None
    record = Record.read(path)
    if record.spec != spec or record.key != key:
        raise DataError(f"{path}: is the record of another run, {record.spec.name}")
    weights_file, weights_path = record.provenance.weights, folder / WEIGHTS
    size = weights_path.stat().st_size if weights_path.exists() else 0
    if weights_file is not None and size != weights_file.bytes:
        raise DataError(f"{weights_path}: has {size} bytes of {weights_file.bytes}: cut short, or of another run")
    return record


def write_progress(folder: Path, done: int) -> None:
    """Write the number of finished epochs of the run that is trained in ``folder``."""
    write_atomic(folder / _PROGRESS, str(done))


def progress(folder: Path) -> int:
    """Return the number of finished epochs of the run that is trained in ``folder``."""
    try:
        return int((folder / _PROGRESS).read_text())
    except (OSError, ValueError):  # not begun
        return 0


def surroundings() -> dict[str, Any]:
    """Return the fields of :class:`Provenance` that describe this machine and checkout."""
    commit, dirty = git_state(ROOT)
    packages = {name: package_version(name) for name in PACKAGES}
    return {"device": device_name(), "cpu": cpu_model(), "packages": packages, "commit": commit, "dirty": dirty}


def device_name() -> str:
    """Return the name of the training device: that of the GPU, else ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def significant(value: float) -> float:
    """Return ``value`` rounded to :data:`DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def _rounded(numbers: Mapping[str, Sequence[float]]) -> Numbers:
    return {name: tuple(map(significant, values)) for name, values in numbers.items()}


def _unpacked(ids: list, pixels: Any, size: int, where: str) -> dict[str, np.ndarray]:
    n_pixels = len(ids) * size * size
    if not all(isinstance(name, str) for name in ids) or len(set(ids)) < len(ids) or n_pixels > MOST_PIXELS:
        raise DataError(f"{where}: ids: no list of distinct names, or too many of them")
    try:
        content = lzma.LZMADecompressor().decompress(base64.b64decode(pixels, validate=True), n_pixels + 1)
    except (TypeError, binascii.Error, ValueError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{where}: pixels: no packed images ({error})") from error
    if len(content) != n_pixels:
        raise DataError(f"{where}: pixels: are not {len(ids)} images of {size} x {size}")
    images = np.frombuffer(content, np.uint8).reshape(len(ids), size, size)
    return dict(zip(ids, images, strict=True))


def _lines(value: Any, depth: int = 2, indent: str = "") -> str:
    """Return JSON with a line for each member of the outer ``depth`` objects, so that a diff shows what has changed."""
    if not depth or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    members = (
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_lines(item, depth - 1, inner)}"
        for name, item in value.items()
    )
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"
