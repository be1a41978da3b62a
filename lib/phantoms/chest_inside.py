"""Painting what lies inside the rib cage beside the lungs: heart, great vessels, airways, and the organs below."""

import numpy as np
from numpy.random import Generator

from phantoms.chest_canvas import Canvas, enlarge
from phantoms.chest_shape import AIRWAYS, CROSSING, TUBES, capsule, crossing, ellipse, heart, tube
from phantoms.thorax import FAT_HU

GAS_HU = -960.0
_VENOUS = ("right vein", "left vein", "cava", "lower cava", "azygos", "left vein across")


def paint_middle(canvas: Canvas, rng: Generator) -> None:
    """Paint the mediastinum's fat and organs, without its airways; ``rng`` is the patient's."""
    build, person, t, grain, waves = canvas.build, canvas.person, canvas.t, canvas.grain, canvas.waves
    strands = np.clip(np.abs(waves) * 6 - 0.7, 0, 1)
    canvas.paint(canvas.wall - 1.5, 50 + 6 * grain)  # the pleura and what is left of muscle
    canvas.paint(canvas.wall + 0.5, enlarge(-37 - 55 * strands))
    veins = 42 + rng.uniform(0.4, 0.9) * (person.blood - 42)
    muscle = 45 + 0.35 * (person.blood - 42) * rng.uniform(0.6, 1)

    if 0.42 < t < 0.9:
        sx, sy = build.standard(canvas.cx, canvas.cy)
        ventricles, atria = heart(build, sx, sy, t)
        blur = 1 + person.motion
        canvas.paint(np.minimum(ventricles, atria) - 1.5, 20 + 8 * grain, blur)
        canvas.paint(ventricles, muscle + 6 * grain, blur)
        canvas.paint(atria, veins + 6 * grain, blur)
        inside = np.maximum(ventricles + 11, capsule(sx, sy, (8, -10), (48, -52)) - 19 + 4 * waves)
        canvas.paint(inside, person.blood + 5 * grain, 3.0)
        right = np.maximum(ventricles + 4, capsule(sx, sy, (-14, -44), (30, -66)) - 12 + 4 * waves)
        canvas.paint(right, veins + 5 * grain, 3.0)
        fold = np.abs(ventricles - atria) - 2.2 + 2 * waves
        canvas.cover(canvas.share(np.maximum(fold, np.maximum(ventricles, atria) - 2), 3.0) * 0.8, -60)
    # lymph nodes and fibres beside the airways
    for _ in range(6):
        centre, level = (rng.uniform(-30, 30), rng.uniform(-15, 25)), rng.uniform(0.1, 0.6)
        size = rng.uniform(3, 7) * np.sqrt(max(1 - ((t - level) / 0.03) ** 2, 0))
        if size > 0.5:
            _put_oval(canvas, centre, (1.5 * size, size), 20, 40.0)
    for name, (levels, *_, radii) in TUBES.items():
        if name not in (*AIRWAYS, "oesophagus") and levels[0] - 0.04 < t < levels[-1] + 0.04:
            _put_tube(canvas, name, 0.0, 2.2 * max(radii), veins if name in _VENOUS else person.blood)
    for name, (level, extent, begin, end, radius) in CROSSING.items():
        if abs(t - level) <= extent + 0.01:
            middle, hu = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2), veins if name in _VENOUS else person.blood
            _put(canvas, lambda a, b, name=name: crossing(build, name, a, b, t), middle, 50 + radius, hu)
    if t < 1.05:
        centre = _centre("oesophagus", t)
        flat = rng.uniform(0.6, 0.9)
        _put_oval(canvas, centre, (8.5, 8.5 * flat), 14, 42.0)
        if np.sin(40 * t + 6 * flat) > 0.6:
            _put_oval(canvas, centre, (2.5, 1.6), 8, -500.0)
    if t < -0.02:  # thyroid
        high = np.sqrt(max(1 - ((t + 0.14) / 0.12) ** 2, 0))
        if high > 0.2:
            for side in (-1, 1):
                _put_oval(canvas, (side * 17, -16 - 8), (8 * high, 11 * high), 16, 95.0)
    # calcium in the arch's wall
    if person.bone < 0 and 0.28 < t < 0.34:
        canvas.put((22 + build.shift, 20, 6), lambda a, b: np.hypot(a - 24 - build.shift, b - 22) - 2.0, 600.0)


def _put(canvas: Canvas, distance, middle: tuple[float, float], reach: float, hu: float) -> None:
    """Paint what is given in the standard body's axes."""
    build = canvas.build
    zoom = build.width_mm / build.standard(build.width_mm + build.shift, 0.0)[0]
    x, y = middle[0] * zoom + build.shift, middle[1] / build.standard(0.0, 1.0)[1]
    canvas.put((x, y, 1.3 * reach * zoom), lambda a, b: distance(*build.standard(a, b)) * zoom, hu, 1.4)


def _put_oval(canvas: Canvas, centre: tuple[float, float], half: tuple[float, float], reach: float, hu: float) -> None:
    _put(canvas, lambda a, b: ellipse(a, b, centre, half), centre, reach, hu)


def _put_tube(canvas: Canvas, name: str, wall: float, reach: float, hu: float) -> None:
    """Paint a vessel or airway of :data:`TUBES` with its wall in mm."""
    _put(canvas, lambda a, b: tube(canvas.build, name, a, b, canvas.t) - wall, _centre(name, canvas.t), reach, hu)


def _centre(name: str, t: float) -> tuple[float, float]:
    """Return where a vessel or airway of :data:`TUBES` is cut."""
    levels, xs, ys, _ = TUBES[name]
    return float(np.interp(t, levels, xs)), float(np.interp(t, levels, ys))


