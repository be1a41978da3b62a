"""Interactive bench without its sliders: a nodule, a setting, the resulting soft mask, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from softmask.analysis import examples
from softmask.data import selection
from softmask.data.kinds import KINDS
from softmask.data.sample import Dataset, Sample
from softmask.errors import ConfigError, DataError
from softmask.label import SoftMask, consensus, soft_mask
from softmask.measure import segmentation, soft
from softmask.report import figures, panels
from softmask.report.panels import Panel

SIZE = 64  # rows and columns of the window around a nodule, as in DSNet's crops
VIEW = 40  # minimum height and width of the view: the edge of a small nodule is a few pixels wide
CONSENSUS = "50 % consensus"
TITLES = ("image, RECIST mark", "trimap", "alpha", "alpha cut, readers")
AXES = (panels.LONG, panels.SHORT)
CUT = figures.COLORS[3]


@dataclass(frozen=True, eq=False)
class Setting:
    """Setting of the bench: RECIST axes (axis, end, (row, column)), the trimap's ``radius`` in pixels (None: by the
    lesion's size), the matting's ``epsilon``, and the ``threshold`` of alpha."""

    recist: np.ndarray
    radius: float | None = None
    epsilon: float = 1e-7
    threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class Step:
    """Result of a setting: soft mask, its ``binary`` mask (H, W), Dice with the readers, and, if the truth is known,
    the error of alpha in the band around the true edge."""

    result: SoftMask
    binary: np.ndarray
    dice: Mapping[str, float]
    error: float | None


def nodules(dataset: Dataset) -> dict[str, Sample]:
    """Return one nodule of each kind that four readers marked; raise DataError if there is none."""
    rows = selection.largest_per_nodule(dataset.index, selection.four_reader_rows(dataset.index))
    samples = examples.one_of_each_kind(dataset, rows, KINDS)
    if not samples:
        raise DataError(
            f"{dataset.name}: no nodule of a known kind that four readers marked in {dataset.origin}; "
            "use data = 'embedded'"
        )
    return {kind: crop(sample) for kind, sample in samples.items()}


def crop(sample: Sample) -> Sample:
    """Return the :data:`SIZE` x :data:`SIZE` pixels around the lesion of a sample."""
    rows, columns = panels.crop(sample, SIZE)
    arrays = {name: getattr(sample, name) for name in ("image", "readers", "hu", "alpha", "nodules")}
    cropped_arrays = {name: array[..., rows, columns] for name, array in arrays.items() if array is not None}
    recist = None if sample.recist is None else sample.recist - (rows.start, columns.start)
    return replace(sample, **cropped_arrays, recist=recist)


def start(sample: Sample) -> Setting:
    """Return the first setting: the RECIST mark, with ends rounded to half pixels."""
    return Setting(np.round(2 * selection.with_recist(sample).recist) / 2)


def step(sample: Sample, setting: Setting) -> Step:
    """Return a setting's result; raise ConfigError for an invalid threshold, LabelError for a mark without length."""
    if not 0 < setting.threshold <= 1:
        raise ConfigError(f"the threshold must lie above 0 and be at most 1, not {setting.threshold!r}")
    result = soft_mask(sample.image, recist=setting.recist, radius=setting.radius, epsilon=setting.epsilon)
    binary = result.alpha >= setting.threshold
    references = {f"reader {i + 1}": sample.readers[i] for i in np.flatnonzero(sample.present)}
    references[CONSENSUS] = consensus.fifty_percent(sample.masks)
    dice = {name: float(segmentation.dice(binary, mask)) for name, mask in references.items()}
    error = None
    if sample.alpha is not None:
        error = float(soft.mae(result.alpha, sample.alpha, soft.edge_band(sample.alpha)))
    return Step(result, binary, dice, error)


def code(setting: Setting) -> str:
    """Return the call that gives the setting's binary mask of ``image``, as a line of Python."""
    return (
        f"soft_mask(image, recist={setting.recist.tolist()}, radius={setting.radius!r}, "
        f"epsilon={setting.epsilon!r}).alpha >= {setting.threshold!r}"
    )


