"""Run one function over many samples, on all cores, in order, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from tqdm import tqdm

from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError, LabelError
from softmask.machine import cores, end_with


def progress(rows: Sequence[int], title: str) -> Iterable[int]:
    """``rows`` with a progress bar, redrawn every few seconds only: an executed notebook keeps every line."""
    return tqdm(rows, desc=title, unit="image", mininterval=5.0)


def map_samples(
    work: Callable[[Sample], list[dict]],
    dataset: Dataset,
    rows: Iterable[int],
    *,
    title: str = "",
    jobs: int | None = None,
) -> list[dict]:
    """``work(sample)`` for every readable sample of ``rows``, flattened into one list of records.

    The order is that of ``rows`` whatever the number of ``jobs`` (processes; default all cores). A sample that
    cannot be read or labelled is left out and listed in ``dataset.problems``, in that order too; any other error is
    raised.
    """
    from joblib import Parallel, delayed, parallel_config

    def tasks() -> Iterator[tuple]:
        for row in progress([int(row) for row in rows], title or dataset.name):
            try:
                sample = dataset[row]
            except DataError as error:  # goes the way of the results, so that problems are listed in order
                yield delayed(_left_out)(dataset.name_of(row), str(error))
            else:
                yield delayed(_guarded)(work, sample)

    # One thread in each process, whatever the environment says: threads that wait for one another on a busy core made
    # small matrix products thirty times as slow.
    with parallel_config("loky", inner_max_num_threads=1, initializer=end_with, initargs=(os.getpid(),)):
        parallel = Parallel(n_jobs=jobs or cores(), return_as="generator", batch_size=8, pre_dispatch="4*n_jobs")
    records: list[dict] = []
    for name, outcome in parallel(tasks()):
        if isinstance(outcome, str):
            dataset.add_problem(name, outcome)
        else:
            records.extend(outcome)
    return records


def _guarded(work: Callable[[Sample], list[dict]], sample: Sample) -> tuple[str, list[dict] | str]:
    try:
        return sample.id, work(sample)
    except (LabelError, DataError) as error:
        return sample.id, str(error)


def _left_out(name: str, why: str) -> tuple[str, str]:
    return name, why
