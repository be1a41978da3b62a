import pytest

from softmask import papers
from softmask.config import Config
from softmask.report import contents, overview, tables, verdicts
from softmask.report.tables import Cell, ResultTable


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    return Config.from_parameters("cpu", "embedded")


def fill(config, paper, table, n=None, source="real"):
    printed = papers.load(paper).table(table).cells()[:n]
    cells = [Cell(c.row, c.dataset, c.metric, 0.5, 0.1, 9, 1, source, "words") for c in printed]
    tables.write(ResultTable(paper, table, "", "", cells), config, {})


def test_rows_and_sources_are_counted(config):
    fill(config, "softgan", "table-1", 7)  # two rows of three cells, and one cell of the third
    fill(config, "lgan", "table-1", source="embedded")
    claim = papers.load("lgan").claims[0].words
    verdicts.write("lgan", [verdicts.Verdict(claim, verdicts.HOLDS)], config)
    found = contents.read(config)
    softgan, lgan = overview.state(found, ["softgan"]), overview.state(found, ["lgan"])
    assert softgan.tables == {"filled": 0, "partly filled": 1, "not run yet": 3, "damaged": 0}
    assert (softgan.rows_measured, softgan.sources) == (2, {"real": 7, "substitute": 0, "embedded": 0})
    assert {name: count for name, count in lgan.claims.items() if count} == {"holds": 1, "not run yet": 8}
    assert tuple(lgan.claims) == (*verdicts.VERDICTS, "damaged")
    whole = overview.state(found)
    assert sum(whole.tables.values()) == 26
    assert sum(whole.figures.values()) == 38
    assert whole.sources == {"real": 7, "substitute": 0, "embedded": lgan.sources["embedded"]}
    shown = overview.frame(found)
    assert list(shown.index) == [*(papers.display("papers", name) for name in papers.NAMES), "together"]
    assert shown.loc["SoftGAN (2022)", "rows measured"] == f"2 of {softgan.rows}"
    assert shown.loc["together", "claims: holds"] == 1
    assert whole.rows == sum(overview.state(found, [name]).rows for name in papers.NAMES)


def test_cells_on_a_substitute_are_real_and_told_apart(config):
    fill(config, "softgan", "table-1", 7, source="substitute")
    softgan = overview.state(contents.read(config), ["softgan"])
    assert softgan.sources["substitute"] == 7
    assert overview.on_real_data(softgan) == f"7 of {softgan.cells} (7 on a substitute)"


@pytest.mark.parametrize("run", ["cpu-embedded", "cpu-real-3seeds", "full-real", "full-real-5seeds", "smoke-embedded"])
def test_a_runs_name_gives_its_settings(config, run):
    assert overview.config_of(run, config).run == run


@pytest.mark.parametrize(
    "name", ["", "cpu", "cpu-auto", "cpu-real-1seeds", "cpu-real-0seeds", "fast-real", "cpu-real-old"]
)
def test_another_name_is_no_runs(config, name):
    assert overview.config_of(name, config) is None


def test_the_runs_beside_are_those_with_tables_that_are_results(config):
    for name in ("cpu-embedded", "cpu-real", "full-real", "smoke-real", "notes"):
        (config.results.parent / name / "tables").mkdir(parents=True)
    (config.results.parent / "cpu-real-3seeds").mkdir()
    assert [one.run for one in overview.others(config)] == ["cpu-real", "full-real"]


def test_claims_are_written_for_people():
    shown = [overview.claim_words(claim.words) for name in papers.NAMES for claim in papers.load(name).claims]
    assert not any("_" in claim or "table-" in claim for claim in shown)
    assert "CasGAN, soft masks > CasGAN, binary masks on LNSM (table 1)" in shown
    assert "SDRFM > EDRFM (table 3)" in shown
    assert overview.claim_words("all doctors, soft-mask ROI") == "all doctors, soft-mask ROI"
