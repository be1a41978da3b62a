"""Which network, input, label and losses stand behind a row of the papers' tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from softmask.errors import ConfigError
from softmask.experiments.spec import HIGH_RESOLUTION, SOFTENED, TEACHER, UNCHANGED
from softmask.nets.cascade import TRANSFERRED
from softmask.nets.classical import CLASSICAL
from softmask.nets.critics import CRITICS
from softmask.nets.registry import NETWORKS
from softmask.nets.srgan import SCALE

DICE = (("dice", 1.0),)
SOFT_MASK_LOSS = (("dice", 0.5), ("soft_l1", 100.0))
SOFTGAN = (*SOFT_MASK_LOSS, ("gan", 1.0))
"""Weights of SoftGAN, section 3.3, and of both versions of DSNet."""
SQUARED = (("dice_squared", 0.5), *SOFTGAN[1:])
"""DSNet (TNNLS 2023), equations 15 and 19, to the letter: the Dice loss has squares in its denominator. No row of a
table is trained so: a network's row and its rivals' would then differ in their Dice loss, too."""
SOFTGAN_2020_PIXELS = (("soft_mse", 1.0), ("soft_l1", 100.0))
SOFTGAN_2020 = (*SOFTGAN_2020_PIXELS, ("gan_least_squares", 1.0))
"""CasGAN, equation 2 and the text after it."""
STUDENT = (("hard_cross_entropy", 0.3), ("soft_cross_entropy", 0.7))
"""CasGAN, equation 5, where the soft target weighs more; how much more is not said."""
DICE_AND_CROSS_ENTROPY = (*DICE, ("hard_cross_entropy", 1.0))
"""CE-Net's own: with the Dice loss alone it called all of ISBI 2012 cell, and stayed there. SegCaps' too, whose authors
weigh the few pixels of the lung: with the cross entropy alone it found half of it."""
CONTENT = (("content", 1.0),)
SRGAN = (*CONTENT, ("adversarial", 1e-3), ("vgg54", 8e-3), ("total_variation", 2e-8))
"""CasGAN, section "Training details"."""
CROSS_ENTROPY = (("hard_cross_entropy", 1.0),)
"""LGAN, equation 6, without its critic."""
SRGAN_SMALL = tuple(("vgg22", weight) if name == "vgg54" else (name, weight) for name, weight in SRGAN)
"""In the small profiles: VGG19's second block instead of its fifth, which costs a sixth; both are Ledig et al.'s."""


@dataclass(frozen=True)
class Method:
    """A network with what it sees and what it is trained towards.

    Attributes:
        label, losses, channels: see :class:`softmask.experiments.spec.RunSpec`.
        form: how it sees enlarged images, one of :data:`FORMS`; :data:`MAIN` for the profile's form of DSNet; None for
            the profile's scale, brought down to the data's size by a network that does so.
        prior: the row whose soft mask it takes, or that is tested.
        trained_on: the data set of that row; None for the same.
    """

    network: str
    label: str = "binary"
    losses: tuple[tuple[str, float], ...] = DICE
    channels: tuple[str, ...] = ("image",)
    form: str | None = None
    prior: str | None = None
    trained_on: str | None = None


AVERAGED, FULL_FEATURES, ENLARGED_TWICE, MAIN = "averaged", "full_features", "enlarged_twice", "main"
FORMS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {AVERAGED: (2, 2), FULL_FEATURES: (SCALE, SCALE), ENLARGED_TWICE: (2, 1)}
)
"""``scale`` and ``reduction`` (:class:`softmask.experiments.spec.RunSpec`) of the ways to see enlarged images: what
super-resolution gives averaged to twice the data's size, and brought down to it by a strided convolution; as
super-resolution gives it, brought down by two; averaged to twice the data's size, where the network answers, too."""
MAIN_FORM: Mapping[str, str] = MappingProxyType({"smoke": AVERAGED, "cpu": AVERAGED})
"""By profile, the form of DSNet in the papers' tables; :data:`FULL_FEATURES` in the others, since averaging takes from
the features what equation 9 looks for."""

