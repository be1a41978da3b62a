"""All notebooks of a run: in order, unchanged ones skipped, and after a failure those that do not depend on it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from softmask.config import Config, cache_root
from softmask.errors import ConfigError
from softmask.files import remove_parts, sha256_of
from softmask.machine import clock
from softmask.workbook import state
from softmask.workbook.digest import common_digest, notebook_digest
from softmask.workbook.execute import execute
from softmask.workbook.notebook import Notebook, NotebookError
from softmask.workbook.state import FAILED, NOT_RUN, OK, RUNNING, UNCHANGED, Cost, Entry


@contextlib.contextmanager
def only_one(config: Config) -> Iterator[None]:
    """Keep two runs from writing the same results at once, and remove what a kill left half written.

    Raises:
        ConfigError: when another one is running.
    """
    path = cache_root() / "locks" / f"{config.run}-{sha256_of(str(config.results))[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(path, timeout=0))
        except Timeout:
            raise ConfigError(f"another start is already running the notebooks of {config.run}; wait for it") from None
        for folder in (config.results, config.figures):
            remove_parts(folder)
        yield


def run(config: Config, books: Sequence[Notebook], chosen: Sequence[Notebook], force: bool = False) -> list[Entry]:
    """Run the ``chosen`` of all ``books`` and return what became of each.

    Executed copies go to ``results/<run>/notebooks``; the state is saved after every notebook. ``force`` runs
    unchanged ones too.
    """
    parameters = {"profile": config.profile.name, "data": config.data, "seeds": config.seeds}
    common = common_digest(config)
    entries = state.load(config)
    outcomes: dict[str, Entry] = {}
    digests: dict[str, str] = {}
    for book in books:
        if not book.last:
            digests[book.name] = notebook_digest(book, parameters, common, {name: digests[name] for name in book.needs})

    def digest_of(book: Notebook, outputs: Sequence[str]) -> str:
        """Of everything ``book`` depends on; for one that runs last, that is every file of the run but its own
        ``outputs``."""
        if not book.last:
            return digests[book.name]
        others = {
            name: f"{entry.status} {entry.digest} {entry.finished}"
            for name, entry in entries.items()
            if name != book.name
        }
        files = state.outputs_now(config).items()
        others |= {path: f"{stat}" for path, stat in files if path not in outputs}
        return notebook_digest(book, parameters, common, others)

    def remember(entry: Entry) -> Entry:
        entries[entry.name] = entry
        state.save(config, [entries[book.name] for book in books if book.name in entries])
        return entry

    for number, book in enumerate(chosen, start=1):
        title = f"[{number}/{len(chosen)}] {book.name}"
        entry = entries.get(book.name)
        if hindrance := _hindrance(book, entries, outcomes):
            outcome = remember(Entry(book.name, NOT_RUN, reason=hindrance))
            print(f"{title}: not run, because {hindrance}", flush=True)
        elif entry and not force and entry.unchanged(digest_of(book, entry.outputs)):
            outcome = replace(entry, status=UNCHANGED)
            print(f"{title}: unchanged, skipped", flush=True)
        else:
            expected = entry.seconds if entry and entry.status == OK else state.expected(book, config).seconds
            remember(Entry(book.name, RUNNING, reason="was stopped while it ran"))  # what a kill would leave
            before = state.outputs_now(config)
            outcome = _execute(book, parameters, config, title, expected)
            after = state.outputs_now(config)
            outputs = tuple(sorted(path for path, stat in after.items() if before.get(path) != stat))
            finished = datetime.now(UTC).isoformat(timespec="microseconds")
            outcome = replace(outcome, digest=digest_of(book, outputs), finished=finished, outputs=outputs)
            remember(outcome)
        outcomes[book.name] = outcome
    return list(outcomes.values())


def _hindrance(book: Notebook, entries: Mapping[str, Entry], outcomes: Mapping[str, Entry]) -> str:
    """Which notebook that ``book`` needs has failed, in this run or, where it is not part of it, in its last."""
    for name in book.needs:
        if name in outcomes:
            if not outcomes[name].good:
                return f"{name} failed" if outcomes[name].status == FAILED else f"{name} was not run"
        elif name in entries and entries[name].status != OK:
            return f"{name} failed when it last ran"
    return ""


def _execute(book: Notebook, parameters: Mapping, config: Config, title: str, expected: float) -> Entry:
    """Execute ``book``, say how it ended, and keep its time and memory."""
    about = f", about {clock(expected)}" if expected else ""
    target = config.results / "notebooks" / book.path.name
    began = time.monotonic()
    try:
        memory = execute(book, parameters, target, title + about)
    except NotebookError as error:
        seconds = round(time.monotonic() - began, 1)
        detail = "".join(f"\n    {line}" for line in getattr(error, "detail", "").splitlines())
        print(f"{title}: FAILED after {clock(seconds)}, {error}{detail}", flush=True)
        return Entry(book.name, FAILED, seconds, str(error))
    seconds = round(time.monotonic() - began, 1)
    print(f"{title}: ok, {clock(seconds)}", flush=True)
    state.add_time(config, book.name, Cost(seconds, round(memory / 1e6, 1)))
    return Entry(book.name, OK, seconds)
