"""How far four readers agree with one another and with a consensus of them.

The papers print one matrix: Dice between four doctors, their 50 % consensus and a model. A consensus that
contains the doctor it is compared with flatters the doctor, so a leave-one-out consensus stands beside it, and
STAPLE, which weighs the readers but contains them all; and since LIDC does not say which reader is "doctor 1", so
does the mean over all orders of the readers, in which every pair of doctors has the same expected Dice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pandas as pd

from softmask import papers
from softmask.analysis.training import values_of
from softmask.data.kinds import KINDS
from softmask.data.sample import Dataset, Sample
from softmask.data.splits import crops, split_rows
from softmask.errors import DataError, LabelError
from softmask.experiments.store import Run
from softmask.label import consensus
from softmask.measure import segmentation
from softmask.measure.agreement import DiceMatrix, dice_matrix, summary
from softmask.measure.images import DOCTORS
from softmask.papers import display
from softmask.parallel import progress
from softmask.report.result import SCALES, Cell
from softmask.report.summary import cells
from softmask.report.tables import matrix_cells

CONSENSUS = "consensus50"
RATERS = (*DOCTORS, CONSENSUS)
"""Rows and columns of the papers' matrix that need no model."""

ROWS = (*DOCTORS, "any_doctor")
REFERENCES = ("dice_any_other", "dice_consensus50", "dice_consensus_others", "dice_staple")


EVERY_SLICE, LARGEST_SLICE, TESTED = "lidc-every-slice", "lidc-largest", "lidc-500"
"""Names of the sets of slices: all that four readers marked; the largest of each nodule; of those, the 500 nodules that
networks are tested on."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Dice of every image, in [0, 1]; the tables are means and standard deviations over the images.

    Attributes:
        ids: (N,) sample names.
        matrix: between all pairs of :data:`RATERS`; ``matrix.values`` is (N, 5, 5).
        others: (N, 4) each doctor against the 50 % consensus of the other three.
        staple: (N, 4) each doctor against STAPLE of all four, binarised at probability 0.5.
    """

    ids: list[str]
    matrix: DiceMatrix = field(repr=False)
    others: np.ndarray = field(repr=False)
    staple: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def references(self) -> dict[str, np.ndarray]:
        """(N, 4) for each of :data:`REFERENCES`: every doctor against the mean of the other doctors, and the rest."""
        doctors = self.matrix.values[:, :4, :4]
        return {
            "dice_any_other": (doctors.sum(axis=2) - 1) / 3,  # without the doctor's own Dice with themselves
            "dice_consensus50": self.matrix.values[:, :4, 4],
            "dice_consensus_others": self.others,
            "dice_staple": self.staple,
        }


def agreement(dataset: Dataset, rows: Iterable[int], title: str = "") -> Agreement:
    """Agreement of the four readers over ``rows`` of a data set.

    A row that cannot be read, or that not all four readers marked, is left out and listed in ``dataset.problems``.

    Raises:
        DataError: when no row is left.
    """
    ids: list[str] = []
    images: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for row in progress([int(row) for row in rows], title or dataset.name):
        where = dataset.name_of(row)
        try:
            readers, present = dataset.read_masks(row)
            if present.sum() != 4:
                raise DataError(f"marked by {present.sum()} readers; the comparison of doctors needs four")
            images.append(_image(readers[present]))
        except (DataError, LabelError) as error:
            dataset.add_problem(where, str(error))
        else:
            ids.append(where)
    if not ids:
        raise DataError(f"{dataset.name}: no image that all four readers marked could be read from {dataset.origin}")
    values, others, staple = (np.stack(arrays) for arrays in zip(*images, strict=True))
    return Agreement(ids, summary(values), others, staple)


def rows_named(dataset: Dataset, ids: Iterable[str]) -> list[int]:
    """The rows of samples by name: those that a record was measured on.

    Raises:
        DataError: for a name that the data set has not got.
    """
    rows = {dataset.name_of(row): row for row in range(len(dataset))}
    ids = list(ids)
    lacking = [name for name in ids if name not in rows]
    if lacking:
        raise DataError(f"{dataset.origin} has no {lacking[0]}, which networks were tested on ({len(lacking)} lacking)")
    return [rows[name] for name in ids]


def network_rows(dataset: Dataset, networks: Iterable[Sequence[Run]], part: str = "ids") -> list[int]:
    """The rows of LIDC that networks (the runs of each) were tested on.

    The first record names them: its ``ids``, or with ``part`` ``predictions`` those of which it keeps the prediction.
    Without a finished run, they are the rows that the networks will be tested on.
    """
    for runs in networks:
        for run in runs[:1]:
            return rows_named(dataset, getattr(run.record, part))
    return split_rows(TESTED, dataset)["test"].tolist()


def with_network(found: Agreement, runs: Sequence[Run]) -> DiceMatrix:
    """(6, 6): :data:`RATERS`, and the network of ``runs`` (its seeds; Dice averaged over them for each image).

    Raises:
        DataError: for runs that were tested on other images than ``found`` compares.
    """
    if list(runs[0].record.ids) != found.ids:
        raise DataError(f"{runs[0].spec.name}: was not tested on the images that the doctors are compared on")
    values = np.ones((len(found), 6, 6))
    values[:, :5, :5] = found.matrix.values
    for i, measure in enumerate([*(f"dice_{doctor}" for doctor in DOCTORS), "dice"]):
        values[:, i, 5] = values[:, 5, i] = values_of(runs, measure).mean(axis=0)
    return summary(values)


