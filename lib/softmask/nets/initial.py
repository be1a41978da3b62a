"""First weights drawn from normal distributions.

He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 15.
"""

import math

from torch import nn


def gaussian(network: nn.Module, slope: float = 0.0, std: float | None = None) -> None:
    """Draw the weights of all convolutions and dense layers of ``network`` anew, and set their biases to 0.

    Args:
        slope: of the rectifier's negative side.
        std: standard deviation; None for sqrt(2 / ((1 + slope^2) n)) with n the numbers that a layer sums up for one of
            its own, so that the signal keeps its size through layers of any width.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        summed = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):  # (in, out, k, k), of which each answer sees one in stride^2
            summed = layer.weight[:, 0].numel() // math.prod(layer.stride)
        nn.init.normal_(layer.weight, 0.0, std or math.sqrt(2 / ((1 + slope**2) * summed)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
