"""Agreement of four readers with each other, with their consensus, and with networks, for each nodule.

The printed consensus includes the doctor who is compared with it, so a leave-one-out consensus and STAPLE are also
given. LIDC does not say who is "doctor 1", so ``any_doctor`` is the mean over all orders of the readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from softmask import papers
from softmask.analysis.table import image_cells, numbers, values_of
from softmask.data.annotations import load as load_annotations
from softmask.data.kinds import KINDS, PLEURAL_PLACE, TINY_MM, place_of_nodule
from softmask.data.sample import Dataset, Sample
from softmask.data.splits import crops, split_rows
from softmask.errors import DataError, LabelError
from softmask.experiments.store import Run
from softmask.label import consensus
from softmask.measure import segmentation
from softmask.measure.images import DOCTORS
from softmask.measure.segmentation import dice_of_pairs
from softmask.papers import display
from softmask.papers.printed import SCALES
from softmask.parallel import progress
from softmask.report.result import Cell

CONSENSUS = "consensus50"
RATERS = (*DOCTORS, CONSENSUS)
"""Rows and columns of the papers' matrix that need no model."""

REFERENCES = ("dice_any_other", "dice_consensus50", "dice_consensus_others", "dice_staple")

EVERY_SLICE, LARGEST_SLICE, TESTED = "lidc-every-slice", "lidc-largest", "lidc-500"
"""Sets of slices: all that four readers marked; the largest slice of each nodule; the 500 of these used for testing."""

PAIRS = np.triu_indices(4, 1)
"""Indices of the pairs of doctors in a matrix."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Dice of every image: ``matrix`` (N, 5, 5) between :data:`RATERS`; each doctor (N, 4) with the consensus of the
    ``others``, and with ``staple`` of all readers, binarised at 0.5."""

    ids: list[str]
    matrix: np.ndarray = field(repr=False)
    others: np.ndarray = field(repr=False)
    staple: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def references(self) -> dict[str, np.ndarray]:
        """Return the Dice (N, 4) of every doctor with each of :data:`REFERENCES`."""
        doctors = self.matrix[:, :4, :4]
        any_other = (doctors.sum(axis=2) - 1) / 3  # without the doctor's own Dice with themselves
        values = (any_other, self.matrix[:, :4, 4], self.others, self.staple)
        return dict(zip(REFERENCES, values, strict=True))


def of_four_readers(
    measure: Callable[[np.ndarray], Any], dataset: Dataset, rows: Iterable[int], purpose: str, title: str
) -> dict[int, Any]:
    """Return ``measure`` of the masks (4, H, W) of each of ``rows``, by row. Rows that cannot be read or measured, or
    were not marked by all readers, are left out and listed in ``dataset.problems``; raise DataError if none is left."""
    results = {}
    for row in progress([int(row) for row in rows], title):
        try:
            reader_masks, present = dataset.read_masks(row)
            if present.sum() != 4:
                raise DataError(f"marked by {present.sum()} readers; {purpose} four")
            results[row] = measure(reader_masks[present])
        except (DataError, LabelError) as error:
            dataset.add_problem(dataset.name_of(row), str(error))
    if not results:
        raise DataError(f"{dataset.name}: no image that all four readers marked could be read from {dataset.origin}")
    return results


def agreement(dataset: Dataset, rows: Iterable[int], title: str = "") -> Agreement:
    """Return the agreement over ``rows`` of a data set (:func:`of_four_readers`)."""

    def measure(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            dice_of_pairs(np.stack([*masks, consensus.fifty_percent(masks)])),  # (5, 5)
            segmentation.dice(masks, consensus.leave_one_out(masks)),  # (4,)
            segmentation.dice(masks, consensus.staple(masks) >= 0.5),  # (4,)
        )

    results = of_four_readers(measure, dataset, rows, "the comparison of doctors needs", title or dataset.name)
    values, others, staple = (np.stack(arrays) for arrays in zip(*results.values(), strict=True))
    return Agreement([dataset.name_of(row) for row in results], values, others, staple)


def rows_named(dataset: Dataset, ids: Iterable[str]) -> list[int]:
    """Return the rows of the samples with these ``ids``; raise DataError if one is missing."""
    rows = {dataset.name_of(row): row for row in range(len(dataset))}
    ids = list(ids)
    missing = [name for name in ids if name not in rows]
    if missing:
        raise DataError(f"{dataset.origin} has no {missing[0]}, which networks were tested on ({len(missing)} missing)")
    return [rows[name] for name in ids]


