"""DSNet's figures of its parts, drawn from the modules: a CBAM block, and the modules that transfer details.

What these modules do between their layers (a product, a mean, a softmax) is a function call, which a diagram does not
see. Each class here does what its module does, with the module's own layers, and every such call as a box.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from softmask.nets import build
from softmask.nets.cascade import Transferring
from softmask.nets.dsnet import PICTURES, DetailTextureEnhancement, Transfer
from softmask.nets.softgan import CBAMBlock
from softmask.nets.srgan import SCALE, Generator
from softmask.report import diagrams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = 64
"""Height and width of the image that goes through."""

_SHAPES = torch.device("meta")
"""A diagram needs shapes alone: at full width, numbers would take seconds."""


class Step(nn.Module):
    """A function as a box of its own, called ``label``."""

    def __init__(self, label: str, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.label, self.function = label, function

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.function(*values)


def _times(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x * y


class DrawnCBAM(nn.Module):
    """A :class:`~softmask.nets.softgan.CBAMBlock`, step by step."""

    def __init__(self, block: CBAMBlock) -> None:
        super().__init__()
        self.block = block
        self.mean = Step("mean over places", lambda x: x.mean((2, 3), keepdim=True))
        self.largest = Step("maximum over places", lambda x: x.amax((2, 3), keepdim=True))
        self.channels = Step("+, sigmoid", lambda mean, largest: torch.sigmoid(mean + largest))
        self.by_channel = Step("× channels' weights", _times)
        self.pooled = Step(
            "mean and maximum\nover channels",
            lambda x: torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1),
        )
        self.by_place = Step("× places' weights", lambda x, logits: x * torch.sigmoid(logits))
        self.add = Step("+ shortcut", lambda x, shortcut: x + shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        block, perceptron = self.block, self.block.channel_attention.perceptron
        shortcut = block.shortcut(x)
        y = block.convs(x)  # (B, C, H, W)
        weights = self.channels(perceptron(self.mean(y)), perceptron(self.largest(y)))  # (B, C, 1, 1)
        y = self.by_channel(y, weights)
        y = self.by_place(y, block.spatial_attention.conv(self.pooled(y)))
        return self.add(y, shortcut)


class DrawnTransfer(nn.Module):
    """A :class:`~softmask.nets.dsnet.Transfer` with channel-wise selection, step by step."""

    def __init__(self, transfer: Transfer) -> None:
        super().__init__()
        self.transfer = transfer
        self.gate = Step("−, sigmoid: $F_h$", lambda fine, coarse: torch.sigmoid(fine - coarse))
        self.weigh = Step("× $F_h$: $F_d$", _times)
        self.vector = Step(
            "join, mean over places: $v_z$", lambda detail, context: torch.cat([detail, context], 1).mean((2, 3))
        )
        self.select = Step("softmax: a, b", lambda c, d: torch.cat([*torch.softmax(torch.stack([c, d]), 0)], 1))
        self.add = Step("$a F_c + b F_d$", self._sum)

    @staticmethod
    def _sum(context: torch.Tensor, detail: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        a, b = weights[..., None, None].chunk(2, dim=1)  # each (B, C, 1, 1)
        return a * context + b * detail

    def forward(self, interpolated: torch.Tensor, super_resolved: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        fuse, enhance = self.transfer.fuse, self.transfer.enhance
        context = self.transfer.context(torch.cat([interpolated, super_resolved], dim=1))  # (B, C, H, W)
        if isinstance(enhance, DetailTextureEnhancement):
            detail = self.weigh(features, self.gate(enhance.fine(features), enhance.coarse(features)))
        else:
            detail = enhance(features)
        z = fuse.common(self.vector(detail, context))  # (B, C)
        return self.add(context, detail, self.select(fuse.of_context(z), fuse.of_detail(z)))


class DrawnJoin(nn.Module):
    """A module that reads pictures and features as channels of one input, such as EDRFM."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return self.module(torch.cat(parts, dim=1))


def overview(network: str, module: str, heads: list[tuple[str, str]]) -> Figure:
    """DSNet's figure 3 (both versions): generator, transfer, backbone, at full width, for an image of :data:`SIZE`.

    Args:
        network: in :data:`softmask.nets.NETWORKS`.
        module: what its transfer is called.
        heads: what becomes of the output, as in :func:`softmask.report.diagrams.diagram`.
    """
    with _SHAPES:
        built = build(network, inputs=PICTURES + Generator.FULL_WIDTH, reduction=SCALE)
        built.module.label = module
        boxes = diagrams.trace(Transferring(build("srgan"), built), [torch.zeros(1, 1, SIZE, SIZE)], ["image"])
    return diagrams.diagram(boxes, heads, size=(19, 8))


def cbam() -> Figure:
    """DSNet (TNNLS 2023) figure 4: the backbone's second CBAM block at full width, whose channels double."""
    with _SHAPES:
        block = build("improved_backbone").down[0][-1]
        x = torch.zeros(1, block.convs[0].in_channels, SIZE // 2, SIZE // 2)
        boxes = diagrams.trace(DrawnCBAM(block), [x], ["features"], layers=True)
    return diagrams.diagram(boxes, size=(13, 7))


def transfer(module: Callable[[int], nn.Module], channels: int = Generator.FULL_WIDTH) -> Figure:
    """DSNet (TNNLS 2023) figure 5, its first version's figure 4: the module that transfers ``channels`` features.

    Args:
        module: such as :func:`softmask.nets.dsnet.drtm`.
    """
    large = SCALE * SIZE
    names = ["interpolated image", "super-resolved image", "features $F_{SR}$"]
    with _SHAPES:
        made = module(channels)
        inputs = [torch.zeros(1, n, large, large) for n in (1, 1, channels)]
        steps = isinstance(made, Transfer)
        boxes = diagrams.trace(DrawnTransfer(made) if steps else DrawnJoin(made), inputs, names, layers=True)
    return diagrams.diagram(boxes, size=(13, 7) if steps else (8, 6))
