"""UNet++, from MONAI.

Zhou, Siddiquee, Tajbakhsh and Liang, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation",
DLMIA 2018.

Differs from the publication: batch normalisation after every 3x3 convolution; in the top row the transposed
convolutions keep their channels instead of halving them (as in the package); no pruning at test time, where the map of
the deepest node counts.
"""

from torch import Tensor

from softmask.nets.base import SegmentationNet
from softmask.nets.blocks import levels_of


class UNetPlusPlus(SegmentationNet):
    """A U-Net whose skips are dense rows of convolution blocks; deep supervision of the top row's four nodes."""

    STRIDE = SMALLEST = 16
    FULL_WIDTH = 32
    PARAMETERS = 9_040_000  # table 3

    def __init__(self, width: int) -> None:
        super().__init__()
        from monai.networks.nets import BasicUNetPlusPlus

        self.model = BasicUNetPlusPlus(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            features=(*levels_of(width, 5), width),
            deep_supervision=True,
            act=("relu", {"inplace": True}),
            norm="batch",
            bias=False,
        )

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(reversed(self.model(image)))  # the package names the shallowest node first
