"""What several networks are built of."""

from __future__ import annotations

from torch import nn


def conv_bn_relu(inputs: int, channels: int, count: int = 1) -> nn.Sequential:
    """``count`` 3x3 convolutions in a row, each with batch normalisation and ReLU.

    (B, inputs, H, W) to (B, channels, H, W). The convolutions have no bias: batch normalisation would subtract it.
    """
    layers: list[nn.Module] = []
    for first in [inputs] + [channels] * (count - 1):
        layers += [
            nn.Conv2d(first, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
