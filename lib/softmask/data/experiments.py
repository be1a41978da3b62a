"""Which images of each data set the experiments use, and how they divide them into parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from softmask.config import BASE_SEED
from softmask.data import selection
from softmask.data.crops import CROPS, SECTION_FOLDS
from softmask.data.promise12 import TEST
from softmask.data.sample import Dataset
from softmask.data.scans import SCANS, TAKEN, scan_rows
from softmask.data.sources import REAL_ONLY
from softmask.data.splits import split_by_patient
from softmask.errors import DataError

_LOG = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")

FOLDS = ("lidc-fold1", "lidc-fold2", "lidc-fold3", "lidc-fold4")
"""DSNet's cross-validation on LIDC: each fold validates once, the others train, and the test part stays what it is."""

PAPER_SIZES: Mapping[str, Mapping[str, int]] = {
    "lidc": {"train": 387, "validation": 55, "test": 544},
    "lidc-119": {"train": 60, "validation": 11, "test": 48},
    "lidc-500": {"test": 500},
    **{fold: {"train": 330, "validation": 110, "test": 544} for fold in FOLDS},
    "lnsm": {"train": 1000, "validation": 100, "test": 400},
    "isbi2012": {"train": 210, "validation": 30, "test": 60},
    **{fold: {"train": 180, "validation": 60, "test": 60} for fold in SECTION_FOLDS},
    "promise12": {"train": 460, "validation": 65, "test": 130},
    **{name: {"train": 700, "validation": 100, "test": 200} for name in REAL_ONLY},
    "lungs-2d": {"train": 129, "validation": 26, "test": 108},
    **{name: {part: TAKEN[part].each * scans for part, scans in parts.items()} for name, parts in SCANS.items()},
}
"""Images in each part, as SoftGAN and DSNet state them (PROMISE12: after augmentation); of LGAN's scans those that are
used (:mod:`softmask.data.scans`). ``lungs-2d`` is in no paper; its sizes are those of the whole set.

``lidc-119`` and ``isbi2012`` are CasGAN's: 60 % and 40 % of 119 lesions, 240 and 60 images after augmentation. It names
no validation part; here it is taken out of the training images. DSNet has 210, 60 and 30 images of ISBI 2012. Networks
are trained on its folds, whose sizes are this project's. ``lidc-500`` is what the papers compare with four doctors;
no network is trained on it."""

SELECTIONS: Mapping[str, str] = {
    "lidc-119": "lidc",
    "lidc-500": "lidc",
    **dict.fromkeys(FOLDS, "lidc"),
    **dict.fromkeys(SECTION_FOLDS, "isbi2012"),
    "lung-ct-body": "lung-ct",
}
"""Experiments on a part of a data set, by name, and the data set that they open. ``lung-ct-body`` shows all of it, with
air in the place of what surrounds the patient."""


def dataset_name(name: str) -> str:
    """The data set to open for an experiment: for most its own name, ``lidc`` for ``lidc-119``."""
    return SELECTIONS.get(name, name)


def experiment_rows(name: str, dataset: Dataset) -> np.ndarray:
    """Rows of a data set that the experiments use.

    Of ``lidc`` and ``lnsm`` those of :mod:`softmask.data.selection` (of ``lnsm``, part by part); of ``lidc-119`` and
    ``lidc-500`` the first of them, of distinct nodules, each with its largest slice; of others all.
    """
    if name in ("lidc", *FOLDS):
        return selection.lidc_rows(dataset.index)
    if name in ("lidc-119", "lidc-500"):
        rows = selection.lidc_rows(dataset.index, sum(PAPER_SIZES[name].values()))
        again = dataset.index.iloc[rows].duplicated(["patient", "nodule"]).to_numpy()
        return rows[~again]
    if name == "lnsm":
        return np.concatenate(list(split_rows(name, dataset).values()))
    return np.arange(len(dataset))


