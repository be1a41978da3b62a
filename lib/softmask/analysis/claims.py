"""Verdicts on the papers' claims from measured values, and the audit of printed numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from softmask import papers
from softmask.analysis.doctors import PAIRS, printed_matrix
from softmask.analysis.table import numbers
from softmask.analysis.training import CONSENSUS
from softmask.config import BASE_SEED, Config
from softmask.errors import ConfigError, DataError
from softmask.measure.differences import Scores
from softmask.measure.statistics import bootstrap_interval
from softmask.measure.verdicts import REPORTED, Outcome, judge_claim, judge_pair
from softmask.papers import Claim, Pair, audit, display
from softmask.papers.audit import MUST_HOLD, TO_EXPLAIN, Check, Finding
from softmask.papers.audit.gains import Gain
from softmask.papers.claims import LARGEST_DELTA, UNITS
from softmask.report import contents, verdicts
from softmask.report.result import PRINTED, Cell, Key
from softmask.report.verdicts import POINTS, JudgedPair, Verdict, sentence

ELSEWHERE = ("soft_roi", "soft_half")
"""Rows whose claims are judged in notebooks 9 and 2."""


def own_claim(words: str, *pairs: tuple[str, str, str, str]) -> Claim:
    """Return a claim of the workbook itself about ``pairs``: better, worse, data set, metric."""
    return Claim(words, tuple(Pair(*names, delta=LARGEST_DELTA) for names in pairs))


_PARTS = (
    ("casgan_soft", "casgan_without_gan"),
    ("casgan_soft", "casgan_bin"),
    ("casgan_soft", "casgan_without_sr"),
    ("unet_student", "unet_hard"),
)
ABLATION = own_claim("Every part adds to Dice on LNSM", *((*rows, "lnsm", "dice") for rows in _PARTS))
"""CasGAN's parts, one at a time: the discriminator, the soft label, the super-resolved image; and the teacher."""
ABLATION_SOFT = own_claim("Every part adds to soft Dice on LNSM", *((*rows, "lnsm", "soft_dice") for rows in _PARTS))


def judge(claim: Claim, scores: Mapping[Key, Scores]) -> Verdict:
    """Return the verdict on a claim by the rule of :mod:`softmask.measure.verdicts`.

    Raises:
        DataError: if two methods were measured on different test images; names the pair.
    """
    unit = UNITS[claim.unit]
    if not claim.judged:
        return Verdict(claim.words, REPORTED, unit=unit)
    verdict, outcomes, deciding = judge_claim([_outcome(pair, claim, scores) for pair in claim.pairs])
    pairs = tuple(JudgedPair(pair, outcome) for pair, outcome in zip(claim.pairs, outcomes, strict=True))
    return Verdict(claim.words, verdict, sentence(verdict, pairs, deciding, unit), pairs, deciding, unit)


def _outcome(pair: Pair, claim: Claim, scores: Mapping[Key, Scores]) -> Outcome:
    better, worse = (scores.get((row, pair.dataset, pair.metric)) for row in (pair.better, pair.worse))
    better, worse = (row and replace(row, values=claim.scale * row.values) for row in (better, worse))
    if pair.at_least is not None and better is not None:
        bound = np.full((1, len(better.ids)), pair.at_least)
        worse = Scores(better.ids, better.patients, bound, better.source, fixed=True)
    try:
        return judge_pair(better, worse, pair.kind, pair.delta, pair.times, lower=claim.lower, most=claim.scale)
    except DataError as error:
        raise DataError(f"{pair} on {pair.dataset}: {error}") from error


def metrics(paper: str, *questions: Claim) -> list[str]:
    """Return the metrics of the paper's claims and of further ``questions``, and Dice with the readers' consensus."""
    claims = [*papers.load(paper).claims, *questions]
    return list(dict.fromkeys([*(pair.metric for claim in claims for pair in claim.pairs), CONSENSUS]))


def judge_paper(
    paper: str, scores: Mapping[Key, Scores], config: Config, reported: Sequence[Verdict] = ()
) -> tuple[list[Verdict], list[Verdict]]:
    """Judge a paper's claims, except those of :data:`ELSEWHERE`, by :func:`metrics`; write the verdicts for the report.

    Returns:
        Verdicts, followed by the ``reported`` ones; and the verdicts by the readers' consensus on LNSM.
    """
    claims = [claim for claim in papers.load(paper).claims if claim.judged and claim.pairs[0].better not in ELSEWHERE]
    all_verdicts = [*(judge(claim, scores) for claim in claims), *reported]
    dice_claims = [against_readers(claim) for claim in claims]
    by_readers = [judge(claim, scores) for claim in dice_claims] if any(claim.pairs for claim in dice_claims) else []
    verdicts.write(paper, all_verdicts, config, by_readers)
    return all_verdicts, by_readers


def find(paper: str, words: str) -> Claim:
    """Return the only claim of a paper that contains ``words``; raise ConfigError for none or several."""
    claims = papers.load(paper).claims
    matches = [claim for claim in claims if words in claim.words]
    if len(matches) != 1:
        choices = "; ".join(claim.words for claim in matches or claims)
        raise ConfigError(f"{paper} has {len(matches)} claims with {words!r}, not one; take words of one of: {choices}")
    return matches[0]


def reported(claim: Claim, why: str) -> Verdict:
    """Return the verdict on a claim that is not judged; ``why`` says what was measured."""
    return Verdict(claim.words, REPORTED, why, unit=UNITS[claim.unit])


