"""UNet++, from MONAI.

Zhou, Siddiquee, Tajbakhsh and Liang, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation",
DLMIA 2018.

Differs from the publication: batch normalisation after every 3x3 convolution; in the top row the transposed
convolutions keep their channels instead of halving them (as in MONAI); no pruning: the deepest node's map is the
result.
"""

from torch import Tensor

from softmask.nets.base import SegmentationNet, levels_of


class UNetPlusPlus(SegmentationNet):
    """U-Net whose skips are dense rows of convolution blocks; deep supervision of the top row's four nodes."""

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
        return tuple(reversed(self.model(image)))  # MONAI returns the shallowest node first
