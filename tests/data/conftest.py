"""Chest CT in small: DICOM series, RTSTRUCT and SEG files as scanners and planning systems write them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, SegmentationStorage, generate_uid

FRAME = "1.2.826.0.1.3680043.8.498.2"
SERIES = "1.2.826.0.1.3680043.8.498.1"
SPACING = (2.5, 1.5, 1.25)
ORIGIN = (-20.0, -30.0, 100.0)


class Chest:
    """A scan of (6, 24, 32) voxels, whose lungs are two quadrilaterals in its slices 1 to 4, and its files."""

    shape = (6, 24, 32)
    frame, series, spacing, origin = FRAME, SERIES, SPACING, ORIGIN
    outlines: ClassVar[dict[str, np.ndarray]] = {
        "Lung-Left": np.array([(4.3, 18.2), (5.1, 27.6), (19.4, 26.3), (17.2, 19.8)]),
        "Lung-Right": np.array([(5.2, 4.4), (4.4, 13.7), (18.7, 12.1), (19.9, 5.6)]),
    }  # (row, column)

    def hu(self) -> np.ndarray:
        """(6, 24, 32) int16, no two slices alike."""
        row, column = np.indices(self.shape[1:])
        return np.stack([(-900 + 40 * z + 3 * row + column) for z in range(self.shape[0])]).astype(np.int16)

    def z(self, place: int) -> float:
        return ORIGIN[2] + SPACING[0] * place

    def write_slice(self, path: Path, place: int, **changes) -> Path:
        dataset = _file(path, CTImageStorage, "CT")
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = SERIES, FRAME
        dataset.ImagePositionPatient = [*ORIGIN[:2], self.z(place)]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING[1:]), SPACING[0]
        dataset.Rows, dataset.Columns = self.shape[1:]
        _pixels(dataset, 16)
        dataset.PixelRepresentation = 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = (self.hu()[place] + 1024).astype("<i2").tobytes()
        return _save(dataset, path, changes)

    def write_series(self, folder: Path, places=range(6)) -> Path:
        for place in places:
            # names that sort against the positions
            self.write_slice(folder / f"{9 - place}.dcm", place)
        return folder

    def write_rtstruct(self, path: Path, outlines=None, *, shift: float = 0.0, slices=range(1, 5), **changes) -> Path:
        """``outlines``: for each structure, its outline or outlines in pixels."""
        outlines = self.outlines if outlines is None else outlines
        dataset = _file(path, RTStructureSetStorage, "RTSTRUCT")
        frame = changes.pop("frame", FRAME)
        dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
        for number, (name, points) in enumerate(outlines.items(), 3):
            structure, roi = Dataset(), Dataset()
            structure.ROINumber, structure.ROIName, structure.ReferencedFrameOfReferenceUID = number, name, frame
            roi.ReferencedROINumber, roi.ContourSequence = number, []
            for place in slices:
                for outline in points if isinstance(points, list) else [points]:
                    contour = Dataset()
                    contour.ContourGeometricType = "CLOSED_PLANAR"
                    x, y = ORIGIN[0] + SPACING[2] * outline[:, 1], ORIGIN[1] + SPACING[1] * outline[:, 0]
                    values = np.stack([x, y, np.full(len(x), self.z(place) + shift)], axis=1).ravel()
                    contour.ContourData = [f"{value:.4f}" for value in values]
                    contour.NumberOfContourPoints = len(x)
                    roi.ContourSequence.append(contour)
            dataset.StructureSetROISequence.append(structure)
            dataset.ROIContourSequence.append(roi)
        return _save(dataset, path, changes)

    def write_seg(self, path: Path, masks: dict[str, np.ndarray], *, fractional: bool = False, **changes) -> Path:
        """``masks``: for each segment (6, 24, 32), bool, or from 0 to 1; frames are its slices that are not empty."""
        dataset = _file(path, SegmentationStorage, "SEG")
        dataset.FrameOfReferenceUID = FRAME
        dataset.SegmentationType = "FRACTIONAL" if fractional else "BINARY"
        origin, spacing = changes.pop("origin", ORIGIN), changes.pop("pixel", SPACING[1:])
        shared, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], list(spacing)
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
        dataset.SharedFunctionalGroupsSequence = [shared]
        dataset.SegmentSequence, dataset.PerFrameFunctionalGroupsSequence, frames = [], [], []
        for number, (name, mask) in enumerate(masks.items(), 1):
            segment = Dataset()
            segment.SegmentNumber, segment.SegmentLabel = number, name
            dataset.SegmentSequence.append(segment)
            for place in np.flatnonzero(mask.any(axis=(1, 2))):
                item, position, identity = Dataset(), Dataset(), Dataset()
                position.ImagePositionPatient = [*origin[:2], origin[2] + SPACING[0] * int(place)]
                identity.ReferencedSegmentNumber = number
                item.PlanePositionSequence, item.SegmentIdentificationSequence = [position], [identity]
                dataset.PerFrameFunctionalGroupsSequence.append(item)
                frames.append(mask[place])
        stack = np.stack(frames)
        dataset.NumberOfFrames = len(stack)
        dataset.Rows, dataset.Columns = stack.shape[1:]
        _pixels(dataset, 8 if fractional else 1)
        if fractional:
            dataset.MaximumFractionalValue = 200
            dataset.PixelData = np.rint(stack * 200).astype(np.uint8).tobytes()
        else:
            dataset.PixelData = np.packbits(stack.ravel(), bitorder="little").tobytes()
        return _save(dataset, path, changes)

    def write_image(self, path: Path, values: np.ndarray, *, origin=ORIGIN, spacing=SPACING, turned: str = "") -> Path:
        """An nrrd or NIfTI file; ``turned`` names other axes to store it in, such as ``RAS``."""
        import SimpleITK

        image = SimpleITK.GetImageFromArray(values)
        image.SetOrigin(origin)
        image.SetSpacing(spacing[::-1])
        if turned:
            image = SimpleITK.DICOMOrient(image, turned)
        path.parent.mkdir(parents=True, exist_ok=True)
        SimpleITK.WriteImage(image, str(path))
        return path


def _file(path: Path, storage: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[modality, path.name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID = modality, "P-1"
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[modality])
    return dataset


def _pixels(dataset: Dataset, bits: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0


def _save(dataset: FileDataset, path: Path, changes: dict) -> Path:
    syntax = changes.pop("syntax", None)
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path)
    return path


@pytest.fixture(scope="session")
def chest() -> Chest:
    return Chest()