def network_rows(dataset: Dataset, networks: Iterable[Sequence[Run]], part: str = "ids") -> list[int]:
    """Return the rows of LIDC that the first run is tested on, or whose ``predictions`` it keeps; without runs, the
    test rows of :data:`TESTED`."""
    for run in (run for runs in networks for run in runs):
        return rows_named(dataset, getattr(run.record, part))
    return split_rows(TESTED, dataset)["test"].tolist()


def with_network(agreed: Agreement, runs: Sequence[Run]) -> np.ndarray:
    """Return the matrix (N, 6, 6) of :data:`RATERS` and a network; raise DataError for other test images."""
    if list(runs[0].record.ids) != agreed.ids:
        raise DataError(f"{runs[0].spec.name}: was not tested on the images that the doctors are compared on")
    values = np.ones((len(agreed), 6, 6))
    values[:, :5, :5] = agreed.matrix
    for i, measure in enumerate([*(f"dice_{doctor}" for doctor in DOCTORS), "dice"]):
        values[:, i, 5] = values[:, 5, i] = values_of(runs, measure).mean(axis=0)
    return values


def matrix_cells(
    labels: Sequence[str], matrix: np.ndarray, *, dataset: str, n_seeds: int, source: str, extra: bool = False
) -> list[Cell]:
    """Return the cells of a symmetric table with the rows ``labels``: mean and spread (N - 1) of ``matrix`` (N, K, K)
    over the images."""
    mean, cells = matrix.mean(axis=0), []
    std = matrix.std(axis=0, ddof=1) if len(matrix) > 1 else np.full(mean.shape, np.nan)
    for i, row in enumerate(labels):
        for j, column in enumerate(labels):
            values = float(mean[i, j]), float(std[i, j]), len(matrix)
            cells.append(Cell(row, dataset, f"dice_with_{column}", *values, n_seeds, source, extra=extra))
    return cells


def network_cells(agreed: Agreement, runs: Sequence[Run], name: str, source: str) -> list[Cell]:
    """Return the cells of the papers' matrix, with the network if it has runs."""
    raters, matrix = ((*RATERS, name), with_network(agreed, runs)) if runs else (RATERS, agreed.matrix)
    return [
        replace(cell, n_seeds=len(runs)) if name in (cell.row, cell.metric.removeprefix("dice_with_")) else cell
        for cell in matrix_cells(raters, matrix, dataset="lidc", n_seeds=1, source=source)
    ]


