"""Embedded ISBI 2012: simulated serial-section electron micrographs of neuropil, with a known truth.

Cells are a Voronoi partition with seeds of uneven density, bent by a smooth displacement; membranes run between them,
wide and blurred where they are cut obliquely. Foreground is the cell interior, as in the real data set.
"""

import cv2
import numpy as np
import pandas as pd
from numpy.random import Generator

from phantoms.base import SUPERSAMPLING, Embedded, block_mean, blur, generator, smooth_field
from softmask.data.sample import Sample

SECTIONS, SIZE, SPACING_MM = 30, 256, (4e-6, 4e-6)
MEMBRANE_HALF_PX = 1.9  # half thickness of a membrane that is cut straight (about 15 nm)
CELL_GREY, MEMBRANE_GREY, MITOCHONDRION_GREY = 0.60, 0.26, 0.40
_POINT_SPREAD_PX = 0.9
_HAND_WIDE_PX, _HAND_STRAY_PX = 0.7, 0.6  # annotator's membranes: additional half width, and deviation of the outline


class EmbeddedIsbi2012(Embedded):
    """Thirty sections of 256 x 256 pixels of 4 nm; each counts as a patient, as in the real data set."""

    origin = "simulated electron micrographs"

    def __init__(self, name: str = "isbi2012") -> None:
        super().__init__(name)
        patients = [f"section-{number:02d}" for number in range(SECTIONS)]
        slices = [str(number) for number in range(SECTIONS)]
        self.index = pd.DataFrame({"patient": patients, "nodule": "cells", "slice": slices, "n_readers": 1})

    def read(self, i: int) -> Sample:
        image, alpha, mask = draw_section(generator(self.name, self.index["patient"][i]))
        present = np.ones(1, bool)
        return self.sample(i, image=image, readers=mask[None], present=present, spacing=SPACING_MM, alpha=alpha)


