"""Surroundings of a nodule: lung parenchyma with vessels and airways, pleura, chest wall with ribs, mediastinum.

Lengths are in mm in the image's plane, values in HU. A vessel is a chain of points on its centre line. A pixel at
distance d from it sees a chord of ``2 sqrt(r^2 - d^2)``; the chord over the slice's thickness is the vessel's share.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from phantoms.base import block_mean, join, smooth_field
from phantoms.nodule import Plan

AIR_HU, FAT_HU, MUSCLE_HU, MARROW_HU, CORTEX_HU = -1000.0, -105.0, 50.0, 230.0, 560.0
VESSEL_HU = 45.0

_FACTOR = 2  # sub-pixels of vessels per pixel and axis
_STEP_MM = 0.4


class Patient:
    """Properties of all slices of one patient. Half of the patients have contrast agent, one in five has emphysema."""

    def __init__(self, rng: Generator) -> None:
        self.parenchyma_hu = rng.normal(-862, 22)
        self.emphysema = rng.uniform(0.1, 0.4) if rng.uniform() < 0.2 else 0.0  # share of the lung that is destroyed
        # half axes of the lung's ellipse
        self.half_width_mm = rng.uniform(48, 68)
        self.half_height_mm = rng.uniform(78, 108)
        # layers of the chest wall
        self.muscle_mm = rng.uniform(9, 26)
        self.fat_mm = rng.uniform(4, 30)
        self.blood_hu = rng.uniform(120, 260) if rng.uniform() < 0.5 else 42.0  # in great vessels and heart


@dataclass(frozen=True)
class Surroundings:
    """(H, W) float32 layers, from the lung around the lesion outwards: each covers the previous ones."""

    lung_hu: np.ndarray  # parenchyma
    vessel: np.ndarray  # share of each pixel that is vessel or airway wall
    vessel_hu: np.ndarray
    wall: np.ndarray  # share of each pixel that is outside the lung
    wall_hu: np.ndarray


class Scene:
    """Grid of the image (``fineness`` pixels per pixel of the slice along each axis), nodule, and ellipse of the lung,
    whose wall is ``wall_mm`` outwards from the nodule's centre."""

    def __init__(self, plan: Plan, fineness: int, patient: Patient, centre_mm, radius_mm: float, wall_mm: float):
        self.patient, self.place, self.thickness = patient, plan.place, plan.thickness
        self.centre_mm, self.radius_mm = centre_mm, radius_mm
        self.shape = tuple(fineness * pixels for pixels in plan.window[2:])
        self.spacing = plan.spacing / fineness
        self.extent_mm = (self.shape[0] * self.spacing, self.shape[1] * self.spacing)
        # (H, 1) and (1, W) mm from the first pixel
        self.rows = np.arange(self.shape[0], dtype=np.float32)[:, None] * np.float32(self.spacing)
        self.columns = np.arange(self.shape[1], dtype=np.float32)[None, :] * np.float32(self.spacing)
        # ``outward`` is normal to the wall; row and column are positions in the ellipse, in half axes
        half, outward = np.array([patient.half_height_mm, patient.half_width_mm]), plan.place.outward
        middle = centre_mm + wall_mm * outward - half**2 * outward / np.linalg.norm(half * outward)
        y = self.row = (self.rows - np.float32(middle[0])) / np.float32(half[0])
        x = self.column = (self.columns - np.float32(middle[1])) / np.float32(half[1])
        level = np.hypot(y, x) + np.float32(1e-3)
        slope = np.hypot(y / np.float32(half[0]), x / np.float32(half[1])) / level
        self.depth = (level - 1) / np.maximum(slope, np.float32(1e-4))  # (H, W) mm outside the lung, negative inside

    def distance_to(self, point_mm: np.ndarray) -> np.ndarray:
        """Return the (H, W) distance to a (row, column) point."""
        return np.hypot(self.rows - np.float32(point_mm[0]), self.columns - np.float32(point_mm[1]))

    def share(self, inside_mm: np.ndarray) -> np.ndarray:
        """Return the (H, W) share of each pixel inside a surface, from the depth below the surface."""
        return np.clip(inside_mm / np.float32(self.spacing) + 0.5, 0, 1)

    def field(self, scale_mm: float, rng: Generator) -> np.ndarray:
        """Return a smooth random field (H, W) that varies over ``scale_mm``."""
        return smooth_field(self.shape, scale_mm / self.spacing, rng)


