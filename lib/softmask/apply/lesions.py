"""Segmentation around lesions by a trained network: crops as its input, and its output placed back on the image."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from softmask.apply.batch import Outcome, Row, Settings, Task, attempt, complete, work_on
from softmask.apply.images import Grey
from softmask.apply.items import Item
from softmask.apply.models import Model, Segmentation
from softmask.apply.outputs import Result, pictures
from softmask.errors import DataError, Doubt


class Crop(NamedTuple):
    """Network input for a lesion: ``part`` of the grey ``levels`` (H, W) of slice ``z``, edge-padded if too small;
    row and column of the lesion's central pixel, ``middle``; ends of its RECIST axes, ``mark``, (2, 2, 2), or None."""

    task: Task
    z: int
    levels: np.ndarray
    part: tuple[slice, slice]
    middle: tuple[int, int]
    mark: np.ndarray | None


def around_lesions(
    items: Sequence[Item], settings: Settings, model: Model, folder: Path | None, done: Mapping[str, Row]
) -> list[Outcome]:
    """Return the outcomes of lesions, segmented as one batch; ``done`` has the rows of finished items by name."""
    size = model.spec.size

    def network_input(crop: Crop) -> np.ndarray:
        levels = crop.levels[crop.part]
        return np.pad(levels, [(0, size - length) for length in levels.shape], mode="edge")

    crops: list[Crop] = []

    def cut(task: Task) -> Outcome:
        crops.append(crop_of(task, settings.grey, size))
        return task.row, "begun"

    outcomes = [work_on(item, settings, folder, done.get(item.name), cut) for item in items]
    try:
        segmentations = model.segment_all([network_input(crop) for crop in crops]) if crops else []
    except (MemoryError, RuntimeError) as error:  # torch raises RuntimeError when out of memory
        segmentations = [error] * len(crops)
    segmented_crops = zip(crops, segmentations, strict=True)

    def finish(_: Row) -> Outcome:
        crop, segmentation = next(segmented_crops)
        if isinstance(segmentation, Exception):
            raise segmentation
        return _paste_crop(crop, segmentation, model)

    return [
        attempt(item, settings, finish) if state == "begun" else (row, state)
        for item, (row, state) in zip(items, outcomes, strict=True)
    ]


def crop_of(task: Task, grey: Grey, size: int) -> Crop:
    """Return the ``size`` x ``size`` crop centred on the lesion, as in training, but moved into the image if needed."""
    mark, image = task.item.mark, task.image
    z = mark.slice_of(image, task.item.slice)
    levels = image.slices[z].read(grey)
    axes = mark.axes(image, z) if task.item.kind == "recist" else None
    ends = mark.pixels(image, z) if axes is None else axes.reshape(4, 2)
    if axes is None and ((ends < -0.5).any() or (ends > np.array(levels.shape) - 0.5).any()):
        point, shape = ", ".join(f"{value:g}" for value in ends[0]), " x ".join(map(str, levels.shape))
        raise DataError(f"row and column {point} lie outside the image of {shape} pixels; check their order and units")
    middle = np.rint(ends.mean(axis=0)).astype(int)
    corner = middle - size // 2
    low = np.clip(corner, 0, np.maximum(np.array(levels.shape) - size, 0)).tolist()
    part = tuple(slice(first, min(first + size, length)) for first, length in zip(low, levels.shape, strict=True))
    middle = tuple(np.clip(middle, 0, np.array(levels.shape) - 1).tolist())
    return Crop(task, z, levels, part, middle, axes)


def _paste_crop(crop: Crop, segmented: Segmentation, model: Model) -> Outcome:
    """Write the segmentation of a crop, placed back on the whole image, and return the item's outcome."""
    task = crop.task
    unpadded_part = tuple(slice(0, side.stop - side.start) for side in crop.part)
    slice_segmentation = Segmentation(*(np.zeros(crop.levels.shape, values.dtype) for values in segmented))
    for values, part in zip(slice_segmentation, segmented, strict=True):
        values[crop.part] = part[unpadded_part]
    mask = segmented.mask[unpadded_part]
    if not mask.any():
        warnings.warn(Doubt("no pixel reaches the threshold"), stacklevel=2)
    elif mask[[0, -1]].any() or mask[:, [0, -1]].any():
        crop_size = f"{mask.shape[0]} x {mask.shape[1]} pixels"
        warnings.warn(Doubt(f"the mask reaches the edge of the {crop_size} that the model saw"), stacklevel=2)
    if mask.any() and not slice_segmentation.mask[crop.middle]:
        doubt = "the mask does not contain the point that was given, or the middle of the mark"
        warnings.warn(Doubt(f"{doubt}: is it of another structure?"), stacklevel=2)
    png_files: dict[Path, bytes] = {}
    _, alpha, mask = slice_segmentation
    if "png" in task.formats:
        png_files = pictures(task.folder / task.picture(crop.z), crop.levels, alpha, mask, crop.part)
    return complete_segmented(task, model, {crop.z: alpha}, {crop.z: mask}, png_files, crop.mark)


def complete_segmented(
    task: Task,
    model: Model,
    alphas: Mapping[int, np.ndarray],
    masks: Mapping[int, np.ndarray],
    png_files: Mapping[Path, bytes],
    mark: np.ndarray | None = None,
) -> Outcome:
    """Return the outcome of an item (:func:`~softmask.apply.batch.complete`) from soft and binary masks by slice."""
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
