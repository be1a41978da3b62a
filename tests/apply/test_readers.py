"""Readers of a volume: who drew nothing in a slice saw no lesion there; readers of two lesions are doubted."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def readers(made, tmp_path):
    """``readers(slices, ...)`` writes a mask for each, the disc in those of its slices alone."""

    def write(*slices):
        masks = []
        for number, kept in enumerate(slices):
            mask = made.volume_mask()
            mask[[z for z in range(5) if z not in kept]] = False
            masks.append(made.write_volume(tmp_path / f"reader-{number}.nii.gz", mask))
        return masks

    return write


def test_a_slice_that_one_of_three_readers_drew_has_no_lesion(label, ct, made, readers, tmp_path):
    assert label(ct, "--readers", *readers([1, 2, 3], [1, 2], [2]), "--format", "nifti") == 0
    alpha, row = made.voxels(tmp_path / "out" / "case-1-soft.nii.gz"), made.read_manifest(tmp_path / "out")["case-1"]
    centre = np.array([alpha[z][made.centres[z]] for z in (1, 2, 3)])
    np.testing.assert_array_equal(centre, [1, 1, 0])  # marked by two, by three, by one of them
    assert not alpha[3].any()
    assert row["slices"] == "1 2 3"
    assert row["message"] == "doubtful: no pixel of slices 3 was marked by half of the readers: no lesion is there"


def test_two_readers_who_share_no_pixel_are_named(label, ct, made, readers, tmp_path):
    masks = readers([1, 2], [1, 2, 3])
    other = made.write_volume(tmp_path / "other.nii.gz", np.roll(made.volume_mask(), 20, axis=2))
    assert label(ct, "--readers", *masks, other, "--format", "nifti") == 0
    message = made.read_manifest(tmp_path / "out")["case-1"]["message"]
    assert message.count("share no pixel") == 2
    for mask in masks:
        assert f"{mask} and {other} share no pixel" in message


def test_an_empty_mask_is_no_reader(label, ct, made, readers, tmp_path, capsys):
    empty = made.write_volume(tmp_path / "empty.nii.gz", made.volume_mask() & False)
    assert label(ct, "--readers", *readers([1, 2]), empty, "--format", "nifti") == 1
    assert f"{empty}: every voxel has label 0" in capsys.readouterr().err


def test_of_an_empty_mask_there_is_no_report_and_no_outline(label, ct, made, readers, tmp_path):
    assert label(ct, "--readers", *readers([1], [2], [3]), "--format", "seg", "report", "rtstruct") == 0
    row = made.read_manifest(tmp_path / "out")["case-1"]
    assert row["formats"] == "seg"
    for format in ("report", "rtstruct"):
        assert f"doubtful: {ct}: the mask is empty, so there is no DICOM {format} of it" in row["message"]
    assert "header" not in row["message"]


def test_a_reader_who_is_given_twice_is_doubted(label, ct, made, readers, tmp_path):
    first, second, third = readers([1, 2], [1, 2], [2, 3])
    assert label(ct, "--readers", first, second, third, "--format", "nifti") == 0
    message = made.read_manifest(tmp_path / "out")["case-1"]["message"]
    assert message.count("counts as two readers") == 1
    assert f"{first} and {second} are one mask" in message
