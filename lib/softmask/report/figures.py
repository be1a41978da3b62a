"""Figures: one style, outlines along pixel edges, and files that are byte-identical between runs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from softmask import papers
from softmask.config import Config
from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.report.result import NOT_A_RESULT, WORKBOOK, check_name
from softmask.report.tables import NOTEBOOK_VARIABLE, about_run, to_json

COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008)."""
WIDEST = 13.6
"""Maximum width of a figure, in inches. A page would scale a wider figure down, with its text."""

OUTLINED = [withStroke(linewidth=3, foreground="black")]
"""Path effect of white text and bars on images."""


def style() -> None:
    """Set up matplotlib for every figure of the workbook: legible at half size, colour-blind-safe, embedded fonts. A
    user's own ``matplotlibrc`` has no effect."""
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "figure.dpi": 80,
            "savefig.dpi": 160,
            "figure.constrained_layout.use": True,
            "font.family": "DejaVu Sans",  # comes with matplotlib, so the files do not depend on the machine
            "font.size": 13,
            "axes.titlesize": 14,
            "axes.labelsize": 13,
            "xtick.labelsize": 12,
            "ytick.labelsize": 12,
            "legend.fontsize": 12,
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "lines.markersize": 7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=COLORS),
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "pdf.fonttype": 42,
        }
    )


def unless_empty(draw: Callable[..., Figure]) -> Callable[..., Figure | None]:
    """Return a drawing function that returns None where its first argument, the content, is empty."""

    @wraps(draw)
    def wrapper(content: Any, *arguments: Any, **named: Any) -> Figure | None:
        return draw(content, *arguments, **named) if len(content) else None

    return wrapper


def save(
    fig: Figure | None, paper: str, name: str, config: Config, caption: str, alt: str = "", missing: str = ""
) -> Path | None:
    """Write ``figures/<run>/<paper>/<name>.{json,pdf,png}``, each whole or not at all, and return the PNG's path.

    Without a figure, such as where no run is finished, print a message and return None. The same figure gives the same
    bytes. In a profile that is no result, the figure is marked "not a result".

    Args:
        paper, name: such as ``casgan`` and ``fig-1``, or ``fig-1-<part>`` for a further picture; or ``workbook`` and
            a name of its own.
        caption: content and data, in words.
        alt: description for readers who cannot see the picture; where empty, the caption.
        missing: content of the printed figure that is missing here, such as a network without a finished run.

    Raises:
        ConfigError: for a paper or figure that does not exist.
    """
    check_name(name)
    printed_figures = {} if paper == WORKBOOK else papers.load(paper).figures
    if paper != WORKBOOK and "-".join(name.split("-")[:2]) not in printed_figures:
        raise ConfigError(f"{paper} has no figure {name!r}; its figures are {', '.join(printed_figures)}")
    if fig is None:
        print(f"{paper}/{name} is not drawn: its runs are not finished, or their weights or data are not here")
        return None
    content = {"paper": paper, "figure": name, "caption": caption, "alt": alt or caption, "missing": missing}
    content["notebook"] = os.environ.get(NOTEBOOK_VARIABLE, "")
    mark = fig.text(0.5, 0.5, "" if config.profile.is_result else NOT_A_RESULT.partition(":")[0])
    mark.set(color="#D55E00", alpha=0.6, size=40, rotation=20, ha="center", va="center", in_layout=False)
    path, pdf, png = config.figures / paper / f"{name}.png", io.BytesIO(), io.BytesIO()
    try:
        fig.savefig(pdf, format="pdf", metadata={"Creator": "softmask", "Producer": "matplotlib", "CreationDate": None})
        fig.savefig(png, format="png", metadata={"Software": None, "Title": f"{paper} {name}"})
    finally:
        mark.remove()
    write_atomic(path.with_suffix(".json"), to_json(content | about_run(config)))
    write_atomic(path.with_suffix(".pdf"), pdf.getvalue())
    return write_atomic(path, png.getvalue())


def legend(fig: Figure, entries: Mapping[str, Any], columns: int) -> None:
    """Draw a legend below the figure in at most ``columns`` columns, fewer where these are wider than the figure."""
    for count in range(min(columns, len(entries)), 0, -1):
        candidate = fig.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=count)
        if count == 1 or candidate.get_window_extent(fig.canvas.get_renderer()).width <= fig.bbox.width:
            return
        candidate.remove()


def mask_contours(ax: Axes, outlines: Iterable[tuple[np.ndarray, str]]) -> None:
    """Draw the outline of each (H, W) bool mask in its colour, along pixel edges, over an image shown with ``imshow``.

    Outlines are closed along the image border. Later outlines lie on top of earlier ones.
    """
    for i, (mask, color) in enumerate(outlines):
        lines = LineCollection(edge_segments(mask), colors=color, linewidths=2, capstyle="projecting", zorder=3 + i / 9)
        ax.add_collection(lines, autolim=False)


def edge_segments(mask: np.ndarray) -> np.ndarray:
    """Return the pixel edges around ``mask`` (H, W): (N, 2, 2) end points as (x, y), integer at pixel centres."""
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[1:] != padded[:-1])
    left = np.stack([columns - 1.5, rows - 0.5], axis=1)  # minus 1 for the padding; edges lie half a pixel from centres
    rows, columns = np.nonzero((padded[:, 1:] != padded[:, :-1]).T)[::-1]
    top = np.stack([columns - 0.5, rows - 1.5], axis=1)
    horizontal = np.stack([left, left + np.array([1, 0])], axis=1)
    vertical = np.stack([top, top + np.array([0, 1])], axis=1)
    return np.concatenate([horizontal, vertical])


def scalebar(ax: Axes, spacing: float, length: float, unit: str = "mm") -> None:
    """Draw a labelled bar of ``length`` in the lower left corner of an image with square pixels of size ``spacing``."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    width, height = right - left, top - bottom  # height is negative on an image
    x, y = left + 0.05 * width, bottom + 0.05 * height
    look = {"color": "white", "zorder": 5, "path_effects": OUTLINED}
    ax.add_patch(Rectangle((x, y), length / spacing, 0.02 * height, linewidth=0, **look))
    ax.text(x, y + 0.04 * height, f"{length:g} {unit}", ha="left", va="bottom", **look)
