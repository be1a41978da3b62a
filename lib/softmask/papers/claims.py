"""The papers' claims as data: their words, and the pairs of printed rows that they compare.

A claim in a paper's file::

    - words: softgan > every other method in PPV, on lnsm (table-1)
      unit: points         # of differences: percentage points of a share; or pixels, or ms
      direction: higher    # which values are good ones; or lower
      pairs:
        - {better: softgan, over: {unet: 1, cfcnn: 1}, dataset: lnsm, metric: ppv}

``over`` gives each row that is exceeded, with its delta: the smallest gain that counts, in the claim's unit. It is the
smaller of 1 and the printed gain (0 where none is printed in the claim's favour), and checked against the printed
cells; where these are missing it is as given. A pair may have

- ``kind: adds_little``: the difference lies inside +-delta; or ``kind: suffices``: it lies above -delta. For both the
  delta is 1, since the papers print no margin;
- ``times: 1.2``: the exceeded value is multiplied by that;
- ``row`` and ``at_least`` in place of ``better`` and ``over``: a row's own mean, in the claim's unit, against a bound.

A claim with ``judged: false`` has no pairs: what was measured for it is reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from softmask.errors import DataError
from softmask.measure.verdicts import BETTER, KINDS
from softmask.papers.names import display, known

UNITS = {"points": "percentage points", "pixels": "pixels", "ms": "ms"}
"""Of differences, with the words for people."""
SCALES = {"points": 100.0, "pixels": 1.0, "ms": 1.0}
"""By unit, what a measured value is multiplied by."""
DIRECTIONS = ("higher", "lower")
LARGEST_DELTA = 1.0

_PRINTED_AS = {
    "iou": "mean_iou",
    "hausdorff": "mean_hausdorff",
    "dice3d": "mean_dice3d",
    "dice_consensus50": "dice_with_consensus50",
}
"""Names in print of measures, where they differ."""

Cells = Mapping[tuple[str, str, str], tuple[float, str]]
"""Printed mean and unit by (row, data set, metric)."""


@dataclass(frozen=True)
class Pair:
    """Statement about two rows on one data set, or about one row and a bound.

    Attributes:
        better, worse: rows; ``worse`` is empty where there is a bound.
        metric: by which they are compared.
        kind: ``better``, ``adds_little`` or ``suffices``.
        delta: smallest difference that counts, in the claim's unit.
        times: what the values of ``worse`` are multiplied by.
        at_least: the bound, in the claim's unit; None where two rows are compared.
        printed: difference in print, in the claim's unit and favour; NaN where a cell is missing.
    """

    better: str
    worse: str
    dataset: str
    metric: str = "dice"
    kind: str = BETTER
    delta: float = 0.0
    times: float = 1.0
    at_least: float | None = None
    printed: float = math.nan

    def __str__(self) -> str:
        measure = "" if self.metric == "dice" else f", {display('metrics', self.metric)}"
        if self.at_least is not None:
            return f"{display('rows', self.better)}, at least {self.at_least:g}{measure}"
        between = {"adds_little": "adds little to", "suffices": "suffices in place of"}.get(self.kind, "over")
        times = f"{self.times:g} x " if self.times != 1 else ""
        return f"{display('rows', self.better)} {between} {times}{display('rows', self.worse)}{measure}"


@dataclass(frozen=True)
class Claim:
    """What a paper concludes.

    Attributes:
        words: in this project's words; they identify the claim within its paper.
        unit: of differences (:data:`UNITS`).
        lower: whether low values are good ones.
        judged: False where what was measured is reported alone.
    """

    words: str
    pairs: tuple[Pair, ...]
    unit: str = "points"
    lower: bool = False
    judged: bool = True

    def __str__(self) -> str:
        return self.words

    @property
    def scale(self) -> float:
        """What a measured value is multiplied by to be in the claim's unit."""
        return SCALES[self.unit]


def parse(paper: str, content: Iterable[Any], cells: Cells) -> tuple[Claim, ...]:
    """The claims of a paper's file.

    Raises:
        DataError: names the claim with a field, row, data set, metric or delta that does not fit.
    """
    claims = tuple(_claim(paper, item, cells) for item in content)
    words = [claim.words for claim in claims]
    for repeated in {one for one in words if words.count(one) > 1}:
        raise DataError(f"{paper}, claim {repeated!r}: is given twice")
    return claims


