"""Embedded LIDC: the real readers' contours and ratings, on simulated CT with a known truth.

The lesion (:mod:`phantoms.nodule`) and the thorax around it, drawn from the lung outwards (:mod:`phantoms.thorax`), are
scanned (:mod:`phantoms.base`). Drawn on a finer grid, they are a truth for super-resolution.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from phantoms import nodule as lesion
from phantoms.base import SUPERSAMPLING, Embedded, Scanner, block_mean, generator, scan, simulation_digest, support
from phantoms.thorax import Patient, Scene, draw_surroundings
from softmask.cache import cached_arrays
from softmask.data.annotations import Annotations, load
from softmask.data.image_files import window_hu
from softmask.data.kinds import PLEURAL_PLACE, place_of_nodule
from softmask.data.lidc import area_of, index_frame, ratings_of
from softmask.data.outlines import long_axis, recist_axes
from softmask.data.sample import Sample
from softmask.files import sha256_of

SIZE = 128  # rows and columns of an image, as in the LIDC-IDRI-slices set


class Draws(NamedTuple):
    """Scanner of a slice, and generators seeded by the names of its patient, its nodule and the slice."""

    scanner: Scanner
    patient: Generator
    nodule: Generator
    slice: Generator


class HighResolution(NamedTuple):
    """One slice at both resolutions, float32 grey values in [0, 1] of the lung window."""

    low: np.ndarray  # (S, S), as scanned: the object averaged over each pixel, blurred and noisy
    high: np.ndarray  # (4 S, 4 S), the object averaged over each fine pixel
    alpha: np.ndarray  # (4 S, 4 S) in [0, 1], the share of each fine pixel that is lesion


class EmbeddedLidc(Embedded):
    """All slices of all nodules of the annotation database that at least one reader marked.

    The readers' masks are from their real contours; the CT is simulated on demand: 128 x 128 pixels of the scan's own
    spacing around the nodule. Sample ``i`` depends only on the data set's name, patient, nodule and slice.
    ``lidc`` and ``lnsm`` have different scanners, and ``lnsm`` has the RECIST axes of the first present reader.
    :mod:`softmask.data.selection` assigns the patients to the two data sets.
    """

    def __init__(self, name: str = "lidc") -> None:
        annotations = load()
        super().__init__(name, annotations.fingerprint)
        self.origin = f"simulated CT, setting {name}, on the contours of the {annotations.origin}"
        key = sha256_of(annotations.fingerprint, simulation_digest())
        rows = cached_arrays("embedded-lidc", key, lambda: _build_rows(annotations))
        self._z = rows["z"]
        self._nodules = [annotations.nodules[number] for number in rows["nodule"]]
        names = zip(self._nodules, rows["slice"], strict=True)
        keys = [(nodule.patient, nodule.name, f"slice-{k}") for nodule, k in names]
        spacing = np.array([nodule.spacing_mm for nodule in self._nodules])
        self.index = index_frame(keys, rows["n_readers"], rows["area"], spacing, self._nodules, rows["long_axis"])

    def read(self, i: int) -> Sample:
        nodule = self._nodules[i]
        readers, present = self.read_masks(i)
        plan, draws = self.plan(i)
        hu, alpha = draw(plan, draws)
        hu = scan(hu, plan.spacing, draws.scanner, draws.slice)
        fields = {"spacing": (plan.spacing, plan.spacing), "ratings": ratings_of(nodule, present), "kind": plan.kind}
        if self.name == "lnsm":
            fields["recist"] = recist_axes(readers[present][0])
        return self.sample(i, image=window_hu(hu), readers=readers, present=present, hu=hu, alpha=alpha, **fields)

    def high_resolution(self, i: int, size: int = 64) -> HighResolution:
        """Return the middle ``size`` x ``size`` pixels of sample ``i`` at both resolutions; see :func:`draw`."""
        plan, draws = self.plan(i)
        hu, alpha = draw(plan, draws, SUPERSAMPLING)
        low = scan(block_mean(hu, SUPERSAMPLING), plan.spacing, draws.scanner, draws.slice)
        first = (SIZE - size) // 2
        middle, fine = slice(first, first + size), slice(SUPERSAMPLING * first, SUPERSAMPLING * (first + size))
        return HighResolution(window_hu(low)[middle, middle], window_hu(hu)[fine, fine], alpha[fine, fine])

    def plan(self, i: int) -> tuple[lesion.Plan, Draws]:
        """Return the plan of sample ``i``, and its scanner and new generators."""
        row, nodule, z = self.index.iloc[i], self._nodules[i], float(self._z[i])
        readers, present = self.read_masks(i)
        marked = [reading for reading, here in zip(nodule.readers, present, strict=False) if here]
        plan = lesion.Plan(
            outlines=[[(contour.inclusion, contour.points) for contour in reading.at(z)] for reading in marked],
            areas=readers[present].sum(axis=(1, 2)).tolist(),
            ratings=[reading.ratings for reading in nodule.readers],
            kind=row.kind,
            place=place_of_nodule(nodule),
            window=nodule.window(SIZE),
            spacing=nodule.spacing_mm,
            thickness=nodule.slice_thickness_mm,
            slope_mm=lesion.surface_slope([self._area_mm2(i, j) for j in (i - 1, i, i + 1)]),
        )
        names = (self.name, row.patient, row.nodule, row.slice)
        scanner = Scanner.draw(self.name, generator(*names[:2], "scanner"))
        return plan, Draws(scanner, generator(*names[:2]), generator(*names[:3]), generator(*names))

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(readers, present)`` of sample ``i`` without simulating the image."""
        nodule = self._nodules[i]
        return nodule.masks(float(self._z[i]), nodule.window(SIZE))

    def _area_mm2(self, i: int, j: int) -> float:
        """Return the area of row ``j`` in mm^2; 0 if row ``j`` is not a slice of the nodule of row ``i``."""
        if not 0 <= j < len(self) or self._nodules[j] is not self._nodules[i]:
            return 0.0
        return float(self.index["area"].iloc[j]) * self._nodules[i].spacing_mm ** 2


