"""The papers' claims as data: what their files say, and what is refused."""

import contextlib
import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask import papers
from softmask.errors import DataError, SoftmaskError
from softmask.papers import Pair
from softmask.papers.claims import parse

CELLS = {
    ("unet", "lnsm", "dice"): 87.88,
    ("softgan", "lnsm", "dice"): 91.63,
    ("medt", "lnsm", "dice"): 91.4,
    ("cenet", "lnsm", "dice"): math.nan,
    ("unet", "lnsm", "mean_hausdorff"): 6.1,
    ("softgan", "lnsm", "mean_hausdorff"): 5.6,
    ("casgan", "lidc", "dice_with_consensus50"): 86.3,
    ("doctor1", "lidc", "dice_with_consensus50"): 77.5,
    ("svm", "lidc", "acc_soft"): 83,
    ("svm", "lidc", "acc_binary"): 72,
}


def claim(*pairs, **more):
    own = {"better": "softgan", "over": {"unet": 1, "medt": 0.23}, "dataset": "lnsm", "metric": "dice"}
    return {"words": "softgan is best", "pairs": list(pairs) or [own]} | more


def pair(**more):
    return {"better": "softgan", "over": {"unet": 1}, "dataset": "lnsm", "metric": "dice"} | more


def parsed(*content):
    return parse("softgan", content, CELLS)


def test_a_pair_has_its_delta_and_what_is_printed():
    [first] = parsed(claim())
    assert first.pairs == (
        Pair("softgan", "unet", "lnsm", delta=1, printed=3.75),
        Pair("softgan", "medt", "lnsm", delta=0.23, printed=0.23),
    )
    assert (first.scale, first.lower, first.judged, first.words) == (100, False, True, "softgan is best")
    assert parsed(claim(unit="points", direction="higher")) == (first,)
    assert (first.quote, parsed(claim(quote="it is best"))[0].quote) == ("", "it is best")


def test_a_small_distance_is_a_gain():
    item = pair(metric="hausdorff", over={"unet": 0.5})
    [first] = parsed(claim(item, unit="pixels", direction="lower"))
    assert (first.pairs[0].printed, first.lower, first.scale) == (0.5, True, 1)


def test_printed_names_of_measures_are_found():
    consensus = {"better": "casgan", "over": {"doctor1": 1}, "dataset": "lidc-500", "metric": "dice_consensus50"}
    radiomics = {"better": "soft_roi", "over": {"binary_roi": 1}, "dataset": "lidc", "metric": "acc_svm"}
    assert [item.printed for item in parsed(claim(consensus, radiomics))[0].pairs] == [8.8, 11]


def test_what_is_not_printed_has_the_delta_that_is_given():
    [first] = parsed(claim(pair(over={"cenet": 0.5}), pair(times=1.2, over={"unet": 0})))
    assert math.isnan(first.pairs[0].printed)
    assert (first.pairs[0].delta, first.pairs[1].times, first.pairs[1].printed < 0) == (0.5, 1.2, True)


