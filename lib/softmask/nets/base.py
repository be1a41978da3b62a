"""Base of all networks: a module from images to one map of logits."""

from torch import Tensor, nn

from softmask.errors import ConfigError


class SegmentationNet(nn.Module):
    """Module that checks the input's size, then calls :meth:`outputs`, which a subclass implements.

    A subclass takes ``width``, the channels of its first level or stage (doubled at each of the next ones where its
    docstring does not say otherwise), and, where it can, ``inputs``, the channels of its images, and ``reduction``, how
    much larger than its logits they are (:func:`softmask.nets.registry.build`).

    Attributes:
        STRIDE: number whose multiples the input's height and width must be.
        SMALLEST: least height and width.
        FULL_WIDTH: ``width`` of the publication.
        PARAMETERS: number of parameters of the publication (or its authors' code) at full width, for one input channel
            and one output map; None where none is known (the file's head says why).
        CHANNELS: least number of channels of the images.
        WEIGHT_DECAY: L2 penalty that Adam adds to the gradient, where the paper that trains the network says so.
        inputs: channels of the images; the first is the image as it was measured, which a discriminator sees.
    """

    STRIDE: int = 1
    SMALLEST: int = 1
    FULL_WIDTH: int = 64
    PARAMETERS: int | None = None
    CHANNELS: int = 1
    WEIGHT_DECAY: float = 0.0
    inputs: int = 1

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the main logits (B, 1, H, W), then those of deep supervision, each (B, 1, H, W) too.

        Training takes the mean of the loss over all of them; outside training mode a network may give the first only.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, 1, H, W) of images (B, ``inputs``, H, W) in [0, 1]."""
        return self.training_outputs(image)[0]

    def training_outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return :meth:`outputs`.

        Raises:
            ConfigError: for a tensor of another shape, or a height or width that the network cannot take.
        """
        name, (height, width) = type(self).__name__, image.shape[-2:]
        if image.ndim != 4 or image.shape[1] != self.inputs:
            kind = "grey images" if self.inputs == 1 else f"images of {self.inputs} channels"
            raise ConfigError(f"{name} takes {kind} (B, {self.inputs}, H, W), not a tensor of {tuple(image.shape)}")
        if height % self.STRIDE or width % self.STRIDE:
            fitting = " x ".join(str(-(-side // self.STRIDE) * self.STRIDE) for side in (height, width))
            raise ConfigError(
                f"{name} takes multiples of {self.STRIDE} as height and width, not {height} x {width}; crop or pad to "
                f"{fitting}"
            )
        if min(height, width) < self.SMALLEST:
            raise ConfigError(
                f"{name} takes images of at least {self.SMALLEST} x {self.SMALLEST}, not {height} x {width}"
            )
        return self.outputs(image)
