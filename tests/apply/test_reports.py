"""DICOM measurement reports, written by highdicom as TID 1500 says."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from softmask.apply.items import read_report
from softmask.errors import DataError


def image(path):
    """The header of a slice, with what a report repeats of it."""
    dataset = pydicom.dcmread(path)
    for name in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"):
        setattr(dataset, name, None)
    dataset.StudyTime = None
    return dataset


def diameter(ct, name, ends):
    """A measured line; ``ends`` are (column, row) as SCOORD counts."""
    drawn = hd.sr.CoordinatesForMeasurement(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(ends, float),
        source_image=hd.sr.SourceImageForMeasurement.from_source_image(ct),
    )
    return hd.sr.Measurement(name=name, value=9.0, unit=codes.UCUM.Millimeter, referenced_coordinates=[drawn])


def write_report(path, groups, ct):
    """``groups``: measurements of each measurement group."""
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID()),
    )
    measured = [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=f"lesion {number}"),
            measurements=group,
        )
        for number, group in enumerate(groups, 1)
    ]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=measured,
        title=codes.DCM.ImagingMeasurementReport,
    )
    written = hd.sr.ComprehensiveSR(
        evidence=[ct], content=report[0], series_number=1, series_instance_uid=hd.UID(), sop_instance_uid=hd.UID(),
        instance_number=1, manufacturer="a reader",
    )  # fmt: skip
    written.save_as(path)
    return path


LONG, SHORT = ([(23.5, 12.5), (23.5, 26.5)], [(17.5, 19.5), (29.5, 19.5)])


@pytest.fixture
def slice_2(ct):
    return image(ct / "0003.dcm")


def test_two_diameters_of_a_group_are_a_mark(tmp_path, slice_2):
    long, short = diameter(slice_2, codes.SCT.LongAxis, LONG), diameter(slice_2, codes.SCT.ShortAxis, SHORT)
    marks, problems = read_report(write_report(tmp_path / "sr.dcm", [[short, long], [long]], slice_2))
    [mark] = marks
    assert mark.uid == slice_2.SOPInstanceUID == "1.2.3.2"
    np.testing.assert_array_equal(mark.axes((40, 48), None), [[(12, 23), (26, 23)], [(19, 17), (19, 29)]])
    [problem] = problems
    assert problem.where.endswith("measurement group 2")
    assert "1 diameters on 1 images" in problem.why


def test_a_report_labels_the_slice_it_was_drawn_on(tmp_path, slice_2, ct, label, made):
    group = [diameter(slice_2, codes.SCT.LongAxis, LONG), diameter(slice_2, codes.SCT.ShortAxis, SHORT)]
    path = write_report(tmp_path / "sr.dcm", [group, group], slice_2)
    assert label(ct, "--report", path, "--format", "png") == 0
    rows = made.read_manifest(tmp_path / "out")
    assert {name: row["slices"] for name, row in rows.items()} == {"case-1-1": "2", "case-1-2": "2"}
    reported = made.soft(tmp_path / "out" / "case-1-1" / "002-soft.png")
    assert label(ct, "--recist", 12, 23, 26, 23, 19, 17, 19, 29, "--slice", 2, "--format", "png") == 0
    np.testing.assert_array_equal(reported, made.soft(tmp_path / "out" / "case-1" / "002-soft.png"))


def test_a_mark_on_another_series_is_named(tmp_path, slice_2, series, label, made, capsys):
    group = [diameter(slice_2, codes.SCT.LongAxis, LONG), diameter(slice_2, codes.SCT.ShortAxis, SHORT)]
    path = write_report(tmp_path / "sr.dcm", [group], slice_2)
    folder = series(tmp_path / "two", made.hu()[:2], made.spacing, made.origin)
    assert label(folder, "--report", path) == 1
    assert f"SOPInstanceUID 1.2.3.2, which is not in {folder}" in capsys.readouterr().err


def test_what_is_no_report_is_named(tmp_path, slice_2, ct, label, capsys):
    whole = write_report(tmp_path / "sr.dcm", [[diameter(slice_2, codes.SCT.LongAxis, LONG)]], slice_2)
    empty = pydicom.dcmread(whole)
    empty.ContentSequence = []
    empty.save_as(tmp_path / "empty.dcm")
    (tmp_path / "text.dcm").write_text("no DICOM")
    for path, message in (
        (tmp_path / "empty.dcm", "none of its 0 measurement groups holds a diameter"),
        (tmp_path / "text.dcm", "not a readable DICOM file"),
        (ct / "0001.dcm", "Modality (0008,0060) = CT; a measurement report (SR) was expected"),
    ):
        assert label(ct, "--report", path) == 2
        said = capsys.readouterr().err
        assert message in said
        assert str(path) in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("length", [200, 1000, 2000, 2500])
def test_a_truncated_report_is_an_error_of_ours(tmp_path, slice_2, length):
    group = [diameter(slice_2, codes.SCT.LongAxis, LONG), diameter(slice_2, codes.SCT.ShortAxis, SHORT)]
    path = write_report(tmp_path / "sr.dcm", [group], slice_2)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"sr\.dcm"):
        read_report(path)
