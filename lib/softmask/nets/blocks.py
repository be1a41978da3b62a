"""Building blocks shared by several networks."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from softmask.nets.base import SegmentationNet


def conv_bn(inputs: int, channels: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> list[nn.Module]:
    """Return a convolution, batch normalisation and ReLU: (B, inputs, H, W) to (B, channels, H/stride, W/stride).

    The convolution has no bias, which the normalisation would subtract.
    """
    conv = nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(channels), *([nn.ReLU(inplace=True)] if relu else [])]


def conv_bn_relu(inputs: int, channels: int, count: int = 1) -> nn.Sequential:
    """Return ``count`` 3x3 convolutions in a row, each with batch normalisation and ReLU."""
    return nn.Sequential(*(layer for i in range(count) for layer in conv_bn(channels if i else inputs, channels)))


def levels_of(width: int, count: int) -> list[int]:
    """Return the channels of ``count`` levels, from fine to coarse: each has twice as many as the one before."""
    return [width * 2**level for level in range(count)]


class UShape(SegmentationNet):
    """U-shaped encoder and decoder of five levels, with skips by concatenation (Ronneberger et al., figure 1).

    Encoder: x_1 = first(image), x_l = down_l(x_(l-1)). Decoder: y_5 = x_5, y_l = merge_l([x_l, up_l(y_(l+1))]).
    Logits: head(y_1).

    Args:
        block: makes the layers of a level, of so many channels in and out.
        halve: makes the layers that halve height and width, of so many channels.
        double: makes the layer that doubles them, of so many channels in and out.
        head: height and width of the last convolution.
    """

    LEVELS = 5
    STRIDE = SMALLEST = 16

    def __init__(
        self,
        width: int,
        inputs: int,
        block: Callable[[int, int], nn.Module],
        halve: Callable[[int], list[nn.Module]],
        double: Callable[[int, int], nn.Module],
        head: int = 1,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        steps = list(pairwise(levels_of(width, self.LEVELS)))  # (finer, coarser)
        self.first = block(inputs, width)
        self.down = nn.ModuleList(nn.Sequential(*halve(fine), block(fine, coarse)) for fine, coarse in steps)
        self.up = nn.ModuleList(double(coarse, fine) for fine, coarse in steps)
        self.merge = nn.ModuleList(block(2 * fine, fine) for fine, _ in steps)
        self.head = nn.Conv2d(width, 1, head, padding=head // 2)

    def levels(self, image: Tensor) -> dict[str, Tensor]:
        """Return the result of every block, from the first to the last, and the logits, by name.

        ``encoder1`` (B, w, H, W) to ``encoder5`` (B, 16w, H/16, W/16), ``decoder4`` to ``decoder1`` (B, w, H, W),
        ``logits`` (B, 1, H, W).
        """
        maps = {"encoder1": self.first(image)}
        for level, down in enumerate(self.down, start=2):
            maps[f"encoder{level}"] = down(maps[f"encoder{level - 1}"])
        x = maps[f"encoder{self.LEVELS}"]
        for level in range(self.LEVELS - 1, 0, -1):
            skip = maps[f"encoder{level}"]
            x = maps[f"decoder{level}"] = self.merge[level - 1](torch.cat([skip, self.up[level - 1](x)], dim=1))
        return {**maps, "logits": self.head(x)}

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.levels(image)["logits"],)
