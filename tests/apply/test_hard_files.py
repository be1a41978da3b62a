"""Files that scanners, archives and programs write in unusual ways: the same alpha, voxel by voxel, or refused with the
cause."""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from softmask.apply.images import list_slices, open_image
from softmask.apply.reports import read_report
from softmask.data import ct as scans
from softmask.data.ct import read_volume
from softmask.data.dicom import dcmread
from softmask.data.image_files import doubt_stack
from softmask.data.masks import lesion_mask
from softmask.errors import DataError, Doubt
from softmask.measure.size import lesion_size

MIDDLE = "0003.dcm"  # slice 2 of 5, which the mask marks
FORMATS = ("--format", "png", "nifti")


@pytest.fixture(scope="module")
def mask(made, tmp_path_factory) -> Path:
    return made.write_volume(tmp_path_factory.mktemp("mask") / "mask.nii.gz", made.volume_mask())


@pytest.fixture(scope="module")
def alpha(ct, mask, tmp_path_factory) -> np.ndarray:
    """(5, H, W) float32: the soft mask of the series as it is."""
    from softmask import cli

    out = tmp_path_factory.mktemp("reference")
    assert cli.main(["label", str(ct), "--mask", str(mask), "--out", str(out), *FORMATS]) == 0
    return read_alpha(out)


def read_alpha(out: Path) -> np.ndarray:
    (path,) = out.glob("*-soft.nii.gz")
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


@pytest.fixture
def folder(ct, tmp_path) -> Path:
    """A copy of the series that may be changed."""
    return Path(shutil.copytree(ct, tmp_path / "ct"))


def change(path: Path, **changes) -> None:
    """Set tags of a DICOM file, or delete those that are None."""
    dataset = pydicom.dcmread(path)
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)


def turn(path: Path, rows: bool, columns: bool, transposed: bool = False) -> None:
    """Store a slice in other directions, at the same place."""
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array
    x, y, z = map(float, dataset.ImagePositionPatient)
    height, width = map(float, dataset.PixelSpacing)
    if rows:
        pixels, y = pixels[::-1], y + height * (len(pixels) - 1)
    if columns:
        pixels, x = pixels[:, ::-1], x + width * (pixels.shape[1] - 1)
    along_row, along_column = [-1 if columns else 1, 0, 0], [0, -1 if rows else 1, 0]
    if transposed:
        pixels, height, width = pixels.T, width, height
        along_row, along_column = along_column, along_row
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [x, y, z], [*along_row, *along_column]
    dataset.PixelSpacing, (dataset.Rows, dataset.Columns) = [height, width], pixels.shape
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset.save_as(path)


def without_preamble(path: Path, syntax=ImplicitVRLittleEndian) -> None:
    dataset = pydicom.dcmread(path)
    dataset.file_meta, dataset.preamble = pydicom.dataset.FileMetaDataset(), None
    explicit = syntax != ImplicitVRLittleEndian
    dataset.save_as(path, implicit_vr=not explicit, little_endian=True, enforce_file_format=False)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: turn(folder / MIDDLE, rows=True, columns=True),  # prone
        lambda folder: turn(folder / MIDDLE, rows=True, columns=False),
        lambda folder: turn(folder / MIDDLE, rows=False, columns=True, transposed=True),
        lambda folder: [turn(path, rows=True, columns=True) for path in folder.iterdir()],
        lambda folder: [turn(path, rows=False, columns=False, transposed=True) for path in folder.iterdir()],
        lambda folder: without_preamble(folder / MIDDLE),
        lambda folder: without_preamble(folder / MIDDLE, ExplicitVRLittleEndian),
        lambda folder: (folder / "._0003.dcm").write_bytes(b"\0\5\x16\7" + bytes(200)),
        lambda folder: change(folder / MIDDLE, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="山田^太郎"),
        lambda folder: change(folder / MIDDLE, SliceThickness=None),
    ],
)  # fmt: skip
def test_a_series_that_is_stored_otherwise_gives_the_same_alpha(folder, mask, alpha, label, tmp_path, spoil):
    spoil(folder)
    assert label(folder, "--mask", mask, *FORMATS) == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)


def dicomdir(folder: Path) -> Path:
    path = Path(shutil.copy(folder / MIDDLE, folder / "DICOMDIR"))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    del dataset.Modality, dataset.PixelData, dataset.ImagePositionPatient
    dataset.save_as(path)
    return path


