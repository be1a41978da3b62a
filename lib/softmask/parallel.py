"""Run one function over many samples, on all cores, in order, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError, LabelError
from softmask.machine import cores, end_with

if TYPE_CHECKING:
    from joblib import Parallel


def progress(rows: Sequence, title: str, unit: str = "image", show: bool = True) -> Iterable:
    """``rows`` with a progress bar, redrawn every few seconds only: an executed notebook keeps every line."""
    return tqdm(rows, desc=title, unit=unit, mininterval=5.0, disable=not show)


def map_items(
    work: Callable[[Any], Any], items: Sequence, *, title: str, unit: str, jobs: int | None = None, show: bool = True
) -> list:
    """``work(item)`` of each of ``items``, in their order, on ``jobs`` processes (default all cores)."""
    from joblib import delayed

    return list(pool(jobs, batch=8)(delayed(work)(item) for item in progress(items, title, unit, show)))


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
    from joblib import delayed

    def tasks() -> Iterator[tuple]:
        for row in progress([int(row) for row in rows], title or dataset.name):
            try:
                sample = dataset[row]
            except DataError as error:  # goes the way of the results, so that problems are listed in order
                yield delayed(_left_out)(dataset.name_of(row), str(error))
            else:
                yield delayed(_guarded)(work, sample)

    records: list[dict] = []
    for name, outcome in pool(jobs, batch=8)(tasks()):
        if isinstance(outcome, str):
            dataset.add_problem(name, outcome)
        else:
            records.extend(outcome)
    return records


def pool(jobs: int | None = None, batch: int | str = "auto") -> Parallel:
    """Processes (default: one a core) that give what tasks return one by one, in the order of the tasks.

    One thread in each process, whatever the environment says: threads that wait for one another on a busy core made
    small matrix products thirty times as slow.
    """
    from joblib import Parallel, parallel_config

    with parallel_config("loky", inner_max_num_threads=1, initializer=end_with, initargs=(os.getpid(),)):
        return Parallel(n_jobs=jobs or cores(), return_as="generator", batch_size=batch, pre_dispatch="4*n_jobs")


def _guarded(work: Callable[[Sample], list[dict]], sample: Sample) -> tuple[str, list[dict] | str]:
    try:
        return sample.id, work(sample)
    except (LabelError, DataError) as error:
        return sample.id, str(error)


def _left_out(name: str, why: str) -> tuple[str, str]:
    return name, why
