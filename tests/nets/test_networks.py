"""Tests that every registered network must pass."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets import NETWORKS, SegmentationNet, build, entry, n_parameters

SIZE = 64
STEPS = 150
"""Most steps that a network may need to learn four images by heart."""

RATES = {"lgan_generator": 3e-3}
"""Learning rates for that, if 0.01 is too high."""

FULL_WIDTH_PARAMETERS = {
    "improved_backbone": 46588020,
    "sr_input": 46624820,
    "dsnet": 46588058,
    "dsnet_dtm": 46588051,
    "dsnet_without_drtm": 46588039,
    "dsnet_v1": 46588056,
    "dsnet_v1_edrfm": 46588048,
    "softgan_2020": 29237889,
    "unet": 31036481,
    "softseg": 46588020,
    "unet_softseg": 31036481,
    "segnet": 29434497,
    "deeplabv3plus": 45792337,
    "unetplusplus": 9115108,
    "attention_unet": 31739185,
    "unet3plus": 26981957,
    "cenet": 28995827,
    "infnet": 31071564,
    "medt": 1379905,
    "medt_sr": 1379905,
    "cfcnn": 258521,
    "dbresnet": 565505,
    "mccnn": 202657,
    "mvdcnn": 503329,
    "mcroicnn": 4607,
    "cascadedcnn": 528386,
    "lgan_generator": 31030593,
    "fcn": 134268515,
    "tiramisu": 9318657,
    "segcaps": 1416112,
}
"""Numbers of parameters of our networks."""

SEVERAL = sorted(name for name in NETWORKS if NETWORKS[name].multichannel)
"""Networks of images with several channels."""

every_network = pytest.mark.parametrize("name", sorted(NETWORKS))


def narrow(name: str, inputs: int | None = None) -> SegmentationNet:
    return build(name, NETWORKS[name].smoke, inputs)


def blobs(inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Four soft discs in noise, (4, inputs, 64, 64) with all channels alike, and their masks, (4, 1, 64, 64)."""
    place = torch.arange(SIZE, dtype=torch.float32)
    centre = torch.tensor([[28.0, 30.0], [36.0, 26.0], [30.0, 38.0], [34.0, 34.0]])
    radius = torch.tensor([10.0, 13.0, 16.0, 19.0])
    row, column = place[:, None] - centre[:, 0, None, None], place[None, :] - centre[:, 1, None, None]
    distance = (torch.hypot(row, column) - radius[:, None, None])[:, None]  # (4, 1, 64, 64)
    noise = 0.05 * torch.randn(distance.shape, generator=torch.Generator().manual_seed(4))
    images = (0.2 + 0.5 * torch.sigmoid(-distance) + noise).clamp(0, 1)
    return images.repeat(1, inputs, 1, 1), (distance < 0).float()


def dice(logits: torch.Tensor, mask: torch.Tensor) -> float:
    """Least Dice of the images, binarised at one half."""
    predicted = (logits > 0).float()
    overlap, total = (predicted * mask).sum((1, 2, 3)), (predicted + mask).sum((1, 2, 3))
    return (2 * overlap / total).min().item()


@every_network
def test_gives_one_map_of_logits_of_the_images_size_also_after_loading(name, tmp_path):
    network = narrow(name).train()
    network(torch.rand(2, network.inputs, SIZE, SIZE))  # moves the running means, which must be saved too
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = narrow(name).eval()
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    network.eval()
    for width in (SIZE, SIZE + max(network.STRIDE, 32)):
        image = torch.rand(2, network.inputs, SIZE, width)
        with torch.no_grad():
            outputs = network.outputs(image)
            assert torch.equal(loaded(image), outputs[0])
        assert {output.shape for output in outputs} == {(2, 1, SIZE, width)}
        assert outputs[0].isfinite().all()


