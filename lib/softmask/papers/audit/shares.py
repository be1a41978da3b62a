"""Bounds between the means of shares that are made from the same pixel counts.

With TP, FP and FN of one image, IoU J = TP / (TP + FP + FN), Dice D = 2J / (1 + J), sensitivity S = TP / (TP + FN),
PPV P = TP / (TP + FP) and D = 2SP / (S + P). Each bound below follows from the sign of a second derivative (Jensen's
inequality) or from a chord, so it holds where all numbers are means over images, where all are pooled over pixels, and
for means over runs of either. Pairs of empty masks, of which nodules have none, are left aside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from softmask.papers.audit.finding import (
    MUST_HOLD,
    TO_EXPLAIN,
    Check,
    Finding,
    Row,
    as_printed,
    over_rows,
    printed_range,
    rows,
)
from softmask.papers.printed import Paper

POINTS = "points"

_OTHER_IMAGES = (
    "a misprint; numbers of different runs or images; or one is a mean over images and another over all pixels together"
)


def checks(papers: Mapping[str, Paper]) -> list[Check]:
    """Every check of single rows that needs means alone, and of spreads one by one."""
    found = rows(papers)
    return [
        over_rows(
            "Dice and IoU",
            "mean J <= mean D <= 2 mean J / (1 + mean J): D = 2J / (1 + J) is concave in J",
            MUST_HOLD,
            found,
            lambda row: row.has("dice", "iou"),
            dice_and_iou,
        ),
        over_rows(
            "Dice, SEN and PPV",
            "S + P - 1 <= mean D <= 2SP / (S + P), with S and P the means: the harmonic mean of two shares is concave. "
            "It holds, too, where images with nothing found count for Dice and SEN and not for PPV",
            MUST_HOLD,
            found,
            lambda row: row.has("dice", "sen", "ppv"),
            dice_sen_ppv,
        ),
        over_rows(
            "IoU and accuracy",
            "mean J <= mean ACC: the lesion and what was found cover no more than the image",
            MUST_HOLD,
            found,
            lambda row: row.has("iou", "acc"),
            iou_and_accuracy,
        ),
        over_rows(
            "AUC and accuracy",
            "AUC >= 2 ACC - 1 for two classes of one size: one point of the ROC curve with the accuracy ACC",
            MUST_HOLD,
            [half for row in found for half in _by_mask(row)],
            lambda row: row.has("acc", "auc"),
            auc_and_accuracy,
        ),
        over_rows(
            "spread of a share",
            "standard deviation <= sqrt(2 m (1 - m)) for values in [0, 1] with mean m, whatever their number",
            MUST_HOLD,
            [one for row in found for one in _one_by_one(row)],
            lambda row: not math.isnan(next(iter(row.cells.values())).std),
            spread_of_share,
        ),
        over_rows(
            "mean and median",
            "median / 2 <= mean, and for shares mean <= (1 + median) / 2: half of the values lie on either side",
            MUST_HOLD,
            [one for row in found for one in _means_and_medians(row)],
            lambda row: row.has("mean", "median"),
            mean_and_median,
        ),
        over_rows(
            "mean, median and spread",
            "|mean - median| <= standard deviation (Hotelling and Solomons 1932); a spread that cannot be in the unit "
            "of its mean, like the others of its table, is read as percent",
            MUST_HOLD,
            [one for row in found for one in _means_and_medians(row)],
            lambda row: row.has("mean", "median") and not math.isnan(row.cells["mean"].std),
            lambda row: mean_median_spread(row, _in_percent(found, row)),
        ),
        over_rows(
            "medians of Hausdorff distances",
            "a distance between two pixels of a slice is the root of a sum of two squares, and a median is one of them "
            "or lies midway between two that follow one another",
            TO_EXPLAIN,
            [one for row in found for one in _means_and_medians(row) if one.cells["median"].unit == "pixels"],
            lambda row: row.has("median"),
            hausdorff_median,
        ),
        over_rows(
            "IoU of slices and 3D Dice",
            "with 3D Dice D, IoU in the volume is D / (2 - D), a mean of the slices' IoU weighted by their size; with "
            "median m of the slices, the worse half holds at most (1 - D / (2 - D)) / (1 - m) of all pixels. Expected: "
            "half of them, or more possible. Scans are taken to be alike",
            TO_EXPLAIN,
            _slices_and_volumes(found),
            lambda row: True,
            slices_and_volume,
        ),
    ]


def dice_and_iou(row: Row) -> Finding | None:
    dice, iou, scale = row.mean("dice"), row.mean("iou"), row.scale("dice")
    most = 2 * iou.high / (1 + iou.high)
    j, of_iou, d = row.cells["iou"].mean, row.words("iou"), row.words("dice")
    if dice.low > most:
        words = f"2 x {of_iou} / ({scale:g} + {of_iou}) = {_bound(2 * j / (scale + j) * scale, scale)} < {d}"
        return Finding((), words, 100 * (dice.low - most), POINTS, _OTHER_IMAGES)
    if dice.high < iou.low:
        return Finding((), f"{d} < {of_iou}", 100 * (iou.low - dice.high), POINTS, _OTHER_IMAGES)
    return None


def dice_sen_ppv(row: Row) -> Finding | None:
    dice, sen, ppv, scale = row.mean("dice"), row.mean("sen"), row.mean("ppv"), row.scale("dice")
    most = 2 * sen.high * ppv.high / (sen.high + ppv.high)
    least = sen.low + ppv.low - 1
    s, p, d = row.cells["sen"].mean, row.cells["ppv"].mean, row.words("dice")
    of_sen, of_ppv = row.words("sen"), row.words("ppv")
    if dice.low > most:
        words = f"2 x {of_sen} x {of_ppv} / ({of_sen} + {of_ppv}) = {_bound(2 * s * p / (s + p), scale)} < {d}"
        return Finding((), words, 100 * (dice.low - most), POINTS, _OTHER_IMAGES)
    if dice.high < least:
        words = f"{of_sen} + {of_ppv} - {scale:g} = {_bound(s + p - scale, scale)} > {d}"
        return Finding((), words, 100 * (least - dice.high), POINTS, _OTHER_IMAGES)
    return None


def iou_and_accuracy(row: Row) -> Finding | None:
    iou, acc = row.mean("iou"), row.mean("acc")
    if iou.low <= acc.high:
        return None
    return Finding((), f"{row.words('iou')} > {row.words('acc')}", 100 * (iou.low - acc.high), POINTS, _OTHER_IMAGES)


def auc_and_accuracy(row: Row) -> Finding | None:
    acc, auc, scale = row.mean("acc"), row.mean("auc"), row.scale("auc")
    least = 2 * acc.low - 1
    if auc.high >= least:
        return None
    a = row.cells["acc"].mean
    words = f"2 x {a:g} - {scale:g} = {_bound(2 * a - scale, scale)} > {row.words('auc')}"
    return Finding((), words, 100 * (least - auc.high), POINTS, "the AUC is of other scores than the decisions")


def spread_of_share(row: Row) -> Finding | None:
    [metric] = row.cells
    mean, spread, scale = row.mean(metric), row.spread(metric), row.scale(metric)
    most = _most_spread(mean.low, mean.high)
    if spread.low <= most:
        return None
    m = row.cells[metric].mean / scale
    bound = _bound(math.sqrt(2 * m * (1 - m)) * scale, scale)
    words = f"{row.words(metric, spread=True)}: sqrt(2 x {m:g} x {1 - m:.4g}) = {bound} < {row.cells[metric].std:g}"
    return Finding((), words, 100 * (spread.low - most), POINTS, "the spread is in another unit than the mean: percent")


def mean_and_median(row: Row) -> Finding | None:
    mean, median, share = row.cells["mean"], row.cells["median"], row.cells["mean"].unit in SHARES
    of_mean, of_median = printed_range(mean.mean), printed_range(median.mean)
    if of_mean.high < of_median.low / 2:
        words = f"{median.mean:g} / 2 > {mean.mean:g}"
        return Finding((), words, of_median.low / 2 - of_mean.high, mean.unit, _OTHER_IMAGES)
    if share and row.mean("mean").low > (1 + row.mean("median").high) / 2:
        words = f"(1 + {median.mean:g}) / 2 < {mean.mean:g}"
        beyond = 100 * (row.mean("mean").low - (1 + row.mean("median").high) / 2)
        return Finding((), words, beyond, POINTS, _OTHER_IMAGES)
    return None


SHARES = ("percent", "fraction")


def mean_median_spread(row: Row, in_percent: bool) -> Finding | None:
    mean, median = printed_range(row.cells["mean"].mean), printed_range(row.cells["median"].mean)
    unit = 100.0 if in_percent and row.cells["mean"].unit == "fraction" else 1.0
    spread = printed_range(row.cells["mean"].std, unit)
    apart = max(mean.low - median.high, median.low - mean.high)
    if apart <= spread.high:
        return None
    m, half, s = row.cells["mean"].mean, row.cells["median"].mean, row.cells["mean"].std
    words = f"|{as_printed(m)} - {as_printed(half)}| = {abs(m - half):.4g} > {s / unit:g}" + (
        f" ({s:g} %)" if unit > 1 else ""
    )
    root = math.sqrt(s / unit)
    reading = f"the printed spread is a variance in percent: its root is {root:.3g}" if unit > 1 else _OTHER_IMAGES
    return Finding((), words, 100 * (apart - spread.high) / row.scale("mean"), POINTS, reading)


def hausdorff_median(row: Row) -> Finding | None:
    value = row.cells["median"].mean
    low, high = printed_range(value)
    squares = sorted({a * a + b * b for a in range(int(high) + 2) for b in range(int(high) + 2)})
    roots = [math.sqrt(n) for n in squares]
    possible = [*roots, *((a + b) / 2 for a, b in pairwise(roots))]
    if any(low <= x <= high for x in possible):
        return None
    beyond = min(max(low - x, x - high) for x in possible)
    nearest = min((n for n in range(1, int(high**2) + 3)), key=lambda n: abs(math.sqrt(n) - value))
    if low <= math.sqrt(nearest) <= high:
        words = f"{value:g} = sqrt({nearest}), and {nearest} is no sum of two squares"
        three = any(nearest - c * c in squares for c in range(int(high) + 2))
        reading = "distances were taken in the volume, where three squares add up" if three else ""
    else:
        words = f"{value:g}² = {value**2:.3f}, and sqrt({nearest}) = {math.sqrt(nearest):.3f}"
        reading = f"a misprint of {math.sqrt(nearest):.3f}"
    return Finding((), words, beyond, "pixels", reading)


def slices_and_volume(row: Row) -> Finding | None:
    iou, volume = row.mean("median"), row.mean("dice3d")
    share = (1 - volume.low / (2 - volume.low)) / (1 - iou.high)
    if share >= 0.5:
        return None
    d, m = row.cells["dice3d"].mean, row.cells["median"].mean
    pooled = d / (2 - d)
    exact = (1 - pooled) / (1 - m)
    words = (
        f"{d:g} / (2 - {d:g}) = {pooled:.3f}; (1 - {pooled:.3f}) / (1 - {m:g}) = {exact:.2f}: the half of the slices "
        f"whose IoU is at most {m:g} would hold {exact:.0%} of the lung or less"
    )
    reading = "the two tables are of different trainings, or the poor slices are those that hold little lung"
    return Finding((), words, 100 * (0.5 - share), POINTS, reading)


def _most_spread(low: float, high: float) -> float:
    """The largest standard deviation (n - 1, n = 2 and so any n) of shares whose mean lies in [low, high]."""
    mean = min(max(0.5, low), high)
    return math.sqrt(2 * mean * (1 - mean))


def _bound(value: float, scale: float) -> str:
    return f"{value:.4f}" if scale == 1 else f"{value:.2f}"


def _by_mask(row: Row) -> list[Row]:
    """``acc_binary`` and ``auc_binary`` as ``acc`` and ``auc``, and so for the soft mask."""
    kinds = dict.fromkeys(name.partition("_")[2] for name in row.cells if name.startswith(("acc_", "auc_")))
    return [
        row._replace(
            row=f"{row.row}, {kind} mask",
            cells={name.partition("_")[0]: cell for name, cell in row.cells.items() if name.endswith(f"_{kind}")},
        )
        for kind in kinds
    ]


def _one_by_one(row: Row) -> list[Row]:
    """A row for each metric that is a share."""
    return [row._replace(cells={name: cell}) for name, cell in row.cells.items() if cell.unit in SHARES]


def _means_and_medians(row: Row) -> list[Row]:
    """``mean_iou`` and ``median_iou`` as ``mean`` and ``median``, and so for every metric with both."""
    names = [name.removeprefix("mean_") for name in row.cells if name.startswith("mean_")]
    return [
        row._replace(
            row=row.row,
            cells={"mean": row.cells[f"mean_{name}"], "median": row.cells[f"median_{name}"]},
        )
        for name in names
        if f"median_{name}" in row.cells
    ]


def _in_percent(found: list[Row], row: Row) -> bool:
    """Whether some spread of the row's table cannot be in its mean's unit."""
    mine = [one for other in found if other[:2] == row[:2] for one in _one_by_one(other)]
    return any(spread_of_share(one) for one in mine if not math.isnan(next(iter(one.cells.values())).std))


def _slices_and_volumes(found: list[Row]) -> list[Row]:
    """Rows that have a median IoU over slices in one table, with the 3D Dice that another table of the paper prints for
    the same network: there a baseline's name says no more that it is one."""
    made = []
    for row in found:
        if not row.has("mean_iou", "median_iou"):
            continue
        for other in found:
            same = other.row == row.row.removeprefix("baseline_")
            if same and (other.paper, other.dataset) == (row.paper, row.dataset) and other.has("mean_dice3d"):
                cells = {"median": row.cells["median_iou"], "dice3d": other.cells["mean_dice3d"]}
                made.append(row._replace(table=f"{row.table} and {other.table}", cells=cells))
    return made
