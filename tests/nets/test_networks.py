"""What every registered network must do, whatever it is."""

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
"""Learning rates for that, where 0.01 is too high: nothing is normalised in it."""

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
"""Of our networks, counted; a layer that is lost or added shows here, also where the published number is near."""

SEVERAL = sorted(name for name in NETWORKS if NETWORKS[name].several)
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
def test_gives_one_map_of_logits_of_the_images_size(name: str) -> None:
    network = narrow(name).eval()
    for height, width in [(SIZE, SIZE), (SIZE, SIZE + max(network.STRIDE, 32))]:
        image = torch.rand(2, network.inputs, height, width)
        with torch.no_grad():
            logits = network(image)
            outputs = network.outputs(image)
        assert logits.shape == (2, 1, height, width)
        assert logits.isfinite().all()
        assert torch.equal(logits, outputs[0])
        assert {output.shape for output in outputs} == {logits.shape}


@every_network
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_every_parameter_gets_a_gradient(name: str, batch: int) -> None:
    network = narrow(name).train()
    image = torch.rand(batch, network.inputs, SIZE, SIZE)
    outputs = network.training_outputs(image)
    sum(F.binary_cross_entropy_with_logits(logits, (image[:, :1] > 0.5).float()) for logits in outputs).backward()
    missing = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_deeplabv3plus_trains_on_one_image_at_full_width_and_then_sees_it_alike() -> None:
    network = build("deeplabv3plus").train()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4)
    images, masks = (x[:1] for x in blobs(1))
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    F.binary_cross_entropy_with_logits(network(images), masks).backward()
    optimiser.step()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert any(not torch.equal(parameter, before[name]) for name, parameter in network.named_parameters())
    pooling = network.model.decoder.aspp[0].convs[-1]
    one = torch.rand(1, pooling[1].in_channels, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(pooling(one), pooling.eval()(one))


@every_network
def test_other_shapes_are_errors_that_name_one_that_fits(name: str) -> None:
    network = narrow(name)
    wanted = "grey images" if network.inputs == 1 else f"images of {network.inputs} channels"
    with pytest.raises(ConfigError, match=wanted):
        network(torch.rand(1, network.inputs + 2, SIZE, SIZE))
    with pytest.raises(ConfigError, match=wanted):
        network(torch.rand(SIZE, SIZE))
    stride = network.STRIDE
    if stride > 1:
        least = -(-max(network.SMALLEST, stride) // stride) * stride
        for call in (network, network.training_outputs):
            with pytest.raises(ConfigError, match=f"{least + stride} x {least}"):
                call(torch.rand(1, network.inputs, least + 1, least))
    if stride < network.SMALLEST:
        with pytest.raises(ConfigError, match=f"{network.SMALLEST} x {network.SMALLEST}"):
            network(torch.rand(1, network.inputs, stride, stride))


@pytest.mark.parametrize("more", [1, 2])
@pytest.mark.parametrize("name", SEVERAL)
def test_several_channels_all_count(name: str, more: int) -> None:
    inputs = entry(name).load().CHANNELS + more
    network = narrow(name, inputs).train()
    image = torch.rand(2, inputs, SIZE, SIZE, requires_grad=True)
    logits = network(image)
    assert logits.shape == (2, 1, SIZE, SIZE)
    logits.square().mean().backward()
    assert (image.grad.abs().amax((0, 2, 3)) > 0).all()
    needed = rf"images of {inputs} channels \(B, {inputs}, H, W\)"
    for wrong in (1, inputs + 1):
        with pytest.raises(ConfigError, match=rf"{needed}, not .*\(2, {wrong}, "):
            network(torch.rand(2, wrong, SIZE, SIZE))


def test_what_a_network_cannot_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="unet answers at the size of its images"):
        build("unet", 4, reduction=2)
    with pytest.raises(ConfigError, match=f"unet takes grey images, not .* 2 channels.* {', '.join(SEVERAL)}"):
        build("unet", 4, 2)


@pytest.mark.parametrize("name", [name for name in NETWORKS if NETWORKS[name].reduces])
def test_a_network_that_reduces_its_images(name: str) -> None:
    for reduction in (2, 4):
        network = build(name, NETWORKS[name].smoke, reduction=reduction)
        height = max(network.STRIDE, network.SMALLEST)
        image = torch.rand(2, network.inputs, height, height + network.STRIDE)
        expected = (2, 1, height // reduction, (height + network.STRIDE) // reduction)
        assert network(image).shape == expected


@pytest.mark.parametrize("name", FULL_WIDTH_PARAMETERS)
def test_numbers_of_parameters(name: str) -> None:
    with torch.device("meta"):
        number, published = n_parameters(build(name)), entry(name).load().PARAMETERS
    assert number == FULL_WIDTH_PARAMETERS[name]
    assert published is None or number == pytest.approx(published, rel=0.1)


@every_network
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path) -> None:
    network = narrow(name)
    image = torch.rand(2, network.inputs, SIZE, SIZE)
    network.train()(image)  # moves the running means, which must be saved too
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = narrow(name)
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        assert torch.equal(network.eval()(image), loaded.eval()(image))


@every_network
def test_learns_one_batch_by_heart(name: str) -> None:
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


def test_an_unknown_name_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"'u-net'.*" + ", ".join(sorted(NETWORKS))):
        build("u-net")


@pytest.mark.parametrize("number", [0, -4, 2.5, True, "8"])
def test_widths_and_channels_are_whole_numbers_of_at_least_one(number) -> None:
    with pytest.raises(ConfigError, match="width of unet"):
        build("unet", number)
    with pytest.raises(ConfigError, match="number of input channels of cenet"):
        build("cenet", 4, number)
    with pytest.raises(ConfigError, match="at least 2"):
        build("attention_unet", 1)
