"""Zip archives fetched over https: resumed where a fetch broke off, verified, and unpacked whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import re
import shutil
import stat
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from softmask.data.sources import ZipArchive
from softmask.errors import DataError, brief
from softmask.files import write_atomic

MOST_BYTES = 4 * 1024**3
"""Largest archive that is fetched, and largest content that is unpacked."""

_CHUNK = 1024 * 1024
_SECONDS = 60  # without a byte, after which a line is given up


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to addresses that :func:`_check_address` lets pass."""

    def __init__(self, loopback: bool) -> None:
        self.loopback = loopback

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_address(newurl, self.loopback)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_archives(archives: Sequence[ZipArchive], staging: Path, name: str, loopback: bool = False) -> int:
    """Fetch archives and unpack each below its own folder of ``staging/tree``.

    Args:
        archives: what is fetched.
        staging: folder that keeps what has arrived for the next call.
        name: of the data set, for messages.
        loopback: whether http addresses of this machine are allowed as well, for tests.

    Returns:
        Number of files unpacked.

    Raises:
        DataError: when the network fails, or what arrives is not what was asked for, or cannot be unpacked safely.
    """
    paths = [_download(archive, staging, name, loopback) for archive in archives]
    tree = staging / "tree"
    if tree.exists():  # from a kill while unpacking
        shutil.rmtree(tree)
    print(f"{name}: unpacking {len(paths)} archives", file=sys.stderr)
    return sum(_unpack(path, tree / archive.folder) for path, archive in zip(paths, archives, strict=True))


def _download(archive: ZipArchive, staging: Path, name: str, loopback: bool) -> Path:
    path = staging / f"{archive.folder}.zip"
    if path.is_file():  # verified before it got this name
        return path
    part, validator = staging / f"{path.name}.part", staging / f"{path.name}.etag"
    total = _receive(archive, part, validator, name, loopback)
    size = part.stat().st_size
    if total is not None and size < total:
        raise DataError(f"{name}: {archive.url} broke off after {size} of {total} bytes; {_go_on(name)}")
    why = _why_altered(archive, part, total)
    if why:
        part.unlink()
        raise DataError(f"{name}: what {archive.url} sent {why}; it was removed, nothing of it is used. {_again(name)}")
    os.replace(part, path)
    validator.unlink(missing_ok=True)
    return path


def _receive(archive: ZipArchive, part: Path, validator: Path, name: str, loopback: bool) -> int | None:
    """Append to ``part`` what is missing of the archive; returns the whole length where the server tells it."""
    start = part.stat().st_size if part.is_file() else 0
    etag = validator.read_text() if validator.is_file() else ""
    if start and start == archive.size:
        return start
    if not (etag or archive.sha256):  # nothing could tell whether the rest belongs to what is there
        start = 0
    try:
        response = _open(archive.url, start, etag, loopback)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            part.unlink()
            return _receive(archive, part, validator, name, loopback)
        raise DataError(f"{name}: {archive.url} answered {error.code} {error.reason}; {_go_on(name)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{name}: {archive.url} cannot be reached ({brief(error)}); {_go_on(name)}") from error
    with response:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            first, total = _content_range(response.headers.get("Content-Range", ""))
        else:  # the server does not resume, or has another version by now
            length = response.headers.get("Content-Length", "")
            first, total = 0, int(length) if length.isdigit() else None
        if first not in (0, start):
            raise DataError(
                f"{name}: {archive.url} sent bytes from {first} where {start} was asked for; {_again(name)}"
            )
        expected = archive.size or MOST_BYTES
        if total is not None and (total > expected or (archive.size and total < expected)):
            part.unlink(missing_ok=True)
            raise DataError(
                f"{name}: {archive.url} has {total} bytes where {'' if archive.size else 'at most '}{expected} are "
                f"expected; what was there of it is removed. {_again(name)}"
            )
        if not first:
            part.unlink(missing_ok=True)
        tag = response.headers.get("ETag", "")
        write_atomic(validator, tag if tag.startswith('"') else "")  # a weak one says nothing about bytes
        with (
            part.open("r+b" if first else "wb") as file,
            tqdm(total=total, initial=first, desc=f"{name}: {archive.folder}", unit="B", unit_scale=True) as bar,
        ):
            file.seek(first)
            while chunk := _read(response, archive, name):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > expected:
                    break
    return total


def _open(url: str, start: int, etag: str, loopback: bool) -> http.client.HTTPResponse:
    _check_address(url, loopback)
    headers = {"User-Agent": "softmask", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    handlers: list[urllib.request.BaseHandler] = [_Redirects(loopback)]
    if loopback:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    return opener.open(urllib.request.Request(url, headers=headers), timeout=_SECONDS)


def _read(response: http.client.HTTPResponse, archive: ZipArchive, name: str) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{name}: {archive.url} broke off ({brief(error)}); {_go_on(name)}") from error


def _check_address(url: str, loopback: bool) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        local = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = False
    if not (loopback and local and parts.scheme == "http"):
        raise DataError(f"{url}: only https addresses are fetched from; get the data by hand if it moved there")


def _content_range(text: str) -> tuple[int, int | None]:
    match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", text.strip())
    if match is None:
        return -1, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _why_altered(archive: ZipArchive, part: Path, total: int | None) -> str:
    size = part.stat().st_size
    expected = archive.size if archive.size is not None else total
    if expected is not None and size != expected:
        return f"has {size} bytes where {expected} are expected"
    if archive.sha256:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != archive.sha256:
            return f"has SHA-256 {digest} where {archive.sha256} is expected"
    try:
        with zipfile.ZipFile(part) as content:
            why = _why_unsafe(content)
            damaged = None if why or archive.sha256 else content.testzip()
    except Exception as error:  # damaged bytes raise nearly anything
        return f"is no whole zip archive ({brief(error)})"
    return f"is damaged at {damaged}" if damaged else why


def _why_unsafe(content: zipfile.ZipFile) -> str:
    members = [info for info in content.infolist() if not info.is_dir()]
    for info in members:
        parts = re.split(r"[/\\]", info.filename)
        linked = stat.S_ISLNK(info.external_attr >> 16)
        if linked or ":" in info.filename or any(part in ("", ".", "..") for part in parts):
            return f"has a member {info.filename!r}, which leads out of the archive or is a link"
    if len({info.filename for info in members}) < len(members):
        return "has two members of the same name"
    if sum(info.file_size for info in members) > MOST_BYTES:
        return f"unpacks to more than {MOST_BYTES} bytes"
    return ""


def _unpack(path: Path, folder: Path) -> int:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(path) as content:
        members = [info for info in content.infolist() if not info.is_dir()]
        for info in members:
            target = folder / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with content.open(info) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
    return len(members)


def _go_on(name: str) -> str:
    return f"check the network and run `softmask data fetch {name}` again: it goes on where it stopped"


def _again(name: str) -> str:
    return f"Run `softmask data fetch {name}` again, or get it by hand"
