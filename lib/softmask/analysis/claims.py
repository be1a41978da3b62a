"""The papers' claims judged by what was measured, and questions of the workbook's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from softmask import papers
from softmask.analysis.training import CONSENSUS
from softmask.errors import ConfigError, DataError
from softmask.measure.differences import Scores
from softmask.measure.verdicts import REPORTED, Outcome, judge_claim, judge_pair
from softmask.papers import Claim, Pair
from softmask.papers.claims import LARGEST_DELTA, UNITS
from softmask.report.result import Key
from softmask.report.verdicts import Judged, Verdict, sentence


def own(words: str, *pairs: tuple[str, str, str, str]) -> Claim:
    """Return a question of the workbook's own: ``better``, ``worse``, data set and metric (a share) of each pair."""
    return Claim(words, tuple(Pair(*names, delta=LARGEST_DELTA) for names in pairs))


_PARTS = (
    ("casgan_soft", "casgan_without_gan"),
    ("casgan_soft", "casgan_bin"),
    ("casgan_soft", "casgan_without_sr"),
    ("unet_student", "unet_hard"),
)
ABLATION = own("Every part adds to Dice on LNSM", *((*rows, "lnsm", "dice") for rows in _PARTS))
"""CasGAN's parts, one at a time: the discriminator, the soft label, the super-resolved image; and the teacher."""
ABLATION_SOFT = own("Every part adds to soft Dice on LNSM", *((*rows, "lnsm", "soft_dice") for rows in _PARTS))


def judge(claim: Claim, scores: Mapping[Key, Scores]) -> Verdict:
    """Return the verdict on a claim by the rule of :mod:`softmask.measure.verdicts`.

    Args:
        scores: a pair of which one of the two is missing is not run.

    Raises:
        DataError: two methods measured on different test images; names the pair.
    """
    unit = UNITS[claim.unit]
    if not claim.judged:
        return Verdict(claim.words, REPORTED, unit=unit)
    verdict, outcomes, deciding = judge_claim([_outcome(pair, claim, scores) for pair in claim.pairs])
    pairs = tuple(Judged(pair, outcome) for pair, outcome in zip(claim.pairs, outcomes, strict=True))
    return Verdict(claim.words, verdict, sentence(verdict, pairs, deciding, unit), pairs, deciding, unit)


def _outcome(pair: Pair, claim: Claim, scores: Mapping[Key, Scores]) -> Outcome:
    better, worse = (scores.get((row, pair.dataset, pair.metric)) for row in (pair.better, pair.worse))
    better, worse = (one and replace(one, values=claim.scale * one.values) for one in (better, worse))
    if pair.at_least is not None and better is not None:
        bound = np.full((1, len(better.ids)), pair.at_least)
        worse = Scores(better.ids, better.patients, bound, better.source, fixed=True)
    try:
        return judge_pair(better, worse, pair.kind, pair.delta, pair.times, lower=claim.lower)
    except DataError as error:
        raise DataError(f"{pair} on {pair.dataset}: {error}") from error


def find(paper: str, words: str) -> Claim:
    """Return the claim of a paper whose words contain ``words``; ConfigError unless it is one claim."""
    claims = [claim for claim in papers.load(paper).claims if words in claim.words]
    if len(claims) != 1:
        raise ConfigError(f"{paper} has {len(claims)} claims with {words!r}, not one")
    return claims[0]


def reported(claim: Claim, why: str) -> Verdict:
    """Return what was measured for a claim that is not judged, in words."""
    return Verdict(claim.words, REPORTED, why, unit=UNITS[claim.unit])


def against_readers(claim: Claim) -> Claim:
    """Return the claim with those of its pairs that compare Dice on LNSM, by Dice with the readers' consensus: LNSM's
    own truth is what the labelling made."""
    pairs = [pair for pair in claim.pairs if (pair.dataset, pair.metric) == ("lnsm", "dice")]
    return replace(claim, pairs=tuple(replace(pair, metric=CONSENSUS) for pair in pairs))


def by_dice(verdict: Verdict) -> Verdict:
    """Return the verdict with those of its comparisons that are of Dice, for a figure whose axis is Dice."""
    pairs = tuple(judged for judged in verdict.pairs if judged.pair.metric.startswith("dice"))
    return replace(verdict, pairs=pairs, deciding=None)


def of_unit(verdicts: Sequence[Verdict], unit: str) -> list[Verdict]:
    """Return the verdicts whose differences are in ``unit``; the others, without pairs, keep their numbers."""
    return [
        verdict if verdict.unit == UNITS[unit] else replace(verdict, pairs=(), deciding=None) for verdict in verdicts
    ]
