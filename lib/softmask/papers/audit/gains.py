"""Comparison of printed gains with the uncertainty that their spreads and numbers of test images leave.

A gain g is the difference of two printed means over the same n test images, with standard deviations s and t over the
images. With the correlation r of the two methods' values on an image, the 95 % interval of the difference is

    g +- h(r),    h(r) = q sqrt((s^2 + t^2 - 2 r s t) / n),    q: Student's t with n - 1 degrees of freedom.

The gain can be seen if it exceeds h:

- *unpaired*, r = 0: uses only the printed numbers. h(0) is the half width in the table;
- *paired*, r > 0: papers print no correlation. The gain exceeds h if the correlation exceeds
  (s^2 + t^2 - n g^2 / q^2) / (2 s t). If that bound is 1 or more, no correlation is sufficient.

Assumptions: +- is the spread over test images; images are independent, although several images of one patient widen
the interval; both networks were trained once, and differences between seeds are ignored; the rounding of means and
spreads is ignored; the mean over many images is nearly normal. Some papers print smaller spreads than images can have
(:mod:`softmask.papers.audit.check`), probably over runs or folds: :func:`with_derived_spreads` replaces them.

Spreads that are not printed:

- of Dice, :data:`DICE_SPREAD` m (1 - m) with the mean m. Christodoulou et al., "Confidence intervals uncovered: are we
  ready for real-world medical imaging AI?", MICCAI 2024 (arXiv 2409.17763), show that a second-order polynomial of the
  mean Dice approximates the standard deviation. The polynomial here is 0 at 0 and 1, where no image can differ. Its
  coefficient is not from that paper, but fitted to the test results of this workbook;
- of an accuracy, sqrt(m (1 - m)): each case is correct or wrong;
- of other metrics, and of medians: not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtrit

from softmask import papers
from softmask.measure.statistics import LEVEL
from softmask.measure.verdicts import BETTER
from softmask.papers.audit.check import Papers, other_unit, rows
from softmask.papers.audit.tables import stated
from softmask.papers.claims import Claim, Pair, printed_key
from softmask.papers.printed import SCALES, PrintedCell

DICE_SPREAD = 1.24
"""Coefficient from a least squares fit to 171 mean Dice of networks on real test images and their standard deviations,
from the committed tables ``cpu-real-3seeds`` and ``night-real``; the root mean square error is 0.04."""

_DICE = ("dice", "mean_dice")
PRINTED, DERIVED = "printed", "derived"
YES, NO, UNKNOWN = "yes", "no", "not known"


@dataclass(frozen=True)
class Gain:
    """A pair of printed means, in the claim's unit: percentage points of a share, or pixels.

    Attributes:
        means: mean of the row that is claimed to be better, and mean of the other row times :attr:`Pair.times`.
        spreads: standard deviations over test images; NaN where not known.
        source: :data:`PRINTED` if both spreads are printed, else :data:`DERIVED`; empty if a spread is not known.
        n: number of test images (nodules or scans if the means are over these); None where not stated.
    """

    paper: str
    claim: Claim
    pair: Pair
    means: tuple[float, float]
    spreads: tuple[float, float]
    source: str
    n: int | None

    @property
    def half_width(self) -> float:
        """Half width of the unpaired 95 % interval of the difference; NaN where not known."""
        return self._quantile * math.hypot(*self.spreads) / math.sqrt(self.n) if self._known else math.nan

    @property
    def correlation(self) -> float:
        """Correlation above which the gain exceeds h; NaN where not known, infinite without a gain."""
        if not self._known:
            return math.nan
        if self.pair.printed <= 0:
            return math.inf
        s, t = self.spreads
        open_variance = s**2 + t**2 - self.n * (self.pair.printed / self._quantile) ** 2
        if s * t == 0:  # a constant has no correlation
            return math.copysign(math.inf, open_variance)
        return open_variance / (2 * s * t)

    @property
    def seen(self) -> str:
        """Statement in words whether the gain can be seen."""
        if not self._known:
            return f"{UNKNOWN}: number of test images" if self.source else f"{UNKNOWN}: spread"
        if self.correlation < 0:
            return YES
        if self.correlation >= 1:
            return NO
        return f"only if correlation > {self.correlation:.{2 if self.correlation < 0.995 else 5}f}"

    @property
    def _known(self) -> bool:
        return bool(self.source) and self.n is not None and self.n > 1

    @property
    def _quantile(self) -> float:
        return float(stdtrit(self.n - 1, (1 + LEVEL) / 2))


def run() -> list[Gain]:
    """Return every pair of printed means behind the five papers' claims, in their order."""
    return printed_gains({name: papers.load(name) for name in papers.NAMES})


