"""docs/extending.md, followed to the letter on a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmask.config import ROOT, Config
from softmask.experiments.rows import spec
from softmask.report import tables

GUIDE = ROOT / "docs/extending.md"
SECTIONS = ("A network", "A data set", "A table", "A loss", "A soft label", "A claim")
MOST = 30

FENCED = re.compile(r"(?:^`(?P<file>[\w./-]+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

FOLLOW = """
import json, shlex, sys
import pytest, softmask
from softmask import cli
from softmask.config import Config
from softmask.report import contents
from softmask.experiments.rows import spec

print(softmask.__file__)
commands, cells = json.loads(sys.argv[1])
for command in commands:
    program, *arguments = shlex.split(command)
    print("$", command, flush=True)
    if program == "softmask":
        status = cli.main(arguments)
    else:
        assert program == "./run_tests.sh"
        status = pytest.main(["-p", "no:cacheprovider", *arguments])
    assert status == 0, (command, status)
for cell in cells:
    exec(cell)
config = Config.from_parameters()
print("on the page:", [(one.name, one.status) for one in contents.read(config.run).tables if one.paper == "workbook"])
print("key of the U-Net:", spec("unet", "lnsm", config).key("data"))
"""
"""One process for all commands, as importing torch takes seconds; ``softmask`` and ``run_tests.sh`` are what they call.
Commands come as the first argument, and cells, as JSON."""


def blocks(section: str) -> list[re.Match]:
    """The fenced blocks of a section of the guide."""
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## )", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return list(FENCED.finditer(body))


def typed(block: re.Match):
    """The lines that a reader types of a block of code; none of a block of commands."""
    lines = block["text"].splitlines()
    if block["kind"] == "diff":
        return [line[1:] for line in lines if line.startswith("+")]
    return lines if block["kind"] == "python" else []


def apply(block: re.Match, checkout: Path):
    """Write the file that a block shows, or insert its lines below the one that it shows."""
    path = checkout / block["file"]
    if block["kind"] == "python":
        assert not path.exists(), path
        path.write_text(block["text"])
        return
    (below,) = [line[1:] for line in block["text"].splitlines() if line.startswith(" ")]
    lines = path.read_text().splitlines()
    assert lines.count(below) == 1, f"{block['file']}: {below}"
    place = lines.index(below) + 1
    path.write_text("\n".join([*lines[:place], *typed(block), *lines[place:], ""]))


def write_pairs(folder: Path, patients: int = 12):
    """Two noisy discs of every patient, 80 x 72 pixels, and their masks. How many images that makes."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((80, 72))
    for half in ("images", "masks"):
        (folder / half).mkdir(parents=True)
    for number in range(2 * patients):
        disc = np.hypot(rows - 40, columns - 36 - random.uniform(-5, 5)) <= random.uniform(6, 14)
        image = np.clip(60 + 110 * disc + random.normal(0, 10, disc.shape), 0, 255).astype(np.uint8)
        name = f"p{number // 2}_{number % 2}.png"
        Image.fromarray(image).save(folder / "images" / name)
        Image.fromarray(255 * disc.astype(np.uint8)).save(folder / "masks" / name)
    return 2 * patients


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_takes_at_most_30_lines(section):
    lines = [line for block in blocks(section) for line in typed(block)]
    assert 0 < len(lines) <= MOST
    assert max(map(len, lines)) <= 120


def test_the_guide_gives_what_it_promises(tmp_path):
    result = [block for section in SECTIONS for block in blocks(section)]
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    changed = [block for block in result if block["file"]]
    for block in changed:
        apply(block, tmp_path)
    files = [tmp_path / block["file"] for block in changed if block["file"].endswith(".py")]
    for action in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *action, "--no-cache", "--config", ROOT / "pyproject.toml", *files]
        told = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout
    n = write_pairs(tmp_path / "data/own-png")
    records = "results/night-real/records"
    shutil.copytree(ROOT / records, tmp_path / records, ignore=shutil.ignore_patterns("lnsm-*"))

    commands = [line for block in result if block["kind"] == "sh" for line in block["text"].splitlines()]
    cells = [block["text"] for block in result if block["kind"] == "python" and not block["file"]]
    told = follow(commands, cells, tmp_path)

    assert told.startswith(str(tmp_path / "lib/softmask"))
    assert re.search(rf"^own-png +real +{n} +- +PNG images of my own$", told, re.MULTILINE)
    assert f"own-png: {n} images are usable, 0 left out;" in told
    for dataset in ("lnsm", "own-png"):
        assert re.search(rf"^{dataset}-residual_unet-binary-1dice-\S+  Dice 0\.\d+ over \d+ test", told, re.MULTILINE)
    assert re.search(r"^lnsm-unet-binary-1dice\+0.1boundary-\S+  Dice [01]\.\d+ over", told, re.MULTILINE)
    assert re.search(r"^lidc-improved_backbone-blurred-\S+  Dice [01]\.\d+ over", told, re.MULTILINE)
    assert re.search(r"^blurred +0\.\d+ +0\.\d+ +0\.\d+ +(0\.\d+|1\.0+)$", told, re.MULTILINE)
    assert re.search(r"^unet_boundary \{.*'loss_boundary': \(-?\d", told, re.MULTILINE)
    claim = "the improved backbone has a smaller Hausdorff distance than the U-Net, on lidc (table-3): "
    assert re.search(re.escape(claim) + "(holds|fails|inconclusive|not judged)", told)
    assert "on the page: [('residual-unet', 'filled')]" in told
    path = Path(re.search(r"^\S+/tables/workbook/residual-unet\.csv$", told, re.MULTILINE)[0])
    frame = tables.read(path)
    assert set(frame["row"]) == {"unet", "residual_unet"}
    assert frame["ours_mean"][frame["metric"] != "ppv"].between(0, 100).all()  # PPV of nothing found is undefined
    assert "The residual U-Net beside the U-Net" in path.with_suffix(".md").read_text()
    # nothing that is finished is trained again for what was added
    before = spec("unet", "lnsm", Config.from_parameters("smoke", "embedded")).key("data")
    assert f"key of the U-Net: {before}" in told


def follow(commands: list[str], cells: list[str], checkout: Path):
    """What the commands and cells print, on the copy in ``checkout``."""
    environment = os.environ | {
        "PYTHONPATH": str(checkout / "lib"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOFTMASK_PROFILE": "smoke",
        "SOFTMASK_SOURCE": "auto",
        "SOFTMASK_DATA": str(checkout / "data"),
        "SOFTMASK_OUTPUT": str(checkout),
        "SOFTMASK_RUNS": str(checkout / "runs"),
        "SOFTMASK_JOBS": "1",
    }
    call = [sys.executable, "-c", FOLLOW, json.dumps([commands, cells])]
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
