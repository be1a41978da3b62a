import csv

import numpy as np
import pytest
from PIL import Image

from softmask.data.deeplesion import COLUMNS, CROP, DeepLesion, parse_table
from softmask.errors import DataError

HEADING = ("File_name", "Patient_index", *COLUMNS[1:], "Image_size")
RNG = np.random.default_rng(3)


def entry(file="000001_01_01_109.png", at=(200, 150), long=20.0, short=8.0, **changes):
    """A row with a horizontal long axis of ``long`` px and a short one of ``short`` px around (row, column) ``at``."""
    row, column = at
    ends = [column - long / 2, row, column + long / 2, row, column, row - short / 2, column, row + short / 2]
    return {
        "File_name": file,
        "Patient_index": "1",
        "Key_slice_index": "109",
        "Measurement_coordinates": ", ".join(map(str, ends)),
        "Coarse_lesion_type": "5",
        "Possibly_noisy": "0",
        "Spacing_mm_px_": "0.7, 0.8, 5",
        "Image_size": "512, 512",
    } | changes


def write(folder, entries, size=(512, 512), images=True):
    folder.mkdir(exist_ok=True)
    (folder / "Images_png").mkdir(exist_ok=True)
    with (folder / "DL_info.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, HEADING)
        table.writeheader()
        table.writerows(entries)
    hu = RNG.integers(-1024, 1500, size).astype(np.int32)
    for item in entries if images else ():
        patient_study_series, _, slice_name = item["File_name"].rpartition("_")
        path = folder / "Images_png" / patient_study_series / slice_name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((hu + 32768).astype(np.uint16)).save(path)
    return hu


def test_sample_is_the_crop_in_hu_with_the_mark_in_rows_and_columns(tmp_path):
    hu = write(tmp_path, [entry(at=(200, 150))])
    dataset = DeepLesion(tmp_path, name="lnsm")
    sample = dataset[0]
    np.testing.assert_array_equal(sample.hu, hu[136:264, 86:214])
    np.testing.assert_allclose(sample.recist, [[[64, 54], [64, 74]], [[60, 64], [68, 64]]])
    np.testing.assert_allclose(sample.image, np.clip((sample.hu + 1000) / 1400, 0, 1), atol=1e-6)
    assert sample.readers.shape == (0, CROP, CROP)
    assert sample.spacing == (0.8, 0.7)
    assert sample.id == "lnsm/000001/01_01_109-0/109"
    assert dataset.index["n_readers"].tolist() == [0]
    assert dataset.index["area"].tolist() == pytest.approx([np.pi / 4 * 20 * 8])
    assert dataset.index["long_axis"].tolist() == [20]
    assert "axes" not in dataset.index


@pytest.mark.parametrize("at", [(5, 150), (506, 11)])
def test_crop_moves_inwards_at_the_border(tmp_path, at):
    hu = write(tmp_path, [entry(at=at, long=6.0, short=10.0)])
    sample = DeepLesion(tmp_path)[0]
    np.testing.assert_allclose(np.linalg.norm(np.diff(sample.recist, axis=1)[:, 0], axis=-1), [10, 6])
    assert sample.image.shape == (CROP, CROP)
    row, column = sample.recist.mean(axis=(0, 1))
    assert sample.hu[int(row), int(column)] == hu[at]


def test_only_lung_lesions_that_are_not_noisy_are_taken_and_the_rest_is_counted(tmp_path):
    entries = [
        entry(),
        entry(at=(300, 300)),
        entry(Coarse_lesion_type="3"),
        entry(Coarse_lesion_type="-1"),
        entry(Possibly_noisy="1"),
        entry("000002_01_01_010.png"),
    ]
    write(tmp_path, entries)
    dataset = DeepLesion(tmp_path)
    assert dataset.index["nodule"].tolist() == ["01_01_109-0", "01_01_109-1", "01_01_010-0"]
    assert dataset.index["patient"].tolist() == ["000001", "000001", "000002"]
    assert "3 lung lesions" in dataset.origin
    assert "1 of unknown type and 1 possibly noisy" in dataset.origin
    assert dataset.problems == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Measurement_coordinates": "1, 2, 3"}, "are not 8 finite numbers"),
        ({"Measurement_coordinates": "1, 2, 3, 4, 5, 6, 7, nan"}, "are not 8 finite numbers"),
        ({"Measurement_coordinates": "9, 9, 9, 9, 5, 6, 7, 8"}, "must be positive"),
        ({"Coarse_lesion_type": "lung"}, "Coarse_lesion_type 'lung'"),
        ({"Possibly_noisy": ""}, "Possibly_noisy ''"),
        ({"Spacing_mm_px_": "0, 0.8, 5"}, "must be positive"),
        ({"Spacing_mm_px_": "x"}, "are not 3 finite numbers"),
        ({"File_name": "../../etc/passwd"}, "is not <patient>_<study>_<series>_<slice>.png"),
    ],
)
def test_a_row_of_garbage_is_left_out_and_listed_with_its_line(tmp_path, changes, message):
    write(tmp_path, [entry()])
    write(tmp_path, [entry("000002_01_01_010.png")])
    with (tmp_path / "DL_info.csv").open("a", newline="") as stream:
        csv.DictWriter(stream, HEADING).writerow(entry() | changes)
        stream.write("000001_01_01_109.png,1\n")
    dataset = DeepLesion(tmp_path)
    assert dataset.index["patient"].tolist() == ["000002"]
    assert [problem.where.partition(" (")[0] for problem in dataset.problems] == [
        "DL_info.csv, line 3",
        "DL_info.csv, line 4",
    ]
    assert message in dataset.problems[0].why
    assert "more or fewer fields" in dataset.problems[1].why


