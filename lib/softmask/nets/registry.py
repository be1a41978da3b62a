"""The list of networks: one line each. A module is imported when its network is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from softmask.errors import ConfigError
from softmask.nets.base import SegmentationNet


@dataclass(frozen=True)
class Entry:
    """Where a network is, and how wide it is in each profile.

    Attributes:
        where: ``module:class`` below :mod:`softmask.nets`.
        smoke, cpu: widths in the small profiles; ``full`` takes the class's ``FULL_WIDTH``. The cpu widths give the
            networks training steps of similar cost (see docs/choices.md).
        rate: learning rate in the small profiles; for the networks of SoftGAN's tables chosen on
            validation images (see docs/choices.md).
        several: whether the class takes ``inputs``, the number of the images' channels; the others take grey images.
        reduces: whether it also takes ``reduction``, how much smaller its logits are than its images.
    """

    where: str
    smoke: int
    cpu: int
    rate: float = 1e-3
    several: bool = False
    reduces: bool = False

    @property
    def module(self) -> str:
        """Full name of the module."""
        return f"softmask.nets.{self.where.partition(':')[0]}"

    def load(self) -> type[SegmentationNet]:
        """The network's class."""
        return getattr(import_module(self.module), self.where.partition(":")[2])

    def width(self, profile: str) -> int:
        """Channels of the first level in ``profile``."""
        return {"smoke": self.smoke, "cpu": self.cpu}.get(profile) or self.load().FULL_WIDTH


NETWORKS: Mapping[str, Entry] = MappingProxyType(
    {
        # name: Entry("file:class", width in smoke, width in cpu, learning rate)
        "improved_backbone": Entry("softgan:ImprovedBackbone", 4, 8, several=True),
        "sr_input": Entry("dsnet:SRInput", 4, 8, several=True, reduces=True),
        "dsnet": Entry("dsnet:DSNet", 4, 8, several=True, reduces=True),
        "dsnet_dtm": Entry("dsnet:WithoutSelection", 4, 8, several=True, reduces=True),
        "dsnet_without_drtm": Entry("dsnet:WithoutDRTM", 4, 8, several=True, reduces=True),
        "dsnet_v1": Entry("dsnet:DSNetV1", 4, 8, several=True, reduces=True),
        "dsnet_v1_edrfm": Entry("dsnet:EfficientDSNetV1", 4, 8, several=True, reduces=True),
        "softgan_2020": Entry("softgan_2020:SoftGAN2020", 4, 8, 2e-3, several=True),
        "unet": Entry("unet:UNet", 4, 16, 3e-3),
        "segnet": Entry("segnet:SegNet", 4, 8, 1e-2),
        "deeplabv3plus": Entry("deeplabv3plus:DeepLabV3Plus", 4, 8, 1e-2),
        "unetplusplus": Entry("unetplusplus:UNetPlusPlus", 3, 4, 1e-2),
        "attention_unet": Entry("attention_unet:AttentionUNet", 4, 8, 1e-2),
        "unet3plus": Entry("unet3plus:UNet3Plus", 1, 2, 1e-2),
        "cenet": Entry("cenet:CENet", 16, 28, 3e-3, several=True),
        "infnet": Entry("infnet:InfNet", 8, 16, 1e-2, several=True),
        "medt": Entry("medt:MedT", 2, 3, 3e-3, several=True),
        "medt_sr": Entry("medt:MedTSR", 2, 3, 3e-3, several=True, reduces=True),
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
"""What segments."""

SR_NETWORKS: Mapping[str, Entry] = MappingProxyType({"srgan": Entry("srgan:Generator", 4, 8, 2e-3)})
"""What super-resolves."""


def entry(name: str) -> Entry:
    """The entry of a network. Raises ConfigError, listing the valid names, for one that is not there."""
    known = {**NETWORKS, **SR_NETWORKS}
    if name not in known:
        valid = ", ".join([*sorted(NETWORKS), *SR_NETWORKS])
        raise ConfigError(f"unknown network {name!r}; choose one of {valid}")
    return known[name]


def build(name: str, width: int | None = None, inputs: int | None = None, reduction: int = 1) -> SegmentationNet:
    """A network with fresh weights (from torch's generator), ``width`` channels wide (None: as published).

    Args:
        inputs: channels of its images (None: as few as it can take).
        reduction: how much larger they are than its logits.

    Raises:
        ConfigError: for an unknown name, a width or number of channels that is not a whole number of at least 1,
            several channels for a network that takes grey images only, or a reduction for one that has none.
    """
    found = entry(name)
    network = found.load()
    if width is None:
        width = network.FULL_WIDTH
    if inputs is None:
        inputs = getattr(network, "CHANNELS", 1)
    for what, number in {"width": width, "number of input channels": inputs}.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigError(f"the {what} of {name} must be a whole number of at least 1, not {number!r}")
    if reduction != 1 and not found.reduces:
        raise ConfigError(f"{name} answers at the size of its images, not at 1 / {reduction} of it")
    if found.reduces:
        return network(width, inputs, reduction)
    if found.several:
        return network(width, inputs)
    if inputs > 1:
        able = ", ".join(sorted(other for other in NETWORKS if NETWORKS[other].several))
        raise ConfigError(f"{name} takes grey images, not images of {inputs} channels; choose one of {able}")
    return network(width)


def n_parameters(network: SegmentationNet) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