def printed_gains(loaded: Papers) -> list[Gain]:
    """Return every pair of printed means behind the papers' claims; pairs in several claims of a paper count once."""
    printed_rows = rows(loaded)
    gains: dict[tuple, Gain] = {}
    for paper in loaded.values():
        cells = {}
        for table in paper.tables.values():
            wrong_unit = other_unit(printed_rows, paper.name, table.name)  # spreads are not in the unit of the means
            for cell in table.cells:
                cells[cell.row, cell.dataset, cell.metric] = cell._replace(std=math.nan) if wrong_unit else cell
        claimed_pairs = [(claim, pair) for claim in paper.claims if claim.quote for pair in claim.pairs]
        for claim, pair in claimed_pairs:
            if math.isnan(pair.printed):
                continue
            cell_keys = [printed_key(row, pair) for row in (pair.better, pair.worse)]
            key = (paper.name, *cell_keys, pair.times, pair.kind)
            gains.setdefault(key, _gain(paper.name, claim, pair, [cells[cell_key] for cell_key in cell_keys]))
    return list(gains.values())


def _gain(paper: str, claim: Claim, pair: Pair, cells: Sequence[PrintedCell]) -> Gain:
    factors = [claim.scale / SCALES[cell.unit] if cell.unit in SCALES else 1.0 for cell in cells]  # to the claim's unit
    factors[1] *= pair.times
    spreads, sources = zip(*map(_spread, cells), strict=True)
    source = "" if any(map(math.isnan, spreads)) else DERIVED if DERIVED in sources else PRINTED
    means = tuple(cell.mean * factor for cell, factor in zip(cells, factors, strict=True))
    spreads = tuple(spread * factor for spread, factor in zip(spreads, factors, strict=True))
    return Gain(paper, claim, pair, means, spreads, source, images_behind(paper, pair, cells[0].metric))


def _spread(cell: PrintedCell) -> tuple[float, str]:
    """Return the standard deviation over test images, in the cell's unit, and its source (printed or derived)."""
    if not math.isnan(cell.std):
        return float(cell.std), PRINTED
    scale = SCALES.get(cell.unit, 1.0)
    mean = cell.mean / scale
    if cell.metric.startswith(_DICE):
        return DICE_SPREAD * mean * (1 - mean) * scale, DERIVED
    if cell.metric.startswith("acc_"):
        return math.sqrt(mean * (1 - mean)) * scale, DERIVED
    return math.nan, DERIVED


def with_derived_spreads(gain: Gain) -> Gain:
    """Return a gain in Dice with spreads derived from its means."""
    scale = gain.claim.scale
    spreads = tuple(DICE_SPREAD * mean * (1 - mean / scale) for mean in gain.means)
    return replace(gain, spreads=spreads, source=DERIVED)


def images_behind(paper: str, pair: Pair, metric: str) -> int | None:
    """Return the number of test images behind a pair's means, as the paper states it; None where it is not stated."""
    for item in stated()["counted"]:
        if (item["paper"], item["dataset"]) == (paper, pair.dataset) and metric in item["metrics"]:
            return item["of"]
    return stated()["test_images"].get(paper, {}).get(pair.dataset)


def counts(gains: Iterable[Gain]) -> dict[str, dict[str, int]]:
    """Return the number of claimed gains by source of their spreads (empty: spread or number of images not known), and
    how many of them can be seen (``yes``), only with paired images (``paired``), or not at all (``no``)."""
    tally = {source: dict.fromkeys(("gains", YES, "paired", NO), 0) for source in (PRINTED, DERIVED, "")}
    for gain in gains:
        if gain.pair.kind != BETTER:
            continue
        is_known = not gain.seen.startswith(UNKNOWN)
        source_tally = tally[gain.source if is_known else ""]
        source_tally["gains"] += 1
        if is_known:
            source_tally[gain.seen if gain.seen in (YES, NO) else "paired"] += 1
    return tally


def sentence(gains: Sequence[Gain]) -> str:
    """Return a sentence with the share of claimed gains that their spreads could not show."""
    tally = counts(gains)
    total, unknown = sum(part["gains"] for part in tally.values()), tally[""]["gains"]
    dice_gains = [gain for gain in gains if gain.source == PRINTED and gain.pair.metric.startswith(_DICE)]
    printed, derived = counts(dice_gains)[PRINTED], counts(map(with_derived_spreads, dice_gains))[DERIVED]
    return (
        f"Of {total} printed gains, {tally[PRINTED]['gains']} have printed spreads: {_hidden(tally[PRINTED])}. "
        "Some of these spreads are too small to be over images (see the audit): with derived spreads in their "
        f"place, {derived['paired'] + derived[NO]} of the {derived['gains']} gains in Dice would not be significant, "
        f"with the printed ones {printed['paired'] + printed[NO]}. "
        f"{tally[DERIVED]['gains']} have spreads derived from the means: {_hidden(tally[DERIVED])}. "
        f"For {unknown} the spread or the number of images is not known."
    )


def _hidden(part: Mapping[str, int]) -> str:
    n_hidden = part["paired"] + part[NO]
    share = f" ({100 * n_hidden / part['gains']:.0f} %)" if part["gains"] else ""
    return (
        f"{n_hidden} of these{share} would not be significant at the 5 % level if the two methods were uncorrelated "
        f"over images, "
        f"{part[NO] or 'none'} of them at any correlation"
    )
