"""An image and its prior (mask, readers' masks or RECIST mark): from a list or a DICOM report, and read by slice."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from softmask.apply.images import Image, Slice, stem_of
from softmask.data.ct import SAME_Z, Turn
from softmask.data.dicom import dcmread, named
from softmask.data.image_files import read_grey
from softmask.data.masks import lesion_mask, slice_at
from softmask.data.sample import Problem
from softmask.data.volume_files import Grid
from softmask.errors import ConfigError, DataError, Doubt, LabelError, brief
from softmask.files import read_text

ORDERS, UNITS = ("rc", "xy"), ("px", "mm")
"""Orders and units of RECIST ends."""

_COLUMNS = (
    "the ends of the RECIST axes as r0 c0 r1 c1 (long) r2 c2 r3 c3 (short) or x0 y0 ... y3, in pixels from 0, or in mm "
    "where units is mm; slice, of a volume; label, number or name of one of a mask's; name, of what is written. Paths "
    "are relative to the list"
)
COLUMNS_HELP = f"columns: image; mask, or readers (paths separated by ;), or {_COLUMNS}"
POINTS_HELP = f"columns: image; row and column of a point in the lesion (or x and y), or {_COLUMNS}"
"""What a list of ``softmask label`` holds, and one of ``softmask segment``."""

_ENDS = {order: tuple(f"{letter}{end}" for end in range(4) for letter in order) for order in ORDERS}
_POINTS = {"rc": ("row", "column"), "xy": ("x", "y")}
_PRIORS = ("mask", "readers", *_ENDS["rc"], *_ENDS["xy"], *_POINTS["rc"], *_POINTS["xy"])
_EXACTLY_ONE = "say what to start from, exactly one of mask, readers, point, RECIST ends and --report"
_LARGEST_LIST = 1 << 28  # bytes
_NAME = re.compile(r"[^\s./\\:*?\"<>|\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]{0,150}")
_GROUP = ("125007", "DCM")  # code of a Measurement Group


@dataclass(frozen=True)
class Mark:
    """A RECIST mark: the ends of the long axis, then those of the short one, as they were given; or one point.

    Attributes:
        ends: (4, 2) or (1, 2) numbers. Pixels count from 0 at the centre of the first one. Millimetres are the x (to
            the patient's left) and y (to the back) of DICOM, as viewers that know the patient's axes show them.
        order: ``rc`` (row, column) or ``xy``; mm are ``xy``.
        units: ``px`` or ``mm``.
        uid: SOPInstanceUID of the slice it was drawn on; empty where that is not known.
        z_mm: height of that slice in the frame of reference ``frame``, of a mark in mm that was drawn in 3D.
        stated_mm: lengths of the axes that a report states beside their ends; 0 where it states none.
    """

    ends: tuple[tuple[float, float], ...]
    order: str = "rc"
    units: str = "px"
    uid: str = ""
    z_mm: float | None = None
    frame: str = ""
    stated_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.units not in UNITS:
            raise ConfigError(f"unknown units {self.units!r} of RECIST ends; choose from {', '.join(UNITS)}")
        if self.units == "mm" and self.order != "xy":
            raise ConfigError("RECIST ends in mm are x and y of the patient: say --order xy (x0, y0, ... in lists)")
        if not np.isfinite(self.ends).all():
            raise ConfigError(f"a RECIST mark is eight finite numbers, a point is two, not {self.ends}")

    @property
    def text(self) -> str:
        """The ends, order and units in a line."""
        return " ".join(f"{value:g}" for end in self.ends for value in end) + f" {self.order} {self.units}"

    def pixels(self, shape: tuple[int, int], grid: Grid | None, turn: Turn | None = None) -> np.ndarray:
        """Return the ends, (N, 2) float64 (row, column) in pixels of an image (H, W); ``turn`` is that of the stored
        pixels that a mark in pixels counts. Raises DataError for mm on an image without positions in mm."""
        ends = np.array(self.ends, float)
        if self.order == "xy":
            ends = ends[:, ::-1]
        if self.units == "mm":
            if grid is None:
                raise DataError("RECIST ends in mm, but the image's file says nothing of mm; give them in pixels")
            ends = (ends - grid.origin[1::-1]) / grid.spacing_mm[1:]
        elif turn is not None:
            ends = turn.points(ends, shape)
        return ends

    def axes(self, shape: tuple[int, int], grid: Grid | None, turn: Turn | None = None) -> np.ndarray:
        """Return (2, 2, 2) float64 (axis, end, (row, column)), the long axis first; arguments as :meth:`pixels`.

        Raises:
            DataError: as :meth:`pixels`.
            LabelError: as :func:`softmask.label.recist.validate`.
        """
        from softmask.label.recist import validate  # image libraries take their time

        try:
            return validate(self.pixels(shape, grid, turn).reshape(2, 2, 2), shape)
        except LabelError as error:
            hint = "; columns before rows must be said (--order xy; x0, y0, ... in lists), and so must mm (--units mm)"
            raise LabelError(f"{error}{hint if 'outside' in str(error) else ''}") from error

    def turn_of(self, image: Image, z: int) -> Turn | None:
        """Return the turn of slice ``z`` where the mark counts stored pixels: that of a report does."""
        return image.series.slices[z].turn if self.uid and image.series is not None else None

    def slice_of(self, image: Image, z: int | None) -> int:
        """Return the slice that it lies on, of several ``z``. Raises DataError where it is not known."""
        n = len(image.slices)
        if self.uid:
            if self.uid not in image.uids:
                raise DataError(f"the mark lies on SOPInstanceUID {self.uid}, not in {image.path}; get that series")
            return image.uids.index(self.uid)
        if self.z_mm is not None:
            if image.grid is None or self.frame != image.grid.frame_of_reference:
                raise DataError(f"the mark was drawn in frame of reference {self.frame}, not on {image.path}")
            found = slice_at(image.grid, self.z_mm)
            if found is None:
                raise DataError(f"the mark lies at z = {self.z_mm:g} mm, between the slices of {image.path}")
            return found
        if n > 1 and z is None:
            raise DataError(f"has {n} slices, 0 to {n - 1}; say which one the mark lies on (--slice, column slice)")
        return _checked_slice(z or 0, n)


def doubts(axes: np.ndarray, spacing: Sequence[float] = (1, 1)) -> str:
    """Return that two axes (2, 2, 2) are not perpendicular (30 degrees off), do not cross, or that one has no length;
    else nothing. Readers who draw by hand make such marks, so they are labelled; but ends in a wrong order look like
    that, too. ``spacing`` is (row, column) size of a pixel: angles are those in the patient.
    """
    axes = axes * spacing
    long, short = axes[0, 1] - axes[0, 0], axes[1, 1] - axes[1, 0]
    lengths = np.linalg.norm([long, short], axis=1)
    if not lengths[1]:
        return "both ends of the short axis are the same point: check the ends"
    angle = np.degrees(np.arccos(min(abs(long @ short) / lengths[0] / lengths[1], 1.0)))
    if angle < 60:
        return f"the axes meet at {angle:.0f} degrees, not at about 90: check the order of the ends"
    shares = np.linalg.solve(np.stack([long, -short], axis=1), axes[1, 0] - axes[0, 0])  # of each axis, where they meet
    if (np.abs(shares - 0.5) > 0.5 + max(spacing) / lengths).any():  # within a pixel, they may cross
        return "the axes do not cross: check the order of the ends"
    return ""


def warn_of(axes: np.ndarray, grid: Grid | None, stated_mm: Sequence[float] = ()) -> None:
    """Warn of :func:`doubts` about a mark, and of stated lengths that are a tenth and a pixel off those of its axes."""
    spacing = grid.spacing_mm[1:] if grid else (1, 1)
    if doubt := doubts(axes, spacing):
        warnings.warn(Doubt(doubt), stacklevel=2)
    if grid and len(stated_mm) == 2 and all(stated_mm):
        drawn = np.sort(np.linalg.norm((axes[:, 1] - axes[:, 0]) * spacing, axis=1))
        if (np.abs(drawn - np.sort(stated_mm)) > np.maximum(drawn / 10, max(spacing))).any():
            stated, lengths = (" and ".join(f"{value:.1f}" for value in pair) for pair in (sorted(stated_mm), drawn))
            doubt = f"the report states diameters of {stated} mm, but those drawn are {lengths} mm on this image"
            warnings.warn(Doubt(f"{doubt}: check its units and pixel size"), stacklevel=2)


@dataclass(frozen=True)
class Item:
    """An image, and either masks, or a mark, or slices that are segmented whole.

    Attributes:
        where: its name in messages.
        name: beginning of the names of results.
        image: a PNG, TIFF or DICOM file, a NIfTI or nrrd volume, or a folder with one CT series.
        masks: a mask, or those of several readers: PNG, TIFF, DICOM SEG or RTSTRUCT, NIfTI or nrrd.
        slice: the slice to label, from 0 at the feet; None for all that a mask marks, or the only one.
        label: number or name of the structure that is meant, in masks with several.
        planes: the slices to segment whole.
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
            name = f"{self.name[:200]!r} cannot be the name of a file"
            raise ConfigError(f"{self.where}: {name}; give another (--name, column name)")

    @property
    def kind(self) -> str:
        """``recist``, ``point``, ``mask``, ``readers`` or ``whole``."""
        if self.planes:
            return "whole"
        if self.mark is not None:
            return "recist" if len(self.mark.ends) == 4 else "point"
        return "mask" if len(self.masks) == 1 else "readers"


def read_list(path: Path) -> tuple[list[Item], list[Problem]]:
    """Return the lines of a csv file as items, and the lines that cannot be one (:data:`COLUMNS_HELP`).

    Raises:
        DataError: naming the file, when it cannot be read, is no csv in UTF-8, or has no line.
        ConfigError: no column ``image``, an unknown column, or none to label from.
    """
    text = read_text(path, "check the name, and save the list as csv in UTF-8", _LARGEST_LIST)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    items, problems = [], []
    try:
        header = [cell.strip() for cell in next(rows, [])]
        unknown = set(header) - {"image", "name", "units", "slice", "label", *_PRIORS}
        if "image" not in header or unknown or len(set(header)) != len(header) or not set(_PRIORS) & set(header):
            names = ", ".join(repr(name[:40]) for name in header[:40]) or "none"
            raise ConfigError(f"{path}: its first line names the columns {names} (separated by commas); {COLUMNS_HELP}")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}, line {rows.line_num}"
            try:
                items.append(_item_of(path.parent, where, header, row))
            except (ConfigError, DataError) as error:
                problems.append(Problem(where, str(error).removeprefix(f"{where}: ")))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: is no csv ({error}); save the list as csv again") from error
    if not items and not problems:
        raise DataError(f"{path}: has no line below its header; {COLUMNS_HELP}")
    return items, problems


