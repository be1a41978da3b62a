"""Which slices the experiments use: the same rules for real and for embedded LIDC data.

The papers train on LNSM (lung lesions with RECIST marks) and LIDC (986 samples of nodules with four readers), and say
no more about which. Here a patient has one of the two roles, so that the two sets never share a patient, and within a
role the largest slice of each nodule comes first, then the second largest of each, and so on. Inside such a round the
nodules come in a seeded random order, so that fewer slices are an unbiased part of more: every selection of n rows
begins with the selection of n - 1.

Roles and order come from a hash of seed and name, not from a generator: they are the same for a patient whatever other
patients the data at hand has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from softmask.config import BASE_SEED
from softmask.data.axes import recist_axes
from softmask.data.sample import Sample
from softmask.errors import ConfigError, DataError

LIDC_SLICES = 986
"""Samples of LIDC in the papers."""

LNSM_SLICES = 1500
"""Slices of LNSM in the papers."""


def role(patient: str, seed: int = BASE_SEED) -> str:
    """``lidc`` (three patients of four) or ``lnsm``: which experiments may use the patient.

    The papers count nodules of LIDC, not slices, and compare doctors on 500 of them; any nodule can be in LNSM, but
    only one with four readers in ``lidc``, and with fewer patients these are not enough.
    """
    return "lnsm" if _hash(seed, "role", patient) % 4 == 0 else "lidc"


def lidc_rows(index: pd.DataFrame, count: int | None = LIDC_SLICES, seed: int = BASE_SEED) -> np.ndarray:
    """Rows for the LIDC experiments: slices of patients with the role ``lidc`` that all four readers marked
    (:func:`four_reader_rows`: nodules that the clustering could not part are left out).

    Args:
        index: of a LIDC data set (:data:`softmask.data.lidc.COLUMNS`).
        count: the most rows to give; None for all there are.
        seed: of roles and order.

    Returns:
        (N,) row numbers, N <= count, the largest consensus area of each nodule first, then the next.

    Raises:
        ConfigError: when ``count`` is not a positive whole number.
        DataError: when no row fits.
    """
    rows = four_reader_rows(index)
    return _rounds(
        index, rows[_has_role(index, rows, "lidc", seed)], count, seed, "lidc slices that four readers marked"
    )


def lnsm_rows(index: pd.DataFrame, count: int | None = LNSM_SLICES, seed: int = BASE_SEED) -> np.ndarray:
    """Rows of LNSM: DeepLesion's lesions, or where LIDC stands in, slices of the patients that ``lidc`` does not use.

    Lesions that only a RECIST mark shows (``n_readers`` 0) are DeepLesion's and are all used; LIDC's may have any
    number of readers. :func:`with_recist` gives their samples the marks. Args, Returns, Raises as :func:`lidc_rows`.
    """
    rows = np.arange(len(index))
    marked_only = index["n_readers"].to_numpy() == 0
    mine = marked_only | _has_role(index, rows, "lnsm", seed)
    return _rounds(index, rows[mine], count, seed, "slices of lnsm patients")


def four_reader_rows(index: pd.DataFrame) -> np.ndarray:
    """(N,) numbers of the rows that all four readers marked, ascending.

    Rows of merged nodules (column ``merged`` of a LIDC index) are not among them: there the four masks are of several
    nodules beside each other, and their differences are no disagreement of readers. An index without the column is
    not of LIDC: its masks come from no clustering, and no row is left out for it.
    """
    rows = index["n_readers"].to_numpy() == 4
    if "merged" in index:
        rows &= ~index["merged"].to_numpy()
    return np.flatnonzero(rows)


def largest_per_nodule(index: pd.DataFrame, rows: Iterable[int]) -> np.ndarray:
    """(M,) of ``rows`` the one of each nodule with the largest area (the first among equals), ascending."""
    rows = np.unique(np.asarray(list(rows), int))
    return np.sort(rows[_rank_in_nodule(index, rows) == 0])


def with_recist(sample: Sample) -> Sample:
    """The sample with RECIST axes measured on its first present reader's mask; unchanged where it has axes."""
    if sample.recist is not None:
        return sample
    return replace(sample, recist=recist_axes(sample.masks[0]))


def _has_role(index: pd.DataFrame, rows: np.ndarray, wanted: str, seed: int) -> np.ndarray:
    patients = index["patient"].to_numpy()[rows]
    roles = {patient: role(patient, seed) for patient in set(patients)}
    return np.array([roles[patient] == wanted for patient in patients], bool)


def _rounds(index: pd.DataFrame, rows: np.ndarray, count: int | None, seed: int, what: str) -> np.ndarray:
    if count is not None and (isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1):
        raise ConfigError(f"the number of slices to select must be a positive whole number or None, not {count!r}")
    if not len(rows):
        raise DataError(f"there are no {what} in this data set; it is too small for the experiments")
    names = _nodule_names(index, rows)
    places = {name: _hash(seed, "order", name) for name in set(names)}
    order = np.array([places[name] for name in names], np.uint64)
    return rows[np.lexsort((order, _rank_in_nodule(index, rows)))][:count]


def _rank_in_nodule(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Place of each row among its nodule's ``rows``, 0 for the largest area; the earlier row first among equals."""
    area = pd.Series(index["area"].to_numpy()[rows])
    return area.groupby(_nodule_names(index, rows)).rank(method="first", ascending=False).to_numpy().astype(int) - 1


def _nodule_names(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return (index["patient"].astype(str) + "/" + index["nodule"].astype(str)).to_numpy()[rows]


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8], "little")
