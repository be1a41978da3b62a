"""Lungs from RTSTRUCT, SEG, nrrd and NIfTI: the same outlines give the same mask, and what does not fit is named."""

from __future__ import annotations

import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import HTJ2KLossless
from skimage.draw import polygon2mask

from softmask.data.ct import read_volume
from softmask.data.masks import lesion_mask, lung_mask
from softmask.data.structures import NoLung, side_of
from softmask.data.volume_files import grid_of_file
from softmask.errors import DataError, Doubt

SQUARE = np.array([(4.5, 5.5), (4.5, 11.5), (8.5, 11.5), (8.5, 5.5)])  # (row, column)


@pytest.fixture(scope="module")
def scan(chest, tmp_path_factory):
    return read_volume(chest.write_series(tmp_path_factory.mktemp("scan")))


@pytest.fixture(scope="module")
def sides(chest) -> dict[str, np.ndarray]:
    """(6, 24, 32) bool of each lung, filled by scikit-image."""
    masks = {name: np.zeros(chest.shape, bool) for name in chest.outlines}
    for name, points in chest.outlines.items():
        masks[name][1:5] = polygon2mask(chest.shape[1:], points)
    return masks


@pytest.fixture(scope="module")
def truth(sides) -> np.ndarray:
    return np.logical_or.reduce(list(sides.values()))


def test_names_of_lungs_and_of_other_things():
    names = {
        "both": ("Lungs", "LUNG", "Total Lung", "Lungs_Both"),
        "left": ("Lung-Left", "Lung_L", "Lt Lung"),
        "right": ("lung right", "RT LUNG", "Lung R"),
        None: ("Lungs-GTV", "Lung nodule", "GTV-1", "", "Lung tumor left", "Lung-Left-2mm", "Plunge"),
    }
    for side, examples in names.items():
        assert [side_of(name) for name in examples] == [side] * len(examples)


# ---- the same outlines in every kind of file ----


def test_contours_and_files_of_labels_agree(chest, scan, truth, sides, tmp_path):
    contours = lung_mask(scan, chest.write_rtstruct(tmp_path / "rt.dcm"))
    np.testing.assert_array_equal(contours, truth)
    labels = sides["Lung-Left"] * 2 + sides["Lung-Right"] * np.uint8(1)
    for ending in (".nrrd", ".nii", ".nii.gz"):
        for turned in ("", "RAS"):
            path = chest.write_image(tmp_path / f"{ending[1:]}{turned}{ending}", labels, turned=turned)
            np.testing.assert_array_equal(lung_mask(scan, path), contours)
    half = np.where(truth, 0.5, 0.49) * truth.any(axis=(1, 2), keepdims=True)  # one half is lung
    for masks in (sides, {"Lungs": half}):
        path = chest.write_seg(tmp_path / "seg.dcm", masks, fractional=len(masks) == 1)
        np.testing.assert_array_equal(lung_mask(scan, path), contours)


@given(
    st.lists(st.tuples(st.floats(0.1, 23), st.floats(0.1, 31)), min_size=3, max_size=8, unique=True), st.integers(0, 5)
)
@settings(max_examples=20)
def test_any_outline_is_filled_as_scikit_image_does(chest, scan, tmp_path_factory, points, place):
    points = np.round(np.array(points), 2) + 0.0037  # on no pixel's centre
    expected = np.zeros(chest.shape, bool)
    expected[place] = polygon2mask(chest.shape[1:], points)
    path = chest.write_rtstruct(tmp_path_factory.mktemp("rt") / "rt.dcm", {"Lungs": points}, slices=[place])
    if expected.any():
        np.testing.assert_array_equal(lung_mask(scan, path), expected)
    else:
        with pytest.raises(DataError, match="enclose no pixel"):
            lung_mask(scan, path)


def test_nested_contours_are_holes_and_structures_are_joined(chest, scan, truth, tmp_path):
    square = np.array([(2.5, 2.5), (2.5, 29.5), (21.5, 29.5), (21.5, 2.5)])
    hole = np.array([(8.5, 8.5), (8.5, 12.5), (12.5, 12.5), (12.5, 8.5)])
    outlines = {"GTV-1": hole, "LUNGS": [square, hole]}
    mask = lung_mask(scan, chest.write_rtstruct(tmp_path / "rt.dcm", outlines))
    expected = np.zeros(chest.shape[1:], bool)
    expected[3:22, 3:30] = True
    expected[9:13, 9:13] = False
    np.testing.assert_array_equal(mask[1:5], np.broadcast_to(expected, (4, 24, 32)))
    joined = lung_mask(scan, chest.write_rtstruct(tmp_path / "rt.dcm", {"Lung-Left": square, "Lung-Right": hole}))
    assert joined[2, 9:13, 9:13].all()


