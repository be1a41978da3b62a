"""Pictures of DSNet: where the first block of its backbone looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from softmask.report import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Look:
    """An image and where two networks look.

    Attributes:
        image: (S, S) in [0, 1].
        super_resolved: (s, s) in [0, 1].
        without, having: (S, S) in [0, 1], weights of places without and with the module that is compared.
    """

    image: np.ndarray
    super_resolved: np.ndarray
    without: np.ndarray
    having: np.ndarray


@figures.unless_empty
def attention(looks: Sequence[Look], module: str) -> Figure:
    """A row for each of ``looks``: image, super-resolved image, and the weights without and with ``module``, all on one
    scale. It leaves out the lowest and the highest hundredth: at the border, zeros beyond it decide.
    """
    weights = np.concatenate([[look.without, look.having] for look in looks])
    low, high = np.percentile(weights, (1, 99))
    fig, axes = figures.image_grid(len(looks), 4, 2.7)
    for look, row in zip(looks, axes, strict=True):
        for ax, picture in zip(row, (look.image, look.super_resolved), strict=False):
            ax.imshow(picture, vmin=0, vmax=1)
        for ax, picture in zip(row[2:], (look.without, look.having), strict=True):
            shown = ax.imshow(picture, vmin=low, vmax=high, cmap="cividis")
    titles = ("image", "super-resolved", f"attention,\nwithout {module}", f"attention,\nwith {module}")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    bar = fig.colorbar(shown, ax=axes, shrink=0.8, extend="both", label="weight of the place (shared scale)")
    bar.outline.set_visible(False)
    return fig
