import pytest

from softmask import papers
from softmask.errors import ConfigError
from softmask.report import verdicts
from softmask.report.verdicts import Pair
from softmask.studies import claims


def test_softgans_claims_are_the_printed_ones_over_the_printed_rows():
    found = claims.claims("softgan")
    assert tuple(found) == papers.load("softgan").claims
    best = found["softgan > every other method in Dice, on lnsm and lidc (tables 1, 2)"]
    steps = found["each ablation step improves Dice, on lnsm and lidc (table-3)"]
    labels = found["soft_mask > every other soft label, on lnsm and lidc (table-4)"]
    others = {"unet", "cfcnn", "dbresnet", "unetplusplus", "infnet", "medt"}
    assert len(best) == 12
    assert {(pair.better, pair.dataset) for pair in best} == {("softgan", "lnsm"), ("softgan", "lidc")}
    assert {pair.worse for pair in best} == others
    on_lnsm = [(pair.better, pair.worse) for pair in steps if pair.dataset == "lnsm"]
    assert on_lnsm == [
        ("improved_backbone", "unet"),
        ("soft_mask_loss", "improved_backbone"),
        ("gan_loss", "soft_mask_loss"),
    ]
    assert len(steps) == len(labels) == 6
    assert {pair.better for pair in labels} == {"soft_mask"}
    assert {pair.worse for pair in labels} == {"no_soft_label", "kats_dilation", "gros_interpolation"}
    assert {pair.metric for pairs in found.values() for pair in pairs} == {"dice"}


def test_dsnets_claims_are_the_printed_ones_over_the_printed_rows():
    for paper, best, metrics in (("dsnet-v1", "dsnet_v1", 2), ("dsnet-v2", "dsnet", 3)):
        found = claims.claims(paper)
        assert tuple(found) == papers.load(paper).claims
        first, steps, *rest = found.values()
        tables = [papers.load(paper).table(name) for name in ("table-1", "table-2")]
        assert len(first) == metrics * sum(len(table.rows) - 1 for table in tables)
        assert {pair.better for pair in first} == {best}
        assert len({pair.metric for pair in first}) == metrics
        assert len(steps) == 2 * (len(papers.load(paper).table("table-3").rows) - 1)
        doctors = rest[1] if paper == "dsnet-v1" else rest[2]
        assert [pair.worse for pair in doctors] == ["doctor1", "doctor2", "doctor3", "doctor4"]
    [labels, parts] = list(claims.claims("dsnet-v2").values())[2:4]
    assert {pair.worse for pair in labels} == {"no_soft_label", "kats_dilation", "gros_interpolation"}
    assert [(one.better, one.worse) for one in parts[:2]] == [("dtm", "neither"), ("dtm_csf", "dtm")]
    assert claims.claims("dsnet-v2")[papers.load("dsnet-v2").claims[5]] == []  # judged by the time
    assert claims.claims("dsnet-v1")["sdrfm > edrfm (table-3)"] == [
        Pair("sdrfm", "edrfm", "lnsm"),
        Pair("sdrfm", "edrfm", "lidc"),
    ]


def test_the_readers_judge_lnsm_only():
    pairs = [Pair("softgan", "unet", "lnsm"), Pair("softgan", "unet", "lidc"), Pair("softgan", "unet", "lnsm", "ppv")]
    assert claims.against_readers(pairs) == [Pair("softgan", "unet", "lnsm", "dice_consensus")]


def test_a_paper_that_is_not_compared_is_refused():
    with pytest.raises(ConfigError, match="softgan"):
        claims.claims("workbook")


def test_a_figure_of_dice_leaves_other_measures_out():
    pairs = [Pair("dsnet", "unet", "lnsm", metric) for metric in ("dice", "sen", "dice_consensus50")]
    found = claims.by_dice(verdicts.judge("better", pairs, {}))
    assert [one.pair.metric for one in found.pairs] == ["dice", "dice_consensus50"]
    assert len({str(pair) for pair in pairs}) == 3  # a table's rows
