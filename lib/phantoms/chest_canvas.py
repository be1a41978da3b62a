"""Slice on which a thorax is painted, properties of the patient, and smooth fields continuous between slices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from phantoms.base import generator, smooth_field
from phantoms.thorax import CORTEX_HU, MARROW_HU
from softmask.data.kinds import FRAME

COARSE = 2  # pixels per cell and axis of the grid on which large surfaces are computed


class Habits(NamedTuple):
    """Frequencies of findings at a site, as fractions of the patients."""

    contrast: float  # contrast agent in the blood
    opacity: float  # ground glass or consolidation at the wall
    effusion: float  # fluid beside a lung
    dependent: float  # dense lung at the back
    emphysema: float  # destroyed lung, often with bullae
    scar: float  # scars at the apex
    collapse: float  # airless lung behind the largest nodule


HABITS = {
    "lidc-lung": Habits(0.35, 0.5, 0.2, 0.5, 0.3, 0.3, 0.15),
    "qin-lung": Habits(0.8, 0.45, 0.3, 0.45, 0.4, 0.35, 0.6),
}


class Person:
    """Properties of one patient except the shape of the thorax: tissues, diseases, scanner's table. In mm and HU."""

    def __init__(self, habits: Habits, rng: Generator) -> None:
        def happens(share: float) -> bool:
            return bool(rng.uniform() < share)

        contrast = happens(habits.contrast)
        fluid = [0.0, 0.0]
        if happens(habits.effusion):
            fluid[int(rng.integers(2))] = rng.uniform(10, 45)
            if happens(0.3):
                fluid = [max(fluid) * rng.uniform(0.5, 1), max(fluid)]
        self.effusion = (fluid[0], fluid[1])  # greatest depth of fluid, right and left
        woman = happens(0.45)
        # layers of the wall
        self.muscle = rng.uniform(9, 19) * (0.85 if woman else 1.1)
        self.fat = float(np.clip(rng.gamma(2.4, 5.5), 3, 38))
        self.breast = rng.uniform(0.6, 1.25) if woman else 0.0  # size
        self.arms_up = happens(0.92)
        self.blood = rng.uniform(110, 290) if contrast else rng.uniform(36, 48)
        self.organ = rng.uniform(85, 125) if contrast else rng.uniform(45, 65)  # liver and spleen
        self.bone = rng.uniform(-60, 140)  # HU of the cortex above the usual value
        self.lung = rng.normal(-885, 24)
        self.gravity = rng.uniform(0.1, 0.6)  # rise of the lung's HU per mm to the back
        self.emphysema = rng.uniform(0.15, 0.6) if happens(habits.emphysema) else 0.0  # destroyed share
        self.dependent = rng.uniform(4, 16) if happens(habits.dependent) else 0.0  # dense band at the back
        self.scar = rng.uniform(0.4, 1.0) if happens(habits.scar) else 0.0  # strength of scars at the apex
        self.gas = happens(0.8)  # whether the stomach holds gas
        self.meal = rng.uniform(-0.6, 0.3)  # level of the other content, as a fraction of the stomach's half height
        self.motion = rng.gamma(1.5, 1.2)  # movement of diaphragm and heart during a rotation
        self.table = int(rng.integers(5))  # kind (paint_table); couches, kinds 3 and 4, vary most
        self.make = tuple(rng.uniform(size=6).tolist())  # parameters of the table's make
        self.arm_rest = happens(0.4)
        self.table_gap = rng.uniform(2, 20)  # below the back
        self.blanket = happens(0.7)
        self.round_field = happens(0.5)  # whether the scanner leaves the corners empty
        self.streaks = rng.uniform(0.2, 1.2)  # strength of the noise caused by the shoulders
        self.collapse = happens(habits.collapse)  # whether the lung behind the largest nodule is airless


