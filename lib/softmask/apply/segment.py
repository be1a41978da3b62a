"""``softmask segment``: images segmented by a trained network."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from softmask.apply.images import Grey, Slice, list_slices
from softmask.apply.models import Model, checked_threshold, load
from softmask.apply.outputs import check_outputs, writing
from softmask.errors import DataError, SoftmaskError, brief
from softmask.files import whole_path, write_atomic
from softmask.pictures import mask_png, overlay, png, soft_png

KINDS = ("soft", "mask", "overlay")
"""PNG files of a segmented image."""

REMEDY = "Rename one, or segment them apart with another --out each"
"""What to do about two results of the same name."""

T = TypeVar("T")


def run(arguments: argparse.Namespace) -> int:
    """Segment every image that can be segmented; return the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: an unknown model or option, or outputs that overwrite one another or an input; nothing is written.
    """
    if arguments.threshold is not None:
        checked_threshold(arguments.threshold)
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    folder = None if arguments.out is None else whole_path(arguments.out, "--out")
    model = load(arguments.model)
    images: list[Slice] = []
    paths = {os.path.realpath(path): Path(path) for path in arguments.images}.values()  # each once
    failed = for_each(paths, lambda path: images.extend(list_slices(path, grey, tuple(arguments.slices or ()))))
    check_outputs(((image.where, _paths(image, folder).values()) for image in images), (i.path for i in images), REMEDY)
    with tqdm(images, desc=model.name, unit="image", disable=len(images) < 2) as bar:
        failed += for_each(bar, lambda image: _segment(model, image, folder, arguments.threshold))
    return 1 if failed else 0


def for_each(inputs: Iterable[T], work: Callable[[T], str | None]) -> int:
    """Print what ``work`` returns of each input, or why it failed; return how many failed."""
    failed = 0
    for value in inputs:
        try:
            text, stream = work(value), sys.stdout
        except DataError as error:
            text, stream = f"softmask: {error}", sys.stderr
            failed += 1
        if text:
            tqdm.write(text, file=stream)  # which leaves a progress bar whole
            stream.flush()
    return failed


@contextmanager
def segmenting(where: object, remedy: str) -> Iterator[None]:
    """Raise DataError, naming the image, for what fails inside; of a lack of memory with the ``remedy``."""
    try:
        yield
    except SoftmaskError as error:
        raise DataError(str(error) if str(error).startswith(str(where)) else f"{where}: {error}") from error
    except (MemoryError, RuntimeError) as error:  # torch has no error of its own for it
        raise DataError(f"{where}: could not be segmented, memory may be short ({brief(error)}); {remedy}") from error


def _paths(image: Slice, folder: Path | None) -> dict[str, Path]:
    """Return the files of an image by kind: in ``folder``, or beside it."""
    return {kind: (folder or image.path.parent) / f"{image.stem}-{kind}.png" for kind in KINDS}


def _segment(model: Model, image: Slice, folder: Path | None, threshold: float | None) -> str:
    """Write ``*-soft.png`` (16 bit, 65535 is 1), ``*-mask.png`` (8 bit, 255 inside) and ``*-overlay.png`` (the mask's
    outline on the image); return the result in a line.

    Raises:
        DataError: names the image or the file that cannot be written, and the remedy.
    """
    with segmenting(image.where, "crop the image"):
        grey = image.read()
        result = model.segment(grey, threshold)
    paths = _paths(image, folder)
    with writing(image.where, paths["soft"].parent):
        write_atomic(paths["soft"], soft_png(result.alpha))
        write_atomic(paths["mask"], mask_png(result.mask))
        write_atomic(paths["overlay"], png(overlay(grey, result.mask)))
    n = int(np.count_nonzero(result.mask))
    return f"{image.where}: {n} of {result.mask.size} pixels are {model.target}; {paths['soft']} and others"
