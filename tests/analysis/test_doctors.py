"""Agreement of four readers, against Dice worked out by hand on strips of pixels."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import doctors
from softmask.data import kinds
from softmask.errors import DataError
from softmask.report.result import ResultTable, join

HALF = [0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 2, 3], [4, 5, 6, 7]  # 50 %: 0..5; without 1 or 3: 2..5; without 2 or 4: 0..3
SAME = [[0, 1, 2, 3]] * 4
NEAR = [0, 1], [0, 1], [0, 1], [0]


@pytest.fixture
def three(dataset_of, strips):
    return dataset_of([strips(0, *HALF), strips(1, *SAME), strips(2, *NEAR)])


def test_each_doctor_against_the_other_references(three) -> None:
    agreed = doctors.agreement(three, range(3))
    assert agreed.ids == [three[i].id for i in range(3)]
    np.testing.assert_allclose(agreed.matrix.mean(axis=0)[0, 1], (0.5 + 1 + 1) / 3)
    cells = {(c.row, c.metric): c for c in doctors.reference_cells(agreed, "lidc-largest", "real")}
    any_doctor = cells["any_doctor", "dice_any_other"]
    assert any_doctor.ours_mean == pytest.approx(0.75), "the mean of 5/12, 1 and 5/6"
    assert (any_doctor.dataset, any_doctor.source, any_doctor.n_images) == ("lidc-largest", "real", 3)
    values = agreed.references()
    assert tuple(values) == doctors.REFERENCES
    np.testing.assert_allclose(
        values["dice_any_other"], [[0.5, 0.5, 0.5, 1 / 6], [1, 1, 1, 1], [8 / 9, 8 / 9, 8 / 9, 2 / 3]]
    )
    np.testing.assert_allclose(values["dice_consensus50"], [[0.8, 0.8, 0.8, 0.4], [1, 1, 1, 1], [1, 1, 1, 2 / 3]])
    np.testing.assert_allclose(values["dice_consensus_others"], [[0.5, 0.5, 0.5, 0], [1, 1, 1, 1], [1, 1, 1, 2 / 3]])
    np.testing.assert_allclose(values["dice_staple"][1:], [[1, 1, 1, 1], [1, 1, 1, 2 / 3]], atol=1e-12)


def test_rows_that_not_four_readers_marked_or_that_cannot_be_read_are_left_out_and_listed(dataset_of, strips) -> None:
    few = strips(0, [0], [0, 1], [], [0]), strips(3, [0], [1])
    dataset = dataset_of([few[0], DataError("truncated"), strips(2, *SAME), few[1], strips(4, *SAME)])
    result = doctors.agreement(dataset, [4, 0, 1, 2, 3])
    assert result.ids == ["lidc/p4/n0/s4", "lidc/p2/n0/s2"]
    assert [(problem.where, problem.why) for problem in dataset.problems] == [
        ("lidc/p0/n0/s0", "marked by 3 readers; the comparison of doctors needs four"),
        ("lidc/p1/n0/s1", "truncated"),
        ("lidc/p3/n0/s3", "marked by 2 readers; the comparison of doctors needs four"),
    ]


def test_a_present_reader_with_an_empty_mask_leaves_the_image_out(dataset_of, strips, monkeypatch) -> None:
    dataset = dataset_of([strips(0, *SAME), strips(1, *SAME)])
    empty = dataset[1].readers.copy()
    empty[2] = False
    masks = {0: dataset[0].readers, 1: empty}
    monkeypatch.setattr(dataset, "read_masks", lambda i: (masks[i], np.ones(4, bool)))
    assert doctors.agreement(dataset, [0, 1]).ids == ["lidc/p0/n0/s0"]
    assert [problem.where for problem in dataset.problems] == ["lidc/p1/n0/s1"]
    assert "reader 2 is empty" in dataset.problems[0].why
    with pytest.raises(DataError, match=r"lidc: no image that all four readers marked .* from made by a test"):
        doctors.agreement(dataset, [1])


def network(found, dice, predictions=None):
    """A run on the images of ``found``: Dice (6,) with doctors 1 to 4 and the consensus is that of every image."""
    measures = {f"dice_{doctor}": [value] * len(found) for doctor, value in zip(doctors.DOCTORS, dice, strict=False)}
    record = SimpleNamespace(
        ids=tuple(found.ids),
        measures=measures | {"dice": [dice[4]] * len(found)},
        predictions=predictions or {},
        failed=False,
    )
    return SimpleNamespace(record=record, spec=SimpleNamespace(name="a-run", source="real", dataset="lidc-500", size=4))


def test_cells_of_a_matrix_are_means_and_spreads_over_the_images() -> None:
    values, names = np.random.default_rng(0).random((5, 2, 2)), {"dataset": "lidc", "n_seeds": 1, "source": "real"}
    cells = doctors.matrix_cells(["a", "b"], values, **names)
    assert [cell.ours_mean for cell in cells] == pytest.approx(values.mean(axis=0).ravel())
    assert [cell.ours_std for cell in cells] == pytest.approx(values.std(axis=0, ddof=1).ravel())
    assert np.isnan(doctors.matrix_cells(["a"], values[:1, :1, :1], **names)[0].ours_std)


def test_the_network_has_a_row_and_a_column_of_the_matrix(three) -> None:
    outcome = doctors.agreement(three, range(3))
    runs = [network(outcome, [0.1, 0.2, 0.3, 0.4, 0.5]), network(outcome, [0.3, 0.4, 0.5, 0.6, 0.7])]
    matrix = doctors.with_network(outcome, runs).mean(axis=0)
    np.testing.assert_allclose(matrix[5], [0.2, 0.3, 0.4, 0.5, 0.6, 1])
    np.testing.assert_allclose(matrix[:, 5], matrix[5])
    np.testing.assert_array_equal(matrix[:5, :5], outcome.matrix.mean(axis=0))
    nearer = doctors.nearness(outcome, {"casgan": [network(outcome, [0, 0, 0, 0, 0.9])], "dsnet": []})["network nearer"]
    assert nearer.tolist() == ["33%", "33%", "33%", "67%", ""]  # consensus: 0.8, 1, 1; 0.4, 1, 2/3
    np.testing.assert_allclose(doctors.printed_matrix("dsnet-v1", "table-4")[0, [0, 3]], [np.nan, 0.625], atol=0.001)
    cells = {(cell.row, cell.metric): cell for cell in doctors.network_cells(outcome, runs, "casgan", "real")}
    assert cells["casgan", "dice_with_consensus50"].ours_mean == pytest.approx(0.6)
    places = (("casgan", "dice_with_doctor1"), ("doctor1", "dice_with_casgan"), ("doctor1", "dice_with_doctor2"))
    assert [cells[place].n_seeds for place in places] == [2, 2, 1]
    assert {cell.dataset for cell in cells.values()} == {"lidc"}
    assert not any(cell.extra for cell in cells.values())
    result = ResultTable("casgan", "table-2", title="", caption="", rows=list(cells.values()))
    assert len(join(result)) == 36
    alone = doctors.network_cells(outcome, [], "casgan", "real")
    assert {cell.row for cell in alone} == set(doctors.RATERS)
    assert [cell for cell in cells.values() if cell.row != "casgan" and not cell.metric.endswith("_casgan")] == alone


def test_a_network_tested_on_other_images_is_refused(three) -> None:
    result = doctors.agreement(three, range(3))
    with pytest.raises(DataError, match="a-run: was not tested on the images"):
        doctors.with_network(result, [network(doctors.agreement(three, range(2)), [1] * 5)])


def test_rows_are_found_by_name(three) -> None:
    assert doctors.rows_named(three, [three[2].id, three[0].id]) == [2, 0]
    with pytest.raises(DataError, match=r"has no lidc/p9, .* \(1 missing\)"):
        doctors.rows_named(three, [three[0].id, "lidc/p9"])


def test_kept_predictions_lie_where_the_network_looked(dataset_of, discs) -> None:
    dataset = dataset_of([discs(0), discs(1)])
    result = doctors.agreement(dataset, [0, 1])
    kept = np.arange(16, dtype=np.uint8).reshape(4, 4)
    run = network(result, [1] * 5, {result.ids[0]: kept})
    masks = doctors.network_masks([run], [dataset[0], dataset[1]])
    assert list(masks) == [result.ids[0]]
    assert doctors.network_masks([], [dataset[0]]) == {}
    assert doctors.network_rows(dataset, [[], [run]]) == [0, 1]
    assert doctors.network_rows(dataset, [[], [run]], "predictions") == [0]
    height, width = dataset[0].image.shape
    assert masks[result.ids[0]].shape == (height, width)
    top, left = (height - 4) // 2, (width - 4) // 2
    np.testing.assert_allclose(masks[result.ids[0]][top : top + 4, left : left + 4], kept / 255)
    assert masks[result.ids[0]].sum() == pytest.approx(kept.sum() / 255)


N = 3


def run(seed: int):
    """A run on three nodules: every measure is a constant, and 0.1 more for the second seed's network."""
    more = 0.1 * seed
    measures = {"dice": 0.5 + more, "dice_staple": 0.4 + more}
    for i, doctor in enumerate(doctors.DOCTORS):
        measures |= {f"dice_{doctor}": 0.1 * i + more, f"dice_others_{doctor}": 0.2 + 0.1 * i + more}
        measures |= {f"truth_{doctor}": 0.6, f"others_{doctor}": 0.1 * i, f"staple_{doctor}": 0.8}
    arrays = {name: (value,) * N for name, value in measures.items()}
    record = SimpleNamespace(ids=("a", "b", "c"), measures=arrays)
    return SimpleNamespace(record=record, spec=SimpleNamespace(name=f"run-{seed}"))


