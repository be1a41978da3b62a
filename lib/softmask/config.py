"""Settings of a run: profile, source of the data, seeds, and output folders.

This module does not look at the disk; :func:`softmask.data.configure` also finds out which data is available.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from softmask.errors import ConfigError, unknown

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the checkout, with ``notebooks/``, ``lib/``, ``results/`` and ``figures/``."""

SOURCES = ("auto", "embedded", "real")
BASE_SEED = 2020


@dataclass(frozen=True)
class Profile:
    """Size of the experiments. ``samples`` has the maximum number of images that a step uses, by purpose; None for all.

    In a ``long`` profile, a committed record counts as a finished run, also on another machine.
    """

    name: str
    seeds: int
    samples: Mapping[str, int | None]
    is_result: bool = True
    long: bool = False

    @property
    def keeps(self) -> int | None:
        """Number of test images whose predictions a run's record keeps; None for all."""
        return None if self.long else 8

    def cap(self, purpose: str) -> int | None:
        """Return the maximum number of images for ``purpose``; None means no limit."""
        return self.samples[purpose]


PROFILES: Mapping[str, Profile] = {
    # smoke shows that everything runs; its tables are marked "not a result"
    "smoke": Profile(
        "smoke", 1, {"labelling": 12, "readers": 24, "matting": 4, "doctors": 60, "radiomics": 40}, is_result=False
    ),
    "cpu": Profile("cpu", 1, {"labelling": 400, "readers": 400, "matting": 24, "doctors": None, "radiomics": None}),
    # the reported results: hours on a GPU, about 140 core-hours on a CPU
    "night": Profile(
        "night", 3, {"labelling": 400, "readers": None, "matting": 40, "doctors": None, "radiomics": None}, long=True
    ),
    "full": Profile(
        "full", 3, {"labelling": None, "readers": None, "matting": 200, "doctors": None, "radiomics": None}, long=True
    ),
}


@dataclass(frozen=True)
class Config:
    """Settings of one run.

    Attributes:
        profile: one of :data:`PROFILES`.
        data: ``auto`` (real where found, else embedded), ``embedded`` or ``real``.
        seeds: number of seeds; defaults to the profile's own.
        data_root: folder of the real data (``SOFTMASK_DATA``, default ``./data``).
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
        data_root: Path | None = None,
    ) -> Config:
        """Return checked settings. None means the value of ``SOFTMASK_PROFILE``, ``SOFTMASK_SOURCE`` or
        ``SOFTMASK_DATA``, otherwise ``cpu``, ``auto`` or ``./data``; ``recorded`` comes from ``SOFTMASK_RECORDED``.

        Raises:
            ConfigError: for an unknown name, a seed count below 1, or a ``SOFTMASK_RECORDED`` other than 0 and 1.
        """
        profile = profile or os.environ.get("SOFTMASK_PROFILE") or "cpu"
        data = data or os.environ.get("SOFTMASK_SOURCE") or "auto"
        if profile not in PROFILES:
            raise unknown("profile", profile, PROFILES)
        if data not in SOURCES:
            raise unknown("data source", data, SOURCES)
        seeds = PROFILES[profile].seeds if seeds is None else seeds
        if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
            raise ConfigError(f"seeds must be a whole number of at least 1, not {seeds!r}")
        root = Path(os.path.abspath(os.path.expanduser(data_root or os.environ.get("SOFTMASK_DATA") or ROOT / "data")))
        recorded = os.environ.get("SOFTMASK_RECORDED") or "0"
        if recorded not in ("0", "1"):
            raise ConfigError(f"SOFTMASK_RECORDED must be 1 (records only, no training) or 0, not {recorded!r}")
        return cls(PROFILES[profile], data, seeds, root, recorded == "1")

    @property
    def run(self) -> str:
        """Name of the run, such as ``cpu-embedded``, with ``-<n>seeds`` if ``n`` is not the profile's own number."""
        suffix = f"-{self.seeds}seeds" if self.seeds != self.profile.seeds else ""
        return f"{self.profile.name}-{self.data}{suffix}"

    @property
    def results(self) -> Path:
        """Folder ``results/<run>``: tables, executed notebooks, report."""
        return output_root() / "results" / self.run

    @property
    def figures(self) -> Path:
        """Folder ``figures/<run>``."""
        return output_root() / "figures" / self.run


def output_root() -> Path:
    """Return the folder of ``results/`` and ``figures/``: the checkout, or ``SOFTMASK_OUTPUT`` (tests use it)."""
    return Path(os.environ.get("SOFTMASK_OUTPUT") or ROOT)


def cache_root() -> Path:
    """Return the folder of cached results: ``.cache/softmask`` in the checkout, or ``SOFTMASK_CACHE``."""
    return Path(os.environ.get("SOFTMASK_CACHE") or ROOT / ".cache" / "softmask")
