"""LIDC XML: the real files against the database, and every kind of bad file."""

from __future__ import annotations

import pytest

from softmask.data import lidc_dicom
from softmask.data.annotations import RATINGS, load
from softmask.errors import DataError


def roi(z="-10.5", inclusion="TRUE", points=((5, 3), (7, 3), (7, 6), (5, 6))) -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    return f"<roi><imageZposition>{z}</imageZposition><inclusion>{inclusion}</inclusion>{edges}</roi>"


def mark(rois: str, value: str = "3") -> str:
    ratings = "".join(f"<{name}>{value}</{name}>" for name in RATINGS)
    return (
        "<unblindedReadNodule><noduleID>N1</noduleID>"
        f"<characteristics>{ratings}</characteristics>{rois}</unblindedReadNodule>"
    )


SMALL = f"<unblindedReadNodule><noduleID>tiny</noduleID>{roi(points=((1, 1),))}</unblindedReadNodule>"


def message(*sessions: str, series: str = "1.2.3", root: str = "LidcReadMessage", head: str = "") -> str:
    body = "".join(f"<readingSession>{session}</readingSession>" for session in sessions)
    header = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<{root} xmlns="http://www.nih.gov">{header}{body}</{root}>'


@pytest.fixture
def write(tmp_path):
    def _write(text: str | bytes):
        path = tmp_path / "scan.xml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def test_readings(write):
    hole = roi(inclusion="FALSE", points=((6, 4), (6, 5)))
    scan = lidc_dicom.read_xml(write(message(mark(roi() + hole, "2"), SMALL, SMALL + mark(roi(z="8")))))
    assert scan.series_uid == "1.2.3"
    assert [reading.annotation_id for reading in scan.readings] == [1, 2]
    first = scan.readings[0]
    assert first.ratings == dict.fromkeys(RATINGS, 2)
    assert [(c.z_mm, c.inclusion) for c in first.contours] == [(-10.5, True), (-10.5, False)]
    assert first.contours[0].points.tolist() == [[3, 5], [3, 7], [6, 7], [6, 5]], "y is the row, x the column"
    assert scan.readings[1].contours[0].z_mm == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "damaged XML"),
        (message(mark(roi()))[:-40], "damaged XML"),
        (b"\x00\x01\x02", "damaged XML"),
        (message().replace("UTF-8", "no-such-encoding"), "damaged XML"),
        (message(root="IdriReadMessage"), "'IdriReadMessage', not the LIDC reading of a CT scan"),
        (message(series=" "), "names no SeriesInstanceUid"),
        (message(mark(roi(), "many")), "nodule 'N1': .*many"),
        (message(mark(roi()).replace("<margin>3</margin>", "")), "nodule 'N1': margin is missing"),
        (message(mark("")), "nodule 'N1': has ratings and no contour"),
        (message(mark(roi(z="nan"))), "imageZposition is nan"),
        (message(mark(roi(inclusion="MAYBE"))), "inclusion is 'MAYBE'"),
        (message(mark(roi(points=()))), "a contour without points"),
        (message(mark(roi(points=((1, -1), (2, 2))))), "outside any image"),
    ],
)
def test_a_bad_file_is_named(write, text, expected):
    with pytest.raises(DataError, match=rf"scan\.xml: .*{expected}.*(get|Get) this file again"):
        lidc_dicom.read_xml(write(text))


def test_real_files_hold_what_the_database_holds(real_data):
    """Ratings and contours of three real files; the database only drops contours of a single point."""
    folder = real_data / "lidc-xml"
    if not folder.is_dir():
        pytest.skip("no lidc-xml")
    database = load()

    def content(reading):
        contours = sorted((c.z_mm, c.inclusion, c.points.tolist()) for c in reading.contours if len(c.points) > 1)
        return tuple(reading.ratings.values()), contours

    compared = 0
    for path in sorted(folder.glob("*.xml")):
        if path.name == "185_068.xml":  # the reading of a chest X-ray
            with pytest.raises(DataError, match="IdriReadMessage"):
                lidc_dicom.read_xml(path)
            continue
        scan = lidc_dicom.read_xml(path)
        stored = [reading for nodule in database.of_series(scan.series_uid) for reading in nodule.readers]
        stored.sort(key=lambda reading: reading.annotation_id)
        assert list(map(content, scan.readings)) == list(map(content, stored)), path.name
        compared += len(stored)
    assert compared == 21
