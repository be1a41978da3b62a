"""Pictures of Dice nodule by nodule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from softmask.papers import display
from softmask.report import figures
from softmask.report.training_panels import outside_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figures.unless_empty
def distributions(
    found: Mapping[str, Mapping[str, np.ndarray]], references: Mapping[str, str], minimum: float = 0.0
) -> Figure:
    """Dice of every nodule: for each reference a panel, for everyone the share of nodules up to each Dice.

    Args:
        found: by name and reference, Dice (N,) in [0, 1].
        references: names of the panels, by reference.
        minimum: where the axis begins.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(references), figsize=(4.2 * len(references), 4), sharey=True, squeeze=False)
    looks = {
        name: {"color": figures.COLORS[i], "linestyle": style}
        for name, i, style in zip(found, (7, 5, 1, 2, 6), ("-", "--", "-.", ":", "-"), strict=False)
    }
    lines: dict[str, object] = {}
    for ax, (reference, title) in zip(axes[0], references.items(), strict=True):
        for name, by in found.items():
            values = by.get(reference)
            if values is not None:
                lines[display("rows", name)] = ax.ecdf(values[~np.isnan(values)], linewidth=2, **looks[name])
        ax.set(title=title, xlabel="Dice of a nodule", xlim=(minimum, 1))
        ax.grid(alpha=0.3)
    axes[0, 0].set(ylabel="share of nodules\nwith at most this Dice")
    outside_legend(fig, lines, columns=len(lines))
    return fig


@figures.unless_empty
def by_group(found: Mapping[str, np.ndarray], members: Mapping[str, np.ndarray], label: str) -> Figure:
    """For each group of nodules everyone's Dice: the median, and the middle half of the nodules.

    Args:
        found: by name, Dice (N,) in [0, 1].
        members: by group, which nodules (N,) bool; those without any are left out.
        label: of the axis.
    """
    import matplotlib.pyplot as plt

    shown = {group: inside for group, inside in members.items() if inside.any()}
    fig, ax = plt.subplots(figsize=(9, 0.62 * len(shown) + 1.4))
    places = np.arange(len(shown))[::-1]
    for i, (name, values) in enumerate(found.items()):
        quartiles = np.array([np.nanquantile(values[inside], (0.25, 0.5, 0.75)) for inside in shown.values()])
        offset = 0.3 - 0.6 * i / max(len(found) - 1, 1)
        ax.errorbar(
            quartiles[:, 1],
            places + offset,
            xerr=np.abs(quartiles[:, [0, 2]] - quartiles[:, 1:2]).T,
            fmt="osD^v"[i % 5],
            color=figures.COLORS[(7, 5, 1, 2, 6)[i % 5]],
            label=display("rows", name),
        )
    ax.set(xlabel=label, xlim=(0, 1))
    ax.set_yticks(places, [f"{display('rows', group)} ({int(inside.sum())})" for group, inside in shown.items()])
    ax.grid(axis="x", alpha=0.3)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return fig
