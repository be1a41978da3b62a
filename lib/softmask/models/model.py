"""A model read back: whole images segmented, and its measures on a test part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError, DataError
from softmask.models import whole
from softmask.models.description import MODEL, WEIGHTS, Description, networks, read_weights
from softmask.nets.srgan import Generator
from softmask.nets.tiles import enlarge
from softmask.runs import inputs
from softmask.runs.kinds import measured
from softmask.runs.prepared import Part
from softmask.runs.spec import RunSpec
from softmask.train.segmentation import predict

FOLDER = Path(__file__).resolve().parent
"""Where the models lie that come with the package."""

LARGEST = 1024 * 1024
"""Most pixels of an image that is segmented whole, at once: memory grows with them."""


class Segmentation(NamedTuple):
    """Of an image (H, W): probability of lesion (or lung) and soft mask, float32 in [0, 1], and the mask (bool), each
    (H, W)."""

    probability: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with what it needs, on the CPU, in evaluation mode.

    Attributes:
        name: of its folder.
        sr: the super-resolution network; None where no channel comes from one.
    """

    name: str
    description: Description
    network: nn.Module
    sr: Generator | None

    @property
    def spec(self) -> RunSpec:
        """The run that trained it."""
        return self.description.spec

    @property
    def sought(self) -> str:
        """What it seeks: ``lesion``, or ``lung``."""
        return "lung" if self.spec.of_lungs else "lesion"

    @property
    def multiple(self) -> int:
        """What heights and widths of images are padded to a multiple of; not those of lungs."""
        return self.network.STRIDE // gcd(self.network.STRIDE, self.spec.scale)

    @property
    def least(self) -> int:
        """The least height and width of an image; of lungs, as many pixels as it is shown with: none are invented."""
        if self.spec.of_lungs:
            return self.spec.size
        return max(self.multiple, -(-self.network.SMALLEST // self.spec.scale))

    def segment(self, image: np.ndarray, threshold: float | None = None) -> Segmentation:
        """``image`` (H, W) in [0, 1] segmented whole; what is padded for the network repeats the edge, and is cut off.

        A slice whose lungs are sought is shown with the pixels that the network was trained on, and the probabilities
        are enlarged to its own (:mod:`softmask.models.whole`).

        Args:
            threshold: in (0, 1]; None for the model's own.

        Raises:
            ConfigError: for another threshold.
            DataError: for an image that is not (H, W) in [0, 1], or is smaller or larger than what is segmented.
        """
        threshold = checked_threshold(self.description.threshold if threshold is None else threshold)
        image = self._checked(image)
        height, width = image.shape
        if self.spec.of_lungs:
            found = whole.answers(self.network, self.spec, [image])
            probability, alpha = (whole.enlarged(one, image.shape)[0] for one in found)
            return Segmentation(probability, alpha, probability >= threshold)
        padded = np.pad(image, ((0, -height % self.multiple), (0, -width % self.multiple)), mode="edge")
        answers = predict(self.network, channels(self.spec, padded, self.sr))  # (1, 1, s, s)
        probability, alpha = (found[0, :height, :width].copy() for found in inputs.read(self.spec, answers))
        return Segmentation(probability, alpha, probability >= threshold)

    def _checked(self, image: np.ndarray) -> np.ndarray:
        image = np.asarray(image, dtype=np.float32)
        if image.ndim != 2 or not image.size:
            raise DataError(f"a grey image (H, W) was expected, not an array of shape {image.shape}")
        if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
            raise DataError(f"values in [0, 1] were expected, not {image.min():g} to {image.max():g}")
        self.check_size(*image.shape)
        return image

    def check_size(self, height: int, width: int) -> None:
        """Raises DataError for an image smaller or larger than what is segmented."""
        if min(height, width) < self.least:
            raise DataError(
                f"{height} x {width} pixels are too few, {self.name} takes {self.least} x {self.least} or more; give "
                "it what the scanner stored"
            )
        if height * width > LARGEST:
            raise DataError(f"{height} x {width} pixels are more than {LARGEST} at once; crop the image")


def names() -> list[str]:
    """The models that come with the package."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{MODEL}"))


def load(name_or_folder: str | Path) -> Model:
    """The model of that name, else in that folder.

    Raises:
        ConfigError: where there is none; lists the names.
        DataError: names the file of it that is damaged, and what does not fit.
    """
    folder = FOLDER / name_or_folder if str(name_or_folder) in names() else Path(name_or_folder)
    if not os.path.isdir(folder):
        known = f"choose one of {', '.join(names())}" if names() else "none comes with this copy of softmask"
        raise ConfigError(f"unknown model {str(name_or_folder)!r}; {known}, or name the folder of a model")
    description = Description.read(folder / MODEL)
    path = folder / WEIGHTS
    weights = read_weights(path, description.sha256)
    return Model(folder.resolve().name, description, *networks(description.spec, weights, str(path)))


def checked_threshold(threshold: float) -> float:
    """The threshold. Raises ConfigError unless it lies above 0 and is at most 1."""
    if not 0 < threshold <= 1:
        raise ConfigError(f"a threshold lies above 0 and is at most 1, not {threshold:g}")
    return threshold


def channels(spec: RunSpec, image: np.ndarray, sr: Generator | None) -> np.ndarray:
    """(1, C, s, s) float32: what :func:`softmask.runs.inputs.channels` gives for one image (H, W), but for rounding.

    That makes them at full size and keeps them in the cache folder: right for a data set that is trained on, not for a
    large image, nor for one of a patient that is segmented once.
    """
    made = {"image": image[None]}
    if "bilinear" in spec.channels:
        batch = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        large = F.interpolate(batch, scale_factor=spec.scale, mode="bilinear", align_corners=False)
        made["bilinear"] = large[0].numpy()
    if sr is not None:
        both = enlarge(sr, image, spec.scale)
        both = both.astype(np.float16).astype(np.float32)  # what the network was trained on had been kept so
        made["super_resolved"], made["detail"] = both[:1], both[1:]
    return np.concatenate([made[name] for name in spec.channels])[None]


def measure(model: Model, test: Part) -> dict[str, Any]:
    """What a record holds of a test part (:func:`softmask.runs.kinds.measured`), for this model's weights, through
    the code that runs are measured with."""
    upscaler = [_Finished(model.spec.sr, model.sr, model.description.sha256)] if model.sr is not None else []
    seen = inputs.channels(model.spec, test.images, upscaler)
    network = inputs.seeing(model.spec, model.network, upscaler)
    return measured(test, *inputs.read(model.spec, predict(network, seen)), model.description.threshold)


@dataclass(frozen=True, eq=False)
class _Finished:
    """A model's super-resolution network as :class:`softmask.runs.inputs.Finished`; its key is that of the weights."""

    spec: RunSpec
    trained: nn.Module
    key: str
    needs: Sequence[inputs.Finished] = ()

    def network(self) -> nn.Module:
        return self.trained
