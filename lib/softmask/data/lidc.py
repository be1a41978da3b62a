"""LIDC-IDRI-slices: nodules of LIDC-IDRI as 128 x 128 PNG slices with four reader masks each.

Armato et al., "The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI)", Medical
Physics 38(2), 2011. Layout: ``<patient>/nodule-<n>/{images,mask-0,...,mask-3}/slice-<k>.png``, images scaled from their
own minimum to their own maximum (grey levels are not Hounsfield units and differ between slices), masks {0, 255}.

``nodule-<n>`` is the n-th nodule of the scan in the annotation database's clustering and ``mask-<k>`` its k-th reading.
A correct mask is exactly the filled contour of its reader. In about one of forty published nodules some masks are
wrong: slices of a mask stand at its end, are drawn into other slices, or belong to the nodule of the same number in an
earlier scan. Such files are not damaged: only a comparison with the contours shows the error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import combinations, groupby
from pathlib import Path

import numpy as np
import pandas as pd

import softmask.data.annotations as annotations
from softmask.cache import cached_arrays, code_digest
from softmask.data.image_files import FileStore, read_grey
from softmask.data.kinds import kind_of_nodule
from softmask.data.outlines import long_axis
from softmask.data.sample import Dataset, Problem, Sample
from softmask.errors import DataError
from softmask.files import AGAIN, read_text, sha256_of

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
    """Slices of a ``LIDC-IDRI-slices`` folder or zip archive, read in place.

    A slice is a sample if its image file is there, its four masks can be read and have one size, and at least one
    reader marked it. Damaged and incomplete slices are listed in ``problems``. Faults of the published set are listed
    in ``left_out``: nodules whose masks are not the contours of the annotation database (:func:`describe_mask_errors`)
    or that are named in a file ``LIDC-IDRI-slices.flags.csv`` beside the folder, and slices that no reader marked. A
    nodule unknown to the database is kept, without spacing and ratings. The comparison of all masks is cached.
    """

    def __init__(self, path: str | Path, name: str = "lidc") -> None:
        super().__init__(name, path)
        self._files = FileStore(self.path)
        self._database = annotations.load()
        flags_path = self._files.path.with_name("LIDC-IDRI-slices.flags.csv")
        flags = read_flags(flags_path)
        cache_key = sha256_of(str(path), self._files.stamp, self._database.fingerprint, code_digest("data"))
        content = cached_arrays("lidc-slices", cache_key, lambda: _index_files(self._files, self._database))
        keys = [tuple(key) for key in content["keys"].tolist()]
        faults = {tuple(nodule): why for *nodule, why in content["faults"].tolist()}
        self.problems = [Problem(*problem) for problem in content["problems"].tolist()]
        nodules = {key[:2] for key in keys}
        errors = {nodule: [f"{why}: the published set is wrong here"] for nodule, why in faults.items()}
        for nodule in nodules & flags.keys():
            errors.setdefault(nodule, []).append(f"{flags_path.name}: {flags[nodule]}")
        is_correct = np.array([key[:2] not in errors for key in keys], bool)
        unmarked = np.flatnonzero(is_correct & (content["readers"] == 0))
        self.left_out = [Problem(f"{name}/{'/'.join(nodule)}", "; ".join(errors[nodule])) for nodule in sorted(errors)]
        self.left_out += [Problem(f"{name}/{'/'.join(keys[row])}", "no reader marked this slice") for row in unmarked]
        rows = np.flatnonzero(is_correct & (content["readers"] > 0))
        if not len(rows):
            raise self.none_usable(
                "no usable slice; expected images/slice-<k>.png with mask-0 to mask-3 beside images, as "
                "`softmask data fetch lidc` gets them",
            )
        self._top = str(content["top"])
        self._keys = [keys[row] for row in rows]
        row_nodules = [self._database.find(patient, nodule) for patient, nodule, _ in self._keys]
        spacing = np.array([nodule.spacing_mm if nodule else np.nan for nodule in row_nodules])
        n_readers, areas, long_axes = (content[column][rows] for column in ("readers", "areas", "long_axes"))
        self.index = index_frame(self._keys, n_readers, areas, spacing, row_nodules, long_axes)
        flag_note = f"{len(errors) - len(faults)} more nodules that {flags_path.name} names, " if flags else ""
        n_unknown = sum(self._database.find(*nodule) is None for nodule in nodules - errors.keys())
        note = f"; {n_unknown} nodules unknown to the annotation database are kept unchecked" if n_unknown else ""
        self.origin = (
            f"{self._files.path.name} (left out: {len(faults)} nodules whose masks are not the annotated contours, "
            f"{flag_note}{len(unmarked)} slices that no reader marked{note})"
        )
        self.fingerprint = sha256_of(str(content["fingerprint"]), self._database.fingerprint, repr(sorted(errors)))

    def read(self, i: int) -> Sample:
        member = _member(self._top, self._keys[i], "images")
        image = _read_8bit(self._files, member)
        readers, present = self.read_masks(i)
        if image.shape != readers.shape[1:]:
            raise DataError(
                f"{self._files.title(member)}: an image of size {image.shape} with masks of size {readers.shape[1:]}; "
                f"{AGAIN}"
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
    n_readers: Sequence[int],
    area: Sequence[float],
    spacing_mm: Sequence[float],
    nodules: Sequence[annotations.Nodule | None] = (),
    long_axis: Sequence[float] | float = np.nan,
) -> pd.DataFrame:
    """Return the index of a LIDC data set, real or embedded: one row per slice.

    Args:
        keys: (patient, nodule, slice) of each row.
        n_readers: (N,) number of readers who marked the slice.
        area, long_axis: (N,) area by :func:`area_of`, and long axis of the first present reader's mask, in pixels.
        spacing_mm: (N,) pixel size in mm, NaN where unknown.
        nodules: annotated nodule of each row, None where there is none.

    Returns:
        Table with :data:`COLUMNS`; ``diameter_mm`` is the diameter of a disc of that area, ``kind`` the kind of the
        nodule, by its largest diameter; ``merged`` (bool) is :attr:`softmask.data.annotations.Nodule.merged`.
    """
    nodules = nodules or [None] * len(keys)
    area = np.asarray(area, float)
    diameter = 2 * np.sqrt(area / np.pi) * spacing_mm
    largest_diameters = pd.Series(diameter).groupby(np.array(nodules, object), sort=False).max()  # omits None
    kinds = {nodule: kind_of_nodule(nodule, diameter_mm) for nodule, diameter_mm in largest_diameters.items()}
    kind = [kinds.get(nodule, "") for nodule in nodules]
    merged = np.array([nodule is not None and nodule.merged for nodule in nodules], bool)
    columns = (*zip(*keys, strict=True), np.array(n_readers, int), area, spacing_mm, diameter, kind, merged, long_axis)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def area_of(readers: np.ndarray, present: np.ndarray) -> float:
    """Return the area in pixels of the 50 % consensus of ``readers`` (4, H, W) if all are ``present`` (4,), otherwise
    the mean area of the present readers' masks."""
    if present.all():
        return float((2 * readers.sum(axis=0) >= len(readers)).sum())
    return float(readers.sum() / max(present.sum(), 1))