def split_rows(name: str, dataset: Dataset, seed: int = BASE_SEED) -> dict[str, np.ndarray]:
    """Rows of the training, validation and test part; no patient is in two of them.

    Within a part the rows keep the order of :func:`experiment_rows`: its first n are a smaller selection by the same
    rule (of LIDC's lesions, the largest slice of each comes before the second largest of any; of LNSM's, DeepLesion's
    long axes are kept). ISBI 2012 is one specimen, whose neighbouring sections show the same cells: it is divided into
    blocks of neighbours (:data:`softmask.data.crops.SECTION_FOLDS`); ``isbi2012`` is the first fold. A row of which
    several crops are used (:data:`softmask.data.crops.CROPS`) counts as that many images. ``lungs-2d`` is divided by
    the number of the scan, whatever the seed and whichever scans are there. ``promise12`` is tested on the challenge's
    test cases where they are there with segmentations; they never train.
    """
    if name in FOLDS:
        return _fold(name, dataset, seed)
    if name in SCANS:
        return scan_rows(name, dataset, None, seed)
    if name == "lnsm":
        return _lnsm(dataset, seed)
    if name == "lungs-2d":
        return _by_scan_number(dataset)
    if name in ("isbi2012", *SECTION_FOLDS):
        return _section_fold(SECTION_FOLDS.index(name) if name in SECTION_FOLDS else 0, len(dataset))
    sizes = {part: size // CROPS.get(name, 1) for part, size in PAPER_SIZES[name].items()}
    rows = experiment_rows(name, dataset)
    patients = dataset.index["patient"].to_numpy()[rows]
    if name == "promise12":
        tested = np.array([patient.startswith(TEST) for patient in patients])
        if tested.any():
            return _test_cases_first(rows, patients, tested, sizes, seed)
    return {part: rows[chosen] for part, chosen in split_by_patient(patients, sizes, seed).items()}


def _test_cases_first(
    rows: np.ndarray, patients: np.ndarray, tested: np.ndarray, sizes: Mapping[str, int], seed: int
) -> dict[str, np.ndarray]:
    """The test part from ``tested`` rows, and what it is still short of from the others, which train and validate."""
    first = rows[tested][split_by_patient(patients[tested], {"test": sizes["test"]}, seed)["test"]]
    short = sizes["test"] - len(first)
    wanted = {**sizes, "test": short} if short else {part: size for part, size in sizes.items() if part != "test"}
    parts = {part: rows[~tested][chosen] for part, chosen in split_by_patient(patients[~tested], wanted, seed).items()}
    return {**parts, "test": np.concatenate([first, parts["test"]]) if short else first}


def _by_scan_number(dataset: Dataset) -> dict[str, np.ndarray]:
    """Divide ``ID_<number>`` by the number's last digit: 0, 1, 5 and 6 test, 2 validates, the others train."""
    digits = np.array([int(patient[-1]) for patient in dataset.index["patient"]])
    test, validation = np.isin(digits, (0, 1, 5, 6)), digits == 2
    rows = {"train": ~(test | validation), "validation": validation, "test": test}
    return {part: np.flatnonzero(chosen) for part, chosen in rows.items()}


def _section_fold(number: int, sections: int) -> dict[str, np.ndarray]:
    """One of as many folds as blocks of neighbouring sections: a block tests, the next, or the first, validates."""
    if sections < len(SECTION_FOLDS):
        raise DataError(f"{sections} sections cannot be divided into {len(SECTION_FOLDS)} blocks; use more of them")
    blocks = np.array_split(np.arange(sections), len(SECTION_FOLDS))
    following = (number + 1) % len(blocks)
    train = [block for place, block in enumerate(blocks) if place not in (number, following)]
    return {"train": np.concatenate(train), "validation": blocks[following], "test": blocks[number]}


def _lnsm(dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    sizes = PAPER_SIZES["lnsm"]
    parts = selection.lnsm_parts(dataset.index, sizes, seed)
    if any(len(parts[part]) < size for part, size in sizes.items()):
        became = ", ".join(f"{part} {len(parts[part])} (of {size})" for part, size in sizes.items())
        _LOG.warning("the slices of LNSM's patients do not fill the parts: %s", became)
    return parts


def _fold(name: str, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    """The parts of one of :data:`FOLDS`: the training and validation rows of ``lidc`` divided by patient anew."""
    parts = split_rows("lidc", dataset, seed)
    rows = experiment_rows("lidc", dataset)
    pool = rows[np.isin(rows, np.concatenate([parts["train"], parts["validation"]]))]
    patients = dataset.index["patient"].to_numpy()[pool]
    folds = split_by_patient(patients, dict.fromkeys(FOLDS, len(pool) // len(FOLDS)), seed)
    others = np.sort(np.concatenate([chosen for fold, chosen in folds.items() if fold != name]))
    return {"train": pool[others], "validation": pool[folds[name]], "test": parts["test"]}
