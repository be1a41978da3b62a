"""The bench's widgets, moved from Python; the script of the picture, in node."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import cv2
import numpy as np
import pytest

from softmask.analysis import explore
from softmask.label import soft_mask
from softmask.workbook.bench import Bench, Picture, is_interactive


@pytest.fixture(scope="module")
def nodules(discs):
    return {"isolated": discs(0), "tiny": discs(1, radius=5)}


@pytest.fixture
def bench(nodules) -> Bench:
    return Bench(nodules)


def said(bench: Bench):
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", bench.measured.value)).split())


def line(bench: Bench):
    return html.unescape(re.sub("<[^>]*>", "", bench.line.value))


def test_it_begins_with_the_nodules_own_mark(bench, nodules):
    first = explore.start(nodules["isolated"])
    assert np.array_equal(bench.setting.recist, first.recist)
    assert (bench.setting.radius, bench.setting.epsilon, bench.setting.threshold) == (None, 1e-7, 0.5)
    assert bytes(bench.picture.png).startswith(b"\x89PNG")
    for reader in range(1, 5):
        assert f"reader {reader}" in said(bench)


@pytest.mark.parametrize(
    "move",
    [
        lambda bench: setattr(bench.ends[0], "value", 28.0),
        lambda bench: setattr(bench.ends[7], "value", 37.5),
        lambda bench: setattr(bench.radius, "value", 4.0),
        lambda bench: setattr(bench.epsilon, "value", 1.0),
        lambda bench: setattr(bench.threshold, "value", 0.05),
        lambda bench: setattr(bench.nodule, "value", "tiny"),
    ],
)
def test_each_control_moves_picture_measures_and_code_and_reset_goes_back(bench, move):
    def shown():
        return bytes(bench.picture.png), bench.measured.value, bench.line.value

    before = shown()
    move(bench)
    after = shown()
    assert after[0] != before[0]
    assert after[2] != before[2]
    bench.nodule.value = "isolated"
    bench.again.click()
    assert shown() == before


def test_the_line_can_be_run(bench, nodules):
    bench.ends[0].value = 26.999999999999996  # as a page's slider answers
    bench.radius.value, bench.epsilon.value, bench.threshold.value = 2.5, 10**-4.5, 0.15000000000000002
    assert "[[[27.0, " in line(bench)
    assert line(bench).endswith("radius=2.5, epsilon=3.16e-05).alpha >= 0.15")
    first, call = line(bench).splitlines()
    names = {"nodules": nodules, "soft_mask": soft_mask}
    exec(first, names)
    assert np.array_equal(eval(call, names), explore.step(nodules["isolated"], bench.setting).binary)


def test_sliders_and_picture_are_seen_at_once(bench):
    """JupyterLab leaves about 1,100 x 680 pixels of a screen of 1,280 x 800; a control with its margin has 32."""
    controls, picture = bench.children[1].children
    height, width, _ = cv2.imdecode(np.frombuffer(picture.png, np.uint8), cv2.IMREAD_COLOR).shape
    rows = sum(len(group.children) for group in controls.children)
    sliders = [child for group in controls.children for child in group.children[1:]]
    assert {slider.layout.width for slider in sliders} == {"23em"}  # an em has 13 pixels
    assert width + 23 * 13 + 30 <= 1100
    assert max(height, 32 * rows) + 3 * 32 + 60 <= 680  # with nodules, measures, and the line of code


def test_choosing_a_nodule_draws_once(bench, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        explore, "step", lambda sample, setting, step=explore.step: drawn.append(1) or step(sample, setting)
    )
    bench.nodule.value = "tiny"
    assert len(drawn) == 1


def test_a_mark_that_gives_nothing_is_explained(bench):
    for slider in bench.ends:
        slider.value = 30.0
    assert "No soft mask: both RECIST axes have zero length" in said(bench)
    bench.again.click()
    assert "No soft mask" not in said(bench)


def test_a_name_is_no_markup(discs):
    bench = Bench({"<b>'mine'": discs()})
    assert "<b>'" not in bench.line.value
    assert line(bench).splitlines()[0] == "image = nodules[\"<b>'mine'\"].image"


def test_sliders_end_where_the_image_does(discs):
    sample = discs()
    small = replace(sample, image=sample.image[:50], readers=sample.readers[:, :50], alpha=None)
    bench = Bench({"wide": sample, "small": small})
    bench.nodule.value = "small"
    assert {row.max for row in bench.ends[::2]} == {49}
    bench.nodule.value = "wide"
    assert {row.max for row in bench.ends[::2]} == {63}


def test_sliders_are_for_kernels_that_a_server_started(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not is_interactive()
    assert is_interactive(True)
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/notebooks/explore.ipynb")
    assert is_interactive()
    assert not is_interactive(False)


def test_an_end_is_dragged_on_the_picture_and_beside_every_end_nothing_moves(bench):
    end = bench.setting.recist[1, 0]
    moved, window = end + np.array([3.2, -2]), explore.view_of(bench.sample)

    def share(place):
        """Where a pixel is on the picture, from two other places of it."""
        corner, far = bench._strip.at(0, 0), bench._strip.at(1, 1)
        return ((place - [w.start for w in window] - corner) / (far - corner))[::-1].tolist()

    bench.picture.drag = [1.0, *share(end)]
    bench.picture.drag = [0.0, *share(moved)]
    np.testing.assert_allclose(bench.setting.recist[1, 0], np.round(2 * moved) / 2)
    before = bench.setting.recist
    bench.picture.drag = [1.0, 0.9, 0.9]
    bench.picture.drag = [0.0, *share(end)]
    np.testing.assert_array_equal(bench.setting.recist, before)
    assert bench.picture.answers == 4


DRAGS = """
const on = {}, image = { style: {}, addEventListener: (name, heard) => { on[name] = heard; }, setPointerCapture() {},
  getBoundingClientRect: () => ({ left: 10, top: 20, width: 100, height: 50 }) };
globalThis.document = { createElement: () => image };
const state = { png: new Uint8Array(1), drag: [0, 0, 0] }, told = [], heard = {};
const model = { get: name => state[name], set: (name, value) => { state[name] = value; },
  save_changes: () => { told.push(state.drag); heard["change:answers"](); },
  on: (name, of) => { heard[name] = of; }, off: name => { delete heard[name]; } };
const address = "data:text/javascript;base64," + Buffer.from(require("fs").readFileSync(0)).toString("base64");
import(address).then(({ default: widget }) => {
  const end = widget.render({ model, el: { appendChild() {} } });
  const send = (name, x, y, button = 0) => on[name]({ clientX: x, clientY: y, button, pointerId: 1 });
  send("pointerdown", 60, 45, 2); // the right button opens a menu
  send("pointerdown", 60, 45);
  send("pointermove", 85, 45);
  send("pointermove", 85, 45); // trembles: nothing new to tell
  send("pointercancel", 85, 45); // a finger that begins to scroll
  send("pointermove", 10, 20);
  end();
  console.log(JSON.stringify([told, Object.keys(heard)]));
});
"""


def test_the_picture_tells_of_drags_and_of_nothing_else():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node, which runs the picture's script here, is not installed")
    script = str(Picture._esm)
    done = subprocess.run([node, "-e", DRAGS], input=script, capture_output=True, text=True, timeout=60, check=True)
    told, heard = json.loads(done.stdout)
    assert told == [[1, 0.5, 0.5], [0, 0.75, 0.5]]
    assert heard == []
