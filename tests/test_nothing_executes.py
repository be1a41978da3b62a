"""Nothing that is read from disk can execute code: by what the sources call, and by files that try."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from softmask.apply import models
from softmask.apply.models import MODEL, WEIGHTS
from softmask.cache import cached_arrays
from softmask.config import ROOT, cache_root
from softmask.errors import SoftmaskError
from softmask.experiments import store
from softmask.nets import perceptual
from softmask.train import checkpoints

EXECUTES = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "marshal.loads"),
    *("joblib.load", "shelve.open", "dill.load", "pandas.read_pickle", "pd.read_pickle", "torch.hub.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader", "torch.jit.load"),
    *("runpy.run_path", "importlib.import_module"),
}
IMPORTS_BY_NAME = {"softmask/nets/registry.py"}
"""May import modules: those of their own lists."""
UNPACKS = {"extract", "extractall", "unpack_archive"}
NO_ARCHIVES = {"radiomics.extract"}


def sources() -> Iterator[tuple[str, str]]:
    """Name and Python text of every module and of every code cell of a notebook."""
    for path in sorted((ROOT / "lib").rglob("*.py")):
        yield path.relative_to(ROOT / "lib").as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for i, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                yield f"{path.name}, cell {i}", "".join(cell["source"])


def called(node: ast.AST):
    """``np.load`` of a call of that; empty for what is called by no name."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def given(node: ast.Call, name: str) -> object:
    return next((ast.literal_eval(word.value) for word in node.keywords if word.arg == name), None)


def faults(name: str, text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        content, where = called(node), f"{name}, line {getattr(node, 'lineno', 0)}"
        if content in EXECUTES and not (content == "importlib.import_module" and name in IMPORTS_BY_NAME):
            yield f"{where}: {content}"
        if content.rpartition(".")[2] in UNPACKS and content not in NO_ARCHIVES:
            yield f"{where}: {content} writes where an archive says"
        if content == "torch.load" and given(node, "weights_only") is not True:
            yield f"{where}: torch.load without weights_only=True"
        if content in ("np.load", "numpy.load") and given(node, "allow_pickle") is not False:
            yield f"{where}: np.load without allow_pickle=False"
        if content.startswith("subprocess.") and given(node, "shell"):
            yield f"{where}: a shell"
        if isinstance(node, ast.ImportFrom) and node.module in ("xml.etree.ElementTree", "xml.etree"):
            # the element tree without its parser: expat is set up by hand, with handlers that refuse entities
            if {alias.name for alias in node.names} - {"Element", "TreeBuilder"}:
                yield f"{where}: a parser of XML that takes entities"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if any(module.startswith(("xml.etree", "xml.dom", "xml.sax", "lxml")) for module in modules):
                yield f"{where}: a parser of XML that takes entities"


def test_no_source_calls_what_executes_what_it_reads():
    texts = list(sources())
    assert len(texts) > 200
    assert not [fault for name, text in texts for fault in faults(name, text)]


@pytest.mark.parametrize(
    "text",
    [
        "pickle.loads(data)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "yaml.load(text)",
        "eval(text)",
        "joblib.load(path)",
        "subprocess.run(command, shell=True)",
        "archive.extractall(folder)",
        "from xml.etree.ElementTree import parse",
        "import xml.dom.minidom",
    ],
)
def test_what_would_be_found(text):
    assert list(faults("a.py", text))


class Payload:
    """Makes the file ``mark`` when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """What a payload would make; it must not be there afterwards."""
    place = tmp_path / "executed"
    yield place
    assert not place.exists()


def pickles(mark: Path) -> dict[str, bytes]:
    """A payload as a bare pickle, as torch wrote files of old and writes them now, and as numpy does."""
    old, new, array, arrays = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"weight": Payload(mark)}, old, _use_new_zipfile_serialization=False)
    torch.save({"format": 1, "weight": Payload(mark)}, new)
    np.save(array, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    np.savez(arrays, weight=np.array([Payload(mark)], dtype=object), **{"cache-key": np.array("c" * 64)})
    buffers = {"old": old, "new": new, "array": array, "arrays": arrays}
    return {"pickle": pickle.dumps(Payload(mark))} | {name: buffer.getvalue() for name, buffer in buffers.items()}


KINDS = ("pickle", "old", "new", "array", "arrays")


def test_the_payloads_would_work(tmp_path):
    for i, kind in enumerate(KINDS):
        place = tmp_path / str(i)
        data = io.BytesIO(pickles(place)[kind])
        if kind == "pickle":
            pickle.load(data)
        elif kind in ("old", "new"):
            torch.load(data, weights_only=False)
        else:
            loaded = np.load(data, allow_pickle=True)
            _ = loaded["weight"] if kind == "arrays" else loaded
        assert place.exists()


def load_model(data: bytes, folder: Path):
    (folder / WEIGHTS).write_bytes(data)
    description = json.loads((models.SHIPPED / models.names()[0] / MODEL).read_text())
    description["sha256"] = hashlib.sha256(data).hexdigest()  # the weights are the described ones
    (folder / MODEL).write_text(json.dumps(description))
    with pytest.raises(SoftmaskError, match=r"weights\.safetensors: no safetensors file.*get the model again"):
        models.load(folder)


def load_run(data: bytes, folder: Path):
    (folder / store.WEIGHTS).write_bytes(data)
    record = store.Record.read(ROOT / "tests" / "record.json")
    with pytest.raises(SoftmaskError, match=r"weights\.safetensors: is damaged"):
        store.Run(record.spec, record, folder).network()


def load_vgg(data: bytes, folder: Path):
    for ending in (".pth", ".safetensors"):
        path = folder / f"vgg{ending}"
        path.write_bytes(data)
        with pytest.raises(SoftmaskError, match=rf"vgg\{ending}: "):
            perceptual._read(path, {"0.weight": torch.ones(1)})


def load_checkpoint(data: bytes, folder: Path):
    path = folder / "checkpoint.pt"
    path.write_bytes(data)
    assert checkpoints.load(path, {}).epochs == 0
    assert path.with_suffix(".damaged").exists()


def load_cache(data: bytes, folder: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTMASK_CACHE", str(folder / "cache"))
        cached_arrays("name", "c" * 64, lambda: {"a": np.ones(2)})
        (path,) = cache_root().iterdir()
        path.write_bytes(data)
        assert cached_arrays("name", "c" * 64, lambda: {"a": np.zeros(2)})["a"].tolist() == [0, 0]


@pytest.mark.parametrize("load", [load_model, load_run, load_vgg, load_checkpoint, load_cache])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_in_place_of_arrays_is_not_executed(load, kind, mark, tmp_path):
    load(pickles(mark)[kind], tmp_path)


def test_an_archive_that_leads_out_of_its_folder_writes_nothing(tmp_path):
    from softmask.data.image_files import FileStore

    path = tmp_path / "in" / "slices.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../../escaped.png", b"x")
        archive.writestr("/escaped.png", b"x")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16  # a symbolic link
        archive.writestr(link, "/etc/passwd")
    files = FileStore(path)
    assert files.read("link.png") == b"/etc/passwd"  # the text, not where it leads
    assert [files.read(name) for name in files.names if "escaped" in name] == [b"x", b"x"]
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["in", "slices.zip"]
