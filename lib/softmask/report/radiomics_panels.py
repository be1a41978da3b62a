"""Pictures of radiomics: how well features tell two classes apart, and how stable they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softmask.papers import display
from softmask.report.training_panels import DARK, MARKERS, outside_legend

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PRINTED = "D"
"""Marker of a printed value."""


def areas_under_curves(
    found: Mapping[tuple[str, str, str], Mapping[str, float]], printed: Mapping[tuple[str, str, str], float]
) -> Figure:
    """AUC with its interval: a panel for each data set, a line for each set of features, a colour for each classifier.

    Args:
        found: ``auc``, ``auc_low`` and ``auc_high`` by (data set, features, classifier).
        printed: the paper's AUC by the same, drawn as an open diamond.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    datasets, features, classifiers = (list(dict.fromkeys(key[i] for key in found)) for i in range(3))
    size = (4.4 * len(datasets) + 3.6, 0.75 * len(features) + 2)
    fig, axes = plt.subplots(1, len(datasets), figsize=size, squeeze=False, sharey=True, sharex=True)
    for dataset, ax in zip(datasets, axes[0], strict=True):
        ax.axvline(0.5, color="0.5", linestyle=":")
        for (of, name, classifier), values in found.items():
            if of != dataset:
                continue
            i = classifiers.index(classifier)
            place = features.index(name) + 0.26 * (i - (len(classifiers) - 1) / 2)
            ax.plot([values["auc_low"], values["auc_high"]], [place, place], color=DARK[i])
            ax.plot(values["auc"], place, MARKERS[i], color=DARK[i])
            if (of, name, classifier) in printed:
                ax.plot(printed[of, name, classifier], place, PRINTED, color="white", markeredgecolor=DARK[i])
        ax.set(title=display("datasets", dataset), xlabel="AUC", ylim=(len(features) - 0.5, -0.5))
        ax.set_yticks(range(len(features)), [display("rows", name) for name in features])
        ax.grid(axis="x", alpha=0.3)
    entries = {
        display("rows", name): Line2D([], [], color=DARK[i], marker=MARKERS[i]) for i, name in enumerate(classifiers)
    }
    entries["printed"] = Line2D([], [], color="none", marker=PRINTED, markerfacecolor="white", markeredgecolor="black")
    outside_legend(fig, entries, columns=4)
    return fig


def stability(found: Mapping[str, Mapping[str, pd.DataFrame]], families: Sequence[str]) -> Figure:
    """ICC of every feature between two regions: a panel for each data set, a row for each family of features.

    Args:
        found: by data set and name of the second region, a frame with the column ``icc`` over the features.
        families: by which the features' names begin.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    fig, axes = plt.subplots(
        1, len(found), figsize=(4.6 * len(found) + 2, 4.6), squeeze=False, sharey=True, sharex=True
    )
    regions = list(next(iter(found.values())))
    for (dataset, tables), ax in zip(found.items(), axes[0], strict=True):
        for i, name in enumerate(regions):
            icc = tables[name]["icc"]
            for place, family in enumerate(families):
                mine = icc[icc.index.str.startswith(f"{family}_")].dropna().to_numpy()
                height = place + (0.22 if i else -0.22)
                ax.plot(mine, np.full(len(mine), height), "|", color=DARK[i], alpha=0.6, markersize=11)
                ax.plot(np.median(mine), height, MARKERS[i], color=DARK[i], markeredgecolor="white")
        ax.set(title=display("datasets", dataset), xlabel="ICC with the binary mask", ylim=(len(families) - 0.5, -0.5))
        ax.set_yticks(range(len(families)), [display("rows", family) for family in families])
        ax.grid(axis="x", alpha=0.3)
    entries = {
        display("rows", name): Line2D([], [], color="none", marker=MARKERS[i], markerfacecolor=DARK[i])
        for i, name in enumerate(regions)
    }
    outside_legend(fig, entries, columns=2)
    return fig
