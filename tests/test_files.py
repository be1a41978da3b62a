import os
import stat
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmask import files
from softmask.errors import DataError


def test_write_atomic_writes_text_and_bytes_and_makes_folders(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    for content, stored in (("naïve ±\n", "naïve ±\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")):
        path = files.write_atomic(tmp_path / "a" / "b" / "file", content)
        assert path.read_bytes() == stored
        assert [p.name for p in path.parent.iterdir()] == ["file"]  # no temporary file stays
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("full", [True, False])
def test_a_reader_never_meets_half_a_file(tmp_path, monkeypatch, full):
    path, replace, seen = files.write_atomic(tmp_path / "file", "old"), os.replace, []

    def look(source, target):
        seen.append(path.read_text())  # everything is written by now, and the old file still stands
        if full:
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", look)
    with pytest.raises(OSError, match="disk full") if full else nullcontext():
        files.write_atomic(path, "new")
    assert seen == ["old"]
    assert path.read_text() == ("old" if full else "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_sha256_of_a_path_is_that_of_its_content(tmp_path):
    path = files.write_atomic(tmp_path / "file", "content")
    assert files.sha256_of(path) == files.sha256_of(b"content") == files.sha256_of("content")


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_sha256_of_tells_parts_apart(a, b):
    assert (files.sha256_of(*a) == files.sha256_of(*b)) == (a == b)


def test_what_is_read_is_a_plain_file_of_a_bounded_size(tmp_path):
    path = files.write_atomic(tmp_path / "a.json", '\ufeff{"a": 1}\r\n')
    assert files.size_of(path) == 13
    assert files.read_bytes(path, most=13) == path.read_bytes()
    assert files.read_text(path) == '{"a": 1}\r\n'
    assert files.read_json(path) == {"a": 1}
    with pytest.raises(DataError, match=r"a\.json: has 13 bytes, larger than 12, and is refused; run it again"):
        files.read_bytes(path, "run it again", 12)
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "bytes").write_bytes(b"\xff")
    for name, why in (("gone", "no such file"), ("", "is a folder"), ("pipe", "no plain file"), ("device", "no plain"),
                      ("bytes", "as text"), ("a\0b", "null byte"), ("x" * 300, "too long")):  # fmt: skip
        with pytest.raises(DataError, match=rf"{why}.*; download or copy this file again"):
            files.read_json(tmp_path / name)


def test_two_do_not_write_into_a_folder(tmp_path):
    with files.sole_writer(tmp_path / "out"):
        with (
            pytest.raises(DataError, match="out: another softmask is writing into it"),
            files.sole_writer(tmp_path / "out"),
        ):
            pytest.fail("entered")
        with files.sole_writer(tmp_path / "other"), files.sole_writer(None):
            pass
    with files.sole_writer(tmp_path / "out"):
        pass
    assert not [*tmp_path.iterdir()], "nothing was written"


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    whole = files.write_atomic(tmp_path / "a" / "file.csv", "1")
    (tmp_path / "a" / ".file.csv.x7.softmask-part").write_text("half")
    for name in (".hidden", ".download.part"):
        (tmp_path / "a" / name).write_text("the user's")
    (tmp_path / ".volume.x7.softmask-part").mkdir()
    (tmp_path / ".volume.x7.softmask-part" / ".volume.nii.x7.softmask-part").write_text("half")
    files.remove_parts(tmp_path)
    assert not (tmp_path / ".volume.x7.softmask-part").exists()
    assert sorted(path.name for path in whole.parent.iterdir()) == [".download.part", ".hidden", "file.csv"]
    files.remove_parts(tmp_path / "not there")
