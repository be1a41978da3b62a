"""Simulated CT of one nodule slice: object, scanner, truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softmask.data.kinds import PLEURAL_PLACE, Place
from softmask.phantom import nodule as lesion
from softmask.phantom.geometry import Outlines, Window, support
from softmask.phantom.scanner import Scanner, scan
from softmask.phantom.thorax import Patient, draw_surroundings


@dataclass(frozen=True)
class Draws:
    """Generators by what their draws belong to, so that slices of a nodule and nodules of a patient agree."""

    patient: np.random.Generator
    nodule: np.random.Generator
    slice: np.random.Generator


@dataclass(frozen=True)
class Slice:
    """What is known of a slice: who drew what in it, and where it lies.

    Attributes:
        outlines: the present readers' (inclusion, (N, 2) points) contours in this slice, in frame pixels.
        areas: pixels of each present reader's mask.
        ratings: of all readers of the nodule.
        kind: one of :data:`~softmask.data.kinds.KINDS`; it adds the cavity or the calcium.
        place: where in the lung; it decides how far the wall is.
        window: (first row, first column, height, width) of the image in the frame.
        spacing, thickness: pixel size and slice thickness in mm.
        slope_mm: from :func:`softmask.phantom.nodule.surface_slope`.
    """

    outlines: Sequence[Outlines]
    areas: Sequence[float]
    ratings: Sequence[Mapping[str, float]]
    kind: str
    place: Place
    window: Window
    spacing: float
    thickness: float
    slope_mm: float


@dataclass(frozen=True)
class Image:
    """Simulated slice.

    Attributes:
        hu: (H, W) float32.
        alpha: (H, W) float32 in [0, 1]: the share of each pixel that is lesion substance, before any blur. A lesion of
            about one pixel may lie across several, none of which it fills to a half.
            The lumen of a cavity, calcium and vessels that run through the lesion count as lesion; chest wall does not.
    """

    hu: np.ndarray
    alpha: np.ndarray


def simulate(what: Slice, scanner: Scanner, draws: Draws) -> Image:
    """The CT slice in which the readers would have drawn what they drew.

    Args:
        what: the slice.
        scanner: blur and noise.
        draws: generators; they are used up.
    """
    thing = draw(what, draws)
    return Image(scan(thing.hu, what.spacing, scanner, draws.slice), thing.alpha)


def draw(what: Slice, draws: Draws, fineness: int = 1) -> Image:
    """The object before the scan, as an image without blur or noise.

    Args:
        what: the slice.
        draws: generators; what the scan draws is left in them.
        fineness: pixels of the result for each of the slice's, along each axis; 1, or another divisor of
            :data:`~softmask.phantom.geometry.SUPERSAMPLING`, the finest that a lesion is drawn. Whatever it is, the
            lesion is the same, and so are vessels and walls, but for a shift of textures by less than a pixel.
    """
    shape, spacing = tuple(fineness * pixels for pixels in what.window[2:]), what.spacing / fineness
    patient = Patient.draw(draws.patient)
    nodule = lesion.draw_shape(
        what.outlines, what.areas, what.ratings, what.window, what.spacing, what.slope_mm, draws.slice
    )
    _, extent, _ = support(nodule.distance, nodule.window, what.place.outward)
    fraction = lesion.pixel_fraction(nodule, what.window, fineness)
    hu = lesion.substance(nodule, what.ratings, what.kind, what.spacing, draws.nodule)
    hu = lesion.pixel_substance(nodule, hu, what.window, fineness)
    first = 0.5 - 0.5 / fineness  # centres of the first pixel and of its own first pixel, apart in pixels
    around = draw_surroundings(
        shape,
        spacing,
        what.thickness,
        patient,
        what.place,
        (nodule.centre - what.window[:2] + first) * what.spacing,
        nodule.radius * what.spacing,
        _wall_distance(what.place, extent * what.spacing, nodule.radius * what.spacing, draws.nodule),
        draws.slice,
        draws.nodule,
    )
    image = around.lung_hu + fraction * (hu - around.lung_hu)
    # vessels cross ground glass, not the lumen of a cavity
    vessel = around.vessel * (1 - fraction) if what.kind == "cavitary" else around.vessel
    image += vessel * (np.maximum(around.vessel_hu, image) - image)
    image += around.wall * (around.wall_hu - image)
    alpha = np.clip(fraction * (1 - around.wall), 0, 1)
    return Image(image, alpha.astype(np.float32))


def _wall_distance(place: Place, extent_mm: float, radius_mm: float, rng: np.random.Generator) -> float:
    """Centre to pleura: the wall cuts a little off a juxtapleural nodule and stays clear of the others."""
    if place.radius >= PLEURAL_PLACE:
        return extent_mm - rng.uniform(0.05, 0.3) * radius_mm
    return extent_mm + 2.5 + (PLEURAL_PLACE - place.radius) * rng.uniform(30, 55)
