import contextlib
import copy
import functools
import math
from importlib.resources import files

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from softmask import papers
from softmask.errors import ConfigError, DataError, SoftmaskError
from softmask.papers import printed


@functools.cache
def content(paper):
    return yaml.safe_load((files("softmask.papers") / f"{paper}.yaml").read_text(encoding="utf-8"))


def test_there_are_26_tables_and_38_figures():
    loaded = [papers.load(name) for name in papers.NAMES]
    assert {paper.name: (len(paper.tables), len(paper.figures)) for paper in loaded} == {
        "casgan": (5, 8), "softgan": (4, 5), "dsnet-v1": (5, 8), "dsnet-v2": (8, 11), "lgan": (4, 6)
    }  # fmt: skip
    for citation in (paper.citation for paper in loaded):
        assert {"title", "authors", "year", "venue"} <= set(citation)
        assert 2020 <= citation["year"] <= 2023


@pytest.mark.parametrize(
    ("address", "mean", "std", "unit"),
    [
        (("casgan", "table-1", "unet", "lnsm", "dice"), 0.831, None, "fraction"),
        (("casgan", "table-2", "doctor3", "lidc", "dice_with_casgan"), 0.808, None, "fraction"),
        (("casgan", "table-2", "casgan", "lidc", "dice_with_doctor3"), 0.808, None, "fraction"),
        (("casgan", "table-2", "casgan", "lidc", "dice_with_casgan"), 1.0, None, "fraction"),
        (("casgan", "table-3", "level_set_deep", "lidc-119", "dice"), 0.930, None, "fraction"),
        (("casgan", "table-4", "casgan_plusplus", "promise12", "iou"), 0.860, None, "fraction"),
        (("casgan", "table-5", "knn", "lidc", "auc_soft"), 0.92, None, "fraction"),
        (("casgan", "table-5", "svm", "lnsm", "acc_binary"), 0.84, None, "fraction"),
        (("softgan", "table-1", "softgan", "lnsm", "ppv"), 94.12, 2.6, "percent"),
        (("softgan", "table-3", "gan_loss", "lidc", "dice"), 83.21, 7.0, "percent"),
        (("dsnet-v1", "table-4", "doctor4", "lidc", "dice_with_dsnet_v1"), 69.71, None, "percent"),
        (("dsnet-v1", "table-5", "medt", "isbi2012", "ppv"), 94.4, None, "percent"),
        (("dsnet-v2", "table-7", "medt", "promise12", "sen"), 89.0, None, "percent"),
        (("dsnet-v2", "table-8", "with_transfer", "lnsm", "milliseconds"), 6.7, None, "ms"),
        (("dsnet-v2", "table-8", "with_transfer", "lidc", "dice"), 84.89, 7.2, "percent"),
        (("lgan", "table-2", "lgan_basic", "lidc-lung", "mean_hausdorff"), 3.367, None, "pixels"),
        (("lgan", "table-4", "unet", "lidc-lung", "mean_dice3d"), 0.970, 0.59, "fraction"),
        (("lgan", "table-4", "unet", "lidc-lung", "median_dice3d"), 0.9845, None, "fraction"),
        (("lgan", "table-4", "tiramisu", "lidc-lung", "mean_dice3d"), None, None, "fraction"),
        (("dsnet-v1", "table-5", "unet", "isbi2012", "dice"), None, None, "percent"),
    ],
)  # fmt: skip
def test_every_layout_gives_its_cells(address, mean, std, unit):
    paper, table, *key = address
    [cell] = [c for c in papers.load(paper).table(table).cells if [c.row, c.dataset, c.metric] == key]
    expected = [math.nan if value is None else value for value in (mean, std)]
    assert [cell.mean, cell.std] == pytest.approx(expected, nan_ok=True)
    assert cell.unit == unit


def test_descriptions_are_text_and_a_diagonal_that_is_not_printed_is_no_cell():
    cells = papers.load("lgan").table("table-1").cells
    assert [(bool(c.text), math.isnan(c.mean), c.unit, c.metric) for c in cells] == [
        (True, True, "text", "description")
    ] * 5
    assert len(papers.load("dsnet-v1").table("table-4").cells) == 30
    assert len(papers.load("casgan").table("table-2").cells) == 36


