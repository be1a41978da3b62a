"""Parallel application of a function to many samples, on all cores, in order, with a progress bar."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import process_executor
from tqdm import tqdm

from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError, LabelError
from softmask.machine import cores, end_with


def progress(rows: Sequence, title: str, unit: str = "image") -> Iterable:
    """Return ``rows`` with a progress bar if there is a ``title``; redrawn rarely, as notebooks keep every line."""
    return tqdm(rows, desc=title, unit=unit, mininterval=5.0, disable=not title)


def map_items(
    work: Callable[[Any], Any], items: Sequence, *, title: str = "", unit: str = "item", jobs: int | None = None
) -> list:
    """Return ``work(item)`` for all ``items``, in order, computed by ``jobs`` processes (default: one per core)."""
    return list(pool(jobs, batch=8)(delayed(work)(item) for item in progress(items, title, unit)))


def map_samples(
    work: Callable[[Sample], list[dict]], dataset: Dataset, rows: Iterable[int], *, title: str = "", jobs=None
) -> list[dict]:
    """Return the records ``work(sample)`` of all readable samples of ``rows`` in one list, in the order of ``rows`` for
    any number of ``jobs`` (processes; default: one per core). Samples that cannot be read or labelled are left out and
    listed in ``dataset.problems``, in the same order."""

    def tasks() -> Iterator[tuple]:
        for row in progress([int(row) for row in rows], title or dataset.name):
            name = dataset.name_of(row)
            if dataset.source == "embedded":  # simulated by the worker process
                yield delayed(_work)(work, dataset, row, name)
                continue
            try:
                sample = dataset[row]
            except DataError as error:  # passed on as a result, so that problems stay in order
                yield delayed(_work)(str, [str(error)], 0, name)
            else:
                yield delayed(_work)(work, [sample], 0, name)

    records: list[dict] = []
    for name, outcome in pool(jobs, batch=8)(tasks()):
        if isinstance(outcome, str):
            dataset.add_problem(name, outcome)
        else:
            records.extend(outcome)
    return records


def _work(work: Callable[[Any], Any], items: Sequence | Dataset, i: int, name: str) -> tuple[str, Any]:
    """Return the name and ``work(items[i])``, or the name and a message why the item cannot be used."""
    try:
        return name, work(items[i])
    except (LabelError, DataError) as error:
        return name, str(error)


MEMORY = 2**29
"""Bytes by which a process may grow before a new process replaces it: processes hold data for later tasks."""


def pool(jobs: int | None = None, batch: int | str = "auto", ordered: bool = True) -> Parallel:
    """Return a pool of processes (default: one per core) that yields the results of the tasks, in order or as they
    finish, and ends with this process. Each process has one thread: threads that waited for one another on a busy core
    made small matrix products thirty times slower."""
    # The warning appears when a process with much memory is replaced between two tasks; no task is lost.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    threading.excepthook = _failed_thread
    with parallel_config("loky", inner_max_num_threads=1, initializer=_begin, initargs=(os.getpid(),)):
        return_as = "generator" if ordered else "generator_unordered"
        return Parallel(n_jobs=jobs or cores(), return_as=return_as, batch_size=batch, pre_dispatch="4*n_jobs")


def _failed_thread(failure: threading.ExceptHookArgs) -> None:
    """Hide the error of loky's thread when it looks for a task that an interrupt has cancelled."""
    if not (failure.exc_type is KeyError and failure.thread and failure.thread.name == "ExecutorManagerThread"):
        threading.__excepthook__(failure)


def _begin(parent: int) -> None:
    process_executor._MAX_MEMORY_LEAK_SIZE = MEMORY  # loky mistakes held data for a leak
    end_with(parent)