def nearness(agreed: Agreement, networks: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Return Dice with the consensus, and how often the network is nearer to the consensus than each doctor."""
    frames = {}
    for name, runs in networks.items():
        if runs:
            values = with_network(agreed, runs)[:, [0, 1, 2, 3, 5], 4]  # (N, 5): doctors and the network
            shares = [f"{share:.0%}" for share in (values[:, 4:] > values).mean(axis=0)[:4]]
            columns = {"Dice with the 50 % consensus": values.mean(axis=0).round(3), "network nearer": [*shares, ""]}
            frames[name] = pd.DataFrame(columns, index=[display("rows", row) for row in (*DOCTORS, name)])
    return pd.concat(frames, names=["compared with"]) if frames else pd.DataFrame()


def network_masks(runs: Sequence[Run], samples: Iterable[Sample]) -> dict[str, np.ndarray]:
    """Return the kept soft masks (H, W) of the first run; 0 outside the network's crop."""
    masks = {}
    for run in runs[:1]:
        size, predictions = run.spec.size, run.record.predictions
        for sample in (sample for sample in samples if sample.id in predictions):
            [crop] = crops(run.spec.dataset, sample, size)
            masks[sample.id] = mask = np.zeros(sample.image.shape)
            top, left = int(crop.top), int(crop.left)
            mask[top : top + size, left : left + size] = predictions[sample.id] / 255
    return masks


def one_of_each_kind(dataset: Dataset, rows: Sequence[int]) -> dict[str, Sample]:
    """Return the first sample among ``rows`` of each nodule kind that occurs."""
    kinds = dataset.index["kind"].to_numpy()[list(rows)]
    return {kind: dataset[rows[int(np.argmax(kinds == kind))]] for kind in KINDS if (kinds == kind).any()}


def reference_cells(agreed: Agreement, dataset: str, source: str) -> list[Cell]:
    """Return the cells of each doctor, and ``any_doctor``, compared with :data:`REFERENCES`."""
    references = agreed.references()
    rows = {doctor: {name: values[:, i] for name, values in references.items()} for i, doctor in enumerate(DOCTORS)}
    rows["any_doctor"] = {name: values.mean(axis=1) for name, values in references.items()}
    return [cell for row, values in rows.items() for cell in image_cells(row, dataset, values, source)]


def printed_matrix(paper: str, table: str) -> np.ndarray:
    """Return the printed Dice (5, 5) between :data:`RATERS`, in [0, 1]; NaN where none is printed."""
    cells = papers.load(paper).table(table).cells
    printed = {(cell.row, cell.metric): cell.mean / SCALES[cell.unit] for cell in cells}
    return np.array([[printed.get((row, f"dice_with_{column}"), np.nan) for column in RATERS] for row in RATERS])


def groups(dataset: Dataset, rows: Sequence[int]) -> dict[str, np.ndarray]:
    """Return groups of nodules by name: which of ``rows`` of LIDC belong to each, (N,) bool; the groups overlap.

    Readers' median ``texture`` (LIDC): 5 is solid, 3 part-solid, 1 non-solid.
    """
    index = dataset.index.iloc[list(rows)]
    database = load_annotations()
    nodules = [database.find(*key) for key in index[["patient", "nodule"]].itertuples(index=False, name=None)]
    texture, place_radius = np.full(len(nodules), np.nan), np.full(len(nodules), np.nan)
    for i, nodule in enumerate(nodules):
        if nodule is not None:
            texture[i] = np.median([reading.ratings["texture"] for reading in nodule.readers])
            place_radius[i] = place_of_nodule(nodule).radius
    kind, diameter = index["kind"].to_numpy(), index["diameter_mm"].to_numpy()
    return {
        "all": np.ones(len(nodules), bool),
        "solid": texture >= 4,
        "part_solid": (texture > 2) & (texture < 4),
        "ground_glass": texture <= 2,
        "juxtapleural": place_radius >= PLEURAL_PLACE,
        "cavitary": kind == "cavitary",
        "calcific": kind == "calcific",
        "up_to_5_mm": diameter <= TINY_MM,
        "5_to_10_mm": (diameter > TINY_MM) & (diameter <= 10),
        "above_10_mm": diameter > 10,
    }


def of_network(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """Return a network's Dice of every nodule (N,) with each of :data:`REFERENCES`."""

    def mean(*measures: str) -> np.ndarray:
        return np.mean([values_of(runs, measure).mean(axis=0) for measure in measures], axis=0)

    return {
        "dice_any_other": mean(*(f"dice_{doctor}" for doctor in DOCTORS)),
        "dice_consensus50": mean("dice"),
        "dice_consensus_others": mean(*(f"dice_others_{doctor}" for doctor in DOCTORS)),
        "dice_staple": mean("dice_staple"),
    }


def doctors_and_networks(networks: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, np.ndarray]]:
    """Return Dice of every nodule (N,) by name (``any_doctor`` first) and reference."""
    values = {name: of_network(runs) for name, runs in networks.items() if runs}
    if not values:
        return {}
    first_runs = networks[next(iter(values))][:1]
    measures = dict(zip(REFERENCES[1:], ("truth", "others", "staple"), strict=True))
    any_doctor = {
        reference: np.mean([values_of(first_runs, f"{measure}_{doctor}")[0] for doctor in DOCTORS], axis=0)
        for reference, measure in measures.items()
    }
    return {"any_doctor": any_doctor} | values


def network_reference_cells(networks: Mapping[str, Sequence[Run]], dataset: str, source: str) -> list[Cell]:
    """Return means over nodules of the networks' Dice with :data:`REFERENCES`."""
    values = {name: of_network(runs) for name, runs in networks.items() if runs}
    return [cell for name in values for cell in image_cells(name, dataset, values[name], source)]


def group_cells(
    networks: Mapping[str, Sequence[Run]], members: Mapping[str, np.ndarray], reference: str, dataset: str, source: str
) -> list[Cell]:
    """Return the number of nodules and the Dice with ``reference``, for each group."""
    values = {f"dice_of_{name}": references[reference] for name, references in doctors_and_networks(networks).items()}
    cells = []
    for group, in_group in members.items():
        if in_group.any() and values:
            cells += numbers(group, dataset, {"nodules": in_group.sum()}, 1, 1, source)
            cells += image_cells(group, dataset, {name: dice[in_group] for name, dice in values.items()}, source)
    return cells
