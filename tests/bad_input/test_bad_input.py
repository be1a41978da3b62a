"""Every kind of bad input for every format that the package reads.

It is the project's own error, which names the file and says what to do; never a hang, never memory for what a header
only declares, never a file outside the folder, never code that runs.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from softmask.errors import SoftmaskError

ADVICE = re.compile(
    r"(?i)\b(get|download|convert|correct|check|remove|delete|save|export|resample|redraw|crop|install|run|name|choose|"
    r"move|make|give|put|set|decompress|train) |expected|`softmask "
)
"""How a remedy is told: by a verb that asks for something, by what was expected instead, or by a command."""
MEGABYTES = 200

_opened: list[str] | None = None


def _watch(event: str, arguments: tuple):
    if _opened is not None and event in ("open", "os.listdir", "os.scandir"):
        _opened.append(str(arguments[0]))


sys.addaudithook(_watch)


@pytest.fixture
def bounded(limit, outside: Path):
    """Fails where what is done inside hangs, takes memory for what is only declared, or looks ``outside``."""

    @contextmanager
    def inside() -> Iterator[None]:
        global _opened
        tracemalloc.start()
        _opened = []
        try:
            with limit():
                yield
        finally:
            opened, _opened = _opened, None
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
        assert peak < MEGABYTES
        assert not [path for path in opened if str(outside) in path]

    return inside


@pytest.fixture
def outside(tmp_path: Path):
    """A folder that nothing read from ``tmp_path / "in"`` may lead to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.raw").write_bytes(bytes(10_000))
    (tmp_path / "in").mkdir()
    return folder


Spoil = Callable[[Path], object]


def content(data: bytes | str) -> Spoil:
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def changed(change: Callable[[bytes], bytes]) -> Spoil:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def cut(length: int) -> Spoil:
    """So many bytes alone, or without so many at the end."""
    return changed(lambda whole: whole[:length])


def bytes_at(position: int, data: bytes) -> Spoil:
    """These bytes in place of what stands there."""
    return changed(lambda whole: whole[:position] + data + whole[position + len(data) :])


def replaced(old: str | bytes, new: str | bytes) -> Spoil:
    old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))
    return changed(lambda whole: whole.replace(old, new))


def instead(make: Spoil) -> Spoil:
    """Something else in its place."""

    def spoil(path: Path):
        path.unlink()
        make(path)

    return spoil


def huge(path: Path):
    os.truncate(path, 1 << 36)  # zeros that take no space


def field(*keys: str | int, value: object) -> Spoil:
    """Another value in a JSON file."""

    def spoil(path: Path):
        whole = json.loads(path.read_text())
        inner = whole
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(json.dumps(whole))

    return spoil


def sql(*statements: str) -> Spoil:
    def spoil(path: Path):
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return spoil


def dicom(part: Callable[[pydicom.Dataset], pydicom.Dataset] = lambda dataset: dataset, **changes: object) -> Spoil:
    """Other values in a DICOM file, or in a part of it."""

    def spoil(path: Path):
        dataset = pydicom.dcmread(path)
        for name, value in changes.items():
            setattr(part(dataset), name, value)
        dataset.save_as(path)

    return spoil


def first_contour(dataset: pydicom.Dataset) -> pydicom.Dataset:
    return dataset.ROIContourSequence[0].ContourSequence[0]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(side: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


def nrrd(*lines: str) -> Spoil:
    fields = ["type: short", "dimension: 3", "sizes: 4 4 2", "endian: little", "encoding: raw"]
    kept = [item for item in fields if item.partition(":")[0] not in {line.partition(":")[0] for line in lines}]
    return content("\n".join(["NRRD0004", *kept, *lines]).encode() + b"\n\n" + b"\xff" * 64)


def packed(damage: Callable[[bytes], bytes]) -> Spoil:
    """Damage inside a compressed file, whose checksum fits."""
    return changed(lambda whole: gzip.compress(damage(gzip.decompress(whole))))


def tiff(values: np.ndarray, signed: bool = False, pages: int = 1) -> Spoil:
    """Another TIFF image in its place."""

    def spoil(path: Path):
        image = Image.fromarray(values.view("<u2") if signed else values)
        more = {"save_all": True, "append_images": [image] * (pages - 1)} if pages > 1 else {}
        image.save(path, tiffinfo={339: 2} if signed else {}, **more)

    return spoil


def member(name: str, data: bytes, lie: int | None = None) -> Spoil:
    """An archive with one member, which declares the size ``lie``."""

    def spoil(path: Path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, data)
        whole = path.read_bytes()
        if lie is not None:
            path.write_bytes(whole.replace(struct.pack("<I", len(data)), struct.pack("<I", lie)))

    return spoil


def elsewhere(path: Path):
    """The header's voxels are a link that leads out of the folder."""
    voxels = path.with_suffix(".raw")
    voxels.unlink()
    voxels.symlink_to(path.parents[1] / "outside" / "secret.raw")


def huge_voxels(path: Path):
    huge(path.with_suffix(".raw"))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)
