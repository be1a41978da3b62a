"""Output pictures and volumes for users' images, the names of all output files, and the check that only files written
by softmask are replaced.

A call may be killed before its manifest lists the written files, and ``softmask segment`` beside an image and
``softmask lungs`` write no manifest. Therefore each result says that softmask wrote it: PNG in the key Software, NIfTI
in its description, nrrd in a key, DICOM in Manufacturer.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import binary_erosion

from softmask.apply import KINDS
from softmask.apply.images import Image
from softmask.data.dicom import dcmread
from softmask.data.volume_files import compressed_bytes, image_of
from softmask.errors import ConfigError, DataError, doubt
from softmask.files import write_atomic
from softmask.measure.size import Size, lesion_size

if TYPE_CHECKING:
    import SimpleITK

OUTLINE = (230, 159, 0)
"""Red, green and blue of outlines: the first colour of ``softmask.report.figures.COLORS``."""

WRITER = "softmask"

_UNITS, _DESCRIPTION, _CODES = 123, slice(148, 228), slice(252, 256)  # bytes of a NIfTI header
_START = 1 << 16  # bytes at the start of a file that are searched for its writer
_NOTES = "ITK_FileNotes"  # ITK writes it as the description in NIfTI

SHOWN = 512
"""Minimum length of the longer side of overlays in pixels; smaller images are enlarged by pixel repetition."""


@dataclass(frozen=True, eq=False)
class Result:
    """Soft masks and binary masks of an image, and how they were made.

    Attributes:
        name: beginning of the file names.
        alphas: (H, W) float32 in [0, 1] by slice, at least one; ``masks``: (H, W) bool for the same slices.
        command: ``label`` or ``segment``.
        origin: origin in words, such as ``from RECIST axes``.
        parameters: parameters of the method, by name.
        automatic: whether no user gave the position of the lesion.
        mark: ends of the axes of the RECIST mark, (2, 2, 2) in pixels of the one slice; None without a mark.
    """

    image: Image
    name: str
    alphas: Mapping[int, np.ndarray]
    masks: Mapping[int, np.ndarray]
    command: str
    origin: str
    parameters: Mapping[str, str]
    automatic: bool = False
    mark: np.ndarray | None = None

    @cached_property
    def size(self) -> Size | None:
        """Size of the lesion; None if the image file has no positions in mm."""
        grid = self.image.grid
        return None if grid is None else lesion_size(self.alphas, self.masks, grid.spacing_mm)

    @property
    def mark_axes_mm(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Axes of the mark, (2, 2, 2) in pixels, and their lengths in mm, (2,), the longer axis first; None without a
        mark or without positions in mm."""
        if self.mark is None or self.image.grid is None:
            return None
        mm = np.linalg.norm((self.mark[:, 1] - self.mark[:, 0]) * self.image.grid.spacing_mm[1:], axis=1)
        order = np.argsort(-mm, kind="stable")
        return self.mark[order], mm[order]

    @property
    def has_volume(self) -> bool:
        """Whether there is more than one slice: the mask of a single slice does not show the depth of the lesion."""
        return len(self.alphas) > 1


def file_names(name: str, pictures: Iterable[str], formats: Sequence[str], command: str) -> list[str]:
    """Return the names of an item's files.

    Args:
        name, pictures: beginnings of the file names: of all formats except PNG, and of PNG (may include a folder).
        formats: keys of :data:`KINDS`.
        command: ``label``, or ``segment``, which has no trimap.
    """
    png_endings = [kind for kind in KINDS["png"] if command == "label" or not kind.startswith("trimap")]
    endings = [ending for format in formats if format != "png" for ending in KINDS[format]]
    stems = pictures if "png" in formats else ()
    return [f"{stem}-{kind}" for stem in stems for kind in png_endings] + [f"{name}-{ending}" for ending in endings]


def check_outputs(writers: Iterable[tuple[str, Iterable[Path]]], inputs: Iterable[Path], remedy: str) -> None:
    """Raise ConfigError if two images would write the same file (ignoring case), or an image would write an input file.

    Args:
        writers: for each image, its name in messages and the paths that it writes.
        remedy: what to do about two images with the same path, in words.
    """
    input_paths = {os.path.realpath(path) for path in inputs}
    writer_of: dict[str, str] = {}
    for where, paths in writers:
        resolved_paths = [os.path.realpath(path) for path in paths]
        for path in resolved_paths:
            if path in input_paths:
                raise ConfigError(
                    f"{where} would write {path}, which is to be read; nothing was written. Leave it out, or choose "
                    "another folder with --out"
                )
            if other := writer_of.get(path.casefold()):
                raise ConfigError(f"{other} and {where} would both write {path}; nothing was written. {remedy}")
        writer_of |= {path.casefold(): where for path in resolved_paths}


