"""One scan read from DICOM, nrrd and NIfTI: the same volume whatever the order, and every fault named."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless

from softmask.data.ct import Volume, read_volume, sort_files
from softmask.errors import DataError


def same(volume: Volume, chest, tolerance: float = 1e-4) -> bool:
    np.testing.assert_array_equal(volume.hu, chest.hu())
    np.testing.assert_allclose(volume.spacing_mm, chest.spacing, atol=tolerance)
    np.testing.assert_allclose(volume.origin, chest.origin, atol=tolerance)
    np.testing.assert_allclose(volume.z_mm, [chest.z(place) for place in range(6)], atol=tolerance)
    return volume.hu.dtype == np.int16 and volume.shape == chest.shape


def test_a_series_becomes_a_volume_from_the_feet_up(chest, tmp_path):
    volume = read_volume(chest.write_series(tmp_path / "scan" / "series").parent)
    assert same(volume, chest)
    assert (volume.patient, volume.series_uid, volume.frame_of_reference) == ("P-1", chest.series, chest.frame)
    assert volume.path == tmp_path / "scan"


@given(st.permutations(["1", "1.dcm", "z", "IM-2.DCM", "below/a.dcm", "below/2"]))
@settings(max_examples=15)
def test_files_in_any_order_and_of_any_name_give_the_same_volume(chest, tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("any")
    for place, name in enumerate(names):
        chest.write_slice(folder / name, place)
    assert same(read_volume(folder), chest)


@pytest.mark.parametrize("ending", [".nrrd", ".nii", ".nii.gz"])
@pytest.mark.parametrize("turned", ["", "RAS", "SAR"])
def test_a_file_gives_the_same_volume_however_it_is_turned(chest, tmp_path, ending, turned):
    volume = read_volume(chest.write_image(tmp_path / f"ct{ending}", chest.hu(), turned=turned))
    assert same(volume, chest)
    assert volume.patient == "ct"


def test_real_numbers_are_rounded_and_air_is_the_least(chest, tmp_path):
    hu = chest.hu().astype(np.float32) + 0.4
    hu[0, 0, :3] = -3024, 1e6, -1024.4
    volume = read_volume(chest.write_image(tmp_path / "ct.nrrd", hu))
    assert volume.hu[0, 0, :3].tolist() == [-1024, 32767, -1024]
    np.testing.assert_array_equal(volume.hu[1:], chest.hu()[1:])


def test_the_series_of_a_folder_are_listed_and_only_one_is_a_scan(chest, tmp_path):
    chest.write_series(tmp_path)
    chest.write_slice(tmp_path / "other.dcm", 0, SeriesInstanceUID="1.2.3")
    dose = chest.write_slice(tmp_path / "dose.dcm", 1, Modality="RTDOSE")
    (tmp_path / "LICENSE").write_text("free")
    listed, others = sort_files(tmp_path)
    assert [(series[0].series_uid, len(series)) for series in listed] == [("1.2.3", 1), (chest.series, 6)]
    assert others == (dose,)
    with pytest.raises(DataError, match=r"2 CT series by SeriesInstanceUID \(0020,000e\).*1\.2\.3: 1 slices"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ImagePositionPatient": [-20, -30, 107.51]}, r"ImagePositionPatient \(0020,0032\) is z = 107.51 mm as in "),
        ({"ImagePositionPatient": [-20, -30, 111.2]}, "apart; resample the series"),
        ({"ImagePositionPatient": [-20, -29, 110.0]}, "does not lie above"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.966, -0.259]}, r"\(0020,0037\) .*tilt.*; resample the series"),
        ({"GantryDetectorTilt": -12.5}, r"GantryDetectorTilt \(0018,1120\) = -12.5"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, r"PhotometricInterpretation \(0028,0004\) = MONOCHROME1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, r"PhotometricInterpretation \(0028,0004\) = PALETTE COLOR"),
        ({"syntax": HTJ2KLossless}, r"TransferSyntaxUID \(0002,0010\) = High-Throughput JPEG 2000.*no decoder"),
        ({"syntax": JPEG2000Lossless}, "the pixels cannot be read"),
        ({"PixelSpacing": [1.5, 1.3]}, r"PixelSpacing \(0028,0030\) is \(1.5, 1.3\)"),
        ({"FrameOfReferenceUID": "1.9"}, r"FrameOfReferenceUID \(0020,0052\) is 1.9"),
        ({"PatientID": "P-2"}, r"PatientID \(0010,0020\) is P-2"),
        ({"Rows": 23}, r"Rows \(0028,0010\) is \(23, 32\)"),
        ({"Rows": 60000, "Columns": 60000}, "60000 x 60000 pixels, no size of a CT slice"),
        ({"RescaleSlope": None}, r"has no RescaleSlope \(0028,1053\)"),
        ({"ImagePositionPatient": None}, "has no ImagePositionPatient"),
    ],
)
def test_a_slice_that_does_not_fit_is_named_with_its_tag(chest, tmp_path, changes, message):
    chest.write_series(tmp_path)
    bad = chest.write_slice(tmp_path / "5.dcm", 4, **changes)
    with pytest.raises(DataError, match=message) as caught:
        read_volume(tmp_path)
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize("factor", [0.5, 3])
def test_a_second_distance_of_slices_is_no_lost_slice(chest, tmp_path, factor):
    chest.write_series(tmp_path)
    for place in range(6):
        z = chest.z(5) + factor * (chest.z(1) - chest.z(0)) * (place + 1)
        chest.write_slice(tmp_path / f"more{place}.dcm", place, ImagePositionPatient=[-20, -30, z])
    with pytest.raises(DataError, match="a scan of several slice distances; keep the slices of one"):
        read_volume(tmp_path)


@given(st.integers(0, 2200))
@settings(max_examples=25)
def test_a_truncated_slice_is_never_passed_over(chest, tmp_path_factory, kept):
    folder = chest.write_series(tmp_path_factory.mktemp("cut"))
    path = folder / "6.dcm"
    whole = path.read_bytes()
    path.write_bytes(whole[: min(kept, len(whole) - 1)])
    with pytest.raises(DataError, match=r"6\.dcm"):
        read_volume(folder)


@given(st.sampled_from([".nrrd", ".nii", ".nii.gz"]), st.floats(0, 0.999))
@settings(max_examples=25)
def test_a_truncated_file_is_never_passed_over(chest, tmp_path_factory, ending, kept):
    path = chest.write_image(tmp_path_factory.mktemp("cut") / f"ct{ending}", chest.hu())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=r"ct\.n"):
        read_volume(path)


def test_more_voxels_than_are_read(chest, tmp_path, monkeypatch):
    monkeypatch.setattr("softmask.data.ct.LARGEST_VOLUME", 1000)
    monkeypatch.setattr("softmask.data.volume_headers.LARGEST_VOLUME", 1000)
    with pytest.raises(DataError, match="6 x 24 x 32 voxels are more than is read"):
        read_volume(chest.write_series(tmp_path / "scan"))
    for ending in (".nrrd", ".nii.gz"):
        path = chest.write_image(tmp_path / f"ct{ending}", chest.hu())
        with pytest.raises(DataError, match=r"ct\.n.*declares 32 x 24 x 6 voxels"):
            read_volume(path)


def test_files_that_are_no_ct(chest, tmp_path):
    path = tmp_path / "ct.nrrd"
    oblique = SimpleITK.GetImageFromArray(chest.hu())
    oblique.SetDirection((1, 0, 0, 0, 0.966, -0.259, 0, 0.259, 0.966))
    for image, message in (
        (SimpleITK.GetImageFromArray(np.abs(chest.hu())), "no value lies below 0"),
        (SimpleITK.GetImageFromArray(np.full(chest.shape, np.nan, np.float32)), "NaN"),
        (SimpleITK.GetImageFromArray(np.zeros((2, 3), np.int16) - 5), "three are expected"),
        (oblique, "gantry tilt or oblique acquisition"),
    ):
        SimpleITK.WriteImage(image, str(path))
        with pytest.raises(DataError, match=rf"ct\.nrrd: .*{message}"):
            read_volume(path)
    path.write_bytes(  # too short inside
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 3\nendian: little\nencoding: gzip\n\n"
        + gzip.compress(b"\xff" * 64)
    )
    with pytest.raises(DataError, match=r"truncated: 64 of 96 bytes of voxel data"):
        read_volume(path)


def test_a_compressed_file_is_not_taken_for_its_twin(chest, tmp_path):
    path = chest.write_image(tmp_path / "ct.nii.gz", chest.hu())
    assert same(read_volume(path), chest)
    chest.write_image(tmp_path / "ct.nii", chest.hu() + 1)
    with pytest.raises(DataError, match=r"ct\.nii\.gz: lies beside ct\.nii"):
        read_volume(path)


def test_what_is_no_scan(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such file or folder"):
        read_volume(tmp_path / "nothing")
    with pytest.raises(DataError, match="holds no CT slice"):
        read_volume(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", lambda folder: (_ for _ in ()).throw(PermissionError(13, "not yours", folder)))
        with pytest.raises(DataError, match=f"{tmp_path}: cannot be listed .not yours.; check the folder's"):
            read_volume(tmp_path)
    (tmp_path / "ct.mhd").write_text("NDims = 3")
    with pytest.raises(DataError, match=r"ct\.mhd: a scan is a folder"):
        read_volume(tmp_path / "ct.mhd")


def test_the_real_scans(real_data):
    scan = read_volume(real_data / "lung-ct" / "LUNG1-001")
    assert scan.shape == (67, 512, 512)
    assert scan.spacing_mm == (6.0, 0.9765625, 0.9765625)
    assert scan.z_mm[[0, -1]].tolist() == [-678.5, -282.5]
    small = read_volume(real_data / "lung-ct" / "chest-imaging-platform" / "ct-64.nrrd")
    assert small.shape == (79, 64, 64)
    assert read_volume(real_data / "lidc-idri-0314").shape == (21, 512, 512)
