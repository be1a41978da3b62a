import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt

from softmask.distance import distance_inside


@pytest.fixture
def threads():
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24)))
def test_is_scipys_in_single_precision(region):
    distance = distance_inside(region)
    assert distance.dtype == np.float32
    if not region.all():
        np.testing.assert_array_equal(distance, distance_transform_edt(region).astype(np.float32))


@pytest.mark.parametrize("size", [256, 400])
def test_is_the_same_on_any_number_of_threads_wherever_memory_lies(size, threads):
    # IPP takes images of this size on one thread, and then the sixth digit hangs on the address of the result
    coarse = np.random.default_rng(size).normal(size=(12, 12)).astype(np.float32)
    region = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) > 0.3
    exact = distance_transform_edt(region).astype(np.float32)
    held = []
    for count in (1, 2, 4):
        threads(count)
        for shift in range(6):
            held.append(np.empty(1000 + 16 * shift, np.uint8))  # moves the next array
            held.append(distance_inside(region))
            np.testing.assert_array_equal(held[-1], exact)


@given(st.booleans())
def test_leaves_the_switch_as_it_was(used):
    before = cv2.ipp.useIPP()
    try:
        cv2.ipp.setUseIPP(used)
        distance_inside(np.eye(5, dtype=bool))
        assert cv2.ipp.useIPP() == used
    finally:
        cv2.ipp.setUseIPP(before)