def overlay(image: np.ndarray, mask: np.ndarray, least: int = SHOWN) -> np.ndarray:
    """Return ``image`` (H, W) in [0, 1] in grey with the outline of ``mask`` (H, W), drawn inside the mask:
    (f H, f W, 3) uint8, where the factor f makes the longer side at least ``least`` pixels long."""
    factor = max(1, -(-least // max(image.shape)))
    grey = np.rint(image * 255).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    large = mask.repeat(factor, 0).repeat(factor, 1)
    picture = np.stack([grey] * 3, axis=-1)
    picture[large & ~binary_erosion(large, np.ones((3, 3)), border_value=1)] = OUTLINE
    return picture


def png(picture: np.ndarray, writer: str = "") -> bytes:
    """Return a PNG file that names any ``writer``: (H, W) uint8 or uint16 in grey, (H, W, 3) uint8 in colour."""
    content, notes = io.BytesIO(), PngInfo()
    if writer:
        notes.add_text("Software", writer)
    Picture.fromarray(picture).save(content, format="PNG", pnginfo=notes)
    return content.getvalue()


def pictures(
    start: Path, image: np.ndarray, alpha: np.ndarray, mask: np.ndarray, part=(slice(None), slice(None)), trimap=None
) -> dict[Path, bytes]:
    """Return the PNG files of a slice by path, which begins with ``start``: ``soft`` (16 bit, 65535 means 1), ``mask``
    (8 bit, 255 inside), ``overlay`` (outline of the mask on ``part`` of the image, enlarged) and, if given, ``trimap``
    (0, 128, 255). The arrays are (H, W)."""
    arrays = {
        "soft": np.rint(alpha.astype(np.float64) * 65535).astype(np.uint16),
        "mask": mask.astype(np.uint8) * np.uint8(255),
        "overlay": overlay(image[part], mask[part]),
    }
    if trimap is not None:
        arrays["trimap"] = np.rint(trimap * 255).astype(np.uint8)
    return {start.with_name(f"{start.name}-{kind}.png"): png(array, WRITER) for kind, array in arrays.items()}


def write_volumes(folder: Path, result: Result, formats: Sequence[str]) -> None:
    """Write the soft mask (float32) and the mask (uint8) on the voxels of the image as NIfTI and nrrd, if among the
    ``formats``. For PNG and TIFF, the volume is one slice without size or position in mm, with a warning."""
    endings = [ending for format in ("nifti", "nrrd") if format in formats for ending in KINDS[format]]
    if not endings:
        return
    import SimpleITK  # slow

    image = result.image
    shape = image.grid.shape if image.grid else (1, *image.shape)
    if image.grid is None:
        doubt(f"{image.path}: no mm in this file: spacing 1 stands for a pixel")
    for ending in endings:
        soft = ending.startswith("soft")
        values = np.zeros(shape, np.float32 if soft else np.uint8)
        for z, pixels in (result.alphas if soft else result.masks).items():
            values[z] = pixels
        volume = signed(image_of(values, image.grid) if image.grid else SimpleITK.GetImageFromArray(values))
        if ending.endswith(".seg.nrrd"):
            for key, text in _segment_of_slicer(volume.GetSize()).items():
                volume.SetMetaData(key, text)
        folder.mkdir(parents=True, exist_ok=True)
        content = compressed_bytes(volume, folder, ending[ending.index(".") :])
        write_atomic(folder / f"{result.name}-{ending}", content if image.grid else _without_place(content, ending))


def _without_place(content: bytes, ending: str) -> bytes:
    """Return a NIfTI file without units and with the code 0 (unknown) for qform and sform, or a nrrd file without the
    fields of space, directions and origin. SimpleITK always writes them."""
    if ending.endswith(".nrrd"):
        header, end, voxels = content.partition(b"\n\n")
        return b"\n".join(line for line in header.split(b"\n") if not line.startswith(b"space")) + end + voxels
    volume = bytearray(gzip.decompress(content))
    volume[_UNITS] = 0
    volume[_CODES] = bytes(4)
    return gzip.compress(volume, mtime=0)


def _segment_of_slicer(size: Sequence[int]) -> dict[str, str]:
    """Return the header entries that 3D Slicer needs for the only segment of a ``.seg.nrrd`` file of this size."""
    color = " ".join(f"{value / 255:.6f}" for value in OUTLINE)
    segment = {
        "ID": "Lesion", "Name": "Lesion", "NameAutoGenerated": "0", "Color": color, "ColorAutoGenerated": "0",
        "LabelValue": "1", "Layer": "0", "Extent": " ".join(f"0 {length - 1}" for length in size),
    }  # fmt: skip
    segmentation = {"MasterRepresentation": "Binary labelmap", "ContainedRepresentationNames": "Binary labelmap|"}
    segmentation["ReferenceImageExtentOffset"] = "0 0 0"
    entries = {f"Segment0_{key}": text for key, text in segment.items()}
    return entries | {f"Segmentation_{key}": text for key, text in segmentation.items()}


def signed(volume: SimpleITK.Image) -> SimpleITK.Image:
    """Return the volume, with a note for NIfTI and nrrd that softmask wrote it."""
    volume.SetMetaData(_NOTES, WRITER)
    return volume


def is_ours(path: Path) -> bool:
    """Return whether a file says that softmask wrote it."""
    name, writer = path.name.lower(), WRITER.encode()
    try:
        if name.endswith(".dcm"):
            return str(dcmread(path, stop_before_pixels=True, specific_tags=["Manufacturer"]).Manufacturer) == WRITER
        with path.open("rb") as file:
            if name.endswith(".nii.gz"):
                return gzip.GzipFile(fileobj=file).read(_DESCRIPTION.stop)[_DESCRIPTION].rstrip(b"\0") == writer
            head = file.read(_START)
    except (OSError, EOFError, zlib.error, DataError, AttributeError):
        return False
    return b"tEXtSoftware\0" + writer in head or b"\n%s:=%s\n" % (_NOTES.encode(), writer) in head


def need_ours(paths: Iterable[Path], options: str = "--out") -> None:
    """Raise DataError if one of the files exists and softmask did not write it; ``options`` choose another path."""
    if foreign_files := sorted(path for path in paths if path.is_file() and not is_ours(path)):
        why = f"would be overwritten, and softmask did not write it; move it away, or choose another {options}"
        raise DataError(f"{foreign_files[0]}: {why}")