@pytest.fixture
def networks():
    return {"unfinished": [], "casgan": [run(0)], "dsnet": [run(0), run(1)]}


def test_a_network_against_every_reference_is_the_mean_over_seeds_and_doctors(networks):
    result = doctors.of_network(networks["dsnet"])
    assert tuple(result) == doctors.REFERENCES
    assert {name: values.tolist() for name, values in result.items()} == {
        name: pytest.approx([value] * N) for name, value in zip(doctors.REFERENCES, (0.2, 0.55, 0.4, 0.45), strict=True)
    }


def test_cells_count_the_nodules_of_each_group_and_leave_out_empty_ones(networks):
    members = {"all": np.ones(N, bool), "solid": np.array([True, False, True]), "calcific": np.zeros(N, bool)}
    cells = doctors.group_cells(networks, members, "dice_consensus50", "lidc-500", "real")
    result = {(cell.row, cell.metric): cell for cell in cells}
    assert {row for row, _ in result} == {"all", "solid"}
    assert result["solid", "nodules"].ours_mean == result["solid", "dice_of_dsnet"].n_images == 2
    assert result["all", "dice_of_dsnet"].ours_mean == pytest.approx(0.55)
    assert result["all", "dice_of_any_doctor"].ours_mean == pytest.approx(0.6)
    assert doctors.group_cells({"casgan": []}, members, "dice_consensus50", "lidc-500", "real") == []


