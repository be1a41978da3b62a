"""All notebooks of a run: in order, unchanged ones skipped, and after a failure those that do not depend on it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from softmask.config import Config, cache_root
from softmask.errors import ConfigError
from softmask.files import remove_parts, sha256_of
from softmask.workbook import state, times
from softmask.workbook.digest import common_digest, notebook_digest
from softmask.workbook.execute import Failed, execute
from softmask.workbook.notebook import Notebook, NotebookError
from softmask.workbook.progress import Progress, clock
from softmask.workbook.state import FAILED, NOT_RUN, OK, RUNNING, Entry
from softmask.workbook.times import Taken

UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook in this run: ``ok``, ``unchanged``, ``failed`` or ``not run``, and why."""

    name: str
    status: str
    seconds: float = 0.0
    reason: str = ""

    @property
    def good(self) -> bool:
        return self.status in (OK, UNCHANGED)


def parameters_of(config: Config) -> dict[str, object]:
    """The parameters that every notebook is given."""
    return {"profile": config.profile.name, "data": config.data, "seeds": config.seeds}


def expected_seconds(book: Notebook, config: Config, entries: Mapping[str, Entry]) -> float | None:
    """How long the last good run took on this machine, else :func:`from_scratch`."""
    entry = entries.get(book.name)
    return entry.seconds if entry and entry.status == OK else from_scratch(book, config).seconds or None


def from_scratch(book: Notebook, config: Config) -> Taken:
    """The most that earlier runs took, on hardware like this machine's where there was one; else the time that the
    notebook declares for the profile."""
    known = [one.notebooks[book.name] for one in times.load(config) if book.name in one.notebooks]
    return known[0] if known else Taken(book.seconds.get(config.profile.name, 0.0))


@contextlib.contextmanager
def only_one(config: Config) -> Iterator[None]:
    """No two runs write the same results at once. What a kill left half written is removed.

    Raises:
        ConfigError: when another one is at it.
    """
    path = cache_root() / "locks" / f"{config.run}-{sha256_of(str(config.results))[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another start is already running the notebooks of {config.run}; wait for it") from None
        for folder in (config.results, config.figures):
            remove_parts(folder)
        yield


def run(config: Config, books: Sequence[Notebook], chosen: Sequence[Notebook], force: bool = False) -> list[Outcome]:
    """Run the ``chosen`` of all ``books`` and say what became of each.

    Executed copies go to ``results/<run>/notebooks``; the state is saved after every notebook. ``force`` runs
    unchanged ones too.
    """
    return Runner(config, books, force).run(chosen)


class Runner:
    """The state of one run while it goes on."""

    def __init__(self, config: Config, books: Sequence[Notebook], force: bool) -> None:
        self.config, self.books, self.force = config, list(books), force
        self.parameters = parameters_of(config)
        self.common = common_digest(config)
        self.entries = state.load(config)
        self.digests: dict[str, str] = {}
        for book in self.books:
            if not book.last:
                needed = {name: self.digests[name] for name in book.needs}
                self.digests[book.name] = notebook_digest(book, self.parameters, self.common, needed)

    def run(self, chosen: Sequence[Notebook]) -> list[Outcome]:
        progress = Progress(len(chosen))
        outcomes: dict[str, Outcome] = {}
        for number, book in enumerate(chosen, start=1):
            outcomes[book.name] = self._one(book, number, progress, outcomes)
        return list(outcomes.values())

    def _digest(self, book: Notebook, written: Collection[str]) -> str:
        """Of all that ``book`` depends on; for one that runs last, that is every file of the run but the ``written``
        ones, its own."""
        if not book.last:
            return self.digests[book.name]
        others = {
            name: f"{entry.status} {entry.digest} {entry.finished}"
            for name, entry in self.entries.items()
            if name != book.name
        }
        files = state.outputs_now(self.config).items()
        others |= {path: f"{stat}" for path, stat in files if path not in written}
        return notebook_digest(book, self.parameters, self.common, others)

    def _remember(self, entry: Entry) -> None:
        self.entries[entry.name] = entry
        ordered = [self.entries[book.name] for book in self.books if book.name in self.entries]
        state.save(self.config, ordered)

    def _hindrance(self, book: Notebook, outcomes: Mapping[str, Outcome]) -> str:
        """Which notebook that ``book`` needs has failed, in this run or, where it is not part of it, in its last."""
        for name in book.needs:
            if name in outcomes:
                if not outcomes[name].good:
                    return f"{name} failed" if outcomes[name].status == FAILED else f"{name} was not run"
            elif name in self.entries and self.entries[name].status != OK:
                return f"{name} failed when it last ran"
        return ""

    def _one(self, book: Notebook, number: int, progress: Progress, outcomes: Mapping[str, Outcome]) -> Outcome:
        head = f"[{number}/{progress.total}] {book.name}"
        hindrance = self._hindrance(book, outcomes)
        if hindrance:
            self._remember(Entry(book.name, NOT_RUN, reason=hindrance))
            progress.say(f"{head}: not run, because {hindrance}")
            return Outcome(book.name, NOT_RUN, reason=hindrance)
        entry = self.entries.get(book.name)
        if entry and not self.force and entry.unchanged(self._digest(book, entry.outputs)):
            progress.say(f"{head}: unchanged, skipped")
            return Outcome(book.name, UNCHANGED, entry.seconds)
        return self._execute(book, number, progress)

    def _execute(self, book: Notebook, number: int, progress: Progress) -> Outcome:
        cells = sum(bool(source.strip()) for source in book.code)
        expected = expected_seconds(book, self.config, self.entries)
        self._remember(Entry(book.name, RUNNING, reason="was stopped while it ran"))  # what a kill would leave
        before = state.outputs_now(self.config)
        began = time.monotonic()
        progress.start(number, book.name, cells, expected)
        outcome, detail = Outcome(book.name, OK), ""
        try:
            target = self.config.results / "notebooks" / book.path.name
            memory = execute(book, self.parameters, target, progress.cell)
        except NotebookError as error:
            detail = error.detail if isinstance(error, Failed) else ""
            outcome = Outcome(book.name, FAILED, reason=str(error))
        except BaseException:
            progress.stop("stopped")
            raise
        outcome = replace(outcome, seconds=round(time.monotonic() - began, 1))
        if outcome.status == OK:
            progress.stop(f"ok, {clock(outcome.seconds)}")
            times.add(self.config, book.name, Taken(outcome.seconds, round(memory / 1e6, 1)))
        else:
            indented = "".join(f"\n    {line}" for line in detail.splitlines())
            progress.stop(f"FAILED after {clock(outcome.seconds)}, {outcome.reason}{indented}")
        after = state.outputs_now(self.config)
        outputs = tuple(sorted(path for path, stat in after.items() if before.get(path) != stat))
        self._remember(
            Entry(
                book.name,
                outcome.status,
                outcome.seconds,
                outcome.reason,
                self._digest(book, outputs),
                datetime.now(UTC).isoformat(timespec="microseconds"),
                outputs,
            )
        )
        return outcome
