"""Painting of all tissues of a simulated chest except the lungs, outside and inside the rib cage.

The air between back and table, and between the shells of a table, is enclosed, as the lungs are by the chest wall;
tables must therefore vary as those of real scanners do.
"""

import numpy as np
from numpy.random import Generator

from phantoms.chest_canvas import Canvas, enlarge, smooth
from phantoms.chest_shape import (
    AIRWAYS,
    CROSSING,
    TUBES,
    Build,
    capsule,
    crossing,
    ellipse,
    heart,
    superellipse,
    tube,
)
from phantoms.thorax import FAT_HU, MUSCLE_HU

GAS_HU = -960.0
_VENOUS = ("right vein", "left vein", "cava", "lower cava", "azygos", "left vein across")

# half width, front and back of the skin by level t, as shares of those of the rib cage
_T = (-0.4, -0.25, -0.14, -0.05, 0.05, 0.15, 0.3, 0.5, 0.8, 1.2, 1.6)
_WIDE = (0.44, 0.52, 0.80, 1.10, 1.20, 1.20, 1.14, 1.05, 1.01, 0.97, 0.93)
_FRONT = (0.60, 0.52, 0.46, 0.50, 0.58, 0.70, 0.86, 0.97, 1.0, 0.98, 0.95)
_BACK = (0.90, 0.94, 0.97, 0.98, 0.98, 0.99, 1.0, 1.0, 1.0, 0.97, 0.95)

RIBS = 12
_FIRST_RIB, _RIB_PITCH = -0.035, 0.088
_SKIN_MM = 1.8
BEHIND_NECK = 0.1
"""Level ``t`` of the body down to which an arm rest extends."""


def paint_table(canvas: Canvas) -> None:
    """Paint table, blanket and arm rest; the body is painted over them."""
    person, x, y = canvas.person, canvas.x, canvas.y
    thick, half, below, foam, wall, soft = person.make
    top = canvas.build.depth_mm + 22 + 0.6 * person.fat + person.table_gap

    def add_line(distance: np.ndarray, width: float, hu: float) -> None:
        """Add a thin surface at ``distance`` (mm) 0."""
        canvas.hu += np.exp(-((distance / width) ** 2)) * np.float32(hu)

    def add_board(depth: float, width: float, hu: float, across: np.ndarray) -> None:
        """Add a flat surface ``depth`` mm below the top of the table, where ``across`` is True."""
        canvas.hu += np.exp(-(((y - top - depth) / width) ** 2)) * np.float32(hu) * across

    if person.blanket:
        away = canvas.skin - 11 - 9 * canvas.waves
        line = np.exp(-((away / 1.1) ** 2)) + 0.7 * np.exp(-(((away - 6 - 4 * canvas.waves) / 1.0) ** 2))
        canvas.hu += enlarge(150 * line * np.clip((0.75 * top - canvas.cy) / 20, 0, 1))
    if person.table == 0:  # a curved plate with a thin bright upper face
        down = np.where(np.abs(x) < 215, y - (top + 26) + x**2 / 900, 99)
        add_line(down, 1.3, 560)
        add_line(down - 13, 1.0, 420)
        canvas.hu += np.where((down > 0) & (down < 13), np.float32(60), 0)
    elif person.table == 1:  # a flat plate over a bent one
        for depth, hu in ((0.0, 480.0), (15.0, 130.0), (22.0, 240.0)):
            add_board(depth, 1.1, hu, np.abs(x) < 240)
        add_line(np.where(np.abs(x) < 170, y - (top + 48) + x**2 / 1400, 99), 1.6, 900)
    elif person.table == 2:  # a shell with raised sides
        down = np.where(np.abs(x) < 230, y - (top + 12) + x**2 / 520, 99)
        add_line(down, 1.2, 420)
        add_line(down - 9, 1.2, 300)
    else:  # a couch: thin walls around foam, side rails, a lower base, a mattress; varies with the make
        mattress = 60 * max(soft - 0.4, 0)  # mm; 0 for four makes in ten
        upper, reach, deep = top + mattress, 190 + 80 * half, 10 + 45 * thick
        across = np.abs(x) < reach
        for depth in (0.0, deep):
            canvas.hu += np.exp(-(((y - upper - depth) / 1.2) ** 2)) * np.float32(150 + 550 * wall) * across
        canvas.hu += np.where(across & (y > upper) & (y < upper + deep), np.float32(10 + 110 * foam), 0)
        canvas.hu += np.where(across & (y > top) & (y < upper), np.float32(25 + 110 * soft), 0)
        for rail in (-reach, reach):
            box = (rail, upper + deep / 2, 16)
            canvas.put(box, lambda a, b, rail=rail: np.hypot(a - rail, b - upper - deep / 2) - 6, 900 * wall)
        down = y - (upper + deep + 15 + 75 * below) + x**2 / (500 + 2500 * foam)
        add_line(np.where(np.abs(x) < 0.85 * reach, down, 99), 1.5, 300 + 600 * wall)
    if person.arm_rest and canvas.t < BEHIND_NECK:  # boards beside head and arms, above the table
        inner, outer, height = 45 + 50 * half, 170 + 60 * soft, 15 + 55 * thick
        across = (np.abs(x) > inner) & (np.abs(x) < outer)
        add_board(-height, 1.3, 200 + 600 * wall, across)
        canvas.hu += np.where(across & (y > top - height) & (y < top), np.float32(15 + 120 * soft), 0)
        sides = np.exp(-(((np.abs(x) - outer) / 1.3) ** 2)) * np.float32(400 * wall)
        canvas.hu += sides * ((y > top - height) & (y < top))


