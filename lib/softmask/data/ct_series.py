"""The CT series of a folder of DICOM files, and whether the slices of one make a volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softmask.data.dicom_ct import CtSlice, check_decoder, is_dicom, named, read_header, read_hu
from softmask.data.volume_files import LARGEST_VOLUME, Frame
from softmask.errors import DataError

_SAME_Z = 0.05  # mm: positions nearer to one another are one position, rounded differently
_SAME_PLACE = 0.05  # mm: the same for the corners of slices
_SAME_TILT = 0.05  # degrees
_UNEVEN = 0.1  # share of the usual distance of slices by which a distance may differ from it, for rounded positions
_GAP = 1.5  # a distance this many times the usual one has room for a slice that is not there


@dataclass(frozen=True)
class Series:
    """One CT series: its SeriesInstanceUID, its patient, and its slices by position, from the feet up."""

    uid: str
    patient: str
    slices: tuple[CtSlice, ...]

    @property
    def frame_of_reference(self) -> str:
        """FrameOfReferenceUID of the first slice; empty where it names none."""
        return self.slices[0].frame_of_reference


def list_series(folder: str | Path) -> tuple[Series, ...]:
    """The CT series of the DICOM files in ``folder`` and in folders below, by SeriesInstanceUID.

    Headers alone are read. Files of other modalities, and files that are not DICOM, are passed over.

    Raises:
        DataError: naming the folder when it is not there, or a file that is damaged, lacks its place or is not axial:
            what it belongs to cannot be told, so no series below the folder can be called whole.
    """
    return sort_files(folder)[0]


def sort_files(folder: str | Path) -> tuple[tuple[Series, ...], tuple[Path, ...]]:
    """:func:`list_series`, and the DICOM files of other modalities by path."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; check the name")
    stacks: dict[str, list[CtSlice]] = {}
    others = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix.lower() != ".dcm" and not is_dicom(path):  # what is called *.dcm and is none is damaged
            continue
        ct = read_header(path)
        if ct is None:
            others.append(path)
        else:
            stacks.setdefault(ct.series_uid, []).append(ct)
    ordered = {uid: sorted(stacks[uid], key=lambda ct: (ct.z_mm, str(ct.path))) for uid in sorted(stacks)}
    return tuple(Series(uid, slices[0].patient, tuple(slices)) for uid, slices in ordered.items()), tuple(others)


def one_series(folder: Path, uid: str | None = None) -> Series:
    """The CT series of ``folder``: its only one, or the one called ``uid``.

    Raises:
        DataError: as :func:`list_series`; when there is none, not that one, or several and none is asked for.
    """
    return choose(folder, list_series(folder), uid)


def choose(folder: Path, found: tuple[Series, ...], uid: str | None = None) -> Series:
    """As :func:`one_series`, of the series already ``found`` in the folder."""
    if not found:
        raise DataError(f"{folder}: holds no CT slice in DICOM; check that the series was unpacked into it")
    if uid is None and len(found) > 1:
        several = "; ".join(f"{one.uid}: {len(one.slices)} slices, such as {one.slices[0].path}" for one in found)
        raise DataError(
            f"{folder}: holds {len(found)} CT series by {named('SeriesInstanceUID')} ({several}); put each into a "
            "folder of its own"
        )
    chosen = [one for one in found if uid in (None, one.uid)]
    if not chosen:
        raise DataError(f"{folder}: holds no series {uid}; it holds {', '.join(one.uid for one in found)}")
    return chosen[0]


