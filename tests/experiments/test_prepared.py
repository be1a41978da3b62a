"""Prepared data: what every part holds, on a data set small enough to check by hand."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from softmask import data as datasets
from softmask.apply.soft_lidc import export
from softmask.config import Config
from softmask.data import splits
from softmask.data.sample import Problem
from softmask.errors import DataError
from softmask.experiments import prepare
from softmask.label import consensus, label_sample, soft_labels


@pytest.fixture
def spec(tiny):
    return lambda **changes: tiny(**{"size": 32, "n_train": 4} | changes)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, dataset_of, discs):
    """A data set of ten disc samples in place of any that is asked for; six train, two validate, two test."""
    dataset = dataset_of([discs(i) for i in range(10)])
    rows = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 10)}
    monkeypatch.setattr(datasets, "open_dataset", lambda name, config: dataset)
    monkeypatch.setattr(splits, "split_rows", lambda name, dataset: rows)
    dataset.fingerprint = str(np.random.default_rng().integers(2**60))  # nothing comes from another test's cache
    return dataset


@pytest.fixture
def config() -> Config:
    return Config.from_parameters("smoke", "embedded")


def test_parts_hold_what_labelling_gives_cropped_at_the_centre(opened, spec, config) -> None:
    data = prepare.prepare(spec(), config)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [4, 2, 2]
    sample = opened[8]
    centre = np.s_[16:48, 16:48]
    assert data.test.ids[0] == sample.id
    assert data.test.groups[0] == sample.patient
    np.testing.assert_array_equal(data.test.images[0, 0], sample.image[centre])
    np.testing.assert_array_equal(data.test.masks[0, 0], consensus.fifty_percent(sample.masks)[centre])
    np.testing.assert_array_equal(data.test.soft["soft_mask"][0, 0], label_sample(sample, "readers").alpha[centre])
    np.testing.assert_array_equal(data.test.references["alpha"][0, 0], sample.alpha[centre])
    assert set(data.test.soft) == set(prepare.SOFT_LABELS)
    mask = consensus.fifty_percent(sample.masks)
    ramp = soft_labels.geodesic(mask, sample.image)
    np.testing.assert_array_equal(data.test.soft["geodesic"][0, 0], ramp[centre])
    np.testing.assert_array_equal(data.test.soft["readers_mean"][0, 0], sample.masks.mean(axis=0)[centre])
    for name, soften in soft_labels.FROM_MASK.items():
        np.testing.assert_array_equal(data.test.soft[name][0, 0], soften(mask)[centre])
    assert "consensus" not in data.test.references
    for array in (data.train.images, data.train.masks, *data.train.soft.values()):
        assert array.shape == (4, 1, 32, 32)
        assert array.dtype == np.float32


def test_truth_of_lnsm_is_the_binarised_soft_mask_of_its_mark(opened, spec, config) -> None:
    data = prepare.prepare(spec(dataset="lnsm"), config)
    made = label_sample(opened[8], "recist")
    np.testing.assert_array_equal(data.test.soft["soft_mask"][0, 0], made.alpha[16:48, 16:48])
    np.testing.assert_array_equal(data.test.masks[0, 0], (made.alpha >= 0.5)[16:48, 16:48])
    np.testing.assert_array_equal(
        data.test.references["consensus"][0, 0], consensus.fifty_percent(opened[8].masks)[16:48, 16:48]
    )


def test_no_mean_of_readers_where_an_image_has_none(opened, spec, config) -> None:
    axes = np.array([[[32, 23], [32, 41]], [[23, 32], [41, 32]]], float)
    none = {"readers": np.zeros((4, 64, 64), bool), "present": np.zeros(4, bool)}
    opened.given[8] = replace(opened[8], recist=axes, **none)
    data = prepare.prepare(spec(dataset="lnsm"), config)
    assert set(prepare.SOFT_LABELS) - set(data.test.soft) == {"readers_mean"}
    assert "readers_mean" in data.train.soft


def tiled(sample, dataset: str):
    """The sample three times down and across, 192 pixels wide, as the only reader's of ``dataset``."""
    image, alpha, readers = (np.tile(a, (3, 3)) for a in (sample.image, sample.alpha, sample.readers[:1]))
    changes = {"image": image, "alpha": alpha, "readers": readers, "present": np.ones(1, bool), "spacing": (0.625,) * 2}
    return replace(sample, dataset=dataset, **changes)


