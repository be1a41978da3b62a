"""The DICOM outputs: the same masks, areas and diameters in several libraries, linked to one another and to the images,
with all that the standard asks for; and headers that lack something."""

from __future__ import annotations

import shutil
import subprocess

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map
from pydicom.sr.codedict import codes

from softmask.apply import IN_DICOM, KINDS
from softmask.data.annotations import load as load_annotations
from softmask.data.ct import read_volume
from softmask.data.masks import slice_at
from softmask.data.outlines import fill

SHARED, EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
STEP = 0.5 / 255 + 1e-6  # values are rounded to 255ths


@pytest.fixture(scope="module")
def results(tmp_path_factory, ct, made):
    """Folder of all formats, named after case-1: soft and binary mask of three slices with pixels of 0.7 x 0.8 mm."""
    from softmask import cli

    folder = tmp_path_factory.mktemp("results")
    mask = made.write_volume(folder / "mask.nii.gz", made.volume_mask())
    arguments = [ct, "--mask", mask, "--out", folder / "out", "--jobs", 1, "--format", *KINDS]
    assert cli.main(["label", *map(str, arguments)]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def row(results, made):
    return made.read_manifest(results)["case-1"]


def by_slice(dataset, frames, made) -> dict[int, np.ndarray]:
    """Frames by the number of the slice that they lie on."""
    places = [item.PlanePositionSequence[0].ImagePositionPatient for item in dataset[EACH]]
    assert all(tuple(place[:2]) == made.origin[:2] for place in places)
    return {
        round((place[2] - made.origin[2]) / made.spacing[0]): frame for place, frame in zip(places, frames, strict=True)
    }


def test_every_format_is_there_and_done_without_a_doubt(results, row):
    assert row["formats"] == " ".join(KINDS)
    assert row["message"] == ""
    assert all((results / f"case-1-{kind}").is_file() for name in KINDS for kind in KINDS[name] if name != "png")


def test_the_masks_are_the_same_in_all_files_and_libraries(results, made):
    mask = made.voxels(results / "case-1-mask.nii.gz") > 0
    assert [mask[z].any() for z in range(5)] == [False, True, True, True, False]
    np.testing.assert_array_equal(made.voxels(results / "case-1-mask.seg.nrrd") > 0, mask)
    for name in ("mask", "labelmap"):
        path = results / f"case-1-{name}.dcm"
        dataset = pydicom.dcmread(path)
        for z, frame in by_slice(dataset, dataset.pixel_array, made).items():
            np.testing.assert_array_equal(frame > 0, mask[z])
        volume = hd.seg.segread(path).get_volume(combine_segments=True).to_patient_orientation("HPL")
        np.testing.assert_array_equal(volume.array > 0, mask[1:4])
    np.testing.assert_array_equal(made.voxels(results / "case-1-mask.dcm")[::-1] > 0, mask[1:4])  # from the head down
    drawn = np.zeros(mask.shape, bool)
    structures = pydicom.dcmread(results / "case-1-rtstruct.dcm")
    for contour in structures.ROIContourSequence[0].ContourSequence:
        x, y, z = np.reshape(contour.ContourData, (-1, 3)).astype(float).T
        points = np.stack([(y - made.origin[1]) / made.spacing[1], (x - made.origin[0]) / made.spacing[2]], axis=1)
        place = round((z[0] - made.origin[2]) / made.spacing[0])
        assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.{place}"
        drawn[place] ^= fill(points, mask.shape[1:])
    np.testing.assert_array_equal(drawn, mask)


def read_back(seg, nifti, atol_mm: float = 1e-3) -> np.ndarray:
    """(D, H, W) alpha of the NIfTI file, after the SEG was seen to say the same in all three libraries."""
    volume = SimpleITK.ReadImage(str(nifti))
    alpha, (_, _, z_0), (_, _, step) = SimpleITK.GetArrayFromImage(volume), volume.GetOrigin(), volume.GetSpacing()

    dataset = pydicom.dcmread(seg)
    stored = dataset.pixel_array.reshape(-1, *alpha.shape[1:]) / dataset.MaximumFractionalValue
    places = []
    for frame, item in zip(stored, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        x, y, z = item.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose((x, y), volume.GetOrigin()[:2], atol=atol_mm)
        places.append(round((z - z_0) / step))
        np.testing.assert_allclose(z, z_0 + step * places[-1], atol=atol_mm)
        np.testing.assert_allclose(frame, alpha[places[-1]], atol=STEP)
    assert not np.delete(alpha, places, axis=0).any()

    by_highdicom = hd.seg.segread(seg).get_volume(rescale_fractional=True, combine_segments=False)
    by_sitk = SimpleITK.ReadImage(str(seg))
    for z in places:
        for row, column in [(0, 0), *np.argwhere(alpha[z] > 0)[::7]]:
            point = volume.TransformIndexToPhysicalPoint((int(column), int(row), int(z)))
            index = by_sitk.TransformPhysicalPointToIndex(point)
            assert abs(by_sitk[index] / 255 - alpha[z, row, column]) <= STEP
            index = np.rint(by_highdicom.map_reference_to_indices(np.array([point]))[0]).astype(int)
            assert abs(float(np.squeeze(by_highdicom.array[tuple(index)])) - alpha[z, row, column]) <= STEP
    np.testing.assert_allclose(by_sitk.GetSpacing(), volume.GetSpacing(), rtol=1e-6)
    return alpha


def test_three_libraries_read_the_same_soft_mask_at_the_same_place(results, made):
    alpha = read_back(results / "case-1-soft.dcm", results / "case-1-soft.nii.gz")
    for z in made.centres:
        np.testing.assert_allclose(made.soft(results / "case-1" / f"{z:03d}-soft.png"), alpha[z], atol=1e-5)
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 20


def test_it_belongs_to_its_images_and_says_what_it_is(results, ct):
    dataset = pydicom.dcmread(results / "case-1-soft.dcm")
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "OCCUPANCY")
    images = {element.SOPInstanceUID: element for element in map(pydicom.dcmread, ct.iterdir())}
    instances = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    referred = {item.ReferencedSOPInstanceUID for item in instances}
    assert referred == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}
    for item in dataset.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert item.PlanePositionSequence[0].ImagePositionPatient == images[source].ImagePositionPatient
    image = images["1.2.3.1"]
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert dataset[name].value == image[name].value
    assert dataset.SeriesInstanceUID != image.SeriesInstanceUID


