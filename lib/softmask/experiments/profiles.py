"""How long and on how much each profile trains: one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from softmask.config import Profile
from softmask.data.splits import FOLDS, LUNGS, PAPER_SIZES, SECTION_FOLDS
from softmask.errors import ConfigError
from softmask.experiments import rates
from softmask.nets.registry import NETWORKS, SR_NETWORKS, entry
from softmask.nets.srgan import SCALE
from softmask.train.loop import Settings


@dataclass(frozen=True)
class Training:
    """How one profile trains.

    Attributes:
        settings: of the training loop.
        n_train: the most training images; None for all there are.
        size: of the images, in pixels.
        scale: how much larger the networks see them that take enlarged images.
        steps: of the training, from which its epochs follow; None: the settings name the epochs.
        own_rates: whether every network has the learning rate of its entry in the registry instead of that of
            ``settings``. A few hundred steps leave no time for one rate to suit all; the papers' schedule does.
    """

    settings: Settings
    n_train: int | None
    size: int
    scale: int = SCALE
    own_rates: bool = True
    steps: int | None = None


TRAINING: Mapping[str, Training] = MappingProxyType(
    {
        "smoke": Training(
            Settings(epochs=2, batch_size=8, learning_rate=1e-3, discriminator_width=4),
            n_train=16,
            size=64,
            scale=2,
        ),
        "cpu": Training(
            Settings(epochs=5, batch_size=4, learning_rate=1e-3, discriminator_width=8),
            n_train=400,
            size=64,
            scale=2,
        ),
        "night": Training(
            Settings(epochs=1, batch_size=8, learning_rate=1e-3, discriminator_width=16),
            n_train=None,
            size=64,
            scale=2,
            steps=3000,
        ),
        # SoftGAN, section 3.3, but for the start (softmask.train.loop)
        "full": Training(Settings(epochs=60, batch_size=2, learning_rate=2e-4), n_train=None, size=64, own_rates=False),
    }
)


_OWN: Mapping[tuple[str, str], Training] = MappingProxyType(
    {
        ("smoke", "srgan"): Training(
            Settings(epochs=2, batch_size=8, learning_rate=1e-3, warmup=1, discriminator_width=4), n_train=16, size=128
        ),
        ("cpu", "srgan"): Training(
            Settings(epochs=4, batch_size=4, learning_rate=2e-3, warmup=3, discriminator_width=8),
            n_train=200,
            size=128,
        ),
        ("night", "srgan"): Training(
            Settings(epochs=16, batch_size=8, learning_rate=2e-3, warmup=8, discriminator_width=16),
            n_train=None,
            size=128,
        ),
        # CasGAN, section "Training details"; the batch size and how long the rate falls are not in the paper
        ("full", "srgan"): Training(
            Settings(epochs=40, batch_size=16, learning_rate=1e-2, warmup=10), n_train=None, size=128, own_rates=False
        ),
        ("full", "softgan_2020"): Training(
            Settings(epochs=70, batch_size=4, learning_rate=2e-3, power=1.0, hold=35),
            n_train=None,
            size=64,
            own_rates=False,
        ),
    }
)
"""By profile and network, where a network is trained otherwise than the rest."""


_LUNGS: Mapping[str, Training] = MappingProxyType(
    {
        "smoke": Training(
            Settings(epochs=2, batch_size=4, learning_rate=1e-3, discriminator_width=4), n_train=16, size=64
        ),
        "cpu": Training(
            Settings(epochs=9, batch_size=4, learning_rate=1e-3, discriminator_width=8), n_train=200, size=112
        ),
        "night": Training(
            Settings(epochs=1, batch_size=8, learning_rate=1e-3, discriminator_width=16),
            n_train=None,
            size=112,
            steps=1200,
        ),
        # LGAN, section 4.2; epochs and batch size are not in the paper
        "full": Training(
            Settings(epochs=20, batch_size=8, learning_rate=1e-5), n_train=None, size=224, own_rates=False
        ),
    }
)
"""By profile, how everything is trained that seeks lungs."""


_SETS: Mapping[tuple[str, str], Mapping[str, int]] = MappingProxyType(
    {
        ("cpu", "lidc"): {"epochs": 12, "batch_size": 8},
        ("cpu", "lidc-119"): {"epochs": 16},
        ("cpu", "isbi2012"): {"epochs": 4},
        ("cpu", "promise12"): {"epochs": 3},
    }
)
"""By profile and data set, settings that are not those of the rest. LIDC, which most is compared on, has longest; the
small sets 210 to 300 steps, whether they have 60 or 400 images to train on."""


_STEPS: Mapping[tuple[str, str], int] = MappingProxyType(
    {("night", name): 2000 for name in ("isbi2012", "promise12", "lidc-119")}
)
"""By profile and data set, steps of a training that are not those of the rest."""


_WIDTHS: Mapping[tuple[str, str], int] = MappingProxyType(
    {
        ("night", network): width
        for network, width in {
            "improved_backbone": 12,
            "unet": 16,
            "unetplusplus": 8,
            "unet3plus": 8,
            "cfcnn": 16,
            "dbresnet": 12,
            "infnet": 16,
            "medt": 8,
            "medt_sr": 8,
            "srgan": 16,
        }.items()
    }
)
"""By profile and network, widths other than the registry's for ``cpu``; networks on enlarged images keep those."""


