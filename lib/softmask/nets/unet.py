"""U-Net.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.

Differs from the publication: convolutions are padded, so that the map is as large as the image and skips need no
cropping; batch normalisation follows every 3x3 convolution (the publication starts from He's initialisation alone);
no dropout at the bottom; one map of logits instead of one per class.
"""

from functools import partial

from torch import nn

from softmask.nets.blocks import UShape, conv_bn_relu


class UNet(UShape):
    """Two 3x3 convolutions per level, 2x2 max pooling down, 2x2 transposed convolutions up, skips by concatenation."""

    PARAMETERS = 31_030_593  # figure 1 with one input channel and one output map, biases included

    def __init__(self, width: int) -> None:
        block = partial(conv_bn_relu, count=2)
        double = partial(nn.ConvTranspose2d, kernel_size=2, stride=2)
        super().__init__(width, 1, block, lambda _: [nn.MaxPool2d(2)], double)
