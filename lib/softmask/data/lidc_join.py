"""Comparison of a nodule's published masks with the contours of the annotation database, which finds wrong nodules.

LIDC-IDRI-slices was made of the contours that the database holds, so a right mask is its reader's contour, filled,
pixel for pixel (:mod:`softmask.data.rasterise`). In about one published nodule of forty some are not. Where a reading
begins below the first published slice, its lowest slices stand at the end of its mask, or are drawn into the slices
there, so that the readers' masks of one slice belong to different places of the lesion; and behind the slices of a
patient's later scan, those of an earlier scan's nodule of the same number may be left. Such files are whole: only the
contours tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from softmask.data.annotations import Nodule
from softmask.data.clusters import READERS


def fault_of(published: Sequence[np.ndarray], nodule: Nodule) -> str | None:
    """Return in words the fault of a nodule's published masks; None when they are the nodule's contours.

    Compared is what lies inside the masks' common bounding box, for the crop's place in the frame is not published.

    Two things are not faults. A reader whose masks are all empty though the database has contours of that reader: the
    published set misses the reading, and the other readers' masks are right. Slices that are in the database and not
    published, as in a copy with files missing: the others must be in the database's order.

    Args:
        published: the nodule's (4, H, W) bool masks, by ascending slice number. Slices that no reader marked count
            neither here nor in the database.
        nodule: the database's nodule of the same name.
    """
    readers = [place for place in range(READERS) if any(masks[place].any() for masks in published)]
    top, left, bottom, right = nodule.box()
    window = (top, left, bottom - top + 1, right - left + 1)
    contours = [nodule.masks(z, window)[0] for z in nodule.slices()]
    # the fewest masks without which the others agree are at fault; without any mask nothing disagrees
    choices = (wrong for count in range(len(readers) + 1) for wrong in combinations(readers, count))
    faults = next(
        wrong
        for wrong in choices
        if _in_order(_outlines(published, readers, wrong), _outlines(contours, readers, wrong))
    )
    return "; ".join(_words(place, published, contours) for place in faults) or None


def _words(place: int, published: Sequence[np.ndarray], contours: Sequence[np.ndarray]) -> str:
    theirs = set(_outlines(contours, [place]))
    if theirs.issuperset(_outlines(published, [place])):
        return f"mask-{place} holds reader {place + 1}'s contours, but not in the slices or places they belong to"
    return f"mask-{place} holds other outlines than reader {place + 1}'s contours"


def _outlines(
    slices: Sequence[np.ndarray], readers: Sequence[int], without: Sequence[int] = ()
) -> list[tuple[tuple[int, ...], bytes]]:
    """The masks of ``readers`` in each slice that one of them marked, cut to their common bounding box: comparable."""
    places = [place for place in readers if place not in without]
    outlines = []
    for masks in slices:
        masks = masks[places]
        marked = masks.any(axis=0)
        rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
        if len(rows):
            masks = masks[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            outlines.append((masks.shape, masks.tobytes()))
    return outlines


def _in_order(some: Sequence, everything: Sequence) -> bool:
    """Whether ``some`` is ``everything`` or what is left of it when items are taken away."""
    rest = iter(everything)
    return all(item in rest for item in some)  # `in` uses up what comes before the item
