"""Plots: curves of training runs, lines by row, histograms, box plots and matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from softmask.data.sample import Dataset
from softmask.measure.resolution import SCALE, edge_profile, spectrum
from softmask.measure.soft import Calibration
from softmask.measure.verdicts import RISING, last_gain
from softmask.papers import display
from softmask.report.figures import COLORS, WIDEST, legend, unless_empty
from softmask.report.panels import BINARY, SOFT, Example
from softmask.report.panels import legend as legend_of_colors

Curves = Mapping[str, Sequence[float]]
"""Values of one training run by name and epoch (:class:`softmask.train.loop.Outcome`), and as ``steps`` the number of
steps after each epoch (:func:`softmask.analysis.training.with_steps`)."""
Styles = Mapping[str, Mapping[str, Any]]
"""Matplotlib line properties by row."""

DARK = tuple(COLORS[i] for i in (7, 5, 4, 2, 6, 0, 1))
"""Colours of lines on white: all except yellow."""
MARKERS = "osD^vP*"
FEW_PIXELS = 30
"""Smallest number of pixels for which a bin of the reliability curve is drawn."""
REACH = 10
"""Number of pixels on each side of the outline in :func:`edges`."""
LEAST_POWER = 1e-7
"""Lower limit of the power in :func:`spectra`. Rounding to 256 grey levels has ten times this power."""

SHOWN = {
    "train_loss": "training loss\n(first epoch = 1)",
    "validation_dice": "validation Dice",
    "validation_psnr": "PSNR, validation images (dB)",
    "critic_gap": "gap between true and\npredicted masks (largest = 1)",
    "adversarial_share": "critic's share\nof the gradient",
}
"""Labels of the quantities that :func:`curves` draws."""

TRUTH = "truth"
_RESOLUTION: Styles = {
    TRUTH: {"color": "black", "linewidth": 3},
    "bilinear": {"color": DARK[3], "linestyle": ":"},
    "bicubic": {"color": DARK[2], "linestyle": "--"},
    "content_only": {"color": DARK[4], "linestyle": "-."},
    "srgan": {"color": DARK[1]},
}
_LOSSES = {
    "loss_dice": "Dice (binary mask)",
    "loss_soft_l1": "L1 (soft mask)",
    "loss_gan": "GAN",
    "loss_vgg22": "perceptual",
    "loss_vgg54": "perceptual",
}


def grid_of(titles: Iterable[str], rows: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (rows, panels), with ``rows`` axes of ``size`` inches for each panel. Panels that
    together are wider than :data:`WIDEST` fill several lines."""
    titles = list(titles)
    columns = min(len(titles), max(1, int(WIDEST // size[0])))
    lines = -(-len(titles) // columns)
    size = (max(size[0] * columns, 8), size[1] * rows * lines)
    fig, axes = plt.subplots(rows * lines, columns, figsize=size, squeeze=False, **shared)
    by_panel = axes.reshape(lines, rows, columns).swapaxes(0, 1).reshape(rows, -1)
    for ax in by_panel[:, len(titles) :].ravel():
        ax.remove()
    for ax, title in zip(by_panel[0], titles, strict=False):
        ax.set_title(display("datasets", title))
    return fig, by_panel[:, : len(titles)]


def label_left(axes: Iterable[Axes], words: str) -> None:
    """Label the vertical axis of the first panel of each line."""
    for ax in axes:
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel(words)


def styles_of(rows: Iterable[str]) -> Styles:
    """Return colour, marker and line style of each distinct row; lines are dashed after the last colour."""
    looks = [(line, *look) for line in ("-", "--") for look in zip(DARK, MARKERS, strict=True)]
    row_looks = zip(dict.fromkeys(rows), cycle(looks), strict=False)
    return {row: {"linestyle": line, "color": color, "marker": marker} for row, (line, color, marker) in row_looks}


def _epochs(ax: Axes, curves: Curves, values: Sequence[float], **style: Any) -> Any:
    """Draw ``values`` of the last epochs of ``curves``, one for each epoch, and return the line."""
    [line] = ax.plot(curves["steps"][-len(values) :], values, markevery=max(1, len(values) // 8), **style)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set(xlabel="step")
    ax.label_outer()
    return line


@unless_empty
def curves(
    by_dataset: Mapping[str, Mapping[str, Sequence[Curves]]], shown: Sequence[str] = ("train_loss", "validation_dice")
) -> Figure:
    """Draw the quantities ``shown`` (:data:`SHOWN`) of each training run: a column for each data set, a line for each
    seed. The critic's gap between true and predicted masks is normalised by its largest absolute value. Validation Dice
    of undertrained rows (:data:`softmask.measure.verdicts.RISING`) ends with a cross.
    """
    fig, axes = grid_of(by_dataset, len(shown), (6, 3.7), sharex="col", sharey="row")
    styles, lines, crosses = styles_of(chain.from_iterable(by_dataset.values())), {}, {}
    for rows, column in zip(by_dataset.values(), axes.T, strict=True):
        for row, seeds in rows.items():
            gains = [last_gain(seed["validation_dice"]) for seed in seeds if "validation_dice" in seed]
            for seed in seeds:
                for ax, name in zip(column, shown, strict=True):
                    values = np.asarray(seed[name])
                    if name == "train_loss":
                        values = values / values[0]
                    elif name == "critic_gap":
                        values = values / (np.abs(values).max() or 1)
                    lines[display("rows", row)] = _epochs(ax, seed, values, **styles[row])
                    if name == "validation_dice" and np.mean(gains) > RISING:
                        cross = {"marker": "x", "markersize": 11, "markeredgewidth": 3, "linestyle": ""}
                        ax.plot(seed["steps"][-1], values[-1], color=styles[row]["color"], **cross, clip_on=False)
                        crosses = {"undertrained": Line2D([], [], color="0.3", **cross)}
    for row, name in zip(axes, shown, strict=True):
        label_left(row, SHOWN[name])
        if name == "critic_gap":
            for ax in row:
                ax.axhline(0, color="0.5", linestyle=":")
    legend(fig, lines | crosses, columns=4)
    return fig


@unless_empty
def gan_health(by_dataset: Mapping[str, Sequence[Curves]]) -> Figure:
    """Draw the balance of generator and discriminator: the discriminator's accuracy (top), each loss's share (bottom).

    Args:
        by_dataset: curves of every seed, by data set; they may begin late. The shares are means over seeds.
    """
    fig, axes = grid_of(by_dataset, 2, (6, 3.8), sharex="col", sharey="row")
    looks = {"real": {"color": DARK[2], "marker": "o"}, "fake": {"color": DARK[1], "marker": "s"}}
    entries = {}
    for seeds, (top, bottom) in zip(by_dataset.values(), axes.T, strict=True):
        positions = seeds[0]["steps"]
        for kind, name in (("real", "real"), ("fake", "made by the network")):
            for seed in seeds:
                entries[name] = _epochs(top, seed, seed[f"discriminator_accuracy_{kind}"], **looks[kind])
        entries["guessing"] = top.axhline(0.5, color="0.5", linestyle=":")
        top.set(ylim=(-0.03, 1.03))
        losses = [name for name in seeds[0] if name.startswith("loss_")]
        terms = [[np.pad(seed[loss], (len(positions) - len(seed[loss]), 0)) for loss in losses] for seed in seeds]
        shares = np.mean(terms, axis=0)  # (losses, epochs)
        colors = [COLORS[i] for i in (0, 1, 6, 2)]
        areas = bottom.stackplot(positions, shares / shares.sum(axis=0), colors=colors, edgecolor="white")
        bottom.set(xlabel="step", ylim=(0, 1))
        names = (_LOSSES.get(loss, loss.removeprefix("loss_").replace("_", " ")) for loss in losses)
        entries |= dict(zip(names, areas, strict=True))
    label_left(axes[0], "discriminator:\nshare classified correctly")
    label_left(axes[1], "share of each\nweighted loss")
    legend(fig, entries, columns=3)
    return fig


def _lines(
    panels: Mapping[str, Mapping[str, Sequence[np.ndarray]]], styles: Styles, size: tuple[float, float], **style: Any
) -> tuple[Figure, np.ndarray]:
    fig, [axes] = grid_of(panels, 1, size, sharey=True)
    lines = {}
    for ax, rows in zip(axes, panels.values(), strict=True):
        for row, (x, y) in rows.items():
            [lines[display("rows", row)]] = ax.plot(x, y, **styles[row], **style)
    legend(fig, lines, columns=5)
    return fig, axes


def _by_row(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    by_row = {TRUTH: [example.truth for example in examples]}
    by_row |= {row: [example.upscaled[row] for example in examples] for row in examples[0].upscaled}
    return {row: np.stack(images) for row, images in by_row.items()}


@unless_empty
def spectra(by_dataset: Mapping[str, Sequence[Example]]) -> Figure:
    """Draw the mean power spectrum of every row and of the truth: a panel for each group of examples. Frequencies right
    of the dotted line are not contained in the low-resolution image."""
    lines: dict[str, dict[str, Any]] = {}
    for title, examples in by_dataset.items():
        measured = {row: spectrum(images) for row, images in _by_row(examples).items()}
        lines[title] = {row: (frequencies, power.mean(axis=0)) for row, (frequencies, power) in measured.items()}
    fig, axes = _lines(lines, _RESOLUTION, (6.2, 5.6))
    for ax in axes:
        ax.axvline(0.5 / SCALE, color="0.4", linestyle=":", linewidth=1.5)
        ax.set(xscale="log", yscale="log", xlabel="frequency (cycles per pixel)", ylim=(LEAST_POWER, None))
        ax.set_xticks([0.01, 0.03, 0.125, 0.5], ["0.01", "0.03", "0.125", "0.5"])
        ax.minorticks_off()
    label_left(axes, "power (grey values²)")
    return fig


@unless_empty
def edges(by_dataset: Mapping[str, Sequence[Example]]) -> Figure:
    """Draw the mean grey value by distance from the lesion's outline; rows and panels as in :func:`spectra`."""
    lines: dict[str, dict[str, Any]] = {title: {} for title in by_dataset}
    for title, examples in by_dataset.items():
        masks = np.stack([example.mask for example in examples])
        for row, images in _by_row(examples).items():
            distances, profiles = edge_profile(images, masks, REACH)
            has_value = ~np.isnan(profiles).all(axis=0)  # no lesion may reach as far inside
            lines[title][row] = distances[has_value], np.nanmean(profiles[:, has_value], axis=0)
    fig, axes = _lines(lines, _RESOLUTION, (6.2, 5.6))
    for ax in axes:
        ax.axvline(0, color="0.4", linestyle=":", linewidth=1.5)
        ax.set(xlabel="distance from the outline (pixels)\n← inside      outside →")
    label_left(axes, "mean grey value")
    return fig


@unless_empty
def reliability(
    by_dataset: Mapping[str, Mapping[str, Calibration]], observed: str = "share of pixels that are lesion"
) -> Figure:
    """Draw what is ``observed`` by predicted probability: a panel for each data set, a line for each row. Below the
    diagonal, predicted probabilities are too high."""
    diagonal = "perfectly calibrated"
    lines: dict[str, dict[str, Any]] = {dataset: {diagonal: ([0, 1], [0, 1])} for dataset in by_dataset}
    for dataset, rows in by_dataset.items():
        for row, bins in rows.items():
            is_drawn = bins.counts >= FEW_PIXELS
            lines[dataset][row] = bins.mean_probability[is_drawn], bins.observed[is_drawn]
    styles = {diagonal: {"color": "0.6", "linestyle": ":"}, **styles_of(chain.from_iterable(by_dataset.values()))}
    fig, axes = _lines(lines, styles, (6, 6.4), markeredgecolor="white")
    for ax in axes:
        ax.set(xlabel="predicted probability of lesion", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    label_left(axes, observed)
    return fig


def doctor_styles(names: Iterable[str], linestyles: bool) -> Styles:
    """Return line styles or markers of doctors and networks, with the same colours in both kinds of figures."""
    looks = zip((7, 5, 1, 2, 6), ("-", "--", "-.", ":", "-") if linestyles else "osD^v", strict=True)
    kind = "linestyle" if linestyles else "marker"
    return {name: {"color": COLORS[i], kind: look} for name, (i, look) in zip(names, looks, strict=False)}


@unless_empty
def distributions(dice: Mapping[str, Mapping[str, np.ndarray]], references: Mapping[str, str]) -> Figure:
    """Draw the cumulative distribution of Dice over nodules: a panel for each reference, a line for each name.

    ``dice`` is (N,) by name and reference; ``references`` are the panel titles by reference.
    """
    lines: dict[str, dict[str, Any]] = {title: {} for title in references.values()}
    for name, by_reference in dice.items():
        for reference in by_reference.keys() & references:
            values = np.sort(by_reference[reference][~np.isnan(by_reference[reference])])
            steps = np.append(values[:1], values), np.linspace(0, 1, len(values) + 1)
            lines[references[reference]][name] = steps
    fig, axes = _lines(lines, doctor_styles(dice, linestyles=True), (4.2, 4), drawstyle="steps-post")
    for ax in axes:
        ax.set(xlabel="Dice of a nodule", xlim=(0, 1))
        ax.grid(alpha=0.3)
    label_left(axes, "share of nodules\nwith at most this Dice")
    return fig


def sizes_and_readers(dataset: Dataset) -> Figure:
    """Draw histograms of the areas in a data set's slices, and of the number of readers who marked each slice."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    areas = dataset.index["area"].to_numpy()
    left.hist(areas, bins=np.geomspace(max(areas.min(), 1), areas.max(), 40), color=SOFT)
    left.set(xscale="log", xlabel="area in pixels", ylabel="slices")
    counts = dataset.index["n_readers"].value_counts().sort_index()
    right.bar_label(right.bar(counts.index.astype(str), counts.to_numpy(), color=BINARY))
    right.set(xlabel="readers who marked the slice", ylabel="slices")
    return fig


def label_errors(records: pd.DataFrame, labels: Sequence[str], metric: str, axis: str) -> Figure:
    """Draw the distribution of ``metric`` over samples, a box for each of ``labels``: quartiles, median, mean."""
    names = [name for name in labels if name in set(records["label"])]
    values = [records.loc[records["label"] == name, metric].dropna().to_numpy() for name in names]
    fig, ax = plt.subplots(figsize=(9, 0.5 * len(names) + 1.2))
    style = {"orientation": "horizontal", "whis": (5, 95), "showfliers": False, "widths": 0.6, "patch_artist": True}
    means = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black"}
    median = {"color": "black", "linewidth": 2}
    row_names = [display("rows", name) for name in names]
    boxes = ax.boxplot(values, tick_labels=row_names, showmeans=True, medianprops=median, meanprops=means, **style)
    for box, name in zip(boxes["boxes"], names, strict=True):
        box.set(facecolor=SOFT if "soft" in name else BINARY, alpha=0.8)
    ax.set(xlabel=axis)
    ax.invert_yaxis()
    legend_of_colors(fig, {"made by matting": SOFT, "not": BINARY})
    return fig


def matrices(tables: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Draw symmetric matrices side by side on one scale, with numbers in the cells; NaN cells stay empty."""
    fig, [axes] = grid_of(tables, 1, (4.6, 4.8))
    low = np.nanmin(np.concatenate([np.append(values, 1) for values in tables.values()]))
    for ax, values in zip(axes, tables.values(), strict=True):
        image = ax.imshow(values, vmin=low, vmax=1, cmap="cividis")
        for i, j in np.argwhere(np.isfinite(values)):
            color = "black" if image.norm(values[i, j]) > 0.5 else "white"
            ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color=color, fontsize=12)
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
        ax.set_yticks(range(len(names)), names if ax.get_subplotspec().is_first_col() else [])
        ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=axes, shrink=0.7, label="Dice")
    return fig
