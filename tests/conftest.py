"""Fixtures that every test may use: own output folders, real data where it is, small samples made by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from PIL import Image

from softmask.data.sample import Dataset, Sample

# How long an example takes says more about the machine than about the code. The examples are the same on every
# machine; --hypothesis-profile search looks for new ones.
settings.register_profile("softmask", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("softmask")


@pytest.fixture(scope="session", autouse=True)
def _own_output(tmp_path_factory: pytest.TempPathFactory):
    """No test writes into the checkout's results, figures or cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTMASK_OUTPUT", str(tmp_path_factory.mktemp("output")))
    patch.setenv("SOFTMASK_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("SOFTMASK_RUNS", str(tmp_path_factory.mktemp("runs")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data (``SOFTMASK_DATA``); the test is skipped where there is none."""
    root = os.environ.get("SOFTMASK_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("SOFTMASK_DATA does not name a folder of real data")
    return Path(root).resolve()


class Given(Dataset):
    """The samples it is given, in that order; an exception among them is what reading that row raises."""

    source = "embedded"
    origin = "made by a test"
    fingerprint = "0"

    def __init__(self, samples: Sequence[Sample | Exception], name: str = "lidc", areas=None):
        super().__init__()
        self.name, self.given = name, list(samples)
        rows = [
            (f"p{i}", "n0", f"s{i}", 4, np.nan, None)
            if isinstance(s, Exception)
            else (s.patient, s.nodule, s.slice, int(s.present.sum()), s.readers[s.present].sum() / 4, s.kind)
            for i, s in enumerate(self.given)
        ]
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers", "area", "kind"])
        if areas is not None:
            self.index["area"] = areas

    def read(self, i: int) -> Sample:
        if isinstance(self.given[i], Exception):
            raise self.given[i]
        return self.given[i]


def disc_alpha(radius: float, centre: tuple[float, float] = (32, 32)) -> np.ndarray:
    """(64, 64) float32: a disc whose edge is one pixel wide."""
    row, column = np.indices((64, 64))
    return np.clip(radius + 0.5 - np.hypot(row - centre[0], column - centre[1]), 0, 1).astype(np.float32)


def disc_sample(i: int = 0, *, radius: float = 9, **changes) -> Sample:
    """A noisy bright disc; four readers who drew it 1 larger, 1 smaller, right, and one pixel to the side."""
    alpha = disc_alpha(radius)
    image = 0.2 + 0.5 * alpha + np.random.default_rng(i).normal(0, 0.03, alpha.shape)
    discs = [disc_alpha(radius + 1), disc_alpha(radius - 1), alpha, disc_alpha(radius, (32, 33))]
    fields = {
        "image": np.clip(image, 0, 1).astype(np.float32),
        "readers": np.stack(discs) >= 0.5,
        "present": np.ones(4, bool),
        "alpha": alpha,
        "spacing": (0.7, 0.7),
        **changes,
    }
    return Sample("lidc", "embedded", f"p{i}", "n0", f"s{i}", **fields)


def strip_sample(i: int, *readers: Sequence[int]) -> Sample:
    """Readers who marked these columns of the first row of an 8 x 8 image; an empty list is an absent reader."""
    masks = np.zeros((len(readers), 8, 8), bool)
    for reader, columns in enumerate(readers):
        masks[reader, 0, list(columns)] = True
    image = np.zeros((8, 8), np.float32)
    return Sample("lidc", "embedded", f"p{i}", "n0", f"s{i}", image, masks, masks.any(axis=(1, 2)))


@pytest.fixture(scope="session")
def dataset_of() -> Callable[..., Dataset]:
    return Given


@pytest.fixture(scope="session")
def discs() -> Callable[..., Sample]:
    return disc_sample


@pytest.fixture(scope="session")
def strips() -> Callable[..., Sample]:
    return strip_sample


@pytest.fixture
def sections(tmp_path: Path) -> Path:
    """A data folder with three sections of ISBI 2012, as small as a crop."""
    for half, value in (("image", 77), ("label", 255)):
        folder = tmp_path / "isbi2012/train" / half
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((128, 128), value, np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def write_series(folder: Path, hu: np.ndarray, spacing=(2.5, 0.7, 0.8), origin=(-20.5, -31.25, 100.0)):
    """A CT series in DICOM: ``hu`` (D, H, W), the slices from the feet up; names that sort against them."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    for z, values in enumerate(hu):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{z}"
        path = folder / f"{len(hu) - z:04}.dcm"
        ct = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ct.Modality, ct.PatientID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = "CT", "P", "1.2.4", "1.2.5"
        ct.StudyInstanceUID = "1.2.6"
        ct.ImagePositionPatient = [*origin[:2], origin[2] + spacing[0] * z]
        ct.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ct.PixelSpacing, ct.SliceThickness = list(spacing[1:]), spacing[0]
        ct.Rows, ct.Columns = values.shape
        ct.SamplesPerPixel, ct.PhotometricInterpretation = 1, "MONOCHROME2"
        ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 16, 15, 1
        ct.RescaleSlope, ct.RescaleIntercept = 1, 0
        ct.PixelData = values.astype("<i2").tobytes()
        ct.save_as(path)
    return folder


@pytest.fixture(scope="session")
def series() -> Callable[..., Path]:
    return write_series
