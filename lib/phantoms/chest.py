"""Embedded lung CT: simulated chests with the nodules of real readers, and exact lung masks.

The anatomy is defined by functions of three coordinates (:mod:`~phantoms.chest_shape`), so that neighbouring slices
agree. A slice is painted from the air inwards, each tissue over the previous ones, then blurred, and noise is added.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from phantoms import chest_tissues as tissues
from phantoms.base import LARGEST_HU, LEAST_HU, Embedded, Scanner, blur, generator, noise, signed_distance, smooth_field
from phantoms.chest_canvas import HABITS, Canvas, Field, Person, enlarge, smooth
from phantoms.chest_lung import density, fill
from phantoms.chest_shape import LEFT, RIGHT, bulge, diaphragm, fit, hemithorax, mediastinum
from phantoms.nodule import BED_HU, CAVITY_HU, MARGIN_MM, TEXTURE_HU, mean_rating
from softmask.data.annotations import Nodule, load
from softmask.data.image_files import window_hu
from softmask.data.kinds import FRAME, PLEURAL_PLACE, kind_of_nodule, place_of_nodule
from softmask.data.sample import Sample

PATIENTS = {"lidc-lung": 220, "qin-lung": 47}
"""Number of patients of each data set, as in the paper (180 + 40 and 35 + 12)."""
TUMOUR_MM = 25.0
"""Minimum width of the largest nodule of each patient of ``qin-lung``."""

_SPACING_MM, _SLICES, _EXTENT_MM = (0.9, 3.05), (110, 320), (250.0, 400.0)

Scan = tuple[np.ndarray, tuple[Nodule, ...]]
"""Parts of a real scan that a simulated scan uses: (D,) slice positions in mm, and nodules."""
_MARGIN = 10  # pixels around the contours that a nodule can change


class EmbeddedLungs(Embedded):
    """Whole axial slices of simulated chests; a sample depends only on data set, patient and slice.

    Patients, slices, pixel size and nodules are from scans of the annotation database. ``index`` also has z_mm, and
    holds_lung: whether the slice lies between the apex and the lowest recess of the lungs. ``name`` is ``lidc-lung`` or
    ``qin-lung`` (one large tumour in each patient).
    """

    reference = "simulated"

    def __init__(self, name: str) -> None:
        annotations = load()
        super().__init__(name, annotations.fingerprint)
        self.origin = f"simulated chest CT, setting {name}, on the scans of the {annotations.origin}"
        self._scans = choose(name)
        self.index = pd.concat([self._rows(patient) for patient in self._scans], ignore_index=True)
        self.chest = lru_cache(maxsize=8)(self._chest)  # keep the last few patients

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        chest = self.chest(row.patient)
        image = draw_slice(chest, float(row.z_mm))
        return self.sample(
            i,
            image=window_hu(image.hu),
            readers=image.lungs[None],
            present=np.ones(1, bool),
            spacing=(chest.build.spacing_mm, chest.build.spacing_mm),
            hu=image.hu,
            nodules=image.nodules,
            blank=True,
        )

    def _chest(self, patient: str) -> "Chest":
        z_mm, nodules = self._scans[patient]
        return Chest(self.name, patient, nodules[0].spacing_mm, nodules[0].slice_thickness_mm, z_mm, nodules)

    def _rows(self, patient: str) -> pd.DataFrame:
        z_mm, nodules = self._scans[patient]
        top, height = lung_extent(self.name, patient, z_mm, nodules)
        slices = [f"slice-{k:04d}" for k in range(len(z_mm))]
        index = pd.DataFrame({"patient": patient, "nodule": "lungs", "slice": slices, "n_readers": 1})
        return index.assign(z_mm=z_mm, holds_lung=(z_mm < top - 2) & (z_mm > top - 0.98 * height))


def choose(name: str) -> dict[str, Scan]:
    """Return the scans of a data set, by patient, in the order of their names.

    Patients are used if their first annotated scan has evenly spaced slices of 1 to 3 mm over a whole chest, in the
    order of a hash of their names. ``qin-lung`` has patients with a nodule of at least :data:`TUMOUR_MM`.
    """
    annotations = load()
    positions = annotations.positions_mm
    first = {nodule.patient: nodule for nodule in reversed(annotations.nodules)}
    scans = {
        patient: (positions[nodule.scan_id], tuple(annotations.of_series(nodule.series_uid)))
        for patient, nodule in first.items()
        if nodule.scan_id in positions and _usable(positions[nodule.scan_id])
    }
    patients = sorted(scans, key=lambda patient: hashlib.sha256(f"lungs/{patient}".encode()).digest())

    def width(nodule: Nodule) -> float:
        top, left, bottom, right = nodule.box()
        return max(bottom - top, right - left) * nodule.spacing_mm

    large = [patient for patient in patients if max(map(width, scans[patient][1])) >= TUMOUR_MM]
    large = large[: PATIENTS["qin-lung"]]
    chosen = large if name == "qin-lung" else [patient for patient in patients if patient not in large]
    return {patient: scans[patient] for patient in sorted(chosen[: PATIENTS[name]])}


def _usable(z_mm: np.ndarray) -> bool:
    steps = np.diff(z_mm)
    return bool(
        _SLICES[0] <= len(z_mm) <= _SLICES[1]
        and np.ptp(steps) < 0.1
        and _SPACING_MM[0] <= steps.mean() <= _SPACING_MM[1]
        and _EXTENT_MM[0] <= z_mm[-1] - z_mm[0] <= _EXTENT_MM[1]
    )


class Chest:
    """Simulated chest of one patient, with given nodules in the lungs; slices are drawn from it.

    Args:
        dataset, patient: seeds of all draws; ``dataset`` also selects scanner settings and disease rates.
        spacing_mm, thickness: pixel size and slice thickness of the scan.
        z_mm: (D,) slice positions, ascending.
        nodules: nodules of this scan, with contours in its frame and z positions.
    """

    def __init__(
        self,
        dataset: str,
        patient: str,
        spacing_mm: float,
        thickness: float,
        z_mm: np.ndarray,
        nodules: Sequence[Nodule],
    ) -> None:
        names = self.names = dataset, patient
        self.nodules = tuple(nodules)
        boxes = np.array([extent(nodule) for nodule in nodules]).reshape(-1, 5)
        # the position in the frame shows which nodules touch the pleura (softmask.data.kinds)
        pleural = np.array([place_of_nodule(nodule).radius >= PLEURAL_PLACE for nodule in nodules], bool)
        lungs = lung_extent(dataset, patient, z_mm, nodules)
        self.build = fit(generator(*names, "shape"), lungs, spacing_mm, boxes, pleural)
        self.person = Person(HABITS[dataset], generator(*names, "person"))
        largest = boxes[boxes[:, 3].argmax()] if len(boxes) else None
        self.filling = fill(self.build, self.person, HABITS[dataset], largest, generator(*names, "lungs"))
        rng, low, high = generator(*names, "fields"), float(z_mm[0]), float(z_mm[-1])
        self.broad, self.waves, self.fine = (
            Field.draw(rng, cell_mm, spacing_mm, low, high) for cell_mm in (45.0, 15.0, 6.0)
        )
        self.scanner = Scanner.draw(dataset, generator(*names, "scanner"))
        self.thickness = float(np.clip(thickness, 0.6, 3.0))


class ChestSlice(NamedTuple):
    """Arrays (512, 512) of one slice."""

    hu: np.ndarray  # float32
    lungs: np.ndarray  # bool, the reference: anatomy and the nodules, which belong to the lung by definition
    anatomy: np.ndarray  # bool, the lungs of the body's shape, without some pixels of some nodules
    nodules: np.ndarray  # bool, pixels that at least half of the readers enclose


def lung_extent(dataset: str, patient: str, z_mm: np.ndarray, nodules: Sequence[Nodule]) -> tuple[float, float]:
    """Return z of the lungs' apex, and the height from there to the deepest recess, in mm."""
    rng = generator(dataset, patient, "extent")
    top = z_mm[-1] - rng.uniform(6, 45)
    height = float(np.clip(rng.normal(262, 20), 215, 315))
    bottom = z_mm[0] + rng.uniform(8, 40)
    reach = [z for nodule in nodules for z in nodule.slices()]
    if reach:
        top = max(top, max(reach) + rng.uniform(6, 12))
        bottom = min(bottom, min(reach) - rng.uniform(6, 14))
        height = max(height, top - min(reach) + rng.uniform(6, 24))
    return float(top), float(min(height, max(top - bottom, 200.0)))


