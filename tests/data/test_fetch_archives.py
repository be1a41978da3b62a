"""Zip archives from a server on the loopback: resumed, verified, unpacked whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import os
import stat
import threading
import urllib.request
import zipfile

import numpy as np
import pytest

from softmask.data import fetch as download
from softmask.data.fetch import fetch
from softmask.data.sources import SOURCES, ZipArchive
from softmask.errors import DataError

STAGING = ".promise12.fetching"


class Server(http.server.ThreadingHTTPServer):
    """Serves ``contents`` by path; how it misbehaves is told by the other attributes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.cut: int | None = None  # bytes of a body after which the line is closed
        self.etag, self.ranges, self.length, self.start_lie = "", True, True, 0
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.asked.append((self.path, asked))
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.end_headers()
            return
        if self.path not in server.contents:
            self.send_error(404)
            return
        body, start = server.contents[self.path], 0
        if asked and server.ranges and self.headers.get("If-Range") in (None, server.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-")) - server.start_lie
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop = len(body) if server.cut is None else min(server.cut, len(body))
        self.wfile.write(body[start:stop])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_HANDLERS", (urllib.request.HTTPHandler, *download._HANDLERS[2:]))
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def zipped(names: dict[str, bytes], **attributes: int) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in names.items():
            info = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return memory.getvalue()


NOISE = np.random.default_rng(0).bytes(300_000)
TRAINING = zipped({"Case00.mhd": b"NDims = 3\n", "Case00.raw": NOISE})
TEST = zipped({"deeper/Case00.mhd": b"NDims = 3\n", "deeper/Case00.raw": NOISE[:9]})
FILES = {
    "training/Case00.mhd": b"NDims = 3\n",
    "training/Case00.raw": NOISE,
    "test/deeper/Case00.mhd": b"NDims = 3\n",
    "test/deeper/Case00.raw": NOISE[:9],
}


def promise12(server: Server, training: bytes = TRAINING, test: bytes = TEST):
    """The source, with the first archive pinned as the real one is; the server serves both."""
    server.contents |= {"/training.zip": training, "/test.zip": test}
    pinned = ZipArchive(server.url("/training.zip"), "training", len(TRAINING), hashlib.sha256(TRAINING).hexdigest())
    return dataclasses.replace(SOURCES["promise12"], archives=(pinned, ZipArchive(server.url("/test.zip"), "test")))


def arrived(root) -> dict[str, bytes]:
    folder = root / "promise12"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def break_off(server: Server, source, root, cut: int = 100_000) -> None:
    """Fetch from a server that closes the line after ``cut`` bytes, and from then on does not."""
    server.cut = cut
    with pytest.raises(DataError, match=rf"broke off after {cut} bytes \(.*; check the network .*goes on where it"):
        fetch(source, root)
    assert not (root / "promise12").exists()
    server.cut = None


def test_archives_arrive_whole_below_their_own_folders(server, tmp_path, capsys):
    source = promise12(server)
    assert "4 files of PROMISE12 challenge data are now in" in fetch(source, tmp_path)
    assert arrived(tmp_path) == FILES
    assert os.listdir(tmp_path) == ["promise12"]
    assert "training.zip" in capsys.readouterr().err
    assert "is there already" in fetch(source, tmp_path)
    assert len(server.asked) == 2


@pytest.mark.parametrize("resumes", [True, False])
def test_an_interrupted_fetch_asks_for_the_rest_alone(server, tmp_path, resumes):
    source = promise12(server)
    break_off(server, source, tmp_path)
    server.ranges = resumes
    (tmp_path / STAGING / "tree/training").mkdir(parents=True)  # as a kill while unpacking leaves it
    (tmp_path / STAGING / "tree/training/Case00.raw").write_bytes(b"half")
    fetch(source, tmp_path)
    assert arrived(tmp_path) == FILES
    assert server.asked == [("/training.zip", None), ("/training.zip", "bytes=100000-"), ("/test.zip", None)]


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [('"v1"', '"v1"', NOISE), ('"v1"', '"v2"', NOISE[::-1]), ("", "", NOISE[::-1]), ('W/"v1"', 'W/"v1"', NOISE[::-1])],
)
def test_an_archive_without_a_digest_goes_on_where_its_version_is_the_same(server, tmp_path, before, after, asked):
    source = promise12(server, test=zipped({"Case01.raw": NOISE + NOISE}))
    server.etag = before
    break_off(server, source, tmp_path, 400_000)
    server.etag, server.contents["/test.zip"] = after, zipped({"Case01.raw": NOISE + asked})
    fetch(source, tmp_path)
    assert server.asked[-1] == ("/test.zip", "bytes=400000-" if before.startswith('"') else None)
    assert arrived(tmp_path)["test/Case01.raw"] == NOISE + asked
    assert os.listdir(tmp_path) == ["promise12"]