def beside(folder: Path, name: str, **changes) -> None:
    change(Path(shutil.copy(folder / MIDDLE, folder / name)), **changes)


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("DICOMDIR", dicomdir),
        (
            "report.dcm",  # of the dose, as a picture with the modality of the scan
            lambda folder: beside(
                folder, "report.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.7", ImagePositionPatient=None
            ),
        ),
        ("dose.dcm", lambda folder: beside(folder, "dose.dcm", Modality="RTDOSE")),
        (
            "scout.dcm",
            lambda folder: beside(
                folder, "scout.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
                ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
            ),
        ),
    ],
)  # fmt: skip
def test_what_is_no_part_of_the_scan_is_passed_over_and_counted(
    folder, mask, alpha, label, made, tmp_path, capsys, name, put
):
    put(folder)
    assert label(folder, "--mask", mask, *FORMATS) == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)
    message = f"passed over 1 DICOM files that are no CT slices ({name})"
    assert made.read_manifest(tmp_path / "out")["ct"]["message"] == message
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RescaleSlope": None}, "has no RescaleSlope (0028,1053)"),
        ({"RescaleType": "Z_EFF"}, "RescaleType (0028,1054) = Z_EFF, no Hounsfield units"),
        ({"HighBit": 15, "BitsStored": 12}, "HighBit (0028,0102) = 15 with 12 bits stored"),
        ({"RescaleIntercept": None}, "has no RescaleIntercept (0028,1052)"),
        ({"ImagePositionPatient": None}, "has no ImagePositionPatient (0020,0032), which a CT slice has"),
        ({"PixelSpacing": None}, "has no PixelSpacing (0028,0030), which a CT slice has"),
        ({"ImageOrientationPatient": None}, "has no ImageOrientationPatient (0020,0037), which a CT slice has"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, "an enhanced CT image with many slices; convert it"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.2"}, "emf2sf"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not an axial slice"),
        ({"ImageOrientationPatient": [0.97, 0.24, 0, -0.24, 0.97, 0]}, "not an axial slice"),
        ({"Modality": "MR"}, "is DICOM, but no slice of a CT scan"),
        ({"PixelData": b"\0\0"}, "the pixels cannot be read"),
    ],
)
def test_a_slice_of_another_kind_is_named_with_its_cause(folder, changes, message):
    change(folder / MIDDLE, **changes)
    with pytest.raises(DataError, match=rf"^{re.escape(str(folder / MIDDLE))}: .*{re.escape(message)}"):
        list_slices(folder / MIDDLE)[0].read()


