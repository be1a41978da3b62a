"""The rule of verdicts, on differences made for the purpose."""

import json

import numpy as np
import pytest

from softmask import papers
from softmask.config import Config
from softmask.errors import DataError
from softmask.measure.statistics import paired_test
from softmask.report import contents, page, tables, verdicts
from softmask.report.verdicts import FAILS, HOLDS, INCONCLUSIVE, Judged, Pair, Scores, judge

N = 60
IDS = tuple(f"image {i}" for i in range(N))
PATIENTS = tuple(f"p{i // 2}" for i in range(N))
CLAIM = "softgan > every other method in Dice, on lnsm and lidc (tables 1, 2)"


def scores(groups=PATIENTS, seeds=2, **shifts):
    """Values of rows on lidc that differ from one another by ``shifts``, a number or one for each seed, and noise."""
    base = np.random.default_rng(0).normal(0.7, 0.05, N)
    made = {}
    for row, shift in shifts.items():
        noise = np.random.default_rng(len(made) + 1).normal(0, 0.01, (seeds, N))
        values = base + noise + np.broadcast_to(shift, seeds)[:, None]
        made[row, "lidc", "dice"] = Scores(IDS, groups, values, "embedded")
    return made


def given_differences(differences, groups=IDS):
    """Scores of SoftGAN and U-Net, one seed, that differ image by image as told."""
    half = np.full(len(differences), 0.5)
    names = tuple(map(str, range(len(differences))))
    values = {"softgan": half + differences, "unet": half}
    return {(row, "lidc", "dice"): Scores(names, groups, one[None], "embedded") for row, one in values.items()}


def one(better_by, **more):
    return judge("a claim", [Pair("softgan", "unet", "lidc")], scores(softgan=better_by, unet=0, **more))


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.05, HOLDS), (-0.05, FAILS), (0, INCONCLUSIVE), ((0.1, -0.02), INCONCLUSIVE),
                           ((-0.1, 0.02), INCONCLUSIVE)]
)  # fmt: skip
def test_a_pair_needs_the_interval_and_every_seed(shift, verdict):
    found = one(shift)
    assert found.verdict == found.pairs[0].verdict == verdict
    assert found.seeds == 2
    assert found.pairs[0].by_seed == pytest.approx(np.broadcast_to(shift, 2), abs=0.01)


def test_measures_that_are_undefined_everywhere_decide_nothing():
    pairs = [Pair("softgan", "unet", "lidc"), Pair("softgan", "unet", "lidc", "ppv")]
    nothing = Scores(IDS, PATIENTS, np.full((2, N), np.nan), "embedded")  # the PPV of a network that finds nothing
    given = scores(softgan=0.05, unet=0) | {(row, "lidc", "ppv"): nothing for row in ("softgan", "unet")}
    found = judge("a claim", pairs, given)
    assert [pair.verdict for pair in found.pairs] == [HOLDS, INCONCLUSIVE]
    assert (found.verdict, found.seeds) == (INCONCLUSIVE, 2)
    alone = judge("a claim", pairs[1:], given)
    assert (alone.verdict, alone.why) == (INCONCLUSIVE, "its measures are undefined on every test image")
    assert len(verdicts.pairs_frame([found, alone])) == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_ranks_that_favour_the_other_method_decide_nothing(sign):
    few_gain_much = sign * np.where(np.arange(100) < 20, 0.2, -0.01)
    given = given_differences(few_gain_much, tuple(map(str, range(100))))
    [pair] = judge("c", [Pair("softgan", "unet", "lidc")], given).pairs
    assert min(sign * pair.test.low, sign * pair.test.high) > 0
    assert pair.test.p < 0.05
    assert sign * pair.ranks < 0
    assert pair.verdict == INCONCLUSIVE


def test_an_interval_above_nought_is_not_enough_without_the_ranks():
    differences = np.where(np.arange(40) < 8, 0.2, -0.01)
    [pair] = judge("c", [Pair("softgan", "unet", "lidc")], given_differences(differences, IDS[:40])).pairs
    assert pair.test.low > 0
    assert pair.test.p > 0.05
    assert pair.verdict == INCONCLUSIVE


def test_a_pair_holds_by_its_own_p_whatever_the_number_of_pairs():
    noise = np.random.default_rng(3).normal(0, 0.02, N)
    weak, same = Pair("softgan", "unet", "lidc"), Pair("unet", "unet", "lidc")
    judged = judge("c", [weak, *[same] * 8], given_differences(noise - noise.mean() + 0.0065)).pairs[0]
    assert judged.test.p < 0.05 < judged.p_holm
    assert judged.verdict == HOLDS


