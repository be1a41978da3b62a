"""RECIST marks of DICOM measurement reports (TID 1500), which highdicom writes here."""

from __future__ import annotations

from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from softmask.apply.reports import read_report
from softmask.errors import DataError

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


def _tilt(dataset, element):
    """Make a line's coordinates those of a patient, its second end 5 mm above its first."""
    if element.keyword == "GraphicData":
        (x0, y0, x1, y1), dataset.ValueType = element.value, "SCOORD3D"
        element.value = [x0, y0, 0.0, x1, y1, 5.0]


def test_two_diameters_of_a_group_are_a_mark(report, slice_2):
    [mark], [problem] = read_report(report([SHORT, LONG], [LONG]))
    assert mark.uid == slice_2.SOPInstanceUID == "1.2.3.2"
    image = SimpleNamespace(shape=(40, 48), grid=None, series=None)
    np.testing.assert_array_equal(mark.axes(image, 0), [[(12, 23), (26, 23)], [(19, 17), (19, 29)]])
    assert problem.where.endswith("measurement group 2")
    assert "1 diameters in a slice, on 1 slices" in problem.why


def test_a_report_labels_the_slice_it_was_drawn_on(tmp_path, report, series, ct, label, made, capsys):
    path = report([LONG, SHORT], [LONG, SHORT])
    assert label(ct, "--report", path, "--format", "png") == 0
    rows = made.read_manifest(tmp_path / "out")
    assert {name: row["slices"] for name, row in rows.items()} == {"case-1-1": "2", "case-1-2": "2"}
    reported = made.soft(tmp_path / "out" / "case-1-1" / "002-soft.png")
    assert label(ct, "--recist", 12, 23, 26, 23, 19, 17, 19, 29, "--slice", 2, "--format", "png") == 0
    np.testing.assert_array_equal(reported, made.soft(tmp_path / "out" / "case-1" / "002-soft.png"))
    another = series(tmp_path / "two", made.hu()[:2])
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


def test_a_diameter_through_several_slices_makes_no_mark(report):
    tilted = pydicom.dcmread(path := report([LONG, SHORT]))
    tilted.walk(_tilt)
    tilted.save_as(path)
    marks, [problem] = read_report(path)
    assert not marks
    assert problem.where.endswith("measurement group 1")
    assert problem.why.startswith("a diameter runs through several slices")


def test_unusable_reports_are_named(tmp_path, report, ct, label, capsys):
    empty = pydicom.dcmread(report([LONG]))
    empty.ContentSequence = []
    empty.save_as(tmp_path / "empty.dcm")
    points = pydicom.dcmread(report([LONG, SHORT]))
    points.walk(lambda dataset, element: element.keyword != "GraphicType" or setattr(element, "value", "MULTIPOINT"))
    points.save_as(tmp_path / "points.dcm")
    (tmp_path / "text.dcm").write_text("no DICOM")
    for path, message in (
        (tmp_path / "empty.dcm", "none of its 0 measurement groups holds a diameter"),
        (tmp_path / "points.dcm", "(a POLYLINE of two points on one slice; drawn is MULTIPOINT)"),
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


def test_a_report_of_another_patient_is_doubted(report, ct, label, made, tmp_path):
    path = report([LONG, SHORT])
    dataset = pydicom.dcmread(path)
    for patient, doubted in (("P", False), ("", False), ("Q", True)):
        dataset.PatientID = patient
        dataset.save_as(path)
        assert label(ct, "--report", path, "--name", f"of-{patient}", "--format", "png") == 0
        message = made.read_manifest(tmp_path / "out")[f"of-{patient}-1"]["message"]
        assert (f"{path}: PatientID (0010,0020) is Q, and P in {ct}" in message) == doubted
