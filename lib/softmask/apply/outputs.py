"""Files that are written for people's images: PNG, NIfTI on the image's own voxels, DICOM SEG."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from scipy.ndimage import binary_erosion

from softmask import __version__
from softmask.apply.images import Image
from softmask.data.dicom import dcmread, named
from softmask.data.volume_files import Grid, image_of, nifti
from softmask.errors import ConfigError, DataError, brief
from softmask.files import write_atomic

OUTLINE = (230, 159, 0)
"""Red, green, blue: the first of ``softmask.report.figures.COLORS``."""

SHOWN = 512
"""Overlays are enlarged, each pixel to a square, until the longer side has at least this many pixels."""

_TYPE_2 = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime")
_TYPE_1 = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_REMEDY = "correct the header, or choose --format png nifti"
_PRIORS = {"mask": "a binary mask", "readers": "the masks of several readers", "recist": "RECIST axes"}


def check_outputs(writers: Iterable[tuple[str, Iterable[Path]]], inputs: Iterable[Path], remedy: str) -> None:
    """Raise ConfigError where two images would write the same file, in upper or lower case, or one that is read.

    Args:
        writers: for each image its name in messages and the paths that it writes.
        remedy: for two of the same path.
    """
    read = {path.resolve() for path in inputs}
    writer_of: dict[str, str] = {}
    for where, paths in writers:
        resolved = [path.resolve() for path in paths]
        for path in resolved:
            if path in read:
                raise ConfigError(
                    f"{where} would write {path}, which is to be read; nothing was written. Leave it out, or choose "
                    "another folder with --out"
                )
            if other := writer_of.get(str(path).casefold()):
                raise ConfigError(f"{other} and {where} would both write {path}; nothing was written. {remedy}")
        writer_of |= {str(path).casefold(): where for path in resolved}


def overlay(image: np.ndarray, mask: np.ndarray, least: int = SHOWN) -> np.ndarray:
    """Return ``image`` (H, W) in [0, 1] in grey with the outline of ``mask`` (H, W), on the mask's own pixels:
    (f H, f W, 3) uint8, where the factor f makes the longer side at least ``least`` pixels."""
    factor = max(1, -(-least // max(image.shape)))
    grey = np.rint(image * 255).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    large = mask.repeat(factor, 0).repeat(factor, 1)
    picture = np.stack([grey] * 3, axis=-1)
    picture[large & ~binary_erosion(large, np.ones((3, 3)), border_value=1)] = OUTLINE
    return picture


def png(picture: np.ndarray) -> bytes:
    """Return the content of a PNG file: (H, W) uint8 or uint16 in grey, (H, W, 3) uint8 in colour."""
    content = io.BytesIO()
    Picture.fromarray(picture).save(content, format="PNG")
    return content.getvalue()


def pictures(image: np.ndarray, alpha: np.ndarray, mask: np.ndarray, part=(slice(None), slice(None))):
    """Return the content of PNG files by kind: ``soft`` (16 bit, 65535 is 1), ``mask`` (8 bit, 255 inside) and
    ``overlay`` (the mask's outline on ``part`` of the image, enlarged); arguments are (H, W)."""
    return {
        "soft": png(np.rint(alpha.astype(np.float64) * 65535).astype(np.uint16)),
        "mask": png(mask.astype(np.uint8) * np.uint8(255)),
        "overlay": png(overlay(image[part], mask[part])),
    }


def write_nifti(folder: Path, name: str, image: Image, alphas: dict[int, np.ndarray]) -> None:
    """Write ``soft.nii.gz`` (float32) and ``mask.nii.gz`` (uint8) on the voxel grid of the image. PNG and TIFF images
    become a single slice with 1 mm voxels. ``alphas`` are (H, W) float32 by slice."""
    grid = image.grid or Grid(
        shape=(1, *image.shape), spacing_mm=(1.0,) * 3, z_mm=np.zeros(1), origin=(0.0,) * 3, patient="", path=image.path
    )
    volume = np.zeros(grid.shape, np.float32)
    for z, alpha in alphas.items():
        volume[z] = alpha
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("soft", volume), ("mask", (volume >= 0.5).astype(np.uint8))):
        write_atomic(folder / f"{name}-{kind}.nii.gz", nifti(image_of(values, grid), folder))


def seg_bytes(image: Image, alphas: dict[int, np.ndarray], name: str, prior: str, epsilon: float) -> bytes:
    """Return a DICOM Segmentation object (PS3.3 A.51) with one segment, "Lesion", a frame for each of the slices.

    It is FRACTIONAL, of type OCCUPANCY, "the proportion of the pixel occupied by the property", which alpha is;
    PROBABILITY would be the chance that the whole pixel is lesion. Values are stored in 8 bit, 255 is 1.

    Args:
        alphas: (H, W) in [0, 1] by slice.
        prior: ``mask``, ``readers`` or ``recist``.

    Raises:
        DataError: where something that a SEG must repeat is missing in the images' headers.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    headers = [_header(image.slices[z].path) for z in sorted(alphas)]
    try:
        algorithm = hd.AlgorithmIdentificationSequence(
            name=f"closed-form matting from {_PRIORS[prior]}",
            family=codes.cid7162.NeighborhoodAnalysis,
            version=__version__,
            source="softmask",
            parameters={"epsilon": f"{epsilon:g}", "prior": prior},
        )
        segment = hd.seg.SegmentDescription(
            segment_number=1,
            segment_label="Lesion",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
            algorithm_identification=algorithm,
        )
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values in the images' headers, which are repeated as they are
            hd.seg.Segmentation(
                source_images=headers,
                pixel_array=np.stack([alphas[z] for z in sorted(alphas)]).astype(np.float32),
                segmentation_type=hd.seg.SegmentationTypeValues.FRACTIONAL,
                fractional_type=hd.seg.SegmentationFractionalTypeValues.OCCUPANCY,
                max_fractional_value=255,
                segment_descriptions=[segment],
                series_instance_uid=hd.UID(),
                series_number=1000,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer="softmask",
                manufacturer_model_name="softmask label",
                software_versions=__version__,
                device_serial_number="0",
                content_label="SOFT_MASK",
                content_description=f"soft mask from {_PRIORS[prior]}",
                series_description=f"Soft mask: {name}"[:64],
                omit_empty_frames=False,
            ).save_as(content)
    except Exception as error:  # highdicom reports faults of other people's headers in nearly any way
        raise DataError(f"{image.path}: cannot create a DICOM SEG ({brief(error)}); {_REMEDY}") from error
    return content.getvalue()


def _header(path: Path):
    """Return the header of an image, checked for what a SEG must repeat; what may be empty is added."""
    logging.getLogger("highdicom").setLevel(logging.ERROR)
    header = dcmread(path, stop_before_pixels=True)
    for name in _TYPE_1:
        if not header.get(name):
            raise DataError(f"{path}: has no {named(name)}, which a DICOM SEG must repeat; {_REMEDY}")
    for name in _TYPE_2:
        if name not in header:
            setattr(header, name, None)
    return header
