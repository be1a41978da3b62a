"""Attention U-Net, from MONAI.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018.

Differs from the publication: two dimensions instead of three (hence no published number of parameters); as in MONAI,
strided convolutions instead of max pooling, transposed convolutions instead of interpolation, gates at all levels and
at the skip's resolution, one convolution after a skip (with instance normalisation and PReLU), no deep supervision.
"""

from torch import Tensor

from softmask.nets.base import SegmentationNet, levels_of


class AttentionUNet(SegmentationNet):
    """U-Net of five levels; the skips pass through attention gates that the coarser level controls."""

    STRIDE = SMALLEST = 16
    NARROWEST = 2  # least width, because the attention gates halve it

    def __init__(self, width: int) -> None:
        super().__init__()
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
