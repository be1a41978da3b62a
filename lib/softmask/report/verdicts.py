"""Whether a paper's claim holds on our own runs: a verdict from paired tests over test images, and from every seed.

The rule. A claim says that one method is better than another, often of many pairs at once. For each pair:

- The images on which the measure is defined for both methods and every seed count; what follows is over these alone.
- Values are averaged over seeds, image by image; the differences between the two methods get a 95 % bootstrap interval
  of their mean that draws whole patients, and a two-sided Wilcoxon signed-rank test over the patients' mean
  differences (:func:`paired_test`). In the interval every image weighs the same, so patients with many images weigh
  more; in the ranks every patient weighs the same.
- The pair *holds* where the interval lies above 0, the ranks favour the better method with an uncorrected p below 0.05,
  and every seed alone has a mean difference above 0.
- It *does not hold* where the opposite is shown: the interval lies below 0, the ranks favour the worse method with p
  below 0.05 after Holm's correction for the claim's pairs that are run, and every seed alone has a mean difference
  below 0.
- Otherwise it is *inconclusive*: the images or the seeds do not decide. An interval that contains 0 is no evidence of
  equality. A pair with fewer than 10 patients is inconclusive, too: neither interval nor ranks can be trusted then.

A claim holds only where all of its pairs do; so many conditions at once need no correction (an intersection-union
test). It does not hold where one of them does not; there one chance result among many would be enough, hence Holm's
correction. Else it is inconclusive, also where some of its methods are not run. One seed cannot disagree with itself,
so the number of seeds stands beside every verdict.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from softmask import papers
from softmask.config import BASE_SEED, Config
from softmask.errors import DataError
from softmask.files import read_json, write_atomic
from softmask.measure.statistics import PairedTest, holm, paired_test
from softmask.papers import display
from softmask.report.result import WORKBOOK, Cell, ResultTable
from softmask.report.tables import to_json
from softmask.report.text import NOT_A_RESULT, NOT_RUN

if TYPE_CHECKING:
    import pandas as pd

HOLDS, FAILS, INCONCLUSIVE = "holds", "does not hold", "inconclusive"
LEVEL = 0.05
LEAST_PATIENTS = 10
"""With fewer, a pair is inconclusive."""
POINTS = "percentage points"
"""Unit of differences between shares."""


@dataclass(frozen=True)
class Pair:
    """ "``better`` has the higher ``metric`` than ``worse`` on ``dataset``": two rows of the papers' tables.

    The metric is a share in [0, 1] of which more is better, such as Dice.
    """

    better: str
    worse: str
    dataset: str
    metric: str = "dice"

    def __str__(self) -> str:
        measure = "" if self.metric == "dice" else f", {display('metrics', self.metric)}"
        return f"{display('rows', self.better)} over {display('rows', self.worse)}{measure}"


@dataclass(frozen=True, eq=False)
class Scores:
    """One method's values on a data set's test images.

    Attributes:
        ids, groups: (N,) of each image, its id and its patient.
        values: (seeds, N); NaN where undefined.
        source: ``real`` or ``embedded``.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    values: np.ndarray
    source: str


