"""Simulated chest CT: any slice of a patient's volume, with its lungs' exact mask.

A patient's anatomy is a set of functions of three coordinates (:mod:`~phantoms.chest_shape`), so that
neighbouring slices agree. A slice is painted from the air inwards, each tissue over the ones before it by its share of
every pixel; then the scanner blurs it and adds noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phantoms import chest_nodules as lesions
from phantoms.chest_belly import paint_belly
from phantoms.chest_canvas import Canvas, Field, enlarge, smooth
from phantoms.chest_lung import Filling, density, fill
from phantoms.chest_middle import paint_airways, paint_middle
from phantoms.chest_person import HABITS, Person
from phantoms.chest_shape import LEFT, RIGHT, Build, bulge, diaphragm, fit, heart, hemithorax, mediastinum
from phantoms.chest_table import paint_table
from phantoms.chest_wall import paint_body, paint_bones, paint_spine, skin_distance
from phantoms.embedded import generator
from phantoms.geometry import smooth_field
from phantoms.scanner import AIR_HU, LARGEST_HU, SETTINGS, Scanner, blur, noise
from softmask.data.annotations import Nodule


@dataclass(frozen=True, eq=False)
class Chest:
    """One patient's volume, before any slice of it is made.

    Attributes:
        names: data set and patient, which all draws go by.
        build, person, filling: shape, tissues, and what the lungs hold.
        broad, waves, fine: fields of 45, 15 and 6 mm cells.
        nodules: of the patient's scan.
        scanner: blur and noise; thickness: of a slice in mm.
    """

    names: tuple[str, str]
    build: Build
    person: Person
    filling: Filling
    broad: Field
    waves: Field
    fine: Field
    nodules: tuple[Nodule, ...]
    scanner: Scanner
    thickness: float


@dataclass(frozen=True)
class ChestSlice:
    """One slice, (512, 512) arrays.

    Attributes:
        hu: float32.
        lungs: bool, the reference: ``anatomy`` and the nodules, which belong to the lung by definition.
        anatomy: bool, the lungs as the body's shape has them: it need not hold every pixel of every nodule.
        nodules: bool, what at least half of the readers enclose.
    """

    hu: np.ndarray
    lungs: np.ndarray
    anatomy: np.ndarray
    nodules: np.ndarray


def make_chest(
    dataset: str, patient: str, spacing_mm: float, thickness: float, z_mm: np.ndarray, nodules: Sequence[Nodule]
) -> Chest:
    """A patient whose lungs hold these nodules.

    Args:
        dataset: ``lidc-lung`` or ``qin-lung``, the scanner's setting and the patients' diseases.
        patient: name; with ``dataset`` it decides all draws.
        spacing_mm, thickness: of the scan's pixels and slices.
        z_mm: (D,) positions of its slices, ascending.
        nodules: of this scan, contours in its frame and its z.
    """
    names = (dataset, patient)
    habits = HABITS[dataset]
    boxes = np.array([lesions.extent(nodule) for nodule in nodules]).reshape(-1, 5)
    pleural = np.array([lesions.at_wall(nodule) for nodule in nodules], bool)
    build = fit(generator(*names, "shape"), lung_extent(dataset, patient, z_mm, nodules), spacing_mm, boxes, pleural)
    person = Person.draw(habits, generator(*names, "person"))
    rng = generator(*names, "fields")
    low, high = float(z_mm[0]), float(z_mm[-1])
    largest = boxes[boxes[:, 3].argmax()] if len(boxes) else None
    return Chest(
        names,
        build,
        person,
        fill(build, person, habits, largest, generator(*names, "lungs")),
        Field.draw(rng, 45.0, spacing_mm, low, high),
        Field.draw(rng, 15.0, spacing_mm, low, high),
        Field.draw(rng, 6.0, spacing_mm, low, high),
        tuple(nodules),
        SETTINGS[dataset].draw(generator(*names, "scanner")),
        float(np.clip(thickness, 0.6, 3.0)),
    )


def lung_extent(dataset: str, patient: str, z_mm: np.ndarray, nodules: Sequence[Nodule]) -> tuple[float, float]:
    """z of the lungs' apex, and their height down to the deepest recess (mm): known without making the patient."""
    rng = generator(dataset, patient, "extent")
    top = z_mm[-1] - rng.uniform(6, 45)
    height = float(np.clip(rng.normal(262, 20), 215, 315))
    bottom = z_mm[0] + rng.uniform(8, 40)
    reach = [z for nodule in nodules for z in nodule.slices()]
    if reach:
        top = max(top, max(reach) + rng.uniform(6, 12))
        bottom = min(bottom, min(reach) - rng.uniform(6, 14))
        height = max(height, top - min(reach) + rng.uniform(6, 24))
    return float(top), float(min(height, max(top - bottom, 200.0)))