def draw_section(rng: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``(image, alpha, mask)`` of a section, (256, 256) float32, float32 and bool."""
    shape, fine = (SIZE, SIZE), (SUPERSAMPLING * SIZE, SUPERSAMPLING * SIZE)
    cells = _cells(fine, rng)
    inside = np.ones(fine, np.uint8)  # 0 at the border of two cells
    inside[:, 1:] &= cells[:, 1:] == cells[:, :-1]
    inside[1:] &= cells[1:] == cells[:-1]
    # (S*H, S*W) in pixels; the error of the 5 x 5 mask is at most two per cent
    to_border = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5) / np.float32(SUPERSAMPLING)
    # the projection of a membrane that is oblique to the section is wide, and fades on both sides
    oblique = np.clip(_large_field(fine, 45, rng) - np.float32(1.35), 0, 1.2)
    half = np.float32(MEMBRANE_HALF_PX) * (1 + np.float32(0.2) * _large_field(fine, 12, rng)) + 3 * oblique
    fade = np.maximum(4 * oblique, np.float32(1 / SUPERSAMPLING))
    alpha = np.clip(block_mean(np.clip((to_border - half) / fade + np.float32(0.5), 0, 1)), 0, 1)

    stray = np.float32(_HAND_STRAY_PX) * smooth_field(shape, 8, rng)
    hand = np.float32(MEMBRANE_HALF_PX + _HAND_WIDE_PX) + 3 * block_mean(oblique) + stray
    mask = block_mean(to_border) > hand
    return _micrograph(cells, to_border, alpha, rng), alpha, mask


def _large_field(shape: tuple[int, int], scale_px: float, rng: Generator) -> np.ndarray:
    """Return a field on the sub-pixel grid that is smooth over ``scale_px`` pixels."""
    coarse = smooth_field((shape[0] // SUPERSAMPLING, shape[1] // SUPERSAMPLING), scale_px, rng)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _cells(shape: tuple[int, int], rng: Generator) -> np.ndarray:
    """Return the (S*H, S*W) int32 labels of cells, which are crowded, large or elongated in places."""
    reach = 40 * SUPERSAMPLING  # margin, so that cells at the border are like all others
    wide = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    crowded = _large_field(wide, 75, rng)
    count = int(wide[0] * wide[1] / (17 * SUPERSAMPLING) ** 2)
    seeds = (rng.uniform(size=(count, 2)) * wide).astype(int)
    keep = rng.uniform(size=count) < np.clip(0.17 + 0.22 * crowded[tuple(seeds.T)], 0.03, 0.5)
    free = np.ones(wide, np.uint8)
    free[tuple(seeds[keep].T)] = 0
    labels = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    # displacement: long waves shape the cells, short waves make their membranes uneven
    down, across = (
        np.float32(26) * _large_field(shape, 28, rng) + np.float32(3.5) * _large_field(shape, 6.5, rng) for _ in "xy"
    )
    rows = np.arange(shape[0], dtype=np.float32)[:, None] + reach + down
    columns = np.arange(shape[1], dtype=np.float32)[None, :] + reach + across
    # remap interpolates floats only; labels stay far below 2^24, where float32 is exact
    return cv2.remap(labels.astype(np.float32), columns, rows, cv2.INTER_NEAREST).astype(np.int32)


def _micrograph(cells: np.ndarray, to_border: np.ndarray, alpha: np.ndarray, rng: Generator) -> np.ndarray:
    """Return the image: stained membranes, cytoplasm with vesicles, mitochondria, uneven stain, noise."""
    shape, middle = alpha.shape, slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
    cell, depth = cells[middle, middle], to_border[middle, middle]
    tone = rng.normal(0, 0.035, cells.max() + 1).astype(np.float32)[cell]
    cytoplasm = np.float32(CELL_GREY) + tone
    cytoplasm += np.float32(0.07) * smooth_field(shape, 2.2, rng) + np.float32(0.05) * smooth_field(shape, 6, rng)
    cytoplasm -= np.float32(0.28) * _vesicles(shape, depth, rng)
    cytoplasm = _mitochondria(cytoplasm, cell, depth, rng)
    stain = np.float32(MEMBRANE_GREY) + np.float32(0.05) * smooth_field(shape, 7, rng)
    image = stain + alpha * (cytoplasm - stain)
    # synapses: a dark cloud on the membrane
    for _ in range(rng.poisson(2.5)):
        edge = np.argwhere(depth < 1.5)
        row, column = edge[rng.integers(len(edge))] if len(edge) else np.array(shape) // 2
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        cloud = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * rng.uniform(4, 9) ** 2))
        image = image - np.float32(0.2) * cloud.astype(np.float32)
    image = image + np.float32(0.035) * smooth_field(shape, 90, rng)
    seen = blur(image, _POINT_SPREAD_PX) + blur(rng.standard_normal(shape, dtype=np.float32), 0.55) * np.float32(0.15)
    return np.clip(seen, 0, 1).astype(np.float32)


def _vesicles(shape: tuple[int, int], depth: np.ndarray, rng: Generator) -> np.ndarray:
    """Return the (H, W) darkness of vesicles: small rings, crowded in the larger cells."""
    rows, columns = np.mgrid[-6:7, -6:7]
    at = rng.integers(0, shape, (rng.poisson(shape[0] * shape[1] / 260), 2))
    at = at[(depth[tuple(at.T)] > 7) & (rng.uniform(size=len(at)) < 0.75)]
    image = np.zeros((shape[0] + 12, shape[1] + 12), np.float32)
    for (row, column), radius in zip(at, rng.uniform(2.2, 4.2, len(at)), strict=True):
        ring = np.exp(-((np.hypot(rows, columns) - radius) ** 2) / 1.2)
        part = image[row : row + 13, column : column + 13]
        np.maximum(part, ring, out=part)
    return image[6:-6, 6:-6]


def _mitochondria(cytoplasm: np.ndarray, cell: np.ndarray, depth: np.ndarray, rng: Generator) -> np.ndarray:
    """Return ``cytoplasm`` with dark ovals in large cells; their membranes are not cell borders."""
    shape = cytoplasm.shape
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for _ in range(rng.poisson(3.0)):
        deep = np.argwhere(depth > 11)
        if not len(deep):
            break
        at = deep[rng.integers(len(deep))]
        room = float(depth[tuple(at)])
        angle = rng.uniform(0, np.pi)
        long, short = rng.uniform(0.8, 1.3) * room, rng.uniform(0.55, 0.85) * room
        v = (rows - at[0]) * np.cos(angle) + (columns - at[1]) * np.sin(angle)
        u = (columns - at[1]) * np.cos(angle) - (rows - at[0]) * np.sin(angle)
        edge = (1 - np.hypot(v / long, u / short)) * short + 0.6 * smooth_field(shape, 6, rng)
        cristae = np.sin(2 * np.pi * (u + 1.5 * smooth_field(shape, 9, rng)) / rng.uniform(4, 6))
        body = MITOCHONDRION_GREY - 0.07 * cristae - 0.14 * (edge < 1.6)
        inside = np.clip(edge + 0.5, 0, 1) * (cell == cell[tuple(at)]) * np.clip(depth / 2 - 1, 0, 1)
        cytoplasm = cytoplasm + inside * (body - cytoplasm)
    return cytoplasm.astype(np.float32)