_SR = ("super_resolved",)
_CASCADE = ("bilinear", "super_resolved")
_transfer = partial(Method, channels=TRANSFERRED, form=MAIN)


_twice = partial(Method, channels=("bilinear",), form=ENLARGED_TWICE)
"""Networks that were published on larger images: the finest map of Inf-Net has an eighth of the image's height and
width, the coarsest of CE-Net a 32nd."""


READINGS = (*(f"{critic}_amplified" for critic in CRITICS), "regression_reversed", "regression_reversed_amplified")
"""Readings of LGAN's critics that no printed table has: a weight at which the critic contributes a third of the
gradient, and the players of the regression critic the other way round."""


def _lgan(critic: str) -> Method:
    """LGAN's generator with one of the critics, equation 6, or a reading of one."""
    return Method("lgan_generator", losses=(*CROSS_ENTROPY, (f"wasserstein_{critic}", 1.0)))


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
    "casgan_plusplus": Method("softgan_2020", "binary", SOFTGAN_2020, (*_CASCADE, "prior"), prior="casgan_soft"),
    "cenet": _twice("cenet", losses=DICE_AND_CROSS_ENTROPY),
    "cenet_plusplus": _twice(
        "cenet", losses=DICE_AND_CROSS_ENTROPY, channels=("bilinear", "prior"), prior="casgan_soft"
    ),
    "unet_student": Method("unet", TEACHER, STUDENT, prior="casgan_soft"),
    "unet_hard": Method("unet", losses=CROSS_ENTROPY),
    "graph_cut": Method("graph_cut", losses=()),
    "graph_cut_deep": Method("graph_cut_deep", losses=(), prior="unet"),
    "level_set_deep": Method("level_set_deep", losses=(), prior="unet"),
    "casgan": Method(UNCHANGED, losses=(), prior="casgan_soft", trained_on="lnsm"),
    "infnet": _twice("infnet"),
    "infnet_sr": _twice("infnet", channels=_SR),
    "medt_sr": Method("medt_sr", channels=_SR),
    "sr_input": Method("sr_input", channels=_SR, form=MAIN),
    "dsnet_v1": _transfer("dsnet_v1", "soft_mask", SOFTGAN),
    "dsnet-v1/edrfm": _transfer("dsnet_v1_edrfm"),
    "dsnet-v1/sdrfm": _transfer("dsnet_v1"),
    "dsnet-v1/soft_mask_loss": _transfer("dsnet_v1", "soft_mask", SOFT_MASK_LOSS),
    "dsnet-v1/gan_loss": _transfer("dsnet_v1", "soft_mask", SOFTGAN),
    "dsnet": _transfer("dsnet", "soft_mask", SOFTGAN),
    "dsnet_squared": _transfer("dsnet", "soft_mask", SQUARED),
    **{f"dsnet_{form}": _transfer("dsnet", "soft_mask", SOFTGAN, form=form) for form in FORMS},
    "dsnet-v2/backbone": Method("improved_backbone"),
    "dsnet-v2/drtm": _transfer("dsnet"),
    "dsnet-v2/soft_mask_loss": _transfer("dsnet", "soft_mask", SOFT_MASK_LOSS),
    "dsnet-v2/gan_loss": _transfer("dsnet", "soft_mask", SOFTGAN),
    "dsnet-v2/no_soft_label": _transfer("dsnet"),
    "dsnet-v2/all_losses_binary": _transfer("dsnet", "binary", SOFTGAN),
    "dsnet-v2/kats_dilation": _transfer("dsnet", "kats_dilation", SOFTGAN),
    "dsnet-v2/gros_interpolation": _transfer("dsnet", "gros_interpolation", SOFTGAN),
    "dsnet-v2/soft_mask": _transfer("dsnet", "soft_mask", SOFTGAN),
    "dsnet-v2/neither": _transfer("dsnet_without_drtm", "soft_mask", SOFTGAN),
    "dsnet-v2/dtm": _transfer("dsnet_dtm", "soft_mask", SOFTGAN),
    "dsnet-v2/dtm_csf": _transfer("dsnet", "soft_mask", SOFTGAN),
    "dsnet-v2/without_transfer": Method("improved_backbone", "soft_mask", SOFTGAN),
    "dsnet-v2/with_transfer": _transfer("dsnet", "soft_mask", SOFTGAN),
    "baseline_unet": Method("lgan_generator", losses=CROSS_ENTROPY),
    "lgan/unet": Method("lgan_generator", losses=CROSS_ENTROPY),
    **{f"lgan_{critic}": _lgan(critic) for critic in (*CRITICS, *READINGS)},
    "fusion_gnet": Method("fcn", losses=(*CROSS_ENTROPY, ("gan", 1.0))),
    "tiramisu": Method("tiramisu", losses=CROSS_ENTROPY),
    "segcaps": Method("segcaps", losses=DICE_AND_CROSS_ENTROPY),
    "morph": Method("morph", losses=()),
    "content_only": Method("srgan", HIGH_RESOLUTION, CONTENT),
    "srgan": Method("srgan", HIGH_RESOLUTION, SRGAN),
}

