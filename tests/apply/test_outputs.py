"""The DICOM SEG: read back by three libraries, and held against the standard's tables of what must be there."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map

from softmask.data.annotations import load as load_annotations
from softmask.data.ct import read_volume
from softmask.data.masks import lesion_mask, slice_at

SHARED, EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
STEP = 0.5 / 255 + 1e-6  # values are rounded to 255ths


@pytest.fixture
def labelled(label, ct, made, tmp_path):
    """Folder of the results, named after case-1."""
    mask = made.write_volume(tmp_path / "mask.nii.gz", made.volume_mask())
    assert label(ct, "--mask", mask) == 0
    return tmp_path / "out"


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


def test_three_libraries_read_the_same_values_at_the_same_place(labelled, made):
    alpha = read_back(labelled / "case-1-soft.dcm", labelled / "case-1-soft.nii.gz")
    for z in made.centres:
        png = made.soft(labelled / "case-1" / f"{z:03d}-soft.png")
        np.testing.assert_allclose(png, alpha[z], atol=1e-5)
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 20


def test_it_belongs_to_its_images_and_says_what_it_is(labelled, ct):
    dataset = pydicom.dcmread(labelled / "case-1-soft.dcm")
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "OCCUPANCY")
    images = {element.SOPInstanceUID: element for element in map(pydicom.dcmread, ct.iterdir())}
    instances = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    referred = {item.ReferencedSOPInstanceUID for item in instances}
    assert referred == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}
    for item in dataset.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert item.PlanePositionSequence[0].ImagePositionPatient == images[source].ImagePositionPatient
    one = images["1.2.3.1"]
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert dataset[name].value == one[name].value
    assert dataset.SeriesInstanceUID != one.SeriesInstanceUID


def test_nothing_is_missing_that_the_standard_asks_for(labelled):
    """Type 1 is there and has a value, type 2 is there, in every module of the SEG IOD (PS3.3 A.51) that applies.

    The tables are the standard's own, as highdicom ships them.
    """
    dataset = pydicom.dcmread(labelled / "case-1-soft.dcm")
    checked = 0
    modules = [element["key"] for element in get_iod_module_map()["segmentation"] if element["usage"] == "M"]
    for module in (*modules, "frame-of-reference", "common-instance-reference"):
        for attribute in get_module_attribute_map()[module]:
            if attribute["path"] in ([SHARED], [EACH]):
                continue  # a macro stands in one of the two, see below
            for parent in parents(dataset, attribute["path"]):
                where = f"{module}: {'.'.join([*attribute['path'], attribute['keyword']])}"
                if attribute["type"] in ("1", "2"):
                    assert attribute["keyword"] in parent, where
                    checked += 1
                if attribute["type"] == "1":
                    value = parent[attribute["keyword"]].value
                    assert value is not None, where
                    assert not hasattr(value, "__len__") or len(value), where
    assert checked > 60
    for macro in ("PixelMeasures", "PlanePosition", "PlaneOrientation", "SegmentIdentification", "DerivationImage"):
        shared = f"{macro}Sequence" in dataset[SHARED][0]
        assert [f"{macro}Sequence" in item for item in dataset[EACH]] == [not shared] * 3, macro


def parents(dataset, path) -> list:
    result = [dataset]
    for name in path:
        result = [item for element in result for item in element.get(name) or ()]
    return result


def test_the_packages_own_reader_cuts_it_at_one_half(labelled, ct):
    mask = lesion_mask(read_volume(ct), labelled / "case-1-soft.dcm")
    stored = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(labelled / "case-1-soft.nii.gz")))
    np.testing.assert_array_equal(mask, np.rint(stored * 255) >= 127.5)


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
