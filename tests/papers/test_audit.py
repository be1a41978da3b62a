"""The audit finds what was planted, and nothing in numbers that were measured."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask import papers
from softmask.measure.segmentation import dice_of_pairs
from softmask.papers import audit
from softmask.papers.audit import check, spreads, tables
from softmask.papers.printed import Printed

NAMES = list(audit.CHECKS)
SHARES, SPREADS, MATRICES, ROWS, TEXTS = (NAMES[i:j] for i, j in ((0, 9), (9, 11), (11, 13), (13, 17), (17, 21)))


def paper_of(name="softgan", units="percent", **tables):
    content = {
        "paper": name, "citation": {}, "units": {"default": units}, "figures": {}, "claims": [],
        "tables": {key.replace("_", "-"): {"title": "", **table} for key, table in tables.items()},
    }  # fmt: skip
    return papers.parse(content)


def one_table(rows, columns, units="percent", dataset="lidc", **more):
    return {"softgan": paper_of(units=units, table_1={"dataset": dataset, "columns": columns, "rows": rows, **more})}


def checked(names, papers_):
    return {name: audit.CHECKS[name](papers_) for name in names}


def found(names, papers_):
    """Names of the checks that found something, and how often."""
    return {name: len(first.findings) for name, first in checked(names, papers_).items() if first.findings}


def rounded(values, scale, decimals):
    """[mean, std] as a paper prints them."""
    return [round(scale * float(value), decimals) for value in (np.nanmean(values), np.nanstd(values, ddof=1))]


@st.composite
def measured(draw):
    """One network's per-image Dice, IoU, SEN, PPV and accuracy, from pixel counts; sometimes it finds nothing."""
    n = draw(st.integers(spreads.IMAGES, 80))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true = random.integers(4, 400, n)
    alike, spread = 0.9 + random.uniform(-0.02, 0.02, (2, n)), random.beta(4, 1, (2, n))
    some_empty = random.beta(8, 1, (2, n)) * (random.uniform(size=n) > 0.1)
    share = draw(st.sampled_from([alike, spread, some_empty, np.repeat(spread[:1], 2, axis=0)]))
    tp = np.round(true * share[0])
    fp = np.round(np.where(share[1] > 0, tp * (1 - share[1]) / np.maximum(share[1], 1e-9), 0))
    fp = np.minimum(fp, 4096 - true)
    with np.errstate(invalid="ignore"):
        ppv = tp / (tp + fp)  # NaN where nothing was found
    if draw(st.booleans()):
        ppv = np.nan_to_num(ppv)
    return {
        "dice": 2 * tp / (true + tp + fp),
        "iou": tp / (true + fp),
        "sen": tp / true,
        "ppv": ppv,
        "acc": 1 - (true - tp + fp) / 4096,
    }


@settings(max_examples=60)
@given(measured(), st.sampled_from([("percent", 100), ("fraction", 1)]), st.integers(1, 4))
def test_numbers_that_were_measured_break_no_bound(values, unit, decimals):
    name, scale = unit
    rows = {"unet": [rounded(values[metric], scale, decimals) for metric in values]}
    assert found(SHARES, one_table(rows, list(values), name)) == {}


@settings(max_examples=8)
@given(measured(), st.integers(1, 3))
def test_spreads_over_images_are_never_found_wanting(values, decimals):
    columns = ["dice", "sen", "ppv"]
    rows = {"unet": [rounded(values[metric], 100, decimals) for metric in columns]}
    assert found(SPREADS, one_table(rows, columns)) == {}


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_raters_who_drew_masks_obey_the_triangle(seed, decimals):
    random = np.random.default_rng(seed)
    masks = [random.uniform(size=(4, 6, 6)) < random.uniform(0.1, 0.9, (4, 1, 1)) for _ in range(5)]
    matrix = np.mean([dice_of_pairs(image) for image in masks], axis=0).round(decimals)
    labels = ["doctor1", "doctor2", "doctor3", "unet"]
    table = {"dataset": "lidc", "kind": "symmetric-matrix", "labels": labels, "matrix": matrix.tolist()}
    papers_ = {"softgan": paper_of(units="fraction", table_1=table)}
    assert found(MATRICES, papers_) == {}
    assert audit.CHECKS["triangles of raters"](papers_).checked == 12


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.integers(2, 4))
def test_means_medians_and_spreads_of_any_shares_hold(values, decimals):
    mean, std = rounded(values, 1, decimals)
    rows = {"unet": [[mean, std], round(float(np.median(values)), decimals)]}
    assert found(SHARES, one_table(rows, ["mean_dice3d", "median_dice3d"], "fraction")) == {}