def test_contours_to_be_combined_by_exclusive_or_are(chest, scan, tmp_path):
    square, across = (np.array([(2.5, a), (2.5, b), (12.5, b), (12.5, a)]) for a, b in ((2.5, 12.5), (8.5, 20.5)))
    path = chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": [square, across]}, slices=[2])
    expected = np.zeros(chest.shape, bool)
    expected[2, 3:13, 3:21] = True
    np.testing.assert_array_equal(lesion_mask(scan, path), expected)  # CLOSED_PLANAR: joined
    dataset = pydicom.dcmread(path)
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        contour.ContourGeometricType = "CLOSEDPLANAR_XOR"
    dataset.save_as(path)
    expected[2, 3:13, 9:13] = False
    np.testing.assert_array_equal(lesion_mask(scan, path), expected)


def test_planes_between_the_slices_of_a_thinned_scan_are_passed_over(chest, truth, sides, tmp_path):
    thin = read_volume(chest.write_series(tmp_path / "scan", (0, 2, 4)))
    for path in (chest.write_rtstruct(tmp_path / "rt.dcm"), chest.write_seg(tmp_path / "seg.dcm", sides)):
        np.testing.assert_array_equal(lung_mask(thin, path), truth[::2])


# ---- what does not fit ----


def refused(scan, path, message, *, early: bool = True) -> None:
    """Both the whole reading and, where ``early``, the check of the header say so, and name the file."""
    for read in (True, False) if early else (True,):
        with pytest.raises(DataError, match=message) as caught:
            lung_mask(scan, path, read=read)
        assert str(path) in str(caught.value)


def test_another_frame_of_reference(chest, scan, sides, tmp_path):
    path = chest.write_rtstruct(tmp_path / "rt.dcm", frame="1.2.3")
    refused(scan, path, r"ReferencedFrameOfReferenceUID \(3006,0024\) of Lung-Left = 1\.2\.3, but .* lies in 1\.2\.826")
    path = chest.write_seg(tmp_path / "seg.dcm", sides, FrameOfReferenceUID="1.2.3")
    refused(scan, path, r"FrameOfReferenceUID \(0020,0052\) = 1\.2\.3, but")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["GTV-1", "Heart"], r"names no lung \(\d GTV-1, \d Heart\); expected names such as"),
        ([], "names no lung"),
        (["Lung-Left", "Heart"], r"names one lung alone \(\d Lung-Left, \d Heart\)"),
        (["rt lung"], "names one lung alone"),
    ],
)
def test_files_without_both_lungs(chest, scan, truth, tmp_path, names, message):
    outline = chest.outlines["Lung-Left"]
    path = chest.write_rtstruct(tmp_path / "rt.dcm", dict.fromkeys(names, outline))
    refused(scan, path, rf"ROIName \(3006,0026\) {message}")
    if names:
        path = chest.write_seg(tmp_path / "seg.dcm", dict.fromkeys(names, truth))
        refused(scan, path, rf"SegmentLabel \(0062,0005\) {message}")
    if "no lung" in message:
        with pytest.raises(NoLung):
            lung_mask(scan, path, read=False)


@pytest.mark.parametrize(
    ("slices", "shift", "message"),
    [
        (range(1, 5), 1.0, "no plane of .* lies on a slice"),
        (range(1, 5), 500.0, "no plane of .* lies on a slice"),
        ((1, 4), 0.0, "marks nothing in 2 slices between those it marks, such as z = 105 mm"),
    ],
)
def test_planes_of_another_series(chest, scan, truth, tmp_path, slices, shift, message):
    path = chest.write_rtstruct(tmp_path / "rt.dcm", slices=slices, shift=shift)
    refused(scan, path, rf"{message}", early=False)
    mask = np.zeros_like(truth)
    mask[list(slices)] = truth[2]
    origin = (*chest.origin[:2], chest.origin[2] + shift)
    refused(scan, chest.write_seg(tmp_path / "seg.dcm", {"Lungs": mask}, origin=origin), message)


