"""Models: trained networks that are read from a folder and applied to users' images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as unpack
from torch import nn

from softmask.data.splits import Crop
from softmask.errors import ConfigError, DataError, brief, unknown
from softmask.experiments import inputs
from softmask.experiments.spec import RunSpec, from_plain
from softmask.files import read_bytes, read_json
from softmask.measure import lungs as lung_measures
from softmask.nets import cascade
from softmask.nets.registry import NETWORKS, build
from softmask.nets.srgan import Generator
from softmask.train.segmentation import predict

FORMAT = 1
WEIGHTS, MODEL, CARD = "weights.safetensors", "model.json", "README.md"
MAX_FILE_BYTES = 5_000_000
"""Maximum size of a weights file in bytes."""

MAX_PIXELS = 1024 * 1024
"""Maximum number of pixels of an image that is segmented whole: memory grows with it."""

SHIPPED = Path(__file__).resolve().parent / "shipped"
"""Folder of the models that come with the package."""

LIST = "list"
"""Word that lists the models when it is given in place of a model name."""

_REMEDY = "get the model again"


@dataclass(frozen=True)
class Description:
    """Description of a model, as in its ``model.json``.

    Attributes:
        format: :data:`FORMAT`.
        spec: specification of the run that trained the model.
        threshold: threshold in (0, 1], otherwise ConfigError; pixels with at least this probability are lesion, or
            lung.
        sha256: hex digest of the weights file.
        images, patients: number of images and patients in the test part.
        measures: metrics of these weights on the test part, by name: the mean over all images with a finite value, and
            the number of these images. Models of lungs also have ``dice3d``, over scans.
        trained_dice: mean Dice of the run itself, before its weights were rounded to float16.
        data, origin, commit, dirty: as in :class:`softmask.experiments.store.Provenance`.
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

    @classmethod
    def read(cls, path: Path) -> Description:
        """Read ``model.json``. Raises DataError, naming the file and the faulty field."""
        content = read_json(path, _REMEDY)
        version = content.get("format") if isinstance(content, dict) else None
        if version != FORMAT:
            raise DataError(f"{path}: is of format {version!r}, and {FORMAT} is read; get the model or softmask again")
        try:
            return from_plain(cls, content, str(path))
        except DataError as error:
            raise DataError(f"{error}; {_REMEDY}") from error


def check_spec(spec: RunSpec) -> None:
    """Raise ConfigError for a run that cannot become a model: without a segmentation network, or with the soft mask of
    another network as input; for lungs, with other input than the slice, or a size that the network does not accept."""
    if not spec.learns or spec.upscales:
        raise ConfigError(f"{spec.name} trains no segmentation network; a model is made of one that does")
    if "prior" in spec.channels:
        raise ConfigError(f"{spec.name} sees the soft mask of {spec.prior.name}; no model is made of two segmentors")
    if spec.of_lungs:
        network = NETWORKS[spec.network].load()
        if spec.channels != ("image",):
            raise ConfigError(f"{spec.name} sees {', '.join(spec.channels)}; a model of lungs sees the slice alone")
        if spec.size < network.SMALLEST or spec.size % network.STRIDE:
            multiples = f"multiples of {network.STRIDE}"
            raise ConfigError(f"{spec.network} takes no images of {spec.size} x {spec.size} pixels, but {multiples}")


