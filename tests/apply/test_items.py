"""RECIST ends, of which nothing is guessed; lists, whose bad lines are named; DICOM measurement reports (TID 1500)."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from softmask.apply.items import Mark, doubts, read_list, read_report
from softmask.data.volume_files import Grid
from softmask.errors import ConfigError, DataError, LabelError

ENDS = ((10, 12), (30, 12), (20, 4), (20, 18))  # rows, columns; the first axis is the longer one
AXES = np.array(ENDS, float).reshape(2, 2, 2)
SHAPE = (40, 48)
GRID = Grid(
    shape=(5, *SHAPE), spacing_mm=(2.5, 0.7, 0.8), z_mm=np.arange(5) * 2.5, origin=(-20.0, -30.0, 100.0), patient="P",
    path=Path("ct"),
)  # fmt: skip


def test_pixels_are_rows_and_columns_unless_it_is_said_otherwise_and_the_long_axis_comes_first():
    turned = tuple((column, row) for row, column in ENDS)
    for mark in (Mark(ENDS), Mark(turned, "xy"), Mark(ENDS[2:] + ENDS[:2])):
        np.testing.assert_array_equal(mark.axes(SHAPE, None), AXES)
    mm = tuple((-20 + 0.8 * column, -30 + 0.7 * row) for row, column in ENDS)  # of the patient's axes
    np.testing.assert_allclose(Mark(mm, "xy", "mm").axes(SHAPE, GRID), AXES, atol=1e-12)
    with pytest.raises(DataError, match="says nothing of mm; give them in pixels"):
        Mark(mm, "xy", "mm").axes(SHAPE, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ENDS, "rc", "cm"), "unknown units 'cm'"),
        ((ENDS, "rc", "mm"), "say --order xy"),
        ((((np.nan, 1), *ENDS[1:]),), "eight finite numbers"),
    ],
)
def test_invalid_marks(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Mark(*arguments)


def test_ends_outside_the_image_are_refused():
    with pytest.raises(LabelError, match=r"outside the image of 40 x 48.*--order xy"):
        Mark(((-9.5, 1), *ENDS[1:])).axes(SHAPE, None)


@pytest.mark.parametrize(
    ("axes", "doubt"),
    [
        (AXES, ""),
        ([[(10, 10), (30, 10)], [(15, 5), (24, 15)]], ""),  # 48 degrees from the long axis is not square, 65 is
        ([[(10, 10), (30, 10)], [(20, 10), (20, 10)]], "short axis are the same point"),
        ([[(10, 10), (30, 10)], [(12, 8), (28, 12)]], "meet at 14 degrees"),
        ([[(10, 10), (30, 10)], [(20, 14), (20, 24)]], "do not cross"),
        ([[(10, 10), (30, 10)], [(20, 10.5), (20, 24)]], ""),  # half a pixel beside
    ],
)
def test_doubtful_marks(axes, doubt):
    message = doubts(np.array(axes, float))
    assert (doubt in message) if doubt else not message or "48" in message


HEADER = "image,name,mask,readers,r0,c0,r1,c1,r2,c2,r3,c3,units,slice"
RC = "1,2,3,4,5,6,7,8"


def written(tmp_path, text: str | bytes):
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_line_has_its_own_prior(tmp_path):
    path = written(
        tmp_path,
        f"\ufeff{HEADER}\r\na.png,,m.png{',' * 11}\r\n\r\nct,b,,r1.nii; r2.nii{',' * 9},3\r\nd/e.tif,,,,{RC},px,\r\n",
    )
    items, problems = read_list(path)
    assert not problems
    expected = [("a", "mask", None), ("b", "readers", 3), ("e", "recist", None)]
    assert [(item.name, item.kind, item.slice) for item in items] == expected
    assert items[0].masks == (tmp_path / "m.png",)
    assert items[1].masks == (tmp_path / "r1.nii", tmp_path / "r2.nii")
    assert items[2].mark.ends == ((1, 2), (3, 4), (5, 6), (7, 8))
    assert items[2].image == tmp_path / "d/e.tif"
    assert items[2].where == f"{path}, line 5"


def test_x_before_y_and_mm_are_said_by_the_columns(tmp_path):
    [item], _ = read_list(written(tmp_path, f"image,x0,y0,x1,y1,x2,y2,x3,y3,units\na.dcm,{RC},mm\n"))
    assert (item.mark.order, item.mark.units) == ("xy", "mm")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"a.png,,m.png,,{RC},,", "exactly one"),
        (f"a.png{',' * 13}", "exactly one"),
        ("a.png,,,,1,2,3,4,5,6,7,,,", "without c3"),
        ("a.png,,,,1,2,3,4,5,6,7,eight,,", "c3 = 'eight' is not a number"),
        ("a.png,,,,1,2,3,4,5,6,7,nan,,", "eight finite numbers"),
        (f"a.png,,,,{RC},mm,", "--order xy"),
        (f"a.png,,,,{RC},inch,", "unknown units 'inch'"),
        (f"a.png,,m.png,{',' * 9}px,", "units and no mark"),
        (f"a.png,,m.png,{',' * 10}2.5", "slice = '2.5' is not a whole number"),
        (f",,m.png{',' * 11}", "names no image"),
        ("a.png,m.png", "2 cells where 14"),
        (f"a.png,../../up,m.png{',' * 11}", "cannot be the name of a file"),
        (f"a.png,.hidden,m.png{',' * 11}", "cannot be the name of a file"),
        (f"a.png,\0,m.png{',' * 11}", "NUL"),
    ],
)
def test_an_invalid_line_is_named_and_the_others_are_read(tmp_path, line, why):
    path = written(tmp_path, f"{HEADER}\ngood.png,,m.png{',' * 11}\n{line}\n")
    [item], [problem] = read_list(path)
    assert item.name == "good"
    assert problem.where == f"{path}, line 3"
    assert why in problem.why


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ConfigError, "names the columns none"),
        ("mask\nm.png\n", ConfigError, "names the columns 'mask'"),
        ("image;mask\na;b\n", ConfigError, "separated by commas"),
        ("image,mask,msak\na,b,c\n", ConfigError, "'msak'"),
        ("image,mask,mask\na,b,c\n", ConfigError, "names the columns"),
        ("image,name\na,b\n", ConfigError, "names the columns 'image', 'name'"),
        ("image,mask\n", DataError, "no line below its header"),
        ('image,mask\na,"b\n', DataError, "is no csv"),
        (b"image,mask\n\xff\xfe\n", DataError, "cannot be read as text"),
    ],
)
def test_invalid_lists(tmp_path, text, error, message):
    path = written(tmp_path, text)
    with pytest.raises(error, match=message) as caught:
        read_list(path)
    assert str(path) in str(caught.value)


LONG, SHORT = ([(23.5, 12.5), (23.5, 26.5)], [(17.5, 19.5), (29.5, 19.5)])  # (column, row) as SCOORD counts


@pytest.fixture
def slice_2(ct):
    """The header of a slice, with what a report repeats of it."""
    dataset = pydicom.dcmread(ct / "0003.dcm")
    for name in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"):
        setattr(dataset, name, None)
    dataset.StudyTime = None
    return dataset


@pytest.fixture
def report(tmp_path, slice_2):
    """``report(group, ...)`` writes a report; a group is its diameters."""

    def diameter(ends, value=9.0, unit=codes.UCUM.Millimeter):
        drawn = hd.sr.CoordinatesForMeasurement(
            graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.array(ends, float),
            source_image=hd.sr.SourceImageForMeasurement.from_source_image(slice_2),
        )
        name = codes.SCT.LongAxis
        return hd.sr.Measurement(name=name, value=value, unit=unit, referenced_coordinates=[drawn])

    def write(*groups, **stated):
        observer = hd.sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID()),
        )
        measured = [
            hd.sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=f"lesion {number}"),
                measurements=[diameter(ends, **stated) for ends in group],
            )
            for number, group in enumerate(groups, 1)
        ]
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_person_context=observer),
            procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
            imaging_measurements=measured,
            title=codes.DCM.ImagingMeasurementReport,
        )
        document = hd.sr.ComprehensiveSR(
            evidence=[slice_2], content=content[0], series_number=1, series_instance_uid=hd.UID(),
            sop_instance_uid=hd.UID(), instance_number=1, manufacturer="a reader",
        )  # fmt: skip
        document.save_as(tmp_path / "sr.dcm")
        return tmp_path / "sr.dcm"

    return write


def test_two_diameters_of_a_group_are_a_mark(report, slice_2):
    [mark], [problem] = read_report(report([SHORT, LONG], [LONG]))
    assert mark.uid == slice_2.SOPInstanceUID == "1.2.3.2"
    np.testing.assert_array_equal(mark.axes((40, 48), None), [[(12, 23), (26, 23)], [(19, 17), (19, 29)]])
    assert problem.where.endswith("measurement group 2")
    assert "1 diameters on 1 images" in problem.why


def test_a_report_labels_the_slice_it_was_drawn_on(tmp_path, report, series, ct, label, made, capsys):
    path = report([LONG, SHORT], [LONG, SHORT])
    assert label(ct, "--report", path, "--format", "png") == 0
    rows = made.read_manifest(tmp_path / "out")
    assert {name: row["slices"] for name, row in rows.items()} == {"case-1-1": "2", "case-1-2": "2"}
    reported = made.soft(tmp_path / "out" / "case-1-1" / "002-soft.png")
    assert label(ct, "--recist", 12, 23, 26, 23, 19, 17, 19, 29, "--slice", 2, "--format", "png") == 0
    np.testing.assert_array_equal(reported, made.soft(tmp_path / "out" / "case-1" / "002-soft.png"))
    another = series(tmp_path / "two", made.hu()[:2], made.spacing, made.origin)
    assert label(another, "--report", path) == 1
    assert f"SOPInstanceUID 1.2.3.2, not in {another}" in capsys.readouterr().err


def test_diameters_that_are_stated_and_not_drawn_are_doubted(report, tmp_path, ct, label, made):
    for name, value, unit, doubted in (
        ("mm", 7.5, codes.UCUM.Millimeter, False),  # 10 pixels of 0.7 or 0.8 mm
        ("cm", 0.75, codes.UCUM.Centimeter, False),
        ("wrong", 7.5, codes.UCUM.Centimeter, True),
        ("none", 10, codes.UCUM.NoUnits, False),
    ):
        square = [(10.5, 20.5), (20.5, 20.5)], [(15.5, 15.5), (15.5, 25.5)]
        path = report([*square], value=value, unit=unit)
        assert label(ct, "--report", path, "--name", name, "--format", "png") == 0
        message = made.read_manifest(tmp_path / "out")[f"{name}-1"]["message"]
        assert ("the report states diameters of" in message) == doubted


def test_an_option_without_effect_on_a_report_is_refused(report, ct, label, capsys):
    assert label(ct, "--report", report([LONG, SHORT]), "--label", "lesion 1") == 2
    assert "leave out --label" in capsys.readouterr().err


def test_unusable_reports_are_named(tmp_path, report, ct, label, capsys):
    empty = pydicom.dcmread(report([LONG]))
    empty.ContentSequence = []
    empty.save_as(tmp_path / "empty.dcm")
    (tmp_path / "text.dcm").write_text("no DICOM")
    for path, message in (
        (tmp_path / "empty.dcm", "none of its 0 measurement groups holds a diameter"),
        (tmp_path / "text.dcm", "not a readable DICOM file"),
        (ct / "0001.dcm", "Modality (0008,0060) = CT; a measurement report (SR) was expected"),
    ):
        assert label(ct, "--report", path) == 2
        stderr = capsys.readouterr().err
        assert message in stderr
        assert str(path) in stderr
    assert not (tmp_path / "out").exists()
    path = report([LONG, SHORT])
    whole = path.read_bytes()
    for length in (200, 1000, 2000, 2500):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"sr\.dcm"):
            read_report(path)