@dataclass(frozen=True)
class Judged:
    """A pair with its verdict.

    Attributes:
        test: over images, values averaged over seeds; None where one of the methods is not run.
        ranks: which method the test's ranks favour, and how much (:func:`rank_correlation`).
        p_holm: the test's p value, corrected for the claim's pairs.
        by_seed: mean difference of each seed alone, over the same images.
    """

    pair: Pair
    verdict: str
    test: PairedTest | None = None
    ranks: float = float("nan")
    p_holm: float = float("nan")
    by_seed: tuple[float, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim in the paper's order, its verdict, why in words, the fewest seeds behind it (0: not run), its pairs."""

    claim: str
    verdict: str
    why: str
    seeds: int
    pairs: tuple[Judged, ...]


def judge(
    claim: str, pairs: Sequence[Pair], scores: Mapping[tuple[str, str, str], Scores], seed: int = BASE_SEED
) -> Verdict:
    """The verdict on ``claim``, by the rule above.

    Args:
        scores: by (row, data set, metric); a pair that lacks one of its two is not run.
        seed: of the bootstrap.

    Raises:
        DataError: two methods measured on different test images, or with different numbers of seeds.
    """
    compared = [_compare(pair, scores, seed) for pair in pairs]
    adjusted = holm([one.test.p if one.test else np.nan for one in compared])
    judged = [_decided(replace(one, p_holm=float(p))) for one, p in zip(compared, adjusted, strict=True)]
    if all(one.verdict == NOT_RUN for one in judged):
        return Verdict(claim, NOT_RUN, "none of its methods is run", 0, tuple(judged))
    there = [one for one in judged if one.test]
    if not there:
        return Verdict(claim, INCONCLUSIVE, "its measures are undefined on every test image", 0, tuple(judged))
    of = {name: sum(one.verdict == name for one in judged) for name in (HOLDS, FAILS, INCONCLUSIVE, NOT_RUN)}
    verdict = HOLDS if of[HOLDS] == len(judged) else FAILS if of[FAILS] else INCONCLUSIVE
    counts = ", ".join(f"{name} {count}" for name, count in of.items() if count)
    seeds = min(len(one.by_seed) for one in there)
    number = f"{len(judged)} comparison{'' if len(judged) == 1 else 's'}"
    why = f"{number}: {counts}; {seeds} seed{'' if seeds == 1 else 's'}"
    if few := sum(one.test.n_groups < LEAST_PATIENTS for one in there):
        why += f"; {few} on fewer than {LEAST_PATIENTS} patients, too few to decide"
    return Verdict(claim, verdict, why, seeds, tuple(judged))


def _compare(pair: Pair, scores: Mapping[tuple[str, str, str], Scores], seed: int) -> Judged:
    """The pair with its test, not decided yet."""
    better, worse = (scores.get((row, pair.dataset, pair.metric)) for row in (pair.better, pair.worse))
    if better is None or worse is None:
        return Judged(pair, NOT_RUN)
    if better.ids != worse.ids or better.groups != worse.groups:
        raise DataError(f"{pair} on {pair.dataset}: measured on different test images; train both again")
    if better.values.shape != worse.values.shape:
        raise DataError(f"{pair} on {pair.dataset}: {len(better.values)} and {len(worse.values)} seeds; run as many")
    ours, theirs = better.values.mean(axis=0), worse.values.mean(axis=0)  # (N,), NaN where a seed's value is
    defined = ~np.isnan(ours - theirs)
    if not defined.any():  # the PPV of a network that finds nothing
        return Judged(pair, INCONCLUSIVE, source=better.source)
    test = paired_test(ours, theirs, seed, better.groups)
    by_seed = (better.values - worse.values)[:, defined].mean(axis=1)
    ranks = rank_correlation((ours - theirs)[defined], np.array(better.groups)[defined])
    return Judged(pair, INCONCLUSIVE, test, ranks, by_seed=tuple(map(float, by_seed)), source=better.source)


def rank_correlation(differences: np.ndarray, groups: Sequence[str]) -> float:
    """The signed-rank test's direction: (W+ - W-) / (W+ + W-) of the groups' mean differences, in [-1, 1].

    Kerby 2014's matched-pairs rank-biserial correlation. ``differences`` (N,) are without NaN; 0 where all are 0.
    """
    _, numbers = np.unique(groups, return_inverse=True)
    means = np.bincount(numbers, weights=differences) / np.bincount(numbers)
    means = means[means != 0]  # as in the test
    ranks = rankdata(np.abs(means))
    return float((np.sign(means) * ranks).sum() / ranks.sum()) if len(means) else 0.0


def _decided(one: Judged) -> Judged:
    if one.test is None or one.test.n_groups < LEAST_PATIENTS:
        return one
    if one.test.low > 0 and one.ranks > 0 and one.test.p < LEVEL and min(one.by_seed) > 0:
        return replace(one, verdict=HOLDS)
    if one.test.high < 0 and one.ranks < 0 and one.p_holm < LEVEL and max(one.by_seed) < 0:
        return replace(one, verdict=FAILS)
    return one


def frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One line for each claim: claim, verdict, why."""
    import pandas as pd

    return pd.DataFrame([(v.claim, v.verdict, v.why) for v in verdicts], columns=["claim", "verdict", "why"])


def pairs_frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One line for each pair of each claim; differences in percentage points, interval and p value as in the rule."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "claim": number,
                "comparison": str(one.pair),
                "data set": display("datasets", one.pair.dataset),
                "difference": 100 * one.test.mean_difference,
                "low": 100 * one.test.low,
                "high": 100 * one.test.high,
                "p": f"{one.test.p:.2g}",
                "p (Holm)": f"{one.p_holm:.2g}",
                "patients": one.test.n_groups,
                "by seed": ", ".join(f"{100 * difference:.2f}" for difference in one.by_seed),
                "verdict": one.verdict,
            }
            for number, verdict in enumerate(verdicts, start=1)
            for one in verdict.pairs
            if one.test
        ]
    ).round({"difference": 2, "low": 2, "high": 2})


def table(name: str, title: str, caption: str, verdicts: Iterable[Verdict]) -> ResultTable:
    """The workbook's table of all pairs that are run; a row begins with the number of its claim."""
    cells = []
    for number, verdict in enumerate(verdicts, start=1):
        for one in verdict.pairs:
            if one.test is None:
                continue
            measures = {
                "difference": 100 * one.test.mean_difference,
                "low": 100 * one.test.low,
                "high": 100 * one.test.high,
                "p": one.test.p,
                "p_holm": one.p_holm,
                "patients": float(one.test.n_groups),
                "verdict": float("nan"),
            }
            counts = (one.test.n, len(one.by_seed), one.source)
            for metric, value in measures.items():
                note = one.verdict if metric == "verdict" else ""
                cells.append(
                    Cell(f"{number}. {one.pair}", one.pair.dataset, metric, value, float("nan"), *counts, note)
                )
    units = dict.fromkeys(("difference", "low", "high"), POINTS)
    units |= {"p": "number", "p_holm": "number", "patients": "count", "verdict": "text"}
    return ResultTable(WORKBOOK, name, title, caption, cells, units)


def path_of(paper: str, config: Config) -> Path:
    """Where the verdicts on a paper's claims are: ``results/<run>/claims/<paper>.json``."""
    return config.results / "claims" / f"{paper}.json"


def write(paper: str, verdicts: Sequence[Verdict], config: Config, by_readers: Sequence[Verdict] = ()) -> Path:
    """Write the verdicts, with every pair's numbers, to :func:`path_of`; the report reads them there.

    Of a paper whose claims several notebooks judge, each notebook writes its own: what the file has on other claims
    stays there. A damaged file is written anew.

    Args:
        by_readers: the same claims, judged by the readers' consensus on LNSM.
    """
    kept = _others(paper, {verdict.claim for verdict in verdicts}, config)
    content = {
        "paper": paper,
        "profile": config.profile.name,
        "run": config.run,
        "result": config.profile.is_result,
        **({} if config.profile.is_result else {"warning": NOT_A_RESULT}),
        "claims": _in_order(paper, [*map(asdict, verdicts), *kept["claims"]]),
        "by_readers": _in_order(paper, [*map(asdict, by_readers), *kept["by_readers"]]),
    }
    return write_atomic(path_of(paper, config), to_json(content))


def _others(paper: str, mine: Container[str], config: Config) -> dict[str, list[dict]]:
    """What the file holds on claims of the paper that are not among ``mine``."""
    others = [claim for claim in papers.load(paper).claims if claim not in mine]
    try:
        content = read_json(path_of(paper, config))
        parts = {part: {str(one["claim"]): one for one in content[part]} for part in ("claims", "by_readers")}
    except (DataError, LookupError, TypeError):  # not there yet, or damaged and written anew
        return {"claims": [], "by_readers": []}
    return {part: [of[claim] for claim in others if claim in of] for part, of in parts.items()}


def _in_order(paper: str, found: list[dict]) -> list[dict]:
    order = papers.load(paper).claims
    return sorted(found, key=lambda one: order.index(one["claim"]) if one["claim"] in order else len(order))


def read(paper: str, config: Config) -> dict[str, dict[str, str]]:
    """What :func:`write` wrote, by claim: ``verdict``, ``why``, and both ``by_readers`` in words (empty where the
    readers do not judge it). Empty where nothing was written.

    Raises:
        DataError: names the file that cannot be read or does not hold verdicts.
    """
    path = path_of(paper, config)
    if not path.exists():
        return {}
    try:
        content = read_json(path, "run its notebook again")
        readers = {
            str(one["claim"]): f"{one['verdict']} ({one['why']})"
            for one in content["by_readers"]
            if one["verdict"] != NOT_RUN
        }
        return {
            claim: {"verdict": str(one["verdict"]), "why": str(one["why"]), "by_readers": readers.get(claim, "")}
            for one in content["claims"]
            for claim in [str(one["claim"])]
        }
    except (LookupError, TypeError) as error:
        raise DataError(f"{path}: holds no verdicts ({error!r}); run its notebook again") from error
