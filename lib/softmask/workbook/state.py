"""State of the notebooks of a run: outcomes, time and memory.

``results/<run>/state.json``, for this machine only, is rewritten after every notebook. The report also reads it::

    {"run": "cpu-embedded", "notebooks": [{"name": "01_data", "status": "ok", "seconds": 21.3, "reason": "",
      "digest": "...", "finished": "2020-05-01T12:00:00+00:00", "outputs": ["results/cpu-embedded/tables/..."]}]}

``status`` is ``ok``, ``failed``, ``not run`` (because a needed notebook failed) or ``running`` (killed while running).

``results/<run>/times.json``, committed, has the longest time and the peak memory of each notebook by hardware. The
longest time counts because later runs reuse trained networks and are short; smoke and recorded runs are not stored::

    {"run": "cpu-embedded", "hardware": [{"cpu": "...", "cores": 2, "notebooks": {
      "01_data": {"seconds": 21.3, "memory_mb": 412.0}}}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from softmask.config import ROOT, Config, output_root
from softmask.errors import DataError
from softmask.files import read_json, write_atomic
from softmask.machine import cores, cpu_model
from softmask.workbook.notebook import Notebook, NotebookError

OK, FAILED, NOT_RUN, RUNNING, UNCHANGED = "ok", "failed", "not run", "running", "unchanged"


@dataclass(frozen=True)
class Entry:
    """Outcome of one notebook. ``outputs`` are paths below the output root."""

    name: str
    status: str
    seconds: float = 0.0
    reason: str = ""
    digest: str = ""
    finished: str = ""
    outputs: tuple[str, ...] = ()

    def unchanged(self, digest: str) -> bool:
        """Return whether the notebook succeeded with this digest and all its outputs still exist."""
        root = output_root()
        return self.status == OK and self.digest == digest and all((root / path).is_file() for path in self.outputs)


def state_path(config: Config) -> Path:
    """Return ``results/<run>/state.json``."""
    return config.results / "state.json"


def times_path(config: Config) -> Path:
    """Return ``results/<run>/times.json``."""
    return config.results / "times.json"


def load(config: Config) -> dict[str, Entry]:
    """Return the stored entries by name. Raises DataError or NotebookError if the file is damaged."""
    path, remedy = state_path(config), "delete it and all notebooks run again"
    try:
        items = read_json(path, remedy)["notebooks"] if path.exists() else []
        return {entry.name: entry for entry in map(_entry, items)}
    except (ValueError, LookupError, TypeError) as error:
        raise NotebookError(f"{path} is damaged ({error!r}); {remedy}") from error


def _entry(item: dict) -> Entry:
    """Return an entry. Raises TypeError or ValueError for unknown fields or values of another type."""
    entry = replace(Entry(**item), outputs=tuple(item.get("outputs", ())))
    for name, value in vars(entry).items():
        if not isinstance(value, {"seconds": (int, float), "outputs": tuple}.get(name, str)):
            raise ValueError(f"{name} is {value!r}")
    for path in map(PurePosixPath, entry.outputs):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"an output is {path}, outside the results")
    return entry


def save(config: Config, entries: Iterable[Entry]) -> None:
    """Write the state of the run atomically."""
    content = {"run": config.run, "notebooks": [asdict(entry) for entry in entries]}
    write_atomic(state_path(config), json.dumps(content, indent=1) + "\n")


def outputs_now(config: Config) -> dict[str, tuple[int, int]]:
    """Return size and modification time of every file that the run's notebooks write, by path below the output root."""
    own = (state_path(config), times_path(config))
    files = [path for folder in (config.results, config.figures) for path in folder.rglob("*") if path not in own]
    stats = {path.relative_to(output_root()).as_posix(): path.stat() for path in files if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


class Cost(NamedTuple):
    """Longest time in seconds and most memory in megabytes (10^6 bytes) of a notebook's processes; 0 if unknown."""

    seconds: float
    memory_mb: float = 0.0


def hardware() -> tuple[str, int]:
    """Return the processor of this machine and the number of usable cores."""
    return cpu_model(), cores()


def load_times(config: Config) -> dict[tuple[str, int], dict[str, Cost]]:
    """Return the costs of notebooks by :func:`hardware`, this machine first; empty if the file is damaged."""
    committed = ROOT / "results" / config.run / "times.json"
    path = times_path(config) if times_path(config).exists() else committed
    if not path.exists() or not config.profile.is_result:
        return {}
    times = {}
    try:
        for item in read_json(path)["hardware"]:
            costs = {name: Cost(float(c["seconds"]), float(c["memory_mb"])) for name, c in item["notebooks"].items()}
            times[str(item["cpu"]), int(item["cores"])] = costs
    except (DataError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return dict(sorted(times.items(), key=lambda item: item[0] != hardware()))


def add_time(config: Config, name: str, cost: Cost) -> None:
    """Store the cost of notebook ``name`` on this machine if it exceeds the known cost."""
    if config.recorded or not config.profile.is_result:
        return
    times = load_times(config)
    machine_costs = times.pop(hardware(), {})
    new_cost = Cost(*map(max, cost, machine_costs.get(name, Cost(0.0))))
    if new_cost == machine_costs.get(name):
        return
    items = [
        {"cpu": cpu, "cores": n, "notebooks": {name: cost._asdict() for name, cost in sorted(costs.items())}}
        for (cpu, n), costs in {hardware(): {**machine_costs, name: new_cost}, **times}.items()
    ]
    write_atomic(times_path(config), json.dumps({"run": config.run, "hardware": items}, indent=1) + "\n")


def expected(book: Notebook, config: Config) -> Cost:
    """Return the cost in earlier runs, preferably on this machine's hardware; without earlier runs, the time that the
    notebook declares for the profile."""
    earlier_costs = [costs[book.name] for costs in load_times(config).values() if book.name in costs]
    return earlier_costs[0] if earlier_costs else Cost(book.seconds.get(config.profile.name, 0.0))
