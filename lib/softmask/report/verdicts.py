"""Verdicts on the papers' claims for people: sentences, frames, the workbook's tables, and the files between them.

The rule stands in :mod:`softmask.measure.verdicts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from softmask import papers
from softmask.config import Config
from softmask.data.sample import WORDS
from softmask.errors import DataError
from softmask.files import read_json, write_atomic
from softmask.measure.differences import detectable
from softmask.measure.verdicts import (
    CONTRADICTED,
    FAILED_TRAINING,
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    LEAST_PATIENTS,
    NO_GAIN,
    NOT_FINISHED,
    NOT_RUN,
    REPORTED,
    UNDERTRAINED,
    Outcome,
)
from softmask.papers import Pair, display
from softmask.papers.claims import UNITS
from softmask.report.result import WORKBOOK, Cell, ResultTable
from softmask.report.tables import to_json
from softmask.report.text import NOT_A_RESULT, NOTHING_PRINTED

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = (HOLDS, FAILS, INCONCLUSIVE, UNDERTRAINED, FAILED_TRAINING, NOT_FINISHED, REPORTED, NOT_RUN)
"""Verdicts on a claim, in the order in which they are counted."""
POINTS = UNITS["points"]
SEEDS = (3, 5, 8)
"""Numbers of seeds for which the smallest detectable difference is told."""

_COUNTED = {
    HOLDS: "{} hold",
    CONTRADICTED: "{} contradicted",
    NO_GAIN: "{} with no such gain",
    INCONCLUSIVE: "{} inconclusive",
    UNDERTRAINED: "{} undertrained",
    FAILED_TRAINING: "{} with failed training",
    NOT_RUN: "{} not run yet",
}


@dataclass(frozen=True)
class Judged:
    """A pair of a claim, with its verdict."""

    pair: Pair
    outcome: Outcome


@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim.

    Attributes:
        claim: its words.
        why: one or two sentences, without the last full stop; empty where nothing was run.
        deciding: number of the pair that decides it, counted from 0; None where there is none.
        unit: of the differences, in words.
    """

    claim: str
    verdict: str
    why: str = ""
    pairs: tuple[Judged, ...] = ()
    deciding: int | None = None
    unit: str = POINTS


def sentence(verdict: str, pairs: Sequence[Judged], deciding: int | None, unit: str = POINTS) -> str:
    """Why a claim has its verdict: the deciding pair with its interval and what is printed, how many pairs go which
    way, and trainings that failed."""
    if deciding is None:
        return ""
    parts = [_decided(pairs[deciding], unit)]
    if len(pairs) > 1:
        counts = Counter(one.outcome.verdict for one in pairs)
        parts.append(
            f"Of {len(pairs)} comparisons {', '.join(t.format(counts[v]) for v, t in _COUNTED.items() if counts[v])}"
        )
    if verdict not in (FAILED_TRAINING, UNDERTRAINED):
        parts += list(_failures(pairs))
    return ". ".join(parts)


def _decided(judged: Judged, unit: str) -> str:
    pair, outcome = judged.pair, judged.outcome
    where = f"{display('datasets', pair.dataset)} ({outcome.data})"
    if outcome.verdict == FAILED_TRAINING:
        row, training = next(one for one in _trained(judged) if one[1].obstacle == FAILED_TRAINING)
        return f"{row} on {where}: {training.failed} of {training.begun} trainings failed to start"
    if outcome.verdict == UNDERTRAINED:
        row, training = next(one for one in _trained(judged) if one[1].obstacle == UNDERTRAINED)
        return f"{row} on {where} was still learning{_rise(training.gain)}"
    difference = outcome.difference
    if difference is None:
        return f"{pair} on {where}: undefined on every image"
    sentence = f"{pair} on {where}: {difference.mean:.2f} {unit}"
    if difference.patients < LEAST_PATIENTS:
        return f"{sentence}, on {difference.patients} patients, too few to decide"
    sentence += f" ({difference.low:.2f} to {difference.high:.2f})"
    if pair.printed == pair.printed:  # not NaN
        side = "inside" if _inside(judged) == "yes" else "outside"
        sentence += f"; the printed {pair.printed:.2f} lie {side}"
    return sentence + ("; one seed: the variance between seeds is unknown" if difference.one_seed else "")


def _rise(gain: float) -> str:
    return f" when its training ended (validation Dice {gain:+.2g} over the last fifth)" if gain < 1 else ""


def _trained(judged: Judged) -> list[tuple[str, object]]:
    """Both methods of a pair, by name for people, with how their trainings went."""
    names = [display("rows", row) for row in (judged.pair.better, judged.pair.worse)]
    return list(zip(names, judged.outcome.trainings, strict=False))


def _failures(pairs: Sequence[Judged]) -> Iterable[str]:
    """Each network of which a training failed or was begun anew, once."""
    told: dict[str, str] = {}
    for judged in pairs:
        for row, training in _trained(judged):
            words = []
            if training.failed:
                words.append(f"{training.failed} of {training.begun} trainings failed to start")
            if training.restarts:
                words.append(f"{training.restarts} of {training.begun} begun anew")
            if words:
                told[f"{row} on {display('datasets', judged.pair.dataset)}"] = " and ".join(words)
    return [f"{network}: {words}" for network, words in told.items()]