ALTERED = TRAINING[:5000] + bytes([TRAINING[5000] ^ 1]) + TRAINING[5001:]
TWICE = zipped({"Case00.mhd": b"1", "Case01.mhd": b"2"}).replace(b"Case01", b"Case00")


@pytest.mark.parametrize(
    ("training", "test", "said"),
    [
        (ALTERED, TEST, r"training\.zip sent .* has SHA-256 [0-9a-f]{64} where [0-9a-f]{64} is expected.* removed"),
        (TRAINING + b"more", TEST, r"training\.zip sent .* has \d+ bytes where \d+ are expected; .* removed"),
        (TRAINING[:-9], TEST, r"training\.zip sent .* has \d+ bytes where \d+ are expected; .* removed"),
        (TRAINING, b"<html>Sign in</html>", r"test\.zip sent .* is no whole zip archive"),
        (TRAINING, zipped({"a": NOISE}).replace(NOISE[:9], bytes(9)), r"test\.zip sent .* is damaged at a"),
        (TRAINING, zipped({"../escaped": b"x"}), r"test\.zip sent .* has a member '\.\./escaped', which leads out"),
        (TRAINING, zipped({"/tmp/escaped": b"x"}), "which leads out"),
        (TRAINING, zipped({"a\\..\\escaped": b"x"}), "which leads out"),
        (TRAINING, zipped({"C:escaped": b"x"}), "which leads out"),
        (TRAINING, zipped({"a": b"/etc/passwd"}, external_attr=(stat.S_IFLNK | 0o777) << 16), "or is a link"),
        (TRAINING, TWICE, "two members of the same name"),
    ],
)
def test_what_is_not_what_was_asked_for_is_refused_and_removed(server, tmp_path, training, test, said):
    root = tmp_path / "data"
    with pytest.raises(DataError, match=said) as error:
        fetch(promise12(server, training, test), root)
    assert "softmask data fetch promise12" in str(error.value)
    assert not (root / "promise12").exists()
    assert not list(root.rglob("*.part"))
    assert not (root / STAGING / "tree").exists()
    assert not list(tmp_path.rglob("*escaped*"))
    fetch(promise12(server), root)
    assert arrived(root) == FILES


def test_an_archive_without_end_or_length_is_bounded(server, tmp_path, monkeypatch):
    source = promise12(server, training=TRAINING + bytes(5_000_000))
    server.length = False
    with pytest.raises(DataError, match=rf"has {len(TRAINING) + 1} bytes where {len(TRAINING)} are expected"):
        fetch(source, tmp_path)
    monkeypatch.setattr(download, "MOST_BYTES", 1000)
    unpinned = dataclasses.replace(source, archives=(ZipArchive(server.url("/training.zip"), "a"),))
    with pytest.raises(DataError, match=r"has 1001 bytes where at most 1000 are expected"):
        fetch(unpinned, tmp_path / "b")


@pytest.mark.parametrize(
    ("part", "asked"), [(TRAINING, ["/test.zip"]), (TRAINING + b"+", ["/training.zip", "/test.zip"])]
)
def test_a_part_that_is_whole_or_too_long_is_no_dead_end(server, tmp_path, part, asked):
    source = promise12(server)
    (tmp_path / STAGING).mkdir()
    (tmp_path / STAGING / "training.zip.part").write_bytes(part)
    fetch(source, tmp_path)
    assert arrived(tmp_path) == FILES
    assert [path for path, _ in server.asked] == asked


def test_bytes_from_another_place_than_asked_for_are_refused(server, tmp_path):
    source = promise12(server)
    break_off(server, source, tmp_path)
    server.start_lie = 7
    with pytest.raises(DataError, match="sent other bytes than were asked for"):
        fetch(source, tmp_path)


def test_a_redirect_is_followed_and_the_rest_asked_for_there(server, tmp_path):
    source = promise12(server)
    server.contents["/moved.zip"] = server.contents.pop("/training.zip")
    server.redirects["/training.zip"] = server.url("/moved.zip")
    break_off(server, source, tmp_path)
    fetch(source, tmp_path)
    assert ("/moved.zip", "bytes=100000-") in server.asked
    assert arrived(tmp_path) == FILES


@pytest.mark.parametrize(
    "target", ["https://example.invalid/a.zip", "file:///etc/passwd", "ftp://127.0.0.1/a", "/nothing.zip"]
)
def test_another_kind_of_address_is_refused_and_nothing_there_is_said(server, tmp_path, target, monkeypatch):
    source = promise12(server)
    server.redirects["/training.zip"] = target
    with pytest.raises(
        DataError, match=r"(unknown url type|is not allowed|404).*; check the network and run `softmask"
    ):
        fetch(source, tmp_path)
    monkeypatch.undo()  # https alone, and no http as on the loopback
    with pytest.raises(DataError, match="unknown url type: http"):
        fetch(source, tmp_path / "b")
