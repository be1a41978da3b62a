"""Grids of images with outlines, marks and captions: samples and their labels, predictions, lungs, super-resolution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from softmask import label
from softmask.data.sample import Dataset, Sample
from softmask.data.selection import with_recist
from softmask.errors import DataError
from softmask.label import SoftMask, consensus
from softmask.measure.resolution import SCALE
from softmask.measure.segmentation import dice
from softmask.measure.soft import soft_head
from softmask.papers import display
from softmask.report import figures
from softmask.report.figures import COLORS, WIDEST
from softmask.report.result import NOT_FINISHED

LONG, SHORT = COLORS[5], COLORS[1]
BINARY, SOFT = COLORS[0], COLORS[1]
DOCTORS = tuple(COLORS[i] for i in (3, 2, 6, 5))
OUTLINES = "readers 1–4"
TRUTH, PREDICTED = COLORS[0], COLORS[1]
SOFT_MASK, DIFFERENCE = "soft mask", "soft mask − binary mask"
_BARS = {SOFT_MASK: ("magma", (0.0, 1.0)), DIFFERENCE: ("RdBu_r", (-0.5, 0.5))}
"""Meaning of a panel's colours, and the colour map with the values at its ends."""
_BAR = 1.0  # inches for a colour bar


@dataclass(frozen=True)
class Panel:
    """One picture of a grid.

    Attributes:
        image: (H, W), or (H, W, 3) in colours in [0, 1]; None for a panel without an image.
        outlines: (mask, colour) pairs drawn on top.
        axes: RECIST axes (2, 2, 2), drawn on top.
        spacing: mm per pixel for a scale bar of 5 mm; 0 for a scale bar of 10 pixels, None for no scale bar.
        arrow: row and column at which an arrow points.
        note: text in the middle of a panel without an image, else in the upper right corner of the image.
        limits: values shown as the first and the last colour of ``cmap``.
        bar: meaning of the colours, :data:`SOFT_MASK` or :data:`DIFFERENCE`, in place of ``cmap`` and ``limits``.
    """

    image: np.ndarray | None
    outlines: Sequence[tuple[np.ndarray, str]] = ()
    axes: np.ndarray | None = None
    spacing: float | None = None
    arrow: tuple[float, float] | None = None
    note: str = ""
    title: str = ""
    cmap: str = "gray"
    limits: tuple[float, float] = (0, 1)
    bar: str = ""


def grid(
    rows: Sequence[Sequence[Panel]], columns: Iterable[str] = (), names: Iterable[str] = (), size: float = 2.2
) -> Figure:
    """Draw panels in rows, with titles over the columns and names beside the rows. Panels are ``size`` inches wide, or
    narrower where the figure would be wider than :data:`WIDEST`."""
    shape = len(rows), len(rows[0])
    bar_axes: dict[str, Axes] = {panel.bar: None for row in rows for panel in row if panel.bar}
    size = min(size, (WIDEST - _BAR * len(bar_axes)) / shape[1])
    width = shape[1] * size + _BAR * len(bar_axes)
    fig, axes = plt.subplots(*shape, figsize=(width, shape[0] * size + 0.4), squeeze=False)
    for ax, panel in zip(axes.flat, (panel for row in rows for panel in row), strict=True):
        ax.set_axis_off()
        draw(ax, panel)
        if panel.bar:
            bar_axes[panel.bar] = ax
    for meaning, ax in bar_axes.items():
        height = min(1, 2.5 / shape[0])
        bar = fig.colorbar(ax.images[0], ax=axes, label=meaning, shrink=height, aspect=20, fraction=0.7 / width)
        bar.outline.set_visible(False)
    for ax, title in zip(axes[0], columns, strict=False):
        ax.set_title(title)
    name_style = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 13}
    for ax, name in zip(axes[:, 0], names, strict=False):
        ax.text(-0.06, 0.5, name, transform=ax.transAxes, **name_style)
    return fig


