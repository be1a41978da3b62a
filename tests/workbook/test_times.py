import json
from dataclasses import replace
from pathlib import Path

import pytest

from softmask.config import Config
from softmask.workbook import times
from softmask.workbook.times import Taken


@pytest.fixture
def config(output: Path) -> Config:
    return Config.from_parameters("cpu", "embedded", 7)


def on(monkeypatch: pytest.MonkeyPatch, cpu: str, cores: int) -> None:
    monkeypatch.setattr(times, "cpu_model", lambda: cpu)
    monkeypatch.setattr(times, "cores", lambda: cores)


def test_the_most_of_each_hardware_is_kept_and_this_machines_comes_first(config: Config, monkeypatch):
    assert times.load(config) == []
    on(monkeypatch, "A", 2)
    times.add(config, "02", Taken(30, 100))
    times.add(config, "01", Taken(5, 10))
    times.add(config, "02", Taken(3, 200))
    on(monkeypatch, "A", 16)
    times.add(config, "02", Taken(4, 300))
    assert [(str(one), one.here, one.notebooks) for one in times.load(config)] == [
        ("A, 16 cores", True, {"02": Taken(4, 300)}),
        ("A, 2 cores", False, {"01": Taken(5, 10), "02": Taken(30, 200)}),
    ]


def test_a_run_that_took_less_writes_nothing(config: Config):
    times.add(config, "01", Taken(5, 10))
    before = times.path_of(config).stat().st_mtime_ns
    times.add(config, "01", Taken(4, 10))
    assert times.path_of(config).stat().st_mtime_ns == before


def test_what_is_written_elsewhere_starts_from_the_checkouts(config: Config, monkeypatch, tmp_path: Path):
    times.add(config, "01", Taken(5, 10))
    monkeypatch.setattr(times, "ROOT", tmp_path / "output")
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / "elsewhere"))
    times.add(config, "02", Taken(6, 10))
    assert list(times.load(config)[0].notebooks) == ["01", "02"]
    assert len(list(tmp_path.rglob("times.json"))) == 2


def test_smoke_and_recorded_runs_are_not_noted(config: Config):
    for other in (Config.from_parameters("smoke", "embedded"), replace(config, recorded=True)):
        times.add(other, "01", Taken(5, 10))
        assert times.load(other) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"hardware": [{"cpu": "A"}]}', '{"hardware": 3}', "[" * 100_000])
def test_a_damaged_file_tells_nothing_and_is_written_again(config: Config, content: str):
    times.add(config, "01", Taken(5, 10))
    times.path_of(config).write_text(content)
    assert times.load(config) == []
    times.add(config, "02", Taken(6, 10))
    assert list(json.loads(times.path_of(config).read_text())["hardware"][0]["notebooks"]) == ["02"]
