"""Images of each data set that the experiments use: their parts (training, validation, test) and their crops.

Scans: LGAN (CMIG 2021), section 4.1, has 180 patients of LIDC-IDRI for training and 40 for testing, of QIN 35 and 12,
"over 130 slices per scan". It names no validation part; here it is taken out of the training patients. Neighbouring
slices are nearly the same image, so that of every scan evenly spaced ones are used, from its first slice to its last,
those without lung included. A small profile takes fewer slices of fewer scans, and rather more scans than slices.

Crops: of ``lidc`` and ``lnsm`` the S x S pixels at the centre of an image are taken as stored. ISBI 2012 and PROMISE12
are larger; the same piece of tissue is taken from every image, and S is only its resolution: each new pixel is the mean
over the area it covers. Slices whose lungs are sought are shown whole.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softmask.config import BASE_SEED
from softmask.data import selection
from softmask.data.promise12 import TEST
from softmask.data.sample import Dataset, Sample
from softmask.data.sources import REAL_ONLY
from softmask.errors import ConfigError, DataError

_LOG = logging.getLogger(__name__)
_GOLDEN = (5**0.5 - 1) / 2

SECTION_FOLDS = tuple(f"isbi2012-fold{number}" for number in range(1, 6))
"""The five folds of ISBI 2012's thirty sections (:func:`split_rows`)."""

CROPS: Mapping[str, int] = dict.fromkeys(("isbi2012", *SECTION_FOLDS), 10)
"""How many images the experiments cut from one stored image, where it is not one: CasGAN makes 300 of 30 sections."""

SECTION_PX = 128
"""Side of a crop of ISBI 2012: 512 nm, one or two dozen cells. Membranes are labelled about 5 of these pixels wide;
2 to 3 are left of them at 64 pixels."""

FIELD_MM = 100.0
"""Side of the field at the centre of a PROMISE12 slice: the largest gland with its surroundings."""

SCANS: Mapping[str, Mapping[str, int]] = {
    "lidc-lung": {"train": 170, "validation": 10, "test": 40},
    "qin-lung": {"train": 30, "validation": 5, "test": 12},
    "lung-ct": {"test": 40},
    "lung-ct-body": {"test": 40},
}
"""Scans in each part, by data set. ``lung-ct``, real scans that no network is trained on, is tested on alone, as stored
and without the surroundings of the patient."""

LUNGS = (*SCANS, "lungs-2d")
"""Data sets on which lungs are sought, in whole slices; measured at the size that the scanner stored. ``lungs-2d`` has
one slice of each scan."""


@dataclass(frozen=True)
class Taken:
    """Slices of a part: ``each`` of a scan; with at most n training images, ``share`` x n, but at most ``most``, and
    ``few`` of a scan."""

    each: int
    few: int
    share: float
    most: int


TAKEN: Mapping[str, Taken] = {
    "train": Taken(each=32, few=2, share=1, most=10**9),
    "validation": Taken(each=16, few=8, share=0.2, most=10**9),
    "test": Taken(each=32, few=14, share=2, most=12 * 14),
}
"""Of a training cap of 200: 100 scans of 2 slices train, 5 of 8 validate, 12 of 14 test."""

