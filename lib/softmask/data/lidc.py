"""LIDC-IDRI-slices: nodules of LIDC-IDRI as 128 x 128 PNG slices with four reader masks each.

Armato et al., "The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI)", Medical
Physics 38(2), 2011. Layout: ``<patient>/nodule-<n>/{images,mask-0,...,mask-3}/slice-<k>.png``, images scaled from their
own minimum to their own maximum (grey levels are not Hounsfield units and differ between slices), masks {0, 255}.

``nodule-<n>`` is the n-th nodule of the scan in the annotation database's clustering and ``mask-<k>`` its k-th reading,
which joins the slices with spacing and ratings (:mod:`softmask.data.annotations`), and tells which nodules were
published wrong (:mod:`softmask.data.lidc_join`).
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

import softmask.data.annotations as annotations
import softmask.data.axes as axes
from softmask.cache import cached_arrays, code_digest
from softmask.data.file_store import FileStore, open_store
from softmask.data.image_files import read_grey
from softmask.data.kinds import kinds_of_rows
from softmask.data.lidc_join import fault_of
from softmask.data.sample import Dataset, Problem, Sample
from softmask.errors import DataError
from softmask.files import read_text, sha256_of

COLUMNS = (
    *("patient", "nodule", "slice", "n_readers", "area"),
    *("spacing_mm", "diameter_mm", "kind", "merged", "long_axis"),
)
"""Columns of the index, here and in the embedded data: see :func:`index_frame`."""

_NAME = re.compile(
    r"(?P<top>(?:LIDC-IDRI-slices/)?)(?P<patient>LIDC-IDRI-[0-9]{4})/(?P<nodule>nodule-[0-9]{1,9})/"
    r"(?P<part>images|mask-[0-3])/(?P<slice>slice-[0-9]{1,9})\.png"
)
_PARTS = ("images", "mask-0", "mask-1", "mask-2", "mask-3")
_FILE = "<file>"  # stands for the title of a file in what is cached: the same content may lie elsewhere tomorrow


class LidcSlices(Dataset):
    """The slices of a ``LIDC-IDRI-slices`` folder or zip archive, read where they lie.

    A slice is a sample when its image and its four masks are there, the masks can be read and fit one another, and at
    least one reader marked it. What is damaged or incomplete goes to ``problems``; nodules whose masks are not the
    annotation database's contours (:func:`softmask.data.lidc_join.fault_of`), nodules that a flags file
    ``LIDC-IDRI-slices.flags.csv`` beside the folder names, if there is one, and slices that no reader marked, go to
    ``left_out``, for they are faults of the published set and not of the copy at hand. A nodule that the database does
    not know is kept, without spacing and ratings: nothing speaks against its masks, and nothing could; ``origin`` says
    how many there are. A constant image is kept as it is.

    The first opening reads all masks and compares them (seconds); what it finds is kept under the cache folder.

    Args:
        path: folder or zip archive.
        name: ``lidc`` or ``lnsm``.

    Raises:
        MissingData: when there is nothing at ``path``.
        DataError: when no slice can be used, the archive is damaged, or the flags file is not a table.
    """

    source = "real"

    def __init__(self, path: str | Path, name: str = "lidc") -> None:
        super().__init__()
        self.name = name
        self._files = open_store(path)
        self._database = annotations.load()
        flags_path = self._files.path.with_name("LIDC-IDRI-slices.flags.csv")
        flags = read_flags(flags_path)
        content = _content(self._files, self._database)
        self.problems = [told.problem(self._files) for told in content.problems]
        nodules = {key[:2] for key in content.keys}
        wrong = {nodule: [f"{why}: the published set is wrong here"] for nodule, why in content.faults.items()}
        for nodule in nodules & flags.keys():
            wrong.setdefault(nodule, []).append(f"{flags_path.name}: {flags[nodule]}")
        for nodule in sorted(wrong):
            self.left_out.append(Problem(f"{name}/{'/'.join(nodule)}", "; ".join(wrong[nodule])))
        rows = np.array([key[:2] not in wrong for key in content.keys], bool)
        unmarked = np.flatnonzero(rows & (content.readers == 0))
        for row in unmarked:
            self.left_out.append(Problem(f"{name}/{'/'.join(content.keys[row])}", "no reader marked this slice"))
        rows &= content.readers > 0
        if not rows.any():
            raise DataError(
                f"{self._files.path}: no usable slice in it; expected <patient>/nodule-<n>/images/slice-<k>.png with "
                f"mask-0 to mask-3 beside images. {self._first_problem()}`softmask data fetch lidc` gets the whole set"
            )
        keys = [key for key, keep in zip(content.keys, rows, strict=True) if keep]
        annotated = [self._database.find(patient, nodule) for patient, nodule, _ in keys]
        spacing = np.array([nodule.spacing_mm if nodule else np.nan for nodule in annotated])
        self.index = index_frame(
            keys, content.readers[rows], content.areas[rows], spacing, annotated, content.long_axes[rows]
        )
        self._top = content.top
        self.origin = f"{self._files.path.name} (left out: {len(content.faults)} nodules whose masks are not the "
        self.origin += "annotated contours, "
        if flags:
            self.origin += f"{len(wrong) - len(content.faults)} more nodules that {flags_path.name} names, "
        self.origin += f"{len(unmarked)} slices that no reader marked"
        unknown = sum(self._database.find(*nodule) is None for nodule in nodules - wrong.keys())
        self.origin += f"; {unknown} nodules unknown to the annotation database are kept unchecked)" if unknown else ")"
        self.fingerprint = sha256_of(content.fingerprint, self._database.fingerprint, repr(sorted(wrong)))

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        image = self._grey(i, "images")
        readers, present = self.read_masks(i)
        if image.shape != readers.shape[1:]:
            title = self._files.title(self._member(i, "images"))
            raise DataError(
                f"{title}: an image of size {image.shape} with masks of size {readers.shape[1:]}; get these files again"
            )
        nodule = self._database.find(row.patient, row.nodule)
        return Sample(
            dataset=self.name,
            source=self.source,
            patient=row.patient,
            nodule=row.nodule,
            slice=row.slice,
            image=image.astype(np.float32) / np.float32(255),
            readers=readers,
            present=present,
            spacing=(nodule.spacing_mm, nodule.spacing_mm) if nodule else None,
            ratings=ratings_of(nodule, present) if nodule else {},
            kind=row.kind or None,
        )

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        masks = [self._grey(i, part) for part in _PARTS[1:]]
        return _checked_masks(masks, [self._files.title(self._member(i, part)) for part in _PARTS[1:]])

    def _member(self, i: int, part: str) -> str:
        patient, nodule, place = self._keys[i]
        return f"{self._top}{patient}/{nodule}/{part}/{place}.png"

    @cached_property
    def _keys(self) -> list[tuple[str, str, str]]:
        return list(self.index[["patient", "nodule", "slice"]].itertuples(index=False, name=None))

    def _grey(self, i: int, part: str) -> np.ndarray:
        return _read_8bit(self._files, self._member(i, part))

    def _first_problem(self) -> str:
        problems = self.problems + self.left_out
        return f"First of {len(problems)} problems: {problems[0].why}. " if problems else ""


def index_frame(
    keys: list[tuple[str, str, str]],
    n_readers: np.ndarray,
    area: np.ndarray,
    spacing_mm: np.ndarray,
    nodules: Sequence[annotations.Nodule | None] = (),
    long_axis: np.ndarray | None = None,
) -> pd.DataFrame:
    """The index of a LIDC data set, real or embedded: one row per slice.

    Args:
        keys: (patient, nodule, slice) of each row.
        n_readers: (N,) how many readers marked the slice.
        area: (N,) pixels: of the 50 % consensus (:func:`area_of`) where four readers marked it, else the readers' mean.
        spacing_mm: (N,) pixel size in mm, NaN where unknown.
        nodules: the annotated nodule of each row, None where there is none.
        long_axis: (N,) pixels: of the first present reader's mask (:func:`softmask.data.axes.long_axis`); NaN where
            not given.

    Returns:
        A frame with :data:`COLUMNS`; ``diameter_mm`` is the diameter of the disc of that area, ``kind`` the nodule's
        (:func:`softmask.data.kinds.kind_of`, by the largest of its rows), empty without an annotated nodule;
        ``merged`` (bool) is True where the clustering put readings of several nodules together
        (:attr:`softmask.data.annotations.Nodule.merged`), False without an annotated nodule.
    """
    patient, nodule, place = zip(*keys, strict=True)
    area = np.asarray(area, float)
    spacing = np.asarray(spacing_mm, float)
    diameter = 2 * np.sqrt(area / np.pi) * spacing
    annotated = nodules or [None] * len(keys)
    kind = kinds_of_rows(annotated, diameter)
    merged = np.array([one is not None and one.merged for one in annotated], bool)
    axis = np.full(len(keys), np.nan) if long_axis is None else np.asarray(long_axis, float)
    columns = (patient, nodule, place, np.asarray(n_readers, int), area, spacing, diameter, kind, merged, axis)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def area_of(readers: np.ndarray, present: np.ndarray) -> float:
    """Pixels of the 50 % consensus where all four readers are present, else the present readers' mean area.

    Args:
        readers: (4, H, W) bool.
        present: (4,) bool.
    """
    if present.all():
        return float((2 * readers.sum(axis=0) >= len(readers)).sum())
    return float(readers.sum() / max(present.sum(), 1))


def ratings_of(nodule: annotations.Nodule, present: np.ndarray) -> dict[str, np.ndarray]:
    """(R,) float array of each LIDC rating, NaN for a reader who is not present."""
    ratings = {}
    for name in annotations.RATINGS:
        values = np.full(len(present), np.nan)
        for place, reading in enumerate(nodule.readers):
            if present[place] and reading.ratings[name] is not None:
                values[place] = reading.ratings[name]
        ratings[name] = values
    return ratings


def read_flags(path: Path) -> dict[tuple[str, str], str]:
    """Nodules known to be wrong, (patient, nodule) -> flag, from a csv file with these three columns; {} without it.

    Raises:
        DataError: when the file is there and is not such a table.
    """
    if not os.path.lexists(path):  # a link that leads nowhere is a file that is lost
        return {}
    remedy = "expected the columns patient, nodule and flag: get the file again, or remove it and do without"
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, remedy)), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: not a readable csv table ({error}); {remedy}") from error
    if not rows or rows[0] != ["patient", "nodule", "flag"]:
        raise DataError(f"{path}: its first line is {','.join(rows[0]) if rows else 'missing'!r}; {remedy}")
    flags = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != 3 or not re.fullmatch(r"LIDC-IDRI-\d{4}", row[0]) or not re.fullmatch(r"nodule-\d+", row[1]):
            raise DataError(f"{path}: line {number} is {','.join(row)!r}; {remedy}")
        flags[row[0], row[1]] = row[2]
    return flags


@dataclass(frozen=True)
class _Told:
    """A problem of the content, whichever copy of it is at hand.

    Attributes:
        where: slice or nodule; empty for the whole folder or archive.
        member: the file that ``why`` is about, by its name in the store; empty where it is about none.
        why: with :data:`_FILE` where the file's title belongs.
    """

    where: str
    member: str
    why: str

    @classmethod
    def of(cls, files: FileStore, where: str, why: str, members: Iterable[str]) -> _Told:
        """From a message that calls one of ``members`` by its title."""
        member = next((name for name in members if files.title(name) in why), "")
        return cls(where, member, why.replace(files.title(member), _FILE) if member else why)

    def problem(self, files: FileStore) -> Problem:
        why = self.why.replace(_FILE, files.title(self.member)) if self.member else self.why
        return Problem(self.where or str(files.path), why)


@dataclass(frozen=True)
class _Content:
    """What the files hold: one row per slice whose masks can be used.

    ``faults`` has the nodules whose masks are not the annotated contours, (patient, nodule) -> why.
    """

    top: str
    keys: list[tuple[str, str, str]]
    readers: np.ndarray
    areas: np.ndarray
    long_axes: np.ndarray
    faults: dict[tuple[str, str], str]
    problems: list[_Told]
    fingerprint: str


def _content(files: FileStore, database: annotations.Annotations) -> _Content:
    """From the cache when the same files and database were looked through before, else by reading every mask."""

    def build() -> dict[str, np.ndarray]:
        content = _look_through(files, database)
        return {
            "top": np.array(content.top),
            "keys": np.array(content.keys, str),
            "readers": content.readers,
            "areas": content.areas,
            "long_axes": content.long_axes,
            "faults": np.array([(*nodule, why) for nodule, why in content.faults.items()], str),
            "problems": np.array([(told.where, told.member, told.why) for told in content.problems], str),
            "fingerprint": np.array(content.fingerprint),
        }

    key = sha256_of(files.stamp, database.fingerprint, code_digest("data"))
    stored = cached_arrays("lidc-slices", key, build)
    return _Content(
        str(stored["top"]),
        [tuple(key) for key in stored["keys"].reshape(-1, 3).tolist()],
        stored["readers"],
        stored["areas"],
        stored["long_axes"],
        {(patient, nodule): why for patient, nodule, why in stored["faults"].reshape(-1, 3).tolist()},
        [_Told(*told) for told in stored["problems"].reshape(-1, 3).tolist()],
        str(stored["fingerprint"]),
    )


def _look_through(files: FileStore, database: annotations.Annotations) -> _Content:
    slices: dict[tuple[str, str, str], set[str]] = {}
    known, strange, tops = [], [], set()
    for name in files.names:
        match = _NAME.fullmatch(name)
        if match:
            known.append(name)
            tops.add(match["top"])
            slices.setdefault((match["patient"], match["nodule"], match["slice"]), set()).add(match["part"])
        elif name.endswith(".png"):
            strange.append(name)
    problems = []
    if strange:
        why = f"{len(strange)} PNG files with names that are not of this data set are ignored, such as {strange[0]!r}"
        problems.append(_Told("", "", why))
    if len(tops) > 1:
        raise DataError(f"{files.path}: patients lie both at the top and in LIDC-IDRI-slices/; keep one of the two")
    top = tops.pop() if tops else ""
    keys, readers, areas, long_axes, faults = [], [], [], [], {}
    lacking: dict[str, list[str]] = {}
    for nodule, its_slices in groupby(sorted(slices, key=_natural), key=lambda key: key[:2]):
        published = []
        for key in its_slices:
            names = {part: f"{top}{key[0]}/{key[1]}/{part}/{key[2]}.png" for part in _PARTS}
            absent = [names[part] for part in _PARTS if part not in slices[key]]
            if absent:
                lacking.setdefault("/".join(nodule), []).extend(absent)
                continue
            try:
                masks = [_read_8bit(files, names[part]) for part in _PARTS[1:]]
                mask, present = _checked_masks(masks, [files.title(names[part]) for part in _PARTS[1:]])
            except DataError as error:
                problems.append(_Told.of(files, "/".join(key), str(error), names.values()))
                continue
            keys.append(key)
            readers.append(present.sum())
            areas.append(area_of(mask, present))
            long_axes.append(axes.long_axis(mask[present.argmax()]) if present.any() else np.nan)
            published.append(mask)
        annotated = database.find(*nodule)
        fault = fault_of(published, annotated) if annotated else None
        if fault:
            faults[nodule] = fault
    for nodule, files_lacking in lacking.items():
        more = f" and {len(files_lacking) - 1} more files of this nodule" if len(files_lacking) > 1 else ""
        problems.append(_Told(nodule, files_lacking[0], f"missing: {_FILE}{more}; these slices are left out"))
    fingerprint = files.fingerprint(known, top)
    columns = np.array(readers, int), np.array(areas, float), np.array(long_axes, float)
    return _Content(top, keys, *columns, faults, problems, fingerprint)


def _read_8bit(files: FileStore, name: str) -> np.ndarray:
    array = read_grey(files.read(name), files.title(name))
    if array.dtype != np.uint8:
        raise DataError(f"{files.title(name)}: an 8-bit image was expected, not {array.dtype}; get this file again")
    return array


def _checked_masks(masks: list[np.ndarray], titles: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(4, H, W) bool masks and (4,) who marked something, of masks with values {0, 255} and one size."""
    for mask, title in zip(masks, titles, strict=True):
        if mask.shape != masks[0].shape:
            raise DataError(f"{title}: a mask of size {mask.shape} beside one of size {masks[0].shape}")
        if not ((mask == 0) | (mask == 255)).all():
            raise DataError(f"{title}: mask values must be 0 and 255, found {np.unique(mask)[:8].tolist()}")
    readers = np.stack(masks) > 0
    return readers, readers.any(axis=(1, 2))


def _natural(key: tuple[str, str, str]) -> tuple[str, int, int]:
    return key[0], int(key[1].rpartition("-")[2]), int(key[2].rpartition("-")[2])