def draw_surroundings(scene: Scene, slab: Generator, nodule: Generator) -> Surroundings:
    """Draw the thorax around a nodule; ``slab`` is the generator of the slice, ``nodule`` that of the nodule."""
    waves = scene.field(14, nodule)
    away = np.hypot(scene.rows - scene.centre_mm[0], scene.columns - scene.centre_mm[1]) - scene.radius_mm
    scene.depth = scene.depth + np.float32(0.9) * waves * np.clip(away / np.float32(8), 0, 1)
    wall_hu = _wall(scene, nodule)
    wall, wall_hu = _dome(scene, scene.share(scene.depth), wall_hu, nodule)

    tissue = _parenchyma(scene, slab)
    feeding = scene.centre_mm + np.zeros((slab.poisson(0.7), 2))
    tubes = grow_vessels(scene.extent_mm, scene.place.outward, slab, feeding)
    tubes = join([tubes, cross_vessels(scene.extent_mm, slab)])
    # the outermost centimetre of the lung has only the finest vessels
    cells = np.clip((tubes.points / scene.spacing).astype(int), 0, np.array(scene.shape) - 1)
    outer = np.clip(-scene.depth[tuple(cells.T)] / 12, 0.3, 1)
    tubes = Tubes(tubes.points, tubes.radius * outer, tubes.height)
    share = share_of_tubes(tubes, scene.shape, scene.spacing, scene.thickness)
    vessel_hu = np.full(scene.shape, np.float32(VESSEL_HU + 0.35 * (scene.patient.blood_hu - 42)))
    tissue, share = _airways(scene, tissue, share, slab)
    return Surroundings(tissue, share, vessel_hu, wall, wall_hu)


def _parenchyma(scene: Scene, rng: Generator) -> np.ndarray:
    """Return the (H, W) HU of lung."""
    height, emphysema = scene.shape[0], scene.patient.emphysema
    hu = np.float32(scene.patient.parenchyma_hu) + np.float32(14) * scene.field(1.4, rng)
    hu += np.float32(13) * scene.field(6, rng)
    # gravity
    hu += np.float32(0.25 * scene.spacing) * (np.arange(height, dtype=np.float32)[:, None] - height / 2)
    if emphysema:
        destroyed = scene.field(4.5, rng) + 0.6 * scene.field(2, rng)
        hu -= np.float32(70) * np.clip(destroyed * 1.2 + np.float32(2.5 * emphysema - 1.4), 0, 1)
    return np.maximum(hu, np.float32(-985))


def _wall(scene: Scene, rng: Generator) -> np.ndarray:
    """Return the (H, W) HU outside the lung: chest wall, and mediastinum in the middle."""
    patient, place = scene.patient, scene.place
    grain, fold = scene.field(5, rng), scene.field(16, rng)
    muscle = np.float32(MUSCLE_HU) + np.float32(9) * grain
    # sheets of fat between the layers of muscle, wider where ``fold`` is larger
    sheet = np.float32(1.1) + np.float32(0.8) * fold - np.abs(scene.depth - np.float32(11) - 3 * grain)
    chest = muscle + np.clip(sheet, 0, 1) * (np.float32(FAT_HU + 15) - muscle)
    chest = _ribs(scene, chest, grain, rng)

    blood = np.float32(patient.blood_hu)
    middle = np.where(fold + 0.5 * grain > 1.0, np.float32(FAT_HU + 25), np.float32(45) + 6 * grain)
    for _ in range(rng.integers(1, 4)):  # great vessels, heart chambers
        size = rng.uniform(6, 24)
        point = rng.uniform(-20, np.array(scene.shape) * scene.spacing + 20)
        away = scene.distance_to(point) + 1.5 * fold
        middle = middle + np.clip((size - away) / np.float32(scene.spacing), 0, 1) * (blood - middle)
    # a vertebra
    v = (scene.row - 0.62) * np.float32(patient.half_height_mm)
    u = (scene.column + place.lateral * 1.42) * np.float32(patient.half_width_mm)
    edge = 17 - np.hypot(v, u) + 1.5 * grain
    bone = np.where(edge > 1.6, np.float32(MARROW_HU) + 45 * grain, np.float32(CORTEX_HU - 180))
    middle = middle + scene.share(edge) * (bone - middle)

    medial = -place.lateral * scene.column
    mix = np.clip((medial - 0.25 + 0.08 * grain) * 8, 0, 1)
    mix = mix * np.clip((1.02 - np.abs(scene.row) + 0.08 * grain) * 8, 0, 1)
    tissue = chest + mix * (middle - chest)

    # the body is an oval around both lungs, between an ellipse and a rectangle
    layers = patient.muscle_mm + patient.fat_mm
    half_height = patient.half_height_mm + layers + 4
    half_width = 2.25 * patient.half_width_mm + layers
    y = scene.row * np.float32(patient.half_height_mm / half_height)
    x = (scene.column + np.float32(1.25 * place.lateral)) * np.float32(patient.half_width_mm / half_width)
    level = (y**4 + x**4) ** np.float32(0.25) * np.float32(0.5) + np.hypot(y, x) * np.float32(0.5)
    outside = (level - 1) * np.float32(min(half_height, half_width))  # (H, W) mm
    tissue = np.where(outside > 2.5 * fold - np.float32(patient.fat_mm), np.float32(FAT_HU) + 8 * grain, tissue)
    tissue = np.where(outside > -2, np.float32(MUSCLE_HU - 35), tissue)  # skin
    return np.where(outside > 0, np.float32(AIR_HU), tissue).astype(np.float32)