def _item_of(folder: Path, where: str, header: list[str], row: list[str]) -> Item:
    if len(row) != len(header):
        raise DataError(f"{len(row)} cells where {len(header)} were expected; put cells with commas into quotes")
    if any("\0" in cell for cell in row):
        raise DataError("has a NUL byte; save the list again")
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
    if "image" not in cells:
        raise DataError("names no image")

    def number(name: str, kind: type) -> float:
        try:
            return kind(cells[name])
        except ValueError as error:
            expected = "a whole number" if kind is int else "a number, with a point"
            raise DataError(f"{name} = {cells[name][:40]!r} is not {expected}") from error

    marks = [(order, names) for kinds in (_ENDS, _POINTS) for order, names in kinds.items() if {*names} & cells.keys()]
    if len(marks) + ("mask" in cells) + ("readers" in cells) != 1:
        raise ConfigError(_EXACTLY_ONE)
    if not marks and "units" in cells:
        raise DataError("has units and no mark")
    mark = None
    for order, names in marks:
        if missing := [name for name in names if name not in cells]:
            raise DataError(f"has a mark without {', '.join(missing)}")
        values = [number(name, float) for name in names]
        mark = Mark(tuple(zip(values[::2], values[1::2], strict=True)), order, cells.get("units", "px"))
    image = folder / cells["image"]
    paths = [cells["mask"]] if "mask" in cells else cells.get("readers", "").split(";")
    masks = tuple(folder / path.strip() for path in paths if path.strip())
    z = number("slice", int) if "slice" in cells else None
    return Item(where, cells.get("name") or stem_of(image), image, masks, mark, z, cells.get("label", ""))


