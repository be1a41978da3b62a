"""U-Net.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.

Differs from the publication: padded convolutions, so that skips need no cropping; batch normalisation after every 3x3
convolution; no dropout; one map of logits.
"""

from functools import partial

from softmask.nets.base import UShape, conv_bn_relu


class UNet(UShape):
    """Two 3x3 convolutions per level, 2x2 max pooling down, 2x2 transposed convolutions up, skips by concatenation."""

    PARAMETERS = 31_030_593  # figure 1 with one input channel and one output map, biases included

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, partial(conv_bn_relu, count=2))
