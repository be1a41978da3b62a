"""Pictures of finished runs: curves, the health of adversarial training, calibration, predictions, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softmask.measure.soft import Calibration, soft_head
from softmask.measure.verdicts import CONTRADICTED, FAILED_TRAINING, HOLDS, INCONCLUSIVE, NO_GAIN, UNDERTRAINED
from softmask.papers import display
from softmask.report import figures, panels
from softmask.report.panels import Panel
from softmask.report.text import NOT_FINISHED
from softmask.report.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Sequence[float]]
"""One training's numbers, one for each epoch, by name (:class:`softmask.train.loop.Outcome`)."""

DARK = tuple(figures.COLORS[i] for i in (7, 5, 4, 2, 6, 0, 1))
"""Colours of lines on white: all of them but the yellow."""
MARKERS = "osD^vP*"
TRUTH = figures.COLORS[0]
FEW_PIXELS = 30
"""A bin of the reliability curve with fewer pixels than this is not drawn."""

MARKS = {
    HOLDS: ("o", DARK[2], DARK[2]),
    CONTRADICTED: ("X", DARK[1], DARK[1]),
    NO_GAIN: ("v", DARK[1], DARK[1]),
    INCONCLUSIVE: ("o", "white", "black"),
    UNDERTRAINED: ("s", "white", "0.6"),
    FAILED_TRAINING: ("s", "0.6", "0.6"),
}
"""Marker, face and edge of a pair by its verdict."""

_LOSSES = {"loss_dice": "Dice (binary mask)", "loss_soft_l1": "L1 (soft mask)", "loss_gan": "GAN"}


@figures.unless_empty
def curves(found: Mapping[str, Mapping[str, Sequence[Curves]]]) -> Figure:
    """Loss (of its first epoch) over validation Dice, epoch by epoch: a column for each data set, a line for each seed.

    Args:
        found: by data set and row, the curves of every seed.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, len(found), figsize=(6 * len(found), 7.4), squeeze=False, sharex="col", sharey="row")
    styles, lines = _styles(found), {}
    for (dataset, rows), (top, bottom) in zip(found.items(), axes.T, strict=True):
        for row, seeds in rows.items():
            for seed in seeds:
                loss = np.asarray(seed["train_loss"]) / seed["train_loss"][0]
                [lines[row]] = _line(top, loss, **styles[row])
                _line(bottom, seed["validation_dice"], **styles[row])
        top.set(title=display("datasets", dataset))
        bottom.set(xlabel="epoch")
        whole_epochs(bottom)
    axes[0, 0].set(ylabel="training loss\n(first epoch = 1)")
    axes[1, 0].set(ylabel="validation Dice")
    outside_legend(fig, {display("rows", row): line for row, line in lines.items()}, columns=4)
    return fig


def _styles(found: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, str]]:
    """Colour, marker and line of each row, the same for all data sets; dashed ones after the last colour."""
    looks = [(line, *look) for line in ("-", "--") for look in zip(DARK, MARKERS, strict=True)]
    rows = dict.fromkeys(row for of in found.values() for row in of)
    named = zip(rows, looks * (1 + len(rows) // len(looks)), strict=False)
    return {row: {"linestyle": line, "color": color, "marker": marker} for row, (line, color, marker) in named}


def _line(ax: Axes, values: Sequence[float], **style: str) -> list:
    every = max(1, len(values) // 8)
    return ax.plot(np.arange(1, len(values) + 1), values, markevery=every, **style)


def whole_epochs(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def outside_legend(fig: Figure, entries: Mapping[str, object], columns: int) -> None:
    """Draw a legend below the figure, in at most so many columns, and in fewer where they are wider than the figure."""
    for count in range(min(columns, len(entries)), 0, -1):
        legend = fig.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=count)
        if count == 1 or legend.get_window_extent(fig.canvas.get_renderer()).width <= fig.bbox.width:
            return
        legend.remove()


@figures.unless_empty
def gan_health(found: Mapping[str, Sequence[Curves]]) -> Figure:
    """Whether two players are in balance: the discriminator's accuracy, and what each loss weighs, epoch by epoch.

    Args:
        found: by data set, the curves of every seed of an adversarial training; the shares are means over seeds.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, len(found), figsize=(6 * len(found), 7.6), squeeze=False, sharex="col", sharey="row")
    losses = [name for name in next(iter(found.values()))[0] if name.startswith("loss_")]
    for (dataset, seeds), (top, bottom) in zip(found.items(), axes.T, strict=True):
        for seed in seeds:
            [real] = _line(top, seed["discriminator_accuracy_real"], color=DARK[2], marker="o")
            [fake] = _line(top, seed["discriminator_accuracy_fake"], color=DARK[1], marker="s")
        guess = top.axhline(0.5, color="0.5", linestyle=":")
        top.set(title=display("datasets", dataset), ylim=(-0.03, 1.03))
        terms = np.mean([[seed[name] for name in losses] for seed in seeds], axis=0)  # (losses, epochs)
        shares, epochs = terms / terms.sum(axis=0), np.arange(1, terms.shape[1] + 1)
        colors = [figures.COLORS[i] for i in (0, 1, 6)]
        areas = bottom.stackplot(epochs, shares, colors=colors, edgecolor="white")
        pad = 0.03 * len(epochs)
        bottom.set(xlabel="epoch", ylim=(0, 1), xlim=(1 - pad, len(epochs) + pad))
        whole_epochs(bottom)
    axes[0, 0].set(ylabel="discriminator: share of\npixels judged rightly")
    axes[1, 0].set(ylabel="share of each\nweighted loss")
    entries = {"real masks": real, "the segmentor's masks": fake, "guessing": guess}
    entries |= {_LOSSES.get(name, name.removeprefix("loss_")): area for name, area in zip(losses, areas, strict=True)}
    outside_legend(fig, entries, columns=3)
    return fig


