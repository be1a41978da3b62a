"""The table of sources: what is found, what is missing and how to get it; simulated sets; the status of each."""

import subprocess
import sys

import pytest
from PIL import Image

from softmask.config import Config
from softmask.data import NAMES, REAL_ONLY, open_dataset, real_paths, sources, status
from softmask.data.isbi2012 import Isbi2012
from softmask.data.sample import Problem
from softmask.data.sources import SOURCES, locate_source, sources_of
from softmask.errors import ConfigError, DataError, MissingData


def config(root, data="real"):
    return Config.from_parameters(profile="smoke", data=data, data_root=root)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_nothing_is_found_in_an_empty_a_missing_and_a_file_root(tmp_path):
    touch(tmp_path / "file")
    for root in (tmp_path, tmp_path / "missing", tmp_path / "file", str(tmp_path)):
        assert real_paths(root) == {}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("LIDC-IDRI-slices.zip", {"lidc": "LIDC-IDRI-slices.zip", "lnsm": "LIDC-IDRI-slices.zip"}),
        ("LIDC-IDRI-slices/x", {"lidc": "LIDC-IDRI-slices", "lnsm": "LIDC-IDRI-slices"}),
        ("LIDC-IDRI/x", {"lidc": "LIDC-IDRI", "lnsm": "LIDC-IDRI"}),
        ("isbi2012/train/image/0.png", {"isbi2012": "isbi2012"}),
        ("isbi2012/train-labels.tif", {"isbi2012": "isbi2012"}),
        ("promise12/Case00.mhd", {"promise12": "promise12"}),
        ("promise12/readme.txt", {}),
        ("deeplesion/DL_info.csv", {}),
        ("deeplesion/Images_png/x", {}),
        ("lidc-lung/scan/x", {"lidc-lung": "lidc-lung"}),
        ("lung-ct/scan/x", {"lung-ct": "lung-ct"}),
        ("lung-ct/x.nrrd", {}),
        ("finding-lungs-in-ct/2d_masks/x", {"lungs-2d": "finding-lungs-in-ct"}),
        ("finding-lungs-in-ct/finding-lungs-in-ct.zip", {"lungs-2d": "finding-lungs-in-ct/finding-lungs-in-ct.zip"}),
        ("promise12/test/Case00.mhd", {"promise12": "promise12"}),
    ],
)
def test_what_is_found_is_told_by_its_layout(tmp_path, file, expected):
    touch(tmp_path / file)
    assert real_paths(tmp_path) == {name: tmp_path / place for name, place in expected.items()}


def test_deeplesion_comes_before_lidc_for_lnsm_only_when_it_is_whole(tmp_path):
    touch(tmp_path / "LIDC-IDRI-slices.zip")
    touch(tmp_path / "deeplesion/DL_info.csv")
    assert locate_source("lnsm", tmp_path)[0].name == "lidc"
    touch(tmp_path / "deeplesion/Images_png/x")
    assert locate_source("lnsm", tmp_path) == (SOURCES["deeplesion"], tmp_path / "deeplesion")
    assert locate_source("lidc", tmp_path)[0].name == "lidc"
    touch(tmp_path / "LIDC-IDRI/x")
    assert real_paths(tmp_path)["lidc"].name == "LIDC-IDRI-slices.zip"
    touch(tmp_path / "LIDC-IDRI-slices/x")
    assert real_paths(tmp_path)["lidc"].name == "LIDC-IDRI-slices"


