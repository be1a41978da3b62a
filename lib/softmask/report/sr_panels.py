"""Pictures of super-resolution: images side by side with a zoom, power spectra, profiles across outlines, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from softmask.errors import DataError
from softmask.measure.resolution import SCALE, edge_profile, spectrum
from softmask.papers import display
from softmask.report import figures
from softmask.report.training_panels import DARK, Curves, outside_legend, whole_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH = "truth"
REACH = 10
"""Pixels on each side of the outline in :func:`edges`."""
LEAST_POWER = 1e-7
"""Shown in :func:`spectra`; rounding to 256 grey levels has ten times as much."""

_LOOKS = {
    TRUTH: {"color": "black", "linewidth": 3},
    "bilinear": {"color": DARK[3], "linestyle": ":"},
    "bicubic": {"color": DARK[2], "linestyle": "--"},
    "content_only": {"color": DARK[4], "linestyle": "-."},
    "srgan": {"color": DARK[1]},
}
"""Of each row's line: it can be told without colour."""

_LOSSES = {
    "loss_content": "content",
    "loss_adversarial": "adversarial",
    "loss_vgg22": "perceptual",
    "loss_vgg54": "perceptual",
    "loss_total_variation": "total variation",
}


@dataclass(frozen=True, eq=False)
class Example:
    """An image at low resolution and what becomes of it.

    Attributes:
        low: (s, s) in [0, 1].
        upscaled: by row, (4 s, 4 s) in [0, 1].
        truth: (4 s, 4 s) in [0, 1], the high resolution.
        mask: (4 s, 4 s) bool, the lesion.
    """

    low: np.ndarray
    upscaled: Mapping[str, np.ndarray]
    truth: np.ndarray
    mask: np.ndarray


@figures.unless_empty
def images(examples: Sequence[Example]) -> Figure:
    """Each example in two rows: whole, and the part around the lesion that the box shows."""
    from matplotlib.patches import Rectangle

    rows = list(examples[0].upscaled)
    fig, axes = figures.image_grid(2 * len(examples), len(rows) + 2, 2.3)
    titles = ["low resolution", *(display("rows", row) for row in rows), TRUTH]
    for example, pair in zip(examples, axes.reshape(len(examples), 2, -1), strict=True):
        window = _window(example.mask)
        for image, whole, zoom in zip([example.low, *example.upscaled.values(), example.truth], *pair, strict=True):
            top, left, size = window * len(image) / len(example.truth)
            top, left = top - 0.5, left - 0.5  # a pixel's centre is at its whole number
            for ax in (whole, zoom):
                ax.imshow(image, vmin=0, vmax=1)
            whole.add_patch(Rectangle((left, top), size, size, fill=False, edgecolor=figures.COLORS[0], linewidth=2))
            zoom.set(xlim=(left, left + size), ylim=(top + size, top))
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title.replace(", ", ",\n"))
    return fig


