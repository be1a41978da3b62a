"""One slice of one nodule: true outline, between those of the readers, edge, and substance.

The truth starts from the mean outline of the readers. Roughness and lobes displace the outline, spicules extend from
it, and a poorly defined margin and the slope of the surface within the thick slice make the edge gradual.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from phantoms.base import (
    SUPERSAMPLING,
    Outlines,
    Window,
    block_mean,
    mean_outline,
    outline_distance,
    smooth_field,
    subpixel_centres,
    support,
    with_area,
)
from softmask.data.kinds import NO_CALCIUM, Place

MARGIN_MM = (2.2, 1.5, 0.9, 0.4, 0.0)  # width of the edge, by margin rating 1 (poorly defined) to 5 (sharp)
TEXTURE_HU = (-590.0, -510.0, -330.0, -60.0, 35.0)  # HU by texture rating 1 (ground glass) to 5 (solid)
SOLID_HU, FAT_HU, FLUID_HU, CAVITY_HU = 35.0, -80.0, 8.0, -960.0
BED_HU = -860.0

_REACH_MM = 9.0  # largest distance from the contours that a nodule can reach


@dataclass(frozen=True)
class Plan:
    """Inputs from which a slice is drawn: contours, ratings, kind, position and geometry."""

    outlines: Sequence[Outlines]  # the present readers' contours in this slice, in frame pixels
    areas: Sequence[float]  # number of pixels of each present reader's mask
    ratings: Sequence[Mapping[str, float]]  # ratings by all readers of the nodule
    kind: str  # one of softmask.data.kinds.KINDS, which decides about cavity and calcium
    place: Place  # position in the lung, which determines the distance to the wall
    window: Window  # window of the image in the frame
    spacing: float  # mm
    thickness: float  # mm
    slope_mm: float  # shift of the outline from the lower to the upper face of the slice (surface_slope)


@dataclass(frozen=True)
class Shape:
    """True extent of a lesion in one slice."""

    window: Window  # box in which the lesion was drawn, in frame pixels
    distance: np.ndarray  # (S*h, S*w) float32 distance to the outline in pixels, negative inside, without spicules
    fraction: np.ndarray  # (S*h, S*w) float32 in [0, 1], lesion substance at each sub-pixel
    centre: np.ndarray  # (2,) centroid in frame pixels
    radius: float  # equivalent radius in pixels


def mean_rating(ratings: Sequence[Mapping[str, float]], name: str) -> float:
    return float(np.mean([rating[name] for rating in ratings]))


def draw_shape(plan: Plan, rng: Generator) -> Shape:
    """Return the true lesion of a slice; ``rng`` draws roughness, lobes and spicules."""
    # the part of the window around all contours that the lesion, its spicules and its edge can reach
    points = np.concatenate([points for reader in plan.outlines for _, points in reader])
    reach = int(np.ceil(_REACH_MM / plan.spacing))
    low = np.maximum(points.min(axis=0) - reach, plan.window[:2])
    high = np.minimum(points.max(axis=0) + reach + 1, np.add(plan.window[:2], plan.window[2:]))
    box = (*low.tolist(), *(high - low).tolist())
    distances = [outline_distance(o, area, box) for o, area in zip(plan.outlines, plan.areas, strict=True)]
    mean = mean_outline(distances, plan.areas)
    centre, _, radius = support(mean, box, np.array([0.0, 1.0]))
    rows, columns = subpixel_centres(box)
    angle = np.arctan2(rows - np.float32(centre[0]), columns - np.float32(centre[1]))

    margin = mean_rating(plan.ratings, "margin")
    rough = min(0.12 + 0.07 * radius, 0.9) * (1 + 0.2 * (5 - margin)) * 0.6
    distance = mean + np.float32(rough) * smooth_field(mean.shape, SUPERSAMPLING * max(1.5, 0.5 * radius), rng)
    lobes = 0.03 * radius * (mean_rating(plan.ratings, "lobulation") - 1)
    for waves in range(2, 7):
        size, phase = rng.normal(0, 0.4 * lobes), rng.uniform(0, 2 * np.pi)
        if lobes > 0:
            distance += np.float32(size) * np.cos(waves * angle + np.float32(phase))
    # roughness alone would shrink a lesion that is smaller than the roughness
    distance = with_area(distance, float(np.count_nonzero(mean < 0)) / SUPERSAMPLING**2)

    # an edge wider than the radius would spread a lesion of a few pixels over many pixels
    width = min(float(np.hypot(np.interp(margin, range(1, 6), MARGIN_MM), plan.slope_mm)) / plan.spacing, radius)
    ramp = np.clip(0.5 - distance / np.float32(max(width, 1 / SUPERSAMPLING)), 0, 1)
    fraction = ramp * ramp * (3 - 2 * ramp)
    shape = Shape(box, distance, fraction, centre, radius)
    for spicule in _spicules(shape, mean_rating(plan.ratings, "spiculation"), plan.spacing, rng):
        np.maximum(fraction, spicule, out=fraction)
    return shape


def surface_slope(areas: Sequence[float]) -> float:
    """Return the shift (mm) of the outline from one face of a slice to the other, from the ``areas`` (mm^2) below,
    here and above: the change of area, divided by the perimeter of the circle of the same area."""
    below, here, above = areas
    radius = np.sqrt(here / np.pi)
    change = abs(above - below) / 2 if below > 0 or above > 0 else here / 2
    return float(min(change / (2 * np.pi * radius), radius))


def _spicules(shape: Shape, rating: float, spacing: float, rng: Generator) -> Iterator[np.ndarray]:
    """Yield the (S*h, S*w) coverage of each spicule: a tapering line from inside the outline outwards."""
    distance, centre, radius = shape.distance, shape.centre, shape.radius
    rows, columns = subpixel_centres(shape.window)
    count = rng.poisson(1.6 * (rating - 1)) if rating > 1 else 0
    for angle in rng.uniform(0, 2 * np.pi, count):
        direction = np.array([np.sin(angle), np.cos(angle)])
        length = min(rng.uniform(1.5, 2.0 + (rating - 1)) / spacing, 1.2 * radius + 1)
        base = min(rng.uniform(0.35, 0.7) / spacing, radius / 2)  # half width at the base; nearly 0 at the tip
        out = np.arange(0, 3 * radius, 0.25)
        at = centre + out[:, None] * direction
        cell = np.rint((at - shape.window[:2] + 0.5) * SUPERSAMPLING - 0.5).astype(int)
        kept = (cell >= 0).all(axis=1) & (cell < distance.shape).all(axis=1)
        inside = np.flatnonzero(kept)[distance[tuple(cell[kept].T)] < 0]
        if not len(inside):
            continue
        start = centre + out[inside[-1]] * direction
        v, u = rows - np.float32(start[0]), columns - np.float32(start[1])
        along = v * np.float32(direction[0]) + u * np.float32(direction[1])
        across = np.abs(v * np.float32(direction[1]) - u * np.float32(direction[0]))
        bend = np.float32(rng.normal(0, 0.03))
        across = np.abs(across - bend * along**2 / max(length, 1)) if abs(bend) > 0.02 else across
        half = base * np.clip(1 - along / np.float32(length), 0, 1)
        half[along < -1] = 0
        yield np.clip((half - across) * SUPERSAMPLING + 0.5, 0, 1) * (half > 0)


def substance(shape: Shape, plan: Plan, rng: Generator) -> np.ndarray:
    """Return the (S*h, S*w) float32 HU of the lesion's substance: density, calcium, cavity, fluid or fat."""
    spacing, radius = plan.spacing, shape.radius
    texture, subtlety = mean_rating(plan.ratings, "texture"), mean_rating(plan.ratings, "subtlety")
    base = np.interp(texture, range(1, 6), TEXTURE_HU) + rng.normal(0, 12 + 22 * (5 - texture) / 4)
    # readers call a nodule subtle if its contrast with the lung is low
    base = BED_HU + (base - BED_HU) * (1 - 0.12 * (5 - subtlety))
    depth = -shape.distance * np.float32(spacing)  # mm below the outline
    grain = smooth_field(depth.shape, SUPERSAMPLING * 1.5 / spacing, rng)
    hu = np.full(depth.shape, np.float32(base)) + np.float32(10 + 18 * (5 - texture)) * grain
    if 2.2 < texture < 4.2:
        # part-solid: a core, off centre, whose share of the lesion grows with the rating
        core = depth - np.float32(max((1 - (texture - 2.2) / 2.4) * radius * spacing, 0.6))
        uneven = smooth_field(depth.shape, SUPERSAMPLING * max(radius, 2), rng)
        core += 0.25 * np.float32(radius * spacing) * uneven
        solid = np.clip(core / np.float32(0.5) + 0.5, 0, 1)
        hu += solid * (np.float32(SOLID_HU) - hu)
    inside = np.bincount([int(rating["internalStructure"]) for rating in plan.ratings], minlength=6)
    if inside[2] or inside[3]:
        content = FLUID_HU if inside[2] >= inside[3] else FAT_HU
        hu += np.clip(depth - 0.8, 0, 1) * (np.float32(content) - hu)
    if plan.kind == "calcific":
        hu = np.maximum(hu, _calcium(shape, plan.ratings, depth, rng))
    if plan.kind == "cavitary":
        wall = rng.uniform(0.3, 0.55) * radius * spacing
        uneven = smooth_field(depth.shape, SUPERSAMPLING * max(0.7 * radius, 2), rng)
        lumen = depth - np.float32(wall) + np.float32(0.25 * wall) * uneven
        hu += np.clip(lumen / np.float32(0.4) + 0.5, 0, 1) * (np.float32(CAVITY_HU) - hu)
    return hu.astype(np.float32)


