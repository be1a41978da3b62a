"""Shape of a simulated thorax: lungs, mediastinum and diaphragm, continuous in all three directions.

The axes of a body are ``x`` to the patient's left and ``y`` to the back, in mm from the middle of the chest, and ``t``
down from the lungs' apex (0) to the deepest recess beside the diaphragm (1). Surfaces are level sets of functions that
approximate the distance in mm, negative inside, for arrays that broadcast: (1, W), (H, 1) and one t, or (N,) points.
"""

import numpy as np
from numpy.random import Generator

from softmask.data.kinds import FRAME

LEFT, RIGHT = 1, -1

_T = (0.12, 0.2, 0.3, 0.42, 0.55, 0.7, 0.85, 1.0, 1.2, 1.5)
_OUTER = (0.70, 0.80, 0.88, 0.94, 0.98, 1.0, 1.0, 0.99, 0.96, 0.92)
_INNER = (0.10, 0.03, -0.03, -0.06, -0.08, -0.08, -0.06, -0.05, -0.05, -0.05)
_BACK = (0.76, 0.84, 0.91, 0.97, 1.0, 1.0, 0.98, 0.95, 0.88, 0.82)
_FRONT = (0.50, 0.66, 0.80, 0.91, 0.97, 1.0, 0.99, 0.97, 0.95, 0.92)
_CAP = 0.12  # the dome of the apex ends here

_STANDARD_WIDTH, _STANDARD_DEPTH = 135.0, 97.0  # mm, of the body in which mediastinal positions are given

TUBES = {
    # t, x, y and radius of centre lines that run along the body
    "trachea": ((-0.4, 0.0, 0.20, 0.36), (0, 0, -2, -3), (-20, -4, 6, 12), (8.5, 8.5, 8.5, 9)),
    "oesophagus": ((-0.4, 0.0, 0.36, 0.7, 1.0), (4, 6, 5, 5, 14), (2, 14, 25, 24, 8), (6, 6, 6, 7, 8)),
    "ascending": ((0.31, 0.36, 0.46, 0.58), (-12, -15, -13, -4), (-28, -30, -30, -26), (12, 15.5, 16, 15)),
    "descending": ((0.28, 0.33, 0.6, 0.85, 1.6), (22, 26, 25, 17, 4), (20, 28, 31, 32, 26), (12, 12, 11.5, 11, 9.5)),
    "cava": ((0.16, 0.3, 0.52), (-22, -26, -28), (-20, -17, -13), (8, 8.5, 9.5)),
    "anonyma": ((-0.2, 0.1, 0.26), (-24, -14, -7), (-6, -10, -20), (4, 5, 6)),
    "carotid": ((-0.3, 0.1, 0.27), (20, 15, 7), (-14, -8, -10), (3.5, 3.8, 4.5)),
    "subclavian": ((-0.02, 0.1, 0.28), (32, 23, 17), (0, 4, 8), (4.5, 4.5, 5)),
    "right vein": ((-0.3, 0.0, 0.18), (-28, -30, -23), (-20, -22, -21), (5, 6, 7.5)),
    "left vein": ((-0.3, 0.0, 0.17), (28, 31, 30), (-18, -22, -27), (5, 6, 6.5)),
    "pulmonary trunk": ((0.38, 0.44, 0.54), (18, 16, 8), (-34, -40, -46), (13, 14, 13)),
    "lower cava": ((0.76, 0.9, 1.6), (-26, -24, -18), (-6, 2, 10), (12, 12, 10)),
    "right bronchus": ((0.36, 0.45), (-5, -34), (12, 10), (7.5, 6.5)),
    "left bronchus": ((0.36, 0.48), (1, 39), (12, 14), (7, 6)),
    "azygos": ((0.36, 0.6, 1.2), (-10, -9, -6), (33, 34, 36), (3.5, 3.5, 3)),
}
CROSSING = {
    # level, half extent in t, both ends and radius of vessels in the plane of the slice
    "arch": (0.295, 0.045, (-10, -28), (22, 20), 12.5),
    "left vein across": (0.19, 0.025, (30, -27), (-22, -22), 6.5),
    "right artery": (0.425, 0.035, (8, -14), (-44, 3), 11),
    "right upper vein": (0.455, 0.03, (-12, -16), (-46, -12), 6.5),
    "left upper vein": (0.45, 0.03, (14, -14), (48, -14), 6),
    "right lower vein": (0.545, 0.03, (-10, 8), (-44, 12), 7),
    "left lower vein": (0.54, 0.03, (12, 8), (46, 14), 6.5),
    "left artery": (0.39, 0.035, (18, -26), (42, 4), 11),
}
AIRWAYS = ("trachea", "right bronchus", "left bronchus")
LOBAR = {
    # x, y, t and radius of the artery that descends from each hilum inside the lung
    RIGHT: ((-42, 4, 0.42, 8.0), (-45, 8, 0.48, 7.5), (-48, 18, 0.57, 5.0), (-54, 26, 0.64, 3.5)),
    LEFT: ((42, 5, 0.39, 8.0), (46, 12, 0.46, 7.5), (49, 22, 0.56, 5.0), (56, 28, 0.64, 3.5)),
}
HILUM = {RIGHT: (-43.0, 5.0, 0.45), LEFT: (46.0, 8.0, 0.455)}