def test_contours_that_are_none(chest, scan, tmp_path):
    path = chest.write_rtstruct(tmp_path / "rt.dcm")
    for field, value, message in (
        ("ContourGeometricType", "POINT", r"ContourGeometricType \(3006,0042\) = POINT"),
        ("ContourData", ["1", "2"], r"ContourData \(3006,0050\) .* has 2 numbers, not 3 a point"),
        ("ContourData", list("123456789"), "is not confined to one axial plane"),
    ):
        dataset = pydicom.dcmread(path)
        setattr(dataset.ROIContourSequence[0].ContourSequence[1], field, value)
        dataset.save_as(tmp_path / "bad.dcm")
        refused(scan, tmp_path / "bad.dcm", message, early=False)
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[1].ContourSequence = []
    dataset.save_as(tmp_path / "bad.dcm")
    refused(scan, tmp_path / "bad.dcm", r"ROIContourSequence \(3006,0039\) has no contour of Lung-Right", early=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": (-19.0, -30.0, 100.0)}, r"ImagePositionPatient \(0020,0032\) = \[-19.0, -30.0\]"),
        ({"pixel": (1.5, 1.26)}, r"PixelSpacing \(0028,0030\) = \[1.5, 1.26\]"),
        ({"SegmentationType": "SURFACE"}, r"SegmentationType \(0062,0001\) = SURFACE"),
        ({"NumberOfFrames": 3}, r"NumberOfFrames \(0028,0008\) = 3, but 8 are placed"),
        ({"NumberOfFrames": 10**9}, "more than is read"),
        ({"Rows": 12}, r"Rows \(0028,0010\) = \[12, 32\]"),
        ({"PerFrameFunctionalGroupsSequence": None}, "a frame's place is missing"),
        ({"Modality": "PT"}, r"Modality \(0008,0060\) = PT"),
        ({"syntax": HTJ2KLossless}, r"TransferSyntaxUID \(0002,0010\) = High-Throughput JPEG 2000.*no decoder"),
    ],
)
def test_a_segmentation_of_another_geometry(chest, scan, sides, tmp_path, changes, message):
    early = "syntax" not in changes
    refused(scan, chest.write_seg(tmp_path / "seg.dcm", sides, **changes), message, early=early)


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_file_of_another_geometry(chest, scan, truth, tmp_path, ending):
    labels = truth.astype(np.uint8)
    for changes, message in (
        ({"origin": (-20.0, -30.0, 102.5)}, r"begin at \[-20. +-30. +102.5\] mm .*resample"),
        ({"spacing": (2.5, 1.5, 1.3)}, r"voxels of \[1.3 1.5 2.5\]"),
    ):
        refused(scan, chest.write_image(tmp_path / f"lungs{ending}", labels, **changes), message)
    refused(scan, chest.write_image(tmp_path / f"lungs{ending}", np.pad(labels, ((0, 1), (0, 0), (0, 0)))), "not among")
    part = lung_mask(scan, chest.write_image(tmp_path / f"lungs{ending}", labels[:5]))
    np.testing.assert_array_equal(part, truth & (np.arange(6) < 5)[:, None, None])


def test_files_that_hold_no_labels(chest, scan, tmp_path):
    soft = np.full(chest.shape, 0.5, np.float32)
    for values, message in (
        (chest.hu(), "has the value -900, which is no label"),
        (soft, "which is no label"),
        (np.zeros(chest.shape, np.uint8), "every voxel has label 0"),
    ):
        refused(scan, chest.write_image(tmp_path / "lungs.nrrd", values), message, early=False)
    (tmp_path / "lungs.png").write_bytes(b"\x89PNG")
    refused(scan, tmp_path / "lungs.png", "DICOM RTSTRUCT or SEG, or a file .nii.gz, .nrrd, .nii was expected")
    refused(scan, tmp_path / "none.nrrd", "no such file")
    refused(scan, next(iter(sorted(scan.path.glob("*.dcm")))), r"Modality \(0008,0060\) = CT")


