"""DICOM output for users' CT images: segmentations, the parametric map of alpha, the measurement report, and the
structure set. The files belong to the study of the images and repeat its patient data."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from softmask import __version__
from softmask.apply import IN_DICOM, REFERRED, SEGS
from softmask.apply.outputs import OUTLINE, WRITER, Result
from softmask.data.dicom import dcmread, title
from softmask.errors import DataError, brief
from softmask.measure.size import outlines

if TYPE_CHECKING:
    from highdicom.base import SOPClass
    from highdicom.seg import Segmentation
    from pydicom import DataElement, Dataset
    from pydicom.sr.coding import Code

_TYPE_2 = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime")
_TYPE_1 = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_REMEDY = "correct the header, or choose --format png nifti"
_TITLES = ("Soft mask", "Mask", "Label map", "Alpha", "Measurements", "Structure set")
_LONGEST = 64  # characters of a text of type LO


def dicom_files(result: Result, formats: Iterable[str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the file contents by format, and messages about formats that cannot be made and about doubtful headers.

    Args:
        formats: formats of :data:`~softmask.apply.IN_DICOM`; a report needs one of
            :data:`~softmask.apply.REFERRED`.
    """
    import highdicom as hd

    logging.getLogger("highdicom").setLevel(logging.ERROR)
    contents: dict[str, bytes] = {}
    segmentation = None
    formats = sorted(formats, key=IN_DICOM.index)  # the segmentation before the report
    try:
        headers_by_slice, doubts = _headers(result)
    except DataError as error:
        return {}, [str(error)]
    headers, span_headers = [headers_by_slice[z] for z in sorted(result.alphas)], [*headers_by_slice.values()]
    for format in formats:
        if format in ("report", "rtstruct") and result.size.axes is None:
            doubts.append(f"{result.image.path}: the mask is empty, so there is no DICOM {format} of it")
            continue
        common: dict[str, Any] = {
            "series_instance_uid": hd.UID(),
            "series_number": 1000 + IN_DICOM.index(format),
            "sop_instance_uid": hd.UID(),
            "instance_number": 1,
            "manufacturer": WRITER,
            "manufacturer_model_name": f"softmask {result.command}",
            "software_versions": __version__,
            "device_serial_number": "0",
            "series_description": f"{_TITLES[IN_DICOM.index(format)]}: {result.name}"[:_LONGEST],
        }
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about values in the images' headers, which are copied unchanged
                if format in SEGS:
                    dataset = _segmentation(result, span_headers, format, common)
                    segmentation = segmentation or (dataset if format in REFERRED else None)
                elif format == "map":
                    dataset = _map(result, span_headers, common)
                elif format == "report":
                    if segmentation is None:
                        raise ValueError("there is no segmentation that it could refer to")
                    dataset = _report(result, headers, segmentation, common)
                else:
                    dataset = _structure_set(result, headers, common)
                content = io.BytesIO()
                dataset.save_as(content)
            contents[format] = content.getvalue()
        except Exception as error:  # highdicom raises nearly any error for a faulty header
            why = f"no DICOM {format} can be made for it ({brief(error)})"
            doubts.append(f"{result.image.path}: {why}; {_REMEDY}")
    return contents, doubts


