"""What is written for an image that was segmented: soft mask, mask, and the mask's outline on the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.models.model import Segmentation
from softmask.own_images import OwnImage
from softmask.pictures import mask_png, overlay, png, soft_png

KINDS = ("soft", "mask", "overlay")


def paths(image: OwnImage, folder: Path | None) -> dict[str, Path]:
    """Where the files of ``image`` go, by kind: to ``folder``, or beside it."""
    return {kind: (folder or image.path.parent) / f"{image.stem}-{kind}.png" for kind in KINDS}


def check_paths(images: Sequence[OwnImage], folder: Path | None) -> None:
    """Raises ConfigError where two images would write the same file, or one would overwrite another one."""
    inputs = {image.path.resolve(): image for image in images}
    writers: dict[Path, OwnImage] = {}
    for image in images:
        for path in paths(image, folder).values():
            place = path.resolve()
            other = writers.setdefault(place, image)
            if other is not image:
                raise ConfigError(
                    f"{other.where} and {image.where} would both write {path}; nothing was written. Rename one, or "
                    "segment them apart with another --out each"
                )
            if place in inputs:
                raise ConfigError(
                    f"{image.where} would write {path}, which is to be segmented itself; nothing was written. Leave "
                    "it out, or choose another folder with --out"
                )


def write(places: dict[str, Path], image: np.ndarray, found: Segmentation) -> None:
    """Write ``*-soft.png`` (16 bit, 65535 is 1), ``*-mask.png`` (8 bit, 255 inside) and ``*-overlay.png`` (colour).

    Args:
        places: by kind (:func:`paths`).
        image: (H, W) in [0, 1].

    Raises:
        OSError: where one cannot be written; each file is there whole or not at all.
    """
    pictures = {
        "soft": soft_png(found.alpha),
        "mask": mask_png(found.mask),
        "overlay": png(overlay(image, found.mask)),
    }
    for kind, path in places.items():
        write_atomic(path, pictures[kind])