@pytest.mark.parametrize(("shift", "verdict"), [(0.05, HOLDS), (-0.05, FAILS)])
def test_fewer_than_ten_patients_decide_nothing(shift, verdict):
    pair = [Pair("softgan", "unet", "lidc")]
    for n, expected in ((10, verdict), (9, INCONCLUSIVE)):
        patients = tuple(str(i % n) for i in range(N))
        found = judge("c", pair, scores(patients, softgan=shift, unet=0))
        assert found.verdict == expected
        assert found.pairs[0].test.n_groups == n
        assert ("1 on fewer than 10 patients, too few to decide" in found.why) == (n < 10)


def test_the_direction_of_the_ranks_is_the_difference_of_their_sums():
    differences, patients = np.array([0.1, 0.3, -0.4, 0.2, 0.5, 0.0]), ["a", "a", "b", "c", "d", "e"]
    # means 0.2, -0.4, 0.2, 0.5, 0: ranks 1.5, 3, 1.5, 4
    assert verdicts.rank_correlation(differences, patients) == pytest.approx((1.5 - 3 + 1.5 + 4) / 10)
    assert verdicts.rank_correlation(np.zeros(3), ["a", "b", "c"]) == 0


def test_the_interval_is_that_of_values_averaged_over_seeds_and_draws_patients():
    given = scores(softgan=0.01, unet=0)
    test = one(0.01).pairs[0].test
    a, b = (given[row, "lidc", "dice"].values.mean(axis=0) for row in ("softgan", "unet"))
    assert test == paired_test(a, b, 2020, PATIENTS)
    assert test.n_groups == N // 2


def test_a_claim_holds_only_where_all_pairs_do_and_fails_where_one_does():
    pairs = [Pair("softgan", "unet", "lidc"), Pair("softgan", "medt", "lidc")]
    results = [judge("c", pairs, scores(softgan=0.05, unet=0, medt=medt)).verdict for medt in (0, 0.05, 0.1)]
    assert results == [HOLDS, INCONCLUSIVE, FAILS]


def test_among_many_pairs_one_weak_opposite_is_not_enough():
    noise = np.random.default_rng(3).normal(0, 0.02, N)
    worse = 0.7 + noise - noise.mean() - 0.0065  # p between 0.01 and 0.05
    given = {
        (row, "lidc", "dice"): Scores(IDS, IDS, values[None], "embedded")
        for row, values in {"softgan": worse, "unet": np.full(N, 0.7), "medt": np.full(N, 0.7)}.items()
    }
    weak, same = Pair("softgan", "unet", "lidc"), Pair("unet", "medt", "lidc")
    alone, together = judge("c", [weak], given), judge("c", [weak, *[same] * 8], given)
    assert alone.verdict == FAILS
    assert together.pairs[0].test == alone.pairs[0].test
    assert together.pairs[0].p_holm == pytest.approx(9 * alone.pairs[0].p_holm)
    assert together.pairs[0].verdict == together.verdict == INCONCLUSIVE


def test_what_is_not_run_leaves_a_claim_open():
    pairs = [Pair("softgan", "unet", "lidc"), Pair("softgan", "medt", "lidc")]
    found = judge("c", pairs, scores(softgan=0.05, unet=0))
    assert found.verdict == INCONCLUSIVE
    assert found.why == "2 comparisons: holds 1, not run yet 1; 2 seeds"
    assert found.pairs[1] == Judged(pairs[1], "not run yet", p_holm=pytest.approx(float("nan"), nan_ok=True))
    nothing = judge("c", pairs, {})
    assert (nothing.verdict, nothing.seeds) == ("not run yet", 0)


def test_what_cannot_be_compared_is_refused():
    given = scores(softgan=0.05, unet=0)
    pair = [Pair("softgan", "unet", "lidc")]
    key = "unet", "lidc", "dice"
    other = Scores(IDS[::-1], PATIENTS, given[key].values, "embedded")
    with pytest.raises(DataError, match="different test images"):
        judge("c", pair, {**given, key: other})
    with pytest.raises(DataError, match="2 and 3 seeds"):
        judge("c", pair, {**given, key: scores(seeds=3, unet=0)[key]})


def test_undefined_values_are_left_out_in_pairs():
    given = scores(softgan=0.05, unet=0)
    given["unet", "lidc", "dice"].values[1, :4] = np.nan
    given["unet", "lidc", "dice"].values[0, :4] = -100  # the other seed must not count them, either
    [pair] = judge("c", [Pair("softgan", "unet", "lidc")], given).pairs
    assert (pair.test.n, pair.test.n_left_out) == (N - 4, 4)
    assert pair.by_seed == pytest.approx((0.05, 0.05), abs=0.01)
    assert np.mean(pair.by_seed) == pytest.approx(pair.test.mean_difference)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    return Config.from_parameters("cpu", "embedded")