@figures.unless_empty
def critic_health(found: Mapping[str, Mapping[str, Sequence[Curves]]]) -> Figure:
    """Whether critics (Wasserstein) tell true from predicted masks, and how much the generator hears of it: the gap as
    a share of its largest absolute value, over the critic's share of the gradient, epoch by epoch.

    Args:
        found: by data set and row, the curves of every seed.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, len(found), figsize=(6 * len(found), 7.4), squeeze=False, sharex="col", sharey="row")
    styles, lines = _styles(found), {}
    for (dataset, rows), (top, bottom) in zip(found.items(), axes.T, strict=True):
        for row, seeds in rows.items():
            for seed in seeds:
                gap = np.asarray(seed["critic_gap"])
                [lines[row]] = _line(top, gap / (np.abs(gap).max() or 1.0), **styles[row])
                _line(bottom, seed["adversarial_share"], **styles[row])
        top.axhline(0, color="0.5", linestyle=":")
        top.set(title=display("datasets", dataset))
        bottom.set(xlabel="epoch", ylim=(-0.02, 1.02))
        whole_epochs(bottom)
    axes[0, 0].set(ylabel="gap between true and\npredicted masks (largest = 1)")
    axes[1, 0].set(ylabel="critic's share\nof the gradient")
    outside_legend(fig, {display("rows", row): line for row, line in lines.items()}, columns=3)
    return fig


@figures.unless_empty
def reliability(found: Mapping[str, Mapping[str, Calibration]]) -> Figure:
    """The share of lesion pixels against their predicted probability: a panel for each data set, a line for each row.

    On the diagonal, a probability can be taken at its word; below it, the method is too sure of seeing lesion.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(found), figsize=(6 * len(found), 6.4), squeeze=False, sharey=True)
    styles, lines = _styles(found), {}
    for (dataset, rows), ax in zip(found.items(), axes[0], strict=True):
        [lines["what it says"]] = ax.plot([0, 1], [0, 1], color="0.6", linestyle=":")
        for row, one in rows.items():
            enough = one.counts >= FEW_PIXELS
            [line] = ax.plot(one.mean_probability[enough], one.observed[enough], **styles[row], markeredgecolor="white")
            lines[display("rows", row)] = line
        ax.set(title=display("datasets", dataset), xlabel="predicted probability of lesion", xlim=(0, 1), ylim=(0, 1))
        ax.set_aspect("equal")
    axes[0, 0].set(ylabel="share of pixels that are lesion")
    outside_legend(fig, lines, columns=4)
    return fig


