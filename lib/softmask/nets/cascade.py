"""Cascade of super-resolution and segmentation.

The segmentor's input channels are the interpolated image, the super-resolved image, and F_SR, the features that the
generator's last convolution reads. In training, these channels are computed once and kept
(:mod:`softmask.experiments.inputs`) or, at full size, batch by batch (:class:`Transferring`); at inference, tile by
tile, so that memory is bounded (:func:`enlarge`).
"""

from collections.abc import Callable, Sequence
from math import gcd

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.nets.srgan import REACH, SCALE, Generator

TRANSFERRED = ("bilinear", "super_resolved", "detail")
"""Channels of :func:`transferred`, by the names of :data:`softmask.experiments.spec.CHANNELS`."""


def interpolated(images: np.ndarray, scale: int) -> np.ndarray:
    """Return ``images`` (N, 1, H, W) enlarged ``scale`` times in height and width by bilinear interpolation."""
    if scale == 1:
        return images
    batch = torch.from_numpy(np.ascontiguousarray(images))
    return F.interpolate(batch, scale_factor=scale, mode="bilinear", align_corners=False).numpy()


def channels(
    names: Sequence[str], images: np.ndarray, scale: int, make_channel: Callable[[str], np.ndarray]
) -> np.ndarray:
    """Return a segmentor's input (N, C, s, s), float32, s = scale S, of ``images`` (N, 1, S, S): the channels in
    ``names``, which are ``image``, ``bilinear``, and others; ``make_channel`` returns these by name, (N, c, s, s)."""
    arrays = []
    for name in names:
        if name == "image":
            arrays.append(images)
        else:
            arrays.append(interpolated(images, scale) if name == "bilinear" else make_channel(name))
    return np.concatenate(arrays, axis=1, dtype=np.float32)


def transferred(generator: Generator, images: Tensor, scale: int = SCALE) -> Tensor:
    """Return the channels :data:`TRANSFERRED` of ``images`` (B, 1, S, S) in [0, 1]: (B, 2 + width, s, s), s = scale S.

    One pass of the generator gives both image and features, which are averaged if ``scale`` is less than :data:`SCALE`.
    """
    if not images.is_cuda and len(images) > 1:  # the maps of one image, with 16 times its pixels, just fit into caches
        return torch.cat([transferred(generator, part, scale) for part in images.split(1)])
    super_resolved, detail = generator.features(images)
    super_resolved = super_resolved.clamp(0, 1)
    if scale < SCALE:
        super_resolved, detail = (F.avg_pool2d(x, SCALE // scale) for x in (super_resolved, detail))
    enlarged = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    return torch.cat([enlarged, super_resolved, detail], dim=1)


class Transferring(SegmentationNet):
    """Frozen generator and a segmentor on its :data:`TRANSFERRED` channels at ``scale`` times the size, as one network
    for grey images."""

    def __init__(self, generator: Generator, network: SegmentationNet, scale: int = SCALE) -> None:
        super().__init__()
        self.generator, self.network, self.scale = generator, network, scale
        self.STRIDE = network.STRIDE // gcd(network.STRIDE, scale)
        self.SMALLEST = -(-network.SMALLEST // scale)
        self.WEIGHT_DECAY = network.WEIGHT_DECAY
        self.train(network.training)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.generator.eval()
        return self

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            inputs = transferred(self.generator, image, self.scale)  # (B, 2 + width, scale H, scale W)
        return self.network.training_outputs(inputs)


@torch.inference_mode()
def enlarge(generator: Generator, image: np.ndarray, scale: int = SCALE, tile: int = 128) -> np.ndarray:
    """Return :func:`transferred` of ``image`` (H, W) in [0, 1], of any size: (2 + width, scale H, scale W) float32.

    Every tile is read with a margin as wide as the receptive field, so that ``tile``, its size in pixels, changes the
    result only by rounding.
    """
    image = np.asarray(image, dtype=np.float32)
    (height, width), weight = image.shape, generator.last.weight
    result = np.empty((2 + weight.shape[1], scale * height, scale * width), np.float32)
    was_training = generator.training
    generator.eval()
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            # slices of the pixels read, of the part of their result that is kept, and of its place in the whole result
            margins = [(start, min(start, REACH)) for start in (top, left)]
            read_slices = tuple(slice(start - margin, start + tile + REACH) for start, margin in margins)
            kept_slices = tuple(slice(scale * margin, scale * (margin + tile)) for _, margin in margins)
            result_slices = tuple(slice(scale * start, scale * (start + tile)) for start, _ in margins)
            piece = torch.tensor(image[read_slices], device=weight.device)[None, None]  # (1, 1, h, w)
            result[:, *result_slices] = transferred(generator, piece, scale)[0][:, *kept_slices].cpu().numpy()
    generator.train(was_training)
    return result