def test_the_parametric_map_holds_alpha_itself(results, made):
    alpha = made.voxels(results / "case-1-soft.nii.gz")
    np.testing.assert_array_equal(made.voxels(results / "case-1-soft.nrrd"), alpha)
    path = results / "case-1-map.dcm"
    dataset = pydicom.dcmread(path)
    for z, frame in by_slice(dataset, dataset.pixel_array, made).items():
        np.testing.assert_array_equal(frame, alpha[z])
    np.testing.assert_array_equal(dataset.pixel_array, alpha[1:4])  # from the feet up
    volume = hd.imread(path).get_volume().to_patient_orientation("HPL")
    np.testing.assert_allclose(volume.array, alpha[1:4], atol=1e-7)


def test_slicers_segment_covers_the_volume(results):
    reader = SimpleITK.ReadImage(str(results / "case-1-mask.seg.nrrd"))
    assert reader.GetMetaData("Segment0_Extent") == "0 47 0 39 0 4"
    assert reader.GetMetaData("Segment0_LabelValue") == "1"
    scan = SimpleITK.ReadImage(str(results / "case-1-soft.nii.gz"))
    np.testing.assert_allclose(reader.GetOrigin(), scan.GetOrigin(), atol=1e-4)


def groups(report, kind: str):
    result = getattr(report.content, f"get_{kind}_measurement_groups")()
    return {str(group.method and group.method.meaning): group for group in result}


