"""Images of each data set that the experiments use: their parts (training, validation, test) and their crops.

Scans: LGAN (CMIG 2021), section 4.1, has 180 patients of LIDC-IDRI for training and 40 for testing, and 35 and 12 of
QIN, "over 130 slices per scan". It names no validation part; here that part is taken from the training patients.
Neighbouring slices are nearly the same image, so that evenly spaced slices of each scan are used, including slices
without lung. A small profile takes fewer slices of fewer scans, and reduces the slices per scan before the scans.

Crops: from ``lidc`` and ``lnsm`` the S x S pixels at the centre of an image are taken as stored. From ISBI 2012 and
PROMISE12 the same size of tissue is taken from every image, and S is only its resolution: each new pixel is the mean
over the area it covers. For lungs, whole slices are used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from softmask.config import BASE_SEED
from softmask.data import selection, soft_lidc
from softmask.data.promise12 import TEST
from softmask.data.sample import Dataset, Sample
from softmask.data.sources import REAL_ONLY
from softmask.errors import ConfigError, DataError

_LOG = logging.getLogger(__name__)

SECTION_FOLDS = tuple(f"isbi2012-fold{number}" for number in range(1, 6))
"""The five folds of ISBI 2012's thirty sections (:func:`split_rows`)."""

CROPS: Mapping[str, int] = dict.fromkeys(("isbi2012", *SECTION_FOLDS), 10)
"""Number of images that the experiments cut from a stored image, if not 1: CasGAN makes 300 images from 30 sections."""

SECTION_PX = 128
"""Side of a crop of ISBI 2012 in pixels: 512 nm, one or two dozen cells. Labelled membranes are about 5 pixels wide,
and 2 to 3 pixels when the crop is resampled to 64 pixels."""

CROP_PX = 64
"""Side in pixels of a crop as networks see it; the least size of an image in data sets without a rule of their own."""

FIELD_MM = 100.0
"""Side in mm of the field at the centre of a PROMISE12 slice: the largest gland with its surroundings."""

SCANS: Mapping[str, Mapping[str, int]] = {
    "lidc-lung": {"train": 170, "validation": 10, "test": 40},
    "qin-lung": {"train": 30, "validation": 5, "test": 12},
    "lung-ct": {"test": 40},
    "lung-ct-body": {"test": 40},
}
"""Number of scans in each part, by data set. ``lung-ct``, real scans that no network is trained on, is only for
testing, as stored and without the surroundings of the patient."""

LUNGS = (*SCANS, "lungs-2d")
"""Data sets of whole slices for lung segmentation, measured at the stored size; ``lungs-2d`` has one slice per scan."""


class SliceLimits(NamedTuple):
    """Number of slices of a part: ``per_scan``. If the training is limited to n images: ``per_scan_limited`` per scan,
    and ``factor`` x n in total, but at most ``max_total``."""

    per_scan: int
    per_scan_limited: int
    factor: float
    max_total: int


TAKEN: Mapping[str, SliceLimits] = {
    "train": SliceLimits(per_scan=32, per_scan_limited=2, factor=1, max_total=10**9),
    "validation": SliceLimits(per_scan=16, per_scan_limited=8, factor=0.2, max_total=10**9),
    "test": SliceLimits(per_scan=32, per_scan_limited=14, factor=2, max_total=12 * 14),
}
"""For 200 training images: 100 scans of 2 slices for training, 5 of 8 for validation, 12 of 14 for testing."""

FOLDS = ("lidc-fold1", "lidc-fold2", "lidc-fold3", "lidc-fold4")
"""DSNet's cross-validation on LIDC: each fold validates once, the others train, and the test part stays the same."""

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
    soft_lidc.NAME: {"train": 8085, "validation": 1155, "test": 2310},
    **{name: {part: TAKEN[part].per_scan * scans for part, scans in parts.items()} for name, parts in SCANS.items()},
}
"""Number of images in each part, as stated by SoftGAN and DSNet (PROMISE12: after augmentation); for LGAN's scans the
used slices (:data:`TAKEN`). ``lidc-119`` and ``isbi2012`` follow CasGAN: 60 % and 40 % of 119 lesions, 240 and 60
images after augmentation; it names no validation part, which is taken from the training images. The sizes of
``lungs-2d``, ``soft-lidc`` and the folds of ISBI 2012 are this project's. On ``lidc-500`` the papers compare networks
with four doctors."""

