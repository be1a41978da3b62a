"""The written rule for nodule kinds, and the place of a nodule in its lung."""

import numpy as np
import pytest

from softmask.data.kinds import FRAME, KINDS, LUNG_OFFSET, PLEURAL_PLACE, kind_of, place_of


def reading(**changes):
    return {"internalStructure": 1, "calcification": 6, "texture": 5} | changes


@pytest.mark.parametrize(
    ("ratings", "holes", "diameter", "place", "kind"),
    [
        ([reading()] * 4, 0, 9.0, 0.5, "isolated"),
        ([reading()] * 4, 0, 5.0, 0.5, "tiny"),
        ([reading()] * 4, 0, 5.1, PLEURAL_PLACE, "juxtapleural"),
        ([reading()] * 4, 0, 4.0, 2.0, "tiny"),
        ([reading(texture=1), reading(texture=3), reading(texture=5)], 0, 9.0, 2.0, "ground_glass"),
        ([reading(texture=3), reading(texture=4)], 0, 9.0, 0.1, "isolated"),
        ([reading(calcification=3), reading()], 0, 3.0, 0.1, "calcific"),
        ([reading(calcification=3), reading(), reading()], 0, 9.0, 0.1, "isolated"),
        ([reading(), reading(internalStructure=4, calcification=1)], 0, 9.0, 0.1, "cavitary"),
        ([reading()] * 4, 2, 9.0, 0.1, "cavitary"),
        ([reading()] * 4, 1, 9.0, 0.1, "isolated"),
    ],
)
def test_rule(ratings, holes, diameter, place, kind):
    assert kind_of(ratings, holes, diameter, place) == kind
    assert kind in KINDS


def test_place_grows_outwards_and_points_to_the_wall():
    middle = (FRAME - 1) / 2
    centre = middle + LUNG_OFFSET * FRAME
    lateral = place_of(middle, centre + 60)
    assert lateral.lateral == 1
    assert lateral.outward == pytest.approx([0, 1], abs=1e-6)
    assert place_of(middle, centre + 20).radius < lateral.radius
    left = place_of(middle + 90, middle - LUNG_OFFSET * FRAME)
    assert left.lateral == -1
    assert left.outward == pytest.approx([1, 0], abs=1e-6)
    at_centre = place_of(middle, centre)
    assert np.linalg.norm(at_centre.outward) == pytest.approx(1)