class Canvas:
    """Slice of a :class:`~phantoms.chest.Chest` that is being painted.

    Attributes:
        hu: (512, 512) float32.
        x, y: (1, 512) and (512, 1) mm along the body's axes; cx, cy: the same on the coarse grid, (1, 256), (256, 1).
        z_mm, t: height in the scan and level in the body.
        spacing: pixel size in mm.
        waves, fine, broad: (256, 256) smooth fields of the patient; grain: (512, 512) smooth field of this slice;
            marrow, cortex: (512, 512) HU of bone.
        rng: generator of this slice, for draws that neighbouring slices do not share.
        wall, outline, fluid, skin: (256, 256) distances in mm to the inner rib cage, the lungs (without the diaphragm),
            an effusion and the skin; negative inside. above: (512, 512) share of each pixel above the diaphragm.
    """

    def __init__(self, chest, z_mm: float) -> None:
        build = self.build = chest.build
        self.person, self.thickness = chest.person, chest.thickness
        self.hu = np.full((FRAME, FRAME), np.float32(-1000))
        self.spacing = build.spacing_mm
        self.z_mm, self.t = z_mm, float(build.level(z_mm))
        pixels = np.arange(FRAME, dtype=np.float32)
        cells = np.arange(FRAME // COARSE, dtype=np.float32) * COARSE + np.float32((COARSE - 1) / 2)
        self.x, self.cx = (
            ((at - np.float32(build.column)) * np.float32(self.spacing))[None, :] for at in (pixels, cells)
        )
        self.y, self.cy = (((at - np.float32(build.row)) * np.float32(self.spacing))[:, None] for at in (pixels, cells))
        self.waves, self.fine, self.broad = (field.at(z_mm) for field in (chest.waves, chest.fine, chest.broad))
        self.rng = generator(*chest.names, f"{z_mm:.3f}")
        self.grain = smooth_field(self.hu.shape, 4 / self.spacing, self.rng)
        self.marrow = MARROW_HU - 40 + 0.3 * self.person.bone + 55 * self.grain
        self.cortex = CORTEX_HU + self.person.bone + 60 * self.grain

    def share(self, distance: np.ndarray, width: np.ndarray | float | None = None) -> np.ndarray:
        """Return the (512, 512) float32 share of each pixel inside a surface; ``distance`` to it in mm, of either size,
        negative inside. The share fades over ``width`` mm (one pixel if None)."""
        edge = distance / np.float32(self.spacing) if width is None else distance / width
        return np.clip(0.5 - enlarge(np.asarray(edge, np.float32)), 0, 1)

    def cover(self, share: np.ndarray, hu: np.ndarray | float) -> None:
        """Paint a tissue with (512, 512) ``share`` over the present tissues."""
        self.hu += share * (hu - self.hu)

    def paint(self, distance: np.ndarray, hu: np.ndarray | float, width: np.ndarray | float | None = None) -> None:
        """Paint a tissue inside a surface (:meth:`share`) over the present tissues."""
        self.cover(self.share(distance, width), hu)

    def put(
        self,
        box: tuple[float, float, float],
        distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
        hu: np.ndarray | float,
        width: float | None = None,
    ) -> None:
        """Paint a small structure within ``box``: (x, y, reach along each axis) in mm. ``distance`` is a function of
        (1, w) x and (h, 1) y; ``width`` is that of :meth:`share`."""
        x, y, reach = box

        def near(axis: np.ndarray, middle: float) -> slice:
            return slice(np.searchsorted(axis, middle - reach), np.searchsorted(axis, middle + reach, side="right"))

        part = near(self.y[:, 0], y), near(self.x[0], x)
        edge = distance(self.x[:, part[1]], self.y[part[0]])
        share = np.clip(0.5 - edge / np.float32(width or self.spacing), 0, 1).astype(np.float32)
        value = hu[part] if isinstance(hu, np.ndarray) else np.float32(hu)
        self.hu[part] += share * (value - self.hu[part])


def enlarge(coarse: np.ndarray) -> np.ndarray:
    """Return (512, 512), linearly interpolated from (256, 256); return an array of full size unchanged."""
    if coarse.shape == (FRAME, FRAME):
        return coarse
    return cv2.resize(np.asarray(coarse, np.float32), (FRAME, FRAME), interpolation=cv2.INTER_LINEAR)


def smooth(coarse: np.ndarray, sigma: float) -> np.ndarray:
    """Return ``coarse`` as float32, blurred by a Gaussian of ``sigma`` cells, which rounds corners."""
    return cv2.GaussianBlur(np.asarray(coarse, np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Field:
    """Smooth random function of the body, approximately standard normal: white noise on a grid of ``cell_mm``,
    interpolated cubically in a slice, and with constant variance between the layers of the grid."""

    layers: np.ndarray  # (D, n, n)
    cell_mm: float
    lowest_mm: float

    @classmethod
    def draw(cls, rng: Generator, cell_mm: float, spacing_mm: float, low_mm: float, high_mm: float) -> "Field":
        size = int(np.ceil(FRAME * spacing_mm / cell_mm)) + 2
        count = int(np.ceil((high_mm - low_mm) / cell_mm)) + 2
        return cls(rng.standard_normal((count, size, size), dtype=np.float32), cell_mm, low_mm)

    def at(self, z_mm: float) -> np.ndarray:
        """Return the (256, 256) float32 values in the slice at ``z_mm``."""
        place = float(np.clip((z_mm - self.lowest_mm) / self.cell_mm, 0, len(self.layers) - 1.001))
        layer, part = int(place), place - int(place)
        turn = np.float32(part * np.pi / 2)
        flat = np.cos(turn) * self.layers[layer] + np.sin(turn) * self.layers[layer + 1]
        size = FRAME // COARSE
        return cv2.resize(flat, (size, size), interpolation=cv2.INTER_CUBIC) / np.float32(0.8571)