def draw(ax: Axes, panel: Panel) -> None:
    """Draw a panel on axes that are switched off, as :func:`grid` does."""
    if panel.title:
        ax.set_title(panel.title, fontsize=12)
    if panel.image is None:
        if panel.note:
            ax.text(0.5, 0.5, panel.note, ha="center", va="center", transform=ax.transAxes, fontsize=12, style="italic")
            ax.set_axis_on()
            ax.spines[:].set(visible=True, color="0.7")
            ax.set(xticks=[], yticks=[], aspect="equal", xlim=(0, 1), ylim=(0, 1))
        return
    cmap, (low, high) = _BARS.get(panel.bar, (panel.cmap, panel.limits))
    ax.imshow(np.asarray(panel.image, float), vmin=low, vmax=high, cmap=cmap)
    ax.autoscale(False)  # marks outside the window must not shrink the image
    figures.mask_contours(ax, panel.outlines)
    if panel.axes is not None:
        for line, color in zip(panel.axes, (LONG, SHORT), strict=True):
            ax.plot(line[:, 1], line[:, 0], color=color, linewidth=2.5, solid_capstyle="butt")
    if panel.spacing is not None:
        figures.scalebar(ax, *((panel.spacing, 5) if panel.spacing else (1, 10, "pixels")))
    if panel.arrow is not None:
        tip, middle = np.array(panel.arrow), np.array(panel.image.shape[:2]) / 2
        tail = tip + np.where(tip < middle, 0.2, -0.2) * panel.image.shape[0]
        arrow_style = {"arrowstyle": "-|>", "color": "white", "linewidth": 2.5, "path_effects": figures.OUTLINED}
        ax.annotate("", xy=tip[::-1], xytext=tail[::-1], arrowprops=arrow_style)
    if panel.note:
        note_style = {"ha": "right", "va": "top", "transform": ax.transAxes, "path_effects": figures.OUTLINED}
        ax.text(0.97, 0.97, panel.note, color="white", fontsize=12, **note_style)


def crop(sample: Sample, size: int | None = 64) -> tuple[slice, slice]:
    """Return slices of a ``size`` x ``size`` window around the lesion, inside the image; a smaller image is whole. With
    None, the size is about twice the larger of the lesion's height and width, limited to 24 to 64 pixels."""
    points = np.argwhere(sample.masks.any(axis=0)) if sample.present.any() else sample.recist.reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    if size is None:
        size = int(np.clip(2 * (high - low).max() + 2, 24, 64))
    room = np.maximum(np.subtract(sample.image.shape, size), 0)
    row, column = np.clip(np.round(middle - size / 2), 0, room).astype(int).tolist()
    return slice(row, row + size), slice(column, column + size)


def of_samples(
    samples: Iterable[Sample],
    views: Sequence[str],
    titles: Iterable[str] = (),
    *,
    labels: str = "",
    predictions: Mapping[str, np.ndarray] | None = None,
    down: bool = False,
    window: int | None = 64,
    size: float = 2.2,
) -> Figure:
    """Draw the ``views`` of each sample in a row, or with ``down`` in a column.

    Args:
        views: ``image``, ``RECIST marks``, outlines of ``reader 1`` (or ``doctor 1``) to 4, of ``readers 1–4`` and of
            the ``50 % consensus``; of the label ``mask`` or ``GrabCut``, ``trimap``, ``soft mask``, ``binary mask``
            and ``soft − binary``. Any other name is a network, whose prediction is outlined beside the consensus.
        titles: titles of the samples.
        labels: strategy of :func:`softmask.label.label_sample`, needed for views of the label.
        predictions: soft masks (H, W) by the sample's id.
        window: height and width shown around the lesion, in pixels; None to fit the lesion.
    """
    rows = []
    for sample in map(with_recist, samples) if labels == "recist" else samples:
        soft_mask = label.label_sample(sample, labels) if labels else None
        slices = crop(sample, window)
        row = [_view(view, sample, soft_mask, slices, predictions or {}) for view in views]
        rows.append([replace(row[0], spacing=sample.spacing[0] if sample.spacing else None), *row[1:]])
    titles = [title.replace("_", " ") for title in titles]
    fig = grid(list(zip(*rows, strict=True)), titles, views, size) if down else grid(rows, views, titles, size)
    entries = {f"reader {i}": color for i, color in enumerate(DOCTORS, start=1)} if OUTLINES in views else {}
    if predictions is not None:
        entries |= {"50 % consensus": TRUTH, "network": PREDICTED}
    if entries:
        legend(fig, entries)
    return fig


