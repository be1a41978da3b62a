"""Grids of CT slices with lungs: correct and wrong areas of predictions, nodules at the lung wall, and activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from skimage.measure import label, regionprops

from softmask.papers import display
from softmask.report import figures
from softmask.report.figures import COLORS
from softmask.report.panels import Panel, grid, legend

FOUND, MISSED, TOO_MUCH = (COLORS[i] for i in (1, 5, 3))
SHADE = 0.55
"""Opacity of the areas coloured by :func:`overlay`."""


def overlay(image: np.ndarray, areas: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    """Return ``image`` (H, W) in [0, 1] as (H, W, 3) with each (H, W) bool area in its colour, later ones on top."""
    rgb = np.repeat(np.asarray(image, float)[..., None], 3, axis=2)
    for area, color in areas:
        rgb[area] = (1 - SHADE) * rgb[area] + SHADE * np.array(to_rgb(color))
    return rgb


@figures.unless_empty
def lungs(
    images: Sequence[np.ndarray], truths: Sequence[np.ndarray], predicted: Sequence[Mapping[str, np.ndarray]]
) -> Figure:
    """Draw LGAN figure 4: slices with the reference, whole and enlarged inside the box, and the lungs that each method
    finds in the box. Correct areas and errors are coloured, and an arrow points at each method's largest error.

    ``images`` are (H, W) in [0, 1], ``truths`` and ``predicted`` (by row) (H, W) bool.
    """
    rows = []
    for image, truth, masks in zip(images, truths, predicted, strict=True):
        window = _around_errors(truth, list(masks.values()))
        box = np.zeros(truth.shape, bool)
        box[window] = True
        reference = overlay(image, [(truth, FOUND)])
        row = [Panel(reference, [(box, COLORS[0])]), Panel(reference[window])]
        for mask in masks.values():
            areas = [(mask & truth, FOUND), (truth & ~mask, MISSED), (mask & ~truth, TOO_MUCH)]
            errors = regionprops(label((mask ^ truth)[window]))
            largest = max(errors, key=lambda region: region.area).coords if errors else None
            arrow = None if largest is None else tuple(largest[len(largest) // 2].tolist())
            row.append(Panel(overlay(image, areas)[window], arrow=arrow))
        rows.append(row)
    names = [display("rows", row).replace(" ", "\n", 1) for row in predicted[0]]
    fig = grid(rows, ["reference", "reference,\nenlarged", *names])
    legend(fig, {"found": FOUND, "missed": MISSED, "found, and is no lung": TOO_MUCH}, areas=True)
    return fig


def _around_errors(truth: np.ndarray, masks: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """Return a square inside the slice, of 3/8 of its height, around the largest error of all masks."""
    regions = [region for mask in masks for region in regionprops(label(mask ^ truth))]
    middle = max(regions, key=lambda region: region.area).centroid if regions else np.array(truth.shape) / 2
    size = 3 * len(truth) // 8
    corner = np.clip(np.rint(middle) - size // 2, 0, np.array(truth.shape) - size).astype(int).tolist()
    return slice(corner[0], corner[0] + size), slice(corner[1], corner[1] + size)


@figures.unless_empty
def nodules_in_lungs(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    marked: Sequence[np.ndarray],
) -> Figure:
    """Draw LGAN figure 6: slices with the nodules ``marked`` by readers, with the reference lung in the upper row and
    the predicted lung in the lower. Arguments as in :func:`lungs`."""
    rows = []
    for masks in (truths, predicted):
        slices = zip(images, masks, marked, strict=True)
        rows.append([Panel(overlay(image, [(lung, FOUND), (nodule, MISSED)])) for image, lung, nodule in slices])
    fig = grid(rows, names=["reference", "predicted"], size=3.0)
    legend(fig, {"lung": FOUND, "nodule": MISSED}, areas=True)
    return fig


def activations(image: np.ndarray, maps: Mapping[str, np.ndarray], mask: np.ndarray) -> Figure:
    """Draw LGAN figure 5: a slice, the most representative map of every block, and the mask, each (H, W) in [0, 1]."""
    panels = [Panel(image, title="image")]
    for name, values in maps.items():
        block = name.replace("encoder", "encoder, level ").replace("decoder", "decoder, level ")
        panels.append(Panel(values, title=f"{block}\n{values.shape[0]} × {values.shape[1]}", cmap="cividis"))
    panels.append(Panel(mask, title="mask"))
    panels += [Panel(None)] * (-len(panels) % 4)
    return grid([panels[i : i + 4] for i in range(0, len(panels), 4)], size=2.6)
