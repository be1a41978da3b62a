"""Runs made up cell by cell, and compared: with one another, and with the commits of a small repository."""

import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from softmask import cli
from softmask.config import Config
from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.report import tables, verdicts, verify
from softmask.report.provenance import what_moved
from softmask.report.result import Cell, ResultTable
from softmask.report.verify import DIFFERENT, IDENTICAL, TIMED, UNJUDGED, WITHIN

DATA = {"name": "lidc", "source": "embedded", "origin": "o", "fingerprint": "f", "n": 5, "problems": []}
PROVENANCE = {
    "git_commit": "a" * 40,
    "git_dirty": False,
    "seeds": [2020],
    "python": "3.11.7",
    "packages": {"numpy": "2.4.6", "torch": "2.15.0"},
    "platform": "Linux",
    "cpu": "A",
    "cpu_count": 2,
    "datasets": [DATA],
    "seconds": 5.0,
    "peak_memory_mb": 300.0,
}
RUN = {"name": "lidc-unet-2020", "key": "k", "recorded": False, "device": "cpu", "seconds": 1.0}
TRAINED = PROVENANCE | {"runs": [RUN, RUN | {"name": "lidc-segnet-2020", "key": "l"}]}
UNITS = {"dice": "percent", "hd95": "pixels", "time": "ms", "says": "text", "p": "number"}


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / "output"))
    return tmp_path / "output" / "results"


def cell(metric="dice", mean=0.8, spread=0.1, n=100, seeds=1, note="", row="unet") -> Cell:
    return Cell(row, "lidc", metric, mean, spread, n, seeds, "embedded", note)


def table(run: str, *cells: Cell, provenance=PROVENANCE, name="made") -> Path:
    """Write a table of the workbook's own into a run."""
    config = Config.from_parameters("cpu", run)
    units = {cell.metric: UNITS.get(cell.metric, "number") for cell in cells}
    return tables.write(ResultTable("workbook", name, "Made up", "", cells, units), config, provenance)


def compared(here, there, ours=PROVENANCE, theirs=None) -> verify.Comparison:
    table("real", *here, provenance=ours)
    table("embedded", *there, provenance=theirs or ours)
    return verify.compare("cpu-real", "cpu-embedded")


def state_of(here: Cell, there: Cell, ours=PROVENANCE, theirs=None) -> str:
    comparison = compared([here], [there], ours, theirs)
    [state] = comparison.cells["state"]
    assert comparison.differs == (state == DIFFERENT)
    return state


def test_the_same_files_are_identical():
    cells = [cell(), cell("says", math.nan, math.nan, note="why"), cell("hd95", math.inf, math.nan)]
    comparison = compared(cells, cells)
    assert (set(comparison.cells["state"]), comparison.differs, comparison.moved) == ({IDENTICAL}, False, {})


class TestComputed:
    @pytest.mark.parametrize(
        "change",
        [{"mean": 0.8001}, {"spread": 0.2}, {"n": 99}, {"seeds": 2}, {"mean": math.nan}, {"spread": math.nan}],
    )
    def test_any_change_is_different(self, change):
        assert state_of(cell(**change), cell()) == DIFFERENT

    def test_words_are_compared_and_times_only_told(self):
        assert state_of(*(cell("says", math.nan, math.nan, note=note) for note in ("yes", "no"))) == DIFFERENT
        assert state_of(cell("time", 9.0, 1.0, n=7), cell("time", 5.0, 0.1, n=200)) == TIMED

    def test_the_last_digit_may_change_with_hardware_or_versions(self):
        near = cell(mean=0.8 * (1 + 0.9e-5))
        assert state_of(near, cell()) == DIFFERENT
        for other in (PROVENANCE | {"cpu": "B"}, PROVENANCE | {"packages": {"numpy": "3"}}):
            assert state_of(near, cell(), other, PROVENANCE) == WITHIN
            assert state_of(cell(mean=0.8 * (1 + 3e-5)), cell(), other, PROVENANCE) == DIFFERENT
            assert state_of(cell(n=99), cell(), other, PROVENANCE) == DIFFERENT

    def test_trained_networks_from_the_same_records_must_be_the_same(self):
        recorded = [run | {"recorded": True} for run in TRAINED["runs"]]
        assert state_of(cell(mean=0.801), cell(), PROVENANCE | {"runs": recorded}, TRAINED) == DIFFERENT
        other = [run | {"key": "other"} for run in recorded]
        assert state_of(cell(mean=0.801), cell(), PROVENANCE | {"runs": other}, TRAINED) == WITHIN


