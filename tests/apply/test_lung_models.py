"""Models of lungs: whole slices, shown with fewer pixels and answered with their own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmask import cli
from softmask.apply import lungs, models
from softmask.apply.exporting import measure
from softmask.data.image_files import window_hu
from softmask.errors import ConfigError, DataError
from softmask.measure.lungs import dice3d, enlarge, measure_lungs
from softmask.nets.morph import without_surroundings
from softmask.runs import inputs
from softmask.train.segmentation import predict

SLICE = np.random.default_rng(1).random((64, 64), dtype=np.float32)


def test_a_slice_is_answered_as_a_run_is_measured(lgan):
    model = models.load(lgan)
    assert (model.target, model.least, model.spec.of_lungs) == ("lung", 32, True)
    found = model.segment(SLICE)
    means = SLICE.reshape(32, 2, 32, 2).mean(axis=(1, 3))[None, None]
    probabilities, _ = inputs.read(model.spec, predict(model.network, means))
    np.testing.assert_allclose(found.probability, enlarge(probabilities, (64, 64))[0], atol=1e-5)
    np.testing.assert_array_equal(found.alpha, found.probability)
    np.testing.assert_array_equal(found.mask, found.probability >= 0.5)
    assert 0 < found.mask.sum() < found.mask.size
    np.testing.assert_array_equal(model.segment(SLICE, 0.3).mask, found.probability >= np.float32(0.3))


@pytest.mark.parametrize("shape", [(40, 64), (64, 41)])
def test_a_slice_that_is_not_square_lies_in_a_square_of_air(lgan, shape):
    model = models.load(lgan)
    image = SLICE[: shape[0], : shape[1]]
    top, left = (64 - shape[0]) // 2, (64 - shape[1]) // 2
    square = np.zeros((64, 64), np.float32)
    square[top : top + shape[0], left : left + shape[1]] = image
    inside = model.segment(square).probability[top : top + shape[0], left : left + shape[1]]
    np.testing.assert_array_equal(model.segment(image).probability, inside)


def test_what_is_shown_keeps_its_place_and_its_share():
    mask = np.zeros((512, 512), bool)
    mask[128:256, 64:192] = True
    small = models.shown(mask, 32)
    assert small.dtype == bool
    np.testing.assert_array_equal(np.argwhere(small).min(0), (8, 4))
    np.testing.assert_array_equal(np.argwhere(small).max(0), (15, 11))
    assert models.shown(mask.astype(np.float32), 32).mean() == pytest.approx(mask.mean())


def test_slices_that_are_too_small_are_refused(lgan):
    model = models.load(lgan)
    with pytest.raises(DataError, match="31 x 64 pixels are too few, lgan takes 32 x 32"):
        model.segment(SLICE[:31])
    with pytest.raises(DataError, match="20 x 20 pixels are too few"):
        lungs.find_lungs(model, np.zeros((3, 20, 20), np.int16))


def test_a_scan_is_its_slices(lgan):
    model = models.load(lgan)
    hu = np.random.default_rng(2).integers(-1024, 500, (lungs.SLICES + 3, 40, 48)).astype(np.int16)
    done: list[int] = []
    mask = lungs.find_lungs(model, hu, (5.0, 4.0), done.append)
    assert done == [lungs.SLICES, 3]
    assert mask.any(axis=(1, 2)).all()
    for z in (0, lungs.SLICES - 1, lungs.SLICES, len(hu) - 1):
        shown = window_hu(without_surroundings(hu[z], (5.0, 4.0)))
        np.testing.assert_array_equal(mask[z], model.segment(shown).mask)


def test_a_model_of_lesions_seeks_no_lungs(shipped):
    with pytest.raises(ConfigError, match=r"tiny segments lesions, not lungs; .*morph"):
        lungs.find_lungs(models.load(shipped), np.zeros((1, 64, 64), np.int16))


def test_the_two_largest_parts_are_kept():
    mask = np.zeros((4, 20, 20), bool)
    mask[:, 2:6, 2:6], mask[1:3, 10:16, 10:16], mask[0, 18, 18], mask[3, 16, 16] = True, True, True, True
    kept = lungs.largest(mask)
    assert kept.sum() == 4 * 16 + 2 * 36, "a corner that touches does not connect"
    assert not (kept & ~mask).any()
    np.testing.assert_array_equal(lungs.largest(kept), kept)
    assert not lungs.largest(np.zeros((2, 3, 3), bool)).any()


def test_its_measures_are_those_of_whole_slices(lgan, chests, lung_run):
    about = models.load(lgan).description
    again = measure(models.load(lgan), chests.test)["measures"]
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
    for said in (
        "# lgan\n", "Not a medical device", "both lungs",
        "softmask lungs ct-series/ --out results-of-mine --model lgan",
        "no real scan", "4 slices\nof 2 scans", f"infinite on {missing} of 4 slices", "CC BY 3.0", about.sha256,
        f"| IoU | {about.measures['iou'][0]:.4g} | 4 slices |", f"{about.measures['dice3d'][0]:.4g} | 2 scans |",
        "32 x 32 pixels", "1 hard_cross_entropy + 1 wasserstein_regression",
    ):  # fmt: skip
        assert said in card, said
    for wrong in ("lesion", "crop", "pixels_true", "nan", "soft mask"):
        assert wrong not in card, wrong


def test_of_real_scans_the_card_does_not_say_simulated(lgan, lung_run):
    from softmask.apply.exporting import card

    about = models.load(lgan).description
    real = replace(about, spec=replace(about.spec, source="real"))
    assert "no real scan" not in card("m", real, lung_run.record, 9)
    assert "no promise" not in card("m", real, lung_run.record, 9)


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