def _window(mask: np.ndarray) -> np.ndarray:
    """First row and column, and size, of a square around the lesion, inside the image: three eighths of it, or more
    where the lesion is larger. It begins and ends where pixels of low resolution do."""
    where = np.argwhere(mask)
    if not len(where):
        raise DataError("an example needs a lesion to zoom in on; its mask is empty")
    low, high = where.min(axis=0), where.max(axis=0) + 1
    size = min(max(3 * len(mask) // 8, 1.3 * (high - low).max()) // SCALE * SCALE, len(mask))
    first = np.clip(np.rint((low + high - size) / 2 / SCALE) * SCALE, 0, len(mask) - size)
    return np.array([*first, size])


@figures.unless_empty
def spectra(found: Mapping[str, Sequence[Example]]) -> Figure:
    """Mean power spectrum of every row and of the truth: a panel for each group of examples.

    Right of the dotted line are the frequencies that the low resolution cannot hold.
    """
    fig, axes = _panels(len(found))
    lines: dict[str, object] = {}
    for (title, examples), ax in zip(found.items(), axes, strict=True):
        for row, pictures in _by_row(examples).items():
            frequencies, power = spectrum(np.stack(pictures))
            [lines[_name(row)]] = ax.loglog(frequencies, power.mean(axis=0), **_LOOKS[row])
        ax.axvline(0.5 / SCALE, color="0.4", linestyle=":", linewidth=1.5)
        ax.set(title=title, xlabel="frequency (cycles per pixel)", ylim=(LEAST_POWER, None))
        ax.set_xticks([0.01, 0.03, 0.125, 0.5], ["0.01", "0.03", "0.125", "0.5"])
        ax.minorticks_off()
    axes[0].set(ylabel="power (grey values²)")
    outside_legend(fig, lines, columns=5)
    return fig


@figures.unless_empty
def edges(found: Mapping[str, Sequence[Example]]) -> Figure:
    """Mean grey value by distance from the lesion's outline, of every row and of the truth: panels as in
    :func:`spectra`."""
    fig, axes = _panels(len(found))
    lines: dict[str, object] = {}
    for (title, examples), ax in zip(found.items(), axes, strict=True):
        masks = np.stack([example.mask for example in examples])
        for row, pictures in _by_row(examples).items():
            distances, profiles = edge_profile(np.stack(pictures), masks, REACH)
            there = ~np.isnan(profiles).all(axis=0)  # no lesion may reach as far inwards
            [lines[_name(row)]] = ax.plot(distances[there], np.nanmean(profiles[:, there], axis=0), **_LOOKS[row])
        ax.axvline(0, color="0.4", linestyle=":", linewidth=1.5)
        ax.set(title=title, xlabel="distance from the outline (pixels)\n← inside      outside →")
    axes[0].set(ylabel="mean grey value")
    outside_legend(fig, lines, columns=5)
    return fig


@figures.unless_empty
def curves(found: Mapping[str, Sequence[Curves]], adversarial: str = "srgan") -> Figure:
    """How training went, a line for each seed: PSNR on the validation images; of the row ``adversarial``, where it is
    among them, the discriminator's accuracy, and the share of each weighted loss (means over seeds).

    Args:
        found: by row, the curves of every seed; the adversarial ones may begin late, and end with the rest.
    """
    import matplotlib.pyplot as plt

    panels = 3 if adversarial in found else 1
    fig, axes = plt.subplots(1, panels, figsize=(5.5 * panels, 5.2), squeeze=False)
    left = axes[0, 0]
    psnr: dict[str, object] = {}
    for row, seeds in found.items():
        for seed in seeds:
            [psnr[_name(row)]] = _line(left, seed["validation_psnr"], seed, **_LOOKS[row])
    left.set(ylabel="PSNR, validation images (dB)")
    left.legend(list(psnr.values()), list(psnr), loc="lower right")
    if adversarial in found:
        _adversarial(*axes[0, 1:], found[adversarial], _name(adversarial))
    for ax in axes[0]:
        ax.set(xlabel="epoch", xlim=left.get_xlim())
        whole_epochs(ax)
    return fig


def _adversarial(middle: Axes, right: Axes, seeds: Sequence[Curves], name: str) -> None:
    """The second and third panel of :func:`curves`."""
    accuracy = {"real": ("true images", DARK[2], "o"), "fake": ("the generator's", DARK[1], "s")}
    for seed in seeds:
        for kind, (whose, color, marker) in accuracy.items():  # markers: there may be one epoch only
            label = whose if seed is seeds[0] else None
            _line(middle, seed[f"discriminator_accuracy_{kind}"], seed, color=color, marker=marker, label=label)
    middle.axhline(0.5, color="0.5", linestyle=":", label="guessing")
    middle.set(ylabel="discriminator: share judged rightly", ylim=(-0.03, 1.03))
    middle.legend(loc="lower right")

    terms = {
        loss: np.mean([_whole(seed[loss], seed) for seed in seeds], axis=0) for loss in _LOSSES if loss in seeds[0]
    }
    shares = np.array(list(terms.values())) / sum(terms.values())
    labels, colors = [_LOSSES[loss] for loss in terms], [figures.COLORS[i] for i in (0, 1, 2, 6)]
    right.stackplot(np.arange(1, shares.shape[1] + 1), shares, labels=labels, colors=colors, edgecolor="white")
    right.set(ylabel=f"{name}: share of each weighted loss", ylim=(0, 1))
    right.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)


def _whole(values: Sequence[float], curves: Curves) -> np.ndarray:
    """A curve that may begin late, with zeros before."""
    return np.pad(np.asarray(values, float), (len(curves["train_loss"]) - len(values), 0))


def _line(ax: Axes, values: Sequence[float], curves: Curves, **style: object) -> list:
    last = len(curves["train_loss"])
    return ax.plot(np.arange(last - len(values) + 1, last + 1), values, **style)


def _by_row(examples: Sequence[Example]) -> dict[str, list[np.ndarray]]:
    """The truth's images and those of every row."""
    found = {TRUTH: [example.truth for example in examples]}
    return found | {row: [example.upscaled[row] for example in examples] for row in examples[0].upscaled}


def _name(row: str) -> str:
    return row if row == TRUTH else display("rows", row)


def _panels(n: int) -> tuple[Figure, np.ndarray]:
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, n, figsize=(max(6.2 * n, 9), 5.6), squeeze=False)
    return fig, axes[0]
