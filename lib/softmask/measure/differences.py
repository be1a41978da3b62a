"""Difference of two methods' values with its interval over patients and seeds.

Network A has S_A trained seeds, B has S_B, and both are measured on the same N images of P patients.
The value of A with seed s, averaged over the images of patient p, is::

    z_sp = patient effect + seed effect a_s + interaction g_sp,    Var(a_s) = sigma_A^2

A difference D is the mean over images and seeds of A less that of B. Patient p has the weight w_p = n_p / N; seeds are
never paired by their number. With d_p the difference at patient p of the means over seeds, and m_s = sum_p w_p z_sp
the mean of a seed::

    V_patients = sum_p c_p (d_p - D)^2,                     c_p = w_p^2 / (1 - 2 w_p + sum_q w_q^2)
    V_seeds    = Var_s(m_s) / S                             for A and for B
    V_both     = sum_p c_p sum_s r_sp^2 / (S (S - 1)),      r_sp = z_sp - z_p - (m_s - m)
    V          = V_patients + max(sum over A, B of (V_seeds - V_both), 0)

V_patients and V_seeds each hold the interaction, so it is taken out once: the two-way clustering of Cameron, Gelbach
and Miller (2011). c_p makes V_patients unbiased for patients with unequal numbers of images (Bell and McCaffrey 2002).
The interval is D +- t sqrt(V) at the two-sided 95 % level, with the degrees of freedom of Satterthwaite (1946),
V^2 / sum_k (V_k^2 / df_k): S - 1 for V_seeds, Bell and McCaffrey's number for V_patients, their product for V_both.
Coverage in simulation: docs/choices.md.

A method without randomness (a reader) has no variance between seeds. Where one network has a single seed, the other's
variance between seeds stands for it; where both have, the interval is over patients alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from softmask.errors import DataError
from softmask.measure.statistics import LEVEL

POWER = 0.8
"""Of the smallest detectable difference."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Values of one method on the test images of a data set.

    Attributes:
        ids, patients: (N,) of each image.
        values: (seeds, N) of the seeds whose training did not fail; NaN or infinite where undefined.
        source: a key of :data:`softmask.data.sample.WORDS`, such as ``real`` or ``embedded``.
        curves: validation Dice by epoch, one curve for each of these seeds; empty where nothing was trained.
        failed, restarts: number of seeds whose training failed, and of those that succeeded when restarted.
        fixed: whether the method has no randomness, such as a reader.
        substitute: whether real images stand in for those that the paper measured on.
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
    """Difference of two methods in the direction of the claim: positive is in its favour.

    Attributes:
        mean, low, high: with its 95 % interval over patients and seeds.
        error, df: standard error and degrees of freedom.
        patients, images: compared.
        left_out: images on which a value of either method is undefined or infinite.
        seeds: of each method.
        one_seed: whether the interval is over patients alone, since neither method has a second seed.
        patient_variance, patient_df: the part of the variance that remains with very many seeds.
        seed_variance: of the mean of one seed, for each method; NaN where unknown.
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
        """One-sided p value of so low a difference where the true one is ``bound`` or more."""
        if self.error > 0:
            return float(stdtr(self.df, (self.mean - bound) / self.error))
        return float(self.mean >= bound)

    def p_above(self, bound: float) -> float:
        """One-sided p value of so high a difference where the true one is ``bound`` or less."""
        return replace(self, mean=-self.mean).p_below(-bound)


def compare(better: Scores, worse: Scores, factor: float = 1.0, *, lower: bool = False) -> Difference | None:
    """Return the difference of two methods over the images on which both are defined with every seed, or None.

    Args:
        factor: of the values of ``worse``: 1.2 asks whether ``better`` is 20 % above it.
        lower: whether low values are good; the difference is then ``worse`` less ``better``.

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
    signed = (sign * better.values[:, defined], -sign * factor * worse.values[:, defined])
    means = [np.array([np.bincount(numbers, row) for row in values]) / counts for values in signed]  # (S, P) each
    fixed = (better.fixed, worse.fixed)
    return _difference(means, counts / counts.sum(), fixed, int(defined.sum()), int((~defined).sum()))