def read_report(path: Path) -> tuple[list[Mark], list[Problem]]:
    """Return the RECIST marks in a DICOM measurement report, and the groups whose diameters make none.

    Each measurement group (TID 1501) with two diameters (SCOORD or SCOORD3D POLYLINE of two points) is a mark. SCOORD
    counts from the outer corner of the first pixel (PS3.3 C.18.6.1.2), so half a pixel is taken off; SCOORD3D is in mm.

    Raises:
        DataError: naming the file, and the tag, when it is damaged, no structured report, or has no diameter.
    """
    dataset = dcmread(path, stop_before_pixels=True)
    try:
        modality = str(dataset.get("Modality"))
        groups, drawn = [], []  # lines of each measurement group, and whether it holds any
        for item in _content(dataset):
            name = (item.get("ConceptNameCodeSequence") or [{}])[0]
            if (name.get("CodeValue"), name.get("CodingSchemeDesignator")) == _GROUP:
                groups.append([*_lines(item)])
                drawn.append(any(part.get("GraphicType") == "POLYLINE" for part in _content(item)))
    except Exception as error:  # values are decoded only now, and on damaged bytes that raises nearly anything
        raise DataError(f"{path}: damaged ({brief(error)}); export the report again") from error
    if modality != "SR":
        raise DataError(f"{path}: {named('Modality')} = {modality}; a measurement report (SR) was expected")
    marks, problems = [], []
    for number, lines in enumerate(groups, 1):
        planes = {(line.uid, line.z_mm, line.frame) for line in lines}
        if len(lines) == 2 and len(planes) == 1:
            ends = tuple(end for line in lines for end in line.ends)
            stated = tuple(line.stated_mm for line in lines)
            marks.append(Mark(ends, "xy", "px" if lines[0].uid else "mm", *planes.pop(), stated))
        elif lines or drawn[number - 1]:
            why = f"{len(lines)} diameters on {len(planes)} images, and a RECIST mark is two on one; redraw it"
            problems.append(Problem(f"{path}, measurement group {number}", why))
    if not any(groups):
        remedy = "export the marks with their coordinates"
        raise DataError(f"{path}: none of its {len(groups)} measurement groups holds a diameter (SCOORD); {remedy}")
    return marks, problems