def skin_distance(canvas: Canvas) -> np.ndarray:
    """Return the (256, 256) distance to the skin in mm, negative inside."""
    build, person, x, y, t = canvas.build, canvas.person, canvas.cx, canvas.cy, canvas.t
    half = build.width_mm * np.interp(t, _T, _WIDE) + (person.fat + 0.8 * person.muscle) + 6
    front = -build.depth_mm * np.interp(t, _T, _FRONT) - 15 - 0.8 * person.fat
    back = build.depth_mm * np.interp(t, _T, _BACK) + 22 + 0.6 * person.fat
    middle, b = (front + back) / 2, (back - front) / 2
    skin = superellipse(x / half, (y - middle) / b, half, b, 2.25)
    skin = np.minimum(skin, canvas.wall - 13 - 0.7 * person.fat)
    for side in (-1, 1):
        if person.arms_up and t < 0.08:
            centre, radius = _arm(build, side, t)
            skin = np.minimum(skin, np.hypot(x - centre[0], y - centre[1]) - radius)
        if not person.arms_up and t > -0.05:
            skin = np.minimum(skin, np.hypot(x - side * (half + 34), (y - 15) * 0.8) - 36)
        if person.breast:
            high = (t - 0.46) / 0.17
            size = np.sqrt(np.clip(1 - high**2, 0, 1)) * person.breast
            if size > 0.1:
                centre = side * (0.58 * build.width_mm), front + 26
                skin = np.minimum(skin, ellipse(x, y, centre, (80 * size, 50 * size), -side * 0.3))
    return smooth(skin, 5.0) + 2.0 * canvas.broad


def _arm(build: Build, side: int, t: float) -> tuple[tuple[float, float], float]:
    """Return the centre and the radius of a raised arm."""
    x = build.width_mm * np.interp(t, (-0.4, -0.15, 0.05), (1.16, 1.14, 1.06)) + 8
    return (side * float(x), float(np.interp(t, (-0.4, 0.0), (-10, 14)))), float(np.interp(t, (-0.4, 0), (40, 50)))


