"""Runs on lungs: what they train on, and what their records hold, on a data set small enough to check by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from softmask import data as datasets
from softmask.config import Config
from softmask.data.sample import Dataset, Sample
from softmask.experiments import kinds, prepare, rows
from softmask.nets.classical import ClassicalSegmentor
from softmask.nets.critics import CRITICS
from softmask.train.loop import Settings

SIZE = 64


class Chests(Dataset):
    """Scans of a few slices, 512 x 512: a body, and two lungs except in the first and the last slice."""

    name, source, origin = "lidc-lung", "embedded", "made by a test"

    def __init__(self, scans: int = 22, slices: int = 6, blank: bool = True) -> None:
        super().__init__()
        self.blank = blank
        self.fingerprint = str(np.random.default_rng().integers(2**60))  # nothing comes from another test's cache
        rows = [(f"p{p:02}", "lungs", f"slice-{s:04}", 1, float(s)) for p in range(scans) for s in range(slices)]
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice", "n_readers", "z_mm"])
        self.last = slices - 1

    def read(self, i: int) -> Sample:
        row = self.index.iloc[i]
        y, x = np.mgrid[-256:256, -256:256] / 256
        height = np.sin(np.pi * row["z_mm"] / self.last)
        lungs = ((np.abs(x) - 0.35) / 0.2) ** 2 + (y / (0.4 + 0.1 * (i % 3))) ** 2 < height**2 * (height > 0.1)
        body = (x / 0.8) ** 2 + (y / 0.65) ** 2 < 1
        nodules = lungs & ((np.abs(x - 0.35) < 0.03) & (np.abs(y) < 0.03)) if row["z_mm"] == 2 else None
        image = np.where(lungs, 0.1, np.where(body, 0.7, 0.0)).astype(np.float32)
        return Sample(
            self.name, self.source, row["patient"], "lungs", row["slice"], image, lungs[None], np.ones(1, bool),
            (0.7, 0.7), nodules=nodules, blank=self.blank,
        )  # fmt: skip


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Chests:
    dataset = Chests()
    monkeypatch.setattr(datasets, "open_dataset", lambda name, config: dataset)
    return dataset


@pytest.fixture
def smoke() -> Config:
    return Config.from_parameters("smoke", "embedded")


def spec(tiny, **changes):
    fields = {
        "dataset": "lidc-lung",
        "network": "lgan_generator",
        "label": "binary",
        "losses": (("hard_cross_entropy", 1.0), ("wasserstein_regression", 1.0)),
        "size": SIZE,
        "n_train": 16,
        "settings": Settings(epochs=2, batch_size=4, learning_rate=3e-3, discriminator_width=2),
    }
    return tiny(**fields | changes)


def test_slices_are_shown_whole_and_their_references_kept_as_stored(opened, smoke, tiny) -> None:
    data = prepare.prepare(spec(tiny), smoke)
    assert len(data.train) == 16
    assert data.test.images.shape[1:] == data.test.masks.shape[1:] == (1, SIZE, SIZE)
    assert data.test.soft == data.train.soft == {}
    assert data.train.references == {}
    assert {name: (array.shape[1:], array.dtype) for name, array in data.test.references.items()} == {
        "native": ((1, 512, 512), bool),
        "nodules": ((1, 512, 512), bool),
        "native_image": ((1, 512, 512), np.uint8),
    }
    places = {opened.name_of(i): i for i in range(len(opened))}
    for i, (name, group) in enumerate(zip(data.test.ids, data.test.groups, strict=True)):
        sample = opened[places[name]]
        assert group == sample.patient
        means = sample.image.reshape(SIZE, 8, SIZE, 8).mean(axis=(1, 3))
        shares = sample.readers[0].reshape(SIZE, 8, SIZE, 8).mean(axis=(1, 3))
        np.testing.assert_allclose(data.test.images[i, 0], means, atol=1e-6)
        np.testing.assert_array_equal(data.test.masks[i, 0], shares >= 0.5)
        np.testing.assert_array_equal(data.test.references["native"][i, 0], sample.readers[0])
        nodules = sample.nodules if sample.nodules is not None else np.zeros((512, 512), bool)
        np.testing.assert_array_equal(data.test.references["nodules"][i, 0], nodules)
        np.testing.assert_allclose(data.test.references["native_image"][i, 0] / 255, sample.image, atol=0.002)
    assert not data.left_out
    assert not data.test.masks.any(axis=(1, 2, 3)).all(), "a slice beyond the lungs is an image like others"
    patients = [set(part.groups) for part in (data.train, data.validation, data.test)]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_a_slice_of_another_size_is_left_out(opened, smoke, tiny, monkeypatch) -> None:
    def odd(i):
        sample = Chests.read(opened, i)
        if sample.slice == "slice-0002":
            cut = {"image": sample.image[:500], "readers": sample.readers[:, :500], "nodules": None}
            sample = Sample(**vars(sample) | cut)
        return sample

    monkeypatch.setattr(opened, "read", odd)  # of the object, which goes to other processes whole
    data = prepare.prepare(spec(tiny), smoke)
    assert data.left_out
    assert all("(500, 512), not of (512, 512)" in why for _, why in data.left_out)


def test_a_run_is_measured_as_stored(opened, smoke, tiny, tmp_path) -> None:
    first = spec(tiny)
    data = prepare.prepare(first, smoke)
    record = kinds.train_and_test(first, data, (), tmp_path)
    assert {len(values) for values in record.measures.values()} == {len(data.test)}
    assert set(record.measures) == {
        *("iou", "dice", "hausdorff", "pixels_true", "pixels_found", "pixels_common"),
        *("nodules_inside", "nodules_at_wall_inside"),
    }
    pixels = data.test.references["native"].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(record.measures["pixels_true"], pixels, rtol=5e-5)
    assert {"critic_gap", "adversarial_share"} <= set(record.curves)
    assert all(image.shape == (SIZE, SIZE) for image in record.predictions.values())


class Dark(ClassicalSegmentor):
    """What is dark and not black: a stand-in for the classical pipeline."""

    LEARNS = False
    NATIVE = True

    def segment(self, image: np.ndarray, probability: None) -> np.ndarray:
        return (image > 0.05) & (image < 0.3)


@pytest.mark.parametrize("native", [True, False])
def test_a_classical_segmentor_sees_the_stored_slices_where_it_wants_them(
    opened, smoke, tiny, tmp_path, monkeypatch, native
) -> None:
    monkeypatch.setattr(kinds, "classical", lambda name: type("One", (Dark,), {"NATIVE": native})())
    first = spec(tiny, network="morph", width=0, losses=())
    data = prepare.prepare(first, smoke)
    record = kinds.train_and_test(first, data, (), tmp_path)
    iou = record.measures["iou"]
    assert (min(iou) == 1) == native
    assert np.median(iou) > 0.7
    assert all(image.shape == (SIZE, SIZE) for image in record.predictions.values())
    assert record.calibration.error < 0.05


def test_scans_that_no_network_is_trained_on_are_tested_on(monkeypatch, smoke, tiny, tmp_path) -> None:
    whole = spec(tiny)
    first = spec(tiny, dataset="lung-ct", source="real", network="unchanged", width=0, losses=(), prior=whole)
    dataset = Chests(scans=1, slices=9)
    dataset.name, dataset.source = "lung-ct", "real"
    monkeypatch.setattr(datasets, "open_dataset", lambda name, config: dataset)
    data = prepare.prepare(first, smoke)
    assert (len(data.train), len(data.validation), len(data.test)) == (0, 0, 9)
    from softmask.nets import build

    prior = SimpleNamespace(spec=whole, needs=(), network=lambda: build("lgan_generator", 2), key="k", failed=False)
    assert len(kinds.train_and_test(first, data, [prior], tmp_path).measures["iou"]) == 9


def test_rows_of_lgans_tables() -> None:
    config = Config.from_parameters("cpu", "embedded")
    second, third, fourth = (rows.specs(f"lgan/table-{number}", config) for number in (2, 3, 4))
    names = ["baseline_unet", *(f"lgan_{critic}" for critic in CRITICS)]
    assert list(second) == [(row, "lidc-lung") for row in names]
    assert list(third) == [(row, "qin-lung") for row in names]
    others = ["morph", "unet", "fusion_gnet", "tiramisu", "segcaps", "lgan_regression"]
    assert list(fourth) == [(row, "lidc-lung") for row in others]
    assert fourth["unet", "lidc-lung"] == second["baseline_unet", "lidc-lung"]
    assert fourth["lgan_regression", "lidc-lung"] == second["lgan_regression", "lidc-lung"]
    runs = {first for table in (second, third, fourth) for (first,) in table.values()}
    assert len(runs) == 16
    (control,) = second["baseline_unet", "lidc-lung"]
    assert control.losses == (("hard_cross_entropy", 1.0),)
    for critic in CRITICS:
        (first,) = second[f"lgan_{critic}", "lidc-lung"]
        assert first.losses == (*control.losses, (f"wasserstein_{critic}", 1.0))
        assert (first.network, first.width, first.settings) == (control.network, control.width, control.settings)
    assert fourth["fusion_gnet", "lidc-lung"][0].losses == (*control.losses, ("gan", 1.0))
    assert rows.spec("unet", "lidc", config).network == "unet"


def test_what_may_be_simulated_and_what_never_is(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("softmask.data.real_paths", lambda root: {})
    real = Config.from_parameters("cpu", "real", data_root=tmp_path)
    assert [rows.source_of(name, real) for name in ("lidc-lung", "qin-lung", "lung-ct")] == [
        "embedded",
        "embedded",
        "real",
    ]
    embedded = Config.from_parameters("cpu", "embedded")
    assert rows.source_of("lung-ct", embedded) == "real"
    tested_on = rows.spec("lgan_regression", "lung-ct", embedded)
    assert (tested_on.network, tested_on.source, tested_on.prior.source) == ("unchanged", "real", "embedded")
    assert tested_on.prior == rows.spec("lgan_regression", "lidc-lung", embedded)
    assert rows.spec("morph", "lung-ct", embedded).network == "morph"


def test_runs_that_test_one_network_after_different_critics_have_different_names():
    config = Config.from_parameters("smoke", "embedded")
    three = ("baseline_unet", "lgan_basic", "lgan_regression")
    names = [rows.spec(row, "lung-ct", config, paper="lgan").name for row in three]
    assert len(set(names)) == 3
    assert names[0].endswith("after_lgan_generator_binary-2020")