SELECTIONS: Mapping[str, str] = {
    "lidc-119": "lidc",
    "lidc-500": "lidc",
    **dict.fromkeys(FOLDS, "lidc"),
    **dict.fromkeys(SECTION_FOLDS, "isbi2012"),
    "lung-ct-body": "lung-ct",
}
"""Experiments on a part of a data set, by name, and the data set that they open. ``lung-ct-body`` uses all of
``lung-ct``, with air in place of the surroundings of the patient."""


def dataset_name(name: str) -> str:
    """Return the data set to open for an experiment: usually the same name, but ``lidc`` for ``lidc-119``."""
    return SELECTIONS.get(name, name)


def split_rows(name: str, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the rows of the training, validation and test parts; no patient is in two parts.

    ``lidc``, ``lnsm`` and ``soft-lidc`` have the rows of :mod:`softmask.data.selection`, in its order; ``lidc-119`` and
    ``lidc-500`` the first rows of ``lidc``, of distinct nodules, each with its largest slice; scans those of
    :func:`scan_rows`; others all rows, in their order. ISBI 2012 is one specimen, whose neighbouring sections show the
    same cells: it is divided into blocks of neighbouring sections (:data:`SECTION_FOLDS`). ``lungs-2d`` is divided by
    the number of the scan; ``soft-lidc`` has its own parts. The test part of ``promise12`` begins with the test cases
    of the challenge that have segmentations; they are never used for training.
    """
    if name in SCANS:
        return scan_rows(name, dataset, None)
    if name == "lnsm":
        parts = selection.lnsm_parts(dataset.index, PAPER_SIZES[name])
        _warn_if_short("the slices of LNSM's patients do not fill the parts", parts, PAPER_SIZES[name])
        return parts
    if name == soft_lidc.NAME:
        rows = selection.all_rows(dataset.index)
        return {part: rows[dataset.index["split"].to_numpy()[rows] == part] for part in PAPER_SIZES[name]}
    if name == "lungs-2d":  # ID_<number>: by its last digit
        digits = dataset.index["patient"].str[-1].astype(int)
        masks = {"train": ~digits.isin((0, 1, 2, 5, 6)), "validation": digits == 2, "test": digits.isin((0, 1, 5, 6))}
        return {part: np.flatnonzero(mask) for part, mask in masks.items()}
    if name in ("isbi2012", *SECTION_FOLDS):  # a block for testing, the next (cyclic) for validation
        if len(dataset) < len(SECTION_FOLDS):
            raise DataError(f"{len(dataset)} sections cannot be divided into {len(SECTION_FOLDS)} blocks; use more")
        test_block = SECTION_FOLDS.index(name) if name in SECTION_FOLDS else 0
        blocks = np.array_split(np.arange(len(dataset)), len(SECTION_FOLDS))
        validation_block = (test_block + 1) % len(blocks)
        train = [block for i, block in enumerate(blocks) if i not in (test_block, validation_block)]
        return {"train": np.concatenate(train), "validation": blocks[validation_block], "test": blocks[test_block]}
    if name in FOLDS:  # the training and validation rows of ``lidc``, divided again by patient
        parts, rows = split_rows("lidc", dataset), selection.lidc_rows(dataset.index)
        pool = rows[~np.isin(rows, parts["test"]) & np.isin(rows, np.concatenate(list(parts.values())))]
        folds = _divide(dataset, pool, dict.fromkeys(FOLDS, len(pool) // len(FOLDS)))
        train = pool[np.isin(pool, np.concatenate([fold for other, fold in folds.items() if other != name]))]
        return {"train": train, "validation": folds[name], "test": parts["test"]}
    rows = np.arange(len(dataset))
    if name == "lidc":
        rows = selection.lidc_rows(dataset.index)
    elif name in ("lidc-119", "lidc-500"):
        rows = selection.lidc_rows(dataset.index, sum(PAPER_SIZES[name].values()))
        rows = rows[~dataset.index.iloc[rows].duplicated(["patient", "nodule"]).to_numpy()]
    sizes = dict(PAPER_SIZES[name])
    is_test_case = dataset.index["patient"].iloc[rows].str.startswith(TEST).to_numpy(bool)
    if name != "promise12" or not is_test_case.any():
        return _divide(dataset, rows, sizes)
    # the test part from test cases, filled up from training cases, which also give the other parts
    test_rows = _divide(dataset, rows[is_test_case], {"test": sizes["test"]})["test"]
    sizes["test"] -= len(test_rows)
    parts = _divide(dataset, rows[~is_test_case], {part: size for part, size in sizes.items() if size})
    return {**parts, "test": np.concatenate([test_rows, parts.get("test", test_rows[:0])])}


def _divide(dataset: Dataset, rows: np.ndarray, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    parts = split_by_patient(dataset.index["patient"].to_numpy()[rows], sizes, BASE_SEED)
    return {part: rows[chosen] for part, chosen in parts.items()}


def scan_rows(name: str, dataset: Dataset, cap: int | None) -> dict[str, np.ndarray]:
    """Return the rows of the parts of one of :data:`SCANS`, scan by scan, from the feet up; a patient is in one part.

    The slices of training scans begin at different heights, so that together they cover all heights. ``cap`` is the
    largest number of training images; None for :attr:`SliceLimits.per_scan`. The index has a patient's slices in order.

    Raises:
        DataError: when there are fewer scans than parts.
    """
    rows_of = dataset.index["patient"].astype(str).groupby(dataset.index["patient"].to_numpy().astype(str)).indices
    scans = np.array(sorted(rows_of))
    parts = {}
    for part, chosen in split_by_patient(scans, SCANS[name], BASE_SEED).items():
        order = np.random.default_rng(BASE_SEED).permutation(scans[chosen])
        taken = TAKEN[part]
        total, per_scan = None, taken.per_scan
        if cap is not None:
            total = max(1, min(int(taken.factor * cap), taken.max_total))
            order = order[: -(-total // taken.per_scan_limited)]
            per_scan = -(-total // len(order))
        rows = []
        for number, patient in enumerate(order):
            patient_rows = rows_of[patient]
            phase = (0.5 + number * selection.GOLDEN) % 1 if part == "train" else 0.5
            count = min(per_scan, len(patient_rows))
            rows.append(patient_rows[((np.arange(count) + phase) * len(patient_rows) / count).astype(int)])
        parts[part] = np.concatenate(rows)[:total]
    return parts


def split_by_patient(patients: Sequence[str], sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Divide rows into named sets, all used rows of a patient in one set.

    Each patient, in a seeded random order, goes to the set that is missing the largest share of its size, among the
    sets with room for all rows of the patient. Without such a set, the set that is missing the most rows gets the first
    rows of the patient. The order of the rows does not matter. (scikit-learn's group splitters meet no sizes in rows.)

    Args:
        patients: (N,) patient of each row.
        sizes: number of rows that each set should have. If there are fewer rows, all sizes are scaled down in the same
            proportion (at least 1), and a warning is logged.

    Returns:
        For each name the (n,) row numbers, ascending; the sets are disjoint, and no patient is in two sets.

    Raises:
        DataError: when there are fewer patients than sets.
    """
    rows_of: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows_of.setdefault(str(patient), []).append(row)
    selection.need_patients(len(rows_of), sizes)
    total = max(sum(sizes.values()), len(patients))
    target_sizes = {name: max(1, size * len(patients) // total) for name, size in sizes.items()}
    n_missing = dict(target_sizes)
    set_rows: dict[str, list[int]] = {name: [] for name in sizes}
    waiting_patients: list[str] = []
    order = np.random.default_rng(seed).permutation(sorted(rows_of)).tolist()
    for number, patient in enumerate(order):
        rows = rows_of[patient]
        empty = [name for name in target_sizes if not set_rows[name]]
        n_left = len(order) - number + len(waiting_patients)
        open_sets = [name for name in (empty if n_left <= len(empty) else n_missing) if n_missing[name] >= len(rows)]
        if not open_sets:
            waiting_patients.append(patient)
            continue
        name = max(open_sets, key=lambda name: n_missing[name] / target_sizes[name])
        n_missing[name] -= len(rows)
        set_rows[name] += rows
    for patient in waiting_patients:
        name = max(n_missing, key=lambda name: (not set_rows[name], n_missing[name]))
        rows = rows_of[patient][: n_missing[name]]
        n_missing[name] -= len(rows)
        set_rows[name] += rows
    split = {name: np.array(sorted(rows), int) for name, rows in set_rows.items()}
    _warn_if_short(f"{len(patients)} rows of {len(rows_of)} patients do not fill the sets", split, sizes)
    return split


def _warn_if_short(message: str, parts: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> None:
    if any(len(parts[name]) < size for name, size in sizes.items()):
        counts = ", ".join(f"{name} {len(parts[name])} (of {size})" for name, size in sizes.items())
        _LOG.warning("%s: %s", message, counts)


class Crop(NamedTuple):
    """Rectangle of an image in real-valued pixel coordinates; pixel (0, 0) spans 0 to 1 in both directions."""

    top: float
    left: float
    height: float
    width: float

    def of(self, array: np.ndarray, size: int) -> np.ndarray:
        """Return the means of ``array`` (H, W) over size x size equal cells of the rectangle: (size, size) float32.

        For a bool array, return the cells that are at least half True: (size, size) bool.
        """
        rows = _shares(array.shape[0], self.top, self.height, size)
        columns = _shares(array.shape[1], self.left, self.width, size)
        means = rows @ array.astype(np.float64) @ columns.T
        # a cell that is exactly half covered must not depend on how the sum was rounded
        return means.round(6) >= 0.5 if array.dtype == bool else means.astype(np.float32)


def crops(dataset: str, sample: Sample, size: int) -> list[Crop]:
    """Return the rectangles of a sample of ``dataset`` that are shown with size x size pixels.

    ISBI 2012: :data:`CROPS` squares of :data:`SECTION_PX` pixels at seeded places, which may overlap and are the same
    in every fold. ``promise12``: the square of :data:`FIELD_MM` at the centre. Data sets of :data:`LUNGS`: the whole
    slice. Other data sets: the ``size`` x ``size`` pixels at the centre.

    Raises:
        DataError: when the image is smaller than its crop.
        ConfigError: when the crop has fewer stored pixels than ``size``; images are not enlarged.
    """
    shape = sample.image.shape
    window = (size, size)
    if dataset in CROPS:
        window = (SECTION_PX, SECTION_PX)
    elif dataset == "promise12":
        window = (FIELD_MM / sample.spacing[0], FIELD_MM / sample.spacing[1])
    elif dataset in LUNGS:
        window = shape
    height, width = (min(pair) for pair in zip(shape, window, strict=True))
    if (height, width) != window:
        raise DataError(
            f"{sample.id}: {shape[0]} x {shape[1]} pixels are fewer than the {window[0]:g} x {window[1]:g} "
            "that are shown of an image; cut a larger one"
        )
    if min(height, width) < size:
        raise ConfigError(f"{sample.id}: {height:g} x {width:g} pixels hold no crop of {size} x {size}; lower the size")
    if dataset in CROPS:
        random = np.random.default_rng([BASE_SEED, *sample.id.encode()])
        corners = random.integers(0, np.subtract(shape, window), (CROPS[dataset], 2), endpoint=True)
        return [Crop(*corner, *window) for corner in corners.tolist()]
    top, left = (shape[0] - height) / 2, (shape[1] - width) / 2
    if dataset == "promise12" or dataset in LUNGS:
        return [Crop(top, left, height, width)]
    return [Crop(int(top), int(left), size, size)]  # whole pixels


def _shares(n: int, start: float, length: float, size: int) -> np.ndarray:
    """Return (size, n), the share of each cell that each pixel covers; equal cells span ``length`` from ``start``."""
    edges = start + np.arange(size + 1)[:, None] * (length / size)
    pixels = np.arange(n)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return overlap.clip(min=0) * (size / length)
