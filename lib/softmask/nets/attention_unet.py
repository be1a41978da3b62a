"""Attention U-Net, from MONAI.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018.

Differs from the publication: two dimensions instead of three, which is also why the published number of parameters is
no guide; and, as in the package, strided convolutions instead of max pooling, transposed ones instead of
interpolation, gates at all levels that work at the skip's own resolution, one convolution after a skip (with instance
normalisation and PReLU), no deep supervision.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from softmask.errors import ConfigError
from softmask.nets.base import SegmentationNet

LEVELS = 5


class AttentionUNet(SegmentationNet):
    """A U-Net whose skips pass gates that the coarser level opens.

    Args:
        width: channels of the first level, doubled at each of the five levels.

    Raises:
        ConfigError: for a width of 1, which a gate cannot halve.
    """

    STRIDE: ClassVar[int] = 2 ** (LEVELS - 1)
    SMALLEST: ClassVar[int] = 2 ** (LEVELS - 1)

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 2:
            raise ConfigError(f"the width of an Attention U-Net must be at least 2, not {width}: its gates halve it")
        from monai.networks.nets import AttentionUnet

        self.model = AttentionUnet(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            channels=[width * 2**level for level in range(LEVELS)],
            strides=[2] * (LEVELS - 1),
        )

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.model(image),)