def test_a_slice_is_never_taken_from_another_series(folder, mask, label, shipped, tmp_path, capsys):
    from softmask import cli

    beside(folder, "other.dcm", SeriesInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
    out = tmp_path / "out"
    assert label(folder, "--mask", mask) == 1
    assert cli.main(["segment", str(folder), "--model", str(shipped), "--slice", "2", "--out", str(out)]) == 1
    assert capsys.readouterr().err.count("holds 2 CT series") == 2
    assert not list(out.rglob("*.png"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_volume_with_voxels_that_are_no_numbers_is_refused(made, mask, label, tmp_path, capsys, dtype, ending, value):
    values = made.hu().astype(dtype)
    path = made.write_volume(tmp_path / f"scan.{ending}", values)
    assert label(path, "--mask", mask) == 0
    values[4, -1, -1] = value  # in a slice that is not looked at
    made.write_volume(path, values)
    assert label(path, "--mask", mask) == 1
    assert "has voxels that are NaN or infinite" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["mirrored", "shifted"])
def test_a_nifti_file_that_contradicts_itself_is_refused(made, mask, label, tmp_path, capsys, kind):
    path = made.write_volume(tmp_path / "scan.nii", made.hu())
    content = bytearray(path.read_bytes())
    codes, rows = np.frombuffer(content, "<i2", 2, 252).copy(), np.frombuffer(content, "<f4", 12, 280).copy()
    assert (codes > 0).all()
    if kind == "mirrored":
        rows[:4] *= -1
    else:
        rows[7] += 1
    content[280:328] = rows.tobytes()
    path.write_bytes(content)
    assert label(path, "--mask", mask) == 1
    assert "its sform and its qform lay the voxels on different places" in capsys.readouterr().err
    content[254:256] = bytes(2)  # of the sform: the other account alone
    path.write_bytes(content)
    assert label(path, "--mask", mask) == 0


@pytest.mark.parametrize(
    ("place", "content", "message", "status"),
    [
        (112, struct.pack("<2f", 0, -1024), "scl_slope 0 means no scale, but scl_inter is -1024", 1),
        (112, struct.pack("<2f", 1, np.nan), "scl_inter is nan beside scl_slope 1; correct the scale", 1),
        (108, struct.pack("<f", 0), "vox_offset is 0, within the header; save the file again", 1),
        (80, struct.pack("<3f", 1, 1, 1), "0.8 x 0.7 x 2.5 by its sform, and 1 x 1 x 1 by pixdim", 1),
        (252, bytes(4), "doubtful: {path}: has neither sform nor qform", 0),
        (123, bytes([1]), "doubtful: {path}: its voxels are 800 x 700 x 2500 mm", 0),
        (123, bytes([3]), "doubtful: {path}: its voxels are 0.0008 x 0.0007 x 0.0025 mm", 0),
        (0, b"\x1f\x8b", "is compressed, and its name does not say so; rename it to end with .nii.gz", 1),
    ],
)
def test_a_nifti_header_that_cannot_be_right(made, label, tmp_path, capsys, place, content, message, status):
    path = made.write_volume(tmp_path / "scan.nii", made.hu())
    header = bytearray(path.read_bytes())
    if place == 80:
        header[252:254] = bytes(2)  # the qform would contradict pixdim as well
    header[place : place + len(content)] = content
    path.write_bytes(header)
    assert label(path, "--recist", *made.ends(), "--slice", 2) == status
    assert message.format(path=path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "message", "status"),
    [
        ('space directions: (0.8,0,0) (0,0.7,0) (0,0,2.5)\nspace units: "mm" "mm" "mm"\n\n', "", 0),
        (
            'space directions: (0.8,0,0) (0,0.7,0) (0,0,2.5)\nspace units: "cm" "cm" "cm"\n\n',
            "is in units of cm; save it in mm",
            1,
        ),
        ("\n", "doubtful: {path}: states no size of its voxels; 1 mm is taken", 0),
        (
            "space: left-posterior-superior\nspace directions: (0.8,0,0) (0,0.7,0) (0,0,2.5)\n\n",
            "doubtful: {path}: states no place (space origin); 0 0 0 mm is taken",
            0,
        ),
        *(
            (
                f"space: {space}\nspace directions: (0.8,0,0) (0,0.7,0) (0,0,2.5)\n\n",
                f"doubtful: {{path}}: names the space '{space}', which is none of the patient's, so which way its axes",
                0,
            )
            for space in ("3d-right-handed", "3d-left-handed", "scanner-xyz")
        ),
        ("data file: scan.raw\n", "keeps its voxels in another file", 1),
        ("space directions: (1,0,0) (0,1,0) none\n\n", "3 vectors of three numbers are expected; correct it", 1),
        ("space directions: (1,0,0) (0,nan,0) (0,0,1)\n\n", "space directions '(1,0,0) (0,nan,0) (0,0,1)'", 1),
        ("space directions: (1,0,0) (0,1,0) (0,0,1)\nspacings: 1 1 1\n\n", "both spacings and space directions", 1),
    ],
)
def test_the_size_of_voxels_in_nrrd(made, label, tmp_path, capsys, lines, message, status):
    path = tmp_path / "scan.nrrd"
    start = "NRRD0004\ntype: short\ndimension: 3\nsizes: 48 40 5\nendian: little\nencoding: raw\n"
    start += "space: left-posterior-superior\nspace origin: (0,0,0)\n" if "units" in lines else ""
    path.write_bytes((start + lines).encode() + made.hu().astype("<i2").tobytes() * ("file" not in lines))
    assert label(path, "--recist", *made.ends(), "--slice", 2) == status
    err = capsys.readouterr().err
    assert message.format(path=path) in err if message else not err


@pytest.mark.parametrize("ending", ["nii", "nrrd"])
def test_a_file_with_more_slices_than_its_header_declares_is_doubted(made, label, tmp_path, capsys, ending):
    path = made.write_volume(tmp_path / f"scan.{ending}", made.hu())
    content = path.read_bytes()
    if ending == "nii":
        path.write_bytes(content[:46] + (4).to_bytes(2, "little") + content[48:])
    else:
        path.write_bytes(re.sub(rb"sizes: (\d+ \d+) 5", rb"sizes: \1 4", content).replace(b"gzip", b"gzip"))
    assert label(path, "--recist", *made.ends(), "--slice", 2) == 0
    assert "has more than the" in capsys.readouterr().err


def test_a_binary_file_of_whole_numbers_needs_a_byte_order(made, label, tmp_path, capsys):
    path = tmp_path / "scan.nrrd"
    start = "NRRD0004\ntype: short\ndimension: 3\nsizes: 48 40 5\nencoding: raw\nspacings: 1 1 1\n\n"
    path.write_bytes(start.encode() + made.hu().astype("<i2").tobytes())
    assert label(path, "--recist", *made.ends(), "--slice", 2) == 1
    assert "endian 'missing': little or big is expected" in capsys.readouterr().err


def test_a_link_to_a_missing_file_is_told(folder, label, made, capsys):
    last = sorted(folder.iterdir())[-1]
    last.unlink()
    last.symlink_to(folder / "not fetched")
    assert label(folder, "--recist", *made.ends(), "--slice", 2) == 1
    assert f"{last}: there is no such file" in capsys.readouterr().err


def test_a_link_to_itself_fails_alone(image, drawn, label, made, tmp_path, capsys):
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    path = made.write_list(tmp_path / "list.csv", ["image", "mask"], [[loop, drawn], [image, drawn]])
    assert label("--list", path) == 1
    assert "1 labelled, 0 done before, 1 failed" in capsys.readouterr().out


def test_an_item_that_fails_keeps_its_earlier_result(folder, mask, label, made, tmp_path, capsys):
    assert label(folder, "--mask", mask, "--format", "png", "nifti") == 0
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*") if path.suffix != ".csv"}
    assert len(written) > 3
    change(sorted(folder.iterdir())[3], RescaleSlope=0)
    assert label(folder, "--mask", mask, "--format", "png", "nifti", "--radius", 2) == 1
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"RescaleType": "US"}, "RescaleType (0028,1054) = US, unspecified units"),
        ({"SOPInstanceUID": "1.2.3.4"}, "is the same in several slices"),
        ({"LossyImageCompression": "01"}, "5 of 5 slices were compressed with loss"),
        ({"LossyImageCompression": "00"}, ""),
    ],
)
def test_what_is_doubtful_in_all_slices_is_said_once(folder, mask, label, made, tmp_path, changes, doubt):
    for path in folder.iterdir():
        change(path, **changes)
    assert label(folder, "--mask", mask, "--format", "nifti") == 0
    message = made.read_manifest(tmp_path / "out")["ct"]["message"]
    assert message.count(doubt) == 1 if doubt else not message


