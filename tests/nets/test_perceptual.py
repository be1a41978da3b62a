"""The perceptual loss: VGG19's features, and where their weights come from."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg19

from softmask.errors import DataError
from softmask.nets.perceptual import DEVIATION, HUB_FILE, LAYERS, MEAN, Perceptual


@pytest.fixture(autouse=True)
def _no_file(monkeypatch, tmp_path):
    monkeypatch.delenv("SOFTMASK_VGG19", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def weights():
    """VGG19's weights up to the deepest layer in use, as in torchvision's file but random."""
    torch.manual_seed(1)
    with torch.device("meta"):
        shapes = vgg19(weights=None).state_dict()
    features = {name: value.shape for name, value in shapes.items() if name.startswith("features.")}
    return {name: 0.05 * torch.randn(shape) for name, shape in features.items()}


def by_torchvision(weights, layer, image):
    with torch.device("meta"):
        features = vgg19(weights=None).features
    features.to_empty(device="cpu").load_state_dict({name[9:]: value for name, value in weights.items()})
    colours = [(image - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    with torch.no_grad():
        return features[: LAYERS[layer]](torch.cat(colours, dim=1))


@pytest.mark.parametrize(("layer", "channels", "size"), [("vgg22", 128, 16), ("vgg54", 512, 2)])
def test_compares_the_features_of_the_weights_that_the_variable_names(
    weights, tmp_path, monkeypatch, layer, channels, size
):
    torch.save(weights, tmp_path / "vgg.pth")
    monkeypatch.setenv("SOFTMASK_VGG19", str(tmp_path / "vgg.pth"))
    perceptual = Perceptual(layer)
    image, reference = torch.rand(2, 2, 1, 32, 32)
    ours, theirs = perceptual.features(image), by_torchvision(weights, layer, image)
    assert ours.shape == (2, channels, size, size)
    torch.testing.assert_close(ours, theirs)
    expected = (theirs - by_torchvision(weights, layer, reference)).square().mean()
    torch.testing.assert_close(perceptual(image, reference), expected)
    assert perceptual.origin == "VGG19 with the weights in vgg.pth"


def test_safetensors_and_the_hubs_file_are_the_same(weights, tmp_path, monkeypatch):
    hub = tmp_path / "torch" / "hub" / "checkpoints" / HUB_FILE
    hub.parent.mkdir(parents=True)
    torch.save(weights, hub)
    from_hub = Perceptual("vgg22")
    save_file(weights, tmp_path / "vgg.safetensors")
    monkeypatch.setenv("SOFTMASK_VGG19", str(tmp_path / "vgg.safetensors"))
    assert Perceptual("vgg22").digest() == from_hub.digest()
    assert HUB_FILE in from_hub.origin


def test_without_a_file_the_weights_are_those_of_a_fixed_seed():
    torch.manual_seed(1)
    first = Perceptual("vgg22")
    torch.manual_seed(2)
    again = Perceptual("vgg22")
    assert first.digest() == again.digest()
    assert first.digest() != Perceptual("vgg54").digest()
    assert "random weights" in first.origin
    image = torch.rand(2, 1, 32, 32)
    assert first(image, image) == 0
    assert 1e-3 < first(image, image.flip(-1)) < 1e3


def test_a_file_that_is_no_vgg19_is_named_with_its_first_wrong_tensor(weights, tmp_path, monkeypatch):
    path = tmp_path / "vgg.pth"
    monkeypatch.setenv("SOFTMASK_VGG19", str(path))
    torch.save({**weights, "features.2.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(DataError, match=r"vgg\.pth.*features\.2\.weight is of shape \(64, 3, 3, 3\), not \(64, 64"):
        Perceptual("vgg22")
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match=r"features\.0\.weight is missing"):
        Perceptual("vgg22")


@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all, but long enough to be read"])
def test_a_file_that_is_damaged_or_missing_is_named(tmp_path, monkeypatch, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    monkeypatch.setenv("SOFTMASK_VGG19", str(path))
    with pytest.raises(DataError, match=rf"{name}: cannot be read as weights .*; get torchvision's {HUB_FILE} again"):
        Perceptual("vgg22")
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}' is not a file"):
        Perceptual("vgg22")
