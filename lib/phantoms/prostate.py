"""Embedded PROMISE12: simulated transversal T2-weighted MR of the prostate, with a known truth.

Each patient has one gland, cut by fourteen slices from base to apex. Signals are those of T2 weighting. Lengths in mm,
signals in arbitrary units; x grows to the patient's left, y to the back.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.random import Generator

from phantoms.base import SUPERSAMPLING, Embedded, block_mean, blur, generator, smooth_field
from softmask.data.promise12 import PERCENTILES
from softmask.data.sample import Sample

PATIENTS, SLICES, SIZE, SPACING_MM = 50, 14, 256, 0.625

FAT, MUSCLE, BLADDER, RECTUM, MARROW, BONE = 0.78, 0.22, 1.0, 0.38, 0.62, 0.10
PERIPHERAL, TRANSITION, CAPSULE = 0.80, 0.43, 0.22

_HAND_MM = 0.7  # deviation of the annotator from the true outline


class Gland:
    """Gland of 20 to 110 ml of one patient, with scanner and surroundings. Lengths in mm."""

    def __init__(self, rng: Generator) -> None:
        rng.uniform()  # an unused length; still drawn, because all later draws would otherwise change
        self.half_width = rng.uniform(20, 29)  # left-right
        self.half_depth = rng.uniform(13, 21)  # front-back
        self.square = rng.uniform(2.0, 2.7)  # exponent of the outline, 2 an ellipse
        self.zone = rng.uniform(0.5, 0.75)  # share of the depth occupied by the transition zone
        # (4, 2) sizes and phases of the outline's harmonics 2 to 5, relative to the radius
        self.waves = np.column_stack([rng.normal(0, 0.018, 4), rng.uniform(0, 2 * np.pi, 4)])
        self.noise = rng.uniform(0.025, 0.06)  # standard deviation
        self.psf_mm = rng.uniform(0.35, 0.6)  # standard deviation of the point-spread function
        self.coil = rng.uniform(0.05, 0.4)  # strength of the coil's uneven sensitivity
        self.gas = bool(rng.uniform() < 0.5)  # whether the rectum holds gas


class EmbeddedPromise12(Embedded):
    """Fifty patients, as in the training set of the challenge, of fourteen slices of 256 x 256 pixels of 0.625 mm.

    ``alpha`` is the share of each pixel's volume, through the slice's thickness, that is prostate; the one reader marks
    pixels that are at least half prostate, with random deviations. ``image`` is scaled by :func:`signal_range`.
    """

    origin = "simulated T2-weighted MR"

    def __init__(self, name: str = "promise12") -> None:
        super().__init__(name)
        patients = np.repeat([f"Case{patient:02d}" for patient in range(PATIENTS)], SLICES)
        slices = [f"{z:03d}" for z in range(SLICES)] * PATIENTS
        self.index = pd.DataFrame({"patient": patients, "nodule": "prostate", "slice": slices, "n_readers": 1})

    def read(self, i: int) -> Sample:
        patient = self.index["patient"][i]
        signal, alpha, mask = draw_slice(patient, i % SLICES)
        low, high = signal_range(patient)
        image = np.clip((signal - low) / (high - low), 0, 1).astype(np.float32)
        spacing, present = (SPACING_MM, SPACING_MM), np.ones(1, bool)
        return self.sample(i, image=image, readers=mask[None], present=present, spacing=spacing, alpha=alpha)


@lru_cache(maxsize=PATIENTS)
def signal_range(patient: str) -> tuple[float, float]:
    """Return the 1st and 99th percentile of the patient's middle slice, which become 0 and 1 in its images.

    Real volumes are scaled by the percentiles of the whole volume (:mod:`softmask.data.promise12`), which would
    require all slices. The middle slice has no bladder: its upper end is some hundredths to a tenth below the volume's.
    """
    signal, _, _ = draw_slice(patient, SLICES // 2)
    low, high = np.percentile(signal, PERCENTILES)
    return float(low), float(high)


def draw_slice(patient: str, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``(signal, alpha, mask)`` of a patient's slice ``number`` (0 at the base), (256, 256) float32, float32 in
    [0, 1], and bool."""
    names = ("promise12", patient)
    gland = Gland(generator(*names))
    # draws shared by all slices of the patient, and draws of this slice
    body, rng = generator(*names, "body"), generator(*names, f"{number:03d}")
    height = (number + 0.5) / SLICES * 2 - 1  # -1 base, 1 apex
    centre = body.normal(0, 4, 2)
    x, y = _coordinates(1, centre)
    distance = _outline(gland, height, x, y)
    # the outline moves within the thickness of the slice, by the slope of the surface
    scale = _scale(height)
    slope = gland.half_width * abs(_scale(height + 1 / SLICES) - _scale(height - 1 / SLICES))
    fade = max(slope, SPACING_MM / SUPERSAMPLING)
    alpha = _fraction(gland, height, distance, fade, centre)
    signal = _pelvis(gland, height, scale, x, y, body, rng)
    # a thin dark capsule around the gland's own signal; it is part of the prostate
    inside = _gland_signal(gland, scale, x, y, distance, rng)
    signal = signal + alpha * (inside - signal)
    sensitivity = 1 + np.float32(gland.coil) * smooth_field(signal.shape, 150, rng)
    signal = blur((signal * np.maximum(sensitivity, 0.3)).astype(np.float32), gland.psf_mm / SPACING_MM)
    # the magnitude of a complex signal with noise in both parts: Rician
    real, imaginary = (gland.noise * rng.standard_normal(signal.shape, dtype=np.float32) for _ in range(2))
    magnitude = np.hypot(signal + real, imaginary)
    mask = distance + np.float32(_HAND_MM) * smooth_field(distance.shape, 14, rng) < 0
    return magnitude, alpha, mask