def test_slices_of_one_uid_are_not_referred_to(folder, mask, label, made, tmp_path):
    for path in folder.iterdir():
        change(path, SOPInstanceUID="1.2.3.4")
    assert label(folder, "--mask", mask, "--format", "nifti", "seg") == 0
    assert (
        "SOPInstanceUID (0008,0018) is that of another slice" in made.read_manifest(tmp_path / "out")["ct"]["message"]
    )
    assert not [*(tmp_path / "out").glob("*.dcm")]


@pytest.mark.parametrize("syntax", ["JPEGLSNearLossless", "JPEG2000"])
def test_pixels_in_a_syntax_with_loss_are_a_doubt(folder, mask, label, made, tmp_path, syntax):
    if syntax == "JPEG2000":  # gdcm's would not lose
        for path in folder.iterdir():
            dataset, coded = pydicom.dcmread(path), io.BytesIO()
            offset = dataset.RescaleIntercept + 2048
            pixels = (dataset.pixel_array + offset).astype(np.uint16)
            Image.fromarray(pixels).save(coded, "JPEG2000", irreversible=True, no_jp2=True)
            dataset.PixelData = pydicom.encaps.encapsulate([coded.getvalue()])
            dataset["PixelData"].VR, dataset.PixelRepresentation, dataset.RescaleIntercept = "OB", 0, -2048
            dataset.file_meta.TransferSyntaxUID = JPEG2000
            dataset.save_as(path)
    else:
        encoded(folder, syntax)
        for path in folder.iterdir():  # the header need not say so
            change(path, LossyImageCompression="00")
    assert label(folder, "--mask", mask, "--format", "nifti") == 0
    assert "5 of 5 slices were compressed with loss" in made.read_manifest(tmp_path / "out")["ct"]["message"]


