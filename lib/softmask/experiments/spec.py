"""Specification of a training run: everything that determines its result, except the data's content and the code.

A finished run is identified by its key: a digest of its settings (without those that have their default), of its data,
of the runs it builds on, and of :data:`NUMERICS`, which stands for the code.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from softmask.config import PROFILES
from softmask.data.splits import LUNGS
from softmask.errors import ConfigError, DataError, unknown
from softmask.files import sha256_of
from softmask.label.soft_labels import FROM_MASK, GEODESIC, READERS_MEAN
from softmask.nets import perceptual
from softmask.nets.cascade import TRANSFERRED
from softmask.nets.classical import CLASSICAL
from softmask.nets.registry import NETWORKS, SR_NETWORKS
from softmask.nets.srgan import SCALE
from softmask.train.loop import Settings
from softmask.train.losses import LOSSES, WassersteinLoss, split
from softmask.train.super_resolution import check_losses

NUMERICS = 1
"""Version of the code's results, raised when they change: every run is then trained again. If the results of a dozen
runs have changed but the number has not, ``tests/experiments/test_golden.py`` fails."""

HIGH_RESOLUTION, TEACHER, SOFTENED, TEMPERATURE = "high_resolution", "teacher", "softened", "temperature"
LABELS = ("binary", "soft_mask", *FROM_MASK, GEODESIC, READERS_MEAN, SOFTENED, TEACHER, HIGH_RESOLUTION, TEMPERATURE)
"""Labels to train on: the binary masks; one of the soft labels; the larger of mask and soft mask (CasGAN, equation 6);
the soft mask predicted by another network (equation 5); in super-resolution the image. For an :data:`UNCHANGED` network
the binary masks of the validation images, to which the temperature is fitted."""

UNCHANGED = "unchanged"
"""Network name for testing the prior's network without more training, on other data or after temperature scaling."""

BY_SR = ("super_resolved", "detail")
"""Channels from a super-resolution network: the image, and the input of its last convolution
(:meth:`softmask.nets.srgan.Generator.features`), which has as many channels as the network's width."""
ENLARGED = ("bilinear", *BY_SR)
CHANNELS = ("image", *ENLARGED, "prior")
"""Input channels of a network: the image or :data:`ENLARGED` forms of it; the soft mask from another network."""
MEASURED = ("image", "bilinear")
"""Channels with the image as it was measured: a discriminator sees the first channel, which must be one of them."""


