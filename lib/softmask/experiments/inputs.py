"""Inputs and outputs of the networks: channels made from the images and from other runs' networks; predicted masks.

A network on enlarged images predicts at their size, ``spec.scale`` times the size of the data, and its soft mask is
averaged over each pixel of the data; or the network itself reduces the size by ``spec.reduction``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from softmask.cache import cached_arrays
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import SOFTENED, TEACHER, TEMPERATURE, UNCHANGED, RunSpec
from softmask.experiments.store import Record, Run
from softmask.files import sha256_of
from softmask.measure.soft import soft_head
from softmask.nets.cascade import Transferring, interpolated
from softmask.nets.cascade import channels as cascade_channels
from softmask.nets.srgan import SCALE
from softmask.train.losses import uses_masks, uses_tanh
from softmask.train.segmentation import BINARY, predict
from softmask.train.super_resolution import details, upscale

CHUNK = 32
"""Number of images that are enlarged at a time: the channels of all images take up to a gigabyte."""


def feed(spec: RunSpec, data: Prepared, needs: Sequence[Run]) -> Prepared:
    """Return ``data`` with the training inputs of ``spec``: images (N, C, s, s), where s is the data's size times
    ``spec.scale`` (unchanged if :func:`with_channels` makes the channels), and masks and the label to train on, smaller
    by r = ``spec.reduction``: (N, 1, s / r, s / r). The test part is unchanged."""
    scale = spec.scale // spec.reduction  # of the network's output

    def feed_part(part: Part) -> Part:
        if spec.label == BINARY:
            soft_labels = {}
        elif spec.label == SOFTENED:
            soft_labels = {SOFTENED: np.maximum(part.masks, part.soft["soft_mask"])}  # CasGAN, equation 6
        elif spec.label == TEACHER:
            soft_labels = {TEACHER: soft_masks(_of(spec.prior, needs), part.images)}
        else:
            soft_labels = {spec.label: part.soft[spec.label]}
        soft = {name: interpolated(array, scale) for name, array in soft_labels.items()}
        masks = (interpolated(part.masks, scale) >= 0.5).astype(np.float32)
        return replace(part, images=channels(spec, part.images, needs), masks=masks, soft=soft)

    return replace(data, train=feed_part(data.train), validation=feed_part(data.validation))


def channels(spec: RunSpec, images: np.ndarray, needs: Sequence[Run]) -> np.ndarray:
    """Return the input channels of ``spec`` for ``images`` (N, 1, S, S): (N, C, s, s) float32, in [0, 1] except
    ``detail``. If the channels are made by :func:`with_channels`, return the images unchanged."""
    if spec.on_the_fly:
        return images
    makers: Mapping[str, Callable[[], np.ndarray]] = {
        "super_resolved": lambda: super_resolved(_of(spec.sr, needs), images, spec.scale),
        "detail": lambda: detail(_of(spec.sr, needs), images, spec.scale),
        "prior": lambda: interpolated(soft_masks(_of(spec.prior, needs), images), spec.scale),
    }
    return cascade_channels(spec.channels, images, spec.scale, lambda name: makers[name]())


def with_channels(spec: RunSpec, network: nn.Module, needs: Sequence[Run]) -> nn.Module:
    """Return ``network`` for inputs from :func:`channels`: unchanged, or after the frozen super-resolution network."""
    if not spec.on_the_fly:
        return network
    return Transferring(_of(spec.sr, needs).network().requires_grad_(False), network, spec.scale)


def soft_masks(run: Run, images: np.ndarray) -> np.ndarray:
    """Return the soft masks (N, 1, S, S) float32 in [0, 1] that a finished run's network predicts for ``images``."""
    return predict_masks(run, images)[1][:, None]


def predict_masks(run: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and soft masks, each (N, S, S), that a finished run predicts for ``images`` (N, 1, S, S)."""
    network = with_channels(run.spec, run.network(), run.needs)
    return read(run.spec, network_outputs(run.spec, network, images, run.needs))


def network_outputs(spec: RunSpec, network: nn.Module, images: np.ndarray, needs: Sequence[Run]) -> np.ndarray:
    """Return the sigmoid outputs (N, 1, s, s) of the ``network`` of ``spec`` for ``images`` (N, 1, S, S)."""
    chunks = [images[first : first + CHUNK] for first in range(0, len(images), CHUNK)]
    return np.concatenate([predict(network, channels(spec, chunk, needs)) for chunk in chunks])


def read(spec: RunSpec, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and soft masks, each (N, S, S), from a network's sigmoid outputs ``answers`` (N, 1, s, s).

    The soft mask is (tanh(logits) + 1) / 2 if a loss defines it so, else the probability. If no loss compares with the
    binary mask, the soft mask is also returned as the probability.
    """
    alphas = soft_head(answers) if uses_tanh(spec.losses) else answers
    probabilities = answers if uses_masks(spec.losses) else alphas
    scale = spec.scale // spec.reduction
    return _averaged(probabilities, scale)[:, 0], _averaged(alphas, scale)[:, 0]


def recorded_soft_masks(record: Record) -> dict[str, np.ndarray]:
    """Return the soft masks (S, S) in [0, 1] of the predictions that a record keeps, by image id.

    Records keep probabilities in 8 bits. If the probability is the sigmoid and the soft mask the tanh of the logits
    (:func:`read`), the soft mask is computed from the probability, with an error of at most 1/255.
    """
    spec = record.spec
    if spec.network == UNCHANGED and spec.label != TEMPERATURE:
        spec = spec.prior
    has_soft_head = uses_tanh(spec.losses) and uses_masks(spec.losses)
    predictions = {name: image / 255 for name, image in record.predictions.items()}
    return {name: soft_head(image) if has_soft_head else image for name, image in predictions.items()}


def super_resolved(run: Run, images: np.ndarray, scale: int = SCALE) -> np.ndarray:
    """Return ``images`` (N, 1, S, S) super-resolved by the run: (N, 1, s, s) float16 in [0, 1], s = ``scale`` S."""
    return _once("super-resolved", run, images, scale, upscale)


def detail(run: Run, images: np.ndarray, scale: int = SCALE) -> np.ndarray:
    """Return the input of the network's last convolution, as in :func:`super_resolved`: (N, width, s, s) float16."""
    return _once("detail", run, images, scale, details)


def _once(
    kind: str, run: Run, images: np.ndarray, scale: int, make: Callable[[nn.Module, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the result of ``make`` for the run's network and ``images``, averaged to ``scale``. It is computed once
    and cached in half precision, whose steps of about 0.0005 near 1 are smaller than a grey level of the images."""

    def build() -> dict[str, np.ndarray]:
        network = run.network()
        chunks = [images[first : first + CHUNK] for first in range(0, len(images), CHUNK)]
        averaged_chunks = [_averaged(make(network, chunk), SCALE // scale).astype(np.float16) for chunk in chunks]
        return {"images": np.concatenate(averaged_chunks)}

    key = sha256_of(run.weights, np.ascontiguousarray(images).tobytes(), str(scale))
    return cached_arrays(kind, key, build)["images"]


def _averaged(images: np.ndarray, scale: int) -> np.ndarray:
    """Return ``images`` (N, C, scale H, scale W) averaged over blocks of ``scale`` x ``scale`` pixels: (N, C, H, W)."""
    n, channels, height, width = images.shape
    blocks = images.reshape(n, channels, height // scale, scale, width // scale, scale)
    return blocks.mean(axis=(3, 5), dtype=np.float32)


def _of(spec: RunSpec | None, needs: Sequence[Run]) -> Run:
    return next(run for run in needs if run.spec == spec)
