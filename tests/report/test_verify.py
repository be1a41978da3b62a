"""Runs made up cell by cell, and compared."""

import json
import math
from dataclasses import replace

import pytest

from softmask.config import Config
from softmask.report import tables, verdicts, verify
from softmask.report.result import Cell, ResultTable
from softmask.report.verify import DIFFERENT, IDENTICAL, TIMED, UNJUDGED, WITHIN

PROVENANCE = {
    "git_commit": "a" * 40,
    "git_dirty": False,
    "seeds": [2020],
    "packages": {"numpy": "2.4.6"},
    "cpu": "A",
    "cpu_count": 2,
    "datasets": [{"name": "lidc", "source": "embedded", "fingerprint": "f", "n": 5, "problems": []}],
}
RUN = {"name": "lidc-unet-2020", "key": "k", "recorded": False, "device": "cpu"}
TRAINED = PROVENANCE | {"runs": [RUN]}
UNITS = {"dice": "percent", "hd95": "pixels", "time": "ms", "says": "text", "p": "number"}


def table(*cells: Cell, provenance=PROVENANCE, name="made", extra=()) -> dict[str, bytes]:
    """The files of a table of the workbook's own."""
    config = Config.from_parameters("cpu", "embedded")
    result = ResultTable(
        "workbook", name, "Made up", "", cells, {cell.metric: UNITS.get(cell.metric, "number") for cell in cells}
    )
    path = tables.write(result, config, provenance)
    files = {f"tables/workbook/{name}{end}": path.with_suffix(end).read_bytes() for end in (".csv", ".json")}
    return files | dict(extra)


@pytest.fixture(autouse=True)
def output(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / "output"))


def cell(metric="dice", mean=0.8, spread=0.1, n=100, seeds=1, note="", row="unet") -> Cell:
    return Cell(row, "lidc", metric, mean, spread, n, seeds, "embedded", note)


def compared(here: dict[str, bytes], there: dict[str, bytes]) -> verify.Comparison:
    return verify.compare(verify.read(here, "here"), verify.read(there, "there"))


def state_of(here: Cell, there: Cell, ours=PROVENANCE, theirs=None) -> str:
    found = compared(table(here, provenance=ours), table(there, provenance=theirs or ours))
    [state] = found.cells["state"]
    assert found.differs == (state == DIFFERENT)
    return state


def test_the_same_files_are_identical():
    files = table(cell(), cell("says", math.nan, math.nan, note="why"), cell("hd95", math.inf, math.nan))
    found = compared(files, files)
    assert set(found.cells["state"]) == {IDENTICAL}
    assert not found.differs
    assert found.moved == {}


class TestComputed:
    @pytest.mark.parametrize(
        "change",
        [{"mean": 0.8001}, {"spread": 0.2}, {"n": 99}, {"seeds": 2}, {"mean": math.nan}, {"spread": math.nan}],
    )
    def test_any_change_is_different(self, change):
        assert state_of(cell(**change), cell()) == DIFFERENT

    def test_words_are_compared(self):
        assert state_of(*(cell("says", math.nan, math.nan, note=note) for note in ("yes", "no"))) == DIFFERENT

    def test_the_last_digit_may_change_with_hardware_or_versions(self):
        near = cell(mean=0.8 * (1 + 0.9e-5))
        assert state_of(near, cell()) == DIFFERENT
        for other in (PROVENANCE | {"cpu": "B"}, PROVENANCE | {"packages": {"numpy": "3"}}):
            assert state_of(near, cell(), other, PROVENANCE) == WITHIN
            assert state_of(cell(mean=0.8 * (1 + 3e-5)), cell(), other, PROVENANCE) == DIFFERENT
            assert state_of(cell(n=99), cell(), other, PROVENANCE) == DIFFERENT

    def test_a_measured_time_is_only_told(self):
        assert state_of(cell("time", 9.0, 1.0, n=7), cell("time", 5.0, 0.1, n=200)) == TIMED

    def test_trained_networks_from_the_same_records_must_be_the_same(self):
        recorded = PROVENANCE | {"runs": [RUN | {"recorded": True}]}
        assert state_of(cell(mean=0.801), cell(), recorded, TRAINED) == DIFFERENT
        other = PROVENANCE | {"runs": [RUN | {"recorded": True, "key": "other"}]}
        assert state_of(cell(mean=0.801), cell(), other, TRAINED) == WITHIN


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

    def test_a_median_by_the_spread_of_its_mean(self):
        there = table(cell("hd95", 5.0, 2.0), cell("median_hd95", 4.0, math.nan), provenance=TRAINED)
        for median, state in ((4.59, WITHIN), (4.61, DIFFERENT)):
            here = table(cell("hd95", 5.0, 2.0), cell("median_hd95", median, math.nan), provenance=TRAINED)
            assert compared(here, there).cells.set_index("metric")["state"]["median_hd95"] == state

    def test_a_difference_by_half_its_interval(self):
        def pair(shift, provenance=TRAINED):
            ends = {"difference": 1.0, "low": -1.0, "high": 3.0}
            return table(*(cell(name, value + shift, math.nan) for name, value in ends.items()), provenance=provenance)

        assert set(compared(pair(1.9), pair(0)).cells["state"]) == {WITHIN}
        assert set(compared(pair(2.1), pair(0)).cells["state"]) == {DIFFERENT}

    def test_other_data_is_different(self):
        real = replace(cell(), source="real")
        assert state_of(real, cell(), TRAINED) == DIFFERENT


