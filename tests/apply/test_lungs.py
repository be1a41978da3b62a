"""Models of lungs: whole slices shown with fewer pixels; ``softmask lungs``: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from softmask import cli
from softmask.apply import exporting, models
from softmask.apply import segment as scans
from softmask.apply.outputs import OUTLINE
from softmask.data.image_files import window_hu
from softmask.errors import DataError
from softmask.experiments import inputs
from softmask.files import PART, sole_writer
from softmask.measure.lungs import dice3d, enlarge, measure_lungs
from softmask.nets import morph
from softmask.nets.morph import without_surroundings
from softmask.train.segmentation import predict

SLICE = np.random.default_rng(1).random((64, 64), dtype=np.float32)


def test_a_slice_is_answered_as_a_run_is_measured(lgan):
    model = models.load(lgan)
    assert (model.target, model.min_size, model.spec.of_lungs) == ("lung", 32, True)
    result = model.segment(SLICE)
    means = SLICE.reshape(32, 2, 32, 2).mean(axis=(1, 3))[None, None]
    probabilities, _ = inputs.read(model.spec, predict(model.network, means))
    np.testing.assert_allclose(result.probability, enlarge(probabilities, (64, 64))[0], atol=1e-5)
    np.testing.assert_array_equal(result.alpha, result.probability)
    np.testing.assert_array_equal(result.mask, result.probability >= 0.5)
    assert 0 < result.mask.sum() < result.mask.size


@pytest.mark.parametrize("shape", [(40, 64), (64, 41)])
def test_a_slice_that_is_not_square_lies_in_a_square_of_air(lgan, shape):
    model = models.load(lgan)
    image = SLICE[: shape[0], : shape[1]]
    top, left = (64 - shape[0]) // 2, (64 - shape[1]) // 2
    square = np.zeros((64, 64), np.float32)
    square[top : top + shape[0], left : left + shape[1]] = image
    inside = model.segment(square).probability[top : top + shape[0], left : left + shape[1]]
    np.testing.assert_array_equal(model.segment(image).probability, inside)


def test_a_slice_is_shown_with_its_place_and_its_share():
    mask = np.zeros((512, 512), bool)
    mask[128:256, 64:192] = True
    small = models.fit_square(mask, 32)
    assert small.dtype == bool
    np.testing.assert_array_equal(np.argwhere(small).min(0), (8, 4))
    np.testing.assert_array_equal(np.argwhere(small).max(0), (15, 11))
    assert models.fit_square(mask.astype(np.float32), 32).mean() == pytest.approx(mask.mean())


def test_slices_that_are_too_small_are_refused(lgan):
    model = models.load(lgan)
    with pytest.raises(DataError, match="31 x 64 pixels are too few, lgan takes 32 x 32"):
        model.segment(SLICE[:31])
    with pytest.raises(DataError, match="20 x 20 pixels are too few"):
        scans.find_lungs(model, np.zeros((3, 20, 20), np.int16))


def test_a_scan_is_its_slices(lgan):
    model = models.load(lgan)
    hu = np.random.default_rng(2).integers(-1024, 500, (scans.BATCH_SIZE + 3, 40, 48)).astype(np.int16)
    mask = scans.find_lungs(model, hu, (5.0, 4.0))
    assert mask.any(axis=(1, 2)).all()
    for z in (0, scans.BATCH_SIZE - 1, scans.BATCH_SIZE, len(hu) - 1):
        shown = window_hu(without_surroundings(hu[z], (5.0, 4.0)))
        np.testing.assert_array_equal(mask[z], model.segment(shown).mask)


def test_the_two_largest_parts_are_kept():
    mask = np.zeros((4, 20, 20), bool)
    mask[:, 2:6, 2:6], mask[1:3, 10:16, 10:16], mask[0, 18, 18], mask[3, 16, 16] = True, True, True, True
    kept = scans.largest(mask)
    assert kept.sum() == 4 * 16 + 2 * 36, "a corner that touches does not connect"
    assert not (kept & ~mask).any()
    np.testing.assert_array_equal(scans.largest(kept), kept)
    assert not scans.largest(np.zeros((2, 3, 3), bool)).any()


def test_its_measures_are_those_of_whole_slices(lgan, chests, lung_run):
    about = models.load(lgan).description
    again = exporting.measure(models.load(lgan), chests.test)["measures"]
    assert about.measures["iou"] == (pytest.approx(np.mean(again["iou"]), rel=1e-4), 4)
    finite = again["hausdorff"][np.isfinite(again["hausdorff"])]
    assert len(finite) < 4
    assert about.measures["hausdorff"] == (pytest.approx(finite.mean(), rel=1e-4), len(finite))
    pixels = [again[f"pixels_{which}"] for which in ("true", "found", "common")]
    expected = list(dice3d(chests.test.groups, *pixels).values())
    assert about.measures["dice3d"] == (pytest.approx(np.mean(expected), rel=1e-4), 2)
    assert about.measures["nodules_inside"][1] == 1
    assert not [name for name in about.measures if name.startswith("pixels")]
    assert about.trained_dice == pytest.approx(about.measures["dice"][0], abs=0.05)
    stored, nodules = (chests.test.references[name][:, 0] for name in ("native", "nodules"))
    network = predict(lung_run.network(), chests.test.images)[:, 0]
    exact = measure_lungs(network, stored, nodules)
    np.testing.assert_allclose(exact["iou"], again["iou"], atol=0.02)


def test_its_card_speaks_of_lungs(lgan):
    card, about = (lgan / "README.md").read_text(), models.load(lgan).description
    missing = 4 - about.measures["hausdorff"][1]
    for text in ("# lgan\n", "Not a medical device", "both lungs", "softmask lungs ct-series/", "no real scan",
                 "4 slices\nof 2 scans", f"infinite on {missing} of 4 slices", "CC BY 3.0", about.sha256,
                 f"| IoU | {about.measures['iou'][0]:.4g} | 4 slices |"):  # fmt: skip
        assert text in card, text
    for text in ("lesion", "crop", "pixels_true", "nan", "soft mask"):
        assert text not in card, text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "takes no images of 0 x 0 pixels, but multiples of 16"),
        ({"size": 40}, "takes no images of 40 x 40"),
        ({"channels": ["bilinear"], "scale": 2}, "sees bilinear; a model of lungs sees the slice alone"),
    ],
)
def test_descriptions_that_no_run_has_are_told(lgan, tmp_path, changes, message):
    content = json.loads((lgan / "model.json").read_text())
    content["spec"] |= changes
    path = tmp_path / "model.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        models.Description.read(path)
    assert str(caught.value).startswith(str(path))


def test_single_slices_go_through_segment(lgan, tmp_path, capsys):
    path: Path = tmp_path / "slice.png"
    Image.fromarray(np.rint(SLICE * 255).astype(np.uint8)).save(path)
    assert cli.main(["segment", str(path), "--model", str(lgan)]) == 0
    expected = models.load(lgan).segment(np.rint(SLICE * 255).astype(np.float32) / 255).mask
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "slice-mask.png")) > 0, expected)
    assert f"{expected.sum()} of 4096 pixels are lung;" in capsys.readouterr().out


HU = np.random.default_rng(7).integers(20, 60, (5, 40, 48)).astype(np.int16)  # a body, thick enough for one, around
HU[:, 9:-9, 9:-9] = np.random.default_rng(6).integers(-1024, 500, (5, 22, 30))


@pytest.fixture
def lungs(lgan, tmp_path):
    def run(*arguments):
        return cli.main(["lungs", *map(str, arguments), "--out", str(tmp_path / "out"), "--model", str(lgan)])

    return run


@pytest.fixture
def found(lgan, made) -> np.ndarray:
    """(D, H, W) bool: what the model finds in HU."""
    return scans.find_lungs(models.load(lgan), HU, made.spacing[1:])


def same_geometry(written: SimpleITK.Image, scan: SimpleITK.Image):
    assert written.GetSize() == scan.GetSize()
    for name in ("Origin", "Spacing", "Direction"):
        own, expected = (getattr(image, f"Get{name}")() for image in (written, scan))
        np.testing.assert_allclose(own, expected, atol=1e-5, err_msg=name)


def names(folder: Path):
    return sorted(path.name for path in folder.iterdir())


def test_a_series_gets_a_mask_on_its_own_voxels_and_a_picture(lungs, series, tmp_path, found, capsys):
    folder = series(tmp_path / "in" / "case-1", HU)
    assert lungs(folder) == 0
    out = tmp_path / "out"
    assert names(out) == ["case-1-lungs.nii.gz", "case-1-overlay.png"]
    written = SimpleITK.ReadImage(str(out / "case-1-lungs.nii.gz"))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    same_geometry(written, reader.Execute())
    assert written.GetPixelID() == SimpleITK.sitkUInt8
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), found)
    assert Image.open(out / "case-1-overlay.png").size == (4 * 384, 2 * 384)
    said = capsys.readouterr().out
    assert said.startswith(f"{folder}: 5 slices, {found.sum() * 2.5 * 0.7 * 0.8 / 1000:.0f} ml of lung, ")
    assert said.count("\n") == 1


def test_values_without_air_are_doubted(lungs, tmp_path, made, capsys):
    path = made.write_volume(tmp_path / "in" / "ct.nii.gz", np.maximum(HU, -1000) + 300)
    assert lungs(path) == 0
    assert "and air is -1000 HU; check that the values are HU" in capsys.readouterr().err


def test_more_lung_than_a_chest_holds_is_doubted(lungs, tmp_path, made, capsys):
    path = made.write_volume(tmp_path / "in" / "ct.nii.gz", HU, "LPS", (45.0, 45.0, 45.0))
    assert lungs(path) == 0
    assert "ml is more than lungs hold; check that the values are HU" in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "letters"), [(".nrrd", "LPS"), (".nii", "RAS"), (".nii.gz", "SAR")])
def test_the_mask_lies_as_the_file_does(lungs, tmp_path, found, ending, letters, made):
    path = made.write_volume(tmp_path / "in" / f"ct{ending}", HU, letters, (3.3, 0.61, 0.977))
    assert lungs(path) == 0
    written = SimpleITK.ReadImage(str(tmp_path / "out" / "ct-lungs.nii.gz"))
    same_geometry(written, SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(written, "LPS")), found)


def test_the_others_are_done_and_every_failure_is_a_line(lungs, series, tmp_path, capsys, made):
    good = [made.write_volume(tmp_path / "a" / "one.nii.gz", HU), series(tmp_path / "two", HU)]
    cut = made.write_volume(tmp_path / "a" / "cut.nii", HU)
    cut.write_bytes(cut.read_bytes()[:-5000])
    gap = series(tmp_path / "gap", HU)
    (gap / "0003.dcm").unlink()
    small = made.write_volume(tmp_path / "a" / "small.nrrd", HU[:, :20, :20])
    bad = [cut, gap, small, tmp_path / "none", made.write_volume(tmp_path / "a" / "positive.nrrd", HU + 2000)]
    assert lungs(good[0], *bad, good[1]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("softmask: ")]
    assert len(lines) == len(bad)
    for path, why in zip(bad, ("truncated", "slices are missing", "too few", "no such", "below 0"), strict=True):
        assert sum(str(path) in line and why in line for line in lines) == 1, path
    kinds = ("lungs.nii.gz", "overlay.png")
    assert names(tmp_path / "out") == [f"{name}-{kind}" for name in ("one", "two") for kind in kinds]


@pytest.mark.parametrize("broken", ["png", "nifti"])
def test_a_full_disk_is_told_and_leaves_what_was_there(lungs, tmp_path, capsys, monkeypatch, broken, made):
    path, out = made.write_volume(tmp_path / "ct.nrrd", HU), tmp_path / "out"
    assert lungs(path) == 0
    before = (out / "ct-lungs.nii.gz").read_bytes()
    capsys.readouterr()

    def full(*_, **__):
        raise OSError(28, "full") if broken == "png" else RuntimeError("itk says nothing")

    monkeypatch.setattr(*(("os.replace", full) if broken == "png" else (SimpleITK, "WriteImage", full)))
    assert lungs(path) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("softmask")]
    assert f"{path}: " in line
    assert "cannot be written (" in line
    assert (out / "ct-lungs.nii.gz").read_bytes() == before
    assert not [name for name in names(out) if "part" in name]


def test_morph_needs_no_model(series, tmp_path, made):
    row, column = np.mgrid[-48:48, -48:48] / 48
    body, chest = np.hypot(row, column) < 0.85, np.hypot((np.abs(column) - 0.4) / 0.25, row / 0.45) < 1
    hu = np.repeat(np.where(chest, -850, np.where(body, 40, -1000))[None], 6, axis=0).astype(np.int16)
    folder = series(tmp_path / "ct", hu, (5.0, 4.0, 4.0))
    assert cli.main(["lungs", str(folder), "--model", "morph", "--out", str(tmp_path / "out")]) == 0
    mask = made.voxels(tmp_path / "out" / "ct-lungs.nii.gz") > 0
    np.testing.assert_array_equal(mask, morph.lungs(hu, (5.0, 4.0, 4.0)))
    assert mask.any()


def test_largest_is_an_option(lungs, tmp_path, found, made):
    assert lungs(made.write_volume(tmp_path / "ct.nrrd", HU), "--largest") == 0
    mask = made.voxels(tmp_path / "out" / "ct-lungs.nii.gz") > 0
    assert mask.sum() < found.sum()
    np.testing.assert_array_equal(mask, scans.largest(found))


def test_scans_that_would_write_the_same_file_are_refused(lungs, tmp_path, capsys, made):
    first, two = made.write_volume(tmp_path / "a" / "ct.nrrd", HU), made.write_volume(tmp_path / "b" / "ct.nii.gz", HU)
    assert lungs(first, two) == 2
    assert f"{first} and {two} would both write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    inside = made.write_volume(tmp_path / "out" / "ct-lungs.nii.gz", HU)
    before = inside.read_bytes()
    assert lungs(inside, first) == 2
    assert f"{first} would write {inside}, which is to be read" in capsys.readouterr().err
    assert inside.read_bytes() == before


def test_the_picture_shows_twelve_slices_from_the_first_to_the_last():
    hu = np.full((50, 600, 500), -1000, np.int16)
    mask = np.zeros(hu.shape, bool)
    mask[0, 200:400, 200:300] = mask[-1, 200:400, 200:300] = True
    picture = scans.montage(hu, mask)
    assert picture.shape == (3 * 384, 4 * 384, 3)
    coloured = (picture == OUTLINE).all(axis=-1)
    tiles = coloured.reshape(3, 384, 4, 384).any(axis=(1, 3))
    assert tiles.tolist() == [[True, *[False] * 3], [False] * 4, [*[False] * 3, True]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gone"], "unknown model 'gone'"),
        (["--model", "{lesions}"], "tiny segments lesions, not lungs"),
        (["--model", "{lgan}", "--out", "{scan}"], "is a file; name a folder"),
    ],
)
def test_wrong_options_exit_2(lgan, shipped, tmp_path, capsys, arguments, message, made):
    scan = made.write_volume(tmp_path / "ct.nrrd", HU)
    given = [argument.format(lesions=shipped, lgan=lgan, scan=scan) for argument in arguments]
    assert cli.main(["lungs", str(scan), "--out", str(tmp_path / "out"), *given]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("better", ["morph", "lungs"])
def test_without_a_model_the_best_on_real_slices_is_used(series, tmp_path, capsys, monkeypatch, better):
    taken = []
    monkeypatch.setattr("softmask.apply.segment.IOU", dict.fromkeys(("morph", "lungs"), 0.9) | {better: 0.98765})
    monkeypatch.setattr("softmask.apply.segment.load", lambda name: taken.append(name) or models.load(name))
    folder = series(tmp_path / "ct", np.full((2, 96, 96), -1000, np.int16), (5.0, 4.0, 4.0))
    cli.main(["lungs", str(folder), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert said.startswith(f"by {better}, which does best on real test slices (mean IoU: {better} 0.988")
    assert taken == ([] if better == "morph" else ["lungs"])


def test_two_commands_do_not_write_into_one_folder(lungs, tmp_path, made, capsys):
    path = made.write_volume(tmp_path / "scan.nii", made.hu())
    with sole_writer(tmp_path / "out"):
        assert lungs(path) != 0
    assert "another softmask is writing into it" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".scan{PART}").write_text("half")
    lungs(path)
    assert not (tmp_path / "out" / f".scan{PART}").exists()
