import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask import files


@pytest.mark.parametrize(
    ("content", "stored"), [("naïve ±\n", "naïve ±\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_write_atomic_writes_text_and_bytes_and_makes_folders(tmp_path, content, stored):
    path = files.write_atomic(tmp_path / "a" / "b" / "file", content)
    assert path.read_bytes() == stored
    assert [p.name for p in path.parent.iterdir()] == ["file"]  # no temporary file stays


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = files.write_atomic(tmp_path / "file", "old")

    def refuse(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_meets_half_a_file(tmp_path, monkeypatch):
    path = files.write_atomic(tmp_path / "file", "old")
    seen = []
    replace = os.replace

    def look(source, target):
        seen.append(path.read_text())  # everything is written by now, and the old file still stands
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", look)
    files.write_atomic(path, "new")
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_the_mode_is_that_of_a_plain_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert stat.S_IMODE(files.write_atomic(tmp_path / "file", "x").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_sha256_of_a_path_is_that_of_its_content(tmp_path):
    path = files.write_atomic(tmp_path / "file", "content")
    assert files.sha256_of(path) == files.sha256_of(b"content") == files.sha256_of("content")


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_sha256_of_tells_parts_apart(a, b):
    assert (files.sha256_of(*a) == files.sha256_of(*b)) == (a == b)
