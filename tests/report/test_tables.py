import csv
import json
import math

import numpy as np
import pytest

from softmask import papers
from softmask.analysis.doctors import matrix_cells
from softmask.errors import DataError
from softmask.measure.segmentation import dice_of_pairs
from softmask.report import tables
from softmask.report.tables import Cell, ResultTable

CELLS = (
    Cell("unet", "lnsm", "dice", 0.81234567, 0.1, 400, 1, "embedded"),
    Cell("unet", "lnsm", "sen", math.nan, math.nan, 400, 1, "embedded", "no truth anywhere"),
    Cell("ellipse", "lnsm", "dice", 0.5, 0.25, 400, 1, "embedded", extra=True),
)
RESULT = ResultTable("softgan", "table-1", "", "All of it | and more.", CELLS)
LABELS = ("doctor1", "doctor2", "doctor3", "doctor4", "consensus50")


def doctors(n=20):
    masks = np.random.default_rng(0).random((n, 4, 8, 8)) > 0.5
    consensus = masks.sum(axis=1, keepdims=True) >= 2
    return np.stack([dice_of_pairs(image) for image in np.concatenate([masks, consensus], axis=1)])


def test_csv_has_exactly_the_columns_and_every_printed_cell(config):
    path = tables.write(RESULT, config, {})
    assert path == config.results / "tables" / "softgan" / "table-1.csv"
    lines = list(csv.reader(path.read_text().splitlines()))
    assert ",".join(lines[0]) == (
        "paper,table,row,dataset,metric,paper_mean,paper_std,ours_mean,ours_std,n_images,n_seeds,data,profile"
    )
    assert lines[1] == ["softgan", "table-1", "unet", "lnsm", "dice", "87.88", "1.1", "81.2346", "10", "400", "1",
                        "embedded", "cpu"]  # fmt: skip
    assert lines[2][5:] == ["86.62", "3.2", "", "", "400", "1", "embedded", "cpu"]
    assert lines[3][5:] == ["89.04", "5.7", "", "", "", "", "", "cpu"]
    assert lines[-1][2:] == ["ellipse", "lnsm", "dice", "", "", "50", "25", "400", "1", "embedded", "cpu"]
    assert len(lines) == 1 + 21 + 1


def test_the_same_numbers_give_the_same_bytes(config):
    path = tables.write(RESULT, config, {"seconds": 1})
    before = [path.read_bytes(), path.with_suffix(".md").read_bytes()]
    tables.write(RESULT, config, {"seconds": 2})
    assert [path.read_bytes(), path.with_suffix(".md").read_bytes()] == before
    assert b"\r" not in before[0]


def test_markdown_puts_paper_beside_ours(config):
    text = tables.write(RESULT, config, {}).with_suffix(".md").read_text()
    assert (
        "|  | Dice (%), paper | Dice (%), ours | SEN (%), paper | SEN (%), ours | PPV (%), paper | PPV (%), ours |"
        in text
    )
    assert "| U-Net | 87.88 ± 1.1 | 81.23 ± 10.0 | 86.62 ± 3.2 | undefined | 89.04 ± 5.7 | not finished |" in text
    assert "| ellipse |  | 50.00 ± 25.0 |" in text.replace("| – |", "|  |")
    assert "embedded data (simulated images)" in text
    assert "400 images, 1 seed" in text
    assert "- U-Net: no truth anywhere" in text
    assert "not a result" not in text


@pytest.mark.parametrize("config", ["smoke"], indirect=True)
def test_a_smoke_table_says_that_it_is_no_result(config):
    path = tables.write(RESULT, config, {})
    assert "not a result" in path.with_suffix(".md").read_text().lower()
    content = json.loads(path.with_suffix(".json").read_text())
    assert content["result"] is False
    assert "not a result" in content["warning"]
    assert path.read_text().splitlines()[1].endswith(",smoke")
    assert "smoke-embedded" in path.parts


def test_json_holds_caption_details_and_provenance(config, monkeypatch):
    monkeypatch.setenv("SOFTMASK_NOTEBOOK", "02_soft_masks")
    details = {"seed_spread": {"unet": np.array([0.1, np.nan, np.inf])}, "count": np.int64(3)}
    result = ResultTable("softgan", "table-1", "Mine", "cap", CELLS, details=details)
    content = json.loads(tables.write(result, config, {"seeds": [2020]}).with_suffix(".json").read_text())
    assert content["details"] == {"seed_spread": {"unet": [0.1, None, "inf"]}, "count": 3}
    assert content["provenance"] == {"seeds": [2020]}
    assert (content["title"], content["caption"], content["notebook"]) == ("Mine", "cap", "02_soft_masks")
    assert content["notes"] == [["unet", "lnsm", "sen", "no truth anywhere"]]
    assert content["result"] is True