def paint_body(canvas: Canvas) -> None:
    """Paint fat, skin, breasts and muscles."""
    build, person, x, y, t = canvas.build, canvas.person, canvas.cx, canvas.cy, canvas.t
    wall, skin, grain, waves = canvas.wall, canvas.skin, canvas.grain, canvas.waves
    canvas.paint(skin, FAT_HU + 7 * grain)
    canvas.paint(np.abs(skin + _SKIN_MM / 2) - _SKIN_MM / 2, MUSCLE_HU - 35)
    if person.breast and 0.28 < t < 0.64:
        gland = np.maximum(skin + 9, -(wall - 14 - person.muscle)) + np.where(y < -0.3 * build.depth_mm, 0, 99)
        canvas.paint(np.maximum(gland, 4 - 7 * (waves + 0.25)), 15 + 12 * grain, 4.0)

    angle = np.arctan2(np.abs(x), -y)  # 0 in front, pi behind
    pectoral = np.interp(t, (-0.02, 0.08, 0.3, 0.55), (0.2, 1.6, 1.3, 0.1)) * np.exp(-(((angle - 0.75) / 0.42) ** 2))
    side = np.interp(t, (0.0, 0.3, 0.7, 1.0), (1.6, 1.3, 0.7, 0.8)) * np.exp(-(((angle - 1.95) / 0.45) ** 2))
    shoulder = np.interp(t, (-0.05, 0.1, 0.35, 0.55), (2.6, 2.2, 1.2, 0.0)) * np.exp(-(((angle - 2.2) / 0.5) ** 2))
    thick = 9 + person.muscle * (0.25 + pectoral + side + shoulder)
    muscle = wall - thick - 1.6 * waves
    spine = build.spine_y
    for sign in (1, -1):  # erectors of the spine
        muscle = np.minimum(muscle, ellipse(x, y, (sign * 30, spine + 33), (27, 19), sign * 0.15))
    if t < 0.06:
        muscle = np.minimum(muscle, ellipse(x, y, (0, spine - 22), (54, 52)))  # neck
        for sign in (-1, 1):
            centre, radius = _arm(build, sign, t)
            girdle = capsule(x, y, (sign * 50, spine + 4), centre) - 26
            arm = np.hypot(x - centre[0], y - centre[1]) - radius + 7 + person.fat / 3
            muscle = np.minimum(muscle, np.minimum(girdle, arm))
    if t < 0.3:  # deltoid and adjacent muscles, with the fat of the armpit between them
        whole = skin + 5 + 0.6 * person.fat + 260 * max(t - 0.12, 0)
        muscle = np.minimum(muscle, np.maximum(whole, 12 * (0.9 + canvas.broad) - 8))
    muscle = np.maximum(muscle, skin + _SKIN_MM + 0.45 * person.fat)
    # sheets of fat between the muscles
    sheet = np.abs(waves + 0.35 * np.sin(wall / 4.0)) * 9 - 1.1
    share = canvas.share(muscle) * (1 - 0.85 * canvas.share(np.maximum(sheet, 8 - wall)))
    canvas.cover(share, MUSCLE_HU + 8 * grain)


def _put_bone(canvas: Canvas, box, distance, shell: float = 1.3) -> None:
    """Paint a small bone with a cortex of ``shell`` mm."""
    canvas.put(box, distance, canvas.cortex)
    canvas.put(box, lambda x, y: distance(x, y) + shell, canvas.marrow)


def paint_bones(canvas: Canvas) -> None:
    """Paint ribs with their cartilage, sternum, shoulder blades, collar bones and upper arms."""
    build, wall, x, y, t = canvas.build, canvas.wall, canvas.cx, canvas.cy, canvas.t

    angle = np.arctan2(np.abs(x), -y)
    drop = (0.34 + 0.18 * np.clip(t, 0, 1)) * (1 - angle / np.pi) ** 0.9
    place = (t - _FIRST_RIB - drop) / _RIB_PITCH
    number = np.rint(place)
    across = (place - number) * (_RIB_PITCH * build.height_mm)
    size = 3.9 - 1.2 * np.clip(number / RIBS, 0, 1) + 1.2 * (number == 0)
    edge = (1 - np.hypot(across / 5.4, (wall - 5.6) / size)) * size
    exists = (number >= 0) & (number < RIBS) & ((number < 10) | (angle > 1.3))
    edge = np.where(exists & (np.abs(x) > 13), edge, -9.0)
    soft = angle < 0.45 + 0.045 * number
    canvas.paint(np.where(soft, -edge, 9.0), 95 + 25 * canvas.grain)
    rib = np.where(soft, -9.0, edge)
    canvas.paint(-rib, canvas.cortex)
    canvas.paint(1.4 - rib, canvas.marrow)

    if 0.05 < t < 0.66:
        front = -build.depth_mm * np.interp(t, (0.05, 0.12, 0.3, 0.42, 0.66), (0.36, 0.52, 0.80, 0.90, 0.97)) - 7
        half = float(np.interp(t, (0.05, 0.1, 0.2, 0.27, 0.5, 0.66), (20, 28, 22, 15, 17, 7)))

        def sternum(x, y):
            return np.hypot(np.maximum(np.abs(x) - half + 6.0, 0), (y - front) - 0.004 * x**2) - 6.0

        _put_bone(canvas, (0, front, 45), sternum)
    for side in (-1, 1):
        _paint_shoulder(canvas, side)


def paint_spine(canvas: Canvas) -> None:
    """Paint a vertebra or an intervertebral disc, with the arch around the spinal canal."""
    build, middle = canvas.build, canvas.build.spine_y
    phase = (canvas.t * build.height_mm / (_RIB_PITCH * build.height_mm)) % 1.0
    size = float(np.interp(canvas.t, (-0.3, 0.0, 1.0), (0.72, 0.82, 1.08)))

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
    _put_bone(canvas, box, arch, 1.6)
    if phase < 0.2:
        canvas.put(box, body, 95.0)
    else:
        _put_bone(canvas, box, body, 1.2 if 0.3 < phase < 0.9 else 4.5)
    canvas.put(box, lambda x, y: ellipse(x, y, (0, middle + 23 * size), (9.5 * size, 8 * size)), 25.0)


