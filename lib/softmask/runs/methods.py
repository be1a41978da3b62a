"""Which network, label and losses stand behind a row of the papers' tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from softmask.nets.registry import NETWORKS

DICE = (("dice", 1.0),)
SOFT_MASK_LOSS = (("dice", 0.5), ("soft_l1", 100.0))
SOFTGAN = (*SOFT_MASK_LOSS, ("gan", 1.0))
"""Weights of SoftGAN, section 3.3."""


@dataclass(frozen=True)
class Method:
    """A network with what it is trained towards: a label and (name, weight) of each term of the loss."""

    network: str
    label: str = "binary"
    losses: tuple[tuple[str, float], ...] = DICE


_OWN = {
    "no_soft_label": Method("improved_backbone"),
    "soft_mask_loss": Method("improved_backbone", "soft_mask", SOFT_MASK_LOSS),
    "gan_loss": Method("improved_backbone", "soft_mask", SOFTGAN),
    "softgan": Method("improved_backbone", "soft_mask", SOFTGAN),
    "soft_mask": Method("improved_backbone", "soft_mask", SOFTGAN),
    "kats_dilation": Method("improved_backbone", "kats_dilation", SOFTGAN),
    "gros_interpolation": Method("improved_backbone", "gros_interpolation", SOFTGAN),
}

METHODS: Mapping[str, Method] = MappingProxyType({name: Method(name) for name in NETWORKS} | _OWN)
"""By row. A row named after a network is that network, trained with the Dice loss on binary masks."""
