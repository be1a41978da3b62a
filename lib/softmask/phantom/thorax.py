"""What surrounds a nodule: lung parenchyma with vessels and airways, pleura, chest wall with ribs, mediastinum.

All lengths are in mm in the image's plane, all values in HU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmask.data.kinds import Place
from softmask.phantom import vessels
from softmask.phantom.geometry import smooth_field

AIR_HU, FAT_HU, MUSCLE_HU, MARROW_HU, CORTEX_HU = -1000.0, -105.0, 50.0, 230.0, 560.0


@dataclass(frozen=True)
class Patient:
    """What all slices of one patient share.

    Attributes:
        parenchyma_hu: mean of the lung; emphysema: share of it that is destroyed.
        half_width_mm, half_height_mm: of the lung's ellipse.
        muscle_mm, fat_mm: thickness of the chest wall's layers.
        contrast_hu: HU of the blood in the great vessels and the heart.
    """

    parenchyma_hu: float
    emphysema: float
    half_width_mm: float
    half_height_mm: float
    muscle_mm: float
    fat_mm: float
    contrast_hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Patient:
        """A patient: half of them with contrast agent, one in five with emphysema."""
        return cls(
            parenchyma_hu=rng.normal(-862, 22),
            emphysema=rng.uniform(0.1, 0.4) if rng.uniform() < 0.2 else 0.0,
            half_width_mm=rng.uniform(48, 68),
            half_height_mm=rng.uniform(78, 108),
            muscle_mm=rng.uniform(9, 26),
            fat_mm=rng.uniform(4, 30),
            contrast_hu=rng.uniform(120, 260) if rng.uniform() < 0.5 else 42.0,
        )


@dataclass(frozen=True)
class Surroundings:
    """(H, W) float32 layers, from the lesion's bed outwards: each covers the ones before it.

    Attributes:
        lung_hu: parenchyma.
        vessel, vessel_hu: share of each pixel that is vessel or airway wall, and its HU.
        wall, wall_hu: share of each pixel that is outside the lung, and its HU.
    """

    lung_hu: np.ndarray
    vessel: np.ndarray
    vessel_hu: np.ndarray
    wall: np.ndarray
    wall_hu: np.ndarray


def draw_surroundings(
    shape: tuple[int, int],
    spacing: float,
    thickness: float,
    patient: Patient,
    place: Place,
    centre_mm: np.ndarray,
    radius_mm: float,
    wall_mm: float,
    slab: np.random.Generator,
    nodule: np.random.Generator,
) -> Surroundings:
    """The thorax around a nodule.

    Args:
        shape, spacing, thickness: of the image, in pixels and mm.
        patient, place: whose, and where in the lung.
        centre_mm: (row, column) of the nodule's centre; radius_mm: its equivalent radius.
        wall_mm: distance from that centre to the wall along ``place.outward``.
        slab: draws what differs between slices (vessels, texture).
        nodule: draws what slices of a nodule share (wall's waves, ribs, great vessels).
    """
    rows = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing)
    columns = np.arange(shape[1], dtype=np.float32)[None, :] * np.float32(spacing)
    extent = (shape[0] * spacing, shape[1] * spacing)
    lung = _lung_distance(rows, columns, patient, place, centre_mm, wall_mm)
    waves = smooth_field(shape, 14 / spacing, nodule)
    depth = lung.depth + np.float32(0.9) * waves * np.clip(
        (np.hypot(rows - centre_mm[0], columns - centre_mm[1]) - radius_mm) / np.float32(8), 0, 1
    )
    wall_hu = _wall(rows, columns, depth, lung, patient, place, spacing, nodule)
    wall = np.clip(depth / np.float32(spacing) + 0.5, 0, 1)
    wall, wall_hu = _dome(rows, columns, wall, wall_hu, centre_mm, radius_mm, patient, spacing, thickness, nodule)

    tissue = _parenchyma(shape, spacing, patient, slab)
    feeding = centre_mm + np.zeros((slab.poisson(0.7), 2))
    tubes = vessels.grow(extent, place.outward, slab, feeding)
    steep = vessels.dots(extent, slab)
    tubes = vessels.Tubes(
        *(np.concatenate([getattr(t, name) for t in (tubes, steep)]) for name in ("points", "radius", "height"))
    )
    # the outermost centimetre of the lung has only the finest vessels
    at = np.clip((tubes.points / spacing).astype(int), 0, np.array(shape) - 1)
    outer = np.clip(-depth[tuple(at.T)] / 12, 0.3, 1)
    tubes = vessels.Tubes(tubes.points, tubes.radius * outer, tubes.height)
    share = vessels.share(tubes, shape, spacing, thickness)
    vessel_hu = np.full(shape, np.float32(vessels.VESSEL_HU + 0.35 * (patient.contrast_hu - 42)))
    tissue, share = _airways(rows, columns, tissue, share, depth, centre_mm, radius_mm, spacing, slab)
    return Surroundings(tissue, share, vessel_hu, wall, wall_hu)


@dataclass(frozen=True)
class _Lung:
    depth: np.ndarray  # (H, W) mm outside the lung, negative inside
    row: np.ndarray  # (H, 1) and (1, W) position in the ellipse, in half axes
    column: np.ndarray


def _lung_distance(rows, columns, patient: Patient, place: Place, centre_mm, wall_mm: float) -> _Lung:
    """The lung's ellipse, placed so that its wall is met ``wall_mm`` from the nodule, at a right angle."""
    half = np.array([patient.half_height_mm, patient.half_width_mm])
    on_ellipse = half**2 * place.outward / np.linalg.norm(half * place.outward)
    middle = centre_mm + wall_mm * place.outward - on_ellipse
    y = (rows - np.float32(middle[0])) / np.float32(half[0])
    x = (columns - np.float32(middle[1])) / np.float32(half[1])
    level = np.hypot(y, x) + np.float32(1e-3)
    slope = np.hypot(y / np.float32(half[0]), x / np.float32(half[1])) / level
    return _Lung((level - 1) / np.maximum(slope, np.float32(1e-4)), y, x)


def _parenchyma(shape, spacing: float, patient: Patient, rng: np.random.Generator) -> np.ndarray:
    hu = np.float32(patient.parenchyma_hu) + np.float32(14) * smooth_field(shape, 1.4 / spacing, rng)
    hu += np.float32(13) * smooth_field(shape, 6 / spacing, rng)
    hu += np.float32(0.25 * spacing) * (np.arange(shape[0], dtype=np.float32)[:, None] - shape[0] / 2)  # gravity
    if patient.emphysema:
        destroyed = smooth_field(shape, 4.5 / spacing, rng) + 0.6 * smooth_field(shape, 2 / spacing, rng)
        hu -= np.float32(70) * np.clip(destroyed * 1.2 + np.float32(2.5 * patient.emphysema - 1.4), 0, 1)
    return np.maximum(hu, np.float32(-985))


def _wall(rows, columns, depth, lung: _Lung, patient: Patient, place: Place, spacing: float, rng) -> np.ndarray:
    """(H, W) HU outside the lung: chest wall to the side, front and back, mediastinum in the middle."""
    shape = depth.shape
    grain = smooth_field(shape, 5 / spacing, rng)
    fold = smooth_field(shape, 16 / spacing, rng)
    muscle = np.float32(MUSCLE_HU) + np.float32(9) * grain
    # sheets of fat between the layers of muscle, where the folds let them be seen
    sheet = np.float32(1.1) + np.float32(0.8) * fold - np.abs(depth - np.float32(11) - 3 * grain)
    chest = muscle + np.clip(sheet, 0, 1) * (np.float32(FAT_HU + 15) - muscle)
    chest = _ribs(chest, depth, lung, patient, grain, rng)

    blood = np.float32(patient.contrast_hu)
    middle = np.where(fold + 0.5 * grain > 1.0, np.float32(FAT_HU + 25), np.float32(45) + 6 * grain)
    for _ in range(rng.integers(1, 4)):  # great vessels, heart chambers
        size = rng.uniform(6, 24)
        at = rng.uniform(-20, np.array(shape) * spacing + 20)
        away = np.hypot(rows - np.float32(at[0]), columns - np.float32(at[1])) + 1.5 * fold
        middle = middle + np.clip((size - away) / np.float32(spacing), 0, 1) * (blood - middle)
    middle = _vertebra(middle, lung, patient, place, grain, spacing)
    medial = -place.lateral * lung.column
    mix = np.clip((medial - 0.25 + 0.08 * grain) * 8, 0, 1)
    mix = mix * np.clip((1.02 - np.abs(lung.row) + 0.08 * grain) * 8, 0, 1)
    tissue = chest + mix * (middle - chest)

    outside = _body_distance(lung, patient, place)
    tissue = np.where(outside > 2.5 * fold - np.float32(patient.fat_mm), np.float32(FAT_HU) + 8 * grain, tissue)
    tissue = np.where(outside > -2, np.float32(MUSCLE_HU - 35), tissue)  # skin
    return np.where(outside > 0, np.float32(AIR_HU), tissue).astype(np.float32)


def _body_distance(lung: _Lung, patient: Patient, place: Place) -> np.ndarray:
    """(H, W) mm outside the body, negative inside: an ellipse around both lungs."""
    layers = patient.muscle_mm + patient.fat_mm
    half_height = patient.half_height_mm + layers + 4
    half_width = 2.25 * patient.half_width_mm + layers
    y = lung.row * np.float32(patient.half_height_mm / half_height)
    x = (lung.column + np.float32(1.25 * place.lateral)) * np.float32(patient.half_width_mm / half_width)
    # between an ellipse and a rectangle, as a chest is
    level = (y**4 + x**4) ** np.float32(0.25) * np.float32(0.5) + np.hypot(y, x) * np.float32(0.5)
    return (level - 1) * np.float32(min(half_height, half_width))


def _ribs(chest, depth, lung: _Lung, patient: Patient, grain, rng) -> np.ndarray:
    """Ribs cut obliquely: flat ovals along the wall, cortex around marrow."""
    angle = np.arctan2(lung.row, lung.column)
    size = np.float32((patient.half_width_mm + patient.half_height_mm) / 2)
    turn = rng.uniform(0, 2 * np.pi)
    for k in range(9):
        at = turn + k * 2 * np.pi / 9 + rng.normal(0, 0.12)
        length, height = rng.uniform(6, 17), rng.uniform(3, 4.6)
        along = size * (np.mod(angle - np.float32(at) + np.pi, 2 * np.pi) - np.pi)
        across = depth - np.float32(height + 2 + rng.uniform(0, 2))
        oval = np.hypot(along / np.float32(length), across / np.float32(height))
        edge = (1 - oval) * np.float32(height)  # mm below the rib's surface
        cortex = np.float32(CORTEX_HU + rng.gamma(2.0, 130)) + 80 * grain
        bone = np.where(edge > 1.1 + 0.35 * grain, np.float32(MARROW_HU) + 50 * grain, cortex)
        chest = chest + np.clip(edge / 0.6 + 0.5, 0, 1) * (bone - chest)
    return chest


def _vertebra(middle, lung: _Lung, patient: Patient, place: Place, grain, spacing: float) -> np.ndarray:
    v = (lung.row - 0.62) * np.float32(patient.half_height_mm)
    u = (lung.column + place.lateral * 1.42) * np.float32(patient.half_width_mm)
    edge = 17 - np.hypot(v, u) + 1.5 * grain
    bone = np.where(edge > 1.6, np.float32(MARROW_HU) + 45 * grain, np.float32(CORTEX_HU - 180))
    return middle + np.clip(edge / np.float32(spacing) + 0.5, 0, 1) * (bone - middle)


def _dome(rows, columns, wall, wall_hu, centre_mm, radius_mm, patient, spacing, thickness, rng):
    """Heart or diaphragm that bulges into the lung in four slices out of ten, never over the nodule."""
    if rng.uniform() > 0.4:
        return wall, wall_hu
    size = rng.uniform(28, 60)
    angle = rng.uniform(0, 2 * np.pi)
    clear = size + radius_mm + rng.uniform(9, 35)
    at = centre_mm + clear * np.array([np.sin(angle), np.cos(angle)])
    bumps = smooth_field(wall.shape, 16 / spacing, rng)
    away = np.hypot(rows - np.float32(at[0]), columns - np.float32(at[1]))
    inside = np.float32(size) - away + np.float32(1.6) * bumps
    share = np.clip(inside / np.float32(rng.uniform(0.8, 1.5 + thickness)) + 0.5, 0, 1)  # its surface is slanted
    organ = np.float32(55 + 0.5 * (patient.contrast_hu - 42)) + 8 * bumps
    hu = wall_hu + np.where(wall > 0.5, 0, share) * (organ - wall_hu)
    return np.maximum(wall, share), hu


def _airways(rows, columns, tissue, share, depth, centre_mm, radius_mm, spacing, rng):
    """Bronchi: rings of wall around air, next to a vessel of their size, off the nodule and off the wall."""
    for _ in range(rng.poisson(1.0)):
        at = rng.uniform(0, np.array(tissue.shape) * spacing)
        size = rng.uniform(1.0, 2.6)
        cell = tuple(np.minimum((at / spacing).astype(int), np.array(tissue.shape) - 1))
        if depth[cell] > -15 or np.hypot(*(at - centre_mm)) < radius_mm + 8:
            continue
        away = np.hypot(rows - np.float32(at[0]), columns - np.float32(at[1]))
        thick = max(0.25 * size, 0.5)
        ring = np.clip((thick / 2 - np.abs(away - np.float32(size))) / np.float32(spacing) + 0.5, 0, 1)
        turn = rng.uniform(0, 2 * np.pi)
        beside = at + 2.1 * size * np.array([np.sin(turn), np.cos(turn)])
        from_artery = np.hypot(rows - np.float32(beside[0]), columns - np.float32(beside[1]))
        artery = np.clip((np.float32(size) - from_artery) / np.float32(spacing) + 0.5, 0, 1)
        lumen = np.clip((np.float32(size) - away) / np.float32(spacing) + 0.5, 0, 1)
        tissue = tissue + lumen * (np.float32(-985) - tissue)
        share = np.maximum(share * (1 - lumen), np.maximum(ring, artery))
    return tissue, share