def test_sections_are_labelled_whole_and_shown_in_crops(opened, spec, config) -> None:
    opened.given[:] = [tiled(sample, "isbi2012") for sample in opened.given]
    data = prepare.prepare(spec(dataset="isbi2012", n_train=None), config)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [60, 20, 20]
    sample = opened[8]
    assert data.test.ids[:10] == tuple(f"{sample.id}/{number}" for number in range(10))
    assert data.test.groups[:11] == (sample.patient,) * 10 + (opened[9].patient,)
    place = splits.crops("isbi2012", sample, 32)[3]
    rows, columns = slice(place.top, place.top + 128), slice(place.left, place.left + 128)

    def means(array: np.ndarray) -> np.ndarray:
        return array[rows, columns].reshape(32, 4, 32, 4).mean(axis=(1, 3))

    np.testing.assert_allclose(data.test.images[3, 0], means(sample.image), atol=1e-6)
    np.testing.assert_array_equal(data.test.masks[3, 0], means(sample.masks[0].astype(float)) >= 0.5)
    np.testing.assert_allclose(
        data.test.soft["soft_mask"][3, 0], means(label_sample(sample, "mask").alpha.astype(float)), atol=1e-6
    )
    np.testing.assert_allclose(data.test.references["alpha"][3, 0], means(sample.alpha), atol=1e-6)
    assert set(data.test.references) == {"alpha"}


def test_119_lesions_are_read_from_lidc(opened, spec, config, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(datasets, "open_dataset", lambda name, config: asked.append(name) or opened)
    data = prepare.prepare(spec(dataset="lidc-119"), config)
    assert asked == ["lidc"]
    assert data.name == "lidc-119"
    np.testing.assert_array_equal(data.test.images, prepare.prepare(spec(), config).test.images)
    assert data.digest != prepare.prepare(spec(), config).digest


def test_a_fold_divides_what_lidc_has_and_labels_nothing_again(opened, spec, config, monkeypatch) -> None:
    whole = prepare.prepare(spec(), config)
    rows = {"train": np.array([7, 2, 0, 5]), "validation": np.array([1, 6, 3]), "test": np.array([8, 9])}
    monkeypatch.setattr(splits, "split_rows", lambda name, dataset: rows)
    monkeypatch.setattr(type(opened), "read", lambda self, i: pytest.fail("read again"))
    fold = prepare.prepare(spec(dataset="lidc-fold2"), config)
    names = [opened.name_of(i) for i in range(10)]
    assert fold.train.ids == (names[7], names[2], names[0])  # of the training part's cap of 4, 5 was not prepared
    assert fold.validation.ids == (names[1], names[6], names[3])
    np.testing.assert_array_equal(fold.validation.images[1], whole.validation.images[0])
    np.testing.assert_array_equal(fold.train.soft["soft_mask"][2], whole.train.soft["soft_mask"][0])
    np.testing.assert_array_equal(fold.test.masks, whole.test.masks)
    assert (fold.name, fold.digest == whole.digest) == ("lidc-fold2", False)


def test_second_time_nothing_is_read(opened, spec, config, monkeypatch) -> None:
    first = prepare.prepare(spec(), config)
    monkeypatch.setattr(type(opened), "read", lambda self, i: pytest.fail("read again"))
    again = prepare.prepare(spec(), config)
    assert again.digest == first.digest == prepare.digest_of(spec(), config)
    monkeypatch.setattr(prepare, "prepare", lambda spec, config: pytest.fail("prepared again"))
    assert prepare.digest_of(spec(), config) == first.digest
    np.testing.assert_array_equal(again.train.images, first.train.images)


def test_digest_is_of_images_parts_and_settings_not_of_labels(opened, spec, config, discs, monkeypatch) -> None:
    real = spec(source="real")
    base = prepare.prepare(real, config).digest
    assert prepare.prepare(spec(source="real", size=48), config).digest != base
    assert prepare.prepare(spec(source="real", n_train=3), config).digest != base
    assert prepare.prepare(spec(source="real", dataset="lnsm"), config).digest != base

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "code_digest", lambda *packages: "another version of the code")
        gros = soft_labels.gros_interpolation
        patch.setattr(soft_labels, "gros_interpolation", lambda mask: gros(mask) * np.float32(0.999999))
        assert prepare.prepare(real, config).digest == base, "the same images, labelled by other code"
        patch.setattr("softmask.label.SETTINGS", (("another", 1),))
        assert prepare.prepare(real, config).digest != base, "other settings of the labels"

    opened.given[8] = replace(discs(8), image=1 - discs(8).image)
    opened.fingerprint += "1"
    assert prepare.prepare(real, config).digest != base, "one test image has changed"


