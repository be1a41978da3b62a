"""The pictures the papers show, drawn from samples: rows of images with marks, outlines, trimaps and soft masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from softmask import label
from softmask.data.sample import Dataset, Sample
from softmask.data.selection import with_recist
from softmask.errors import DataError
from softmask.label import consensus
from softmask.papers import display
from softmask.report import figures
from softmask.report.text import NOT_FINISHED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from softmask.measure.radiomics import Regions

LONG, SHORT = figures.COLORS[5], figures.COLORS[1]
BINARY, SOFT = figures.COLORS[0], figures.COLORS[1]
DOCTORS = tuple(figures.COLORS[i] for i in (0, 1, 2, 6))


@dataclass(frozen=True)
class Panel:
    """One picture of a grid.

    Attributes:
        image: (H, W) in [0, 1], shown from black (0) to white (1), or (H, W, 3) in colours; None for a panel that says
            only ``note``.
        outlines: (mask, colour) pairs drawn on top.
        axes: RECIST axes (2, 2, 2), drawn on top.
        spacing: mm per pixel for a scale bar of 5 mm; None for none.
        note: text in the middle of an empty panel.
    """

    image: np.ndarray | None
    outlines: Sequence[tuple[np.ndarray, str]] = field(default_factory=tuple)
    axes: np.ndarray | None = None
    spacing: float | None = None
    note: str = ""


def grid(
    rows: Sequence[Sequence[Panel]], columns: Sequence[str] = (), names: Sequence[str] = (), size: float = 2.2
) -> Figure:
    """Panels in rows, with a title over each column and a name beside each row (either may be left out)."""
    fig, axes = figures.image_grid(len(rows), len(rows[0]), size)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            draw(axes[i, j], panel)
            if columns and i == 0:
                axes[i, j].set_title(columns[j])
            if names and j == 0:
                axes[i, j].text(
                    -0.06,
                    0.5,
                    names[i],
                    rotation=90,
                    ha="right",
                    va="center",
                    transform=axes[i, j].transAxes,
                    fontsize=13,
                )
    return fig


def draw(ax: Axes, panel: Panel) -> None:
    """Draw a panel on axes that are switched off, as :func:`grid` does."""
    if panel.image is None:
        ax.text(0.5, 0.5, panel.note, ha="center", va="center", transform=ax.transAxes, fontsize=12, style="italic")
        ax.set_axis_on()
        ax.spines[:].set(visible=True, color="0.7")
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=(0, 1), ylim=(0, 1))
        return
    ax.imshow(panel.image, vmin=0, vmax=1)
    ax.autoscale(False)  # a mark that leaves the window must not shrink the image
    figures.mask_contours(ax, [mask for mask, _ in panel.outlines], [color for _, color in panel.outlines])
    if panel.axes is not None:
        for line, color in zip(panel.axes, (LONG, SHORT), strict=True):
            ax.plot(line[:, 1], line[:, 0], color=color, linewidth=2.5, solid_capstyle="butt")
    if panel.spacing:
        figures.scalebar(ax, panel.spacing, 5)


def crop(sample: Sample, size: int = 64) -> tuple[slice, slice]:
    """Slices of a ``size`` x ``size`` window around the lesion, inside the image (all of it, where it is smaller)."""
    if sample.present.any():
        where = np.argwhere(sample.masks.any(axis=0))
        middle = (where.min(axis=0) + where.max(axis=0)) / 2
    else:
        middle = sample.recist.mean(axis=(0, 1))
    height, width = sample.image.shape
    starts = [
        int(np.clip(round(m - size / 2), 0, max(n - size, 0))) for m, n in zip(middle, (height, width), strict=True)
    ]
    return slice(starts[0], starts[0] + size), slice(starts[1], starts[1] + size)


def _spacing(sample: Sample) -> float | None:
    return sample.spacing[0] if sample.spacing else None


def _axes(sample: Sample, window: tuple[slice, slice]) -> np.ndarray:
    """The sample's RECIST axes, counted from the window's corner."""
    return sample.recist - (window[0].start, window[1].start)


def nodule_kinds(samples: Mapping[str, Sample]) -> Figure:
    """CasGAN figure 1: one nodule of each kind over its binary mask (50 % consensus)."""
    windows = {kind: crop(sample) for kind, sample in samples.items()}
    images = [Panel(sample.image[windows[kind]], spacing=_spacing(sample)) for kind, sample in samples.items()]
    masks = [Panel(consensus.fifty_percent(s.masks)[windows[kind]].astype(float)) for kind, s in samples.items()]
    return grid([images, masks], columns=[kind.replace("_", " ") for kind in samples])


def _reader_panels(sample: Sample, window: tuple[slice, slice]) -> list[Panel]:
    """The masks of four readers, and words for each of them who was absent."""
    there = np.zeros(4, dtype=bool)
    there[: len(sample.present)] = sample.present[:4]
    return [
        Panel(sample.readers[i][window].astype(float)) if there[i] else Panel(None, note="not marked") for i in range(4)
    ]


def _predicted(masks: Mapping[str, np.ndarray], sample: Sample, window: tuple[slice, slice]) -> Panel:
    """A network's soft mask of a sample, and words where there is none."""
    return Panel(masks[sample.id][window]) if sample.id in masks else Panel(None, note=NOT_FINISHED)


