"""Chest CT scans with lung masks: one folder for each scan, in which scan and mask are recognised by their content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import softmask.data.annotations as annotations
from softmask.cache import cached_arrays
from softmask.data.ct import Series, files_below, grid_of_series, one_series, read_volume, sort_files
from softmask.data.dicom import modality_of
from softmask.data.image_files import window_hu
from softmask.data.masks import MASKS_IN_DICOM, lung_mask, slice_at
from softmask.data.sample import Dataset, Problem, Sample
from softmask.data.structures import NoLung
from softmask.data.volume_files import Grid, grid_of_file, is_volume_file, read_turned
from softmask.errors import DataError
from softmask.files import sha256_of

CONTOUR, MORPH = "contour", "morph"
"""References: the mask supplied with the scan, or the mask of the classical pipeline if there is none."""

_MORPH_FILE = Path(__file__).parents[1] / "nets" / "morph.py"


@dataclass(frozen=True, eq=False)
class Scan:
    """Scan: its grid, its DICOM series (None for a scan in the file ``grid.path``), and the file of its mask."""

    patient: str
    grid: Grid
    series: Series | None
    mask: Path | None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the slices' SOPInstanceUIDs, which permanently identify images, or over the file's content."""
        return sha256_of(*(ct.uid for ct in self.series)) if self.series else sha256_of(self.grid.path)

    def lungs(self, hu: np.ndarray) -> np.ndarray:
        """Return the mask of both lungs (D, H, W) bool: from its file, or from the classical pipeline (cached)."""
        if self.mask:
            return lung_mask(self.grid, self.mask)

        def build() -> dict[str, np.ndarray]:
            from softmask.nets.morph import lungs  # here, because nets imports data

            return {"mask": np.packbits(lungs(hu, self.grid.spacing_mm))}

        packed_mask = cached_arrays("lungs-morph", sha256_of(self.fingerprint, _MORPH_FILE), build)["mask"]
        return np.unpackbits(packed_mask, count=hu.size).reshape(hu.shape).astype(bool)


