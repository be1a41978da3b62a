"""What a finished run leaves: its measures, curves, predictions, and where they come from. No weights.

A record is a JSON file of a hundred kilobytes or so, plain data that outlives this package: settings and numbers by
name; the predictions as one block of bytes, images by rows by columns, packed by LZMA (``xz``) and written in base64.
Numbers are kept to :data:`DIGITS` significant digits, and those are
what tables are made of, so that a table from records is the table from runs, byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from softmask.config import ROOT
from softmask.errors import DataError
from softmask.experiments.plain import read_fields, to_plain
from softmask.experiments.spec import RunSpec
from softmask.files import read_bytes
from softmask.machine import cpu_model, git_state, package_version
from softmask.measure.soft import Calibration

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 5
LARGEST = 8192
"""Height and width of the largest predictions that are read."""
MOST_PIXELS = 2**28
"""Pixels of all predictions of the largest record that is read."""

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
        data: hex digest of the data (:attr:`softmask.experiments.prepared.Prepared.digest`).
        numerics: :data:`softmask.experiments.spec.NUMERICS` of the code that trained it.
        features: hex digest of the weights of a perceptual loss; empty without one.
        origin: of the data, in words.
        weights: the file that the run's weights were written to; None where nothing was trained.
        seconds: of training, over all its starts.
        device, cpu: what it trained on: ``cpu`` or the GPU's name, and the processor's name.
        packages: versions; None where not installed.
        commit, dirty: of the checkout, and whether the code differed from it; None outside git.
        needs: keys of the runs that it builds on (:attr:`RunSpec.needs`).
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
    """A finished run, N test images.

    Attributes:
        ids, groups: of each test image, its id and its patient.
        measures: by name, N numbers (:func:`softmask.measure.images.measure_images`).
        curves: by name, one number for each epoch.
        best_epoch: whose weights were measured: that with the best validation Dice; the last in super-resolution.
        n_parameters: of the network.
        calibration: of the probabilities of all pixels of the test images; None in super-resolution.
        predictions: of test images, by id, (S, S) uint8: probability, or super-resolved image, times 255. Of every test
            image, or of some in the small profiles (:attr:`softmask.config.Profile.keeps`).
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
        around = self.provenance
        return self.spec.key(around.data, around.needs, around.numerics, around.features)

    def frame(self) -> pd.DataFrame:
        """One row for each test image: ``id``, ``group`` and every measure."""
        import pandas as pd

        return pd.DataFrame({"id": self.ids, "group": self.groups, **self.measures})

    def to_json(self) -> str:
        """The file's text; one line for each measure and curve."""
        content = to_plain({name: value for name, value in vars(self).items() if name != "predictions"})
        images = [np.ascontiguousarray(image, np.uint8).tobytes() for image in self.predictions.values()]
        pixels = base64.b64encode(lzma.compress(b"".join(images), preset=9 | lzma.PRESET_EXTREME)).decode()
        content["predictions"] = {"ids": list(self.predictions), "pixels": pixels}
        return _lines(content) + "\n"

    def shown(self, most: int = 8) -> dict[str, np.ndarray]:
        """At most ``most`` of the predictions, evenly spread over all, for figures."""
        names = list(self.predictions)
        rows = np.linspace(0, len(names) - 1, min(len(names), most)).round().astype(int)
        return {names[row]: self.predictions[names[row]] for row in rows}

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
        packed = content.pop("predictions", None) if isinstance(content, dict) else None
        if not isinstance(packed, dict) or not isinstance(packed.get("ids"), list):
            raise DataError(f"{where}: predictions: is missing, or no object with ids and pixels")
        fields = read_fields(cls, content, str(where), besides="predictions")
        size = fields["spec"].size
        if not 0 < size <= LARGEST:
            raise DataError(f"{where}: spec: size: predictions of {size} x {size} pixels cannot be")
        predictions = _unpacked(packed["ids"], packed.get("pixels"), size, f"{where}: predictions")
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


def _unpacked(ids: list, pixels: Any, size: int, where: str) -> dict[str, np.ndarray]:
    wanted = len(ids) * size * size
    if not all(isinstance(name, str) for name in ids) or len(set(ids)) < len(ids) or wanted > MOST_PIXELS:
        raise DataError(f"{where}: ids: no list of distinct names, or too many of them")
    try:
        unpacked = lzma.LZMADecompressor().decompress(base64.b64decode(pixels, validate=True), wanted + 1)
    except (TypeError, binascii.Error, ValueError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{where}: pixels: no packed images ({error})") from error
    if len(unpacked) != wanted:
        raise DataError(f"{where}: pixels: are not {len(ids)} images of {size} x {size}")
    images = np.frombuffer(unpacked, np.uint8).reshape(len(ids), size, size)
    return dict(zip(ids, images, strict=True))


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
