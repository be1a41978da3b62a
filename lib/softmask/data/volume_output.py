"""Volumes written as NIfTI files, on the voxels of the scan that they belong to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmask.data.volume import Grid
from softmask.data.volume_files import ENDINGS, is_volume_file

if TYPE_CHECKING:
    import SimpleITK


def name_of(path: Path) -> str:
    """How the names begin of what is made from a scan: the folder's name, or the file's without its ending."""
    name = Path(os.path.abspath(path)).name
    ending = next((ending for ending in sorted(ENDINGS, key=len)[::-1] if name.lower().endswith(ending)), "")
    return (name if path.is_dir() else name[: len(name) - len(ending)]) or "scan"


def image_of(values: np.ndarray, grid: Grid) -> SimpleITK.Image:
    """``values`` (D, H, W) with the axes, origin, spacing and direction that the scan's own file has."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(values)
    if not is_volume_file(grid.path) or grid.path.is_dir():  # DICOM has the axes of the grid
        image.SetOrigin(grid.origin)
        image.SetSpacing(grid.spacing_mm[::-1])
        return image
    header = SimpleITK.ImageFileReader()
    header.SetFileName(str(grid.path))
    header.ReadImageInformation()
    letters = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(header.GetDirection())
    image = SimpleITK.DICOMOrient(image, letters)
    image.SetOrigin(header.GetOrigin())
    image.SetSpacing(header.GetSpacing())
    image.SetDirection(header.GetDirection())
    return image


def nifti(image: SimpleITK.Image, folder: Path) -> bytes:
    """The content of a compressed NIfTI file; what the library writes goes through a place in ``folder``."""
    import SimpleITK

    with tempfile.TemporaryDirectory(dir=folder, prefix=".nifti.", suffix=".part") as scratch:
        path = Path(scratch, "volume.nii.gz")
        try:
            SimpleITK.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:  # which says nothing of why
            raise OSError(None, "the volume could not be stored, the disk may be full", str(path)) from error
        return path.read_bytes()
