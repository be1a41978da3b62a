"""Verdicts on the papers' claims for readers: sentences, frames, figures, the workbook's tables, and JSON files.

The rule is in :mod:`softmask.measure.verdicts`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from softmask import papers
from softmask.config import Config
from softmask.data.sample import WORDS
from softmask.errors import DataError
from softmask.files import read_json, write_atomic
from softmask.measure import verdicts as rule
from softmask.measure.differences import Difference, Scores, detectable
from softmask.papers import Pair, display
from softmask.papers.claims import UNITS
from softmask.report.result import NOTHING_PRINTED, WORKBOOK, Cell, Key, ResultTable
from softmask.report.tables import AGAIN, about_run, to_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = (
    *(rule.HOLDS, rule.FAILS, rule.INCONCLUSIVE, rule.UNDERTRAINED, rule.FAILED_TRAINING, rule.OUT_OF_REACH),
    *(rule.NOT_FINISHED, rule.REPORTED, rule.NOT_RUN),
)
"""Verdicts on a claim, in the order in which they are counted."""
POINTS = UNITS["points"]
SEEDS = (3, 5, 8)
"""Numbers of seeds for which :func:`detectable_frame` gives the smallest detectable difference."""

_COUNTED = {
    rule.HOLDS: "hold",
    rule.CONTRADICTED: "contradicted",
    rule.NO_GAIN: "with the gain ruled out",
    rule.INCONCLUSIVE: "inconclusive",
    rule.UNDERTRAINED: "undertrained",
    rule.FAILED_TRAINING: "with failed training",
    rule.OUT_OF_REACH: "out of reach",
    rule.NOT_RUN: "not run yet",
}

_STYLES = {
    rule.HOLDS: {"marker": "o", "markerfacecolor": "#0072B2", "color": "#0072B2"},
    rule.CONTRADICTED: {"marker": "X", "markerfacecolor": "#D55E00", "color": "#D55E00"},
    rule.NO_GAIN: {"marker": "v", "markerfacecolor": "#D55E00", "color": "#D55E00"},
    rule.INCONCLUSIVE: {"marker": "o", "markerfacecolor": "white", "color": "black"},
    rule.UNDERTRAINED: {"marker": "s", "markerfacecolor": "white", "color": "0.6"},
    rule.FAILED_TRAINING: {"marker": "s", "markerfacecolor": "0.6", "color": "0.6"},
    rule.OUT_OF_REACH: {"marker": "D", "markerfacecolor": "white", "color": "0.6"},
}
"""Marker of a pair in a figure, by its verdict."""


@dataclass(frozen=True)
class JudgedPair:
    """Pair of a claim, with its verdict."""

    pair: Pair
    outcome: rule.Outcome

    @property
    def inside(self) -> str:
        """Whether the interval includes the printed difference: ``yes``, ``no``, or a dash where either is missing."""
        printed, difference = self.pair.printed, self.outcome.difference
        if difference is None or not difference.low <= difference.high or math.isnan(printed):
            return NOTHING_PRINTED
        return "yes" if difference.low <= printed <= difference.high else "no"

    @property
    def unreachable(self) -> bool:
        """Whether the printed difference is larger than any method could have here."""
        return self.pair.printed > self.outcome.room

    @property
    def trainings(self) -> list[tuple[str, Any]]:
        """Display names of both methods, with their training runs."""
        names = [display("rows", row) for row in (self.pair.better, self.pair.worse)]
        return list(zip(names, self.outcome.trainings, strict=False))


@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim, and its reason: sentences without the last full stop, or empty where nothing was run.

    ``deciding`` is the index of the deciding pair, ``unit`` the unit of the differences, in words.
    """

    claim: str
    verdict: str
    why: str = ""
    pairs: tuple[JudgedPair, ...] = ()
    deciding: int | None = None
    unit: str = POINTS

    @property
    def deciding_pair(self) -> JudgedPair | None:
        return None if self.deciding is None else self.pairs[self.deciding]


