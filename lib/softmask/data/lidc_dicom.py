"""LIDC-IDRI as TCIA publishes it: DICOM series of chest CT in Hounsfield units, joined with the readers' contours.

A series is joined by its SeriesInstanceUID with the annotation database (:mod:`softmask.data.annotations`), or, where
the database does not know it, with a LIDC XML file below the same folder (:mod:`softmask.data.lidc_xml`). Contours and
slices meet by z position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

import softmask.data.annotations as annotations
from softmask.data import lidc_xml
from softmask.data.annotations import Nodule
from softmask.data.image_files import window_hu
from softmask.data.lidc import area_of, index_frame, ratings_of
from softmask.data.sample import Dataset, Problem, Sample
from softmask.errors import DataError, MissingData, brief
from softmask.files import sha256_of

SIZE = 128
"""Rows and columns of a sample: the crop centred on the nodule, moved inside the image where it would leave it."""

AIR = -1024.0
"""Hounsfield units of air: what scanners store below it (-2000 outside the scanned circle) is no tissue."""

_SAME_Z = 0.05  # mm: contour and slice positions are copies of one number, rounded differently
LARGEST = 2048 * 2048
"""Most pixels that a CT slice is believed to have."""

_REMEDY = "get this file again"
_TAGS = [
    "Modality",
    "SeriesInstanceUID",
    "PatientID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "Rows",
    "Columns",
    "SOPInstanceUID",
]


@dataclass(frozen=True)
class CtSlice:
    """Header of one CT slice: position in mm, pixel size (row, column) in mm, size in pixels."""

    path: Path
    series_uid: str
    patient: str
    z_mm: float
    spacing_mm: tuple[float, float]
    thickness_mm: float
    shape: tuple[int, int]
    uid: str


class LidcDicom(Dataset):
    """Nodule slices cut from the CT series below a folder; ``image`` is the lung window of ``hu``.

    Samples are the slices that at least one reader marked and that are there. A file that is damaged, has no position
    or is not axial, and a second XML file of a series, go to ``problems``; a marked slice that is not there,
    and one whose contours enclose no pixel, go to ``left_out``, and ``origin`` says how many.

    Args:
        folder: holds DICOM files (``*.dcm``) in any folders below, with or without LIDC XML files.
        name: ``lidc`` or ``lnsm``.

    Raises:
        MissingData: when the folder is not there.
        DataError: when no marked slice is found below it.
    """

    source = "real"

    def __init__(self, folder: str | Path, name: str = "lidc") -> None:
        super().__init__()
        self.name = name
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise MissingData(f"{self.folder}: there is no such folder; `softmask data list` says what goes where")
        self._database = annotations.load()
        self._absent = 0
        stacks = self._stacks()
        extra = self._from_xml(stacks)
        self._rows: list[tuple[Nodule, float, CtSlice]] = []
        keys, n_readers, areas, spacing = [], [], [], []
        for series, slices in stacks.items():
            known = self._database.of_series(series)
            for nodule in known or extra.get(series, []):
                for z, ct in self._matched(nodule, slices):
                    readers, present = nodule.masks(z, _window(nodule, ct.shape))
                    if not present.any():
                        self._leave_out(nodule, z, "the contours enclose no pixel")
                        continue
                    self._rows.append((nodule, z, ct))
                    keys.append((nodule.patient, nodule.name, f"z{z:+.2f}"))
                    n_readers.append(present.sum())
                    areas.append(area_of(readers, present))
                    spacing.append(ct.spacing_mm[0])
        if not self._rows:
            first = f" First of {len(self.problems)} problems: {self.problems[0].why}." if self.problems else ""
            raise DataError(
                f"{self.folder}: no slice that a LIDC reader marked; expected the CT series of LIDC-IDRI as *.dcm, "
                f"and for other series their LIDC XML.{first}"
            )
        nodules = [nodule for nodule, _, _ in self._rows]
        self.index = index_frame(keys, np.array(n_readers), np.array(areas), np.array(spacing), nodules)
        self.origin = (
            f"{self.folder.name}: {len(stacks)} DICOM series in HU (left out: {self._absent} marked slices whose "
        )
        self.origin += f"DICOM file is not there, {len(self.left_out) - self._absent} whose contours enclose no pixel)"

    def read(self, i: int) -> Sample:
        nodule, _, ct = self._rows[i]
        row = self.index.iloc[i]
        readers, present = self.read_masks(i)
        top, left, height, width = _window(nodule, ct.shape)
        hu = read_hu(ct.path)[top : top + height, left : left + width]
        return Sample(
            dataset=self.name,
            source=self.source,
            patient=row.patient,
            nodule=row.nodule,
            slice=row.slice,
            image=window_hu(hu),
            readers=readers,
            present=present,
            spacing=ct.spacing_mm,
            ratings=ratings_of(nodule, present),
            hu=hu,
            kind=row.kind,
        )

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        nodule, z, ct = self._rows[i]
        return nodule.masks(z, _window(nodule, ct.shape))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the contours' origin and the slices' SOPInstanceUIDs: each names one image for good."""
        return sha256_of(
            self._database.fingerprint,
            *(
                f"{nodule.name} {z!r} {ct.uid} {n}"
                for (nodule, z, ct), n in zip(self._rows, self.index.area, strict=True)
            ),
        )

    def _stacks(self) -> dict[str, list[CtSlice]]:
        """The CT slices of each series, by position; series by name."""
        from tqdm import tqdm

        stacks: dict[str, list[CtSlice]] = {}
        files = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() == ".dcm" and path.is_file())
        for path in tqdm(files, desc=f"{self.name}: DICOM headers", unit=" files", disable=len(files) < 1000):
            try:
                ct = read_header(path)
            except DataError as error:
                self.add_problem(str(path), str(error))
                continue
            if ct is not None:
                stacks.setdefault(ct.series_uid, []).append(ct)
        return {series: self._sorted(stacks[series]) for series in sorted(stacks)}

    def _sorted(self, slices: list[CtSlice]) -> list[CtSlice]:
        kept: list[CtSlice] = []
        for ct in sorted(slices, key=lambda ct: (ct.z_mm, str(ct.path))):
            if kept and ct.z_mm - kept[-1].z_mm < _SAME_Z:
                why = f"lies at z = {ct.z_mm} mm as {kept[-1].path} does, in the same series; the latter is used"
                self.add_problem(str(ct.path), f"{ct.path}: {why}; remove one of them")
                continue
            kept.append(ct)
        return kept

    def _from_xml(self, stacks: dict[str, list[CtSlice]]) -> dict[str, list[Nodule]]:
        """Nodules of series that the database does not know, from XML files below the folder."""
        unknown = {series for series in stacks if not self._database.of_series(series)}
        found: dict[str, list[Nodule]] = {}
        used: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*.xml")) if unknown else []:
            try:
                scan = lidc_xml.read(path)
            except DataError as error:
                self.add_problem(str(path), str(error))
                continue
            if scan.series_uid not in unknown:
                continue
            if scan.series_uid in found:
                why = f"annotates series {scan.series_uid} as {used[scan.series_uid]} does; the latter is used"
                self.add_problem(str(path), f"{path}: {why}; remove one of them")
                continue
            used[scan.series_uid] = path
            slices = stacks[scan.series_uid]
            marked = [contour.z_mm for reading in scan.readings for contour in reading.contours]
            nodules = annotations.nodules_of_scan(
                list(scan.readings),
                np.unique([ct.z_mm for ct in slices] + marked),
                patient=slices[0].patient,
                scan_id=0,
                series_uid=scan.series_uid,
                spacing_mm=slices[0].spacing_mm[0],
                slice_thickness_mm=slices[0].thickness_mm,
            )
            patients = {stack[0].patient for series, stack in stacks.items() if series != scan.series_uid}
            if slices[0].patient in patients:  # several scans of one patient: their nodules need different names
                tail = scan.series_uid.rpartition(".")[2][-8:]
                nodules = [replace(nodule, name=f"{nodule.name}-series-{tail}") for nodule in nodules]
            found[scan.series_uid] = nodules
        return found

    def _matched(self, nodule: Nodule, slices: list[CtSlice]) -> list[tuple[float, CtSlice]]:
        """The nodule's slices that are there, with the position the contours name."""
        positions = np.array([ct.z_mm for ct in slices])
        matched = []
        for z in nodule.slices():
            nearest = int(np.abs(positions - z).argmin())
            if abs(positions[nearest] - z) < _SAME_Z:
                matched.append((z, slices[nearest]))
            else:
                self._absent += 1
                self._leave_out(nodule, z, "readers marked this slice and its DICOM file is not there")
        return matched

    def _leave_out(self, nodule: Nodule, z: float, why: str) -> None:
        self.left_out.append(Problem(f"{self.name}/{nodule.patient}/{nodule.name}/z{z:+.2f}", why))


