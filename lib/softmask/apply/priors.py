"""The priors of an item by slice: masks read and laid on the image, and the slice of a RECIST mark."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from softmask.apply.images import SourceImage
from softmask.apply.items import Item
from softmask.data.dicom import is_dicom, modality_of, named
from softmask.data.image_files import read_grey
from softmask.data.masks import label_volume_mask, lesion_mask
from softmask.data.volume_files import is_volume_file
from softmask.errors import DataError
from softmask.label.common import checked_mask

_PICTURE_ENDINGS = (".png", ".tif", ".tiff")


def slice_of_mark(item: Item, image: SourceImage) -> int:
    """Return the slice of a RECIST mark. Raises DataError where it is not said, or is missing."""
    n = len(image.slices)
    if item.mark.uid:
        uids = [ct.uid for ct in image.series.slices] if image.series else []
        if item.mark.uid not in uids:
            raise DataError(
                f"the mark was drawn on SOPInstanceUID {item.mark.uid}, which is not in {image.path}; get that series"
            )
        return uids.index(item.mark.uid)
    if n == 1:
        return 0
    if item.slice is None:
        raise DataError(f"has {n} slices, 0 to {n - 1}; say which one the RECIST mark lies on (--slice, column slice)")
    return _checked_slice(item.slice, n)


def _checked_slice(z: int, n: int, begin: str = "") -> int:
    if not 0 <= z < n:
        raise DataError(f"{begin}there is no slice {z}; the image's {n} slices are 0 to {n - 1}")
    return z


def read_masks(item: Item, image: SourceImage) -> dict[int, np.ndarray]:
    """Return masks (R, H, W) bool by slice, for the slices that any of the R readers (or the one mask) marks.

    Raises:
        DataError, LabelError: naming the mask's file, when it cannot be read, is empty or not binary, or lies on
            another grid than the image; when the slice of the item is missing or not marked.
    """
    readers = [_read_mask(path, item, image) for path in item.masks]
    marked = sorted(set().union(*readers))
    if item.slice is not None and image.is_volume:
        if item.slice not in marked:
            hint = f"they mark {', '.join(map(str, marked[:20]))}" if marked else "they mark none"
            raise DataError(f"the masks do not mark slice {item.slice}; {hint}")
        marked = [item.slice]
    empty = np.zeros(image.shape, bool)
    return {z: np.stack([masks.get(z, empty) for masks in readers]) for z in marked}


def _read_mask(path: Path, item: Item, image: SourceImage) -> dict[int, np.ndarray]:
    """Return (H, W) bool for each slice that the mask at ``path`` marks."""
    n = len(image.slices)
    if path.is_dir():
        return _read_mask_folder(path, image)
    if path.name.lower().endswith(_PICTURE_ENDINGS):
        if n > 1 and item.slice is None:
            raise DataError(
                f"{path}: is the mask of one slice of {n}; say of which (--slice, column slice), or give a folder of "
                "such files whose names end with the slice's number"
            )
        return {_checked_slice(item.slice, n) if n > 1 else 0: _read_picture(path, image)}
    if image.grid is None:
        raise DataError(f"{path}: {image.path} has no place in mm, so its mask must be a PNG or TIFF file")
    if is_volume_file(path):
        stack = label_volume_mask(image.grid, path)
    elif is_dicom(path):
        if (modality := modality_of(path)) != "SEG":
            raise DataError(f"{path}: {named('Modality')} = {modality}; a mask in DICOM is a SEG")
        stack = lesion_mask(path, image.grid)
    else:
        raise DataError(f"{path}: is of an unknown kind; masks are PNG, TIFF, DICOM SEG, NIfTI or nrrd files")
    return {int(z): stack[z] for z in np.flatnonzero(stack.any(axis=(1, 2)))}


def _read_mask_folder(folder: Path, image: SourceImage) -> dict[int, np.ndarray]:
    """Read one file a slice; the last number in its name is the slice's. Empty masks are slices without lesion."""
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_PICTURE_ENDINGS))
    masks: dict[int, np.ndarray] = {}
    for path in files:
        numbers = re.findall(r"\d{1,9}", path.stem)
        if not numbers:
            raise DataError(f"{path}: its name has no slice number; call it such as slice-012.png")
        z = _checked_slice(int(numbers[-1]), len(image.slices), f"{path}: ")
        if z in masks:
            raise DataError(f"{path}: another file in the folder has the same slice number {z}; leave one of them")
        masks[z] = _read_picture(path, image, may_be_empty=True)
    marked = {z: mask for z, mask in masks.items() if mask.any()}
    if not marked:
        raise DataError(f"{folder}: {len(files)} PNG or TIFF masks, none of which marks a pixel; check the folder")
    return marked


def _read_picture(path: Path, image: SourceImage, may_be_empty: bool = False) -> np.ndarray:
    stored = read_grey(path)
    if stored.shape != image.shape:
        size, expected = (" x ".join(map(str, shape)) for shape in (stored.shape, image.shape))
        raise DataError(f"{path}: {size} pixels, and {expected} in {image.path}; draw the mask on the whole image")
    return np.zeros(stored.shape, bool) if may_be_empty and not stored.any() else checked_mask(stored, f"{path}")
