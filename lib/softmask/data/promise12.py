"""PROMISE12: prostate segmentation in transversal T2-weighted MR.

G. Litjens et al., "Evaluation of prostate segmentation algorithms for MRI: the PROMISE12 challenge", Medical Image
Analysis 18(2), 2014. Fifty training cases in MetaImage format: ``CaseNN.mhd`` refers to ``CaseNN.raw`` (int16), and
``CaseNN_segmentation.mhd`` to its own ``.raw`` file (int8, 1 inside the prostate). The test cases of the challenge have
the same names; since 2023 they also have segmentations.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError, brief
from softmask.files import read_bytes, sha256_of

PERCENTILES = (1.0, 99.0)
MAX_VOXELS = 128 * 1024 * 1024
"""Largest number of voxels of a volume that is read; the largest volume of the challenge has 512 x 512 x 54."""

TEST = "test-"
"""Prefix of the patients of the challenge's test cases."""

_HEADER_BYTES = 64 * 1024
_REMEDY = "get the case again"
_TYPE_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_FLOAT"), 4),
    "MET_DOUBLE": 8,
}
_FIXED = {"NDims": "3", "CompressedData": "False", "HeaderSize": "0", "ElementNumberOfChannels": "1"}
"""Fields that have only one value in the original files; all except the first may be missing."""


