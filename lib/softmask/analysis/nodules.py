"""Doctors and networks nodule by nodule, and on which kinds of nodules they come near to a consensus.

Everyone is compared on the same crops, from what the runs on :data:`softmask.analysis.doctors.TESTED` recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from softmask.analysis.doctors import REFERENCES
from softmask.analysis.training import values_of
from softmask.data import annotations
from softmask.data.kinds import PLEURAL_PLACE, TINY_MM, place_of_nodule
from softmask.data.sample import Dataset
from softmask.experiments.store import Run
from softmask.measure.images import DOCTORS
from softmask.report.result import Cell
from softmask.report.summary import cells

LARGE_MM = 10.0
"""Smallest diameter of a large nodule."""

GROUPS = (
    "all",
    "solid",
    "part_solid",
    "ground_glass",
    "juxtapleural",
    "cavitary",
    "calcific",
    "up_to_5_mm",
    "5_to_10_mm",
    "above_10_mm",
)
"""Kinds of nodules; one nodule is in several."""


def groups(dataset: Dataset, rows: Sequence[int]) -> dict[str, np.ndarray]:
    """For each of :data:`GROUPS`, which of ``rows`` of a LIDC data set are in it: (N,) bool.

    ``solid``, ``part_solid`` and ``ground_glass`` by the readers' median ``texture`` (LIDC: 5 is solid, 3 part-solid, 1
    non-solid): from 4, between, and up to 2. ``juxtapleural`` by the place in the lung, ``cavitary`` and
    ``calcific`` by :func:`softmask.data.kinds.kind_of`. The diameter is that of the disc with the consensus' area. A
    nodule that the annotation database does not know is in no group but ``all`` and those of its diameter.
    """
    index = dataset.index.iloc[list(rows)]
    database = annotations.load()
    known = [database.find(*key) for key in index[["patient", "nodule"]].itertuples(index=False, name=None)]
    texture, place = np.full(len(known), np.nan), np.full(len(known), np.nan)
    for i, nodule in enumerate(known):
        if nodule is not None:
            texture[i] = np.median([reading.ratings["texture"] for reading in nodule.readers])
            place[i] = place_of_nodule(nodule).radius
    kind, diameter = index["kind"].to_numpy(), index["diameter_mm"].to_numpy()
    found = (
        np.ones(len(known), bool),
        texture >= 4,
        (texture > 2) & (texture < 4),
        texture <= 2,
        place >= PLEURAL_PLACE,
        kind == "cavitary",
        kind == "calcific",
        diameter <= TINY_MM,
        (diameter > TINY_MM) & (diameter <= LARGE_MM),
        diameter > LARGE_MM,
    )
    return dict(zip(GROUPS, found, strict=True))


def of_doctors(runs: Sequence[Run]) -> dict[str, dict[str, np.ndarray]]:
    """For each doctor and each of :data:`REFERENCES` but the first, Dice of every nodule (N,), in [0, 1]."""
    named = {
        "dice_consensus50": "truth",
        "dice_consensus_others": "others",
        "dice_staple": "staple",
    }
    return {
        doctor: {name: values_of(runs[:1], f"{measure}_{doctor}")[0] for name, measure in named.items()}
        for doctor in DOCTORS
    }


def of_network(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """For each of :data:`REFERENCES`, a network's Dice of every nodule (N,), in [0, 1]: the mean over its seeds, over
    the four doctors, and over the four consensuses of three doctors."""

    def mean(*measures: str) -> np.ndarray:
        return np.mean([values_of(runs, measure).mean(axis=0) for measure in measures], axis=0)

    return {
        "dice_any_other": mean(*(f"dice_{doctor}" for doctor in DOCTORS)),
        "dice_consensus50": mean("dice"),
        "dice_consensus_others": mean(*(f"dice_others_{doctor}" for doctor in DOCTORS)),
        "dice_staple": mean("dice_staple"),
    }


def everyone(networks: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, np.ndarray]]:
    """By name (``any_doctor``, then the networks') and reference, Dice of every nodule (N,).

    ``any_doctor`` is the mean over the four, so that it hangs on no order of the readers. Networks without runs are
    left out; empty where none has any.
    """
    networks = {name: runs for name, runs in networks.items() if runs}
    if not networks:
        return {}
    doctors = of_doctors(next(iter(networks.values())))
    any_doctor = {name: np.mean([doctors[doctor][name] for doctor in DOCTORS], axis=0) for name in doctors[DOCTORS[0]]}
    return {"any_doctor": any_doctor} | {name: of_network(runs) for name, runs in networks.items()}


def reference_cells(networks: Mapping[str, Sequence[Run]], dataset: str, source: str) -> list[Cell]:
    """Mean and spread over nodules of the networks' Dice with each of :data:`REFERENCES`."""
    made = []
    for name, runs in networks.items():
        if not runs:
            continue
        records = pd.DataFrame(of_network(runs)).assign(who=name)
        made += cells(records, "who", REFERENCES, dataset=dataset, source=source)
    return made


def group_cells(
    networks: Mapping[str, Sequence[Run]], members: Mapping[str, np.ndarray], reference: str, dataset: str, source: str
) -> list[Cell]:
    """Mean and spread over the nodules of each group: a row for each group, ``dice_with_...`` for everyone's Dice with
    one of :data:`REFERENCES`, and the number of its nodules. A group without any is left out."""
    values = pd.DataFrame({f"dice_of_{name}": by[reference] for name, by in everyone(networks).items()})
    made = []
    for group, inside in members.items():
        if inside.any() and not values.empty:
            records = values[inside].assign(group=group)
            made.append(Cell(group, dataset, "nodules", float(inside.sum()), float("nan"), 1, 1, source, extra=True))
            made += cells(records, "group", list(values), dataset=dataset, source=source)
    return made
