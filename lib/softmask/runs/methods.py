"""Which network, input, label and losses stand behind a row of the papers' tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from softmask.errors import ConfigError
from softmask.nets.registry import NETWORKS
from softmask.runs.spec import HIGH_RESOLUTION, SOFTENED, TEACHER, UNCHANGED

DICE = (("dice", 1.0),)
SOFT_MASK_LOSS = (("dice", 0.5), ("soft_l1", 100.0))
SOFTGAN = (*SOFT_MASK_LOSS, ("gan", 1.0))
"""Weights of SoftGAN, section 3.3."""
SOFTGAN_2020_PIXELS = (("soft_mse", 1.0), ("soft_l1", 100.0))
SOFTGAN_2020 = (*SOFTGAN_2020_PIXELS, ("gan_least_squares", 1.0))
"""CasGAN, equation 2 and the text after it."""
STUDENT = (("hard_cross_entropy", 0.3), ("soft_cross_entropy", 0.7))
"""CasGAN, equation 5, where the soft target weighs more; how much more is not said."""
DICE_AND_CROSS_ENTROPY = (*DICE, ("hard_cross_entropy", 1.0))
"""CE-Net's own: with the Dice loss alone it called all of ISBI 2012 cell, and stayed there."""
CONTENT = (("content", 1.0),)
SRGAN = (*CONTENT, ("adversarial", 1e-3), ("vgg54", 8e-3), ("total_variation", 2e-8))
"""CasGAN, section "Training details"."""
SRGAN_SMALL = tuple(("vgg22", weight) if name == "vgg54" else (name, weight) for name, weight in SRGAN)
"""In the small profiles: VGG19's second block instead of its fifth, which costs a sixth; both are Ledig et al.'s."""


@dataclass(frozen=True)
class Method:
    """A network with what it sees and what it is trained towards.

    Attributes:
        label, losses, channels: see :class:`softmask.runs.spec.RunSpec`.
        prior: the row whose soft mask it takes, or that is tested.
        trained_on: the data set of that row; None for the same.
    """

    network: str
    label: str = "binary"
    losses: tuple[tuple[str, float], ...] = DICE
    channels: tuple[str, ...] = ("image",)
    prior: str | None = None
    trained_on: str | None = None


_CASCADE = ("super_resolved", "bilinear")

_OWN = {
    "no_soft_label": Method("improved_backbone"),
    "soft_mask_loss": Method("improved_backbone", "soft_mask", SOFT_MASK_LOSS),
    "gan_loss": Method("improved_backbone", "soft_mask", SOFTGAN),
    "softgan": Method("improved_backbone", "soft_mask", SOFTGAN),
    "soft_mask": Method("improved_backbone", "soft_mask", SOFTGAN),
    "kats_dilation": Method("improved_backbone", "kats_dilation", SOFTGAN),
    "gros_interpolation": Method("improved_backbone", "gros_interpolation", SOFTGAN),
    "casgan_bin": Method("softgan_2020", "binary", SOFTGAN_2020, _CASCADE),
    "casgan_without_sr": Method("softgan_2020", "soft_mask", SOFTGAN_2020, ("bilinear",)),
    "casgan_soft": Method("softgan_2020", "soft_mask", SOFTGAN_2020, _CASCADE),
    "casgan_without_gan": Method("softgan_2020", "soft_mask", SOFTGAN_2020_PIXELS, _CASCADE),
    "casgan_plusplus": Method("softgan_2020", "binary", SOFTGAN_2020, (*_CASCADE, "prior"), "casgan_soft"),
    "cenet": Method("cenet", losses=DICE_AND_CROSS_ENTROPY),
    "cenet_plusplus": Method("cenet", "binary", DICE_AND_CROSS_ENTROPY, ("image", "prior"), "casgan_soft"),
    "unet_student": Method("unet", TEACHER, STUDENT, prior="casgan_soft"),
    "unet_hard": Method("unet", losses=(("hard_cross_entropy", 1.0),)),
    "graph_cut": Method("graph_cut", losses=()),
    "graph_cut_deep": Method("graph_cut_deep", losses=(), prior="unet"),
    "level_set_deep": Method("level_set_deep", losses=(), prior="unet"),
    "casgan": Method(UNCHANGED, losses=(), prior="casgan_soft", trained_on="lnsm"),
    "content_only": Method("srgan", HIGH_RESOLUTION, CONTENT),
    "srgan": Method("srgan", HIGH_RESOLUTION, SRGAN),
}

METHODS: Mapping[str, Method] = MappingProxyType({name: Method(name) for name in NETWORKS} | _OWN)
"""By row. A row named after a network is that network, trained on binary masks, with the Dice loss if not said here."""


def method(row: str, dataset: str) -> Method:
    """The method of a row on a data set: where the truth is a binary mask, CasGAN is trained on softened masks.

    Raises:
        ConfigError: for a row without a method; it lists those that have one.
    """
    if row not in METHODS:
        raise ConfigError(f"row {row!r} has no method; choose one of {', '.join(METHODS)}")
    found = METHODS[row]
    if found.network == "softgan_2020" and found.label == "soft_mask" and dataset != "lnsm":
        return replace(found, label=SOFTENED)
    return found