def rescaled(tmp_path: Path, folder: Path, names: str = "*.dcm") -> Path:
    """A copy of the series with another 1024 subtracted in some slices."""
    copy = Path(shutil.copytree(folder, tmp_path / "rescaled", dirs_exist_ok=True))
    for path in copy.glob(names):
        change(path, RescaleIntercept=pydicom.dcmread(path).RescaleIntercept - 1024)
    return copy


def test_values_beyond_the_bits_that_are_stored_are_doubted(folder, monkeypatch):
    """As of JPEG 2000 whose own precision and sign are not those of the header."""
    change(folder / MIDDLE, BitsStored=12, HighBit=11, PixelRepresentation=1)
    slice_2 = scans.read_header(folder / MIDDLE)
    for highest, doubted in ((2047, False), (4090, True)):
        pixels = np.full((40, 48), 100)
        pixels[0, :3] = -2048, 0, highest
        monkeypatch.setattr(scans, "pixels_of", lambda *_, pixels=pixels: pixels)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scans.read_hu(slice_2)
        said = [str(warning.message) for warning in caught]
        assert any("4090, and 12 bits, as they are declared, from -2048 on" in text for text in said) == doubted, said


def test_slices_of_two_scales_are_doubted(folder, mask, label, tmp_path, capsys):
    assert label(rescaled(tmp_path, folder, "000[34].dcm"), "--mask", mask) == 0
    said = capsys.readouterr().err
    assert "RescaleIntercept (0028,1052) goes from " in said
    assert "among the slices: is one scale wrong?" in said


def test_a_stack_with_an_empty_slice_or_a_jump_is_doubted():
    body = np.random.default_rng(0).normal(40, 20, (6, 30, 30)).astype(np.int16)
    body[:, :, :15] = -990
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doubt_stack(body)
    lost = body.copy()
    lost[3] = -1024
    with pytest.warns(Doubt, match="every pixel of slices 3 has the same value: were they lost"):
        doubt_stack(lost)
    for value, doubted in ((0, True), (-1024, False)):
        round_scan = body.copy()
        round_scan[:, [0, -1]] = round_scan[:, :, [0, -1]] = value
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            doubt_stack(round_scan)
        assert ["padding? Give it that of air" in str(warning.message) for warning in caught] == [True] * doubted
    lower = body.copy()
    lower[4:] = np.maximum(lower[4:] - 1024, -1024)
    with pytest.warns(Doubt, match=r"tissue differs by 10\d\d HU between slices 3 and 4"):
        doubt_stack(lower)


def test_values_that_are_no_hounsfield_units(made, folder, mask, label, tmp_path, capsys):
    hu = made.hu()
    hu[0, 0, 0] = -2000  # what is outside the scanned circle
    for offset, doubted in ((0, False), (1024, True)):
        path = made.write_volume(tmp_path / f"{offset}.nii.gz", hu + np.int16(offset) * (hu > -2000))
        assert label(path, "--mask", mask) == 0
        assert ("as if 1024 were added to HU: check the scale" in capsys.readouterr().err) == doubted
    for path in (made.write_volume(tmp_path / "twice.nii.gz", hu - np.int16(1024)), rescaled(tmp_path, folder)):
        assert label(path, "--mask", mask) == 0
        assert "HU, and air is -1000: as if 1024 were subtracted twice" in capsys.readouterr().err
    path = made.write_volume(tmp_path / "thousandths.nii.gz", hu / np.float32(1000))
    assert label(path, "--mask", mask) == 0
    assert "which shows no air beside tissue: check that they are Hounsfield units" in capsys.readouterr().err
    change(folder / MIDDLE, PixelRepresentation=0, PixelData=np.full((40, 48), -900, "<i2").tobytes())
    assert label(folder, "--mask", mask) == 1
    assert "HU; is PixelRepresentation (0028,0103) wrong?" in capsys.readouterr().err


def test_a_mark_on_a_slice_that_is_stored_turned_is_a_doubt(made, folder, label, tmp_path):
    """A mark in pixels may have been drawn on the pixels as they are stored."""
    row, column = made.centres[2]
    mark = made.ends((row, column))
    arguments = (folder, "--recist", *mark, "--slice", 2, "--format", "png")
    assert label(*arguments, "--name", "upright") == 0
    for path in folder.iterdir():
        turn(path, rows=True, columns=False)
    assert label(*arguments, "--name", "turned") == 0
    rows = made.read_manifest(tmp_path / "out")
    assert "is the mark or mask turned likewise?" in rows["turned"]["message"]
    assert not rows["upright"]["message"]


