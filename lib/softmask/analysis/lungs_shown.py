"""Test slices with what networks find there, as notebook 7 shows them, and what the generator's layers respond to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from softmask.analysis.finished import Fitted, data_of, firsts
from softmask.config import Config
from softmask.experiments.inputs import soft_masks
from softmask.experiments.store import Run
from softmask.measure.lungs import enlarge


@dataclass(frozen=True, eq=False)
class Slice:
    """A test slice as stored, and what is known of it.

    Attributes:
        seen: (S, S) in [0, 1], as the networks see it.
        image: (512, 512) in [0, 1].
        lungs, nodules: (512, 512) bool, the reference.
        masks: by row, (512, 512) bool, the predicted lungs.
    """

    name: str
    seen: np.ndarray
    image: np.ndarray
    lungs: np.ndarray
    nodules: np.ndarray
    masks: Mapping[str, np.ndarray]


def around_nodules(whole: Slice, reach: int = 72) -> Slice:
    """Return the part of a slice within ``reach`` pixels of its nodules' middle, moved to stay inside the slice."""
    middle = np.argwhere(whole.nodules).mean(axis=0).round().astype(int)
    first = [int(np.clip(at - reach, 0, size - 2 * reach)) for at, size in zip(middle, whole.image.shape, strict=True)]
    window = tuple(slice(at, at + 2 * reach) for at in first)
    masks = {row: mask[window] for row, mask in whole.masks.items()}
    return Slice(whole.name, whole.seen, whole.image[window], whole.lungs[window], whole.nodules[window], masks)


Choose = Callable[[Sequence[Run], int], list[int]]
"""A choice of so many test slices, by their places among all of them, from runs that were tested on the same."""


def slices(
    fitted: Fitted, rows: Sequence[str], dataset: str, choose: Choose, count: int, config: Config
) -> list[Slice]:
    """Return ``count`` test slices with the masks of the first seed's networks, at the stored size.

    Empty where runs are not finished or come from records, which have no weights, or the data is not at hand.

    Args:
        choose: :func:`spread_places`, :func:`hardest_places` or :func:`wall_places`.
    """
    runs = firsts(fitted, rows, dataset)
    if not runs or any(run.folder is None for run in runs.values()):
        return []
    places, data = choose(list(runs.values()), count), data_of(next(iter(runs.values())).spec, config)
    if data is None or not places:
        return []
    images = data.test.images[list(places)]
    size = data.test.references["native"].shape[-2:]
    masks = {row: enlarge(soft_masks(_network_of(run), images)[:, 0], size) >= 0.5 for row, run in runs.items()}
    stored = {name: data.test.references[name][list(places), 0] for name in ("native_image", "native", "nodules")}
    return [
        Slice(
            data.test.ids[place],
            images[i, 0],
            stored["native_image"][i].astype(float) / 255,
            stored["native"][i] > 0,
            stored["nodules"][i] > 0,
            {row: predicted[i] for row, predicted in masks.items()},
        )
        for i, place in enumerate(places)
    ]


def _network_of(run: Run) -> Run:
    """The run that was trained: of one that only tests another, that other."""
    return run.needs[0] if run.spec.prior is not None and not run.spec.learns else run


def spread_places(runs: Sequence[Run], count: int) -> list[int]:
    """Places of ``count`` test slices that hold lung, evenly spread over all of them."""
    holding = np.flatnonzero(np.array(runs[0].record.measures["pixels_true"]) > 0)
    return holding[np.linspace(0, len(holding) - 1, count + 2).round().astype(int)[1:-1]].tolist()


def hardest_places(runs: Sequence[Run], count: int) -> list[int]:
    """Places of the ``count`` slices, of different scans, with the least IoU averaged over ``runs``, lung in each."""
    iou = np.mean([run.record.measures["iou"] for run in runs], axis=0)
    true = np.array(runs[0].record.measures["pixels_true"])
    groups, chosen = runs[0].record.groups, []
    for place in np.argsort(np.where(true > 0.2 * true.max(), iou, np.inf)).tolist():
        if groups[place] not in {groups[other] for other in chosen}:
            chosen.append(place)
        if len(chosen) == count:
            break
    return chosen


def wall_places(runs: Sequence[Run], count: int) -> list[int]:
    """Places of ``count`` test slices with a nodule on the lung's boundary, of different scans if there are enough."""
    record = runs[0].record
    values = np.array(record.measures["nodules_at_wall_inside"], float)
    places = np.flatnonzero(~np.isnan(values)).tolist()
    of_scans: dict[str, int] = {}
    for place in places:
        of_scans.setdefault(record.groups[place], place)
    ordered = [*of_scans.values(), *(place for place in places if place not in of_scans.values())]
    return sorted(ordered[:count])


def activations(run: Run, image: np.ndarray) -> dict[str, np.ndarray]:
    """Of each of the generator's blocks, by name in the order in which they run, and of the logits: the most
    representative map, the one that correlates most with the mean of the absolute maps, (h, w) stretched to [0, 1].

    Args:
        image: (S, S) in [0, 1].

    Raises:
        ConfigError: for a recorded run, which has no weights.
    """
    network = run.network()
    with torch.inference_mode():
        levels = network.levels(torch.tensor(image, dtype=torch.float32)[None, None])
    return {name: _representative(maps[0].numpy()) for name, maps in levels.items()}


def _representative(maps: np.ndarray) -> np.ndarray:
    """Of maps (C, h, w) the one most like the mean of their absolute values, stretched to [0, 1]."""
    flat = maps.reshape(len(maps), -1)
    mean = np.abs(flat).mean(axis=0)
    centred = flat - flat.mean(axis=1, keepdims=True)
    likeness = centred @ (mean - mean.mean()) / (np.linalg.norm(centred, axis=1) + 1e-12)
    best = maps[int(np.abs(likeness).argmax())]
    low, high = float(best.min()), float(best.max())
    return (best - low) / ((high - low) or 1.0)
