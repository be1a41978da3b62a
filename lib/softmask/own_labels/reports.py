"""RECIST marks in a DICOM measurement report (structured report, TID 1500).

Each measurement group (TID 1501) in which two diameters are drawn is a mark: a diameter is a measurement inferred from
an SCOORD of two points (POLYLINE) on an image. The longer one is the long axis, whatever the two are called: vendors'
codes differ. SCOORD counts columns and rows from the outer corner of the first pixel (PS3.3 C.18.6.1.2), so half a
pixel is taken off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from softmask.data.dicom import dcmread, named
from softmask.data.sample import Problem
from softmask.errors import DataError, brief
from softmask.own_labels.marks import Mark

_GROUP = ("125007", "DCM")  # Measurement Group
_MOST_ITEMS = 100_000  # content items of a report that is believed


def read_report(path: Path) -> tuple[list[Mark], list[Problem]]:
    """The marks of a report, in its order, and the groups whose diameters make none.

    Raises:
        DataError: naming the file, and the tag, when it is damaged, no structured report, or holds no diameter.
    """
    dataset = dcmread(path, stop_before_pixels=True)
    try:
        modality = str(dataset.get("Modality"))
        groups = [[*_lines(group)] for group in _below(dataset) if _code(group) == _GROUP]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # values are decoded only now, and on damaged bytes that raises nearly anything
        raise DataError(f"{path}: damaged ({brief(error)}); export the report again") from error
    if modality != "SR":
        raise DataError(f"{path}: {named('Modality')} = {modality}; a measurement report (SR) was expected")
    marks, problems = [], []
    for number, lines in enumerate(groups, 1):
        uids = {uid for _, uid in lines}
        if len(lines) == 2 and len(uids) == 1:
            ends = tuple((x - 0.5, y - 0.5) for points, _ in lines for x, y in points)
            marks.append(Mark(ends, order="xy", uid=uids.pop()))
        elif lines:
            why = f"{len(lines)} diameters on {len(uids)} images, and a RECIST mark is two on one; redraw it"
            problems.append(Problem(f"{path}, measurement group {number}", why))
    if not marks and not problems:
        raise DataError(
            f"{path}: none of its {len(groups)} measurement groups holds a diameter drawn as SCOORD POLYLINE of two "
            "points; export the marks with their coordinates in the image"
        )
    return marks, problems


def _below(item) -> Iterator:
    """All content items below one, in the report's order."""
    stack = list(item.get("ContentSequence") or ())[::-1]
    for _ in range(_MOST_ITEMS):
        if not stack:
            return
        one = stack.pop()
        yield one
        stack.extend(list(one.get("ContentSequence") or ())[::-1])
    raise DataError(f"has more than {_MOST_ITEMS} content items, which no measurement report has")


def _code(item) -> tuple[str, str]:
    name = (item.get("ConceptNameCodeSequence") or [{}])[0]
    return str(name.get("CodeValue")), str(name.get("CodingSchemeDesignator"))


def _lines(group) -> Iterator[tuple[tuple[tuple[float, float], ...], str]]:
    """Ends (column, row) and image of each line of two points below the numbers of a group."""
    for number in _below(group):
        if number.get("ValueType") != "NUM":
            continue
        for drawn in number.get("ContentSequence") or ():
            values = [float(value) for value in drawn.get("GraphicData") or ()]
            if drawn.get("ValueType") == "SCOORD" and drawn.get("GraphicType") == "POLYLINE" and len(values) == 4:
                images = [one for one in drawn.get("ContentSequence") or () if one.get("ValueType") == "IMAGE"]
                if len(images) != 1:
                    raise DataError("a diameter is not drawn on one image; export the report again")
                uid = str(images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
                yield ((values[0], values[1]), (values[2], values[3])), uid
