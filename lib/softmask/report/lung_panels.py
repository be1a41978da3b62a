"""Pictures of lungs: masks over slices with what is missed and what is too much, nodules, activation maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softmask.papers import display
from softmask.report import figures
from softmask.report.panels import Panel, grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOUND, MISSED, TOO_MUCH = (figures.COLORS[i] for i in (1, 5, 3))
NODULE = MISSED
SHADE = 0.55
"""How strongly an area is coloured."""
_WORDS = {FOUND: "found", MISSED: "missed", TOO_MUCH: "found, and is no lung"}


def overlay(image: np.ndarray, areas: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    """(H, W, 3) in [0, 1]: ``image`` (H, W) in [0, 1] with each (H, W) bool area in its colour, later ones on top."""
    from matplotlib.colors import to_rgb

    shown = np.repeat(np.asarray(image, float)[..., None], 3, axis=2)
    for area, color in areas:
        shown[area] = (1 - SHADE) * shown[area] + SHADE * np.array(to_rgb(color))
    return shown


@figures.unless_empty
def compared(
    images: Sequence[np.ndarray], truths: Sequence[np.ndarray], found: Sequence[Mapping[str, np.ndarray]]
) -> Figure:
    """LGAN figure 4: slices with the reference and the lungs that each method finds; where they differ is coloured.

    Args:
        images: (H, W) in [0, 1] each.
        truths: (H, W) bool each.
        found: of each slice, by row, (H, W) bool.
    """
    rows = []
    for image, truth, masks in zip(images, truths, found, strict=True):
        panels = [Panel(overlay(image, [(truth, FOUND)]))]
        for mask in masks.values():
            areas = [(mask & truth, FOUND), (truth & ~mask, MISSED), (mask & ~truth, TOO_MUCH)]
            panels.append(Panel(overlay(image, areas)))
        rows.append(panels)
    fig = grid(rows, ["reference", *(display("rows", row).replace(" ", "\n", 1) for row in found[0])])
    _legend(fig, (FOUND, MISSED, TOO_MUCH))
    return fig


@figures.unless_empty
def nodules(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    marked: Sequence[np.ndarray],
) -> Figure:
    """LGAN figure 6: slices with the nodules that the readers marked; above with the reference lung, below with the
    predicted one.

    Args:
        images: (H, W) in [0, 1] each; ``truths``, ``found``, ``marked``: (H, W) bool each.
    """
    rows = [
        [
            Panel(overlay(image, [(lung, FOUND), (nodule, NODULE)]))
            for image, lung, nodule in zip(images, lungs, marked, strict=True)
        ]
        for lungs in (truths, found)
    ]
    fig = grid(rows, names=["reference", "predicted"], size=3.0)
    _legend(fig, (FOUND, NODULE), {FOUND: "lung", NODULE: "nodule"})
    return fig


def activations(image: np.ndarray, maps: Mapping[str, np.ndarray], mask: np.ndarray, columns: int = 4) -> Figure:
    """LGAN figure 5: a slice, the most representative map of every block, and the mask, each (H, W) in [0, 1]."""
    named = {"image": image, **{_block(name): one for name, one in maps.items()}, "mask": mask.astype(float)}
    fig, axes = figures.image_grid(-(-len(named) // columns), columns, 2.6)
    for ax, (name, picture) in zip(axes.flat, named.items(), strict=False):
        ax.imshow(picture, vmin=0, vmax=1, cmap="gray" if name in ("image", "mask") else "cividis")
        size = f"\n{picture.shape[0]} × {picture.shape[1]}" if name not in ("image", "mask") else ""
        ax.set_title(name + size, fontsize=12)
    return fig


def _block(name: str) -> str:
    for start in ("encoder", "decoder"):
        if name.startswith(start):
            return f"{start}, level {name.removeprefix(start)}"
    return name


def _legend(fig: Figure, colors: Sequence[str], words: Mapping[str, str] | None = None) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=color, label=(words or {}).get(color, _WORDS[color])) for color in colors]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