def sentence(verdict: str, pairs: Sequence[JudgedPair], deciding: int | None, unit: str = POINTS) -> str:
    """Return the reason for a claim's verdict: the deciding pair with its interval and the printed difference, the
    number of pairs with each verdict, and the training runs that failed."""
    if deciding is None:
        return ""
    parts = [_decided(pairs[deciding], unit)]
    if len(pairs) > 1:
        counts = Counter(judged.outcome.verdict for judged in pairs)
        verdict_counts = [f"{counts[verdict]} {label}" for verdict, label in _COUNTED.items() if counts[verdict]]
        parts.append(f"Of {len(pairs)} comparisons {', '.join(verdict_counts)}")
    if verdict == rule.FAILED_TRAINING:  # the deciding pair says so
        return ". ".join(parts)
    for judged in pairs:
        for row, training in judged.trainings:
            counts = {"failed": training.failed, "restarted": training.restarts}
            if failures := [f"{n} {label}" for label, n in counts.items() if n]:
                network = f"{row} on {display('datasets', judged.pair.dataset)}"
                parts.append(f"{network}: of {training.begun} training runs {' and '.join(failures)}")
    return ". ".join(dict.fromkeys(parts))


def _decided(judged: JudgedPair, unit: str) -> str:
    pair, outcome, difference = judged.pair, judged.outcome, judged.outcome.difference
    where = f"{display('datasets', pair.dataset)} ({outcome.data})"
    if outcome.verdict in (rule.FAILED_TRAINING, rule.UNDERTRAINED):
        row, training = next(pair for pair in judged.trainings if pair[1].obstacle == outcome.verdict)
        if outcome.verdict == rule.FAILED_TRAINING:
            return f"{row} on {where}: {training.failed} of {training.begun} training runs failed"
        if math.isinf(training.gain):
            return f"{row} on {where} was undertrained (too few epochs)"
        return f"{row} on {where} was undertrained (validation Dice {training.gain:+.2g} in the last fifth of training)"
    if difference is None:
        return f"{pair} on {where}: undefined on every image"
    if outcome.verdict == rule.OUT_OF_REACH:
        return f"{pair} on {where}: the multiple is more than the largest possible value; no method could reach it"
    text = f"{pair} on {where}: a gain of {difference.mean:.2f} {unit}"
    if difference.patients < rule.LEAST_PATIENTS:
        return f"{text}, on {difference.patients} patients, too few to decide"
    text += f" ({difference.low:.2f} to {difference.high:.2f}; {difference.patients} patients)"
    if outcome.verdict == rule.NO_GAIN:
        text += f", which rules out {pair.delta:g}"
    if not math.isnan(pair.printed):
        includes = "includes" if judged.inside == "yes" else "does not include"
        text += f"; the interval {includes} the published difference of {pair.printed:.2f}"
        text += f", more than the {outcome.room:.2f} that are possible here" if judged.unreachable else ""
    size = detectable(difference, min(difference.seeds)) if min(difference.seeds) > 1 else math.nan
    if outcome.verdict == rule.INCONCLUSIVE and math.isfinite(size):
        text += f"; {size:.2f} would be detected"
    text += "; one seed: the variance between seeds is unknown" if difference.one_seed else ""
    epochs_by_row = {row: training.epochs for row, training in judged.trainings if training.epochs}
    if len({*epochs_by_row.values()}) > 1:
        text += "; " + " and ".join(f"{row} was trained for {epochs} epochs" for row, epochs in epochs_by_row.items())
    return text


def frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return a line for each claim: claim, verdict, why."""
    return pd.DataFrame([(v.claim, v.verdict, v.why) for v in verdicts], columns=["claim", "verdict", "why"])


def _run(verdicts: Iterable[Verdict]) -> Iterator[tuple[int, JudgedPair, Difference, str]]:
    """Yield for every pair that is run: number of the claim, pair, difference, and unit of the claim."""
    for number, verdict in enumerate(verdicts, start=1):
        for judged in verdict.pairs:
            if judged.outcome.difference is not None:
                yield number, judged, judged.outcome.difference, verdict.unit


def _values(judged: JudgedPair, difference: Difference, unit: str) -> dict[str, Any]:
    return {
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "unit": unit,
        "printed": judged.pair.printed,
        "inside": judged.inside,
        "patients": difference.patients,
        "seeds": " and ".join(map(str, dict.fromkeys(difference.seeds))),
        "verdict": judged.outcome.verdict,
    }


def pairs_frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return a line for each pair that is run: the difference in the claim's unit and favour, with 95 % interval."""
    lines = []
    for number, judged, difference, unit in _run(verdicts):
        fields = {"comparison": str(judged.pair), "data set": display("datasets", judged.pair.dataset)}
        lines.append({"claim": number, **fields, **_values(judged, difference, unit)})
    frame = pd.DataFrame(lines).round(dict.fromkeys(("difference", "low", "high", "printed"), 2))
    return frame.rename(columns={"inside": display("metrics", "inside")})


def detectable_frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return a line for each claim: the smallest detectable difference with each number of :data:`SEEDS` per network,
    in the pair that is hardest to decide, beside the pair's delta.

    A claim is not decidable where delta is the smaller of the two. Claims with a single seed are left out.
    """
    hardest: dict[int, tuple[float, dict[str, Any]]] = {}
    for number, judged, difference, unit in _run(verdicts):
        pair, sizes = judged.pair, {f"{n} seeds": round(detectable(difference, n), 2) for n in SEEDS}
        excess = detectable(difference, SEEDS[0]) - pair.delta  # NaN with a single seed
        if excess > hardest.get(number, (-math.inf,))[0]:
            fields = {"hardest comparison": str(pair), "data set": display("datasets", pair.dataset)}
            hardest[number] = (excess, {"claim": number, **fields, "delta": pair.delta, **sizes, "unit": unit})
    return pd.DataFrame([line for _, line in hardest.values()])


def figure(verdicts: Iterable[Verdict], measure: str = "Dice") -> Figure | None:
    """Draw the difference of every pair that is run, with its 95 % interval; a panel for each data set.

    Return None where no pair is run. ``measure`` is the measure of the differences.
    """
    from softmask.report.forest import Interval, intervals  # slow import of matplotlib

    points, units = [], {}
    for number, judged, difference, unit in _run(verdicts):
        key = (judged.pair.dataset, f"{number}. {judged.pair}", judged.outcome.verdict)
        points.append(Interval(*key, difference.mean, (difference.low, difference.high)))
        units[unit] = None
    if not points:
        return None
    styles = {verdict: style | {"markersize": 10} for verdict, style in _STYLES.items()}
    fig, axes = intervals(points, styles, f"difference in {measure}\n({' or '.join(units)})")
    for ax in axes:
        ax.axvline(0, color="0.5", linestyle=":")
    return fig


def table(name: str, title: str, caption: str, verdicts: Sequence[Verdict]) -> ResultTable:
    """Return the workbook's table of all pairs that are run; each row begins with the number of its claim."""
    units = {"difference": "number", "low": "number", "high": "number", "printed": "number", "patients": "count"}
    units |= dict.fromkeys(("inside", "unit", "seeds", "verdict"), "text")
    kinds = {description: kind for kind, description in WORDS.items()}
    cells = []
    for number, judged, difference, unit in _run(verdicts):
        values = _values(judged, difference, unit)
        counts = (difference.images, min(difference.seeds), kinds[judged.outcome.data])
        for metric, kind in units.items():
            mean, note = (math.nan, values[metric]) if kind == "text" else (float(values[metric]), "")
            row = f"{number}. {judged.pair}"
            cells.append(Cell(row, judged.pair.dataset, metric, mean, math.nan, *counts, note))
    return ResultTable(WORKBOOK, name, title, caption, cells, units)


