"""Small notebooks for the tests of the runner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
import pytest

from softmask.config import Config

PARAMETERS = "profile = None\ndata = None\nseeds = None"


@pytest.fixture
def folder(tmp_path: Path):
    """An empty folder of notebooks."""
    path = tmp_path / "notebooks"
    path.mkdir()
    return path


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the notebooks of one test write, with a cache and data folder of its own."""
    path = tmp_path / "output"
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(path))
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SOFTMASK_DATA", str(tmp_path / "data"))
    return path


@pytest.fixture
def config(output: Path) -> Config:
    """A run in the smoke profile, which writes there."""
    return Config.from_parameters("smoke", "embedded")


@pytest.fixture(scope="session")
def program() -> str:
    """Python code that runs the notebooks of the folder which is its first argument."""
    return (
        "import sys; from pathlib import Path; from softmask.workbook.cli import main; "
        "sys.exit(main(sys.argv[2:], Path(sys.argv[1])))"
    )


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """``write(name, [code, ...], parameters=..., **declared)`` makes ``folder/name.ipynb``."""

    def write(name: str, code: Sequence[str] = (), parameters: str | None = PARAMETERS, **declared):
        book = nbformat.v4.new_notebook()
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        if declared:
            book.metadata["softmask"] = declared
        if parameters is not None:
            book.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        book.cells += [nbformat.v4.new_code_cell(source) for source in code]
        nbformat.write(book, folder / f"{name}.ipynb")
        return folder / f"{name}.ipynb"

    return write
