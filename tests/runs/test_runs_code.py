"""The code digest on a small package of its own, and on the real one."""

from pathlib import Path

import pytest

from softmask.nets.registry import NETWORKS
from softmask.runs.code import ROOTS, closure, code_digest, of_no_account

SOURCES = {
    "nets/softgan.py": "from softmask.nets.blocks import A\n",
    "nets/blocks.py": '"""Blocks."""\nA = 1\n',
    "nets/other.py": "B = 1\n",
    "nets/registry.py": "C = 1\n",
    "train/engine.py": (
        '"""The loop."""\nfrom softmask.nets import registry\nfrom softmask.train import losses\n\n\n'
        'def train():\n    """Words."""\n    from softmask.train.late import x  # a comment\n    return x\n'
    ),
    "train/losses.py": "D = 1\n",
    "train/late.py": "x = 1\n",
    "measure/images.py": "import numpy\nE = 1\n",
    "measure/calibration.py": "",
    "runs/single.py": "",
    "runs/segment.py": "from softmask.measure import images\nfrom softmask.train import engine\n",
    "runs/upscale.py": "F = 1\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"),
    [
        ("nets/softgan.py", "import A", "import A as B", True),
        ("nets/blocks.py", "A = 1", "A = 2", True),
        ("train/losses.py", "D = 1", "D = 2", True),
        ("train/late.py", "x = 1", "x = 2", True),  # imported inside a function
        ("measure/images.py", "E = 1", "E = 2", True),
        ("nets/other.py", "B = 1", "B = 22", False),
        ("runs/upscale.py", "F = 1", "F = 2", False),  # another kind of run
        ("nets/registry.py", "C = 1", "C = 22", False),
        ("nets/blocks.py", "Blocks.", "Other blocks.", False),
        ("train/engine.py", '"""Words."""', '"""More words, and more."""', False),
        ("train/engine.py", "  # a comment", "", False),
        ("train/engine.py", "return x", "return (\n        x\n    )", False),
    ],
)
def test_digest_changes_with_what_the_run_passes_through_and_not_with_words(tiny, package, name, old, new, changes):
    before = code_digest(tiny(), package)
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert (code_digest(tiny(), package) != before) == changes


def test_another_class_of_the_same_file_is_another_network(tiny, package, monkeypatch):
    before = code_digest(tiny(), package)
    entry = NETWORKS["improved_backbone"]
    monkeypatch.setattr("softmask.runs.code.entry", lambda name: type(entry)("softgan:Another", 1, 1))
    assert code_digest(tiny(), package) != before


def test_of_the_real_package_it_takes_the_loop_and_the_measures_but_no_other_network(tiny):
    found = closure((*ROOTS, tiny().kind), skip=of_no_account(tiny()))
    assert {"softmask.train.engine", "softmask.train.losses", "softmask.measure.segmentation"} <= set(found)
    nets = [name for name in found if name.startswith("softmask.nets")]
    assert nets == ["softmask.nets.base"]
    assert not [name for name in found if name.startswith(("softmask.data", "softmask.label", "softmask.report"))]


def test_what_a_run_does_not_use_is_of_no_account(tiny):
    sr = tiny(network="srgan", label="high_resolution", losses=(("content", 1.0),))
    cascade = tiny(channels=("super_resolved", "bilinear"), scale=2, sr=sr)
    gan = tiny(losses=(("dice", 1.0), ("gan", 1.0)))
    for module, users in {
        "softmask.train.adversarial": [gan],
        "softmask.train.super_resolution": [sr, cascade],
        "softmask.nets.classical": [tiny(network="graph_cut", losses=())],
    }.items():
        assert [spec for spec in (tiny(), gan, sr, cascade) if module not in of_no_account(spec)] == [
            spec for spec in users if spec.learns
        ]
        assert all(module not in of_no_account(spec) for spec in users)
        assert all(module in closure((*ROOTS, spec.kind)) for spec in users)