PARTS = ("train", "validation", "test")

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
    **{name: {part: TAKEN[part].each * scans for part, scans in parts.items()} for name, parts in SCANS.items()},
}
"""Images in each part, as SoftGAN and DSNet state them (PROMISE12: after augmentation); of LGAN's scans those that are
used (:data:`TAKEN`). ``lungs-2d`` is in no paper; its sizes are those of the whole set.

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
    """Return the data set to open for an experiment: mostly its own name, ``lidc`` for ``lidc-119``."""
    return SELECTIONS.get(name, name)


def experiment_rows(name: str, dataset: Dataset) -> np.ndarray:
    """Return the rows of a data set that the experiments use.

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
    """Return the rows of the training, validation and test part; no patient is in two of them.

    Within a part the rows keep the order of :func:`experiment_rows`: its first n are a smaller selection by the same
    rule. ISBI 2012 is one specimen, whose neighbouring sections show the same cells: it is divided into blocks of
    neighbours (:data:`SECTION_FOLDS`); ``isbi2012`` is the first fold. A row of several crops (:data:`CROPS`) counts as
    that many images. ``lungs-2d`` is divided by the number of the scan, whatever the seed and the scans at hand.
    ``promise12`` is tested on the challenge's test cases where they have segmentations; they never train.
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
    """The test part from ``tested`` rows, filled up from the others, which train and validate."""
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
        reached = ", ".join(f"{part} {len(parts[part])} (of {size})" for part, size in sizes.items())
        _LOG.warning("the slices of LNSM's patients do not fill the parts: %s", reached)
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


def scan_rows(name: str, dataset: Dataset, cap: int | None, seed: int = BASE_SEED) -> dict[str, np.ndarray]:
    """Return the rows of the parts of one of :data:`SCANS`, scan by scan, from the feet up; a patient is in one part.

    The slices of training scans begin at different heights, so that together they lie at all of them.

    Args:
        dataset: whose index has a patient's slices in order.
        cap: the most training images; None for :attr:`Taken.each` of every scan.
        seed: of who is in which part, and of the scans' order.

    Raises:
        DataError: when there are fewer scans than parts.
    """
    patients = dataset.index["patient"].to_numpy().astype(str)
    scans = np.array(sorted(set(patients)))
    parts = split_by_patient(scans, SCANS[name], seed)
    return {part: _slices(part, patients, scans[chosen], cap, seed) for part, chosen in parts.items()}


def _slices(part: str, patients: np.ndarray, scans: np.ndarray, cap: int | None, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(scans)
    taken = TAKEN[part]
    total, each = None, taken.each
    if cap is not None:
        total = max(1, min(int(taken.share * cap), taken.most))
        order = order[: -(-total // taken.few)]
        each = -(-total // len(order))
    rows = []
    for number, patient in enumerate(order):
        own = np.flatnonzero(patients == patient)
        phase = (0.5 + number * _GOLDEN) % 1 if part == "train" else 0.5
        count = min(each, len(own))
        rows.append(own[((np.arange(count) + phase) * len(own) / count).astype(int)])
    return np.concatenate(rows)[:total]


def split_by_patient(patients: Sequence[str], sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Divide rows into named sets, all used rows of a patient in one set.

    Patients in a seeded random order go whole to the set that misses most of its size, among those with room for all of
    the patient's rows; without such a set, the set that misses most gets the patient's first rows. The result depends
    on the seed and on the patients' names and numbers of rows, not on the order of the rows.

    Args:
        patients: (N,) the patient of each row.
        sizes: how many rows each set should have, such as ``{"train": 1000, "validation": 100, "test": 400}``. When
            there are fewer rows, every size is scaled down in the same proportion (at least 1). A warning with the
            resulting sizes is logged whenever they are smaller.
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
        sizes_reached = ", ".join(f"{name} {len(split[name])} (of {sizes[name]})" for name in sizes)
        _LOG.warning("%d rows of %d patients do not fill the sets: %s", len(patients), len(rows_of), sizes_reached)
    return split


def _scaled(sizes: Mapping[str, int], available: int) -> dict[str, int]:
    total = sum(sizes.values())
    if total <= available:
        return dict(sizes)
    return {name: max(1, size * available // total) for name, size in sizes.items()}


def _assign(patients: list[tuple[str, int]], wanted: dict[str, int]) -> dict[str, list[tuple[str, int]]]:
    """For each set its patients, each with the number of rows that the set takes."""
    short = dict(wanted)
    chosen: dict[str, list[tuple[str, int]]] = {name: [] for name in wanted}
    waiting: list[tuple[str, int]] = []
    for number, (patient, rows) in enumerate(patients):
        empty = [name for name in wanted if not chosen[name]]
        left = len(patients) - number + len(waiting)
        room = [name for name in (empty if left <= len(empty) else short) if short[name] >= rows]
        if not room:
            waiting.append((patient, rows))
            continue
        name = max(room, key=lambda name: short[name] / wanted[name])
        short[name] -= rows
        chosen[name].append((patient, rows))
    for patient, rows in waiting:
        name = max(short, key=lambda name: (not chosen[name], short[name]))
        if short[name] > 0:
            taken = min(rows, short[name])
            short[name] -= taken
            chosen[name].append((patient, taken))
    return chosen


@dataclass(frozen=True)
class Crop:
    """Rectangle of an image in pixels, at real-valued places; pixel (0, 0) spans 0 to 1 both ways."""

    top: float
    left: float
    height: float
    width: float

    def of(self, array: np.ndarray, size: int) -> np.ndarray:
        """Return the means of ``array`` (H, W) over size x size equal cells of the rectangle: (size, size) float32.

        Of a bool array the cells that are at least half True, (size, size) bool.
        """
        rows = _shares(array.shape[0], self.top, self.height, size)
        columns = _shares(array.shape[1], self.left, self.width, size)
        means = rows @ array.astype(np.float64) @ columns.T
        # a cell that is exactly half covered must not hang on how the sum was rounded
        return means.round(6) >= 0.5 if array.dtype == bool else means.astype(np.float32)


def crops(dataset: str, sample: Sample, size: int) -> list[Crop]:
    """Return the rectangles of a sample of ``dataset`` that are shown with size x size pixels.

    ISBI 2012: :data:`CROPS` squares of :data:`SECTION_PX` pixels at seeded places, which may overlap and are the same
    in every fold. ``promise12``: the square of :data:`FIELD_MM` at the centre. Those of
    :data:`LUNGS`: the whole slice. Others: the ``size`` x ``size`` pixels at the centre.

    Raises:
        ConfigError: fewer stored pixels than ``size``; none are invented.
        DataError: an image smaller than what is shown of one.
    """
    shape = sample.image.shape
    window: tuple[float, float] = (size, size)
    if dataset in CROPS:
        window = (SECTION_PX, SECTION_PX)
    elif dataset == "promise12":
        window = (FIELD_MM / sample.spacing[0], FIELD_MM / sample.spacing[1])
    elif dataset in LUNGS:
        window = shape
    height, width = (min(pair) for pair in zip(shape, window, strict=True))
    if min(height, width) < size:
        raise ConfigError(f"{sample.id}: {height:g} x {width:g} pixels hold no crop of {size} x {size}; lower the size")
    if (height, width) != window:
        raise DataError(
            f"{sample.id}: {shape[0]} x {shape[1]} pixels are fewer than the {window[0]:g} x {window[1]:g} "
            "that are shown of an image"
        )
    if dataset in CROPS:
        random = np.random.default_rng([BASE_SEED, *sample.id.encode()])
        places = random.integers(0, np.subtract(shape, window), (CROPS[dataset], 2), endpoint=True)
        return [Crop(*place, *window) for place in places.tolist()]
    if dataset == "promise12" or dataset in LUNGS:
        return [Crop((shape[0] - height) / 2, (shape[1] - width) / 2, height, width)]
    return [Crop((shape[0] - size) // 2, (shape[1] - size) // 2, size, size)]


def _shares(n: int, start: float, length: float, size: int) -> np.ndarray:
    """(size, n): what part of each of ``size`` equal cells, which span ``length`` from ``start``, each pixel covers."""
    edges = start + np.arange(size + 1)[:, None] * (length / size)
    pixels = np.arange(n)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return covered.clip(min=0) * (size / length)
