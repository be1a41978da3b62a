"""Difference between the values of two methods, with its confidence interval over patients and seeds.

Network A has S_A trained seeds, B has S_B, and both are measured on the same N images of P patients.
The value of A with seed s, averaged over the images of patient p, is::

    z_sp = patient effect + seed effect a_s + interaction g_sp,    Var(a_s) = sigma_A^2

D is the mean of A over images and seeds minus that of B; the seeds are never paired. Patient p with n_p images has the
weight w_p = n_p / N. With d_p the difference of means over seeds for patient p, and seed means m_s = sum_p w_p z_sp::

    V_patients = sum_p c_p (d_p - D)^2,                     c_p = w_p^2 / (1 - 2 w_p + sum_q w_q^2)
    V_seeds    = Var_s(m_s) / S                             for A and for B
    V_both     = sum_p c_p sum_s r_sp^2 / (S (S - 1)),      r_sp = z_sp - z_p - (m_s - m)
    V          = V_patients + max(sum over A, B of (V_seeds - V_both), 0)

V_patients and V_seeds both contain the interaction, so it is subtracted once, as in the two-way clustering of Cameron,
Gelbach and Miller (2011). c_p makes V_patients unbiased for patients with unequal numbers of images (Bell and McCaffrey
2002). The interval is D +- t sqrt(V) at the two-sided 95 % level, with the degrees of freedom of Satterthwaite (1946),
V^2 / sum_k (V_k^2 / df_k): S - 1 for V_seeds, Bell and McCaffrey's number for V_patients, their product for V_both.
They are at least the smallest df_k of the added parts, the bound without V_both: where V_both nearly cancels V_seeds,
they would approach 0 and the interval would become infinitely wide. Coverage in simulations: docs/choices.md.

A method without randomness (a reader) has no variance between seeds. If one network has a single seed, the variance
between seeds of the other network is used for both; if both have a single seed, the interval is over patients only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from softmask.errors import DataError
from softmask.measure.statistics import LEVEL

POWER = 0.8
"""Power at which a difference counts as detectable (:func:`detectable`)."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Values of one method on the test images of a data set.

    Attributes:
        ids, patients: (N,) identifier and patient of each image.
        values: (seeds, N) for the seeds whose training did not fail; NaN or infinite where undefined.
        source: a key of :data:`softmask.data.sample.WORDS`, such as ``real`` or ``embedded``.
        curves: validation Dice by epoch, one curve for each of these seeds; empty where nothing was trained.
        failed, restarts: number of seeds whose training failed, and number of seeds that succeeded after a restart.
        fixed: whether the method has no randomness, such as a reader.
        substitute: whether other real images replace those of the paper.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    values: np.ndarray
    source: str
    curves: tuple[Sequence[float], ...] = ()
    failed: int = 0
    restarts: int = 0
    fixed: bool = False
    substitute: bool = False

    @property
    def begun(self) -> int:
        return len(self.values) + self.failed


@dataclass(frozen=True)
class Difference:
    """Difference of two methods in the direction of the claim: a positive difference supports the claim.

    Attributes:
        mean, low, high: mean difference with its 95 % interval over patients and seeds.
        error, df: standard error and degrees of freedom.
        patients, images, left_out: numbers compared, and number of images on which a value is undefined or infinite.
        seeds, one_seed: seeds of each method; whether neither has a second, so that the interval is over patients only.
        patient_variance, patient_df: variance that remains with very many seeds, and its degrees of freedom.
        seed_variance: variance between the means of seeds, for each method; NaN where unknown.
    """

    mean: float
    low: float
    high: float
    error: float
    df: float
    patients: int
    images: int
    left_out: int
    seeds: tuple[int, int]
    one_seed: bool
    patient_variance: float
    patient_df: float
    seed_variance: tuple[float, float]

    def p_below(self, bound: float) -> float:
        """Return the one-sided p value of a difference this low if the true difference is ``bound`` or more."""
        if self.error > 0:
            return float(stdtr(self.df, (self.mean - bound) / self.error))
        return float(self.mean >= bound)

    def p_above(self, bound: float) -> float:
        """Return the one-sided p value of a difference this high if the true difference is ``bound`` or less."""
        return replace(self, mean=-self.mean).p_below(-bound)


def compare(better: Scores, worse: Scores, factor: float = 1.0, *, lower: bool = False) -> Difference | None:
    """Return the difference over the images on which both methods are defined with every seed; None if there are none.

    Args:
        factor: factor of the values of ``worse``: 1.2 tests whether ``better`` is 20 % above ``worse``.
        lower: whether low values are good; the difference is then ``worse`` minus ``better``.

    Raises:
        DataError: for methods measured on different test images.
    """
    if better.ids != worse.ids or better.patients != worse.patients:
        raise DataError("measured on different test images; train both again")
    defined = np.isfinite(better.values).all(axis=0) & np.isfinite(worse.values).all(axis=0)
    if not len(better.values) or not len(worse.values) or not defined.any():
        return None
    _, numbers, counts = np.unique(np.array(better.patients)[defined], return_inverse=True, return_counts=True)
    sign = -1 if lower else 1
    score_pair = (sign * better.values[:, defined], -sign * factor * worse.values[:, defined])
    means = [np.array([np.bincount(numbers, row) for row in values]) / counts for values in score_pair]  # (S, P) each
    fixed = (better.fixed, worse.fixed)
    return _difference(means, counts / counts.sum(), fixed, int(defined.sum()), int((~defined).sum()))


