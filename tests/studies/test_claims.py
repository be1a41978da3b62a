import pytest

from softmask import papers
from softmask.errors import ConfigError
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


def test_the_readers_judge_lnsm_only():
    pairs = [Pair("softgan", "unet", "lnsm"), Pair("softgan", "unet", "lidc")]
    assert claims.against_readers(pairs) == [Pair("softgan", "unet", "lnsm", "dice_consensus")]


def test_a_paper_that_is_not_compared_is_refused():
    with pytest.raises(ConfigError, match="softgan"):
        claims.claims("lgan")