def test_what_cannot_be_used_is_left_out_and_listed(opened, spec, config, discs, caplog) -> None:
    opened.given[1] = DataError("lidc/p1/n0/s1: truncated")
    readers = np.zeros((4, 64, 64), bool)
    readers[:, 2:8, 2:8] = True  # in a corner, outside the crop
    opened.given[2] = replace(discs(2), readers=readers)
    opened.given[3] = replace(discs(3), image=discs(3).image[:30], readers=discs(3).readers[:, :30], alpha=None)
    data = prepare.prepare(spec(), config)
    assert len(data.train) == 1
    assert [where for where, _ in data.left_out] == ["lidc/p1/n0/s1", "lidc/p2/n0/s2", "lidc/p3/n0/s3"]
    whys = ("truncated", "hold no lesion", "30 x 64 pixels are fewer than the 32 x 32")
    assert all(expected in why for expected, (_, why) in zip(whys, data.left_out, strict=True))
    assert "lidc: images left out: 3; the first: lidc/p1/n0/s1: truncated" in caplog.text


def test_a_part_without_any_image_is_an_error(opened, spec, config) -> None:
    opened.given[8:10] = [DataError("broken"), DataError("broken")]
    with pytest.raises(DataError, match="test part"):
        prepare.prepare(spec(), config)
    assert Problem("lidc/p8/n0/s8", "broken") in opened.problems


def test_a_crop_larger_than_every_image_is_an_error(opened, spec, config) -> None:
    with pytest.raises(DataError, match=r"train part .*; 8 left out, .*p0/n0/s0: 64 x 64 pixels are fewer than the 65"):
        prepare.prepare(spec(size=65), config)


def test_soft_lidc_has_the_parts_and_the_soft_masks_of_its_folder(dataset_of, discs, spec, tmp_path) -> None:
    samples = [replace(discs(i, radius=6 + i), source="real", alpha=None) for i in range(8)]
    lidc = dataset_of(samples)
    lidc.source, lidc.path, lidc.index["merged"] = "real", tmp_path / "LIDC-IDRI-slices.zip", False

    def prepared(name: str) -> prepare.Prepared:
        config = Config.from_parameters("smoke", "real", data_root=tmp_path / name)
        return prepare.prepare(spec(dataset="soft-lidc", source="real", n_train=8), config)

    export(lidc, tmp_path / "one/soft-lidc", 1)
    data = prepared("one")
    assert (len(data.train), data.validation.groups, set(data.test.groups)) == (4, ("p7",), {"p0", "p4", "p6"})
    stored = np.rint(65535 * label_sample(samples[7], "readers").alpha.astype(float)) / 65535
    # the image was rounded to 8 bits before it was labelled
    np.testing.assert_allclose(data.validation.soft["soft_mask"][0, 0], stored[16:48, 16:48], atol=0.05)
    steps = 65535 * data.validation.soft["soft_mask"].astype(float)
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)

    # another soft mask is other data: what was trained on the first is trained again
    name = "soft-readers/p1_n0_s1.png"
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    changed, sums = tmp_path / "two/soft-lidc" / name, tmp_path / "two/soft-lidc/SHA256SUMS"
    before = hashlib.sha256(changed.read_bytes()).hexdigest()
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(changed)
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(changed.read_bytes()).hexdigest()))
    other = prepared("two")
    np.testing.assert_array_equal(other.train.masks, data.train.masks)
    assert other.digest != data.digest
