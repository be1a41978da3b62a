"""The papers' claims as data: their words, and the pairs of printed rows that they compare.

A claim in a paper's file::

    - words: softgan > every other method in PPV, on lnsm (table-1)
      quote: our method significantly exceeds these methods  # sentence of the paper; an ellipsis where it is cut
      unit: points         # unit of differences: percentage points of a share (the default), pixels, or ms
      direction: higher    # which values are good: higher (the default for points) or lower
      pairs:
        - {better: softgan, over: {unet: 1, cfcnn: 1}, dataset: lnsm, metric: ppv}

``over`` lists the rows that are exceeded, each with its delta: the smallest gain that counts, in the claim's unit. It
is the smaller of 1 and the printed gain (0 if the print does not favour the claim), and is checked against the printed
cells; where these are missing, it is used as given. A pair may have

- ``kind: adds_little``: the difference lies inside +-delta; or ``kind: suffices``: it lies above -delta. For both,
  delta is 1, because the papers print no margin;
- ``times: 1.2``: the exceeded value is multiplied by 1.2;
- ``row`` and ``at_least`` instead of ``better`` and ``over``: the mean of a row, in the claim's unit, against a bound.

A claim with ``judged: false`` has no pairs: its measurements are only reported.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from softmask.errors import DataError
from softmask.measure.verdicts import BETTER, KINDS

UNITS = {"points": "percentage points", "pixels": "pixels", "ms": "ms"}
"""Units of differences, with their displayed names."""
LARGEST_DELTA = 1.0

_PRINTED_AS = {
    "iou": "mean_iou",
    "hausdorff": "mean_hausdorff",
    "dice3d": "mean_dice3d",
    "dice_consensus50": "dice_with_consensus50",
}
"""Printed names of measures, where they differ."""

Cells = Mapping[tuple[str, str, str], float]
"""Printed mean by (row, data set, metric); shares in percent."""


@cache
def _names() -> dict[str, dict[str, str]]:
    return yaml.safe_load((files("softmask.papers") / "names.yaml").read_text(encoding="utf-8"))


def display(kind: str, name: str) -> str:
    """Return a name as people write it: ``display("rows", "unetplusplus")`` is ``U-Net++``.

    A name that ``names.yaml`` does not list under its ``kind`` is shown with spaces for underscores.
    """
    for word in ("with", "of"):
        if kind == "metrics" and name.startswith(f"dice_{word}_"):
            return f"Dice {word} {display('rows', name.removeprefix(f'dice_{word}_'))}"
    return _names()[kind].get(name, name.replace("_", " "))


@dataclass(frozen=True)
class Pair:
    """Statement about two rows on one data set, or about one row and a bound.

    Attributes:
        better, worse: rows; ``worse`` is empty where there is a bound.
        delta: smallest difference that counts, in the claim's unit.
        times: factor of the values of ``worse``.
        at_least: the bound, in the claim's unit; None where two rows are compared.
        printed: printed difference in the claim's unit, positive in favour of the claim; NaN where a cell is missing.
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

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """Row, data set and metric of each compared row: two rows, or one row where there is a bound."""
        return [(row, self.dataset, self.metric) for row in (self.better, self.worse) if row]

    def __str__(self) -> str:
        better, measure = display("rows", self.better), display("metrics", self.metric)
        if self.at_least is not None:
            return f"{measure} of {better} (claimed: at least {self.at_least:g})"
        relation = {"adds_little": "adds little to", "suffices": "is not worse than"}.get(self.kind, "vs")
        times = f"{self.times:g} x " if self.times != 1 else ""
        return f"{better} {relation} {times}{display('rows', self.worse)}" + (
            "" if self.metric == "dice" else f" in {measure}"
        )


@dataclass(frozen=True)
class Claim:
    """Conclusion of a paper.

    Attributes:
        words: text that identifies the claim within its paper.
        unit: unit of differences (:data:`UNITS`).
        lower: whether low values are good.
        judged: False if measurements are only reported.
        quote: sentence of the paper; empty for a question that the workbook adds.
    """

    words: str
    pairs: tuple[Pair, ...]
    unit: str = "points"
    lower: bool = False
    judged: bool = True
    quote: str = ""

    @property
    def scale(self) -> float:
        """Factor from a measured value to the claim's unit."""
        return 100.0 if self.unit == "points" else 1.0


