"""Items: an image with its prior (mask, readers' masks or RECIST mark), read from a list; and masks by slice."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from softmask.apply.images import Image, Slice, stem_of
from softmask.data.dicom import Turn
from softmask.data.image_files import read_grey
from softmask.data.masks import doubt_patient, lesion_mask, slice_at
from softmask.data.sample import Problem
from softmask.data.volume_files import Grid, is_volume_file, orientation
from softmask.errors import ConfigError, DataError, LabelError, Remark, doubt
from softmask.files import read_text

ORDERS, UNITS = ("rc", "xy"), ("px", "mm")
"""Orders and units of the ends of RECIST axes."""

_COLUMNS = (
    "the ends of the RECIST axes as r0 c0 r1 c1 (long) r2 c2 r3 c3 (short) or x0 y0 ... y3, in pixels from 0, or in mm "
    "where units is mm; slice, of a volume; label, number or name of one of a mask's; name, of what is written. Paths "
    "are relative to the list"
)
COLUMNS_HELP = f"columns: image; mask, or readers (paths separated by ;), or {_COLUMNS}"
POINTS_HELP = f"columns: image; row and column of a point in the lesion (or x and y), or {_COLUMNS}"
"""Columns of a list for ``softmask label``, and for ``softmask segment``, as printed in help and messages."""

_ENDS = {order: tuple(f"{letter}{end}" for end in range(4) for letter in order) for order in ORDERS}
_POINTS = {"rc": ("row", "column"), "xy": ("x", "y")}
_PRIORS = ("mask", "readers", *_ENDS["rc"], *_ENDS["xy"], *_POINTS["rc"], *_POINTS["xy"])
_EXACTLY_ONE = "say what to start from, exactly one of mask, readers, point, RECIST ends and --report"
_LARGEST_LIST = 1 << 28  # bytes
_NAME = re.compile(r"[^\s./\\:*?\"<>|\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]{0,150}")


@dataclass(frozen=True)
class Mark:
    """RECIST mark: the ends of the long axis, then those of the short axis, in the given order; or a single point.

    Attributes:
        ends: (4, 2) or (1, 2) numbers. Pixels count from 0 at the centre of the first pixel. Millimetres are the x (to
            the patient's left) and y (to the back) of DICOM, as viewers that know the patient's axes show them.
        order: ``rc`` (row, column) or ``xy``; ends in mm are ``xy``.
        units: ``px`` or ``mm``.
        uid: SOPInstanceUID of the slice on which the mark was drawn; empty if unknown.
        z_mm: height of the slice in the frame of reference ``frame``, for a mark in mm that was drawn in 3D.
        stated_mm: lengths of the axes that a report states in addition to their ends; 0 if it states no length.
        report, patient: the report and its PatientID, which is empty if the report has none.
    """

    ends: tuple[tuple[float, float], ...]
    order: str = "rc"
    units: str = "px"
    uid: str = ""
    z_mm: float | None = None
    frame: str = ""
    stated_mm: tuple[float, ...] = ()
    report: Path | None = None
    patient: str = ""

    def __post_init__(self) -> None:
        if self.units not in UNITS:
            raise ConfigError(f"unknown units {self.units!r} of RECIST ends; choose from {', '.join(UNITS)}")
        if self.units == "mm" and self.order != "xy":
            raise ConfigError("places in mm are x and y of the patient: say --order xy (lists: columns x, y, x0, ...)")
        if not np.isfinite(self.ends).all():
            raise ConfigError(f"a RECIST mark is eight finite numbers, a point is two, not {self.ends}")

    @property
    def text(self) -> str:
        """Ends, order and units in one line."""
        return " ".join(f"{value:g}" for end in self.ends for value in end) + f" {self.order} {self.units}"

    @property
    def slice_text(self) -> str:
        """Slice that the mark itself names, in a few words; empty if it names no slice."""
        return "" if not self.uid and self.z_mm is None else f"{self.uid} {self.z_mm} {self.frame}"

    def pixels(self, image: Image, z: int) -> np.ndarray:
        """Return the ends, (N, 2) float64 (row, column), in pixels of slice ``z``. Ends from a report count stored
        pixels and are converted; for other marks in pixels, warn if the slice is stored turned.

        Raises:
            DataError: for a mark in mm on an image without positions in mm.
        """
        ends = np.array(self.ends, float)
        if self.order == "xy":
            ends = ends[:, ::-1]
        if self.units == "mm":
            if image.grid is None:
                raise DataError("RECIST ends in mm, but the image's file says nothing of mm; give them in pixels")
            ends = (ends - image.grid.origin[1::-1]) / image.grid.spacing_mm[1:]
        elif not self.uid:
            _doubt_turned(image, z)
        elif image.series is not None:
            ends = image.series[z].turn.to_turned(ends, image.shape)
        return ends

    def axes(self, image: Image, z: int) -> np.ndarray:
        """Return the axes, (2, 2, 2) float64 (axis, end, (row, column)) in pixels of slice ``z``, the long axis first.
        Warn if the axes look doubtful.

        Raises:
            DataError: as :meth:`pixels`.
            LabelError: as :func:`softmask.label.recist.validate`.
        """
        from softmask.label.recist import validate  # slow import of image libraries

        try:
            axes = validate(self.pixels(image, z).reshape(2, 2, 2), image.shape)
        except LabelError as error:
            hint = "; columns before rows must be said (--order xy; x0, y0, ... in lists), and so must mm (--units mm)"
            raise LabelError(f"{error}{hint if 'outside' in str(error) else ''}") from error
        _doubt_mark(self, axes, image.grid)
        return axes

    def slice_of(self, image: Image, z: int | None) -> int:
        """Return the slice that the mark names, else ``z``, else the only slice. Raises DataError if missing."""
        n = len(image.slices)
        if self.uid:
            if self.uid not in image.uids:
                raise DataError(f"the mark lies on SOPInstanceUID {self.uid}, not in {image.path}; get that series")
            return image.uids.index(self.uid)
        if self.z_mm is not None:
            if image.grid is None or self.frame != image.grid.frame_of_reference:
                raise DataError(f"the mark was drawn in frame of reference {self.frame}, not on {image.path}")
            z = slice_at(image.grid, self.z_mm)
            if z is None:
                low, high = image.grid.z_mm[[0, -1]]
                where = "between" if low <= self.z_mm <= high else "beside"
                raise DataError(f"the mark lies at z = {self.z_mm:g} mm, {where} the slices of {image.path}")
            return z
        if n > 1 and z is None:
            raise DataError(f"has {n} slices, 0 to {n - 1}; say which one the mark lies on (--slice, column slice)")
        return _checked_slice(z or 0, n)


def doubts(axes: np.ndarray, spacing: Sequence[float]) -> str:
    """Return a message if two axes (2, 2, 2) are more than 30 degrees from perpendicular, do not cross, or the short
    axis has no length; otherwise an empty string. Such marks are still labelled, because readers draw them by hand, but
    ends in a wrong order look the same. Angles are measured in the patient, by pixel ``spacing`` (row, column)."""
    axes = axes * spacing
    long, short = axes[0, 1] - axes[0, 0], axes[1, 1] - axes[1, 0]
    lengths = np.linalg.norm([long, short], axis=1)
    if not lengths[1]:
        return "both ends of the short axis are the same point: check the ends"
    angle = np.degrees(np.arccos(min(abs(long @ short) / lengths[0] / lengths[1], 1.0)))
    if angle < 60:
        return f"the axes meet at {angle:.0f} degrees, not at about 90: check the order of the ends"
    shares = np.linalg.solve(np.stack([long, -short], axis=1), axes[1, 0] - axes[0, 0])  # the crossing, on each axis
    if (np.abs(shares - 0.5) > 0.5 + max(spacing) / lengths).any():  # a gap of a pixel is allowed
        return "the axes do not cross: check the order of the ends"
    return ""


def _doubt_mark(mark: Mark, axes: np.ndarray, grid: Grid | None) -> None:
    """Warn of :func:`doubts` about a mark, of stated lengths that differ from those of its ``axes`` by more than a
    tenth and more than a pixel, and of a report of another patient."""
    spacing, stated_mm = grid.spacing_mm[1:] if grid else (1, 1), mark.stated_mm
    if grid and mark.report is not None:
        doubt_patient(grid, mark.patient, mark.report)
    if text := doubts(axes, spacing):
        doubt(text)
    if grid and len(stated_mm) == 2 and all(stated_mm):
        drawn_mm = np.sort(np.linalg.norm((axes[:, 1] - axes[:, 0]) * spacing, axis=1))
        if (np.abs(drawn_mm - np.sort(stated_mm)) > np.maximum(drawn_mm / 10, max(spacing))).any():
            stated, lengths = (" and ".join(f"{value:.1f}" for value in pair) for pair in (sorted(stated_mm), drawn_mm))
            text = f"the report states diameters of {stated} mm, but those drawn are {lengths} mm on this image"
            doubt(f"{text}: check its units and pixel size")


@dataclass(frozen=True)
class Item:
    """Image with either masks, or a mark, or slices that are segmented whole.

    Attributes:
        where: name of the item in messages.
        name: beginning of the result names.
        image: a PNG, TIFF or DICOM file, a NIfTI or nrrd volume, or a folder with one CT series.
        masks: one mask, or the masks of several readers: PNG, TIFF, DICOM SEG or RTSTRUCT, NIfTI or nrrd.
        slice: slice to label or segment, from 0 at the feet; None for all that a mask marks, or the only slice.
        label: number or name of the structure to use, for masks with several structures.
        planes: slices to segment whole.
    """

    where: str
    name: str
    image: Path
    masks: tuple[Path, ...] = ()
    mark: Mark | None = None
    slice: int | None = None
    label: str = ""
    planes: tuple[Slice, ...] = ()

    def __post_init__(self) -> None:
        if self.label and not self.masks:
            raise ConfigError(f"{self.where}: a label is one of a mask's; leave out --label (column label)")
        if bool(self.masks) + (self.mark is not None) + bool(self.planes) != 1:
            raise ConfigError(f"{self.where}: {_EXACTLY_ONE}")
        if not _NAME.fullmatch(self.name):
            excess = f", as it has {len(self.name)} characters, of 151 at most" if len(self.name) > 151 else ""
            fault = f"{self.name[:200]!r} cannot be the name of a file{excess}"
            raise ConfigError(f"{self.where}: {fault}; give another (--name, column name)")

    @property
    def kind(self) -> str:
        """``recist``, ``point``, ``mask``, ``readers`` or ``whole``."""
        if self.planes:
            return "whole"
        if self.mark is not None:
            return "recist" if len(self.mark.ends) == 4 else "point"
        return "mask" if len(self.masks) == 1 else "readers"


def read_list(path: Path, columns: str = COLUMNS_HELP) -> tuple[list[Item], list[Problem]]:
    """Return the items of a csv file, and its invalid lines. ``columns`` names the allowed columns in words.

    Raises:
        DataError: naming the file, if it cannot be read, is not csv in UTF-8, or has no line.
        ConfigError: for no column ``image``, an unknown or repeated column, or no column of a prior.
    """
    text = read_text(path, "check the name, and save the list as csv in UTF-8", _LARGEST_LIST)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    items, problems = [], []
    try:
        header = [cell.strip().lower() for cell in next(filter(_filled, rows), [])]
        unknown = set(header) - {"image", "name", "units", "slice", "label", *_PRIORS}
        if "image" not in header or unknown or len(set(header)) != len(header) or not set(_PRIORS) & set(header):
            names = ", ".join(repr(name[:40]) for name in header[:40]) or "none"
            separators = [sign for sign in (";", "\t") if any(sign in name for name in header)]
            extra = f"unknown are {', '.join(map(repr, sorted(unknown)))}; " if unknown and "image" in header else ""
            repeated_names = sorted({name for name in header if header.count(name) > 1})
            extra += f"{', '.join(map(repr, repeated_names))} stands there twice; " if repeated_names else ""
            remedy = f"{extra}{columns}"
            if separators:
                remedy = f"save it with commas between cells, not with {separators[0]!r}"
            raise ConfigError(f"{path}: its first line names the columns {names} (separated by commas); {remedy}")
        for row in rows:
            if not _filled(row):
                continue
            where = f"{path}, line {rows.line_num}"
            try:
                items.append(_item_of(path.parent, where, header, row))
            except (ConfigError, DataError) as error:
                problems.append(Problem(where, str(error).removeprefix(f"{where}: ")))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: is no csv ({error}); save the list as csv again") from error
    if not items and not problems:
        raise DataError(f"{path}: has no line below its header; {columns}")
    return items, problems


def _item_of(folder: Path, where: str, header: list[str], row: list[str]) -> Item:
    if len(row) != len(header):
        raise DataError(f"{len(row)} cells where {len(header)} were expected; put cells with commas into quotes")
    if any("\0" in cell for cell in row):
        raise DataError("has a NUL byte; save the list again")
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
    if "image" not in cells:
        raise DataError("names no image")

    def parse_number(name: str) -> float:
        try:
            return float(cells[name])
        except ValueError as error:
            raise DataError(f"{name} = {cells[name][:40]!r} is not a number, with a point") from error

    marks = [(order, names) for kinds in (_ENDS, _POINTS) for order, names in kinds.items() if {*names} & cells.keys()]
    if len(marks) + ("mask" in cells) + ("readers" in cells) != 1:
        raise ConfigError(_EXACTLY_ONE)
    if not marks and "units" in cells:
        raise DataError("has units and no mark")
    mark = None
    for order, names in marks:
        if missing := [name for name in names if name not in cells]:
            raise DataError(f"has a mark without {', '.join(missing)}")
        values = [parse_number(name) for name in names]
        mark = Mark(tuple(zip(values[::2], values[1::2], strict=True)), order, cells.get("units", "px"))
    image = folder / cells["image"]
    paths = [cells["mask"]] if "mask" in cells else cells.get("readers", "").split(";")
    masks = tuple(folder / path.strip() for path in paths if path.strip())
    z = parse_number("slice") if "slice" in cells else None
    if z is not None and not z.is_integer():  # tables with empty cells write 4 as 4.0
        raise DataError(f"slice = {cells['slice'][:40]!r} is not a whole number")
    z = None if z is None else int(z)
    return Item(where, cells.get("name") or stem_of(image), image, masks, mark, z, cells.get("label", ""))


def read_masks(item: Item, image: Image) -> dict[int, np.ndarray]:
    """Return masks (R, H, W) bool by slice, for all slices that any of the R masks marks, or the item's slice only. The
    mask of a reader who did not mark a slice is empty there. Warn of two masks that are identical or share no pixel,
    masks of more than half of the image, outlines, and slices where no pixel is marked by half of the readers."""
    reader_masks = [_read_mask(path, item, image) for path in item.masks]
    for (first, masks), (second, other_masks) in combinations(zip(item.masks, reader_masks, strict=True), 2):
        if not any((masks[z] & other_masks[z]).any() for z in masks.keys() & other_masks.keys()):
            doubt(f"{first} and {second} share no pixel; are they of one lesion?")
        elif masks.keys() == other_masks.keys() and all(np.array_equal(masks[z], other_masks[z]) for z in masks):
            doubt(f"{first} and {second} are one mask, which counts as two readers")
    marked_slices = sorted(set().union(*reader_masks))
    if item.slice is not None and image.is_volume:
        if item.slice not in marked_slices:
            raise DataError(f"the masks do not mark slice {item.slice}; they mark {marked_slices[:20]}")
        marked_slices = [item.slice]
    for path, masks in zip(item.masks, reader_masks, strict=True):
        if large_slices := [z for z in marked_slices if z in masks and masks[z].mean() > 0.5]:
            where = f" in slice {large_slices[0]}" if image.is_volume else ""
            text = f"covers {masks[large_slices[0]].mean():.0%} of the image{where}; should it be inverted, invert it"
            doubt(f"{path}: {text}")
        if outlined := [z for z in marked_slices if z in masks and _is_outline(masks[z])]:
            doubt(f"{path}: looks like an outline in slice {outlined[0]}; fill it, if so")
    empty = np.zeros(image.shape, bool)
    stacks = {z: np.stack([masks.get(z, empty) for masks in reader_masks]) for z in marked_slices}
    if few := [z for z, stack in stacks.items() if not stack.any(axis=(1, 2)).all() and outvoted(stack, len(stack))]:
        slices = f"slices {', '.join(map(str, few[:9]))}{', ...' if len(few) > 9 else ''}"
        doubt(f"no pixel of {slices} was marked by half of the readers: no lesion is there")
    return stacks


def outvoted(masks: np.ndarray, n: int) -> bool:
    """Return whether every pixel of the masks (R, H, W) was marked by fewer than half of ``n`` readers."""
    return bool(2 * masks.sum(axis=0).max() < n)


def _is_outline(mask: np.ndarray) -> bool:
    """Return whether the holes of a mask have more pixels than the mask itself."""
    from scipy.ndimage import binary_fill_holes  # slow import

    return np.count_nonzero(binary_fill_holes(mask)) > 2 * np.count_nonzero(mask)


def _read_mask(path: Path, item: Item, image: Image) -> dict[int, np.ndarray]:
    """Return (H, W) bool for each slice that the mask at ``path`` marks (PNG and TIFF: the item's slice)."""
    from softmask.label.common import checked_mask

    n = len(image.slices)
    if path.suffix.lower() in (".png", ".tif", ".tiff"):
        if n > 1 and item.slice is None:
            why = f"is the mask of one slice, but the scan has {n}"
            raise DataError(f"{path}: {why}; give its number (--slice, column slice)")
        pixels = read_grey(path)
        if pixels.shape != image.shape:
            size, expected = (" x ".join(map(str, shape)) for shape in (pixels.shape, image.shape))
            raise DataError(
                f"{path}: the mask is {size} pixels, but {image.path} is {expected}; save the mask at the image's size"
            )
        if item.label:
            raise DataError(f"{path}: PNG and TIFF masks have no labels, so --label has no effect; leave it out")
        z = _checked_slice(item.slice or 0, n)
        _doubt_turned(image, z)
        return {z: checked_mask(pixels, f"{path}")}
    if image.grid is None:
        raise DataError(f"{path}: {image.path} has no place in mm, so its mask must be PNG or TIFF (JPEG alters it)")
    stack = lesion_mask(image.grid, path, item.label)
    return {int(z): stack[z] for z in np.flatnonzero(stack.any(axis=(1, 2)))}


def _doubt_turned(image: Image, z: int) -> None:
    if image.grid is not None and is_volume_file(image.path) and (letters := orientation(image.path)) != "LPS":
        hint = "here rows count from the patient's front, columns from the right, slices from the feet (LPS)"
        warnings.warn(Remark(f"{image.path} is stored as {letters}; {hint}: check the place"), stacklevel=3)
    ct = None if image.series is None else image.series[z]
    if ct is not None and ct.turn != Turn():
        hint = "rows count from the patient's front and columns from the right, and its pixels are stored otherwise"
        doubt(f"{ct.path}: {hint}; is the mark or mask turned likewise?")


def _filled(row: Sequence[str]) -> bool:
    return any(cell.strip() for cell in row)


def _checked_slice(z: int, n: int) -> int:
    if z and n == 1:
        raise DataError(f"there is no slice {z}: the file is one slice; save pages or frames as a file each")
    if not 0 <= z < n:
        raise DataError(f"there is no slice {z}; the image's {n} slices are 0 to {n - 1}")
    return z
