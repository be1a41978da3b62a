"""Profiles, paths and seeds: one place, one frozen dataclass.

Every notebook begins with ``config = Config.from_parameters(profile, data, seeds)`` and hands ``config`` on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from softmask.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: the folder that holds ``notebooks/``, ``lib/``, ``results/`` and ``figures/``."""

SOURCES = ("auto", "embedded", "real")
BASE_SEED = 2020


@dataclass(frozen=True)
class Profile:
    """How much is computed.

    Attributes:
        samples: by purpose, the most images that a step uses; None for all there are.
        long: whether it trains for hours. Then a committed record counts as a finished run, on a new machine too, and
            records keep the prediction of every test image.
    """

    name: str
    seeds: int
    is_result: bool
    samples: Mapping[str, int | None] = field(default_factory=dict)
    long: bool = False

    @property
    def keeps(self) -> int | None:
        """Of how many test images a run's record keeps the prediction; None for all."""
        return None if self.long else 8

    def cap(self, purpose: str) -> int | None:
        """The most images to use for ``purpose``; None means no cap. An unknown purpose is an error."""
        if purpose not in self.samples:
            raise ConfigError(
                f"profile {self.name!r} has no sample cap named {purpose!r}; known: {', '.join(self.samples)}"
            )
        return self.samples[purpose]


def _samples(**caps: int | None) -> Mapping[str, int | None]:
    return MappingProxyType(caps)


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # smoke proves that everything runs; its tables are marked "not a result"
        "smoke": Profile("smoke", 1, False, _samples(labelling=12, readers=24, matting=4, doctors=60, radiomics=40)),
        "cpu": Profile("cpu", 1, True, _samples(labelling=400, readers=None, matting=40, doctors=None, radiomics=None)),
        # the results that count: hours on a GPU, some 60 core-hours on a CPU
        "night": Profile(
            "night", 3, True, _samples(labelling=400, readers=None, matting=40, doctors=None, radiomics=None), True
        ),
        "full": Profile(
            "full", 3, True, _samples(labelling=None, readers=None, matting=200, doctors=None, radiomics=None), True
        ),
    }
)


@dataclass(frozen=True)
class Config:
    """One run's settings.

    Attributes:
        profile: one of :data:`PROFILES`.
        data: ``auto`` (real where found, else embedded), ``embedded`` or ``real``.
        seeds: number of seeds; defaults to the profile's own.
        data_root: where real data is looked for (``SOFTMASK_DATA``, default ``./data``).
        recorded: take trained runs from the committed records only, and train nothing (``SOFTMASK_RECORDED=1``).
    """

    profile: Profile
    data: str
    seeds: int
    data_root: Path
    recorded: bool = False

    @classmethod
    def from_parameters(
        cls,
        profile: str | None = None,
        data: str | None = None,
        seeds: int | None = None,
        data_root: str | Path | None = None,
    ) -> Config:
        """Settings from notebook or command-line parameters.

        What is None comes from ``SOFTMASK_PROFILE``, ``SOFTMASK_SOURCE`` and ``SOFTMASK_DATA``, else from the
        defaults ``cpu``, ``auto`` and ``./data``; ``recorded`` from ``SOFTMASK_RECORDED``.

        Raises:
            ConfigError: for a name that is not known, a seed count below 1, or a ``SOFTMASK_RECORDED`` but 0 or 1.
        """
        profile = profile or os.environ.get("SOFTMASK_PROFILE") or "cpu"
        data = data or os.environ.get("SOFTMASK_SOURCE") or "auto"
        if profile not in PROFILES:
            raise ConfigError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
        if data not in SOURCES:
            raise ConfigError(f"unknown data source {data!r}; choose one of {', '.join(SOURCES)}")
        chosen = PROFILES[profile]
        seeds = chosen.seeds if seeds is None else seeds
        if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
            raise ConfigError(f"seeds must be a whole number of at least 1, not {seeds!r}")
        root = whole_path(data_root or os.environ.get("SOFTMASK_DATA") or ROOT / "data", "SOFTMASK_DATA")
        recorded = os.environ.get("SOFTMASK_RECORDED") or "0"
        if recorded not in ("0", "1"):
            raise ConfigError(f"SOFTMASK_RECORDED must be 1 (records only, no training) or 0, not {recorded!r}")
        return cls(chosen, data, seeds, root, recorded == "1")

    @property
    def run(self) -> str:
        """Name of the run: ``cpu-embedded``, and ``-<n>seeds`` where that is not the profile's own number.

        ``auto`` is named after what it found: ``embedded`` where no real data is there, else ``auto``.
        """
        data = self.data
        if data == "auto":
            from softmask.data import found  # config stays importable without the readers

            data = "auto" if found(self.data_root) else "embedded"
        more = f"-{self.seeds}seeds" if self.seeds != self.profile.seeds else ""
        return f"{self.profile.name}-{data}{more}"

    @property
    def results(self) -> Path:
        """``results/<run>``: tables, executed notebooks, report."""
        return output_root() / "results" / self.run

    @property
    def figures(self) -> Path:
        """``figures/<run>``."""
        return output_root() / "figures" / self.run


def whole_path(path: str | Path, what: str) -> Path:
    """``path`` made absolute. Raises ConfigError, naming ``what``, where it cannot be a folder of this machine."""
    try:
        whole = Path(path).expanduser().resolve()
        if whole.exists() and not whole.is_dir():
            raise ConfigError(f"{what} = {str(path)!r} is a file; name a folder")
    except (OSError, RuntimeError, ValueError) as error:  # no such user, a loop of links, a name too long, NUL
        raise ConfigError(
            f"{what} = {str(path)[:200]!r} names no folder ({error.__class__.__name__}); set it to one"
        ) from error
    return whole


def output_root() -> Path:
    """Where ``results/`` and ``figures/`` are written: the checkout, or ``SOFTMASK_OUTPUT`` (tests use it)."""
    return Path(os.environ.get("SOFTMASK_OUTPUT") or ROOT)


def cache_root() -> Path:
    """Where what can be computed again is kept: ``.cache/softmask`` in the checkout, or ``SOFTMASK_CACHE``."""
    return Path(os.environ.get("SOFTMASK_CACHE") or ROOT / ".cache" / "softmask")
