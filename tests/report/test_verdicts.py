"""Verdicts as sentences, frames, tables and files, from scores made for the purpose."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from softmask import papers
from softmask.analysis.claims import judge
from softmask.errors import DataError
from softmask.measure.differences import Scores
from softmask.measure.verdicts import FAILS, HOLDS, NOT_FINISHED, REPORTED, UNDERTRAINED
from softmask.papers import Claim, Pair
from softmask.report import contents, page, tables, verdicts

N = 60
IDS = tuple(f"image {i}" for i in range(N))
PATIENTS = tuple(f"p{i // 2}" for i in range(N))
CLAIM = "softgan > every other method in Dice, on lnsm and lidc (tables 1, 2)"
OVER_UNET = Pair("softgan", "unet", "lidc", delta=1.0, printed=5.37)
OVER_MEDT = Pair("softgan", "medt", "lidc", delta=1.0)


def scores(groups=PATIENTS, seeds=2, **shifts):
    """Values of rows on lidc that differ from one another by ``shifts``, and noise."""
    base = np.random.default_rng(0).normal(0.7, 0.05, N)
    made = {}
    for row, shift in shifts.items():
        noise = np.random.default_rng(len(made) + 1).normal(0, 0.01, (seeds, N))
        made[row, "lidc", "dice"] = Scores(IDS, groups, base + noise + shift, "embedded", ((0.8,) * 5,) * seeds)
    return made


def asked(*pairs, words="a claim", **more):
    return Claim(words, pairs, **more)


def changed(given, row, **more):
    return given | {(row, "lidc", "dice"): replace(given[row, "lidc", "dice"], **more)}


def test_the_sentence_has_the_deciding_pair_its_interval_and_the_print():
    given = scores(softgan=0.05, unet=0, medt=-0.05)
    verdict = judge(asked(OVER_MEDT, OVER_UNET), given)
    assert (verdict.verdict, verdict.deciding) == (HOLDS, 1)
    difference = verdict.pairs[1].outcome.difference
    assert verdict.why == (
        f"SoftGAN vs U-Net on LIDC (simulated): a gain of {difference.mean:.2f} percentage points "
        f"({difference.low:.2f} to {difference.high:.2f}; 30 patients); the interval does not include the published "
        "difference of 5.37. Of 2 comparisons 2 hold"
    )


def test_the_sentence_says_who_was_trained_longer():
    given = scores(softgan=0.05, unet=0)
    assert "epochs" not in judge(asked(OVER_UNET), given).why
    longer = changed(given, "softgan", curves=((0.8,) * 10,) * 3)
    assert judge(asked(OVER_UNET), longer).why.endswith(
        "; SoftGAN was trained for 10 epochs and U-Net was trained for 5 epochs"
    )
    assert "epochs" not in judge(asked(OVER_UNET), changed(given, "unet", curves=())).why  # a reader


def test_the_sentence_says_whether_the_print_lies_inside():
    unsure = scores(groups=tuple(f"p{i // 4}" for i in range(N)), softgan=0.05, unet=0)
    why = judge(asked(replace(OVER_UNET, printed=5.0)), unsure).why
    assert "the interval includes the published difference of 5.00" in why
    assert ". " not in why
    assert "published" not in judge(asked(replace(OVER_UNET, printed=math.nan)), unsure).why
    assert "possible" not in why
    why = judge(asked(replace(OVER_UNET, printed=99.0)), unsure).why
    assert re.search(r"published difference of 99\.00, more than the \d\d\.\d\d that are possible here", why)


def test_the_sentence_says_what_is_not_judged_and_why():
    rising = changed(scores(softgan=0.05, unet=0), "unet", curves=((*[0.5] * 4, 0.521),) * 2)
    verdict = judge(asked(OVER_UNET), rising)
    assert (verdict.verdict, verdict.why) == (
        UNDERTRAINED,
        "U-Net on LIDC (simulated) was undertrained (validation Dice +0.021 in the last fifth of training)",
    )
    short = changed(scores(softgan=0.05, unet=0), "unet", curves=((0.5,) * 4,) * 2)
    assert judge(asked(OVER_UNET), short).why == "U-Net on LIDC (simulated) was undertrained (too few epochs)"
    fallen = changed(scores(softgan=0.05, unet=0), "softgan", failed=3)
    assert judge(asked(OVER_UNET), fallen).why == "SoftGAN on LIDC (simulated): 3 of 5 training runs failed"


def test_failures_that_leave_a_verdict_are_stated():
    given = changed(scores(seeds=3, softgan=0.05, unet=0), "softgan", failed=1, restarts=2)
    assert judge(asked(OVER_UNET), given).why.endswith(". SoftGAN on LIDC: of 4 training runs 1 failed and 2 restarted")


def test_one_seed_and_few_patients_are_stated():
    assert judge(asked(OVER_UNET), scores(seeds=1, softgan=0.05, unet=0)).why.endswith(
        "; one seed: the variance between seeds is unknown"
    )
    few = scores(tuple(f"p{i % 5}" for i in range(N)), softgan=0.05, unet=0)
    assert judge(asked(OVER_UNET), few).why.endswith("percentage points, on 5 patients, too few to decide")


def judged():
    return [judge(asked(OVER_UNET, OVER_MEDT, words=CLAIM), scores(softgan=0.05, unet=0))]


def test_verdicts_are_written_and_found_by_the_report(config):
    path = verdicts.write("softgan", judged(), config)
    assert json.loads(path.read_text())["claims"][0]["pairs"][0]["pair"]["worse"] == "unet"
    first, second, *_ = [entry for entry in contents.read(config.run).claims if entry.paper == "softgan"]
    assert (first.claim, first.verdict) == (CLAIM, NOT_FINISHED)
    assert first.why.endswith("Of 2 comparisons 1 hold, 1 not run yet")
    assert second.verdict == "not run yet"
    html = page.build(config).read_text()
    assert "Of 2 comparisons 1 hold, 1 not run yet." in html
    assert html.count('<section id="claims">') == 1


def test_pairs_are_read_as_they_were_written(config):
    given = scores(seeds=1, softgan=0.05, unet=0)
    pair = replace(OVER_UNET, printed=math.nan)
    [verdict] = [judge(asked(pair, OVER_MEDT, words=CLAIM), given)]
    entry = verdicts.read(verdicts.write("softgan", [verdict], config))[CLAIM]
    assert entry["deciding"] == verdict.deciding
    for read, own in zip(entry["pairs"], verdict.pairs, strict=True):
        assert repr(read) == repr(own)  # NaN is not equal to itself


def test_values_that_no_record_holds_are_written_beside_the_verdict(config):
    given = scores(softgan=0.05, unet=0, medt=0)
    given["softgan", "lidc", "dice"].values[0, :2] = (math.nan, math.inf)
    path = verdicts.write("softgan", [judge(asked(OVER_UNET, words=CLAIM), given)], config, scores=given)
    read = verdicts.read_values(path)
    assert list(read) == [("softgan", "lidc", "dice"), ("unet", "lidc", "dice")]
    for key, own in read.items():
        assert np.array_equal(own.values, given[key].values, equal_nan=True)
        assert (own.ids, own.patients, own.curves[0]) == (IDS, PATIENTS, [0.8] * 5)
    verdicts.write("softgan", [judge(asked(words="another"), {})], config)  # another notebook's claim
    assert list(verdicts.read_values(path)) == list(read)
    assert verdicts.read_values(path.with_name("none.json")) == {}
    for text in ('{"values": {"a": {}}}', '{"values": {"a|b|c": {"ids": 1}}}', "[]", '{"values": 3}'):
        path.write_text(text)
        with pytest.raises(DataError, match="holds no values"):
            verdicts.read_values(path)


def test_verdicts_by_the_readers_stand_beside_the_first_ones(config):
    [first] = judged()
    readers = [judge(asked(OVER_UNET, words=CLAIM), scores(softgan=-0.05, unet=0)), judge(asked(words="b"), {})]
    path = verdicts.write("softgan", [first, judge(asked(words="b"), {})], config, readers)
    assert json.loads(path.read_text())["by_readers"][0]["pairs"][0]["outcome"]["verdict"] == "contradicted"
    assert verdicts.read(path)["b"]["by_readers"] == ""
    entry, other, *_ = [entry for entry in contents.read(config.run).claims if entry.paper == "softgan"]
    assert entry.verdict == NOT_FINISHED
    assert entry.by_readers.startswith(f"{FAILS} (SoftGAN vs U-Net on LIDC (simulated): a gain of -5")
    assert other.by_readers == ""
    html = page.build(config).read_text()
    said = "By the readers' consensus on LNSM: "
    assert html.count(f"{said}fails (SoftGAN") == html.count(said) == 1


def test_notebooks_that_judge_one_papers_claims_keep_each_others(config):
    first, second, third, *_ = [claim.words for claim in papers.load("softgan").claims]
    verdicts.write("softgan", [judge(asked(words=third), {})], config, [judge(asked(words=third), {})])
    path = verdicts.write("softgan", [judge(asked(words=second), {}), judge(asked(words=first), {})], config)
    content = json.loads(path.read_text())
    assert [item["claim"] for item in content["claims"]] == [first, second, third]
    assert [item["claim"] for item in content["by_readers"]] == [third]
    again = verdicts.write("softgan", [judge(asked(words=third), {})], config)
    assert json.loads(again.read_text())["by_readers"] == []
    path.write_text("damaged")
    verdicts.write("softgan", [judge(asked(words=second), {})], config)
    assert list(verdicts.read(path)) == [second]


HOLDING = {"claim": "a", "verdict": "holds", "why": "", "unit": "", "pairs": [], "deciding": None}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"claims": [{"claim": "a", "verdict": "maybe", "why": ""}], "by_readers": []}',
        '{"claims": [{"claim": "a"}], "by_readers": []}',
        '{"claims": []}',
        json.dumps({"claims": [HOLDING | {"deciding": 0}], "by_readers": []}),
        json.dumps({"claims": [HOLDING | {"pairs": [{"pair": {}}]}], "by_readers": []}),
    ],
)
def test_damaged_verdicts_are_named(config, text):
    path = verdicts.write("softgan", judged(), config)
    path.write_text(text)
    mine = [entry for entry in contents.read(config.run).claims if entry.paper == "softgan"]
    assert {entry.verdict for entry in mine} == {"damaged"}
    assert "claims/softgan.json" in mine[0].why
    assert str(config.results) not in mine[0].why
    assert "damaged" in page.build(config).read_text()


def test_the_table_shows_every_pair_that_is_run(config):
    result = verdicts.table("softgan-claims", "T", "caption", judged())
    tables.write(result, config, {})
    shown = tables.show(result).frame
    assert list(shown.index) == ["1. SoftGAN vs U-Net"]
    assert "holds" in shown.iloc[0].tolist()
    [entry] = [entry for entry in contents.read(config.run).tables if entry.name == "softgan-claims"]
    assert entry.status == "filled"
    difference = next(cell for cell in entry.cells if cell.metric == "difference")
    assert difference.ours_mean == pytest.approx(5, abs=1)
    assert {cell.metric for cell in entry.cells} == {
        "difference", "low", "high", "printed", "inside", "unit", "patients", "seeds", "verdict"
    }  # fmt: skip
    words = {cell.metric: cell.note for cell in entry.cells if cell.note}
    assert words == {"inside": "no", "unit": "percentage points", "seeds": "2", "verdict": HOLDS}


def test_frames_say_the_same_in_words():
    assert verdicts.frame(judged())["verdict"].tolist() == [NOT_FINISHED]
    [line] = verdicts.pairs_frame(judged()).to_dict("records")
    assert (line["claim"], line["comparison"], line["data set"]) == (1, "SoftGAN vs U-Net", "LIDC")
    assert line["low"] < line["difference"] < line["high"]
    assert (line["printed"], line["printed difference in interval"]) == (5.37, "no")
    assert (line["patients"], line["seeds"]) == (N // 2, "2")
    assert verdicts.pairs_frame([judge(asked(), {})]).empty


def test_the_detectable_difference_is_that_of_the_hardest_pair():
    given = scores(softgan=0.05, unet=0, medt=0)
    given["medt", "lidc", "dice"].values[0] -= 0.1
    [line] = verdicts.detectable_frame([judge(asked(OVER_UNET, OVER_MEDT), given)]).to_dict("records")
    assert line["hardest comparison"] == "SoftGAN vs MedT"
    assert line["3 seeds"] > line["5 seeds"] > line["8 seeds"] > line["delta"] == 1
    assert verdicts.detectable_frame([judge(asked(OVER_UNET), scores(seeds=1, softgan=0.05, unet=0))]).empty


def test_what_is_reported_has_no_pairs_and_keeps_its_words(config):
    claim = papers.load("softgan").claims[-1]
    assert not claim.judged
    reported = verdicts.Verdict(claim.words, REPORTED, "5 ms")
    path = verdicts.write("softgan", [reported], config)
    assert verdicts.read(path) == {claim.words: vars(reported) | {"by_readers": ""}}
    assert "reported, not judged" in page.build(config).read_text()