class TestTrained:
    @pytest.mark.parametrize(
        ("here", "there", "state"),
        [
            (cell(mean=0.8 + 0.029), cell(), WITHIN),  # 0.3 of 0.1
            (cell(mean=0.8 - 0.031), cell(), DIFFERENT),
            (cell(mean=0.8 + 0.016, seeds=4), cell(seeds=4), DIFFERENT),  # half of that
            (cell(mean=0.8 + 0.014, seeds=4), cell(seeds=4), WITHIN),
            (cell(n=99), cell(), WITHIN),  # one more image on which the measure is undefined
            (cell(seeds=2), cell(), DIFFERENT),
            (replace(cell(), source="real"), cell(), DIFFERENT),
            (cell(mean=math.nan), cell(), DIFFERENT),
            (cell("hd95", math.inf, math.nan), cell("hd95", 3.0, 1.0), DIFFERENT),
            (cell("hd95", math.inf, math.nan, n=9), cell("hd95", math.inf, math.nan), UNJUDGED),
            (cell("p", 0.01, math.nan), cell("p", 0.2, math.nan), UNJUDGED),
            (cell("says", math.nan, math.nan, note="a"), cell("says", math.nan, math.nan, note="b"), UNJUDGED),
            (cell("time", 9.0, 1.0, n=7), cell("time", 5.0, 0.1), TIMED),
        ],
    )
    def test_by_the_spread_over_images(self, here, there, state):
        assert state_of(here, there, TRAINED) == state

    @pytest.mark.parametrize(("median", "state"), [(4.59, WITHIN), (4.61, DIFFERENT)])
    def test_a_median_by_the_spread_of_its_mean(self, median, state):
        here, there = ([cell("hd95", 5.0, 2.0), cell("median_hd95", m, math.nan)] for m in (median, 4.0))
        assert compared(here, there, TRAINED).cells.set_index("metric")["state"]["median_hd95"] == state

    @pytest.mark.parametrize(("shift", "state"), [(1.9, WITHIN), (2.1, DIFFERENT)])
    def test_a_difference_by_half_its_interval(self, shift, state):
        ends = {"difference": 1.0, "low": -1.0, "high": 3.0}
        here, there = ([cell(name, value + by, math.nan) for name, value in ends.items()] for by in (shift, 0))
        assert set(compared(here, there, TRAINED).cells["state"]) == {state}


def test_missing_and_added_tables_and_cells():
    table("embedded", cell(), name="only-there")
    table("real", cell(), name="only-here")
    comparison = compared([cell(), cell(row="new")], [cell(), cell(row="gone")])
    states = {(line.table, line.row): line.state for line in comparison.cells.itertuples()}
    assert states == {
        ("workbook/made", "gone"): "missing",
        ("workbook/only-there", "unet"): "missing",
        ("workbook/made", "new"): "added",
        ("workbook/only-here", "unet"): "added",
        ("workbook/made", "unet"): IDENTICAL,
    }
    assert comparison.differs
    assert "missing   1 tables workbook/only-there" in verify.text(comparison)
    assert "missing   1 tables\n" in verify.summary(comparison)


def test_what_differs_comes_first_the_biggest_on_top():
    rows = {"a": 0.8, "b": 0.5, "c": 0.7, "d": 0.81}
    here, there = ([cell(mean=m, row=row) for row, m in means.items()] for means in (rows, dict.fromkeys(rows, 0.8)))
    assert compared(here, there, TRAINED).cells["row"].tolist() == ["b", "c", "d", "a"]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("tables/workbook/made.csv", "a,b"),
        ("tables/workbook/made.json", "{}"),
        ("claims/casgan.json", '{"claims": [{}]}'),
    ],
)
def test_damaged_files_are_named_and_the_others_compared(results, place, text):
    for run in ("real", "embedded"):
        table(run, cell())
        table(run, cell(), name="whole")
    write_atomic(results / "cpu-real" / place, text)
    comparison = verify.compare("cpu-real", "cpu-embedded")
    [(name, why)] = comparison.damaged.items()
    assert why.startswith(place)
    assert "run its notebook again" in why
    assert comparison.differs
    assert "workbook/whole" in set(comparison.cells["table"])
    assert verify.compare("cpu-embedded", "cpu-real").damaged[name].startswith("cpu-real: ")