def test_adding_little_has_its_own_margin_and_a_bound_has_no_other_row():
    bound = {"row": "softgan", "at_least": 95, "dataset": "lnsm", "metric": "dice"}
    little, least = parsed(claim(pair(kind="adds_little"), bound))[0].pairs
    assert (little.delta, str(little)) == (1, "SoftGAN adds little to U-Net")
    assert (least.at_least, least.worse, str(least)) == (95, "", "Dice of SoftGAN (claimed: at least 95)")
    assert str(Pair("lgan_basic", "unet", "lnsm", "iou", times=1.2)) == "LGAN basic vs 1.2 x U-Net in IoU"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (claim(pair(better="softgam")), "unknown row 'softgam'"),
        (claim(pair(over={"unett": 1})), "unknown row 'unett'"),
        (claim(pair(dataset="lnms")), "unknown data set 'lnms'"),
        (claim(pair(metric="dize")), "unknown metric 'dize'"),
        (claim(pair(kind="worse")), "unknown kind 'worse'"),
        (claim(unit="parsecs"), "unknown unit 'parsecs'"),
        (claim(direction="up"), "unknown direction 'up'"),
        (claim(pair(over={"unet": 2})), "SoftGAN vs U-Net on lnsm prints a gain of 3.75; its delta is 1"),
        (claim(pair(over={"medt": 1})), "its delta is 0.23"),
        (claim(pair(over={"unet": -1})), "unet must be a number of at least 0"),
        (claim(pair(over={"unet": True})), "unet must be a number"),
        (claim(pair(over={"unet": 1}, times=-1)), "times must be a number of at least 0"),
        (claim(pair(over={})), "needs better and over (a delta for each row)"),
        (claim(pair(over=["unet"])), "needs better and over (a delta for each row)"),
        (claim(pair(at_least=90)), "or row and at_least"),
        (claim({"row": "unet", "dataset": "lnsm", "metric": "dice"}), "or row and at_least"),
        (claim(pair(delta=1)), "unexpected keyword argument 'delta'"),
        (claim({"better": "softgan"}), "missing 2 required keyword-only arguments: 'dataset' and 'metric'"),
        (claim("softgan > unet"), "must be a mapping"),
        (claim(pair(), pair()), "gives a pair twice"),
        (claim(judged=False), "judged: false and none"),
        (claim(pairs=[]), "needs pairs"),
        (claim(why="because"), "unexpected keyword argument 'why'"),
        (claim(unit="pixels"), "needs a direction: higher or lower, which pixels are good ones"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_claims_name(content, message):
    with pytest.raises(DataError, match="softgan, claim 'softgan is best': ") as caught:
        parsed(content)
    assert message in str(caught.value)


def test_a_claim_is_given_once():
    with pytest.raises(DataError, match="is given twice"):
        parsed(claim(), claim())


@given(st.sampled_from(["words", "unit", "direction", "pairs"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
))  # fmt: skip
def test_any_other_value_is_read_or_refused(field, value):
    content = copy.deepcopy(claim()) | {field: value}
    with contextlib.suppress(SoftmaskError):
        parsed(content)


def test_every_claim_of_the_papers():
    loaded = {name: papers.load(name).claims for name in papers.NAMES}
    assert {name: len(claims) for name, claims in loaded.items()} == {
        "casgan": 11, "softgan": 5, "dsnet-v1": 7, "dsnet-v2": 9, "lgan": 9
    }  # fmt: skip
    for claims in loaded.values():
        for item in claims:
            assert item.judged == bool(item.pairs)
            assert len(item.quote) > 20
            assert all(0 <= pair.delta <= 1 for pair in item.pairs)


def of(paper, words):
    [result] = [claim for claim in papers.load(paper).claims if words in claim.words]
    return result


@pytest.mark.parametrize(
    ("paper", "words", "tables", "best", "metrics"),
    [
        ("casgan", "every other network", ("table-1",), "casgan_soft", {"dice", "iou", "acc"}),
        ("softgan", "in Dice, on lnsm and lidc (tables", ("table-1", "table-2"), "softgan", {"dice"}),
        ("softgan", "every other label", ("table-4",), "soft_mask", {"dice"}),
        ("dsnet-v1", "in Dice and PPV, on lnsm", ("table-1", "table-2"), "dsnet_v1", {"dice", "ppv"}),
        ("dsnet-v1", "in SEN", ("table-1", "table-2"), "dsnet_v1", {"sen"}),
        ("dsnet-v1", "on isbi2012", ("table-5",), "dsnet_v1", {"dice", "ppv"}),
        ("dsnet-v2", "in Dice, SEN and PPV", ("table-1", "table-2"), "dsnet", {"dice", "sen", "ppv"}),
        ("dsnet-v2", "on isbi2012", ("table-7",), "dsnet", {"dice", "ppv"}),
    ],
)
def test_the_best_row_is_compared_with_every_other_row_of_its_tables(paper, words, tables, best, metrics):
    cells = [cell for name in tables for cell in papers.load(paper).table(name).cells if cell.row != best]
    expected = {(cell.row, cell.dataset, metric) for cell in cells for metric in metrics}
    pairs = of(paper, words).pairs
    assert {(pair.worse, pair.dataset, pair.metric) for pair in pairs} == expected
    assert len(pairs) == len(expected)
    assert {pair.better for pair in pairs} == {best}


@pytest.mark.parametrize(
    ("paper", "words", "table"),
    [(paper, "ablation step", "table-3") for paper in ("softgan", "dsnet-v1", "dsnet-v2")]
    + [("dsnet-v2", "detail texture", "table-5")],
)
def test_each_step_is_over_the_one_before(paper, words, table):
    rows, pairs = papers.load(paper).table(table).rows, of(paper, words).pairs
    on_lnsm = [(pair.better, pair.worse) for pair in pairs if pair.dataset == "lnsm"]
    assert on_lnsm == list(zip(rows[1:], rows[:-1], strict=True))
    assert len(pairs) == 2 * len(on_lnsm)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("rows", "unetplusplus", "U-Net++"),
        ("rows", "my_network", "my network"),
        ("metrics", "dice", "Dice"),
        ("metrics", "dice_with_doctor2", "Dice with doctor 2"),
        ("datasets", "lnsm", "LNSM"),
        ("papers", "workbook", "This workbook"),
    ],
)
def test_names_for_people(kind, name, words):
    assert papers.display(kind, name) == words


def test_two_rows_of_one_table_never_look_alike():
    for name in papers.NAMES:
        for table in papers.load(name).tables.values():
            assert len({papers.display("rows", row) for row in table.rows}) == len(table.rows)
