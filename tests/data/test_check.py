import numpy as np
import pytest
from PIL import Image

from softmask.config import Config
from softmask.data.check import check, status
from softmask.data.isbi2012 import Isbi2012
from softmask.data.sample import Problem


@pytest.fixture
def root(tmp_path):
    for half, value in (("image", 77), ("label", 255)):
        folder = tmp_path / "isbi2012/train" / half
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((16, 16), value, np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def config(root, data="auto"):
    return Config.from_parameters(profile="smoke", data=data, data_root=root)


def test_whole_data_is_read_without_a_problem(root):
    one = check("isbi2012", config(root))
    assert (one.source, one.images, one.problems, one.missing) == ("real", 3, (), ())
    assert one.where == root / "isbi2012"
    assert one.licence


def test_damage_is_listed_file_by_file_only_by_reading(root):
    broken = root / "isbi2012/train/image/1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    (root / "isbi2012/train/label/2.png").unlink()
    one = check("isbi2012", config(root))
    assert one.images == 1
    assert len(one.problems) == 2
    assert "2.png" in one.problems[0].where
    assert str(broken) in one.problems[1].why
    looked = status("isbi2012", config(root))
    assert looked.images == 2
    assert len(looked.problems) == 1


def test_what_cannot_be_opened_is_a_problem(root):
    for path in (root / "isbi2012/train/label").iterdir():
        path.unlink()
    one = check("isbi2012", config(root))
    assert (one.source, one.images) == ("none", 0)
    assert "no section has an image and a label" in one.problems[0].why


def test_check_looks_at_real_data_alone_and_says_how_to_get_it(root):
    one = check("promise12", config(root))
    assert (one.source, one.images, one.problems, one.where) == ("none", 0, (), None)
    assert "softmask data fetch promise12" in one.missing[0]
    assert str(root / "promise12") in one.missing[0]


def test_better_source_that_is_there_by_half_is_said(root):
    (root / "deeplesion").mkdir()
    (root / "deeplesion/DL_info.csv").touch()
    assert "lacks what is expected in it" in check("lnsm", config(root)).missing[0]


def test_status_of_embedded_data(root):
    one = status("isbi2012", config(root, "embedded"))
    assert (one.source, one.where, one.licence) == ("embedded", None, "")
    assert one.images > 0


def test_what_the_published_set_gets_wrong_is_no_problem_of_the_copy(root, monkeypatch):
    dataset = Isbi2012(root / "isbi2012")
    dataset.left_out.append(Problem("isbi2012/section-1", "published wrong"))
    monkeypatch.setattr("softmask.data.check.open_source", lambda *_: dataset)
    one = check("isbi2012", config(root))
    assert (one.problems, one.left_out) == ((), tuple(dataset.left_out))