def _inside(judged: Judged) -> str:
    """Whether the interval holds the printed difference: ``yes``, ``no``, or a dash where one of them is missing."""
    printed, difference = judged.pair.printed, judged.outcome.difference
    if difference is None or not (difference.low <= difference.high and printed == printed):
        return NOTHING_PRINTED
    return "yes" if difference.low <= printed <= difference.high else "no"


def frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One line for each claim: claim, verdict, why."""
    import pandas as pd

    return pd.DataFrame([(v.claim, v.verdict, v.why) for v in verdicts], columns=["claim", "verdict", "why"])


def _seeds(judged: Judged) -> str:
    """``3``, or ``3 and 2`` where the methods have different numbers of seeds."""
    return " and ".join(map(str, dict.fromkeys(judged.outcome.difference.seeds)))


def pairs_frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One line for each pair that is run; differences in the claim's unit and in its favour, with 95 % intervals."""
    import pandas as pd

    lines = [
        {
            "claim": number,
            "comparison": str(judged.pair),
            "data set": display("datasets", judged.pair.dataset),
            "difference": judged.outcome.difference.mean,
            "low": judged.outcome.difference.low,
            "high": judged.outcome.difference.high,
            "unit": verdict.unit,
            "printed": judged.pair.printed,
            "inside": _inside(judged),
            "patients": judged.outcome.difference.patients,
            "seeds": _seeds(judged),
            "verdict": judged.outcome.verdict,
        }
        for number, verdict in enumerate(verdicts, start=1)
        for judged in verdict.pairs
        if judged.outcome.difference
    ]
    return pd.DataFrame(lines).round(dict.fromkeys(("difference", "low", "high", "printed"), 2))


def detectable_frame(verdicts: Iterable[Verdict], seeds: Sequence[int] = SEEDS) -> pd.DataFrame:
    """One line for each claim: the smallest difference that would be detected with so many seeds of each network, in
    the pair that is hardest to decide, beside that pair's delta.

    A claim is not decidable where delta is the smaller one. Claims whose pairs have a single seed are left out: the
    variance between seeds is then unknown.
    """
    import pandas as pd

    lines = []
    for number, verdict in enumerate(verdicts, start=1):
        known = [
            judged
            for judged in verdict.pairs
            if judged.outcome.difference and detectable(judged.outcome.difference, seeds[0]) >= 0
        ]
        if known:
            worst = max(known, key=lambda judged: detectable(judged.outcome.difference, seeds[0]) - judged.pair.delta)
            sizes = {f"{n} seeds": round(detectable(worst.outcome.difference, n), 2) for n in seeds}
            place = {
                "claim": number,
                "hardest comparison": str(worst.pair),
                "data set": display("datasets", worst.pair.dataset),
            }
            lines.append(place | {"delta": worst.pair.delta, **sizes, "unit": verdict.unit})
    return pd.DataFrame(lines)


def table(name: str, title: str, caption: str, verdicts: Iterable[Verdict]) -> ResultTable:
    """The workbook's table of all pairs that are run; a row begins with the number of its claim."""
    cells, nothing = [], float("nan")
    for number, verdict in enumerate(verdicts, start=1):
        for judged in verdict.pairs:
            pair, difference = judged.pair, judged.outcome.difference
            if difference is None:
                continue
            numbers = {"difference": difference.mean, "low": difference.low, "high": difference.high}
            numbers |= {"printed": pair.printed, "patients": float(difference.patients)}
            words = {"inside": _inside(judged), "unit": verdict.unit, "seeds": _seeds(judged)}
            words["verdict"] = judged.outcome.verdict
            source = next(kind for kind, words in WORDS.items() if words == judged.outcome.data)
            place, counts = (f"{number}. {pair}", pair.dataset), (difference.images, min(difference.seeds), source)
            cells += [Cell(*place, metric, value, nothing, *counts) for metric, value in numbers.items()]
            cells += [Cell(*place, metric, nothing, nothing, *counts, note) for metric, note in words.items()]
    units = dict.fromkeys(("difference", "low", "high", "printed"), "number")
    units |= {"patients": "count"} | dict.fromkeys(("inside", "unit", "seeds", "verdict"), "text")
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
    others = [claim.words for claim in papers.load(paper).claims if claim.words not in mine]
    try:
        content = read_json(path_of(paper, config))
        parts = {part: {str(one["claim"]): one for one in content[part]} for part in ("claims", "by_readers")}
    except (DataError, LookupError, TypeError):  # not there yet, or damaged and written anew
        return {"claims": [], "by_readers": []}
    return {part: [of[claim] for claim in others if claim in of] for part, of in parts.items()}


def _in_order(paper: str, found: list[dict]) -> list[dict]:
    order = [claim.words for claim in papers.load(paper).claims]
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
        if unknown := {str(one["verdict"]) for one in content["claims"]}.difference(VERDICTS):
            raise LookupError(f"no verdict is called {min(unknown)!r}")
        readers = {
            str(one["claim"]): f"{one['verdict']}{' (' + str(one['why']) + ')' if one['why'] else ''}"
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