def read_header(path: Path) -> CtSlice | None:
    """Header of one axial CT slice; None for a DICOM file of another kind (X-ray, segmentation).

    Raises:
        DataError: naming the file, when it is damaged, has no position, or is not axial.
    """
    header = _dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    try:
        modality = header.get("Modality")
        if modality is None:
            raise ValueError("it names no modality")
        if modality != "CT":
            return None
        position = [float(value) for value in header.ImagePositionPatient]
        spacing = [float(value) for value in header.PixelSpacing]
        orientation = [float(value) for value in header.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0)]
        thickness = float(header.get("SliceThickness") or 0)
        shape = (int(header.Rows), int(header.Columns))
        series, uid = str(header.SeriesInstanceUID), str(header.SOPInstanceUID)
        patient = str(header.get("PatientID") or "unnamed")
    except Exception as error:  # values are decoded only now, and on damaged bytes that raises nearly anything
        raise DataError(
            f"{path}: damaged, or lacks its place (position, spacing, size, series); {brief(error)}; {_REMEDY}"
        ) from error
    if len(position) != 3 or len(spacing) != 2 or not np.isfinite([*position, *spacing]).all() or min(spacing) <= 0:
        raise DataError(f"{path}: position {position} or pixel spacing {spacing} cannot be right; {_REMEDY}")
    if not 0 < shape[0] * shape[1] <= LARGEST:
        raise DataError(f"{path}: declares {shape[0]} x {shape[1]} pixels, no size of a CT slice; {_REMEDY}")
    if not np.allclose(orientation, (1, 0, 0, 0, 1, 0), atol=1e-3):
        raise DataError(f"{path}: not an axial slice (orientation {orientation}); remove it")
    return CtSlice(path, series, patient, position[2], (spacing[0], spacing[1]), thickness or 1.0, shape, uid)


