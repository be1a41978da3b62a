"""Metadata for archives and reviewers: current, whole, and only of files that are there."""

from __future__ import annotations

import json

import yaml

from softmask import papers
from softmask.config import ROOT
from softmask.report import metadata

AGAIN = "run `python -m softmask.report.metadata`"


def test_the_committed_files_are_those_of_the_committed_results(committed_results):
    for name, text in metadata.written().items():
        same = (ROOT / name).read_text() == text  # pytest would take minutes to explain a difference
        assert same, f"{name} is not current; {AGAIN}"


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
