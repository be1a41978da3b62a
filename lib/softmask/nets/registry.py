"""Table of the networks, one line per network."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from types import MappingProxyType

from softmask.errors import ConfigError, unknown
from softmask.nets.base import SegmentationNet


@dataclass(frozen=True)
class Entry:
    """Class of a network (``module:class``), and its widths and learning rate in the small profiles.

    The widths in ``cpu`` give the networks a similar cost per training step (docs/choices.md).
    """

    import_path: str
    smoke: int
    cpu: int
    rate: float = 1e-3

    def load(self) -> type[SegmentationNet]:
        """Return the network's class."""
        module, name = self.import_path.split(":")
        return getattr(import_module(f"softmask.nets.{module}"), name)

    def width(self, profile: str) -> int:
        """Return the number of channels of the first level: ``FULL_WIDTH`` except in the smoke and cpu profiles."""
        return {"smoke": self.smoke, "cpu": self.cpu}.get(profile) or self.load().FULL_WIDTH

    @property
    def multichannel(self) -> bool:
        """Whether the images may have several channels; other networks take grey images."""
        return "inputs" in signature(self.load()).parameters

    @property
    def reduces(self) -> bool:
        """Whether the logits can be smaller than the images."""
        return "reduction" in signature(self.load()).parameters


NETWORKS: Mapping[str, Entry] = MappingProxyType(
    {
        # name: Entry("file:class", width in smoke, width in cpu, learning rate)
        "improved_backbone": Entry("softgan:ImprovedBackbone", 4, 8),
        "sr_input": Entry("dsnet:SRInput", 4, 8),
        "dsnet": Entry("dsnet:DSNet", 4, 8),
        "dsnet_dtm": Entry("dsnet:WithoutSelection", 4, 8),
        "dsnet_without_drtm": Entry("dsnet:WithoutDRTM", 4, 8),
        "dsnet_v1": Entry("dsnet:DSNetV1", 4, 8),
        "dsnet_v1_edrfm": Entry("dsnet:EfficientDSNetV1", 4, 8),
        "softgan_2020": Entry("softgan_2020:SoftGAN2020", 4, 8, 2e-3),
        "unet": Entry("unet:UNet", 4, 16, 3e-3),
        "softseg": Entry("softseg:SoftSeg", 4, 8),
        "unet_softseg": Entry("softseg:SoftSegUNet", 4, 16, 3e-3),
        "segnet": Entry("segnet:SegNet", 4, 8, 1e-2),
        "deeplabv3plus": Entry("deeplabv3plus:DeepLabV3Plus", 4, 8, 1e-2),
        "unetplusplus": Entry("unetplusplus:UNetPlusPlus", 3, 4, 1e-2),
        "attention_unet": Entry("attention_unet:AttentionUNet", 4, 8, 1e-2),
        "unet3plus": Entry("unet3plus:UNet3Plus", 1, 2, 1e-2),
        "cenet": Entry("cenet:CENet", 16, 28, 3e-3),
        "infnet": Entry("infnet:InfNet", 8, 16, 1e-2),
        "medt": Entry("medt:MedT", 2, 3, 3e-3),
        "medt_sr": Entry("medt:MedTSR", 2, 3, 3e-3),
        "cfcnn": Entry("cfcnn:CFCNN", 2, 4, 1e-2),
        "dbresnet": Entry("dbresnet:DBResNet", 2, 3, 1e-2),
        "mccnn": Entry("mccnn:MCCNN", 6, 12, 1e-2),
        "mvdcnn": Entry("mvdcnn:MVDCNN", 2, 3, 1e-2),
        "mcroicnn": Entry("mcroicnn:MCROICNN", 5, 10, 1e-2),
        "cascadedcnn": Entry("cascadedcnn:CascadedCNN", 1, 2, 1e-2),
        "lgan_generator": Entry("lgan:LGANGenerator", 4, 8, 3e-3),
        "fcn": Entry("fcn:FCN", 2, 4),
        "tiramisu": Entry("tiramisu:Tiramisu", 1, 2, 1e-2),
        "segcaps": Entry("segcaps:SegCaps", 1, 2, 1e-2),
    }
)
"""Segmentation networks."""

SR_NETWORKS: Mapping[str, Entry] = MappingProxyType({"srgan": Entry("srgan:Generator", 4, 8, 2e-3)})
"""Super-resolution networks."""


def entry(name: str) -> Entry:
    """Return the entry of a network. Raises ConfigError, listing the valid names, for an unknown one."""
    entries = {**NETWORKS, **SR_NETWORKS}
    if name not in entries:
        raise unknown("network", name, [*sorted(NETWORKS), *SR_NETWORKS])
    return entries[name]


def build(name: str, width: int | None = None, inputs: int | None = None, reduction: int = 1) -> SegmentationNet:
    """Return a network of ``width`` (None: as published), with random weights drawn from torch's generator.

    Args:
        inputs: number of channels of its images (None: the least possible).
        reduction: ratio of the images' size to the logits' size.

    Raises:
        ConfigError: for an unknown name, or a width, number of channels or reduction that the network cannot have.
    """
    item = entry(name)
    network = item.load()
    width = network.FULL_WIDTH if width is None else width
    inputs = getattr(network, "CHANNELS", 1) if inputs is None else inputs
    min_channels = getattr(network, "CHANNELS", 1)
    min_width = getattr(network, "NARROWEST", 1)
    for label, number, lowest in (("width", width, min_width), ("number of channels", inputs, min_channels)):
        if type(number) is not int or number < lowest:
            raise ConfigError(f"the {label} of {name} must be a whole number of at least {lowest}, not {number!r}")
    is_power = reduction >= 1 and not reduction & (reduction - 1)
    if not is_power or (inputs > 1 and not item.multichannel) or (reduction > 1 and not item.reduces):
        kind = "images of one or several channels" if item.multichannel else "grey images"
        ratio = "at their size, a half, a quarter ..." if item.reduces else "at their size"
        raise ConfigError(
            f"{name} segments {kind} {ratio}; it cannot be of width {width}, with {inputs} channels, reduced by "
            f"{reduction}"
        )
    arguments = [width, *([inputs] if item.multichannel else []), *([reduction] if item.reduces else [])]
    return network(*arguments)


def n_parameters(network: SegmentationNet) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
