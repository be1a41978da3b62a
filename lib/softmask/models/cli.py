"""``softmask segment``: images that nobody has labelled, segmented by a trained network."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from softmask.errors import DataError, SoftmaskError, brief
from softmask.files import whole_path
from softmask.models.model import Model, checked_threshold, load
from softmask.models.outputs import check_paths, paths, write
from softmask.own_images import Grey, OwnImage, find


def run(arguments: argparse.Namespace) -> int:
    """Segment every image that can be; the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: a model or option that is not known, or outputs that are in each other's way; nothing is written.
    """
    if arguments.threshold is not None:
        checked_threshold(arguments.threshold)
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    folder = None if arguments.out is None else whole_path(arguments.out, "--out")
    model = load(arguments.model)
    images: list[OwnImage] = []
    failed = 0
    for given in {os.path.realpath(given): given for given in arguments.images}.values():  # each once
        try:
            images += find(given, grey, tuple(arguments.slices or ()))
        except DataError as error:
            failed += 1
            _say(f"softmask: {error}", sys.stderr)
    check_paths(images, folder)
    for image in tqdm(images, desc=model.name, unit="image", disable=len(images) < 2):
        try:
            _say(_segment(model, image, folder, arguments.threshold), sys.stdout)
        except DataError as error:
            failed += 1
            _say(f"softmask: {error}", sys.stderr)
    return 1 if failed else 0


def _segment(model: Model, image: OwnImage, folder: Path | None, threshold: float | None) -> str:
    """Write the files of one image; what was found, in a line.

    Raises:
        DataError: names the image or the file that cannot be written, and says what to do.
    """
    try:
        grey = image.read()
    except OSError as error:
        raise DataError(f"{image.where}: cannot be read ({error.strerror}); check the file and its rights") from error
    try:
        found = model.segment(grey, threshold)
    except SoftmaskError as error:
        raise DataError(f"{image.where}: {error}") from error
    except (MemoryError, RuntimeError) as error:  # torch has no error of its own for it
        raise DataError(
            f"{image.where}: {grey.shape[0]} x {grey.shape[1]} pixels could not be segmented, memory may be short "
            f"({brief(error)}); crop the image"
        ) from error
    places = paths(image, folder)
    try:
        write(places, grey, found)
    except OSError as error:
        raise DataError(
            f"{image.where}: {places['soft'].parent} cannot be written to ({error.strerror}); choose another folder "
            "with --out"
        ) from error
    n = int(np.count_nonzero(found.mask))
    return f"{image.where}: {n} of {found.mask.size} pixels are {model.sought}; {places['soft']} and others"


def _say(text: str, stream) -> None:
    tqdm.write(text, file=stream)  # which leaves a progress bar whole