@every_network
@pytest.mark.parametrize("batch", [1, 2])
def test_every_parameter_gets_a_gradient(name, batch):
    network = narrow(name).train()
    image = torch.rand(batch, network.inputs, SIZE, SIZE)
    outputs = network.training_outputs(image)
    sum(F.binary_cross_entropy_with_logits(logits, (image[:, :1] > 0.5).float()) for logits in outputs).backward()
    missing = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_network
def test_other_shapes_are_errors_that_name_those_that_fit(name):
    network = narrow(name)
    inputs, stride, smallest = network.inputs, network.STRIDE, network.SMALLEST
    shapes = [(1, inputs + 2, SIZE, SIZE), (SIZE, SIZE)]
    shapes += [(1, inputs, stride * SIZE + 1, stride * SIZE)] if stride > 1 else []
    shapes += [(1, inputs, stride, stride)] if stride < smallest else []
    needed = rf"\(B, {inputs}, H, W\), H and W multiples of {stride} and at least {smallest}, not \("
    for shape in shapes:
        with pytest.raises(ConfigError, match=needed):
            network(torch.empty(shape))


@pytest.mark.parametrize("name", SEVERAL)
def test_several_channels_all_count(name):
    inputs = entry(name).load().CHANNELS + 2
    network = narrow(name, inputs).train()
    image = torch.rand(2, inputs, SIZE, SIZE, requires_grad=True)
    logits = network(image)
    assert logits.shape == (2, 1, SIZE, SIZE)
    logits.square().mean().backward()
    assert (image.grad.abs().amax((0, 2, 3)) > 0).all()


@pytest.mark.parametrize("reduction", [2, 4])
@pytest.mark.parametrize("name", [name for name in NETWORKS if NETWORKS[name].reduces])
def test_a_network_that_reduces_its_images(name, reduction):
    network = build(name, NETWORKS[name].smoke, reduction=reduction)
    height = max(network.STRIDE, network.SMALLEST)
    image = torch.rand(2, network.inputs, height, height + network.STRIDE)
    assert network(image).shape == (2, 1, height // reduction, (height + network.STRIDE) // reduction)


@pytest.mark.parametrize("name", FULL_WIDTH_PARAMETERS)
def test_numbers_of_parameters(name):
    with torch.device("meta"):
        number, published = n_parameters(build(name)), entry(name).load().PARAMETERS
    assert number == FULL_WIDTH_PARAMETERS[name]
    assert published is None or number == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"medt_sr"}))  # MedT itself, where images are not reduced
def test_learns_one_batch_by_heart(name):
    network = narrow(name).to(memory_format=torch.channels_last).train()
    image, mask = (x.to(memory_format=torch.channels_last) for x in blobs(network.inputs))
    optimiser = torch.optim.Adam(network.parameters(), lr=RATES.get(name, 0.01))
    for _ in range(STEPS):
        outputs = network.training_outputs(image)
        if dice(outputs[0], mask) > 0.95:
            return
        optimiser.zero_grad()
        sum(F.binary_cross_entropy_with_logits(logits, mask) for logits in outputs).backward()
        optimiser.step()
    pytest.fail(f"Dice is {dice(outputs[0], mask):.3f} after {STEPS} steps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("u-net",), r"'u-net'.*" + ", ".join(sorted(NETWORKS))),
        (("unet", 0), "width of unet must be a whole number of at least 1, not 0"),
        (("cenet", 4, -4), "number of channels of cenet must be a whole number of at least 1, not -4"),
        (("unet", 4, 2), "with 2 channels"),
        (("unet", 4, 1, 2), "reduced by 2"),
        (("unet", "8"), "width of unet must be a whole number of at least 1, not '8'"),
        (("attention_unet", 1), "width of attention_unet must be a whole number of at least 2, not 1"),
        (("dsnet", 4, 2), "number of channels of dsnet must be a whole number of at least 3, not 2"),
        (("dsnet", 4, 3, 3), "reduced by 3"),
    ],
)
def test_networks_that_do_not_exist_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(*arguments)
