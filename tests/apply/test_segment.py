"""``softmask segment``: what it writes, and what it says of files that cannot be done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmask import cli
from softmask.apply.models import load
from softmask.apply.outputs import OUTLINE, overlay

GREY = np.random.default_rng(5).integers(0, 256, (40, 24), np.uint8)


@pytest.fixture
def segment(shipped):
    return lambda *arguments: cli.main(["segment", *map(str, arguments), "--model", str(shipped)])


@pytest.fixture
def image(tmp_path) -> Path:
    return png(tmp_path / "in" / "a.png")


def png(path: Path, array: np.ndarray = GREY) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_three_files_beside_the_image(segment, image, shipped, capsys):
    assert segment(image) == 0
    assert names(image.parent) == ["a-mask.png", "a-overlay.png", "a-soft.png", "a.png"]
    found = load(shipped).segment(GREY.astype(np.float32) / 255)
    soft, mask, shown = (np.array(Image.open(image.parent / f"a-{kind}.png")) for kind in ("soft", "mask", "overlay"))
    assert soft.dtype == np.uint16
    np.testing.assert_allclose(soft / 65535, found.alpha, atol=1e-5)
    np.testing.assert_array_equal(mask, found.mask * 255)
    assert shown.shape == (13 * 40, 13 * 24, 3)
    said = capsys.readouterr()
    assert f"{image}: {found.mask.sum()} of 960 pixels are lesion" in said.out
    assert said.err == ""


def test_out_and_threshold(segment, image, tmp_path):
    assert segment(image, "--out", tmp_path / "new" / "out", "--threshold", "1") == 0
    assert names(image.parent) == ["a.png"]
    assert names(tmp_path / "new" / "out") == ["a-mask.png", "a-overlay.png", "a-soft.png"]
    assert not np.array(Image.open(tmp_path / "new" / "out" / "a-mask.png")).any()


def test_the_others_are_done_and_every_failure_is_a_line(segment, image, tmp_path, capsys):
    bad = [tmp_path / "none.png", png(tmp_path / "colour.png", np.zeros((32, 32, 3), np.uint8))]
    bad += [png(tmp_path / "small.png", np.zeros((32, 9), np.uint8)), tmp_path / "text.txt", tmp_path / "empty"]
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    assert segment(*bad, image) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("softmask: ")]
    assert len(lines) == len(bad)
    for path in bad:
        assert sum(str(path) in line for line in lines) == 1
    assert (image.parent / "a-mask.png").exists()


def test_a_full_disk_is_told_with_the_image(segment, image, capsys, monkeypatch):
    monkeypatch.setattr("softmask.apply.segment.write_atomic", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    assert segment(image) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"softmask: {image}: {image.parent} cannot be written to (full); choose another folder")
    assert said.count("\n") == 1


def test_memory_that_is_short_is_told(segment, image, capsys, monkeypatch):
    monkeypatch.setattr(
        "softmask.apply.models.predict", lambda *_: (_ for _ in ()).throw(RuntimeError("can't allocate memory"))
    )
    assert segment(image) == 1
    assert "memory may be short (can't allocate memory); crop the image" in capsys.readouterr().err


def test_images_that_would_write_the_same_file_are_refused_before_anything_is_written(segment, image, tmp_path, capsys):
    other = png(tmp_path / "other" / "a.png")
    assert segment(image, other, "--out", tmp_path / "out") == 2
    assert f"{image} and {other} would both write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert segment(image, other) == 0


def test_what_is_to_be_segmented_is_not_overwritten(segment, image, capsys):
    soft = png(image.parent / "a-soft.png")
    before = soft.read_bytes()
    assert segment(image, soft) == 2
    assert "which is to be read" in capsys.readouterr().err
    assert soft.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "2"], "a threshold lies above 0"),
        (["--window", "400", "-1000"], "a window goes from a lower"),
        (["--out", "{image}"], "is a file; name a folder"),
    ],
)
def test_wrong_options_exit_2(segment, image, capsys, arguments, message):
    assert segment(image, *(argument.format(image=image) for argument in arguments)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_an_unknown_model_exits_2_and_lists_those_there_are(image, capsys, shipped, monkeypatch):
    monkeypatch.setattr("softmask.apply.models.SHIPPED", shipped.parent)
    assert cli.main(["segment", str(image), "--model", "gone"]) == 2
    assert capsys.readouterr().err.startswith("softmask: unknown model 'gone'; choose one of tiny")


def test_an_interrupt_exits_130(segment, image, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("softmask.apply.segment.write_atomic", interrupted)
    assert segment(image) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_outline_is_the_edge_of_the_mask_and_leaves_its_inside(shipped):
    mask = np.zeros((600, 400), bool)
    mask[100:110, 200:220] = True
    picture = overlay(np.full(mask.shape, 0.5), mask)
    marked = (picture == OUTLINE).all(axis=-1)
    assert picture.shape == (600, 400, 3)
    assert marked.sum() == 2 * 20 + 2 * 8
    assert not marked[101:109, 201:219].any()
    assert (picture[~marked] == 128).all()


def test_the_outline_has_a_colour_of_the_figures():
    from softmask.report.figures import COLORS

    assert "#{:02X}{:02X}{:02X}".format(*OUTLINE) == COLORS[0]
