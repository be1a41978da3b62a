"""What is written for an item: four PNG files a slice; for what has a place in mm, NIfTI; for DICOM, a DICOM SEG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmask.data.ct import Grid
from softmask.data.volume_files import image_of, nifti
from softmask.errors import DataError
from softmask.files import write_atomic
from softmask.own_labels.items import PICTURES, VOLUMES, Item, picture_paths, volume_path
from softmask.own_labels.slices import Labelled
from softmask.own_labels.sources import Source
from softmask.pictures import mask_png, overlay, png, soft_png


def formats_of(source: Source, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """Which of :data:`softmask.own_labels.settings.FORMATS` are written. Raises DataError where one cannot be."""
    if asked is None:
        return ("png", *(["nifti"] if source.grid else []), *(["seg"] if source.series else []))
    if "seg" in asked and source.series is None:
        raise DataError("a DICOM SEG belongs to a DICOM image, which this is not; choose --format png nifti")
    return asked


def write_pictures(paths: dict[str, Path], image: np.ndarray, labelled: Labelled) -> None:
    """Write ``soft`` (16 bit, 65535 is 1), ``mask`` (8 bit, 255 inside), ``trimap`` (8 bit: 0, 128, 255) and
    ``overlay`` (the mask's outline on the part of the image that was looked at, enlarged).

    Args:
        paths: by kind (:func:`softmask.own_labels.items.picture_paths`).
        image: (H, W) in [0, 1].

    Raises:
        OSError: where one cannot be written; each file is there whole or not at all.
    """
    found, part = labelled.found, labelled.part
    pictures = {
        "soft": soft_png(found.alpha),
        "mask": mask_png(found.binary),
        "trimap": png(np.rint(found.trimap * 255).astype(np.uint8)),
        "overlay": png(overlay(image[part], found.binary[part])),
    }
    for kind, path in paths.items():
        write_atomic(path, pictures[kind])


def write_nifti(folder: Path, name: str, source: Source, alphas: dict[int, np.ndarray]) -> None:
    """Write ``<name>-soft.nii.gz`` (float32) and ``<name>-mask.nii.gz`` (uint8) on the voxels of the image; where its
    file does not place them, as one slice with voxels of 1 mm.

    Args:
        alphas: (H, W) float32 by slice.

    Raises:
        OSError: where one cannot be written.
    """
    grid = source.grid or Grid(
        shape=(1, *source.shape),
        spacing_mm=(1.0, 1.0, 1.0),
        z_mm=np.zeros(1),
        origin=(0.0, 0.0, 0.0),
        patient=name,
        path=source.path,
    )
    volume = np.zeros(grid.shape, np.float32)
    for z, alpha in alphas.items():
        volume[z] = alpha
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("soft.nii.gz", volume), ("mask.nii.gz", (volume >= 0.5).astype(np.uint8))):
        write_atomic(volume_path(folder, name, kind), nifti(image_of(values, grid), folder))


def expected(folder: Path, item: Item, slices: Sequence[int], of_volume: bool, formats: Sequence[str]) -> list[Path]:
    """All files of an item that was labelled in these slices and formats."""
    paths = []
    if "png" in formats:
        paths += [path for one in picture_paths(folder, item.name, slices, of_volume) for path in one.values()]
    if "nifti" in formats:
        paths += [volume_path(folder, item.name, kind) for kind in VOLUMES[:2]]
    if "seg" in formats:
        paths.append(volume_path(folder, item.name, VOLUMES[2]))
    return paths


def remove_older(folder: Path, item: Item, kept: Sequence[Path]) -> None:
    """Remove files of an earlier labelling of the same name that this one did not replace: other slices or formats."""
    older = [volume_path(folder, item.name, kind) for kind in VOLUMES]
    older += picture_paths(folder, item.name, (), False)[0].values()
    inner = folder / item.name
    if inner.is_dir():
        pattern = re.compile(rf"\d{{3,}}-({'|'.join(PICTURES)})\.png")
        older += [path for path in inner.iterdir() if pattern.fullmatch(path.name)]
    for path in set(older) - set(kept):
        path.unlink(missing_ok=True)
    if inner.is_dir() and not any(inner.iterdir()):
        inner.rmdir()