def draw_slice(chest: Chest, z_mm: float) -> ChestSlice:
    """Return the slice at ``z_mm``; it depends only on the patient and ``z_mm``."""
    canvas, person = Canvas(chest, z_mm), chest.person
    _set_surfaces(chest, canvas)
    tissues.paint_table(canvas)
    tissues.paint_body(canvas)
    tissues.paint_bones(canvas)
    tissues.paint_middle(canvas, generator(*chest.names, "middle"))
    if canvas.t > 0.5:
        tissues.paint_belly(canvas, generator(*chest.names, "belly"))
        if canvas.t < 0.9:
            tissues.paint_heart_tip(canvas)
    tissues.paint_spine(canvas)
    if max(person.effusion):
        above = canvas.above * canvas.share(canvas.wall)
        canvas.cover(canvas.share(canvas.fluid) * above, 10 + 5 * canvas.grain)
    tissues.paint_airways(canvas)

    share = canvas.share(canvas.outline, canvas.spacing + 0.25 * chest.thickness) * canvas.above
    if not 0 < canvas.t < 1:  # waves must not extend the lungs beyond their ends
        share[:] = 0
    if share.any():
        canvas.cover(share, density(canvas, chest.filling))
    anatomy, nodules = share >= 0.5, np.zeros(share.shape, bool)
    for nodule in chest.nodules:
        _paint_nodule(canvas, nodule, chest.names, nodules)
    return ChestSlice(_scan(chest, canvas), anatomy | nodules, anatomy, nodules)