def _fraction(gland: Gland, height: float, distance: np.ndarray, fade: float, centre: np.ndarray) -> np.ndarray:
    """Return the (256, 256) float32 share of each pixel's volume in the gland."""
    rows, columns = (np.flatnonzero((distance < fade + 3 * SPACING_MM).any(axis=k)) for k in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    x, y = _coordinates(SUPERSAMPLING, centre)
    x = x[:, box[1].start * SUPERSAMPLING : box[1].stop * SUPERSAMPLING]
    y = y[box[0].start * SUPERSAMPLING : box[0].stop * SUPERSAMPLING]
    alpha = np.zeros(distance.shape, np.float32)
    ramp = np.clip(np.float32(0.5) - _outline(gland, height, x, y) / np.float32(fade), 0, 1)
    alpha[box] = np.clip(block_mean(ramp), 0, 1)
    return alpha


def _coordinates(factor: int, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, W) and y (H, 1) in mm from the gland's centre, ``factor`` points per pixel, float32."""
    position = ((np.arange(factor * SIZE, dtype=np.float32) + 0.5) / factor - SIZE / 2) * np.float32(SPACING_MM)
    return (position - np.float32(centre[0]))[None, :], (position - np.float32(centre[1]))[:, None]


def _scale(height: float) -> float:
    """Return the size of the cross-section relative to the largest; at least a fifth."""
    return max(np.sqrt(max(1 - ((height + 0.1) / 1.12) ** 2, 0.0)), 0.2)


def _outline(gland: Gland, height: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the approximate signed distance to the gland's outline in mm, float32."""
    scale = np.float32(_scale(height))
    u, v = x / (np.float32(gland.half_width) * scale), y / (np.float32(gland.half_depth) * scale)
    v = v + np.float32(0.12) * np.exp(-((3 * u) ** 2)) * (v > 0)  # the rectum dents the back
    power = np.float32(gland.square)
    level = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    angle = np.arctan2(v, u)
    for k, (size, phase) in enumerate(gland.waves, start=2):
        level = level + np.float32(size) * np.cos(k * angle + np.float32(phase))
    return (level - 1) * np.float32(scale * np.sqrt(gland.half_width * gland.half_depth))


def _gland_signal(gland: Gland, scale: float, x, y, distance, rng: Generator) -> np.ndarray:
    """Return the signal of the gland: zones, urethra, capsule, and a lesion in about one slice of three."""
    shape = distance.shape
    zone_depth, zone_width = gland.half_depth * gland.zone, gland.half_width * (0.45 + 0.4 * gland.zone)
    zone = np.hypot(x / (zone_width * scale), (y + 0.32 * gland.half_depth * scale) / (zone_depth * scale))
    transition = np.clip((1 - zone + 0.08 * smooth_field(shape, 8, rng)) * 8, 0, 1)
    # benign nodules: rounded patches of high or low signal with dark rims
    patches = smooth_field(shape, 9, rng)
    mixed = TRANSITION + 0.15 * np.tanh(2 * patches) - 0.10 * np.exp(-((patches / 0.18) ** 2))
    mixed = mixed + 0.04 * smooth_field(shape, 3, rng)
    outer = PERIPHERAL + 0.07 * smooth_field(shape, 5, rng) - 0.10 * np.clip(smooth_field(shape, 14, rng) - 0.8, 0, 2)
    signal = outer + transition * (mixed - outer)
    signal = signal - 0.16 * np.exp(-(((zone - 1) * zone_depth * scale / 0.9) ** 2))  # surgical capsule
    urethra = np.hypot(x, y + 0.1 * gland.half_depth)
    signal = signal + 0.25 * np.exp(-((urethra / 1.8) ** 2))
    if rng.uniform() < 0.35:  # a dark lesion in the peripheral zone
        angle = rng.uniform(0.15 * np.pi, 0.85 * np.pi)
        at = 0.75 * scale * np.array([gland.half_width * np.cos(angle), gland.half_depth * np.sin(angle)])
        size = rng.uniform(2.5, 6)
        signal = signal - 0.33 * np.clip(1.6 - np.hypot(x - at[0], y - at[1]) / size, 0, 1)
    # the true capsule is dark and thin, and missing in front
    rim = np.exp(-(((distance + 0.6) / 0.7) ** 2)) * np.clip(0.8 + y / gland.half_depth, 0.15, 1)
    stroma = np.clip((-y / (gland.half_depth * scale) - 0.6) * 3, 0, 1) * (np.abs(x) < 0.5 * gland.half_width)
    signal = signal + rim * (CAPSULE - signal)
    return (signal + 0.8 * stroma * (CAPSULE + 0.04 - signal)).astype(np.float32)


def _pelvis(gland: Gland, height: float, scale: float, x, y, body, rng: Generator) -> np.ndarray:
    """Return the signal of everything around the gland, from fat outwards."""
    shape = (y.shape[0], x.shape[1])
    soft = smooth_field(shape, 10, rng)
    fine = smooth_field(shape, 3, rng)
    signal = np.full(shape, np.float32(FAT)) + 0.05 * soft + 0.05 * fine
    # veins and fibres in the fat around the gland
    mesh = np.exp(-((smooth_field(shape, 6, rng) / 0.15) ** 2))
    signal = signal - 0.30 * mesh

    def put(edge: np.ndarray, value) -> None:
        nonlocal signal
        signal = signal + np.clip(edge / np.float32(SPACING_MM) + 0.5, 0, 1) * (value - signal)

    muscle = MUSCLE + 0.05 * soft + 0.035 * fine
    wall = gland.half_width + body.uniform(4, 9)
    for side in (-1, 1):
        lean = 0.35 * np.maximum(y - 5, 0)
        # levator ani hugs the gland towards the apex, obturator internus lines the pelvis
        levator = side * x - (wall - 3 - lean + 3 * (height < 0)) + 0.6 * soft
        put(np.minimum(1.7 - np.abs(levator), np.minimum(y + 14, 40 - y)), muscle)
        obturator = side * x - (wall + 5 - 0.3 * lean) + 1.2 * soft
        put(np.minimum(np.minimum(obturator, body.uniform(13, 18) - obturator), 42 - np.abs(y - 2)), muscle)
        bone = np.hypot((side * x - wall - 33) / 19, (y + body.uniform(4, 12)) / 24)
        edge = (1 - bone) * 19 + 0.7 * soft
        put(edge, BONE)
        put(edge - 1.8, MARROW + 0.06 * fine)
        gluteus = np.minimum(y - 36 + 0.45 * (side * x - 35) + 2 * soft, side * x - 13 - 0.15 * (y - 36))
        put(gluteus, muscle + 0.10 * np.exp(-(((x - side * y + 6 * soft) % 11 - 5.5) ** 2)))  # fat between its strands
    front = -y - gland.half_depth * scale  # mm in front of the gland
    depth_of_pubis, tilt = body.uniform(8, 12), body.uniform(0.2, 0.45)
    bladder, width, depth = body.uniform(26, 38), body.uniform(12, 19), body.uniform(9, 15)
    rectus = np.minimum(front - 44 + 1.5 * soft, 16 - np.abs(np.abs(x) - 19)) + 1.5 * soft
    put(np.minimum(rectus, 56 - front), muscle)
    if height > -0.5:
        for side in (-1, 1):
            along = side * x - 17
            bone = np.hypot(along / 15.5, (front - 10 - depth_of_pubis + tilt * along) / 8.5)
            edge = (1 - bone) * 9 + 0.5 * soft
            put(edge, BONE)
            put(edge - 1.6, MARROW + 0.05 * fine)
        put(np.minimum(2.0 - np.abs(x), 7 - np.abs(front - 10 - depth_of_pubis)), MUSCLE)
    else:
        edge = (1 - np.hypot(x / bladder, (front - 20) / 19)) * 19
        put(edge + 2.2 + 0.3 * soft, muscle)  # the bladder's wall
        put(edge + 0.2 * fine, BLADDER)
    back = y - gland.half_depth * scale * 0.9 - depth - 1.5
    rectum = (1 - np.hypot(x / width, back / depth)) * depth + 0.8 * soft
    put(rectum, RECTUM + 0.06 * fine)
    put(rectum - 3, 0.03 if gland.gas else 0.5 + 0.15 * soft)
    return signal.astype(np.float32)
