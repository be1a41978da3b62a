"""LIDC as DICOM: files written here in the true format, the real series, and every kind of damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softmask.data.annotations import RATINGS, load
from softmask.data.lidc_dicom import LidcDicom, read_xml
from softmask.errors import DataError, MissingData

SERIES = "1.2.826.0.1.3680043.8.498.1"
SIDE = 160


@pytest.fixture
def write_slice(chest):
    """Writes a slice of 160 x 160 pixels, with a box of ``z`` HU."""

    def write(path: Path, z: float, **changes) -> Path:
        hu = np.full((SIDE, SIDE), -850, np.int16)
        hu[40:60, 80:110] = int(z)
        hu[30, 75] = -2000
        fields = {
            "PatientID": "LIDC-IDRI-9999",
            "SeriesInstanceUID": SERIES,
            "ImagePositionPatient": [-100, -100, z],
            "PixelSpacing": [0.5, 0.5],
            "Rows": SIDE,
            "Columns": SIDE,
            "RescaleSlope": 2,
            "RescaleIntercept": -24,
            "PixelData": ((hu + 24) // 2).astype("<i2").tobytes(),
        }
        return chest.write_slice(path, 0, **(fields | changes))

    return write


def roi(z="-10.5", inclusion="TRUE", points=((5, 3), (7, 3), (7, 6), (5, 6))) -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    return f"<roi><imageZposition>{z}</imageZposition><inclusion>{inclusion}</inclusion>{edges}</roi>"


def mark(rois: str, value: str = "3") -> str:
    ratings = "".join(f"<{name}>{value}</{name}>" for name in RATINGS)
    return (
        "<unblindedReadNodule><noduleID>N1</noduleID>"
        f"<characteristics>{ratings}</characteristics>{rois}</unblindedReadNodule>"
    )


def message(*sessions: str, series: str = "1.2.3", root: str = "LidcReadMessage") -> str:
    body = "".join(f"<readingSession>{session}</readingSession>" for session in sessions)
    header = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    return f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="http://www.nih.gov">{header}{body}</{root}>'


def xml_text(series: str = SERIES, zs=(0.0, 2.5, 5.0), readers: int = 3) -> str:
    ring = ((79, 39), (110, 39), (110, 60), (79, 60))  # x, y: just outside the bright box
    return message(*[mark("".join(roi(z, points=ring) for z in zs), "4")] * readers, series=series)


@pytest.fixture
def folder(tmp_path, write_slice):
    root = tmp_path / "LIDC-IDRI" / "series"
    # names that sort against the positions
    for name, z in (("c.dcm", 0.0), ("a.dcm", 2.5), ("b.dcm", 5.0), ("d.dcm", 7.5)):
        write_slice(root / name, z)
    (root / "069.xml").write_text(xml_text())
    return root


def test_a_series_with_its_xml(folder):
    dataset = LidcDicom(folder.parent)
    assert (dataset.problems, dataset.left_out) == ([], [])
    assert dataset.index.slice.tolist() == ["z+0.00", "z+2.50", "z+5.00"]
    assert dataset.index.n_readers.tolist() == [3, 3, 3]
    assert dataset.index.area.tolist() == [600, 600, 600]
    sample = dataset[2]
    assert sample.id == "lidc/LIDC-IDRI-9999/nodule-0/z+5.00"
    assert sample.spacing == (0.5, 0.5)
    assert sample.image.shape == (128, 128)
    assert (sample.hu[sample.readers[0]] == 4).all(), "the slice at z = 5, slope 2: the box is where the contours are"
    assert (sample.hu[~sample.readers[0]] <= -850).all()
    assert sample.hu.min() == -1024, "below air is no tissue"
    assert sample.image[sample.readers[0]] == pytest.approx(1004 / 1400)
    assert sample.present.tolist() == [True, True, True, False]
    assert sample.ratings["texture"][:3].tolist() == [4, 4, 4]
    assert np.isnan(sample.ratings["texture"][3])


def test_a_marked_slice_that_is_not_there(folder):
    before = LidcDicom(folder).fingerprint
    assert LidcDicom(folder).fingerprint == before
    (folder / "a.dcm").unlink()
    dataset = LidcDicom(folder)
    assert dataset.fingerprint != before
    assert dataset.index.slice.tolist() == ["z+0.00", "z+5.00"]
    assert [problem.where for problem in dataset.left_out] == ["lidc/LIDC-IDRI-9999/nodule-0/z+2.50"]
    assert "left out: 1 marked slices whose DICOM file is not there, 0 whose contours enclose" in dataset.origin


def test_a_second_xml_of_a_series_is_listed(folder):
    (folder / "070.xml").write_text(xml_text(readers=2))
    (folder / "071.xml").write_text(xml_text(series="1.2.3"))
    dataset = LidcDicom(folder)
    assert dataset.index.n_readers.tolist() == [3, 3, 3]
    (problem,) = dataset.problems
    assert problem.where == str(folder / "070.xml")
    assert f"series {SERIES} as {folder / '069.xml'} does" in problem.why


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ImagePositionPatient": None}, "has no ImagePositionPatient"),
        ({"PixelSpacing": [0, 0.5]}, "pixel spacing .* cannot be right"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "not an axial slice"),
        ({"ImagePositionPatient": [0, 0, 0.01]}, "lies at z = 0.01 mm as .*c.dcm does"),
        ({"Modality": None}, "names no modality"),
    ],
)
def test_a_bad_header_is_named_and_left_out(folder, write_slice, changes, message):
    write_slice(folder / "d.dcm", 2.4, **changes)
    dataset = LidcDicom(folder)
    assert len(dataset) == 3
    (problem,) = dataset.problems
    with pytest.raises(DataError, match=rf"d\.dcm: .*{message}"):
        raise DataError(problem.why)


def test_pixels_cut_off(folder):
    path = folder / "a.dcm"
    path.write_bytes(path.read_bytes()[:-1000])
    dataset = LidcDicom(folder)
    with pytest.raises(DataError, match=r"a\.dcm: the pixels cannot be read.*truncated.*copy this file"):
        dataset[1]
    assert len(list(dataset.samples())) == 2
    assert [problem.where for problem in dataset.problems] == ["lidc/LIDC-IDRI-9999/nodule-0/z+2.50"]


def test_nothing_usable(folder):
    (folder / "069.xml").write_text(xml_text()[:-30])
    with pytest.raises(DataError, match=r"no slice that a LIDC reader marked.*1 problems: .*069\.xml: damaged"):
        LidcDicom(folder)
    with pytest.raises(MissingData, match="nowhere: there is no such folder"):
        LidcDicom(folder / "nowhere")


def test_two_scans_of_one_patient(folder, write_slice):
    other = SERIES + ".77"
    write_slice(folder / "other" / "x.dcm", 0.0, SeriesInstanceUID=other)
    (folder / "other" / "070.xml").write_text(xml_text(series=other, zs=(0.0,)))
    dataset = LidcDicom(folder)
    assert len(dataset) == 4
    assert not dataset.index.duplicated(["patient", "nodule", "slice"]).any()


def test_a_series_of_the_database_needs_no_xml(tmp_path, write_slice):
    nodule = load().find("LIDC-IDRI-0314", "nodule-0")
    z = nodule.slices()[9]
    pixels = np.zeros((512, 512), "<i2").tobytes()
    series = {"SeriesInstanceUID": nodule.series_uid, "PatientID": "any"}
    write_slice(tmp_path / "x.dcm", z, Rows=512, Columns=512, PixelData=pixels, **series)
    dataset = LidcDicom(tmp_path, name="lnsm")
    assert dataset[0].id == f"lnsm/LIDC-IDRI-0314/nodule-0/z{z:+.2f}"
    assert dataset[0].present.all()
    assert len(dataset.left_out) == len(nodule.slices()) - 1


def test_the_real_series(real_data):
    folder = real_data / "lidc-idri-0314"
    if not folder.is_dir():
        pytest.skip("no lidc-idri-0314")
    dataset = LidcDicom(folder)
    assert dataset.problems == []
    assert len(dataset) == 18
    assert len(dataset.left_out) == 1, "one slice's contours enclose no pixel"
    sample = dataset[8]
    assert sample.spacing == (0.78125, 0.78125)
    assert sample.present.all()
    core, rim = sample.readers.all(axis=0), ~sample.readers.any(axis=0)
    assert -50 < np.median(sample.hu[core]) < 120, "a solid nodule"
    rows, columns = np.nonzero(sample.readers.any(axis=0))
    box = np.s_[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4]
    assert np.median(sample.hu[box][rim[box]]) < -600, "lung around it"


SMALL = f"<unblindedReadNodule><noduleID>tiny</noduleID>{roi(points=((1, 1),))}</unblindedReadNodule>"


def test_readings(tmp_path):
    hole = roi(inclusion="FALSE", points=((6, 4), (6, 5)))
    (tmp_path / "scan.xml").write_text(message(mark(roi() + hole, "2"), SMALL, SMALL + mark(roi(z="8"))))
    series, (first, second) = read_xml(tmp_path / "scan.xml")
    assert (series, first.annotation_id, second.annotation_id) == ("1.2.3", 1, 2)
    assert first.ratings == dict.fromkeys(RATINGS, 2)
    assert [(c.z_mm, c.inclusion) for c in first.contours] == [(-10.5, True), (-10.5, False)]
    assert first.contours[0].points.tolist() == [[3, 5], [3, 7], [6, 7], [6, 5]], "y is the row, x the column"
    assert second.contours[0].z_mm == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (message(mark(roi()))[:-40], "damaged XML"),
        (message(root="IdriReadMessage"), "'IdriReadMessage', not the LIDC reading of a CT scan"),
        (message(series=" "), "SeriesInstanceUid is missing"),
        (message(mark(roi(), "many")), "nodule 'N1': .*many"),
        (message(mark(roi()).replace("<margin>3</margin>", "")), "nodule 'N1': margin is missing"),
        (message(mark("")), "nodule 'N1': has ratings and no contour"),
        (message(mark(roi(z="nan"))), "imageZposition is nan"),
        (message(mark(roi(inclusion="MAYBE"))), "inclusion is 'MAYBE'"),
        (message(mark(roi(points=()))), "a contour without points"),
        (message(mark(roi(points=((1, -1), (2, 2))))), "outside any image"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, expected):
    (tmp_path / "scan.xml").write_text(text)
    with pytest.raises(DataError, match=rf"scan\.xml: .*{expected}.*copy this file again"):
        read_xml(tmp_path / "scan.xml")


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
                read_xml(path)
            continue
        series, readings = read_xml(path)
        stored = [reading for nodule in database.of_series(series) for reading in nodule.readers]
        stored.sort(key=lambda reading: reading.annotation_id)
        assert list(map(content, readings)) == list(map(content, stored)), path.name
        compared += len(stored)
    assert compared == 21
