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
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from softmask.errors import ConfigError, DataError
from softmask.measure.verdicts import BETTER, KINDS

UNITS = {"points": "percentage points", "pixels": "pixels", "ms": "ms"}
"""Of differences, with the words for people."""
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


@cache
def _names() -> dict[str, dict[str, str]]:
    return yaml.safe_load((files("softmask.papers") / "names.yaml").read_text(encoding="utf-8"))


def display(kind: str, name: str) -> str:
    """Return ``name`` as people write it: ``display("rows", "unetplusplus")`` is ``U-Net++``.

    A name that is not listed is shown with spaces for underscores; ``dice_with_<row>`` becomes ``Dice with <row>``,
    ``dice_of_<row>`` ``Dice of <row>``.

    Args:
        kind: ``papers``, ``datasets``, ``metrics`` or ``rows``.

    Raises:
        ConfigError: for another kind.
    """
    names = _names()
    if kind not in names:
        raise ConfigError(f"unknown kind of name {kind!r}; choose one of {', '.join(names)}")
    for word in ("with", "of"):
        if kind == "metrics" and name.startswith(f"dice_{word}_"):
            return f"Dice {word} {display('rows', name.removeprefix(f'dice_{word}_'))}"
    return names[kind].get(name, name.replace("_", " "))


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
        return 100.0 if self.unit == "points" else 1.0


def parse(paper: str, content: Iterable[Any], cells: Cells) -> tuple[Claim, ...]:
    """Return the claims of a paper's file.

    Raises:
        DataError: names the claim with a field, row, data set, metric or delta that does not fit.
    """
    claims: dict[str, Claim] = {}
    for item in content:
        if not isinstance(item, Mapping) or not isinstance(item.get("words"), str) or not item["words"]:
            raise DataError(f"{paper}: a claim needs its words, not {item!r}")
        where = f"{paper}, claim {item['words']!r}"
        if item["words"] in claims:
            raise DataError(f"{where}: is given twice")
        claims[item["words"]] = _claim(item, cells, where)
    return tuple(claims.values())


def _claim(item: Mapping[str, Any], cells: Cells, where: str) -> Claim:
    _fields(item, {"words", "unit", "direction"}, {"pairs", "judged"}, where)
    _known(item["unit"], UNITS, "unit", where)
    _known(item["direction"], ("higher", "lower"), "direction", where)
    judged, given = item.get("judged", True), item.get("pairs", [])
    if not isinstance(judged, bool) or not isinstance(given, list) or judged != bool(given):
        raise DataError(f"{where}: needs a list of pairs, or judged: false and none")
    claim = Claim(item["words"], (), item["unit"], item["direction"] == "lower", judged)
    pairs = tuple(pair for line in given for pair in _pairs(line, claim, cells, where))
    if len({(p.better, p.worse, p.dataset, p.metric, p.times) for p in pairs}) < len(pairs):
        raise DataError(f"{where}: gives a pair twice")
    return replace(claim, pairs=pairs)


def _pairs(item: Any, claim: Claim, cells: Cells, where: str) -> Iterator[Pair]:
    """The pairs of one line."""
    if not isinstance(item, Mapping):
        raise DataError(f"{where}: {item!r} is no pair")
    bounded = "at_least" in item
    own = {"row", "at_least"} if bounded else {"better", "over"}
    _fields(item, own | {"dataset", "metric"}, set() if bounded else {"kind", "times"}, where)
    better, over = (item["row"], {"": 0}) if bounded else (item["better"], item["over"])
    kind, times, at_least = item.get("kind", BETTER), item.get("times", 1), item.get("at_least", 0)
    _known(kind, KINDS, "kind", where)
    if not isinstance(over, Mapping) or not over:
        raise DataError(f"{where}: over must give a delta for each row, not {over!r}")
    rows, datasets, metrics = ({key[i] for key in cells} for i in range(3))
    _known(item["dataset"], datasets | set(_names()["datasets"]), "data set", where)
    _known(item["metric"], metrics | set(_names()["metrics"]), "metric", where)
    for row in (better, *(() if bounded else over)):
        _known(row, rows | set(_names()["rows"]), "row", where)
    for name, value in {"times": times, "at_least": at_least, **over}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DataError(f"{where}: {name} must be a number of at least 0, not {value!r}")
    bound = float(at_least) if bounded else None
    for worse, delta in over.items():
        pair = Pair(better, worse, item["dataset"], item["metric"], kind, float(delta), float(times), bound)
        if not bounded:
            printed = [_cell(row, pair, claim.unit, cells) for row in (better, worse)]
            gain = round((printed[0] - pair.times * printed[1]) * (-1 if claim.lower else 1), 6)
            pair = replace(pair, printed=gain + 0.0)  # no -0
        expected = round(min(max(pair.printed, 0.0), LARGEST_DELTA), 3)
        if kind == BETTER and not math.isnan(pair.printed) and delta != expected:
            raise DataError(
                f"{where}: {pair} on {pair.dataset} prints a gain of {pair.printed:g}; its delta is {expected:g}"
            )
        yield pair


def _cell(row: str, pair: Pair, unit: str, cells: Cells) -> float:
    """The printed mean of a row in the claim's unit; NaN where it is missing."""
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


def _known(value: Any, known: Iterable[str], name: str, where: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise DataError(f"{where}: unknown {name} {value!r}")
