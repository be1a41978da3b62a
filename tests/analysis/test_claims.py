from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask import papers
from softmask.analysis import claims
from softmask.errors import ConfigError, DataError
from softmask.measure.differences import Scores
from softmask.measure.verdicts import FAILS, HOLDS
from softmask.papers import Claim, Pair
from softmask.papers.audit import MUST_HOLD, Check, Finding, gains
from softmask.report import verdicts

N = 40
IDS = tuple(map(str, range(N)))


def scores(mean, number):
    values = mean + 0.001 * np.random.default_rng(number).normal(size=(3, N))
    return Scores(IDS, IDS, values, "real", curves=((0.8,) * 5,) * 3)


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


def test_other_images_name_the_pair():
    given = measured("dice", softgan=0.8, unet=0.75)
    given["unet", "lidc", "dice"] = replace(given["unet", "lidc", "dice"], ids=IDS[::-1])
    with pytest.raises(DataError, match="SoftGAN vs U-Net on lidc: measured on different test images"):
        claims.judge(Claim("c", (Pair("softgan", "unet", "lidc"),)), given)


def test_the_readers_judge_lnsm_only():
    pairs = [Pair("softgan", "unet", "lnsm"), Pair("softgan", "unet", "lidc"), Pair("softgan", "unet", "lnsm", "ppv")]
    [pair] = claims.against_readers(Claim("c", tuple(pairs))).pairs
    assert pair == Pair("softgan", "unet", "lnsm", "dice_consensus")


def test_a_claim_is_found_by_its_words():
    assert claims.find("casgan", "GrabCut").pairs[0].kind == "suffices"
    for words, n in (("GrabCut", 0), ("softgan", "[1-9][0-9]*")):
        with pytest.raises(ConfigError, match=f"softgan has {n} claims with '{words}', .*: softgan > .*; "):
            claims.find("softgan", words)


def test_a_claim_added_to_the_paper_is_judged_without_more(config, monkeypatch):
    paper = papers.load("softgan")
    added = Claim("softgan > unet in IoU", (Pair("softgan", "unet", "lidc", "iou", delta=1),))
    monkeypatch.setattr(papers, "load", lambda name: replace(paper, claims=(*paper.claims, added)))
    assert "iou" in claims.metrics("softgan")
    judged, by_readers = claims.judge_paper("softgan", measured("iou", softgan=0.8, unet=0.7), config)
    assert (judged[-1].claim, judged[-1].verdict) == (added.words, HOLDS)
    assert len(judged) == len(by_readers) == sum(claim.judged for claim in paper.claims) + 1
    written = verdicts.read(config.results / "claims" / "softgan.json")
    assert written[added.words]["verdict"] == HOLDS


def nodules(mean, n=600, spread=0.05):
    largest = np.clip(np.random.default_rng(0).normal(mean, spread, n), 0, 1)
    return pd.DataFrame({"patient": [f"p{i // 2}" for i in range(n)], "largest": largest, "least": largest - 0.1})


def test_doctors_whose_printed_agreement_the_annotations_do_not_give():
    assert claims.check_doctors(nodules(0.703)).findings == ()
    check = claims.check_doctors(nodules(0.84))
    [first] = check.findings
    assert first.places == ("casgan/table-2", "dsnet-v1/table-4", "dsnet-v2/table-6")
    assert (
        "mean Dice of two doctors 0.703; over the largest slices of 600 nodules annotations give 0.83"
        in first.inequality
    )
    assert first.violation == pytest.approx(13, abs=0.7)
    assert "0.73" in first.inequality.rsplit("agree least", 1)[1]  # the least agreed slices of each nodule


def test_the_tables_list_what_holds_and_what_does_not():
    checks = [
        Check("all well", "a <= b", MUST_HOLD, 7, ()),
        Check("two of three", "a <= b", "to explain", 3, (Finding(("here", "there"), "2 > 1", 1.0, "points"),) * 2),
        claims.check_doctors(nodules(0.84)),
    ]
    assert claims.counts(checks) == {"total": 11, "failing": 3, "hard": 0}
    cells = {(cell.row, cell.metric): cell for cell in claims.check_cells(checks, "real", 600)}
    assert cells["all well", "checked"].ours_mean == 7
    assert cells["two of three", "failed"].ours_mean == 2
    assert cells["two of three", "expected"].note == "a <= b. (to explain)"
    assert [cells[name, "checked"].source for name in ("doctors", "all well")] == ["real", "printed"]
    cells = claims.finding_cells(checks, "real", 600)
    assert list(dict.fromkeys(cell.row for cell in cells)) == ["1. two of three", "2. two of three", "3. doctors"]
    assert [cell.note for cell in cells[:4]] == ["here · there", "2 > 1", "1 points", "none known"]


def test_what_is_not_known_of_a_gain_is_left_out_of_its_row():
    claim = Claim("softgan > unet on lidc", (Pair("softgan", "unet", "lidc", printed=2.0),))
    known = gains.Gain("softgan", claim, claim.pairs[0], (82.0, 80.0), (6.0, 8.0), gains.PRINTED, 400)
    cells = claims.gain_cells([known, replace(known, spreads=(np.nan, np.nan), source="")])
    first, second = ({cell.metric: cell for cell in cells if cell.row[0] == number} for number in "12")
    assert first["printed_better"].note == "82 ± 6"
    assert first["half_width"].ours_mean == pytest.approx(0.983, abs=1e-3)
    assert (first["images_behind"].ours_mean, first["could_be_seen"].note) == (400, "yes")
    assert first["in_claim"].note == "SoftGAN > U-Net on LIDC"
    assert set(first) - set(second) == {"half_width"}
    assert (second["printed_better"].note, second["could_be_seen"].note) == ("82", "not known: spread")
