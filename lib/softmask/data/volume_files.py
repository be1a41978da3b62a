"""Volumes in one file, NIfTI or nrrd: voxels turned to the patient's axes, and output on the axes of a scan's own file.

SimpleITK decodes the files after :mod:`softmask.data.volume_headers` has checked their headers.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmask.data.volume_headers import check_header, check_voxels, is_nrrd, need_finite, refuse_large
from softmask.errors import DataError, brief, doubt
from softmask.files import AGAIN, PART

if TYPE_CHECKING:
    import SimpleITK

ENDINGS = (".nii.gz", ".nrrd", ".nii")

_LEAST_MM, _MOST_MM = 0.02, 50  # limits of voxel sizes, from micro-CT to the coarsest slices
_OTHERS = {
    **dict.fromkeys((".nhdr", ".raw", ".raw.gz"), "detached: save as one .nrrd"),
    **dict.fromkeys((".hdr", ".img"), "save as one .nii or .nrrd"),
    **dict.fromkeys((".mha", ".mhd", ".mgz", ".mgh"), "convert to NIfTI or nrrd"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar"), "unpack it"),
}
"""Remedies for files that are not read, by ending."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Positions of the voxels of a scan, without their values.

    Slices go from the feet up, rows from front to back, columns to the patient's left (DICOM's axes).

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: distance between slices, rows and columns.
        z_mm: (D,) position of each slice, ascending.
        origin: (x, y, z) in mm of the first voxel's centre.
        frame_of_reference, series_uid, uids: UIDs in DICOM, the last one of each slice; empty for a file.
        patient: PatientID, or the file's name without its ending.
        path: folder or file of the scan.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    z_mm: np.ndarray
    origin: tuple[float, float, float]
    frame_of_reference: str = ""
    series_uid: str = ""
    uids: tuple[str, ...] = ()
    patient: str
    path: Path


def remedy_of(path: Path) -> str:
    """Return the remedy for a file of a kind that is not read; empty if the name shows no known kind."""
    return next((f"; {remedy}" for ending, remedy in _OTHERS.items() if path.name.lower().endswith(ending)), "")


def is_volume_file(path: Path) -> bool:
    """Return whether the name ends with one of :data:`ENDINGS`."""
    return path.name.lower().endswith(ENDINGS)


def name_of(path: Path) -> str:
    """Return the prefix for the names of a scan's outputs: the folder's name, or the file's without its ending."""
    name = Path(os.path.abspath(path)).name
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return (name if path.is_dir() else name[: len(name) - len(ending)]) or "scan"


def grid_of_file(path: Path) -> Grid:
    """Return the grid that the header of an nrrd or NIfTI file declares, turned to the patient's axes.

    Raises:
        DataError: naming the file, when it is not a readable volume with one number per voxel, is larger than
            :data:`LARGEST_VOLUME`, keeps its voxels in another file, or has axes that are not the patient's.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the name")
    if not is_volume_file(path):
        kinds = f"a folder with one CT series in DICOM, or a file {', '.join(ENDINGS)}"
        raise DataError(f"{path}: a scan is {kinds}{remedy_of(path)}")
    reader = open_reader(path)
    size = reader.GetSize()
    if len(size) != 3 or reader.GetNumberOfComponents() != 1:
        text = f"{' x '.join(map(str, size))} voxels of {reader.GetNumberOfComponents()} numbers"
        raise DataError(f"{path}: {text}; one grey volume of three dimensions is expected (of a slice, PNG)")
    refuse_large(path, size)
    spacing, origin = np.array(reader.GetSpacing()), np.array(reader.GetOrigin())
    if not (np.isfinite(spacing).all() and np.isfinite(origin).all() and (spacing > 0).all()):
        raise DataError(f"{path}: spacing {spacing.tolist()} or origin {origin.tolist()} cannot be right; {AGAIN}")
    if not _LEAST_MM <= spacing.min() <= spacing.max() <= _MOST_MM:
        sides = " x ".join(f"{side:g}" for side in spacing)
        doubt(f"{path}: its voxels are {sides} mm; check the units of the header")
    signs = axes_of(path, reader)
    order = np.abs(signs).argmax(axis=1)  # the image axis of each world axis
    flips = signs[np.arange(3), order] < 0
    sizes, steps = np.array(size)[order], spacing[order]
    origin = (origin - np.where(flips, steps * (sizes - 1), 0)).tolist()
    shape, spacing_mm = tuple(sizes[::-1].tolist()), tuple(steps[::-1].tolist())
    z = origin[2] + spacing_mm[0] * np.arange(shape[0])
    return Grid(shape=shape, spacing_mm=spacing_mm, z_mm=z, origin=tuple(origin), patient=name_of(path), path=path)


def axes_of(path: Path, reader: SimpleITK.ImageFileReader) -> np.ndarray:
    """Return the direction (world axis, image axis) that the header declares, (3, 3) or (2, 2), rounded to -1, 0 and 1.
    Raises DataError, naming the file, if it is not aligned with the patient's axes."""
    direction = np.reshape(reader.GetDirection(), (reader.GetDimension(), -1))
    signs = np.rint(direction)
    if not np.allclose(direction, signs, atol=1e-3) or not (np.abs(signs).sum(axis=0) == 1).all():
        raise DataError(
            f"{path}: the image axes are not aligned with the patient axes (direction "
            f"{np.round(direction, 4).tolist()}; gantry tilt or oblique acquisition); resample it to axial slices"
        )
    return signs