def draw_slice(chest: Chest, z_mm: float) -> ChestSlice:
    """The slice at ``z_mm``: it depends on the patient and ``z_mm`` alone."""
    build, person = chest.build, chest.person
    canvas = Canvas(build, z_mm)
    rng = generator(*chest.names, f"{z_mm:.3f}")
    waves = chest.waves.at(z_mm)
    grain = smooth_field(canvas.hu.shape, 4 / build.spacing_mm, rng)
    broad = chest.broad.at(z_mm)
    lungs = _outline(chest, canvas, waves, broad)

    skin = skin_distance(canvas, build, person, lungs.wall, broad)
    paint_table(canvas, build, person, waves, skin)
    paint_body(canvas, build, person, lungs.wall, skin, grain, waves, broad)
    paint_bones(canvas, build, person, lungs.wall, grain)
    paint_middle(canvas, build, person, lungs.wall, grain, waves, generator(*chest.names, "middle"))
    above = lungs.above * canvas.share(lungs.wall)
    below = (1 - lungs.above) * canvas.share(lungs.wall - 1)
    if canvas.t > 0.5:
        paint_belly(canvas, build, person, lungs.wall, below, grain, waves, generator(*chest.names, "belly"))
        _paint_heart_tip(chest, canvas, lungs, grain, waves)
    paint_spine(canvas, build, person, grain)
    if max(person.effusion):
        canvas.paint(canvas.share(lungs.fluid) * above, 10 + 5 * grain)
    paint_airways(canvas, build)

    share = canvas.share(lungs.outline, canvas.spacing + 0.25 * chest.thickness) * lungs.above
    if not 0 < canvas.t < 1:  # waves do not carry the lungs beyond their ends
        share[:] = 0
    patches = [lesions.patch(n, z_mm, 0.22 * (person.blood - 42), chest.names) for n in chest.nodules]
    found = np.zeros(share.shape, bool)
    inside = share >= 0.5
    if share.any():
        fields = (chest.waves, chest.fine)
        hu = density(
            canvas, build, person, chest.filling, z_mm, chest.thickness, lungs.outline, lungs.fluid, fields, rng
        )
        canvas.paint(share, hu)
    for patch in patches:
        if patch is not None:
            at = patch.rows, patch.columns
            canvas.hu[at] += patch.share * (patch.hu - canvas.hu[at])
            found[at] |= patch.mask
    return ChestSlice(_scan(chest, canvas, enlarge(skin), rng), inside | found, inside, found)


@dataclass(frozen=True)
class _Lungs:
    wall: np.ndarray  # (256, 256) mm to the rib cage's inside
    outline: np.ndarray  # (256, 256) mm to the lungs, not regarding the diaphragm
    above: np.ndarray  # (512, 512) share of each pixel above the diaphragm
    fluid: np.ndarray  # (256, 256) mm to the effusion


