"""DSNet: what a super-resolution network knows of details, handed on to a segmentor.

"Accurate Lung Nodule Segmentation with Detailed Representation Transfer and Soft Mask Supervision", IEEE TNNLS 2023,
section III-B, figures 3 and 5, equations 9 to 14; and its earlier version (an update of arXiv 2007.14556), figure 4,
with other modules in the place of the transfer.

All of them see an image enlarged by interpolation, the same super-resolved, and the features F_SR that the last layer
of the super-resolution network reads (:meth:`softmask.nets.srgan.Generator.features`). It is frozen: its features come
as channels of the input, made once where they are averaged, and batch by batch at full size
(:class:`softmask.nets.srgan.Transferring`).

What the papers leave open, and what is done here: the context branch is one 3x3 convolution with ReLU, with as many
channels as F_SR, since equation 14 adds its result to the detail branch's; the two vectors of equation 12 come from one
dense layer each, after the common one with ReLU; where the ablations have no selection, the two branches count alike;
what the transfer gives is brought to the image's own size by the backbone's down-sampling blocks (4x4 convolution,
stride 2, ReLU), where the backbone works as without a transfer: a backbone at the enlarged size could not cost the
third more that the paper measures. With a reduction of 1 the backbone works, and answers, at the enlarged size
(:data:`softmask.experiments.rows.FORMS`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets.base import SegmentationNet
from softmask.nets.softgan import ImprovedBackbone

PICTURES = 2
"""Channels of the context: the interpolated image and the super-resolved one."""


def context_branch(channels: int, inputs: int = PICTURES) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, channels, H, W)."""
    return nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU())


