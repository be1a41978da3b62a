"""SRGAN's generator and discriminator."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets import n_parameters
from softmask.nets.srgan import REACH, SCALE, Generator


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