@dataclass(frozen=True)
class RunSpec:
    """One training run.

    Attributes:
        dataset, source: name of the data set, such as ``lidc``, and ``real`` or ``embedded``.
        profile: one of :data:`softmask.config.PROFILES`.
        network, width: name in :data:`softmask.nets.NETWORKS` or :data:`softmask.nets.registry.SR_NETWORKS`, and
            number of channels of its first level; or a name in :data:`softmask.nets.classical.CLASSICAL` or
            :data:`UNCHANGED`, and 0.
        label: one of :data:`LABELS`.
        losses: (name, weight) of each term of the loss; empty if nothing is trained.
        seed: seed of the initial weights, the order of images and the augmentation.
        size: height and width of the images, in pixels.
        n_train: maximum number of training images; None for all images.
        channels: channels of the network's input, distinct names in :data:`CHANNELS`; in adversarial training the first
            channel is one of :data:`MEASURED`.
        sr: run whose network makes the channels of :data:`BY_SR`.
        scale: ratio of the input's size to the data's, if channels are enlarged.
        reduction: ratio of the input's size to the output's: ``scale`` if the output has the data's size (as it must if
            channels are made :attr:`on_the_fly`).
        prior: run whose soft mask is the channel ``prior``, the label ``teacher`` or the start of a classical
            segmentor, or whose network is tested.

    Raises:
        ConfigError: for an unknown name, listing the valid names, or for settings that cannot be combined.
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
        channels, sr, prior = self.channels, self.sr, self.prior
        if not channels or len(set(channels)) < len(channels):
            raise ConfigError(f"the channels {channels} must be distinct and non-empty")
        if sr and not sr.upscales:
            raise ConfigError(f"{sr} is not a super-resolution network")
        if prior and (prior.upscales or not prior.learns):
            raise ConfigError(f"{prior} cannot serve as a prior")
        enlarged_channels = set(ENLARGED) & set(channels)
        if enlarged_channels and "image" in channels:
            raise ConfigError(f"the channels {channels} have two sizes: enlarge the image (bilinear) or none")
        scales = [scale for scale in range(2, SCALE + 1) if SCALE % scale == 0] if enlarged_channels else [1]
        can_reduce = self.learns and not self.upscales and NETWORKS[self.network].reduces
        reduction_fits = self.reduction == 1 or (can_reduce and self.reduction > 1 and self.scale % self.reduction == 0)
        reduction_fits &= self.reduction == self.scale or not self.on_the_fly
        needs_prior = "prior" in channels or self.label == TEACHER if self.learns else self.network == UNCHANGED
        judged, first_channel = self.adversarial and not self.upscales, "".join(channels[:1])
        for fits, combination in (
            (self.upscales == (self.label == HIGH_RESOLUTION), f"{self.network} and the label {self.label}"),
            (self.label != TEMPERATURE or self.network == UNCHANGED, f"{self.network} and the label {self.label}"),
            (bool(set(BY_SR) & set(channels)) == (sr is not None), f"channels {channels}, sr {sr}"),
            (prior is not None or not needs_prior, f"{self.network}, channels {channels} and the prior {prior}"),
            (prior is None or needs_prior or not self.learns, f"channels {channels} and the prior {prior}"),
            (not judged or first_channel in MEASURED, f"a discriminator, and {first_channel} as the first channel"),
            (self.scale in scales, f"channels {channels} and the scale {self.scale} (one of {scales})"),
            (reduction_fits, f"{self.network}, the scale {self.scale} and the reduction {self.reduction}"),
        ):
            if not fits:
                raise ConfigError(f"{combination} cannot be combined")

    @property
    def name(self) -> str:
        """Readable name, valid in file names:
        ``lidc-improved_backbone-soft_mask-0.5dice+100soft_l1+1gan-7x4-2020`` is trained for 7 epochs in batches of 4
        with the seed 2020; ``_x4to1`` stands for enlarged channels and a reduced output."""
        losses = "+".join(f"{weight:g}{name}" for name, weight in self.losses)
        channels = "+".join(self.channels) if self.channels != ("image",) else ""
        if self.scale > 1:
            channels += f"_x{self.scale}" + (f"to{self.scale // self.reduction}" if self.reduction > 1 else "")
        prior = ""
        if self.prior:
            critics = [name for name, _ in self.prior.losses if isinstance(LOSSES.get(name), WassersteinLoss)]
            prior = "_".join([f"after_{self.prior.network}_{self.prior.label}", *critics])
        schedule = f"{self.settings.epochs}x{self.settings.batch_size}" if self.learns else ""
        parts = (self.dataset, self.network, self.label, channels, prior, losses, schedule, str(self.seed))
        return "-".join(part for part in parts if part)

    @property
    def row(self) -> str:
        """Name without fold and seed, which all runs of a row have in common."""
        return self.name.replace(self.dataset, self.dataset.partition("-fold")[0], 1).rpartition("-")[0]

    def times(self, factor: float) -> RunSpec:
        """Return the run trained ``factor`` times as long."""
        return replace(self, settings=replace(self.settings, epochs=round(factor * self.settings.epochs)))

    def __str__(self) -> str:
        return self.name

    @property
    def inputs(self) -> int:
        """Number of channels of the network's input."""
        return len(self.channels) + (self.sr.width - 1 if self.sr and "detail" in self.channels else 0)

    @property
    def on_the_fly(self) -> bool:
        """Whether channels are made again for every batch, because features at full size take 8 MB per image."""
        return self.channels == TRANSFERRED and self.scale == SCALE

    @property
    def upscales(self) -> bool:
        """Whether a super-resolution network is trained."""
        return self.network in SR_NETWORKS

    @property
    def learns(self) -> bool:
        """Whether a network is trained, instead of testing another run's network or fitting a classical segmentor."""
        return self.network not in CLASSICAL and self.network != UNCHANGED

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        """Runs that must be finished before this run."""
        return tuple(spec for spec in (self.sr, self.prior) if spec is not None)

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator or a critic is also trained."""
        if self.upscales:
            return "adversarial" in dict(self.losses)
        return self.learns and bool(split(self.losses)[1])

    @property
    def of_lungs(self) -> bool:
        """Whether lungs are segmented, on whole slices."""
        return self.dataset in LUNGS

    @property
    def features(self) -> str:
        """Hex digest of the weights of a perceptual loss, which the user may supply; empty without such a loss."""
        layers = [name for name, _ in self.losses if name in perceptual.LAYERS]
        return sha256_of(*map(_features, layers)) if layers else ""

    def key(self, data: str, needs: Sequence[str] = (), numerics: int = NUMERICS, features: str | None = None) -> str:
        """Return the key of the run, a hex digest.

        Args:
            data: digest of its data (:attr:`softmask.experiments.prepare.Prepared.digest`).
            needs: keys of the runs it builds on.
            numerics, features: values of a record; by default those of this code and machine.
        """
        features = self.features if features is None else features
        settings = json.dumps(to_plain(self, defaults=False), sort_keys=True)
        return sha256_of(settings, data, str(numerics), features, *needs)

    def to_json(self) -> dict[str, Any]:
        """Return the run as plain values (:func:`to_plain`)."""
        return to_plain(self)


@lru_cache
def _features(layer: str) -> str:
    return perceptual.Perceptual(layer).digest()


def _known(kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise unknown(kind, name, names)


def to_plain(value: Any, defaults: bool = True) -> Any:
    """Return ``value`` as plain JSON values: dataclasses as objects, without fields that have their default unless
    ``defaults``; NaN and infinities as text."""
    if is_dataclass(value):
        pairs = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: to_plain(item, defaults) for field, item in pairs if defaults or item != field.default}
    if isinstance(value, Mapping):
        return {str(name): to_plain(item, defaults) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, defaults) for item in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_plain(hint: Any, value: Any, where: str) -> Any:
    """Return a :func:`to_plain` result strictly as type ``hint``. Raises DataError with ``where`` (file and field)."""
    if is_dataclass(hint):
        try:
            return hint(**read_fields(hint, value, where))
        except ConfigError as error:
            raise DataError(f"{where}: {error}") from error
    if hint is np.ndarray and isinstance(value, list):
        return np.array([item if type(item) is int else from_plain(float, item, where) for item in value])
    kind, inner_types = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return value
    if kind in (Union, types.UnionType):
        if value is None and type(None) in inner_types:
            return None
        return from_plain(next(each for each in inner_types if each is not type(None)), value, where)
    if kind is tuple and isinstance(value, list):
        hints = len(value) * inner_types[:1] if inner_types[-1] is Ellipsis else inner_types
        if len(hints) == len(value):
            pairs = enumerate(zip(hints, value, strict=True))
            return tuple(from_plain(each, item, f"{where}[{i}]") for i, (each, item) in pairs)
    if kind is float and (value in ("nan", "inf", "-inf") or type(value) in (int, float)):
        try:
            return float(value)
        except OverflowError as error:  # integers in JSON have no limit
            raise DataError(f"{where}: {len(str(value))} digits are too many") from error
    if issubclass(kind, Mapping) and isinstance(value, dict):
        return {name: from_plain(inner_types[1], item, f"{where}: {name}") for name, item in value.items()}
    if type(value) is not kind:
        raise DataError(f"{where}: {str(value)[:60]!r} is no {getattr(kind, '__name__', kind)}")
    return value


def read_fields(kind: type, value: Any, where: str, besides: str = "") -> dict[str, Any]:
    """Return the fields of the object ``value``, converted to the types of the dataclass ``kind``, without the field
    ``besides``. Fields with a default may be missing, so that files written before they existed can still be read."""
    hints, known_fields = get_type_hints(kind), [field for field in fields(kind) if field.name != besides]
    names = [field.name for field in known_fields]
    if not isinstance(value, dict):
        raise DataError(f"{where}: is no object with the fields {', '.join(names)}")
    for name in sorted({field.name for field in known_fields if field.default is MISSING} - value.keys()):
        raise DataError(f"{where}: {name}: is missing")
    for name in sorted(value.keys() - set(names)):
        raise DataError(f"{where}: {name}: is no field of it")
    return {name: from_plain(hints[name], item, f"{where}: {name}") for name, item in value.items()}