def _difference(
    means: Sequence[np.ndarray], weights: np.ndarray, fixed: Sequence[bool], images: int, left_out: int
) -> Difference:
    """Return the difference, given the ``means`` (S, P) of both methods, negated for the worse one."""
    patient_differences = sum(values.mean(axis=0) for values in means)  # (P,)
    mean = float(weights @ patient_differences)
    patients, seeds = len(weights), (len(means[0]), len(means[1]))
    if patients < 2:
        interval, no_variances = (mean, *[np.nan] * 4), (np.nan, np.nan, (np.nan, np.nan))
        return Difference(*interval, patients, images, left_out, seeds, max(seeds) < 2, *no_variances)
    corrected_weights, patient_df = _patient_weights(weights)
    patient_variance = float(corrected_weights @ (patient_differences - mean) ** 2)
    parts = [
        (0.0, 0.0) if known else _seed_parts(values, weights, corrected_weights)
        for values, known in zip(means, fixed, strict=True)
    ]  # (variance of a seed's mean, of the interaction)
    known = [part for part, is_fixed in zip(parts, fixed, strict=True) if not is_fixed and not np.isnan(part[0])]
    degrees = [len(values) - 1 for values in means]
    terms, v_both = [], 0.0
    if known:  # a method with a single seed takes the variance of the other method
        degrees = [d if d or f else max(degrees) for d, f in zip(degrees, fixed, strict=True)]
        parts = [known[0] if np.isnan(part[0]) else part for part in parts]
        for (seed, interaction), number, df in zip(parts, seeds, degrees, strict=True):
            terms += [(seed / number, df), (-interaction / number, df * patient_df)]
            v_both += interaction / number
    added_variance = sum(value for value, _ in terms)
    variance = patient_variance + max(added_variance, 0.0)
    error = float(np.sqrt(variance))
    df = _satterthwaite(variance, [(patient_variance, patient_df), *(terms if added_variance > 0 else ())])
    half_width = float(stdtrit(df, (1 + LEVEL) / 2)) * error if error else 0.0
    interval, one_seed = (mean, mean - half_width, mean + half_width, error, df), not known and not all(fixed)
    variances = (max(patient_variance - v_both, 0.0), patient_df, tuple(seed for seed, _ in parts))
    return Difference(*interval, patients, images, left_out, seeds, one_seed, *variances)


def _patient_weights(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return c_p and the degrees of freedom of V_patients."""
    corrected_weights = weights**2 / (1 - 2 * weights + weights @ weights)
    # tr(A)^2 / tr(A A), with the matrix of the quadratic form A = R' diag(c) R and R = I - 1 w'
    total, square = corrected_weights.sum(), weights @ weights
    trace = total - 2 * corrected_weights @ weights + total * square
    gram = np.diag(corrected_weights) - np.outer(corrected_weights, weights) - np.outer(weights, corrected_weights)
    gram += total * np.outer(weights, weights)
    return corrected_weights, float(trace**2 / (gram**2).sum())


def _seed_parts(means: np.ndarray, weights: np.ndarray, corrected: np.ndarray) -> tuple[float, float]:
    """Return the variance between the means of seeds, and its part from the interaction; NaN for a single seed."""
    if len(means) < 2:
        return np.nan, np.nan
    seed_means = means @ weights
    residuals = means - means.mean(axis=0) - (seed_means - seed_means.mean())[:, None]
    return float(seed_means.var(ddof=1)), float(corrected @ (residuals**2).sum(axis=0) / (len(means) - 1))


def _satterthwaite(variance: float, terms: Sequence[tuple[float, float]]) -> float:
    """Return the degrees of freedom of the sum of ``terms``, each (value, degrees of freedom)."""
    denominator = sum(value**2 / df for value, df in terms if value)
    min_df = min((df for value, df in terms if value > 0), default=0.0)
    return max(float(variance**2 / denominator), min_df) if denominator else float("inf")


def detectable(difference: Difference, seeds: int) -> float:
    """Return the smallest true difference that is detected with a power of 80 %, with ``seeds`` seeds of each method.

    It is (t_0.975 + t_0.8) standard errors, from the estimated variance between patients and the variance between
    seeds divided by ``seeds`` (at least 2). NaN where the variance between seeds is unknown.
    """
    if difference.one_seed or np.isnan(difference.error):
        return float("nan")
    terms = [(difference.patient_variance, difference.patient_df)]
    terms += [(variance / seeds, seeds - 1) for variance in difference.seed_variance]
    variance = sum(value for value, _ in terms)
    if not variance:
        return 0.0
    df = _satterthwaite(variance, terms)
    return float((stdtrit(df, (1 + LEVEL) / 2) + stdtrit(df, POWER)) * np.sqrt(variance))


def median_scores(values: np.ndarray) -> np.ndarray:
    """Return values (S, N) whose mean over images is each seed's median, to compare medians as means; NaN stays NaN.

    These are the median plus the influence function, sign(value - median) / (2 density), minus its mean. The density is
    estimated from the quantiles on both sides of the median (Siddiqui 1960). The bandwidth shrinks with the fifth root
    of the number of images, as Bofinger's (1975), but is a quarter narrower: coverage in simulation 96.5 to 97.7 %.
    """
    scores = np.full(np.shape(values), np.nan)
    for seed, row in enumerate(np.asarray(values, dtype=float)):
        defined = ~np.isnan(row)
        if not defined.any():
            continue
        defined_values = row[defined]
        median = np.median(defined_values)
        width = min(0.5 * len(defined_values) ** -0.2, 0.4)
        low, high = np.quantile(defined_values, [0.5 - width, 0.5 + width], method="nearest")
        influence = (np.sign(defined_values - median) / 2) * (high - low) / (2 * width)
        scores[seed, defined] = median + influence - influence.mean()
    return scores