def test_images_that_are_not_there_are_listed_a_folder_once(tmp_path):
    entries = [entry(f"00000{patient}_01_01_0{slice_}.png") for patient in (1, 2) for slice_ in (10, 11)]
    write(tmp_path, entries)
    (tmp_path / "Images_png/000001_01_01/010.png").unlink()
    for path in (tmp_path / "Images_png/000002_01_01").iterdir():
        path.unlink()
    (tmp_path / "Images_png/000002_01_01").rmdir()
    dataset = DeepLesion(tmp_path)
    assert dataset.index["file"].tolist() == ["000001_01_01/011.png"]
    assert [problem.where.split("Images_png/")[1] for problem in dataset.problems] == [
        "000001_01_01/010.png",
        "000002_01_01",
    ]


def test_no_usable_lesion_is_an_error(tmp_path):
    write(tmp_path, [entry()], images=False)
    with pytest.raises(DataError, match=r"none is a usable lung lesion .*First of 1 problems: named in DL_info"):
        DeepLesion(tmp_path)


@pytest.mark.parametrize(("at", "long"), [((200, 600), 20.0), ((-8, 100), 20.0), ((200, 200), 140.0)])
def test_a_mark_outside_the_image_or_crop_is_left_out_and_listed(tmp_path, at, long):
    write(tmp_path, [entry(at=at, long=long), entry("000002_01_01_010.png")])
    dataset = DeepLesion(tmp_path)
    assert [sample.patient for sample in dataset.samples()] == ["000002"]
    assert "000001_01_01/109.png: the RECIST mark" in dataset.problems[0].why
    assert "fit into a crop of 128 x 128 pixels of the image of 512 x 512" in dataset.problems[0].why


def test_truncated_or_8_bit_or_small_image_is_named(tmp_path):
    write(tmp_path, [entry()])
    path = tmp_path / "Images_png/000001_01_01/109.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"109\.png: truncated"):
        DeepLesion(tmp_path)[0]
    Image.fromarray(np.zeros((512, 512), np.uint8)).save(path)
    with pytest.raises(DataError, match=r"uint8 .*16-bit PNG"):
        DeepLesion(tmp_path)[0]
    Image.fromarray(np.zeros((100, 512), np.uint16)).save(path)
    with pytest.raises(DataError, match=r"\(100, 512\).* at least 128 x 128 pixels"):
        DeepLesion(tmp_path)[0]


def test_fingerprint_changes_with_one_pixel(tmp_path):
    write(tmp_path, [entry()])
    before = DeepLesion(tmp_path).fingerprint
    assert DeepLesion(tmp_path).fingerprint == before
    path = tmp_path / "Images_png/000001_01_01/109.png"
    pixels = np.array(Image.open(path))
    pixels[3, 3] ^= 1
    Image.fromarray(pixels).save(path)
    assert DeepLesion(tmp_path).fingerprint != before


def test_the_real_table_of_the_test_split(real_data):
    path = real_data / "deeplesion" / "DL_info_niftiID_test.csv"
    lesions, bad, counts = parse_table(path)
    assert counts == {"rows": 4927, "unknown": 0, "noisy": 0}
    assert bad == []
    assert len(lesions) == 1100
    # the table's own diameters: long, then short
    with path.open() as stream:
        diameters = [
            [float(part) for part in row["Lesion_diameters_Pixel_"].split(",")]
            for row in sorted(csv.DictReader(stream), key=lambda row: row["File_name"])
            if row["Coarse_lesion_type"] == "5" and row["Possibly_noisy"] == "0"
        ]
    areas = np.array([np.pi / 4 * long * short for long, short in diameters])
    np.testing.assert_allclose(lesions["area"], areas, rtol=1e-3)
    assert lesions["file"].str.fullmatch(r"\d{6}_\d\d_\d\d/\d{3}\.png").all()


def test_marks_of_real_key_slices_lie_on_bright_tissue(real_data, tmp_path):
    """x and y swapped, or a wrong offset, would put the marks of lung lesions into air."""
    folder = real_data / "deeplesion" / "key-slices"
    with (real_data / "deeplesion" / "DL_info_niftiID_test.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if (folder / row["File_name"].replace(".png", ".jpg")).is_file()]
    assert rows
    entries = [{key: row[key] for key in HEADING} | {"Coarse_lesion_type": "5", "Possibly_noisy": "0"} for row in rows]
    write(tmp_path, entries)
    for row in rows:
        grey = np.array(Image.open(folder / row["File_name"].replace(".png", ".jpg")).convert("L"))
        hu = np.rint(grey / 255 * 4095 - 1024).astype(np.int32)
        series, _, name = row["File_name"].rpartition("_")
        Image.fromarray((hu + 32768).astype(np.uint16)).save(tmp_path / "Images_png" / series / name)
    samples = list(DeepLesion(tmp_path).samples())
    assert len(samples) == len(rows)
    for sample in samples:
        row, column = np.rint(sample.recist.mean(axis=(0, 1))).astype(int)
        assert -200 < sample.hu[row - 1 : row + 2, column - 1 : column + 2].mean() < 400