@given(st.sampled_from(["rt.dcm", "seg.dcm", "lungs.nrrd", "lungs.nii.gz"]), st.floats(0, 0.999))
@settings(max_examples=40)
def test_a_truncated_mask_is_never_another_mask(chest, scan, truth, sides, tmp_path_factory, name, kept):
    path = tmp_path_factory.mktemp("cut") / name
    if name == "rt.dcm":
        chest.write_rtstruct(path)
    elif name == "seg.dcm":
        chest.write_seg(path, sides)
    else:
        chest.write_image(path, truth.astype(np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=name):
        lung_mask(scan, path)


def test_the_real_masks(real_data):
    folder = real_data / "lung-ct" / "LUNG1-001"
    lungs = lung_mask(read_volume(folder), folder / "RTSTRUCT.dcm")
    assert lungs.shape == (67, 512, 512)
    assert np.flatnonzero(lungs.any(axis=(1, 2))).tolist() == list(range(11, 56))
    small = real_data / "lung-ct" / "chest-imaging-platform"
    whole = lung_mask(read_volume(small / "ct-64.nrrd"), small / "wholeLung-64.nrrd")
    assert whole.sum() == 65624
    with pytest.raises(DataError, match="names no lung"):
        lung_mask(read_volume(folder), real_data / "lidc-dicom-seg" / "nodule_LIDC-IDRI-0001.dcm", read=False)


# ---- one lesion: any name, the only segment ----


@pytest.fixture
def nodule(chest) -> np.ndarray:
    mask = np.zeros(chest.shape, bool)
    mask[1, 5:9, 6:12] = mask[4, 6:8, 17:21] = True  # slices between two parts need not be marked
    return mask


def read_with_doubts(scan, path) -> tuple[np.ndarray, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = lesion_mask(scan, path)
    return mask, [str(warning.message) for warning in caught if isinstance(warning.message, Doubt)]


@pytest.mark.parametrize("fractional", [False, True])
def test_the_only_segment_is_taken(chest, scan, nodule, tmp_path, fractional):
    values = np.where(nodule, 0.6, 0.3) * nodule.any(axis=(1, 2), keepdims=True) if fractional else nodule
    path = chest.write_seg(tmp_path / "seg.dcm", {"Nodule 1": values}, fractional=fractional)
    np.testing.assert_array_equal(lesion_mask(scan, path), nodule)


def test_several_segments_and_a_scan_that_is_another_are_named(chest, scan, nodule, tmp_path):
    for options, message in (
        (
            {"masks": {"a": nodule, "b": nodule}},
            r"2 of the 2 structures of SegmentLabel \(0062,0005\) are meant \(1 a, 2 b\)",
        ),
        ({"masks": {"a": nodule}, "FrameOfReferenceUID": "1.2.3"}, "FrameOfReferenceUID"),
        ({"masks": {"a": nodule}, "origin": (0.0, 0.0, 100.0)}, "ImagePositionPatient"),
        ({"masks": {"a": nodule}, "origin": (*chest.origin[:2], 900.0)}, "nothing of it lies on a slice"),
        ({"masks": {"a": nodule * 0.1}, "fractional": True}, "no pixel reaches 0.5; the largest value is 0.10"),
    ):
        path = chest.write_seg(tmp_path / "seg.dcm", options.pop("masks"), **options)
        with pytest.raises(DataError, match=message) as caught:
            lesion_mask(scan, path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_a_mask_of_another_patient_on_the_same_frame_is_doubted(chest, scan, nodule, tmp_path, kind):
    if kind == "SEG":
        path = chest.write_seg(tmp_path / "mask.dcm", {"Nodule": nodule})
    else:
        path = chest.write_rtstruct(tmp_path / "mask.dcm", {"Nodule": SQUARE}, slices=[2])
    expected = lesion_mask(scan, path)
    dataset = pydicom.dcmread(path)
    for patient, warned in ((scan.patient, 0), ("", 0), ("somebody else", 1)):
        dataset.PatientID = patient
        dataset.save_as(path)
        mask, doubts = read_with_doubts(scan, path)
        np.testing.assert_array_equal(mask, expected)
        assert ["PatientID (0010,0020) is somebody else, and" in doubt for doubt in doubts] == [True] * warned


def test_what_is_left_out_is_said(chest, scan, nodule, tmp_path):
    nodule[:] = False
    nodule[1:4, 5:9, 6:12] = True
    skipped = nodule.copy()
    skipped[2] = False
    sparse = read_volume(chest.write_series(tmp_path / "sparse", (0, 2, 4)))
    contours = chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": SQUARE}, slices=[1, 2, 3])
    for grid, path, expected, doubt in (
        (scan, chest.write_seg(tmp_path / "skipped.dcm", {"Nodule": skipped}), skipped, "no mark in slices 2, between"),
        (sparse, chest.write_seg(tmp_path / "seg.dcm", {"Nodule": nodule}), nodule[::2], "marks 2 planes that lie on"),
        (sparse, contours, nodule[::2], "marks 2 planes that lie on"),
    ):
        mask, [said] = read_with_doubts(grid, path)
        np.testing.assert_array_equal(mask, expected)
        assert said.startswith(f"{path}: {doubt}")
    first = read_volume(chest.write_series(tmp_path / "one", (2,)))
    for path in (contours, tmp_path / "seg.dcm"):
        np.testing.assert_array_equal(lesion_mask(first, path), nodule[2:3])


def test_two_frames_of_a_segment_on_a_slice_are_joined_and_doubted(chest, scan, nodule, tmp_path):
    path = chest.write_seg(tmp_path / "seg.dcm", {"Nodule": nodule, "again": np.roll(nodule, 1, axis=2)})
    dataset = pydicom.dcmread(path)
    dataset.SegmentSequence.pop()
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1
    dataset.save_as(path)
    with pytest.warns(Doubt, match="two frames of a segment lie on slice [14] and differ"):
        np.testing.assert_array_equal(lesion_mask(scan, path), nodule | np.roll(nodule, 1, axis=2))


@pytest.mark.parametrize("kind", ["contours", "frames"])
def test_a_place_beside_the_image_that_it_names_is_doubted(chest, scan, nodule, tmp_path, kind):
    seg = chest.write_seg(tmp_path / "seg.dcm", {"Nodule": nodule})
    path = seg if kind == "frames" else chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": SQUARE}, slices=[1, 4])
    dataset = pydicom.dcmread(path)
    for named, moved, doubted in (("", 0, 0), ("", 1, 2), ("1.2.3", 0, 0)):  # its own slices, others, another series
        for place, item in enumerate(
            dataset.get("PerFrameFunctionalGroupsSequence") or dataset.ROIContourSequence[0].ContourSequence
        ):
            image = pydicom.Dataset()
            image.ReferencedSOPInstanceUID = named or scan.uids[(1, 4)[place] - moved]
            if kind == "frames":
                item.DerivationImageSequence = [pydicom.Dataset()]
                item.DerivationImageSequence[0].SourceImageSequence = [image]
            else:
                item.ContourImageSequence = [image]
        dataset.save_as(path)
        mask, doubts = read_with_doubts(scan, path)
        np.testing.assert_array_equal(mask.any(axis=(1, 2)), nodule.any(axis=(1, 2)))
        texts = [doubt for doubt in doubts if "as their source" in doubt]
        assert len(texts) == bool(doubted)
        assert all(f"{doubted} {kind} lie on other slices than those they name" in text for text in texts)


def test_contours_that_an_offset_moves_are_refused(chest, scan, tmp_path):
    path = chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": SQUARE}, slices=[2])
    dataset = pydicom.dcmread(path)
    for offset, moved in (([0, 0, 0], False), ([8, 0, 0], True)):
        dataset.ROIContourSequence[0].ContourSequence[0].ContourOffsetVector = offset
        dataset.save_as(path)
        if moved:
            with pytest.raises(DataError, match=r"rt.dcm: .*ContourOffsetVector \(3006,0045\), which is retired"):
                lesion_mask(scan, path)
        else:
            assert lesion_mask(scan, path)[2].any()


def test_a_fraction_above_the_stated_largest_is_refused(chest, scan, nodule, tmp_path):
    dataset = pydicom.dcmread(chest.write_seg(tmp_path / "seg.dcm", {"Nodule": nodule * 1.0}, fractional=True))
    dataset.MaximumFractionalValue = 100
    dataset.save_as(tmp_path / "seg.dcm")
    with pytest.raises(DataError, match=r"holds 200, above MaximumFractionalValue \(0062,000e\) = 100"):
        lesion_mask(scan, tmp_path / "seg.dcm")


def test_a_number_goes_before_a_name(chest, scan, nodule, tmp_path):
    path = chest.write_seg(tmp_path / "seg.dcm", {"2": nodule, "1": ~nodule})
    with pytest.warns(Doubt, match=r"number 1 was taken, and not that named 1 \(1 2, 2 1\)"):
        np.testing.assert_array_equal(lesion_mask(scan, path, "1"), nodule)


def test_the_background_of_a_labelmap_is_no_structure(chest, scan, nodule, tmp_path):
    dataset = pydicom.dcmread(chest.write_seg(tmp_path / "seg.dcm", {"Nodule": nodule * 1.0}, fractional=True))
    dataset.SegmentationType = "LABELMAP"
    background = pydicom.Dataset()
    background.SegmentNumber, background.SegmentLabel = 0, "Background"
    dataset.SegmentSequence.insert(0, background)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.SegmentIdentificationSequence
    dataset.PixelData = nodule[[1, 4]].astype(np.uint8).tobytes()
    dataset.save_as(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(lesion_mask(scan, tmp_path / "seg.dcm"), nodule)


@pytest.mark.parametrize("points", [1, 2])
def test_a_contour_that_encloses_nothing_is_said(chest, scan, tmp_path, points):
    path = chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": SQUARE}, slices=[2, 3])
    expected = lesion_mask(scan, path)
    dataset = pydicom.dcmread(path)
    drawn = dataset.ROIContourSequence[0].ContourSequence
    short = pydicom.Dataset()
    short.ContourGeometricType, short.ContourData = "CLOSED_PLANAR", drawn[0].ContourData[: 3 * points]
    dataset.ROIContourSequence[0].ContourSequence = [*drawn, short]
    dataset.save_as(path)
    with pytest.warns(Doubt, match="1 of its contours have one or two points"):
        np.testing.assert_array_equal(lesion_mask(scan, path), expected)


def test_a_point_beside_closed_contours_is_passed_over(chest, scan, tmp_path):
    path = chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": SQUARE}, slices=[2, 3])
    expected = lesion_mask(scan, path)
    dataset = pydicom.dcmread(path)
    drawn = dataset.ROIContourSequence[0].ContourSequence
    point = pydicom.Dataset()
    point.ContourGeometricType, point.ContourData = "POINT", drawn[0].ContourData[:3]
    dataset.ROIContourSequence[0].ContourSequence = [point, *drawn]
    dataset.save_as(path)
    with pytest.warns(Doubt, match="1 POINTs beside the closed contours were passed over"):
        np.testing.assert_array_equal(lesion_mask(scan, path), expected)
    dataset.ROIContourSequence[0].ContourSequence = [point]
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"ContourGeometricType \(3006,0042\) = POINT"):
        lesion_mask(scan, path)


@pytest.mark.parametrize(
    ("shift", "share"),
    [((0, 0), ""), ((0, -9), "50.0%"), ((0, 23), "50.0%"), ((-7, 0), "50.0%"), ((-7, 23), "75.0%"), ((0, 20), "")],
)
def test_a_contour_that_leaves_the_image_is_doubted(chest, scan, tmp_path, shift, share):
    """The picture of (24, 32) pixels ends at half a pixel around them, where a whole body may be cut."""
    path = chest.write_rtstruct(tmp_path / "rt.dcm", {"Nodule": SQUARE + shift}, slices=[2, 3])
    said = [f"{path}: {share} of its area lies beside {scan.path} in x or y, and is cut off"] if share else []
    assert read_with_doubts(scan, path)[1] == said


def test_probabilities_are_to_be_thresholded(chest, scan, tmp_path):
    values = np.zeros(chest.shape, np.float32)
    values[2, 5:9, 5:9] = 0.75
    path = chest.write_image(tmp_path / "p.nrrd", values)
    with pytest.raises(DataError, match=r"has the value 0\.75, .* of probabilities, threshold it at 0\.5"):
        lesion_mask(scan, path)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("m.nhdr", "detached: save as one .nrrd"), ("m.mha", "convert to NIfTI or nrrd"), ("m.zip", "unpack it")],
)
def test_other_kinds_of_file_have_a_remedy(scan, tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"anything" * 99)
    with pytest.raises(DataError, match=f"was expected; {remedy}"):
        lesion_mask(scan, tmp_path / name)
    with pytest.raises(DataError, match=f"; {remedy}"):
        grid_of_file(tmp_path / name)