def against_readers(claim: Claim) -> Claim:
    """Return the claim with only its comparisons of Dice on LNSM, by Dice with the readers' consensus."""
    pairs = [pair for pair in claim.pairs if (pair.dataset, pair.metric) == ("lnsm", "dice")]
    return replace(claim, pairs=tuple(replace(pair, metric=CONSENSUS) for pair in pairs))


def by_dice(verdict: Verdict) -> Verdict:
    """Return the verdict with only its comparisons of Dice."""
    pairs = tuple(judged for judged in verdict.pairs if judged.pair.metric.startswith("dice"))
    return replace(verdict, pairs=pairs, deciding=None)


def of_unit(judged: Sequence[Verdict], unit: str) -> list[Verdict]:
    """Return the verdicts, with the pairs removed from verdicts in another unit."""
    return [verdict if verdict.unit == UNITS[unit] else replace(verdict, pairs=(), deciding=None) for verdict in judged]


NODULES = 500
"""Number of nodules in the papers' matrices of doctors."""

DOCTORS = "doctors"


def every_check(nodules: pd.DataFrame) -> list[Check]:
    """Return all checks of the printed numbers; ``nodules`` has the agreement of doctors on each nodule."""
    return [*audit.run(), check_doctors(nodules)]


def check_doctors(nodules: pd.DataFrame) -> Check:
    """Check the printed mean Dice between two doctors against the annotations."""
    largest = nodules["largest"].to_numpy()
    low, high = bootstrap_interval(largest, BASE_SEED, groups=nodules["patient"].tolist())
    least, worst = np.sort(largest)[:NODULES].mean(), nodules["least"].mean()
    matrices = (("casgan", "table-2"), ("dsnet-v1", "table-4"), ("dsnet-v2", "table-6"))
    printed_means = {"/".join(table): float(printed_matrix(*table)[PAIRS].mean()) for table in matrices}
    outliers = {table: value for table, value in printed_means.items() if not low <= value <= high}
    findings = ()
    if outliers:
        value = next(iter(outliers.values()))
        inequality = (
            f"mean Dice of two doctors {value:.3f}; over the largest slices of {len(nodules)} nodules annotations give "
            f"{largest.mean():.3f} ({low:.3f} to {high:.3f}), over the {min(NODULES, len(nodules))} of these on which "
            f"doctors agree least {least:.3f}; on the slice of each nodule on which they agree least {worst:.3f}"
        )
        explanation = "other slices than the largest, on which doctors agree less, or masks drawn in another way"
        findings = (Finding(tuple(outliers), inequality, 100 * max(low - value, value - high), POINTS, explanation),)
    rule = "the printed agreement of doctors is inside the 95 % interval (patients drawn) of what the annotations give"
    return Check(DOCTORS, rule, TO_EXPLAIN, len({round(value, 2) for value in printed_means.values()}), findings)


def counts(checks: Sequence[Check]) -> dict[str, int]:
    """Return how many sets of numbers were checked, how many fail, and how many fail a rule that must hold."""
    hard_checks = [check for check in checks if check.level == MUST_HOLD]
    total, failing = sum(check.checked for check in checks), sum(len(check.findings) for check in checks)
    return {"total": total, "failing": failing, "hard": sum(len(check.findings) for check in hard_checks)}


def check_cells(checks: Sequence[Check], source: str, nodules: int) -> list[Cell]:
    """Return one row for each check; ``source`` and ``nodules`` (their number) describe the annotations."""
    cells: list[Cell] = []
    for check in checks:
        values = {"expected": f"{check.rule}. ({check.level})"}
        values |= {"checked": check.checked, "failed": len(check.findings)}
        cells += numbers(check.name, "", values, *_over(check, source, nodules))
    return cells


def finding_cells(checks: Sequence[Check], source: str, nodules: int) -> list[Cell]:
    """Return one row for each finding; arguments as in :func:`check_cells`."""
    cells: list[Cell] = []
    findings = [(check, finding) for check in checks for finding in check.findings]
    for number, (check, finding) in enumerate(findings, start=1):
        texts = {
            "where": " · ".join(finding.places),
            "inequality": finding.inequality,
            "violation": f"{finding.violation:.3g} {finding.unit}",
            "explanation": finding.explanation or "none known",
        }
        cells += numbers(f"{number}. {check.name}", "", texts, *_over(check, source, nodules))
    return cells


def gain_cells(gains: Sequence[Gain]) -> list[Cell]:
    """Return one row for each pair of printed means; unknown values are left out."""
    cells: list[Cell] = []
    for number, gain in enumerate(gains, start=1):
        better, worse = (
            f"{mean:.4g}" + ("" if np.isnan(spread) else f" ± {spread:.3g}")
            for mean, spread in zip(gain.means, gain.spreads, strict=True)
        )
        values: dict[str, float | str] = {
            "in_paper": display("papers", gain.paper),
            "in_claim": contents.claim_words(gain.claim.words),
            "on_data": display("datasets", gain.pair.dataset),
            "printed_better": better,
            "printed_worse": worse,
            "spreads": gain.source or "not known",
            "images_behind": gain.n if gain.n else np.nan,
            "half_width": gain.half_width,
            "printed_gain": gain.pair.printed,
            "could_be_seen": gain.seen,
        }
        known_values = {name: value for name, value in values.items() if isinstance(value, str) or not np.isnan(value)}
        cells += numbers(f"{number}. {gain.pair}", "", known_values, 0, 1, PRINTED)
    return cells


def _over(check: Check, source: str, nodules: int) -> tuple[int, int, str]:
    """Return images, seeds and source of a check; only the check of doctors uses images."""
    return (nodules, 1, source) if check.name == DOCTORS else (0, 1, PRINTED)
