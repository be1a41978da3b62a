from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask import papers
from softmask.analysis import claims
from softmask.errors import ConfigError, DataError
from softmask.measure.differences import Scores
from softmask.measure.verdicts import FAILS, HOLDS, REPORTED
from softmask.papers import Claim, Pair
from softmask.papers.audit import MUST_HOLD, Check, Finding
from softmask.report import tables
from softmask.report.result import measured_on

N = 40
IDS = tuple(map(str, range(N)))


def scores(mean, number):
    values = mean + 0.001 * np.random.default_rng(number).normal(size=(3, N))
    return Scores(IDS, IDS, values, "real", curves=((0.8, 0.8),) * 3)


def measured(metric, **means):
    return {(row, "lidc", metric): scores(mean, i) for i, (row, mean) in enumerate(means.items())}


def test_shares_are_judged_in_points():
    claim = Claim("c", (Pair("softgan", "unet", "lidc", delta=1),))
    verdict = claims.judge(claim, measured("dice", softgan=0.8, unet=0.75))
    assert verdict.pairs[0].outcome.difference.mean == pytest.approx(5, abs=0.1)
    assert (verdict.verdict, verdict.unit) == (HOLDS, "percentage points")


def test_distances_are_judged_in_pixels_and_the_smaller_one_is_better():
    claim = Claim("c", (Pair("lgan_basic", "baseline_unet", "lidc", "hausdorff", delta=1),), "pixels", lower=True)
    verdict = claims.judge(claim, measured("hausdorff", lgan_basic=3, baseline_unet=6))
    assert (verdict.verdict, verdict.unit) == (HOLDS, "pixels")
    assert verdict.pairs[0].outcome.difference.mean == pytest.approx(3, abs=0.01)
    assert claims.judge(claim, measured("hausdorff", lgan_basic=6, baseline_unet=3)).verdict == FAILS


def test_a_row_is_judged_against_a_bound():
    claim = Claim("c", (Pair("lgan_regression", "", "lidc", "nodules_at_wall_inside", at_least=95),))
    for mean, said in ((0.99, HOLDS), (0.9, FAILS)):
        verdict = claims.judge(claim, measured("nodules_at_wall_inside", lgan_regression=mean))
        assert verdict.verdict == said
        assert "at least 95" in verdict.why


def test_a_claim_about_time_is_reported():
    claim = claims.find("dsnet-v2", "inference time")
    assert claims.judge(claim, {}).verdict == REPORTED
    assert claims.reported(claim, "1.3").why == "1.3"


def test_other_images_name_the_pair():
    given = measured("dice", softgan=0.8, unet=0.75)
    given["unet", "lidc", "dice"] = replace(given["unet", "lidc", "dice"], ids=IDS[::-1])
    with pytest.raises(DataError, match="SoftGAN over U-Net on lidc: measured on different test images"):
        claims.judge(Claim("c", (Pair("softgan", "unet", "lidc"),)), given)


def test_the_readers_judge_lnsm_only():
    pairs = [Pair("softgan", "unet", "lnsm"), Pair("softgan", "unet", "lidc"), Pair("softgan", "unet", "lnsm", "ppv")]
    assert claims.against_readers(Claim("c", tuple(pairs))).pairs == (
        Pair("softgan", "unet", "lnsm", "dice_consensus"),
    )


def test_a_claim_is_found_by_its_words():
    assert claims.find("casgan", "GrabCut").pairs[0].kind == "suffices"
    with pytest.raises(ConfigError, match="softgan has 0 claims"):
        claims.find("softgan", "GrabCut")


def test_a_figure_of_dice_leaves_other_measures_out():
    pairs = [Pair("dsnet", "unet", "lnsm", metric) for metric in ("dice", "sen", "dice_consensus50")]
    found = claims.by_dice(claims.judge(Claim("better", tuple(pairs)), {}))
    assert [one.pair.metric for one in found.pairs] == ["dice", "dice_consensus50"]
    assert len({str(pair) for pair in pairs}) == 3  # a table's rows


def test_a_figure_of_points_leaves_pixels_out():
    judged = [claims.judge(claim, {}) for claim in papers.load("lgan").claims]
    assert [bool(one.pairs) for one in claims.of_unit(judged, "points")] == [
        not c.lower for c in papers.load("lgan").claims
    ]


def nodules(mean, n=600, spread=0.05):
    largest = np.clip(np.random.default_rng(0).normal(mean, spread, n), 0, 1)
    return pd.DataFrame({"patient": [f"p{i // 2}" for i in range(n)], "largest": largest, "least": largest - 0.1})


def test_doctors_whose_printed_agreement_the_annotations_do_not_give():
    check = claims.check_doctors(nodules(0.84))
    [one] = check.findings
    assert one.places == ("casgan/table-2", "dsnet-v1/table-4", "dsnet-v2/table-6")
    assert (
        "mean Dice of two doctors 0.703; over the largest slices of 600 nodules annotations give 0.83" in one.inequality
    )
    assert one.beyond == pytest.approx(13, abs=0.7)
    assert "0.73" in one.inequality.rsplit("agree least", 1)[1]  # the least agreed slices of each nodule


def test_doctors_who_agree_as_printed_are_no_finding():
    assert claims.check_doctors(nodules(0.703)).findings == ()


def test_every_claim_that_compares_rows_is_borne_out_by_its_own_table():
    check = claims.check_claims()
    assert check.findings == ()
    assert check.checked == 274


def test_the_tables_list_what_holds_and_what_does_not():
    checks = [
        Check("all well", "a <= b", MUST_HOLD, 7, ()),
        Check("two of three", "a <= b", "to explain", 3, (Finding(("here", "there"), "2 > 1", 1.0, "points"),) * 2),
        claims.check_doctors(nodules(0.84)),
    ]
    by_check = tables.to_frame(claims.check_table(checks, "real", 600)).set_index(["row", "metric"])
    assert by_check.loc[("all well", "checked"), "ours_mean"] == 7
    assert by_check.loc[("two of three", "not_as_expected"), "ours_mean"] == 2
    assert by_check.loc[("two of three", "expected"), "note"] == "a <= b. (to explain)"
    assert by_check.loc[("doctors", "checked"), "data"] == "real"
    assert by_check.loc[("all well", "checked"), "data"] == "printed"
    found = tables.show(claims.finding_table(checks, "real", 600))
    assert list(found.index) == ["1. two of three", "2. two of three", "3. doctors"]
    assert list(found.iloc[0]) == ["here · there", "2 > 1", "1 points", "none known"]


def test_a_table_of_printed_numbers_says_that_nothing_was_measured():
    made = claims.check_table([Check("all well", "a <= b", MUST_HOLD, 7, ())], "real", 600)
    assert measured_on(tables.join(made)) == "Ours: the papers' printed numbers."