def ratings_of(nodule: annotations.Nodule, present: np.ndarray) -> dict[str, np.ndarray]:
    """Return an (R,) float array of each LIDC rating, NaN for a reader who is not present."""
    ratings = {name: np.full(len(present), np.nan) for name in annotations.RATINGS}
    for reader, reading in enumerate(nodule.readers):
        for name, value in reading.ratings.items():
            if present[reader] and value is not None:
                ratings[name][reader] = value
    return ratings


def read_flags(path: Path) -> dict[tuple[str, str], str]:
    """Read the nodules known to be wrong, (patient, nodule) -> flag, from a csv file of three columns; {} if there is
    no file. Raises DataError when the file is not such a table."""
    if not os.path.lexists(path):  # a broken link counts as a file, and raises below
        return {}
    remedy = "expected the columns patient, nodule and flag: get the file again, or remove it and do without"
    heading, *lines = read_text(path, remedy).splitlines() or [""]
    if heading != "patient,nodule,flag":
        raise DataError(f"{path}: its heading is {heading[:80]!r}; {remedy}")
    flags = {}
    for number, line in enumerate(lines, 2):
        match = re.fullmatch(r"(LIDC-IDRI-\d{4}),(nodule-\d+),([^,]*)", line)
        if line and not match:
            raise DataError(f"{path}: line {number} is {line[:80]!r}; {remedy}")
        if match:
            flags[match[1], match[2]] = match[3]
    return flags


