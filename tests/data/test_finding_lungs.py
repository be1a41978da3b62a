"""Slices of Finding and Measuring Lungs in CT Data, written small as the set has them, and the real ones."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from softmask.data.finding_lungs import FindingLungs, nominal_hu
from softmask.data.image_files import window_hu
from softmask.data.splits import split_rows
from softmask.errors import DataError, MissingData

SIDE = 96
ROW, COLUMN = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
PADDING, LUNGS = -2619, (np.hypot(ROW, COLUMN + 14) < 10) | (np.hypot(ROW, COLUMN - 14) < 10)


def chest(air: float = -800, tissue: float = 30, padding: int | None = PADDING, noise: float = 40) -> np.ndarray:
    """Return (96, 96) int16: a round body with fat, and a table, in a round field of view."""
    radius = np.hypot(ROW, COLUMN)
    scale = tissue - air
    slice_ = np.full((SIDE, SIDE), float(air))
    slice_[radius < 34] = tissue - 0.13 * scale
    slice_[radius < 31] = tissue
    slice_[LUNGS] = tissue - 0.85 * scale
    slice_[(ROW > 37) & (ROW < 40)] = tissue - 0.7 * scale
    slice_ += np.random.default_rng(3).normal(0, noise, slice_.shape)
    if padding is not None:
        slice_[radius > 46] = padding
    return np.round(slice_).astype(np.int16)


def write_tiff(path: Path, values: np.ndarray, **options) -> None:
    """Write ``values`` as stored: Pillow keeps int16 by its raw mode alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.dtype == np.int16:
        image = Image.new("I;16", values.shape[::-1])
        image.frombytes(values.astype("<i2").tobytes())
        options["tiffinfo"] = {339: 2}
    else:
        image = Image.fromarray(values)
    image.save(path, **options)


def write_slice(folder: Path, stem: str = "ID_0001_Z_0146", image=None, mask=None, top: str = "2d_") -> None:
    mask = LUNGS.astype(np.uint8) * 255 if mask is None else mask
    write_tiff(folder / f"{top}images" / f"{stem}.tif", chest() if image is None else image)
    write_tiff(folder / f"{top}masks" / f"{stem}.tif", mask)


def pack(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.tif")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def test_a_slice_is_a_sample_in_nominal_hu_with_both_lungs(tmp_path):
    write_slice(tmp_path)
    write_slice(tmp_path, "ID_0012_Z_0003")
    dataset = FindingLungs(tmp_path)
    assert dataset.index.to_dict("list") == {
        "patient": ["ID_0001", "ID_0012"],
        "nodule": ["lungs"] * 2,
        "slice": ["Z_0146", "Z_0003"],
        "n_readers": [1, 1],
    }
    sample = dataset[0]
    assert sample.id == "lungs-2d/ID_0001/lungs/Z_0146"
    np.testing.assert_array_equal(sample.readers, LUNGS[None])
    np.testing.assert_array_equal(dataset.read_masks(0)[0], LUNGS[None])
    assert sample.present.tolist() == [True]
    assert sample.spacing is None
    assert sample.hu.dtype == np.float32
    np.testing.assert_array_equal(sample.image, window_hu(sample.hu))
    assert (dataset.problems, dataset.left_out) == ([], [])


@given(air=st.floats(-1010, -680), tissue=st.floats(0, 70), padding=st.sampled_from([None, -1805, -2619]))
@settings(max_examples=15, deadline=None)
def test_air_and_tissue_of_any_level_come_to_lie_at_minus_1000_and_40(air, tissue, padding):
    hu = nominal_hu(chest(air, tissue, padding), "a.tif")
    radius = np.hypot(ROW, COLUMN)
    around = (radius > 36) & (radius < 44) & (ROW < 35)
    assert np.median(hu[around]) == pytest.approx(-1000, abs=25)
    assert np.median(hu[(radius < 30) & ~LUNGS]) == pytest.approx(40, abs=25)
    assert padding is None or (hu[radius > 46] == -1000).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((SIDE, SIDE)), "0 to 0, too few are air around the body"),
        (np.full((SIDE, SIDE), -800), "too few are soft tissue"),
        (chest() + 1024, "too few are air"),
        (np.where(np.hypot(ROW, COLUMN) < 20, -800, 30), "too few are air"),
    ],
)
def test_what_is_no_ct_slice_is_refused(values, said):
    with pytest.raises(DataError, match=rf"^a\.tif: is no chest CT slice.*{said}.*copy this file again"):
        nominal_hu(values.astype(np.int16), "a.tif")


