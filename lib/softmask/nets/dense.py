"""Conversion of a patch classifier to a network for whole images.

A patch classifier decides whether the centre pixel of a patch belongs to the lesion. The converted network returns the
outputs for the patches around all pixels in one pass over the image (Giusti, Ciresan, Masci, Gambardella and
Schmidhuber, "Fast image scanning with deep max-pooling convolutional neural networks", ICIP 2013).

A layer f with a window of k positions and stride s turns a map x of a patch into y[p] = f(x[s p + j], 0 <= j < k). Each
map has a *rate* r, the distance in pixels between neighbouring positions of one patch; the rate of the image is 1. If a
dense map X holds the map of the patch with corner c as x[p] = X[c + r p], then

    y[p] = f(X[c + r (s p + j)]) = Y[c + r s p]    with    Y[q] = f(X[q + r j]):

the dense layer has stride 1 and dilation r, and the rate after it is r s. A fully connected layer on n x n positions is
a convolution with an n x n window. A layer shortens a dense map by its reach (k - 1) r; padding with zeros compensates
for this. The output at a pixel is exactly that of the patch around the pixel, if the patch lies inside the image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Window(nn.Module):
    """Layer with a window of size x size positions, first strided and unpadded; a subclass implements :meth:`slide`."""

    def __init__(self, size: int, stride: int = 1) -> None:
        super().__init__()
        self.size, self.stride, self.rate, self.pads = size, stride, 1, (0, 0)

    def densify(self, reach: int, rate: int) -> tuple[int, int]:
        """See :func:`densify`."""
        reach_after, rate_after = reach + (self.size - 1) * rate, rate * self.stride
        # Even windows have no middle: half a pixel that is missing before one map is added before the next map.
        pad_before = reach_after // 2 - reach // 2
        self.stride, self.rate, self.pads = 1, rate, (pad_before, reach_after - reach - pad_before)
        return reach_after, rate_after

    def slide(self, x: Tensor) -> Tensor:
        """Return the result on a padded map (B, C, H, W): every ``stride``-th window of positions ``rate`` apart."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.slide(F.pad(x, self.pads * 2))


class Conv(Window):
    """Convolution; ``(size - 1) rate`` must be even, because torch pads both sides equally."""

    def __init__(self, inputs: int, channels: int, size: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(size, stride)
        self.kernel = nn.Conv2d(inputs, channels, size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.kernel.weight, self.kernel.bias
        return F.conv2d(x, weight, bias, stride=self.stride, padding=self.pads[0], dilation=self.rate)


class MaxPool(Window):
    """Max pooling, one axis after the other, because torch's max pooling is slow where windows overlap."""

    def slide(self, x: Tensor) -> Tensor:
        x = largest(largest(x, -2, self.size, self.rate), -1, self.size, self.rate)
        return x[..., :: self.stride, :: self.stride]


class Shrink(Window):
    """Mean over windows ``scale`` pixels apart, before any strided layer: patches ``scale`` times as large are reduced
    to the size of those at scale 1. The window size is odd, so that the middle pixel stays in the middle."""

    def __init__(self, scale: int) -> None:
        super().__init__(scale // 2 * 2 + 1, scale)

    def slide(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.size, self.stride)


class Branches(nn.Module):
    """Parallel layers on one map, whose outputs are concatenated as channels or ``summed``. On patches, all outputs are
    cropped to the middle, to the size of the smallest output."""

    def __init__(self, *branches: nn.Module, summed: bool = False) -> None:
        super().__init__()
        self.branches, self.summed = nn.ModuleList(branches), summed

    def densify(self, reach: int, rate: int) -> tuple[int, int]:
        """See :func:`densify`; return the greatest reach and rate of all branches."""
        reaches, rates = zip(*(densify(branch, reach, rate) for branch in self.branches), strict=True)
        return max(reaches), max(rates)

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self.branches]
        height, width = (min(m.shape[axis] for m in maps) for axis in (-2, -1))
        corners = [((m.shape[-2] - height) // 2, (m.shape[-1] - width) // 2) for m in maps]
        maps = [m[..., top : top + height, left : left + width] for m, (top, left) in zip(maps, corners, strict=True)]
        return sum(maps[1:], start=maps[0]) if self.summed else torch.cat(maps, dim=1)


def densify(layer: nn.Module, reach: int = 0, rate: int = 1) -> tuple[int, int]:
    """Convert strided layers to their dense form, in place, and return reach and rate of their output. The input map
    has the given ``rate``, and each of its positions depends on ``reach`` + 1 pixels along an axis."""
    if isinstance(layer, Window | Branches):
        return layer.densify(reach, rate)
    children = list(layer.children())
    if not children and not isinstance(layer, nn.BatchNorm2d | nn.ReLU | nn.Identity | nn.Sequential):
        raise TypeError(f"{layer} has no dense form; build it from softmask.nets.dense")
    for child in children:
        reach, rate = densify(child, reach, rate)
    return reach, rate


def dense(classifier: nn.Sequential) -> nn.Sequential:
    """Convert a ``classifier`` of patches, (B, C, P, P) -> (B, K, 1, 1), in place to (B, C, H, W) -> (B, K, H, W)."""
    densify(classifier)
    return classifier


def conv(inputs: int, channels: int, size: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        Conv(inputs, channels, size, stride, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )


def shrink(scale: int) -> list[nn.Module]:
    """Return the first layers of a branch at ``scale``; none for a scale of 1."""
    return [] if scale == 1 else [Shrink(scale)]


def largest(x: Tensor, axis: int, size: int, rate: int) -> Tensor:
    """Return the maximum of ``size`` positions ``rate`` apart along one axis, wherever all of these positions exist."""
    length = x.shape[axis] - (size - 1) * rate
    result = x.narrow(axis, 0, length)
    for offset in range(1, size):
        result = larger(result, x.narrow(axis, offset * rate, length))
    return result


def larger(a: Tensor, b: Tensor) -> Tensor:
    """Return the maximum at each position; the gradient of torch.maximum is slower, because of ties."""
    return a + F.relu(b - a)
