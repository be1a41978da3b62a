"""Run one function over many samples, on all cores, in order, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError, LabelError


def cores() -> int:
    """Cores this process may use (a container's or a scheduler's limit counts, where the system tells)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    cannot be read or labelled is left out and listed in ``dataset.problems``; any other error is raised.
    """
    from joblib import Parallel, delayed

    rows = [int(row) for row in rows]
    samples = dataset.samples(progress(rows, title or dataset.name))
    parallel = Parallel(n_jobs=jobs or cores(), return_as="generator", batch_size=8, pre_dispatch="4*n_jobs")
    records: list[dict] = []
    for name, outcome in parallel(delayed(_guarded)(work, sample) for sample in samples):
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