ROOT = "<LidcReadMessage>"
SECRET = "../outside/secret.raw"
ENDLESS = (
    "CREATE VIEW zvals AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
    "SELECT 1 AS scan_id, x AS val FROM n"
)
HUGE_LENGTH = struct.pack("<HHHHI", 0x0009, 0x0010, *struct.unpack("<H", b"OB"), 0, 0xFFFFFFF0)
GENERAL: dict[str, Spoil] = {
    "empty": content(b""),
    "text": content("some text\nand more, of it\n" * 20),
    "binary": content(bytes(range(256)) * 8),
    "one-byte": cut(1),
    "folder": instead(Path.mkdir),
    "pipe": instead(os.mkfifo),
    "unreadable": instead(lambda path: path.symlink_to("/proc/self/mem")),
    "huge": huge,
}
# fmt: off
FORMATS = (
    "png", "tiff", "nifti", "nifti-gz", "nrrd", "own-nifti", "own-png", "dicom-ct", "dicom-seg", "rtstruct", "lidc-xml",
    "zip", "sqlite", "deeplesion-csv", "mhd", "isbi-tiff", "lungs-image", "lungs-mask", "flags-csv", "model-json",
    "model-weights", "record-json", "table-csv", "claims-json", "state-json", "notebook",
)
# fmt: on
JSON = [name for name in FORMATS if name.endswith("-json") or name == "notebook"]
DEEP, DIGITS, LIST = content("[" * 100_000), content('{"a": ' + "9" * 6000 + "}"), content("[]")
KINDS: dict[str, tuple[str, Spoil]] = {
    **{f"{name}-{damage}": (name, spoil) for name in FORMATS for damage, spoil in GENERAL.items()},
    **{f"{name}-nested-deep": (name, DEEP) for name in JSON},
    **{f"{name}-too-many-digits": (name, DIGITS) for name in JSON},
    **{f"{name}-list": (name, LIST) for name in JSON},
    "png-declares-huge": ("png", content(png_of(2**31 - 1))),
    "png-bomb": ("png", content(png_of(40_000))),
    "tiff-cut": ("tiff", cut(200)),
    "nifti-declares-huge": ("nifti", bytes_at(42, struct.pack("<3h", 32767, 32767, 32767))),
    "nifti-negative-size": ("nifti", bytes_at(42, struct.pack("<3h", -32, -24, 6))),
    "nifti-ninety-nine-dimensions": ("nifti", bytes_at(40, struct.pack("<h", 99))),
    "nifti-no-such-type": ("nifti", bytes_at(70, struct.pack("<2h", 4711, 16))),
    "nifti-voxels-begin-at-nan": ("nifti", bytes_at(108, struct.pack("<f", np.nan))),
    "nifti-voxels-begin-far-off": ("nifti", bytes_at(108, struct.pack("<f", 1e30))),
    "nifti-spacing-nan": ("nifti", bytes_at(80, struct.pack("<3f", np.nan, np.nan, np.nan))),
    "own-nifti-declares-huge": ("own-nifti", bytes_at(42, struct.pack("<3h", 32767, 32767, 32767))),
    "nifti-gz-checksum": ("nifti-gz", changed(lambda whole: whole[:-8] + bytes(8))),
    "nifti-gz-cut-inside": ("nifti-gz", packed(lambda whole: whole[:-100])),
    "nrrd-declares-huge": ("nrrd", nrrd("sizes: 99999 99999 99999")),
    "nrrd-negative-size": ("nrrd", nrrd("sizes: 4 4 -2")),
    "nrrd-voxels-elsewhere": ("nrrd", nrrd(f"data file: {SECRET}")),
    "nrrd-voxels-elsewhere-hidden": ("nrrd", nrrd("data file: ../outside/a:=b")),
    "nrrd-voxels-in-a-list": ("nrrd", nrrd("data file: LIST")),
    "nrrd-skips-bytes": ("nrrd", nrrd("byte skip: -1")),
    "nrrd-no-such-encoding": ("nrrd", nrrd("encoding: bzip3")),
    "nrrd-no-such-type": ("nrrd", nrrd("type: block")),
    "nrrd-cut": ("nrrd", nrrd("sizes: 4 4 3")),
    "dicom-ct-declares-huge": ("dicom-ct", dicom(Rows=65535, Columns=65535)),
    "dicom-ct-element-of-four-gigabytes": ("dicom-ct", changed(lambda whole: whole[:400] + HUGE_LENGTH)),
    "dicom-ct-scale-nan": ("dicom-ct", dicom(RescaleSlope="0")),
    "dicom-ct-two-numbers-for-three": ("dicom-ct", dicom(ImagePositionPatient=[1, 2])),
    "dicom-ct-another-modality": ("dicom-seg", dicom(Modality="MR")),
    "dicom-seg-declares-huge": ("dicom-seg", dicom(NumberOfFrames=2**31 - 1)),
    "rtstruct-no-such-representation": ("rtstruct", replaced(b"\x08\0\x60\0CS", b"\x08\0\x60\0C\0")),
    "rtstruct-two-numbers-a-point": ("rtstruct", dicom(first_contour, ContourData=["1", "2"])),
    "rtstruct-open-contour": ("rtstruct", dicom(first_contour, ContourGeometricType="POINT")),
    "lidc-xml-entity-bomb": ("lidc-xml", replaced(ROOT, f"{BOMB}]>{ROOT}")),
    "lidc-xml-external-entity": ("lidc-xml", replaced(ROOT, f'<!DOCTYPE x [<!ENTITY e SYSTEM "{SECRET}">]>{ROOT}')),
    "lidc-xml-external-dtd": ("lidc-xml", replaced(ROOT, f'<!DOCTYPE x SYSTEM "http://example.invalid/x.dtd">{ROOT}')),
    "lidc-xml-nested-deep": ("lidc-xml", replaced(ROOT, ROOT + "<a>" * 100_000)),
    "lidc-xml-no-such-encoding": ("lidc-xml", replaced("UTF-8", "UTF-99")),
    "zip-bomb": ("zip", member("a.png", bytes(80 * 2**20))),
    "zip-bomb-that-lies": ("zip", member("a.png", bytes(80 * 2**20), lie=100)),
    "zip-cut": ("zip", cut(-30)),
    "zip-member-damaged": ("zip", bytes_at(60, b"\xff\xff\xff")),
    "sqlite-no-table": ("sqlite", sql("DROP TABLE contours")),
    "sqlite-endless-view": ("sqlite", sql("DROP TABLE zvals", ENDLESS)),
    "sqlite-no-coordinates": ("sqlite", sql("UPDATE contours SET coords = NULL")),
    "sqlite-coordinates-that-are-none": ("sqlite", sql("UPDATE contours SET coords = '1,2\n3,x'")),
    "sqlite-reading-without-contours": ("sqlite", sql("UPDATE contours SET annotation_id = 7")),
    "sqlite-spacing-of-text": ("sqlite", sql("UPDATE scans SET pixel_spacing = 'wide'")),
    "sqlite-position-of-text": ("sqlite", sql("UPDATE zvals SET val = 'here'")),
    "sqlite-cut": ("sqlite", cut(5000)),
    "deeplesion-csv-open-quote": ("deeplesion-csv", replaced('8, 5"', "8, 5")),
    "deeplesion-csv-field-too-large": ("deeplesion-csv", replaced("109,", "1" * 200_000 + ",")),
    "deeplesion-csv-column-missing": ("deeplesion-csv", replaced("Possibly_noisy", "noisy")),
    "mhd-declares-huge": ("mhd", replaced("DimSize = 16 20 4", "DimSize = 99999 99999 99999")),
    "mhd-voxels-elsewhere": ("mhd", replaced("Case00.raw", SECRET)),
    "mhd-voxels-linked-elsewhere": ("mhd", elsewhere),
    "mhd-voxels-huge": ("mhd", huge_voxels),
    "mhd-voxels-cut": ("mhd", lambda path: os.truncate(path.with_suffix(".raw"), 100)),
    "mhd-spacing-nan": ("mhd", replaced("ElementSpacing = 1 1 1", "ElementSpacing = nan nan nan")),
    "mhd-compressed": ("mhd", replaced("CompressedData = False", "CompressedData = True")),
    "isbi-tiff-cut": ("isbi-tiff", cut(200)),
    "lungs-image-cut": ("lungs-image", cut(200)),
    "lungs-image-no-ct": ("lungs-image", tiff(np.zeros((64, 64), "<i2"), signed=True)),
    "lungs-image-unsigned": ("lungs-image", tiff(np.zeros((64, 64), "<u2"))),
    "lungs-image-float": ("lungs-image", tiff(np.zeros((64, 64), np.float32))),
    "lungs-image-colour": ("lungs-image", tiff(np.zeros((64, 64, 3), np.uint8))),
    "lungs-image-pages": ("lungs-image", tiff(np.zeros((64, 64), np.uint8), pages=2)),
    "lungs-image-missing": ("lungs-image", Path.unlink),
    "lungs-mask-empty": ("lungs-mask", tiff(np.zeros((64, 64), np.uint8))),
    "lungs-mask-values": ("lungs-mask", tiff(np.full((64, 64), 7, np.uint8))),
    "lungs-mask-size": ("lungs-mask", tiff(np.full((32, 32), 255, np.uint8))),
    "lungs-mask-missing": ("lungs-mask", Path.unlink),
    "flags-csv-other-columns": ("flags-csv", replaced("patient,nodule", "nodule,patient")),
    "flags-csv-traversal": ("flags-csv", replaced("nodule-0", "../../outside")),
    "flags-csv-link-to-nothing": ("flags-csv", instead(lambda path: path.symlink_to("nothing"))),
    "model-json-huge-network": ("model-json", field("spec", "width", value=10**9)),
    "model-json-missing": ("model-json", Path.unlink),
    "model-weights-missing": ("model-weights", Path.unlink),
    "model-weights-flipped-bit": ("model-weights", bytes_at(5000, b"\x5a\xa5")),
    "record-json-huge-image": ("record-json", field("spec", "size", value=10**12)),
    "record-json-huge-number": ("record-json", field("provenance", "seconds", value=10**400)),
    "record-json-missing": ("record-json", Path.unlink),
    "record-json-values-missing": ("record-json", field("ids", value=["one"])),
    "table-csv-missing": ("table-csv", Path.unlink),
    "claims-json-numbers-for-claims": ("claims-json", field("claims", value=[1, 2])),
    "state-json-unknown-field": ("state-json", field("notebooks", 0, "extra", value=1)),
    "state-json-words-for-seconds": ("state-json", field("notebooks", 0, "seconds", value="long")),
    "state-json-outputs-elsewhere": ("state-json", field("notebooks", 0, "outputs", value=[f"../{SECRET}"])),
    "notebook-cells-of-numbers": ("notebook", field("cells", value=[1, 2])),
    "notebook-tags-of-nothing": ("notebook", field("cells", 0, "metadata", value=None)),
}
TWINS = {"Case00.mhd": "Case00.raw", "model.json": "weights.safetensors"}
"""Files that are read together: what is wrong with one may show in the other."""

for same in ("zip-folder", "nrrd-huge"):  # a folder is read as an archive is, and voxels as many as the header says
    del KINDS[same]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_is_named_with_a_remedy(kind, formats, tmp_path, outside, bounded):
    name, spoil = KINDS[kind]
    path = formats[name].write(tmp_path / "in")
    spoil(path)
    with bounded(), pytest.raises(SoftmaskError) as caught:
        formats[name].read(path)
    message = str(caught.value)
    named = next((name for name in (path.name, TWINS.get(path.name, path.name)) if name in message), None)
    assert named, message
    assert ADVICE.search(message.partition(named)[2]), message
    assert (outside / "secret.raw").read_bytes() == bytes(10_000)


def test_no_format_is_left_out(formats):
    assert {name for name, _ in KINDS.values()} == set(formats)


def test_a_good_file_is_read(format, tmp_path, bounded):
    with bounded():
        format.read(format.write(tmp_path / "in"))