def test_files_of_another_purpose_are_named(image, made, ct, mask, label, tmp_path, capsys):
    assert label(ct, "--mask", mask, "--format", "seg") == 0
    (segmentation,) = (tmp_path / "out").glob("*-soft.dcm")
    assert label(segmentation, "--mask", mask) == 1
    assert "is DICOM, but no slice of a CT scan" in capsys.readouterr().err
    picture = made.save(tmp_path / "mask.jpg", made.volume_mask()[2])
    assert label(image, "--mask", picture) == 1
    assert "its mask must be PNG or TIFF (JPEG alters it)" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_a_name(made, label, shipped, tmp_path, capsys):
    from softmask import cli

    path = made.save(tmp_path / os.fsdecode(b"gr\xf6\xdfe.png"), made.grey())
    assert label(path, "--recist", *made.ends()) == 0
    assert b"gr\xf6\xdfe-soft.png" in os.listdir(os.fsencode(tmp_path / "out"))
    out = tmp_path / "segmented"
    assert cli.main(["segment", str(path), "--at", "19", "23", "--model", str(shipped), "--out", str(out)]) == 0
    assert [*made.read_manifest(out)] == [r"gr\udcf6\udcdfe"]


def labels(made) -> np.ndarray:
    """(5, H, W) uint8: 1 around the lesion, 2 is the lesion."""
    values = np.zeros((5, *made.size), np.uint8)
    values[:, 5:35, 5:40] = 1
    values[made.volume_mask()] = 2
    return values


def segments(made, path: Path, names=("lung", "nodule"), padding: int = 0) -> Path:
    """A file of 3D Slicer; ``padding``: bytes that are added to its header."""
    image = SimpleITK.ReadImage(str(made.write_volume(path.with_suffix(".nii"), labels(made))))
    for n, name in enumerate(names):
        image.SetMetaData(f"Segment{n}_LabelValue", str(n + 1))
        image.SetMetaData(f"Segment{n}_Name", name)
    image.SetMetaData("Segment0_Tags", "x" * padding)
    SimpleITK.WriteImage(image, str(path))
    return path


def test_a_structure_is_found_by_its_name_outside_ascii(made, ct, alpha, label, tmp_path):
    path = segments(made, tmp_path / "labels.seg.nrrd", ("Lunge", "Rundherd, größer"))
    assert label(ct, "--mask", path, "--label", "Rundherd, größer", *FORMATS) == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)


def test_a_mask_of_grey_levels_is_called_that(made, ct, label, tmp_path, capsys):
    values = np.arange(5 * made.size[0] * made.size[1]).reshape(5, *made.size) % 200
    path = made.write_volume(tmp_path / "probabilities.nii.gz", values.astype(np.uint8))
    assert label(ct, "--mask", path) == 1
    assert "its voxels hold 199 values; of probabilities or grey levels, threshold it" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["nii.gz", "seg.nrrd"])
def test_one_label_of_several_is_taken_and_it_must_be_named(made, ct, alpha, label, tmp_path, capsys, kind):
    path = tmp_path / f"labels.{kind}"
    path = segments(made, path) if kind == "seg.nrrd" else made.write_volume(path, labels(made))
    assert label(ct, "--mask", path, *FORMATS) == 1
    listed = "1 lung, 2 nodule" if kind == "seg.nrrd" else "1, 2"
    assert f"2 of the 2 structures of its voxels are meant ({listed}); name one with --label" in capsys.readouterr().err
    assert label(ct, "--mask", path, "--label", "3") == 1
    for name in ["2", *(["nodule"] if kind == "seg.nrrd" else [])]:
        assert label(ct, "--mask", path, "--label", name, *FORMATS) == 0
        np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)


@pytest.mark.parametrize("size", [70_000, 900_000])
def test_a_long_header_of_3d_slicer_is_read(made, ct, alpha, label, tmp_path, size):
    assert label(ct, "--mask", segments(made, tmp_path / "a.seg.nrrd", padding=size), "--label", "2", *FORMATS) == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)


