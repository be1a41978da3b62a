import json
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softmask.config import Config
from softmask.errors import ConfigError
from softmask.report import figures

pytestmark = pytest.mark.usefixtures("style")
DRAW = """
import numpy as np, matplotlib
matplotlib.use("agg")
from softmask.config import Config
from softmask.report import figures, panels
figures.style()
mask = np.zeros((8, 8), bool); mask[2:5, 3:6] = True
image = np.arange(64.0).reshape(8, 8)
fig = panels.grid([[panels.Panel(image, [(mask, "red"), (~mask, "blue")], title="α and ±", spacing=1)]])
figures.save(fig, "casgan", "fig-2", Config.from_parameters("cpu", "embedded"), "caption")
"""


def draw():
    fig, ax = plt.subplots()
    ax.imshow(np.eye(5))
    return fig, ax


def test_two_runs_write_the_same_bytes(tmp_path):
    for run in ("one", "two"):
        variables = {"SOFTMASK_OUTPUT": str(tmp_path / run), "PYTHONHASHSEED": str(len(run) + ord(run[0]))}
        subprocess.run([sys.executable, "-c", DRAW], check=True, env={**os.environ, **variables})
    for name in ("fig-2.png", "fig-2.pdf", "fig-2.json"):
        first, second = (tmp_path / run / "figures" / "cpu-embedded" / "casgan" / name for run in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    pdf = first.with_suffix(".pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf  # fonts are embedded, as TrueType


def test_save_writes_three_files_with_the_caption(config, monkeypatch):
    monkeypatch.setenv("SOFTMASK_NOTEBOOK", "01_data")
    path = figures.save(draw()[0], "casgan", "fig-1", config, "Six kinds.", alt="six pictures")
    assert path == config.figures / "casgan" / "fig-1.png"
    assert sorted(p.name for p in path.parent.iterdir()) == ["fig-1.json", "fig-1.pdf", "fig-1.png"]
    content = json.loads(path.with_suffix(".json").read_text())
    assert (content["caption"], content["alt"], content["notebook"]) == ("Six kinds.", "six pictures", "01_data")
    assert content["result"] is True
    assert path.read_bytes().startswith(b"\x89PNG")
    path = figures.save(draw()[0], "casgan", "fig-1-real", config, "Errors.")  # a part of a printed figure
    assert json.loads(path.with_suffix(".json").read_text())["alt"] == "Errors."


def test_a_smoke_figure_says_so_and_is_left_as_it_was(config):
    fig, _ = draw()
    smoke = figures.save(fig, "casgan", "fig-1", Config.from_parameters("smoke", "embedded"), "c")
    assert fig.texts == []
    plain = figures.save(fig, "casgan", "fig-1", config, "c")
    assert smoke.read_bytes() != plain.read_bytes()
    assert json.loads(smoke.with_suffix(".json").read_text())["result"] is False


@pytest.mark.parametrize(
    ("paper", "name", "caption", "message"),
    [
        ("casgan", "fig-9", "c", "no figure 'fig-9'.*fig-1, fig-2"),
        ("casgan", "fig", "c", "no figure"),
        ("nobody", "fig-1", "c", "unknown paper"),
        ("workbook", "../up", "c", "cannot name"),
    ],
)
def test_a_figure_that_does_not_exist_is_refused(config, paper, name, caption, message):
    with pytest.raises(ConfigError, match=message):
        figures.save(draw()[0], paper, name, config, caption)
    assert not config.figures.exists()


def test_outline_of_one_pixel_is_its_four_edges():
    mask = np.zeros((4, 5), bool)
    mask[1, 2] = True
    segments = {tuple(map(tuple, segment)) for segment in figures.edge_segments(mask).tolist()}
    assert segments == {
        ((1.5, 0.5), (2.5, 0.5)), ((1.5, 1.5), (2.5, 1.5)), ((1.5, 0.5), (1.5, 1.5)), ((2.5, 0.5), (2.5, 1.5))
    }  # fmt: skip


@given(hnp.arrays(bool, (5, 6), elements=st.booleans()))
@settings(max_examples=50, deadline=None)
def test_outlines_have_the_length_of_the_perimeter(mask):
    padded = np.pad(mask, 1)
    perimeter = (padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum()
    segments = figures.edge_segments(mask)
    lengths = np.abs(segments[:, 1] - segments[:, 0])
    assert lengths.sum() == perimeter
    assert (lengths.min(axis=1, initial=0) == 0).all() if len(lengths) else True
    inside = segments.reshape(-1, 2)
    assert (inside >= -0.5).all()
    assert (inside <= [5.5, 4.5]).all()


def test_contours_carry_colours_and_do_not_move_the_image():
    _, ax = draw()
    limits = ax.get_xlim(), ax.get_ylim()
    figures.mask_contours(ax, [(np.eye(5, dtype=bool), "red"), (np.zeros((5, 5), bool), "blue")])
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    assert [lines.get_color().round().tolist() for lines in ax.collections] == [[[1, 0, 0, 1]], [[0, 0, 1, 1]]]


def test_a_scale_bar_is_as_long_as_it_says():
    _, ax = draw()
    figures.scalebar(ax, 0.5, 2)
    bar = ax.patches[-1]
    assert bar.get_width() == 4  # pixels
    assert ax.texts[-1].get_text() == "2 mm"
    assert 3 < bar.get_y() < 4.5  # at the lower edge of the image
