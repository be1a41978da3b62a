import numpy as np
import pytest
from PIL import Image

from softmask.data.isbi2012 import Isbi2012
from softmask.errors import DataError

RNG = np.random.default_rng(2)


def section(size=32):
    image = RNG.integers(0, 256, (size, size), dtype=np.uint8)
    label = np.full((size, size), 255, np.uint8)
    label[size // 2] = label[:, size // 3] = 0
    return image, label


def write_png(folder, count=3):
    pairs = {number: section() for number in (0, 2, 10)[:count]}
    for half, place in (("image", 0), ("label", 1)):
        (folder / "train" / half).mkdir(parents=True)
        for number, pair in pairs.items():
            Image.fromarray(pair[place]).save(folder / "train" / half / f"{number}.png")
    return pairs


def write_tiff(folder, count=3, labels=None):
    pairs = [section() for _ in range(count)]
    for name, place, number in (("train-volume.tif", 0, count), ("train-labels.tif", 1, labels or count)):
        pages = [Image.fromarray(pair[place]) for pair in pairs[:number]]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
    return pairs


def test_png_sections_come_in_number_order_with_cells_as_foreground(tmp_path):
    pairs = write_png(tmp_path)
    dataset = Isbi2012(tmp_path)
    assert list(dataset.index["slice"]) == ["0", "2", "10"]
    assert list(dataset.index["patient"]) == ["section-00", "section-02", "section-10"]
    sample = dataset[2]
    np.testing.assert_allclose(sample.image, pairs[10][0] / 255, atol=1e-6)
    np.testing.assert_array_equal(sample.readers, [pairs[10][1] == 255])
    assert sample.present.tolist() == [True]
    assert sample.source == "real"
    assert sample.id == "isbi2012/section-10/cells/10"
    assert dataset.problems == []


def test_tiff_volumes_give_the_same_samples_as_png(tmp_path):
    pairs = write_tiff(tmp_path, count=4, labels=3)
    dataset = Isbi2012(tmp_path)
    assert len(dataset) == 3
    assert "4 sections, train-labels.tif 3" in dataset.problems[0].why
    for sample, (image, label) in zip(dataset.samples(), pairs[:3], strict=True):
        np.testing.assert_allclose(sample.image, image / 255, atol=1e-6)
        np.testing.assert_array_equal(sample.readers[0], label == 255)


def test_half_a_section_is_left_out_and_listed(tmp_path):
    write_png(tmp_path)
    (tmp_path / "train/label/2.png").unlink()
    (tmp_path / "train/image/10.png").unlink()
    for name in ("0_predict", "01", "²"):
        Image.fromarray(section()[0]).save(tmp_path / f"train/image/{name}.png")
    dataset = Isbi2012(tmp_path)
    assert list(dataset.index["slice"]) == ["0"]
    assert [problem.why.rpartition(" ")[0].split("/")[0] for problem in dataset.problems] == [
        *["its name is not the number of a section (0.png, 1.png, ...); left"] * 3,
        "has no label ",
        "has no image ",
    ]
    Image.fromarray(np.full((32, 32), 1000, np.uint16)).save(tmp_path / "train/image/0.png")
    with pytest.raises(DataError, match=r"image/0\.png: an 8-bit image"):
        dataset[0]
    (tmp_path / "train/label/0.png").unlink()
    with pytest.raises(DataError, match="softmask data fetch isbi2012"):
        Isbi2012(tmp_path)


CELLS = np.full((32, 32), 255, np.uint8)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "truncated after"),
        (CELLS[:16], r"label of size \(16, 32\) on an image of size \(32, 32\)"),
        (CELLS * 0, r"found \[0\]"),
        (CELLS - 127 * np.eye(32, dtype=np.uint8), r"found \[128, 255\]"),
    ],
)
def test_a_bad_label_is_named_left_out_and_listed(tmp_path, label, message):
    write_png(tmp_path)
    path = tmp_path / "train/label/2.png"
    if label is None:
        path.write_bytes(path.read_bytes()[:-20])
    else:
        Image.fromarray(label).save(path)
    dataset = Isbi2012(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        dataset[1]
    assert str(path) in str(caught.value)
    assert [sample.slice for sample in dataset.samples()] == ["0", "10"]
    assert [problem.where for problem in dataset.problems] == ["isbi2012/section-02/cells/2"]


def test_png_comes_before_tiff_and_an_empty_train_folder_does_not_hide_tiff(tmp_path):
    write_tiff(tmp_path)
    (tmp_path / "train/image").mkdir(parents=True)
    assert "TIFF" in Isbi2012(tmp_path).origin
    (tmp_path / "train/image").rmdir()
    write_png(tmp_path)
    assert "PNG" in Isbi2012(tmp_path).origin


def test_fingerprint_follows_the_content_and_not_the_place(tmp_path):
    (tmp_path / "a").mkdir()
    write_png(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    before = Isbi2012(tmp_path / "b").fingerprint
    (tmp_path / "b").rename(tmp_path / "c")
    assert Isbi2012(tmp_path / "c").fingerprint == before
    Image.fromarray(section()[0]).save(tmp_path / "c/train/image/2.png")
    assert Isbi2012(tmp_path / "c").fingerprint != before


def test_the_real_sections(real_data):
    dataset = Isbi2012(real_data / "isbi2012")
    samples = list(dataset.samples())
    assert len(samples) == 30
    assert dataset.problems == []
    assert all(sample.image.shape == (512, 512) for sample in samples)
    assert np.mean([sample.readers.mean() for sample in samples]) == pytest.approx(0.78, abs=0.01)
    # membranes are stained dark: a wrong polarity of the labels shows here
    for sample in samples:
        mask = sample.readers[0]
        assert sample.image[mask].mean() > sample.image[~mask].mean() + 0.1