class Build:
    """Body placed in the frame of a scan. Lengths in mm, positions in frame pixels."""

    def __init__(self, rng: Generator, extent_mm: tuple[float, float], spacing_mm: float) -> None:
        """Draw a body that fits a scan whose field of view was set to the rib cage; ``extent_mm`` is z of the lungs'
        apex, and the height from there to the lowest recess."""
        self.apex_mm, self.height_mm = extent_mm
        self.spacing_mm = spacing_mm
        # half axes of the inside of the rib cage
        self.width_mm = float(np.clip(rng.normal(0.318, 0.03) * FRAME * spacing_mm, 104, 168))
        right = rng.uniform(0.66, 0.76)
        # the body's middle
        self.row = 255.5 + rng.normal(4, 16)
        self.column = 255.5 + rng.normal(0, 10)
        self.depth_mm = self.width_mm * rng.uniform(0.66, 0.82)
        self.uneven = rng.normal(0, 0.03)  # share by which the left half of the rib cage is wider
        self.square = rng.uniform(1.85, 2.25)  # exponent of the rib cage's outline
        self.dome = (right, right + rng.uniform(0.0, 0.07))  # levels t of the diaphragm's tops, right and left
        self.recess = rng.uniform(28, 60)  # steepness of the diaphragm at the wall: a larger value is a wider gap
        self.heart = rng.uniform(0.85, 1.2)  # size
        self.heart_x = rng.normal(0, 6)  # shift of the heart to the left
        self.heart_t = rng.normal(0, 0.015)  # downward shift of the heart, in t
        self.middle = rng.uniform(0.85, 1.2)  # factor of the width of the mediastinum
        self.shift = rng.normal(0, 6)  # shift of the mediastinum to the left
        self.spine_y = rng.uniform(0.46, 0.58) * self.depth_mm  # y of the middle of the vertebral bodies
        # (K, 7) centre (x, y, t), extent (mm, mm, t) and height (mm) of bumps by which nodules push the wall outwards
        self.bumps = np.zeros((0, 7))

    def level(self, z_mm):
        """Return ``t`` at the height ``z_mm`` of the scan."""
        return (self.apex_mm - z_mm) / self.height_mm

    def points(self, rows, columns, z_mm):
        """Return frame pixels and heights as (x, y, t)."""
        return (columns - self.column) * self.spacing_mm, (rows - self.row) * self.spacing_mm, self.level(z_mm)

    def standard(self, x, y):
        """Return ``x`` and ``y`` in mm of the standard body, in which the mediastinum is given."""
        return (x - self.shift) * (_STANDARD_WIDTH / self.width_mm), y * (_STANDARD_DEPTH / self.depth_mm)


def hemithorax(build: Build, side: int, x, y, t):
    """Return the distance to the inside of one half of the rib cage, which extends over the midline."""
    cap = np.sqrt(np.clip(1 - np.clip(1 - t / _CAP, 0, 1) ** 2, 1e-3, 1))
    outer = build.width_mm * (1 + side * build.uneven) * np.interp(t, _T, _OUTER)
    inner = build.width_mm * np.interp(t, _T, _INNER)
    front = -build.depth_mm * np.interp(t, _T, _FRONT)
    back = build.depth_mm * np.interp(t, _T, _BACK)
    a = (outer - inner) / 2 * cap
    middle_x, middle_y = (outer + inner) / 2, 0.42 * front + 0.58 * back
    v = y - middle_y
    b = np.where(v < 0, middle_y - front, back - middle_y) * cap
    v = v / b
    # the front tip is nearer to the midline than the back
    u = (side * x - middle_x) / a + 0.30 * np.clip(-v, 0, 1.5) ** 2
    return superellipse(u, v, a, b, build.square) + np.maximum(-t, 0) * build.height_mm


