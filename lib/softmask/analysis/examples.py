"""Which images to use, and which to show: the same ones every time, and none picked by how well it came out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError


def spread(rows: Sequence[int], cap: int | None) -> np.ndarray:
    """At most ``cap`` of ``rows``, evenly spaced over their order (None: all)."""
    rows = np.asarray(rows, dtype=int)
    if cap is None or cap >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, cap).round().astype(int)]


def examples(dataset: Dataset, rows: Sequence[int], n: int, *, area: tuple[float, float] = (60, 900)) -> list[Sample]:
    """At most ``n`` samples, evenly spaced over those of ``rows`` whose area in pixels lies in ``area``.

    An unreadable one makes way for the next and is listed in ``dataset.problems``; a small data set may give fewer.

    Raises:
        DataError: when there is none.
    """
    rows = np.asarray(rows, dtype=int)
    areas = dataset.index["area"].to_numpy()[rows]
    fitting = rows[(areas >= area[0]) & (areas <= area[1])]
    wanted = spread(fitting, n)
    order = [*wanted, *(row for row in fitting if row not in set(wanted.tolist()))]
    found = list(islice(dataset.samples(order), n))
    if n and not found:
        first = f", the first {dataset.problems[0].where}: {dataset.problems[0].why}" if dataset.problems else ""
        raise DataError(
            f"{dataset.name}: none of {len(fitting)} images of {area[0]} to {area[1]} pixels can be shown; "
            f"{len(dataset.problems)} problems{first}; `softmask data check` lists them"
        )
    return found


def one_of_each_kind(dataset: Dataset, rows: Sequence[int], kinds: Sequence[str]) -> dict[str, Sample]:
    """One readable sample of each nodule kind: of the middle size among ``rows`` of that kind.

    An unreadable one makes way for the next larger and is listed in ``dataset.problems``; after the largest come the
    smaller ones. A kind that does not occur is left out.
    """
    rows = np.asarray(rows, dtype=int)
    found: dict[str, Sample] = {}
    for kind in kinds:
        mine = rows[dataset.index["kind"].to_numpy()[rows] == kind]
        mine = mine[np.argsort(dataset.index["area"].to_numpy()[mine], kind="stable")]
        middle = len(mine) // 2
        sample = next(iter(dataset.samples([*mine[middle:], *mine[:middle][::-1]])), None)
        if sample is not None:
            found[kind] = sample
    return found