@settings(max_examples=60)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(3, 4))
def test_a_distance_between_two_pixels_is_one(a, b, decimals):
    cell = papers.PrintedCell("unet", "", "x", round(math.hypot(a, b), decimals), math.nan, "pixels")
    assert check.hausdorff_median(check.Row("lgan", "table-2", "unet", "", {"median": cell})).violation <= 0


PLANTED = [
    ("Dice and IoU", ["dice", "iou"], [0.916, 0.843], "2 x 0.843 / (1 + 0.843) = 0.9148 < 0.916", 0.01),
    ("Dice and IoU", ["dice", "iou"], [0.75, 0.79], "0.75 < 0.79", 2.5),
    ("Dice, SEN and PPV", ["dice", "sen", "ppv"], [0.93, 0.81, 0.91], "(0.81 + 0.91) = 0.8571 < 0.93", 5),
    ("Dice, SEN and PPV", ["dice", "sen", "ppv"], [0.62, 0.9, 0.91], "0.9 + 0.91 - 1 = 0.8100 > 0.62", 0),
    ("IoU and accuracy", ["iou", "acc"], [0.97, 0.91], "0.97 > 0.91", 4.5),
    ("AUC and accuracy", ["acc_soft", "auc_soft"], [0.95, 0.61], "2 x 0.95 - 1 = 0.9000 > 0.61", 0),
    ("spread of a share", ["dice"], [[0.862, 2.93]], "sqrt(2 x 0.862 x 0.138) = 0.4878 < 2.93", 0),
    ("mean and median", ["mean_iou", "median_iou"], [0.41, 0.96], "0.96 / 2 > 0.41", 0),
    ("mean, median and spread", ["mean_iou", "median_iou"], [[0.61, 0.12], 0.96], "|0.61 - 0.96| = 0.35 > 0.12", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "columns", "values", "words", "violation"), PLANTED)
def test_what_is_planted_is_found_and_nothing_else(name, columns, values, words, violation):
    if "acc_soft" in columns:
        rows = {"lidc": {"svm": {"soft": values, "binary": [0.8, 0.8]}}}
        table = one_table(rows, ["acc", "auc"], "fraction")
    else:
        table = one_table({"unet": values, "medt": [0.9] * len(columns)}, columns, "fraction")
    assert found(SHARES, table) == {name: 1}
    [first] = audit.CHECKS[name](table).findings
    assert words in first.inequality
    assert first.places[0].startswith("softgan/table-1, ")
    assert first.violation > violation - 0.005


def test_a_spread_that_fits_no_unit_is_asked_again_in_percent():
    rows = {"morph": [[0.862, 2.93], None], "unet": [[0.970, 0.59], 0.9845]}
    checks = checked(SHARES, one_table(rows, ["mean_dice3d", "median_dice3d"], "fraction"))
    assert len(checks["spread of a share"].findings) == 2
    # 0.97 for want of a last digit is 0.965 to 0.98 and could be within 0.6 %
    assert checks["mean, median and spread"].checked == 1


def test_means_that_no_images_with_these_spreads_have():
    rows = {"unet": [[88.57, 2.7], [89.24, 0.5], [91.86, 3.7]]}
    first, second = checked(SPREADS, one_table(rows, ["dice", "sen", "ppv"])).values()
    assert "need a mean Dice of 90.4" in first.findings[0].inequality
    assert second.checked == 0


def test_a_spread_of_dice_that_no_images_have():
    table = one_table({"medt": [[81.34, 7.9], [87.96, 11.4], [80.14, 15.3]]}, ["dice", "sen", "ppv"])
    assert found(SPREADS, table) == {"spread of Dice": 1}


def test_without_spreads_dice_is_the_harmonic_mean():
    [row] = check.rows(one_table({"unet": [[80.0, 0.0], [83.21, 0.001], [91.43, 0.001]]}, ["dice", "sen", "ppv"]))
    moments = spreads._moments(row)
    least, most = (spreads._optimum(moments, sign) for sign in (1, -1))
    assert least <= 2 * 0.8321 * 0.9143 / (0.8321 + 0.9143) <= most
    assert most - least < 0.001


