"""How long and on how much each profile trains: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from softmask.config import Profile
from softmask.errors import ConfigError
from softmask.nets.registry import entry
from softmask.train.engine import Settings


@dataclass(frozen=True)
class Training:
    """How one profile trains.

    Attributes:
        settings: of the training loop.
        n_train: the most training images; None for all there are.
        size: of the images, in pixels.
        own_rates: whether every network has the learning rate of its entry in the registry instead of that of
            ``settings``. A few hundred steps leave no time for one rate to suit all; the papers' schedule does.
    """

    settings: Settings
    n_train: int | None
    size: int
    own_rates: bool = True


TRAINING: Mapping[str, Training] = MappingProxyType(
    {
        "smoke": Training(
            Settings(epochs=2, batch_size=8, learning_rate=1e-3, warmup=1, discriminator_width=4), n_train=16, size=64
        ),
        "cpu": Training(
            Settings(epochs=12, batch_size=8, learning_rate=1e-3, warmup=2, discriminator_width=8), n_train=400, size=64
        ),
        # SoftGAN, section 3.3, but for the warm-up (see Settings.warmup)
        "full": Training(
            Settings(epochs=60, batch_size=2, learning_rate=2e-4, warmup=2), n_train=None, size=64, own_rates=False
        ),
    }
)


def training(profile: Profile, network: str) -> Training:
    """How ``profile`` trains ``network``. Raises ConfigError for a profile or network that is not known."""
    if profile.name not in TRAINING:
        raise ConfigError(f"profile {profile.name!r} has no settings to train with; known: {', '.join(TRAINING)}")
    found = TRAINING[profile.name]
    if not found.own_rates:
        return found
    return replace(found, settings=replace(found.settings, learning_rate=entry(network).rate))