def frame_of(series: Series) -> Frame:
    """Where the series lies, once its slices have been found to make a volume.

    Raises:
        DataError: naming file and tag: gantry tilt, slices of several sizes or frames of reference or that lie beside
            one another, two slices at one position, a missing slice, uneven distances, more voxels than are read,
            files shorter than their pixels, a compression that nothing here undoes.
    """
    first = series.slices[0]
    for ct in series.slices:
        if abs(ct.tilt) > _SAME_TILT:
            raise DataError(
                f"{ct.path}: {named('GantryDetectorTilt')} = {ct.tilt:g}: the slices of a tilted gantry do not lie "
                "above one another; resample the series to axial slices"
            )
        for tag, mine, theirs in (
            ("Rows", ct.shape, first.shape),
            ("PixelSpacing", ct.spacing_mm, first.spacing_mm),
            ("FrameOfReferenceUID", ct.frame_of_reference, first.frame_of_reference),
            ("PatientID", ct.patient, first.patient),
        ):
            if mine != theirs:
                raise DataError(
                    f"{ct.path}: {named(tag)} is {mine}, and {theirs} in {first.path} of the same series; remove what "
                    "does not belong to it"
                )
        if not np.allclose(ct.corner_mm, first.corner_mm, rtol=0, atol=_SAME_PLACE):
            raise DataError(
                f"{ct.path}: {named('ImagePositionPatient')} begins with {ct.corner_mm}, and with {first.corner_mm} in "
                f"{first.path}: the slices do not lie above one another (gantry tilt?); resample the series"
            )
        check_decoder(ct.path, ct.syntax)
        size = ct.path.stat().st_size
        if size < ct.pixel_bytes:
            raise DataError(f"{ct.path}: truncated, {size} bytes of {ct.pixel_bytes} and a header; get this file again")
    shape = (len(series.slices), *first.shape)
    if np.prod(shape, dtype=float) > LARGEST_VOLUME:
        raise DataError(f"{first.path.parent}: {' x '.join(map(str, shape))} voxels are more than is read; crop it")
    origin = (*first.corner_mm, first.z_mm)
    return Frame(shape, (_distance(series.slices), *first.spacing_mm), origin)


def read_stack(series: Series) -> np.ndarray:
    """(D, H, W) int16 Hounsfield units, from the feet up. Raises DataError as :func:`~softmask.data.dicom_ct.read_hu`,
    and where the pixels are of another size than the header says."""
    hu = np.empty((len(series.slices), *series.slices[0].shape), np.int16)
    for z, ct in enumerate(series.slices):
        values = read_hu(ct.path)
        if values.shape != hu.shape[1:]:
            raise DataError(f"{ct.path}: holds {values.shape} pixels, declares {hu.shape[1:]}; get this file again")
        hu[z] = as_int16(values)
    return hu


def as_int16(hu: np.ndarray) -> np.ndarray:
    """Hounsfield units rounded to whole numbers; metal above 32767 HU is cut to that."""
    return np.rint(np.minimum(hu, np.iinfo(np.int16).max)).astype(np.int16)


def _distance(slices: tuple[CtSlice, ...]) -> float:
    """The distance of neighbouring slices in mm; of a single slice, its thickness."""
    if len(slices) == 1:
        return slices[0].thickness_mm
    steps = np.diff([ct.z_mm for ct in slices])
    distinct = np.sort(steps[steps >= _SAME_Z])
    usual = float(distinct[(len(distinct) - 1) // 2]) if len(distinct) else 0.0
    for step, below, above in zip(steps.tolist(), slices[:-1], slices[1:], strict=True):
        place = f"{named('ImagePositionPatient')} is z = {above.z_mm:g} mm"
        if step < _SAME_Z:
            raise DataError(f"{above.path}: {place} as in {below.path} of the same series; remove one of them")
        if step > _GAP * usual:
            raise DataError(
                f"{above.path}: {place}, the slice below it ({below.path}) lies at {below.z_mm:g} mm, and others are "
                f"{usual:g} mm apart: slices are missing in between; get the series again"
            )
        if abs(step - usual) > _UNEVEN * usual + _SAME_Z:
            raise DataError(
                f"{above.path}: {place}, {step:g} mm above {below.path}, and others are {usual:g} mm apart; resample "
                "the series to even distances"
            )
    return float((slices[-1].z_mm - slices[0].z_mm) / (len(slices) - 1))
