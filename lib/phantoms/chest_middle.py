"""Painting what lies between the lungs: heart, great vessels, oesophagus, trachea and main bronchi."""

from __future__ import annotations

import numpy as np

from phantoms.chest_canvas import Canvas, enlarge
from phantoms.chest_person import Person
from phantoms.chest_shape import (
    AIRWAYS,
    CROSSING,
    TUBES,
    Build,
    capsule,
    crossing,
    ellipse,
    heart,
    tube,
)

_VENOUS = ("right vein", "left vein", "cava", "lower cava", "azygos", "left vein across")


def paint_middle(canvas: Canvas, build: Build, person: Person, wall, grain: np.ndarray, waves, rng) -> None:
    """The mediastinum's fat and organs, without its airways.

    Args:
        wall: (256, 256) distance to the inside of the rib cage, whose whole inside is painted.
        grain: (512, 512) fine field; waves: (256, 256) smooth field.
        rng: the patient's.
    """
    strands = np.clip(np.abs(waves) * 6 - 0.7, 0, 1)
    canvas.paint(canvas.share(wall - 1.5), 50 + 6 * grain)  # the pleura and what is left of muscle
    canvas.paint(canvas.share(wall + 0.5), enlarge((-37 - 55 * strands).astype(np.float32)))
    t = canvas.t
    sx, sy = build.standard(canvas.cx, canvas.cy)
    veins = 42 + rng.uniform(0.4, 0.9) * (person.blood - 42)
    muscle = 45 + 0.35 * (person.blood - 42) * rng.uniform(0.6, 1)

    if 0.42 < t < 0.9:
        ventricles, atria = heart(build, sx, sy, t)
        blur = 1 + person.motion
        canvas.paint(canvas.share(np.minimum(ventricles, atria) - 1.5, blur), 20 + 8 * grain)
        canvas.paint(canvas.share(ventricles, blur), muscle + 6 * grain)
        canvas.paint(canvas.share(atria, blur), veins + 6 * grain)
        inside = np.maximum(ventricles + 11, capsule(sx, sy, (8, -10), (48, -52)) - 19 + 4 * waves)
        canvas.paint(canvas.share(inside, 3.0), person.blood + 5 * grain)
        right = np.maximum(ventricles + 4, capsule(sx, sy, (-14, -44), (30, -66)) - 12 + 4 * waves)
        canvas.paint(canvas.share(right, 3.0), veins + 5 * grain)
        fold = np.abs(ventricles - atria) - 2.2 + 2 * waves
        canvas.paint(canvas.share(np.maximum(fold, np.maximum(ventricles, atria) - 2), 3.0) * 0.8, -60)
    # lymph nodes and fibres beside the airways
    for _ in range(6):
        at, level = (rng.uniform(-30, 30), rng.uniform(-15, 25)), rng.uniform(0.1, 0.6)
        size = rng.uniform(3, 7) * np.sqrt(max(1 - ((t - level) / 0.03) ** 2, 0))
        if size > 0.5:
            _vessel(canvas, build, lambda a, b, at=at, size=size: ellipse(a, b, at, (1.5 * size, size)), at, 20, 40.0)
    for name in (*TUBES, *CROSSING):
        if name in AIRWAYS or name == "oesophagus":
            continue
        hu = veins if name in _VENOUS else person.blood
        if name in TUBES:
            at, xs, ys, radii = TUBES[name]
            if not at[0] - 0.04 < t < at[-1] + 0.04:
                continue
            middle = float(np.interp(t, at, xs)), float(np.interp(t, at, ys))
            _vessel(canvas, build, lambda a, b, name=name: tube(build, name, a, b, t), middle, 2.2 * max(radii), hu)
        else:
            at, extent, one, other, radius = CROSSING[name]
            if abs(t - at) > extent + 0.01:
                continue
            middle = (one[0] + other[0]) / 2, (one[1] + other[1]) / 2
            _vessel(canvas, build, lambda a, b, name=name: crossing(build, name, a, b, t), middle, 50 + radius, hu)
    if t < 1.05:
        level, xs, ys, _ = TUBES["oesophagus"]
        at = float(np.interp(t, level, xs)), float(np.interp(t, level, ys))
        flat = rng.uniform(0.6, 0.9)
        _vessel(canvas, build, lambda a, b: ellipse(a, b, at, (8.5, 8.5 * flat)), at, 14, 42.0)
        if np.sin(40 * t + 6 * flat) > 0.6:
            _vessel(canvas, build, lambda a, b: ellipse(a, b, at, (2.5, 1.6)), at, 8, -500.0)
    if t < -0.02:  # thyroid
        for side in (-1, 1):
            at = side * 17, -16 - 8
            high = np.sqrt(max(1 - ((t + 0.14) / 0.12) ** 2, 0))
            if high > 0.2:
                _vessel(canvas, build, lambda a, b, at=at, h=high: ellipse(a, b, at, (8 * h, 11 * h)), at, 16, 95.0)
    # calcium in the arch's wall
    if person.bone < 0 and 0.28 < t < 0.34:
        canvas.put((22 + build.shift, 20, 6), lambda a, b: np.hypot(a - 24 - build.shift, b - 22) - 2.0, 600.0)


def _vessel(canvas: Canvas, build: Build, distance, middle, reach: float, hu: float) -> None:
    """Paint what is given in the standard body's axes."""
    zoom = build.width_mm / build.standard(build.width_mm + build.shift, 0.0)[0]
    x = middle[0] * zoom + build.shift
    y = middle[1] / build.standard(0.0, 1.0)[1]
    canvas.put((x, y, 1.3 * reach * zoom), lambda a, b: distance(*build.standard(a, b)) * zoom, hu, 1.4)


def paint_airways(canvas: Canvas, build: Build) -> None:
    """Trachea and main bronchi: their wall and their air."""
    t = canvas.t
    for wall, hu in ((4.0, 35.0), (0.0, -985.0)):  # all walls before all air: the bronchi part inside the trachea
        for name in AIRWAYS:
            at, xs, ys, _ = TUBES[name]
            if at[0] - 0.03 < t < at[-1] + 0.03:
                middle = float(np.interp(t, at, xs)), float(np.interp(t, at, ys))
                _vessel(canvas, build, lambda a, b, n=name, w=wall: tube(build, n, a, b, t) - w, middle, 26.0, hu)
