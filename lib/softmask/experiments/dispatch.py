"""Runs shared out: to processes of this machine (joblib), or to the workers of a dask cluster."""

from __future__ import annotations

import errno
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from softmask.config import Config
from softmask.errors import ConfigError, DataError, SoftmaskError
from softmask.experiments import prepared, store
from softmask.experiments.kinds import run_one
from softmask.experiments.plan import Planned
from softmask.experiments.prepared import Prepared
from softmask.experiments.spec import RunSpec
from softmask.machine import end_with, keep_freed_memory, release_freed_memory

LAST_LINES = 8
ANSWER_WITHIN = 20
"""Seconds that a dask scheduler may take to answer."""

KILLED = "its process was killed, perhaps for want of memory; try fewer jobs"


@dataclass(frozen=True, eq=False)
class Task:
    """A run to train, and the function that gives its data (a process of its own reads it again, from the cache)."""

    run: Planned
    config: Config
    prepare: Callable[[RunSpec, Config], Prepared]


@dataclass(frozen=True)
class Failure:
    """A run by name, and why it failed."""

    name: str
    why: str


Result = tuple[Task, Failure | None]


def perform(task: Task) -> Failure | None:
    """Train one run, alone among all processes, unless another has finished it meanwhile. None where that went well.

    One thread, so that results do not depend on the number of cores.
    """
    run, threads = task.run, torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        with store.locked(run.folder):
            if not _there(run):
                _train(task)
    except SoftmaskError as error:
        return Failure(run.spec.name, str(error))
    except OSError as error:
        why = f"{error.filename or run.folder}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why += "; free some space, or name another folder in SOFTMASK_RUNS"
        return Failure(run.spec.name, f"{why}; training goes on from the last checkpoint")
    except Exception as error:  # a mistake in a network, say: the other runs go on, and this one's trace is told
        trace = "".join(traceback.format_exception(error)).rstrip().splitlines()[-LAST_LINES:]
        return Failure(run.spec.name, "\n    ".join([f"{type(error).__name__}: {error}", *trace]))
    finally:
        torch.set_num_threads(threads)
        release_freed_memory()  # the next run, of another network, asks for other arrays
    return None


def _there(run: Planned) -> bool:
    try:
        return store.read(run.folder, run.spec, run.key) is not None
    except DataError:  # the plan has said so; it is trained again
        return False


def _train(task: Task) -> None:
    run, folder = task.run, task.run.folder
    data = _data(task)
    store.begin(folder, run.spec)
    record = run_one(
        run.spec,
        data,
        folder,
        save=lambda network: store.save_weights(folder, network),
        needs=run.needs,
        progress=lambda done, *_: store.write_progress(folder, done),
    )
    store.finish(folder, record)


_held: dict[str, Prepared] = {}
"""Data that this process trained on last, by digest: opening it takes seconds, and a run may take ten."""
MEMORY = 2**29
"""Bytes by which a process may grow before a fresh one takes its place."""


def _data(task: Task) -> Prepared:
    """The data of a task. Raises DataError where it is no longer what was planned with."""
    wanted = task.run.data
    if wanted not in _held or task.prepare is not prepared.prepare:
        data = task.prepare(task.run.spec, task.config)
        if data.digest != wanted:
            raise DataError(f"the data of {task.run.spec.dataset} has changed since this was started; start again")
        if task.prepare is not prepared.prepare:
            return data
        _held.clear()
        _held[wanted] = data
    return _held[wanted]


def local(tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    """Perform ``tasks`` in that order, ``jobs`` at a time; each with its failure as it ends."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting = dict.fromkeys(range(len(tasks)))
    try:
        for number, failure in _processes(list(enumerate(tasks)), jobs):
            del waiting[number]
            yield tasks[number], failure
    except TerminatedWorkerError:  # one was killed, and all that ran beside it stopped: find out which, one by one
        for number in waiting:
            try:
                [(_, failure)] = _processes([(number, tasks[number])], 2)
            except TerminatedWorkerError:
                failure = Failure(tasks[number].run.spec.name, KILLED)
            yield tasks[number], failure


def _processes(numbered: Sequence[tuple[int, Task]], jobs: int) -> Iterator[tuple[int, Failure | None]]:
    from joblib import Parallel, delayed, parallel_config

    # Told when a process that has held much memory is replaced by a fresh one between two runs, which loses nothing.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    mine = {"initializer": end_with, "initargs": (os.getpid(),)}
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1, **mine):
        yield from Parallel(return_as="generator_unordered", batch_size=1)(
            delayed(_numbered)(number, task) for number, task in numbered
        )


def _numbered(number: int, task: Task) -> tuple[int, Failure | None]:
    """In a process of loky's, which takes data that is held for the next run for a leak, and would start another."""
    from joblib.externals.loky import process_executor

    process_executor._MAX_MEMORY_LEAK_SIZE = MEMORY
    return number, perform(task)


def end_idle() -> None:
    """End the processes that trained: each still holds a data set, together they take gigabytes."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(reuse=True).shutdown(wait=True)


def on_cluster(tasks: Sequence[Task], address: str) -> Iterator[Result]:
    """Perform ``tasks`` on the dask cluster at ``address``; each with its failure as it ends.

    What a lost worker was at goes on from its checkpoint on another one.

    Raises:
        ConfigError: when nothing answers at the address, or its workers have more than one thread.
    """
    from distributed import Client, KilledWorker, as_completed

    try:
        client = Client(address, timeout=ANSWER_WITHIN)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no dask scheduler answers at {address!r} ({error}); is one running there?") from error
    with client:
        if any(threads > 1 for threads in client.nthreads().values()):  # threads would share torch's random numbers
            raise ConfigError(f"the workers at {address} have several threads; start them with --nthreads 1")
        futures = {client.submit(perform, task, pure=False, priority=-i): task for i, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                task, failure = futures[future], None
                try:
                    failure = future.result()
                except KilledWorker:
                    failure = Failure(task.run.spec.name, KILLED)
                yield task, failure
        finally:
            client.cancel(list(futures))
