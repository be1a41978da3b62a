import base64
import io
import json
import math
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from softmask import papers
from softmask.config import ROOT, Config
from softmask.report import figures, page, tables, verdicts
from softmask.report.tables import Cell, ResultTable

VOID = {"meta", "link", "img", "br", "hr", "input"}
PROVENANCE = {
    "datasets": [{"name": "lnsm", "source": "embedded", "origin": "simulated CT", "n": 1234, "fingerprint": "abc",
                  "problems": [{"where": "lnsm/p1/n1/3", "why": "slice is <truncated>"}]}],
    "git_commit": "f" * 40, "git_dirty": True, "seeds": [2020], "cpu": "A CPU", "cpu_count": 2, "platform": "Linux",
    "seconds": 1.5, "peak_memory_mb": 300.0, "python": "3.11.7", "packages": {"numpy": "2.0", "torch": None},
}  # fmt: skip


class Checker(HTMLParser):
    """Collects text, ids and addresses, and sees that elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses, self.images, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.addresses += [attrs[name] for name in ("href", "src") if name in attrs]
        self.images += [attrs] if tag == "img" else []
        assert tag != "script"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def look(path):
    checker = Checker()
    checker.feed(path.read_text())
    checker.close()
    assert checker.open == []
    checker.words = " ".join(" ".join(checker.text).split())
    return checker


def fill(config):
    printed = papers.load("softgan").table("table-1").cells()
    means = [0.9, math.nan, 0.8904] + [0.5] * (len(printed) - 3)
    rows = [Cell(c.row, c.dataset, c.metric, m, 0.1, 400, 1, "embedded") for c, m in zip(printed, means, strict=True)]
    rows.append(Cell("<b>mine</b>", "lnsm", "dice", 0.5, 0.1, 400, 1, "embedded", "a note & more", extra=True))
    tables.write(ResultTable("softgan", "table-1", "", "Caption <i>.", rows), config, PROVENANCE)
    pair = Cell("doctor1", "lidc", "dice_with_doctor2", 0.8, 0.1, 9, 1, "real")
    tables.write(ResultTable("casgan", "table-2", "", "", [pair]), config, {})
    fig = plt.figure(figsize=(1, 1))
    figures.save(fig, "casgan", "fig-1", config, "Six kinds <here>.", alt='six "pictures"')
    plt.close(fig)


def test_an_empty_run_shows_all_that_is_printed(config):
    parsed = look(page.build(config))
    assert page.build(config) == config.results / "report.html"
    for name in papers.NAMES:
        paper = papers.load(name)
        for item in (*paper.tables, *paper.figures):
            assert f"{name}-{item}" in parsed.ids
    assert len(parsed.ids) == len(set(parsed.ids)) == 2 + 5 + 26 + 38  # 2: at a glance, claims
    assert "0 of 26 printed tables filled" in parsed.words
    assert "0 of 38 printed figures drawn" in parsed.words
    assert "Not run yet: 64 tables and figures" in parsed.words
    for value in ("91.63 ± 3.2", "0.831", "3.367", "6.7", "89.0"):
        assert value in parsed.words
    assert parsed.words.count("not finished") > 500


def test_the_state_stands_on_top(config):
    fill(config)
    parsed = look(page.build(config))
    assert "1 of 26 printed tables filled, 1 partly" in parsed.words
    assert "1 of 38 printed figures drawn" in parsed.words
    assert "7 of 154 printed rows measured" in parsed.words
    assert "2 real, 21 simulated of 516 printed cells" in parsed.words
    assert "0 of 40 claims holds" in parsed.words
    assert "40 of 40 claims not run yet" in parsed.words
    assert "Numbers are from real data and, where there is none, from embedded data" in parsed.words


def test_paper_stands_beside_ours_and_provenance_below(config):
    fill(config)
    parsed = look(page.build(config)).words
    for words in (
        "87.88 ± 1.1 90.00 ± 10.0 2.12 higher 86.62 ± 3.2 undefined 89.04 ± 5.7 89.04 ± 10.0 the same",
        "38.98 lower",
        "paper 0.706 ours 0.800 ± 0.100 0.094 higher",
        "paper 0.777 ours not finished",
        "Ours: embedded data (simulated images); mean ± standard deviation over 400 images, 1 seed.",
        "Ours: real data;",
        "embedded data (simulated images); simulated CT; 1,234 images, 1 left out; fingerprint abc",
        f"{'f' * 40}, with changes that are not committed",
        "lnsm/p1/n1/3: slice is <truncated>",
        "python 3.11.7, numpy 2.0",
    ):
        assert words in parsed
    assert "torch" not in parsed


def test_trained_runs_stand_together_and_a_long_list_of_what_was_left_out_is_cut(config):
    runs = [{"name": str(i), "key": "k", "seconds": 1000.4, "device": "cpu", "recorded": i == 0} for i in range(3)]
    problems = [{"where": f"lidc/{i:03}", "why": "bad"} for i in range(100)]
    data = {**PROVENANCE["datasets"][0], "problems": problems}
    cells = [Cell("unet", "lnsm", "dice", 0.5, 0.1, 9, 1, "real")]
    provenance = {**PROVENANCE, "datasets": [data], "runs": runs}
    tables.write(ResultTable("softgan", "table-1", "", "", cells), config, provenance)
    parsed = look(page.build(config)).words
    assert "3 runs, 3,001 s on cpu; 1 taken from records" in parsed
    assert "lidc/019: bad" in parsed
    assert "lidc/020" not in parsed
    assert "and 80 more, listed in table-1.json" in parsed


def test_nothing_needs_a_network_and_text_is_escaped(config):
    fill(config)
    path = page.build(config)
    parsed = look(path)
    text = path.read_text()
    assert all(address.startswith(("#", "data:", "../../notebooks/", "../../figures/")) for address in parsed.addresses)
    assert "url(" not in text
    assert "@import" not in text
    assert "<b>mine" not in text
    assert "&lt;b&gt;mine" in text
    assert "Caption &lt;i&gt;" in text
    assert parsed.images[0]["alt"] == 'six "pictures"'
    assert parsed.images[0]["src"].startswith("data:image/webp;base64,UklGR")
    assert "../../figures/cpu-embedded/casgan/fig-1.png" in parsed.addresses
    anchors = [address[1:] for address in parsed.addresses if address.startswith("#")]
    assert set(anchors) <= set(parsed.ids)


@pytest.mark.parametrize("config", ["smoke"], indirect=True)
def test_smoke_is_marked_everywhere(config):
    fill(config)
    parsed = look(page.build(config)).words
    for heading in ("At a glance", "Claims", *(papers.display("papers", name) for name in papers.NAMES)):
        assert f"{heading} not a result" in parsed
    assert parsed.count("not a result") >= 26 + 26 + 38 + 40 + 1  # headings, the tables themselves, figures, claims
    assert "Six kinds <here>. not a result" in parsed
    assert "Not a result: Soft masks, report of smoke-embedded" in parsed
    assert "This is not a result: the smoke profile only shows that everything runs." in parsed


def test_notebooks_that_failed_are_named_but_not_the_one_that_builds_the_page(config, monkeypatch):
    config.results.mkdir(parents=True)
    state = [{"name": "01_data", "status": "ok"}, {"name": "02_soft", "status": "failed", "reason": "cell 3: <boom>"},
             {"name": "08_doctors", "status": "not run", "reason": "needs 02_soft"},
             {"name": "11_report", "status": "running"}]  # fmt: skip
    (config.results / "state.json").write_text(json.dumps({"notebooks": state}))
    monkeypatch.setenv("SOFTMASK_NOTEBOOK", "11_report")
    parsed = look(page.build(config)).words
    assert "02_soft: failed (cell 3: <boom>)" in parsed
    assert "08_doctors: not run (needs 02_soft)" in parsed
    assert "11_report" not in parsed
    (config.results / "state.json").write_text(json.dumps({"notebooks": state[:1]}))
    assert "Notebooks run before this report: 1; all completed without errors." in look(page.build(config)).words


def test_a_damaged_table_is_named_on_top_and_the_page_stands(config):
    fill(config)
    path = config.results / "tables" / "softgan" / "table-1.csv"
    path.write_text(path.read_text()[:200])
    parsed = look(page.build(config)).words
    assert "Cannot be read: softgan/table-1 : tables/softgan/table-1.csv, line" in parsed
    assert str(config.results) not in parsed


def test_notes_and_the_cell_that_drew_a_figure(config, monkeypatch):
    monkeypatch.setenv("SOFTMASK_NOTEBOOK", "01_data")
    fill(config)
    parsed = look(page.build(config))
    assert "<b>mine</b>: a note & more" in parsed.words
    assert "../../notebooks/01_data.ipynb" in parsed.addresses
    assert "Drawn in notebook 01_data, 1.3 The six nodule kinds, code cell 7 ." in parsed.words
    assert "../../notebooks/01_data.ipynb#1.3-The-six-nodule-kinds" in parsed.addresses


def test_other_runs_and_their_verdicts_stand_on_the_page(config):
    claim = papers.load("softgan").claims[3].words
    verdicts.write("softgan", [verdicts.Verdict(claim, verdicts.FAILS, "1 comparison")], config)
    seeds = Config.from_parameters("cpu", "real", 3)
    cells = [Cell("unet", "lnsm", "dice", 0.5, 0.1, 9, 3, "real")]
    for other in (seeds, Config.from_parameters("smoke", "embedded")):
        tables.write(ResultTable("softgan", "table-1", "", "", cells), other, {})
        verdicts.write("softgan", [verdicts.Verdict(claim, verdicts.HOLDS, "1 comparison")], other)
    parsed = look(page.build(config))
    assert "../cpu-real-3seeds/tables/" in parsed.addresses
    line = "soft mask > every other label, on LNSM and LIDC (table 4) "
    assert f"{line}fails cpu-embedded 1 comparison. holds cpu-real-3seeds 1 comparison." in parsed.words
    assert "smoke" not in parsed.words  # no result stands behind it
    page.build(seeds)
    (seeds.results / "state.json").write_text("[]")
    parsed = look(page.build(config))
    assert "../cpu-real-3seeds/report.html" in parsed.addresses
    assert "cpu-real-3seeds cannot be read" in parsed.words


def test_a_table_too_wide_for_paper_is_shown_by_data_set(config):
    metrics = [f"measure_{i}" for i in range(8)]
    cells = [Cell("a", d, m, 0.5, 0.1, 9, 1, "real") for d in ("lnsm", "lidc") for m in metrics]
    for wide in (True, False):
        tables.write(ResultTable("workbook", "wide", "W", "", cells if wide else cells[4:12]), config, {})
        parsed = look(page.build(config)).words
        assert ("measure 7 a 0.5 ± 0.1" in parsed) == wide
        assert ("LNSM measure 7" in parsed) != wide


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def opened(address):
    head, _, data = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_a_wide_picture_becomes_as_wide_as_the_page_needs():
    picture = png(np.random.default_rng(0).integers(0, 255, (300, 3 * page.WIDTH, 3), np.uint8))
    address, *size = page.embedded(picture)
    assert size == [page.WIDTH, 100]
    assert opened(address).shape == (100, page.WIDTH, 3)
    assert len(address) < len(picture) / 2
    assert page.embedded(picture)[0] == address


def test_a_small_picture_keeps_size_and_colours_and_what_is_see_through_becomes_white():
    array = np.zeros((40, 60, 3), np.uint8)
    array[:, 30:] = (230, 159, 0)
    parsed = opened(page.embedded(png(array))[0])
    assert parsed.shape == array.shape
    assert np.abs(parsed[:, 40:].astype(int) - array[:, 40:]).max() < 8
    assert parsed[:, :20].max() < 8
    assert opened(page.embedded(png(np.zeros((20, 20, 4), np.uint8)))[0]).min() > 250


CODE = """
for paper, name in (("lgan", "fig-2"), ("softgan", "fig-3")):
    results.figure(f"{paper}/{name}", fig)
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "ROOT", tmp_path)
    page._drawing_cells.cache_clear()

    def write(*cells, name="01_own"):
        made = [
            {"cell_type": "markdown" if c.startswith("#") else "code", "source": c.splitlines(keepends=True)}
            for c in cells
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": made}))

    yield write
    page._drawing_cells.cache_clear()


def cell_of(paper, name):
    return page.drawn_by("01_own", paper, name)[0].partition("code cell ")[2]


def test_the_cell_its_section_and_its_link(notebook, tmp_path):
    notebook(
        "# 1 · Own",
        "x = 1",
        "",
        "## 1.1 What's a figure?\n\nText.",
        'results.figure("lgan/fig-1", fig)',
        'results.figure(f"workbook/{paper}-curves", fig)',
        CODE,
    )
    words, link = page.drawn_by("01_own", "lgan", "fig-1")
    assert words == "01_own, 1.1 What's a figure?, code cell 2"
    assert link == "../../notebooks/01_own.ipynb#1.1-What%27s-a-figure%3F"
    assert cell_of("workbook", "dsnet-v1-curves") == "3"
    assert cell_of("lgan", "fig-2") == "4"  # put together from variables
    assert cell_of("softgan", "fig-1") == ""
    (tmp_path / "notebooks" / "02_broken.ipynb").write_text("no notebook")
    for where in ("02_broken", "99_none"):
        assert page.drawn_by(where, "lgan", "fig-1") == (where, f"../../notebooks/{where}.ipynb")


def test_a_name_is_not_part_of_another(notebook):
    notebook('results.figure("lgan/fig-1", fig)', 'results.figure(f"lgan/fig-1{x}", fig)')
    assert cell_of("lgan", "fig-10") == "2"


def test_every_committed_figure_is_found():
    paths = sorted((ROOT / "figures").glob("*/*/*.json"))
    committed = [json.loads(path.read_text()) for path in paths]
    for figure in committed:
        if figure["notebook"]:
            assert "code cell" in page.drawn_by(figure["notebook"], figure["paper"], figure["figure"])[0], figure