def _index_files(files: FileStore, database: annotations.Annotations) -> dict[str, np.ndarray]:
    """Return columns of the slices whose masks can be used, faults (patient, nodule, why) and problems (where, why)."""
    parts: dict[tuple[str, str, str], set[str]] = {}
    problems: list[tuple[str, str]] = []
    names, strange, tops = [], [], set()
    for name in files.names:
        match = _NAME.fullmatch(name)
        if match:
            parts.setdefault((match["patient"], match["nodule"], match["slice"]), set()).add(match["part"])
            names.append(name)
            tops.add(match["top"])
        elif name.endswith(".png"):
            strange.append(name)
    if strange:
        why = f"{len(strange)} PNG files with names that are not of this data set are ignored, such as {strange[0]!r}"
        problems.append((str(files.path), why))
    if len(tops) > 1:
        raise DataError(f"{files.path}: patients lie both at the top and in LIDC-IDRI-slices/; keep one of the two")
    top = tops.pop() if tops else ""
    rows: list[tuple[tuple[str, str, str], int, float, float]] = []
    faults: list[tuple[str, str, str]] = []
    missing_by_nodule: dict[str, list[str]] = {}
    ordered_keys = sorted(parts, key=lambda key: (key[0], *(int(name.rpartition("-")[2]) for name in key[1:])))
    for nodule, slices in groupby(ordered_keys, key=lambda key: key[:2]):
        published_masks = []
        for key in slices:
            if absent_members := [_member(top, key, part) for part in _PARTS if part not in parts[key]]:
                missing_by_nodule.setdefault("/".join(nodule), []).extend(absent_members)
                continue
            try:
                masks, present = _read_masks(files, top, key)
            except DataError as error:
                problems.append(("/".join(key), str(error)))
                continue
            axis_length = long_axis(masks[present.argmax()]) if present.any() else np.nan
            rows.append((key, present.sum(), area_of(masks, present), axis_length))
            published_masks.append(masks)
        annotated_nodule = database.find(*nodule)
        if annotated_nodule and (fault := describe_mask_errors(published_masks, annotated_nodule)):
            faults.append((*nodule, fault))
    for name, members in missing_by_nodule.items():
        more_text = f" and {len(members) - 1} more files of this nodule" if len(members) > 1 else ""
        problems.append((name, f"missing: {files.title(members[0])}{more_text}; these slices are left out"))
    return {
        "top": np.array(top),
        "keys": np.array([row[0] for row in rows], str).reshape(-1, 3),
        "readers": np.array([row[1] for row in rows], int),
        "areas": np.array([row[2] for row in rows], float),
        "long_axes": np.array([row[3] for row in rows], float),
        "faults": np.array(faults, str).reshape(-1, 3),
        "problems": np.array(problems, str).reshape(-1, 2),
        "fingerprint": np.array(files.fingerprint(names, top)),
    }


def _member(top: str, key: tuple[str, str, str], part: str) -> str:
    patient, nodule, slice_id = key
    return f"{top}{patient}/{nodule}/{part}/{slice_id}.png"


def _read_8bit(files: FileStore, name: str) -> np.ndarray:
    array = read_grey(files.read(name), files.title(name))
    if array.dtype != np.uint8:
        raise DataError(f"{files.title(name)}: an 8-bit image was expected, not {array.dtype}; {AGAIN}")
    return array


def _read_masks(files: FileStore, top: str, key: tuple[str, str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (4, H, W) bool masks, and (4,) bool, who marked the slice. Raises DataError for values other than 0 and
    255, and for different sizes."""
    names = [_member(top, key, part) for part in _PARTS[1:]]
    masks = [_read_8bit(files, name) for name in names]
    for mask, name in zip(masks, names, strict=True):
        if mask.shape != masks[0].shape or not ((mask == 0) | (mask == 255)).all():
            raise DataError(
                f"{files.title(name)}: a mask of size {mask.shape} with the values {np.unique(mask)[:8].tolist()}; "
                f"size {masks[0].shape}, and 0 and 255 are expected"
            )
    readers = np.stack(masks) > 0
    return readers, readers.any(axis=(1, 2))


def describe_mask_errors(published: Sequence[np.ndarray], nodule: annotations.Nodule) -> str | None:
    """Return a description of the error in a nodule's published masks, None if they match its contours.

    Only the masks' common bounding box is compared, because the position of the crop in the image is not published.
    Two differences are not errors: a reader whose masks are all empty although the database has that reader's contours,
    and slices in the database that are not published. Published slices must be in the order of the database.

    Args:
        published: (4, H, W) bool masks of the nodule, by ascending slice number. Slices that no reader marked are
            ignored, here and in the database.
        nodule: nodule of the same name in the database.
    """
    readers = [k for k in range(annotations.READERS) if any(masks[k].any() for masks in published)]
    top, left, bottom, right = nodule.box()
    window = (top, left, bottom - top + 1, right - left + 1)
    contour_masks = [nodule.masks(z, window)[0] for z in nodule.slices()]
    # the wrong masks are the fewest without which the remaining masks agree; an empty rest always agrees
    for count in range(len(readers) + 1):
        for wrong_readers in combinations(readers, count):
            trusted = [k for k in readers if k not in wrong_readers]
            expected = iter(_outlines(contour_masks, trusted))
            if all(outline in expected for outline in _outlines(published, trusted)):  # `in` consumes all before it
                return "; ".join(f"mask-{k} is not reader {k + 1}'s contours" for k in wrong_readers) or None
    raise AssertionError("the last choice leaves nothing that could disagree")


def _outlines(slices: Sequence[np.ndarray], places: list[int]) -> list[tuple[tuple[int, ...], bytes]]:
    """Return the masks of some readers in each slice that one of these readers marked, cut to their common bounding
    box, in a form that can be compared."""
    outlines = []
    for masks in slices:
        masks = masks[places]
        marked_pixels = masks.any(axis=0)
        rows, columns = np.flatnonzero(marked_pixels.any(axis=1)), np.flatnonzero(marked_pixels.any(axis=0))
        if len(rows):
            masks = masks[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            outlines.append((masks.shape, masks.tobytes()))
    return outlines
