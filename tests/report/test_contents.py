import json
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from softmask import papers
from softmask.errors import DataError
from softmask.report import contents, figures, provenance, tables, verdicts
from softmask.report.tables import Cell, ResultTable


def cells(paper, table, n=None):
    printed = papers.load(paper).table(table).cells[:n]
    return [Cell(c.row, c.dataset, c.metric, 0.5, 0.1, 9, 1, "real", "words") for c in printed]


def table_of(config, paper, name):
    return next(entry for entry in contents.read(config.run).tables if (entry.paper, entry.name) == (paper, name))


def figure_of(config, paper, name):
    return next(entry for entry in contents.read(config.run).figures if (entry.paper, entry.name) == (paper, name))


def draw(config, paper, name):
    fig = plt.figure(figsize=(1, 1))
    path = figures.save(fig, paper, name, config, f"caption of {name}")
    plt.close(fig)
    return path


def test_an_empty_run_has_all_tables_and_figures_not_run(config):
    content = contents.read(config.run)
    assert {entry.status for entry in (*content.tables, *content.figures)} == {"not run yet"}
    assert content.notebooks == []
    assert all(entry.cells for entry in content.tables)


@pytest.mark.parametrize(("n", "status"), [(None, "filled"), (1, "partly filled"), (0, "not run yet")])
def test_the_status_counts_cells(config, n, status):
    about = provenance.collect(config, [], time.perf_counter())
    for paper, name in (("softgan", "table-1"), ("lgan", "table-1")):
        tables.write(ResultTable(paper, name, "", "cap", cells(paper, name, n)), config, about)
        entry = table_of(config, paper, name)
        assert entry.status == status
        assert (entry.caption, entry.provenance) == ("cap", about)


def test_the_workbooks_own_tables_and_figures_come_last(config):
    cell = Cell("a", "lidc", "mae", 0.5, 0.1, 9, 1, "real")
    for name in ("b-table", "a-table"):
        tables.write(ResultTable("workbook", name, name, "", [cell]), config, {})
        draw(config, "workbook", name)
    content = contents.read(config.run)
    own_tables, own_figures = content.tables[-2:], content.figures[-2:]
    assert [entry.name for entry in own_tables] == [entry.name for entry in own_figures] == ["a-table", "b-table"]
    assert own_tables[0].status == "filled"
    assert own_figures[0].pictures[0].caption == "caption of a-table"


def test_parts_of_a_figure_belong_to_it_and_fig_1_is_not_fig_10(config):
    for name in ("fig-1-real", "fig-1", "fig-10"):
        draw(config, "dsnet-v2", name)
    entry = figure_of(config, "dsnet-v2", "fig-1")
    assert [picture.name for picture in entry.pictures] == ["fig-1", "fig-1-real"]
    assert figure_of(config, "dsnet-v2", "fig-10").status == "drawn"
    assert figure_of(config, "dsnet-v2", "fig-2").status == "not run yet"


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        (".csv", lambda text: "\n".join(text.splitlines()[:5]) + "\n", "printed cells are missing"),
        (".csv", lambda text: text.replace("87.88", "12.34"), "another printed number"),
        (".csv", lambda text: text.replace(",9,1,", ",,,"), "has no count of images or seeds"),
        (".json", lambda text: text[:50], "table-1.json: is no JSON"),
        (".json", lambda text: "[]", "table-1.json"),
        (".json", lambda text: "{}", "does not hold what it should"),
        (".json", lambda text: text.replace('"units"', '"unit"'), "does not hold what it should"),
        (".json", lambda text: text.replace('"provenance": {}', '"provenance": [3]'), "does not hold what it should"),
        (".json", lambda text: text.replace('"provenance": {}', '"provenance": {"runs": [{}]}'), "does not hold what"),
        (".json", None, "table-1.json: there is no such file"),
    ],
)
def test_a_damaged_table_is_named_and_the_others_stand(config, suffix, damage, message):
    path = tables.write(ResultTable("softgan", "table-1", "", "", cells("softgan", "table-1")), config, {})
    path = path.with_suffix(suffix)
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage(path.read_text()))
    entry = table_of(config, "softgan", "table-1")
    assert entry.status == "damaged"
    assert message in entry.why
    assert str(config.results) not in entry.why
    assert len(entry.cells) == 21
    assert not any(cell.run for cell in entry.cells)
    assert sum(e.status == "damaged" for e in contents.read(config.run).tables) == 1


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        (".json", None, "JSON cannot be used"),
        (".json", lambda data: b"{}", "JSON cannot be used"),
        (".json", lambda data: b"no json", "JSON cannot be used"),
        (".png", lambda data: b"", "not a whole PNG file"),
        (".png", lambda data: b"no picture", "not a whole PNG file"),
        (".png", lambda data: data[:-20], "not a whole PNG file"),
        (".png", lambda data: data[: len(data) // 2], "not a whole PNG file"),
        (".png", lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:], "not a whole PNG file"),
        (".png", lambda data: data[:16] + b"\xff" * 8 + data[24:], "not a whole PNG file"),  # 2^32 pixels to a side
    ],
)
def test_a_damaged_figure_is_named(config, suffix, damage, message):
    path = draw(config, "lgan", "fig-1").with_suffix(suffix)
    path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
    entry = figure_of(config, "lgan", "fig-1")
    assert entry.status == "damaged"
    assert entry.why.startswith("fig-1: ")
    assert message in entry.why
    assert str(config.figures) not in entry.why


