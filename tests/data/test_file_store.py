"""Folders and archives read alike; damage and bombs are refused by name."""

from __future__ import annotations

import pickle
import zipfile

import pytest

from softmask.data import file_store
from softmask.data.file_store import open_store
from softmask.errors import DataError, MissingData

FILES = {"a/one.txt": b"one", "a/b/two.txt": b"two" * 100, "three.txt": b""}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "set"


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in reversed(FILES.items()):
            file.writestr(name, content)
    return tmp_path / "set.zip"


def test_a_folder_and_its_archive_read_alike(folder, archive):
    one, other = open_store(folder), open_store(archive)
    assert one.names == other.names == tuple(sorted(FILES))
    assert all(one.read(name) == other.read(name) == content for name, content in FILES.items())
    assert one.fingerprint(list(one.names)) == other.fingerprint(list(other.names))


def test_the_stamp_follows_the_content(folder):
    before = open_store(folder).stamp
    assert open_store(folder).stamp == before
    (folder / "three.txt").write_bytes(b"more")
    assert open_store(folder).stamp != before


def test_an_archive_can_be_sent_to_another_process(archive):
    store = pickle.loads(pickle.dumps(open_store(archive)))
    assert store.read("a/one.txt") == b"one"


@pytest.mark.parametrize("which", ["folder", "archive"])
def test_a_file_that_is_not_there(which, request):
    path = request.getfixturevalue(which)
    with pytest.raises(DataError, match=r"nothing\.png"):
        open_store(path).read("nothing.png")


def test_nothing_there(tmp_path):
    with pytest.raises(MissingData, match=r"nowhere.*no such folder or archive"):
        open_store(tmp_path / "nowhere")


def test_a_truncated_archive(archive):
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"set\.zip: not a whole zip archive"):
        open_store(archive)


def test_a_damaged_member(archive):
    data = bytearray(archive.read_bytes())
    data[data.index(b"a/b/two.txt") + len("a/b/two.txt") + 2] ^= 0xFF
    archive.write_bytes(data)
    store = open_store(archive)
    with pytest.raises(DataError, match=r"set\.zip:a/b/two\.txt: damaged in the archive"):
        store.read("a/b/two.txt")
    assert store.read("a/one.txt") == b"one"


@pytest.mark.parametrize("which", ["folder", "archive"])
def test_a_bomb_is_refused(which, request, monkeypatch):
    path = request.getfixturevalue(which)
    monkeypatch.setattr(file_store, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="refused"):
        open_store(path).read("a/b/two.txt")
