"""Files that are written for people's images: PNG, NIfTI on the image's own voxels, DICOM SEG."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from softmask.apply.images import SourceImage
from softmask.data.dicom import dcmread, named
from softmask.data.volume_files import Grid, image_of, nifti
from softmask.errors import ConfigError, DataError, brief
from softmask.files import write_atomic
from softmask.label import SoftMask
from softmask.machine import package_version
from softmask.pictures import mask_png, overlay, png, soft_png

FORMATS = ("png", "nifti", "seg")
PICTURES = ("soft", "mask", "trimap", "overlay")
"""PNG files of a labelled slice."""

_VOLUMES = {"nifti": ("soft.nii.gz", "mask.nii.gz"), "seg": ("soft.dcm",)}
_TYPE_2 = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime")
_TYPE_1 = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_PRIORS = {"mask": "a binary mask", "readers": "the masks of several readers", "recist": "RECIST axes"}


def check_outputs(
    writers: Iterable[tuple[str, Iterable[Path]]], inputs: Iterable[Path], remedy: str, fold_case: bool = False
) -> None:
    """Raise ConfigError where two images would write the same file, or one would overwrite what is read.

    Args:
        writers: for each image its name in messages and the paths that it writes.
        remedy: what to do about two of the same path.
        fold_case: whether paths that differ in upper and lower case alone are the same, as on some file systems.
    """
    read = {path.resolve(): path for path in inputs}
    writer_of: dict[str, tuple[int, str]] = {}
    for number, (where, paths) in enumerate(writers):
        for path in paths:
            place = path.resolve()
            key = str(place).casefold() if fold_case else str(place)
            first, other = writer_of.setdefault(key, (number, where))
            if first != number:
                raise ConfigError(f"{other} and {where} would both write {path}; nothing was written. {remedy}")
            if place in read:
                raise ConfigError(
                    f"{where} would write {read[place]}, which is to be read; nothing was written. Leave it out, or "
                    "choose another folder with --out"
                )


@contextmanager
def writing(where: object, folder: Path) -> Iterator[None]:
    """Raise DataError, naming the image and the folder, where a file inside cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{where}: {folder} cannot be written to ({error.strerror}); choose another folder with --out"
        ) from error


def choose_formats(image: SourceImage, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return those of :data:`FORMATS` to write. Raises DataError where one is impossible."""
    if asked is None:
        return ("png", *(["nifti"] if image.grid else []), *(["seg"] if image.series else []))
    if "seg" in asked and image.series is None:
        raise DataError("a DICOM SEG belongs to a DICOM image, which this is not; choose --format png nifti")
    return asked


def label_paths(
    folder: Path, name: str, slices: Sequence[int], is_volume: bool, formats: Sequence[str]
) -> dict[tuple[int, str] | str, Path]:
    """Return the files of a labelled image: ``<name>-soft.png`` of an image, ``<name>/012-soft.png`` of a volume's
    slice, by (slice, kind); ``<name>-soft.nii.gz`` and others by kind."""
    paths: dict[tuple[int, str] | str, Path] = {}
    for z in slices if "png" in formats else ():
        begin = f"{name}/{z:03d}" if is_volume else name
        paths |= {(z, kind): folder / f"{begin}-{kind}.png" for kind in PICTURES}
    kinds = [kind for output, kinds in _VOLUMES.items() if output in formats for kind in kinds]
    return paths | {kind: folder / f"{name}-{kind}" for kind in kinds}


def label_pictures(image: np.ndarray, mask: SoftMask, part: tuple[slice, slice]) -> dict[str, bytes]:
    """Return the content of the PNG files of a slice: ``soft`` (16 bit, 65535 is 1), ``mask`` (8 bit, 255 inside),
    ``trimap`` (8 bit: 0, 128, 255) and ``overlay`` (the mask's outline on ``part`` of the image, enlarged)."""
    return {
        "soft": soft_png(mask.alpha),
        "mask": mask_png(mask.binary),
        "trimap": png(np.rint(mask.trimap * 255).astype(np.uint8)),
        "overlay": png(overlay(image[part], mask.binary[part])),
    }


def write_nifti(paths: Mapping, folder: Path, image: SourceImage, alphas: dict[int, np.ndarray]) -> None:
    """Write ``soft.nii.gz`` (float32) and ``mask.nii.gz`` (uint8) of ``paths`` on the voxels of the image; where it has
    no positions, as one slice with voxels of 1 mm. ``alphas`` are (H, W) float32 by slice."""
    grid = image.grid or Grid(
        shape=(1, *image.shape),
        spacing_mm=(1.0, 1.0, 1.0),
        z_mm=np.zeros(1),
        origin=(0.0, 0.0, 0.0),
        patient="",
        path=image.path,
    )
    volume = np.zeros(grid.shape, np.float32)
    for z, alpha in alphas.items():
        volume[z] = alpha
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("soft.nii.gz", volume), ("mask.nii.gz", (volume >= 0.5).astype(np.uint8))):
        write_atomic(paths[kind], nifti(image_of(values, grid), folder))


def seg_bytes(image: SourceImage, alphas: dict[int, np.ndarray], name: str, prior: str, epsilon: float) -> bytes:
    """Return a DICOM Segmentation object (PS3.3 A.51) with one segment, "Lesion", a frame for each of the slices.

    It is FRACTIONAL, of type OCCUPANCY, "the proportion of the pixel occupied by the property": that is what alpha is,
    the share of the lesion in a pixel that mixes lesion and surroundings. PROBABILITY would be the chance that the
    whole pixel is lesion. Values are stored in 8 bit, 255 is 1. Patient, study, frame of reference and position are
    those of the images; series and instance are new.

    Args:
        alphas: (H, W) in [0, 1] by slice of a DICOM image.
        name, prior: of the item, its prior being ``mask``, ``readers`` or ``recist``.

    Raises:
        DataError: where something that a SEG must repeat is missing in the images' headers.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    headers = [_header(image.files[z]) for z in sorted(alphas)]
    version = package_version("softmask") or "0"
    try:
        algorithm = hd.AlgorithmIdentificationSequence(
            name=f"closed-form matting from {_PRIORS[prior]}",
            family=codes.cid7162.NeighborhoodAnalysis,
            version=version,
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
                software_versions=version,
                device_serial_number="0",
                content_label="SOFT_MASK",
                content_description=f"soft mask from {_PRIORS[prior]}",
                series_description=f"Soft mask: {name}"[:64],
                omit_empty_frames=False,
            ).save_as(content)
    except Exception as error:  # highdicom reports faults of other people's headers in nearly any way
        raise DataError(
            f"{image.path}: no DICOM SEG can be made for it ({brief(error)}); mend the header, or choose --format "
            "png nifti"
        ) from error
    return content.getvalue()


def _header(path: Path):
    """Return the header of an image, checked for what a SEG must repeat; what may be empty is added."""
    logging.getLogger("highdicom").setLevel(logging.ERROR)
    header = dcmread(path, stop_before_pixels=True)
    for name in _TYPE_1:
        if not header.get(name):
            raise DataError(
                f"{path}: has no {named(name)}, which a DICOM SEG must repeat; mend the header, or choose --format "
                "png nifti"
            )
    for name in _TYPE_2:
        if name not in header:
            setattr(header, name, None)
    return header