def test_no_folder_of_a_single_scan_is_passed_over(tmp_path):
    touch(tmp_path / "lidc-idri-0314/x")
    assert real_paths(tmp_path)["lidc"] == tmp_path / "lidc-idri-0314"
    touch(tmp_path / "lidc-idri-0001/x")
    assert real_paths(tmp_path)["lidc"] == tmp_path
    touch(tmp_path / "LIDC-IDRI/x")
    assert real_paths(tmp_path)["lidc"] == tmp_path / "LIDC-IDRI"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lidc", ["softmask data fetch lidc", "LIDC-IDRI-slices", "cancerimagingarchive.net", "LIDC-IDRI"]),
        ("lnsm", ["nihcc.app.box.com/v/DeepLesion", "deeplesion", "softmask data fetch lidc"]),
        ("isbi2012", ["softmask data fetch isbi2012", "train-volume.tif"]),
        ("promise12", ["softmask data fetch promise12", "zenodo.org/records/8026660", "CaseNN_segmentation.mhd"]),
        ("lungs-2d", ["softmask data fetch lungs", "finding-lungs-in-ct.zip"]),
    ],
)
def test_real_data_that_is_not_there_says_where_to_get_it_and_its_folder(tmp_path, name, words):
    with pytest.raises(MissingData) as caught:
        open_dataset(name, config(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    for word in [*words, str(tmp_path / sources_of(name)[0].folder)]:
        assert word in message


def test_half_a_data_set_is_an_error_with_auto_too_never_embedded_data_in_its_place(tmp_path):
    touch(tmp_path / "isbi2012/train/image/0.png")
    with pytest.raises(DataError, match="no section has an image and a label"):
        open_dataset("isbi2012", config(tmp_path, "auto"))


def test_unknown_name_answers_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="lidc, lnsm, isbi2012, promise12, lidc-lung, qin-lung, lung-ct"):
        open_dataset("lung", config(tmp_path))
    with pytest.raises(ConfigError, match="unknown data set"):
        sources_of("lung")


@pytest.mark.parametrize("name", NAMES)
def test_auto_without_real_data_and_embedded_give_embedded_data(tmp_path, name):
    for data in ("auto", "embedded"):
        dataset = open_dataset(name, config(tmp_path, data))
        assert dataset.source == "embedded"
        assert dataset.name == name
        assert len(dataset) > 0


@pytest.mark.parametrize("name", ["lidc", "lnsm", "isbi2012"])
def test_the_real_data_sets_open(real_data, name):
    for data in ("real", "auto"):
        dataset = open_dataset(name, config(real_data, data))
        assert dataset.source == "real"
        assert dataset.name == name
        assert dataset.origin.endswith("in place of DeepLesion") == (name == "lnsm")
        assert dataset[0].dataset == name


def test_commits_are_full_ids_and_every_name_has_a_source():
    for source in SOURCES.values():
        assert source.git is None or (len(source.git.commit) == 40 and int(source.git.commit, 16))
        assert source.public or bool(source.steps) == bool(source.place)
        assert all(archive.url.startswith("https://") for archive in source.archives)
    assert {name for source in SOURCES.values() for name in source.serves} == {*NAMES, *REAL_ONLY}
    for name in (*NAMES, *REAL_ONLY):
        assert all(name in source.serves for source in sources_of(name))


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"no embedded data set 'isbi'; choose one of .*isbi2012"):
        sources.open_simulated("isbi")


def test_importing_softmask_loads_neither_the_plug_in_nor_a_heavy_module():
    heavy = "{'torch', 'cv2', 'SimpleITK', 'pydicom', 'matplotlib', 'PIL', 'pymatting', 'phantoms'}"
    code = f"import sys, softmask.data, softmask.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_is_missing_is_said_with_how_to_get_it(sections):
    (sections / "deeplesion").mkdir()
    (sections / "deeplesion/DL_info.csv").touch()
    assert "what is expected in it is missing" in status("lnsm", config(sections)).missing[0]
    state = status("promise12", config(sections))
    assert (state.source, state.images, state.problems, state.where) == ("none", 0, (), None)
    assert "softmask data fetch promise12" in state.missing[0]
    assert str(sections / "promise12") in state.missing[0]


def test_whole_data_is_read_without_a_problem(sections):
    state = status("isbi2012", config(sections), read=True)
    assert (state.source, state.images, state.problems, state.missing) == ("real", 3, (), ())
    assert state.where == sections / "isbi2012"
    assert state.licence


def test_damage_is_listed_file_by_file_only_by_reading(sections):
    broken = sections / "isbi2012/train/image/1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    (sections / "isbi2012/train/label/2.png").unlink()
    state = status("isbi2012", config(sections), read=True)
    assert state.images == 1
    assert len(state.problems) == 2
    assert "2.png" in state.problems[0].where
    assert str(broken) in state.problems[1].why
    looked = status("isbi2012", config(sections))
    assert looked.images == 2
    assert len(looked.problems) == 1


def test_an_image_too_small_to_train_on_is_no_usable_one(sections):
    for half in ("image", "label"):
        path = sections / "isbi2012/train" / half / "1.png"
        Image.open(path).crop((0, 0, 128, 100)).save(path)
    state = status("isbi2012", config(sections), read=True)
    assert state.images == 2
    [problem] = state.problems
    assert problem.why.startswith(f"{problem.where}: 100 x 128 pixels are fewer than the 128 x 128")


def test_what_the_published_set_gets_wrong_is_no_problem_of_the_copy(sections, monkeypatch):
    dataset = Isbi2012(sections / "isbi2012")
    dataset.left_out.append(Problem("isbi2012/section-1", "published wrong"))
    monkeypatch.setattr("softmask.data.open_source", lambda *_: dataset)
    state = status("isbi2012", config(sections), read=True)
    assert (state.problems, state.left_out) == ((), tuple(dataset.left_out))
