"""What an item is labelled from, slice by slice: masks read and laid on the image, or RECIST axes in its pixels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from softmask.data.dicom import is_dicom, modality_of, named
from softmask.data.image_files import read_grey
from softmask.data.masks import label_volume_mask, lesion_mask
from softmask.data.volume_files import is_volume_file
from softmask.errors import DataError
from softmask.label.common import checked_mask
from softmask.own_labels.items import Item
from softmask.own_labels.sources import Source

_ENDINGS = (".png", ".tif", ".tiff")


def masks_of(item: Item, source: Source) -> dict[int, np.ndarray]:
    """Masks by slice of the image, each (R, H, W) bool, for the slices that any of the R readers (or the one mask)
    marks.

    Raises:
        DataError, LabelError: naming the mask's file, when it cannot be read, is empty or not binary, or lies on
            another grid than the image; when a slice is asked for that is not there or not marked.
    """
    found = [_by_slice(path, item, source) for path in item.masks]
    places = sorted(set().union(*found))
    if item.slice is not None and source.is_volume:
        if item.slice not in places:
            marked = f"they mark {', '.join(map(str, places[:20]))}" if places else "they mark none"
            raise DataError(f"the masks do not mark slice {item.slice}; {marked}")
        places = [item.slice]
    empty = np.zeros(source.shape, bool)
    return {z: np.stack([masks.get(z, empty) for masks in found]) for z in places}


def place_of_mark(item: Item, source: Source) -> int:
    """Number of the slice that a RECIST mark lies on. Raises DataError where it is not said, or is not there."""
    n = len(source.slices)
    if item.mark.uid:
        return source.place_of(item.mark.uid)
    if n == 1:
        return 0
    if item.slice is None:
        raise DataError(f"has {n} slices, 0 to {n - 1}; say which one the RECIST mark lies on (--slice, column slice)")
    _check_slice(item.slice, n)
    return item.slice


def _by_slice(path: Path, item: Item, source: Source) -> dict[int, np.ndarray]:
    """(H, W) bool for each slice that the mask at ``path`` marks."""
    if path.is_dir():
        return _of_folder(path, source)
    if path.name.lower().endswith(_ENDINGS):
        n = len(source.slices)
        if n > 1 and item.slice is None:
            raise DataError(
                f"{path}: is the mask of one slice of {n}; say of which (--slice, column slice), or give a folder of "
                "such files whose names end with the slice's number"
            )
        place = item.slice or 0 if n > 1 else 0
        _check_slice(place, n)
        return {place: _picture(path, source)}
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the name")
    if source.grid is None:
        raise DataError(f"{path}: {source.path} has no place in mm, so its mask must be a PNG or TIFF file")
    if is_volume_file(path):
        stack = label_volume_mask(source.grid, path)
    elif is_dicom(path):
        if (modality := modality_of(path)) != "SEG":
            raise DataError(f"{path}: {named('Modality')} = {modality}; a mask in DICOM is a SEG")
        stack = lesion_mask(path, source.grid)
    else:
        raise DataError(f"{path}: is of an unknown kind; masks are PNG, TIFF, DICOM SEG, NIfTI or nrrd files")
    return {int(z): stack[z] for z in np.flatnonzero(stack.any(axis=(1, 2)))}


def _of_folder(folder: Path, source: Source) -> dict[int, np.ndarray]:
    """One file a slice; the last number in a file's name is the slice's. Empty masks are slices without lesion."""
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_ENDINGS))
    masks: dict[int, np.ndarray] = {}
    for path in files:
        numbers = re.findall(r"\d{1,9}", path.stem)
        if not numbers:
            raise DataError(f"{path}: its name has no slice number; call it such as slice-012.png")
        place = int(numbers[-1])
        _check_slice(place, len(source.slices), f"{path}: ")
        if place in masks:
            raise DataError(f"{path}: another file in the folder has the same slice number {place}; leave one of them")
        masks[place] = _picture(path, source, may_be_empty=True)
    marked = {place: mask for place, mask in masks.items() if mask.any()}
    if not marked:
        raise DataError(f"{folder}: {len(files)} PNG or TIFF masks, none of which marks a pixel; check the folder")
    return marked


def _picture(path: Path, source: Source, may_be_empty: bool = False) -> np.ndarray:
    stored = read_grey(path)
    if stored.shape != source.shape:
        mine, theirs = (" x ".join(map(str, shape)) for shape in (stored.shape, source.shape))
        raise DataError(f"{path}: {mine} pixels, and {theirs} in {source.path}; draw the mask on the whole image")
    return np.zeros(stored.shape, bool) if may_be_empty and not stored.any() else checked_mask(stored, f"{path}")


def _check_slice(place: int, n: int, begin: str = "") -> None:
    if not 0 <= place < n:
        raise DataError(f"{begin}there is no slice {place}; the image's {n} slices are 0 to {n - 1}")