@pytest.mark.parametrize("ending", ["seg.nrrd", "nii.gz"])
@pytest.mark.parametrize("shift", [0, 0.4])
def test_a_mask_that_was_cropped_on_the_voxels_of_the_scan_is_padded(made, ct, alpha, label, tmp_path, ending, shift):
    cropped = made.volume_mask()[1:4, 6:34, 9:40].astype(np.uint8)
    image = SimpleITK.GetImageFromArray(cropped)
    image.SetSpacing(made.spacing[::-1])
    image.SetOrigin(np.array(made.origin) + np.array([9 + shift, 6, 1]) * made.spacing[::-1])
    SimpleITK.WriteImage(image, str(tmp_path / f"mask.{ending}"))
    assert label(ct, "--mask", tmp_path / f"mask.{ending}", *FORMATS) == (1 if shift else 0)
    if not shift:
        np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)


def test_an_option_without_effect_is_refused(image, drawn, made, label, capsys):
    for options, message in (
        (("--mask", drawn, "--window", -1000, 400), "--window has no effect"),
        (("--mask", drawn, "--label", 1), "--label has no effect"),
        (("--recist", *made.ends(), "--label", 1), "a label is one of a mask's"),
        (("--mask", drawn, "--slice", 3), "there is no slice 3"),
        (("--recist", *made.ends(), "--slice", 3), "there is no slice 3: the file is one slice"),
    ):
        assert label(image, *options) != 0
        assert message in capsys.readouterr().err


def line(kind: str, ends: list[float], uid: str = "", frame: str = "") -> Dataset:
    drawn, number = Dataset(), Dataset()
    drawn.ValueType, drawn.GraphicType, drawn.GraphicData = kind, "POLYLINE", ends
    if uid:
        image, reference = Dataset(), Dataset()
        reference.ReferencedSOPInstanceUID = uid
        image.ValueType, image.ReferencedSOPSequence = "IMAGE", [reference]
        drawn.ContentSequence = [image]
    else:
        drawn.ReferencedFrameOfReferenceUID = frame
    number.ValueType, number.ContentSequence = "NUM", [drawn]
    return number


def report(path: Path, groups: list[list[Dataset]]) -> Path:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Modality, dataset.ContentSequence = "SR", []
    for lines in groups:
        group, name = Dataset(), Dataset()
        name.CodeValue, name.CodingSchemeDesignator = "125007", "DCM"
        group.ConceptNameCodeSequence, group.ContentSequence = [name], lines
        dataset.ContentSequence.append(group)
    dataset.save_as(path)
    return path


def test_diameters_in_3d_are_marks_as_those_on_an_image(made, folder, label, tmp_path, capsys):
    (row, column), z = made.centres[2], 2
    (height, width), (x, y, bottom) = made.spacing[1:], made.origin
    long = [column + 0.5, row - 6.5, column + 0.5, row + 7.5]
    short = [column - 6.5, row + 0.5, column + 7.5, row + 0.5]
    uid = "1.2.3.2"

    def in_mm(ends: list[float], z_mm: float = bottom + z * made.spacing[0]) -> list[float]:
        points = [
            (x + (a - 0.5) * width, y + (b - 0.5) * height, z_mm) for a, b in zip(ends[::2], ends[1::2], strict=True)
        ]
        return [value for point in points for value in point]

    groups = [
        [line("SCOORD", ends, uid) for ends in (long, short)],
        [line("SCOORD3D", in_mm(ends), frame="1.2.5") for ends in (long, short)],
        [line("SCOORD3D", in_mm(ends, bottom + 1), frame="1.2.5") for ends in (long, short)],  # between slices
        [line("SCOORD3D", in_mm(ends), frame="1.2.9") for ends in (long, short)],  # of another scan
        [line("SCOORD", long, uid)],
        [line("SCOORD3D", [*in_mm(long)[:5], bottom], frame="1.2.5")],  # not in one slice
        [],  # of an area, perhaps
    ]
    path = report(tmp_path / "sr.dcm", groups)
    assert label(folder, "--report", path, "--format", "png") == 1
    rows = made.read_manifest(tmp_path / "out")
    assert [rows[f"ct-{n}"]["status"] for n in (1, 2, 3, 4)] == ["done", "done", "failed", "failed"]
    images = [made.soft(tmp_path / "out" / f"ct-{n}" / "002-soft.png") for n in (1, 2)]
    np.testing.assert_allclose(*images, atol=1e-3)
    messages = capsys.readouterr().err
    assert "lies at z = 101 mm, between the slices" in messages
    assert "was drawn in frame of reference 1.2.9" in messages
    assert "measurement group 5: 1 diameters in a slice, on 1 slices" in messages
    assert "measurement group 6: a diameter runs through several slices" in messages
    assert "measurement group 7" not in messages


