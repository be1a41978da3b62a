"""Contents of a simulated lung: parenchyma, vessels, airways, fissures, and diseases that change its density.

The leaves of a vessel tree are spread evenly over the lung and halved repeatedly, mostly across the longer side; a
branch runs from the fork of the parent group towards the middle of each half. Radii follow Murray's law.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from phantoms.base import join, smooth_field
from phantoms.chest_canvas import Canvas, Habits, Person, enlarge
from phantoms.chest_shape import HILUM, LEFT, LOBAR, RIGHT, Build, lung_distance
from softmask.data.kinds import FRAME

LEAVES = 2048  # end points of each tree; a lung has an arterial and a venous tree
DESTROYED_HU, AIR_HU = -965.0, -990.0
_COLLAPSE_MM = 6.0  # a nodule with a smaller radius closes no airway
_FINE = 2  # sub-pixels per pixel and axis
_SHIFT = 4  # fractional bits of the coordinates of drawn points
_MURRAY = 2.75


@dataclass(frozen=True)
class Branches:
    """Straight segments: (M, 3) end points (x, y, z) in mm, (M,) radius in mm."""

    begin: np.ndarray
    end: np.ndarray
    radius: np.ndarray


def grow(root: np.ndarray, leaves: np.ndarray, radius: float, rng: Generator) -> Branches:
    """Return a tree from ``root`` (3,) to ``leaves`` (2^k, 3), ``radius`` mm wide at its root."""
    groups, forks = leaves[None], np.asarray(root, float)[None]
    begins, ends, radii = [], [], []
    while True:
        count = groups.shape[1]
        middles = groups.mean(axis=1)
        # wide branches fork near the root, so that all branches radiate from there
        part = np.interp(np.log2(count), (0, 1, 6, 11), (1.0, 0.65, 0.5, 0.25))
        part = part * rng.uniform(0.8, 1.15, (len(groups), 1))
        nodes = forks + part * (middles - forks)
        nodes = nodes + rng.normal(0, 0.05, nodes.shape) * np.linalg.norm(nodes - forks, axis=1, keepdims=True)
        # two segments with a knee between them, because vessels bend
        knees = (forks + nodes) / 2
        knees = knees + rng.normal(0, 0.06, knees.shape) * np.linalg.norm(nodes - forks, axis=1, keepdims=True)
        size = radius * (count / len(leaves)) ** (1 / _MURRAY)
        begins += [forks, knees]
        ends += [knees, nodes]
        radii.append(np.full(2 * len(groups), size))
        if count == 1:
            break
        across = groups.var(axis=1) * rng.normal(0, 1, (len(groups), 3))
        order = np.argsort((groups @ across[..., None])[..., 0], axis=1)
        groups = np.take_along_axis(groups, order[..., None], axis=1).reshape(2 * len(groups), count // 2, 3)
        forks = np.repeat(nodes, 2, axis=0)
    return Branches(np.concatenate(begins), np.concatenate(ends), np.concatenate(radii))


def share_of(branches: Branches, canvas: Canvas) -> np.ndarray:
    """Return the (512, 512) float32 share of each pixel's volume that the branches fill."""
    fine = np.zeros((_FINE * FRAME, _FINE * FRAME), np.uint8)
    thickness = canvas.thickness
    low, high = canvas.z_mm - thickness / 2, canvas.z_mm + thickness / 2
    z0, z1, r = branches.begin[:, 2], branches.end[:, 2], branches.radius
    hit = (np.minimum(z0, z1) - 0.7 * r < high) & (np.maximum(z0, z1) + 0.7 * r > low)
    begin, end, r = branches.begin[hit], branches.end[hit], r[hit]
    if not len(r):
        return np.zeros((FRAME, FRAME), np.float32)
    run = end - begin
    rise = np.where(np.abs(run[:, 2]) < 1e-3, 1e-3, run[:, 2])
    # the part of the centre line that is visible in the slice
    at = np.sort(np.stack([(low - 0.7 * r - begin[:, 2]) / rise, (high + 0.7 * r - begin[:, 2]) / rise]), axis=0)
    first, last = np.clip(at, 0, 1)
    ends = [begin[:, :2] + f[:, None] * run[:, :2] for f in (first, last)]
    flatness = np.sqrt(np.maximum(1 - (run[:, 2] / np.linalg.norm(run, axis=1)) ** 2, 0.02))
    filled = np.minimum(1.57 * r / flatness / thickness, 1)
    step = canvas.spacing / _FINE
    pixels = np.maximum(np.rint(2 * r / step), 1)
    drawn = np.where(pixels > 2, pixels - 1, pixels).astype(int)  # wide lines are drawn one pixel wider than requested
    value = np.clip(filled * np.minimum(2 * r / step / pixels, 1) * 255, 1, 255).astype(int)
    origin = np.array([canvas.x[0, 0], canvas.y[0, 0]]) - canvas.spacing / 2 + step / 2
    starts, stops = (np.rint((end - origin) / step * (1 << _SHIFT)).astype(int) for end in ends)
    for k in np.argsort(value, kind="stable"):  # higher values over lower ones
        cv2.line(fine, starts[k], stops[k], int(value[k]), int(drawn[k]), cv2.LINE_8, _SHIFT)
    small = cv2.resize(fine, (FRAME, FRAME), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class Spot:
    """Region of different density: ground glass, consolidation, a bulla, or the airless lung behind a tumour."""

    centre: np.ndarray  # (3,) x, y, z in mm
    half: np.ndarray  # (3,) half axes in mm
    hu: float
    soft: float  # width of the gradual edge, as a share of the size
    away: np.ndarray | None = None  # (3,) unit vector along which it widens without limit; None for an ellipsoid


@dataclass(frozen=True)
class Filling:
    """Contents of a patient's lungs."""

    vessels: Branches
    airways: Branches
    spots: list[Spot]
    bullae: list[Spot]
    fissures: list[tuple[int, float, float, float]]  # side of the lung, height, slopes


def fill(build: Build, person: Person, habits: Habits, largest: np.ndarray | None, rng: Generator) -> Filling:
    """Return the contents of a patient's lungs; ``largest`` is :func:`~phantoms.chest.extent` of the largest nodule."""
    half = np.array([1.02 * build.width_mm, 1.02 * build.depth_mm])
    points = rng.uniform((-half[0], -half[1], 0.005), (half[0], half[1], 1.0), (20000, 3))
    depth = lung_distance(build, *points.T)
    points[:, 2] = build.apex_mm - points[:, 2] * build.height_mm
    trees, airways = [], []
    for side in (LEFT, RIGHT):
        inside = points[(depth < -1.5) & (np.sign(points[:, 0] - build.shift) == side)]
        if not len(inside):
            continue
        leaves = inside[rng.permutation(np.arange(2 * LEAVES) % len(inside))]
        x, y, t = HILUM[side]
        root = np.array([x * build.width_mm / 135 + build.shift, y, build.apex_mm - t * build.height_mm])
        arteries = grow(root, leaves[:LEAVES], rng.uniform(5.2, 6.6), rng)
        veins = grow(root - np.array([0, 8, 14]), leaves[LEAVES:], rng.uniform(4.6, 6.0), rng)
        trees += [arteries, veins, _lobar(build, side)]
        # airways accompany the wider arteries
        away, wide = rng.normal(size=3), arteries.radius > 1.5
        shift = 0.9 * arteries.radius[wide, None] * (2.0 * away / np.linalg.norm(away))
        airways.append(Branches(arteries.begin[wide] + shift, arteries.end[wide] + shift, 0.65 * arteries.radius[wide]))

    spots: list[Spot] = []
    near, deep = points[(depth < -1) & (depth > -14)], points[depth < -1]
    if rng.uniform() <= habits.opacity and len(near):
        for _ in range(rng.integers(1, 5)):
            size = rng.uniform(10, 46)
            solid = rng.uniform() < 0.45
            hu = rng.uniform(-60, 45) + 0.1 * (person.blood - 40) if solid else rng.uniform(-720, -420)
            axes = size * rng.uniform(0.6, 1.3, 3)
            spots.append(Spot(near[rng.integers(len(near))], axes, float(hu), 0.3 if solid else 0.8))
    if person.collapse and largest is not None and largest[3] > _COLLAPSE_MM:
        spots.append(_collapse(build, person, largest, rng))
    fissures = []
    for side in (LEFT, RIGHT):
        height = build.apex_mm - rng.uniform(0.42, 0.52) * build.height_mm
        fissures.append((side, height, rng.uniform(0.7, 1.2), rng.normal(0, 0.15)))
    fissures.append((RIGHT, build.apex_mm - rng.uniform(0.46, 0.54) * build.height_mm, 0.08, rng.normal(0.1, 0.1)))
    bullae = []
    if person.emphysema and len(deep):
        high = np.exp((deep[:, 2] - deep[:, 2].max()) / 60)  # most bullae are in the upper lobes
        for k in rng.choice(len(deep), rng.poisson(14 * person.emphysema), p=high / high.sum()):
            axes = rng.gamma(3.0, 2.6) * rng.uniform(0.7, 1.3, 3) + 2
            bullae.append(Spot(deep[k], axes, AIR_HU, 0.1))
    return Filling(join(trees), join(airways), spots, bullae, fissures)


def _lobar(build: Build, side: int) -> Branches:
    """Return the artery that descends from the hilum inside the lung."""
    points = np.array(LOBAR[side], float)
    points[:, 0] = points[:, 0] * build.width_mm / 135 + build.shift
    points[:, 2] = build.apex_mm - points[:, 2] * build.height_mm
    fine = np.linspace(0, len(points) - 1, 25)
    points = np.stack([np.interp(fine, np.arange(len(points)), column) for column in points.T], axis=1)
    return Branches(points[:-1, :3], points[1:, :3], points[:-1, 3])


def _collapse(build: Build, person: Person, largest: np.ndarray, rng: Generator) -> Spot:
    """Return the airless lung between the largest nodule and the wall."""
    x, y, _ = build.points(*largest[:3])
    centre = np.array([x, y, largest[2]])
    side = 1 if x >= build.shift else -1
    away = centre - np.array([side * 45.0, 8.0, build.apex_mm - 0.45 * build.height_mm])
    away[2] *= 0.4
    away = away / max(float(np.linalg.norm(away)), 1e-3)
    return Spot(centre, np.full(3, 0.8 * largest[3]), 30 + 0.25 * (person.blood - 40), rng.uniform(0.15, 0.4), away)


def density(canvas: Canvas, filling: Filling) -> np.ndarray:
    """Return the (512, 512) float32 HU of lung for the whole slice, also outside the lungs."""
    build, person, z_mm, thickness = canvas.build, canvas.person, canvas.z_mm, canvas.thickness
    x, y, waves, fine = canvas.cx, canvas.cy, canvas.waves, canvas.fine
    shape = waves.shape
    base = np.full(shape, np.float32(person.lung)) + np.float32(person.gravity) * y + 11 * fine + 9 * waves
    if person.emphysema:
        upper = 1.25 - 0.6 * np.clip(canvas.t, 0, 1)
        lost = np.clip(1.3 * fine + 0.7 * waves + np.float32(3.2 * person.emphysema * upper - 1.6), 0, 1)
        base += 0.8 * lost * (DESTROYED_HU - base)
    for spot in filling.bullae:
        edge = _edge(spot, canvas)
        if edge is not None:
            base += np.clip(edge / 1.2 + 0.5, 0, 1) * (AIR_HU - base)
            base += 260 * np.exp(-(((edge + 0.8) / 0.9) ** 2))
    hu = enlarge(base) + np.float32(13) * smooth_field(canvas.hu.shape, 1.5 / canvas.spacing, canvas.rng)

    wave = 5 * waves
    line = np.zeros(shape, np.float32)
    for side, height, back, out in filling.fissures:
        away = (z_mm - height) - back * y - out * np.abs(x) + wave
        away = np.where(side * (x - build.shift) > 0, away / np.hypot(1, back), 99)
        seen = 0.35 * min(1.2 / thickness, 1.0) if back > 0.3 else 0.12
        np.maximum(line, seen * np.exp(-((away / (0.6 + 0.35 * thickness)) ** 2)), out=line)
    hu += enlarge(line) * (0 - hu)

    share = share_of(filling.vessels, canvas)
    share *= np.clip(enlarge(-canvas.outline) / 7, 0.25, 1)  # only the finest vessels are visible near the pleura
    hu += share * (np.float32(45 + 0.45 * (person.blood - 42)) - hu)

    for amount, value in _disease(canvas, filling):
        hu += enlarge(amount) * (np.maximum(value + 12 * enlarge(fine), hu) - hu)
    for more, value in ((0.45, -300.0), (0.0, AIR_HU)):
        tubes = filling.airways
        inside = share_of(Branches(tubes.begin, tubes.end, tubes.radius + more), canvas)
        hu += inside * ((np.maximum(value, hu) if more else np.float32(value)) - hu)
    return hu


def _disease(canvas: Canvas, filling: Filling) -> list[tuple[np.ndarray, float]]:
    """Return the (256, 256) share and the HU of each kind of dense lung tissue."""
    person, t, depth, waves, fine = canvas.person, canvas.t, canvas.outline, canvas.waves, canvas.fine
    dense = []
    if person.dependent:
        behind = np.clip(2.2 * (canvas.cy / canvas.build.depth_mm - 0.25), 0, 1)
        band = np.clip(1 + depth / (person.dependent * (1 + 0.45 * waves).clip(0.2, 2)), 0, 1)
        dense.append((0.75 * band * behind * np.clip(1 + 0.5 * fine, 0, 1.3).clip(0, 1), -140.0))
    if max(person.effusion):
        dense.append((np.clip(1.15 - canvas.fluid / (11 + 4 * waves), 0, 1), 45 + 0.2 * (person.blood - 42)))
    if person.scar and t < 0.2:
        near = np.exp(np.minimum(depth, 0) / 5) * np.clip((0.2 - t) / 0.1, 0, 1)
        dense.append((np.clip((0.8 * fine + 1.2 * waves + 0.2) * near * person.scar, 0, 1), -20.0))
    for spot in filling.spots:
        edge = _edge(spot, canvas)
        if edge is not None:
            size = float(spot.half.mean())
            ragged = edge + 0.30 * size * spot.soft * fine + 0.12 * size * waves
            dense.append((np.clip(ragged / (spot.soft * 0.5 * size + 1) + 0.3, 0, 1), spot.hu))
    return dense


def _edge(spot: Spot, canvas: Canvas) -> np.ndarray | None:
    """Return the (256, 256) depth in mm below a spot's surface; None if the slice misses the spot."""
    dx, dy = canvas.cx - np.float32(spot.centre[0]), canvas.cy - np.float32(spot.centre[1])
    dz = canvas.z_mm - spot.centre[2]
    if spot.away is None:
        if abs(dz) > 1.5 * spot.half[2]:
            return None
        level = np.sqrt((dx / spot.half[0]) ** 2 + (dy / spot.half[1]) ** 2 + (dz / spot.half[2]) ** 2)
        return ((1 - level) * spot.half.mean()).astype(np.float32)
    if abs(dz) > 40 + 2 * spot.half[2]:
        return None
    along = dx * spot.away[0] + dy * spot.away[1] + dz * spot.away[2]
    across = np.sqrt(np.maximum(dx**2 + dy**2 + dz**2 - along**2, 0))
    beside, before = spot.half[0] + 0.35 * along - across + 2 * canvas.waves, along + 0.6 * spot.half[0]
    return (beside + before - np.hypot(beside, before)).astype(np.float32)  # intersection with a rounded corner
