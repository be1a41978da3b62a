import json
import math
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from softmask import papers
from softmask.config import ROOT, Config
from softmask.measure import verdicts as rule
from softmask.measure.differences import Scores
from softmask.papers import Pair
from softmask.report import figures, page, tables, verdicts
from softmask.report.evidence import Evidence, Pictures, Trained
from softmask.report.tables import Cell, ResultTable

VOID = {"meta", "link", "img", "br", "hr", "input"}
PROVENANCE = {
    "datasets": [{"name": "lnsm", "source": "embedded", "origin": "simulated CT", "n": 1234, "fingerprint": "abc",
                  "problems": [{"where": "lnsm/p1/n1/3", "why": "slice is <truncated>"}]}],
    "git_commit": "f" * 40, "git_dirty": True, "seeds": [2020], "cpu": "A CPU", "cpu_count": 2, "platform": "Linux",
    "seconds": 1.5, "peak_memory_mb": 300.0, "python": "3.11.7", "packages": {"numpy": "2.0", "torch": None},
}  # fmt: skip


class Checker(HTMLParser):
    """Collects text for people, ids, addresses and levels of headings, and sees that elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses, self.images, self.text, self.buttons = [], [], [], [], [], []
        self.levels = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.levels += [int(tag[1])] if tag[0] == "h" and tag[1:].isdigit() else []
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.addresses += [attrs[name] for name in ("href", "src") if name in attrs]
        self.images += [attrs] if tag == "img" else []
        self.buttons += [attrs] if tag == "button" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def look(path):
    checker = Checker()
    checker.feed(path.read_text())
    checker.close()
    assert checker.open == []
    assert all(lower - upper <= 1 for upper, lower in pairwise(checker.levels)), "a level of headings is left out"
    checker.words = " ".join(" ".join(checker.text).split())
    return checker


def fill(config):
    printed = papers.load("softgan").table("table-1").cells
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
        assert {f"claim-{name}-{number}" for number, _ in enumerate(paper.claims, 1)} <= set(parsed.ids)
        assert all(claim.quote in parsed.words for claim in paper.claims)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "0 of 26 printed tables filled, 0 of 38 figures drawn, 0 of 154 printed rows measured" in parsed.words
    assert "None of the papers' own methods is measured" in parsed.words
    assert "No claim is decided." in parsed.words
    assert "no record of a training run is beside this report" in parsed.words
    assert "Not run yet: 64 tables and figures" in parsed.words
    for value in ("91.63 ± 3.2", "0.831", "3.367", "6.7", "89.0"):
        assert value in parsed.words
    assert parsed.words.count("not finished") > 500


def test_the_state_stands_on_top(config):
    fill(config)
    parsed = look(page.build(config))
    assert "1 of 26 printed tables filled and 1 partly, 1 of 38 figures drawn" in parsed.words
    assert "7 of 154 printed rows measured" in parsed.words
    assert "Of the papers' 41 claims, 0 hold, 0 fail and 0 are inconclusive; 41 not run yet." in parsed.words
    assert "Real LIDC (9 test images)." in parsed.words
    about = "the truth is the soft mask made from a RECIST mark, cut at one half"
    assert f"Simulated LNSM (400 test images): {about}. Simulated images, with real readers' outlines" in parsed.words


def test_main_numbers_data_and_training_stand_on_the_first_screen(config):
    means = {"softgan": 0.8, "unet": 0.85, "medt": 0.7}
    rows = [Cell(row, "lidc", "dice", mean, 0.1, 300, 3, "real") for row, mean in means.items()]
    tables.write(ResultTable("softgan", "table-2", "", "", rows), config, {})
    trained = Trained("softgan", 1_643_416, 62, 2976, 8, (2020, 2021), 1, 5400, "cpu", "A CPU", "real", 60)
    parsed = look(page.build(config, Evidence(trained={("softgan", "softgan", "lidc"): trained}, seconds=7200))).words
    assert (
        "The proposed method has the highest Dice of its table in 1 of 1 comparisons in print and in 0 of 1 here, "
        "where 2 of 6 other networks are finished."
    ) in parsed
    said = "LIDC, real 62 (60) 2,976 x 8 3 (1 failed) 1.5 h Dice "
    assert f"{said}83.21 DB-ResNet 82.74 80.00 U-Net 85.00" in parsed
    assert "Real LIDC (100 test images of 60 patients)." in parsed
    assert "2,976 steps each, 2.0 h of training in all, on cpu (A CPU)." in parsed


def test_what_a_substitute_is_stands_beside_it(config):
    cells = [Cell("unet", "lnsm", "dice", 0.8, 0.1, 1200, 3, "substitute"),
             Cell("unet", "lidc-500", "dice", 0.8, 0.1, 10, 1, "real", extra=True)]  # fmt: skip
    tables.write(ResultTable("softgan", "table-1", "", "", cells), config, {})
    times = [Cell("without_transfer", "lnsm", "milliseconds", 11.0, 2.5, 97, 1, "real")]
    tables.write(ResultTable("dsnet-v2", "table-8", "", "", times), config, {})
    parsed = look(page.build(config)).words
    assert "Real, substitute LNSM (400 test images): LIDC patients, with RECIST axes measured" in parsed
    assert "97 test images" not in parsed  # measurements of a time
    assert (
        "in place of DeepLesion's, the truth is the soft mask made from a RECIST mark, cut at one half. Training"
        in parsed
    )  # extra cells of nothing trained are not listed


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
    beside = tuple(f"../../{folder}/" for folder in ("notebooks", "figures", "lib", "docs"))
    assert all(address.startswith(("#", "data:", *beside)) for address in parsed.addresses)
    assert all((ROOT / path[6:].partition("#")[0]).exists() for path in parsed.addresses if path.startswith(beside[2:]))
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
    for heading in ("Main results", "Claims", *(papers.display("papers", name) for name in papers.NAMES)):
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
    (config.results / "notebooks").mkdir()
    (config.results / "notebooks" / "01_data.html").write_text("")
    assert "notebooks/01_data.html" in look(page.build(config)).addresses
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
    verdicts.write("softgan", [verdicts.Verdict(claim, rule.FAILS, "1 comparison")], config)
    seeds = Config.from_parameters("cpu", "real", 3)
    cells = [Cell("unet", "lnsm", "dice", 0.5, 0.1, 9, 3, "real")]
    for other in (seeds, Config.from_parameters("smoke", "embedded")):
        tables.write(ResultTable("softgan", "table-1", "", "", cells), other, {})
        verdicts.write("softgan", [verdicts.Verdict(claim, rule.HOLDS, "1 comparison")], other)
    parsed = look(page.build(config))
    assert "../cpu-real-3seeds/tables/" in parsed.addresses
    line = "soft mask > every other label, on LNSM and LIDC (table 4) 1 comparison."
    assert f"fails {papers.load('softgan').claims[3].quote} {line}" in parsed.words
    assert "holds in the run cpu-real-3seeds : 1 comparison." in parsed.words
    assert "smoke-embedded" not in parsed.words  # no result stands behind it
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


def evidence(shown=True):
    """What stands behind two rows of a table: values of four images, predictions of two, images."""
    ids = tuple(f"lnsm/p{i // 2}/n0/s{i}" for i in range(4))
    scores = {
        ("softgan", row, "lnsm", "dice"): Scores(ids, ("p0", "p0", "p1", "p1"), np.full((2, 4), value), "embedded")
        for row, value in (("softgan", 0.9), ("unet", 0.8))
    }
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    images = np.full((4, 64, 64), 90, np.uint8) if shown else None
    pictures = Pictures(ids, images, np.stack([mask] * 4) if shown else None, "Simulated", "" if shown else "secret")
    masks = {("softgan", "softgan", "lnsm"): dict.fromkeys(ids[:2], mask)}
    return Evidence(scores, {}, masks, {"lnsm": pictures}, 1.0)


def data_of(path):
    return json.loads(path.read_text().partition('id="data">')[2].partition("</script>")[0])


def test_a_number_opens_onto_values_images_and_outlines(config):
    fill(config)
    path = page.build(config, evidence())
    keys = [button["data-key"] for button in look(path).buttons if "data-key" in button]
    assert keys == ["softgan|unet|lnsm|dice", "softgan|softgan|lnsm|dice"]
    data = data_of(path)
    scores = data["scores"][data["methods"]["softgan|softgan|lnsm|dice"]]
    assert scores["values"] == [[0.9] * 4] * 2
    assert data["sets"][scores["set"]]["patients"] == ["p0", "p0", "p1", "p1"]
    assert data["predicted"][data["masks"]["softgan|softgan|lnsm"]]["images"] == [0, 1]
    assert data["pictures"]["lnsm"]["sheet"].startswith("data:image/webp")
    assert (data["names"]["softgan|unet"], data["own"]["softgan"]) == ("U-Net", "softgan")


def test_images_that_must_not_be_shown_are_not_in_the_page(config):
    data = data_of(page.build(config, evidence(shown=False)))
    assert data["pictures"]["lnsm"].keys() == {"ids", "credit", "missing"}
    assert (data["pictures"]["lnsm"]["missing"], data["masks"]) == ("secret", {})


def test_ids_cannot_end_the_script(config):
    ids = ("</script><b>&", "<!--")
    scores = {("softgan", "unet", "lnsm", "dice"): Scores(ids, ids, np.array([[0.5, np.nan]]), "real")}
    path = page.build(config, Evidence(scores))
    assert data_of(path)["sets"][0]["images"] == list(ids)
    assert data_of(path)["scores"][0]["values"] == [[0.5, None]]
    assert "<b>&" not in path.read_text()


def test_an_axis_shows_zero_and_every_difference():
    pair = Pair("softgan", "unet", "lidc", printed=5)
    axis = page.Axis.of((verdicts.JudgedPair(pair, rule.Outcome("not run yet")),))
    assert (axis.low, axis.high) == (0, 5)
    assert (axis(0), axis(5)) == (8, axis.width - 8)
    assert page.Axis.of(())(0) == 8


def test_ticks_are_round_and_on_the_axis():
    assert page.Axis(-3.1, 9.2).ticks == [(0.0, "0"), (4.0, "4"), (8.0, "8")]
    for low, high in ((-3.1, 9.2), (-0.004, 0.0), (0.0, 1.0), (-120.5, 3.0)):
        ticks = page.Axis(low, high).ticks
        assert 2 <= len(ticks) <= 6
        assert all(low <= value <= high and float(words.replace("−", "-")) == value for value, words in ticks)


def test_the_network_that_keeps_a_comparison_from_being_judged_is_named():
    pair = papers.load("softgan").claims[0].pairs[0]
    trainings = (rule.Training(3, 0, 0, 0.0061), rule.Training(3, 2, 0, 0.0))
    judged = verdicts.JudgedPair(pair, rule.Outcome(rule.FAILED_TRAINING, trainings=trainings))
    names = [papers.display("rows", row) for row in (pair.better, pair.worse)]
    assert page._unfit(judged) == f"{names[0]}: still rising by 0.0061; {names[1]}: 2 of 3 seeds failed"
    few = (rule.Training(1, 0, 0, float("inf")), rule.Training(1, 0, 0, 0.0))
    judged = verdicts.JudgedPair(pair, rule.Outcome(rule.UNDERTRAINED, trainings=few))
    assert page._unfit(judged) == f"{names[0]}: fewer than five epochs"


def test_terms_come_from_the_glossary(config):
    fill(config)
    parsed = look(page.build(config)).words
    assert "IoU |A and B| / |A or B|" in parsed
    assert "trimap Map of known foreground" in parsed


def test_claims_link_to_tables_notebook_cell_and_code(config, monkeypatch):
    monkeypatch.setenv("SOFTMASK_NOTEBOOK", "05_softgan")
    fill(config)
    claim = papers.load("softgan").claims[0]
    verdicts.write("softgan", [verdicts.Verdict(claim.words, rule.NOT_FINISHED, "x", (
        verdicts.JudgedPair(claim.pairs[0], rule.Outcome("not run yet")),), 0)], config)  # fmt: skip
    half = papers.load("casgan").claims[9]  # no table has it, and nothing is trained for it
    judged = (verdicts.JudgedPair(half.pairs[0], rule.Outcome(rule.HOLDS)),)
    verdicts.write("casgan", [verdicts.Verdict(half.words, rule.HOLDS, "x", judged, 0)], config)
    fig = plt.figure(figsize=(1, 1))
    for family in ("casgan", "softgan"):
        figures.save(fig, "workbook", f"{family}-curves", config, "Curves.")
    plt.close(fig)
    trained = Trained("unet", 1, 1, 1, 8, (2020,), 0, 60, "cpu", "A CPU", "real", 9)
    parsed = look(page.build(config, Evidence(trained={("softgan", "unet", "lnsm"): trained})))
    assert "x. Differences in percentage points. notebook 02_soft_masks, 2.7 Time, code cell" in parsed.words
    links = "Table 1 · Table 2 · training curves · notebook 05_softgan, 5.10 Do the claims hold?, code cell"
    assert links in parsed.words
    assert {"../../lib/softmask/nets/unet.py", "#softgan-table-1"} <= set(parsed.addresses)
    assert "Trained: U-Net: 1 parameters, 1 epoch, 1 steps of 8, 1 seed, 1.0 min on cpu." in parsed.words
