"""LIDC-IDRI as TCIA publishes it: DICOM series of chest CT in Hounsfield units, joined with the readers' contours.

A series is joined by its SeriesInstanceUID with the annotation database (:mod:`softmask.data.annotations`), or, where
the database does not know it, with a LIDC XML file below the same folder (:mod:`softmask.data.lidc_xml`). Contours and
slices meet by z position.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

import softmask.data.annotations as annotations
from softmask.data import lidc_xml
from softmask.data.annotations import Nodule
from softmask.data.axes import long_axis
from softmask.data.ct import SAME_Z, sort_files
from softmask.data.dicom import CtSlice, read_hu
from softmask.data.image_files import window_hu
from softmask.data.lidc import area_of, index_frame, ratings_of
from softmask.data.sample import Dataset, Problem, Sample
from softmask.errors import DataError, MissingData
from softmask.files import sha256_of

SIZE = 128
"""Rows and columns of a sample: the crop centred on the nodule, moved inside the image where it would leave it."""


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
        keys, n_readers, areas, spacing, long_axes = [], [], [], [], []
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
                    long_axes.append(long_axis(readers[present][0]))
                    spacing.append(ct.spacing_mm[0])
        if not self._rows:
            raise self.none_usable(
                self.folder,
                "no slice that a LIDC reader marked; expected the CT series of LIDC-IDRI as *.dcm, and for other "
                "series their LIDC XML",
            )
        nodules = [nodule for nodule, _, _ in self._rows]
        self.index = index_frame(
            keys, np.array(n_readers), np.array(areas), np.array(spacing), nodules, np.array(long_axes)
        )
        self.origin = (
            f"{self.folder.name}: {len(stacks)} DICOM series in HU (left out: {self._absent} marked slices whose "
        )
        self.origin += f"DICOM file is not there, {len(self.left_out) - self._absent} whose contours enclose no pixel)"

    def read(self, i: int) -> Sample:
        nodule, _, ct = self._rows[i]
        readers, present = self.read_masks(i)
        top, left, height, width = _window(nodule, ct.shape)
        hu = read_hu(ct.path)[top : top + height, left : left + width]
        return self.sample(
            i,
            image=window_hu(hu),
            readers=readers,
            present=present,
            spacing=ct.spacing_mm,
            ratings=ratings_of(nodule, present),
            hu=hu,
            kind=self.index.kind.iloc[i],
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
        bad: list[tuple[Path, str]] = []
        listed, _ = sort_files(self.folder, bad=bad, title=f"{self.name}: DICOM headers")
        for path, why in bad:
            self.add_problem(str(path), why)
        return {series.uid: self._one_each(series.slices) for series in listed}

    def _one_each(self, slices: tuple[CtSlice, ...]) -> list[CtSlice]:
        """One slice for each position."""
        kept: list[CtSlice] = []
        for ct in slices:
            if kept and ct.z_mm - kept[-1].z_mm < SAME_Z:
                why = f"lies at z = {ct.z_mm} mm as {kept[-1].path} does, in the same series; the latter is used"
                self.add_problem(str(ct.path), f"{ct.path}: {why}; remove one of them")
                continue
            kept.append(ct)
        return kept

    def _from_xml(self, stacks: dict[str, list[CtSlice]]) -> dict[str, list[Nodule]]:
        """Nodules of series that the database does not know, from XML files below the folder."""
        unknown = {series for series in stacks if not self._database.of_series(series)}
        nodules_of: dict[str, list[Nodule]] = {}
        used: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*.xml")) if unknown else []:
            try:
                scan = lidc_xml.read(path)
            except DataError as error:
                self.add_problem(str(path), str(error))
                continue
            if scan.series_uid not in unknown:
                continue
            if scan.series_uid in nodules_of:
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
            nodules_of[scan.series_uid] = nodules
        return nodules_of

    def _matched(self, nodule: Nodule, slices: list[CtSlice]) -> list[tuple[float, CtSlice]]:
        """The nodule's slices that are there, with the position the contours name."""
        positions = np.array([ct.z_mm for ct in slices])
        matched = []
        for z in nodule.slices():
            nearest = int(np.abs(positions - z).argmin())
            if abs(positions[nearest] - z) < SAME_Z:
                matched.append((z, slices[nearest]))
            else:
                self._absent += 1
                self._leave_out(nodule, z, "readers marked this slice and its DICOM file is not there")
        return matched

    def _leave_out(self, nodule: Nodule, z: float, why: str) -> None:
        self.left_out.append(Problem(f"{self.name}/{nodule.patient}/{nodule.name}/z{z:+.2f}", why))


def _window(nodule: Nodule, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    top, left, *_ = nodule.window(SIZE)
    height, width = min(SIZE, shape[0]), min(SIZE, shape[1])
    return min(max(top, 0), shape[0] - height), min(max(left, 0), shape[1] - width), height, width
