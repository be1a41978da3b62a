"""What a run remembers of its notebooks: ``results/<run>/state.json``, of this machine only.

Written whole after every notebook. The report reads it too::

    {"run": "cpu-embedded", "notebooks": [{"name": "01_data", "status": "ok", "seconds": 21.3, "reason": "",
      "digest": "...", "finished": "2020-05-01T12:00:00+00:00", "outputs": ["results/cpu-embedded/tables/..."]}]}

``status`` is ``ok``, ``failed``, ``not run`` (because one it needs failed) or ``running`` (after a kill: it was).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from softmask.config import Config, output_root
from softmask.errors import DataError
from softmask.files import read_json, write_atomic
from softmask.workbook import times
from softmask.workbook.notebook import NotebookError

OK, FAILED, NOT_RUN, RUNNING = "ok", "failed", "not run", "running"


@dataclass(frozen=True)
class Entry:
    """What is remembered of one notebook. ``outputs`` are paths below the output root."""

    name: str
    status: str
    seconds: float = 0.0
    reason: str = ""
    digest: str = ""
    finished: str = ""
    outputs: tuple[str, ...] = ()

    def unchanged(self, digest: str) -> bool:
        """Whether it ended well with this digest and all it wrote is still there."""
        root = output_root()
        return self.status == OK and self.digest == digest and all((root / path).is_file() for path in self.outputs)


def state_path(config: Config) -> Path:
    """``results/<run>/state.json``."""
    return config.results / "state.json"


def load(config: Config) -> dict[str, Entry]:
    """The remembered notebooks by name; none where nothing has run yet.

    Raises:
        NotebookError: when the file is damaged.
    """
    path = state_path(config)
    if not path.exists():
        return {}
    remedy = "delete it and all notebooks run again"
    try:
        entries = [_entry(item) for item in read_json(path, remedy)["notebooks"]]
        return {entry.name: entry for entry in entries}
    except DataError as error:
        raise NotebookError(str(error)) from error
    except (ValueError, LookupError, TypeError) as error:
        raise NotebookError(f"{path} is damaged ({error!r}); {remedy}") from error


def _entry(item: dict) -> Entry:
    """One notebook's entry. Raises TypeError or ValueError for fields that are not its own or of another kind."""
    entry = replace(Entry(**item), outputs=tuple(item.get("outputs", ())))
    for name, value in vars(entry).items():
        kinds = (int, float) if name == "seconds" else tuple if name == "outputs" else str
        if not isinstance(value, kinds):
            raise ValueError(f"{name} is {value!r}")
    for path in map(PurePosixPath, entry.outputs):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"an output is {path}, outside the results")
    return entry


def save(config: Config, entries: Iterable[Entry]) -> Path:
    """Write the state of the run, whole or not at all."""
    content = {"run": config.run, "notebooks": [asdict(entry) for entry in entries]}
    return write_atomic(state_path(config), json.dumps(content, indent=1) + "\n")


def outputs_now(config: Config) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file of the run that notebooks write, by path below the output root."""
    root, others = output_root(), (state_path(config), times.path_of(config))
    found = {}
    for folder in (config.results, config.figures):
        for path in folder.rglob("*"):
            if path.is_file() and path not in others:
                stat = path.stat()
                found[path.relative_to(root).as_posix()] = (stat.st_size, stat.st_mtime_ns)
    return found
