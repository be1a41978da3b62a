"""Files written whole or not at all, and content digests."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write ``content`` to ``path`` so that a reader, or a kill, never meets half a file.

    The content goes to a temporary file in the same folder, which then replaces ``path``. Folders are made.
    Text is written as UTF-8 with ``\\n`` line ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes it private; give it the mode a plain open would
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def sha256_of(*parts: bytes | memoryview | str | Path) -> str:
    """Hex SHA-256 over ``parts`` in order: bytes (or a memoryview of them) and text as they are, a
    :class:`~pathlib.Path` by its file's content.

    Each part is preceded by its length, so that moving a boundary changes the digest.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