def _outline(chest: Chest, canvas: Canvas, waves: np.ndarray, broad: np.ndarray) -> _Lungs:
    build, person = chest.build, chest.person
    x, y, t = canvas.cx, canvas.cy, canvas.t
    walls = {side: hemithorax(build, side, x, y, t) for side in (RIGHT, LEFT)}
    out = bulge(build, x, y, t)
    left = x >= build.shift
    mine = np.where(left, walls[LEFT], walls[RIGHT])
    wall = np.minimum(walls[LEFT], walls[RIGHT])
    fluid_depth = np.where(left, person.effusion[1], person.effusion[0])
    fluid_depth = fluid_depth * np.clip((y / build.depth_mm + 0.15) / 0.85, 0, 1) ** 1.2
    fluid_depth = fluid_depth * float(np.clip((t - 0.3) / 0.4, 0, 1)) * (1 + 0.15 * waves)
    fluid_depth = fluid_depth * _dry(chest, canvas)
    outline = np.maximum(mine + np.maximum(fluid_depth - 0.5, 0), -mediastinum(build, x, y, t))
    outline = smooth(np.asarray(outline, np.float32), 1.4) + 0.45 * waves + 2.4 * broad - out
    wall = smooth(np.asarray(wall, np.float32), 2.0) + 0.45 * waves + 2.4 * broad - out
    wall = np.minimum(wall, outline)

    heights = [diaphragm(build, side, x, y, t, walls[side]) for side in (RIGHT, LEFT)]
    mix = np.clip((x - build.shift) / 50 + 0.5, 0, 1)
    height = heights[0] + mix * (heights[1] - heights[0]) + out + 0.4 * waves + 4 * broad
    height = smooth(np.asarray(height, np.float32), 1.5)
    slope = np.hypot(*np.gradient(height)) / np.float32(2 * build.spacing_mm)
    flat = 1 / np.sqrt(1 + slope**2)
    width = flat * (chest.thickness + 1.5 * person.motion) + slope * flat * np.float32(build.spacing_mm)
    above = np.clip(0.5 + enlarge(height * flat / width), 0, 1)
    # where the layer thins out, its distance grows, so that it ends gradually
    fluid = np.maximum(-wall - fluid_depth + 40 * np.clip(1 - fluid_depth / 8, 0, 1), wall)
    return _Lungs(wall, outline, above, np.asarray(fluid, np.float32))


def _dry(chest: Chest, canvas: Canvas) -> np.ndarray:
    """(256, 256) in [0, 1], nearly 0 around nodules: the lung that holds them is not pushed away by fluid."""
    free = np.ones((canvas.cy.size, canvas.cx.size), np.float32)
    if not max(chest.person.effusion):
        return free
    for row, column, z_mm, radius, tall in map(lesions.extent, chest.nodules):
        x, y, t = chest.build.points(row, column, z_mm)
        wide = 2 * (radius + 10) ** 2
        near = np.exp(-(((canvas.t - t) * chest.build.height_mm) ** 2) / (2 * (tall + 10) ** 2))
        free *= 1 - near * np.exp(-((canvas.cx - x) ** 2) / wide) * np.exp(-((canvas.cy - y) ** 2) / wide)
    return free


def _paint_heart_tip(chest: Chest, canvas: Canvas, lungs: _Lungs, grain, waves) -> None:
    """The heart lies on the diaphragm: its lower part over liver and stomach."""
    if canvas.t < 0.9:
        sx, sy = chest.build.standard(canvas.cx, canvas.cy)
        ventricles, _ = heart(chest.build, sx, sy, canvas.t)
        ventricles = np.maximum(ventricles, lungs.wall)
        blood = 45 + 0.35 * (chest.person.blood - 42)
        canvas.paint(canvas.share(ventricles - 2.5, 2.0), -70.0)
        canvas.paint(canvas.share(ventricles, 1 + chest.person.motion), blood + 6 * grain)


def _scan(chest: Chest, canvas: Canvas, skin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of the object: least noise outside the body, most between the shoulders."""
    spacing = canvas.spacing
    seen = blur(canvas.hu, chest.scanner.psf_mm / spacing)
    grain = noise(seen.shape, spacing, chest.scanner, rng)
    shoulders = chest.person.streaks * float(np.clip((0.12 - canvas.t) / 0.15, 0, 1))
    if shoulders:  # rays along the shoulders carry little light
        rays = np.cumsum(grain, axis=1)
        rays = (rays[:, 40:] - rays[:, :-40]) / np.float32(6)
        grain += np.float32(0.3 * shoulders) * np.pad(rays, ((0, 0), (20, 20)), mode="edge")
    amount = 0.3 + 0.7 * np.clip(0.5 - skin / 30, 0, 1)
    seen += amount * grain * np.float32(1 + 0.6 * shoulders)
    if chest.person.round_field:
        x, y = canvas.x - canvas.x.mean(), canvas.y - canvas.y.mean()
        seen = np.where(np.hypot(x, y) > 256 * spacing, np.float32(AIR_HU), seen)
    return np.clip(seen, AIR_HU, LARGEST_HU).astype(np.float32)
