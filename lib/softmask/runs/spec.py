"""What one training run is: everything that decides its result, but for the data's content and the code."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from softmask.config import PROFILES
from softmask.errors import ConfigError
from softmask.files import sha256_of
from softmask.nets.registry import entry
from softmask.runs.plain import from_plain, to_plain
from softmask.train.engine import Settings
from softmask.train.losses import split

LABELS = ("binary", "soft_mask", "kats_dilation", "gros_interpolation")
"""What a network is trained towards: the binary truth, or one of the soft labels."""


@dataclass(frozen=True)
class RunSpec:
    """One training run.

    Attributes:
        dataset, source: such as ``lidc``, and ``real`` or ``embedded``.
        profile: one of :data:`softmask.config.PROFILES`.
        network, width: name in :data:`softmask.nets.NETWORKS`, and channels of its first level.
        label: one of :data:`LABELS`.
        losses: (name, weight) of each term of the loss.
        seed: of the first weights, the order of images and the augmentation.
        size: height and width of the images, in pixels.
        n_train: the most training images; None for all there are.
        settings: epochs, batch size, learning rate and so on.

    Raises:
        ConfigError: for a name that is not known, listing the valid ones, or losses that do not go together.
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

    def __post_init__(self) -> None:
        entry(self.network)
        _known("data source", self.source, ("real", "embedded"))
        _known("profile", self.profile, PROFILES)
        _known("label", self.label, LABELS)
        split(self.losses)

    @property
    def name(self) -> str:
        """Readable, and a file name: ``lidc-improved_backbone-soft_mask-0.5dice+100soft_l1+1gan-2020``."""
        losses = "+".join(f"{weight:g}{name}" for name, weight in self.losses)
        return f"{self.dataset}-{self.network}-{self.label}-{losses}-{self.seed}"

    def __str__(self) -> str:
        return self.name

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator is trained, too."""
        return bool(split(self.losses)[1])

    def key(self, data_digest: str, code_digest: str) -> str:
        """Hex digest of the run: of this, the data's content and the code it passes through."""
        return sha256_of(json.dumps(self.to_json(), sort_keys=True), data_digest, code_digest)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return to_plain(self)

    @classmethod
    def from_json(cls, content: Any, where: str = "spec") -> RunSpec:
        """What :meth:`to_json` gave. Raises DataError, naming ``where`` and the field, for anything else."""
        return from_plain(cls, content, where)


def _known(what: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(f"unknown {what} {name!r}; choose one of {', '.join(names)}")
