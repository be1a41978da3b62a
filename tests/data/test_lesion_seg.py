"""One lesion in a DICOM SEG: any name, its only segment, on the slices of the scan."""

from __future__ import annotations

import numpy as np
import pytest

from softmask.data.ct import read_grid
from softmask.data.masks import lesion_mask
from softmask.errors import DataError


@pytest.fixture
def grid(chest, tmp_path):
    return read_grid(chest.write_series(tmp_path / "ct"))


@pytest.fixture
def nodule(chest) -> np.ndarray:
    mask = np.zeros(chest.shape, bool)
    mask[1, 5:9, 6:12] = mask[4, 6:8, 7:11] = True  # slices between need not be marked
    return mask


@pytest.mark.parametrize("fractional", [False, True])
def test_the_only_segment_is_taken(chest, grid, nodule, tmp_path, fractional):
    values = np.where(nodule, 0.6, 0.3) * nodule.any(axis=(1, 2), keepdims=True) if fractional else nodule
    path = chest.write_seg(tmp_path / "seg.dcm", {"Nodule 1": values}, fractional=fractional)
    np.testing.assert_array_equal(lesion_mask(path, grid), nodule)


def test_several_segments_and_a_scan_that_is_another_are_named(chest, grid, nodule, tmp_path):
    for options, message in (
        ({"masks": {"a": nodule, "b": nodule}}, r"2 segments by SegmentLabel \(0062,0005\) \(a, b\)"),
        ({"masks": {"a": nodule}, "FrameOfReferenceUID": "1.2.3"}, "FrameOfReferenceUID"),
        ({"masks": {"a": nodule}, "origin": (0.0, 0.0, 100.0)}, "ImagePositionPatient"),
        ({"masks": {"a": nodule}, "origin": (*chest.origin[:2], 900.0)}, "nothing of it lies on a slice"),
    ):
        path = chest.write_seg(tmp_path / "seg.dcm", options.pop("masks"), **options)
        with pytest.raises(DataError, match=message) as caught:
            lesion_mask(path, grid)
        assert str(path) in str(caught.value)
