"""What the data sets hold, and how the experiments divide them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from softmask import data as datasets
from softmask.config import BASE_SEED, Config
from softmask.data.sample import Dataset, data_kind
from softmask.data.splits import PAPER_SIZES, SCANS, split_rows
from softmask.errors import MissingData
from softmask.report.tables import Cell

COUNTS = dict.fromkeys(("patients", "lesions", "images", "four_readers", "nodules", "images_in_the_papers"), "count")
"""Units of the tables made here."""


def open_all(config: Config) -> tuple[dict[str, Dataset], dict[str, str]]:
    """Every data set that the run's source offers, and for each of the others the message that says where to get it."""
    opened: dict[str, Dataset] = {}
    missing: dict[str, str] = {}
    for name in datasets.NAMES:
        try:
            opened[name] = datasets.open_dataset(name, config)
        except MissingData as error:
            missing[name] = str(error)
    return opened, missing


def _count(row: str, metric: str, value: int, dataset: Dataset) -> Cell:
    kind = data_kind(dataset.name, dataset.source, dataset.origin)
    return Cell(row, "", metric, float(value), float("nan"), len(dataset), 1, kind, extra=True)


def _nodules(index: pd.DataFrame) -> int:
    return len(index[["patient", "nodule"]].drop_duplicates())


def count_cells(opened: Mapping[str, Dataset]) -> list[Cell]:
    """Numbers of patients, lesions, images, and images that four readers marked, of each data set."""
    cells = []
    for name, dataset in opened.items():
        index = dataset.index
        counts = {
            "patients": index["patient"].nunique(),
            "lesions": _nodules(index),
            "images": len(index),
            "four_readers": int((index["n_readers"] == 4).sum()),
        }
        cells += [_count(name, metric, value, dataset) for metric, value in counts.items()]
    return cells


def kind_cells(dataset: Dataset, kinds: Sequence[str]) -> list[Cell]:
    """Nodules of each kind, and those of them that four readers marked on at least one slice."""
    index = dataset.index
    cells = []
    for kind in kinds:
        mine = index[index["kind"] == kind]
        cells.append(_count(kind, "nodules", _nodules(mine), dataset))
        cells.append(_count(kind, "four_readers", _nodules(mine[mine["n_readers"] == 4]), dataset))
    return cells


def splits(opened: Mapping[str, Dataset], seed: int = BASE_SEED) -> dict[str, dict[str, np.ndarray]]:
    """For each data set the rows of its training, validation and test part."""
    return {name: split_rows(name, dataset, seed) for name, dataset in opened.items()}


def split_cells(parts: Mapping[str, Mapping[str, Iterable[int]]], opened: Mapping[str, Dataset]) -> list[Cell]:
    """Images and patients in each part, and the size the papers state."""
    cells = []
    for name, chosen in parts.items():
        dataset = opened[name]
        patients = dataset.index["patient"].to_numpy()
        for part, rows in chosen.items():
            row = f"{name}_{part}"
            cells.append(_count(row, "images", len(rows), dataset))
            cells.append(_count(row, "patients", len(set(patients[rows])), dataset))
            if name not in SCANS:  # LGAN tells scans, not slices
                cells.append(_count(row, "images_in_the_papers", PAPER_SIZES[name][part], dataset))
    return cells