@pytest.mark.parametrize("paper", papers.NAMES)
def test_every_printed_table_can_be_written_read_and_shown(config, paper):
    for name, printed in papers.load(paper).tables.items():
        result = ResultTable(paper, name, "", "", [])
        frame = tables.read(tables.write(result, config, {}))
        keys = frame[["row", "dataset", "metric"]].itertuples(index=False, name=None)
        assert list(keys) == [(cell.row, cell.dataset, cell.metric) for cell in printed.cells]
        np.testing.assert_allclose(frame.paper_mean, [cell.mean for cell in printed.cells])
        assert frame[["ours_mean", "n_images"]].isna().all(axis=None)
        assert "not finished" in tables.show(result).frame.to_string()
        text = (config.results / "tables" / paper / f"{name}.md").read_text()
        assert text.count("not finished") >= len(printed.cells)


def test_the_outcome_stands_below_the_table_in_a_notebook_and_in_markdown(config):
    result = ResultTable("softgan", "table-1", "", "", [Cell("unet", "lnsm", "dice", 0.8, 0.1, 400, 1, "embedded")])
    shown = tables.show(result)
    assert "80.00 % (U-Net)" in shown.outcome
    assert shown._repr_html_().index("</table>") < shown._repr_html_().index(shown.outcome)
    assert shown.outcome in tables.write(result, config, {}).with_suffix(".md").read_text()
    assert str(shown).endswith(shown.outcome)


def test_infinite_and_large_numbers_survive(config):
    cells = [Cell("a", "x", name, value, math.nan, 3, 1, "real") for name, value in
             (("inf", math.inf), ("big", 123456789.0), ("zero", -0.0), ("small", 1.5e-9))]  # fmt: skip
    path = tables.write(ResultTable("workbook", "odd", "Odd", "", cells), config, {})
    assert [line.split(",")[7] for line in path.read_text().splitlines()[1:]] == ["inf", "1.23457e+08", "0", "1.5e-09"]
    assert tables.read(path).ours_mean.tolist() == [math.inf, 123457000.0, 0, 1.5e-9]
    assert "infinite" in path.with_suffix(".md").read_text()


def test_a_matrix_is_written_and_shown_as_one(config):
    cells = matrix_cells(LABELS, doctors(), dataset="lidc", n_seeds=1, source="real")
    result = ResultTable("casgan", "table-2", "", "", cells)
    frame = tables.read(tables.write(result, config, {}))
    assert len(frame) == 36
    assert frame.ours_mean.notna().sum() == 25
    assert (frame[frame["row"] == "casgan"].ours_mean.isna()).all()
    shown = tables.show(result).frame
    assert shown.shape == (6, 6)
    assert shown.loc["doctor 1", "doctor 2"] == shown.loc["doctor 2", "doctor 1"]
    assert shown.loc["doctor 1", "doctor 2"].startswith("0.706 / 0.4")
    assert shown.loc["doctor 1", "CasGAN"] == "0.777 / not finished"


def test_a_second_data_set_gives_a_second_matrix_without_paper_values(config):
    cells = matrix_cells(LABELS, doctors(), dataset="lidc", n_seeds=1, source="real")
    cells += matrix_cells(LABELS, doctors(), dataset="lidc-largest", n_seeds=1, source="real", extra=True)
    cells.append(Cell("doctor1", "lidc", "leave_one_out", 0.5, 0.1, 20, 1, "real", extra=True))
    result = ResultTable("dsnet-v2", "table-6", "", "", cells, units={"leave_one_out": "percent"})
    shown = tables.show(result).frame
    assert "/" in shown.loc[("LIDC", "doctor 1"), "doctor 2"].iloc[0]
    largest = "LIDC, largest slice per nodule"
    assert "/" not in shown.loc[(largest, "doctor 1"), "doctor 2"]
    text = tables.write(result, config, {}).with_suffix(".md").read_text()
    assert text.count(f"## {largest}") == 1
    assert "50.00 ± 10.00" in text


def test_a_pipe_or_line_break_cannot_break_the_markdown(config):
    cells = [Cell("lgan_basic", "", "description", math.nan, math.nan, 0, 1, "real", "a | b\nc")]
    text = tables.write(ResultTable("lgan", "table-1", "", "", cells), config, {}).with_suffix(".md").read_text()
    assert "a \\| b c |" in text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t[: len(t) // 2], r"table-1\.csv, line \d+: \d+ fields|damaged|could not convert"),
        (lambda t: "", "not a table of results"),
        (lambda t: "a,b\n1,2\n", "not a table of results"),
        (lambda t: t.replace("87.88", "eighty"), "line 2: could not convert"),
        (lambda t: t.replace(",400,", ",4.5,"), "line 2: invalid literal"),
        (lambda t: t + t.splitlines()[1] + "\n", "twice"),
        (lambda t: t.replace("unet", '"un"et', 1), "cannot be read as a table"),
    ],
)
def test_a_damaged_csv_is_named(config, damage, message):
    path = tables.write(RESULT, config, {})
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        tables.read(path)
    assert "table-1.csv" in str(caught.value)
