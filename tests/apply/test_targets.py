"""What results may replace: those of softmask, of the same image without a word, of another with one; no other file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from softmask import cli
from softmask.apply import KINDS
from softmask.apply.outputs import is_ours
from softmask.files import sole_writer

FORMATS = ("--format", *KINDS)


def test_every_result_says_who_wrote_it(label, ct, made, tmp_path):
    assert label(ct, "--recist", *made.ends(made.centres[2]), "--slice", 2, *FORMATS) == 0
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "manifest.csv"]
    assert len(files) == sum(map(len, KINDS.values()))
    assert all(map(is_ours, files))
    assert not is_ours(next(ct.iterdir()))
    for kind in ("dcm", "nii.gz", "png", "nrrd"):
        (tmp_path / f"none.{kind}").write_bytes(b"nothing")
        assert not is_ours(tmp_path / f"none.{kind}")


@pytest.mark.parametrize("format", KINDS)
def test_a_file_that_softmask_did_not_write_is_never_overwritten(label, ct, made, tmp_path, capsys, format):
    folder = tmp_path / "out" / "case-1" if format == "png" else tmp_path / "out"
    theirs = folder / (f"002-{KINDS[format][1]}" if format == "png" else f"case-1-{KINDS[format][-1]}")
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"the user's own")
    mark = ("--recist", *made.ends(made.centres[2]), "--slice", 2, "--format", format)
    assert label(ct, *mark) == 1
    assert f"{theirs}: would be overwritten, and softmask did not write it; move it away" in capsys.readouterr().err
    assert theirs.read_bytes() == b"the user's own"
    assert {path for path in (tmp_path / "out").rglob("*") if path.is_file()} == {theirs, tmp_path / "out/manifest.csv"}
    assert label(ct, *mark, "--name", "another") == 0
    theirs.unlink()
    assert label(ct, *mark) == 0
    (tmp_path / "out" / "manifest.csv").unlink()  # as after a kill
    assert label(ct, *mark) == 0


def test_a_file_beside_older_results_is_not_removed(label, ct, made, tmp_path):
    mark = ("--recist", *made.ends(made.centres[2]), "--slice", 2)
    assert label(ct, *mark, "--format", "png") == 0
    theirs = tmp_path / "out" / "case-1-mask.nii.gz"
    theirs.write_bytes(b"the user's own")
    assert label(ct, *mark, "--format", "png", "--epsilon", "1e-6") == 0
    assert theirs.read_bytes() == b"the user's own"


def test_segment_beside_the_image(shipped, made, tmp_path, capsys):
    image = made.save(tmp_path / "a.png", made.grey(size=(70, 80)))
    command = ["segment", str(image), "--model", "lesion"]
    assert cli.main(command) == 0
    assert cli.main(command) == 0  # its own results
    mask = made.save(tmp_path / "a-mask.png", made.grey())
    content = mask.read_bytes()
    for options in ([], ["--at", "19", "23"]):
        assert cli.main([*command, *options]) == 1
        assert f"{mask}: would be overwritten" in capsys.readouterr().err
    assert mask.read_bytes() == content


def test_lungs(ct, tmp_path, capsys):
    command = ["lungs", str(ct), "--model", "morph", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    assert cli.main(command) == 0
    theirs = tmp_path / "case-1-overlay.png"
    theirs.write_bytes(b"the user's own")
    assert cli.main(command) == 1
    assert f"{theirs}: would be overwritten" in capsys.readouterr().err
    assert theirs.read_bytes() == b"the user's own"


def test_a_result_of_another_series_or_slice_is_replaced_with_a_remark(label, series, made, tmp_path, capsys):
    """Marks of the same numbers, on images of the same name."""
    mark = ("--recist", *made.ends((19, 23)), "--format", "png")
    scans = [series(tmp_path / patient / "ct", made.hu()) for patient in "ab"]

    def said(*arguments) -> bool:
        assert label(*arguments) == 0
        return "replaces the ct made from" in capsys.readouterr().err

    assert not said(scans[0], *mark, "--slice", 2)
    assert not said(scans[0], *mark, "--slice", 2)
    assert not said(scans[0], *mark, "--slice", 2, "--epsilon", "1e-6")
    assert said(scans[1], *mark, "--slice", 2)
    assert said(scans[1], *mark, "--slice", 3)
    message = made.read_manifest(tmp_path / "out")["ct"]["message"]
    assert f"on {scans[1]}, slices 2; to keep both, give one another name (--name)" in message
    assert said(scans[1], "--recist", *made.ends((19, 23), radius=5), "--format", "png", "--slice", 3)
    assert said(scans[1], *mark, "--slice", 3)
    message = made.read_manifest(tmp_path / "out")["ct"]["message"]
    assert "made from 14 23 24 23 19 18 19 28 rc px; to keep both, give one another name" in message
    shutil.rmtree(scans[1])
    series(scans[1], made.hu() + np.int16(1))  # the same series, exported again
    assert not said(scans[1], *mark, "--slice", 3)


def test_what_was_edited_or_is_not_asked_for_again_is_named_when_it_goes(label, ct, made, tmp_path, capsys):
    mask, out = made.write_volume(tmp_path / "mask.nrrd", made.volume_mask()), tmp_path / "out"
    arguments = (ct, "--mask", mask, "--name", "one", "--format")
    assert label(*arguments, "nifti") == 0
    assert "removed" not in capsys.readouterr().err
    soft = out / "one-soft.nii.gz"
    whole = soft.read_bytes()
    for other in (whole + b"edited", whole[:100]):
        soft.write_bytes(other)
        assert label(*arguments, "nifti") == 0
        assert "files of one were changed since, or are missing; made again" in capsys.readouterr().err
        assert soft.read_bytes() == whole
    assert label(*arguments, "nrrd") == 0
    assert "removed one-mask.nii.gz, one-soft.nii.gz of the result before" in capsys.readouterr().err


def test_a_second_call_into_one_folder_at_once_is_refused(label, ct, made, tmp_path, capsys):
    mask = made.write_volume(tmp_path / "mask.nrrd", made.volume_mask())
    with sole_writer(tmp_path / "out"):
        assert label(ct, "--mask", mask, "--name", "one", "--format", "nifti") == 2
    assert "out: another softmask is writing into it; wait until it has ended" in capsys.readouterr().err
    for name in ("one", "other"):
        assert label(ct, "--mask", mask, "--name", name, "--format", "nifti") == 0
    assert {*made.read_manifest(tmp_path / "out")} == {"one", "other"}
