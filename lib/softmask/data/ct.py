"""CT: series in DICOM, and a scan, in DICOM, nrrd or NIfTI, as one volume in Hounsfield units.

SimpleITK's and highdicom's readers of series name neither file nor tag of a slice that does not fit, and SimpleITK
reads a series with a missing slice; so slices are read by pydicom and compared here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from softmask.data.dicom import AIR, CtSlice, check_decoder, is_dicom, named, read_header, read_hu
from softmask.data.volume_files import ENDINGS, LARGEST_VOLUME, Grid, file_grid, is_volume_file, read_turned
from softmask.errors import DataError

SAME_Z = 0.05
"""mm: positions nearer to one another are one position, rounded differently."""

_SAME_CORNER = 0.05  # mm: the same for the corners of slices
_SAME_TILT = 0.05  # degrees
_UNEVEN = 0.1  # share of the usual distance of slices by which a distance may differ from it, for rounded positions
_GAP = 1.5  # a distance this many times the usual one has room for a missing slice


@dataclass(frozen=True)
class Series:
    """One CT series: its SeriesInstanceUID, its patient, and its slices by position, from the feet up."""

    uid: str
    patient: str
    slices: tuple[CtSlice, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume(Grid):
    """A scan: ``hu`` (D, H, W) int16 Hounsfield units, at least -1024, on its grid."""

    hu: np.ndarray = field(repr=False)


def sort_files(
    folder: Path, *, bad: list[tuple[Path, str]] | None = None, title: str = ""
) -> tuple[tuple[Series, ...], tuple[Path, ...]]:
    """Return the CT series of the DICOM files in ``folder`` and below, by SeriesInstanceUID, and the DICOM files of
    other modalities by path. Headers alone are read.

    Args:
        bad: takes path and error of each unusable file in place of an exception; files not named ``*.dcm`` are then
            passed over unopened.
        title: of a progress bar for a thousand files and more.

    Raises:
        DataError: naming a file that is damaged, has no position or is not axial: any series could miss it.
    """
    stacks: dict[str, list[CtSlice]] = {}
    others = []
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if bad is not None:
        files = [path for path in files if path.suffix.lower() == ".dcm"]
    for path in tqdm(files, desc=title, unit=" files", disable=not title or len(files) < 1000):
        if path.suffix.lower() != ".dcm" and not is_dicom(path):  # *.dcm that is no DICOM is damaged
            continue
        try:
            ct = read_header(path)
        except DataError as error:
            if bad is None:
                raise
            bad.append((path, str(error)))
            continue
        if ct is None:
            others.append(path)
        else:
            stacks.setdefault(ct.series_uid, []).append(ct)
    ordered = [sorted(stacks[uid], key=lambda ct: (ct.z_mm, str(ct.path))) for uid in sorted(stacks)]
    return tuple(Series(ct[0].series_uid, ct[0].patient, tuple(ct)) for ct in ordered), tuple(others)


def one_series(folder: Path, listed: tuple[Series, ...] | None = None) -> Series:
    """Return the only CT series of ``folder``, or of those ``listed``. Raises DataError for none or several."""
    listed = sort_files(folder)[0] if listed is None else listed
    if not listed:
        raise DataError(f"{folder}: holds no CT slice in DICOM; check that the series was unpacked into it")
    if len(listed) > 1:
        several = "; ".join(f"{s.uid}: {len(s.slices)} slices, such as {s.slices[0].path}" for s in listed)
        raise DataError(
            f"{folder}: holds {len(listed)} CT series by {named('SeriesInstanceUID')} ({several}); put each into a "
            "folder of its own"
        )
    return listed[0]


def read_volume(path: str | Path, series: Series | None = None) -> Volume:
    """Read the scan at ``path``.

    Args:
        path: a folder with one CT series in DICOM (in it or in folders below; files in any order and of any name), or
            a ``.nrrd``, ``.nii`` or ``.nii.gz`` file of Hounsfield units.
        series: that of the folder, where it was read before.

    Raises:
        DataError: naming the file, and the tag in DICOM: as :func:`grid_of_series` and
            :func:`softmask.data.volume_files.file_grid`; and for values that are no Hounsfield units.
    """
    path = Path(path)
    if path.is_dir():
        series = series or one_series(path)
        grid = grid_of_series(path, series)
        hu = np.empty(grid.shape, np.int16)
        for z, ct in enumerate(series.slices):
            values = read_hu(ct.path)
            if values.shape != hu.shape[1:]:
                raise DataError(f"{ct.path}: holds {values.shape} pixels, declares {hu.shape[1:]}; get this file again")
            hu[z] = _as_int16(values)
        return Volume(**vars(grid), hu=hu)
    grid = grid_of_file(path)
    values = read_turned(path)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{path}: has NaN or infinite voxels; save it in Hounsfield units")
    if values.min() >= 0:
        raise DataError(
            f"{path}: no value lies below 0, so these are not the Hounsfield units of a CT; save it in Hounsfield units"
        )
    # slice by slice: float64 takes four times as much memory
    hu = np.stack([_as_int16(np.maximum(plane, AIR)) for plane in values])
    return Volume(**{**vars(grid), "shape": hu.shape}, hu=hu)


def grid_of_file(path: Path) -> Grid:
    """Return the grid of an nrrd or NIfTI file. Raises DataError as :func:`read_volume`."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the name")
    if not is_volume_file(path):
        raise DataError(f"{path}: a scan is a folder with one CT series in DICOM, or a file {', '.join(ENDINGS)}")
    return file_grid(path)