def _set_surfaces(chest: Chest, canvas: Canvas) -> None:
    """Set the canvas's surfaces: rib cage, lungs, diaphragm, effusion and skin."""
    build, person, waves, broad = canvas.build, canvas.person, canvas.waves, canvas.broad
    x, y, t = canvas.cx, canvas.cy, canvas.t
    walls = {side: hemithorax(build, side, x, y, t) for side in (RIGHT, LEFT)}
    out = bulge(build, x, y, t)
    left = x >= build.shift
    fluid_depth = np.where(left, person.effusion[1], person.effusion[0])
    fluid_depth = fluid_depth * np.clip((y / build.depth_mm + 0.15) / 0.85, 0, 1) ** 1.2
    fluid_depth = fluid_depth * float(np.clip((t - 0.3) / 0.4, 0, 1)) * (1 + 0.15 * waves)
    fluid_depth = fluid_depth * _dry(chest, canvas)
    side_wall = np.where(left, walls[LEFT], walls[RIGHT])
    outline = np.maximum(side_wall + np.maximum(fluid_depth - 0.5, 0), -mediastinum(build, x, y, t))
    canvas.outline = smooth(outline, 1.4) + 0.45 * waves + 2.4 * broad - out
    wall = smooth(np.minimum(walls[LEFT], walls[RIGHT]), 2.0) + 0.45 * waves + 2.4 * broad - out
    canvas.wall = np.minimum(wall, canvas.outline)
    # the distance grows where the layer becomes thin, so that the effusion ends gradually
    fluid = np.maximum(-canvas.wall - fluid_depth + 40 * np.clip(1 - fluid_depth / 8, 0, 1), canvas.wall)
    canvas.fluid = np.asarray(fluid, np.float32)
    canvas.skin = tissues.skin_distance(canvas)

    heights = [diaphragm(build, side, x, y, t, walls[side]) for side in (RIGHT, LEFT)]
    mix = np.clip((x - build.shift) / 50 + 0.5, 0, 1)
    height = smooth(heights[0] + mix * (heights[1] - heights[0]) + out + 0.4 * waves + 4 * broad, 1.5)
    slope = np.hypot(*np.gradient(height)) / np.float32(2 * build.spacing_mm)
    flat = 1 / np.sqrt(1 + slope**2)
    width = flat * (chest.thickness + 1.5 * person.motion) + slope * flat * np.float32(build.spacing_mm)
    canvas.above = np.clip(0.5 + enlarge(height * flat / width), 0, 1)


def _dry(chest: Chest, canvas: Canvas) -> np.ndarray:
    """Return (256, 256) weights in [0, 1], nearly 0 around nodules, where fluid must not displace the lung."""
    free = np.ones((canvas.cy.size, canvas.cx.size), np.float32)
    if not max(chest.person.effusion):
        return free
    for row, column, z_mm, radius, tall in map(extent, chest.nodules):
        x, y, t = chest.build.points(row, column, z_mm)
        wide = 2 * (radius + 10) ** 2
        near = np.exp(-(((canvas.t - t) * chest.build.height_mm) ** 2) / (2 * (tall + 10) ** 2))
        free *= 1 - near * np.exp(-((canvas.cx - x) ** 2) / wide) * np.exp(-((canvas.cy - y) ** 2) / wide)
    return free