def kinds_and_labels(samples: Mapping[str, Sample]) -> Figure:
    """SoftGAN figure 1: nodules, the four readers' binary masks, and the soft mask made from all of them."""
    rows: list[list[Panel]] = [[] for _ in range(6)]
    for sample in samples.values():
        window = crop(sample)
        soft = label.label_sample(sample, "readers")
        image = Panel(sample.image[window], spacing=_spacing(sample))
        for row, panel in zip(rows, [image, *_reader_panels(sample, window), Panel(soft.alpha[window])], strict=True):
            row.append(panel)
    names = ["image", "reader 1", "reader 2", "reader 3", "reader 4", "soft mask"]
    return grid(rows, [kind.replace("_", " ") for kind in samples], names)


def kinds_and_doctors(samples: Mapping[str, Sample], masks: Mapping[str, np.ndarray]) -> Figure:
    """DSNet figure 1: nodule kinds with the readers' outlines, their consensus, and the network's soft masks (H, W) by
    sample."""
    rows: list[list[Panel]] = [[] for _ in range(4)]
    for sample in samples.values():
        window = crop(sample)
        outlines = [(m[window], DOCTORS[i % 4]) for i, m in enumerate(sample.readers) if sample.present[i]]
        rows[0].append(Panel(sample.image[window], spacing=_spacing(sample)))
        rows[1].append(Panel(sample.image[window], outlines))
        rows[2].append(Panel(consensus.fifty_percent(sample.masks)[window].astype(float)))
        rows[3].append(_predicted(masks, sample, window))
    names = ["image", "readers 1–4", "50 % consensus", "DSNet"]
    fig = grid(rows, [kind.replace("_", " ") for kind in samples], names)
    legend(fig, {f"reader {i}": color for i, color in enumerate(DOCTORS, start=1)})
    return fig


def trimaps_and_alphas(sample: Sample, trimaps: Mapping[str, np.ndarray], alphas: Mapping[str, np.ndarray]) -> Figure:
    """A sample's trimaps over the alphas they lead to, the image first, the true alpha below it where it is known."""
    window = crop(sample)
    true = Panel(sample.alpha[window]) if sample.alpha is not None else Panel(None, note="true alpha\nunknown")
    top = [Panel(sample.image[window], spacing=_spacing(sample)), *(Panel(t[window]) for t in trimaps.values())]
    bottom = [true, *(Panel(alphas[name][window]) for name in trimaps)]
    return grid([top, bottom], ["image", *trimaps], ["trimap", "alpha"], size=2.8)


def labelling_steps(samples: Sequence[Sample]) -> Figure:
    """Figure 2 of CasGAN, SoftGAN and DSNet: RECIST marks, trimap, soft mask, and the soft mask binarised at 0.5."""
    rows: list[list[Panel]] = [[] for _ in range(4)]
    for sample in map(with_recist, samples):
        window = crop(sample)
        made = label.label_sample(sample, "recist")
        rows[0].append(Panel(sample.image[window], axes=_axes(sample, window), spacing=_spacing(sample)))
        rows[1].append(Panel(made.trimap[window]))
        rows[2].append(Panel(made.alpha[window]))
        rows[3].append(Panel(made.binary[window].astype(float)))
    return grid(rows, names=["(a) RECIST marks", "(b) trimap", "(c) soft mask", "(d) binarised"])


def pipeline_steps(samples: Sequence[Sample]) -> Figure:
    """DSNet (journal version) figure 8: image, RECIST marks, GrabCut, trimap, soft mask, binary mask."""
    rows = []
    for sample in map(with_recist, samples):
        window = crop(sample)
        made = label.label_sample(sample, "recist")
        image = sample.image[window]
        rows.append(
            [
                Panel(image, spacing=_spacing(sample)),
                Panel(image, axes=_axes(sample, window)),
                Panel(made.mask[window].astype(float)),
                Panel(made.trimap[window]),
                Panel(made.alpha[window]),
                Panel(made.binary[window].astype(float)),
            ]
        )
    return grid(rows, ["image", "RECIST", "GrabCut", "trimap", "soft mask", "binary"])


def regions_of_interest(samples: Sequence[Sample], regions: Sequence[Regions], titles: Sequence[str] = ()) -> Figure:
    """CasGAN figure 6: outlines of the binary mask and of the soft mask's region, and the image inside either and in
    between; a column for each sample with its ``regions``, under its title."""
    rows: list[list[Panel]] = [[] for _ in range(4)]
    for sample, found in zip(samples, regions, strict=True):
        window = crop(sample, 48)
        image = sample.image[window]
        binary, soft, band = (region[window] for region in found)
        rows[0].append(Panel(image, [(soft, SOFT), (binary, BINARY)], spacing=_spacing(sample)))
        rows[1:] = [
            [*row, Panel(np.where(inside, image, 0))]
            for row, inside in zip(rows[1:], (binary, soft, band), strict=True)
        ]
    fig = grid(rows, titles, ["comparison", "binary mask", "soft mask", "between"])
    legend(fig, {"binary mask": BINARY, "region of the soft mask": SOFT})
    return fig