class Promise12(Dataset):
    """Slices that show the prostate, of all cases ``CaseNN.mhd`` with a segmentation in ``folder`` or below.

    ``image`` is the slice with the 1st to 99th percentile of its whole volume stretched to [0, 1] and the rest
    clipped; one reader, always present. Any label other than 0 counts as prostate. ``index`` also has ``area`` (px).
    Cases with a segmentation in a folder with "test" in its name are different patients from the training cases of the
    same names: their ``patient`` begins with :data:`TEST`. Cases that cannot be used are listed in ``problems``.
    """

    def __init__(self, folder: str | Path, name: str = "promise12") -> None:
        super().__init__(name, folder)
        self._cases: dict[str, Path] = {}
        self._last: tuple[str, np.ndarray, np.ndarray, tuple[float, float]] | None = None
        rows = []
        for case, paths in self._case_files().items():
            try:
                if len(paths) > 1:
                    raise DataError(f"{paths[0]}: the same case is there again as {paths[1]}; keep one of them")
                areas = _areas(paths[0])
                self._cases[case] = paths[0]
                rows += [(case, "prostate", f"{z:03d}", 1, int(areas[z])) for z in np.flatnonzero(areas)]
            except DataError as error:
                self.add_problem(f"{self.name}/{case}", error)
        if not rows:
            raise self.none_usable("no usable case; expected CaseNN.mhd and .raw with CaseNN_segmentation.mhd and .raw")
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers", "area"])
        has_test_cases = self.index["patient"].str.startswith(TEST).any()
        self.origin = f"PROMISE12 training {'and test ' if has_test_cases else ''}cases (promise12)"

    def read(self, i: int) -> Sample:
        case, z = self.index.patient.iloc[i], int(self.index.slice.iloc[i])
        if self._last is None or self._last[0] != case:  # kept, because slices are read in order
            path = self._cases[case]
            volume, spacing = _voxels(path)
            mask = _voxels(_segmentation_of(path))[0] != 0
            self._last = case, normalise(volume, str(path)), mask, spacing
        _, image, mask, spacing = self._last
        return self.sample(i, image=image[z], readers=mask[z][None], present=np.ones(1, bool), spacing=spacing)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the headers and voxels of all cases, by case name and content."""
        parts: list[str | Path] = []
        for case, path in self._cases.items():
            mask = _segmentation_of(path)
            parts += [case, path, path.with_suffix(".raw"), mask, mask.with_suffix(".raw")]
        return sha256_of(*parts)

    def _case_files(self) -> dict[str, list[Path]]:
        cases: dict[str, list[Path]] = {}
        for path in sorted(self.path.rglob("Case*.mhd")):
            match = re.fullmatch(r"(Case\d+)(_segmentation)?", path.stem)
            if match is None:
                self.add_problem(path, "is neither CaseNN.mhd nor CaseNN_segmentation.mhd; left out")
            elif match[2] is None:
                # test cases without a segmentation are not used: a training case of the same name is preferred
                folders = path.relative_to(self.path).parts[:-1]
                is_test_case = any("test" in part.lower() for part in folders) and _segmentation_of(path).is_file()
                cases.setdefault(f"{TEST if is_test_case else ''}{path.stem}", []).append(path)
            elif not path.with_name(f"{match[1]}.mhd").exists():
                self.add_problem(path, "its image is not there; left out")
        for case, paths in cases.items():
            cases[case] = [path for path in paths if _segmentation_of(path).is_file()] or paths
        return dict(sorted(cases.items()))


def _areas(path: Path) -> np.ndarray:
    """Return the number of prostate pixels in each slice of a case, whose image and segmentation are checked."""
    segmentation = _segmentation_of(path)
    if not segmentation.is_file():
        raise DataError(
            f"{path}: {segmentation.name} is missing from the same folder; test cases without a mask are not used"
        )
    image_shape, mask_shape = read_header(path), read_header(segmentation)
    if image_shape != mask_shape:
        raise DataError(f"{segmentation}: a mask of size {mask_shape} on an image of size {image_shape}; {_REMEDY}")
    areas = np.count_nonzero(_voxels(segmentation)[0], axis=(1, 2))
    if not areas.any():
        raise DataError(f"{segmentation}: the segmentation is empty; {_REMEDY}")
    return areas


def _segmentation_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_segmentation.mhd")


def normalise(volume: np.ndarray, name: str) -> np.ndarray:
    """Clip ``volume`` to :data:`PERCENTILES` and scale to [0, 1]. Raises DataError if it is constant or not finite."""
    if not np.isfinite(volume).all():
        raise DataError(f"{name}: has NaN or infinite voxels; {_REMEDY}")
    low, high = np.percentile(volume, PERCENTILES)
    if not high > low:
        raise DataError(f"{name}: the image is constant ({low:g} from the 1st to the 99th percentile); {_REMEDY}")
    return np.clip((volume.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)


def read_header(path: Path) -> tuple[int, int, int]:
    """Return (slices, rows, columns) of a MetaImage header, checked before any library uses it. Raises DataError when
    it is not a 3D single-channel header as in the challenge, declares too many voxels, or its ``.raw`` file of the same
    name is missing, lies elsewhere, or has fewer or more voxels than declared."""
    data_file = path.with_suffix(".raw")
    text = read_bytes(path, _REMEDY, _HEADER_BYTES).decode("ascii", errors="replace")
    # MetaIO accepts "key = value" and "key: value"; if a key is given twice, it could use a different value than here
    lines = [re.split("[=:]", line, maxsplit=1) for line in text.splitlines() if re.search("[=:]", line)]
    fields = {key.strip(): value.strip() for key, value in lines}
    if len(fields) != len(lines) or "NDims" not in fields:
        raise DataError(f"{path}: is no MetaImage header, or gives a field twice; {_REMEDY}")
    for key, expected in {**_FIXED, "ElementDataFile": data_file.name}.items():
        value = fields.get(key, _FIXED.get(key, "missing"))
        if value != expected and (key == "ElementDataFile" or value.lower() != expected.lower()):
            raise DataError(f"{path}: {key} = {value} is refused, {expected} was expected; {_REMEDY}")
    element_type, sizes = fields.get("ElementType"), fields.get("DimSize", "")
    match = re.fullmatch(r"([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})", sizes)
    shape = tuple(int(size) for size in match.groups()[::-1]) if match else (0, 0, 0)
    if not 0 < math.prod(shape) <= MAX_VOXELS or element_type not in _TYPE_BYTES:
        raise DataError(
            f"{path}: DimSize = {sizes[:40]}, ElementType = {element_type} is refused; three sizes of 1 to "
            f"{MAX_VOXELS} voxels and one number a voxel are expected; {_REMEDY}"
        )
    if data_file.resolve().parent != path.parent.resolve() or not data_file.is_file():
        raise DataError(f"{data_file}: there is no such file beside {path.name}, or it leads elsewhere; {_REMEDY}")
    expected_size, size = math.prod(shape) * _TYPE_BYTES[element_type], data_file.stat().st_size
    if not expected_size <= size <= expected_size + _HEADER_BYTES:
        raise DataError(f"{data_file}: {size} bytes where {path.name} declares {expected_size}; {_REMEDY}")
    return shape


def _voxels(path: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """Return a (slices, rows, columns) array and (row, column) spacing in mm."""
    import SimpleITK

    shape = read_header(path)
    try:
        image = SimpleITK.ReadImage(str(path), imageIO="MetaImageIO")
    except RuntimeError as error:
        raise DataError(f"{path}: cannot be read as a MetaImage ({brief(error)}); {_REMEDY}") from error
    array = SimpleITK.GetArrayFromImage(image)
    spacing = float(image.GetSpacing()[1]), float(image.GetSpacing()[0])
    if array.shape != shape or not (np.isfinite(spacing).all() and min(spacing) > 0):
        raise DataError(
            f"{path}: was read with size {array.shape} and ElementSpacing {spacing}, which cannot be right; {_REMEDY}"
        )
    return array, spacing