def _scan(chest: Chest, canvas: Canvas) -> np.ndarray:
    """Return the scanned image: the noise is lowest outside the body and highest between the shoulders."""
    spacing = canvas.spacing
    seen = blur(canvas.hu, chest.scanner.psf_mm / spacing)
    grain = noise(seen.shape, spacing, chest.scanner, canvas.rng)
    shoulders = chest.person.streaks * float(np.clip((0.12 - canvas.t) / 0.15, 0, 1))
    if shoulders:  # few photons pass along the shoulders
        rays = np.cumsum(grain, axis=1)
        rays = (rays[:, 40:] - rays[:, :-40]) / np.float32(6)
        grain += np.float32(0.3 * shoulders) * np.pad(rays, ((0, 0), (20, 20)), mode="edge")
    amount = 0.3 + 0.7 * np.clip(0.5 - enlarge(canvas.skin) / 30, 0, 1)
    seen += amount * grain * np.float32(1 + 0.6 * shoulders)
    if chest.person.round_field:
        x, y = canvas.x - canvas.x.mean(), canvas.y - canvas.y.mean()
        seen = np.where(np.hypot(x, y) > 256 * spacing, np.float32(LEAST_HU), seen)
    return np.clip(seen, LEAST_HU, LARGEST_HU).astype(np.float32)


def extent(nodule: Nodule) -> tuple[float, float, float, float, float]:
    """Return a nodule's middle row and column (pixels), middle z, radius in the slice and radius along z (mm)."""
    top, left, bottom, right = nodule.box()
    z = nodule.slices()
    radius = 0.25 * (bottom - top + right - left) * nodule.spacing_mm
    tall = max((z[-1] - z[0]) / 2, nodule.slice_thickness_mm / 2)
    return (top + bottom) / 2, (left + right) / 2, (z[0] + z[-1]) / 2, max(radius, 1.0), tall


def _paint_nodule(canvas: Canvas, nodule: Nodule, names: tuple[str, str], masks: np.ndarray) -> None:
    """Paint a nodule, and add to ``masks`` (512, 512) the pixels that at least half of the slice's readers enclose."""
    if canvas.z_mm not in nodule.slices():
        return
    top, left, bottom, right = nodule.box(canvas.z_mm)
    top, left = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
    bottom, right = min(bottom + _MARGIN, FRAME - 1), min(right + _MARGIN, FRAME - 1)
    readers, present = nodule.masks(canvas.z_mm, (top, left, bottom - top + 1, right - left + 1))
    mask = 2 * readers.sum(axis=0) >= present.sum()
    if not present.any() or not mask.any():
        return
    rng = generator(*names, nodule.name)
    ratings = [reading.ratings for reading in nodule.readers]
    spacing = nodule.spacing_mm
    rough = cv2.GaussianBlur(signed_distance(mask), (0, 0), 0.7) * np.float32(spacing)
    radius = float(np.sqrt(mask.sum() / np.pi)) * spacing
    spikes = 0.10 * min(radius, 6) * (mean_rating(ratings, "spiculation") - 1)
    rough += np.float32(0.15 + 0.25 * spikes) * smooth_field(mask.shape, 2.2, rng)
    width = max(float(np.interp(mean_rating(ratings, "margin"), range(1, 6), MARGIN_MM)), spacing)
    share = np.clip(0.5 - rough / np.float32(min(width, 2 * radius)), 0, 1).astype(np.float32)

    extra_hu = 0.22 * (canvas.person.blood - 42)  # increase of solid tissue by contrast agent
    texture, subtlety = mean_rating(ratings, "texture"), mean_rating(ratings, "subtlety")
    base = np.interp(texture, range(1, 6), TEXTURE_HU) + rng.normal(0, 12) + extra_hu * np.clip(texture - 3.5, 0, 1)
    base = BED_HU + (base - BED_HU) * (1 - 0.10 * (5 - subtlety))
    hu = np.float32(base) + np.float32(8 + 18 * (5 - texture)) * smooth_field(mask.shape, 4.0, rng)
    kind = kind_of_nodule(nodule, 2 * radius)
    if kind == "calcific":
        hu += np.clip((-rough - 0.3 * radius) / 1.0, 0, 1) * np.float32(rng.uniform(200, 600))
    if kind == "cavitary":
        lumen = -rough - np.float32(rng.uniform(0.35, 0.6) * radius) + 0.8 * smooth_field(mask.shape, 6.0, rng)
        hu += np.clip(lumen + 0.5, 0, 1) * (CAVITY_HU - hu)
    elif radius > 12:  # large tumours have a necrotic core
        dead = np.clip((-rough - 0.35 * radius) / 5, 0, 1) * np.clip(smooth_field(mask.shape, 12.0, rng) + 0.4, 0, 1)
        hu -= np.float32(0.6 * extra_hu + 12) * dead
    box = slice(top, bottom + 1), slice(left, right + 1)
    canvas.hu[box] += share * (hu.astype(np.float32) - canvas.hu[box])
    masks[box] |= mask