def test_a_mark_on_a_turned_slice_is_one_on_its_stored_pixels(made, folder, label, tmp_path):
    row, column = made.centres[2]
    ends = [column + 0.5, row - 6.5, column + 0.5, row + 7.5], [column - 6.5, row + 0.5, column + 7.5, row + 0.5]
    path = report(tmp_path / "sr.dcm", [[line("SCOORD", list(values), "1.2.3.2") for values in ends]])
    assert label(folder, "--report", path, "--format", "png") == 0
    expected = made.soft(tmp_path / "out" / "ct-1" / "002-soft.png")
    turn(folder / MIDDLE, rows=True, columns=True)
    height, width = made.size
    turned = [[width - a, height - b, width - c, height - d] for a, b, c, d in ends]
    report(path, [[line("SCOORD", values, "1.2.3.2") for values in turned]])
    assert label(folder, "--report", path, "--format", "png") == 0
    np.testing.assert_array_equal(made.soft(tmp_path / "out" / "ct-1" / "002-soft.png"), expected)


def deflate(path: Path) -> Path:
    """Pack a file as a whole, as Deflated Explicit VR Little Endian does."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    return path


def encoded(folder: Path, syntax: str) -> None:
    """Encode the pixels of all slices as gdcm does."""
    import gdcm

    for path in sorted(folder.iterdir()):
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed


@pytest.mark.parametrize(
    "kind", ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEG2000Lossless", "JPEGLSLossless", "RLELossless"]
)
def test_a_series_whose_pixels_are_compressed_without_loss_gives_the_same_alpha(
    folder, mask, alpha, label, tmp_path, kind
):
    encoded(folder, kind)
    assert label(folder, "--mask", mask, *FORMATS) == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)


@pytest.mark.parametrize("syntax", ["1.2.840.113619.5.2", "1.2.3.4.5.6"])  # of GE, and of nobody
def test_a_transfer_syntax_that_nobody_decodes_is_named(folder, mask, label, capsys, syntax):
    dataset = pydicom.dcmread(folder / MIDDLE)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(folder / MIDDLE, implicit_vr=False, little_endian=True)
    assert label(folder, "--mask", mask) == 1
    why = f"TransferSyntaxUID (0002,0010) = {syntax}: there is no decoder for it here; convert"
    assert why in capsys.readouterr().err


def test_a_deflated_file_is_read_within_a_bound(folder, mask, alpha, label, tmp_path, monkeypatch):
    deflate(folder / MIDDLE)
    assert label(folder, "--mask", mask, *FORMATS) == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)
    monkeypatch.setattr("softmask.data.dicom.LARGEST_FILE", 3_000)
    assert (folder / MIDDLE).stat().st_size < 3_000
    with pytest.raises(DataError, match="it unpacks to more than 3000 bytes; dcmtk's dcmconv"):
        dcmread(folder / MIDDLE)


@pytest.mark.parametrize("turned", [{}, {"rows": True, "columns": True}, {"rows": True, "transposed": True}])
def test_dicom_outputs_lie_on_the_stored_pixels(folder, mask, alpha, label, tmp_path, turned):
    for path in folder.iterdir():
        turn(path, **{"rows": False, "columns": False, **turned})
    assert label(folder, "--mask", mask, "--format", "nifti", "seg", "seg-binary", "report", "rtstruct") == 0
    np.testing.assert_array_equal(read_alpha(tmp_path / "out"), alpha)
    scan = read_volume(folder)
    for ending in ("soft.dcm", "mask.dcm", "rtstruct.dcm"):
        np.testing.assert_array_equal(lesion_mask(scan, tmp_path / "out" / f"ct-{ending}"), alpha >= 0.5)
    image = open_image(folder)
    [mark], problems = read_report(tmp_path / "out" / "ct-report.dcm")
    assert not problems
    z = mark.slice_of(image, None)
    axes = mark.axes(image, z)
    expected = lesion_size({z: alpha[z]}, {z: alpha[z] >= 0.5}, image.grid.spacing_mm).axes
    np.testing.assert_allclose(axes, expected, atol=1e-3)
