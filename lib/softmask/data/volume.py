"""A CT scan as one volume in Hounsfield units: the one way to read a DICOM series, an nrrd or a NIfTI file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from softmask.data.ct_series import Series, as_int16, frame_of, list_series, one_series, read_stack
from softmask.data.dicom_ct import AIR
from softmask.data.volume_files import ENDINGS, Frame, is_volume_file, read_frame, read_turned
from softmask.errors import DataError

__all__ = ["Grid", "Volume", "grid_of_series", "list_series", "read_grid", "read_volume", "volume_of_series"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Where the voxels of a scan lie, without their values.

    Slices go from the feet up, rows from front to back, columns to the patient's left (DICOM's axes).

    Attributes:
        shape: (slices, rows, columns).
        spacing_mm: distance of slices, rows and columns.
        z_mm: (D,) position of each slice, ascending.
        origin: (x, y, z) in mm of the first voxel's centre.
        frame_of_reference, series_uid: of DICOM; empty for a file.
        patient: PatientID, or the file's name without its ending.
        path: the folder or file.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    z_mm: np.ndarray
    origin: tuple[float, float, float]
    frame_of_reference: str = ""
    series_uid: str = ""
    patient: str
    path: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume(Grid):
    """A scan: ``hu`` (D, H, W) int16 Hounsfield units, at least -1024, on its grid."""

    shape: tuple[int, int, int] = field(init=False)
    hu: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.hu.shape)


def read_grid(path: str | Path, series: str | None = None) -> Grid:
    """The grid of the scan at ``path``: all that :func:`read_volume` checks before it reads the values."""
    path = Path(path)
    return grid_of_series(path, one_series(path, series)) if path.is_dir() else grid_of_file(path)


def read_volume(path: str | Path, series: str | None = None) -> Volume:
    """The scan at ``path``.

    Args:
        path: a folder with one CT series in DICOM (in it or in folders below; files in any order and of any name), or
            a ``.nrrd``, ``.nii`` or ``.nii.gz`` file of Hounsfield units.
        series: SeriesInstanceUID of the one to take, of a folder that holds several (:func:`list_series`).

    Raises:
        DataError: naming the file, and the tag in DICOM: see :func:`softmask.data.ct_series.frame_of` and
            :func:`softmask.data.volume_files.read_frame`; and for a file whose values are no Hounsfield units.
    """
    path = Path(path)
    return volume_of_series(path, one_series(path, series)) if path.is_dir() else volume_of_file(path)


def grid_of_series(folder: Path, series: Series) -> Grid:
    """As :func:`read_grid`, of a series that :func:`list_series` gave."""
    return _grid(frame_of(series), _of_series(folder, series))


def volume_of_series(folder: Path, series: Series) -> Volume:
    """As :func:`read_volume`, of a series that :func:`list_series` gave."""
    frame = frame_of(series)
    return _volume(frame, read_stack(series), _of_series(folder, series))


def grid_of_file(path: Path) -> Grid:
    """As :func:`read_grid`, of a file."""
    _need_kind(path)
    return _grid(read_frame(path), _of_file(path))


def volume_of_file(path: Path) -> Volume:
    """As :func:`read_volume`, of a file."""
    _need_kind(path)
    frame = read_frame(path)
    values = read_turned(path)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{path}: has NaN or infinite voxels; save it in Hounsfield units")
    if values.min() >= 0:
        raise DataError(
            f"{path}: no value lies below 0, so these are not the Hounsfield units of a CT; save it in Hounsfield units"
        )
    hu = np.stack(
        [as_int16(np.maximum(one, AIR)) for one in values]
    )  # slice by slice: float64 takes four times as much
    return _volume(frame, hu, _of_file(path))


def _of_series(folder: Path, series: Series) -> dict:
    positions = np.array([ct.z_mm for ct in series.slices])
    return {
        "z_mm": positions,
        "frame_of_reference": series.frame_of_reference,
        "series_uid": series.uid,
        "patient": series.patient,
        "path": folder,
    }


def _of_file(path: Path) -> dict:
    ending = next(ending for ending in sorted(ENDINGS, key=len)[::-1] if path.name.lower().endswith(ending))
    return {"patient": path.name[: -len(ending)] or path.name, "path": path}


def _grid(frame: Frame, rest: dict) -> Grid:
    return Grid(shape=frame.shape, **_placed(frame, rest))


def _volume(frame: Frame, hu: np.ndarray, rest: dict) -> Volume:
    return Volume(hu=hu, **_placed(frame, rest))


def _placed(frame: Frame, rest: dict) -> dict:
    z = frame.origin[2] + frame.spacing_mm[0] * np.arange(frame.shape[0])
    return {"spacing_mm": frame.spacing_mm, "origin": frame.origin, "z_mm": z, **rest}


def _need_kind(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the name")
    if not is_volume_file(path):
        raise DataError(f"{path}: a scan is a folder with one CT series in DICOM, or a file {', '.join(ENDINGS)}")
