"""Finished runs: from the store, newly trained if they are missing, or from the committed records.

Runs are trained in processes of this machine (joblib) or on the workers of a dask cluster, each in a stage after the
runs that it needs, with one lock file per run.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from softmask.config import Config
from softmask.errors import ConfigError, DataError, SoftmaskError, TrainingError
from softmask.experiments import prepare, store
from softmask.experiments.kinds import train_and_test
from softmask.experiments.plan import (
    data_of,
    likeness,
    missing,
    plan,
    recorded,
    records_folder,
    seconds_known,
    stages,
    weights_path,
)
from softmask.experiments.prepare import Prepared
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.files import write_atomic
from softmask.machine import cores, keep_freed_memory, release_freed_memory
from softmask.parallel import pool

MEMORY_OF_A_RUN = 12e9
"""GPU memory reserved for one run, in bytes: that of the largest network at full width."""
LOOK_EVERY, DRAW_EVERY = 1.0, 5.0
"""Seconds between updates of the progress, and between redraws of the bar: an executed notebook keeps every line."""
LAST_LINES = 8
ANSWER_WITHIN = 20
"""Seconds that a dask scheduler may take to answer."""

KILLED = "its process was killed, perhaps for want of memory; try fewer jobs"

Work = Callable[[RunSpec, Config], Prepared]
"""Function that prepares the data of a run."""
Ended = tuple[Run, str | None]
"""Run that has ended, and the reason if it failed."""


def fit(
    specs: Iterable[RunSpec],
    config: Config,
    jobs: int | None = None,
    dask: str | None = None,
    title: str = "",
    weights: bool = False,
) -> list[Run]:
    """Return the finished runs of ``specs``, in the same order. Missing runs are trained, each once. With
    ``config.recorded``, nothing is trained, and runs without a record of these settings are left out of the list.

    Each record is written to ``results/<run>/records`` when its run ends. The next call continues an interrupted one.

    Args:
        jobs: number of runs trained at once, each in a process (default: :func:`default_jobs`).
        dask: address of a dask scheduler to train on instead, such as ``tcp://host:8786``. Its workers need one
            thread each, and the store, the cache and the data under the same paths.
        title: title of the progress bar.
        weights: whether the networks are needed, so that a committed record is not enough.

    Raises:
        ConfigError: for two different runs of the same name, a wrong number of jobs, or no scheduler at the address.
        DataError: for data or a record that cannot be read; with ``config.recorded``, for records of different data.
        TrainingError: if runs failed, with the cause of each, after all other runs have finished.
    """
    specs = list(specs)
    if config.recorded:
        return _recorded(specs, config)
    runs = plan(specs, config, specs if weights else ())
    missing_runs = missing(runs)
    for run in runs:
        if run.record:  # an earlier process may have been killed before this
            publish(run, config)
    jobs = default_jobs() if missing_runs and jobs is None else jobs
    if missing_runs and jobs < 1:
        raise ConfigError(f"jobs must be at least 1, not {jobs}")
    known_seconds = seconds_known(config) if missing_runs else {}
    # the longest first, so that no long run starts last
    missing_runs.sort(key=lambda run: known_seconds.get(likeness(run.spec), math.inf), reverse=True)
    for spec in {data_of(run.spec): run.spec for run in missing_runs}.values():
        prepare.prepare(spec, config)  # once here, not in every process
    release_freed_memory()
    failures: dict[str, str] = {}
    with _progress(missing_runs, title) as ended_runs:
        for stage in stages(missing_runs):
            for run in stage:
                failed_needs = [need.name for need in run.spec.needs if need.name in failures]
                if failed_needs:
                    failures[run.spec.name] = f"it needs {failed_needs[0]}, which failed"
            ready_runs = [run for run in stage if run.spec.name not in failures]
            digests = list(dict.fromkeys(run.data for run in ready_runs))
            ready_runs.sort(key=lambda run: digests.index(run.data))  # a process holds one data set at a time
            for run, failure in perform_all(ready_runs, config, jobs, dask):
                ended_runs.add(run)
                if failure:
                    failures[run.spec.name] = failure
                else:
                    publish(run.finished(), config)
    if missing_runs and not dask:  # each process still holds a data set: gigabytes together
        get_reusable_executor(reuse=True).shutdown(wait=True)
    finished_runs = {run.spec: run.finished() for run in runs if run.spec.name not in failures}
    if failures:
        failure_list = "\n".join(f"- {name}: {reason}" for name, reason in failures.items())
        raise TrainingError(f"{len(failures)} of {len(runs)} runs failed; the others are kept:\n{failure_list}")
    return [finished_runs[spec] for spec in specs]


def default_jobs() -> int:
    """Return the number of runs to train at once: ``SOFTMASK_JOBS``, else as GPU memory allows, else one per core."""
    env_jobs = os.environ.get("SOFTMASK_JOBS")
    if env_jobs:
        if not env_jobs.isdecimal() or int(env_jobs) < 1:
            raise ConfigError(f"SOFTMASK_JOBS must be a whole number of at least 1, not {env_jobs!r}")
        return int(env_jobs)
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        return max(1, min(8, cores(), int(memory // MEMORY_OF_A_RUN)))
    return cores()


def publish(run: Run, config: Config) -> None:
    """Write the record of a finished run beside the tables, in a profile that trains for hours also the weights of a
    super-resolution network. Touch an unchanged file, to show the notebook runner that it is used."""
    files = {records_folder(config) / f"{run.spec.name}.json": run.record.to_json().encode()}
    if config.profile.long and run.spec.upscales and run.folder:
        files[weights_path(run.spec, config)] = (run.folder / store.WEIGHTS).read_bytes()
    for path, content in files.items():
        if path.exists() and path.read_bytes() == content:
            path.touch()
        else:
            write_atomic(path, content)


def _recorded(specs: Sequence[RunSpec], config: Config) -> list[Run]:
    """Return the runs of ``specs`` that have a record; the first runs without one are named on stderr. Raises DataError
    if records of the same data set have different digests of the data."""
    records = {spec: recorded(spec, config) for spec in dict.fromkeys(specs)}
    runs = {spec: Run(spec, record) for spec, record in records.items() if record}
    unfinished = [spec.name for spec in records if spec not in runs]
    if unfinished:
        more = f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
        names = ", ".join(unfinished[:3]) + more
        print(f"{len(unfinished)} of {len(records)} runs are not finished; without a record: {names}", file=sys.stderr)
    first_runs: dict[tuple, Run] = {}
    for run in runs.values():
        other_run = first_runs.setdefault(data_of(run.spec), run)
        digests = [each.record.provenance.data[:12] for each in (run, other_run)]
        if digests[0] != digests[1]:
            raise DataError(
                f"{run.spec.name} and {other_run.spec.name} were trained and tested on different data "
                f"({' and '.join(digests)}); run without SOFTMASK_RECORDED (--recorded) to train what is out of date"
            )
    return [runs[spec] for spec in specs if spec in runs]


def processes(jobs: int) -> Parallel:
    """Return a pool of processes of one thread each, which yields results as they come and ends with this process."""
    return pool(jobs, batch=1, ordered=False)


def perform_all(runs: Sequence[Run], config: Config, jobs: int, dask: str | None = None) -> Iterator[Ended]:
    """Perform ``runs`` in this order, ``jobs`` at a time or on a dask cluster. Yield each run when it has ended."""
    if dask:
        yield from _on_cluster(runs, config, dask)
        return
    waiting_runs = {run.spec.name: run for run in runs}
    try:
        for name, failure in processes(jobs)(delayed(perform)(run, config, prepare.prepare) for run in runs):
            yield waiting_runs.pop(name), failure
    except TerminatedWorkerError:  # one was killed, which stopped all others: run one by one to find out which
        for run in waiting_runs.values():
            try:
                [(_, failure)] = processes(2)([delayed(perform)(run, config, prepare.prepare)])
            except TerminatedWorkerError:
                failure = KILLED
            yield run, failure


def _on_cluster(runs: Sequence[Run], config: Config, address: str) -> Iterator[Ended]:
    """Perform ``runs`` on the dask cluster at ``address``. The run of a lost worker continues from its checkpoint on
    another worker. joblib's dask backend is not used: it would wait forever for a run whose workers are always killed.

    Raises:
        ConfigError: if no scheduler answers there, or its workers have more than one thread.
    """
    from distributed import Client, KilledWorker, as_completed

    try:
        client = Client(address, timeout=ANSWER_WITHIN)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no dask scheduler answers at {address!r} ({error}); is one running there?") from error
    with client:
        if any(threads > 1 for threads in client.nthreads().values()):  # threads would share torch's random numbers
            raise ConfigError(f"the workers at {address} have several threads; start them with --nthreads 1")
        futures = {
            client.submit(perform, run, config, prepare.prepare, pure=False, priority=-i): run
            for i, run in enumerate(runs)
        }
        try:
            for future in as_completed(futures):
                try:
                    _, failure = future.result()
                except KilledWorker:
                    failure = KILLED
                yield futures[future], failure
        finally:
            client.cancel(list(futures))


_held: dict[tuple[Work, str, bool], Prepared] = {}
"""Data that this process used last, kept because opening it takes seconds, and a run may take only ten."""


def perform(run: Run, config: Config, work: Work) -> tuple[str, str | None]:
    """Train one run on the data that ``work`` prepares, unless another process has finished it meanwhile. Returns its
    name, and the reason if it failed. Uses one thread, so that results do not depend on the number of cores."""
    name, data_key = run.spec.name, (work, run.data, run.spec.upscales)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        with store.locked(run.folder, name):
            with suppress(DataError):  # the plan has warned about it; it is trained again
                if store.read(run.folder, run.spec, run.key):
                    return name, None
            if data_key not in _held:
                _held.clear()
                data = work(run.spec, config)
                if data.digest != run.data:
                    raise DataError(f"the data of {run.spec.dataset} has changed since this was started; start again")
                _held[data_key] = data
            store.begin(run.folder, run.spec)
            arguments = (run.spec, _held[data_key], run.needs, run.folder)
            record = train_and_test(*arguments, lambda done, *_: store.write_progress(run.folder, done))
            store.finish(run.folder, record)
    except SoftmaskError as error:
        return name, str(error)
    except OSError as error:
        reason = f"{error.filename or run.folder}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason += "; free some space, or name another folder in SOFTMASK_RUNS"
        return name, f"{reason}; training goes on from the last checkpoint"
    except Exception as error:  # a mistake in a network, for example: report the traceback, go on with other runs
        trace = "".join(traceback.format_exception(error)).rstrip().splitlines()[-LAST_LINES:]
        return name, "\n    ".join([f"{type(error).__name__}: {error}", *trace])
    finally:
        torch.set_num_threads(threads)
        release_freed_memory()  # the next run, of another network, needs arrays of other sizes
    return name, None


@contextmanager
def _progress(runs: Sequence[Run], title: str) -> Iterator[set[Run]]:
    """Show one progress bar over the epochs of all runs, read from the store. Yields the set to add ended runs to."""
    ended_runs: set[Run] = set()
    stop_event = threading.Event()
    total = sum(run.spec.settings.epochs for run in runs)
    bar = tqdm(total=total, desc=title, unit="epoch", mininterval=DRAW_EVERY, disable=not runs)

    def look() -> None:
        epochs = sum(run.spec.settings.epochs if run in ended_runs else store.progress(run.folder) for run in runs)
        bar.set_postfix_str(f"{len(ended_runs)} of {len(runs)} runs", refresh=False)
        bar.update(max(0, epochs - bar.n))

    def look_again() -> None:
        while not stop_event.wait(LOOK_EVERY):
            look()

    thread = threading.Thread(target=look_again, daemon=True)
    thread.start()
    try:
        yield ended_runs
    finally:
        stop_event.set()
        thread.join()
        look()
        bar.close()