def test_the_interpolation_errors_of_the_grid_are_bounds():
    """Inside random cells, interpolated D and D^2 are no further from the true ones than the grid says."""
    grid = spreads._grid()
    side = np.unique(grid.sen)
    n = len(side)
    random = np.random.default_rng(0)
    i, j = random.integers(0, n - 1, (2, 5000))
    u, v = random.uniform(size=(2, 5000))
    s, p = side[i] + u * (side[i + 1] - side[i]), side[j] + v * (side[j + 1] - side[j])
    true = 2 * s * p / (s + p)
    corners = [(i, j, (1 - u) * (1 - v)), (i + 1, j, u * (1 - v)), (i, j + 1, (1 - u) * v), (i + 1, j + 1, u * v)]
    for values, errors, wanted in (
        (grid.dice, grid.of_dice, true),
        (grid.dice**2, grid.of_dice_squared, true**2),
        (grid.sen**2, grid.of_sen_squared, s**2),
        (grid.ppv**2, grid.of_ppv_squared, p**2),
    ):
        between_nodes = sum(w * values.reshape(n, n)[a, b] for a, b, w in corners)
        allowed = sum(w * errors.reshape(n, n)[a, b] for a, b, w in corners)
        assert (abs(between_nodes - wanted) <= allowed + 1e-12).all()


def test_equal_rows_of_two_networks():
    rows = {"unet": [[87.64, 2.4], 85.21], "medt": [[87.64, 2.4], 85.21], "segnet": [87.64, 85.22]}
    table = one_table(rows, ["dice", "sen"])
    assert found(ROWS, table) == {"equal rows": 1}
    equal = audit.CHECKS["equal rows"](table)
    assert [place.split(", ")[1] for place in equal.findings[0].places] == ["U-Net", "MedT"]
    assert equal.checked == 3


def test_rows_with_the_same_spreads_and_means_a_digit_apart():
    def tables_of(second):
        both = {"columns": ["dice"], "datasets": ["lnsm", "lidc"]}
        first = {"drtm": {"lnsm": [[91.83, 1.7]], "lidc": [[83.88, 8.5]]}}
        return {"dsnet-v2": paper_of("dsnet-v2", table_3={**both, "rows": first}, table_4={**both, "rows": second})}

    other = {"no_soft_label": {"lnsm": [[91.23, 1.7]], "lidc": [[82.88, 8.5]]}}
    assert found(ROWS, tables_of(other)) == {"rows a digit apart": 1}
    [item] = audit.CHECKS["rows a digit apart"](tables_of(other)).findings
    assert item.inequality == "91.83 and 91.23, both ± 1.7; 83.88 and 82.88, both ± 8.5"
    assert {place.split(",")[0] for place in item.places} == {"dsnet-v2/table-3", "dsnet-v2/table-4"}
    for apart, count in (([91.23, 1.8], 0), ([91.13, 1.7], 1), ([90.27, 1.7], 0)):
        other["no_soft_label"]["lnsm"] = [apart]
        assert len(audit.CHECKS["rows a digit apart"](tables_of(other)).findings) == count


def test_one_network_under_two_names_is_no_coincidence_and_must_agree():
    def two(second):
        columns = {"columns": ["dice"], "dataset": "lidc"}
        first = {**columns, "rows": {"softgan": [[83.21, 7.0]]}}
        return {"softgan": paper_of(table_1=first, table_3={**columns, "rows": {"gan_loss": [second]}})}

    assert found(ROWS, two([83.21, 7.0])) == {}
    assert found(ROWS, two([83.12, 7.0])) == {"one network in two tables": 1}


def test_a_baseline_that_changes_between_papers_but_not_by_rounding():
    def both(second):
        table = {"columns": ["dice"], "dataset": "lnsm", "rows": {"unet": [87.88]}}
        return {"softgan": paper_of(table_1=table),
                "casgan": paper_of("casgan", "fraction", table_1={**table, "rows": {"unet": [second]}})}  # fmt: skip

    assert found(ROWS, both(0.879)) == found(ROWS, both(0.878)) == {}  # rounded, and cut off
    assert found(ROWS, both(0.831)) == {"baselines between papers": 1}
    assert audit.CHECKS["baselines between papers"](both(0.831)).findings[0].violation == pytest.approx(4.675)