@pytest.mark.parametrize("name", papers.NAMES)
def test_no_cell_stands_twice_and_numbers_fit_their_unit(name):
    for table in papers.load(name).tables.values():
        frame = pd.DataFrame(table.cells)
        assert not frame.duplicated(["row", "dataset", "metric"]).any()
        for unit, high in (("fraction", 1), ("percent", 100)):
            means = frame[frame.unit == unit]["mean"].dropna()
            assert means.between(high / 2, high).all()  # every share the papers print is above one half
        assert table.rows == tuple(dict.fromkeys(frame.row))


def test_matrices_are_symmetric_and_the_same_doctors_stand_in_three_papers():
    frames = []
    for name, table in (("casgan", "table-2"), ("dsnet-v1", "table-4"), ("dsnet-v2", "table-6")):
        cells = {(c.row, c.metric.removeprefix("dice_with_")): c.mean for c in papers.load(name).table(table).cells}
        assert all(cells[b, a] == mean for (a, b), mean in cells.items())
        frames.append({pair: mean for pair, mean in cells.items() if all("doctor" in part for part in pair)})
    assert frames[1] == frames[2]
    shared = [pair for pair in frames[1] if pair in frames[0]]
    assert all(abs(frames[0][pair] - frames[1][pair] / 100) < 0.001 for pair in shared)


def test_decimals_of_a_table():
    table = papers.load("dsnet-v2").table("table-8")
    assert (table.decimals_of("milliseconds"), table.decimals_of("dice")) == ((1, 1), (2, 1))
    assert papers.load("casgan").table("table-2").decimals_of("dice_with_me") == (3, 3)
    assert papers.load("lgan").table("table-4").decimals_of("mean_dice3d") == (3, 2)
    assert papers.load("lgan").table("table-1").decimals_of("description") is None
    assert table.decimals_of("hausdorff") is None


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="casgan, softgan"):
        papers.load("unet")
    with pytest.raises(ConfigError, match=r"no table 'table-9'.*table-1"):
        papers.load("lgan").table("table-9")


def change(paper, table, **changes):
    broken = copy.deepcopy(content(paper))
    broken["tables"][table] |= changes
    return broken


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (change("softgan", "table-1", rows={"unet": [1.0]}), "softgan/table-1: .*unet: 1 values for 3 columns"),
        (change("softgan", "table-1", rows={"unet": [1.0, "a", 2.0]}), "neither a number"),
        (change("softgan", "table-1", rows={"unet": [1.0, True, 2.0]}), "neither a number"),
        (change("softgan", "table-1", rows={"unet": [1.0, [1.0, -2.0], 2.0]}), "spread"),
        (change("softgan", "table-1", rows={"unet": [1.0, [None, 2.0], 2.0]}), "spread"),
        (change("softgan", "table-1", rows={"unet": [1.0, math.nan, 2.0]}), "neither a number"),
        (change("softgan", "table-1", kind="pie"), "softgan/table-1: .*unknown kind 'pie'"),
        (change("softgan", "table-3", rows={"unet": {"lnsm": [1.0]}}), "layout"),
        (change("casgan", "table-2", matrix=[[1.0]]), "6 labels needs 6 rows"),
        (change("casgan", "table-2", labels=["a", "b"], matrix=[[1, 2], [3, 1]]), "the other way round"),
        (change("lgan", "table-1", rows={"lgan_basic": 3}), "must be text"),
        ({k: v for k, v in content("lgan").items() if k != "figures"}, "lgan: .*figures"),
    ],
)
def test_what_does_not_fit_its_layout_is_named(broken, message):
    with pytest.raises(DataError, match=message):
        papers.parse(broken)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(ANYTHING, st.sampled_from(["rows", "columns", "kind", "datasets", "dataset"]))
def test_nothing_but_our_own_errors_escapes(value, key):
    with contextlib.suppress(SoftmaskError):
        papers.parse(change("softgan", "table-3", **{key: value}))


def test_a_key_that_stands_twice_is_an_error():
    with pytest.raises(DataError, match="line 1: claims: stands there twice"):
        printed._Loader("claims: [a]\ntables: {}\nclaims: [b]\n").get_single_data()
