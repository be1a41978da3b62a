"""What one training run is: everything that decides its result, but for the data's content and the code.

A finished run is known by its key: a digest of its settings (those that have their default left out, so that a new one
changes no key), of its data, of what it builds on, and of :data:`NUMERICS`, which stands for the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from softmask.config import PROFILES
from softmask.data.splits import LUNGS
from softmask.errors import ConfigError
from softmask.experiments.plain import from_plain, to_plain
from softmask.files import sha256_of
from softmask.nets import perceptual
from softmask.nets.cascade import TRANSFERRED
from softmask.nets.classical import CLASSICAL
from softmask.nets.registry import NETWORKS, SR_NETWORKS
from softmask.nets.srgan import SCALE
from softmask.train.loop import Settings
from softmask.train.losses import LOSSES, WassersteinLoss, split
from softmask.train.super_resolution import check_losses

NUMERICS = 1
"""Raised when the code's results change: every run is then trained anew. ``tests/experiments/test_golden.py`` fails
where the results of a dozen runs have changed and the number has not."""

HIGH_RESOLUTION, TEACHER, SOFTENED = "high_resolution", "teacher", "softened"

LABELS = ("binary", "soft_mask", "kats_dilation", "gros_interpolation", SOFTENED, TEACHER, HIGH_RESOLUTION)
"""What a network is trained towards: the binary truth; one of the soft labels; the larger of mask and soft mask
(CasGAN, equation 6); the soft mask that another network predicts (equation 5); in super-resolution the image."""

UNCHANGED = "unchanged"
"""In place of a network: that of the prior, tested on other data and not trained any further."""

ENLARGED = ("bilinear", "super_resolved", "detail")
"""The image enlarged by interpolation, or by a super-resolution network, and what that network's last convolution reads
(:meth:`softmask.nets.srgan.Generator.features`): as many channels as it is wide."""
CHANNELS = ("image", *ENLARGED, "prior")
"""What a network sees: the image, or :data:`ENLARGED` forms of it; the soft mask that another network predicts."""
MEASURED = ("image", "bilinear")
"""The channels that hold the image as it was measured: a discriminator sees the first channel, which is one of them."""
BY_SR = ("super_resolved", "detail")
"""The channels that a super-resolution network gives."""


@dataclass(frozen=True)
class RunSpec:
    """One training run.

    Attributes:
        dataset, source: such as ``lidc``, and ``real`` or ``embedded``.
        profile: one of :data:`softmask.config.PROFILES`.
        network, width: name in :data:`softmask.nets.NETWORKS` or :data:`softmask.nets.registry.SR_NETWORKS`, and
            channels of its first level; or a name in :data:`softmask.nets.classical.CLASSICAL` or :data:`UNCHANGED`,
            and 0.
        label: one of :data:`LABELS`.
        losses: (name, weight) of each term of the loss; none where nothing is trained.
        seed: of the first weights, the order of images and the augmentation.
        size: height and width of the images, in pixels.
        n_train: the most training images; None for all there are.
        settings: epochs, batch size, learning rate and so on.
        channels: of the network's input, each one of :data:`CHANNELS`, each once; in adversarial training the first is
            one of :data:`MEASURED`.
        sr: the run whose network gives the channels of :data:`BY_SR`.
        scale: how much larger than the data the input is, where a channel is enlarged.
        reduction: how much smaller than the input the network's answers are: ``scale`` where they have the data's size
            (as they must where channels are made :attr:`on_the_fly`), 1 where a network answers at the enlarged one.
        prior: the run whose soft mask is the channel ``prior``, the label ``teacher``, what a classical segmentor
            starts from, or that is tested.

    Raises:
        ConfigError: for a name that is not known, listing the valid ones, or parts that do not go together.
    """

    dataset: str
    source: str
    profile: str
    network: str
    width: int
    label: str
    losses: tuple[tuple[str, float], ...]
    seed: int
    size: int
    n_train: int | None
    settings: Settings
    channels: tuple[str, ...] = ("image",)
    scale: int = 1
    reduction: int = 1
    sr: RunSpec | None = None
    prior: RunSpec | None = None

    def __post_init__(self) -> None:
        _known("network", self.network, sorted({*NETWORKS, *SR_NETWORKS, *CLASSICAL, UNCHANGED}))
        _known("data source", self.source, ("real", "embedded"))
        _known("profile", self.profile, PROFILES)
        _known("label", self.label, LABELS)
        for channel in self.channels:
            _known("channel", channel, CHANNELS)
        if self.learns:
            (check_losses if self.upscales else split)(self.losses)
        _together(self.upscales == (self.label == HIGH_RESOLUTION), f"{self.network} and the label {self.label}")
        by_sr = bool(set(BY_SR) & set(self.channels))
        _together(by_sr == (self.sr is not None), f"channels {self.channels}, sr {self.sr}")
        _together(self.sr is None or self.sr.upscales, f"{self.sr} as a super-resolution network")
        if self.learns:
            wanted = "prior" in self.channels or self.label == TEACHER
            _together(wanted == (self.prior is not None), f"channels {self.channels} and the prior {self.prior}")
        else:
            fits = self.prior is not None or self.network not in (UNCHANGED,)
            _together(fits, f"{self.network} and the prior {self.prior}")
        _together(self.prior is None or (self.prior.learns and not self.prior.upscales), f"{self.prior} as a prior")
        _together(bool(self.channels) and len(set(self.channels)) == len(self.channels), f"channels {self.channels}")
        if self.adversarial and not self.upscales:
            _together(self.channels[0] in MEASURED, f"a discriminator, and {self.channels[0]} as the first channel")
        enlarged = set(ENLARGED) & set(self.channels)
        if enlarged and "image" in self.channels:
            raise ConfigError(f"the channels {self.channels} have two sizes: enlarge the image (bilinear) or none")
        scales = [scale for scale in range(2, SCALE + 1) if SCALE % scale == 0] if enlarged else [1]
        _together(self.scale in scales, f"channels {self.channels} and the scale {self.scale} (one of {scales})")
        able = self.learns and not self.upscales and NETWORKS[self.network].reduces
        fits = self.reduction == 1 or (able and self.reduction > 1 and self.scale % self.reduction == 0)
        fits &= self.reduction == self.scale or not self.on_the_fly
        _together(fits, f"{self.network}, the scale {self.scale} and the reduction {self.reduction}")

    @property
    def name(self) -> str:
        """Readable, and a file name: ``lidc-improved_backbone-soft_mask-0.5dice+100soft_l1+1gan-7x4-2020``, which is
        trained for 7 epochs in batches of 4 from the seed 2020. After the channels of enlarged images stands how much
        larger they are than the data, and then its answers, where those are smaller: ``..._x4to1-...``."""
        losses = "+".join(f"{weight:g}{name}" for name, weight in self.losses)
        channels = "+".join(self.channels) if self.channels != ("image",) else ""
        if self.scale > 1:
            channels += f"_x{self.scale}" + (f"to{self.scale // self.reduction}" if self.reduction > 1 else "")
        prior = f"after_{self.prior.network}_{self.prior.label}{self.prior.critic}" if self.prior else ""
        schedule = f"{self.settings.epochs}x{self.settings.batch_size}" if self.learns else ""
        parts = (self.dataset, self.network, self.label, channels, prior, losses, schedule, str(self.seed))
        return "-".join(part for part in parts if part)

    def __str__(self) -> str:
        return self.name

    @property
    def inputs(self) -> int:
        """How many channels the network's input has."""
        return len(self.channels) + (self.sr.width - 1 if self.sr and "detail" in self.channels else 0)

    @property
    def on_the_fly(self) -> bool:
        """Whether the channels are made anew for every batch: features at full size are too many to be kept, 8 MB for
        an image of 64 x 64 and a super-resolution network of width 16 in half precision."""
        return self.channels == TRANSFERRED and self.scale == SCALE

    @property
    def upscales(self) -> bool:
        """Whether it is a super-resolution network that is trained."""
        return self.network in SR_NETWORKS

    @property
    def learns(self) -> bool:
        """Whether a network is trained, and not another one tested or a classical segmentor fitted."""
        return self.network not in CLASSICAL and self.network != UNCHANGED

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        """The runs that must be finished before."""
        return tuple(spec for spec in (self.sr, self.prior) if spec is not None)

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator is trained, too, or a critic."""
        if self.upscales:
            return any(name == "adversarial" for name, _ in self.losses)
        return self.learns and bool(split(self.losses)[1])

    @property
    def wasserstein(self) -> bool:
        """Whether a critic is trained, too."""
        return bool(self.critic)

    @property
    def critic(self) -> str:
        """``_wasserstein_basic`` and so on, which runs on one network differ in; empty without a critic."""
        return "".join(f"_{name}" for name, _ in self.losses if isinstance(LOSSES.get(name), WassersteinLoss))

    @property
    def of_lungs(self) -> bool:
        """Whether lungs are sought, on whole slices."""
        return self.dataset in LUNGS

    @property
    def features(self) -> str:
        """Hex digest of the weights of a perceptual loss, which are a file of the user's or made from a seed; empty
        without such a loss."""
        layers = [name for name, _ in self.losses if name in perceptual.LAYERS]
        return sha256_of(*map(_features, layers)) if layers else ""

    def key(self, data: str, needs: Sequence[str] = (), numerics: int = NUMERICS, features: str | None = None) -> str:
        """Hex digest of the run.

        Args:
            data: digest of its data (:attr:`softmask.experiments.prepared.Prepared.digest`).
            needs: keys of the runs it builds on.
            numerics, features: of a record; by default those of this code and machine.
        """
        features = self.features if features is None else features
        return sha256_of(
            json.dumps(to_plain(self, defaults=False), sort_keys=True), data, str(numerics), features, *needs
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return to_plain(self)

    @classmethod
    def from_json(cls, content: Any, where: str = "spec") -> RunSpec:
        """What :meth:`to_json` gave. Raises DataError, naming ``where`` and the field, for anything else."""
        return from_plain(cls, content, where)


@lru_cache
def _features(layer: str) -> str:
    return perceptual.Perceptual(layer).digest()


def _known(what: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(f"unknown {what} {name!r}; choose one of {', '.join(names)}")


def _together(fits: bool, what: str) -> None:
    if not fits:
        raise ConfigError(f"{what} do not go together")
