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
from collections.abc import Sequence
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


class LidcSlices(Dataset):
    """Slices of a ``LIDC-IDRI-slices`` folder or zip archive, read where they lie.

    A slice is a sample when its image and its four masks are there, the masks can be read and fit one another, and at
    least one reader marked it. Damaged and incomplete slices go to ``problems``. Faults of the published set go to
    ``left_out``: nodules whose masks are not the annotation database's contours
    (:func:`softmask.data.lidc_join.fault_of`), nodules that a flags file ``LIDC-IDRI-slices.flags.csv`` beside the
    folder names, if there is one, and slices that no reader marked. A nodule unknown to the database is kept, without
    spacing and ratings, and counted in ``origin``. A constant image is kept as it is.

    The first opening reads all masks and compares them (seconds); the result is kept under the cache folder.

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
        cache_key = sha256_of(str(path), self._files.stamp, self._database.fingerprint, code_digest("data"))
        content = cached_arrays("lidc-slices", cache_key, lambda: _look_through(self._files, self._database))
        keys = [tuple(key) for key in content["keys"].tolist()]
        faults = {tuple(nodule): why for *nodule, why in content["faults"].tolist()}
        self.problems = [Problem(*problem) for problem in content["problems"].tolist()]
        nodules = {key[:2] for key in keys}
        wrong = {nodule: [f"{why}: the published set is wrong here"] for nodule, why in faults.items()}
        for nodule in nodules & flags.keys():
            wrong.setdefault(nodule, []).append(f"{flags_path.name}: {flags[nodule]}")
        for nodule in sorted(wrong):
            self.left_out.append(Problem(f"{name}/{'/'.join(nodule)}", "; ".join(wrong[nodule])))
        right = np.array([key[:2] not in wrong for key in keys], bool)
        unmarked = np.flatnonzero(right & (content["readers"] == 0))
        for row in unmarked:
            self.left_out.append(Problem(f"{name}/{'/'.join(keys[row])}", "no reader marked this slice"))
        rows = np.flatnonzero(right & (content["readers"] > 0))
        if not len(rows):
            raise self.none_usable(
                self._files.path,
                "no usable slice in it; expected <patient>/nodule-<n>/images/slice-<k>.png with mask-0 to mask-3 "
                "beside images; `softmask data fetch lidc` gets the whole set",
            )
        self._keys = [keys[row] for row in rows]
        annotated = [self._database.find(patient, nodule) for patient, nodule, _ in self._keys]
        self.index = index_frame(
            self._keys,
            content["readers"][rows],
            content["areas"][rows],
            np.array([nodule.spacing_mm if nodule else np.nan for nodule in annotated]),
            annotated,
            content["long_axes"][rows],
        )
        self._top = str(content["top"])
        flagged = f"{len(wrong) - len(faults)} more nodules that {flags_path.name} names, " if flags else ""
        unknown = sum(self._database.find(*nodule) is None for nodule in nodules - wrong.keys())
        kept = f"; {unknown} nodules unknown to the annotation database are kept unchecked" if unknown else ""
        self.origin = (
            f"{self._files.path.name} (left out: {len(faults)} nodules whose masks are not the annotated contours, "
            f"{flagged}{len(unmarked)} slices that no reader marked{kept})"
        )
        self.fingerprint = sha256_of(str(content["fingerprint"]), self._database.fingerprint, repr(sorted(wrong)))

    def read(self, i: int) -> Sample:
        image = _read_8bit(self._files, _member(self._top, self._keys[i], "images"))
        readers, present = self.read_masks(i)
        if image.shape != readers.shape[1:]:
            title = self._files.title(_member(self._top, self._keys[i], "images"))
            raise DataError(
                f"{title}: an image of size {image.shape} with masks of size {readers.shape[1:]}; get these files again"
            )
        nodule = self._database.find(*self._keys[i][:2])
        return self.sample(
            i,
            image=image.astype(np.float32) / np.float32(255),
            readers=readers,
            present=present,
            spacing=(nodule.spacing_mm, nodule.spacing_mm) if nodule else None,
            ratings=ratings_of(nodule, present) if nodule else {},
            kind=self.index.kind.iloc[i] or None,
        )

    def read_masks(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return _read_masks(self._files, self._top, self._keys[i])


def index_frame(
    keys: list[tuple[str, str, str]],
    n_readers: np.ndarray,
    area: np.ndarray,
    spacing_mm: np.ndarray,
    nodules: Sequence[annotations.Nodule | None] = (),
    long_axis: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the index of a LIDC data set, real or embedded: one row per slice.

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
    area = np.asarray(area, float)
    spacing = np.asarray(spacing_mm, float)
    diameter = 2 * np.sqrt(area / np.pi) * spacing
    annotated = nodules or [None] * len(keys)
    kind = kinds_of_rows(annotated, diameter)
    merged = np.array([nodule is not None and nodule.merged for nodule in annotated], bool)
    axis = np.full(len(keys), np.nan) if long_axis is None else np.asarray(long_axis, float)
    columns = (*zip(*keys, strict=True), np.asarray(n_readers, int), area, spacing, diameter, kind, merged, axis)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def area_of(readers: np.ndarray, present: np.ndarray) -> float:
    """Return the pixels of the 50 % consensus where all four readers are present, else the present readers' mean area.

    Args:
        readers: (4, H, W) bool.
        present: (4,) bool.
    """
    if present.all():
        return float((2 * readers.sum(axis=0) >= len(readers)).sum())
    return float(readers.sum() / max(present.sum(), 1))


def ratings_of(nodule: annotations.Nodule, present: np.ndarray) -> dict[str, np.ndarray]:
    """Return an (R,) float array of each LIDC rating, NaN for a reader who is not present."""
    ratings = {}
    for name in annotations.RATINGS:
        values = np.full(len(present), np.nan)
        for place, reading in enumerate(nodule.readers):
            if present[place] and reading.ratings[name] is not None:
                values[place] = reading.ratings[name]
        ratings[name] = values
    return ratings


def read_flags(path: Path) -> dict[tuple[str, str], str]:
    """Read the nodules known to be wrong, (patient, nodule) -> flag, from a csv file of three columns; {} without it.

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