def number(group, name) -> float:
    [measurement] = group.get_measurements(name=name)
    return float(measurement.value)


def test_the_report_says_what_the_manifest_and_the_files_say(results, row, made):
    report = hd.sr.srread(results / "case-1-report.dcm")
    alpha, mask = (made.voxels(results / f"case-1-{kind}.nii.gz") for kind in ("soft", "mask"))
    z, pixel = int(row["measured_slice"]), made.spacing[1] * made.spacing[2]
    [linear] = report.content.get_image_measurement_groups()
    planar, volumetric = groups(report, "planar_roi"), groups(report, "volumetric_roi")
    segmentation = pydicom.dcmread(results / "case-1-soft.dcm")
    for prefix, method, values in (
        ("", "Binary Segmentation", mask),
        ("soft_", "Fractional Occupancy Segmentation", alpha.astype(float)),
    ):
        area, volume = number(planar[method], codes.SCT.Area), number(volumetric[method], codes.SCT.Volume)
        assert area == float(row[f"{prefix}area_mm2"]) == pytest.approx(values[z].sum() * pixel, abs=1e-3)
        assert volume == float(row[f"{prefix}volume_mm3"]) == pytest.approx(values.sum() * pixel * 2.5, abs=1e-3)
        frame, _ = planar[method].referenced_segmentation_frame
        reference = frame.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        item = segmentation[EACH][reference.ReferencedFrameNumber - 1]
        assert item.PlanePositionSequence[0].ImagePositionPatient[2] == made.origin[2] + z * made.spacing[0]
        segment = volumetric[method].referenced_segment[0].ReferencedSOPSequence[0]
        assert segment.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert planar[method].tracking_uid == volumetric[method].tracking_uid == linear.tracking_uid
    assert number(linear, codes.SCT.LongAxis) == float(row["long_mm"])
    assert number(linear, codes.SCT.ShortAxis) == float(row["short_mm"])
    # the disc is 14 pixels and a soft edge wide, a pixel 0.7 x 0.8 mm
    assert float(row["long_mm"]) == pytest.approx(15 * 0.8, abs=0.8)
    assert float(row["short_mm"]) == pytest.approx(15 * 0.7, abs=0.7)


MODULES = {
    "seg": "segmentation",
    "seg-binary": "segmentation",
    "map": "parametric-map",
    "report": "comprehensive-sr",
    "rtstruct": "rt-structure-set",
}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_missing_that_the_standard_asks_for(results, name):
    """Type 1 is there and has a value, type 2 is there, in every mandatory module (PS3.3 A) that has no macro.

    The tables are the standard's own, as highdicom ships them.
    """
    dataset = pydicom.dcmread(results / f"case-1-{KINDS[name][0]}")
    checked = 0
    modules = {item["key"] for item in get_iod_module_map()[MODULES[name]] if item["usage"] == "M"}
    if name == "seg":
        modules |= {"frame-of-reference", "common-instance-reference"}  # which apply here
        for macro in ("PixelMeasures", "PlanePosition", "PlaneOrientation", "SegmentIdentification", "DerivationImage"):
            shared = f"{macro}Sequence" in dataset[SHARED][0]
            assert [f"{macro}Sequence" in item for item in dataset[EACH]] == [not shared] * 3, macro
    for module in modules - {"sr-document-content"}:  # whose rules are those of a tree
        for attribute in get_module_attribute_map()[module]:
            path = attribute["path"]
            if path[:1] in ([SHARED], [EACH]):
                continue  # a macro stands in one of the two
            parents = [dataset]
            for keyword in path:
                parents = [item for parent in parents for item in parent.get(keyword) or ()]
            for parent in parents:
                where = f"{module}: {'.'.join([*path, attribute['keyword']])}"
                if attribute["type"] in ("1", "2"):
                    assert attribute["keyword"] in parent, where
                    checked += 1
                if attribute["type"] == "1":
                    assert parent[attribute["keyword"]].value not in (None, "", []), where
    assert checked > 30


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_has_no_error(results):
    for name in IN_DICOM:
        path = results / f"case-1-{KINDS[name][0]}"
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        lines = (said.stdout + said.stderr).splitlines()
        if name == "seg-labelmap" and "Error - Information Object Not found" in lines:
            continue  # a program older than label maps (2024)
        assert not [line for line in lines if line.startswith("Error")], name