def _view(
    name: str,
    sample: Sample,
    labelled: SoftMask | None,
    window: tuple[slice, slice],
    predictions: Mapping[str, np.ndarray],
) -> Panel:
    image = sample.image[window]
    kind, _, number = name.partition(" ")
    if kind in ("reader", "doctor"):
        reader = int(number) - 1
        if reader >= len(sample.present) or not sample.present[reader]:
            return Panel(None, note="not marked")
        return Panel(image, [(sample.readers[reader][window], DOCTORS[reader])])
    if name == "image":
        return Panel(image)
    if name == "RECIST marks":
        return Panel(image, axes=sample.recist - (window[0].start, window[1].start))
    if name == OUTLINES:
        readers = zip(sample.readers, sample.present, DOCTORS, strict=False)
        return Panel(image, [(mask[window], color) for mask, present, color in readers if present])
    if labelled and name == "soft mask":
        return Panel(labelled.alpha[window], bar=SOFT_MASK)
    if labelled and name == "soft − binary":
        return Panel((labelled.alpha - labelled.binary)[window], bar=DIFFERENCE)
    attributes = {"mask": "mask", "GrabCut": "mask", "trimap": "trimap", "binary mask": "binary"}
    if labelled and name in attributes:
        return Panel(getattr(labelled, attributes[name])[window])
    truth = consensus.fifty_percent(sample.masks)
    if name == "50 % consensus":
        return Panel(image, [(truth[window], TRUTH)])
    if sample.id not in predictions:
        return Panel(None, note=NOT_FINISHED)
    return _beside_truth(sample.image, truth, predictions[sample.id], window)


def _beside_truth(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, window: Any = ...) -> Panel:
    """Return the part ``window`` of an image with the outlines of ``truth`` and of ``predicted`` >= 0.5, and the Dice
    of the whole masks. All arrays are (H, W)."""
    binary = predicted >= 0.5
    outlines = [(truth[window], TRUTH), (binary[window], PREDICTED)]
    return Panel(image[window], outlines, note=f"Dice {float(dice(binary, truth)):.2f}")


def trimaps_and_alphas(sample: Sample, trimaps: Mapping[str, np.ndarray], alphas: Mapping[str, np.ndarray]) -> Figure:
    """Draw the image and trimaps of a sample above the true alpha, if known, and the alphas from these trimaps."""
    window = crop(sample, None)
    unknown_alpha = Panel(None, note="true alpha\nunknown")
    true_alpha = unknown_alpha if sample.alpha is None else Panel(sample.alpha[window], bar=SOFT_MASK)
    top = [Panel(sample.image[window]), *(Panel(trimap[window]) for trimap in trimaps.values())]
    bottom = [true_alpha, *(Panel(alphas[name][window], bar=SOFT_MASK) for name in trimaps)]
    return grid([top, bottom], ["image", *trimaps], ["trimap", "alpha"], size=2.8)


def regions_of_interest(
    samples: Sequence[Sample], regions: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = ()
) -> Figure:
    """Draw CasGAN figure 6: outlines of the binary mask and of the soft mask's region, and the image inside each region
    and between them. Each sample, with its :class:`softmask.measure.radiomics.Regions` and title, has a column."""
    columns = []
    for sample, region in zip(samples, regions, strict=True):
        window = crop(sample, 48)
        image, masks = sample.image[window], [part[window] for part in region]
        first = Panel(image, [(masks[1], SOFT), (masks[0], BINARY)], spacing=sample.spacing and sample.spacing[0])
        columns.append([first, *(Panel(np.where(part, image, 0)) for part in masks)])
    fig = grid(list(zip(*columns, strict=True)), titles, ["comparison", "binary mask", "soft mask", "between"])
    legend(fig, {"binary mask": BINARY, "region of the soft mask": SOFT})
    return fig


def other_sets(datasets: Mapping[str, Dataset]) -> Figure:
    """Draw the middle image of each data set: image, reader's mask, trimap and soft mask from the mask.

    An unreadable image is replaced by the next and listed in ``dataset.problems``.

    Raises:
        DataError: for a data set without a readable image.
    """
    samples = []
    for dataset in datasets.values():
        middle = len(dataset) // 2
        samples += [next(dataset.samples([*range(middle, len(dataset)), *range(middle)]), None)]
        if samples[-1] is None:
            raise DataError(f"{dataset.name}: none of its {len(dataset)} images can be read from {dataset.origin}")
    views, names = ["image", "mask", "trimap", "soft mask"], [display("datasets", name) for name in datasets]
    return of_samples(samples, views, names, labels="mask", window=max(max(s.image.shape) for s in samples), size=3.2)


