"""XML files in which LIDC published its readers' marks: one file per CT scan, four reading sessions each.

Only nodules of 3 mm and more are read: marks with contours and the nine ratings. Smaller nodules and non-nodules are
points. Contours have x (column) and y (row) of the first pixels outside the lesion.

A document type declaration, the place of entity bombs and references to other files, is refused, and so is a file
larger than any of LIDC.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import DefusedXmlException, ElementTree

from softmask.data.annotations import RATINGS, Contour, Reading
from softmask.errors import DataError
from softmask.files import read_bytes

MAX_BYTES = 64 * 1024 * 1024
"""Largest XML file that is read; LIDC's largest has a few million bytes."""

_MAX_DEPTH = 32  # LIDC needs six
_REMEDY = "get this file again, or remove it"


@dataclass(frozen=True)
class ScanReadings:
    """Content of one XML file.

    Attributes:
        series_uid: DICOM SeriesInstanceUID of the CT series that was read.
        readings: every reader's nodules of 3 mm and more, session by session; ``annotation_id`` counts them from 1.
    """

    series_uid: str
    readings: tuple[Reading, ...]


def read(path: str | Path) -> ScanReadings:
    """Read one LIDC XML file.

    Raises:
        DataError: naming the file, when it is missing, damaged, too large, declares a document type or entities, is not
            a LIDC reading of a CT scan, or holds a contour or rating that is not a number.
    """
    path = Path(path)
    root = _parse(read_bytes(path, _REMEDY, MAX_BYTES), path)
    if root.tag != "LidcReadMessage":
        raise DataError(f"{path}: a {root.tag!r}, not the LIDC reading of a CT scan (LidcReadMessage); {_REMEDY}")
    series = (root.findtext("ResponseHeader/SeriesInstanceUid") or "").strip()
    if not series:
        raise DataError(f"{path}: names no SeriesInstanceUid, so it fits no scan; {_REMEDY}")
    readings: list[Reading] = []
    for session in root.findall("readingSession"):
        for mark in session.findall("unblindedReadNodule"):
            characteristics = mark.find("characteristics")
            if characteristics is None or not len(characteristics):
                continue  # smaller than 3 mm: marked as a point, without ratings
            readings.append(_reading(mark, characteristics, len(readings) + 1, path))
    return ScanReadings(series, tuple(readings))


def _reading(mark: Element, characteristics: Element, number: int, path: Path) -> Reading:
    nodule = f"{path}: nodule {(mark.findtext('noduleID') or '?').strip()!r}"
    try:
        ratings = {name: int(_text(characteristics, name)) for name in RATINGS}
        contours = tuple(_contour(roi) for roi in mark.findall("roi"))
    except ValueError as error:
        raise DataError(f"{nodule}: {error}; {_REMEDY}") from error
    if not contours:
        raise DataError(f"{nodule}: has ratings and no contour; {_REMEDY}")
    return Reading(number, ratings, contours)


def _contour(roi: Element) -> Contour:
    z = float(_text(roi, "imageZposition"))
    if not np.isfinite(z):
        raise ValueError(f"imageZposition is {z}")
    inclusion = _text(roi, "inclusion").upper()
    if inclusion not in ("TRUE", "FALSE"):
        raise ValueError(f"inclusion is {inclusion!r}, expected TRUE or FALSE")
    points = [(int(_text(edge, "yCoord")), int(_text(edge, "xCoord"))) for edge in roi.findall("edgeMap")]
    if not points or not all(0 <= value < 2**15 for point in points for value in point):
        raise ValueError("a contour without points, or with points outside any image")
    return Contour(z, inclusion == "TRUE", np.array(points, np.int32))


def _text(element: Element, name: str) -> str:
    text = element.findtext(name)
    if text is None or not text.strip():
        raise ValueError(f"{name} is missing")
    return text.strip()


def _parse(data: bytes, path: Path) -> Element:
    """The root element; tags lose their namespace."""
    root, depth = None, 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(data), ("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if depth > _MAX_DEPTH:
                raise DataError(f"{path}: elements nested more than {_MAX_DEPTH} deep; refused. {_REMEDY.capitalize()}")
            if event == "start":
                element.tag = element.tag.rpartition("}")[2]
                root = element if depth == 1 else root
    except DefusedXmlException as error:
        raise DataError(
            f"{path}: declares a document type or entities, which no LIDC file does; refused. {_REMEDY.capitalize()}"
        ) from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: an unknown encoding
        raise DataError(f"{path}: damaged XML ({error}); {_REMEDY}") from error
    return root
