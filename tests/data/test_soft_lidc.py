"""Soft-LIDC as its reader sees it: parts by patient, checksums, every kind of damage."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmask.apply.soft_lidc import export
from softmask.data.soft_lidc import NAME, SoftLidc, split_of
from softmask.data.splits import PAPER_SIZES, split_rows
from softmask.errors import DataError, MissingData


@pytest.fixture
def folder(dataset_of, discs, tmp_path) -> Path:
    samples = [replace(discs(i, radius=6 + i % 4), patient=f"p{i // 2}") for i in range(16)]
    dataset = dataset_of([replace(sample, source="real", alpha=None) for sample in samples])
    dataset.source, dataset.path = "real", tmp_path / "LIDC-IDRI-slices.zip"
    dataset.index["merged"] = False
    export(dataset, tmp_path / NAME, 1)
    return tmp_path / NAME


def sign(folder: Path, name: str) -> None:
    """List the file's checksum as it is now."""
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    digests = {file: digest for digest, file in lines} | {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
    }
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {file}\n" for file, digest in digests.items()))


def test_a_patient_has_one_part_whoever_the_others_are():
    shares = Counter(split_of(f"LIDC-IDRI-{number:04}") for number in range(1, 1011))
    assert {part: round(count / 1010, 1) for part, count in shares.items()} == {
        "train": 0.7,
        "validation": 0.1,
        "test": 0.2,
    }
    # a published folder must not change its parts
    assert [split_of(f"LIDC-IDRI-{number:04}") for number in (78, 132, 314)] == ["train", "train", "test"]


def test_the_parts_are_those_of_the_table_and_the_largest_slices_come_first(folder):
    dataset = SoftLidc(folder)
    parts = split_rows(NAME, dataset)
    assert list(parts) == list(PAPER_SIZES[NAME])
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(16))
    for part, rows in parts.items():
        assert set(dataset.index.split.iloc[rows]) == {part}
        patients = dataset.index.patient.iloc[rows].tolist()
        assert len(set(patients[: len(patients) // 2])) == len(patients) // 2, "each nodule's largest slice first"
        for patient in set(patients):
            areas = dataset.index.area.iloc[rows][dataset.index.patient.iloc[rows] == patient].tolist()
            assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("file", ["image/p1_n0_s2.png", "reader-3/p1_n0_s2.png", "soft-readers/p1_n0_s2.png"])
def test_a_changed_or_missing_file_is_refused_by_its_name(folder, file):
    dataset = SoftLidc(folder)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / file)
    with pytest.raises(DataError, match=f"{file}: is not the file that SHA256SUMS lists"):
        dataset[2]
    assert dataset[3].patient == "p1"
    (folder / file).unlink()
    with pytest.raises(DataError, match=f"{file}: there is no such file; get the folder again"):
        dataset[2]


@pytest.mark.parametrize("image", [np.zeros((64, 64), np.uint16), np.zeros((64, 60), np.uint8)])
def test_an_image_of_another_depth_or_size_is_refused_even_with_its_checksum(folder, image):
    Image.fromarray(image).save(folder / "reader-1/p1_n0_s2.png")
    sign(folder, "reader-1/p1_n0_s2.png")
    with pytest.raises(DataError, match=r"reader-1/p1_n0_s2\.png: .* is not what slices\.csv says"):
        SoftLidc(folder)[2]


def test_the_fingerprint_is_that_of_all_content(folder):
    before = SoftLidc(folder).fingerprint
    assert SoftLidc(folder).fingerprint == before
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(folder / "soft-readers/p1_n0_s2.png")
    sign(folder, "soft-readers/p1_n0_s2.png")
    assert SoftLidc(folder).fingerprint != before


@pytest.mark.parametrize("text", ["", "name,patient\na,b\n", '"', "\0"])
def test_another_table_is_refused(folder, text):
    (folder / "slices.csv").write_text(text)
    with pytest.raises(DataError, match=r"slices\.csv: is not the file that SHA256SUMS lists"):
        SoftLidc(folder)
    sign(folder, "slices.csv")
    with pytest.raises(DataError, match=r"slices\.csv: (is no table|does not fit)"):
        SoftLidc(folder)


def test_a_folder_without_checksums_or_no_folder_is_refused(folder, tmp_path):
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(DataError, match="SHA256SUMS: there is no such file; get the folder again, or export it again"):
        SoftLidc(folder)
    with pytest.raises(MissingData):
        SoftLidc(tmp_path / "none")
