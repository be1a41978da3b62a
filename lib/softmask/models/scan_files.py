"""What is written for a scan: its lungs as a NIfTI file on the scan's own voxels, and a picture of some slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmask.data.ct import Volume
from softmask.data.image_files import window_hu
from softmask.data.volume_files import image_of, name_of, nifti
from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.models.whole import shown
from softmask.pictures import overlay, png

TILES, COLUMNS, TILE = 12, 4, 384
"""Slices in the picture, how many are in a row, and pixels of each slice's longer side."""


def paths(scan: Path, folder: Path) -> dict[str, Path]:
    """Where the files of a scan go, by kind: ``lungs`` and ``overlay``."""
    name = name_of(scan)
    return {"lungs": folder / f"{name}-lungs.nii.gz", "overlay": folder / f"{name}-overlay.png"}


def check_paths(scans: Sequence[Path], folder: Path) -> None:
    """Raises ConfigError where two scans would write the same file, or one would overwrite another one."""
    inputs = {scan.resolve() for scan in scans}
    writers: dict[Path, Path] = {}
    for scan in scans:
        for path in paths(scan, folder).values():
            other = writers.setdefault(path.resolve(), scan)
            if other is not scan:
                raise ConfigError(
                    f"{other} and {scan} would both write {path}; nothing was written. Rename one, or segment them "
                    "apart with another --out each"
                )
            if path.resolve() in inputs:
                raise ConfigError(
                    f"{scan} would write {path}, which is to be segmented itself; nothing was written. Leave it out, "
                    "or choose another folder with --out"
                )


def write(places: dict[str, Path], volume: Volume, mask: np.ndarray) -> None:
    """Write ``*-overlay.png`` and ``*-lungs.nii.gz`` (uint8, 1 is lung) in place of what is there.

    Args:
        places: by kind (:func:`paths`).
        mask: (D, H, W) bool, on the voxels of ``volume``.

    Raises:
        OSError: where one cannot be written; each file is there whole or not at all.
    """
    write_atomic(places["overlay"], png(montage(volume.hu, mask)))
    write_atomic(places["lungs"], nifti(image_of(mask.astype(np.uint8), volume), places["lungs"].parent))


def montage(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: at most :data:`TILES` slices, evenly spaced from the feet up, in the lung window, with the
    outline of ``mask`` (D, H, W) bool; each with its number, from 0."""
    from PIL import Image, ImageDraw

    places = np.linspace(0, len(hu) - 1, min(len(hu), TILES)).round().astype(int).tolist()
    size = min(TILE, max(hu.shape[1:]))
    tiles = []
    for z in places:
        tile = Image.fromarray(overlay(shown(window_hu(hu[z]), size), shown(mask[z], size), TILE))
        ImageDraw.Draw(tile).text((4, 2), str(z), fill=(255, 255, 255))
        tiles.append(np.asarray(tile))
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])
