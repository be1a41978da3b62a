"""How long the notebooks of a run take from scratch, and how much memory: ``results/<run>/times.json``, committed.

By hardware, so that a fresh clone knows what to expect on a machine like one that ran before::

    {"run": "cpu-embedded", "hardware": [{"cpu": "...", "cores": 2, "notebooks": {
      "01_data": {"seconds": 21.3, "memory_mb": 412.0}}}]}

Of several runs the longest counts: what is trained is kept, and a later run is short. Runs of the smoke profile and
those from records are not noted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from softmask.config import ROOT, Config
from softmask.files import write_atomic
from softmask.machine import cores, cpu_model


@dataclass(frozen=True)
class Taken:
    """The most that a notebook took: seconds, and megabytes (10^6 bytes) of all its processes; 0 is not known."""

    seconds: float
    memory_mb: float = 0.0


@dataclass(frozen=True)
class Hardware:
    """A processor by its name, the cores that may be used, and what the notebooks took on it."""

    cpu: str
    cores: int
    notebooks: Mapping[str, Taken]

    @property
    def here(self) -> bool:
        """Whether it is like this machine's."""
        return (self.cpu, self.cores) == (cpu_model(), cores())

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} core{'' if self.cores == 1 else 's'}"


def path_of(config: Config) -> Path:
    """``results/<run>/times.json``."""
    return config.results / "times.json"


def load(config: Config) -> list[Hardware]:
    """What is known of the run: where it is written, else in the checkout; hardware like this machine's first.

    A damaged file tells nothing, and is written again.
    """
    places = (path_of(config), ROOT / "results" / config.run / "times.json")
    path = next((place for place in places if place.exists()), None)
    if path is None or not config.profile.is_result:
        return []
    try:
        known = [
            Hardware(
                str(one["cpu"]),
                int(one["cores"]),
                {
                    name: Taken(float(taken["seconds"]), float(taken["memory_mb"]))
                    for name, taken in one["notebooks"].items()
                },
            )
            for one in json.loads(path.read_text(encoding="utf-8"))["hardware"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return sorted(known, key=lambda one: not one.here)


def add(config: Config, name: str, taken: Taken) -> None:
    """Keep what notebook ``name`` took on this machine, where it is more than was known."""
    if config.recorded or not config.profile.is_result:
        return
    known = load(config)
    mine = known.pop(0) if known and known[0].here else Hardware(cpu_model(), cores(), {})
    before = mine.notebooks.get(name, Taken(0.0))
    most = Taken(max(before.seconds, taken.seconds), max(before.memory_mb, taken.memory_mb))
    if most == before:
        return
    mine = replace(mine, notebooks=dict(sorted({**mine.notebooks, name: most}.items())))
    content = {"run": config.run, "hardware": [asdict(one) for one in (mine, *known)]}
    write_atomic(path_of(config), json.dumps(content, indent=1) + "\n")