def test_groups_by_texture_place_kind_and_diameter(monkeypatch):
    textures = {"n0": (5, 5, 4, 5), "n1": (3, 3, 3, 4), "n2": (1, 2, 1, 1), "n3": None}
    places = {"n0": 0.1, "n1": 2.0, "n2": kinds.PLEURAL_PLACE}

    def nodule(name):
        readers = [SimpleNamespace(ratings={"texture": value}) for value in textures[name] or ()]
        return SimpleNamespace(readers=readers, name=name) if readers else None

    database = SimpleNamespace(find=lambda patient, name: nodule(name))
    monkeypatch.setattr(doctors, "load_annotations", lambda: database)
    monkeypatch.setattr(doctors, "place_of_nodule", lambda one: SimpleNamespace(radius=places[one.name]))
    kind = ["", "calcific", "juxtapleural", "ground_glass", ""]
    about = {"nodule": ["n9", "n0", "n1", "n2", "n3"], "kind": kind, "diameter_mm": [1.0, 5.0, 5.1, 10.1, np.nan]}
    index = pd.DataFrame(about).assign(patient="p")
    result = doctors.groups(SimpleNamespace(index=index), [1, 2, 3, 4])
    assert {name: np.flatnonzero(inside).tolist() for name, inside in result.items()} == {
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
