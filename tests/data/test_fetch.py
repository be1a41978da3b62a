"""A folder of a git repository: as committed, resumed, and every failure said with what to do."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from softmask.data import fetch as fetch_module
from softmask.data.fetch import fetch
from softmask.data.sources import SOURCES, GitFolder
from softmask.errors import DataError

FILES = {f"LIDC-IDRI-slices/p{k % 3}/slice-{k}.png": bytes([k]) * (50 + k) for k in range(40)}
FILES["LIDC-IDRI-slices/text.txt"] = b"$Id$\n"  # must not be converted at the other end, in spite of:
FILES["LIDC-IDRI-slices/.gitattributes"] = b"*.txt text eol=crlf ident\n"
FILES["LIDC-IDRI-slices/äö leer.png"] = b"name"
STAGING = ".LIDC-IDRI-slices.fetching"


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository that serves single objects, as the public host does: (folder, commit of the data, later commit)."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("origin")
    git(folder, "init", "-q")
    for option in ("uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true", "core.autocrlf=false"):
        git(folder, "config", *option.split("="))
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "weights.bin").write_bytes(os.urandom(300_000))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "data")
    first = git(folder, "rev-parse", "HEAD")
    (folder / "LIDC-IDRI-slices/p0/slice-0.png").write_bytes(b"changed")
    git(folder, "commit", "-qam", "later")
    return folder, first, git(folder, "rev-parse", "HEAD")


def source(url, commit, folder="LIDC-IDRI-slices", name="lidc"):
    return dataclasses.replace(SOURCES[name], git=GitFolder(url, commit, folder))


def files_below(folder):
    return {f"{path.relative_to(folder.parent)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_arrives_whole_as_committed_and_nothing_else(origin, tmp_path, capsys, monkeypatch):
    folder, commit, later = origin
    message = fetch(source(folder.as_uri(), commit), tmp_path / "data")
    assert f"{len(FILES)} files" in message
    assert os.listdir(tmp_path / "data") == ["LIDC-IDRI-slices"]
    assert files_below(tmp_path / "data" / "LIDC-IDRI-slices") == FILES
    assert f"{len(set(FILES.values()))}/{len(set(FILES.values()))}" in capsys.readouterr().err
    monkeypatch.setattr(fetch_module.shutil, "rmtree", lambda *_, **__: None)  # keep the staging folder to look at
    fetch(source(folder.as_uri(), later), tmp_path)
    assert (tmp_path / "LIDC-IDRI-slices/p0/slice-0.png").read_bytes() == b"changed"
    staged = sum(path.stat().st_size for path in (tmp_path / STAGING).rglob("*") if path.is_file())
    assert staged < 150_000, "only the wanted files are transferred"


def test_what_is_there_is_left_alone_and_an_empty_folder_is_filled(origin, tmp_path):
    folder, commit, _ = origin
    for place in ("LIDC-IDRI-slices", "isbi2012"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine").write_text("mine")
    assert "is there already" in fetch(source(folder.as_uri(), commit), tmp_path)
    assert files_below(tmp_path / "LIDC-IDRI-slices") == {"LIDC-IDRI-slices/mine": b"mine"}
    other = source(folder.as_uri(), commit, name="isbi2012")
    with pytest.raises(DataError, match=r"isbi2012 exists but does not contain ISBI 2012 .*; move it"):
        fetch(other, tmp_path)
    (tmp_path / "isbi2012/mine").unlink()
    fetch(other, tmp_path)
    assert len(list((tmp_path / "isbi2012").rglob("*.png"))) == 41
    (tmp_path / "b").mkdir()
    (tmp_path / "b/LIDC-IDRI-slices.zip").touch()
    assert "nothing done" in fetch(source(folder.as_uri(), commit), tmp_path / "b")


def test_an_interrupted_fetch_goes_on_where_it_stopped(origin, tmp_path, monkeypatch):
    folder, commit, _ = origin
    monkeypatch.setattr(fetch_module, "BATCH", 10)
    asked = []
    real = fetch_module._from_network

    def failing(repository, name, place, ids, *options):
        asked.append(ids)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(repository, name, place, ids, *options)

    monkeypatch.setattr(fetch_module, "_from_network", failing)
    with pytest.raises(KeyboardInterrupt):
        fetch(source(folder.as_uri(), commit), tmp_path)
    assert os.listdir(tmp_path) == [STAGING]
    assert not (tmp_path / STAGING / "tree").exists()
    arrived = {blob for ids in asked[1:3] for blob in ids}
    before = len(asked)
    fetch(source(folder.as_uri(), commit), tmp_path)
    again = {blob for ids in asked[before + 1 :] for blob in ids}
    assert (len(arrived), len(again)) == (20, len(FILES) - 20)
    assert not again & arrived
    assert files_below(tmp_path / "LIDC-IDRI-slices") == FILES


def test_a_fetch_killed_without_warning_goes_on(origin, tmp_path):
    folder, commit, _ = origin
    code = f"""
        import dataclasses, sys, time
        from softmask.data import fetch, sources
        fetch.BATCH = 10
        real, calls = fetch._from_network, []
        def slow(*arguments):
            real(*arguments)
            calls.append(1)
            if len(calls) == 3:
                print("now", flush=True)
                time.sleep(60)
        fetch._from_network = slow
        source = dataclasses.replace(sources.SOURCES["lidc"], git=sources.GitFolder(
            {folder.as_uri()!r}, {commit!r}, "LIDC-IDRI-slices"))
        fetch.fetch(source, {str(tmp_path)!r})
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout.readline() == b"now\n"
    with pytest.raises(DataError, match="another fetch of it is running"):
        fetch(source(folder.as_uri(), commit), tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (tmp_path / STAGING / "git/shallow.lock").touch()  # what a kill within git leaves
    (tmp_path / STAGING / "tree/p0").mkdir(parents=True)
    (tmp_path / STAGING / "tree/p0/half.png").write_bytes(b"half")
    fetch(source(folder.as_uri(), commit), tmp_path)
    assert files_below(tmp_path / "LIDC-IDRI-slices") == FILES
    (tmp_path / "b" / STAGING / "git/objects").mkdir(parents=True)  # what a kill within git init leaves
    fetch(source(folder.as_uri(), commit), tmp_path / "b")
    assert files_below(tmp_path / "b/LIDC-IDRI-slices") == FILES


def test_what_is_not_the_pinned_content_is_not_used(origin, tmp_path):
    folder, commit, _ = origin
    git(folder, "tag", "-a", "-f", "-m", "t", "release", commit)
    tag = git(folder, "rev-parse", "release")
    linked = tmp_path / "linked"
    (linked / "data").mkdir(parents=True)
    git(linked, "init", "-q")
    (linked / "data/passwd").symlink_to("/etc/passwd")
    git(linked, "add", ".")
    git(linked, "commit", "-qm", "link")
    for asked, message in (
        (source(folder.as_uri(), "1" * 40), f"at commit {'1' * 40} could not be fetched"),
        (source(folder.as_uri(), tag), f"for commit {tag} and got {commit}; nothing of it is used"),
        (source(folder.as_uri(), commit, "data/none"), "has no folder data/none in commit"),
        (source(linked.as_uri(), git(linked, "rev-parse", "HEAD"), "data"), "passwd in the repository is no plain"),
        (source("file:///nowhere/at/all", "1" * 40), "could not be fetched from file:///nowhere/at/all; git says: "),
    ):
        with pytest.raises(DataError, match=message):
            fetch(asked, tmp_path / "data")
        assert not (tmp_path / "data/LIDC-IDRI-slices").exists()


def test_a_server_without_partial_fetch_also_serves_and_a_caller_inside_git(origin, tmp_path, monkeypatch):
    plain = tmp_path / "plain"
    subprocess.run(["git", "clone", "-q", "--bare", str(origin[0]), str(plain)], check=True)
    commit = git(plain, "rev-parse", "HEAD")
    for variable in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.setenv(variable, str(tmp_path / "of-the-caller"))
    fetch(source(plain.as_uri(), commit), tmp_path / "data")
    assert len(files_below(tmp_path / "data/LIDC-IDRI-slices")) == len(FILES)
    assert not (tmp_path / "of-the-caller").exists()


def test_without_git_or_a_writable_root_the_message_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*file.*; make the data folder writable"):
        fetch(SOURCES["isbi2012"], tmp_path / "file" / "data")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="git is needed") as error:
        fetch(SOURCES["isbi2012"], tmp_path)
    for word in ("data/membrane", "b45af4d458437d8281cc218a07fd4380818ece4a", str(tmp_path / "isbi2012")):
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["deeplesion", "lidc-dicom"])
def test_what_needs_registration_says_where_and_which_folder(tmp_path, name):
    with pytest.raises(DataError, match="without registration") as error:
        fetch(SOURCES[name], tmp_path)
    assert SOURCES[name].place in str(error.value)
    assert str(tmp_path / SOURCES[name].folder) in str(error.value)