BAD = {
    "mask-both": ({"mask": np.where(LUNGS, 255, np.eye(SIDE)).astype(np.uint8)}, r"masks/.* not \[0, 1, 255\]"),
    "mask-size": ({"mask": np.full((9, 9), 255, np.uint8)}, r"images/.*size \(96, 96\) with a mask of size \(9, 9\)"),
    "image-32-bit": ({"image": chest().astype(np.int32)}, "images/.*signed 16-bit"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_slice_is_named_and_the_others_are_read(tmp_path, kind):
    changes, said = BAD[kind]
    folder = tmp_path / "in"
    write_slice(folder)
    write_slice(folder, "ID_0002_Z_0162", **changes)
    dataset = FindingLungs(pack(folder, tmp_path / "a.zip") if kind == "mask-size" else folder)
    with pytest.raises(DataError, match=said):
        dataset[1]
    assert [sample.patient for sample in dataset.samples()] == ["ID_0001"]
    assert [problem.where for problem in dataset.problems] == ["lungs-2d/ID_0002/lungs/Z_0162"]


def test_missing_halves_odd_names_and_wrong_masks_are_listed(tmp_path):
    for stem in ("ID_0001_Z_0001", "ID_0002_Z_0001", "ID_0003_Z_0001", "ID_0079_Z_0001"):
        write_slice(tmp_path, stem)
    (tmp_path / "2d_masks/ID_0002_Z_0001.tif").unlink()
    (tmp_path / "2d_images/ID_0003_Z_0001.tif").unlink()
    (tmp_path / "2d_masks/ID_0079_Z_0001.tif").unlink()  # of what is not used nothing can be missing
    write_tiff(tmp_path / "2d_images/lungs.tif", chest())
    (tmp_path / "2d_images/._ID_0001_Z_0001.tif").touch()
    dataset = FindingLungs(tmp_path)
    assert dataset.index["patient"].tolist() == ["ID_0001"]
    assert [(Path(problem.where).name, problem.why.partition(";")[0]) for problem in dataset.problems] == [
        ("lungs.tif", "its name is not like ID_0001_Z_0146.tif"),
        ("ID_0002_Z_0001.tif", "has no mask"),
        ("ID_0003_Z_0001.tif", "has no image"),
    ]
    assert [(item.where, item.why) for item in dataset.left_out] == [
        ("lungs-2d/ID_0079", "its mask leaves out one of the two lungs")
    ]


def test_the_repository_s_layout_is_read_too(tmp_path):
    write_slice(tmp_path, "ID_0000_Z_0142")
    write_tiff(tmp_path / "test_data/image/ID_0266_Z_0202.tif", chest())
    write_tiff(tmp_path / "test_data/mask/ID_0266_Z_0202.tif", LUNGS.astype(np.uint8) * 255)
    (tmp_path / "lung_stats.csv").write_text("img_id\n")
    dataset = FindingLungs(tmp_path)
    assert dataset.index["patient"].tolist() == ["ID_0000", "ID_0266"]
    assert dataset.problems == []
    write_slice(tmp_path, "ID_0266_Z_0202")
    dataset = FindingLungs(tmp_path)
    assert len(dataset) == 2
    assert [problem.why.split(" as ")[0] for problem in dataset.problems] == ["the same slice is there"] * 2
    before = dataset.fingerprint
    write_slice(tmp_path, "ID_0000_Z_0142", mask=LUNGS.astype(np.uint8))
    assert FindingLungs(tmp_path).fingerprint != before


def test_an_archive_is_read_where_it_lies_and_no_name_leads_out_of_it(tmp_path):
    folder = tmp_path / "in"
    write_slice(folder)
    path = pack(folder, tmp_path / "a.zip")
    same = FindingLungs(path).fingerprint
    assert same == FindingLungs(folder).fingerprint
    mask = (folder / "2d_masks/ID_0001_Z_0146.tif").read_bytes()
    odd = [f"{top}/2d_masks/ID_0002_Z_0001.tif" for top in ("..", "/tmp", "a/../..", "a\\b")]
    with zipfile.ZipFile(path, "a") as archive:
        for name in (*odd, "__MACOSX/2d_masks/ID_0003_Z_0001.tif"):
            archive.writestr(name, mask)
    before = sorted(tmp_path.rglob("*"))
    dataset = FindingLungs(path)
    assert len(list(dataset.samples())) == 1
    assert dataset.fingerprint == same
    assert [problem.why for problem in dataset.problems] == [
        "its name is not like ID_0001_Z_0146.tif; rename the file"
    ] * 4
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_usable_is_an_error_that_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"no slice has an image and a mask.*softmask data fetch lungs"):
        FindingLungs(tmp_path)
    write_slice(tmp_path)
    (tmp_path / "2d_masks/ID_0001_Z_0146.tif").unlink()
    with pytest.raises(DataError, match=r"First of 1 problems: has no mask"):
        FindingLungs(tmp_path)
    with pytest.raises(MissingData):
        FindingLungs(tmp_path / "nowhere")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="not a whole zip archive"):
        FindingLungs(tmp_path / "a.zip")


def test_all_real_slices_are_read_with_air_and_tissue_where_they_belong(real_data):
    place = real_data / "finding-lungs-in-ct/finding-lungs-in-ct.zip"
    if not place.is_file():
        pytest.skip("the lung slices are not there")
    dataset = FindingLungs(place)
    parts = {part: len(rows) for part, rows in split_rows("lungs-2d", dataset).items()}
    assert parts["train"] + parts["validation"] + parts["test"] == len(dataset) >= 209
    side = 8  # blocks of 8 x 8 pixels are little noisy
    count = 0
    for sample in dataset.samples():
        blocks = sample.hu.reshape(64, side, 64, side).transpose(0, 2, 1, 3).reshape(64**2, -1)
        lungs = sample.readers[0].reshape(64, side, 64, side).any(axis=(1, 3)).ravel()
        means = blocks.mean(axis=1)[~(blocks == -1000).any(axis=1) & ~lungs]
        dark = means[means < -800]  # clothes and the table too, and some scans have two levels of air
        assert np.mean(abs(dark + 1000) < 30) > 1 / 4, sample.id
        assert np.median(means[(means > -30) & (means < 130)]) == pytest.approx(40, abs=30), sample.id
        count += 1
    assert count == len(dataset)
    assert dataset.problems == []