class Segmentation(NamedTuple):
    """Probability of lesion (or lung) and soft mask, float32 in [0, 1], and binary mask, bool; each (H, W)."""

    probability: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Model:
    """Trained network and the super-resolution network it needs, on the CPU, in evaluation mode.

    Attributes:
        name: name of the model's folder.
        sr: super-resolution network; None if no input channel needs it.
    """

    name: str
    description: Description
    network: nn.Module
    sr: Generator | None

    @property
    def spec(self) -> RunSpec:
        return self.description.spec

    @property
    def target(self) -> str:
        """``lung`` or ``lesion``."""
        return "lung" if self.spec.of_lungs else "lesion"

    @property
    def multiple(self) -> int:
        """Number of which the height and width of images of lesions are padded to a multiple."""
        return self.network.STRIDE // gcd(self.network.STRIDE, self.spec.scale)

    @property
    def min_size(self) -> int:
        """Minimum height and width of an image."""
        if self.spec.of_lungs:
            return self.spec.size
        return max(self.multiple, -(-self.network.SMALLEST // self.spec.scale))

    def segment(self, image: np.ndarray) -> Segmentation:
        """Segment ``image`` (H, W) in [0, 1] whole; padding for the network repeats the edge and is removed again.

        Raises:
            DataError: for an image that is not (H, W) in [0, 1], too small or too large.
        """
        return self.segment_all([image])[0]

    def segment_all(self, images: Sequence[np.ndarray]) -> list[Segmentation]:
        """Segment images of the same size (H, W) as one batch. Raises: as :meth:`segment`, and DataError for no image
        or images of different sizes."""
        images = [np.asarray(image, dtype=np.float32) for image in images]
        if len(sizes := {image.shape for image in images}) != 1:
            sizes_text = ", ".join(map(str, sorted(sizes))) or "no image"
            raise DataError(f"images of one size were expected, not {sizes_text}: segment other sizes on their own")
        for image in images:
            if image.ndim != 2 or not image.size:
                raise DataError(f"a grey image (H, W) was expected, not an array of shape {image.shape}")
            if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
                raise DataError(f"values in [0, 1] were expected, not {image.min():g} to {image.max():g}")
        height, width = images[0].shape
        if min(height, width) < self.min_size:
            size = f"{self.min_size} x {self.min_size} or more; give it what the scanner stored"
            raise DataError(f"{height} x {width} pixels are too few, {self.name} takes {size}")
        if height * width > MAX_PIXELS:
            raise DataError(f"{height} x {width} pixels are more than {MAX_PIXELS} at once; crop the image")
        if self.spec.of_lungs:
            network_inputs = [fit_square(image, self.spec.size)[None, None] for image in images]
        else:
            pad = ((0, -height % self.multiple), (0, -width % self.multiple))
            network_inputs = [channels(self.spec, np.pad(image, pad, mode="edge"), self.sr) for image in images]
        outputs = predict(self.network, np.concatenate(network_inputs))  # (N, 1, s, s)
        output_maps = inputs.read(self.spec, outputs)  # probabilities and soft masks, (N, S, S) each
        if self.spec.of_lungs:
            output_maps = [enlarge_outputs(values, (height, width)) for values in output_maps]
        else:
            output_maps = [values[:, :height, :width].copy() for values in output_maps]
        threshold = self.description.threshold
        return [Segmentation(*pair, pair[0] >= threshold) for pair in zip(*output_maps, strict=True)]


def channels(spec: RunSpec, image: np.ndarray, sr: Generator | None) -> np.ndarray:
    """Return :func:`softmask.experiments.inputs.channels` of an image, (1, C, s, s) float32, made tile by tile."""
    enlarged_by_sr = {}
    if sr is not None:
        sr_channels = cascade.enlarge(sr, image, spec.scale)[None, 1:].astype(np.float16)  # as stored for training
        enlarged_by_sr = {"super_resolved": sr_channels[:, :1], "detail": sr_channels[:, 1:]}
    return cascade.channels(spec.channels, image[None, None], spec.scale, enlarged_by_sr.get)


def fit_square(image: np.ndarray, size: int) -> np.ndarray:
    """Return a slice (H, W), padded square with 0 (air), as (size, size) area means (bool: at least half True)."""
    side = max(image.shape)
    pad_before = [(side - length) // 2 for length in image.shape]
    square = np.pad(image, [(b, side - length - b) for b, length in zip(pad_before, image.shape, strict=True)])
    return Crop(0, 0, side, side).of(square, size)


def enlarge_outputs(answers: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return (N, H, W) float32: ``answers`` (N, S, S), interpolated bilinearly to slices of ``shape`` (H, W)."""
    side, (height, width) = max(shape), shape
    top, left = (side - height) // 2, (side - width) // 2
    return lung_measures.enlarge(answers, (side, side))[:, top : top + height, left : left + width]


def names() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MODEL}"))


def list_models() -> str:
    """Return a line for each model of the package: name, lungs or lesions, mean Dice, and test images."""
    lines = []
    for name in names():
        description = Description.read(SHIPPED / name / MODEL)
        target = "lungs" if description.spec.of_lungs else "lesions"
        measure = "dice3d" if description.spec.of_lungs else "dice"
        dice = f"mean Dice {description.measures[measure][0]:.3f}" if measure in description.measures else ""
        lines.append(f"{name:<10} {target:<8} {dice}, {description.images} test images of {description.spec.dataset}")
    return "\n".join([*lines, "Any other model is named by its folder."])


def load(name_or_folder: str | Path) -> Model:
    """Return the model of that name, else in that folder. Raises ConfigError if missing, DataError if damaged."""
    folder = SHIPPED / name_or_folder if str(name_or_folder) in names() else Path(name_or_folder)
    if not os.path.isdir(folder):
        raise ConfigError(f"{unknown('model', str(name_or_folder), names())}, or name the folder of a model")
    description, path = Description.read(folder / MODEL), folder / WEIGHTS
    weights = read_bytes(path, _REMEDY, MAX_FILE_BYTES)
    if hashlib.sha256(weights).hexdigest() != description.sha256:
        raise DataError(f"{path}: is damaged, or of another model (its SHA-256 is not that of {MODEL}); {_REMEDY}")
    return Model(folder.resolve().name, description, **networks(description.spec, weights, str(path)))


def networks(spec: RunSpec, weights: bytes, where: str) -> dict[str, nn.Module | None]:
    """Return ``network`` and super-resolution network ``sr`` (None if ``spec`` has none), float32, in evaluation mode.
    Raises DataError, naming ``where`` and the fault."""

    try:
        tensors = unpack(weights)
        with torch.device("meta"):  # no memory and no random weights: a description may ask for any size
            modules = {"network": build(spec.network, spec.width, spec.inputs, spec.reduction)}
            if spec.sr:
                modules["sr"] = build(spec.sr.network, spec.sr.width, 1, 1)
        loaded_networks = nn.ModuleDict(modules)
        dtypes = {name: tensor.dtype for name, tensor in loaded_networks.state_dict().items()}
        loaded_networks.load_state_dict(tensors, assign=True)
    except SafetensorError as error:
        raise DataError(f"{where}: no safetensors file ({brief(error)}); {_REMEDY}") from error
    except (ConfigError, RuntimeError) as error:
        raise DataError(f"{where}: {spec.name} cannot be made of it ({brief(error)}); {_REMEDY}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != dtypes[name].is_floating_point:
            raise DataError(f"{where}: {name} has dtype {tensor.dtype}, expected {dtypes[name]}; {_REMEDY}")
        if not torch.isfinite(tensor).all():
            raise DataError(f"{where}: {name} contains NaN or infinite values; {_REMEDY}")
    loaded_networks.load_state_dict({name: tensor.to(dtypes[name]) for name, tensor in tensors.items()}, assign=True)
    return {"sr": None, **loaded_networks.eval()}
