"""Profiles, sources, seeds and paths."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask.config import PROFILES, ROOT, SOURCES, Config, cache_root, output_root
from softmask.data import configure
from softmask.errors import ConfigError

VARIABLES = [f"SOFTMASK_{name}" for name in ("PROFILE", "SOURCE", "DATA", "OUTPUT", "CACHE", "RECORDED")]


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_parameters_environment_and_defaults(monkeypatch, tmp_path):
    defaults = Config(PROFILES["cpu"], "auto", 1, ROOT / "data")
    assert Config.from_parameters() == defaults
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert Config.from_parameters() == defaults
    assert (output_root(), cache_root()) == (ROOT, ROOT / ".cache" / "softmask")
    monkeypatch.setenv("SOFTMASK_PROFILE", "smoke")
    monkeypatch.setenv("SOFTMASK_SOURCE", "real")
    monkeypatch.setenv("SOFTMASK_DATA", str(tmp_path / "there"))
    monkeypatch.setenv("SOFTMASK_RECORDED", "1")
    assert Config.from_parameters() == Config(PROFILES["smoke"], "real", 1, tmp_path / "there", recorded=True)
    given = Config.from_parameters("full", "embedded", 2, tmp_path)
    assert given == Config(PROFILES["full"], "embedded", 2, tmp_path, recorded=True)


@pytest.mark.parametrize("seeds", [0, -1, True, 1.0, "2"])
def test_seeds_must_be_a_positive_whole_number(seeds):
    with pytest.raises(ConfigError, match=f"at least 1, not {seeds!r}"):
        Config.from_parameters("cpu", "embedded", seeds)


@given(st.text(min_size=1).filter(lambda name: name not in PROFILES and name not in SOURCES))
def test_unknown_names_are_refused_with_the_known_ones(name):
    for parameters, known in (((name, "embedded"), "smoke, cpu, night, full"), (("cpu", name), "auto, embedded, real")):
        with pytest.raises(ConfigError) as refused:
            Config.from_parameters(*parameters)
        assert repr(name) in str(refused.value)
        assert known in str(refused.value)


@pytest.mark.parametrize("variable", ["SOFTMASK_PROFILE", "SOFTMASK_SOURCE", "SOFTMASK_RECORDED"])
def test_unknown_values_in_the_environment_are_refused(variable, monkeypatch):
    monkeypatch.setenv(variable, "fast")
    with pytest.raises(ConfigError, match="'fast'"):
        Config.from_parameters()


def test_profiles_limit_the_same_and_longer_ones_less():
    assert len({frozenset(profile.samples) for profile in PROFILES.values()}) == 1
    for purpose in PROFILES["smoke"].samples:
        caps = [PROFILES[name].cap(purpose) for name in ("smoke", "cpu", "full")]
        numbers = [float("inf") if cap is None else cap for cap in caps]
        assert numbers == sorted(numbers), purpose


def test_the_run_is_named_after_what_was_computed(tmp_path, monkeypatch):
    def run(*parameters):
        return Config.from_parameters(*parameters).run

    assert run("smoke", "real") == "smoke-real"
    assert run("cpu", "embedded", 4) == "cpu-embedded-4seeds"
    assert run("full", "embedded", 3) == "full-embedded"
    monkeypatch.setattr("softmask.data.real_paths", lambda root: {"lidc": root / "lidc"} if root == tmp_path else {})
    assert configure("cpu", "auto", data_root=tmp_path).run == "cpu-auto"
    assert configure("cpu", "auto", data_root=tmp_path / "other").run == "cpu-embedded"
    assert configure("cpu", "real", data_root=tmp_path / "other").run == "cpu-real"


def test_config_looks_at_no_disk_and_imports_no_reader():
    code = "import sys, softmask.config; print([name for name in sys.modules if name[:5] in ('softm', 'numpy')])"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert sorted(ast.literal_eval(modules)) == ["softmask", "softmask.config", "softmask.errors"]


def test_output_goes_to_the_checkout_or_where_the_environment_says(tmp_path, monkeypatch):
    config = Config.from_parameters("cpu", "embedded")
    assert config.results == ROOT / "results" / "cpu-embedded"
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / "cache"))
    assert config.results == tmp_path / "results" / "cpu-embedded"
    assert config.figures == tmp_path / "figures" / "cpu-embedded"
    assert cache_root() == tmp_path / "cache"


def test_the_data_root_is_absolute_and_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert Config.from_parameters("cpu", "embedded", data_root="scans").data_root == tmp_path / "scans"
    assert Config.from_parameters("cpu", "embedded", data_root=Path("~/scans")).data_root == tmp_path / "me" / "scans"
    (tmp_path / "file").write_text("x")
    for value, message in (
        (tmp_path / "file", "is a file; name a folder"),
        ("~nosuchuser/data", "names no folder"),
        ("x" * 5000, "names no folder"),
    ):
        monkeypatch.setenv("SOFTMASK_DATA", str(value))
        with pytest.raises(ConfigError, match=f"SOFTMASK_DATA = .*{message}"):
            configure("cpu", "embedded")
