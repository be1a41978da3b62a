"""ISBI 2012 EM segmentation challenge: neuronal membranes in serial-section transmission electron microscopy.

A. Cardona et al., "An integrated micro- and macroarchitectural analysis of the Drosophila brain by computer-assisted
serial section electron microscopy", PLoS Biology 8(10), 2010. 30 labelled sections of 512 x 512 pixels, 4 x 4 nm.

The labels are 255 inside cells and 0 on membranes. Foreground is the cell interior: the papers' Dice of 0.959 together
with an accuracy of 0.927 (CasGAN, table 4) needs most pixels to be foreground, and membranes are 22 % of the pixels.
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
_REMEDY = "download this file again (`softmask data fetch isbi2012`)"


class Isbi2012(Dataset):
    """30 labelled sections, from ``train/image/<i>.png`` and ``train/label/<i>.png``, or else from the challenge's
    ``train-volume.tif`` and ``train-labels.tif`` in ``folder``.

    All sections come from one larva, so a split by patient is not possible here: each section counts as a patient.
    ``image`` is the stored grey level / 255; one reader, always present. A section without its image or its label is
    listed in ``problems``.
    """

    def __init__(self, folder: str | Path, name: str = "isbi2012") -> None:
        super().__init__(name, folder)
        self._stacks: dict[str, np.ndarray] = {}
        has_png = any(self.path.glob("train/image/*.png")) or any(self.path.glob("train/label/*.png"))
        if has_png or not (self.path / "train-volume.tif").is_file():
            self.origin = "ISBI 2012 training sections, PNG (isbi2012/train)"
            self._sections = self._png_sections()
        else:
            self.origin = "ISBI 2012 training volume, TIFF (isbi2012/train-volume.tif)"
            self._stacks = {half: read_grey_stack(self.path / file) for half, file in _VOLUMES.items()}
            images, labels = map(len, self._stacks.values())
            self._sections = list(range(min(images, labels)))
            if images != labels:
                why = f"train-volume.tif has {images} sections, train-labels.tif {labels}; the last ones are left out"
                self.add_problem(self.path, why)
        if not self._sections:
            raise self.none_usable(
                "no section has an image and a label; expected train/image/<i>.png with train/label/<i>.png, or "
                "train-volume.tif with train-labels.tif; `softmask data fetch isbi2012` gets them",
            )
        rows = [(f"section-{number:02d}", "cells", str(number), 1) for number in self._sections]
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers"])

    def read(self, i: int) -> Sample:
        (image, image_title), (label, title) = (self._read(half, self._sections[i]) for half in _VOLUMES)
        if label.shape != image.shape:
            raise DataError(f"{title}: a label of size {label.shape} on an image of size {image.shape}; {_REMEDY}")
        values = np.unique(label)
        if not np.isin(values, (0, CELL)).all() or CELL not in values:
            raise DataError(
                f"{title}: label values must be 0 (membrane) and 255 (cell), found {values[:8].tolist()}; {_REMEDY}"
            )
        if image.dtype != np.uint8:
            raise DataError(f"{image_title}: an 8-bit image was expected, not {image.dtype}; {_REMEDY}")
        return self.sample(
            i,
            image=image.astype(np.float32) / np.float32(255),
            readers=(label == CELL)[None],
            present=np.ones(1, bool),
            spacing=SPACING_MM,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the files used, by name and content."""
        if self._stacks:
            return sha256_of(*(self.path / file for file in _VOLUMES.values()))
        parts: list[str | Path] = []
        for number in self._sections:
            parts += [str(number), self._png("image", number), self._png("label", number)]
        return sha256_of(*parts)

    def _png(self, half: str, number: int) -> Path:
        return self.path / "train" / half / f"{number}.png"

    def _read(self, half: str, number: int) -> tuple[np.ndarray, str]:
        """Return one half of a section (image or label), and its name in messages."""
        if self._stacks:
            return self._stacks[half][number], f"{self.path / _VOLUMES[half]}, section {number}"
        path = self._png(half, number)
        return read_grey(path), str(path)

    def _png_sections(self) -> list[int]:
        halves: dict[str, set[int]] = {"image": set(), "label": set()}
        for half, numbers in halves.items():
            for path in sorted((self.path / "train" / half).glob("*.png")):
                if path.stem.isascii() and path.stem.isdigit() and path.stem == str(int(path.stem)):
                    numbers.add(int(path.stem))
                else:
                    self.add_problem(path, "its name is not the number of a section (0.png, 1.png, ...); left out")
        for half, other in (("image", "label"), ("label", "image")):
            for number in sorted(halves[half] - halves[other]):
                self.add_problem(self._png(half, number), f"has no {other} {self._png(other, number)}; left out")
        return sorted(halves["image"] & halves["label"])
