"""Trainings twice as long beside the others, and the rates that were tried."""

import pytest

from softmask.analysis import finished, schedules
from softmask.config import Config
from softmask.experiments import Record, Run, night
from softmask.experiments import schedules as table
from softmask.experiments.store import Provenance


@pytest.fixture
def config() -> Config:
    return Config.from_parameters("night", "embedded")


def test_a_short_profile_trains_nothing_twice_as_long():
    assert schedules.longer("softgan", Config.from_parameters("smoke", "embedded")) is None


def record_of(spec) -> Record:
    """Twenty images of ten patients; a training twice as long is better by 0.01 on every one."""
    ids = tuple(f"s{i}" for i in range(20))
    dice = tuple(0.7 + i / 100 + 0.01 * (spec.settings.epochs in (124, 48)) for i in range(20))
    about = Provenance("d", 1, "made by a test", None, 1.0, "cpu", "a cpu", {}, None, None)
    curves = {"validation_dice": [0.5] * 8 + [0.6] * 2}
    return Record(spec, ids, tuple(f"p{i // 2}" for i in range(20)), {"dice": dice}, curves, 9, 1, None, {}, about)


def test_the_difference_is_of_the_same_images(config, monkeypatch):
    monkeypatch.setattr(finished, "fit", lambda specs, config, title: [Run(spec, record_of(spec)) for spec in specs])
    cells = {(cell.row, cell.dataset, cell.metric): cell.ours_mean for cell in schedules.longer("softgan", config).rows}
    assert {row for row, *_ in cells} == {"unet", "softgan"}
    assert cells["unet", "lidc", "difference"] == pytest.approx(1.0, abs=1e-3)
    assert cells["unet", "lidc", "gain"] == pytest.approx(10.0)
    assert cells["softgan", "lnsm", "dice_doubled"] > cells["softgan", "lnsm", "dice"]


def test_every_rate_that_was_tried_has_a_column(config, monkeypatch, tmp_path):
    monkeypatch.setattr(table, "TABLE", tmp_path / "rates.csv")
    for rate, dice in zip(table.RATES, (0.1, 0.9, 0.8, 0.0), strict=True):
        table.add(table.Trial("embedded", "lidc", "unet", 16, "1dice", rate, dice, 1.0))
    frame = schedules.tried(night.groups(config)["SoftGAN"])
    assert frame.columns.tolist() == ["0.0003", "0.001", "0.003", "0.01", "taken"]
    assert frame.loc["LIDC, unet, 1dice"].tolist() == [0.1, 0.9, 0.8, 0.0, 0.001]