def open_reader(path: Path) -> SimpleITK.ImageFileReader:
    """Return a SimpleITK reader of the file, whose header has been read and checked."""
    import SimpleITK

    check_header(path)
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # errors and warnings of this package replace its own
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if is_nrrd(path) else "NiftiImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        is_sheared = "direction" in str(error) and not is_nrrd(path)
        remedy = "its sform shears the voxels (gantry tilt?): resample it to axial slices" if is_sheared else AGAIN
        raise DataError(f"{path}: not a readable volume ({brief(error)}); {remedy}") from error
    return reader


def read_turned(path: Path) -> np.ndarray:
    """Return the stored voxels, turned to the axes of :class:`Grid`; a 2D image is one slice. Raises DataError, naming
    the file, when it is damaged or truncated.
    """
    import SimpleITK

    check_voxels(path)
    try:
        image = open_reader(path).Execute()
        if image.GetDimension() == 3:
            image = SimpleITK.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise DataError(f"{path}: the voxels cannot be read ({brief(error)}); {AGAIN}") from error
    array = SimpleITK.GetArrayFromImage(image)
    need_finite(path, array)
    return array if array.ndim == 3 else array[None]


def orientation(path: Path) -> str:
    """Return the directions of the stored axes of a file with a :class:`Grid`, such as ``RAI``: columns to the
    patient's right, rows to the front, slices to the feet."""
    import SimpleITK

    return SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(open_reader(path).GetDirection())


def image_of(values: np.ndarray, grid: Grid) -> SimpleITK.Image:
    """Return ``values`` (D, H, W) with the axes, origin, spacing and direction of the scan's own file."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(values)
    if not is_volume_file(grid.path) or grid.path.is_dir():  # DICOM has the axes of the grid
        image.SetOrigin(grid.origin)
        image.SetSpacing(grid.spacing_mm[::-1])
        return image
    reader = open_reader(grid.path)
    image = SimpleITK.DICOMOrient(image, orientation(grid.path))
    image.SetOrigin(reader.GetOrigin())
    image.SetSpacing(reader.GetSpacing())
    image.SetDirection(reader.GetDirection())
    return image


def compressed_bytes(image: SimpleITK.Image, folder: Path, ending: str = ".nii.gz") -> bytes:
    """Return the bytes of ``image`` as a compressed file with one of :data:`ENDINGS`; SimpleITK writes it to a
    temporary folder in ``folder``."""
    import SimpleITK

    with tempfile.TemporaryDirectory(dir=folder, prefix=".volume.", suffix=PART) as scratch:
        path = Path(scratch, f"volume{ending}")
        try:
            SimpleITK.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:  # its text gives no reason
            raise OSError(None, "the volume could not be stored, the disk may be full", str(path)) from error
        return path.read_bytes()
