"""``softmask segment`` around lesions: the crop that the network sees, where its answer is laid back, lists."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
from PIL import Image

from softmask import cli
from softmask.apply.models import Model, load

RECIST = [f"{letter}{end}" for end in range(4) for letter in "rc"]


@pytest.fixture
def segment(shipped, tmp_path):
    """``softmask segment ... --model <16 x 16 pixels> --out <tmp_path>/out``."""
    options = ["--model", str(shipped), "--out", str(tmp_path / "out")]
    return lambda *arguments: cli.main(["segment", *map(str, arguments), *options])


def laid_back(model, levels: np.ndarray, top: int, left: int):
    """Alpha and mask of the crop at (top, left) on the whole image, from Python."""
    size = model.spec.size
    result = model.segment(levels[top : top + size, left : left + size])
    alpha, mask = np.zeros(levels.shape, np.float32), np.zeros(levels.shape, bool)
    alpha[top : top + size, left : left + size] = result.alpha
    mask[top : top + size, left : left + size] = result.mask
    return alpha, mask


@pytest.mark.parametrize(
    ("options", "corner"),
    [
        (["--at", 19, 23], (11, 15)),
        (["--at", 23.4, 18.6, "--order", "xy"], (11, 15)),
        (["--recist", 12, 23, 26, 23, 19, 17, 19, 29], (11, 15)),  # its middle is (19, 23)
        (["--at", 2, 46], (0, 32)),  # moved inside the image of 40 x 48
    ],
)
def test_the_answer_is_that_of_the_crop_from_python(segment, image, made, shipped, tmp_path, options, corner):
    assert segment(image, *options) == 0
    alpha, mask = laid_back(load(shipped), made.grey().astype(np.float32) / 255, *corner)
    np.testing.assert_allclose(made.soft(tmp_path / "out" / "a-soft.png"), alpha, atol=2e-5)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a-mask.png")) > 0, mask)
    row = made.read_manifest(tmp_path / "out")["a"]
    assert row["label"] == ("recist" if "--recist" in options else "point")
    assert float(row["soft_area_px"]) == pytest.approx(alpha.sum(), abs=0.01)
    assert int(row["mask_area_px"]) == mask.sum()


def test_a_slice_of_a_series_with_millimetres(segment, ct, made, shipped, tmp_path, label):
    mm = [made.origin[0] + 23 * made.spacing[2], made.origin[1] + 19 * made.spacing[1]]
    assert segment(ct, "--at", *mm, "--order", "xy", "--units", "mm", "--slice", 2) == 0
    out = tmp_path / "out"
    levels = np.clip((made.hu()[2].astype(np.float32) + 1000) / 1400, 0, 1)
    alpha, mask = laid_back(load(shipped), levels, 11, 15)
    stored = made.voxels(out / "case-1-soft.nii.gz")
    np.testing.assert_allclose(stored[2], alpha, atol=1e-5)
    assert np.flatnonzero(stored.any(axis=(1, 2))).tolist() == [2]
    np.testing.assert_allclose(made.soft(out / "case-1" / "002-soft.png"), alpha, atol=2e-5)
    row = made.read_manifest(out)["case-1"]
    assert row["formats"] == "png nifti seg"
    assert float(row["area_mm2"]) == pytest.approx(mask.sum() * 0.7 * 0.8, abs=1e-3)
    assert row["volume_mm3"] == row["soft_volume_mm3"] == ""  # the other slices were not looked at


def test_a_report_of_labels_leads_to_the_same_lesions(segment, label, ct, made, tmp_path):
    assert label(ct, "--recist", *made.ends((19, 23)), "--slice", 2, "--format", "report") == 0
    report = tmp_path / "out" / "case-1-report.dcm"
    assert report.with_name("case-1-soft.dcm").is_file()  # which it refers to
    assert segment(ct, "--report", report, "--name", "found", "--format", "png") == 0
    rows = made.read_manifest(tmp_path / "out")
    assert rows["found-1"]["slices"] == "2"
    # the mark as it was drawn is read back, and not the axes of the mask that was made of it
    drawn = np.reshape(made.ends((19, 23)), (2, 2, 2))[::-1, :, ::-1]  # the axis that is longer in mm first
    assert rows["found-1"]["prior"].startswith(" ".join(f"{value:g}" for value in drawn.ravel()) + " xy px")
    long_mm, short_mm = (rows["case-1"][f"{side}_mm"] for side in ("long", "short"))
    assert rows["case-1"]["mark_long_mm"] == rows["found-1"]["mark_long_mm"] == f"{14 * 0.8:.3f}" != long_mm
    assert rows["case-1"]["mark_short_mm"] == f"{14 * 0.7:.3f}" != short_mm
    by_hand, of_mask = hd.sr.srread(report).content.get_image_measurement_groups()
    values = [[float(each.value) for each in group.get_measurements()] for group in (by_hand, of_mask)]
    assert values == [[11.2, 9.8], [float(long_mm), float(short_mm)]]
    assert [group.method and group.method.meaning for group in (by_hand, of_mask)] == [None, "Binary Segmentation"]


def test_an_image_smaller_than_the_crop_is_continued_at_its_edge(segment, made, shipped, tmp_path):
    stored = made.grey()[10:22, 12:40]
    image = made.save(tmp_path / "small.png", stored)
    assert segment(image, "--at", 6, 14) == 0
    levels = np.pad(stored[:, 6:22], ((0, 4), (0, 0)), mode="edge").astype(np.float32) / 255
    expected = load(shipped).segment(levels).alpha[:12]
    np.testing.assert_allclose(made.soft(tmp_path / "out" / "small-soft.png")[:, 6:22], expected, atol=2e-5)


def test_what_is_doubtful_is_said(segment, image, made, tmp_path, capsys):
    assert segment(image, "--at", 19, 23, "--threshold", 1) == 0
    assert "doubtful: no pixel reaches the threshold" in capsys.readouterr().err
    assert segment(image, "--at", 19, 23, "--threshold", 0.001, "--name", "b") == 0
    assert "doubtful: the mask reaches the edge of the 16 x 16 pixels" in capsys.readouterr().err
    assert segment(image, "--recist", 12, 23, 26, 23, 13, 21, 25, 25, "--name", "c") == 0
    assert "the axes meet at" in made.read_manifest(tmp_path / "out")["c"]["message"]


def test_a_mask_beside_the_point_is_doubtful(segment, image, made, shipped, capsys):
    levels = made.grey().astype(np.float32) / 255
    probability = load(shipped).segment(levels[11:27, 15:31]).probability  # the crop around (19, 23)
    at_point, highest = float(probability[8, 8]), float(probability.max())
    assert at_point < highest
    for threshold, doubted in ((at_point, False), ((at_point + highest) / 2, True)):
        assert segment(image, "--at", 19, 23, "--threshold", threshold) == 0
        assert ("doubtful: the mask does not contain the point" in capsys.readouterr().err) == doubted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", 40, 3], "row and column 40, 3 lie outside the image of 40 x 48 pixels"),
        (["--recist", *range(0, 400, 50)], "outside the image of 40 x 48"),
        (["--at", 1, 2, "--format", "rtstruct"], "DICOM outputs (rtstruct) belong to a DICOM image"),
    ],
)
def test_a_lesion_that_does_not_fit_is_named(segment, image, capsys, options, message):
    assert segment(image, *options) == 1
    assert f"softmask: {image}: " in (stderr := capsys.readouterr().err)
    assert message in stderr


@pytest.fixture
def many(made, tmp_path):
    """A list of 40 points and marks, in turns, on five images, one of them cut short, and two lines that are none."""
    for i in range(5):
        path = made.save(tmp_path / "in" / f"n{i}.png", made.grey(i))
        if i == 3:
            path.write_bytes(path.read_bytes()[:-30])
    rows = [
        [f"in/n{n % 5}.png", f"l{n:02}", *([10 + n % 20, 24, *[""] * 8] if n % 2 else ["", "", *made.ends()])]
        for n in range(40)
    ]
    rows += [["in/n0.png", "bad", 3, *[""] * 9], ["in/n0.png", "mask"]]
    return made.write_list(tmp_path / "list.csv", ["image", "name", "row", "column", *RECIST], rows)


def test_a_list_goes_on_where_it_was_interrupted(segment, many, made, tmp_path, capsys, monkeypatch):
    out, crops = tmp_path / "out", []

    def interrupted(model, image):
        crops.append(image)
        if len(crops) == 14:
            raise KeyboardInterrupt
        return whole(model, image)

    whole = Model.segment
    monkeypatch.setattr(Model, "segment", interrupted)
    assert segment("--list", many) == 130
    done = [name for name, row in made.read_manifest(out).items() if row["status"] == "done"]
    assert done == [f"l{n:02}" for n in range(16) if n % 5 != 3]
    capsys.readouterr()
    assert segment("--list", many) == 1
    assert len(crops) == 14 + 19
    captured = capsys.readouterr()
    assert "19 segmented, 13 done before, 10 failed" in captured.out
    lines = [line for line in captured.err.replace("\r", "\n").splitlines() if line.startswith("softmask: ")]
    lines = [line for line in lines if "doubtful: the mask reaches the edge" not in line]
    assert len(lines) == 10
    assert sum("n3.png: truncated" in line for line in lines) == 8
    assert any("line 42: has a mark without column" in line for line in lines)
    rows = made.read_manifest(out)
    assert {rows[f"l{n:02}"]["status"] for n in range(40) if n % 5 != 3} == {"done"}
    assert sum(path.name.endswith("-soft.png") for path in out.iterdir()) == 32
    assert segment("--list", many) == 1
    assert "0 segmented, 32 done before, 10 failed" in capsys.readouterr().out


def test_each_command_takes_its_own_kinds_of_lines(segment, label, made, image, tmp_path, capsys):
    path = made.write_list(tmp_path / "l.csv", ["image", "mask"], [["a.png", "m.png"]])
    assert segment("--list", path) == 1
    assert "line 2: mask is not among what is taken: point, recist" in capsys.readouterr().err
    path = made.write_list(tmp_path / "l.csv", ["image", "x", "y"], [["a.png", 23, 19]])
    assert label("--list", path) == 1
    assert "point is not among what is taken: mask, readers, recist" in capsys.readouterr().err
    assert segment("--list", path) == 0
    assert made.read_manifest(tmp_path / "out")["a"]["prior"] == "23 19 xy px"


def test_a_lack_of_memory_fails_the_lesion_and_is_said(segment, image, capsys, monkeypatch):
    def short(*_):
        raise RuntimeError("can't allocate")

    monkeypatch.setattr("softmask.apply.models.predict", short)
    assert segment(image, "--at", 19, 23) == 1
    assert f"{image}: could not be done (RuntimeError: can't allocate); memory may be short" in capsys.readouterr().err


def test_a_model_of_lungs_takes_no_lesion(image, lgan, capsys):
    assert cli.main(["segment", str(image), "--at", "1", "2", "--model", str(lgan)]) == 2
    assert "the model lgan segments whole slices" in capsys.readouterr().err
