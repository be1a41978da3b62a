"""ISBI 2012 EM segmentation challenge: neuronal membranes in serial-section transmission electron microscopy.

A. Cardona et al., "An integrated micro- and macroarchitectural analysis of the Drosophila brain by computer-assisted
serial section electron microscopy", PLoS Biology 8(10), 2010. 30 labelled sections of 512 x 512 pixels, 4 x 4 nm.

The labels are 255 inside cells and 0 on membranes. Foreground is the cell interior: the papers' Dice of 0.959 together
with an accuracy of 0.927 (CasGAN, table 4) needs a foreground of most of the pixels, and membranes are 22 % of them.
The challenge's test sections have no public labels and are not part of the data set.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from softmask.data.image_files import read_grey, read_grey_stack
from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError
from softmask.files import sha256_of

SPACING_MM = (4e-6, 4e-6)
CELL = 255

_VOLUMES = {"image": "train-volume.tif", "label": "train-labels.tif"}

_REMEDY = "get this file again (`softmask data fetch isbi2012`)"


class Isbi2012(Dataset):
    """30 labelled sections, from ``train/image`` and ``train/label``, or from the challenge's TIFF volumes.

    All sections come from one larva, so a split by patient is not possible here: each section counts as a patient.
    ``image`` is the stored grey level / 255; one reader, always present.

    Args:
        folder: holds ``train/image/<i>.png`` and ``train/label/<i>.png``, or ``train-volume.tif`` and
            ``train-labels.tif``; the PNG files are taken where both are there.
        name: what messages call the data set.

    Raises:
        DataError: when no section has both an image and a label, or a TIFF volume cannot be read. A section that
            lacks one half is left out and listed in ``problems``.
    """

    source = "real"

    def __init__(self, folder: str | Path, name: str = "isbi2012") -> None:
        super().__init__()
        self.name = name
        self.folder = Path(folder)
        self._stacks: dict[str, np.ndarray] = {}
        png = any(True for half in ("image", "label") for _ in (self.folder / "train" / half).glob("*.png"))
        if png or not (self.folder / "train-volume.tif").is_file():
            self.origin = "ISBI 2012 training sections, PNG (isbi2012/train)"
            sections = self._png_sections()
        else:
            self.origin = "ISBI 2012 training volume, TIFF (isbi2012/train-volume.tif)"
            sections = self._tiff_sections()
        if not sections:
            raise self.none_usable(
                self.folder,
                "no section has an image and a label; expected train/image/<i>.png with train/label/<i>.png, or "
                "train-volume.tif with train-labels.tif; `softmask data fetch isbi2012` gets them",
            )
        self.index = pd.DataFrame(
            {
                "patient": [f"section-{number:02d}" for number in sections],
                "nodule": "cells",
                "slice": [str(number) for number in sections],
                "n_readers": 1,
            }
        )
        self._sections = sections

    def read(self, i: int) -> Sample:
        number = self._sections[i]
        image, label = self._read("image", number), self._read("label", number)
        where = self._title("label", number)
        if label.shape != image.shape:
            raise DataError(f"{where}: a label of size {label.shape} on an image of size {image.shape}; {_REMEDY}")
        values = np.unique(label)
        if not np.isin(values, (0, CELL)).all():
            raise DataError(
                f"{where}: label values must be 0 (membrane) and 255 (cell), found {values[:8].tolist()}; {_REMEDY}"
            )
        mask = label == CELL
        if not mask.any():
            raise DataError(f"{where}: the label is empty, there is no cell (255) in it; {_REMEDY}")
        if image.dtype != np.uint8:
            raise DataError(
                f"{self._title('image', number)}: an 8-bit image was expected, not {image.dtype}; {_REMEDY}"
            )
        return self.sample(
            i,
            image=image.astype(np.float32) / np.float32(255),
            readers=mask[None],
            present=np.ones(1, bool),
            spacing=SPACING_MM,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the files used, by name and content."""
        if self._stacks:
            return sha256_of(*(self.folder / name for name in _VOLUMES.values()))
        parts: list[str | Path] = []
        for number in self._sections:
            parts += [str(number), self._png("image", number), self._png("label", number)]
        return sha256_of(*parts)

    def _png(self, half: str, number: int) -> Path:
        return self.folder / "train" / half / f"{number}.png"

    def _title(self, half: str, number: int) -> str:
        return f"{self.folder / _VOLUMES[half]}, section {number}" if self._stacks else str(self._png(half, number))

    def _read(self, half: str, number: int) -> np.ndarray:
        return self._stacks[half][number] if self._stacks else read_grey(self._png(half, number))

    def _png_sections(self) -> list[int]:
        halves = {half: self._numbers(self.folder / "train" / half) for half in ("image", "label")}
        for half, other in (("image", "label"), ("label", "image")):
            for number in sorted(halves[half] - halves[other]):
                self.add_problem(str(self._png(half, number)), f"has no {other} {self._png(other, number)}; left out")
        return sorted(halves["image"] & halves["label"])

    def _numbers(self, folder: Path) -> set[int]:
        numbers = set()
        for path in sorted(folder.glob("*.png")):
            if path.stem.isascii() and path.stem.isdigit() and path.stem == str(int(path.stem)):
                numbers.add(int(path.stem))
            else:
                self.add_problem(str(path), "its name is not the number of a section (0.png, 1.png, ...); left out")
        return numbers

    def _tiff_sections(self) -> list[int]:
        self._stacks = {half: read_grey_stack(self.folder / name) for half, name in _VOLUMES.items()}
        images, labels = self._stacks.values()
        pairs = min(len(images), len(labels))
        if len(images) != len(labels):
            self.add_problem(
                str(self.folder),
                f"train-volume.tif has {len(images)} sections, train-labels.tif {len(labels)}; "
                f"those after the first {pairs} are left out",
            )
        return list(range(pairs))