def _difference(
    means: Sequence[np.ndarray], weights: np.ndarray, fixed: Sequence[bool], images: int, left_out: int
) -> Difference:
    """Return the difference; ``means`` (S, P) of both methods, of the worse one with a minus."""
    by_patient = sum(values.mean(axis=0) for values in means)  # (P,)
    mean = float(weights @ by_patient)
    patients, seeds = len(weights), (len(means[0]), len(means[1]))
    if patients < 2:
        interval, unknown = (mean, *[np.nan] * 4), (np.nan, np.nan, (np.nan, np.nan))
        return Difference(*interval, patients, images, left_out, seeds, max(seeds) < 2, *unknown)
    corrected, patient_df = _patient_weights(weights)
    patient = float(corrected @ (by_patient - mean) ** 2)
    parts = [
        (0.0, 0.0) if known else _seed_parts(values, weights, corrected)
        for values, known in zip(means, fixed, strict=True)
    ]  # (variance of a seed's mean, of the interaction)
    known = [part for part, is_fixed in zip(parts, fixed, strict=True) if not is_fixed and not np.isnan(part[0])]
    degrees = [len(values) - 1 for values in means]
    terms, both = [], 0.0
    if known:  # the other's stands for that of a single seed
        degrees = [d if d or f else max(degrees) for d, f in zip(degrees, fixed, strict=True)]
        parts = [known[0] if np.isnan(part[0]) else part for part in parts]
        for (seed, interaction), number, df in zip(parts, seeds, degrees, strict=True):
            terms += [(seed / number, df), (-interaction / number, df * patient_df)]
            both += interaction / number
    extra = sum(value for value, _ in terms)
    variance = patient + max(extra, 0.0)
    error = float(np.sqrt(variance))
    df = _satterthwaite(variance, [(patient, patient_df), *(terms if extra > 0 else ())])
    half = float(stdtrit(df, (1 + LEVEL) / 2)) * error if error else 0.0
    interval, one_seed = (mean, mean - half, mean + half, error, df), not known and not all(fixed)
    left = (max(patient - both, 0.0), patient_df, tuple(seed for seed, _ in parts))
    return Difference(*interval, patients, images, left_out, seeds, one_seed, *left)


def _patient_weights(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return c_p and the degrees of freedom of V_patients."""
    corrected = weights**2 / (1 - 2 * weights + weights @ weights)
    # of A = R' diag(c) R with R = I - 1 w', the matrix of the quadratic form: tr(A)^2 / tr(A A)
    total, square = corrected.sum(), weights @ weights
    first = total - 2 * corrected @ weights + total * square
    gram = np.diag(corrected) - np.outer(corrected, weights) - np.outer(weights, corrected)
    gram += total * np.outer(weights, weights)
    return corrected, float(first**2 / (gram**2).sum())


def _seed_parts(means: np.ndarray, weights: np.ndarray, corrected: np.ndarray) -> tuple[float, float]:
    """Return the variance between seeds' means, and its part that is the interaction with patients; NaN for one."""
    if len(means) < 2:
        return np.nan, np.nan
    seed = means @ weights
    rest = means - means.mean(axis=0) - (seed - seed.mean())[:, None]
    return float(seed.var(ddof=1)), float(corrected @ (rest**2).sum(axis=0) / (len(means) - 1))


def _satterthwaite(variance: float, terms: Sequence[tuple[float, float]]) -> float:
    """Return the degrees of freedom of the sum of ``terms``, (value, degrees of freedom)."""
    spread = sum(value**2 / df for value, df in terms if value)
    return float(variance**2 / spread) if spread else float("inf")


def detectable(difference: Difference, seeds: int) -> float:
    """Return the smallest true difference found with a power of 80 %, with ``seeds`` of each.

    (t_0.975 + t_0.8) standard errors, with the estimated variance of patients, and that of seeds divided by their
    number (at least 2). NaN where the seeds' variance is unknown.
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

    Median plus influence function, sign(value - median) / (2 density), less its mean; the density from the quantiles
    at both sides of the median (Siddiqui 1960, with Bofinger's bandwidth, 1975).
    """
    scores = np.full(np.shape(values), np.nan)
    for seed, row in enumerate(np.asarray(values, dtype=float)):
        defined = ~np.isnan(row)
        if not defined.any():
            continue
        known = row[defined]
        median = np.median(known)
        width = min(0.5 * len(known) ** -0.2, 0.4)
        low, high = np.quantile(known, [0.5 - width, 0.5 + width], method="nearest")
        influence = (np.sign(known - median) / 2) * (high - low) / (2 * width)
        scores[seed, defined] = median + influence - influence.mean()
    return scores