def parse(paper: str, content: Iterable[Mapping[str, Any]], cells: Cells) -> tuple[Claim, ...]:
    """Return the claims of a paper's file.

    Raises:
        DataError: for a field, row, data set, metric or delta that does not fit; the message names the claim.
    """
    claims = {}
    for item in content:
        try:
            claim = _claim(**item, cells=cells)
        except (TypeError, ValueError, AttributeError) as error:
            words = item.get("words") if isinstance(item, Mapping) else item
            raise DataError(f"{paper}, claim {words!r}: {error}; see papers/claims.py for its format") from error
        if claim.words in claims:
            raise DataError(f"{paper}, claim {claim.words!r}: is given twice; remove one")
        claims[claim.words] = claim
    return tuple(claims.values())


def _claim(
    *,
    cells: Cells,
    words: str,
    unit: str = "points",
    direction: str = "",
    pairs: Iterable = (),
    judged: bool = True,
    quote: str = "",
) -> Claim:
    _check_known("unit", unit, UNITS)
    if not direction and unit != "points":
        raise ValueError(f"needs a direction: higher or lower, which {unit} are good ones")
    _check_known("direction", direction or "higher", ("higher", "lower"))
    lower = direction == "lower"
    all_pairs = tuple(pair for line in pairs for pair in _pairs(cells, lower, **line))
    if judged != bool(all_pairs):
        raise ValueError("needs pairs, or judged: false and none")
    if len({(pair.better, pair.worse, pair.dataset, pair.metric, pair.times) for pair in all_pairs}) < len(all_pairs):
        raise ValueError("gives a pair twice")
    return Claim(str(words), all_pairs, unit, lower, judged, str(quote))


def _pairs(
    cells: Cells,
    lower: bool,
    *,
    dataset: str,
    metric: str,
    better: str = "",
    over: Mapping[str, float] | None = None,
    kind: str = BETTER,
    times: float = 1.0,
    row: str = "",
    at_least: float | None = None,
) -> Iterator[Pair]:
    """Yield the pairs of one line of a claim; the arguments are the fields of the line."""
    is_comparison = bool(better) and isinstance(over, Mapping) and bool(over) and not row and at_least is None
    is_bound = bool(row) and at_least is not None and not better and over is None and kind == BETTER and times == 1
    if not (is_comparison or is_bound):
        raise ValueError("a pair needs better and over (a delta for each row), or row and at_least")
    for name, value in {"times": times, "at_least": at_least or 0, **(over or {})}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a number of at least 0, not {value!r}")
    rows, datasets, metrics = ({key[i] for key in cells} for i in range(3))
    _check_known("data set", dataset, datasets | set(_names()["datasets"]))
    _check_known("metric", metric, metrics | set(_names()["metrics"]))
    _check_known("kind", kind, KINDS)
    for name in (row,) if over is None else (better, *over):
        _check_known("row", name, rows | set(_names()["rows"]))
    if over is None:
        yield Pair(row, "", dataset, metric, at_least=float(at_least))
        return
    for worse, delta in over.items():
        pair = Pair(better, worse, dataset, metric, kind, float(delta), float(times))
        means = [cells.get(printed_key(name, pair), math.nan) for name in (better, worse)]
        gain = round((means[0] - pair.times * means[1]) * (-1 if lower else 1), 6)
        pair = replace(pair, printed=gain + 0.0)  # no -0
        expected = round(min(max(0.0, gain), LARGEST_DELTA), 3)
        if kind == BETTER and not math.isnan(gain) and delta != expected:
            raise ValueError(f"{pair} on {dataset} prints a gain of {gain:g}; its delta is {expected:g}, not {delta}")
        yield pair


def printed_key(row: str, pair: Pair) -> tuple[str, str, str]:
    """Return (row, data set, metric) of the printed cell that a pair compares for one of its rows."""
    metric, dataset = _PRINTED_AS.get(pair.metric, pair.metric), pair.dataset
    if metric.startswith("dice_with_"):
        dataset = "lidc"  # data set of the matrices of doctors
    if metric.startswith("acc_") and row.endswith("_roi"):  # radiomics prints a row for each classifier
        row, metric = metric.removeprefix("acc_"), f"acc_{row.removesuffix('_roi')}"
    return row, dataset, metric


def _check_known(name: str, value: str, known: Container[str]) -> None:
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}")
