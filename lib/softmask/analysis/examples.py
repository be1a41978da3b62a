"""Contents and splits of the data sets, and images to be shown: none is selected by how good its result is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import pandas as pd

from softmask import data as datasets
from softmask.config import Config
from softmask.data.sample import Dataset, Sample, data_kind
from softmask.data.splits import PAPER_SIZES, SCANS, split_rows
from softmask.errors import DataError, MissingData
from softmask.report.result import Cell

COUNTS = dict.fromkeys(("patients", "lesions", "images", "four_readers", "nodules", "images_in_the_papers"), "count")
"""Units of the tables of this module."""


def spread(rows: Sequence[int], cap: int | None) -> np.ndarray:
    """Return at most ``cap`` of ``rows``, evenly spaced over their order (None: all)."""
    rows = np.asarray(rows, dtype=int)
    if cap is None or cap >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, cap).round().astype(int)]


def examples(dataset: Dataset, rows: Sequence[int], n: int, *, area: tuple[float, float] = (60, 900)) -> list[Sample]:
    """Return at most ``n`` readable samples, spread over ``rows`` of fitting area; raise DataError if there is none."""
    rows = np.asarray(rows, dtype=int)
    areas = dataset.index["area"].to_numpy()[rows]
    fitting_rows = rows[(areas >= area[0]) & (areas <= area[1])]
    order = dict.fromkeys([*spread(fitting_rows, n), *fitting_rows])
    samples = list(islice(dataset.samples(list(order)), n))
    if n and not samples:
        first_problem = "".join(f", the first {problem.where}: {problem.why}" for problem in dataset.problems[:1])
        raise DataError(
            f"{dataset.name}: none of {len(fitting_rows)} images of {area[0]} to {area[1]} pixels can be shown; "
            f"{len(dataset.problems)} problems{first_problem}; `softmask data check` lists them"
        )
    return samples


def one_of_each_kind(dataset: Dataset, rows: Sequence[int], kinds: Sequence[str]) -> dict[str, Sample]:
    """Return a sample of each nodule kind: of median area or, if unreadable, the next larger one, else smaller one."""
    rows = np.asarray(rows, dtype=int)
    index = dataset.index.iloc[rows].assign(row=rows).sort_values("area", kind="stable")
    samples: dict[str, Sample] = {}
    for kind in kinds:
        order = index.loc[index["kind"] == kind, "row"].to_numpy()
        middle = len(order) // 2
        for sample in islice(dataset.samples([*order[middle:], *order[:middle][::-1]]), 1):
            samples[kind] = sample
    return samples


def open_all(config: Config) -> tuple[dict[str, Dataset], dict[str, str]]:
    """Return the available data sets of the run, and for each missing one where to get it."""
    opened, missing = {}, {}
    for name in datasets.NAMES:
        try:
            opened[name] = datasets.open_dataset(name, config)
        except MissingData as error:
            missing[name] = str(error)
    return opened, missing


def _counts(row: str, dataset: Dataset, values: Mapping[str, float]) -> list[Cell]:
    from softmask.analysis.table import numbers  # needs PyTorch, which lessons that show examples do not import

    return numbers(row, "", values, len(dataset), 1, data_kind(dataset.name, dataset.source, dataset.origin))


def _lesions(index: pd.DataFrame) -> int:
    return len(index[["patient", "nodule"]].drop_duplicates())


def count_cells(opened: Mapping[str, Dataset]) -> list[Cell]:
    """Return the numbers of patients, lesions, images, and images with four readers, of each data set."""
    cells = []
    for name, dataset in opened.items():
        index = dataset.index
        counts = {"patients": index["patient"].nunique(), "lesions": _lesions(index), "images": len(index)}
        cells += _counts(name, dataset, counts | {"four_readers": (index["n_readers"] == 4).sum()})
    return cells


def kind_cells(dataset: Dataset, kinds: Sequence[str]) -> list[Cell]:
    """Return the number of nodules of each kind, and of those that four readers marked."""
    cells = []
    for kind in kinds:
        index = dataset.index[dataset.index["kind"] == kind]
        counts = {"nodules": _lesions(index), "four_readers": _lesions(index[index["n_readers"] == 4])}
        cells += _counts(kind, dataset, counts)
    return cells


def split_cells(opened: Mapping[str, Dataset]) -> list[Cell]:
    """Return the numbers of images and patients in the training, validation and test part of each data set, and the
    number of images stated in the papers."""
    cells = []
    for name, dataset in opened.items():
        for part, rows in split_rows(name, dataset).items():
            counts = {"images": len(rows), "patients": dataset.index["patient"].iloc[rows].nunique()}
            if name not in SCANS:  # LGAN states numbers of scans, not of slices
                counts["images_in_the_papers"] = PAPER_SIZES[name][part]
            cells += _counts(f"{name}_{part}", dataset, counts)
    return cells