def paint_airways(canvas: Canvas) -> None:
    """Paint trachea and main bronchi: their wall and their air."""
    for wall, hu in ((4.0, 35.0), (0.0, -985.0)):  # all walls before all air: the bronchi part inside the trachea
        for name in AIRWAYS:
            levels = TUBES[name][0]
            if levels[0] - 0.03 < canvas.t < levels[-1] + 0.03:
                _put_tube(canvas, name, wall, 26.0, hu)


def paint_belly(canvas: Canvas, rng: Generator) -> None:
    """Paint liver, spleen, stomach, colon, kidneys and bowel below the diaphragm; ``rng`` is the patient's."""
    below = (1 - canvas.above) * canvas.share(canvas.wall - 1)
    if not below.any():
        return
    build, person, grain, waves = canvas.build, canvas.person, canvas.grain, canvas.waves
    x, y, t, w, d = canvas.cx, canvas.cy, canvas.t, build.width_mm, build.depth_mm
    outside = canvas.hu.copy()
    canvas.paint(canvas.wall, 48 + 6 * grain)  # the diaphragm's muscle
    inner = canvas.wall + 3.0
    canvas.paint(inner, FAT_HU + 10 * grain)

    size = float(np.interp(t, (0.6, 0.85, 1.0, 1.3, 1.5), (1.0, 1.0, 0.95, 0.7, 0.2)))
    tip = rng.uniform(0.1, 0.45)
    liver = ellipse(x, y, (-0.46 * w, 0.02 * d), (0.66 * w * size, 1.0 * d * size))
    lobe = ellipse(x, y, (tip * w * 0.5, -0.55 * d), (0.55 * w * size, 0.36 * d * size), -0.15)
    liver = np.maximum(np.minimum(liver, lobe + 4 * waves), inner) + 1.5 * waves
    canvas.paint(liver, person.organ + 6 * grain, 1.5)
    vein = np.maximum(np.abs(waves) * 12 - 1.2, liver + 9)
    canvas.cover(canvas.share(vein, 3.0) * 0.6, person.organ + 0.3 * (person.blood - 40) - 6)

    flat = np.interp(t, (0.7, 0.8, 1.1, 1.35), (0.75, 1.0, 0.9, 0.3))
    stomach = ellipse(x, y, (0.40 * w, -0.22 * d), (0.32 * w * flat, 0.45 * d * flat), 0.3) + 2 * waves
    stomach = np.maximum(stomach, inner + 1)
    spleen = ellipse(x, y, (0.72 * w, 0.42 * d), (0.24 * w * flat, 0.46 * d * flat), 0.35)
    spleen = np.maximum(spleen + 1.5 * waves, inner + 1)
    for _ in range(3):  # loops of colon
        centre = rng.uniform(0.45, 0.85) * w, rng.uniform(-0.7, -0.1) * d
        level, half = rng.uniform(0.92, 1.15), rng.uniform(12, 22)
        size = np.sqrt(max(1 - ((t - level) / 0.14) ** 2, 0)) * half
        if size > 3:
            loop = np.maximum(ellipse(x, y, centre, (1.4 * size, size)) + 1.5 * waves, inner + 2)
            canvas.paint(loop, 40 + 6 * grain)
            canvas.paint(np.maximum(loop + 3, 5 * (waves - 0.3)), GAS_HU, 1.5)
    if t < 1.25:
        canvas.paint(spleen, person.organ + 6 + 5 * grain, 1.5)
    if t < 1.4:
        canvas.paint(stomach, 45 + 5 * grain, 1.5)
        canvas.paint(stomach + 5, 25 + 20 * enlarge(np.clip(waves, -1, 1)) + 8 * grain, 3.0)
        if person.gas:
            level = (-0.30 + person.meal * 0.45) * d
            canvas.paint(np.maximum(stomach + 4.5, canvas.cy - level), GAS_HU, 1.2)
    if t > 1.0:
        for side in (-1, 1):
            kidney = ellipse(x, y, (side * 0.43 * w, build.spine_y + 4), (26, 30), side * 0.4)
            swell = 26 * (1 - np.sqrt(max(1 - ((t - 1.28) / 0.24) ** 2, 0)))
            canvas.paint(kidney + swell, 35 + 0.6 * (person.blood - 40) + 6 * grain, 1.5)
        place = np.maximum(np.maximum(y + 0.1 * d, -0.1 * w - x), inner + 4)
        bowel = np.maximum(place, 6 * (0.2 - waves)) + (1.15 - t) * 120 * (t < 1.15)
        canvas.paint(bowel, 35 + 8 * grain, 2.0)
        canvas.paint(np.maximum(bowel + 5, 9 * (1.1 - waves)), GAS_HU, 1.5)
    canvas.paint(ellipse(x, y, (0, build.spine_y - 4), (27, 24)) + 1.5 * waves, 50 + 6 * grain)  # the diaphragm's crura
    canvas.hu = outside + below * (canvas.hu - outside)


def paint_heart_tip(canvas: Canvas) -> None:
    """Paint the lower part of the heart, which lies on the diaphragm, over liver and stomach."""
    sx, sy = canvas.build.standard(canvas.cx, canvas.cy)
    ventricles = np.maximum(heart(canvas.build, sx, sy, canvas.t)[0], canvas.wall)
    canvas.paint(ventricles - 2.5, -70.0, 2.0)
    blood = 45 + 0.35 * (canvas.person.blood - 42)
    canvas.paint(ventricles, blood + 6 * canvas.grain, 1 + canvas.person.motion)
