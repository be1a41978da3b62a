"""DSNet: transfer of the details that a super-resolution network represents to a segmentor.

"Accurate Lung Nodule Segmentation with Detailed Representation Transfer and Soft Mask Supervision", IEEE TNNLS 2023,
section III-B, figures 3 and 5, equations 9 to 14; and its earlier version (an update of arXiv 2007.14556), figure 4,
with other modules in place of the transfer.

The input is an image enlarged by interpolation, the same image super-resolved, and the features F_SR that the last
layer of the frozen super-resolution network reads (:mod:`softmask.nets.cascade`). DRTM (figure 5) transfers them:

    F_d = F_SR * sigmoid(C_h(F_SR) - C_l(F_SR))          detail texture enhancement (9, 10)
    v_z = [mean F_d, mean F_c]                           channel-wise selection (11)
    (a, b) = softmax(A z, B z),  z = ReLU(W v_z)         for every channel (12, 13)
    F = a F_c + b F_d                                    (14)

with C_h a 1x1 and C_l a dilated 3x3 convolution, and F_c the context branch's features of the two images.

Chosen here: ReLU after the first fully connected layer, W; the context branch is one 3x3 convolution with ReLU, with as
many channels as F_SR; the ablations without selection weigh both branches alike; down-sampling blocks as in the
backbone bring the transfer's output to the image's size, because a backbone at the enlarged size would add more than
the third of inference time that the paper reports.
With a reduction of 1, the backbone works at the enlarged size (:data:`softmask.experiments.rows.FORMS`).
"""

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.nets.softgan import ImprovedBackbone

PICTURES = 2
"""Channels of the context: the interpolated image and the super-resolved one."""


def context_branch(channels: int, inputs: int = PICTURES) -> nn.Sequential:
    """Return layers (B, inputs, H, W) -> (B, channels, H, W)."""
    return nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True))


class DetailTextureEnhancement(nn.Module):
    """DTM: F_SR weighted by the difference of its fine and its coarse structure."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels, channels, 1)  # C_h
        self.coarse = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)  # C_l

    def gate(self, features: Tensor) -> Tensor:
        """Return F_h = sigmoid(C_h(F_SR) - C_l(F_SR)) (B, C, H, W) in [0, 1], of F_SR (B, C, H, W)."""
        # C_h's 1x1 kernel is a dilated 3x3 kernel with zeros around its centre, so that one pass gives the difference
        kernel = F.pad(self.fine.weight, (1, 1, 1, 1)) - self.coarse.weight  # (C, C, 3, 3)
        difference = F.conv2d(features, kernel, self.fine.bias - self.coarse.bias, padding=2, dilation=2)
        return difference.sigmoid_()

    def forward(self, features: Tensor) -> Tensor:
        return features * self.gate(features)  # F_d (B, C, H, W)


class ChannelSelectiveFusion(nn.Module):
    """CSF: context and detail, weighted for each channel by the means of both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.common = nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU())
        self.of_context = nn.Linear(channels, channels)
        self.of_detail = nn.Linear(channels, channels)

    def weights(self, context: Tensor, detail: Tensor) -> Tensor:
        """Return a and b (2, B, C), in [0, 1], a + b = 1."""
        means = torch.cat([detail.mean((2, 3)), context.mean((2, 3))], dim=1)  # v_z (B, 2C)
        z = self.common(means)  # (B, C)
        return torch.softmax(torch.stack([self.of_context(z), self.of_detail(z)]), dim=0)

    def forward(self, context: Tensor, detail: Tensor) -> Tensor:
        _, b = self.weights(context, detail)[..., None, None]  # (B, C, 1, 1)
        return torch.lerp(context, detail, b)  # a F_c + b F_d with a = 1 - b (B, C, H, W)


class EvenFusion(nn.Module):
    """Fusion without selection, in the ablations."""

    def forward(self, context: Tensor, detail: Tensor) -> Tensor:
        return 0.5 * context + 0.5 * detail