def write(
    paper: str,
    verdicts: Sequence[Verdict],
    config: Config,
    by_readers: Sequence[Verdict] = (),
    scores: Mapping[Key, Scores] | None = None,
) -> Path:
    """Write the verdicts, with the numbers of every pair, to ``results/<run>/claims/<paper>.json``, for the report.

    Other claims in the file are kept, because several notebooks may judge claims of one paper. A damaged file is
    replaced. ``by_readers`` has the same claims, judged by the readers' consensus on LNSM. ``scores`` are the values of
    each image behind these verdicts, where no record of a training run has them.
    """
    path = config.results / "claims" / f"{paper}.json"
    order = {claim.words: index for index, claim in enumerate(papers.load(paper).claims)}
    new_claims = {verdict.claim for verdict in verdicts}
    try:
        old_json = read_json(path)
        kept_claims = {part: [c for c in old_json[part] if c["claim"] in order.keys() - new_claims] for part in _PARTS}
        values = {**old_json.get("values", {})}
    except (DataError, LookupError, TypeError):  # missing or damaged: written from scratch
        kept_claims, values = dict.fromkeys(_PARTS, ()), {}
    content = {"paper": paper, **about_run(config)}
    for part, part_verdicts in zip(_PARTS, (verdicts, by_readers), strict=True):
        claims = [*map(asdict, part_verdicts), *kept_claims[part]]
        content[part] = sorted(claims, key=lambda claim: order.get(claim["claim"], len(order)))
    compared_keys = {key for verdict in verdicts for judged in verdict.pairs for key in judged.pair.keys}
    values |= {"|".join(key): vars(score) for key, score in (scores or {}).items() if key in compared_keys}
    return write_atomic(path, to_json(content | ({"values": values} if values else {})))


_PARTS = ("claims", "by_readers")
_MAY_BE_NONE = ("difference", "at_least", "deciding")
"""Fields in which null is None; in all other fields, null is NaN (:func:`to_json`)."""


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the content written by :func:`write`, by claim: the fields of :class:`Verdict`, and ``by_readers``, the
    verdict by readers with its reason as text (empty where there is none).

    Raises:
        DataError: names the file that cannot be read or does not hold verdicts.
    """
    from softmask.experiments.spec import from_plain  # slow import of torch

    content = read_json(path, AGAIN)
    try:
        by_part = {part: [from_plain(Verdict, _with_nan(claim), part) for claim in content[part]] for part in _PARTS}
        verdicts = {verdict.claim: {**vars(verdict), "by_readers": ""} for verdict in by_part["claims"]}
        for claim in by_part["claims"]:
            if claim.verdict not in VERDICTS:
                raise LookupError(f"no verdict is called {claim.verdict!r}")
            if claim.deciding is not None and not 0 <= claim.deciding < len(claim.pairs):
                raise LookupError(f"deciding: {claim.deciding} is the place of no pair")
        for claim in by_part["by_readers"]:
            if claim.verdict != rule.NOT_RUN and claim.claim in verdicts:
                verdicts[claim.claim]["by_readers"] = claim.verdict + (f" ({claim.why})" if claim.why else "")
        return verdicts
    except (LookupError, TypeError, RecursionError, DataError) as error:
        raise DataError(f"{path}: holds no verdicts ({error!r}); {AGAIN}") from error


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        undefined = {name: "nan" for name, item in value.items() if item is None and name not in _MAY_BE_NONE}
        return {name: _with_nan(item) for name, item in value.items()} | undefined
    if isinstance(value, list):
        return ["nan" if item is None else _with_nan(item) for item in value]
    return value


def read_values(path: Path) -> dict[Key, Scores]:
    """Return the ``scores`` written by :func:`write`; empty where the file is missing or has none.

    Raises:
        DataError: names the file that cannot be read or lacks expected content.
    """
    content, scores = read_json(path, AGAIN) if path.exists() else {}, {}
    try:
        for name, fields in content.get("values", {}).items():
            row, dataset, metric = name.split("|")
            arrays = {part: tuple(fields[part]) for part in ("ids", "patients", "curves")}
            numbers = {"values": np.array(fields["values"], float)}  # null is NaN
            scores[row, dataset, metric] = Scores(**{**fields, **arrays, **numbers})
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: holds no values ({error!r}); {AGAIN}") from error
    return scores
