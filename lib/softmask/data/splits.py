"""Training, validation and test sets that never share a patient."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from softmask.errors import ConfigError, DataError

_LOG = logging.getLogger(__name__)


def split_by_patient(patients: Sequence[str], sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Divide rows into named sets so that all of a patient's rows that are used are in one set.

    Patients are taken in a seeded random order and given whole to the set that lacks most, in proportion to its size,
    among those with room for all of the patient's rows. Where no set has room for a whole patient, the set that lacks
    most gets the patient's first rows, as many as it lacks. Which patient goes where depends on the seed and on the
    patients' names and numbers of rows alone, not on the order of the rows.

    Args:
        patients: (N,) the patient of each row.
        sizes: how many rows each set should have, such as ``{"train": 1000, "validation": 100, "test": 400}``. When
            there are fewer rows in all, every size is scaled down in the same proportion (at least 1), and a warning
            is logged with the sizes that became of it. So it is when patients cannot be parted to fill the sets.
        seed: of the order of patients.

    Returns:
        For each name the (n,) row numbers, ascending; disjoint, and no patient in two of them.

    Raises:
        ConfigError: when there is no set, or a size is not a positive whole number.
        DataError: when there are fewer patients than sets.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ConfigError(f"the size of {name!r} must be a positive whole number, not {size!r}")
    if not sizes:
        raise ConfigError("name at least one set to split into")
    rows_of: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows_of.setdefault(str(patient), []).append(row)
    if len(rows_of) < len(sizes):
        raise DataError(
            f"{len(rows_of)} patients cannot be split into {len(sizes)} sets ({', '.join(sizes)}) "
            "that share none; use more data or fewer sets"
        )
    wanted = _scaled(sizes, len(patients))
    order = np.random.default_rng(seed).permutation(sorted(rows_of)).tolist()
    chosen = _assign([(patient, len(rows_of[patient])) for patient in order], wanted)
    split = {
        name: np.array(sorted(row for patient, count in chosen[name] for row in rows_of[patient][:count]), int)
        for name in sizes
    }
    if any(len(split[name]) < sizes[name] for name in sizes):
        became = ", ".join(f"{name} {len(split[name])} (of {sizes[name]})" for name in sizes)
        _LOG.warning("%d rows of %d patients do not fill the sets: %s", len(patients), len(rows_of), became)
    return split


def _scaled(sizes: Mapping[str, int], available: int) -> dict[str, int]:
    total = sum(sizes.values())
    if total <= available:
        return dict(sizes)
    return {name: max(1, size * available // total) for name, size in sizes.items()}


def _assign(patients: list[tuple[str, int]], wanted: dict[str, int]) -> dict[str, list[tuple[str, int]]]:
    """For each set its patients, each with the number of rows that the set takes."""
    lacking = dict(wanted)
    chosen: dict[str, list[tuple[str, int]]] = {name: [] for name in wanted}
    waiting: list[tuple[str, int]] = []
    for number, (patient, rows) in enumerate(patients):
        empty = [name for name in wanted if not chosen[name]]
        left = len(patients) - number + len(waiting)
        room = [name for name in (empty if left <= len(empty) else lacking) if lacking[name] >= rows]
        if not room:
            waiting.append((patient, rows))
            continue
        name = max(room, key=lambda name: lacking[name] / wanted[name])
        lacking[name] -= rows
        chosen[name].append((patient, rows))
    for patient, rows in waiting:
        name = max(lacking, key=lambda name: (not chosen[name], lacking[name]))
        if lacking[name] > 0:
            taken = min(rows, lacking[name])
            lacking[name] -= taken
            chosen[name].append((patient, taken))
    return chosen