def _as_int16(hu: np.ndarray) -> np.ndarray:
    """Hounsfield units rounded to whole numbers; metal above 32767 HU is cut to that."""
    return np.rint(np.minimum(hu, np.iinfo(np.int16).max)).astype(np.int16)


def grid_of_series(folder: Path, series: Series) -> Grid:
    """Return the grid of a series, once its slices have been found to make a volume.

    Raises:
        DataError: naming file and tag: gantry tilt, slices of several sizes or frames of reference or that lie beside
            one another, two slices at one position, a missing slice, uneven distances, more voxels than are read,
            files shorter than their pixels, a compression without a decoder here.
    """
    slices, first = series.slices, series.slices[0]
    for ct in slices:
        _check_slice(ct, first)
    shape = (len(slices), *first.shape)
    if np.prod(shape, dtype=float) > LARGEST_VOLUME:
        raise DataError(f"{first.path.parent}: {' x '.join(map(str, shape))} voxels are more than is read; crop it")
    steps = np.diff([ct.z_mm for ct in slices])
    distinct = np.sort(steps[steps >= SAME_Z])
    usual = float(distinct[(len(distinct) - 1) // 2]) if len(distinct) else 0.0
    for step, below, above in zip(steps.tolist(), slices[:-1], slices[1:], strict=True):
        position = f"{above.path}: {named('ImagePositionPatient')} is z = {above.z_mm:g} mm"
        if step < SAME_Z:
            raise DataError(f"{position} as in {below.path} of the same series; remove one of them")
        if step > _GAP * usual:
            raise DataError(
                f"{position}, the slice below it ({below.path}) lies at {below.z_mm:g} mm, and others are "
                f"{usual:g} mm apart: slices are missing in between; get the series again"
            )
        if abs(step - usual) > _UNEVEN * usual + SAME_Z:
            raise DataError(
                f"{position}, {step:g} mm above {below.path}, and others are {usual:g} mm apart; resample "
                "the series to even distances"
            )
    distance = float((slices[-1].z_mm - first.z_mm) / len(steps)) if len(steps) else first.thickness_mm
    return Grid(
        shape=shape,
        spacing_mm=(distance, *first.spacing_mm),
        z_mm=np.array([ct.z_mm for ct in slices]),
        origin=(*first.corner_mm, first.z_mm),
        frame_of_reference=first.frame_of_reference,
        series_uid=series.uid,
        patient=series.patient,
        path=folder,
    )


def _check_slice(ct: CtSlice, first: CtSlice) -> None:
    """Raise DataError unless a slice fits the ``first`` one of its series."""
    if abs(ct.tilt) > _SAME_TILT:
        raise DataError(
            f"{ct.path}: {named('GantryDetectorTilt')} = {ct.tilt:g}: the slices of a tilted gantry do not lie "
            "above one another; resample the series to axial slices"
        )
    for tag, name in (
        ("Rows", "shape"),
        ("PixelSpacing", "spacing_mm"),
        ("FrameOfReferenceUID", "frame_of_reference"),
        ("PatientID", "patient"),
    ):
        value, expected = getattr(ct, name), getattr(first, name)
        if value != expected:
            raise DataError(
                f"{ct.path}: {named(tag)} is {value}, and {expected} in {first.path} of the same series; remove what "
                "does not belong to it"
            )
    if not np.allclose(ct.corner_mm, first.corner_mm, rtol=0, atol=_SAME_CORNER):
        raise DataError(
            f"{ct.path}: {named('ImagePositionPatient')} begins with {ct.corner_mm}, and with {first.corner_mm} in "
            f"{first.path}: the slices do not lie above one another (gantry tilt?); resample the series"
        )
    check_decoder(ct.path, ct.syntax)
    size = ct.path.stat().st_size
    if size < ct.pixel_bytes:
        raise DataError(f"{ct.path}: truncated, {size} bytes of {ct.pixel_bytes} and a header; get this file again")
