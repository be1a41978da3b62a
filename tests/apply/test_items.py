"""RECIST ends, of which nothing is guessed; lists, whose bad lines are named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from softmask.apply.items import Mark, doubts, read_list
from softmask.data.volume_files import Grid
from softmask.errors import ConfigError, DataError, LabelError

ENDS = ((10, 12), (30, 12), (20, 4), (20, 18))  # rows, columns; the first axis is the longer one
AXES = np.array(ENDS, float).reshape(2, 2, 2)
SHAPE = (40, 48)
GRID = Grid(
    shape=(5, *SHAPE), spacing_mm=(2.5, 0.7, 0.8), z_mm=np.arange(5) * 2.5, origin=(-20.0, -30.0, 100.0), patient="P",
    path=Path("ct"),
)  # fmt: skip
PICTURE, SCAN = (SimpleNamespace(shape=SHAPE, grid=grid, series=None) for grid in (None, GRID))


def test_pixels_are_rows_and_columns_unless_it_is_said_otherwise_and_the_long_axis_comes_first():
    turned = tuple((column, row) for row, column in ENDS)
    for mark in (Mark(ENDS), Mark(turned, "xy"), Mark(ENDS[2:] + ENDS[:2])):
        np.testing.assert_array_equal(mark.axes(PICTURE, 0), AXES)
    mm = tuple((-20 + 0.8 * column, -30 + 0.7 * row) for row, column in ENDS)  # of the patient's axes
    np.testing.assert_allclose(Mark(mm, "xy", "mm").axes(SCAN, 0), AXES, atol=1e-12)
    with pytest.raises(DataError, match="says nothing of mm; give them in pixels"):
        Mark(mm, "xy", "mm").axes(PICTURE, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ENDS, "rc", "cm"), "unknown units 'cm'"),
        ((ENDS, "rc", "mm"), "say --order xy"),
        ((((np.nan, 1), *ENDS[1:]),), "eight finite numbers"),
    ],
)
def test_invalid_marks(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Mark(*arguments)


def test_ends_outside_the_image_are_refused():
    with pytest.raises(LabelError, match=r"outside the image of 40 x 48.*--order xy"):
        Mark(((-9.5, 1), *ENDS[1:])).axes(PICTURE, 0)


SKEWED = [[(10, 0), (20, 30)], [(10, 30), (20, 0)]]  # square on pixels three times as high as wide


@pytest.mark.parametrize(
    ("axes", "spacing", "doubt"),
    [
        (AXES, (1, 1), ""),
        ([[(10, 10), (30, 10)], [(15, 5), (24, 15)]], (1, 1), ""),  # 48 degrees from the long axis is not square, 65 is
        ([[(10, 10), (30, 10)], [(20, 10), (20, 10)]], (1, 1), "short axis are the same point"),
        ([[(10, 10), (30, 10)], [(12, 8), (28, 12)]], (1, 1), "meet at 14 degrees"),
        ([[(10, 10), (30, 10)], [(20, 14), (20, 24)]], (1, 1), "do not cross"),
        ([[(10, 10), (30, 10)], [(20, 10.5), (20, 24)]], (1, 1), ""),  # half a pixel beside
        (SKEWED, (1, 1), "the axes meet at 37 degrees"),
        (SKEWED, (3, 1), ""),
    ],
)
def test_doubtful_marks(axes, spacing, doubt):
    message = doubts(np.array(axes, float), spacing)
    assert (doubt in message) if doubt else not message or "48" in message


HEADER = "image,name,mask,readers,r0,c0,r1,c1,r2,c2,r3,c3,units,slice"
RC = "1,2,3,4,5,6,7,8"


def written(tmp_path, text: str | bytes):
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_line_has_its_own_prior(tmp_path):
    path = written(
        tmp_path,
        f"\ufeff{HEADER}\r\na.png,,m.png{',' * 11}\r\n\r\nct,b,,r1.nii; r2.nii{',' * 9},3\r\nd/e.tif,,,,{RC},px,\r\n",
    )
    items, problems = read_list(path)
    assert not problems
    expected = [("a", "mask", None), ("b", "readers", 3), ("e", "recist", None)]
    assert [(item.name, item.kind, item.slice) for item in items] == expected
    assert items[0].masks == (tmp_path / "m.png",)
    assert items[1].masks == (tmp_path / "r1.nii", tmp_path / "r2.nii")
    assert items[2].mark.ends == ((1, 2), (3, 4), (5, 6), (7, 8))
    assert items[2].image == tmp_path / "d/e.tif"
    assert items[2].where == f"{path}, line 5"


def test_x_before_y_and_mm_are_said_by_the_columns(tmp_path):
    [item], _ = read_list(written(tmp_path, f"image,x0,y0,x1,y1,x2,y2,x3,y3,units\na.dcm,{RC},mm\n"))
    assert (item.mark.order, item.mark.units) == ("xy", "mm")


def test_tables_as_spreadsheets_and_pandas_write_them(tmp_path):
    [item], problems = read_list(written(tmp_path, "Image, Mask,SLICE,label\na.nii, m.nii,4.0,2\n"))
    assert not problems
    assert (item.image, item.masks, item.slice, item.label) == (tmp_path / "a.nii", (tmp_path / "m.nii",), 4, "2")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"a.png,,m.png,,{RC},,", "exactly one"),
        (f"a.png{',' * 13}", "exactly one"),
        ("a.png,,,,1,2,3,4,5,6,7,,,", "without c3"),
        ("a.png,,,,1,2,3,4,5,6,7,eight,,", "c3 = 'eight' is not a number"),
        ("a.png,,,,1,2,3,4,5,6,7,nan,,", "eight finite numbers"),
        (f"a.png,,,,{RC},mm,", "--order xy"),
        (f"a.png,,,,{RC},inch,", "unknown units 'inch'"),
        (f"a.png,,m.png,{',' * 9}px,", "units and no mark"),
        (f"a.png,,m.png,{',' * 10}2.5", "slice = '2.5' is not a whole number"),
        (f",,m.png{',' * 11}", "names no image"),
        ("a.png,m.png", "2 cells where 14"),
        (f"a.png,../../up,m.png{',' * 11}", "cannot be the name of a file"),
        (f"a.png,.hidden,m.png{',' * 11}", "cannot be the name of a file"),
        (f"a.png,\0,m.png{',' * 11}", "NUL"),
    ],
)
def test_an_invalid_line_is_named_and_the_others_are_read(tmp_path, line, why):
    path = written(tmp_path, f"{HEADER}\ngood.png,,m.png{',' * 11}\n{line}\n")
    [item], [problem] = read_list(path)
    assert item.name == "good"
    assert problem.where == f"{path}, line 3"
    assert why in problem.why


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ConfigError, "names the columns none"),
        ("\n , \nmask\nm.png\n", ConfigError, "names the columns 'mask'"),
        ("mask\nm.png\n", ConfigError, "names the columns 'mask'"),
        ("image;mask\na;b\n", ConfigError, "save it with commas between cells, not with ';'"),
        ("image\tmask\na\tb\n", ConfigError, r"save it with commas between cells, not with '\\t'"),
        ("sep=;\nimage;mask\na;b\n", ConfigError, "save it with commas between cells, not with ';'"),
        ("image,mask,msak\na,b,c\n", ConfigError, "'msak'"),
        ("image,mask,mask\na,b,c\n", ConfigError, "'mask' stands there twice"),
        ("image,name\na,b\n", ConfigError, "names the columns 'image', 'name'"),
        ("image,mask\n", DataError, "no line below its header"),
        ('image,mask\na,"b\n', DataError, "is no csv"),
        (b"image,mask\n\xff\xfe\n", DataError, "cannot be read as text"),
    ],
)
def test_invalid_lists(tmp_path, text, error, message):
    path = written(tmp_path, text)
    with pytest.raises(error, match=message) as caught:
        read_list(path)
    assert str(path) in str(caught.value)
