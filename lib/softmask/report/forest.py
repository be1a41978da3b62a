"""Forest plots (points with intervals by row): differences, medians of groups, AUC, stability of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from softmask.papers import display
from softmask.report import plots
from softmask.report.figures import WIDEST, legend, unless_empty
from softmask.report.plots import Styles


class Interval(NamedTuple):
    """Point of :func:`intervals`, and the ends of its line (or the values marked around it)."""

    panel: str
    row: str
    series: str
    middle: float
    spread: Sequence[float]


def intervals(
    points: Sequence[Interval],
    styles: Styles,
    xlabel: str,
    apart: float = 0.0,
    printed: Mapping[tuple[str, str, str], float] | None = None,
    sharex: bool = True,
    **spread: Any,
) -> tuple[Figure, np.ndarray]:
    """Draw a panel for each group and a line for each row, with point and spread of each series, ``apart`` rows apart.

    Panels with the same rows stand side by side; otherwise they stand below one another, each with its own rows.
    """
    titles, series = (list(dict.fromkeys(point[i] for point in points)) for i in (0, 2))
    rows = {title: list(dict.fromkeys(point.row for point in points if point.panel == title)) for title in titles}
    fig, axes = _panels(rows, 0.75 if apart else 0.5, sharex)
    for point in points:
        ax, style = axes[titles.index(point.panel)], styles[point.series]
        y = rows[point.panel].index(point.row) + apart * (series.index(point.series) - (len(series) - 1) / 2)
        line_style = {"color": style["color"]} | spread
        ax.plot(point.spread, np.full(len(point.spread), y), **line_style)
        ax.plot(point.middle, y, **style)
        if printed and point[:3] in printed:
            ax.plot(printed[point[:3]], y, "D", color="white", markeredgecolor=style["color"])
    for ax, names in zip(axes, rows.values(), strict=True):
        ax.set(xlabel=xlabel, ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), [display("rows", row) for row in names])
        ax.grid(axis="x", alpha=0.3)
        ax.label_outer(remove_inner_ticks=True)
    entries = {display("rows", name): Line2D([], [], **styles[name]) for name in styles if name in series}
    if printed:
        entries["printed"] = Line2D([], [], color="none", marker="D", markerfacecolor="white", markeredgecolor="black")
    legend(fig, entries, columns=4)
    return fig, axes


def _panels(rows: Mapping[str, Sequence[str]], each: float, sharex: bool) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (panels), with ``each`` inches per row."""
    counts = [len(names) for names in rows.values()]
    if len(set(map(frozenset, rows.values()))) == 1:
        size = ((WIDEST if len(rows) > 2 else 4 + 4.6 * len(rows)) / len(rows), each * counts[0] + 2.2)
        fig, [axes] = plots.grid_of(rows, 1, size, sharex=sharex, sharey=True)
        return fig, axes
    heights = [count + 1.4 for count in counts]
    size = (11, 0.75 * each * sum(heights) + 1.4)
    fig, axes = plt.subplots(len(rows), 1, figsize=size, sharex=sharex, height_ratios=heights)
    for ax, title in zip(axes, rows, strict=True):
        ax.set_title(display("datasets", title))
    return fig, axes


@unless_empty
def by_group(dice: Mapping[str, np.ndarray], members: Mapping[str, np.ndarray], label: str) -> Figure:
    """Draw the median and interquartile range of ``dice`` (N,), by doctor or network, in each group of nodules:
    ``members`` (N,) bool, by group. Empty groups are left out."""
    points = []
    for group, is_member in members.items():
        for name, values in dice.items() if is_member.any() else ():
            low, middle, high = np.nanquantile(values[is_member], (0.25, 0.5, 0.75))
            points.append(Interval("", f"{display('rows', group)} ({is_member.sum()})", name, middle, (low, high)))
    fig, [ax] = intervals(points, plots.doctor_styles(dice, linestyles=False), label, apart=0.6 / max(len(dice) - 1, 1))
    ax.set(xlim=(0, 1))
    return fig


def areas_under_curves(
    areas: Mapping[tuple[str, str, str], Mapping[str, float]], printed: Mapping[tuple[str, str, str], float]
) -> Figure:
    """Draw the AUC with its interval: a panel for each data set, a line for each set of features, by classifier.

    Both arguments have the keys (data set, features, classifier). ``areas`` has ``auc``, ``auc_low`` and ``auc_high``,
    ``printed`` the paper's AUC.
    """
    points = [Interval(*key, auc["auc"], (auc["auc_low"], auc["auc_high"])) for key, auc in areas.items()]
    fig, axes = intervals(points, plots.styles_of(point.series for point in points), "AUC", 0.26, printed)
    for ax in axes:
        ax.axvline(0.5, color="0.5", linestyle=":")
    return fig


def stability(by_dataset: Mapping[str, Mapping[str, pd.DataFrame]], families: Sequence[str]) -> Figure:
    """Draw the ICC of every feature between two regions: a panel for each data set, a row for each family of features.

    Each frame, by data set and second region, has a column ``icc``; the features in its index begin with their family.
    """
    points = []
    for dataset, tables in by_dataset.items():
        for family in families:
            for region, table in tables.items():
                icc = table.loc[table.index.str.startswith(f"{family}_"), "icc"].dropna().to_numpy()
                points.append(Interval(dataset, family, region, float(np.median(icc)), icc))
    ticks = {"marker": "|", "linestyle": "none", "alpha": 0.6, "markersize": 11}
    styles = plots.styles_of(point.series for point in points)
    styles = {region: style | {"markeredgecolor": "white"} for region, style in styles.items()}
    return intervals(points, styles, "ICC with the binary mask", apart=0.44, **ticks)[0]
