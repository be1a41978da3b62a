"""A small repository of its own, and folders."""

import subprocess
from pathlib import Path

import pytest

from softmask import cli
from softmask.config import Config
from softmask.errors import ConfigError
from softmask.report import kept, tables, verify_cli
from softmask.report.result import Cell, ResultTable


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True, text=True).stdout


def write(mean: float, n: int = 40) -> None:
    cells = [Cell(f"row {i}", "lidc", "dice", mean, 0.1, 10, 1, "embedded") for i in range(n)]
    result = ResultTable("workbook", "made", "Made up", "", cells, {"dice": "percent"})
    tables.write(result, Config.from_parameters("cpu", "embedded"), {"git_commit": "c" * 40})


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits of a run; the working tree is as the second."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(root))
    monkeypatch.setattr(kept, "ROOT", root)
    git(root, "init", "--quiet")
    for mean in (0.7, 0.8):
        write(mean)
        git(root, "add", ".")
        git(root, "commit", "--quiet", "--message", f"{mean}")
    return root


def verify(*arguments: str) -> int:
    return cli.main(["verify", *arguments])


def test_the_committed_run(checkout: Path, capsys):
    assert verify("cpu-embedded") == 0
    said = capsys.readouterr().out
    assert f"cpu-embedded here, beside cpu-embedded of commit {git(checkout, 'rev-parse', '--short', 'HEAD')}" in said
    assert "computed  1 tables, 1 of them identical; cells: 40 identical" in said
    write(0.81)
    assert verify("cpu-embedded") == 1
    said = capsys.readouterr().out
    assert "cells: 40 different" in said
    assert "... and 20 more; --all lists every cell" in said
    assert "80 ± 10" in said
    assert said.count("nothing that the provenance names") == 21  # once among the causes
    assert verify("cpu-embedded", "--all") == 1
    assert "row 39" in capsys.readouterr().out


def test_another_commit_a_folder_and_another_run(checkout: Path, tmp_path: Path, capsys):
    for other, status in (
        ("HEAD~1", 1),
        ("HEAD", 0),
        (str(checkout / "results" / "cpu-embedded"), 0),
        ("cpu-embedded", 0),
    ):
        assert verify("cpu-embedded", "--against", other) == status
    assert verify(str(checkout / "results" / "cpu-embedded")) == 0
    archive = tmp_path / "archive"
    (checkout / "results").rename(archive)
    assert verify(str(archive / "cpu-embedded"), "--against", str(archive / "cpu-embedded")) == 0


def test_the_files_are_those_of_the_folder(checkout: Path):
    assert kept.committed("cpu-embedded").content == kept.here("cpu-embedded").content
    assert kept.has_committed("cpu-embedded")
    assert not kept.has_committed("cpu-real")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "'nothing' is no run in .*; there are cpu-embedded"),
        (["cpu-embedded", "--against", "nothing"], "'nothing' is no run .* nor is it a commit"),
        (["cpu-embedded", "--against=--help"], "'--help' is no run .* nor is it a commit"),
    ],
)
def test_what_is_not_there_is_said(checkout: Path, capsys, arguments, message):
    assert verify(*arguments) == 2
    with pytest.raises(ConfigError, match=message):
        verify_cli.comparison(arguments[0], arguments[-1].removeprefix("--against="))


def test_a_run_that_is_not_committed(checkout: Path):
    (checkout / "results" / "cpu-embedded").rename(checkout / "results" / "cpu-real")
    with pytest.raises(ConfigError, match=r"holds no tables of cpu-real; it holds cpu-embedded"):
        verify_cli.comparison("cpu-real")


def test_an_archive_without_history_says_how(checkout: Path):
    (checkout / ".git").rename(checkout / "away")
    with pytest.raises(ConfigError, match=r"no git history .* --against COPY/results/cpu-embedded"):
        verify_cli.comparison("cpu-embedded")
    with pytest.raises(ConfigError, match="nor is it a commit"):
        verify_cli.comparison("cpu-embedded", "HEAD")


def test_the_summary_is_short(checkout: Path):
    assert len(verify_cli.summary(verify_cli.comparison("cpu-embedded")).splitlines()) == 2
    write(0.81)
    table = checkout / "results" / "cpu-embedded" / "tables" / "workbook" / "made.csv"
    said = verify_cli.summary(verify_cli.comparison("cpu-embedded"))
    assert "40 different" in said
    assert "softmask verify tells what" in said
    table.write_text("damaged")
    assert "damaged   workbook/made" in verify_cli.summary(verify_cli.comparison("cpu-embedded"))
