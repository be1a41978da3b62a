"""``softmask segment``: what it writes, and the errors of unusable files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from softmask import cli
from softmask.apply.models import load
from softmask.apply.outputs import OUTLINE, overlay

GREY = np.random.default_rng(5).integers(0, 256, (40, 24), np.uint8)


@pytest.fixture
def segment(shipped):
    return lambda *arguments: cli.main(["segment", *map(str, arguments), "--model", str(shipped)])


@pytest.fixture
def image(tmp_path, made):
    return made.save(tmp_path / "in" / "a.png", GREY)


def names(folder: Path):
    return sorted(path.name for path in folder.iterdir())


def test_three_files_beside_the_image(segment, image, shipped, capsys):
    assert segment(image) == 0
    assert names(image.parent) == ["a-mask.png", "a-overlay.png", "a-soft.png", "a.png"]
    expected = load(shipped).segment(GREY.astype(np.float32) / 255)
    soft, mask, shown = (np.array(Image.open(image.parent / f"a-{kind}.png")) for kind in ("soft", "mask", "overlay"))
    assert soft.dtype == np.uint16
    np.testing.assert_allclose(soft / 65535, expected.alpha, atol=1e-5)
    np.testing.assert_array_equal(mask, expected.mask * 255)
    assert shown.shape == (13 * 40, 13 * 24, 3)
    captured = capsys.readouterr()
    assert f"{image}: {expected.mask.sum()} of 960 pixels are lesion" in captured.out
    assert captured.err == ""


def test_out_and_threshold(segment, image, tmp_path):
    out = tmp_path / "new" / "out"
    assert segment(image, "--out", out, "--threshold", "1") == 0
    assert names(image.parent) == ["a.png"]
    assert names(out) == ["a-mask.png", "a-overlay.png", "a-soft.png", "manifest.csv"]
    assert not np.array(Image.open(out / "a-mask.png")).any()


def test_the_others_are_done_and_every_failure_is_a_line(segment, image, made, tmp_path, capsys):
    bad = [tmp_path / "none.png", made.save(tmp_path / "colour.png", np.zeros((32, 32, 3), np.uint8))]
    bad += [made.save(tmp_path / "small.png", np.zeros((32, 9), np.uint8)), tmp_path / "text.txt", tmp_path / "empty"]
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    assert segment(*bad, image) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("softmask: ")]
    assert len(lines) == len(bad)
    for path in bad:
        assert sum(str(path) in line for line in lines) == 1
    assert (image.parent / "a-mask.png").exists()


@pytest.mark.parametrize(
    ("function", "error", "status", "message"),
    [
        ("batch.write_atomic", OSError(28, "full"), 2, "the results: cannot be written to (full); check its rights"),
        (
            "batch.write_atomic",
            OSError(13, "not yours"),
            1,
            "written (not yours); give it another --name or --out",
        ),
        ("models.predict", RuntimeError("can't allocate"), 1, "can't allocate); memory may be short: crop it"),
        ("batch.write_atomic", KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_full_disk_short_memory_and_interrupts(segment, image, capsys, monkeypatch, function, error, status, message):
    monkeypatch.setattr(f"softmask.apply.{function}", lambda *_: (_ for _ in ()).throw(error))
    assert segment(image) == status
    stderr = capsys.readouterr().err
    assert message in stderr
    assert status != 1 or stderr.startswith(f"softmask: {image}: ")
    assert stderr.count("\n") == 1


def test_nothing_is_overwritten(segment, image, made, tmp_path, capsys):
    other = made.save(tmp_path / "other" / "a.png", GREY)
    assert segment(image, other, "--out", tmp_path / "out") == 2
    assert f"{image} and {other} would both write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert segment(image, other) == 0
    soft = image.parent / "a-soft.png"
    before = soft.read_bytes()
    assert segment(image, soft) == 2
    assert "which is to be read" in capsys.readouterr().err
    assert soft.read_bytes() == before


@pytest.mark.parametrize("formats", [("png",), ("png", "nifti", "seg", "report")])
def test_whole_slices_of_a_series_in_any_format(segment, shipped, ct, made, tmp_path, formats, capsys):
    out = tmp_path / "out"
    arguments = [ct, "--slice", 1, 3, "--out", out, "--format", *formats]
    assert segment(*arguments) == 0
    row = made.read_manifest(out)["case-1" if len(formats) > 1 else "0004"]
    assert row["label"] == "whole"
    if len(formats) > 1:
        assert row["slices"] == "1 3"
        alpha = made.voxels(out / "case-1-soft.nii.gz")
        for z, name in ((1, "0004"), (3, "0002")):
            np.testing.assert_allclose(made.soft(out / f"{name}-soft.png"), alpha[z], atol=1e-5)
        assert pydicom.dcmread(out / "case-1-soft.dcm").SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
        assert float(row["soft_volume_mm3"]) == pytest.approx(alpha.sum() * np.prod(made.spacing), rel=1e-4)
    assert float(row["long_mm"]) > 0
    capsys.readouterr()
    assert segment(*arguments) == 0
    assert "0 segmented, " in capsys.readouterr().out


def test_slices_of_an_oblique_volume_are_taken_only_if_stretched(segment, tmp_path, made, capsys):
    volume = SimpleITK.GetImageFromArray(np.random.default_rng(0).integers(0, 900, (3, 40, 32)).astype(np.int16))
    volume.SetDirection((0.98, -0.199, 0, 0.199, 0.98, 0, 0, 0, 1))
    SimpleITK.WriteImage(volume, str(tmp_path / "mr.nii.gz"))
    assert segment(tmp_path / "mr.nii.gz", "--stretch", "--slice", 1, "--out", tmp_path / "out") == 0
    row = made.read_manifest(tmp_path / "out")["mr-1"]
    assert (row["rows"], row["columns"], row["row_mm"]) == ("40", "32", "")
    capsys.readouterr()
    assert segment(tmp_path / "mr.nii.gz", "--slice", 1, "--out", tmp_path / "ct") == 1
    assert "mr.nii.gz: the image axes are not aligned with the patient axes" in capsys.readouterr().err


def test_the_models_are_listed(capsys, shipped, monkeypatch, tmp_path):
    monkeypatch.setattr("softmask.apply.models.SHIPPED", shipped.parent)
    for command in (["segment", "--model"], ["segment", "a.png", "--model", "list"], ["lungs", "--model"]):
        assert cli.main(command) == 0
        assert capsys.readouterr().out.startswith("tiny       lesions  mean Dice 0.")


def test_a_result_beside_the_image_is_replaced_with_a_remark(segment, image, capsys):
    assert segment(image, "--at", 10, 10) == 0
    assert "replaces" not in capsys.readouterr().err
    assert segment(image, "--at", 30, 12) == 0
    assert "replaces an earlier or interrupted result named a; --out leads to another folder" in capsys.readouterr().err


def test_without_a_name_the_model_is_lesion(image, capsys, shipped, monkeypatch, tmp_path):
    monkeypatch.setattr("softmask.apply.models.SHIPPED", tmp_path)
    shutil.copytree(shipped, tmp_path / "lesion")
    assert cli.main(["segment", str(image), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.startswith("by the model lesion; softmask segment --model lists the others")
    assert "model lesion" in (tmp_path / "out" / "manifest.csv").read_text()


def test_a_lesion_lies_in_one_image(image, capsys, shipped):
    assert cli.main(["segment", str(image), "b.png", "--model", str(shipped), "--at", "1", "2"]) == 2
    assert "a lesion lies in one image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "2"], "a threshold lies above 0"),
        (["--name", "b"], "--name goes with a lesion"),
        (["--slice", "1", "2", "--at", "1", "2"], "a lesion lies in one image, and in one slice"),
        (["--list", "l.csv"], "--list needs --out"),
        (["--list", "l.csv", "--out", "o"], "name one image, or many"),
        (["--window", "400", "-1000"], "a window goes from a lower"),
        (["--out", "{image}"], "is a file; name a folder"),
        (["--model", "gone"], "unknown model 'gone'; choose one of tiny"),
    ],
)
def test_wrong_options_exit_2(image, capsys, shipped, monkeypatch, arguments, message):
    monkeypatch.setattr("softmask.apply.models.SHIPPED", shipped.parent)
    options = [argument.format(image=image) for argument in arguments]
    assert cli.main(["segment", str(image), "--model", "tiny", *options]) == 2
    stderr = capsys.readouterr().err
    assert message in stderr
    assert stderr.count("\n") == 1


def test_the_outline_is_the_edge_of_the_mask():
    from softmask.report.figures import COLORS

    mask = np.zeros((600, 400), bool)
    mask[100:110, 200:220] = True
    picture = overlay(np.full(mask.shape, 0.5), mask)
    marked = (picture == OUTLINE).all(axis=-1)
    assert picture.shape == (600, 400, 3)
    assert marked.sum() == 2 * 20 + 2 * 8
    assert not marked[101:109, 201:219].any()
    assert (picture[~marked] == 128).all()
    assert "#{:02X}{:02X}{:02X}".format(*OUTLINE) == COLORS[0]


@pytest.mark.parametrize("kind", ["damaged", "missing"])
def test_a_number_of_a_slice_needs_a_whole_series(segment, series, made, tmp_path, capsys, kind):
    folder = series(tmp_path / "ct", made.hu())
    path = sorted(folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:300]) if kind == "damaged" else path.unlink()
    assert segment(folder, "--slice", 3, "--out", tmp_path / "out") != 0
    assert not list((tmp_path / "out").rglob("*.png"))
    assert str(folder) in capsys.readouterr().err


@pytest.mark.parametrize(("formats", "status"), [((), 0), (("nifti",), 1)])
def test_a_missing_slice_is_told_once(segment, series, made, tmp_path, capsys, formats, status):
    folder = series(tmp_path / "ct", made.hu())
    sorted(folder.iterdir())[1].unlink()
    assert segment(folder, "--out", tmp_path / "out", *(["--format", *formats] if formats else [])) == status
    stderr = capsys.readouterr().err
    assert stderr.count("slices are missing in between") == 1
    assert ("doubtful: " in stderr) == (status == 0)
