import json
from dataclasses import replace
from pathlib import Path

import pytest

from softmask.config import Config
from softmask.errors import SoftmaskError
from softmask.workbook import state
from softmask.workbook.state import Cost, Entry


def test_what_is_saved_is_loaded(config):
    assert state.load(config) == {}
    entries = [Entry("01_data", "ok", 1.5, "", "d", "now", ("results/a",)), Entry("02_masks", "failed", reason="why")]
    state.save(config, entries)
    assert list(state.load(config).values()) == entries


@pytest.mark.parametrize("content", ["", "{", "{}", '{"notebooks": [{"nom": 1}]}', '{"notebooks": 3}'])
def test_a_damaged_state_is_named(config, content):
    state.save(config, [])
    state.state_path(config).write_text(content)
    with pytest.raises(SoftmaskError, match=r"state\.json.* delete it and all notebooks run again"):
        state.load(config)


def test_unchanged_needs_status_digest_and_outputs(output):
    (output / "results").mkdir(parents=True)
    (output / "results" / "a").write_text("1")
    entry = Entry("01_data", "ok", digest="d", outputs=("results/a",))
    assert entry.unchanged("d")
    assert not entry.unchanged("e")
    assert not replace(entry, status="failed").unchanged("d")
    assert not replace(entry, status="running").unchanged("d")
    (output / "results" / "a").unlink()
    assert not entry.unchanged("d")


def test_outputs_are_those_of_the_run_without_state_and_times(config):
    for path in (config.results / "tables" / "a.csv", config.figures / "b.png", config.results.parent / "other" / "c"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    state.save(config, [])
    state.times_path(config).write_text("{}")
    assert set(state.outputs_now(config)) == {
        "results/smoke-embedded/tables/a.csv",
        "figures/smoke-embedded/b.png",
    }


@pytest.fixture
def cpu(output: Path) -> Config:
    """A run whose times are noted, and of which the checkout has none."""
    return Config.from_parameters("cpu", "embedded", 7)


def test_the_most_of_each_hardware_is_kept_and_this_machines_comes_first(cpu, monkeypatch):
    assert state.load_times(cpu) == {}
    monkeypatch.setattr(state, "hardware", lambda: ("A", 2))
    for name, cost in (("02", Cost(30, 100)), ("01", Cost(5, 10)), ("02", Cost(3, 200))):
        state.add_time(cpu, name, cost)
    monkeypatch.setattr(state, "hardware", lambda: ("A", 16))
    state.add_time(cpu, "02", Cost(4, 300))
    assert list(state.load_times(cpu).items()) == [
        (("A", 16), {"02": Cost(4, 300)}),
        (("A", 2), {"01": Cost(5, 10), "02": Cost(30, 200)}),
    ]
    before = state.times_path(cpu).stat().st_mtime_ns
    state.add_time(cpu, "02", Cost(3, 10))  # less: nothing is written
    assert state.times_path(cpu).stat().st_mtime_ns == before


def test_what_is_written_elsewhere_starts_from_the_checkouts(cpu, monkeypatch, tmp_path):
    state.add_time(cpu, "01", Cost(5, 10))
    monkeypatch.setattr(state, "ROOT", tmp_path / "output")
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / "elsewhere"))
    state.add_time(cpu, "02", Cost(6, 10))
    assert list(state.load_times(cpu)[state.hardware()]) == ["01", "02"]
    assert len(list(tmp_path.rglob("times.json"))) == 2


def test_smoke_and_recorded_runs_are_not_noted(cpu):
    for other in (Config.from_parameters("smoke", "embedded"), replace(cpu, recorded=True)):
        state.add_time(other, "01", Cost(5, 10))
        assert state.load_times(other) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"hardware": [{"cpu": "A"}]}', '{"hardware": 3}', "[" * 100_000])
def test_a_damaged_file_tells_nothing_and_is_written_again(cpu, content):
    state.add_time(cpu, "01", Cost(5, 10))
    state.times_path(cpu).write_text(content)
    assert state.load_times(cpu) == {}
    state.add_time(cpu, "02", Cost(6, 10))
    assert list(json.loads(state.times_path(cpu).read_text())["hardware"][0]["notebooks"]) == ["02"]
