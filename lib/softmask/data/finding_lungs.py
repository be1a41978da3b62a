"""Finding and Measuring Lungs in CT Data: one axial chest CT slice of each of 267 scans, with a mask of both lungs.

K. S. Mader's collection on Kaggle (``kmader/finding-lungs-in-ct-data``), 512 x 512 pixels: signed 16-bit TIFF images
``2d_images/ID_0001_Z_0146.tif``, and masks of the same name in ``2d_masks``, 255 (in some copies 1) inside the lungs.
Vessels within the lungs belong to the masks, the large airways do not.

The grey levels look like Hounsfield units but are not calibrated: air outside the body lies near -800, soft tissue near
+30, and the area around the circular field of view at about -1800 or -2600. :func:`nominal_hu` brings every slice to
one scale.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d, label, uniform_filter
from scipy.signal import find_peaks

from softmask.data.image_files import FileStore, read_grey, window_hu
from softmask.data.sample import Dataset, Problem, Sample
from softmask.errors import DataError
from softmask.files import AGAIN, sha256_of

AIR, TISSUE = -1000.0, 40.0
"""Nominal Hounsfield units of air outside the body and of soft tissue."""

WRONG_MASKS = {
    "ID_0052": "its mask includes the air outside the body",
    "ID_0079": "its mask leaves out one of the two lungs",
    "ID_0134": "its mask includes the air outside the body",
    "ID_0254": "its mask includes the air outside the body",
}
"""Scans that are not used because their published mask is wrong, and the reasons."""

_PADDING = -1200  # stored levels below this are outside the field of view
_SPLIT = -400  # between air and tissue
_AIR_RANGE = (-1100, -600)
_TISSUE_RANGE = (-25, 125)  # above fat, below contrast medium and bone
_BIN, _SMOOTH = 5, 2  # width of the histogram's bins, and of the Gaussian over them in bins
_WINDOW = 5  # side in pixels of the window over which the noise is averaged
_FEWEST = 0.002  # smallest share of the image that must be air, and that must be tissue
# one slice of the set lies in test_data in the repository that `softmask data fetch` reads
_NAME = re.compile(
    r"(?!__MACOSX)(?:[^./\\][^/\\]*/)*(?:2d_|test_data/)(?P<half>image|mask)s?/"
    r"(?P<patient>ID_[0-9]{4})_(?P<slice>Z_[0-9]{4})\.tiff?"
)
_MISNAMED = re.compile(r"(?!.*__MACOSX).*2d_(?:image|mask)s/[^/.][^/]*\.tiff?")


class FindingLungs(Dataset):
    """One slice of each scan; ``patient`` is the scan, such as ``ID_0001``, and the only reader marks both lungs.

    ``hu`` is :func:`nominal_hu`, and ``image`` its lung window; the pixel size is unknown. ``path`` is a folder with
    ``2d_images`` and ``2d_masks``, or a zip archive of it, which is read without unpacking. ``left_out`` has the scans
    of :data:`WRONG_MASKS`; ``problems`` the files that cannot be used or have no counterpart.
    """

    def __init__(self, path: str | Path, name: str = "lungs-2d") -> None:
        super().__init__(name, path)
        self._store = FileStore(self.path)
        pairs = self._find_pairs()
        if not pairs:
            raise self.none_usable(
                "no slice has an image and a mask; expected 2d_images/ID_0001_Z_0146.tif with "
                "2d_masks/ID_0001_Z_0146.tif; `softmask data fetch lungs` gets them",
            )
        rows = [(patient, "lungs", slice_id, 1) for patient, slice_id in pairs]
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers"])
        self._pairs = list(pairs.values())
        self.origin = f"{self._store.path.name}: {len(pairs)} CT slices in nominal HU"

    def read(self, i: int) -> Sample:
        image, _ = self._pairs[i]
        readers, present = self.read_masks(i)
        name = self._store.title(image)
        stored = read_grey(self._store.read(image), name, signed=True)
        if stored.shape != readers.shape[1:]:
            raise DataError(f"{name}: an image of size {stored.shape} with a mask of size {readers.shape[1:]}; {AGAIN}")
        hu = nominal_hu(stored, name)
        return self.sample(i, image=window_hu(hu), readers=readers, present=present, hu=hu)

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        _, mask = self._pairs[i]
        name = self._store.title(mask)
        values = read_grey(self._store.read(mask), name)
        levels = np.unique(values)
        if levels[-1] not in (1, 255) or levels[:-1].any():
            raise DataError(f"{name}: mask values must be 0 and 255, or 0 and 1, not {levels[:8].tolist()}; {AGAIN}")
        return (values > 0)[None], np.ones(1, bool)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the files used, by name and content; equal for a folder and its archive."""
        return sha256_of(self._store.fingerprint([name for pair in self._pairs for name in pair]))

    def _find_pairs(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return the names of image and mask by (patient, slice), in the order of scans."""
        slices: dict[tuple[str, str], dict[str, str]] = {}  # names by half, image or mask
        for name in self._store.names:
            if match := _NAME.fullmatch(name):
                first_name = slices.setdefault((match["patient"], match["slice"]), {}).setdefault(match["half"], name)
                if first_name != name:
                    why = f"the same slice is there as {self._store.title(first_name)}; remove one of them"
                    self.add_problem(self._store.title(name), why)
            elif _MISNAMED.fullmatch(name):
                self.add_problem(self._store.title(name), "its name is not like ID_0001_Z_0146.tif; rename the file")
        pairs = {}
        for key, names in sorted(slices.items()):
            if key[0] in WRONG_MASKS:
                self.left_out.append(Problem(f"{self.name}/{key[0]}", WRONG_MASKS[key[0]]))
            elif len(names) == 2:
                pairs[key] = names["image"], names["mask"]
            else:
                half, name = names.popitem()
                other = "mask" if half == "image" else "image"
                self.add_problem(self._store.title(name), f"has no {other}; {AGAIN}, and its {other}")
        return pairs


def nominal_hu(stored: np.ndarray, name: str) -> np.ndarray:
    """Return grey levels on a linear scale where air outside the body is -1000 and soft tissue +40: "nominal HU".

    Both levels are measured after the noise has been averaged over 5 x 5 pixels. Air is the dark region connected with
    the border of the field of view; its level is the darkest peak of its histogram that is at least half as high as the
    highest peak, so that table and clothes do not count. The level of soft tissue is the median of the values between
    fat and contrast medium. Pixels outside the field of view become air.

    Args:
        stored: (H, W) integers, roughly Hounsfield units; ``name`` is the name of the image in messages.

    Returns:
        (H, W) float32, not clipped.

    Raises:
        DataError: when the values are not those of a CT slice with air around the body.
    """
    in_field = stored >= _PADDING
    share = uniform_filter(in_field.astype(np.float64), _WINDOW)
    mean = uniform_filter(np.where(in_field, stored, 0).astype(np.float64), _WINDOW) / np.maximum(share, 1e-6)
    full_window = in_field & (share > 1 - 1e-6)

    regions, _ = label((mean < _SPLIT) | ~in_field)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    outside_body = np.isin(regions, border[border > 0]) & full_window
    counts, edges = np.histogram(mean[outside_body], np.arange(_AIR_RANGE[0], _AIR_RANGE[1] + _BIN, _BIN))
    soft_values = mean[full_window & (mean > _TISSUE_RANGE[0]) & (mean < _TISSUE_RANGE[1])]
    for part, count, (low, high) in (
        ("air around the body", counts.sum(), _AIR_RANGE),
        ("soft tissue", len(soft_values), _TISSUE_RANGE),
    ):
        if count < _FEWEST * stored.size:
            raise DataError(
                f"{name}: is no chest CT slice in about Hounsfield units: of its values, {stored.min()} to "
                f"{stored.max()}, too few are {part} ({low} to {high}); {AGAIN}"
            )
    heights = gaussian_filter1d(counts.astype(np.float64), _SMOOTH, mode="constant")
    peaks, _ = find_peaks(np.pad(heights, 1), height=heights.max() / 2)  # padded: a peak may lie at the range's end
    air, tissue = float(edges[peaks[0] - 1] + _BIN / 2), float(np.median(soft_values))
    hu = AIR + (stored - air) * ((TISSUE - AIR) / (tissue - air))
    return np.where(stored < _PADDING, AIR, hu).astype(np.float32)
