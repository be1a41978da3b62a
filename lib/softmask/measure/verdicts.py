"""Verdict on the statement "A is better than B" from test values.

The interval of the difference is computed by :mod:`softmask.measure.differences`.

**Pair.** :func:`judge_pair` returns one of

- *not judged: failed training*: more than half of a network's training runs failed;
- *not judged: undertrained*: the mean :func:`last_gain` over the seeds of a network is above :data:`RISING`;
- *not judged: out of reach*: the claim asks for a multiple of B's mean that no value can reach, such as 1.2 times 0.97;
- *holds*: the interval lies above 0;
- *contradicted*: the interval lies below 0;
- *gain ruled out*: the interval lies below delta;
- *inconclusive*: otherwise, or with fewer than :data:`LEAST_PATIENTS` patients.

"Adds little" is a test of equivalence: it *holds* if the interval lies inside +-delta, and is *contradicted* if the
interval lies completely outside. "Suffices" *holds* if the interval lies above -delta, and is *contradicted* if it lies
below -delta.

**Claim.** :func:`judge_claim`: a claim holds if all of its pairs hold, without correction (an intersection-union test).
It fails if any pair is contradicted, or its gain ruled out, after Holm's correction of the one-sided p values over all
pairs of the claim, including those not run or not judged. Otherwise, the claim is not judged if a pair is not judged,
else not finished if a pair is not run, else inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from softmask.data.sample import WORDS
from softmask.measure.differences import Difference, Scores, compare
from softmask.measure.statistics import LEVEL, holm

HOLDS, INCONCLUSIVE, FAILS = "holds", "inconclusive", "fails"
CONTRADICTED, NO_GAIN = "contradicted", "gain ruled out"
UNDERTRAINED, FAILED_TRAINING = "not judged: undertrained", "not judged: failed training"
OUT_OF_REACH = "not judged: out of reach"
NOT_RUN, NOT_FINISHED, REPORTED = "not run yet", "not finished", "reported, not judged"
KINDS = BETTER, ADDS_LITTLE, SUFFICES = "better", "adds_little", "suffices"
ALPHA = (1 - LEVEL) / 2
"""Significance level of the one-sided p values, which gives the same decisions as the interval."""
LEAST_PATIENTS = 10
"""Number of patients below which a pair is inconclusive."""
RISING = 0.005
"""Rise of the best validation Dice (:func:`last_gain`) above which a training run counts as undertrained."""


@dataclass(frozen=True)
class Training:
    """Training runs of a method: number begun, failed and restarted, the rise in validation Dice at the end, averaged
    over seeds (NaN where nothing was trained), and the number of epochs."""

    begun: int
    failed: int
    restarts: int
    gain: float
    epochs: int = 0

    @property
    def obstacle(self) -> str:
        if 2 * self.failed > self.begun:
            return FAILED_TRAINING
        return UNDERTRAINED if self.gain > RISING else ""


@dataclass(frozen=True)
class Outcome:
    """Verdict on a pair.

    Attributes:
        difference: None where a method is not run, has no seed left, or is undefined on every image.
        p, p_holm: one-sided p value against the pair's statement, without and with correction for the pairs of the
            claim; NaN for a pair that is not judged.
        trainings: training runs of both methods; empty where a method is not run.
        data: ``real``, ``real, substitute`` or ``simulated``; empty where a method is not run.
        room: largest possible difference, with the worse method's mean as it is; NaN where it has no limit.
    """

    verdict: str
    difference: Difference | None = None
    p: float = np.nan
    p_holm: float = np.nan
    trainings: tuple[Training, ...] = ()
    data: str = ""
    room: float = np.nan


def last_gain(curve: Sequence[float]) -> float:
    """Return the rise of the best value so far: its mean over the last fifth of the epochs minus its mean over the
    fifth before.

    The mean of the plain values rises as the learning rate falls, even if nothing more is learnt (docs/choices.md). A
    fifth is rounded down. Fewer than five epochs cannot show convergence: the rise is infinite.
    """
    length = len(curve) // 5
    if not length:
        return float("inf")
    best = np.maximum.accumulate(curve)
    return float(np.mean(best[-length:]) - np.mean(best[-2 * length : -length]))


def judge_pair(
    better: Scores | None,
    worse: Scores | None,
    kind: str = BETTER,
    delta: float = 0.0,
    factor: float = 1.0,
    *,
    lower: bool = False,
    most: float = np.inf,
) -> Outcome:
    """Return the verdict on one pair by the rules of this module; ``p_holm`` is that of a claim with one pair.

    Args:
        better, worse: values of the two methods; None where not run.
        kind: one of :data:`KINDS`.
        delta: smallest difference that counts, in the unit of the values; at least 0.
        factor, lower: as in :func:`compare`.
        most: the largest possible value.
    """
    if better is None or worse is None:
        return Outcome(NOT_RUN)
    trainings = []
    for scores in (better, worse):
        gains = [last_gain(curve) for curve in scores.curves] or [np.nan]
        epochs = max(map(len, scores.curves), default=0)
        trainings.append(Training(scores.begun, scores.failed, scores.restarts, float(np.mean(gains)), epochs))
    difference = compare(better, worse, factor, lower=lower)
    found_obstacles = {training.obstacle for training in trainings}
    obstacles = [obstacle for obstacle in (FAILED_TRAINING, UNDERTRAINED) if obstacle in found_obstacles]
    finite_values = worse.values[np.isfinite(worse.values)]
    room = np.nan if lower or np.isinf(most) or not finite_values.size else most - factor * finite_values.mean()
    if factor > 1 and room < 0:
        obstacles.append(OUT_OF_REACH)
    verdict, p = next(iter(obstacles), INCONCLUSIVE), np.nan
    if verdict == INCONCLUSIVE and difference is not None and difference.patients >= LEAST_PATIENTS:
        verdict, p = _decide(difference, kind, delta)
    data = WORDS["substitute" if better.substitute else better.source]
    return Outcome(verdict, difference, p, p, tuple(trainings), data, float(room))


def _decide(difference: Difference, kind: str, delta: float) -> tuple[str, float]:
    """Return the verdict by the interval, and the one-sided p value against the pair."""
    low, high, p_below = difference.low, difference.high, difference.p_below
    if kind == ADDS_LITTLE:
        holds, contradicted = -delta < low and high < delta, low > delta or high < -delta
        p = min(p_below(-delta), difference.p_above(delta))
    elif kind == SUFFICES:
        holds, contradicted, p = low > -delta, high < -delta, p_below(-delta)
    else:
        holds, contradicted, p = low > 0, high < 0, p_below(delta)  # not 0: a worse mean must not raise p
        if not holds and not contradicted and high < delta:
            return NO_GAIN, p
    return HOLDS if holds else CONTRADICTED if contradicted else INCONCLUSIVE, p


def judge_claim(outcomes: Sequence[Outcome]) -> tuple[str, list[Outcome], int | None]:
    """Return the verdict on a claim, its pairs with corrected p values, and the deciding pair.

    The deciding pair, given by its index, is the most certain failure if the claim fails; otherwise the least certain
    pair: among all pairs if the claim holds, else among those not judged, or else undecided; None if no pair is run.
    """
    p = np.array([outcome.p for outcome in outcomes])
    adjusted_p = np.where(np.isnan(p), np.nan, holm(np.nan_to_num(p, nan=1.0)))  # so new results revoke no failure
    outcomes = [replace(outcome, p_holm=float(p)) for outcome, p in zip(outcomes, adjusted_p, strict=True)]

    def pairs_with(*verdicts: str) -> list[int]:
        return [i for verdict in verdicts for i, outcome in enumerate(outcomes) if outcome.verdict == verdict]

    def certainty(i: int) -> float:
        difference = outcomes[i].difference
        if difference is None or np.isnan(difference.error):
            return -np.inf
        return difference.mean / difference.error if difference.error else np.inf

    failed_pairs = [i for i in pairs_with(CONTRADICTED, NO_GAIN) if outcomes[i].p_holm < ALPHA]
    if failed_pairs:
        return FAILS, outcomes, min(failed_pairs, key=lambda i: outcomes[i].p)
    missing_pairs, holding_pairs = pairs_with(NOT_RUN), pairs_with(HOLDS)
    if len(missing_pairs) == len(outcomes):
        return NOT_RUN, outcomes, None
    if unjudged_pairs := pairs_with(FAILED_TRAINING) or pairs_with(UNDERTRAINED) or pairs_with(OUT_OF_REACH):
        return outcomes[unjudged_pairs[0]].verdict, outcomes, min(unjudged_pairs, key=certainty)
    if len(holding_pairs) == len(outcomes):
        return HOLDS, outcomes, min(holding_pairs, key=certainty)
    undecided_pairs = [i for i in range(len(outcomes)) if i not in missing_pairs + holding_pairs] or holding_pairs
    return NOT_FINISHED if missing_pairs else INCONCLUSIVE, outcomes, min(undecided_pairs, key=certainty)
