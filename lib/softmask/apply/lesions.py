"""Segmentation of an image by a trained network, slice by slice, or around a lesion: a crop as the network's input, and
its output placed back on the slice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from softmask.apply.batch import Row, Task, complete
from softmask.apply.images import Grey
from softmask.apply.models import Model
from softmask.apply.outputs import Result, pictures
from softmask.errors import DataError, doubt


def segment_whole(task: Task, grey: Grey, model: Model) -> Row:
    """Segment the item's slices whole, write its files and return its row."""
    alphas: dict[int, np.ndarray] = {}  # without the probabilities: a scan has hundreds of slices
    masks: dict[int, np.ndarray] = {}
    png_files: dict[Path, bytes] = {}
    for plane in task.item.planes:
        z = task.image.slices.index(plane)
        levels = plane.read(grey)
        _, alphas[z], masks[z] = model.segment(levels)
        if "png" in task.formats:
            png_files |= pictures(task.folder / task.picture(z), levels, alphas[z], masks[z])
    return _complete(task, model, alphas, masks, png_files)


def segment_lesion(task: Task, grey: Grey, model: Model) -> Row:
    """Segment the crop around the item's point or mark, write the item's files and return its row. The crop is centred
    on the lesion, as in training, but moved into the image if needed; a smaller image is edge-padded.

    Raises:
        DataError: for a point outside the image.
        LabelError: for a mark that is not valid (:meth:`~softmask.apply.items.Mark.axes`).
    """
    mark, image, size = task.item.mark, task.image, model.spec.size
    z = mark.slice_of(image, task.item.slice)
    levels = image.slices[z].read(grey)
    shape = np.array(levels.shape)
    axes = mark.axes(image, z) if task.item.kind == "recist" else None
    ends = mark.pixels(image, z) if axes is None else axes.reshape(4, 2)
    if axes is None and ((ends < -0.5).any() or (ends > shape - 0.5).any()):
        point, sides = ", ".join(f"{value:g}" for value in ends[0]), " x ".join(map(str, levels.shape))
        raise DataError(f"row and column {point} lie outside the image of {sides} pixels; check their order and units")
    middle = np.rint(ends.mean(axis=0)).astype(int)
    low = np.clip(middle - size // 2, 0, np.maximum(shape - size, 0)).tolist()
    part = tuple(slice(first, first + size) for first in low)
    crop = levels[part]
    segmented = model.segment(np.pad(crop, [(0, size - length) for length in crop.shape], mode="edge"))
    _, crop_alpha, crop_mask = (values[: crop.shape[0], : crop.shape[1]] for values in segmented)
    alpha, mask = np.zeros(levels.shape, np.float32), np.zeros(levels.shape, bool)
    alpha[part], mask[part] = crop_alpha, crop_mask
    if not mask.any():
        doubt("no pixel reaches the threshold")
    elif crop_mask[[0, -1]].any() or crop_mask[:, [0, -1]].any():
        crop_size = f"{crop.shape[0]} x {crop.shape[1]} pixels"
        doubt(f"the mask reaches the edge of the {crop_size} that the model saw")
    if mask.any() and not mask[tuple(np.clip(middle, 0, shape - 1))]:
        text = "the mask does not contain the point that was given, or the middle of the mark"
        doubt(f"{text}: is it of another structure?")
    png_files: dict[Path, bytes] = {}
    if "png" in task.formats:
        png_files = pictures(task.folder / task.picture(z), levels, alpha, mask, part)
    return _complete(task, model, {z: alpha}, {z: mask}, png_files, axes)


def _complete(
    task: Task,
    model: Model,
    alphas: Mapping[int, np.ndarray],
    masks: Mapping[int, np.ndarray],
    png_files: Mapping[Path, bytes],
    mark: np.ndarray | None = None,
) -> Row:
    """Return the row of an item (:func:`~softmask.apply.batch.complete`) from soft and binary masks by slice."""
    result = Result(
        task.image,
        task.item.name,
        alphas=alphas,
        masks=masks,
        command="segment",
        origin=f"by the network {model.name}",
        parameters={"threshold": f"{model.description.threshold:g}", "prior": task.item.kind},
        automatic=task.item.kind == "whole",
        mark=mark,
    )
    return complete(task, result, png_files)
