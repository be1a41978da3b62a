import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest

from softmask import cli
from softmask.errors import DataError


@pytest.fixture
def root(sections, monkeypatch):
    monkeypatch.setenv("SOFTMASK_DATA", str(sections))
    return sections


def test_check_names_damaged_files_and_missing_data(root, tmp_path_factory, capsys):
    assert cli.main(["data", "check"]) == 0
    assert "isbi2012: 3 images are usable, 0 left out;" in capsys.readouterr().out
    assert cli.main(["data", "check", "promise12"]) == 1
    assert "softmask data fetch promise12" in capsys.readouterr().out
    path = root / "isbi2012/train/label/1.png"
    path.write_bytes(path.read_bytes()[:-9])
    assert cli.main(["data", "check", "isbi2012"]) == 1
    text = capsys.readouterr().out
    assert "isbi2012: 2 images are usable, 1 left out;" in text
    assert f"{path}: truncated" in text
    other = tmp_path_factory.mktemp("other")
    assert cli.main(["data", "check", "isbi2012", "--data-root", str(other)]) == 1
    assert str(other / "isbi2012") in capsys.readouterr().out


def test_list_has_a_row_for_each_data_set(root, capsys):
    assert cli.main(["data", "list", "--data", "real"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"data folder: {root}"
    assert lines[1].split() == ["name", "source", "images", "licence", "origin"]
    assert [line.split()[:3] for line in lines[2:6]] == [
        ["lidc", "none", "0"],
        ["lnsm", "none", "0"],
        ["isbi2012", "real", "3"],
        ["promise12", "none", "0"],
    ]
    assert any("softmask data fetch lidc" in line for line in lines[6:])
    assert cli.main(["data", "list", "--data", "real", "--data-root", str(root / "none")]) == 0
    assert "none (does not exist)" in capsys.readouterr().out


def test_fetch_gets_what_it_can_and_goes_on_after_a_failure(root, capsys, monkeypatch):
    def failing(source, _):
        raise DataError(f"{source.name}: no network")

    monkeypatch.setattr("softmask.data.fetch.fetch", failing)
    assert cli.main(["data", "fetch"]) == 2
    captured = capsys.readouterr()
    names = ("lidc", "isbi2012", "promise12", "lungs")
    assert captured.err == "".join(f"softmask: {name}: no network\n" for name in names)
    assert "deeplesion: cannot be fetched" in captured.out
    monkeypatch.setattr("softmask.data.fetch.fetch", lambda source, _: f"{source.name}: fetched")
    assert cli.main(["data", "fetch"]) == 0
    assert "isbi2012: fetched" in capsys.readouterr().out
    assert cli.main(["data", "fetch", "deeplesion"]) == 1
    text = capsys.readouterr().out
    assert "nihcc.app.box.com" in text
    assert str(root / "deeplesion") in text


def test_interrupted_fetch_exits_130_and_says_it_goes_on(root, capsys, monkeypatch):
    monkeypatch.setattr("softmask.data.fetch.fetch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["data", "fetch", "lidc"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["check", "fetch"])
def test_unknown_name_answers_with_the_known_ones_and_exits_2(root, capsys, action):
    assert cli.main(["data", action, "lung"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("softmask: unknown data set 'lung' (did you mean ")
    assert " lidc, " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["data"], ["data", "list", "--frobnicate"], ["walk"]])
def test_wrong_usage_exits_2_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage: softmask" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["label", "segment", "lungs"])
def test_help_has_three_examples_that_are_valid(command, capsys, monkeypatch):
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    examples = [shlex.split(line)[1:] for line in lines if line.startswith(f"softmask {command} ")]
    assert len(examples) == 3
    accepted = []
    functions = dict.fromkeys(("run", "run_segment", "run_lungs"), lambda arguments: accepted.append(arguments) or 0)
    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(**functions))
    assert [cli.main(example) for example in examples] == [0, 0, 0]
    assert all(arguments.out for arguments in accepted)


def test_python_m_softmask_is_the_command():
    command = [sys.executable, "-m", "softmask", "label", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: softmask label")
