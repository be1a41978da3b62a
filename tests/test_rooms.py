"""The rooms of the package: each imports from those below it alone (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from softmask.config import ROOT

PACKAGE = ROOT / "lib" / "softmask"
ROOMS = (
    *("errors", "files", "machine", "distance", "config", "cache"),
    *("data", "parallel", "label", "measure", "papers", "nets", "train", "experiments", "report", "analysis", "apply"),
    *("cli", "workbook"),
)
"""From the lowest up; a room is a folder, or a file beside them."""

EXCEPTIONS = {("data/lung_ct.py", "nets")}
"""Morphology stands in for the lung mask of a scan that came without one."""


def rooms_of(source: str) -> Iterator[str]:
    """The rooms that a file imports from, lazily or not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "softmask":
            parts = node.module.split(".")
            yield from parts[1:2] or (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("softmask."))
            assert not any(alias.name.split(".")[0] == "phantoms" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.module.split(".")[0] != "phantoms", "simulated data sets are found by their names"


def test_every_room_has_its_floor():
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert names - {"__init__", "__main__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_one_above_it(room):
    folder = PACKAGE / room
    files: list[Path] = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    for path in files:
        name = path.relative_to(PACKAGE).as_posix()
        above = {
            other for other in rooms_of(path.read_text()) if other in ROOMS and ROOMS.index(other) > ROOMS.index(room)
        }
        above -= {other for file, other in EXCEPTIONS if file == name}
        assert not above, f"{name} imports from {', '.join(sorted(above))}"


def test_no_file_is_longer_than_400_lines():
    long = {p.name: n for p in (ROOT / "lib").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
