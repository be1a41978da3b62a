"""``softmask label``: soft masks of users' images, many in parallel, into a folder; finished images are skipped."""

from __future__ import annotations

import argparse
import math
import warnings
from typing import NamedTuple

import numpy as np
from joblib import delayed

from softmask.apply.batch import Outcome, Row, Task, attempt, begin, complete, items_of, work_through
from softmask.apply.images import Grey
from softmask.apply.items import Item, read_masks, warn_of
from softmask.apply.outputs import Result, pictures, png
from softmask.cache import code_digest
from softmask.errors import ConfigError, Doubt
from softmask.files import whole_path, write_atomic
from softmask.label import SoftMask, soft_mask
from softmask.label.common import bounding_box, checked_readers
from softmask.machine import cores
from softmask.parallel import pool

LEAST = 16
"""Pixels around a lesion that are always looked at, and shown in its overlay."""

_PRIORS = {"mask": "a binary mask", "readers": "the masks of several readers", "recist": "RECIST axes"}


class Settings(NamedTuple):
    """Settings of all images of a call, :class:`softmask.apply.batch.Settings`."""

    grey: Grey
    epsilon: float
    radius: float | None
    formats: tuple[str, ...] | None
    command: str = "label"

    @property
    def text(self) -> str:
        """All of them in a line."""
        radius = "auto" if self.radius is None else f"{self.radius:g}"
        formats = " ".join(self.formats or ("all formats",))
        return f"{self.grey.text}; epsilon {self.epsilon:g}; radius {radius}; {formats}"

    @property
    def code(self) -> str:
        return code_digest("data", "label", "measure", "apply")


def run(arguments: argparse.Namespace) -> int:
    """Label every image that can be labelled; return exit status 1 if any image failed, otherwise 0.

    Raises:
        ConfigError: options that cannot be combined, or results that overwrite one another or an input.
        DataError: a list or report that cannot be read, a folder that cannot be written to.
    """
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    settings = Settings(grey, arguments.epsilon, arguments.radius, arguments.formats and tuple(arguments.formats))
    jobs = cores() if arguments.jobs is None else arguments.jobs
    if not 0 < settings.epsilon < math.inf:
        raise ConfigError(f"--epsilon must be a number above 0, not {settings.epsilon!r}")
    if settings.radius is not None and not 1 <= settings.radius < math.inf:
        raise ConfigError(f"--radius must be at least 1 pixel, not {settings.radius!r}")
    if jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {jobs}")
    folder = whole_path(arguments.out, "--out")
    items, problems, inputs = items_of(arguments, tuple(_PRIORS))

    def outcomes(done):
        tasks = (delayed(_outcome)(item, settings, folder, done.get(item.name)) for item in items)
        return pool(min(jobs, max(len(items), 1)))(tasks)

    return work_through("label", items, outcomes, folder=folder, problems=problems, inputs=inputs)


def _outcome(item: Item, settings: Settings, folder, earlier: Row | None) -> Outcome:
    def work(row: Row) -> Outcome:
        task = begin(item, settings, folder, earlier, row)
        return _label(task, settings) if isinstance(task, Task) else task

    return attempt(item, settings, work)


def _label(task: Task, settings: Settings) -> Outcome:
    """Write the files of an item; return its outcome."""
    item, image = task.item, task.image
    if item.mark is not None:
        z = item.mark.slice_of(image, item.slice)
        axes = item.mark.axes(image.shape, image.grid, item.mark.turn_of(image, z))
        warn_of(axes, image.grid, item.mark.stated_mm)
        priors = {z: {"axes": axes}}
    else:
        priors = {z: {"readers": masks} for z, masks in read_masks(item, image).items()}
    alphas: dict[int, np.ndarray] = {}
    for z, prior in priors.items():
        grey = image.slices[z].read(settings.grey)
        if grey.min() == grey.max():
            doubt = "all its pixels have one grey level in this window, so that only the mark decides"
            warnings.warn(Doubt(f"{image.slices[z].where}: {doubt}"), stacklevel=2)
        mask, part = label_slice(grey, **prior, epsilon=settings.epsilon, radius=settings.radius)
        alphas[z] = mask.alpha
        if "png" in task.formats:
            trimap = png(np.rint(mask.trimap * 255).astype(np.uint8))  # 0, 128, 255
            for kind, content in (pictures(grey, mask.alpha, mask.binary, part) | {"trimap": trimap}).items():
                write_atomic(task.folder / f"{task.picture(z)}-{kind}.png", content)
    result = Result(
        image,
        item.name,
        alphas,
        masks={z: alpha >= 0.5 for z, alpha in alphas.items()},
        command="label",
        method="closed-form matting",
        origin=f"from {_PRIORS[item.kind]}",
        parameters={"epsilon": f"{settings.epsilon:g}", "prior": item.kind},
    )
    return complete(task, result)


def label_slice(
    image: np.ndarray,
    *,
    readers: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    epsilon: float = 1e-7,
    radius: float | None = None,
) -> tuple[SoftMask, tuple[slice, slice]]:
    """Return the soft mask of a slice from its mask or readers' masks, or from RECIST axes, and the part of the slice
    around the lesion that :func:`softmask.label.soft_mask` was given: a CT slice takes an eighth of the time.

    The result is that of the whole slice: beyond the lesion's box the part has the box's longer side (of a RECIST mark
    twice the long axis) on each side, and begins at even rows and columns, so that half pixels round alike.

    Args:
        image: (H, W) in [0, 1].
        readers: (R, H, W) bool: one is a mask; of several, those that are empty are absent readers.
        axes: (2, 2, 2), valid (:func:`softmask.label.recist.validate`).
        epsilon, radius: as :func:`softmask.label.soft_mask`, which raises LabelError.
    """
    if axes is not None:
        low = np.floor(axes.min(axis=(0, 1))).astype(int)
        high = np.ceil(axes.max(axis=(0, 1))).astype(int) + 1
        longer = math.ceil(2 * np.linalg.norm(axes[0, 1] - axes[0, 0]))
    else:
        present = checked_readers(readers[readers.any(axis=(1, 2))])
        box = bounding_box(present.any(axis=0), 0)
        low, high = np.array([(side.start, side.stop) for side in box]).T
        longer = int((high - low).max())
    margin = max(longer, LEAST) + math.ceil(radius or 0)
    low, high = np.maximum(low - margin, 0) // 2 * 2, np.minimum(high + margin, image.shape)
    part = slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
    if axes is not None:
        prior = {"recist": axes - low}
    else:
        prior = {"readers": present[:, *part]} if len(readers) > 1 else {"mask": present[0][part]}
    cut = soft_mask(image[part], epsilon=epsilon, radius=radius, **prior)

    def whole(values: np.ndarray) -> np.ndarray:
        full = np.zeros(image.shape, values.dtype)
        full[part] = values
        return full

    return SoftMask(whole(cut.alpha), whole(cut.trimap), None if cut.mask is None else whole(cut.mask)), part
