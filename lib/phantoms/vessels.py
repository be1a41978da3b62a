"""Branching vessels and airways of the lung, cut by a slice of finite thickness.

A vessel is a chain of points on its centre line, each with a radius and a height above the slice's middle. A pixel at
distance d from a horizontal cylinder of radius r sees it over a chord of ``2 sqrt(r^2 - d^2)``; the part of the slice's
thickness that the chord fills is the vessel's share of the pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from phantoms.geometry import block_mean, join

VESSEL_HU = 45.0
_FACTOR = 2  # sub-pixels per pixel and axis
_STEP_MM = 0.4


@dataclass(frozen=True)
class Tubes:
    """Points on centre lines: (N, 2) (row, column) in mm from the image's first pixel, (N,) radius and height in mm."""

    points: np.ndarray
    radius: np.ndarray
    height: np.ndarray


def grow(extent_mm: tuple[float, float], outward: np.ndarray, rng: Generator, starts: np.ndarray) -> Tubes:
    """Return vessels that run mostly along ``outward`` (2,), a unit (row, column) vector from hilum to pleura, thin out
    and branch. They start in the image or up to 15 mm beside it, and at ``starts`` (K, 2) in mm."""
    area = extent_mm[0] * extent_mm[1]
    count = rng.poisson(area / 130)
    begin = rng.uniform(-15, np.add(extent_mm, 15), (count, 2))
    radius = np.exp(rng.normal(np.log(0.62), 0.5, count))
    heading = np.arctan2(outward[0], outward[1]) + rng.normal(0, 0.7, count)
    slope = rng.normal(0, 0.35, count)
    height = rng.normal(0, 0.8, count) - slope * rng.uniform(0, 25, count)  # most enter and leave the slice obliquely
    if more := len(starts):
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
        # children leave anywhere along their parents, to either side, three quarters as wide
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


def dots(extent_mm: tuple[float, float], rng: Generator) -> Tubes:
    """Return vessels that cross the slice steeply: discs that fill its thickness."""
    count = rng.poisson(extent_mm[0] * extent_mm[1] / 260)
    radius = np.exp(rng.normal(np.log(0.6), 0.4, count))
    return Tubes(rng.uniform(0, extent_mm, (count, 2)), radius, np.full(count, np.nan))


def share(tubes: Tubes, shape: tuple[int, int], spacing: float, thickness: float) -> np.ndarray:
    """Return the (H, W) float32 share of each pixel's volume that is vessel."""
    total = np.zeros((_FACTOR * shape[0], _FACTOR * shape[1]), np.float32)
    # each layer knows only the nearest centre line, so thick vessels must not hide behind thin neighbours
    for layer in (tubes.radius >= 0.9, tubes.radius < 0.9):
        np.maximum(total, _layer(tubes, layer, total.shape, spacing / _FACTOR, thickness), out=total)
    return block_mean(total, _FACTOR)


def _layer(tubes: Tubes, chosen: np.ndarray, shape: tuple[int, int], step: float, thickness: float) -> np.ndarray:
    """Return the share of the ``chosen`` points: each cell sees the chord of the nearest one."""
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
