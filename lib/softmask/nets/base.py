"""Base class of all networks, and building blocks and initial weights that several networks share."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from softmask.errors import ConfigError


class SegmentationNet(nn.Module):
    """Network from images to one map of logits; a subclass implements :meth:`outputs`.

    A subclass takes ``width``, the number of channels of its first level or stage (doubled at each following level
    unless its docstring says otherwise). Some subclasses also take ``inputs``, the number of channels of the images,
    and ``reduction``, the ratio of the images' size to the logits' size (:func:`softmask.nets.registry.build`).

    Attributes:
        STRIDE: number of which the input's height and width must be multiples.
        SMALLEST: least height and width of the input.
        FULL_WIDTH: ``width`` in the publication.
        PARAMETERS: number of parameters in the publication (or in its authors' code) at full width, with one input
            channel and one output map; None if unknown.
        CHANNELS: least number of channels of the images.
        WEIGHT_DECAY: L2 penalty of Adam, if the paper that trains the network states one.
        inputs: number of channels of the images. The first channel is the measured image, which a discriminator sees.
    """

    STRIDE: int = 1
    SMALLEST: int = 1
    FULL_WIDTH: int = 64
    PARAMETERS: int | None = None
    CHANNELS: int = 1
    WEIGHT_DECAY: float = 0.0

    def __init__(self, inputs: int = 1) -> None:
        super().__init__()
        self.inputs = inputs

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the main logits (B, 1, H, W), followed by the logits for deep supervision, of the same shape.

        The training loss is the mean over all outputs; in evaluation mode, only the first output is needed.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W) of images (B, ``inputs``, H, W) in [0, 1]."""
        return self.training_outputs(image)[0]

    def training_outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return :meth:`outputs`. Raises ConfigError for a shape that the network does not take."""
        shape, stride, smallest = tuple(image.shape), self.STRIDE, self.SMALLEST
        fits = len(shape) == 4 and shape[1] == self.inputs
        if not fits or any(side % stride or side < smallest for side in shape[2:]):
            raise ConfigError(
                f"{type(self).__name__} takes images (B, {self.inputs}, H, W), H and W multiples of {stride} and at "
                f"least {smallest}, not {shape}; crop or pad them"
            )
        return self.outputs(image)


def conv_bn(inputs: int, channels: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> list[nn.Module]:
    """Return a convolution without bias, batch normalisation and, if ``relu``, ReLU."""
    conv = nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(channels), *([nn.ReLU(inplace=True)] if relu else [])]


def conv_bn_relu(inputs: int, channels: int, count: int = 1) -> nn.Sequential:
    """Return ``count`` 3x3 convolutions in a row, each with batch normalisation and ReLU."""
    return nn.Sequential(*(layer for i in range(count) for layer in conv_bn(channels if i else inputs, channels)))


def levels_of(width: int, count: int) -> list[int]:
    """Return the numbers of channels of ``count`` levels, from fine to coarse, doubled at each level."""
    return [width * 2**level for level in range(count)]


def max_pool(channels: int) -> list[nn.Module]:
    """Return U-Net's layer that halves height and width."""
    return [nn.MaxPool2d(2)]


def transposed_conv(inputs: int, channels: int) -> nn.Module:
    """Return U-Net's layer that doubles height and width."""
    return nn.ConvTranspose2d(inputs, channels, 2, stride=2)


class UShape(SegmentationNet):
    """U-shaped encoder and decoder of five levels, with skips by concatenation (Ronneberger et al., figure 1).

    Encoder: x_1 = first(image), x_l = down_l(x_(l-1)). Decoder: y_5 = x_5, y_l = merge_l([x_l, up_l(y_(l+1))]).
    Logits: head(y_1).

    Args:
        block: function from the numbers of input and output channels of a level to its layers.
        halve: function from a number of channels to the layers that halve height and width.
        double: function from the numbers of input and output channels to the layer that doubles height and width.
        head: kernel size of the last convolution.
    """

    LEVELS = 5
    STRIDE = SMALLEST = 16

    def __init__(
        self,
        width: int,
        inputs: int,
        block: Callable[[int, int], nn.Module],
        halve: Callable[[int], list[nn.Module]] = max_pool,
        double: Callable[[int, int], nn.Module] = transposed_conv,
        head: int = 1,
    ) -> None:
        super().__init__(inputs)
        level_pairs = list(pairwise(levels_of(width, self.LEVELS)))  # (finer, coarser)
        self.first = block(inputs, width)
        self.down = nn.ModuleList(nn.Sequential(*halve(fine), block(fine, coarse)) for fine, coarse in level_pairs)
        self.up = nn.ModuleList(double(coarse, fine) for fine, coarse in level_pairs)
        self.merge = nn.ModuleList(block(2 * fine, fine) for fine, _ in level_pairs)
        self.head = nn.Conv2d(width, 1, head, padding=head // 2)

    def levels(self, image: Tensor) -> dict[str, Tensor]:
        """Return the output of every block, in order, by name.

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


def gaussian(network: nn.Module, slope: float = 0.0, std: float | None = None) -> None:
    """Draw the weights of all convolutions and dense layers from normal distributions, and set their biases to 0.

    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 15.

    Args:
        slope: slope of the rectifier for negative values.
        std: standard deviation; None for sqrt(2 / ((1 + slope^2) n)), where an output is a sum of n terms.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        n_terms = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):  # (in, out, k, k); an output sums one term in stride^2
            n_terms = layer.weight[:, 0].numel() // math.prod(layer.stride)
        nn.init.normal_(layer.weight, 0.0, std or math.sqrt(2 / ((1 + slope**2) * n_terms)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