def fixed(sample: Sample) -> dict[str, Setting]:
    """Return settings by name: the first setting, then settings with one change each."""
    first = start(sample)
    middle = first.recist.mean(axis=1, keepdims=True)
    return {
        "as marked": first,
        "mark half as long": replace(first, recist=middle + (first.recist - middle) / 2),
        "trimap radius 4 pixels": replace(first, radius=4.0),
        "epsilon 0.01": replace(first, epsilon=0.01),
        "threshold 0.1": replace(first, threshold=0.1),
    }


def view_of(sample: Sample) -> tuple[slice, slice]:
    """Return the rows and columns of a sample that are shown."""
    extent = np.ptp(np.argwhere(sample.masks.any(axis=0)), axis=0).max()
    return panels.crop(sample, max(VIEW, 2 * int(extent)))


def pictures(sample: Sample, setting: Setting, step: Step | None) -> list[Panel]:
    """Return the panels of :data:`TITLES`; without a ``step``, all except the image hold a note instead."""
    view = view_of(sample)
    spacing = sample.spacing[0] if sample.spacing else None
    image = Panel(sample.image[view], axes=setting.recist - [window.start for window in view], spacing=spacing)
    if step is None:
        return [image, *(Panel(None, note="no soft mask") for _ in TITLES[1:])]
    readers = [(sample.readers[i][view], panels.DOCTORS[i]) for i in np.flatnonzero(sample.present)]
    outlines = Panel(sample.image[view], [*readers, (step.binary[view], CUT)])
    return [image, Panel(step.result.trimap[view]), Panel(step.result.alpha[view]), outlines]


class Strip:
    """Panels in two rows, for repeated drawing with a layout that is computed only once."""

    def __init__(self) -> None:
        # not with pyplot: a notebook would show and keep the figure
        figure = Figure(figsize=(5.8, 6.25), dpi=80, layout="none")  # 464 x 500 pixels, to fit a small screen
        self._canvas = FigureCanvasAgg(figure)
        self._axes = figure.subplots(2, len(TITLES) // 2).ravel()
        figure.subplots_adjust(left=0.002, right=0.998, bottom=0.005, top=1 - 0.3 / 6.25, wspace=0.02, hspace=0.1)

    def at(self, x: float, y: float) -> np.ndarray:
        """Return (row, column) in the first panel at the fraction ``x`` of the picture's width and ``y`` of its height,
        from the top left corner; the position may also be outside the panel."""
        width, height = self._canvas.get_width_height()
        return self._axes[0].transData.inverted().transform((x * width, (1 - y) * height))[::-1]

    def png(self, row: Sequence[Panel]) -> bytes:
        """Return the panels as a PNG file."""
        import cv2

        for ax, title, panel in zip(self._axes, TITLES, row, strict=True):
            ax.clear()
            ax.set_axis_off()
            ax.set(xticks=[], yticks=[])  # ticks are not shown, but would still be measured
            ax.set_title(title, y=1.0)  # automatic placement takes half of the drawing time
            panels.draw(ax, panel)
        self._canvas.draw()
        colors = cv2.cvtColor(np.asarray(self._canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
        return cv2.imencode(".png", colors, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def fixed_settings(sample: Sample, settings: Mapping[str, Setting], steps: Mapping[str, Step]) -> Figure:
    """Draw a row of :data:`TITLES` for each setting, with the setting's name beside the row."""
    rows = [pictures(sample, settings[name], step) for name, step in steps.items()]
    fig = panels.grid(rows, TITLES, list(steps), size=3.0)
    colors = {f"reader {i + 1}": panels.DOCTORS[i] for i in np.flatnonzero(sample.present)}
    panels.legend(fig, {"long axis": AXES[0], "short axis": AXES[1], "alpha, cut": CUT} | colors)
    return fig
