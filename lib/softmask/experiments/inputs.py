"""What a network sees and how its answer is read: channels made from the images and from the runs that it builds on.

A network on enlarged images answers at their size, ``spec.scale`` times the data's, and its soft mask is averaged over
each pixel of the data; or it brings them down by ``spec.reduction`` itself.
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
from softmask.train.losses import by_tanh, looking_at
from softmask.train.segmentation import BINARY, predict
from softmask.train.super_resolution import details, upscale

CHUNK = 32
"""Images that are enlarged together: all at full size would take too much memory."""


def feed(spec: RunSpec, data: Prepared, needs: Sequence[Run]) -> Prepared:
    """Return ``data`` as ``spec`` trains on it: images (N, C, s, s), masks and the wanted soft label (N, 1, s, s), with
    s the data's size times ``spec.scale``; labels are smaller by ``spec.reduction``. The test part stays as it is."""
    scale = spec.scale // spec.reduction  # of what the network answers

    def part(part: Part) -> Part:
        if spec.label == BINARY:
            label = {}
        elif spec.label == SOFTENED:
            label = {SOFTENED: np.maximum(part.masks, part.soft["soft_mask"])}  # CasGAN, equation 6
        elif spec.label == TEACHER:
            label = {TEACHER: soft_masks(_of(spec.prior, needs), part.images)}
        else:
            label = {spec.label: part.soft[spec.label]}
        soft = {name: interpolated(array, scale) for name, array in label.items()}
        masks = (interpolated(part.masks, scale) >= 0.5).astype(np.float32)
        return replace(part, images=channels(spec, part.images, needs), masks=masks, soft=soft)

    return replace(data, train=part(data.train), validation=part(data.validation))


def channels(spec: RunSpec, images: np.ndarray, needs: Sequence[Run]) -> np.ndarray:
    """Return the channels of ``spec`` for ``images`` (N, 1, S, S), (N, C, s, s) float32 in [0, 1] but for ``detail``;
    the images as they are where :func:`seeing` makes the channels."""
    if spec.on_the_fly:
        return images
    make: Mapping[str, Callable[[], np.ndarray]] = {
        "super_resolved": lambda: super_resolved(_of(spec.sr, needs), images, spec.scale),
        "detail": lambda: detail(_of(spec.sr, needs), images, spec.scale),
        "prior": lambda: interpolated(soft_masks(_of(spec.prior, needs), images), spec.scale),
    }
    return cascade_channels(spec.channels, images, spec.scale, lambda name: make[name]())


def seeing(spec: RunSpec, network: nn.Module, needs: Sequence[Run]) -> nn.Module:
    """Return ``network`` for what :func:`channels` gives: itself, or behind the frozen super-resolution network."""
    if not spec.on_the_fly:
        return network
    return Transferring(_of(spec.sr, needs).network().requires_grad_(False), network, spec.scale)


def soft_masks(run: Run, images: np.ndarray) -> np.ndarray:
    """Return the soft masks (N, 1, S, S) float32 in [0, 1] that a finished run's network predicts for ``images``."""
    return predicted(run, images)[1][:, None]


def predicted(run: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and soft masks, each (N, S, S), that a finished run's network predicts for ``images``
    (N, 1, S, S)."""
    network = seeing(run.spec, run.network(), run.needs)
    return read(run.spec, answers(run.spec, network, images, run.needs))


def answers(spec: RunSpec, network: nn.Module, images: np.ndarray, needs: Sequence[Run]) -> np.ndarray:
    """Return the sigmoid answers (N, 1, s, s) of the ``network`` of ``spec`` for ``images`` (N, 1, S, S). Channels are
    made for a few images at a time: all together they take up to a gigabyte."""
    parts = [images[first : first + CHUNK] for first in range(0, len(images), CHUNK)]
    return np.concatenate([predict(network, channels(spec, part, needs)) for part in parts])


def read(spec: RunSpec, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and soft masks, each (N, S, S), from a network's sigmoid ``answers`` (N, 1, s, s).

    The soft mask is (tanh(logits) + 1) / 2 where a loss read it so, else the probability; it stands for the probability
    where no loss asked for a binary mask.
    """
    alphas = soft_head(answers) if by_tanh(spec.losses) else answers
    probabilities = answers if looking_at("masks", spec.losses) else alphas
    scale = spec.scale // spec.reduction
    return _averaged(probabilities, scale)[:, 0], _averaged(alphas, scale)[:, 0]


def recorded_soft_masks(record: Record) -> dict[str, np.ndarray]:
    """Return the soft masks (S, S) in [0, 1] behind the predictions that a record keeps, by image.

    Records keep probabilities in 8 bits; where a loss read the logits by tanh beside them, see :func:`read`, the soft
    mask follows within 1/255.
    """
    spec = record.spec
    if spec.network == UNCHANGED and spec.label != TEMPERATURE:
        spec = spec.prior
    both = by_tanh(spec.losses) and looking_at("masks", spec.losses)
    predictions = {name: image / 255 for name, image in record.predictions.items()}
    return {name: soft_head(image) if both else image for name, image in predictions.items()}


def super_resolved(run: Run, images: np.ndarray, scale: int = SCALE) -> np.ndarray:
    """Return ``images`` (N, 1, S, S) super-resolved by the run's network: (N, 1, s, s) float16 in [0, 1], s = scale
    S."""
    return _once("super-resolved", run, images, scale, upscale)


def detail(run: Run, images: np.ndarray, scale: int = SCALE) -> np.ndarray:
    """Return what the last convolution reads, as :func:`super_resolved`: (N, width, s, s) float16."""
    return _once("detail", run, images, scale, details)


def _once(
    kind: str, run: Run, images: np.ndarray, scale: int, make: Callable[[nn.Module, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return what ``make`` gives for a network and ``images``, averaged to the scale; made once for each, and kept in
    half precision, about 0.0005 apart at 1: less than a grey level of the pictures."""

    def build() -> dict[str, np.ndarray]:
        network = run.network()
        parts = [images[first : first + CHUNK] for first in range(0, len(images), CHUNK)]
        averaged = [_averaged(make(network, part), SCALE // scale).astype(np.float16) for part in parts]
        return {"images": np.concatenate(averaged)}

    key = sha256_of(run.key, np.ascontiguousarray(images).tobytes(), str(scale))
    return cached_arrays(kind, key, build)["images"]


def _averaged(images: np.ndarray, scale: int) -> np.ndarray:
    """Return (N, C, scale H, scale W) as (N, C, H, W), by the mean over the pixels that become one."""
    n, channels, height, width = images.shape
    blocks = images.reshape(n, channels, height // scale, scale, width // scale, scale)
    return blocks.mean(axis=(3, 5), dtype=np.float32)


def _of(spec: RunSpec | None, needs: Sequence[Run]) -> Run:
    return next(run for run in needs if run.spec == spec)
