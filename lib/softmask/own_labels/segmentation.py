"""A soft mask as a DICOM Segmentation object of type FRACTIONAL (PS3.3 A.51), which DICOM viewers lay on its images.

The fractional type is OCCUPANCY, "the proportion of the pixel occupied by the property": that is what alpha is, the
share of the lesion in a pixel that mixes lesion and surroundings. PROBABILITY would be the chance that the whole pixel
is lesion. Values are stored in 8 bit, 255 is 1.
"""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np

from softmask.data.dicom import dcmread, named
from softmask.errors import DataError, brief
from softmask.machine import package_version
from softmask.own_labels.items import Item
from softmask.own_labels.settings import Settings
from softmask.own_labels.sources import Source

LARGEST_VALUE = 255
"""MaximumFractionalValue."""

_TYPE_2 = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime")
_TYPE_1 = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_PRIORS = {"mask": "a binary mask", "readers": "the masks of several readers", "recist": "RECIST axes"}


def seg_bytes(item: Item, source: Source, alphas: dict[int, np.ndarray], settings: Settings) -> bytes:
    """The content of a DICOM file with one segment, "Lesion", a frame for each of the slices.

    Patient, study, frame of reference and position are those of the images; series and instance are new.

    Args:
        alphas: (H, W) in [0, 1] by slice of a source that is DICOM.

    Raises:
        DataError: where the images' headers lack what a SEG must repeat.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    places = sorted(alphas)
    images = [_header(source.files[z]) for z in places]
    version = package_version("softmask") or "0"
    try:
        algorithm = hd.AlgorithmIdentificationSequence(
            name=f"closed-form matting from {_PRIORS[item.kind]}",
            family=codes.cid7162.NeighborhoodAnalysis,
            version=version,
            source="softmask",
            parameters={"epsilon": f"{settings.epsilon:g}", "prior": item.kind},
        )
        segment = hd.seg.SegmentDescription(
            segment_number=1,
            segment_label="Lesion",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
            algorithm_identification=algorithm,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values in the images' headers, which are repeated as they are
            made = hd.seg.Segmentation(
                source_images=images,
                pixel_array=np.stack([alphas[z] for z in places]).astype(np.float32),
                segmentation_type=hd.seg.SegmentationTypeValues.FRACTIONAL,
                fractional_type=hd.seg.SegmentationFractionalTypeValues.OCCUPANCY,
                max_fractional_value=LARGEST_VALUE,
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
                content_description=f"soft mask from {_PRIORS[item.kind]}",
                series_description=f"Soft mask: {item.name}"[:64],
                omit_empty_frames=False,
            )
            content = io.BytesIO()
            made.save_as(content)
    except Exception as error:  # of what is wrong in other people's headers, highdicom tells in nearly any way
        raise DataError(
            f"{source.path}: no DICOM SEG can be made for it ({brief(error)}); mend the header, or choose --format "
            "png nifti"
        ) from error
    return content.getvalue()


def _header(path):
    """The header of an image, with what it must have, and what it may leave out left empty."""
    logging.getLogger("highdicom").setLevel(logging.ERROR)
    image = dcmread(path, stop_before_pixels=True)
    for name in _TYPE_1:
        if not image.get(name):
            raise DataError(
                f"{path}: has no {named(name)}, which a DICOM SEG must repeat; mend the header, or choose --format "
                "png nifti"
            )
    for name in _TYPE_2:
        if name not in image:
            setattr(image, name, None)
    return image
