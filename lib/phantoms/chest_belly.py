"""Painting what lies below the diaphragm: liver, spleen, stomach with its gas, colon, kidneys, bowel."""

from __future__ import annotations

import numpy as np

from phantoms.chest_canvas import Canvas, enlarge
from phantoms.chest_person import Person
from phantoms.chest_shape import Build, ellipse
from phantoms.thorax import FAT_HU

GAS_HU = -960.0


def paint_belly(
    canvas: Canvas, build: Build, person: Person, wall, below: np.ndarray, grain: np.ndarray, waves, rng
) -> None:
    """Organs inside the rib cage, below the diaphragm and down from there.

    Args:
        wall: (256, 256) distance to the inside of the rib cage.
        below: (512, 512) share of each pixel below the diaphragm.
        grain: (512, 512) fine field; waves: (256, 256) smooth field.
        rng: the patient's.
    """
    if not below.any():
        return
    x, y, t, w, d = canvas.cx, canvas.cy, canvas.t, build.width_mm, build.depth_mm
    outside = canvas.hu.copy()
    canvas.paint(canvas.share(wall), 48 + 6 * grain)  # the diaphragm's muscle
    inner = wall + 3.0
    canvas.paint(canvas.share(inner), FAT_HU + 10 * grain)

    size = float(np.interp(t, (0.6, 0.85, 1.0, 1.3, 1.5), (1.0, 1.0, 0.95, 0.7, 0.2)))
    tip = rng.uniform(0.1, 0.45)
    liver = ellipse(x, y, (-0.46 * w, 0.02 * d), (0.66 * w * size, 1.0 * d * size))
    lobe = ellipse(x, y, (tip * w * 0.5, -0.55 * d), (0.55 * w * size, 0.36 * d * size), -0.15)
    liver = np.maximum(np.minimum(liver, lobe + 4 * waves), inner) + 1.5 * waves
    canvas.paint(canvas.share(liver, 1.5), person.organ + 6 * grain)
    vein = np.abs(waves) * 12 - 1.2
    canvas.paint(canvas.share(np.maximum(vein, liver + 9), 3.0) * 0.6, person.organ + 0.3 * (person.blood - 40) - 6)

    flat = np.interp(t, (0.7, 0.8, 1.1, 1.35), (0.75, 1.0, 0.9, 0.3))
    stomach = ellipse(x, y, (0.40 * w, -0.22 * d), (0.32 * w * flat, 0.45 * d * flat), 0.3) + 2 * waves
    stomach = np.maximum(stomach, inner + 1)
    spleen = ellipse(x, y, (0.72 * w, 0.42 * d), (0.24 * w * flat, 0.46 * d * flat), 0.35)
    spleen = np.maximum(spleen + 1.5 * waves, inner + 1)
    for _ in range(3):  # loops of colon
        at = rng.uniform(0.45, 0.85) * w, rng.uniform(-0.7, -0.1) * d
        level, half = rng.uniform(0.92, 1.15), rng.uniform(12, 22)
        size = np.sqrt(max(1 - ((t - level) / 0.14) ** 2, 0)) * half
        if size > 3:
            loop = np.maximum(ellipse(x, y, at, (1.4 * size, size)) + 1.5 * waves, inner + 2)
            canvas.paint(canvas.share(loop), 40 + 6 * grain)
            canvas.paint(canvas.share(np.maximum(loop + 3, 5 * (waves - 0.3)), 1.5), GAS_HU)
    if t < 1.25:
        canvas.paint(canvas.share(spleen, 1.5), person.organ + 6 + 5 * grain)
    if t < 1.4:
        canvas.paint(canvas.share(stomach, 1.5), 45 + 5 * grain)
        canvas.paint(canvas.share(stomach + 5, 3.0), 25 + 20 * enlarge(np.clip(waves, -1, 1)) + 8 * grain)
        if person.gas:
            level = (-0.30 + person.meal * 0.45) * d
            gas = np.maximum(stomach + 4.5, canvas.cy - level)
            canvas.paint(canvas.share(gas, 1.2), GAS_HU)
    if t > 1.0:
        for side in (-1, 1):
            kidney = ellipse(x, y, (side * 0.43 * w, build.spine_y + 4), (26, 30), side * 0.4)
            swell = 26 * (1 - np.sqrt(max(1 - ((t - 1.28) / 0.24) ** 2, 0)))
            canvas.paint(canvas.share(kidney + swell, 1.5), 35 + 0.6 * (person.blood - 40) + 6 * grain)
        bowel = np.maximum(np.maximum(np.maximum(y + 0.1 * d, -0.1 * w - x), inner + 4), 6 * (0.2 - waves)) + (
            1.15 - t
        ) * 120 * (t < 1.15)
        canvas.paint(canvas.share(bowel, 2.0), 35 + 8 * grain)
        canvas.paint(canvas.share(np.maximum(bowel + 5, 9 * (1.1 - waves)), 1.5), GAS_HU)
    crus = ellipse(x, y, (0, build.spine_y - 4), (27, 24)) + 1.5 * waves
    canvas.paint(canvas.share(crus), 50 + 6 * grain)
    canvas.hu = outside + below * (canvas.hu - outside)