def _paint_shoulder(canvas: Canvas, side: int) -> None:
    """Paint shoulder blade, collar bone and upper arm of one side."""
    build, person, wall, x, y, t = canvas.build, canvas.person, canvas.wall, canvas.cx, canvas.cy, canvas.t
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
        canvas.paint(blade, canvas.cortex)
        canvas.paint(blade + 1.5, canvas.marrow)
    if t < 0.04 and person.arms_up:
        (ax, ay), _ = _arm(build, side, t)
        radius, shell = (22, 1.2) if t > -0.1 else (12, 4)
        _put_bone(canvas, (ax, ay, 30), lambda a, b: np.hypot(a - ax, b - ay) - radius, shell)
    if -0.03 < t < 0.06:
        lift = float(np.interp(t, (-0.03, 0.06), (1.0, 0.25)))
        front = -0.45 * build.depth_mm - 4
        begin = side * (20 + 45 * lift), front + 10 * lift
        end = side * (45 + 55 * lift), front + 16 * lift
        _put_bone(canvas, (*begin, 70), lambda a, b: capsule(a, b, begin, end) - 6.5, 1.8)
    if not person.arms_up and t > -0.02:
        half = build.width_mm * np.interp(t, _T, _WIDE) + person.fat + 0.8 * person.muscle + 40
        arm = side * float(half)
        canvas.put((arm, 15, 36), lambda a, b: np.hypot(a - arm, b - 15) - 28, MUSCLE_HU)
        _put_bone(canvas, (arm, 15, 30), lambda a, b: np.hypot(a - arm, b - 15) - 11, 3.5)


def paint_middle(canvas: Canvas, rng: Generator) -> None:
    """Paint the fat and the organs of the mediastinum, without airways; ``rng`` is the generator of the patient."""
    build, person, t, grain, waves = canvas.build, canvas.person, canvas.t, canvas.grain, canvas.waves
    strands = np.clip(np.abs(waves) * 6 - 0.7, 0, 1)
    canvas.paint(canvas.wall - 1.5, 50 + 6 * grain)  # pleura and remaining muscle
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
    """Paint a structure that is given in the axes of the standard body."""
    build = canvas.build
    zoom = build.width_mm / build.standard(build.width_mm + build.shift, 0.0)[0]
    x, y = middle[0] * zoom + build.shift, middle[1] / build.standard(0.0, 1.0)[1]
    canvas.put((x, y, 1.3 * reach * zoom), lambda a, b: distance(*build.standard(a, b)) * zoom, hu, 1.4)


def _put_oval(canvas: Canvas, centre: tuple[float, float], half: tuple[float, float], reach: float, hu: float) -> None:
    _put(canvas, lambda a, b: ellipse(a, b, centre, half), centre, reach, hu)


def _put_tube(canvas: Canvas, name: str, wall: float, reach: float, hu: float) -> None:
    """Paint a vessel or airway of :data:`TUBES`, enlarged by ``wall`` mm."""
    _put(canvas, lambda a, b: tube(canvas.build, name, a, b, canvas.t) - wall, _centre(name, canvas.t), reach, hu)


def _centre(name: str, t: float) -> tuple[float, float]:
    """Return the (x, y) centre of a vessel or airway of :data:`TUBES` at level ``t``."""
    levels, xs, ys, _ = TUBES[name]
    return float(np.interp(t, levels, xs)), float(np.interp(t, levels, ys))


def paint_airways(canvas: Canvas) -> None:
    """Paint the wall and the air of the trachea and the main bronchi."""
    for wall, hu in ((4.0, 35.0), (0.0, -985.0)):  # walls before air: the bronchi fork inside the trachea
        for name in AIRWAYS:
            levels = TUBES[name][0]
            if levels[0] - 0.03 < canvas.t < levels[-1] + 0.03:
                _put_tube(canvas, name, wall, 26.0, hu)


def paint_belly(canvas: Canvas, rng: Generator) -> None:
    """Paint liver, spleen, stomach, colon, kidneys and bowel below the diaphragm; ``rng`` is of the patient."""
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
    """Paint the lower part of the heart over liver and stomach."""
    sx, sy = canvas.build.standard(canvas.cx, canvas.cy)
    ventricles = np.maximum(heart(canvas.build, sx, sy, canvas.t)[0], canvas.wall)
    canvas.paint(ventricles - 2.5, -70.0, 2.0)
    blood = 45 + 0.35 * (canvas.person.blood - 42)
    canvas.paint(ventricles, blood + 6 * canvas.grain, 1 + canvas.person.motion)
