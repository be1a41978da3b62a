"""Headlines and metadata for archives and reviewers: current, whole, and only of files that are there."""

import json

import pytest
import yaml

from softmask import papers
from softmask.config import ROOT
from softmask.errors import ConfigError
from softmask.measure import verdicts as rule
from softmask.measure.differences import Difference
from softmask.papers import display
from softmask.papers.claims import Pair
from softmask.report import contents, headline, metadata, summary, verdicts
from softmask.report.contents import TableEntry
from softmask.report.result import Cell, ResultTable, join


def cell_of(row, value):
    return Cell(row, "lnsm", "dice", value, 0.1, 9, 1, "real")


@pytest.mark.parametrize("module", [headline, metadata])
def test_what_is_committed_is_made_of_the_committed_results(committed_results, module):
    for name, text in module.written().items():
        same = (ROOT / name).read_text() == text  # pytest would take minutes to explain a difference
        assert same, f"{name} is not current; run `python -m {module.__name__}`"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"casgan_soft": 0.8, "unet": 0.7, "casgan_bin": 0.9}, "**0.800**, U-Net 0.700 (1 of 5)"),
        ({"casgan_soft": 0.8, "unet": 0.7, "cenet": 0.81234}, "0.800, CE-Net **0.812** (2 of 5)"),
        ({"casgan_soft": 0.8, "casgan_bin": 0.9}, "–"),
        ({"unet": 0.8}, "–"),
        ({"casgan_soft": float("nan"), "unet": 0.8}, "–"),
    ],
)
def test_the_method_stands_beside_the_best_other_network(numbers, words):
    cells = [cell_of(row, value) for row, value in numbers.items()]
    joined = tuple(join(ResultTable("casgan", "table-1", "", "", cells)))
    entry = TableEntry("casgan", "table-1", "", "values", "", "filled", joined)
    printed, ours = (summary.rivals(entry, "casgan_soft", "lnsm", "dice", mean) for mean in ("paper_mean", "ours_mean"))
    assert (headline.in_bold(printed), headline.in_bold(ours)) == ("**0.919**, CE-Net 0.913", words)


def test_an_undertrained_mean_is_marked():
    joined = tuple(join(ResultTable("casgan", "table-1", "", "", [cell_of("casgan_soft", 0.8), cell_of("unet", 0.7)])))
    entry = TableEntry("casgan", "table-1", "", "values", "", "filled", joined)
    undertrained = {("casgan", "casgan_soft", "lnsm"), ("casgan", "unet", "isbi2012"), ("softgan", "unet", "lnsm")}
    ours = summary.rivals(entry, "casgan_soft", "lnsm", "dice", "ours_mean", undertrained)
    assert headline.in_bold(ours) == "**0.800†**, U-Net 0.700 (1 of 5)"
    printed = summary.rivals(entry, "casgan_soft", "lnsm", "dice", "paper_mean", undertrained)
    assert headline.in_bold(printed) == "**0.919**, CE-Net 0.913"


def test_the_committed_runs_mark_every_row_that_a_claim_calls_undertrained():
    read = contents.read("night-real")
    entries = [entry for entry in read.claims if entry.verdict == rule.UNDERTRAINED]
    rows = {row for _, row, _ in summary.undertrained_rows(read)}
    assert all(any(display("rows", row) in entry.why for row in rows) for entry in entries)


def test_only_what_is_between_the_markers_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(headline, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("before\n<\nold\n>\nafter\n")
    assert headline.inserted("README.md", "| new |", "<", ">") == "before\n<\n| new |\n>\nafter\n"
    for readme in ("", "<", ">", "><", "<><>"):
        (tmp_path / "README.md").write_text(readme)
        with pytest.raises(ConfigError, match=r"README\.md: .* put them back"):
            headline.inserted("README.md", "x", "<", ">")


def test_files_are_written_and_what_cannot_be_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(headline, "ROOT", tmp_path)
    headline.regenerate(lambda: {"a.md": "text"})
    assert (tmp_path / "a.md").read_text() == "text"
    assert "a.md" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"a\.md"):
        headline.regenerate(lambda: {"a.md/b": "text"})


def test_every_printed_table_and_figure_has_a_file_and_every_file_is_there():
    manifest = yaml.safe_load((ROOT / "codecheck.yml").read_text())["manifest"]
    files = [entry["file"] for entry in manifest]
    assert len(set(files)) == len(files)
    assert all((ROOT / file).is_file() for file in files)
    for name in papers.NAMES:
        paper = papers.load(name)
        for table in paper.tables:
            assert any(file.endswith(f"/{name}/{table}.csv") for file in files)
        for figure in paper.figures:
            parts = [file for file in files if f"/{name}/{figure}." in file or f"/{name}/{figure}-" in file]
            assert parts, f"{name}, {figure}"


def test_the_crate_refers_to_what_it_describes():
    graph = json.loads((ROOT / "ro-crate-metadata.json").read_text())["@graph"]
    known = {entity["@id"] for entity in graph}
    assert len(known) == len(graph)

    def references(value):
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    assert {place for entity in graph for place in references(entity)} - known == {"https://w3id.org/ro/crate/1.1"}
    actions = [entity for entity in graph if entity["@type"] == "CreateAction"]
    assert {action["@id"] for action in actions} == {f"#{run}" for run in metadata.RUNS}
    assert all(action["result"] and action["object"] for action in actions)


def test_the_strongest_evidence_has_the_smallest_p_value():
    """Four standard errors on three degrees of freedom are weaker evidence than three on a hundred."""

    def judged(mean, df):
        none = float("nan")
        difference = Difference(mean, none, none, 1.0, df, 20, 20, 0, (3, 3), False, none, none, (none, none))
        return verdicts.JudgedPair(Pair("softgan", "unet", "lidc"), rule.Outcome(rule.HOLDS, difference))

    assert summary._p_value(judged(3.0, 100)) < summary._p_value(judged(4.0, 3))


@pytest.mark.parametrize("run", headline.RUNS[:2])
def test_the_tables_of_a_notebook_are_all_of_its_last_execution(committed_results, run):
    """A table that a notebook no longer writes would show rows of settings that are gone."""
    commits: dict[str, set[str]] = {}
    for entry in contents.read(run).tables:
        if entry.provenance:
            commits.setdefault(entry.notebook, set()).add(entry.provenance["git_commit"])
    assert {notebook for notebook, several in commits.items() if len(several) > 1} == set()
