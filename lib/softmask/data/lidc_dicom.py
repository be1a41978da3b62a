"""LIDC-IDRI as TCIA publishes it: DICOM series of chest CT in Hounsfield units, joined with the readers' contours.

A series is joined by its SeriesInstanceUID with the annotation database, or, if the database does not contain it, with
a LIDC XML file below the same folder. Contours are matched to slices by z position. From an XML file only nodules of at
least 3 mm are read, with contours (x the column, y the row of the first pixels outside the lesion) and nine ratings.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import DefusedXmlException, ElementTree
from tqdm import tqdm

import softmask.data.annotations as annotations
from softmask.data.annotations import RATINGS, Contour, Nodule, Reading
from softmask.data.ct import SAME_Z, CtSlice, by_series, files_below, read_hu
from softmask.data.dicom import Turn
from softmask.data.image_files import window_hu
from softmask.data.lidc import area_of, index_frame, ratings_of
from softmask.data.outlines import long_axis
from softmask.data.sample import Dataset, Problem, Sample
from softmask.errors import DataError
from softmask.files import read_bytes, sha256_of

SIZE = 128
"""Rows and columns of a sample: the crop centred on the nodule, moved so that it lies inside the image."""

_REMEDY = "download or copy this file again, or remove it"


class LidcDicom(Dataset):
    """Nodule slices cut from the CT series below a folder; ``image`` is the lung window of ``hu``.

    ``folder`` holds ``*.dcm`` files in any subfolders, with or without LIDC XML files. Samples are its slices that at
    least one reader marked. ``problems`` lists files that are damaged, have no position or are not axial, and second
    XML files of a series; ``left_out`` lists marked slices without a DICOM file or whose contours enclose no pixel.
    ``origin`` states the numbers of these slices.
    """

    def __init__(self, folder: str | Path, name: str = "lidc") -> None:
        super().__init__(name, folder)
        self._database = annotations.load()
        stacks = self._stacks()
        xml_nodules = self._from_xml(stacks)
        self._rows: list[tuple[Nodule, float, CtSlice]] = []
        rows, n_absent = [], 0
        for series, slices in stacks.items():
            positions = np.array([ct.z_mm for ct in slices])
            nodules = self._database.of_series(series) or xml_nodules.get(series, [])
            for nodule, z in ((candidate, z) for candidate in nodules for z in candidate.slices()):
                ct = slices[np.abs(positions - z).argmin()]
                where = f"{self.name}/{nodule.patient}/{nodule.name}/z{z:+.2f}"
                if abs(ct.z_mm - z) >= SAME_Z:
                    n_absent += 1
                    why = "readers marked this slice and its DICOM file is not there"
                    self.left_out.append(Problem(where, why))
                    continue
                readers, present = nodule.masks(z, _window(nodule, ct.shape))
                if not present.any():
                    self.left_out.append(Problem(where, "the contours enclose no pixel"))
                    continue
                self._rows.append((nodule, z, ct))
                key = nodule.patient, nodule.name, f"z{z:+.2f}"
                attributes = area_of(readers, present), ct.spacing_mm[0], nodule, long_axis(readers[present][0])
                rows.append((key, present.sum(), *attributes))
        if not rows:
            raise self.none_usable(
                "no slice that a LIDC reader marked; expected the CT series of LIDC-IDRI as *.dcm, and for other "
                "series their LIDC XML",
            )
        self.index = index_frame(*zip(*rows, strict=True))
        self.origin = (
            f"{self.path.name}: {len(stacks)} DICOM series in HU (left out: {n_absent} marked slices whose DICOM file "
            f"is not there, {len(self.left_out) - n_absent} whose contours enclose no pixel)"
        )

    def read(self, i: int) -> Sample:
        nodule, _, ct = self._rows[i]
        readers, present = self.read_masks(i)
        top, left, height, width = _window(nodule, ct.shape)
        hu = read_hu(ct)[top : top + height, left : left + width]
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
        """SHA-256 over the annotation database and the rows; a SOPInstanceUID permanently identifies an image."""
        rows = zip(self._rows, self.index.area, strict=True)
        parts = (f"{nodule.name} {z!r} {ct.uid} {area}" for (nodule, z, ct), area in rows)
        return sha256_of(self._database.fingerprint, *parts)

    def _stacks(self) -> dict[str, list[CtSlice]]:
        """Return the CT slices of each series, one for each position, sorted by position; series sorted by UID."""
        files = [path for path in files_below(self.path) if path.suffix.lower() == ".dcm"]
        all_series, _ = by_series(tqdm(files, desc=f"{self.path.name}: DICOM headers", unit=" files"), self.add_problem)
        stacks: dict[str, list[CtSlice]] = {}
        for series in all_series:
            stack = stacks.setdefault(series[0].series_uid, [])
            for ct in series:
                if ct.turn != Turn():  # contours refer to the pixels of LIDC's own files, none of which is turned
                    self.add_problem(ct.path, f"{ct.path}: its rows and columns are turned; get the file of LIDC-IDRI")
                elif stack and ct.z_mm - stack[-1].z_mm < SAME_Z:
                    why = f"lies at z = {ct.z_mm} mm as {stack[-1].path} does, in the same series; the latter is used"
                    self.add_problem(ct.path, f"{ct.path}: {why}; remove one of them")
                else:
                    stack.append(ct)
        return stacks

    def _from_xml(self, stacks: dict[str, list[CtSlice]]) -> dict[str, list[Nodule]]:
        """Return the nodules of series that are not in the database, from XML files below the folder."""
        unknown_series = {series for series in stacks if not self._database.of_series(series)}
        patients = [slices[0].patient for slices in stacks.values()]
        nodules_of: dict[str, list[Nodule]] = {}
        used_paths: dict[str, Path] = {}
        for path in sorted(self.path.rglob("*.xml")) if unknown_series else []:
            try:
                series, readings = read_xml(path)
            except DataError as error:
                self.add_problem(path, error)
                continue
            if series not in unknown_series:
                continue
            if series in used_paths:
                why = f"annotates series {series} as {used_paths[series]} does; the latter is used"
                self.add_problem(path, f"{path}: {why}; remove one of them")
                continue
            used_paths[series] = path
            contour_positions = [contour.z_mm for reading in readings for contour in reading.contours]
            positions = np.unique([ct.z_mm for ct in stacks[series]] + contour_positions)
            ct = stacks[series][0]
            nodules = annotations.nodules_of_scan(
                readings, positions, ct.patient, series, ct.spacing_mm[0], ct.thickness_mm
            )
            if patients.count(ct.patient) > 1:  # the nodules of a patient's scans need different names
                suffix = series.rpartition(".")[2][-8:]
                nodules = [replace(nodule, name=f"{nodule.name}-series-{suffix}") for nodule in nodules]
            nodules_of[series] = nodules
        return nodules_of


def _window(nodule: Nodule, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    top, left, *_ = nodule.window(SIZE)
    height, width = min(SIZE, shape[0]), min(SIZE, shape[1])
    return min(max(top, 0), shape[0] - height), min(max(left, 0), shape[1] - width), height, width


def read_xml(path: Path) -> tuple[str, list[Reading]]:
    """Return the SeriesInstanceUID of a LIDC XML file, and the readings of all nodules of at least 3 mm, in the order
    of the reading sessions.

    Raises:
        DataError: naming the file, when it is damaged, too large, declares a document type or entities (which allow
            entity bombs and references to other files), is not a LIDC reading of a CT scan, or holds a contour or
            rating that is not a number.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path, _REMEDY), forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{path}: declares a document type or entities, refused; {_REMEDY}") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: an unknown encoding
        raise DataError(f"{path}: damaged XML ({error}); {_REMEDY}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # without its namespace
    if root.tag != "LidcReadMessage":
        raise DataError(f"{path}: a {root.tag!r}, not the LIDC reading of a CT scan (LidcReadMessage); {_REMEDY}")
    readings: list[Reading] = []
    prefix = ""
    try:
        series = _text(root, "ResponseHeader/SeriesInstanceUid")
        for mark in root.findall("readingSession/unblindedReadNodule"):
            characteristics = mark.find("characteristics")
            if characteristics is None or not len(characteristics):
                continue  # smaller than 3 mm: marked as a point, without ratings
            prefix = f"nodule {mark.findtext('noduleID')!r}: "
            ratings = {name: int(_text(characteristics, name)) for name in RATINGS}
            contours = tuple(_contour(roi) for roi in mark.findall("roi"))
            if not contours:
                raise ValueError("has ratings and no contour")
            readings.append(Reading(len(readings) + 1, ratings, contours))
    except ValueError as error:
        raise DataError(f"{path}: {prefix}{error}; {_REMEDY}") from error
    return series, readings


def _contour(roi: Element) -> Contour:
    z, inclusion = float(_text(roi, "imageZposition")), _text(roi, "inclusion").upper()
    points = [(int(_text(edge, "yCoord")), int(_text(edge, "xCoord"))) for edge in roi.findall("edgeMap")]
    if not np.isfinite(z) or inclusion not in ("TRUE", "FALSE"):
        raise ValueError(f"imageZposition is {z}, inclusion is {inclusion!r}; a number, and TRUE or FALSE are expected")
    if not points or not all(0 <= value < 2**15 for point in points for value in point):
        raise ValueError("a contour without points, or with points outside any image")
    return Contour(z, inclusion == "TRUE", np.array(points, np.int32))


def _text(element: Element, name: str) -> str:
    text = (element.findtext(name) or "").strip()
    if not text:
        raise ValueError(f"{name} is missing")
    return text