def test_equal_matrices_of_two_networks_and_a_triangle_that_cannot_be():
    def matrix(name, values):
        a, b, c = values
        return {"dataset": "lidc", "kind": "symmetric-matrix", "labels": ["doctor1", "doctor2", name],
                "matrix": [[1, a, b], [a, 1, c], [b, c, 1]]}  # fmt: skip

    both = {"table_1": matrix("unet", (0.7, 0.8, 0.75)), "table_2": matrix("medt", (0.7, 0.8, 0.75))}
    assert found(MATRICES, {"softgan": paper_of(units="fraction", **both)}) == {"equal matrices": 1}
    both["table_2"] = matrix("medt", (0.98, 0.98, 0.1))
    assert found(MATRICES, {"softgan": paper_of(units="fraction", **both)}) == {"triangles of raters": 1}


def test_what_texts_state(monkeypatch):
    papers_ = one_table({"unet": [80.0], "medt": [81.5]}, ["dice"])
    gain = {"paper": "softgan", "table": "table-1", "row": "medt", "over": "unet", "dataset": "lidc", "metric": "dice"}
    counted = {"paper": "softgan", "table": "table-1", "dataset": "lidc", "metrics": ["dice"]}
    right = {
        "sums": [{"paper": "softgan", "what": "images", "parts": [3, 4], "whole": 7}],
        "sizes": [{"what": "images", "sizes": {"softgan": [3, 4], "casgan": [5, 2]}}],
        "gains": [{**gain, "points": 1.5}, {**gain, "more_than": 0.01}],
        "counted": [{**counted, "of": 200}],
    }
    monkeypatch.setattr(tables, "stated", lambda: right)
    assert found(TEXTS, papers_) == {}
    wrong = {
        "sums": [{**right["sums"][0], "whole": 8}],
        "sizes": [{"what": "images", "sizes": {"softgan": [3, 4], "casgan": [5, 3]}}],
        "gains": [{**gain, "points": 5.1}, {**gain, "more_than": 0.2}],
        "counted": [{**counted, "of": 7}],
    }
    monkeypatch.setattr(tables, "stated", lambda: wrong)
    assert found(TEXTS, papers_) == {
        "parts and wholes": 1, "sizes of data sets": 1, "stated gains": 2, "counted nodules": 2
    }  # fmt: skip


def test_decimals_are_those_that_were_printed():
    assert check.printed_range(Printed("87.20")) == pytest.approx((87.195, 87.21))
    assert check.printed_range(87.2) == pytest.approx((87.15, 87.3))
    [sen] = [c.mean for c in papers.load("softgan").table("table-1").cells if (c.row, c.metric) == ("cfcnn", "sen")]
    assert check.as_printed(sen) == check.as_printed(Printed("87.20")) == "87.20"


def test_the_five_papers():
    checks = audit.run()
    counts = {item.name: (item.checked, len(item.findings)) for item in checks}
    assert counts == {
        "Dice and IoU": (18, 1),
        "Dice, SEN and PPV": (35, 8),
        "IoU and accuracy": (18, 0),
        "AUC and accuracy": (11, 0),
        "spread of a share": (135, 2),
        "mean and median": (25, 0),
        "mean, median and spread": (2, 1),
        "medians of Hausdorff distances": (12, 5),
        "IoU of slices and 3D Dice": (2, 1),
        "Dice, and SEN and PPV with their spreads": (27, 14),
        "spread of Dice": (13, 2),
        "triangles of raters": (180, 0),
        "equal matrices": (3, 3),
        "equal rows": (1904, 1),
        "one network in two tables": (10, 0),
        "baselines between papers": (34, 6),
        "rows a digit apart": (243, 1),
        "parts and wholes": (12, 0),
        "sizes of data sets": (7, 1),
        "stated gains": (8, 0),
        "counted nodules": (12, 0),
        "claims and their own tables": (283, 2),
    }
    assert all(item.level in (audit.MUST_HOLD, audit.TO_EXPLAIN) and item.rule for item in checks)
    assert all(f.violation > 0 and f.places and f.inequality for item in checks for f in item.findings)


@pytest.mark.parametrize(("quote", "found_in_print"), [("A is best.", 1), ("", 0)])
def test_only_claims_in_a_papers_words_are_held_against_its_tables(quote, found_in_print):
    softgan = papers.load("softgan")
    claim = next(claim for claim in softgan.claims if claim.pairs)
    against = replace(claim, quote=quote, pairs=(replace(claim.pairs[0], printed=-1.0),))
    findings = audit.CHECKS["claims and their own tables"]({"softgan": replace(softgan, claims=(against,))}).findings
    assert len(findings) == found_in_print
