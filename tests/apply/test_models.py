"""Models: written from a run, read back with suspicion, and whole images segmented by them."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from softmask.apply import exporting, models
from softmask.errors import ConfigError, DataError
from softmask.experiments import inputs
from softmask.experiments.spec import RunSpec, from_plain
from softmask.train.segmentation import predict

NOISE = np.random.default_rng(3).random((40, 52), dtype=np.float32)


@pytest.fixture
def copied(shipped, tmp_path):
    return Path(shutil.copytree(shipped, tmp_path / "copied"))


def test_what_is_written_is_read_back(shipped, run):
    assert sorted(path.name for path in shipped.iterdir()) == ["README.md", "model.json", "weights.safetensors"]
    weights = (shipped / "weights.safetensors").read_bytes()
    content = json.loads((shipped / "model.json").read_text())
    assert content["sha256"] == hashlib.sha256(weights).hexdigest()
    assert from_plain(RunSpec, content["spec"], "spec") == run.spec
    assert (content["images"], content["patients"], content["commit"]) == (6, 5, "c0ffee")
    stored = load_file(shipped / "weights.safetensors")
    assert {name.partition(".")[0] for name in stored} == {"network", "sr"}
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float16}
    model = models.load(shipped)
    assert not model.network.training
    assert not model.sr.training
    for network, trained in ((model.network, run.network()), (model.sr, run.needs[0].network())):
        for name, tensor in network.state_dict().items():
            expected = trained.state_dict()[name]
            assert tensor.dtype == expected.dtype
            assert torch.equal(tensor, expected.half().float() if tensor.is_floating_point() else expected)


def test_dice_is_that_of_the_shipped_weights(shipped, data):
    model = models.load(shipped)
    again = exporting.measure(model, data.test)
    assert np.mean(again["measures"]["dice"]) == pytest.approx(model.description.measures["dice"][0], rel=1e-4)
    assert model.description.measures["dice"][0] == pytest.approx(model.description.trained_dice, abs=0.05)
    assert again["threshold"] == 0.5


def test_the_card_says_what_was_measured(shipped):
    card, about = (shipped / "README.md").read_text(), models.load(shipped).description
    assert f"| Dice | {about.measures['dice'][0]:.4g} | 6 |" in card
    for said in ("# tiny\n", "Not a medical device", "6 images of 5 patients", "CC BY 3.0", about.sha256, "c0ffee"):
        assert said in card


def test_a_model_is_replaced_whole(copied, run, data, simple, monkeypatch):
    before = (copied / "model.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("softmask.apply.exporting.write_atomic", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(DataError, match=r"cannot be written \(full\)"):
            exporting.export(run, copied, data)
    assert (copied / "model.json").read_bytes() == before
    exporting.export(simple.run, copied, data)
    assert models.load(copied).sr is None
    assert [path.name for path in copied.parent.iterdir()] == ["copied"]
    (copied / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes\.txt"):
        exporting.export(run, copied, data)
    with pytest.raises(ConfigError, match="is a file"):
        exporting.export(run, copied / "notes.txt", data)


def test_what_is_no_model_is_not_exported(tmp_path, run, data, monkeypatch):
    with pytest.raises(ConfigError, match="trains no segmentation network"):
        exporting.export(run.needs[0], tmp_path / "m", data)
    first = replace(run.spec, channels=("image",), scale=1, reduction=1, sr=None, network="cenet", width=16)
    with pytest.raises(ConfigError, match="two segmentors"):
        models.check_spec(replace(first, channels=("image", "prior"), prior=first))
    with pytest.raises(ConfigError, match="data other than those now available"):
        exporting.export(run, tmp_path / "m", replace(data, digest="other"))
    with pytest.raises(ConfigError, match="comes without"):
        exporting.export(replace(run, needs=()), tmp_path / "m", data)
    monkeypatch.setattr(exporting, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ConfigError, match="MB, and a model at most"):
        exporting.export(run, tmp_path / "m", data)
    assert not list(tmp_path.iterdir())


def test_weights_that_float16_cannot_hold_are_refused(run):
    network = run.network()
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    with pytest.raises(ConfigError, match=r"network\..* float16 cannot hold"):
        exporting.to_weights(network, None)


def test_unknown_names_list_those_there_are(shipped, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown model 'gone'; .* name the folder of a model"):
        models.load("gone")
    monkeypatch.setattr(models, "SHIPPED", shipped.parent)
    assert models.names() == ["tiny"]
    assert models.load("tiny").name == "tiny"
    with pytest.raises(ConfigError, match="choose one of tiny, or name the folder"):
        models.load("gone")
    with pytest.raises(DataError, match=r"model\.json: there is no such file"):
        models.load(tmp_path)


def tensors(change):
    """What changes the tensors of a model, and their digest with them."""

    def apply(folder: Path):
        path = folder / "weights.safetensors"
        content = load_file(path)
        change(content)
        save_file(content, path)
        text = json.loads((folder / "model.json").read_text())
        text["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(text))

    return apply


def fields(spec=None, **changes):
    def apply(folder: Path):
        path = folder / "model.json"
        content = json.loads(path.read_text()) | changes
        content["spec"] |= spec or {}
        path.write_text(json.dumps(content))

    return apply


HEAD = "network.backbone.head.bias"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "model.json").write_text("[]"), "model.json: is of format None, and 1 is read"),
        (fields(format=2), "model.json: is of format 2"),
        (fields(threshold=0.0), "a threshold lies above 0"),
        (fields(threshold="nan"), "a threshold lies above 0"),
        (fields({"network": "gone"}), "unknown network 'gone'"),
        (fields({"width": 10**4}), "cannot be made of it .*size mismatch"),
        (fields({"width": 0}), "cannot be made of it"),
        (lambda d: (d / "weights.safetensors").write_bytes(b"x"), "is damaged, or of another model"),
        (lambda d: (d / "weights.safetensors").write_bytes(b"x" * 5_000_001), "has 5000001 bytes"),
        (tensors(lambda t: t.pop(HEAD)), f"Missing key.*{HEAD}"),
        (tensors(lambda t: t.update({"sr.more": torch.zeros(1)})), r"Unexpected key.*sr\.more"),
        (tensors(lambda t: t.update({"other.bias": torch.zeros(1)})), r"Unexpected key.*other\.bias"),
        (tensors(lambda t: t.update({HEAD: torch.zeros(2)})), f"size mismatch for {HEAD}"),
        (tensors(lambda t: t.update({HEAD: torch.zeros(1, dtype=torch.int8)})), HEAD),
        (tensors(lambda t: t.update({HEAD: torch.full((1,), torch.nan)})), "contains NaN or infinite values"),
    ],
)
def test_damaged_models_are_told_with_file_and_field(copied, damage, message):
    damage(copied)
    with pytest.raises(DataError, match=message) as caught:
        models.load(copied)
    assert str(caught.value).startswith(str(copied))
    assert "\n" not in str(caught.value)


def test_channels_are_those_that_runs_are_fed(shipped, run):
    model = models.load(shipped)
    image = NOISE[:32, :48]
    expected = inputs.channels(model.spec, image[None, None], run.needs)  # before weights were rounded
    np.testing.assert_allclose(models.channels(model.spec, image, model.sr), expected, rtol=0, atol=5e-3)


def test_an_image_is_segmented_as_a_run_does_and_its_padding_cut_off(shipped):
    model = models.load(shipped)
    assert (model.multiple, model.min_size) == (16, 16)
    result = model.segment(NOISE)  # 40 x 52, padded to 48 x 64
    assert result.probability.shape == result.alpha.shape == result.mask.shape == NOISE.shape
    assert result.mask.dtype == bool
    padded = np.pad(NOISE, ((0, 8), (0, 12)), mode="edge")
    answers = predict(model.network, models.channels(model.spec, padded, model.sr))
    probability, alpha = inputs.read(model.spec, answers)
    np.testing.assert_array_equal(result.probability, probability[0, :40, :52])
    np.testing.assert_array_equal(result.alpha, alpha[0, :40, :52])
    lower = replace(model, description=replace(model.description, threshold=0.3))
    np.testing.assert_array_equal(lower.segment(NOISE).mask, result.probability >= np.float32(0.3))


def test_a_network_without_super_resolution_segments_too(simple, tmp_path, data):
    model = exporting.export(simple.run, tmp_path / "m", data)
    np.testing.assert_array_equal(model.segment(NOISE).alpha, models.load(tmp_path / "m").segment(NOISE).alpha)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (NOISE[None], r"\(H, W\) was expected"),
        (NOISE + 1, r"values in \[0, 1\]"),
        (NOISE * np.nan, r"values in \[0, 1\]"),
        (NOISE[:15], "15 x 52 pixels are too few, tiny takes 16 x 16"),
        (np.zeros((1025, 1024), np.float32), "more than 1048576 at once"),
    ],
)
def test_images_that_do_not_fit_are_refused(shipped, image, message):
    with pytest.raises(DataError, match=message):
        models.load(shipped).segment(image)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_invalid_thresholds_are_refused(shipped, threshold):
    with pytest.raises(ConfigError, match="above 0"):
        replace(models.load(shipped).description, threshold=threshold)


@pytest.mark.parametrize("lungs", [False, True])
def test_a_batch_is_of_one_size(shipped, lgan, lungs):
    model = models.load(lgan if lungs else shipped)
    large = np.zeros((256, 256), np.float32)
    for images, message in (([], "no image"), ([large, large[:240]], r"\(240, 256\), \(256, 256\)")):
        with pytest.raises(DataError, match=message):
            model.segment_all(images)


def test_loading_draws_no_random_numbers(shipped):
    before = torch.get_rng_state()
    models.load(shipped)
    assert torch.equal(torch.get_rng_state(), before)
