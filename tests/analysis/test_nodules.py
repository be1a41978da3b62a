"""Dice nodule by nodule, on numbers that can be worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import nodules
from softmask.analysis.doctors import REFERENCES
from softmask.data import kinds
from softmask.measure.images import DOCTORS

N = 3


def run(seed: int):
    """A run on three nodules: every measure is a constant, and 0.1 more for the second seed's network."""
    more = 0.1 * seed
    measures = {"dice": 0.5 + more, "dice_staple": 0.4 + more}
    for i, doctor in enumerate(DOCTORS):
        measures |= {f"dice_{doctor}": 0.1 * i + more, f"dice_others_{doctor}": 0.2 + 0.1 * i + more}
        measures |= {f"truth_{doctor}": 0.6, f"others_{doctor}": 0.1 * i, f"staple_{doctor}": 0.8}
    arrays = {name: (value,) * N for name, value in measures.items()}
    record = SimpleNamespace(ids=("a", "b", "c"), measures=arrays)
    return SimpleNamespace(record=record, spec=SimpleNamespace(name=f"run-{seed}"))


@pytest.fixture
def networks():
    return {"unfinished": [], "casgan": [run(0)], "dsnet": [run(0), run(1)]}


def test_a_network_against_every_reference_is_the_mean_over_seeds_and_doctors(networks):
    found = nodules.of_network(networks["dsnet"])
    assert tuple(found) == REFERENCES
    assert {name: values.tolist() for name, values in found.items()} == {
        name: pytest.approx([value] * N) for name, value in zip(REFERENCES, (0.2, 0.55, 0.4, 0.45), strict=True)
    }


def test_doctors_are_averaged_for_each_nodule(networks):
    found = nodules.everyone(networks)
    assert list(found) == ["any_doctor", "casgan", "dsnet"]
    assert {name: values.tolist() for name, values in found["any_doctor"].items()} == {
        "dice_consensus50": pytest.approx([0.6] * N),
        "dice_consensus_others": pytest.approx([0.15] * N),
        "dice_staple": pytest.approx([0.8] * N),
    }


def test_cells_count_the_nodules_of_each_group_and_leave_out_empty_ones(networks):
    members = {"all": np.ones(N, bool), "solid": np.array([True, False, True]), "calcific": np.zeros(N, bool)}
    cells = nodules.group_cells(networks, members, "dice_consensus50", "lidc-500", "real")
    found = {(cell.row, cell.metric): cell for cell in cells}
    assert {row for row, _ in found} == {"all", "solid"}
    assert found["solid", "nodules"].ours_mean == found["solid", "dice_of_dsnet"].n_images == 2
    assert found["all", "dice_of_dsnet"].ours_mean == pytest.approx(0.55)
    assert found["all", "dice_of_any_doctor"].ours_mean == pytest.approx(0.6)


def test_reference_cells_have_a_row_for_each_network(networks):
    cells = nodules.reference_cells(networks, "lidc-500", "real")
    assert [(cell.row, cell.metric) for cell in cells] == [
        (row, name) for row in ("casgan", "dsnet") for name in REFERENCES
    ]


def test_without_a_finished_network_there_is_nothing_to_compare():
    assert nodules.everyone({"casgan": []}) == {}
    assert nodules.group_cells({"casgan": []}, {"all": np.ones(N, bool)}, "dice_consensus50", "lidc-500", "real") == []


def test_groups_by_texture_place_kind_and_diameter(monkeypatch):
    textures = {"n0": (5, 5, 4, 5), "n1": (3, 3, 3, 4), "n2": (1, 2, 1, 1), "n3": None}
    places = {"n0": 0.1, "n1": 2.0, "n2": kinds.PLEURAL_PLACE}

    def nodule(name):
        readers = [SimpleNamespace(ratings={"texture": value}) for value in textures[name] or ()]
        return SimpleNamespace(readers=readers, name=name) if readers else None

    database = SimpleNamespace(find=lambda patient, name: nodule(name))
    monkeypatch.setattr(nodules.annotations, "load", lambda: database)
    monkeypatch.setattr(nodules, "place_of_nodule", lambda one: SimpleNamespace(radius=places[one.name]))
    index = pd.DataFrame(
        {
            "patient": ["p"] * 5,
            "nodule": ["n9", "n0", "n1", "n2", "n3"],
            "kind": ["", "calcific", "juxtapleural", "ground_glass", ""],
            "diameter_mm": [1.0, 5.0, 5.1, 10.1, np.nan],
        }
    )
    found = nodules.groups(SimpleNamespace(index=index), [1, 2, 3, 4])
    assert {name: np.flatnonzero(inside).tolist() for name, inside in found.items()} == {
        "all": [0, 1, 2, 3],
        "solid": [0],
        "part_solid": [1],
        "ground_glass": [2],
        "juxtapleural": [1, 2],
        "cavitary": [],
        "calcific": [0],
        "up_to_5_mm": [0],
        "5_to_10_mm": [1],
        "above_10_mm": [2],
    }
