"""What a finished run leaves: its measures, curves, a few predictions, and where they come from. No weights.

A record is a JSON file of some tens of kilobytes. Numbers are kept to :data:`DIGITS` significant digits, and those are
what tables are made of, so that a table from records is the table from runs, byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from softmask.config import ROOT
from softmask.errors import DataError
from softmask.files import read_bytes
from softmask.machine import cpu_model, git_state, package_version
from softmask.measure.calibration import Calibration
from softmask.runs.plain import read_fields, to_plain
from softmask.runs.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 5
LARGEST = 8192
"""Height and width of the largest predictions that are read."""

PACKAGES = ("softmask", "torch", "numpy", "scipy", "monai", "segmentation-models-pytorch")

Numbers = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights by its size in bytes and the hex SHA-256 of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from.

    Attributes:
        data, code: hex digests of the prepared data and of the code (:mod:`softmask.runs.code`).
        origin: of the data, in words.
        weights: the file that the run's weights were written to; None where nothing was trained.
        seconds: of training, over all its starts.
        device, cpu: what it trained on: ``cpu`` or the GPU's name, and the processor's name.
        packages: versions; None where not installed.
        commit, dirty: of the checkout, and whether the code differed from it; None outside git.
        needs: keys of the runs that it builds on (:attr:`RunSpec.needs`).
    """

    data: str
    code: str
    origin: str
    weights: WeightsFile | None
    seconds: float
    device: str
    cpu: str
    packages: Mapping[str, str | None]
    commit: str | None
    dirty: bool | None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Record:
    """A finished run, N test images.

    Attributes:
        ids, groups: of each test image, its id and its patient.
        measures: by name, N numbers (:func:`softmask.measure.images.measure_images`).
        curves: by name, one number for each epoch.
        best_epoch: whose weights were measured: that with the best validation Dice; the last in super-resolution.
        n_parameters: of the network.
        calibration: of the probabilities of all pixels of the test images; None in super-resolution.
        predictions: of some test images, by id, (S, S) uint8: probability, or super-resolved image, times 255.
        threshold: at and above which a probability means lesion.
        failed: whether the training failed to start, with a second seed too; such a run enters no mean.
        failures: the curves of each training that failed to start, in order; one that was begun anew with another seed
            and went well has one.
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
        """Of the run (:meth:`RunSpec.key`)."""
        return self.spec.key(self.provenance.data, self.provenance.code, self.provenance.needs)

    def frame(self) -> pd.DataFrame:
        """One row for each test image: ``id``, ``group`` and every measure."""
        import pandas as pd

        return pd.DataFrame({"id": self.ids, "group": self.groups, **self.measures})

    def to_json(self) -> str:
        """The file's text; one line for each measure and curve."""
        content = to_plain({name: value for name, value in vars(self).items() if name != "predictions"})
        content["predictions"] = {name: _packed(image) for name, image in self.predictions.items()}
        return _lines(content) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str | Path) -> Record:
        """What :meth:`to_json` wrote.

        Raises:
            DataError: names the file (``where``) and the field that does not fit.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: no JSON ({error})") from error
        if not isinstance(content, dict) or not isinstance(content.get("predictions"), dict):
            raise DataError(f"{where}: predictions: is missing, or no object")
        packed = content.pop("predictions")
        fields = read_fields(cls, content, str(where), besides="predictions")
        size = fields["spec"].size
        if not 0 < size <= LARGEST:
            raise DataError(f"{where}: spec: size: predictions of {size} x {size} pixels cannot be")
        predictions = {name: _unpacked(image, size, f"{where}: predictions: {name}") for name, image in packed.items()}
        record = cls(**fields, predictions=predictions)
        for name, values in {"groups": record.groups, **record.measures}.items():
            if len(values) != len(record.ids):
                raise DataError(f"{where}: {name}: {len(values)} values for {len(record.ids)} test images")
        return record

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record in the file at ``path``. Raises DataError where it cannot be read or does not fit."""
        remedy = "delete it, and its run is trained again"
        content = read_bytes(path, remedy)
        try:
            return cls.from_json(content, path)
        except DataError as error:
            raise DataError(f"{error}; {remedy}") from error


def surroundings() -> dict[str, Any]:
    """The fields of :class:`Provenance` that this machine and checkout decide."""
    commit, dirty = git_state(ROOT)
    packages = {name: package_version(name) for name in PACKAGES}
    return {"device": device_name(), "cpu": cpu_model(), "packages": packages, "commit": commit, "dirty": dirty}


def device_name() -> str:
    """The GPU's name, else ``cpu``: what training takes."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def significant(value: float) -> float:
    """``value`` to :data:`DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def _rounded(numbers: Mapping[str, Sequence[float]]) -> Numbers:
    return {name: tuple(map(significant, values)) for name, values in numbers.items()}


def _packed(image: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(image, np.uint8).tobytes(), 9)).decode()


def _unpacked(text: Any, size: int, where: str) -> np.ndarray:
    try:
        pixels = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size * size + 1)
    except (TypeError, binascii.Error, ValueError, zlib.error) as error:
        raise DataError(f"{where}: no packed image ({error})") from error
    if len(pixels) != size * size:
        raise DataError(f"{where}: is no image of {size} x {size} pixels")
    return np.frombuffer(pixels, np.uint8).reshape(size, size)


def _lines(value: Any, depth: int = 2, indent: str = "") -> str:
    """JSON with a line for each member of the outer ``depth`` objects, so that a change shows where it is."""
    if not depth or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    members = (
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_lines(item, depth - 1, inner)}"
        for name, item in value.items()
    )
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"
