"""Slices of LIDC that the experiments use, by the same rules for real and for embedded data.

The papers train on LNSM (lung lesions with RECIST marks) and LIDC (986 samples of nodules with four readers), and do
not say which samples. Here each patient has one of the two roles, so that the two sets never share a patient. Within a
role, a first round has the largest slice of each nodule, a second round the second largest, and so on; inside a round
the nodules are in a seeded random order. Thus a smaller selection is an unbiased part of a larger one.

The lesions of LNSM come from DeepLesion and are larger than the nodules of LIDC. The parts of LNSM, each with its own
patients, are drawn so that the distribution of their long axes is that of DeepLesion (:data:`LONG_AXES`), as far as the
patients allow. Roles and order come from a hash of the seed and a name: they do not depend on the other patients in the
data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from softmask.config import BASE_SEED
from softmask.data.outlines import recist_axes
from softmask.data.sample import Sample
from softmask.errors import DataError

LIDC_SLICES = 986
"""Number of LIDC samples in the papers."""

LONG_AXES: Mapping[float, float] = {
    0.1: 5.0,
    0.2: 7.1,
    0.25: 8.6,
    0.3: 9.9,
    0.4: 13.1,
    0.5: 16.7,
    0.6: 20.4,
    0.7: 26.5,
    0.75: 30.8,
    0.8: 35.6,
}
"""Quantiles of the long axes of DeepLesion's lung lesions, in pixels: 1,100 lesions of coarse type "lung" in the table
of its test part (``Measurement_coordinates``, the longer line). The ninth decile, 57 pixels, is larger than nearly all
nodules of LIDC (up to 3 cm) and fills the crops of 64 pixels: above the eighth decile LIDC has too few nodules."""

GOLDEN = (5**0.5 - 1) / 2
"""Golden ratio minus 1: its multiples, modulo 1, are spread evenly, whatever their number."""

_SHARES = {"train": 0.62, "validation": 0.12, "test": 0.26}
"""Shares of LNSM's patients. Validation has a larger share of the patients than of the 1,500 images (one in 15), so
that its 100 images come from 30 patients or more."""


def role(patient: str) -> str:
    """Return the experiments that may use the patient: ``lidc`` (three of four patients) or ``lnsm``.

    Any nodule can be in LNSM, but only nodules with four readers in ``lidc``, of which the papers need 500.
    """
    return "lnsm" if _hash("role", patient) % 4 == 0 else "lidc"


def lidc_rows(index: pd.DataFrame, count: int | None = LIDC_SLICES) -> np.ndarray:
    """Return the rows of the LIDC experiments: :func:`four_reader_rows` of patients with the role ``lidc``.

    ``index`` is the index of a LIDC data set (:data:`softmask.data.lidc.COLUMNS`). At most ``count`` rows are returned,
    the largest consensus area of each nodule first, then the second, and so on. Raises DataError when no row fits.
    """
    rows = four_reader_rows(index)
    is_lidc = (index["patient"].iloc[rows].map(role) == "lidc").to_numpy(bool)
    return _rounds(index, rows[is_lidc], "lidc slices that four readers marked")[:count]


def all_rows(index: pd.DataFrame) -> np.ndarray:
    """Return all rows of an index with ``area``, in the order of :func:`lidc_rows`."""
    return _rounds(index, np.arange(len(index)), "slices")


def lnsm_rows(index: pd.DataFrame) -> np.ndarray:
    """Return the rows of LNSM's patients, with any number of readers, in the order of :func:`lidc_rows`: patients with
    the role ``lnsm``, and all patients without a slice that four readers marked (in DeepLesion, all patients).
    """
    patients = index["patient"]
    is_lnsm = patients.map(role) == "lnsm"
    is_lnsm |= ~patients.isin(patients.iloc[four_reader_rows(index)])
    return _rounds(index, np.flatnonzero(is_lnsm), "slices of lnsm patients")


def lnsm_parts(index: pd.DataFrame, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the rows of LNSM's parts, each with its own patients and the long axes of DeepLesion.

    The patients, sorted by their largest lesion (in a seeded order between the same two :data:`LONG_AXES`), are dealt
    out to the parts, so that all parts have small and large lesions. :func:`draw_rows` then draws the rows of each
    part, at most ``sizes`` for ``train``, ``validation`` and ``test``. ``index`` has ``long_axis`` in pixels.

    Raises:
        DataError: when there are fewer patients than parts.
    """
    pool = lnsm_rows(index)
    patients = index["patient"].to_numpy()[pool].astype(str)
    largest_bins = pd.Series(_bins(index, pool)).groupby(patients).max()
    need_patients(len(largest_bins), sizes)
    order = sorted(largest_bins.index, key=lambda patient: (largest_bins[patient], _hash("part", patient)))
    members: dict[str, list[str]] = {part: [] for part in sizes}
    for number, patient in enumerate(order, 1):
        empty_parts = [part for part in members if not members[part]]
        open_parts = empty_parts if len(order) - number < len(empty_parts) else list(members)
        members[max(open_parts, key=lambda part: _SHARES[part] * number - len(members[part]))].append(patient)
    return {part: draw_rows(index, pool[np.isin(patients, members[part])], size) for part, size in sizes.items()}