def compared(
    pictures: Mapping[str, tuple[np.ndarray, np.ndarray]],
    own: tuple[str, Mapping[str, np.ndarray]],
    others: Mapping[str, Mapping[str, np.ndarray]],
    most: int = 5,
) -> Figure | None:
    """SoftGAN figure 5: nodules with the soft mask of one method, the truth's outline, and other methods' predictions.

    Args:
        pictures: by nodule, (S, S) image in [0, 1] and bool truth; a nodule that it lacks is drawn without them.
        own: the method whose soft mask is shown: its row, and (S, S) probabilities by nodule.
        others: rows and their probabilities by nodule; empty where no run of a row is finished.
        most: nodules drawn.

    Returns:
        None where ``own`` has no nodule.
    """
    row, predictions = own
    if not predictions:
        return None
    rows = []
    for name in list(predictions)[:most]:
        absent = Panel(None, note="image not\nat hand")
        image, truth = pictures.get(name, (None, None))
        seen = absent if image is None else Panel(image)
        outlined = absent if image is None else Panel(image, [(truth, TRUTH)])
        rest = [Panel(found[name]) if name in found else Panel(None, note=NOT_FINISHED) for found in others.values()]
        rows.append([seen, Panel(soft_head(predictions[name])), outlined, *rest])
    titles = ["image", f"{display('rows', row)},\nsoft mask", "ground truth", *(display("rows", one) for one in others)]
    return panels.grid(rows, titles)


def differences(verdicts: Sequence[Verdict], measure: str = "Dice") -> Figure | None:
    """Every pair of every claim: its difference with the 95 % interval; a panel for each data set.

    Args:
        measure: what the differences are of, in words.

    Returns:
        None where no pair has runs of both methods.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    numbered = [(n, one) for n, verdict in enumerate(verdicts, 1) for one in verdict.pairs if one.outcome.difference]
    if not numbered:
        return None
    [unit] = {verdict.unit for verdict in verdicts if verdict.pairs}
    datasets = list(dict.fromkeys(one.pair.dataset for _, one in numbered))
    names = list(dict.fromkeys(f"{n}. {one.pair}" for n, one in numbered))
    size = (5.0 * len(datasets) + 4.5, 0.5 * len(names) + 2.2)
    fig, axes = plt.subplots(1, len(datasets), figsize=size, squeeze=False, sharey=True, sharex=True)
    for dataset, ax in zip(datasets, axes[0], strict=True):
        ax.axvline(0, color="0.5", linestyle=":")
        for n, one in numbered:
            if one.pair.dataset != dataset:
                continue
            place, difference = names.index(f"{n}. {one.pair}"), one.outcome.difference
            marker, face, edge = MARKS[one.outcome.verdict]
            ax.plot([difference.low, difference.high], [place, place], color=edge)
            ax.plot(difference.mean, place, marker, color=face, markeredgecolor=edge, markersize=10)
        ax.set(title=display("datasets", dataset), xlabel=f"difference in {measure}\n({unit})")
        ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    drawn = {one.outcome.verdict for _, one in numbered}
    entries = {
        name: Line2D([], [], marker=marker, color="none", markerfacecolor=face, markeredgecolor=edge, markersize=10)
        for name, (marker, face, edge) in MARKS.items()
        if name in drawn
    }
    outside_legend(fig, entries, columns=3)
    return fig
