"""What fills a simulated lung: parenchyma, vessels, airways, fissures, and the diseases that change its density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phantoms import chest_vessels as vessels
from phantoms.chest_canvas import Canvas, Field, enlarge
from phantoms.chest_person import Habits, Person
from phantoms.chest_shape import HILUM, LEFT, LOBAR, RIGHT, Build, lung_distance
from phantoms.geometry import smooth_field

LEAVES = 2048
"""Ends of each tree; a lung has one of arteries and one of veins."""

DESTROYED_HU, AIR_HU = -965.0, -990.0

_COLLAPSE_MM = 6.0  # a nodule of less radius closes no airway


@dataclass(frozen=True)
class Spot:
    """A region of another density: ground glass, consolidation, a bulla, or the airless lung behind a tumour.

    Attributes:
        centre: (3,) x, y, z in mm; half: (3,) half axes in mm; hu: its density; soft: how gradually it ends, as a
            share of its size; away: (3,) unit vector along which it widens without end, or None for an ellipsoid.
    """

    centre: np.ndarray
    half: np.ndarray
    hu: float
    soft: float
    away: np.ndarray | None = None


@dataclass(frozen=True)
class Filling:
    """A patient's lungs: trees, spots, and (lung's side, height, slopes) of the fissures."""

    vessels: vessels.Branches
    airways: vessels.Branches
    spots: tuple[Spot, ...]
    bullae: tuple[Spot, ...]
    fissures: tuple[tuple[int, float, float, float], ...]


def fill(build: Build, person: Person, habits: Habits, largest: np.ndarray | None, rng: np.random.Generator) -> Filling:
    """Grow what a patient's lungs hold.

    Args:
        largest: (5,) row, column, z, radius in the slice, radius along z of the largest nodule, or None.
    """
    half = np.array([1.02 * build.width_mm, 1.02 * build.depth_mm])
    points = rng.uniform((-half[0], -half[1], 0.005), (half[0], half[1], 1.0), (20000, 3))
    depth = lung_distance(build, *points.T)
    points[:, 2] = build.apex_mm - points[:, 2] * build.height_mm
    trees, airways = [], []
    for side in (LEFT, RIGHT):
        mine = points[(depth < -1.5) & (np.sign(points[:, 0] - build.shift) == side)]
        mine = mine[rng.permutation(np.arange(2 * LEAVES) % max(len(mine), 1))] if len(mine) else np.zeros((0, 3))
        if not len(mine):
            continue
        x, y, t = HILUM[side]
        root = np.array([x * build.width_mm / 135 + build.shift, y, build.apex_mm - t * build.height_mm])
        arteries = vessels.grow(root, mine[:LEAVES], rng.uniform(5.2, 6.6), rng)
        trees += [arteries, vessels.grow(root - np.array([0, 8, 14]), mine[LEAVES:], rng.uniform(4.6, 6.0), rng)]
        trees.append(_lobar(build, side))
        airways.append(vessels.beside(arteries, rng))
    near = points[(depth < -1) & (depth > -14)]
    deep = points[depth < -1]
    spots = _opacities(habits, person, near, rng)
    if person.collapse and largest is not None and largest[3] > _COLLAPSE_MM:
        spots.append(_collapse(build, person, largest, rng))
    fissures = []
    for side in (LEFT, RIGHT):
        height = build.apex_mm - rng.uniform(0.42, 0.52) * build.height_mm
        fissures.append((side, height, rng.uniform(0.7, 1.2), rng.normal(0, 0.15)))
    fissures.append((RIGHT, build.apex_mm - rng.uniform(0.46, 0.54) * build.height_mm, 0.08, rng.normal(0.1, 0.1)))
    return Filling(
        vessels.join(trees),
        vessels.join(airways),
        tuple(spots),
        tuple(_bullae(build, person, deep, rng)),
        tuple(fissures),
    )


def _lobar(build: Build, side: int) -> vessels.Branches:
    points = np.array(LOBAR[side], float)
    points[:, 0] = points[:, 0] * build.width_mm / 135 + build.shift
    points[:, 2] = build.apex_mm - points[:, 2] * build.height_mm
    fine = np.linspace(0, len(points) - 1, 25)
    points = np.stack([np.interp(fine, np.arange(len(points)), column) for column in points.T], axis=1)
    return vessels.Branches(points[:-1, :3], points[1:, :3], points[:-1, 3])


def _opacities(habits: Habits, person: Person, near: np.ndarray, rng: np.random.Generator) -> list[Spot]:
    spots: list[Spot] = []
    if rng.uniform() > habits.opacity or not len(near):
        return spots
    for _ in range(rng.integers(1, 5)):
        size = rng.uniform(10, 46)
        solid = rng.uniform() < 0.45
        hu = rng.uniform(-60, 45) + 0.1 * (person.blood - 40) if solid else rng.uniform(-720, -420)
        half = size * rng.uniform(0.6, 1.3, 3)
        spots.append(Spot(near[rng.integers(len(near))], half, float(hu), 0.3 if solid else 0.8))
    return spots


def _collapse(build: Build, person: Person, largest: np.ndarray, rng: np.random.Generator) -> Spot:
    x, y, _ = build.points(*largest[:3])
    centre = np.array([x, y, largest[2]])
    side = 1 if x >= build.shift else -1
    hub = np.array([side * 45.0, 8.0, build.apex_mm - 0.45 * build.height_mm])
    away = centre - hub
    away[2] *= 0.4
    away = away / max(float(np.linalg.norm(away)), 1e-3)
    return Spot(centre, np.full(3, 0.8 * largest[3]), 30 + 0.25 * (person.blood - 40), rng.uniform(0.15, 0.4), away)


def _bullae(build: Build, person: Person, deep: np.ndarray, rng: np.random.Generator) -> list[Spot]:
    if not person.emphysema or not len(deep):
        return []
    high = np.exp((deep[:, 2] - deep[:, 2].max()) / 60)  # most lie in the upper lobes
    chosen = rng.choice(len(deep), rng.poisson(14 * person.emphysema), p=high / high.sum())
    return [Spot(deep[k], rng.gamma(3.0, 2.6) * rng.uniform(0.7, 1.3, 3) + 2, AIR_HU, 0.1) for k in chosen]


def density(
    canvas: Canvas,
    build: Build,
    person: Person,
    filling: Filling,
    z_mm: float,
    thickness: float,
    depth: np.ndarray,
    fluid: np.ndarray,
    fields: tuple[Field, Field],
    rng: np.random.Generator,
) -> np.ndarray:
    """(512, 512) float32 HU of lung, everywhere in the slice.

    Args:
        depth: (256, 256) mm to the lung's outline, negative inside.
        fluid: (256, 256) mm to the effusion beside it, negative inside that; large where there is none.
        fields: coarse and fine, in this order.
        rng: the slice's, for texture below the fields' cells.
    """
    x, y = canvas.cx, canvas.cy
    waves, fine = fields[0].at(z_mm), fields[1].at(z_mm)
    shape = depth.shape
    base = np.full(shape, np.float32(person.lung)) + np.float32(person.gravity) * y + 11 * fine + 9 * waves
    if person.emphysema:
        upper = 1.25 - 0.6 * np.clip(canvas.t, 0, 1)
        lost = np.clip(1.3 * fine + 0.7 * waves + np.float32(3.2 * person.emphysema * upper - 1.6), 0, 1)
        base += 0.8 * lost * (DESTROYED_HU - base)
    for spot in filling.bullae:
        edge = _edge(spot, x, y, z_mm, waves)
        if edge is not None:
            base += np.clip(edge / 1.2 + 0.5, 0, 1) * (AIR_HU - base)
            base += 260 * np.exp(-(((edge + 0.8) / 0.9) ** 2))
    hu = enlarge(base.astype(np.float32)) + np.float32(13) * smooth_field(canvas.hu.shape, 1.5 / canvas.spacing, rng)

    wave = 5 * waves
    line = np.zeros(shape, np.float32)
    for side, height, back, out in filling.fissures:
        away = (z_mm - height) - back * y - out * np.abs(x) + wave
        away = np.where(side * (x - build.shift) > 0, away / np.hypot(1, back), 99)
        seen = 0.35 * min(1.2 / thickness, 1.0) if back > 0.3 else 0.12
        np.maximum(line, seen * np.exp(-((away / (0.6 + 0.35 * thickness)) ** 2)), out=line)
    hu += enlarge(line.astype(np.float32)) * (0 - hu)

    share = vessels.share(filling.vessels, canvas, z_mm, thickness)
    share *= np.clip(enlarge(-depth) / 7, 0.25, 1)  # only the finest vessels are seen near the pleura
    hu += share * (np.float32(45 + 0.45 * (person.blood - 42)) - hu)

    solid = _disease(canvas, build, person, filling, z_mm, depth, fluid, waves, fine)
    for amount, value in solid:
        wide = enlarge(amount.astype(np.float32))
        hu += wide * (np.maximum(value + 12 * enlarge(fine), hu) - hu)
    for more, value in ((0.45, -300.0), (0.0, AIR_HU)):
        tubes = filling.airways
        wider = vessels.Branches(tubes.begin, tubes.end, tubes.radius + more)
        inside = vessels.share(wider, canvas, z_mm, thickness)
        hu += inside * ((np.maximum(value, hu) if more else np.float32(value)) - hu)
    return hu


def _disease(canvas: Canvas, build: Build, person: Person, filling: Filling, z_mm, depth, fluid, waves, fine):
    """((256, 256) share, HU) of each kind of dense lung, from the most to the least usual."""
    x, y, t = canvas.cx, canvas.cy, canvas.t
    found = []
    if person.dependent:
        behind = np.clip(2.2 * (y / build.depth_mm - 0.25), 0, 1)
        band = np.clip(1 + depth / (person.dependent * (1 + 0.45 * waves).clip(0.2, 2)), 0, 1)
        found.append((0.75 * band * behind * np.clip(1 + 0.5 * fine, 0, 1.3).clip(0, 1), -140.0))
    if max(person.effusion):
        found.append((np.clip(1.15 - fluid / (11 + 4 * waves), 0, 1), 45 + 0.2 * (person.blood - 42)))
    if person.scar and t < 0.2:
        near = np.exp(np.minimum(depth, 0) / 5) * np.clip((0.2 - t) / 0.1, 0, 1)
        found.append((np.clip((0.8 * fine + 1.2 * waves + 0.2) * near * person.scar, 0, 1), -20.0))
    for spot in filling.spots:
        edge = _edge(spot, x, y, z_mm, waves)
        if edge is not None:
            size = float(spot.half.mean())
            ragged = edge + 0.30 * size * spot.soft * fine + 0.12 * size * waves
            found.append((np.clip(ragged / (spot.soft * 0.5 * size + 1) + 0.3, 0, 1), spot.hu))
    return found


def _edge(spot: Spot, x, y, z_mm: float, waves) -> np.ndarray | None:
    """(256, 256) mm below a spot's surface, negative outside; None where the slice misses it."""
    dx, dy, dz = x - np.float32(spot.centre[0]), y - np.float32(spot.centre[1]), z_mm - spot.centre[2]
    if spot.away is None:
        if abs(dz) > 1.5 * spot.half[2]:
            return None
        level = np.sqrt((dx / spot.half[0]) ** 2 + (dy / spot.half[1]) ** 2 + (dz / spot.half[2]) ** 2)
        return ((1 - level) * spot.half.mean()).astype(np.float32)
    if abs(dz) > 40 + 2 * spot.half[2]:
        return None
    along = dx * spot.away[0] + dy * spot.away[1] + dz * spot.away[2]
    across = np.sqrt(np.maximum(dx**2 + dy**2 + dz**2 - along**2, 0))
    beside, before = spot.half[0] + 0.35 * along - across + 2 * waves, along + 0.6 * spot.half[0]
    return (beside + before - np.hypot(beside, before)).astype(np.float32)  # both, with a round corner
