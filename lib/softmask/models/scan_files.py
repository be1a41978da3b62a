"""What is written for a scan: its lungs as a NIfTI file on the scan's own voxels, and a picture of some slices."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmask.data.image_files import window_hu
from softmask.data.volume import Volume
from softmask.data.volume_files import ENDINGS
from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.models.outputs import overlay, png
from softmask.models.whole import shown

if TYPE_CHECKING:
    import SimpleITK

TILES, COLUMNS, TILE = 12, 4, 384
"""Slices in the picture, how many are in a row, and pixels of each slice's longer side."""


def name_of(path: Path) -> str:
    """How the names begin of what is made from a scan: the folder's name, or the file's without its ending."""
    name = Path(os.path.abspath(path)).name
    ending = next((ending for ending in sorted(ENDINGS, key=len)[::-1] if name.lower().endswith(ending)), "")
    return (name if path.is_dir() else name[: len(name) - len(ending)]) or "scan"


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
    write_atomic(places["lungs"], _nifti(image_of(mask, volume), places["lungs"].parent))


def image_of(mask: np.ndarray, volume: Volume) -> SimpleITK.Image:
    """``mask`` (D, H, W) bool as uint8, with the axes, origin, spacing and direction that the scan's own file has."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    if volume.path.is_dir():  # DICOM has the axes of the volume
        image.SetOrigin(volume.origin)
        image.SetSpacing(volume.spacing_mm[::-1])
        return image
    header = SimpleITK.ImageFileReader()
    header.SetFileName(str(volume.path))
    header.ReadImageInformation()
    letters = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(header.GetDirection())
    image = SimpleITK.DICOMOrient(image, letters)
    image.SetOrigin(header.GetOrigin())
    image.SetSpacing(header.GetSpacing())
    image.SetDirection(header.GetDirection())
    return image


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


def _nifti(image: SimpleITK.Image, folder: Path) -> bytes:
    """The content of a compressed NIfTI file; what the library writes goes through a place in ``folder``."""
    import SimpleITK

    with tempfile.TemporaryDirectory(dir=folder, prefix=".lungs.", suffix=".part") as scratch:
        path = Path(scratch, "lungs.nii.gz")
        try:
            SimpleITK.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:  # which says nothing of why
            raise OSError(None, "the volume could not be stored, the disk may be full", str(path)) from error
        return path.read_bytes()
