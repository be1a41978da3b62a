"""The exported data set: what is in the folder, as others and as we read it; kills, refusals, the same bytes twice."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from PIL import Image

from softmask import cli, label
from softmask.apply import soft_lidc
from softmask.apply.soft_lidc import export
from softmask.config import Config
from softmask.data import open_dataset, real_paths, status
from softmask.data.sample import Problem
from softmask.data.soft_lidc import COLUMNS, FOLDERS, NAME, PRIORS
from softmask.errors import ConfigError, DataError
from softmask.experiments.rows import source_of

HOME = Path("/home/of/mine")
TWO = np.array([False, True, False, True])


@pytest.fixture(scope="module")
def lidc(dataset_of, discs):
    """``lidc()``: slices of the patients p0 to p7, the third with two readers; ``lidc("embedded")``: simulated."""

    def make(source: str = "real", **changes):
        samples = [discs(i, radius=6 + i) for i in range(8)]
        samples[2] = discs(2, readers=samples[2].readers & TWO[:, None, None], present=TWO)
        if source == "real":
            samples = [replace(sample, source="real", alpha=None) for sample in samples]
        dataset = dataset_of([changes.get(f"p{i}", sample) for i, sample in enumerate(samples)])
        dataset.source, dataset.fingerprint, dataset.path = source, source, HOME / "LIDC-IDRI-slices.zip"
        dataset.index["merged"] = [False] * 7 + [True]
        return dataset

    return make


@pytest.fixture(scope="module")
def folder(lidc, tmp_path_factory):
    """A finished export of real slices, not to be written to."""
    folder = tmp_path_factory.mktemp("data") / NAME
    assert export(lidc(), folder, 1) == f"{folder}: 8 slices of 8 patients; 0 soft masks are missing (left-out.csv)"
    return folder


def config(folder: Path, data: str) -> Config:
    return Config.from_parameters("smoke", data, data_root=folder.parent)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sixteen(alpha: np.ndarray) -> np.ndarray:
    return np.rint(alpha.astype(float) * 65535)


def test_what_is_read_back_is_what_was_exported(folder, lidc):
    read = open_dataset(NAME, config(folder, "real"))
    assert (read.source, len(read), read.left_out, read.problems) == ("real", 8, [], [])
    for i, sample in enumerate(lidc()):
        back = read[i]
        stored = replace(sample, image=np.rint(255 * sample.image).astype(np.float32) / np.float32(255))
        assert (back.patient, back.nodule, back.slice, back.spacing) == (f"p{i}", "n0", f"s{i}", (0.7, 0.7))
        for name in ("image", "readers", "present"):
            np.testing.assert_array_equal(getattr(back, name), getattr(stored, name))
        np.testing.assert_array_equal(back.recist, label.recist.axes_from_mask(sample.masks[0]))
        assert (back.alpha, set(back.soft)) == (None, set(label.STRATEGIES))
        for strategy, alpha in back.soft.items():
            np.testing.assert_array_equal(sixteen(alpha), sixteen(label.label_sample(stored, strategy).alpha))


def test_the_folder_is_plain_files_with_a_row_for_each_slice(folder, lidc):
    assert set(PRIORS) == set(label.STRATEGIES)
    table = pd.read_csv(folder / "slices.csv")
    assert list(table) == [name for name in COLUMNS if name != "area_true"]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(set(FOLDERS) - {"soft-true"})
    for kind in set(FOLDERS) - {"soft-true"}:
        assert sorted(path.stem for path in (folder / kind).iterdir()) == sorted(table.name)
        for path in (folder / kind).iterdir():
            with Image.open(path) as image:
                assert image.mode == ("I;16" if kind.startswith("soft-") else "L")
    for row, sample in zip(table.itertuples(), lidc(), strict=True):
        masks = sample.masks
        pairs = [(a & b).sum() * 2 / (a.sum() + b.sum()) for i, a in enumerate(masks) for b in masks[:i]]
        assert row.dice_readers == pytest.approx(np.mean(pairs), abs=1e-4)
        assert row.n_readers == len(masks)
        assert [row.reader_1, row.reader_2, row.reader_3, row.reader_4] == sample.present.tolist()
        consensus = np.asarray(Image.open(folder / "consensus" / f"{row.name}.png"))
        np.testing.assert_array_equal(consensus == 255, 2 * masks.sum(axis=0) >= len(masks))
        assert (consensus == 255).sum() == row.area_consensus
        trimap = np.asarray(Image.open(folder / "trimap-readers" / f"{row.name}.png"))
        np.testing.assert_array_equal(trimap == 255, masks.all(axis=0))
        np.testing.assert_array_equal(trimap == 0, ~masks.any(axis=0))
    assert table.merged.tolist() == [0] * 7 + [1]
    assert dict(table.groupby("split").size()) == {"test": 3, "train": 4, "validation": 1}


def test_the_ten_lines_of_the_datasheet_read_it_without_this_package(folder):
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 10
    code += "    print(row.name, image.shape, alpha.max(), len(masks), 'softmask' in __import__('sys').modules)\n"
    ran = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    said = [line.split() for line in ran.stdout.splitlines()]
    assert [line[0] for line in said] == ["p1_n0_s1", "p2_n0_s2", "p3_n0_s3", "p5_n0_s5"]
    assert [line[1:] for line in said] == [["(64,", "64)", "1.0", n, "False"] for n in ("4", "2", "4", "4")]


def test_checksums_licence_and_nothing_of_this_machine(folder):
    files = contents(folder)
    listed = dict(line.split("  ")[::-1] for line in files.pop("SHA256SUMS").decode().splitlines())
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    texts = "".join(files[name].decode() for name in files if not name.endswith(".png"))
    assert "creativecommons.org/licenses/by/3.0" in files["LICENSE.md"].decode()
    assert "10.7937/K9/TCIA.2015.LO9QL9SX" in files["LICENSE.md"].decode()
    assert str(HOME) not in texts
    assert str(folder.parent) not in texts


def test_the_croissant_description_fits_the_folder(folder):
    """What the validator of mlcroissant checks, and that the parts exist."""
    about = json.loads((folder / "croissant.json").read_text())
    assert about["@type"] == "sc:Dataset"
    assert about["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert {"name", "description", "license", "citeAs", "version", "url"} <= set(about)
    known = {*about["@context"], *(key for key in about["@context"].values() if isinstance(key, str))}
    schema_org = {"name", "description", "license", "identifier", "version", "url", "isBasedOn", "creator", "keywords"}
    schema_org |= {"distribution", "contentUrl", "encodingFormat", "sha256"}
    ids, wanted, keys = set(), set(), set()

    def walk(node) -> None:
        for each in node if isinstance(node, list) else []:
            walk(each)
        if isinstance(node, dict):
            keys.update(key for key in node if not key.startswith("@"))
            (ids if "@type" in node else wanted).update([node["@id"]] if "@id" in node else [])
            for name, each in node.items():
                if name != "@context":
                    walk(each)

    walk(about)
    assert wanted <= ids, "a reference to what is not there"
    assert keys <= known | schema_org
    for part in about["distribution"]:
        if part["@type"] == "cr:FileObject":
            assert hashlib.sha256((folder / part["contentUrl"]).read_bytes()).hexdigest() == part["sha256"]
        else:
            assert part["@type"] == "cr:FileSet"
            assert len(list(folder.glob(part["includes"]))) == 8
    (slices,) = (each for each in about["recordSet"] if each["@id"] == "slices")
    columns = [field["source"]["extract"]["column"] for field in slices["field"]]
    assert columns == list(pd.read_csv(folder / "slices.csv"))
    regex = about["recordSet"][1]["field"][0]["source"]["transform"]["regex"]
    assert re.match(regex, "p1_n0_z-3.50.png")[1] == "p1_n0_z-3.50"


def test_simulated_slices_come_with_the_true_alpha_and_are_never_taken_for_real_ones(lidc, tmp_path):
    folder = tmp_path / NAME
    export(lidc("embedded"), folder, 1)
    for data in ("auto", "embedded"):
        read = open_dataset(NAME, config(folder, data))
        assert (read.source, read.words) == ("embedded", "simulated")
        assert source_of(NAME, config(folder, data)) == "embedded"
        assert status(NAME, config(folder, data), read=True).images == 8
    for i, sample in enumerate(lidc("embedded")):
        np.testing.assert_array_equal(sixteen(read[i].alpha), sixteen(sample.alpha))
    assert read.index.area_true.iloc[0] == pytest.approx(lidc("embedded")[0].alpha.sum(), abs=0.01)
    assert "simulated" in (folder / "README.md").read_text()
    with pytest.raises(ConfigError, match=r"real images are asked for, and .* holds simulated ones"):
        open_dataset(NAME, config(folder, "real"))
    assert NAME not in real_paths(tmp_path)
    (folder / "soft-true").rename(tmp_path / "gone")
    with pytest.raises(DataError, match=r"slices\.csv: does not fit what lies beside it"):
        open_dataset(NAME, config(folder, "auto"))


def test_real_slices_are_not_taken_for_simulated_ones(folder):
    assert source_of(NAME, config(folder, "auto")) == "real"
    assert real_paths(folder.parent) == {NAME: folder}
    with pytest.raises(ConfigError, match="holds real images; ask for --data real"):
        open_dataset(NAME, config(folder, "embedded"))


def test_a_killed_export_leaves_nothing_that_looks_finished_and_goes_on(folder, lidc, tmp_path, monkeypatch):
    out, staging, written = tmp_path / NAME, tmp_path / f".{NAME}.exporting", []
    write = soft_lidc.write_slice

    def killed(staging, sample):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(sample.patient)
        return write(staging, sample)

    monkeypatch.setattr(soft_lidc, "write_slice", killed)
    with pytest.raises(KeyboardInterrupt):
        export(lidc(), out, 1)
    assert [path.name for path in tmp_path.iterdir()] == [staging.name]
    assert not (staging / "tree" / "slices.csv").exists()

    # what the kill cut off: an image, and a record
    (staging / "tree/soft-mask/p1_n0_s1.png").write_bytes(b"half")
    (staging / "records/p3_n0_s3.json").write_text('{"row": {')
    written.clear()
    monkeypatch.setattr(soft_lidc, "write_slice", lambda *args: written.append(args[1].patient) or write(*args))
    export(lidc(), out, 1)
    assert written == ["p1", "p3", "p5", "p6", "p7"]
    assert contents(out) == contents(folder), "the same bytes as in one go"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_was_begun_with_other_data_is_not_gone_on_with(lidc, folder, tmp_path):
    old = tmp_path / f".{NAME}.exporting/tree/soft-true"
    old.mkdir(parents=True)
    (old / "p1_n0_s1.png").touch()
    (old.parent.parent / "key").write_text("other")
    export(lidc(), tmp_path / NAME, 1)
    assert contents(tmp_path / NAME) == contents(folder)


def test_a_finished_export_is_left_alone_and_another_one_refused(folder, lidc):
    before = contents(folder)
    assert export(lidc(), folder, 1) == f"{folder}: this export is there already, finished; nothing done"
    with pytest.raises(ConfigError, match="holds an export of other data, or by another version"):
        export(lidc("embedded"), folder, 1)
    assert contents(folder) == before


def test_a_folder_that_holds_something_else_is_refused_by_its_name(lidc, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"holds thesis\.tex; nothing was written"):
        export(lidc(), tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    export(lidc(), tmp_path / "empty", 1)
    assert (tmp_path / "empty/slices.csv").is_file()


def test_too_little_space_is_said_before_and_when_it_ends(lidc, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500_000))
        with pytest.raises(DataError, match=r"8 slices need 1 MB and 0 MB are free; make room"):
            export(lidc(), tmp_path / NAME, 1)
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=650_000))
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(soft_lidc, "write_slice", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(DataError, match=r"soft-lidc: cannot be written \(No space left on device\).* goes on"):
            export(lidc(), tmp_path / NAME, 1)
    assert not (tmp_path / NAME).exists()


def test_two_exports_to_one_folder_are_refused(lidc, tmp_path):
    (tmp_path / f".{NAME}.exporting").mkdir()
    with (
        FileLock(tmp_path / f".{NAME}.exporting/lock"),
        pytest.raises(DataError, match="another export to it is running"),
    ):
        export(lidc(), tmp_path / NAME, 1)


def test_a_soft_mask_that_cannot_be_made_is_named_and_the_others_are_there(lidc, strips, tmp_path):
    first = strips(1, [4], [3, 4, 5], [], [])  # of one pixel no RECIST axis has a length
    first = replace(first, source="real", image=np.random.default_rng(0).uniform(size=(8, 8)).astype(np.float32))
    apart = replace(strips(3, [0], [2], [4], []), source="real", image=first.image)  # nothing that two of three marked
    dataset = lidc(p1=first, p3=apart)
    said = export(dataset, tmp_path / NAME, 1)
    assert said.endswith("8 slices of 8 patients; 3 soft masks are missing (left-out.csv)")
    gaps = pd.read_csv(tmp_path / NAME / "left-out.csv")
    assert gaps["where"].tolist() == ["p1_n0_s1: soft-recist", "p3_n0_s3: soft-mask", "p3_n0_s3: soft-recist"]
    assert "both RECIST axes have zero length" in gaps.why[0]
    read = open_dataset(NAME, config(tmp_path / NAME, "real"))
    assert [sorted(read[i].soft) for i in (0, 1, 3)] == [
        ["mask", "readers", "recist"],
        ["mask", "readers"],
        ["readers"],
    ]
    assert np.isnan(read.index.area_recist[1])
    assert dataset.problems == []


def test_the_command_lists_what_is_left_out_and_exits_1(lidc, tmp_path, monkeypatch, capsys):
    dataset = lidc(p6=DataError(f"{HOME}/LIDC-IDRI-slices.zip:p6.png: truncated"))
    dataset.left_out.append(Problem("lidc/p9/n0", "published wrong"))
    monkeypatch.setattr(soft_lidc, "open_dataset", lambda name, config: dataset)
    command = ["data", "export", NAME, "--jobs", "1", "--out"]
    assert cli.main([*command, str(tmp_path / "new" / NAME)]) == 1
    said = capsys.readouterr().out
    assert "7 slices of 7 patients" in said
    assert "left out: lidc/p6/n0/s6:" in said
    left_out = pd.read_csv(tmp_path / "new" / NAME / "left-out.csv")
    assert left_out.to_numpy().tolist() == [
        ["lidc/p9/n0", "published wrong"],
        ["lidc/p6/n0/s6", "LIDC-IDRI-slices.zip:p6.png: truncated"],
    ]
    monkeypatch.setattr(soft_lidc, "open_dataset", lambda name, config: lidc())
    assert cli.main([*command, str(tmp_path / "whole")]) == 0
    assert cli.main([*command[:3], "--jobs", "0", "--out", str(tmp_path / "none")]) == 2
    assert "--jobs must be at least 1" in capsys.readouterr().err


def test_missing_real_data_says_how_to_get_it(tmp_path, capsys):
    command = ["data", "export", NAME, "--data-root", str(tmp_path), "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    assert "run `softmask data fetch lidc`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
