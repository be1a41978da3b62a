"""The join of our cells with the printed ones."""

import math
from dataclasses import replace

import pytest

from softmask.errors import ConfigError
from softmask.report.result import Cell, ResultTable, grids, join, outcome, words_of

NAN = math.nan
UNET = Cell("unet", "lnsm", "dice", 0.8, 0.1, 400, 1, "embedded")

ONE_PAIR = [Cell(f"doctor{a}", "lidc", f"dice_with_doctor{b}", a / 4, 0.1, 9, 1, "real") for a, b in ((1, 2), (2, 1))]


def table(*cells, paper="softgan", name="table-1", **more):
    return ResultTable(paper, name, "", "caption", cells, **more)


def by_key(*cells, **more):
    return {cell.key: cell for cell in join(table(*cells, **more))}


def test_shares_are_shown_in_the_printed_unit_and_other_values_are_kept():
    percent = by_key(UNET)[UNET.key]
    assert (percent.paper_mean, percent.paper_std, percent.unit) == (87.88, 1.1, "percent")
    assert (percent.ours_mean, percent.ours_std) == pytest.approx((80, 10))
    fraction = by_key(UNET, paper="casgan")[UNET.key]
    assert (fraction.paper_mean, fraction.ours_mean, fraction.unit) == (0.831, 0.8, "fraction")
    for value in (12.5, math.inf):
        pixels = Cell("baseline_unet", "lidc-lung", "mean_hausdorff", value, 3.0, 40, 1, "real")
        assert by_key(pixels, paper="lgan", name="table-2")[pixels.key].ours_mean == value


def test_extra_cells_follow_the_printed_ones_without_a_paper_value():
    ellipse = Cell("ellipse", "lnsm", "dice", 0.81, 0.02, 400, 1, "real", extra=True)
    distance = Cell("unet", "lnsm", "hausdorff", 3.0, 1.0, 400, 1, "real", extra=True)
    joined = join(table(distance, ellipse, UNET, units={"hausdorff": "pixels"}))
    assert [cell.key for cell in joined[-2:]] == [("unet", "lnsm", "hausdorff"), ("ellipse", "lnsm", "dice")]
    assert [cell.unit for cell in joined[-2:]] == ["pixels", "percent"]
    assert joined[-1].ours_mean == pytest.approx(81)
    assert all(math.isnan(cell.paper_mean) and not cell.printed for cell in joined[-2:])


def test_half_a_matrix_fills_both_halves():
    pair = Cell("doctor1", "lidc", "dice_with_doctor2", 0.7, 0.1, 9, 1, "real", "note")
    cells = by_key(pair, paper="dsnet-v1", name="table-4")
    for key in (pair.key, ("doctor2", "lidc", "dice_with_doctor1")):
        assert (cells[key].ours_mean, cells[key].paper_mean) == pytest.approx((70, 70.65))
    assert sum(cell.run for cell in cells.values()) == 2


def test_the_workbooks_own_tables_take_any_cell():
    other = replace(UNET, metric="gradient_error", ours_mean=7.0)
    joined = join(table(other, UNET, paper="workbook", name="a-table", units={"dice": "percent"}))
    assert [(cell.unit, cell.ours_mean) for cell in joined] == [("number", 7), ("percent", 80)]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (table(paper="unet"), "unknown paper"),
        (table(name="table-7"), "no table 'table-7'"),
        (table(paper="workbook", name="../up"), "cannot name"),
        (table(UNET, UNET), "given twice"),
        (table(replace(UNET, source="mixed")), "source must be real, .*, not 'mixed'"),
        (table(*ONE_PAIR, paper="casgan", name="table-2"), "the other way"),
        (table(replace(UNET, row="unett")), "unett / lnsm / dice is not printed"),
        (table(replace(UNET, metric="mae", extra=True)), "give its unit"),
        (table(replace(UNET, ours_mean=88.0)), "is no share"),
        (table(replace(UNET, ours_mean=math.inf)), "is no share"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(result, message):
    with pytest.raises(ConfigError, match=message):
        join(result)


def said(*cells, **more):
    return outcome(join(table(*cells, **more)))


def test_the_outcome_names_the_ends_and_the_published_ones_and_counts_what_waits():
    other = replace(UNET, row="softgan", ours_mean=0.95)
    assert said(UNET, other) == (
        "Dice on LNSM: 80.00 % (U-Net) to 95.00 % (SoftGAN); published 87.88 % (U-Net) to 91.63 % (SoftGAN); "
        "1 of 2 values lower than the published ones, median difference -2.25 points. "
        "19 of 21 published values are not finished here."
    )


def test_the_outcome_of_equal_rows_names_none_of_them():
    assert said(UNET, replace(UNET, row="softgan")).startswith("Dice on LNSM: 80.00 % (all rows); published 87.88 %")


def test_the_outcome_of_a_matrix_names_each_pair_once_and_nobody_with_themselves():
    alone = Cell("doctor1", "lidc", "dice_with_doctor1", 1, 0, 9, 1, "real")
    words = said(*(replace(cell, ours_mean=0.5) for cell in ONE_PAIR), alone, paper="casgan", name="table-2")
    assert words.startswith("Dice on LIDC: 0.500 (doctor 1 and doctor 2); published 0.")
    assert "of 1 values lower" in words


@pytest.mark.parametrize("cell", [replace(UNET, ours_mean=math.nan), replace(UNET, metric="difference")])
def test_there_is_no_outcome_of_nothing_or_of_several_units(cell):
    assert said(cell, paper="workbook", name="own") == ""
    assert said() == ""


@pytest.mark.parametrize(("value", "unit", "text"), [(3e-13, "p value", "< 0.001"), (0.0304, "p value", "0.030")])
@pytest.mark.parametrize(("difference", "shown"), [(-0.08672, "-0.09"), (12.2, "12.20")])
def test_p_values_and_differences_have_few_decimals(value, unit, text, difference, shown):
    cells = [Cell("a", "lidc", "p", value, NAN, 3, 1, "real"), Cell("a", "lidc", "d", difference, NAN, 3, 1, "real")]
    joined = join(table(*cells, paper="workbook", name="own", units={"p": unit, "d": "hundredths"}))
    assert [words_of(cell)[1] for cell in joined] == [text, shown]


def test_columns_of_a_matrix_are_in_the_order_of_its_rows():
    own = [replace(ONE_PAIR[0], row=f"doctor{i}", metric=f"dice_with_doctor{i}", ours_mean=1.0) for i in (1, 2, 3, 4)]
    [grid] = grids(join(table(*own, paper="dsnet-v1", name="table-4")), "symmetric-matrix")
    assert len(grid.rows) == 6
    assert [column.metric.removeprefix("dice_with_") for column in grid.columns] == list(grid.rows)