def _build_rows(annotations: Annotations) -> dict[str, np.ndarray]:
    """Return the columns of the index by name; ``nodule`` is the position in ``annotations.nodules``."""
    rows = []
    for number, nodule in enumerate(annotations.nodules):
        for place, z in enumerate(nodule.slices()):
            top, left, bottom, right = nodule.box(z)
            readers, present = nodule.masks(z, (top, left, bottom - top + 1, right - left + 1))
            if present.any():
                axis = long_axis(readers[present][0])
                rows.append((number, z, place, int(present.sum()), area_of(readers, present), axis))
    columns = ("nodule", "z", "slice", "n_readers", "area", "long_axis")
    return {name: np.array(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}


def draw(plan: lesion.Plan, draws: Draws, fineness: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(hu, alpha)`` of the object before the scan, without blur or noise.

    ``alpha`` is the share of each pixel that is lesion substance, float32 in [0, 1]. The lumen of a cavity, calcium and
    vessels that run through the lesion count as lesion; the chest wall does not.

    Args:
        draws: generators, whose states advance; the scan continues from these states.
        fineness: result pixels per slice pixel along each axis, a divisor of :data:`~phantoms.base.SUPERSAMPLING`.
            Lesion, vessels and walls stay the same; textures shift by less than a pixel.
    """
    patient = Patient(draws.patient)
    shape = lesion.draw_shape(plan, draws.slice)
    _, extent, _ = support(shape.distance, shape.window, plan.place.outward)
    fraction, hu = lesion.in_pixels(shape, lesion.substance(shape, plan, draws.nodule), plan.window, fineness)
    first = 0.5 - 0.5 / fineness  # distance in pixels from the centre of the first pixel to that of its first sub-pixel
    centre_mm = (shape.centre - plan.window[:2] + first) * plan.spacing
    radius_mm = shape.radius * plan.spacing
    if plan.place.radius >= PLEURAL_PLACE:  # the wall cuts a little off a juxtapleural nodule, and misses others
        wall_mm = extent * plan.spacing - draws.nodule.uniform(0.05, 0.3) * radius_mm
    else:
        wall_mm = extent * plan.spacing + 2.5 + (PLEURAL_PLACE - plan.place.radius) * draws.nodule.uniform(30, 55)
    scene = Scene(plan, fineness, patient, centre_mm, radius_mm, wall_mm)
    around = draw_surroundings(scene, draws.slice, draws.nodule)
    image = around.lung_hu + fraction * (hu - around.lung_hu)
    # vessels cross ground glass, but not the lumen of a cavity
    vessel = around.vessel * (1 - fraction) if plan.kind == "cavitary" else around.vessel
    image += vessel * (np.maximum(around.vessel_hu, image) - image)
    image += around.wall * (around.wall_hu - image)
    return image, np.clip(fraction * (1 - around.wall), 0, 1).astype(np.float32)