def _headers(result: Result) -> tuple[dict[int, Dataset], list[str]]:
    """Return the headers of the slices from the first to the last of the result, by slice, and messages about doubtful
    values. Missing attributes that may be empty are added, invalid dates and times are emptied, the slice spacing is
    computed from the positions and replaces a missing thickness, and text that highdicom cannot copy becomes UTF-8.

    Raises:
        DataError: if a UID that must be repeated is missing, or two slices have the same SOPInstanceUID.
    """
    from highdicom.enum import SpecificCharacterSetValues

    known_charsets = {value.value for value in SpecificCharacterSetValues}
    headers, doubts = {}, {}
    for z in _span(result):
        path = result.image.slices[z].path
        header = dcmread(path, stop_before_pixels=True)
        for name in _TYPE_1:
            if not header.get(name):
                raise DataError(f"{path}: has no {title(name)}, which the DICOM outputs must repeat; {_REMEDY}")
        for name in _TYPE_2:
            if name not in header:
                setattr(header, name, None)
            elif _damaged(header[name]):
                doubts[name] = f"is {str(header[name].value)!r}; it is empty in the DICOM outputs"
                setattr(header, name, None)
        if not header.get("SliceThickness"):
            header.SliceThickness = result.image.grid.spacing_mm[0]
            basis = "the slices' distance" if len(result.image.slices) > 1 else "assumed"
            doubts["SliceThickness"] = f"is missing; the DICOM outputs say {header.SliceThickness:g} mm, {basis}"
        header.SpacingBetweenSlices = result.image.grid.spacing_mm[0]  # highdicom copies or guesses it
        charsets = header.get("SpecificCharacterSet") or ()
        charsets = [charsets] if isinstance(charsets, str) else list(charsets)
        if not any(charsets) and "SpecificCharacterSet" in header:  # emptied by some anonymisers: same as absent
            charsets = []
            del header.SpecificCharacterSet
        has_unknown_charset = not {*charsets} <= known_charsets
        if has_unknown_charset or not result.name.isascii():
            header.decode()
            header.SpecificCharacterSet = "ISO_IR 192"
        if has_unknown_charset:
            doubts["SpecificCharacterSet"] = f"is {chr(92).join(charsets)}; the DICOM outputs are in ISO_IR 192"
        if any(other.SOPInstanceUID == header.SOPInstanceUID for other in headers.values()):
            raise DataError(f"{path}: {title('SOPInstanceUID')} is that of another slice, too; {_REMEDY}")
        headers[z] = header
    return headers, [f"{title(name)} {text}" for name, text in doubts.items()]


def _damaged(element: DataElement) -> bool:
    """Return whether a date or time is invalid; highdicom rejects such a value without naming the attribute."""
    from pydicom.config import RAISE
    from pydicom.valuerep import validate_value

    try:
        if element.VR in ("DA", "TM"):
            validate_value(element.VR, str(element.value or ""), RAISE)
    except ValueError:
        return True
    return False