def judged():
    pairs = [Pair("softgan", "unet", "lidc"), Pair("softgan", "medt", "lidc")]
    return [judge(CLAIM, pairs, scores(softgan=0.05, unet=0))]


def test_verdicts_are_written_and_found_by_the_report(config):
    path = verdicts.write("softgan", judged(), config)
    assert json.loads(path.read_text())["claims"][0]["pairs"][0]["pair"]["worse"] == "unet"
    first, second, *_ = [entry for entry in contents.read(config).claims if entry.paper == "softgan"]
    assert (first.claim, first.verdict) == (CLAIM, INCONCLUSIVE)
    assert "not run yet 1" in first.why
    assert second.verdict == "not run yet"
    html = page.build(config).read_text()
    assert "2 comparisons: holds 1" in html
    assert html.count('<section id="claims">') == 1


def test_verdicts_by_the_readers_stand_beside_the_first_ones(config):
    [first] = judged()
    readers = [judge(CLAIM, [Pair("softgan", "unet", "lidc")], scores(softgan=-0.05, unet=0)), judge("b", [], {})]
    path = verdicts.write("softgan", [first, judge("b", [], {})], config, readers)
    assert json.loads(path.read_text())["by_readers"][0]["pairs"][0]["verdict"] == FAILS
    assert verdicts.read("softgan", config)["b"]["by_readers"] == ""
    entry, other, *_ = [entry for entry in contents.read(config).claims if entry.paper == "softgan"]
    assert (entry.verdict, entry.by_readers) == (
        INCONCLUSIVE,
        "does not hold (1 comparison: does not hold 1; 2 seeds)",
    )
    assert other.by_readers == ""
    html = page.build(config).read_text()
    said = "By the readers' consensus on LNSM: "
    assert html.count(f"{said}does not hold (1 comparison") == html.count(said) == 1


def test_notebooks_that_judge_one_papers_claims_keep_each_others(config):
    first, second, third = papers.load("softgan").claims
    verdicts.write("softgan", [judge(third, [], {})], config, [judge(third, [], {})])
    path = verdicts.write("softgan", [judge(second, [], {}), judge(first, [], {})], config)
    content = json.loads(path.read_text())
    assert [one["claim"] for one in content["claims"]] == [first, second, third]
    assert [one["claim"] for one in content["by_readers"]] == [third]
    again = verdicts.write("softgan", [judge(third, [], {})], config)
    assert json.loads(again.read_text())["by_readers"] == []
    path.write_text("damaged")
    verdicts.write("softgan", [judge(second, [], {})], config)
    assert list(verdicts.read("softgan", config)) == [second]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"claims": [{"claim": "a"}], "by_readers": []}', '{"claims": []}'])
def test_damaged_verdicts_are_named(config, text):
    path = verdicts.write("softgan", judged(), config)
    path.write_text(text)
    mine = [entry for entry in contents.read(config).claims if entry.paper == "softgan"]
    assert {entry.verdict for entry in mine} == {"damaged"}
    assert "claims/softgan.json" in mine[0].why
    assert str(config.results) not in mine[0].why
    assert "damaged" in page.build(config).read_text()


def test_the_table_shows_every_pair_that_is_run(config):
    result = verdicts.table("softgan-claims", "T", "caption", judged())
    tables.write(result, config, {})
    shown = tables.show(result)
    assert list(shown.index) == ["1. SoftGAN over U-Net"]
    assert "holds" in shown.iloc[0].tolist()
    [entry] = [entry for entry in contents.read(config).tables if entry.name == "softgan-claims"]
    assert entry.status == "filled"
    difference = next(cell for cell in entry.cells if cell.metric == "difference")
    assert difference.ours_mean == pytest.approx(5, abs=1)
    assert {cell.metric for cell in entry.cells} == {"difference", "low", "high", "p", "p_holm", "patients", "verdict"}


def test_frames_say_the_same_in_words():
    assert verdicts.frame(judged())["verdict"].tolist() == [INCONCLUSIVE]
    [line] = verdicts.pairs_frame(judged()).to_dict("records")
    assert (line["claim"], line["comparison"], line["data set"]) == (1, "SoftGAN over U-Net", "LIDC")
    assert line["low"] < line["difference"] < line["high"]
    assert line["patients"] == N // 2
    assert verdicts.pairs_frame([judge("c", [], {})]).empty