class DetailTextureEnhancement(nn.Module):
    """DTM: F_SR weighted by what its fine neighbourhood has and its coarse one has not (equations 9 and 10)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels, channels, 1)  # C_h
        self.coarse = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)  # C_l

    def gate(self, features: torch.Tensor) -> torch.Tensor:
        """F_h (B, C, H, W) in [0, 1] of F_SR (B, C, H, W).

        C_h is the dilated convolution C_l with a centre alone, so that one pass gives their difference.
        """
        kernel = F.pad(self.fine.weight, (1, 1, 1, 1)) - self.coarse.weight  # (C, C, 3, 3)
        difference = F.conv2d(features, kernel, self.fine.bias - self.coarse.bias, padding=2, dilation=2)
        return torch.sigmoid(difference)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features * self.gate(features)  # F_d (B, C, H, W)


class ChannelSelectiveFusion(nn.Module):
    """CSF: for each channel a choice between context and detail, from both of their means (equations 11 to 14)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.common = nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU())
        self.of_context, self.of_detail = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def weights(self, context: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
        """a and b (2, B, C), in [0, 1], a + b = 1."""
        means = torch.cat([detail.mean((2, 3)), context.mean((2, 3))], dim=1)  # v_z (B, 2C)
        z = self.common(means)  # (B, C)
        return torch.softmax(torch.stack([self.of_context(z), self.of_detail(z)]), dim=0)

    def forward(self, context: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
        _, b = self.weights(context, detail)[..., None, None]  # (B, C, 1, 1)
        return torch.lerp(context, detail, b)  # a F_c + b F_d with a = 1 - b (B, C, H, W)


class EvenFusion(nn.Module):
    """In the ablations without a selection: both branches count alike."""

    def forward(self, context: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
        return 0.5 * context + 0.5 * detail


class Transfer(nn.Module):
    """Context and detail, fused: (B, 2 + C, H, W) -> (B, C, H, W).

    Args:
        channels: C, of F_SR.
        enhance: of the detail branch, from F_SR (B, C, H, W) to (B, C, H, W).
        fuse: of both branches.
    """

    def __init__(self, channels: int, enhance: nn.Module, fuse: nn.Module) -> None:
        super().__init__()
        self.context, self.enhance, self.fuse = context_branch(channels), enhance, fuse

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pictures, features = image[:, :PICTURES], image[:, PICTURES:]  # (B, 2, H, W), F_SR (B, C, H, W)
        return self.fuse(self.context(pictures), self.enhance(features))


def drtm(channels: int) -> Transfer:
    """DRTM: detail texture enhancement and channel-wise selective fusion (figure 5)."""
    return Transfer(channels, DetailTextureEnhancement(channels), ChannelSelectiveFusion(channels))


def enhanced(channels: int) -> Transfer:
    """Detail texture enhancement alone (table 5, DTM)."""
    return Transfer(channels, DetailTextureEnhancement(channels), EvenFusion())


def plain(channels: int) -> Transfer:
    """F_SR as it is (table 5, neither)."""
    return Transfer(channels, nn.Identity(), EvenFusion())


def sdrfm(channels: int) -> Transfer:
    """The earlier version's selective module: a convolution in the detail branch, the same selection (figure 4b)."""
    detail = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
    return Transfer(channels, detail, ChannelSelectiveFusion(channels))


def edrfm(channels: int) -> nn.Module:
    """The earlier version's efficient module: everything joined, and one convolution (figure 4a)."""
    return context_branch(channels, PICTURES + channels)


class OnEnlarged(SegmentationNet):
    """The backbone of SoftGAN on what a module makes of enlarged images.

    Args:
        width: channels of the backbone's first level.
        inputs: channels of the images.
        reduction: how much larger they are than the logits, a power of 2.
        module: from images (B, inputs, H, W) to what the backbone reads, (B, channels, H, W).

    Raises:
        ConfigError: for another reduction.
    """

    SMALLEST: ClassVar[int] = ImprovedBackbone.SMALLEST

    def __init__(self, width: int, inputs: int, reduction: int, module: nn.Module, channels: int) -> None:
        super().__init__()
        if reduction < 1 or log2(reduction) % 1:
            raise ConfigError(f"{type(self).__name__} reduces its images by a power of 2, not by {reduction}")
        self.inputs = inputs
        self.STRIDE = reduction * ImprovedBackbone.STRIDE
        halvings = range(int(log2(reduction)))
        self.module = module
        self.reduce = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(channels, channels, 4, stride=2, padding=1), nn.ReLU()) for _ in halvings)
        )
        self.backbone = ImprovedBackbone(width, channels)

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.module(image)  # (B, C, reduction H, reduction W)
        return self.backbone.outputs(self.reduce(x))  # of (B, C, H, W)


class SRInput(OnEnlarged):
    """The super-resolved image as input, without its features (ablation, SR input)."""

    def __init__(self, width: int, inputs: int = 1, reduction: int = 1) -> None:
        super().__init__(width, inputs, reduction, context_branch(width, inputs), width)


class DSNet(OnEnlarged):
    """DSNet (TNNLS 2023): the backbone on what DRTM transfers."""

    CHANNELS: ClassVar[int] = PICTURES + 1
    transfer: ClassVar[Callable[[int], nn.Module]] = staticmethod(drtm)

    def __init__(self, width: int, inputs: int = CHANNELS, reduction: int = 1) -> None:
        if inputs < self.CHANNELS:
            raise ConfigError(
                f"{type(self).__name__} takes images of at least {self.CHANNELS} channels (interpolated, "
                f"super-resolved, and features of the latter's network), not of {inputs}"
            )
        channels = inputs - PICTURES
        super().__init__(width, inputs, reduction, type(self).transfer(channels), channels)


class WithoutSelection(DSNet):
    """DSNet with detail texture enhancement alone (table 5)."""

    transfer = staticmethod(enhanced)


class WithoutDRTM(DSNet):
    """DSNet on the features as they are (table 5)."""

    transfer = staticmethod(plain)


class DSNetV1(DSNet):
    """The earlier version: the backbone on what SDRFM transfers."""

    transfer = staticmethod(sdrfm)


class EfficientDSNetV1(DSNet):
    """The earlier version with EDRFM (its ablation)."""

    transfer = staticmethod(edrfm)