def _calcium(shape: Shape, ratings: Sequence[Mapping[str, float]], depth: np.ndarray, rng: Generator) -> np.ndarray:
    """Return the (S*h, S*w) HU of calcium in the readers' pattern; -2000 where there is none."""
    codes = [int(rating["calcification"]) for rating in ratings if rating["calcification"] < NO_CALCIUM]
    pattern = int(np.argmax(np.bincount(codes)))
    deepest = float(max(depth.max(), 0.3))
    relative = depth / np.float32(deepest)
    peak = np.float32(rng.uniform(300, 800))
    if pattern == 1:  # popcorn
        amount = smooth_field(depth.shape, SUPERSAMPLING * max(0.45 * shape.radius, 1.2), rng) - np.float32(0.3)
        amount = np.where(relative > 0.1, amount * 2, -1)
    elif pattern == 2:  # laminated
        amount = np.where(relative > 0.05, np.cos(relative * np.float32(3.5 * np.pi)) + np.float32(0.2), -1)
    elif pattern == 3:  # solid
        amount = relative * 4
    elif pattern == 4:  # non-central
        angle, reach = rng.uniform(0, 2 * np.pi), 0.45 * shape.radius
        rows, columns = subpixel_centres(shape.window)
        row, column = shape.centre + reach * np.array([np.sin(angle), np.cos(angle)])
        away = np.hypot(rows - np.float32(row), columns - np.float32(column))
        amount = np.where(relative > 0.05, 2 - away / np.float32(0.35 * shape.radius), -1)
    else:  # central
        amount = (relative - np.float32(0.45)) * 4
    return np.where(amount > 0, SOLID_HU + peak * np.clip(amount, 0, 1), np.float32(-2000))


def in_pixels(shape: Shape, hu: np.ndarray, window: Window, fineness: int = 1) -> np.ndarray:
    """Return lesion fraction and HU of the lesion's substance, (2, f*H, f*W) float32, with f x f values (``fineness``)
    for each pixel of ``window``. Means of ``hu`` (S*h, S*w) are weighted by the lesion fraction; 0 without lesion."""
    factor = SUPERSAMPLING // fineness
    weight = block_mean(shape.fraction, factor)
    mean = block_mean(shape.fraction * hu, factor) / np.maximum(weight, np.float32(1e-6))
    whole = np.zeros([2, *(fineness * pixels for pixels in window[2:])], np.float32)
    row, column = (fineness * (shape.window[i] - window[i]) for i in (0, 1))
    part = weight, np.where(weight > 0, mean, 0)
    whole[:, row : row + weight.shape[0], column : column + weight.shape[1]] = part
    return whole
