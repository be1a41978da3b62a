"""The bench in a browser: its script gives what the package gives, and its nodules are those of the embedded data."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from softmask.config import ROOT
from softmask.label import closed_form_alpha, recist, trimap
from softmask.workbook import bench_page

TEXT = (ROOT / bench_page.PAGE).read_text(encoding="utf-8")
SOLVER = re.search(r'<script id="solver">(.*?)</script>', TEXT, flags=re.DOTALL)[1]
NODULES = json.loads(re.search(r'id="nodules">(.*?)</script>', TEXT, flags=re.DOTALL)[1])
RUN = """
const results = JSON.parse(require("fs").readFileSync(0, "utf8")).map(({ width, height, ends, radius, ...one }) => {
  try {
    const made = ends ? markTrimap(ends, width, height, radius ?? undefined).trimap : one.trimap;
    if (!one.image) return Array.from(made);
    return [false, true].map(byRows =>
      Array.from(solved(numbered(made, width, height, one.window, byRows), one.image, made, one.epsilon)));
  } catch (error) { return error.message; }
});
console.log(JSON.stringify(results));
"""
STEPS = """
// Time is virtual here, and would run out while a picture is decoded on another thread of a busy machine
const wait = setInterval(() => { for (let i = 0; i < 3e6; i++) window.waited = Math.sqrt(i); }, 10);
(async () => {
  const seen = { alphas: [], rows: [] };
  for (const { name } of nodules) {
    showNodule(name);
    update();
    seen.alphas.push(Array.from(now.alpha));
    seen.rows.push(Array.from($("numbers").rows, row => Array.from(row.cells, cell => cell.textContent)));
  }
  await open(new File(["words"], "notes.png"));
  seen.text = $("said").textContent;
  const canvas = Object.assign(document.createElement("canvas"), { width: 400, height: 300 });
  canvas.getContext("2d").fillRect(9, 9, 9, 9);
  await open(new File([await new Promise(resolve => canvas.toBlob(resolve))], "large.png"));
  seen.large = $("said").textContent;
  document.body.append(Object.assign(document.createElement("pre"), { id: "seen", textContent: JSON.stringify(seen) }));
  clearInterval(wait);
})();
"""


def in_node(cases: list[dict]) -> list:
    """Return what the page's script makes of each case, in one run of node: its trimap, or alpha in both numberings."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node, which runs the page's script here, is not installed")
    lines = json.dumps([{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in case.items()} for case in cases])
    done = subprocess.run([node, "-e", SOLVER + RUN], input=lines, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def image_of(nodule: dict, name: str = "image") -> np.ndarray:
    pixels = np.frombuffer(base64.b64decode(nodule[name]), np.uint8)
    return pixels.reshape(nodule["height"], nodule["width"])


def mark_trimap(ends: np.ndarray, shape: tuple[int, int], radius: float | None = None) -> np.ndarray:
    """The rule of the page, by the package."""
    axes = np.asarray(ends, float).reshape(2, 2, 2)
    return trimap.from_mask_and_axes(recist.ellipse_mask(axes, shape), axes, radius)


def matting_case(image: np.ndarray, known: np.ndarray, epsilon: float = 1e-7, window: int = 1) -> dict:
    height, width = image.shape
    case = {"image": image.ravel(), "trimap": known.ravel(), "width": width, "height": height}
    return case | {"epsilon": epsilon, "window": window}


def scenes():
    """Images in noise: a ring of unknown pixels, one that the border cuts, and scribbles with all else unknown."""
    rng = np.random.default_rng(0)
    for i, shape in enumerate([(32, 40), (41, 30), (24, 24), (25, 27), (7, 9)]):
        row, column = np.indices(shape)
        distance = np.hypot(row - shape[0] * (0.5 if i % 2 else 0.1), column - shape[1] / 2) - 0.28 * min(shape)
        image = np.clip(0.3 + 0.4 / (1 + np.exp(distance)) + rng.normal(0, 0.05, shape), 0, 1)
        band = np.where(distance < -2, 1.0, np.where(distance > 2 + i, 0.0, 0.5))
        scribbles = np.full(shape, 0.5)
        for known in (band, scribbles):
            known[np.unravel_index(distance.argmin(), shape)], known[-1, -2:] = 1, 0
            yield matting_case(image, known, epsilon=(1e-7, 1e-3)[i % 2], window=1 + i % 3)


def test_alpha_is_that_of_the_package():
    names, cases = [], []
    for nodule in NODULES:
        image = image_of(nodule) / 255
        for radius, epsilon, window in ((None, 1e-7, 1), (None, 1e-2, 2), (6, 1e-5, 1)):
            known = mark_trimap(nodule["ends"], image.shape, radius)
            cases.append(matting_case(image, known, epsilon, window))
            names.append(f"{nodule['name']}, radius {radius}")
    for case in scenes():
        cases.append(case)
        names.append(f"scene of {case['height']} x {case['width']}")
    for name, case, alphas in zip(names, cases, in_node(cases), strict=True):
        shape = case["height"], case["width"]
        image, known = case["image"].reshape(shape), case["trimap"].reshape(shape)
        assert (known == 0.5).any(), name
        expected = closed_form_alpha(image, known, epsilon=case["epsilon"], radius=case["window"])
        for alpha in alphas:
            difference = np.abs(np.reshape(alpha, shape) - expected).max()
            print(f"{name}: {difference:.1e}")
            assert difference < 1e-4, name


def test_trimaps_are_those_of_the_package():
    rng = np.random.default_rng(0)
    cases = [{**nodule, "image": None, "radius": None} for nodule in NODULES]
    for i in range(60):  # ends at half pixels as on the page, some marks cut by the border, some short ones
        shape = height, width = int(rng.integers(16, 60)), int(rng.integers(16, 60))
        reach = rng.choice([1, 0.5, 0.12])
        ends = np.clip(shape * (0.5 + reach * rng.uniform(-0.5, 0.5, (4, 2))), 0, np.subtract(shape, 1))
        ends = np.round(2 * ends) / 2
        cases.append({"width": width, "height": height, "ends": ends, "radius": [None, 1, 2.5, 6][i % 4]})
    cut = 0
    for case, values in zip(cases, in_node(cases), strict=True):
        shape = case["height"], case["width"]
        expected = mark_trimap(case["ends"], shape, case["radius"])
        cut += (expected[[0, -1]] == 1).any() or (expected[:, [0, -1]] == 1).any()
        assert np.array_equal(np.reshape(values, shape), expected), case
    assert cut > 5


def test_what_cannot_be_solved_is_said():
    image, known = np.tile(np.arange(9) / 8, (9, 1)), np.full((9, 9), 0.5)
    known[:2, 0] = 0, 1  # alpha is known in one column alone: its slope is free
    point, large = [[3, 3]] * 4, [[0, 0], [15, 15], [0, 15], [15, 0]]
    marks = [{"width": 16, "height": 16, "ends": ends} for ends in (point, large)]
    messages = in_node([*marks, matting_case(image, known, epsilon=1e-30)])
    for message, words in zip(messages, ("zero length", "covers the whole image", "raise epsilon"), strict=True):
        assert words in message


def test_in_a_browser(tmp_path: Path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium, in which the page is opened here, is installed")
    page = tmp_path / "page.html"
    page.write_text(TEXT.replace("</body>", f"<script>{STEPS}</script></body>"), encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}")
    command = [browser, *options, "--virtual-time-budget=60000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    dumped = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert dumped, f"status {done.returncode}: {done.stderr[-2000:]}{done.stdout[-2000:]}"
    seen = json.loads(dumped[1])
    for nodule, alpha in zip(NODULES, seen["alphas"], strict=True):
        image = image_of(nodule) / 255
        expected = closed_form_alpha(image, mark_trimap(nodule["ends"], image.shape))
        assert np.abs(np.reshape(alpha, image.shape) - expected).max() < 1e-4, nodule["name"]
        mask = expected >= 0.5
        reader = image_of(nodule, "readers") % 2 == 1
        dice = 2 * (mask & reader).sum() / (mask.sum() + reader.sum())
        row = next(row for row in seen["rows"][NODULES.index(nodule)] if row[0] == "reader 1")
        assert row[1:] == [f"{reader.sum()}", f"{reader.sum() * nodule['spacing'] ** 2:.1f}", f"{dice:.3f}"]
    assert "notes.png is not an image" in seen["text"]
    assert "large.png, 256 x 192 pixels, scaled down from 400 x 300" in seen["large"]


def test_the_nodules_are_those_of_the_embedded_data():
    """``python -m softmask.workbook.bench_page`` would write the same, up to rounding of the simulated grey levels."""
    expected = [bench_page.entry(name, sample) for name, sample in bench_page.nodules().items()]
    assert len(expected) == 6
    grey = ("image", "alpha")
    for ours, theirs in zip(NODULES, expected, strict=True):
        assert {k: v for k, v in ours.items() if k not in grey} == {k: v for k, v in theirs.items() if k not in grey}
        for name in grey:
            assert np.abs(image_of(ours, name).astype(int) - image_of(theirs, name)).max() <= 1
    assert bench_page.written(NODULES) == {bench_page.PAGE: TEXT}


def test_canvases_and_columns_have_names():
    canvases = re.findall(r"<canvas[^>]*>", TEXT)
    assert len(canvases) == 6
    assert all("aria-label" in canvas for canvas in canvases)
    assert not re.search(r"<th[^>]*></th>", TEXT)


def test_the_page_is_small_and_needs_nothing_else():
    assert len(TEXT.encode()) < 1e6
    assert not re.search(r"(src|href)\s*=|url\(|@import|fetch\(|https?:", TEXT)