def read_hu(path: Path) -> np.ndarray:
    """(H, W) float32 Hounsfield units of one CT slice, at least :data:`AIR`.

    Raises:
        DataError: naming the file, when it is truncated, compressed in a way that cannot be read, not 2D, of a size
            that no CT slice has, or without the scale that makes Hounsfield units of what is stored.
    """
    dataset = _dcmread(path)
    try:
        pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if not 0 < pixels <= LARGEST:  # before anything is decompressed
            raise ValueError(f"it declares {pixels} pixels")
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        stored = dataset.pixel_array
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(
            f"{path}: the pixels cannot be read, the file may be truncated ({brief(error)}); {_REMEDY}"
        ) from error
    if stored.ndim != 2 or not np.isfinite([slope, intercept]).all() or slope == 0:
        raise DataError(
            f"{path}: pixels of shape {stored.shape}, scale {slope}, {intercept}: not a CT slice; {_REMEDY}"
        )
    return np.maximum(stored.astype(np.float32) * np.float32(slope) + np.float32(intercept), np.float32(AIR))


def _dcmread(path: Path, **options):
    import pydicom
    from pydicom.filereader import read_file_meta_info

    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
            raise ValueError("deflated as a whole, which no CT archive does: it could unpack to any size")
        return pydicom.dcmread(path, **options)
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        raise DataError(f"{path}: not a readable DICOM file ({brief(error)}); {_REMEDY}") from error


def _window(nodule: Nodule, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    top, left, *_ = nodule.window(SIZE)
    height, width = min(SIZE, shape[0]), min(SIZE, shape[1])
    return min(max(top, 0), shape[0] - height), min(max(left, 0), shape[1] - width), height, width