class LungCt(Dataset):
    """All slices of all scans, from the feet up; ``image`` is the lung window of ``hu``, the reader marks both lungs.

    ``folder`` holds a folder for each scan, with a CT series in DICOM, or one ``.nrrd``, ``.nii`` or ``.nii.gz`` file
    with values below 0, and a mask. If there are several masks, an RTSTRUCT is preferred to a SEG, a SEG to a file with
    "lung" in its name, and such a file to any other file.

    A slice without lung is also a sample (``blank``). ``nodules`` is the 50 % consensus of the LIDC readers if the
    annotation database contains the series. ``index`` also has ``z_mm``, ``spacing`` (mm, of rows) and ``reference``:
    ``contour``, or ``morph`` (:func:`softmask.nets.morph.lungs`) if the scan has no mask. ``problems`` lists scans that
    cannot be used, ``left_out`` DICOM files whose structures are not lungs.
    """

    def __init__(self, folder: str | Path, name: str = "lung-ct") -> None:
        super().__init__(name, folder)
        scans = self._find_scans()
        if not scans:
            raise self.none_usable(
                "no usable scan; expected a folder for each, with a CT series in DICOM or one .nrrd or .nii.gz file"
            )
        self._last: tuple[Scan, np.ndarray, np.ndarray] | None = None
        self._places = [(scan, z) for scan in scans for z in range(scan.grid.shape[0])]
        columns = ["patient", "nodule", "slice", "n_readers", "z_mm", "spacing", "reference"]
        rows = []
        for scan, z in self._places:
            reference = CONTOUR if scan.mask else MORPH
            sizes = scan.grid.z_mm[z], scan.grid.spacing_mm[1]
            rows.append((scan.patient, "lungs", f"slice-{z:04d}", 1, *sizes, reference))
        self.index = pd.DataFrame(rows, columns=columns)
        n_outlined = sum(scan.mask is None for scan in scans)
        self.origin = f"{self.path.name}: {len(scans)} CT scans in HU"
        self.origin += f", {n_outlined} of them without lung contours, outlined by morph" if n_outlined else ""

    def read(self, i: int) -> Sample:
        scan, z = self._places[i]
        if self._last is None or self._last[0] is not scan:  # the last scan is kept: slices are read in order
            volume = read_volume(scan.grid.path, scan.series).hu
            self._last = scan, volume, scan.lungs(volume)
        _, volume, lungs = self._last
        hu = volume[z].astype(np.float32)
        return self.sample(
            i,
            image=window_hu(hu),
            readers=lungs[z][None],
            present=np.ones(1, bool),
            spacing=scan.grid.spacing_mm[1:],
            hu=hu,
            nodules=nodules_at(scan.grid, z),
            blank=True,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the scans and masks, the annotation database, and the code of ``morph``."""
        scans = dict.fromkeys(scan for scan, _ in self._places)
        parts: list[str | Path] = ["None", _MORPH_FILE]
        if any(scan.series for scan in scans):
            parts.append(annotations.load().fingerprint)
        for scan in scans:
            parts += [scan.patient, scan.fingerprint, scan.mask or MORPH]
        return sha256_of(*parts)

    def _find_scans(self) -> list[Scan]:
        folders = sorted(path for path in self.path.iterdir() if path.is_dir() and not path.name.startswith("."))
        scans: dict[str, Scan] = {}
        for folder in tqdm(folders, desc=f"{self.name}: headers", unit=" scans", disable=len(folders) < 10):
            try:
                scan = self._find_scan(folder)
                if scan.patient in scans:
                    used_path = scans[scan.patient].grid.path
                    raise DataError(f"{folder}: another scan of {scan.patient}, whose scan is {used_path}; keep one")
                scans[scan.patient] = scan
            except DataError as error:
                self.add_problem(f"{self.name}/{folder.name}", error)
        return [scans[patient] for patient in sorted(scans)]

    def _find_scan(self, folder: Path) -> Scan:
        all_series, other_files = sort_files(folder)
        files = [path for path in files_below(folder) if is_volume_file(path)]
        if all_series:
            series = one_series(folder, all_series)
            grid = grid_of_series(folder, series)
            patient = grid.patient if grid.patient != "unnamed" else folder.name
        else:
            images = [path for path in files if read_turned(path).min() < 0]
            if len(images) != 1:
                raise DataError(
                    f"{folder}: no CT series in DICOM, and {len(images)} files with Hounsfield units; one is expected"
                )
            series, grid, patient = None, grid_of_file(images[0]), folder.name
            files.remove(images[0])
        paths_by_rank: dict[int, list[Path]] = {}  # by rank, 0 is the best
        for path in other_files:
            modality = modality_of(path)
            if modality in MASKS_IN_DICOM:
                try:
                    lung_mask(grid, path, read=False)
                    paths_by_rank.setdefault(MASKS_IN_DICOM.index(modality), []).append(path)
                except NoLung as error:
                    self.left_out.append(Problem(f"{self.name}/{folder.name}", str(error)))
        for path in files:
            paths_by_rank.setdefault(2 if "lung" in path.name.lower() else 3, []).append(path)
        paths = paths_by_rank[min(paths_by_rank)] if paths_by_rank else [None]
        if len(paths) > 1:
            raise DataError(
                f"{folder}: holds {len(paths)} lung masks ({', '.join(path.name for path in paths)}); leave one of them"
            )
        if paths[0] in files:
            lung_mask(grid, paths[0], read=False)
        return Scan(patient, grid, series, paths[0])


def nodules_at(grid: Grid, z: int) -> np.ndarray | None:
    """Return the nodules in slice ``z``, (H, W) bool: for each nodule the 50 % consensus of the LIDC readers who marked
    it in that slice; None if the annotation database has no nodule of the series.
    """
    nodules = annotations.load().of_series(grid.series_uid) if grid.series_uid else []
    if not nodules:
        return None
    nodule_mask = np.zeros(grid.shape[1:], bool)
    for nodule in nodules:
        for position in nodule.slices():
            if slice_at(grid, position) == z:
                readers, present = nodule.masks(position, (0, 0, *grid.shape[1:]))
                nodule_mask |= present.any() & (2 * readers.sum(axis=0) >= present.sum())
    return nodule_mask
