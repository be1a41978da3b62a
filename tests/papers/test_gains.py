"""Whether a printed gain exceeds its interval: against hand calculations and simulated images."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t, ttest_rel

from softmask import papers
from softmask.config import ROOT
from softmask.papers.audit import gains, tables
from softmask.papers.audit.gains import DERIVED, PRINTED

COLUMNS = ["dice", "sen"]


@pytest.fixture(autouse=True)
def stated(monkeypatch):
    """400 test images in LIDC, and 60 nodules behind the accuracies."""
    counted = [
        {"paper": "softgan", "table": "table-2", "dataset": "lidc", "metrics": ["acc_soft", "acc_binary"], "of": 60}
    ]
    given = {"counted": counted, "test_images": {"softgan": {"lidc": 400, "lidc-500": 500}}}
    monkeypatch.setattr(gains, "stated", lambda: given)
    return given


def pair(**more):
    return {"better": "medt", "over": {"unet": 1}, "dataset": "lidc", "metric": "dice"} | more


def paper_of(rows, *pairs, columns=COLUMNS, units="percent", unit="points"):
    claim = {"words": "medt is best", "quote": "the best", "unit": unit, "direction": "higher"}
    claim["pairs"] = list(pairs) or [pair()]
    table = {"title": "", "dataset": "lidc", "columns": columns, "rows": rows}
    content = {"paper": "softgan", "citation": {}, "units": {"default": units}, "figures": {}, "claims": [claim]}
    return {"softgan": papers.parse(content | {"tables": {"table-1": table}})}


def one(better, worse, *pairs, **more):
    [gain] = gains.printed_gains(paper_of({"medt": [better, None], "unet": [worse, None]}, *pairs, **more))
    return gain


def test_the_interval_by_hand():
    gain = one([82.0, 6.0], [80.0, 8.0])
    # sqrt(6^2 + 8^2) = 10, over sqrt(400) = 20: half a point, times Student's 1.966 with 399 degrees of freedom
    assert gain.half_width == pytest.approx(1.96593 * 0.5, abs=1e-4)
    assert (gain.means, gain.spreads, gain.source, gain.n) == ((82, 80), (6, 8), PRINTED, 400)
    assert gain.seen == "yes"


def test_the_correlation_by_hand():
    gain = one([80.5, 6.0], [80.0, 8.0], pair(over={"unet": 0.5}))
    # (36 + 64 - 400 x 0.5^2 / 1.96593^2) / (2 x 6 x 8) = (100 - 25.874) / 96
    assert gain.correlation == pytest.approx((100 - 25.874) / 96, abs=1e-4)
    assert gain.seen == "only if correlation > 0.77"


def test_spreads_that_differ_too_much_for_any_correlation():
    gain = one([80.5, 2.0], [80.0, 20.0], pair(over={"unet": 0.5}))  # at r = 1: 1.966 x 18 / 20 = 1.77 > 0.5
    assert gain.correlation > 1
    assert gain.seen == "no"


def test_nothing_gained_and_nothing_varying():
    assert one([80.0, 6.0], [80.0, 6.0], pair(over={"unet": 0})).seen == "no"
    assert one([82.0, 0.0], [80.0, 0.0]).seen == "yes"
    assert one([82.0, 0.0], [80.0, 40.0]).seen == "no"


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-0.9, 0.95), st.floats(0.2, 3), st.floats(0.05, 3))
def test_paired_images_are_seen_at_the_stated_correlation_and_not_below(seed, r, ratio, shift):
    """A paired t test on images with the sample correlation r is significant exactly where the gain needs less."""
    n = 400
    noise = np.random.default_rng(seed).normal(size=(n, 2))
    x, y = np.linalg.qr(np.c_[np.ones(n), noise])[0][:, 1:].T * math.sqrt(n - 1)
    better, worse = 50 + shift + 8 * x, 50 + 8 * ratio * (r * x + math.sqrt(1 - r * r) * y)
    compared = papers.Pair("medt", "unet", "lidc", printed=shift)
    spreads = tuple(np.std(values, ddof=1) for values in (better, worse))
    gain = gains.Gain("softgan", papers.Claim("", (compared,)), compared, (50 + shift, 50), spreads, PRINTED, n)
    assert (ttest_rel(better, worse).pvalue < 0.05) == (gain.correlation < r)


def test_the_spread_of_dice_where_none_is_printed():
    gain = one(90.0, 80.0)
    assert gain.spreads == pytest.approx((1.24 * 9, 1.24 * 16))
    assert gain.source == DERIVED
    assert one([90.0, 2.0], 80.0).source == DERIVED  # one of them
    assert one(0.9, 0.8, units="fraction").spreads == pytest.approx(gain.spreads)


def test_the_spread_of_an_accuracy_is_that_of_right_and_wrong():
    rows = {"lidc": {"svm": {"binary": [0.8, 0.5], "soft": [0.9, 0.5]}}}
    asked = pair(better="soft_roi", over={"binary_roi": 1}, metric="acc_svm")
    [gain] = gains.printed_gains(paper_of(rows, asked, columns=["acc", "auc"], units="fraction"))
    assert gain.spreads == pytest.approx((30, 40))
    assert (gain.n, gain.source) == (60, DERIVED)
    assert gain.half_width == pytest.approx(t.ppf(0.975, 59) * 50 / math.sqrt(60))


@pytest.mark.parametrize(
    ("metric", "column"), [("sen", "sen"), ("iou", "mean_iou"), ("median_dice3d", "median_dice3d")]
)
def test_other_measures_have_no_spread_to_derive(metric, column):
    rows = {"medt": [82.0, 82.0], "unet": [80.0, 80.0]}
    [gain] = gains.printed_gains(paper_of(rows, pair(metric=metric), columns=["dice", column]))
    assert (gain.source, gain.seen) == ("", "not known: spread")
    assert math.isnan(gain.half_width)
    assert math.isnan(gain.correlation)


def test_distances_are_compared_in_their_unit_where_their_spread_is_printed():
    asked = pair(over={"unet": 0.5}, metric="hausdorff")
    rows = {"medt": [[5.0, 3.0]], "unet": [[4.5, 4.0]]}
    [gain] = gains.printed_gains(paper_of(rows, asked, columns=["mean_hausdorff"], units="pixels", unit="pixels"))
    assert (gain.spreads, gain.source) == ((3, 4), PRINTED)
    assert gain.half_width == pytest.approx(t.ppf(0.975, 399) * 5 / 20)


def test_a_number_of_images_that_is_not_stated(stated):
    del stated["test_images"]["softgan"]["lidc"]
    gain = one([82.0, 6.0], [80.0, 8.0])
    assert (gain.n, gain.seen) == (None, "not known: number of test images")
    assert math.isnan(gain.half_width)


def test_a_multiple_of_the_other_row_spreads_as_much():
    gain = one([82.0, 6.0], [60.0, 5.0], pair(times=1.2))
    assert gain.means == pytest.approx((82, 72))
    assert gain.spreads == pytest.approx((6, 6))


def test_a_spread_in_another_unit_than_the_mean_is_not_used():
    more = {"columns": ["mean_dice3d"], "units": "fraction"}
    asked = pair(metric="dice3d")
    rows = {"medt": [[0.985, 0.03]], "unet": [[0.970, 0.05]]}
    [usual] = gains.printed_gains(paper_of(rows, asked, **more))
    assert (usual.spreads, usual.source) == (pytest.approx((3, 5)), PRINTED)
    [other] = gains.printed_gains(paper_of(rows | {"morph": [[0.862, 2.93]]}, asked, **more))
    assert other.spreads == pytest.approx((124 * 0.985 * 0.015, 124 * 0.97 * 0.03))
    assert other.source == DERIVED


def test_pairs_without_two_printed_means_are_left_out_and_repeated_ones_count_once():
    bound = {"row": "medt", "at_least": 95, "dataset": "lidc", "metric": "dice"}
    rows = {"medt": [[82.0, 6.0], None], "unet": [[80.0, 8.0], None], "cenet": [None, None]}
    [paper] = paper_of(rows, pair(), bound, pair(over={"cenet": 1})).values()
    [claim] = paper.claims
    little = replace(claim, pairs=(replace(claim.pairs[0], kind="adds_little"),))
    result = gains.printed_gains({"softgan": replace(paper, claims=(claim, claim, little))})
    assert [gain.pair.kind for gain in result] == ["better", "adds_little"]
    counted = gains.counts(result)  # what adds little is no claimed gain
    assert counted["printed"] == {"gains": 1, "yes": 1, "paired": 0, "no": 0}
    assert counted["derived"]["gains"] == counted[""]["gains"] == 0


def test_the_sentence_names_the_shares():
    pairs = (pair(), pair(over={"infnet": 0.5, "segnet": 0.5}), pair(over={"cenet": 1}, metric="sen"))
    rows = {
        "medt": [[82.0, 6.0], 90.0], "unet": [[80.0, 6.0], 80.0], "infnet": [[81.5, 6.0], 80.0],
        "segnet": [[81.5, 26.0], 80.0], "cenet": [None, 80.0],
    }  # fmt: skip
    words = gains.sentence(gains.printed_gains(paper_of(rows, *pairs)))
    assert words.startswith(
        "Of 4 printed gains, 3 have printed spreads: 2 of these (67 %) would not be significant at the 5 % level"
    )
    assert "1 of them at any correlation" in words
    assert words.endswith("For 1 the spread or the number of images is not known.")


def test_the_factor_is_that_of_the_committed_results():
    """Least squares over mean Dice and its spread on real test images; new runs move it a little."""
    result = []
    for run in ("cpu-real-3seeds", "night-real"):
        for path in sorted((ROOT / "results" / run / "tables").glob("*/*.csv")):
            result.append(pd.read_csv(path))
    table = pd.concat(result)
    real = table["data"].isin(["real", "substitute"])
    table = table[(table["metric"] == "dice") & real & table["ours_std"].notna()]
    table = table.drop_duplicates(["dataset", "ours_mean", "ours_std"])
    scale = np.where(table["ours_mean"] > 1, 100, 1)  # percent or fraction
    mean, spread = table["ours_mean"] / scale, table["ours_std"] / scale
    share = mean * (1 - mean)
    assert len(table) > 100
    assert (spread * share).sum() / (share**2).sum() == pytest.approx(gains.DICE_SPREAD, abs=0.1)


def test_the_five_papers(monkeypatch):
    monkeypatch.setattr(gains, "stated", tables.stated)
    every = gains.run()
    assert all(gain.n for gain in every)
    for gain in every:  # the printed difference is that of the means
        sign = -1 if gain.claim.lower else 1
        assert sign * (gain.means[0] - gain.means[1]) == pytest.approx(gain.pair.printed, abs=1e-5)
