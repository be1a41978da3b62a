"""Painting the chest wall: skin, fat, breasts, muscles, ribs, sternum, spine, shoulders."""

from __future__ import annotations

import numpy as np

from phantoms.chest_canvas import Canvas, smooth
from phantoms.chest_person import Person
from phantoms.chest_shape import Build, capsule, ellipse
from phantoms.thorax import CORTEX_HU, FAT_HU, MARROW_HU, MUSCLE_HU

_T = (-0.4, -0.25, -0.14, -0.05, 0.05, 0.15, 0.3, 0.5, 0.8, 1.2, 1.6)
_WIDE = (0.44, 0.52, 0.80, 1.10, 1.20, 1.20, 1.14, 1.05, 1.01, 0.97, 0.93)
_FRONT = (0.60, 0.52, 0.46, 0.50, 0.58, 0.70, 0.86, 0.97, 1.0, 0.98, 0.95)
_BACK = (0.90, 0.94, 0.97, 0.98, 0.98, 0.99, 1.0, 1.0, 1.0, 0.97, 0.95)

RIBS = 12
_FIRST_RIB, _RIB_PITCH = -0.035, 0.088
_SKIN_MM = 1.8


def skin_distance(canvas: Canvas, build: Build, person: Person, wall: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """(256, 256) mm to the skin, negative inside.

    Args:
        wall: (256, 256) distance to the inside of the rib cage.
        waves: (256, 256) smooth field.
    """
    x, y, t = canvas.cx, canvas.cy, canvas.t
    soft = person.fat + 0.8 * person.muscle
    half = build.width_mm * np.interp(t, _T, _WIDE) + soft + 6
    front = -build.depth_mm * np.interp(t, _T, _FRONT) - 15 - 0.8 * person.fat
    back = build.depth_mm * np.interp(t, _T, _BACK) + 22 + 0.6 * person.fat
    middle, b = (front + back) / 2, (back - front) / 2
    u, v = np.abs(x / half), np.abs((y - middle) / b)
    n = 2.25
    level = (u**n + v**n + 1e-6) ** (1 / n)
    slope = np.hypot(u / half, v / b) / (np.hypot(u, v) + 1e-3)
    skin = (level - 1) / np.maximum(slope, 1e-3)
    skin = np.minimum(skin, wall - 13 - 0.7 * person.fat)
    for side in (-1, 1):
        if person.arms_up and t < 0.08:
            at, radius = _arm(build, side, t)
            skin = np.minimum(skin, np.hypot(x - at[0], y - at[1]) - radius)
        if not person.arms_up and t > -0.05:
            skin = np.minimum(skin, np.hypot(x - side * (half + 34), (y - 15) * 0.8) - 36)
        if person.breast:
            high = (t - 0.46) / 0.17
            size = np.sqrt(np.clip(1 - high**2, 0, 1)) * person.breast
            if size > 0.1:
                at = side * (0.58 * build.width_mm), front + 26
                skin = np.minimum(skin, ellipse(x, y, at, (80 * size, 50 * size), -side * 0.3))
    skin = smooth(np.asarray(skin, np.float32), 5.0)
    return skin + 2.0 * waves


def _arm(build: Build, side: int, t: float) -> tuple[tuple[float, float], float]:
    x = build.width_mm * np.interp(t, (-0.4, -0.15, 0.05), (1.16, 1.14, 1.06)) + 8
    return (side * float(x), float(np.interp(t, (-0.4, 0.0), (-10, 14)))), float(np.interp(t, (-0.4, 0), (40, 50)))


def paint_body(
    canvas: Canvas, build: Build, person: Person, wall: np.ndarray, skin: np.ndarray, grain: np.ndarray, waves, broad
) -> None:
    """Fat, skin, breasts and muscles.

    Args:
        wall, skin: (256, 256) distances to the rib cage's inside and to the skin.
        grain: (512, 512) fine field; waves, broad: (256, 256) smooth fields.
    """
    x, y, t = canvas.cx, canvas.cy, canvas.t
    canvas.paint(canvas.share(skin), FAT_HU + 7 * grain)
    shell = np.abs(skin + _SKIN_MM / 2) - _SKIN_MM / 2
    canvas.paint(canvas.share(shell), MUSCLE_HU - 35)
    if person.breast and 0.28 < t < 0.64:
        gland = np.maximum(skin + 9, -(wall - 14 - person.muscle)) + np.where(y < -0.3 * build.depth_mm, 0, 99)
        gland = np.maximum(gland, 4 - 7 * (waves + 0.25))
        canvas.paint(canvas.share(gland, 4.0), 15 + 12 * grain)

    angle = np.arctan2(np.abs(x), -y)  # 0 in front, pi behind
    pectoral = np.interp(t, (-0.02, 0.08, 0.3, 0.55), (0.2, 1.6, 1.3, 0.1)) * np.exp(-(((angle - 0.75) / 0.42) ** 2))
    side = np.interp(t, (0.0, 0.3, 0.7, 1.0), (1.6, 1.3, 0.7, 0.8)) * np.exp(-(((angle - 1.95) / 0.45) ** 2))
    shoulder = np.interp(t, (-0.05, 0.1, 0.35, 0.55), (2.6, 2.2, 1.2, 0.0)) * np.exp(-(((angle - 2.2) / 0.5) ** 2))
    thick = 9 + person.muscle * (0.25 + pectoral + side + shoulder)
    muscle = wall - thick - 1.6 * waves
    spine = build.spine_y
    erector = np.minimum(
        ellipse(x, y, (30, spine + 33), (27, 19), 0.15), ellipse(x, y, (-30, spine + 33), (27, 19), -0.15)
    )
    muscle = np.minimum(muscle, erector)
    if t < 0.06:
        neck = ellipse(x, y, (0, spine - 22), (54, 52))
        muscle = np.minimum(muscle, neck)
        for one in (-1, 1):
            at, radius = _arm(build, one, t)
            girdle = capsule(x, y, (one * 50, spine + 4), at) - 26
            muscle = np.minimum(
                muscle, np.minimum(girdle, np.hypot(x - at[0], y - at[1]) - radius + 7 + person.fat / 3)
            )
    if t < 0.3:  # deltoid and its neighbours, with the armpit's fat between them
        whole = skin + 5 + 0.6 * person.fat + 260 * max(t - 0.12, 0)
        muscle = np.minimum(muscle, np.maximum(whole, 12 * (0.9 + broad) - 8))
    muscle = np.maximum(muscle, skin + _SKIN_MM + 0.45 * person.fat)
    # sheets of fat between the muscles
    sheet = np.abs(waves + 0.35 * np.sin(wall / 4.0)) * 9 - 1.1
    share = canvas.share(muscle) * (1 - 0.85 * canvas.share(np.maximum(sheet, 8 - wall)))
    canvas.paint(share, MUSCLE_HU + 8 * grain)


def paint_bones(canvas: Canvas, build: Build, person: Person, wall: np.ndarray, grain: np.ndarray) -> None:
    """Ribs with their cartilage, sternum, shoulder blades, collar bones and upper arms."""
    x, y, t = canvas.cx, canvas.cy, canvas.t
    bone, hard = _bone_hu(person, grain)

    angle = np.arctan2(np.abs(x), -y)
    drop = (0.34 + 0.18 * np.clip(t, 0, 1)) * (1 - angle / np.pi) ** 0.9
    place = (t - _FIRST_RIB - drop) / _RIB_PITCH
    number = np.rint(place)
    across = (place - number) * (_RIB_PITCH * build.height_mm)
    size = 3.9 - 1.2 * np.clip(number / RIBS, 0, 1) + 1.2 * (number == 0)
    ring = np.hypot(across / 5.4, (wall - 5.6) / size)
    edge = (1 - ring) * size
    exists = (number >= 0) & (number < RIBS) & ((number < 10) | (angle > 1.3))
    soft = angle < 0.45 + 0.045 * number
    edge = np.where(exists & (np.abs(x) > 13), edge, -9.0)
    canvas.paint(canvas.share(np.where(soft, -edge, 9.0)), 95 + 25 * grain)
    rib = np.where(soft, -9.0, edge)
    canvas.paint(canvas.share(-rib), hard)
    canvas.paint(canvas.share(1.4 - rib), bone)

    if 0.05 < t < 0.66:
        front = -build.depth_mm * np.interp(t, (0.05, 0.12, 0.3, 0.42, 0.66), (0.36, 0.52, 0.80, 0.90, 0.97)) - 7
        half = float(np.interp(t, (0.05, 0.1, 0.2, 0.27, 0.5, 0.66), (20, 28, 22, 15, 17, 7)))
        _bone(canvas, (0, front, 45), lambda a, b: _slab(a, b, front, half, 6.0), hard, bone)
    for side in (-1, 1):
        _shoulder(canvas, build, person, side, wall, hard, bone)


def _bone_hu(person: Person, grain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(512, 512) HU of marrow and of cortex."""
    marrow = MARROW_HU - 40 + 0.3 * person.bone + 55 * grain
    return marrow, CORTEX_HU + person.bone + 60 * grain


def _slab(x, y, middle: float, half: float, thick: float):
    inside = np.hypot(np.maximum(np.abs(x) - half + thick, 0), (y - middle) - 0.004 * x**2)
    return inside - thick


def _bone(canvas: Canvas, box, distance, hard, marrow, shell: float = 1.3) -> None:
    canvas.put(box, distance, hard)
    canvas.put(box, lambda x, y: distance(x, y) + shell, marrow)


def paint_spine(canvas: Canvas, build: Build, person: Person, grain: np.ndarray) -> None:
    """A vertebra or the disc between two, with the arch around the spinal canal."""
    bone, hard = _bone_hu(person, grain)
    middle = build.spine_y
    phase = (canvas.t * build.height_mm / (_RIB_PITCH * build.height_mm)) % 1.0
    size = float(np.interp(canvas.t, (-0.3, 0.0, 1.0), (0.72, 0.82, 1.08)))
    disc = phase < 0.2

    def body(x, y):
        return ellipse(x, y, (0, middle), (18.5 * size, 15.5 * size))

    def arch(x, y):
        ring = np.abs(np.hypot(x, y - middle - 23 * size) - 11.5 * size) - 2.6
        process = capsule(x, y, (0, middle + 33 * size), (0, middle + 50 * size)) - (2.6 if phase > 0.4 else 1.2)
        across = capsule(np.abs(x), y, (11 * size, middle + 22 * size), (30 * size, middle + 30 * size)) - 4.2
        parts = np.minimum(ring, process)
        return np.minimum(parts, across) if 0.25 < phase < 0.7 else parts

    box = (0.0, middle + 14 * size, 52.0)
    canvas.put(box, lambda x, y: np.hypot(x, y - middle - 23 * size) - 10 * size, MUSCLE_HU - 20)
    _bone(canvas, box, arch, hard, bone, 1.6)
    if disc:
        canvas.put(box, body, 95.0)
    else:
        _bone(canvas, box, body, hard, bone, 1.2 if 0.3 < phase < 0.9 else 4.5)
    canvas.put(box, lambda x, y: ellipse(x, y, (0, middle + 23 * size), (9.5 * size, 8 * size)), 25.0)


def _shoulder(canvas: Canvas, build: Build, person: Person, side: int, wall, hard, bone) -> None:
    x, y, t = canvas.cx, canvas.cy, canvas.t
    if -0.02 < t < 0.5:
        away = float(np.interp(t, (-0.02, 0.12, 0.3, 0.5), (30, 21, 17, 14)))
        angle = np.arctan2(side * x, -y)
        first = float(np.interp(t, (-0.02, 0.1, 0.5), (1.55, 1.75, 2.05)))
        last = first + float(np.interp(t, (-0.02, 0.12, 0.3, 0.5), (0.75, 0.85, 0.55, 0.03)))
        # thin in the middle of the blade, thick at its borders
        place = np.clip((angle - first) / max(last - first, 1e-3), 0, 1)
        thick = 1.2 + 2.4 * np.abs(2 * place - 1) ** 3
        blade = np.abs(wall - away - 4 * np.sin(3 * place)) - thick
        blade = np.maximum(blade, np.maximum(first - angle, angle - last) * 90)
        canvas.paint(canvas.share(blade), hard)
        canvas.paint(canvas.share(blade + 1.5), bone)
    if t < 0.1:
        (ax, ay), _ = _arm(build, side, t)
        if t < 0.04 and person.arms_up:
            radius = 22 if t > -0.1 else 12
            box = (ax, ay, 30)
            _bone(canvas, box, lambda a, b: np.hypot(a - ax, b - ay) - radius, hard, bone, 1.2 if t > -0.1 else 4)
        if -0.03 < t < 0.06:
            lift = float(np.interp(t, (-0.03, 0.06), (1.0, 0.25)))
            front = -0.45 * build.depth_mm - 4
            one = side * (20 + 45 * lift), front + 10 * lift
            other = side * (45 + 55 * lift), front + 16 * lift
            _bone(canvas, (one[0], one[1], 70), lambda a, b: capsule(a, b, one, other) - 6.5, hard, bone, 1.8)
    if not person.arms_up and t > -0.02:
        half = build.width_mm * np.interp(t, _T, _WIDE) + person.fat + 0.8 * person.muscle + 40
        at = side * float(half)
        canvas.put((at, 15, 36), lambda a, b: np.hypot(a - at, b - 15) - 28, MUSCLE_HU)
        _bone(canvas, (at, 15, 30), lambda a, b: np.hypot(a - at, b - 15) - 11, hard, bone, 3.5)
