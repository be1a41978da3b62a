"""The registry of simulated data sets, and the plug-in that fills it."""

import subprocess
import sys

import pytest

from softmask.config import ROOT, Config
from softmask.data import open_dataset, simulated
from softmask.errors import ConfigError, MissingData


def test_a_registered_data_set_is_opened_by_its_name(monkeypatch):
    monkeypatch.setattr(simulated, "_DATASETS", dict(simulated._DATASETS))
    monkeypatch.setattr(simulated, "PLUGIN", "json")  # any module: this one registers nothing
    simulated.register("own", lambda name: ["opened", name])
    assert simulated.open_simulated("own") == ["opened", "own"]


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"no embedded data set 'isbi'; choose one of .*isbi2012"):
        simulated.open_simulated("isbi")


def test_a_missing_plug_in_is_named_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(simulated, "PLUGIN", "nowhere_to_be_found")
    with pytest.raises(MissingData, match=r"isbi2012: the package nowhere_to_be_found.*pip install -e \."):
        open_dataset("isbi2012", Config.from_parameters("smoke", "embedded", data_root=tmp_path))


def test_an_error_inside_the_plug_in_is_not_taken_for_its_absence(monkeypatch, tmp_path):
    (tmp_path / "broken_plugin.py").write_text("import nowhere_to_be_found")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(simulated, "PLUGIN", "broken_plugin")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        simulated.open_simulated("isbi2012")


def test_no_module_of_softmask_imports_the_plug_in():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "lib" / "softmask").rglob("*.py")]
    assert not [text for text in sources if "import phantoms" in text or "from phantoms" in text]


def test_softmask_alone_does_not_load_it():
    code = "import sys, softmask.data, softmask.label; print([m for m in sys.modules if m.startswith('phantoms')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