@pytest.fixture
def changed(series, made, tmp_path):
    """``changed(change)`` writes the series with ``change(dataset, n)`` done to each slice; its mask lies beside."""
    made.write_volume(tmp_path / "mask.nrrd", made.volume_mask())

    def write(change):
        folder = series(tmp_path / "case", made.hu())
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            change(dataset)
            dataset.save_as(path)
        return folder, "--mask", tmp_path / "mask.nrrd"

    return write


def japanese(dataset):
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def without_thickness(dataset):
    del dataset.SliceThickness


@pytest.mark.parametrize("change", [japanese, without_thickness])
def test_a_legal_header_that_highdicom_does_not_take_is_done_with_a_doubt(
    label, changed, made, tmp_path, capsys, change
):
    out = tmp_path / "out"
    assert label(*changed(change), "--format", *KINDS) == 0
    row = made.read_manifest(out)["case"]
    assert row["status"] == "done"
    assert row["formats"] == " ".join(KINDS)
    for name in IN_DICOM:
        dataset = pydicom.dcmread(out / f"case-{KINDS[name][0]}")
        if change is japanese:
            assert dataset.SpecificCharacterSet == "ISO_IR 192"
            assert str(dataset.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
        elif name in ("seg", "seg-binary", "seg-labelmap", "map"):
            assert dataset[SHARED][0].PixelMeasuresSequence[0].SliceThickness == 2.5
    tag = "SpecificCharacterSet" if change is japanese else "SliceThickness"
    assert f"doubtful: {tag}" in row["message"]
    assert row["message"] in capsys.readouterr().err


def test_an_empty_character_set_is_none(label, changed, made, tmp_path):
    def emptied(dataset):
        dataset.SpecificCharacterSet = ""

    assert label(*changed(emptied), "--format", "seg", "report") == 0
    row = made.read_manifest(tmp_path / "out")["case"]
    assert (row["formats"], row["message"]) == ("seg report", "")


def test_a_damaged_date_is_left_empty_and_named(label, changed, made, tmp_path):
    def without_a_month(dataset):
        dataset.add(pydicom.DataElement("StudyDate", "DA", "20201340", validation_mode=0))

    out = tmp_path / "out"
    assert label(*changed(without_a_month), "--format", "seg", "report") == 0
    assert "StudyDate (0008,0020) is '20201340'; it is empty" in made.read_manifest(out)["case"]["message"]
    assert pydicom.dcmread(out / "case-soft.dcm").StudyDate == ""


def test_an_output_that_cannot_be_made_does_not_fail_the_others(label, changed, made, tmp_path, capsys):
    def without_study(dataset):
        del dataset.StudyInstanceUID

    arguments, out = changed(without_study), tmp_path / "out"
    assert label(*arguments) == 0
    row = made.read_manifest(out)["case"]
    assert row["formats"] == "png nifti"
    assert "StudyInstanceUID (0020,000d), which the DICOM outputs must repeat; correct the header" in row["message"]
    assert "doubtful" in capsys.readouterr().err
    assert not list(out.glob("*.dcm"))
    assert label(*arguments) == 0
    assert "0 labelled, 1 done before" in capsys.readouterr().out
    assert label(*arguments, "--format", "seg") == 1  # and there is no other
    assert "StudyInstanceUID" in made.read_manifest(out)["case"]["message"]


def test_a_hole_is_a_hole_in_the_structure_set(label, series, made, tmp_path):
    ring = made.disc(radius=9) & ~made.disc(radius=4)
    hu = np.where(ring, 0, -900).astype(np.int16)[None].repeat(2, axis=0)
    folder = series(tmp_path / "ring", hu)
    mask = made.write_volume(tmp_path / "ring.nrrd", np.stack([ring, ring]))
    assert label(folder, "--mask", mask, "--format", "rtstruct", "nifti") == 0
    structures = pydicom.dcmread(tmp_path / "out" / "ring-rtstruct.dcm")
    contours = structures.ROIContourSequence[0].ContourSequence
    assert [contour.ContourGeometricType for contour in contours] == ["CLOSEDPLANAR_XOR"] * 4


def test_a_name_outside_ascii(label, ct, made, tmp_path):
    mask = made.write_volume(tmp_path / "mask.nrrd", made.volume_mask())
    assert label(ct, "--mask", mask, "--name", "Knoten-ä", "--format", "seg") == 0
    assert pydicom.dcmread(tmp_path / "out" / "Knoten-ä-soft.dcm").SeriesDescription == "Soft mask: Knoten-ä"


def test_the_real_scans_four_readers(real_data, label, tmp_path):
    """LIDC-IDRI-0314, whose readers' outlines stand in the annotation database."""
    folder = real_data / "lidc-idri-0314"
    if not folder.is_dir():
        pytest.skip("lidc-idri-0314 is not there")
    grid = read_volume(folder)
    [nodule] = load_annotations().of_series(grid.series_uid)
    masks = np.zeros((4, *grid.shape), np.uint8)
    for z in nodule.slices():
        place = slice_at(grid, z)
        if place is not None:
            masks[:, place] = nodule.masks(z, (0, 0, *grid.shape[1:]))[0]
    paths = []
    for number, mask in enumerate(masks):
        image = SimpleITK.GetImageFromArray(mask)
        image.SetOrigin(grid.origin)
        image.SetSpacing(grid.spacing_mm[::-1])
        paths.append(tmp_path / f"reader-{number}.nrrd")
        SimpleITK.WriteImage(image, str(paths[-1]))
    assert label(folder, "--readers", *paths, "--format", "nifti", "seg") == 0
    out = tmp_path / "out"
    alpha = read_back(out / "lidc-idri-0314-soft.dcm", out / "lidc-idri-0314-soft.nii.gz")
    votes = masks.sum(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(alpha.any(axis=(1, 2))), np.flatnonzero(votes.any(axis=(1, 2))))
    assert (alpha[votes == 4] == 1).all()


@pytest.mark.parametrize("marked", [(2,), (1, 3), (0, 1, 4)])
def test_frames_lie_as_far_apart_as_the_slices_whatever_the_header_and_the_gaps_say(series, made, tmp_path, marked):
    from softmask import cli

    folder = series(tmp_path / "ct", made.hu())
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SpacingBetweenSlices = 5.0  # wrong: positions are 2.5 mm apart
        dataset.save_as(path)
    mask = np.zeros((5, *made.size), bool)
    for z in marked:
        mask[z] = made.disc()
    arguments = [folder, "--mask", made.write_volume(tmp_path / "mask.nii.gz", mask), "--out", tmp_path / "out"]
    assert cli.main(["label", *map(str, arguments), "--format", "nifti", "seg", "seg-binary", "map"]) == 0
    written = made.voxels(tmp_path / "out/ct-mask.nii.gz") > 0
    for kind in ("soft", "mask", "map"):
        path = tmp_path / f"out/ct-{kind}.dcm"
        dataset = pydicom.dcmread(path)
        assert dataset[SHARED][0].PixelMeasuresSequence[0].SpacingBetweenSlices == 2.5
        assert dataset.NumberOfFrames == max(marked) - min(marked) + 1
        if kind != "map":  # which ITK does not read
            assert SimpleITK.ReadImage(str(path)).GetSpacing() == pytest.approx(made.spacing[::-1])
    volume = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "out/ct-mask.dcm"))) > 0
    np.testing.assert_array_equal(volume[::-1], written[min(marked) : max(marked) + 1])