def superellipse(u, v, a, b, n: float):
    """Return the approximate distance to a superellipse at the coordinates ``u``, ``v`` in half axes."""
    level = (np.abs(u) ** n + np.abs(v) ** n + 1e-6) ** (1 / n)
    slope = np.hypot(u / a, v / b) / (np.hypot(u, v) + 1e-3)
    return (level - 1) / np.maximum(slope, 1e-3)


def diaphragm(build: Build, side: int, x, y, t, wall):
    """Return the height in mm above the diaphragm, negative below it; ``wall`` is the value of :func:`hemithorax`."""
    top = build.dome[0 if side == RIGHT else 1]
    v = y / build.depth_mm
    # the recess is deepest behind and at the side, shallow in front
    deep = np.clip(0.72 + 0.42 * v, 0.25, 1.0)
    gutter = np.clip(1 + np.minimum(wall, 0) / build.recess, 0, 1) ** 1.6
    away = ((side * x / build.width_mm - 0.38) / 0.85) ** 2 + ((v + 0.2) / 1.0) ** 2
    floor = top + (1 - top) * np.minimum(deep * gutter + 0.28 * np.minimum(away, 1.2), 1.0)
    return (floor - t) * build.height_mm


def tube(build: Build, name: str, sx, sy, t):
    """Return the distance (standard mm) to a vessel or airway of :data:`TUBES`."""
    at, xs, ys, radii = TUBES[name]
    radius = np.interp(t, at, radii)
    half = 0.5 * np.max(radii) / build.height_mm
    low, high = np.clip(t - half, at[0], at[-1]), np.clip(t + half, at[0], at[-1])
    ends = [(np.interp(k, at, xs), np.interp(k, at, ys)) for k in (low, high)]
    outside = np.maximum(np.maximum(at[0] - t, t - at[-1]), 0) * build.height_mm
    return capsule(sx, sy, *ends) - radius + outside


def crossing(build: Build, name: str, sx, sy, t):
    """Return the distance (standard mm) to a vessel of :data:`CROSSING`."""
    level, extent, begin, end, radius = CROSSING[name]
    size = radius * np.sqrt(np.clip(1 - ((t - level) / extent) ** 2, 0, 1))
    outside = np.maximum(np.abs(t - level) - extent, 0) * build.height_mm
    return capsule(sx, sy, begin, end) - size + outside


def capsule(x, y, begin, end):
    """Return the distance to the line segment between two (x, y) points."""
    (x0, y0), (x1, y1) = begin, end
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
    return np.hypot(x - x0 - along * dx, y - y0 - along * dy)


def ellipse(x, y, centre, half, turn=0.0):
    """Return the approximate distance to a rotated ellipse."""
    c, s = np.cos(turn), np.sin(turn)
    dx, dy = x - centre[0], y - centre[1]
    u, v = (dx * c + dy * s) / half[0], (dy * c - dx * s) / half[1]
    level = np.hypot(u, v) + 1e-3
    slope = np.hypot(u / half[0], v / half[1]) / level
    return np.maximum((level - 1) / np.maximum(slope, 1e-4), -np.minimum(*half))


def heart(build: Build, sx, sy, t):
    """Return the distances (standard mm) to the left and to the right side of the heart."""
    k = build.heart
    height = (t - 0.655 - build.heart_t) / 0.205
    left = np.sqrt(np.clip(1 - height**2, 1e-4, 1))
    outside = np.maximum(np.abs(height) - 1, 0) * 0.205 * build.height_mm
    # lower slices show the tip, which is further to the left and the front
    at = 22 + build.heart_x + 9 * height, -32 - 5 * height
    ventricles = ellipse(sx, sy, at, (58 * k * left, 43 * k * left), -0.45) + outside
    height = (t - 0.62 - build.heart_t) / 0.15
    right = np.sqrt(np.clip(1 - height**2, 1e-4, 1))
    outside = np.maximum(np.abs(height) - 1, 0) * 0.15 * build.height_mm
    atria = ellipse(sx, sy, (-12 + 0.5 * build.heart_x, -14), (38 * k * right, 30 * k * right), 0.2) + outside
    return ventricles, atria