METHODS: Mapping[str, Method] = MappingProxyType({name: Method(name) for name in NETWORKS} | _OWN)
"""By row, or by paper and row where a paper means its own. A row named after a network is that network, trained on
binary masks, with the Dice loss if not said here."""


LUNGS_COMPARED = (
    *("morph", "baseline_unet"),
    *(f"lgan_{critic}" for critic in (*CRITICS, *READINGS)),
    *("fusion_gnet", "tiramisu", "segcaps"),
)
"""Rows that are compared on real slices of lungs (``lungs-2d``): those of LGAN's tables, and the readings of its
critics."""

TESTED: Mapping[str, str] = MappingProxyType({"lidc-500": "lnsm", "lung-ct": "lidc-lung", "lung-ct-body": "lidc-lung"})
"""Data sets that no network is trained on, and where those were trained that are tested on them."""


PUBLISHED_SIZE: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {"medt": {"channels": ("bilinear",), "form": ENLARGED_TWICE}, "medt_sr": {"form": ENLARGED_TWICE}}
)
"""By network, what the profile ``full`` changes: MedT was published on images of 128 x 128 pixels, where a step costs
nine times as much. In the other profiles both of its rows are reductions: it sees the data's size, and the pixels of
the super-resolved image folded into channels (:class:`softmask.nets.medt.MedTSR`)."""


def name_of(row: str, paper: str = "") -> str:
    """The name in :data:`METHODS` of a paper's row."""
    return f"{paper}/{row}" if f"{paper}/{row}" in METHODS else row


def method(row: str, dataset: str, paper: str = "") -> Method:
    """The method of a paper's row on a data set.

    Where the truth is a binary mask, CasGAN is trained on softened masks. On ``lidc-500``, where networks are compared
    with four doctors, none is trained: there the row trained on LNSM is tested; on ``lung-ct``, a few real scans, that
    trained on ``lidc-lung``.

    Raises:
        ConfigError: for a row without a method; it lists those that have one.
    """
    name = name_of(row, paper)
    if name not in METHODS:
        raise ConfigError(f"row {row!r} has no method; choose one of {', '.join(METHODS)}")
    found = METHODS[name]
    if dataset in TESTED and found.network not in (UNCHANGED, *CLASSICAL):
        return Method(UNCHANGED, losses=(), prior=row, trained_on=TESTED[dataset])
    if found.network == "softgan_2020" and found.label == "soft_mask" and dataset != "lnsm":
        return replace(found, label=SOFTENED)
    return found
