"""``softmask label``: soft masks of users' images, written to a folder in parallel; finished images are skipped."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from softmask.apply.batch import Settings, Task, complete, items_of, work_through
from softmask.apply.images import Grey
from softmask.apply.items import Item, outvoted, read_masks
from softmask.apply.manifest import Row
from softmask.apply.outputs import Result, pictures
from softmask.cache import code_digest
from softmask.errors import ConfigError, doubt
from softmask.files import sole_writer, whole_path
from softmask.label import SoftMask, closed_form_alpha, soft_mask
from softmask.label.recist import ellipse_mask
from softmask.label.trimap import from_mask
from softmask.machine import cores
from softmask.measure.size import outline_axes

MIN_MARGIN = 16
"""Smallest margin around a lesion, in pixels, that is used for matting and shown in the overlay."""

MIN_CONTRAST = 0.25
"""Kolmogorov-Smirnov distance between the grey levels inside and around a mark below which it is doubted: 2 of 303
marks of LIDC lie below it, and 395 of 400 marks in pure noise (with axes of 10 pixels or more: all)."""

MAX_LENGTH_RATIO = 1.5
"""Ratio between the long axes of mask and mark, in either direction, above which the result is doubted."""

_PRIORS = {"mask": "a binary mask", "readers": "the masks of several readers", "recist": "RECIST axes"}


def run(arguments: argparse.Namespace) -> int:
    """Label every image that can be labelled; return exit status 1 if any image failed, otherwise 0.

    Raises:
        ConfigError: options that cannot be combined, or results that overwrite one another or an input.
        DataError: a list or report that cannot be read, a folder that cannot be written to.
    """
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    formats = arguments.formats and tuple(arguments.formats)
    epsilon, radius = arguments.epsilon, arguments.radius
    jobs = cores() if arguments.jobs is None else arguments.jobs
    if not 0 < epsilon < math.inf:
        raise ConfigError(f"--epsilon must be a number above 0, not {epsilon!r}")
    if radius is not None and not 1 <= radius < math.inf:
        raise ConfigError(f"--radius must be at least 1 pixel, not {radius!r}")
    if jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {jobs}")
    folder = whole_path(arguments.out, "--out")
    items, problems, inputs = items_of(arguments, tuple(_PRIORS))
    command_settings = f"epsilon {epsilon:g}; radius {'auto' if radius is None else f'{radius:g}'}"
    settings = Settings("label", grey, command_settings, formats, code_digest("data", "label", "measure", "apply"))
    work = partial(_label, levels=grey, epsilon=epsilon, radius=radius)
    say = _sizes if arguments.list is None else None  # for a list, the manifest has the sizes
    with sole_writer(folder):
        return work_through(settings, items, work, folder=folder, jobs=jobs, problems=problems, inputs=inputs, say=say)


def _sizes(item: Item, row: Row) -> str:
    if not row["long_mm"]:
        return f"{item.where}: {row['mask_area_px']} pixels of lesion"
    mark_text = f" (of the mark {row['mark_long_mm']} x {row['mark_short_mm']})" if row["mark_long_mm"] else ""
    axes = f"long x short axis {row['long_mm']} x {row['short_mm']} mm{mark_text}"
    return f"{item.where}: slice {row['measured_slice']}, {axes}, area {row['area_mm2']} mm2"


def _label(task: Task, levels: Grey, epsilon: float, radius: float | None) -> Row:
    """Write the files of an item and return its row."""
    item, image, axes = task.item, task.image, None
    if item.mark is not None:
        z = item.mark.slice_of(image, item.slice)
        axes = item.mark.axes(image, z)
        priors = {z: {"axes": axes}}
    else:
        priors = {z: {"readers": masks} for z, masks in read_masks(item, image).items()}
    alphas: dict[int, np.ndarray] = {}
    png_files: dict[Path, bytes] = {}
    for z, prior in priors.items():
        grey = image.slices[z].read(levels)
        if grey.min() == grey.max():
            text = "all its pixels have one grey level in this window, so that only the mark decides"
            doubt(f"{image.slices[z].where}: {text}")
        mask, part = label_slice(grey, **prior, epsilon=epsilon, radius=radius)
        alphas[z] = mask.alpha
        if axes is not None:
            _doubt_contrast(grey[part], axes - [side.start for side in part])
        if "png" in task.formats:
            png_files |= pictures(task.folder / task.picture(z), grey, mask.alpha, mask.binary, part, mask.trimap)
    result = Result(
        image,
        item.name,
        alphas,
        masks={z: alpha >= 0.5 for z, alpha in alphas.items()},
        command="label",
        origin=f"from {_PRIORS[item.kind]}",
        parameters={"epsilon": f"{epsilon:g}", "prior": item.kind},
        mark=axes,
    )
    if axes is not None:
        _doubt_length(axes, result, z)
    return complete(task, result, png_files)


def _doubt_contrast(grey: np.ndarray, axes: np.ndarray) -> None:
    """Warn if the grey levels inside the mark's ellipse hardly differ from those around it (:data:`MIN_CONTRAST`)."""
    length, ellipse = np.linalg.norm(axes[0, 1] - axes[0, 0]), ellipse_mask(axes, grey.shape)
    distance = ndimage.distance_transform_edt(~ellipse)
    samples = [np.sort(grey[ellipse]), np.sort(grey[(distance > 1 + 0.15 * length) & (distance <= 3 + 0.6 * length)])]
    if all(map(len, samples)):
        cdfs = [np.searchsorted(sample, np.concatenate(samples), "right") / len(sample) for sample in samples]
        if np.abs(cdfs[0] - cdfs[1]).max() < MIN_CONTRAST:
            text = "the grey levels in the mark are those around it, so that noise decides: check its place and slice"
            doubt(text)