def _ribs(scene: Scene, chest: np.ndarray, grain: np.ndarray, rng: Generator) -> np.ndarray:
    """Return ``chest`` with ribs cut obliquely: flat ovals along the wall, cortex around marrow."""
    angle = np.arctan2(scene.row, scene.column)
    size = np.float32((scene.patient.half_width_mm + scene.patient.half_height_mm) / 2)
    turn = rng.uniform(0, 2 * np.pi)
    for k in range(9):
        middle = turn + k * 2 * np.pi / 9 + rng.normal(0, 0.12)
        length, height = rng.uniform(6, 17), rng.uniform(3, 4.6)
        along = size * (np.mod(angle - np.float32(middle) + np.pi, 2 * np.pi) - np.pi)
        across = scene.depth - np.float32(height + 2 + rng.uniform(0, 2))
        oval = np.hypot(along / np.float32(length), across / np.float32(height))
        edge = (1 - oval) * np.float32(height)  # mm below the rib's surface
        cortex = np.float32(CORTEX_HU + rng.gamma(2.0, 130)) + 80 * grain
        bone = np.where(edge > 1.1 + 0.35 * grain, np.float32(MARROW_HU) + 50 * grain, cortex)
        chest = chest + np.clip(edge / 0.6 + 0.5, 0, 1) * (bone - chest)
    return chest