def test_missing_and_added_tables_and_cells():
    there = table(cell(), cell(row="gone")) | table(cell(), name="only-there")
    here = table(cell(), cell(row="new")) | table(cell(), name="only-here")
    found = compared(here, there)
    assert (found.missing, found.added) == (["workbook/only-there"], ["workbook/only-here"])
    assert dict(found.cells[["row", "state"]].to_numpy()) == {"gone": "missing", "new": "added", "unet": IDENTICAL}
    assert found.differs


def test_what_differs_comes_first_the_biggest_on_top():
    rows = {"a": 0.8, "b": 0.5, "c": 0.7, "d": 0.81}
    here = table(*(cell(mean=mean, row=row) for row, mean in rows.items()), provenance=TRAINED)
    there = table(*(cell(row=row) for row in rows), provenance=TRAINED)
    assert compared(here, there).cells["row"].tolist() == ["b", "c", "d", "a"]


@pytest.mark.parametrize("damage", ["csv", "json", "gone", "columns", "units", "runs", "provenance", "claims"])
def test_damaged_files_are_named_and_the_others_compared(damage):
    there = table(cell()) | table(cell(), name="whole")
    here = dict(there)
    csv, about = "tables/workbook/made.csv", "tables/workbook/made.json"
    content = json.loads(here[about])
    if damage == "csv":
        here[csv] = here[csv][:-9]
    elif damage == "columns":
        here[csv] = here[csv].replace(b"ours_std", b"std", 1)
    elif damage == "gone":
        del here[about]
    elif damage == "claims":
        here["claims/casgan.json"] = b'{"claims": [{}]}'
    else:
        content |= {
            "units": {"units": {}},
            "runs": {"provenance": {"runs": [{}]}},
            "provenance": {"provenance": [3]},
        }.get(damage, {})
        here[about] = b"{" if damage == "json" else json.dumps(content).encode()
    found = compared(here, there)
    [(name, why)] = found.damaged.items()
    assert why.startswith(("tables/workbook/made.", "claims/casgan.json"))
    assert "run its notebook again" in why or "its first line must be" in why
    assert found.differs
    assert "workbook/whole" in set(found.cells["table"])
    assert compared(there, here).damaged[name].startswith("there: ")


def test_verdicts_are_compared_as_words(tmp_path):
    config = Config.from_parameters("cpu", "embedded")

    def files(verdict, readers="holds"):
        judged, by = ([verdicts.Verdict("CasGAN is best", said, "why")] for said in (verdict, readers))
        return {"claims/casgan.json": verdicts.write("casgan", judged, config, by).read_bytes()}

    assert not compared(files("holds"), files("holds")).differs
    found = compared(files("inconclusive"), files("holds"))
    line = found.cells.iloc[0]
    assert (line["table"], line["row"], line["metric"]) == ("casgan/claims", "CasGAN is best", "verdict")
    assert (line["there"], line["here"], line["state"]) == ("holds", "inconclusive", DIFFERENT)
    assert found.cells["state"].tolist() == [DIFFERENT, IDENTICAL]
