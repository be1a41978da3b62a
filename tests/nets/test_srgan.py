"""SRGAN's generator and discriminator."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets import NETWORKS, SR_NETWORKS, build, entry, n_parameters
from softmask.nets.srgan import REACH, SCALE, Discriminator, Generator, Transferring, transferred


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(2020)


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 1, 7, 13), (1, 1, 1, 1)])
def test_enlarges_any_image_four_times(shape):
    generator = Generator(4).eval()
    image = torch.rand(shape)
    with torch.no_grad():
        found, detail = generator.features(image)
    b, _, height, width = shape
    assert found.shape == (b, 1, 4 * height, 4 * width)
    assert detail.shape == (b, 4, 4 * height, 4 * width)
    torch.testing.assert_close(found, F.interpolate(image, scale_factor=4, mode="bilinear") + generator.last(detail))
    assert torch.equal(generator(image), found)


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (16, 16)])
def test_other_shapes_are_errors(shape):
    with pytest.raises(ConfigError, match="grey images"):
        Generator(4)(torch.rand(shape))


def test_a_pixel_sees_as_far_as_reach_says_and_no_farther():
    generator = Generator(2).eval()
    for parameter in generator.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # all positive: nothing cancels
    far, size = REACH + 2, 2 * (REACH + 2) + 1
    image = torch.rand(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    generator.double()(image)[0, 0, SCALE * far : SCALE * far + SCALE, SCALE * far].sum().backward()
    seen = image.grad[0, 0].sum(1).nonzero().flatten()
    assert (seen.min().item(), seen.max().item()) == (far - REACH, far + REACH)


def test_the_publications_generator():
    """Counted by hand: 9x9 and 3x3 kernels, with biases where no batch normalisation follows, slopes of PReLU."""
    w = 64
    first, last = 81 * w + w + 1, 81 * w + 1
    norm = 2 * w
    block = 2 * (9 * w * w + norm) + 1
    enlarge = 2 * (9 * w * 4 * w + 4 * w + 1)
    assert n_parameters(Generator(w)) == first + 5 * block + 9 * w * w + norm + enlarge + last


def test_learns_a_batch_by_heart():
    """Sharp squares, where interpolation gives smooth ones."""
    generator, low = Generator(4), torch.rand(2, 1, 8, 8)
    high = F.interpolate(low, scale_factor=SCALE, mode="nearest")
    interpolated = (F.interpolate(low, scale_factor=SCALE, mode="bilinear") - high).square().mean()
    optimiser = torch.optim.Adam(generator.parameters(), lr=0.01)
    for _ in range(150):
        error = (generator(low) - high).square().mean()
        if error < interpolated / 4:
            return
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    pytest.fail(f"the mean squared error is {error.item():.4f} after 150 steps, interpolation's {interpolated:.4f}")


@pytest.mark.parametrize("size", [32, 64, 96])
def test_a_discriminator_judges_each_patch_of_any_size(size):
    discriminator = Discriminator(2)
    logits = discriminator(torch.rand(3, 1, size, size))
    assert logits.shape == (3, 1)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_the_publications_discriminator_has_its_channels():
    convolutions = [layer for layer in Discriminator(64).layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [layer.stride[0] for layer in convolutions] == [1, 2, 1, 2, 1, 2, 1, 2]


def test_is_found_by_name_beside_the_segmenting_networks():
    assert not set(SR_NETWORKS) & set(NETWORKS)
    generator = build("srgan", entry("srgan").width("smoke"))
    assert isinstance(generator, Generator)
    assert entry("srgan").width("smoke") < entry("srgan").width("cpu") < entry("srgan").width("full") == 64
    with pytest.raises(ConfigError, match=r"'srgam'.*unet.*srgan"):
        entry("srgam")


@pytest.mark.parametrize("scale", [2, 4])
def test_a_segmentor_behind_a_generator_gives_what_its_parts_give(scale):
    generator, network = Generator(4).eval(), build("dsnet", 4, 6, scale).eval()
    whole = Transferring(generator, network, scale)
    images = torch.rand(3, 1, 32, 16)
    seen = transferred(generator, images, scale)
    assert seen.shape == (3, 6, scale * 32, scale * 16)
    torch.testing.assert_close(seen[:, :1], F.interpolate(images, scale_factor=scale, mode="bilinear"))
    torch.testing.assert_close(whole(images), network(seen))
    assert (whole.STRIDE, whole.SMALLEST, whole.inputs) == (16, -(-network.SMALLEST // scale), 1)
    assert not whole.training


def test_training_behind_a_generator_leaves_it_as_it_is():
    generator, network = Generator(4).eval(), build("dsnet", 4, 6, 4)
    frozen = {name: value.clone() for name, value in generator.state_dict().items()}
    first = {name: value.clone() for name, value in network.named_parameters()}
    whole = Transferring(generator, network).train()
    optimiser = torch.optim.Adam(whole.parameters(), lr=1e-2)
    whole(torch.rand(2, 1, 16, 16)).square().mean().backward()
    optimiser.step()
    assert network.training
    assert not generator.training
    assert all(torch.equal(value, frozen[name]) for name, value in generator.state_dict().items())
    assert any(not torch.equal(value, first[name]) for name, value in network.named_parameters())
