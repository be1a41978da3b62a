"""Figures: one style, outlines at pixel edges, and files that are byte-identical between runs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from softmask import papers
from softmask.config import Config
from softmask.errors import ConfigError, DataError
from softmask.files import write_atomic
from softmask.report.result import WORKBOOK, check_name
from softmask.report.tables import NOTEBOOK_VARIABLE, to_json
from softmask.report.text import NOT_A_RESULT

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008)."""


def style() -> None:
    """Set matplotlib up for every figure of the workbook: legible at half size, colour-blind-safe, fonts embedded."""
    import matplotlib as mpl
    from cycler import cycler

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
            "axes.grid": False,
            "axes.prop_cycle": cycler(color=COLORS),
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "pdf.fonttype": 42,
            "svg.hashsalt": "softmask",
        }
    )


def unless_empty(draw: Callable[..., Figure]) -> Callable[..., Figure | None]:
    """Make a drawing function return None where its first argument, what it is to draw, is empty."""

    @wraps(draw)
    def drawn(shown: Any, *arguments: Any, **named: Any) -> Figure | None:
        return draw(shown, *arguments, **named) if len(shown) else None

    return drawn


def save(
    fig: Figure | None, paper: str, name: str, config: Config, caption: str, alt: str = "", missing: str = ""
) -> Path | None:
    """Write ``figures/<run>/<paper>/<name>.{json,pdf,png}``, each whole or not at all; returns the PNG's path.

    Without a figure, as where no run is finished, nothing is written; it is said on stdout.

    The same figure gives the same bytes. In a profile that is no result, the figure says so.

    Args:
        paper, name: such as ``casgan`` and ``fig-1``, or ``fig-1-<part>`` for a further one; or ``workbook`` and
            a name of its own.
        caption: what is shown, on what data.
        alt: the picture in words for who cannot see it; the caption where empty.
        missing: what the figure shows in the paper and lacks here, such as a network without a finished run.

    Raises:
        ConfigError: for a paper or figure that does not exist, or an empty caption.
    """
    check_name(name)
    if paper != WORKBOOK:
        known = papers.load(paper).figures
        if "-".join(name.split("-")[:2]) not in known:
            raise ConfigError(f"{paper} has no figure {name!r}; its figures are {', '.join(known)}")
    if not caption.strip():
        raise ConfigError(f"{paper}/{name}: a figure needs a caption")
    if fig is None:
        print(f"{paper}/{name} is not drawn: its runs are not finished, or their weights or data are not here")
        return None
    content = {
        "paper": paper,
        "figure": name,
        "caption": caption,
        "alt": alt or caption,
        "missing": missing,
        "profile": config.profile.name,
        "run": config.run,
        "result": config.profile.is_result,
        "notebook": os.environ.get(NOTEBOOK_VARIABLE, ""),
    }
    mark = None
    if not config.profile.is_result:
        mark = fig.text(0.5, 0.5, NOT_A_RESULT.partition(":")[0], color="#D55E00", alpha=0.6, size=40, rotation=20)
        mark.set(ha="center", va="center", in_layout=False)
    try:
        pdf = _bytes(fig, "pdf", {"Creator": "softmask", "Producer": "matplotlib", "CreationDate": None})
        png = _bytes(fig, "png", {"Software": None, "Title": f"{paper} {name}"})
    finally:
        if mark is not None:
            mark.remove()
    folder = config.figures / paper
    write_atomic(folder / f"{name}.json", to_json(content))
    write_atomic(folder / f"{name}.pdf", pdf)
    return write_atomic(folder / f"{name}.png", png)


def _bytes(fig: Figure, form: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=form, metadata=metadata)
    return buffer.getvalue()


def image_grid(rows: int, columns: int, size: float = 2.4) -> tuple[Figure, np.ndarray]:
    """A figure for ``rows`` by ``columns`` images of ``size`` inches, without axes; axes as (rows, columns) array."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * size + 0.4), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    return fig, axes


def mask_contours(
    ax: Axes,
    masks: Sequence[np.ndarray],
    colors: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    linewidth: float = 2.0,
) -> None:
    """Draw the outline of each (H, W) bool mask along its pixels' edges, over an image shown with ``imshow``.

    A pixel on the image's border is closed there. ``labels`` are for ``ax.legend()``. An empty mask draws
    nothing but keeps its colour and label. Later outlines lie on top of earlier ones.
    """
    from matplotlib.collections import LineCollection

    masks = [np.asarray(mask) for mask in masks]
    colors = list(COLORS if colors is None else colors)
    if labels is not None and len(labels) != len(masks):
        raise DataError(f"{len(labels)} labels for {len(masks)} masks")
    for i, mask in enumerate(masks):
        if mask.ndim != 2 or mask.dtype != bool:
            raise DataError(f"outline {i}: a mask must be (H, W) bool, not {mask.dtype} of shape {mask.shape}")
        color = colors[i % len(colors)]
        lines = LineCollection(
            edge_segments(mask),
            colors=color,
            linewidths=linewidth,
            capstyle="projecting",
            label=None if labels is None else labels[i],
            zorder=3 + i / max(len(masks), 1),
        )
        ax.add_collection(lines, autolim=False)


def edge_segments(mask: np.ndarray) -> np.ndarray:
    """(N, 2, 2) ends, as (x, y), of the pixel edges between ``mask`` (H, W) and its outside; pixel centres are whole.

    Runs of edges along one line are one segment.
    """
    padded = np.pad(mask, 1)
    return np.concatenate([_runs(padded), _runs(padded.T)[:, :, ::-1]])


def _runs(padded: np.ndarray) -> np.ndarray:
    """Horizontal edges of a padded mask, joined into runs: (N, 2, 2) as (x, y)."""
    edges = np.pad(padded[1:] != padded[:-1], ((0, 0), (1, 1))).astype(np.int8)  # between row r - 1 and row r
    change = np.diff(edges, axis=1)
    rows, starts = np.nonzero(change == 1)
    _, ends = np.nonzero(change == -1)
    y = rows - 0.5
    return np.stack([np.stack([starts - 1.5, y], axis=1), np.stack([ends - 1.5, y], axis=1)], axis=1)


def scalebar(ax: Axes, spacing_mm: float, length_mm: float, color: str = "white") -> None:
    """A bar of ``length_mm`` in the lower left of an image with square pixels of ``spacing_mm``, labelled.

    Raises:
        DataError: for a spacing or length that is not above 0, or a bar that is wider than the image.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    if not (spacing_mm > 0 and length_mm > 0):
        raise DataError(f"a scale bar needs a spacing and a length above 0, not {spacing_mm} and {length_mm} mm")
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    width, height = right - left, top - bottom  # height is negative on an image
    length = length_mm / spacing_mm
    if length > abs(width):
        raise DataError(f"a bar of {length_mm} mm is {length:.0f} pixels long, wider than the image")
    x, y = left + 0.05 * width, bottom + 0.05 * height
    halo = [withStroke(linewidth=3, foreground="black" if color == "white" else "white")]  # legible on any ground
    bar = Rectangle((x, y), length, 0.02 * height, facecolor=color, edgecolor="none", zorder=5, path_effects=halo)
    ax.add_patch(bar)
    label = f"{length_mm:g} mm"
    ax.text(x, y + 0.04 * height, label, color=color, ha="left", va="bottom", zorder=5, path_effects=halo)
