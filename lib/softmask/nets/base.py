"""What every network of the workbook is: a module from images to one map of logits."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from softmask.errors import ConfigError


class SegmentationNet(nn.Module):
    """Base of the networks: checks the input's size, then calls :meth:`outputs`.

    A subclass takes ``width`` (channels of its first level; ``FULL_WIDTH`` is the publication's), sets the class
    attributes, and implements :meth:`outputs`.

    Attributes:
        STRIDE: height and width of the input must be multiples of it.
        SMALLEST: the least height and width.
        FULL_WIDTH: ``width`` of the publication.
        PARAMETERS: number of parameters the publication (or its authors' code) has at full width, for one input channel
            and one output map; None where none is known (the file's head says why).
        CHANNELS: the least number of channels of the images, for one that takes several.
        WEIGHT_DECAY: what Adam adds of a weight to its gradient, where the paper that trains it says so.
        inputs: channels of the images: 1 for grey ones. A network that takes several sets it to those it was made for;
            the first is the image as it was measured, which a discriminator sees beside the mask.
    """

    STRIDE: ClassVar[int] = 1
    SMALLEST: ClassVar[int] = 1
    FULL_WIDTH: ClassVar[int] = 64
    PARAMETERS: ClassVar[int | None] = None
    CHANNELS: ClassVar[int] = 1
    WEIGHT_DECAY: ClassVar[float] = 0.0
    inputs: int = 1

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The main logits (B, 1, H, W) first, then those of deep supervision, each (B, 1, H, W) too.

        Training takes the mean of the loss over all of them; outside training mode a network may give the first only.
        """
        raise NotImplementedError

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, H, W) of images (B, ``inputs``, H, W) in [0, 1].

        Raises:
            ConfigError: for another shape, or a height or width that is no multiple of the stride or too small.
        """
        self.check(image)
        return self.outputs(image)[0]

    def training_outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """:meth:`outputs` of a checked image: what the training loop calls."""
        self.check(image)
        return self.outputs(image)

    def check(self, image: torch.Tensor) -> None:
        """Raises ConfigError where ``image`` is not (B, ``inputs``, H, W) with an H and W that the network can take."""
        name = type(self).__name__
        if image.ndim != 4 or image.shape[1] != self.inputs:
            kind = "grey images" if self.inputs == 1 else f"images of {self.inputs} channels"
            raise ConfigError(f"{name} takes {kind} (B, {self.inputs}, H, W), not a tensor of {tuple(image.shape)}")
        height, width = image.shape[-2:]
        if height % self.STRIDE or width % self.STRIDE:
            raise ConfigError(
                f"{name} takes heights and widths that {self.STRIDE} divides, not {height} x {width}; crop or pad to "
                f"{-(-height // self.STRIDE) * self.STRIDE} x {-(-width // self.STRIDE) * self.STRIDE}"
            )
        if min(height, width) < self.SMALLEST:
            raise ConfigError(
                f"{name} takes images of at least {self.SMALLEST} x {self.SMALLEST}, not {height} x {width}"
            )