def network_cells(found: Agreement, runs: Sequence[Run], name: str, source: str) -> list[Cell]:
    """The cells of the papers' whole matrix, with the network's row and column as ``name`` where it has runs."""
    raters, matrix = ((*RATERS, name), with_network(found, runs)) if runs else (RATERS, found.matrix)
    made = matrix_cells(raters, matrix, dataset="lidc", n_seeds=1, source=source)
    return [
        replace(cell, n_seeds=len(runs)) if name == cell.row or cell.metric.endswith(f"_{name}") else cell
        for cell in made
    ]


def nearness(found: Agreement, networks: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """For each network that has runs, of each doctor and the network: mean Dice with the 50 % consensus, and on what
    share of the images the network is nearer to it than the doctor."""
    frames = {name: _nearness(found, runs, name) for name, runs in networks.items() if runs}
    return pd.concat(frames, names=["compared with"]) if frames else pd.DataFrame()


def _nearness(found: Agreement, runs: Sequence[Run], name: str) -> pd.DataFrame:
    values = with_network(found, runs).values[:, [0, 1, 2, 3, 5], 4]  # (N, 5): doctors and the network
    nearer = (values[:, 4:] > values).mean(axis=0)
    frame = pd.DataFrame(
        {"Dice with the 50 % consensus": values.mean(axis=0).round(3), "network nearer": [f"{x:.0%}" for x in nearer]},
        index=[display("rows", row) for row in (*DOCTORS, name)],
    )
    frame.iloc[-1, 1] = ""
    return frame


def network_masks(runs: Sequence[Run], samples: Iterable[Sample]) -> dict[str, np.ndarray]:
    """The soft masks (H, W) in [0, 1] that the first run's record keeps of ``samples``, by name; 0 outside what the
    network saw of an image. Empty without runs."""
    masks = {}
    for run, sample in product(runs[:1], samples):
        if sample.id not in run.record.predictions:
            continue
        [seen] = crops(run.spec.dataset, sample, run.spec.size)
        top, left = int(seen.top), int(seen.left)
        mask = np.zeros(sample.image.shape)
        mask[top : top + run.spec.size, left : left + run.spec.size] = run.record.predictions[sample.id] / 255
        masks[sample.id] = mask
    return masks


def one_of_each_kind(dataset: Dataset, rows: Sequence[int]) -> dict[str, Sample]:
    """The first of ``rows`` of each nodule kind, in the order of :data:`softmask.data.kinds.KINDS`; a kind that none of
    them is of is left out."""
    kinds = dataset.index["kind"].to_numpy()[list(rows)]
    return {kind: dataset[rows[int(np.argmax(kinds == kind))]] for kind in KINDS if (kinds == kind).any()}


def _image(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one image's (4, H, W) masks: (5, 5) Dice between :data:`RATERS`, (4,) with the others, (4,) with STAPLE."""
    matrix = dice_matrix([masks], extra=[consensus.fifty_percent(masks)[None]]).values[0]
    others = segmentation.dice(masks, consensus.leave_one_out(masks))
    return matrix, others, segmentation.dice(masks, consensus.staple(masks) >= 0.5)


def reference_cells(found: Agreement, dataset: str, source: str) -> list[Cell]:
    """Each doctor, and ``any_doctor`` (the mean over all orders of the readers), against :data:`REFERENCES`."""
    references = found.references()
    rows = [{name: values[:, i] for name, values in references.items()} for i in range(4)]
    rows.append({name: values.mean(axis=1) for name, values in references.items()})
    records = pd.concat(pd.DataFrame(row).assign(doctor=name) for name, row in zip(ROWS, rows, strict=True))
    return cells(records, "doctor", REFERENCES, dataset=dataset, source=source)


def printed_matrix(paper: str, table: str) -> np.ndarray:
    """(5, 5) Dice in [0, 1] between :data:`RATERS` as the paper prints it; NaN where it prints none."""
    printed = {(cell.row, cell.metric): cell for cell in papers.load(paper).table(table).cells()}
    matrix = np.full((5, 5), np.nan)
    for i, row in enumerate(RATERS):
        for j, column in enumerate(RATERS):
            cell = printed.get((row, f"dice_with_{column}"))
            if cell is not None:
                matrix[i, j] = cell.mean / SCALES[cell.unit]
    return matrix


def against_printed(found: Mapping[str, Agreement], paper: str, table: str) -> pd.DataFrame:
    """Mean Dice between two doctors, and between a doctor and the consensus: printed, and for each of ``found``."""
    pairs = np.triu_indices(4, 1)

    def row(matrix: np.ndarray) -> dict[str, float]:
        return {"doctor and doctor": matrix[:4, :4][pairs].mean(), "doctor and 50 % consensus": matrix[:4, 4].mean()}

    rows = {f"{paper}/{table}, printed": row(printed_matrix(paper, table))}
    rows |= {name: row(agreed.matrix.mean) for name, agreed in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").round(3)