def _look_through(files: FileStore, database: annotations.Annotations) -> dict[str, np.ndarray]:
    """Columns over the slices whose masks can be used; (patient, nodule, why) of faults, (where, why) of problems."""
    parts: dict[tuple[str, str, str], set[str]] = {}
    known, strange, tops = [], [], set()
    for name in files.names:
        match = _NAME.fullmatch(name)
        if match:
            known.append(name)
            tops.add(match["top"])
            parts.setdefault((match["patient"], match["nodule"], match["slice"]), set()).add(match["part"])
        elif name.endswith(".png"):
            strange.append(name)
    problems: list[tuple[str, str]] = []
    if strange:
        why = f"{len(strange)} PNG files with names that are not of this data set are ignored, such as {strange[0]!r}"
        problems.append((str(files.path), why))
    if len(tops) > 1:
        raise DataError(f"{files.path}: patients lie both at the top and in LIDC-IDRI-slices/; keep one of the two")
    top = tops.pop() if tops else ""
    rows: list[tuple[tuple[str, str, str], int, float, float]] = []
    faults: list[tuple[str, str, str]] = []
    missing: dict[str, list[str]] = {}
    for nodule, slices in groupby(sorted(parts, key=_natural), key=lambda key: key[:2]):
        published = []
        for key in slices:
            absent = [_member(top, key, part) for part in _PARTS if part not in parts[key]]
            if absent:
                missing.setdefault("/".join(nodule), []).extend(absent)
                continue
            try:
                masks, present = _read_masks(files, top, key)
            except DataError as error:
                problems.append(("/".join(key), str(error)))
                continue
            axis = axes.long_axis(masks[present.argmax()]) if present.any() else np.nan
            rows.append((key, present.sum(), area_of(masks, present), axis))
            published.append(masks)
        annotated = database.find(*nodule)
        fault = fault_of(published, annotated) if annotated else None
        if fault:
            faults.append((*nodule, fault))
    for nodule, members in missing.items():
        more = f" and {len(members) - 1} more files of this nodule" if len(members) > 1 else ""
        problems.append((nodule, f"missing: {files.title(members[0])}{more}; these slices are left out"))
    return {
        "top": np.array(top),
        "keys": np.array([row[0] for row in rows], str).reshape(-1, 3),
        "readers": np.array([row[1] for row in rows], int),
        "areas": np.array([row[2] for row in rows], float),
        "long_axes": np.array([row[3] for row in rows], float),
        "faults": np.array(faults, str).reshape(-1, 3),
        "problems": np.array(problems, str).reshape(-1, 2),
        "fingerprint": np.array(files.fingerprint(known, top)),
    }


def _member(top: str, key: tuple[str, str, str], part: str) -> str:
    patient, nodule, place = key
    return f"{top}{patient}/{nodule}/{part}/{place}.png"


def _read_8bit(files: FileStore, name: str) -> np.ndarray:
    array = read_grey(files.read(name), files.title(name))
    if array.dtype != np.uint8:
        raise DataError(f"{files.title(name)}: an 8-bit image was expected, not {array.dtype}; get this file again")
    return array


def _read_masks(files: FileStore, top: str, key: tuple[str, str, str]) -> tuple[np.ndarray, np.ndarray]:
    """(4, H, W) bool masks and (4,) who marked something, of masks with values {0, 255} and one size."""
    names = [_member(top, key, part) for part in _PARTS[1:]]
    masks = [_read_8bit(files, name) for name in names]
    for mask, name in zip(masks, names, strict=True):
        if mask.shape != masks[0].shape:
            raise DataError(f"{files.title(name)}: a mask of size {mask.shape} beside one of size {masks[0].shape}")
        if not ((mask == 0) | (mask == 255)).all():
            raise DataError(f"{files.title(name)}: mask values must be 0 and 255, found {np.unique(mask)[:8].tolist()}")
    readers = np.stack(masks) > 0
    return readers, readers.any(axis=(1, 2))


def _natural(key: tuple[str, str, str]) -> tuple[str, int, int]:
    return key[0], int(key[1].rpartition("-")[2]), int(key[2].rpartition("-")[2])