def test_verdicts_are_compared_as_words():
    def write(run, verdict):
        config = Config.from_parameters("cpu", run)
        judged, by = ([verdicts.Verdict("CasGAN is best", said, "why")] for said in (verdict, "holds"))
        verdicts.write("casgan", judged, config, by)

    for run in ("real", "embedded"):
        write(run, "holds")
    assert not verify.compare("cpu-real", "cpu-embedded").differs
    write("real", "inconclusive")
    cells = verify.compare("cpu-real", "cpu-embedded").cells
    place = ("casgan/claims", "CasGAN is best", "verdict", "holds", "inconclusive", DIFFERENT)
    assert tuple(cells.loc[0, ["table", "row", "metric", "there", "here", "state"]]) == place
    assert cells["state"].tolist() == [DIFFERENT, IDENTICAL]


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({}, {}),
        ({"seconds": 9.0, "peak_memory_mb": 1.0}, {}),
        ({"git_commit": "b" * 40}, {"code": f"{'a' * 40} -> {'b' * 40}"}),
        ({"git_dirty": True}, {"code": f"{'a' * 40} -> with changes that are not committed"}),
        ({"git_commit": None}, {"code": f"{'a' * 40} -> not in a git checkout"}),
        ({"seeds": [2020, 2021]}, {"seeds": "2020 -> 2021"}),
        ({"python": "3.12.0"}, {"packages": "python 3.11.7 -> python 3.12.0"}),
        ({"packages": {"numpy": "2.4.6"}}, {"packages": "torch 2.15.0 -> python 3.11.7"}),
        ({"cpu": "B", "cpu_count": 4}, {"machine": "A, 2 cores; Linux -> B, 4 cores; Linux"}),
        ({"runs": [TRAINED["runs"][0] | {"key": "m"}, TRAINED["runs"][1]]}, {"training runs": "1 of 2 with other"}),
        ({"runs": [*TRAINED["runs"], RUN | {"name": "new"}]}, {"training runs": "1 of 3 with other"}),
    ],
)
def test_each_cause_is_named(change, moved):
    comparison = what_moved(TRAINED | change, TRAINED)
    assert comparison.keys() == moved.keys()
    assert all(comparison[term].startswith(words) for term, words in moved.items())
    assert list(what_moved(PROVENANCE | {"datasets": [DATA | {"fingerprint": "g"}]}, PROVENANCE)) == ["data lidc"]


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True, text=True).stdout


def write(mean: float) -> None:
    table("embedded", *(cell(mean=mean, row=f"row {i}") for i in range(40)))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    """A repository with two commits of a run; the working tree is as the second."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(root))
    monkeypatch.setattr(verify, "ROOT", root)
    git(root, "init", "--quiet")
    for mean in (0.7, 0.8):
        write(mean)
        git(root, "add", ".")
        git(root, "commit", "--quiet", "--message", f"{mean}")
    return root


def test_the_committed_run(checkout, capsys):
    assert cli.main(["verify", "cpu-embedded"]) == 0
    said = capsys.readouterr().out
    commit = git(checkout, "rev-parse", "--short", "HEAD").strip()
    assert f"cpu-embedded here, beside cpu-embedded of commit {commit}" in said
    assert "computed  1 tables, 1 of them identical; cells: 40 identical" in said
    assert len(verify.summary(verify.compare("cpu-embedded")).splitlines()) == 2
    write(0.81)
    assert cli.main(["verify", "cpu-embedded"]) == 1
    said = capsys.readouterr().out
    for words in ("cells: 40 different", "... and 20 more; --all lists every cell", "80 ± 10", "nothing that the prov"):
        assert words in said
    assert cli.main(["verify", "cpu-embedded", "--all"]) == 1
    assert "row 39" in capsys.readouterr().out
    assert "softmask verify tells what" in verify.summary(verify.compare("cpu-embedded"))
    (checkout / "results/cpu-embedded/tables/workbook/made.csv").write_text("damaged")
    assert "damaged   workbook/made" in verify.summary(verify.compare("cpu-embedded"))


def test_another_commit_a_folder_and_another_run(checkout, tmp_path):
    folder = str(checkout / "results" / "cpu-embedded")
    for other, status in (("HEAD~1", 1), ("HEAD", 0), (folder, 0), ("cpu-embedded", 0)):
        assert cli.main(["verify", "cpu-embedded", "--against", other]) == status
    assert cli.main(["verify", folder]) == 0
    assert verify.has_committed("cpu-embedded")
    assert not verify.has_committed("cpu-real")
    (checkout / "results").rename(tmp_path / "archive")
    archive = str(tmp_path / "archive" / "cpu-embedded")
    assert cli.main(["verify", archive, "--against", archive]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "'nothing' is no run in .*; there are cpu-embedded"),
        (["cpu-embedded", "--against", "nothing"], "'nothing' is no run .* nor is it a commit"),
        (["cpu-embedded", "--against=--help"], "'--help' is no run .* nor is it a commit"),
    ],
)
def test_what_is_not_there_is_said(checkout, arguments, message):
    assert cli.main(["verify", *arguments]) == 2
    with pytest.raises(ConfigError, match=message):
        verify.compare(arguments[0], arguments[-1].removeprefix("--against=") if arguments[1:] else None)


def test_a_run_that_is_not_committed_and_an_archive_without_history(checkout):
    (checkout / "results" / "cpu-embedded").rename(checkout / "results" / "cpu-real")
    with pytest.raises(ConfigError, match=r"holds no tables of cpu-real; it holds cpu-embedded"):
        verify.compare("cpu-real")
    (checkout / ".git").rename(checkout / "away")
    with pytest.raises(ConfigError, match=r"no git history .* --against COPY/results/cpu-real"):
        verify.compare("cpu-real")
    with pytest.raises(ConfigError, match="nor is it a commit"):
        verify.compare("cpu-real", "HEAD")
