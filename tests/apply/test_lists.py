"""Lists of images: every bad line is named, and the others are read."""

from __future__ import annotations

import pytest

from softmask.apply.items import read_list
from softmask.errors import ConfigError, DataError

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
    assert [(one.name, one.kind, one.slice) for one in items] == [
        ("a", "mask", None),
        ("b", "readers", 3),
        ("e", "recist", None),
    ]
    assert items[0].mask == tmp_path / "m.png"
    assert items[1].readers == (tmp_path / "r1.nii", tmp_path / "r2.nii")
    assert items[2].mark.ends == ((1, 2), (3, 4), (5, 6), (7, 8))
    assert items[2].image == tmp_path / "d/e.tif"
    assert items[2].where == f"{path}, line 5"


def test_x_before_y_and_mm_are_said_by_the_columns(tmp_path):
    [item], _ = read_list(written(tmp_path, f"image,x0,y0,x1,y1,x2,y2,x3,y3,units\na.dcm,{RC},mm\n"))
    assert (item.mark.order, item.mark.units) == ("xy", "mm")


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
        (f"a.png,,m.png,{',' * 9}px,", "units and no RECIST ends"),
        (f"a.png,,m.png,{',' * 10}2.5", "slice = '2.5' is not a whole number"),
        (f",,m.png{',' * 11}", "names no image"),
        ("a.png,m.png", "2 cells where 14"),
        (f"a.png,../../up,m.png{',' * 11}", "cannot be the name of a file"),
        (f"a.png,.hidden,m.png{',' * 11}", "cannot be the name of a file"),
        (f"a.png,\0,m.png{',' * 11}", "NUL"),
    ],
)
def test_a_line_that_is_none_is_named_and_the_rest_is_read(tmp_path, line, why):
    path = written(tmp_path, f"{HEADER}\ngood.png,,m.png{',' * 11}\n{line}\n")
    [item], [problem] = read_list(path)
    assert item.name == "good"
    assert problem.where == f"{path}, line 3"
    assert why in problem.why


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ConfigError, "names the columns none"),
        ("mask\nm.png\n", ConfigError, "names the columns 'mask'"),
        ("image;mask\na;b\n", ConfigError, "separated by commas"),
        ("image,mask,msak\na,b,c\n", ConfigError, "'msak'"),
        ("image,mask,mask\na,b,c\n", ConfigError, "names the columns"),
        ("image,name\na,b\n", ConfigError, "no column to label from"),
        ("image,mask\n", DataError, "no line below its header"),
        ('image,mask\na,"b\n', DataError, "is no csv"),
        (b"image,mask\n\xff\xfe\n", DataError, "cannot be read as text"),
    ],
)
def test_a_list_that_is_none(tmp_path, text, error, message):
    path = written(tmp_path, text)
    with pytest.raises(error, match=message) as caught:
        read_list(path)
    assert str(path) in str(caught.value)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        read_list(tmp_path / "none.csv")
