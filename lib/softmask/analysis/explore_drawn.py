"""The bench's pictures: for one setting a PNG, quickly; for fixed settings a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softmask.analysis.explore import Setting, Step
from softmask.data.sample import Sample
from softmask.report import figures, panels
from softmask.report.panels import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = ("image, RECIST mark", "trimap", "alpha", "alpha cut, readers")
AXES = (panels.LONG, panels.SHORT)
CUT = figures.COLORS[3]
FAILED = "no soft mask"

VIEW = 40
"""Least height and width of what is shown of an image: the edge of a small nodule is a few pixels wide."""


def pictures(sample: Sample, setting: Setting, made: Step | None) -> list[Panel]:
    """The four panels of :data:`TITLES`, of twice the lesion's height or width, but at least :data:`VIEW` pixels.

    Of all panels but the first there are only words, where there is no soft mask.
    """
    extent = np.ptp(np.argwhere(sample.masks.any(axis=0)), axis=0).max()
    view = panels.crop(sample, max(VIEW, 2 * int(extent)))
    spacing = sample.spacing[0] if sample.spacing else None
    corner = (view[0].start, view[1].start)
    image = Panel(sample.image[view], axes=setting.recist - corner, spacing=spacing)
    if made is None:
        return [image, *(Panel(None, note=FAILED) for _ in TITLES[1:])]
    readers = [(mask[view], color_of(i)) for i, mask in enumerate(sample.readers) if sample.present[i]]
    return [
        image,
        Panel(made.made.trimap[view]),
        Panel(made.made.alpha[view]),
        Panel(sample.image[view], [*readers, (made.binary[view], CUT)]),
    ]


def color_of(reader: int) -> str:
    """The colour of a reader's outline, counted from 0."""
    return panels.DOCTORS[reader % len(panels.DOCTORS)]


class Strip:
    """A row of panels that is drawn again and again: one figure whose layout is computed once.

    Args:
        titles: of the panels.
        inches: height and width of a panel, at 80 pixels to the inch.
    """

    def __init__(self, titles: Sequence[str] = TITLES, inches: float = 3.0) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # not by pyplot: a notebook would show the figure, and keep it
        figure = Figure(figsize=(inches * len(titles), inches + 0.3), dpi=80, layout="none")
        self._canvas = FigureCanvasAgg(figure)
        self._axes = figure.subplots(1, len(titles), squeeze=False)[0]
        figure.subplots_adjust(left=0.002, right=0.998, bottom=0.01, top=1 - 0.3 / (inches + 0.3), wspace=0.02)
        self._titles = titles

    def png(self, row: Sequence[Panel]) -> bytes:
        """The panels as a PNG file."""
        import cv2

        for ax, title, panel in zip(self._axes, self._titles, row, strict=True):
            ax.clear()
            ax.set_axis_off()
            ax.set(xticks=[], yticks=[])  # they are not shown, and would be measured
            ax.set_title(title, y=1.0)  # a place of its own choice is half of the drawing time
            panels.draw(ax, panel)
        self._canvas.draw()
        colors = cv2.cvtColor(np.asarray(self._canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
        return cv2.imencode(".png", colors, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def fixed_settings(sample: Sample, settings: Mapping[str, Setting], steps: Mapping[str, Step]) -> Figure:
    """For each setting a row of :data:`TITLES`, with its name beside it."""
    rows = [pictures(sample, settings[name], made) for name, made in steps.items()]
    fig = panels.grid(rows, TITLES, list(steps), size=3.0)
    colors = {f"reader {i + 1}": color_of(i) for i in np.flatnonzero(sample.present)}
    panels.legend(fig, {"long axis": AXES[0], "short axis": AXES[1], "alpha, cut": CUT} | colors)
    return fig
