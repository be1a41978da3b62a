"""Attention U-Net, from MONAI.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018.

Differs from the publication: two dimensions instead of three, which is also why the published number of parameters is
no guide; and, as in the package, strided convolutions instead of max pooling, transposed ones instead of
interpolation, gates at all levels that work at the skip's own resolution, one convolution after a skip (with instance
normalisation and PReLU), no deep supervision.
"""

from torch import Tensor

from softmask.errors import ConfigError
from softmask.nets.base import SegmentationNet
from softmask.nets.blocks import levels_of


class AttentionUNet(SegmentationNet):
    """A U-Net of five levels whose skips pass gates that the coarser level opens.

    Raises:
        ConfigError: for a width of 1, which a gate cannot halve.
    """

    STRIDE = SMALLEST = 16

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 2:
            raise ConfigError(f"the width of an Attention U-Net must be at least 2, not {width}: its gates halve it")
        from monai.networks.nets import AttentionUnet

        self.model = AttentionUnet(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            channels=levels_of(width, 5),
            strides=[2] * 4,
        )

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.model(image),)
