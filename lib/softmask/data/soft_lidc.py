"""Soft-LIDC: slices of LIDC nodules with four readers' masks and soft masks, in a folder of plain files.

``softmask data export soft-lidc`` writes the folder (:mod:`softmask.apply.soft_lidc`), which can be used without this
package: a PNG of each slice in each of :data:`FOLDERS`, :data:`TABLE` with a row for each slice, and a datasheet.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from softmask.data.image_files import read_grey
from softmask.data.sample import WORDS, Dataset, Sample
from softmask.errors import DataError, brief
from softmask.files import read_bytes, sha256_of

NAME = "soft-lidc"
TABLE, SUMS, TRUE = "slices.csv", "SHA256SUMS", "soft-true"
READERS = (1, 2, 3, 4)
PRIORS: Mapping[str, str] = {
    "mask": "the consensus",
    "readers": "the masks of all readers",
    "recist": "the RECIST axes",
}
"""Labelling strategies, and the annotation that each starts from."""

_BINARY = "8 bit, 255 is lesion, 0 is not"
FOLDERS: Mapping[str, str] = {
    "image": "CT slice; 8 bit",
    **{f"reader-{k}": f"mask of reader {k}; {_BINARY}; all 0 where the reader did not mark the slice" for k in READERS},
    "consensus": f"pixels that at least half of the readers marked, of those who marked the slice; {_BINARY}",
    **{
        f"trimap-{name}": f"trimap from {prior}; 8 bit, 255 lesion, 128 unknown, 0 not"
        for name, prior in PRIORS.items()
    },
    **{f"soft-{name}": f"soft mask (alpha) from {prior}; 16 bit, 65535 is 1" for name, prior in PRIORS.items()},
    TRUE: "true lesion fraction of each pixel; 16 bit, 65535 is 1",
}
"""Content of the PNG files in each folder; :data:`TRUE` exists for simulated images only."""

AXES = tuple(f"{axis}_{side}_{end}" for axis in ("long", "short") for end in (1, 2) for side in ("row", "column"))
COLUMNS: Mapping[str, tuple[str, str]] = {
    "name": ("Text", "name of the slice's files, without .png"),
    "patient": ("Text", "patient of LIDC-IDRI"),
    "nodule": ("Text", "nodule of the patient"),
    "slice": ("Text", "slice of the nodule, or its position"),
    "split": ("Text", "train, validation or test; the same for all slices of a patient"),
    "source": ("Text", "real or simulated image"),
    "rows": ("Integer", "height of the image in pixels"),
    "columns": ("Integer", "width of the image in pixels"),
    "row_mm": ("Float", "distance between rows in mm; empty where unknown"),
    "column_mm": ("Float", "distance between columns in mm; empty where unknown"),
    "n_readers": ("Integer", "number of readers who marked the slice"),
    **{f"reader_{k}": ("Integer", f"1 where reader {k} marked the slice, else 0") for k in READERS},
    "merged": ("Integer", "1 where the masks may be of several nodules that lie close together, else 0"),
    **{name: ("Float", f"RECIST, {name.replace('_', ' ')}; pixels, 0 is the centre of the first") for name in AXES},
    "dice_readers": ("Float", "agreement: mean Dice over the pairs of readers who marked the slice; empty for one"),
    "area_consensus": ("Integer", "pixels of the consensus"),
    **{f"area_{name}": ("Float", f"sum of soft-{name} in pixels; empty where there is none") for name in PRIORS},
    "area_true": ("Float", f"sum of {TRUE} in pixels"),
}
"""Type and meaning of the columns of :data:`TABLE`; ``area_true`` exists for simulated images only."""

_TEXT = {name: str for name, (kind, _) in COLUMNS.items() if kind == "Text"}
_REMEDY = "get the folder again, or export it again"


def split_of(patient: str) -> str:
    """Return the patient's part, from a digest of the name: of ten about 7 ``train``, 1 ``validation``, 2 ``test``."""
    digit = int(sha256_of(NAME, patient)[:8], 16) % 10
    return "validation" if digit == 0 else "test" if digit < 3 else "train"


class SoftLidc(Dataset):
    """Exported folder; each file is compared with its checksum when it is read. Samples have ``soft`` and, for
    simulated images, ``alpha``, in steps of 1/65535; ``index`` is the table with ``area_consensus`` as ``area``."""

    def __init__(self, folder: str | Path, name: str = NAME) -> None:
        super().__init__(name, folder)
        sums = read_bytes(self.path / SUMS, _REMEDY)
        lines = [line.partition("  ") for line in sums.decode(errors="replace").splitlines()]
        self._digests = {file: digest for digest, _, file in lines}
        self.fingerprint = sha256_of(sums)
        try:
            table = pd.read_csv(io.BytesIO(self._bytes(TABLE)), dtype=_TEXT)
        except ValueError as error:
            raise DataError(f"{self.path / TABLE}: is no table ({brief(error)}); {_REMEDY}") from error
        simulated = (self.path / TRUE).is_dir()
        columns = [name for name in COLUMNS if simulated or name != "area_true"]
        if list(table) != columns or table.empty or set(table["source"]) != {"simulated" if simulated else "real"}:
            raise DataError(f"{self.path / TABLE}: does not fit what lies beside it; {_REMEDY}")
        self.source = "embedded" if simulated else "real"
        self.index = table.rename(columns={"area_consensus": "area"})
        self.origin = f"{NAME}, {WORDS[self.source]} images, {len(table)} slices, as exported"

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        soft = {name: self._png(f"soft-{name}", i, np.uint16) for name in PRIORS if pd.notna(row[f"area_{name}"])}
        return self.sample(
            i,
            image=self._png("image", i, np.uint8),
            readers=np.stack([self._png(f"reader-{k}", i, np.uint8) > 0 for k in READERS]),
            present=np.array([row[f"reader_{k}"] == 1 for k in READERS]),
            spacing=None if pd.isna(row["row_mm"]) else (float(row["row_mm"]), float(row["column_mm"])),
            recist=row[list(AXES)].to_numpy(float).reshape(2, 2, 2),
            alpha=self._png(TRUE, i, np.uint16) if self.source == "embedded" else None,
            soft=soft,
        )

    def _png(self, folder: str, i: int, depth: type) -> np.ndarray:
        """Return the slice's image in ``folder`` (H, W) float32, scaled so that the largest possible value is 1."""
        row, path = self.index.iloc[i], f"{folder}/{self.index['name'].iloc[i]}.png"
        image = read_grey(self._bytes(path), str(self.path / path))
        if (*image.shape, image.dtype) != (row["rows"], row["columns"], depth):
            raise DataError(f"{self.path / path}: {image.dtype} of {image.shape} is not what {TABLE} says; {_REMEDY}")
        return image.astype(np.float32) / np.float32(np.iinfo(depth).max)

    def _bytes(self, file: str) -> bytes:
        content = read_bytes(self.path / file, _REMEDY)
        if hashlib.sha256(content).hexdigest() != self._digests.get(file):
            raise DataError(f"{self.path / file}: is not the file that {SUMS} lists; {_REMEDY}")
        return content