def test_notebooks_are_read_from_the_runners_state(config):
    config.results.mkdir(parents=True)
    state = {
        "notebooks": [
            {"name": "01_data", "status": "ok", "seconds": 3.5},
            {"name": "02", "status": "failed", "reason": "boom"},
        ]
    }
    (config.results / "state.json").write_text(json.dumps(state))
    first, second = contents.read(config.run).notebooks
    assert first == {"name": "01_data", "status": "ok", "reason": ""}
    assert second["reason"] == "boom"


@pytest.mark.parametrize("text", ["", "[]", '{"notebooks": [1]}', '{"notebooks": [{"name": "a"}]}'])
def test_a_damaged_state_is_named(config, text):
    config.results.mkdir(parents=True)
    (config.results / "state.json").write_text(text)
    with pytest.raises(DataError, match=r"state\.json"):
        contents.read(config.run)


def test_rows_sources_and_claims_are_counted(config):
    softgan = [replace(cell, source="substitute") for cell in cells("softgan", "table-1", 7)]  # two rows and a cell
    tables.write(ResultTable("softgan", "table-1", "", "", softgan), config, {})
    lgan = [replace(cell, source="embedded") for cell in cells("lgan", "table-1")]
    tables.write(ResultTable("lgan", "table-1", "", "", lgan), config, {})
    claim = papers.load("lgan").claims[0].words
    verdicts.write("lgan", [verdicts.Verdict(claim, "holds")], config)
    content = contents.read(config.run)
    first, other, whole = (
        contents.state(content, ["softgan"]),
        contents.state(content, ["lgan"]),
        contents.state(content),
    )
    assert first.tables == {"partly filled": 1, "not run yet": 3}
    assert (first.rows_measured, first.sources["substitute"]) == (2, 7)
    assert first.counts["cells on real data"] == f"7 of {first.cells} (7 on a substitute)"
    assert other.counts["cells on real data"] == f"0 of {other.cells}"
    assert {name: count for name, count in other.claims.items() if count} == {"holds": 1, "not run yet": 8}
    assert tuple(other.claims) == (*verdicts.VERDICTS, "damaged")
    assert (whole.tables.total(), whole.figures.total()) == (26, 38)
    assert whole.rows == sum(contents.state(content, [name]).rows for name in papers.NAMES)
    assert first.counts["rows measured"] == f"2 of {first.rows}"
    assert whole.claims["holds"] == 1
    own = content._replace(claims=[replace(entry, quote="") for entry in content.claims])  # no paper's sentences
    assert not any(contents.state(own).claims.values())


def test_the_runs_beside_are_those_with_tables_that_are_results(config):
    for name in ("cpu-embedded", "cpu-real", "full-real", "smoke-real", "notes"):
        (config.results.parent / name / "tables").mkdir(parents=True)
    (config.results.parent / "cpu-real-3seeds").mkdir()
    assert contents.other_run_names("cpu-embedded") == ["cpu-real", "full-real"]


def test_claims_are_written_for_people():
    shown = [contents.claim_words(claim.words) for name in papers.NAMES for claim in papers.load(name).claims]
    assert not any("_" in claim or "table-" in claim for claim in shown)
    assert "CasGAN, soft masks > CasGAN, binary masks on LNSM (table 1)" in shown
    assert "SDRFM > EDRFM (table 3)" in shown
    assert contents.claim_words("all doctors, soft-mask ROI") == "all doctors, soft-mask ROI"
