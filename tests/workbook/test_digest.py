import os
from dataclasses import replace
from pathlib import Path

import pytest

from softmask.config import Config
from softmask.workbook import digest
from softmask.workbook.notebook import load


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "lib" / "softmask" / "report"
    package.mkdir(parents=True)
    (package / "page.py").write_text("x = 1\n")
    (package / "page.j2").write_text("{{ x }}\n")
    (tmp_path / "requirements.lock").write_text("numpy==2.0\n")
    return tmp_path


@pytest.mark.parametrize("name", ["lib/softmask/report/page.py", "lib/softmask/report/page.j2", "requirements.lock"])
def test_code_digest_changes_with_the_package_and_the_lock(checkout: Path, name: str):
    before = digest.code_digest(checkout)
    assert digest.code_digest(checkout) == before
    (checkout / name).write_text("changed\n")
    assert digest.code_digest(checkout) != before


def test_code_digest_changes_with_new_files_and_not_with_compiled_ones(checkout: Path):
    before = digest.code_digest(checkout)
    (checkout / "lib/softmask/report/page.pyc").write_text("compiled")
    assert digest.code_digest(checkout) == before
    for name in ("lib/softmask/measures.yaml", "lib/phantoms.py"):
        (checkout / name).write_text("a: 1")
        assert digest.code_digest(checkout) != before
        (checkout / name).unlink()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "slices"
    (folder / "patient").mkdir(parents=True)
    (folder / "patient" / "1.png").write_bytes(b"one")
    (tmp_path / "data" / "flags.csv").write_text("a\n")
    return tmp_path / "data"


def test_data_digest_changes_with_names_sizes_and_times(data: Path):
    seen = set()

    def look() -> int:
        seen.add(digest.data_digest(data, [data / "slices"]))
        return len(seen)

    assert look() == 1
    assert look() == 1
    image = data / "slices" / "patient" / "1.png"
    image.write_bytes(b"longer")
    assert look() == 2
    os.utime(image, (1, 1))
    assert look() == 3
    image.rename(image.with_name("2.png"))
    assert look() == 4
    (data / "flags.csv").write_text("a\nb\n")
    assert look() == 5
    (data / "other").mkdir()
    (data / "other" / "file").write_text("not one of the data sets")
    assert look() == 5


def test_data_digest_without_data(tmp_path: Path):
    assert digest.data_digest(tmp_path / "none", []) == digest.data_digest(tmp_path / "none", [])


def test_data_digest_stops_at_a_bound(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest, "MOST_FILES", 1)
    before = digest.data_digest(data, [data / "slices"])
    (data / "slices" / "patient" / "2.png").write_bytes(b"two")
    assert digest.data_digest(data, [data / "slices"]) == before


def test_embedded_runs_do_not_look_at_the_data_folder(data: Path):
    config = Config.from_parameters("smoke", "embedded", data_root=data)
    before = digest.common_digest(config)
    (data / "flags.csv").write_text("changed\n")
    assert digest.common_digest(config) == before


def test_notebook_digest(write):
    def of(code=("x = 1",), parameters=None, common="c", others=None, **declared):
        return digest.notebook_digest(load(write("01_data", list(code), **declared)), parameters or {}, common, others)

    base = of()
    assert of() == base
    assert of(title="Another title") == base
    changed = [
        of(code=["x = 2"]),
        of(code=["x", "= 1"]),
        of(parameters={"seeds": 2}),
        of(parameters={"seeds": "2"}),
        of(common="d"),
        of(others={"02": "e"}),
    ]
    assert len({base, *changed}) == len(changed) + 1


def test_recorded_runs_depend_on_the_records(output: Path, monkeypatch):
    config = Config.from_parameters("smoke", "embedded")
    monkeypatch.setattr(digest, "code_digest", lambda: "code")
    record = config.results / "records" / "a.json"
    seen = [digest.common_digest(config), digest.common_digest(replace(config, recorded=True))]
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    seen += [digest.common_digest(replace(config, recorded=True))]
    record.write_text("[]")
    seen += [digest.common_digest(replace(config, recorded=True))]
    assert len(set(seen)) == 4
    assert digest.common_digest(config) == seen[0]  # records do not count where runs are trained
