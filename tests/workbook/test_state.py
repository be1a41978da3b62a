from dataclasses import replace
from pathlib import Path

import pytest

from softmask.config import Config
from softmask.workbook import state, times
from softmask.workbook.notebook import NotebookError
from softmask.workbook.state import Entry


@pytest.fixture
def config(output: Path) -> Config:
    return Config.from_parameters("smoke", "embedded")


def test_what_is_saved_is_loaded(config: Config):
    assert state.load(config) == {}
    entries = [Entry("01_data", "ok", 1.5, "", "d", "now", ("results/a",)), Entry("02_masks", "failed", reason="why")]
    state.save(config, entries)
    assert list(state.load(config).values()) == entries


@pytest.mark.parametrize("content", ["", "{", "{}", '{"notebooks": [{"nom": 1}]}', '{"notebooks": 3}'])
def test_a_damaged_state_is_named(config: Config, content: str):
    state.save(config, [])
    state.state_path(config).write_text(content)
    with pytest.raises(NotebookError, match=r"state\.json.* delete it and all notebooks run again"):
        state.load(config)


def test_unchanged_needs_status_digest_and_outputs(output: Path):
    (output / "results").mkdir(parents=True)
    (output / "results" / "a").write_text("1")
    entry = Entry("01_data", "ok", digest="d", outputs=("results/a",))
    assert entry.unchanged("d")
    assert not entry.unchanged("e")
    assert not replace(entry, status="failed").unchanged("d")
    assert not replace(entry, status="running").unchanged("d")
    (output / "results" / "a").unlink()
    assert not entry.unchanged("d")


def test_outputs_are_those_of_the_run_without_state_and_times(config: Config):
    for path in (config.results / "tables" / "a.csv", config.figures / "b.png", config.results.parent / "other" / "c"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    state.save(config, [])
    times.path_of(config).write_text("{}")
    assert set(state.outputs_now(config)) == {
        "results/smoke-embedded/tables/a.csv",
        "figures/smoke-embedded/b.png",
    }