def _dome(scene: Scene, wall: np.ndarray, wall_hu: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the wall and its HU with heart or diaphragm, which bulges into the lung in four slices of ten."""
    if rng.uniform() > 0.4:
        return wall, wall_hu
    size = rng.uniform(28, 60)
    angle = rng.uniform(0, 2 * np.pi)
    clear = size + scene.radius_mm + rng.uniform(9, 35)
    centre = scene.centre_mm + clear * np.array([np.sin(angle), np.cos(angle)])
    bumps = scene.field(16, rng)
    inside = np.float32(size) - scene.distance_to(centre) + np.float32(1.6) * bumps
    slant = np.float32(rng.uniform(0.8, 1.5 + scene.thickness))
    share = np.clip(inside / slant + 0.5, 0, 1)
    organ = np.float32(55 + 0.5 * (scene.patient.blood_hu - 42)) + 8 * bumps
    hu = wall_hu + np.where(wall > 0.5, 0, share) * (organ - wall_hu)
    return np.maximum(wall, share), hu


def _airways(scene: Scene, tissue: np.ndarray, share: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the parenchyma and the vessels' share with added bronchi: rings of wall around air, next to a vessel."""
    for _ in range(rng.poisson(1.0)):
        point = rng.uniform(0, np.array(scene.shape) * scene.spacing)
        size = rng.uniform(1.0, 2.6)
        cell = tuple(np.minimum((point / scene.spacing).astype(int), np.array(scene.shape) - 1))
        if scene.depth[cell] > -15 or np.hypot(*(point - scene.centre_mm)) < scene.radius_mm + 8:
            continue
        away = scene.distance_to(point)
        ring = scene.share(max(0.25 * size, 0.5) / 2 - np.abs(away - np.float32(size)))
        turn = rng.uniform(0, 2 * np.pi)
        beside = point + 2.1 * size * np.array([np.sin(turn), np.cos(turn)])
        artery = scene.share(np.float32(size) - scene.distance_to(beside))
        lumen = scene.share(np.float32(size) - away)
        tissue = tissue + lumen * (np.float32(-985) - tissue)
        share = np.maximum(share * (1 - lumen), np.maximum(ring, artery))
    return tissue, share


@dataclass(frozen=True)
class Tubes:
    """Points on centre lines: (N, 2) (row, column) in mm from the image's first pixel, (N,) radius and height in mm."""

    points: np.ndarray
    radius: np.ndarray
    height: np.ndarray


def grow_vessels(extent_mm: tuple[float, float], outward: np.ndarray, rng: Generator, starts: np.ndarray) -> Tubes:
    """Return vessels that run mostly along ``outward`` (2,), a unit vector from hilum to pleura, taper and branch;
    some start at ``starts`` (K, 2) in mm."""
    area = extent_mm[0] * extent_mm[1]
    count = rng.poisson(area / 130)
    begin = rng.uniform(-15, np.add(extent_mm, 15), (count, 2))
    radius = np.exp(rng.normal(np.log(0.62), 0.5, count))
    heading = np.arctan2(outward[0], outward[1]) + rng.normal(0, 0.7, count)
    slope = rng.normal(0, 0.35, count)
    height = rng.normal(0, 0.8, count) - slope * rng.uniform(0, 25, count)  # most enter and leave the slice obliquely
    more = len(starts)
    begin = np.concatenate([begin, starts])
    radius = np.concatenate([radius, rng.uniform(0.7, 1.4, more)])
    heading = np.concatenate([heading, rng.uniform(0, 2 * np.pi, more)])
    height = np.concatenate([height, np.zeros(more)])
    slope = np.concatenate([slope, rng.normal(0, 0.15, more)])
    chains = []
    for generation in range(3):
        chain, angle = _walk(begin, radius, heading, height, slope, rng)
        chains.append(chain)
        if generation == 2:
            break
        # children branch off anywhere along their parents, to either side, with 0.72 times the radius
        children = rng.integers(0, len(chain.radius), rng.poisson(0.9 * len(radius) + 0.1))
        begin, height = chain.points[children], chain.height[children]
        radius = 0.72 * chain.radius[children]
        heading = angle[children] + rng.choice([-1, 1], len(children)) * rng.uniform(0.4, 1.1, len(children))
        slope = rng.normal(0, 0.3, len(children))
        if not len(children):
            break
    return join(chains)


def _walk(begin, radius, heading, height, slope, rng: Generator) -> tuple[Tubes, np.ndarray]:
    """Return random walks of all vessels, and the heading at each point; the radius tapers to two fifths."""
    length = np.clip(radius * rng.uniform(15, 60, len(radius)), 3, 60)
    steps = int(np.ceil(length.max(initial=2) / _STEP_MM))
    turn = np.cumsum(rng.normal(0, 0.06, (len(radius), steps)), axis=1)
    angle = heading[:, None] + turn
    travelled = np.arange(1, steps + 1) * _STEP_MM
    row = begin[:, :1] + np.cumsum(np.sin(angle), axis=1) * _STEP_MM
    column = begin[:, 1:] + np.cumsum(np.cos(angle), axis=1) * _STEP_MM
    alive = travelled[None] <= length[:, None]
    thickness = radius[:, None] * (1 - 0.6 * travelled[None] / length[:, None])
    level = height[:, None] + slope[:, None] * travelled[None]
    return Tubes(np.stack([row[alive], column[alive]], axis=1), thickness[alive], level[alive]), angle[alive]


def cross_vessels(extent_mm: tuple[float, float], rng: Generator) -> Tubes:
    """Return vessels that cross the slice steeply: discs that fill its thickness."""
    count = rng.poisson(extent_mm[0] * extent_mm[1] / 260)
    radius = np.exp(rng.normal(np.log(0.6), 0.4, count))
    return Tubes(rng.uniform(0, extent_mm, (count, 2)), radius, np.full(count, np.nan))


def share_of_tubes(tubes: Tubes, shape: tuple[int, int], spacing: float, thickness: float) -> np.ndarray:
    """Return the (H, W) float32 share of each pixel's volume that is vessel."""
    total = np.zeros((_FACTOR * shape[0], _FACTOR * shape[1]), np.float32)
    # a layer uses only the nearest centre line: in a common layer, thin vessels would hide thick neighbours
    for layer in (tubes.radius >= 0.9, tubes.radius < 0.9):
        np.maximum(total, _layer(tubes, layer, total.shape, spacing / _FACTOR, thickness), out=total)
    return block_mean(total, _FACTOR)


def _layer(tubes: Tubes, chosen: np.ndarray, shape: tuple[int, int], step: float, thickness: float) -> np.ndarray:
    """Return the vessels' share from the ``chosen`` points: each cell uses the chord of the nearest point."""
    cells = np.rint(tubes.points / step).astype(int)
    chosen = chosen & (cells >= 0).all(axis=1) & (cells < shape).all(axis=1)
    order = np.flatnonzero(chosen)[np.argsort(tubes.radius[chosen], kind="stable")]  # the widest point of a cell wins
    if not len(order):
        return np.zeros(shape, np.float32)
    cell = tuple(cells[order].T)
    free = np.ones(shape, np.uint8)
    free[cell] = 0
    distance, label = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    point_of = np.zeros(label.max() + 1, int)
    point_of[label[cell]] = order
    near = distance * step <= tubes.radius[order[-1]] + step
    owner = point_of[label[near]]
    radius, height, away = tubes.radius[owner], tubes.height[owner], distance[near] * step
    half = np.sqrt(np.maximum(radius**2 - away**2, 0))
    chord = np.minimum(height + half, thickness / 2) - np.maximum(height - half, -thickness / 2)
    steep = np.clip((radius - away) / step + 0.5, 0, 1)
    image = np.zeros(shape, np.float32)
    image[near] = np.where(np.isnan(height), steep, np.clip(chord / thickness, 0, 1))
    return image