def _segmentation(result: Result, headers: list[Dataset], format: str, common: dict[str, Any]) -> Segmentation:
    """Return a DICOM segmentation (PS3.3 A.51) with one segment, "Lesion", and one frame for each slice of the span.

    A FRACTIONAL segmentation has the type OCCUPANCY, "the proportion of the pixel occupied by the property", which is
    alpha; PROBABILITY would be the probability that the whole pixel is lesion. Values have 8 bits, 255 means 1.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if result.command == "segment":
        method, family = "convolutional network", codes.cid7162.ArtificialIntelligence
    else:
        method, family = "closed-form matting", codes.cid7162.NeighborhoodAnalysis
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"{method} {result.origin}"[:_LONGEST],
        family=family,
        version=__version__,
        source="softmask",
        parameters=dict(result.parameters),
    )
    algorithm_types = hd.seg.SegmentAlgorithmTypeValues
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=algorithm_types.AUTOMATIC if result.automatic else algorithm_types.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
    )
    soft = format == "seg"
    values = _stack(result, result.alphas, np.float32) if soft else _stack(result, result.masks, np.uint8)
    options = {"fractional_type": hd.seg.SegmentationFractionalTypeValues.OCCUPANCY, "max_fractional_value": 255}
    return hd.seg.Segmentation(
        source_images=headers,
        pixel_array=values,
        segmentation_type={"seg": "FRACTIONAL", "seg-binary": "BINARY", "seg-labelmap": "LABELMAP"}[format],
        segment_descriptions=[segment],
        content_label="SOFT_MASK" if soft else "MASK",
        content_description=f"{'soft mask' if soft else 'mask'} {result.origin}"[:_LONGEST],
        omit_empty_frames=False,
        **(options if soft else {}),
        **common,
    )


def _map(result: Result, headers: list[Dataset], common: dict[str, Any]) -> SOPClass:
    """Return the parametric map (PS3.3 A.75) of alpha, float32, with one frame for each slice of the span."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    alpha_mapping = hd.pm.RealWorldValueMapping(
        lut_label="ALPHA",
        lut_explanation="Fraction of the pixel that is lesion",
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        quantity_definition=codes.DCM.FractionalOccupancySegmentation,
    )
    dataset = hd.pm.ParametricMap(
        source_images=headers,
        pixel_array=_stack(result, result.alphas, np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[alpha_mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="ALPHA",
        content_description=f"alpha {result.origin}"[:_LONGEST],
        **common,
    )
    body = _item(CodeValue="38266002", CodingSchemeDesignator="SCT", CodeMeaning="Entire body")
    anatomy = _item(FrameLaterality="U", AnatomicRegionSequence=[body])  # dcmqi fails without it
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    # Order the frames from the feet up: dcmqi stacks frames in file order, and highdicom stores them head first.
    frames = dataset.PerFrameFunctionalGroupsSequence
    order = np.argsort([frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames])
    values = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(len(frames), -1)
    dataset.FloatPixelData = values[order].tobytes()
    dataset.PerFrameFunctionalGroupsSequence = [frames[n] for n in order]
    return dataset


def _report(result: Result, headers: list[Dataset], segmentation: Segmentation, common: dict[str, Any]) -> SOPClass:
    """Return the measurement report (TID 1500). It contains the axes of the mark as drawn, and those of the mask on the
    measured slice (TID 1501); also the areas on that slice (TID 1410) and, with several slices, the volumes (TID 1411)
    of the binary and the soft mask, with the segmentation. All groups have the tracking identifier of the one lesion;
    groups of a mask name the method."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    size, source = result.size, headers[sorted(result.alphas).index(result.size.slice)]
    frames = [item.DerivationImageSequence[0] for item in segmentation.PerFrameFunctionalGroupsSequence]
    source_uids = [item.SourceImageSequence[0].ReferencedSOPInstanceUID for item in frames]  # not in slice order
    seg_uids = (segmentation.SOPClassUID, segmentation.SOPInstanceUID)
    turn = result.image.series[size.slice].turn
    sources = list(map(hd.sr.SourceImageForSegmentation.from_source_image, [source, *headers]))
    frame = hd.sr.ReferencedSegmentationFrame(*seg_uids, source_uids.index(source.SOPInstanceUID) + 1, 1, sources[0])
    del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber  # not allowed beside a frame number (PS3.3 10.3.1.1)
    tracking = {"uid": hd.UID(), "identifier": result.name[:_LONGEST]}

    def make_length(name: Code, ends: np.ndarray, mm: float) -> hd.sr.Measurement:
        polyline = hd.sr.CoordinatesForMeasurement(
            graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
            graphic_data=turn.to_stored(ends, result.image.shape)[:, ::-1] + 0.5,  # (column, row) from the outer corner
            source_image=hd.sr.SourceImageForRegion.from_source_image(source),
        )
        unit = codes.UCUM.Millimeter
        return hd.sr.Measurement(name=name, value=round(mm, 3), unit=unit, referenced_coordinates=[polyline])

    def make_group(kind: type, *measurements: hd.sr.Measurement, **options: Any) -> Any:
        identifier = hd.sr.TrackingIdentifier(**tracking)
        finding = codes.SCT.Lesion
        return kind(tracking_identifier=identifier, finding_type=finding, measurements=measurements, **options)

    def make_diameters(axes: np.ndarray, lengths: Iterable[float], **options: Any) -> Any:
        names = (codes.SCT.LongAxis, codes.SCT.ShortAxis)
        lines = [make_length(*line) for line in zip(names, axes, lengths, strict=True)]
        return make_group(hd.sr.MeasurementsAndQualitativeEvaluations, *lines, **options)

    groups = [make_diameters(*mark_axes)] if (mark_axes := result.mark_axes_mm) else []
    mask_lengths = (size.long_mm, size.short_mm)
    groups.append(make_diameters(size.axes, mask_lengths, method=codes.DCM.BinarySegmentation))
    for method, area, volume in (
        (codes.DCM.BinarySegmentation, size.area_mm2, size.volume_mm3),
        (codes.DCM.FractionalOccupancySegmentation, size.soft_area_mm2, size.soft_volume_mm3),
    ):
        number = hd.sr.Measurement(name=codes.SCT.Area, value=round(area, 3), unit=codes.UCUM.SquareMillimeter)
        planar_type = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
        groups.append(make_group(planar_type, number, referenced_segment=frame, method=method))
        if result.has_volume:
            number = hd.sr.Measurement(name=codes.SCT.Volume, value=round(volume, 3), unit=codes.UCUM.CubicMillimeter)
            segment = hd.sr.ReferencedSegment(*seg_uids, 1, source_images=sources[1:])
            volume_type = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
            groups.append(make_group(volume_type, number, referenced_segment=segment, method=method))
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name="softmask", model_name=f"{__version__}")
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.ComprehensiveSR(evidence=[*headers, segmentation], content=content[0], is_complete=True, **common)


def _structure_set(result: Result, headers: list[Dataset], common: dict[str, Any]) -> SOPClass:
    """Return the RT structure set (PS3.3 A.19) with the outlines of the mask as one structure, "Lesion"."""
    from highdicom.base import SOPClass
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

    first_header = headers[0]
    dataset = SOPClass(
        study_instance_uid=first_header.StudyInstanceUID,
        sop_class_uid=RTStructureSetStorage,
        modality="RTSTRUCT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=first_header.get("SpecificCharacterSet"),
        patient_sex=first_header.PatientSex,  # which is checked here
        **common,
    )
    dataset.copy_patient_and_study_information(first_header)
    dataset.OperatorsName = dataset.PositionReferenceIndicator = None
    dataset.FrameOfReferenceUID = first_header.FrameOfReferenceUID
    dataset.StructureSetLabel = "MASK"
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    images = [
        _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)
        for header in headers
    ]
    series = _item(SeriesInstanceUID=first_header.SeriesInstanceUID, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # detached study management: retired, but required
        ReferencedSOPInstanceUID=first_header.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    dataset.ReferencedFrameOfReferenceSequence = [
        _item(FrameOfReferenceUID=first_header.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    ]
    dataset.StructureSetROISequence = [
        _item(
            ROINumber=1,
            ReferencedFrameOfReferenceUID=first_header.FrameOfReferenceUID,
            ROIName="Lesion",
            ROIGenerationAlgorithm="AUTOMATIC" if result.automatic else "SEMIAUTOMATIC",
        )
    ]
    grid, contours = result.image.grid, []
    for z, image in zip(sorted(result.alphas), images, strict=True):
        polygons = outlines(result.masks[z], result.alphas[z])
        kind = "CLOSEDPLANAR_XOR" if any(map(_is_hole, polygons)) else "CLOSED_PLANAR"
        for points in polygons:
            x, y = (points[:-1, ::-1] * grid.spacing_mm[:0:-1] + grid.origin[:2]).T
            mm = np.stack([x, y, np.full_like(x, grid.z_mm[z])], axis=1)
            data = [f"{value:.4f}" for value in mm.ravel()]
            contours.append(
                _item(
                    ContourImageSequence=[image],
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(mm),
                    ContourData=data,
                )
            )
    dataset.ROIContourSequence = [_item(ROIDisplayColor=list(OUTLINE), ReferencedROINumber=1, ContourSequence=contours)]
    dataset.RTROIObservationsSequence = [
        _item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType=None, ROIInterpreter=None)
    ]
    return dataset


def _item(**values: Any) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _is_hole(outline: np.ndarray) -> bool:
    """Return whether a closed outline (N, 2) encloses a hole: the mask is on the same side of all outlines."""
    (row, column), (next_row, next_column) = outline[:-1].T, outline[1:].T
    return bool((column * next_row - next_column * row).sum() < 0)


def _span(result: Result) -> range:
    """Return the slices from the first marked slice to the last. Without empty frames for the slices between, software
    that uses the distance of the frames would build a thicker volume."""
    return range(min(result.alphas), max(result.alphas) + 1)


def _stack(result: Result, slices: Mapping[int, np.ndarray], dtype: type) -> np.ndarray:
    """Return (N, H, W): the slices of the span in order, oriented as the stored pixels of their images."""
    empty = np.zeros(result.image.shape, dtype)
    stored_slices = [result.image.series[z].turn.back(slices.get(z, empty)) for z in _span(result)]
    return np.stack(stored_slices).astype(dtype)