def _content(parent) -> Iterator:
    """Yield all content items below one, in the report's order."""
    for item in parent.get("ContentSequence") or ():
        yield item
        yield from _content(item)


class _Line(NamedTuple):
    """A line of two points (column, row) in pixels of image ``uid``, or (x, y) in mm at ``z_mm`` in ``frame``; its
    length as stated, 0 in units of no length."""

    ends: tuple[tuple[float, float], ...]
    stated_mm: float
    uid: str = ""
    z_mm: float | None = None
    frame: str = ""


def _lines(group) -> Iterator[_Line]:
    """Yield the lines of two points below the numbers of a group."""
    numbers = (item for item in _content(group) if item.get("ValueType") == "NUM")
    for measured, drawn in ((number, child) for number in numbers for child in number.get("ContentSequence") or ()):
        values = [float(value) for value in drawn.get("GraphicData") or ()]
        if drawn.get("GraphicType") != "POLYLINE":
            continue
        if drawn.get("ValueType") == "SCOORD" and len(values) == 4:
            images = [item for item in drawn.get("ContentSequence") or () if item.get("ValueType") == "IMAGE"]
            if len(images) != 1:
                raise ValueError("a diameter is not drawn on one image")
            ends = tuple((x - 0.5, y - 0.5) for x, y in zip(values[::2], values[1::2], strict=True))
            yield _Line(ends, _millimetres(measured), str(images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        elif drawn.get("ValueType") == "SCOORD3D" and len(values) == 6 and abs(values[2] - values[5]) < SAME_Z:
            ends = (values[0], values[1]), (values[3], values[4])
            frame = str(drawn.get("ReferencedFrameOfReferenceUID") or "")
            yield _Line(ends, _millimetres(measured), "", values[2], frame)


def _millimetres(number) -> float:
    """Return the value of a NUM item in mm; 0 where it has none, or in units of no length."""
    for measured in number.get("MeasuredValueSequence") or ():
        units = (measured.get("MeasurementUnitsCodeSequence") or [{}])[0].get("CodeValue")
        return float(measured.NumericValue) * {"mm": 1, "cm": 10}.get(units, 0)
    return 0


def read_masks(item: Item, image: Image) -> dict[int, np.ndarray]:
    """Return masks (R, H, W) bool by slice, for the slices that any of R masks marks."""
    readers = [_read_mask(path, item, image) for path in item.masks]
    marked = sorted(set().union(*readers))
    if item.slice is not None and image.is_volume:
        if item.slice not in marked:
            raise DataError(f"the masks do not mark slice {item.slice}; they mark {marked[:20]}")
        marked = [item.slice]
    for path, masks in zip(item.masks, readers, strict=True):
        if large := [z for z in marked if z in masks and masks[z].mean() > 0.5]:
            where = f" in slice {large[0]}" if image.is_volume else ""
            doubt = f"covers {masks[large[0]].mean():.0%} of the image{where}; should it be inverted, invert it"
            warnings.warn(Doubt(f"{path}: {doubt}"), stacklevel=2)
    empty = np.zeros(image.shape, bool)
    return {z: np.stack([masks.get(z, empty) for masks in readers]) for z in marked}


def _read_mask(path: Path, item: Item, image: Image) -> dict[int, np.ndarray]:
    """Return (H, W) bool for each slice that the mask at ``path`` marks."""
    from softmask.label.common import checked_mask

    n = len(image.slices)
    if path.suffix.lower() in (".png", ".tif", ".tiff"):
        if n > 1 and item.slice is None:
            why = f"is the mask of one slice, but the scan has {n}"
            raise DataError(f"{path}: {why}; give its number (--slice, column slice)")
        stored = read_grey(path)
        if stored.shape != image.shape:
            size, expected = (" x ".join(map(str, shape)) for shape in (stored.shape, image.shape))
            raise DataError(
                f"{path}: the mask is {size} pixels, but {image.path} is {expected}; save the mask at the image's size"
            )
        if item.label:
            raise DataError(f"{path}: PNG and TIFF masks have no labels, so --label has no effect; leave it out")
        return {_checked_slice(item.slice or 0, n): checked_mask(stored, f"{path}")}
    if image.grid is None:
        raise DataError(f"{path}: {image.path} has no place in mm, so its mask must be PNG or TIFF (JPEG alters it)")
    stack = lesion_mask(image.grid, path, item.label)
    return {int(z): stack[z] for z in np.flatnonzero(stack.any(axis=(1, 2)))}


def _checked_slice(z: int, n: int) -> int:
    if not 0 <= z < n:
        raise DataError(f"there is no slice {z}; the image's {n} slices are 0 to {n - 1}")
    return z
