"""Tables and figures of a notebook under their captions."""

import ast
import json
import re

import pytest

from softmask import papers
from softmask.analysis import results
from softmask.analysis.results import Results
from softmask.config import PROFILES, ROOT
from softmask.errors import ConfigError
from softmask.report.result import Cell


def calls() -> list[tuple[str, str]]:
    """Kind and name, as a regular expression, of every table and figure of the notebooks."""
    named = []
    for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] != "code":
                continue
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "results.table", "results.claims", "results.figure",
                ):  # fmt: skip
                    kind = "figures" if node.func.attr == "figure" else "tables"
                    first = node.args[0]
                    parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                    text = "".join(re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in parts)
                    named.append((kind, text))
    return named


def test_every_caption_is_used_and_every_table_and_figure_has_one():
    captions = {(kind, name) for kind in ("tables", "figures") for name in results._captions()[kind]}
    used = set()
    for kind, text in calls():
        matching = {
            (k, name)
            for k, name in captions
            if k == kind and (re.fullmatch(text, name) or re.fullmatch(text, f"{name}-x-y"))
        }
        assert matching, text
        used |= matching
    assert captions == used


def test_printed_tables_and_figures_are_the_papers():
    assert set(results._captions()["terms"]) == set(PROFILES)
    for kind in ("tables", "figures"):
        for name in results._captions()[kind]:
            paper, _, rest = name.partition("/")
            if paper != "workbook":
                known = getattr(papers.load(paper), kind)
                assert "-".join(rest.split("-")[:2]) in known, name


def test_a_table_is_written_under_its_caption_and_shown(config):
    cells = [Cell("lidc", "", "images", 3, float("nan"), 3, 1, "embedded")]
    frame = Results(config).table("workbook/nodule-kinds", cells, [], units={"images": "count"}, source="a test")
    assert frame.frame.shape == (1, 1)
    beside = json.loads((config.results / "tables" / "workbook" / "nodule-kinds.json").read_text())
    assert beside["title"] == "Nodules of each kind"
    assert beside["caption"].startswith("lidc (a test): nodules by the rule")
    assert beside["provenance"]["seconds"] >= 0


def test_the_words_of_a_title_are_filled_in(config):
    Results(config).claims("workbook/dsnet-v1-claims", [], {}, paper="DSNet, first version")
    beside = json.loads((config.results / "tables" / "workbook" / "dsnet-v1-claims.json").read_text())
    assert beside["title"] == "Comparisons behind the claims of DSNet, first version"


def test_a_missing_caption_and_a_missing_word_are_named(config):
    with pytest.raises(ConfigError, match=r"workbook/none has no caption: add one to tables in report/captions.yaml"):
        Results(config).table("workbook/none", [], [])
    with pytest.raises(ConfigError, match="casgan/fig-1: its caption has the word 'source', which the call does not"):
        Results(config).figure("casgan/fig-1", None)
