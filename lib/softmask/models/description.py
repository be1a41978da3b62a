"""What a model is, as its ``model.json`` says, and its weights as bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as unpack
from safetensors.torch import save as pack
from torch import nn

from softmask.errors import ConfigError, DataError, brief
from softmask.files import read_bytes, read_json
from softmask.nets.registry import NETWORKS, build
from softmask.nets.srgan import Generator
from softmask.runs.plain import from_plain, to_plain
from softmask.runs.spec import RunSpec

FORMAT = 1
WEIGHTS, MODEL, CARD = "weights.safetensors", "model.json", "README.md"
LARGEST = 5_000_000
"""Bytes of the largest file of weights."""

NETWORK, SR = "network.", "sr."
"""How names of tensors begin: those of the segmentor, and of the super-resolution network that it builds on."""

_REMEDY = "get the model again"


@dataclass(frozen=True)
class Description:
    """What a model is.

    Attributes:
        format: :data:`FORMAT`.
        spec: the run that trained it; its data set, source and seed are there, and the run of the super-resolution.
        threshold: in (0, 1]; at and above which a probability means lesion, or lung.
        sha256: of the file of weights, in hex, as ``sha256sum`` prints it.
        images, patients: how many the test part has.
        measures: of these weights on the test part, by name: the mean over the images on which it is a number, and how
            many those are. Of lungs also ``dice3d``, over scans.
        trained_dice: mean Dice of the run itself, before its weights were rounded to float16.
        data, origin: digest of the data that it was trained and tested on, and where that is from, in words
            (:class:`softmask.runs.record.Provenance`).
        commit, dirty: of the checkout that trained it, and whether the code differed from it; None outside git.

    Raises:
        ConfigError: for a run that makes no such model, or a threshold that is none.
    """

    format: int
    spec: RunSpec
    threshold: float
    sha256: str
    images: int
    patients: int
    measures: Mapping[str, tuple[float, int]]
    trained_dice: float
    data: str
    origin: str
    commit: str | None
    dirty: bool | None

    def __post_init__(self) -> None:
        check_spec(self.spec)
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"a threshold lies above 0 and is at most 1, not {self.threshold:g}")

    @property
    def dice(self) -> float:
        """Mean Dice of these weights on the test images; NaN where it was not measured."""
        return self.measures.get("dice", (float("nan"), 0))[0]

    def to_json(self) -> str:
        """The text of ``model.json``."""
        return json.dumps(to_plain(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Description:
        """What :meth:`to_json` wrote to ``path``.

        Raises:
            DataError: names the file and the field that does not fit.
        """
        content = read_json(path, _REMEDY)
        written = content.get("format") if isinstance(content, dict) else None
        if written != FORMAT:
            raise DataError(f"{path}: is of format {written!r}, and {FORMAT} is read; get the model or softmask again")
        try:
            return from_plain(cls, content, str(path))
        except DataError as error:
            raise DataError(f"{error}; {_REMEDY}") from error


def check_spec(spec: RunSpec) -> None:
    """Raises ConfigError for a run that is no segmentation network, or whose input another one's soft mask is;
    of lungs, for one that sees anything but the slice, or has a size that the network does not take."""
    if not spec.learns or spec.upscales:
        raise ConfigError(f"{spec.name} trains no segmentation network; a model is made of one that does")
    if "prior" in spec.channels:
        raise ConfigError(f"{spec.name} sees the soft mask of {spec.prior.name}; no model is made of two segmentors")
    if spec.of_lungs:
        network = NETWORKS[spec.network].load()
        if spec.channels != ("image",):
            raise ConfigError(f"{spec.name} sees {', '.join(spec.channels)}; a model of lungs sees the slice alone")
        if spec.size < network.SMALLEST or spec.size % network.STRIDE:
            raise ConfigError(
                f"{spec.network} takes no images of {spec.size} x {spec.size} pixels, but multiples of {network.STRIDE}"
            )


def digest(weights: bytes) -> str:
    """Hex SHA-256, as ``sha256sum`` gives it for the file."""
    return hashlib.sha256(weights).hexdigest()


def to_weights(network: nn.Module, sr: nn.Module | None) -> bytes:
    """The file of weights: numbers with fractions in float16, others as they are.

    Raises:
        ConfigError: where the file would be larger than :data:`LARGEST`, or a weight is too large for float16.
    """
    tensors = {}
    for prefix, module in ((NETWORK, network), (SR, sr)):
        for name, tensor in module.state_dict().items() if module is not None else ():
            small = (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
            if not torch.isfinite(small).all():
                raise ConfigError(f"{prefix}{name} has numbers that float16 cannot hold; train the run again")
            tensors[prefix + name] = small
    content = pack(tensors)
    if len(content) > LARGEST:
        raise ConfigError(
            f"the weights take {len(content) / 1e6:.1f} MB, and a model at most {LARGEST / 1e6:g}; "
            "take a narrower network (another profile)"
        )
    return content


def read_weights(path: Path, sha256: str) -> bytes:
    """The file of weights. Raises DataError where it cannot be read, is too large, or has another SHA-256."""
    content = read_bytes(path, _REMEDY, LARGEST)
    if digest(content) != sha256:
        raise DataError(f"{path}: is damaged, or of another model (its SHA-256 is not that of {MODEL}); {_REMEDY}")
    return content


def networks(spec: RunSpec, weights: bytes, where: str) -> tuple[nn.Module, Generator | None]:
    """The segmentor and the super-resolution network (None where ``spec`` has none), float32, in evaluation mode.

    Raises:
        DataError: names ``where`` and what does not fit: no safetensors, a tensor that is missing, too many, of
            another shape or type, or not finite.
    """
    try:
        tensors = unpack(weights)
    except SafetensorError as error:
        raise DataError(f"{where}: no safetensors file ({brief(error)}); {_REMEDY}") from error
    asked = {NETWORK: (spec.network, spec.width, spec.inputs, spec.reduction)}
    if spec.sr is not None:
        asked[SR] = (spec.sr.network, spec.sr.width, 1, 1)
    made = {}
    for prefix, description in asked.items():
        own = {name: tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
        made[prefix] = _network(description, {name[len(prefix) :]: own[name] for name in own}, f"{where}: {prefix}")
    if tensors:
        raise DataError(f"{where}: {min(tensors)} belongs to no network of {spec.name}; {_REMEDY}")
    return made[NETWORK], made.get(SR)


def _network(description: tuple, tensors: dict[str, torch.Tensor], where: str) -> nn.Module:
    try:
        with torch.device("meta"):  # shapes without memory: a description may ask for anything
            wanted = build(*description).state_dict()
    except (ConfigError, RuntimeError) as error:
        raise DataError(f"{where} cannot be built ({brief(error)}); {_REMEDY}") from error
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors or name not in wanted:
            raise DataError(f"{where}{name}: {'is missing' if name in wanted else 'is not of it'}; {_REMEDY}")
        own, target = tensors[name], wanted[name]
        if own.shape != target.shape or own.is_floating_point() != target.is_floating_point():
            kinds = [f"{tuple(one.shape)} of {one.dtype}".replace("torch.", "") for one in (own, target)]
            raise DataError(f"{where}{name}: is {kinds[0]}, not {kinds[1]}; {_REMEDY}")
        if not torch.isfinite(own).all():
            raise DataError(f"{where}{name}: has NaN or infinite numbers; {_REMEDY}")
    network = build(*description)
    network.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()})
    return network.eval()
