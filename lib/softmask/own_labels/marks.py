"""RECIST marks as people write them down: four ends, in pixels or mm, rows or columns first.

Nothing is guessed. Ends are pixels (row, column) unless it is said that they are columns first or millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmask.data.ct import Grid
from softmask.errors import ConfigError, DataError, LabelError
from softmask.label.recist import validate
from softmask.own_labels.settings import ORDERS, UNITS

SQUARE = 30.0
"""Degrees by which the axes' angle may differ from a right one before that is remarked on."""


@dataclass(frozen=True)
class Mark:
    """The ends of the long axis, then those of the short one, as they were given.

    Attributes:
        ends: (4, 2) numbers. Pixels count from 0 at the centre of the first one. Millimetres are the x (to the
            patient's left) and y (to the back) of DICOM, as viewers that know the patient's axes show them.
        order: ``rc`` (row, column) or ``xy``; mm are ``xy``.
        units: ``px`` or ``mm``.
        uid: SOPInstanceUID of the slice it was drawn on; empty where that is not known.

    Raises:
        ConfigError: an order or unit that is not known; mm that are not ``xy``; not eight finite numbers.
    """

    ends: tuple[tuple[float, float], ...]
    order: str = "rc"
    units: str = "px"
    uid: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (("order", self.order, ORDERS), ("units", self.units, UNITS)):
            if value not in known:
                raise ConfigError(f"unknown {name} {value!r} of RECIST ends; choose from {', '.join(known)}")
        if self.units == "mm" and self.order != "xy":
            raise ConfigError(
                "RECIST ends in mm are x and y of the patient's axes: say --order xy (x0, y0, ... in lists)"
            )
        if np.shape(self.ends) != (4, 2) or not np.isfinite(self.ends).all():
            raise ConfigError(f"a RECIST mark is eight finite numbers, two for each of four ends, not {self.ends}")

    @property
    def text(self) -> str:
        """The ends, order and unit in a line, as the manifest has it."""
        return " ".join(f"{value:g}" for end in self.ends for value in end) + f" {self.order} {self.units}"

    def axes(self, shape: tuple[int, int], grid: Grid | None) -> np.ndarray:
        """(2, 2, 2) float64 (axis, end, (row, column)) in pixels of an image of ``shape`` (H, W), long axis first.

        Raises:
            DataError: mm on an image whose file places nothing in mm.
            LabelError: as :func:`softmask.label.recist.validate`.
        """
        ends = np.array(self.ends, float)
        if self.order == "xy":
            ends = ends[:, ::-1]
        if self.units == "mm":
            if grid is None:
                raise DataError("RECIST ends in mm, but the image's file says nothing of mm; give them in pixels")
            ends = (ends - grid.origin[1::-1]) / grid.spacing_mm[1:]
        try:
            return validate(ends.reshape(2, 2, 2), shape)
        except LabelError as error:
            hint = "; columns before rows must be said (--order xy; x0, y0, ... in lists), and so must mm (--units mm)"
            raise LabelError(f"{error}{hint if 'outside' in str(error) else ''}") from error


def doubts(axes: np.ndarray) -> str:
    """What is odd about two axes (2, 2, 2), in words: they are not perpendicular, or do not cross. Empty for none.

    Such marks exist (readers draw by hand), so they are labelled; but ends in a wrong order look like that, too.
    """
    long, short = axes[0, 1] - axes[0, 0], axes[1, 1] - axes[1, 0]
    if not short.any():
        return ""
    cosine = abs(long @ short) / np.linalg.norm(long) / np.linalg.norm(short)
    angle = np.degrees(np.arccos(min(cosine, 1.0)))
    if angle < 90 - SQUARE:
        return f"the axes meet at {angle:.0f} degrees, not at about 90: check the order of the ends"
    along, across = np.linalg.solve(np.stack([long, -short], axis=1), axes[1, 0] - axes[0, 0])
    reach = 1 / np.linalg.norm(long), 1 / np.linalg.norm(short)  # a pixel, as a share of the axis
    if not all(-over <= place <= 1 + over for place, over in zip((along, across), reach, strict=True)):
        return "the axes do not cross: check the order of the ends"
    return ""