def mediastinum(build: Build, x, y, t):
    """Return the distance in mm to the mediastinum, everything between the two lungs."""
    sx, sy = build.standard(x, y)
    half = np.interp(t, (-0.2, 0.0, 0.15, 0.3, 0.42, 0.55, 0.7, 1.1), (40, 33, 28, 27, 26, 20, 16, 18)) * build.middle
    front = np.interp(t, (0.0, 0.12, 0.25, 0.5, 0.62, 0.8), (0.9, 0.75, 0.25, 0.18, 0.5, 0.8))
    share = np.interp(sy / _STANDARD_DEPTH, (-1.0, -0.75, -0.3, 0.2), (0.0, 0.5, 1.0, 1.0))
    distance = np.abs(sx) - half * (front + (1 - front) * share)
    ventricles, atria = heart(build, sx, sy, t)
    distance = np.minimum(distance, np.minimum(ventricles, atria) - 3.5)
    for name in TUBES:
        if name not in ("lower cava", "carotid", "anonyma"):
            distance = np.minimum(distance, tube(build, name, sx, sy, t) - 1.7)
    for name in CROSSING:
        distance = np.minimum(distance, crossing(build, name, sx, sy, t) - 1.0)
    behind = np.abs(x) - 21 - 0.30 * np.clip(y - build.spine_y, 0, 60)
    spine = np.where(y > build.spine_y, behind, np.hypot(x / 1.1, y - build.spine_y) - 20.5)
    return np.minimum(distance * (build.width_mm / _STANDARD_WIDTH), spine)


def bulge(build: Build, x, y, t):
    """Return the distance (mm) by which nodules extend the lung beyond the standard wall."""
    total = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(t)), np.float32)
    for cx, cy, ct, ex, ey, et, height in build.bumps:
        near = np.exp(-0.5 * ((t - ct) / et) ** 2)
        if np.max(near) < 0.01:
            continue
        total += height * near * np.exp(-0.5 * ((x - cx) / ex) ** 2) * np.exp(-0.5 * ((y - cy) / ey) ** 2)
    return total


def lung_distance(build: Build, x, y, t):
    """Return the distance in mm to the lungs at (N,) points, without waves and smoothing."""
    side = np.where(np.asarray(x) >= build.shift, LEFT, RIGHT)
    lung = np.full(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(t)), np.inf)
    for half in (LEFT, RIGHT):
        wall = hemithorax(build, half, x, y, t)
        whole = np.maximum(wall, -0.6 * diaphragm(build, half, x, y, t, wall))
        lung = np.where(side == half, whole, lung)
    return np.maximum(lung, -mediastinum(build, x, y, t)) - bulge(build, x, y, t)


def fit(
    rng: Generator, extent_mm: tuple[float, float], spacing_mm: float, nodules: np.ndarray, pleural: np.ndarray
) -> Build:
    """Return the drawn body that fits a patient's nodules best, with its wall moved to fit all nodules.

    Args:
        nodules: (K, 5) row, column (frame pixels), z (mm), radius in the slice and radius along z (mm).
        pleural: (K,) bool, whether the nodule touches the wall.
    """
    bodies = [Build(rng, extent_mm, spacing_mm) for _ in range(30)]
    if not len(nodules):
        return bodies[0]

    def needed(build: Build) -> np.ndarray:
        x, y, t = build.points(nodules[:, 0], nodules[:, 1], nodules[:, 2])
        beyond = lung_distance(build, x, y, t) + 0.95 * nodules[:, 3] + 1.0
        # the wall moves to pleural nodules, inwards by at most 9 mm; other nodules must only be inside
        return np.where(pleural, np.clip(beyond, -9, None), np.maximum(beyond, 0))

    costs = [float((needed(body) ** 2).sum() + 8 * abs(body.shift)) for body in bodies]
    build = bodies[int(np.argmin(costs))]
    for k in range(len(nodules)):
        height = float(needed(build)[k])
        if abs(height) > 0.5:
            x, y, t = (float(v) for v in build.points(*nodules[k, :3]))
            wide = max(14.0, 1.3 * nodules[k, 3], 1.1 * abs(height))
            tall = max(16.0, 1.4 * nodules[k, 4], 1.1 * abs(height)) / build.height_mm
            bump = np.array([[x, y, t, wide, wide, tall, height]])
            build.bumps = np.concatenate([build.bumps, bump])
    return build