def need_patients(count: int, sizes: Mapping[str, int]) -> None:
    """Raise DataError where there are fewer patients than parts."""
    if count < len(sizes):
        raise DataError(
            f"{count} patients cannot be split into {len(sizes)} sets ({', '.join(sizes)}) that share none; use more "
            "data or fewer sets"
        )


def draw_rows(index: pd.DataFrame, rows: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` of ``rows`` with long axes as in :data:`LONG_AXES`, as far as possible, or all if fewer exist.

    Between two neighbouring quantiles, the share of rows is that of DeepLesion, in the order of :func:`lidc_rows`.
    Missing rows are replaced by the next shorter lesions, then by the longest of the remaining lesions. The first n
    rows, for any n, have nearly the same distribution of long axes.
    """
    ordered = _rounds(index, rows, "slices to draw from")
    bins = _bins(index, ordered)
    available_counts = np.bincount(bins, minlength=len(LONG_AXES) + 1).tolist()
    wanted_counts = np.diff(np.rint(count * np.array([*LONG_AXES, 1])).astype(int), prepend=0)
    taken_counts, n_missing = [0] * len(available_counts), 0
    for interval in reversed(range(len(available_counts))):
        taken_counts[interval] = min(available_counts[interval], wanted_counts[interval] + n_missing)
        n_missing += wanted_counts[interval] - taken_counts[interval]
    for interval in reversed(range(len(available_counts))):
        n_more = min(available_counts[interval] - taken_counts[interval], n_missing)
        taken_counts[interval] += n_more
        n_missing -= n_more
    phases = (np.arange(len(taken_counts)) + 1) * GOLDEN % 1  # so that short and long lesions take turns
    chosen_rows = np.concatenate([ordered[bins == interval][:n] for interval, n in enumerate(taken_counts)])
    turns = np.concatenate([(np.arange(n) + phases[interval]) / max(n, 1) for interval, n in enumerate(taken_counts)])
    return chosen_rows[np.argsort(turns, kind="stable")]


def four_reader_rows(index: pd.DataFrame) -> np.ndarray:
    """Return the (N,) numbers of the rows that all four readers marked, ascending.

    Rows of merged nodules (column ``merged`` of a LIDC index) are excluded: their masks show several nodules.
    """
    rows = index["n_readers"].to_numpy() == 4
    if "merged" in index:
        rows &= ~index["merged"].to_numpy()
    return np.flatnonzero(rows)


def largest_per_nodule(index: pd.DataFrame, rows: Iterable[int]) -> np.ndarray:
    """Return for each nodule the one of ``rows`` with the largest area (the first among equals): (M,), ascending."""
    rows = np.unique(np.asarray(list(rows), int))
    return rows[_rank_in_nodule(index, rows) == 0]


def with_recist(sample: Sample) -> Sample:
    """Return the sample with RECIST axes measured on its first present reader's mask; unchanged where it has axes."""
    return sample if sample.recist is not None else replace(sample, recist=recist_axes(sample.masks[0]))


def _bins(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Return (N,), the interval of :data:`LONG_AXES` of each row's long axis: 0 up to the first, then counted up."""
    return np.searchsorted(list(LONG_AXES.values()), index["long_axis"].to_numpy()[rows])


def _rounds(index: pd.DataFrame, rows: np.ndarray, description: str) -> np.ndarray:
    if not len(rows):
        raise DataError(f"there are no {description} in this data set; it is too small for the experiments")
    names = _nodule_names(index, rows)
    hashes = {name: _hash("order", name) for name in set(names)}
    order = np.array([hashes[name] for name in names], np.uint64)
    return rows[np.lexsort((order, _rank_in_nodule(index, rows)))]


def _rank_in_nodule(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Return the rank of each row among its nodule's ``rows``, 0 for the largest area; equal areas in row order."""
    area = pd.Series(index["area"].to_numpy()[rows])
    return area.groupby(_nodule_names(index, rows)).rank(method="first", ascending=False).to_numpy().astype(int) - 1


def _nodule_names(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return (index["patient"].astype(str) + "/" + index["nodule"].astype(str)).to_numpy()[rows]


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join((str(BASE_SEED), *parts)).encode()).digest()[:8], "little")
