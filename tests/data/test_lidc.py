"""LIDC-IDRI-slices: folder and archive, the join with the annotation database, wrong nodules, every kind of damage."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import softmask.data.annotations as annotations
from softmask.data.lidc import COLUMNS, LidcSlices, area_of
from softmask.errors import DataError, MissingData

NODULE = "LIDC-IDRI-0078/nodule-0"
HEIGHTS = {  # (nodule, spacing) -> slice -> rows that each reader marked
    (NODULE, 0.65): {0: (10, 10, 8, 6), 1: (0, 4, 0, 0), 10: (5, 5, 5, 0)},
    ("LIDC-IDRI-0069/nodule-0", 0.741): {0: (0, 0, 0, 0), 1: (7, 0, 0, 0)},
}


def png(array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(buffer, "PNG")
    return buffer.getvalue()


def image_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (128, 128), np.uint8)


def mask_of(row: int, height: int) -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    mask[row : row + height, 50:60] = 255
    return mask


def files() -> dict[str, bytes]:
    """Two nodules: slices marked by four readers, by one, and by none."""
    content = {}
    slices = [(nodule, k, marked) for (nodule, _), all_of in HEIGHTS.items() for k, marked in all_of.items()]
    for number, (nodule, k, heights) in enumerate(slices):
        content[f"LIDC-IDRI-slices/{nodule}/images/slice-{k}.png"] = png(image_of(number))
        for place, height in enumerate(heights):
            content[f"LIDC-IDRI-slices/{nodule}/mask-{place}/slice-{k}.png"] = png(mask_of(40 + place, height))
    return content


def database_of(table: dict, fingerprint: str = "ab" * 32) -> annotations.Annotations:
    """Contours of the same masks, elsewhere in the frame."""
    nodules = []
    for (title, spacing), slices in table.items():
        patient, _, name = title.partition("/")
        readings = []
        for place in range(4):
            ratings = {rating: place + 1 for rating in annotations.RATINGS}
            outlines = tuple(
                annotations.Contour(float(z), True, np.array([200, 300]) + corners_of(40 + place, heights[place]))
                for z, heights in slices.items()
                if heights[place]
            )
            readings.append(annotations.Reading(place, ratings, outlines))
        nodules.append(annotations.Nodule(patient, 1, "1.2", spacing, 1.0, 0, name, tuple(readings), 4))
    return annotations.Annotations(nodules, fingerprint, "test")


def corners_of(row: int, height: int) -> np.ndarray:
    """The contour whose inside is :func:`mask_of`."""
    return np.array([(row - 1, 49), (row - 1, 60), (row + height, 60), (row + height, 49)])


@pytest.fixture(autouse=True)
def database(monkeypatch):
    """The annotation database of :func:`files`."""
    made = database_of(HEIGHTS)
    monkeypatch.setattr(annotations, "load", lambda: made)


def write_folder(root: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "LIDC-IDRI-slices"


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path, files())


@pytest.fixture
def archive(tmp_path):
    return write_zip(tmp_path / "LIDC-IDRI-slices.zip", files())


def test_folder_and_archive_are_one_data_set(folder, archive):
    first, other = LidcSlices(folder), LidcSlices(archive)
    assert first.index.equals(other.index)
    assert first.fingerprint == other.fingerprint
    assert tuple(first.index.columns) == COLUMNS
    for i in range(len(first)):
        assert first[i].id == other[i].id
        assert np.array_equal(first[i].image, other[i].image)
        assert np.array_equal(first[i].readers, other[i].readers)


def test_the_index(archive):
    dataset = LidcSlices(archive)
    index = dataset.index
    assert index.slice.tolist() == ["slice-1", "slice-0", "slice-1", "slice-10"], "by number, not by letter"
    assert index.n_readers.tolist() == [1, 4, 1, 3]
    # four readers with rows 40-49, 41-50, 42-49, 43-48: two or more of them mark rows 41 to 49
    assert index.area.tolist() == [70, 90, 40, 50]
    assert index.spacing_mm.tolist() == [0.741, 0.65, 0.65, 0.65]
    assert np.allclose(index.diameter_mm, 2 * np.sqrt(index.area / np.pi) * index.spacing_mm)
    assert [problem.where for problem in dataset.left_out] == ["lidc/LIDC-IDRI-0069/nodule-0/slice-0"]
    assert "no reader marked" in dataset.left_out[0].why
    assert dataset.problems == []
    assert "1 slices that no reader marked" in dataset.origin


def test_a_sample(archive):
    dataset = LidcSlices(archive, name="lnsm")
    sample = dataset[3]
    assert sample.id == f"lnsm/{NODULE}/slice-10"
    assert sample.source == "real"
    assert np.array_equal(sample.image, image_of(2).astype(np.float32) / np.float32(255))
    assert sample.present.tolist() == [True, True, True, False]
    assert sample.readers.sum(axis=(1, 2)).tolist() == [50, 50, 50, 0]
    assert sample.spacing == (0.65, 0.65)
    nodule = annotations.load().find("LIDC-IDRI-0078", "nodule-0")
    expected = [reading.ratings["malignancy"] for reading in nodule.readers[:3]]
    assert sample.ratings["malignancy"][:3].tolist() == expected
    assert np.isnan(sample.ratings["malignancy"][3]), "the fourth reader did not mark this slice"
    readers, present = dataset.read_masks(3)
    assert np.array_equal(readers, sample.readers)
    assert np.array_equal(present, sample.present)


def test_the_second_opening_reads_no_mask_unless_the_code_has_changed(folder, monkeypatch):
    first = LidcSlices(folder)
    monkeypatch.setattr("softmask.data.lidc._index_files", None)
    second = LidcSlices(folder)
    assert second.index.equals(first.index)
    assert second.fingerprint == first.fingerprint
    monkeypatch.setattr("softmask.data.lidc.code_digest", lambda *packages: "another version")
    with pytest.raises(TypeError, match="not callable"):
        LidcSlices(folder)
    monkeypatch.undo()
    (folder / NODULE / "images/slice-0.png").write_bytes(png(image_of(9)))
    monkeypatch.setattr(annotations, "load", lambda: database_of(HEIGHTS))
    assert LidcSlices(folder).fingerprint != first.fingerprint


def test_problems_name_the_files_of_the_copy_at_hand(tmp_path):
    content = files() | {f"LIDC-IDRI-slices/{NODULE}/mask-1/slice-0.png": b"damaged", "LIDC-IDRI-slices/stray.png": b""}
    del content[f"LIDC-IDRI-slices/{NODULE}/mask-2/slice-1.png"]
    first = LidcSlices(write_zip(tmp_path / "one.zip", content)).problems
    (tmp_path / "one.zip").rename(tmp_path / "two.zip")
    second = LidcSlices(tmp_path / "two.zip").problems
    assert len(first) == 3
    assert first[0].where == str(tmp_path / "one.zip")
    assert [(p.where.replace("one.zip", "two.zip"), p.why.replace("one.zip", "two.zip")) for p in first] == [
        (p.where, p.why) for p in second
    ]
    assert f"{tmp_path / 'two.zip'}:LIDC-IDRI-slices/{NODULE}/mask-1/slice-0.png: " in second[1].why


def test_flagged_nodules_are_left_out_and_said(folder):
    flags = "patient,nodule,flag\nLIDC-IDRI-0069,nodule-0,wrapped\nLIDC-IDRI-0001,nodule-9,elsewhere\n"
    before = LidcSlices(folder).fingerprint
    folder.with_name("LIDC-IDRI-slices.flags.csv").write_text(flags)
    dataset = LidcSlices(folder)
    assert set(dataset.index.patient) == {"LIDC-IDRI-0078"}
    assert [(p.where, p.why) for p in dataset.left_out] == [
        ("lidc/LIDC-IDRI-0069/nodule-0", "LIDC-IDRI-slices.flags.csv: wrapped")
    ]
    assert "0 nodules whose masks are not the annotated contours, 1 more nodules that LIDC-IDRI-sl" in dataset.origin
    assert dataset.fingerprint != before


def wrapped() -> dict[str, bytes]:
    """The files, with the slices of mask-2 of the first nodule shifted around the end."""
    content = files()
    names = [f"LIDC-IDRI-slices/{NODULE}/mask-2/slice-{k}.png" for k in (0, 1, 10)]
    return content | dict(zip(names, [content[names[i]] for i in (1, 2, 0)], strict=True))


def test_a_nodule_whose_masks_are_not_the_contours_is_left_out(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "slices.zip", wrapped())
    dataset = LidcSlices(path)
    assert dataset.index.patient.tolist() == ["LIDC-IDRI-0069"]
    assert dataset.problems == []
    why = "mask-2 is not reader 3's contours: "
    assert [(p.where, p.why) for p in dataset.left_out] == [
        (f"lidc/{NODULE}", why + "the published set is wrong here"),
        ("lidc/LIDC-IDRI-0069/nodule-0/slice-0", "no reader marked this slice"),
    ]
    assert "left out: 1 nodules whose masks are not the annotated contours, 1 slices that" in dataset.origin
    flags = f"patient,nodule,flag\n{NODULE.replace('/', ',')},wrapped\n"
    path.with_name("LIDC-IDRI-slices.flags.csv").write_text(flags)
    monkeypatch.setattr("softmask.data.lidc.describe_mask_errors", None)  # from the cache
    flagged = LidcSlices(path)
    assert len(flagged.left_out) == 2
    assert flagged.left_out[0].why.endswith("wrong here; LIDC-IDRI-slices.flags.csv: wrapped")
    assert "1 nodules whose masks are not the annotated contours, 0 more" in flagged.origin
    assert flagged.fingerprint == dataset.fingerprint, "the same slices are used"


def test_a_nodule_unknown_to_the_database_is_kept_without_spacing(tmp_path, monkeypatch):
    known = {key: slices for key, slices in HEIGHTS.items() if key[0] != NODULE}
    monkeypatch.setattr(annotations, "load", lambda: database_of(known, "cd" * 32))
    dataset = LidcSlices(write_folder(tmp_path, wrapped()))
    assert len(dataset) == 4
    assert dataset.index.spacing_mm.isna().tolist() == [False, True, True, True]
    assert dataset[1].spacing is None
    assert dataset[1].ratings == {}
    assert "1 nodules unknown to the annotation database are kept unchecked" in dataset.origin


@pytest.mark.parametrize(
    ("part", "data", "message"),
    [
        ("mask-1", png(mask_of(40, 5))[:-20], "truncated"),
        ("mask-1", b"", "not a readable PNG"),
        ("mask-1", png(mask_of(40, 5)[:64]), "a mask of size"),
        ("mask-1", png(mask_of(40, 5) // 2), r"values \[0, 127\].* 0 and 255 are expected"),
        ("images", png(image_of(0))[:3000], "truncated"),
        ("images", png(image_of(0)[:100]), r"an image of size \(100, 128\) with masks of size \(128, 128\)"),
        ("images", png(image_of(0).astype(np.uint16)), "8-bit image was expected"),
    ],
)
def test_a_bad_file_is_named_and_its_slice_left_out(tmp_path, part, data, message):
    dataset = LidcSlices(write_folder(tmp_path, files() | {f"LIDC-IDRI-slices/{NODULE}/{part}/slice-0.png": data}))
    assert len(dataset) == (4 if part == "images" else 3)  # images are read with their samples
    assert len(list(dataset.samples())) == 3
    (problem,) = dataset.problems
    assert problem.where.endswith(f"{NODULE}/slice-0")
    assert re.search(rf"{part}/slice-0\.png: .*{message}", problem.why)


def test_nothing_usable(tmp_path):
    with pytest.raises(MissingData, match="LIDC-IDRI-slices: there is no such folder"):
        LidcSlices(tmp_path / "LIDC-IDRI-slices")
    (tmp_path / "LIDC-IDRI-slices").mkdir()
    with pytest.raises(DataError, match=r"no usable slice.*softmask data fetch lidc"):
        LidcSlices(tmp_path / "LIDC-IDRI-slices")


def test_names_that_lead_elsewhere_are_ignored(tmp_path):
    evil = {"../../evil/images/slice-0.png": b"x", "/LIDC-IDRI-slices/x.png": b"y", "LIDC-IDRI-slices/notes.txt": b""}
    dataset = LidcSlices(write_zip(tmp_path / "slices.zip", files() | evil))
    assert len(dataset) == 4
    (problem,) = dataset.problems
    assert "2 PNG files" in problem.why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slices.zip"]


def test_patients_in_two_places(tmp_path):
    content = files()
    content |= {name.removeprefix("LIDC-IDRI-slices/"): data for name, data in list(content.items())[:5]}
    with pytest.raises(DataError, match="keep one of the two"):
        LidcSlices(write_zip(tmp_path / "slices.zip", content))


def test_area():
    masks = np.zeros((4, 4, 4), bool)
    masks[0, :2] = masks[1, 1:3] = True
    assert area_of(masks, masks.any(axis=(1, 2))) == 8
    masks[2] = True
    masks[3, 3, 3] = True
    assert area_of(masks, masks.any(axis=(1, 2))) == 13, "row 3 has two of four in one pixel alone"
