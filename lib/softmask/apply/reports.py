"""RECIST marks from DICOM measurement reports (TID 1500)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from softmask.apply.items import Mark
from softmask.data.ct import SAME_Z
from softmask.data.dicom import dcmread, decoding, title
from softmask.data.sample import Problem
from softmask.errors import DataError

_GROUP, _BINARY = ("125007", "DCM"), ("110853", "DCM")  # codes of a Measurement Group, and of Binary Segmentation


class _Line(NamedTuple):
    """Line of two points: (column, row) in pixels of image ``uid``, or (x, y) in mm at ``z_mm`` (NaN if the line runs
    through several slices) in ``frame``. ``stated_mm`` is the stated length, or 0 if its unit is not mm or cm."""

    ends: tuple[tuple[float, float], ...]
    stated_mm: float
    uid: str = ""
    z_mm: float | None = None
    frame: str = ""


class _Group(NamedTuple):
    """Measurement group: its lines of two points, the kinds of its drawings (GraphicType), its Tracking Unique
    Identifier (empty if it has none), and whether it names binary segmentation as its method."""

    lines: list[_Line]
    drawings: set[str]
    uid: str
    derived: bool


def read_report(path: Path) -> tuple[list[Mark], list[Problem]]:
    """Return the RECIST marks in a DICOM measurement report, and the groups whose diameters are not a valid mark.

    Each measurement group (TID 1501) with two diameters (SCOORD or SCOORD3D POLYLINE of two points) is a mark. A group
    measured on a segmentation is skipped if a drawn group with diameters has the same tracking identifier. SCOORD
    counts from the outer corner of the first pixel (PS3.3 C.18.6.1.2): half a pixel is subtracted. SCOORD3D is in mm.

    Raises:
        DataError: naming the file, and the tag, if it is damaged, not a structured report, or has no diameter.
    """
    dataset = dcmread(path, stop_before_pixels=True)
    with decoding(path, "damaged", "export the report again"):
        modality, patient = str(dataset.get("Modality")), str(dataset.get("PatientID") or "")
        groups = [_group(item) for item in _content(dataset) if _code(item, "ConceptNameCodeSequence") == _GROUP]
    if modality != "SR":
        raise DataError(f"{path}: {title('Modality')} = {modality}; a measurement report (SR) was expected")
    marks, problems = [], []
    drawn_uids = {group.uid for group in groups if group.uid and group.lines and not group.derived}
    for number, (lines, drawings, uid, derived) in enumerate(groups, 1):
        if derived and uid in drawn_uids:
            continue
        planes = {(line.uid, line.z_mm, line.frame) for line in lines}
        if any(math.isnan(line.z_mm or 0) for line in lines):
            why = "a diameter runs through several slices; both axes of a RECIST mark lie in one: redraw it"
            problems.append(Problem(f"{path}, measurement group {number}", why))
        elif len(lines) == 2 and len(planes) == 1:
            ends = tuple(end for line in lines for end in line.ends)
            stated_mm = tuple(line.stated_mm for line in lines)
            marks.append(Mark(ends, "xy", "px" if lines[0].uid else "mm", *planes.pop(), stated_mm, path, patient))
        elif lines or "POLYLINE" in drawings:
            why = f"{len(lines)} diameters in a slice, on {len(planes)} slices; a RECIST mark is two in one: redraw it"
            problems.append(Problem(f"{path}, measurement group {number}", why))
    if not any(group.lines for group in groups):
        kinds = ", ".join(sorted(set().union(*(group.drawings for group in groups)))) or "nothing"
        why = f"a POLYLINE of two points on one slice; drawn is {kinds}"
        remedy = "export the marks with their coordinates"
        raise DataError(f"{path}: none of its {len(groups)} measurement groups holds a diameter ({why}); {remedy}")
    return marks, problems


def _content(parent) -> Iterator:
    """Yield all content items below ``parent``, in the order of the report."""
    for item in parent.get("ContentSequence") or ():
        yield item
        yield from _content(item)


def _code(item, keyword: str) -> tuple[str | None, str | None]:
    """Return value and scheme of the code in the sequence ``keyword``; None if missing."""
    code = (item.get(keyword) or [{}])[0]
    return code.get("CodeValue"), code.get("CodingSchemeDesignator")


def _group(item) -> _Group:
    children = item.get("ContentSequence") or ()
    uid = next((str(child.UID) for child in children if child.get("ValueType") == "UIDREF"), "")
    drawings = {str(part.GraphicType) for part in _content(item) if "GraphicType" in part}
    derived = any(_code(child, "ConceptCodeSequence") == _BINARY for child in children)
    return _Group([*_lines(item)], drawings, uid, derived)


def _lines(group) -> Iterator[_Line]:
    """Yield the lines of two points below the numeric items (NUM) of a group."""
    numbers = (item for item in _content(group) if item.get("ValueType") == "NUM")
    for num_item, scoord in ((number, child) for number in numbers for child in number.get("ContentSequence") or ()):
        values = [float(value) for value in scoord.get("GraphicData") or ()]
        if scoord.get("GraphicType") != "POLYLINE":
            continue
        if scoord.get("ValueType") == "SCOORD" and len(values) == 4:
            images = [item for item in scoord.get("ContentSequence") or () if item.get("ValueType") == "IMAGE"]
            if len(images) != 1:
                raise ValueError("a diameter is not drawn on one image")
            ends = tuple((x - 0.5, y - 0.5) for x, y in zip(values[::2], values[1::2], strict=True))
            yield _Line(ends, _millimetres(num_item), str(images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        elif scoord.get("ValueType") == "SCOORD3D" and len(values) == 6:
            ends = (values[0], values[1]), (values[3], values[4])
            frame = str(scoord.get("ReferencedFrameOfReferenceUID") or "")
            z_mm = values[2] if abs(values[2] - values[5]) < SAME_Z else math.nan
            yield _Line(ends, _millimetres(num_item), "", z_mm, frame)


def _millimetres(number) -> float:
    """Return the value of a NUM item in mm; 0 if it has no value, or its unit is not mm or cm."""
    for measured in number.get("MeasuredValueSequence") or ():
        unit, _ = _code(measured, "MeasurementUnitsCodeSequence")
        return float(measured.NumericValue) * {"mm": 1, "cm": 10}.get(unit, 0)
    return 0