def _claim(paper: str, item: Any, cells: Cells) -> Claim:
    if not isinstance(item, Mapping) or not isinstance(item.get("words"), str) or not item["words"]:
        raise DataError(f"{paper}: a claim needs its words, not {item!r}")
    where = f"{paper}, claim {item['words']!r}"
    _fields(item, {"words", "unit", "direction"}, {"pairs", "judged"}, where)
    _one_of(item["unit"], UNITS, "unit", where)
    _one_of(item["direction"], DIRECTIONS, "direction", where)
    judged, given = item.get("judged", True), item.get("pairs", [])
    if not isinstance(judged, bool) or not isinstance(given, list) or judged != bool(given):
        raise DataError(f"{where}: needs a list of pairs, or judged: false and none")
    lower = item["direction"] == "lower"
    pairs = [pair for one in given for pair in _pairs(one, item["unit"], lower, cells, where)]
    if len({(p.better, p.worse, p.dataset, p.metric, p.times) for p in pairs}) < len(pairs):
        raise DataError(f"{where}: gives a pair twice")
    return Claim(item["words"], tuple(pairs), item["unit"], lower, judged)


def _pairs(item: Any, unit: str, lower: bool, cells: Cells, where: str) -> Iterator[Pair]:
    """The pairs of one line."""
    if not isinstance(item, Mapping):
        raise DataError(f"{where}: {item!r} is no pair")
    bounded = "at_least" in item
    own = {"row", "at_least"} if bounded else {"better", "over"}
    _fields(item, own | {"dataset", "metric"}, set() if bounded else {"kind", "times"}, where)
    better = item["row" if bounded else "better"]
    over = {"": 0} if bounded else item["over"]
    kind, times = item.get("kind", BETTER), item.get("times", 1)
    _one_of(kind, KINDS, "kind", where)
    if not isinstance(over, Mapping) or not over:
        raise DataError(f"{where}: over must give a delta for each row, not {over!r}")
    rows, datasets, metrics = ({key[i] for key in cells} for i in range(3))
    _one_of(item["dataset"], datasets | known("datasets"), "data set", where)
    _one_of(item["metric"], metrics | known("metrics"), "metric", where)
    for row in (better, *(() if bounded else over)):
        _one_of(row, rows | known("rows"), "row", where)
    for name, value in {"times": times, "at_least": item.get("at_least", 0), **over}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DataError(f"{where}: {name} must be a number of at least 0, not {value!r}")
    for worse, delta in over.items():
        pair = Pair(better, worse, item["dataset"], item["metric"], kind, float(delta), float(times),
                    float(item["at_least"]) if bounded else None)  # fmt: skip
        printed = math.nan if bounded else _printed(pair, unit, lower, cells)
        expected = round(min(max(printed, 0.0), LARGEST_DELTA), 3)
        if kind == BETTER and not math.isnan(printed) and delta != expected:
            raise DataError(
                f"{where}: {pair} on {pair.dataset} prints a gain of {printed:g}; its delta is {expected:g}"
            )
        yield Pair(**{**vars(pair), "printed": printed})


def _printed(pair: Pair, unit: str, lower: bool, cells: Cells) -> float:
    """The difference of the printed means in the claim's unit and favour; NaN where one is missing."""
    better, worse = (_cell(row, pair, unit, cells) for row in (pair.better, pair.worse))
    gain = round((better - pair.times * worse) * (-1 if lower else 1), 6)
    return math.nan if math.isnan(gain) else gain + 0.0  # no -0


def _cell(row: str, pair: Pair, unit: str, cells: Cells) -> float:
    metric, dataset = _PRINTED_AS.get(pair.metric, pair.metric), pair.dataset
    if metric.startswith("dice_with_"):
        dataset = "lidc"  # where the matrices of doctors are
    if metric.startswith("acc_") and row.endswith("_roi"):  # radiomics prints a row for each classifier
        row, metric = metric.removeprefix("acc_"), f"acc_{row.removesuffix('_roi')}"
    value, printed = cells.get((row, dataset, metric), (math.nan, ""))
    return value * (100 if unit == "points" and printed == "fraction" else 1)


def _fields(item: Mapping, need: set[str], may: set[str], where: str) -> None:
    if missing := sorted(need.difference(item)):
        raise DataError(f"{where}: {', '.join(missing)} missing")
    if unknown := sorted(map(str, set(item).difference(need, may))):
        raise DataError(f"{where}: unknown field {', '.join(unknown)}; known: {', '.join(sorted(need | may))}")


def _one_of(value: Any, known: Iterable[str], what: str, where: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise DataError(f"{where}: unknown {what} {value!r}")