def doctors_side_by_side(samples: Sequence[Sample], model: str, masks: Mapping[str, np.ndarray]) -> Figure:
    """CasGAN figure 7, DSNet v1 figure 7, v2 figure 11: four doctors, their consensus, and the network's soft masks
    (H, W) by sample, as far as it has been run."""
    rows = []
    for sample in samples:
        window = crop(sample)
        rows.append(
            [
                Panel(sample.image[window], spacing=_spacing(sample)),
                *_reader_panels(sample, window),
                Panel(consensus.fifty_percent(sample.masks)[window].astype(float)),
                _predicted(masks, sample, window),
            ]
        )
    return grid(rows, ["image", *(f"doctor {i}" for i in range(1, 5)), "50 % consensus", model], size=2.0)


def sizes_and_readers(dataset: Dataset) -> Figure:
    """Histogram of the areas of a data set's slices, and how many readers marked each."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    areas = dataset.index["area"].to_numpy()
    left.hist(areas, bins=np.geomspace(max(areas.min(), 1), areas.max(), 40), color=SOFT)
    left.set(xscale="log", xlabel="area in pixels", ylabel="slices")
    counts = dataset.index["n_readers"].value_counts().sort_index()
    right.bar(counts.index.astype(str), counts.to_numpy(), color=BINARY)
    right.bar_label(right.containers[0])
    right.set(xlabel="readers who marked the slice", ylabel="slices")
    return fig


def other_sets(datasets: Mapping[str, Dataset]) -> Figure:
    """The middle image of each data set: image, reader's mask, trimap and soft mask from the mask.

    An unreadable one makes way for the next and is listed in ``dataset.problems``.

    Raises:
        DataError: for a data set without a readable image.
    """
    rows = []
    for dataset in datasets.values():
        middle = len(dataset) // 2
        sample = next(dataset.samples([*range(middle, len(dataset)), *range(middle)]), None)
        if sample is None:
            raise DataError(f"{dataset.name}: none of its {len(dataset)} images can be read from {dataset.origin}")
        made = label.soft_mask(sample.image, mask=sample.masks[0])
        rows.append([Panel(sample.image), Panel(sample.masks[0].astype(float)), Panel(made.trimap), Panel(made.alpha)])
    names = [display("datasets", name) for name in datasets]
    return grid(rows, ["image", "mask", "trimap", "soft mask"], names, size=3.2)


def legend(fig: Figure, entries: Mapping[str, str]) -> None:
    """What the colours of lines mean, by name, below the panels."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=color, linewidth=3) for color in entries.values()]
    fig.legend(lines, list(entries), loc="outside lower center", ncols=len(entries))


def label_errors(records: pd.DataFrame, labels: Sequence[str], metric: str, axis: str) -> Figure:
    """Distribution of ``metric`` over the samples, one box for each of ``labels``: quartiles, median, mean."""
    import matplotlib.pyplot as plt

    names = [name for name in labels if name in set(records["label"])]
    values = [records.loc[records["label"] == name, metric].dropna().to_numpy() for name in names]
    fig, ax = plt.subplots(figsize=(9, 0.5 * len(names) + 1.2))
    boxes = ax.boxplot(
        values,
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        medianprops={"color": "black", "linewidth": 2},
        meanprops={"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black"},
        widths=0.6,
    )
    for box, name in zip(boxes["boxes"], names, strict=True):
        box.set(facecolor=SOFT if "soft" in name else BINARY, alpha=0.8)
    ax.set(yticks=range(1, len(names) + 1), yticklabels=[display("rows", name) for name in names], xlabel=axis)
    ax.invert_yaxis()
    legend(fig, {"made by matting": SOFT, "not": BINARY})
    return fig


def matrices(tables: Mapping[str, np.ndarray], names: Sequence[str], unit: str = "Dice") -> Figure:
    """Symmetric matrices side by side, numbers in the cells, one grey scale for all; NaN cells stay empty."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(tables), figsize=(4.6 * len(tables), 4.8), squeeze=False)
    low = np.nanmin(np.concatenate([np.append(values, 1) for values in tables.values()]))
    for ax, (title, values) in zip(axes[0], tables.items(), strict=True):
        shown = ax.imshow(values, vmin=low, vmax=1, cmap="cividis")
        for i, j in np.ndindex(values.shape):
            if np.isfinite(values[i, j]):
                color = "black" if shown.norm(values[i, j]) > 0.5 else "white"
                ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color=color, fontsize=12)
        ax.set(title=title, xticks=range(len(names)), yticks=range(len(names)))
        ax.set_xticklabels(names, rotation=40, ha="right")
        ax.set_yticklabels(names if ax is axes[0, 0] else [])
        ax.spines[:].set_visible(False)
    fig.colorbar(shown, ax=axes, shrink=0.7, label=unit)
    return fig