START: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "smoke": {"warmup": 1},
        "cpu": {"warmup": 2, "ramp": 50},
        "night": {"warmup": 5, "ramp": 200},
        "full": {"warmup": 5, "ramp": 200},
    }
)
"""By profile, the most epochs of the Dice loss alone, and the steps in which the learning rate rises after them
(:mod:`softmask.train.loop`)."""


_DSNET = ("dsnet-v1", "dsnet-v2")
_TABLES: Mapping[tuple[str, str, str], Mapping[str, int]] = MappingProxyType(
    {("cpu", paper, dataset): {"epochs": 2} for paper in _DSNET for dataset in ("lnsm", "lidc", *FOLDS)}
    | {("full", "dsnet-v1", dataset): {"batch_size": 1} for dataset in PAPER_SIZES}
    | {("full", "dsnet-v2", dataset): {"epochs": 100, "batch_size": 4} for dataset in PAPER_SIZES}
)
"""By profile, paper and data set, the settings of all that the paper's tables compare on it. The two versions of DSNet
have 70 runs for each seed between them; in the cpu profile they are as short as it takes to end within minutes."""


def width(profile: Profile, network: str) -> int:
    """Channels of the first level of a network in ``profile``."""
    name = "cpu" if profile.name == "night" else profile.name
    return _WIDTHS.get((profile.name, network)) or entry(network).width(name)


def training(
    profile: Profile,
    network: str,
    dataset: str,
    paper: str = "",
    losses: Sequence[tuple[str, float]] = (),
    source: str = "real",
) -> Training:
    """How ``profile`` trains ``network`` on ``dataset`` (of that ``source``) under ``losses`` for a paper's tables.

    Raises:
        ConfigError: for a profile that is not known.
    """
    if profile.name not in TRAINING:
        raise ConfigError(f"profile {profile.name!r} has no settings to train with; known: {', '.join(TRAINING)}")
    named = "isbi2012" if dataset in SECTION_FOLDS else dataset  # its folds are trained as it is
    found = _OWN.get((profile.name, network), TRAINING[profile.name])
    if dataset in LUNGS:
        found = _LUNGS[profile.name]
    own = _TABLES.get((profile.name, paper, named), _SETS.get((profile.name, named), {}))
    settings = found.settings
    if network in NETWORKS:
        settings = replace(settings, **own)
        if found.steps:
            steps = _STEPS.get((profile.name, named), found.steps)
            settings = replace(settings, epochs=round(steps / (PAPER_SIZES[dataset]["train"] // settings.batch_size)))
        if dataset not in LUNGS:
            start = START[profile.name]
            settings = replace(settings, **start | {"warmup": min(start["warmup"], settings.epochs - 1)})
    if found.own_rates and network in {*NETWORKS, *SR_NETWORKS}:
        searched = profile.name == "night" and network in NETWORKS
        rate = rates.chosen(source, dataset, network, width(profile, network), losses) if searched else None
        settings = replace(settings, learning_rate=rate or entry(network).rate)
    return replace(found, settings=settings)
