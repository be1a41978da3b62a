"""Six kinds of nodules in Figure 1 of the papers, and the rule that decides between them.

Ratings and contours decide most kinds. The pleura is not annotated: juxtapleural nodules are guessed from their place
in the frame, which predicted a wall within three pixels with an AUC of 0.69 on 699 real LIDC nodules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from softmask.data.annotations import Nodule

KINDS = ("isolated", "tiny", "cavitary", "ground_glass", "juxtapleural", "calcific")

AIR, NO_CALCIUM = 4, 6
"""LIDC codes: ``internalStructure`` of air, ``calcification`` that is absent."""

TINY_MM = 5.0
"""Largest diameter of a tiny nodule."""

FRAME = 512
"""Number of rows and columns of the CT slice that contour coordinates refer to."""

LUNG_OFFSET, LUNG_HALF_WIDTH, LUNG_HALF_HEIGHT = 90 / FRAME, 70 / FRAME, 110 / FRAME
"""Standard lung in fractions of the frame: offset of its centre from the middle, and half axes of its ellipse."""

PLEURAL_PLACE = 1.18
"""Smallest :attr:`Place.radius` that counts as touching the pleura; 3 in 10 exceed it: a wall touched 29 % of 699."""


class Place(NamedTuple):
    """Place of a nodule in its lung.

    Attributes:
        radius: relative distance, 0 at the centre of the lung, 1 on the standard ellipse.
        outward: (2,) unit (row, column) vector towards the nearest wall, the normal of the ellipse.
        lateral: +1 where columns increase towards the side of the chest, -1 where towards the mediastinum.
    """

    radius: float
    outward: np.ndarray
    lateral: int


def place_of(row: float, column: float) -> Place:
    """Return the place of a nodule whose centre is at (row, column) of the 512 x 512 frame."""
    middle = (FRAME - 1) / 2
    lateral = 1 if column >= middle else -1
    y = (row - middle) / FRAME
    x = (column - middle) / FRAME - lateral * LUNG_OFFSET
    gradient = np.array([y / LUNG_HALF_HEIGHT**2, x / LUNG_HALF_WIDTH**2])
    length = float(np.linalg.norm(gradient))
    outward = gradient / length if length > 0 else np.array([0.0, float(lateral)])
    return Place(float(np.hypot(y / LUNG_HALF_HEIGHT, x / LUNG_HALF_WIDTH)), outward, lateral)


def place_of_nodule(nodule: Nodule) -> Place:
    """Return the place of the middle of the nodule's box."""
    top, left, height, width = nodule.window()
    return place_of(top + height / 2, left + width / 2)


def kind_of(ratings: Sequence[Mapping[str, float]], holes: int, diameter_mm: float, place: float) -> str:
    """Return the kind of a nodule; the first rule that fits decides.

    1. ``cavitary``: a reader saw air inside (``internalStructure`` 4), or at least half of the readers drew an
       exclusion contour.
    2. ``calcific``: at least half of the readers saw calcium (``calcification`` below 6).
    3. ``ground_glass``: median ``texture`` at most 3 (ground glass or part-solid).
    4. ``tiny``: diameter at most 5 mm.
    5. ``juxtapleural``: place at or beyond :data:`PLEURAL_PLACE`.
    6. ``isolated``: all others.

    Args:
        ratings: ratings of each reader, with LIDC names and codes.
        holes: number of readers who drew an exclusion contour anywhere in the nodule.
        diameter_mm: diameter of the circle with the area of the nodule's largest slice.
        place: :attr:`Place.radius`.
    """
    if any(r["internalStructure"] == AIR for r in ratings) or 2 * holes >= len(ratings):
        return "cavitary"
    if 2 * sum(r["calcification"] < NO_CALCIUM for r in ratings) >= len(ratings):
        return "calcific"
    if np.median([r["texture"] for r in ratings]) <= 3:
        return "ground_glass"
    if diameter_mm <= TINY_MM:
        return "tiny"
    return "juxtapleural" if place >= PLEURAL_PLACE else "isolated"


def kind_of_nodule(nodule: Nodule, diameter_mm: float) -> str:
    """Return :func:`kind_of` of an annotated nodule whose largest slice has the equivalent diameter ``diameter_mm``."""
    holes = sum(any(not contour.inclusion for contour in reading.contours) for reading in nodule.readers)
    return kind_of([reading.ratings for reading in nodule.readers], holes, diameter_mm, place_of_nodule(nodule).radius)