def predicted(
    pictures: Mapping[str, tuple[np.ndarray, np.ndarray]],
    own: tuple[str, Mapping[str, np.ndarray]],
    others: Mapping[str, Mapping[str, np.ndarray]],
) -> Figure | None:
    """Draw SoftGAN figure 5: up to five nodules, the soft mask of one method, and outlines of all methods and truth.

    Args:
        pictures: (S, S) image in [0, 1] and bool truth, by nodule; nodules that are not in it are drawn without them.
        own: method whose soft mask is shown: its row, and (S, S) probabilities by nodule; without any, return None.
        others: rows and their probabilities by nodule; empty where no run of a row is finished.
    """
    row, predictions = own
    masks_by_row = {row: predictions} | others
    rows = []
    for name in list(predictions)[:5]:
        image, truth = pictures.get(name, (None, None))
        first = Panel(None, note="image not\nat hand") if image is None else Panel(image, [(truth, TRUTH)], spacing=0)
        panels = [first, Panel(soft_head(predictions[name]), bar=SOFT_MASK)]
        for masks in masks_by_row.values():
            if name not in masks:
                panels.append(Panel(None, note=NOT_FINISHED))
            elif image is None:
                panels.append(Panel(masks[name] >= 0.5))
            else:
                panels.append(_beside_truth(image, truth, masks[name]))
        rows.append(panels)
    if not rows:
        return None
    names = [display("rows", name) for name in masks_by_row]
    fig = grid(rows, ["image and\nground truth", f"{names[0]},\nsoft mask", *names])
    legend(fig, {"ground truth": TRUTH, "predicted": PREDICTED})
    return fig


def legend(fig: Figure, entries: Mapping[str, str], areas: bool = False) -> None:
    """Draw a legend below the panels: the colours of lines, or of ``areas``, by name."""
    marks = {}
    for name, color in entries.items():
        line = Line2D([], [], color=color, linewidth=3)
        marks[name] = Patch(facecolor=color) if areas else line
    figures.legend(fig, marks, columns=len(entries))


class Look(NamedTuple):
    """Image (S, S), super-resolved image (s, s), and attention weights (S, S) without and with the compared module; all
    in [0, 1]."""

    image: np.ndarray
    super_resolved: np.ndarray
    without: np.ndarray
    having: np.ndarray


@figures.unless_empty
def attention(looks: Sequence[Look], module: str) -> Figure:
    """Draw a row for each of ``looks``, with the weights without and with ``module`` on one scale, from the 1st to the
    99th percentile. A frame of an eighth of the image is not shown, because its values depend on the padding.
    """
    looks = [Look(*(array[_framed(array)] for array in look)) for look in looks]
    low, high = np.percentile([[look.without, look.having] for look in looks], (1, 99))
    weights = {"cmap": "cividis", "limits": (low, high)}
    rows = [[*map(Panel, look[:2]), *(Panel(heat, **weights) for heat in look[2:])] for look in looks]
    titles = ("image", "super-resolved", f"attention,\nwithout {module}", f"attention,\nwith {module}")
    fig = grid(rows, titles, size=2.7)
    bar = {"shrink": 0.8, "extend": "both", "label": "weight of the place (shared scale)"}
    fig.colorbar(fig.axes[3].images[0], ax=fig.axes, **bar).outline.set_visible(False)
    return fig


def _framed(array: np.ndarray) -> tuple[slice, slice]:
    """Return slices that leave out a frame of an eighth of an (S, S) image, where a network sees the padding."""
    return (slice(len(array) // 8, -(len(array) // 8)),) * 2


class Example(NamedTuple):
    """Low-resolution image (s, s), its enlargement by each row and the true high-resolution image (4 s, 4 s), all in
    [0, 1]; and the lesion's mask (4 s, 4 s) bool."""

    low: np.ndarray
    upscaled: Mapping[str, np.ndarray]
    truth: np.ndarray
    mask: np.ndarray


@figures.unless_empty
def enlarged(examples: Sequence[Example]) -> Figure:
    """Draw two rows for each example: the whole images, and the part around the lesion that the box shows.

    The part is a square of 3/8 of the image width, or larger for a large lesion, aligned to low-resolution pixels.
    """
    rows = []
    for example in examples:
        points = np.argwhere(example.mask)
        low, high, width = points.min(axis=0), points.max(axis=0) + 1, len(example.mask)
        size = min(max(3 * width // 8, 1.3 * (high - low).max()) // SCALE * SCALE, width)
        corner = np.clip(np.rint((low + high - size) / 2 / SCALE) * SCALE, 0, width - size)
        pair: tuple[list[Panel], list[Panel]] = ([], [])
        for image in (example.low, *example.upscaled.values(), example.truth):
            (top, left), extent = (corner * len(image) / width).astype(int), int(size * len(image) / width)
            window = slice(top, top + extent), slice(left, left + extent)
            box = np.zeros(image.shape, bool)
            box[window] = True
            pair[0].append(Panel(image, [(box, COLORS[0])]))
            pair[1].append(Panel(image[window]))
        rows += pair
    names = [display("rows", row).replace(", ", ",\n") for row in examples[0].upscaled]
    return grid(rows, ["low resolution", *names, "truth"], size=2.3)