class Transfer(nn.Module):
    """Fusion of context and detail: (B, 2 + C, H, W) -> (B, C, H, W), C = ``channels``; detail is ``enhance(F_SR)``."""

    def __init__(self, channels: int, enhance: nn.Module, fuse: nn.Module) -> None:
        super().__init__()
        self.context = context_branch(channels)
        self.enhance = enhance
        self.fuse = fuse

    def forward(self, stacked: Tensor) -> Tensor:
        pictures, features = stacked[:, :PICTURES], stacked[:, PICTURES:]  # (B, 2, H, W), F_SR (B, C, H, W)
        return self.fuse(self.context(pictures), self.enhance(features))


def drtm(channels: int) -> Transfer:
    """DRTM: detail texture enhancement and channel-wise selective fusion (figure 5)."""
    return Transfer(channels, DetailTextureEnhancement(channels), ChannelSelectiveFusion(channels))


def sdrfm(channels: int) -> Transfer:
    """The earlier version's selective module: a convolution in the detail branch, the same selection (figure 4b)."""
    return Transfer(channels, context_branch(channels, channels), ChannelSelectiveFusion(channels))


def edrfm(channels: int) -> nn.Module:
    """The earlier version's efficient module: everything joined, and one convolution (figure 4a)."""
    return context_branch(channels, PICTURES + channels)


class OnEnlarged(SegmentationNet):
    """SoftGAN's backbone on the output of ``module``, (B, inputs, H, W) -> (B, channels, H, W), for enlarged images;
    strided convolutions reduce this output by ``reduction``, a power of 2."""

    SMALLEST = ImprovedBackbone.SMALLEST

    def __init__(self, width: int, inputs: int, reduction: int, module: nn.Module, channels: int) -> None:
        super().__init__(inputs)
        self.STRIDE = reduction * ImprovedBackbone.STRIDE
        self.module = module
        self.reduce = nn.Sequential()
        for _ in range(int(log2(reduction))):
            self.reduce.append(nn.Sequential(nn.Conv2d(channels, channels, 4, stride=2, padding=1), nn.ReLU(True)))
        self.backbone = ImprovedBackbone(width, channels)

    def reduced(self, image: Tensor) -> Tensor:
        """Return the input of the backbone: (B, inputs, reduction H, reduction W) -> (B, C, H, W)."""
        # the maps of one image of 16 times the pixels just fit into caches
        if len(self.reduce) > 1 and len(image) > 1 and not image.is_cuda:
            return torch.cat([self.reduced(single) for single in image.split(1)])
        return self.reduce(self.module(image))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.backbone.outputs(self.reduced(image))


class SRInput(OnEnlarged):
    """The super-resolved image as input, without its features (ablation, SR input)."""

    def __init__(self, width: int, inputs: int = 1, reduction: int = 1) -> None:
        super().__init__(width, inputs, reduction, context_branch(width, inputs), width)


class DSNet(OnEnlarged):
    """DSNet (TNNLS 2023): the backbone on the features that DRTM transfers; subclasses use another module."""

    CHANNELS = PICTURES + 1
    transfer = staticmethod(drtm)

    def __init__(self, width: int, inputs: int = CHANNELS, reduction: int = 1) -> None:
        channels = inputs - PICTURES
        super().__init__(width, inputs, reduction, self.transfer(channels), channels)


class WithoutSelection(DSNet):
    """Ablation: detail texture enhancement alone (table 5, DTM)."""

    @staticmethod
    def transfer(channels: int) -> Transfer:
        return Transfer(channels, DetailTextureEnhancement(channels), EvenFusion())


class WithoutDRTM(DSNet):
    """Ablation: the features as they are (table 5, neither)."""

    @staticmethod
    def transfer(channels: int) -> Transfer:
        return Transfer(channels, nn.Identity(), EvenFusion())


class DSNetV1(DSNet):
    """DSNet, earlier version, with the selective module."""

    transfer = staticmethod(sdrfm)


class EfficientDSNetV1(DSNet):
    """DSNet, earlier version, with the efficient module (ablation)."""

    transfer = staticmethod(edrfm)