def _doubt_length(axes: np.ndarray, result: Result, z: int) -> None:
    """Warn if the long axes of mask and mark differ by more than :data:`MAX_LENGTH_RATIO`, as with a wide radius."""
    spacing, unit = ((1.0, 1.0), "pixels") if result.image.grid is None else (result.image.grid.spacing_mm[1:], "mm")
    # in mm the longer axis may differ
    mark_long = float(np.linalg.norm((axes[:, 1] - axes[:, 0]) * spacing, axis=1).max())
    ends = outline_axes(result.masks[z], result.alphas[z], spacing)[0]
    mask_long = float(np.linalg.norm((ends[1] - ends[0]) * spacing))
    # marks end at pixel centres, outlines up to half a pixel outside them
    if mask_long > MAX_LENGTH_RATIO * (mark_long + max(spacing)) or MAX_LENGTH_RATIO * mask_long < mark_long:
        lengths = f"the long axis of the mask is {mask_long:.1f} {unit}, and that of the mark {mark_long:.1f} {unit}"
        doubt(f"{lengths}: check the mark, and --radius where it was given")


def label_slice(
    image: np.ndarray,
    *,
    readers: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    epsilon: float = 1e-7,
    radius: float | None = None,
) -> tuple[SoftMask, tuple[slice, slice]]:
    """Return the soft mask of a slice from a mask, readers' masks or RECIST axes, with alpha and trimap, and the part
    of the slice around the lesion that was passed to :func:`softmask.label.soft_mask`: for a CT slice this takes an
    eighth of the time.

    The result is the same as for the whole slice: the part extends beyond the lesion's bounding box by its longer side
    (for a RECIST mark by twice the long axis), and starts at even rows and columns, so that half pixels round alike.

    Args:
        image: (H, W) in [0, 1].
        readers: (R, H, W) bool, not all empty; R = 1 is a mask; with several, empty masks mean that no lesion was seen.
        axes: (2, 2, 2), valid (:func:`softmask.label.recist.validate`).
        epsilon, radius: as for :func:`softmask.label.soft_mask`, which raises LabelError.
    """
    if axes is not None:
        low = np.floor(axes.min(axis=(0, 1))).astype(int)
        high = np.ceil(axes.max(axis=(0, 1))).astype(int) + 1
        longer_side = math.ceil(2 * np.linalg.norm(axes[0, 1] - axes[0, 0]))
    else:
        present_masks = readers[readers.any(axis=(1, 2))]
        pixels = np.argwhere(present_masks.any(axis=0))
        low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
        longer_side = int((high - low).max())
    margin = max(longer_side, MIN_MARGIN) + math.ceil(radius or 0)
    low, high = np.maximum(low - margin, 0) // 2 * 2, np.minimum(high + margin, image.shape)
    part = slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
    if axes is not None:
        prior = {"recist": axes - low}
    else:
        prior = {"readers": present_masks[:, *part]} if len(readers) > 1 else {"mask": present_masks[0][part]}
    if axes is None and len(present_masks) < len(readers) and radius is None:
        trimap = _trimap(prior["readers"], len(readers))
        has_lesion = (trimap == 1).any()
        alpha = closed_form_alpha(image[part], trimap, epsilon=epsilon) if has_lesion else np.zeros(trimap.shape)
        crop = SoftMask(alpha.astype(np.float32), trimap)
    else:
        crop = soft_mask(image[part], epsilon=epsilon, radius=radius, **prior)

    def uncrop(values: np.ndarray) -> np.ndarray:
        full = np.zeros(image.shape, values.dtype)
        full[part] = values
        return full

    return SoftMask(uncrop(crop.alpha), uncrop(crop.trimap)), part


def _trimap(drawn: np.ndarray, n: int) -> np.ndarray:
    """Return the trimap of a slice from masks (P, H, W) of only some of ``n`` readers: without lesion if no pixel was
    marked by half of ``n``, else as by :func:`softmask.label.trimap.from_readers` if no pixel was marked by all."""
    votes = drawn.sum(axis=0)
    trimap = np.where(votes > 0, np.float32(0.5), np.float32(0))
    if not outvoted(drawn, n):
        trimap[from_mask(votes == votes.max()) == 1] = 1
    return trimap
