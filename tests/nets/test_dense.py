"""Patch classifiers as dense networks: one pass gives for every pixel the output for the patch around it."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets import cascadedcnn, cfcnn, dbresnet, mccnn, mcroicnn, mvdcnn
from softmask.nets.dense import Branches, Conv, MaxPool, Shrink, conv, densify


def settled(layers: nn.Sequential) -> nn.Sequential:
    """The layers in evaluation mode, with running statistics and biases that are not those of a new network."""
    layers = deepcopy(layers).eval()
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d):
            module.reset_parameters()
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.1, 0.3, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return layers


LAYERS = {
    "odd": (
        nn.Sequential(conv(1, 3, 3), MaxPool(3, 2), conv(3, 2, 3), MaxPool(3, 2)),
        1,
        13,
    ),
    "even windows in pairs": (nn.Sequential(MaxPool(4), Conv(1, 2, 3), MaxPool(2)), 1, 7),
    "even patch": (nn.Sequential(conv(1, 3, 5), MaxPool(2, 2), Conv(3, 2, 2)), 1, 8),
    "shrunk": (nn.Sequential(Shrink(2), Conv(1, 2, 3)), 1, 7),
    "sum": (nn.Sequential(Branches(Conv(1, 2, 5), Conv(1, 2, 1), summed=True)), 1, 5),
    "join": (nn.Sequential(Branches(Conv(1, 2, 3), MaxPool(3)), Conv(3, 2, 3)), 1, 5),
    "cfcnn": (cfcnn.branch(3, 1), 1, 35),
    "cfcnn, coarse": (cfcnn.branch(3, 2), 1, 71),
    "dbresnet": (dbresnet.branch(3, 1), 1, 35),
    "dbresnet, coarse": (dbresnet.branch(3, 2), 1, 71),
    "mccnn": (mccnn.classifier(4), 1, 45),
    "mvdcnn": (mvdcnn.branch(3, 1), 1, 35),
    "mvdcnn, coarse": (mvdcnn.branch(3, 3), 1, 105),
    "mcroicnn": (mcroicnn.classifier(6), 3, 53),
    "cascadedcnn": (cascadedcnn.two_pathways(2, 2), 2, 33),
}
"""Strided layers, published classifiers among them, their channels and the size of their patches."""


@pytest.mark.parametrize("name", LAYERS)
def test_strided_layers_and_their_dense_form_agree(name):
    """The dense pass over an image is the strided classifier on each patch that lies inside of it."""
    layers, channels, patch = LAYERS[name]
    strided = settled(layers)
    passed = deepcopy(strided)
    reach, _ = densify(passed)
    assert reach + 1 == patch
    image = torch.rand(1, channels, patch + 3, patch + 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = passed(image)
        assert whole.shape[-2:] == image.shape[-2:]
        patches = image.unfold(2, patch, 1).unfold(3, patch, 1)  # (1, C, 4, 3, P, P)
        single = strided(patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2))  # of (12, C, P, P)
    assert single.shape[-2:] == (1, 1)
    centre = (patch - 1) // 2
    inside = whole[0, :, centre : centre + 4, centre : centre + 3]  # (K, 4, 3)
    torch.testing.assert_close(inside.flatten(1).T, single[..., 0, 0], rtol=1e-5, atol=1e-5)
    assert single.std(0).max() > 1e-3  # the patches differ, so a shift by a pixel would show


def test_central_pooling_takes_the_largest_of_each_window():
    layer = cfcnn.CentralPoolConv(2, 3)
    x = torch.randn(1, 2, 7, 7)
    edges = [slice(0, 3), slice(3, 4), slice(4, 7)]
    rows = [torch.stack([x[..., row, column].amax((-2, -1)) for column in edges], dim=-1) for row in edges]
    pooled = torch.stack(rows, dim=-2)  # (1, 2, 3, 3)
    torch.testing.assert_close(layer(x), F.conv2d(pooled, layer.kernel.weight))


def test_convolution_by_fourier_transform_is_a_convolution():
    layer = cascadedcnn.SpectralConv(3, 5)
    x = torch.randn(2, 3, 12, 9)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.kernel.weight, layer.kernel.bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("inputs", "published"), [(4, 651_488), (9, 802_368)])
def test_two_pathways_have_the_published_kernels(inputs, published):
    """One kernel of each maxout unit, no biases, five classes: the counts in figures 2 and 3a of Havaei et al."""
    layers = cascadedcnn.two_pathways(64, inputs)
    kernels = [m.weight.numel() for m in layers.modules() if isinstance(m, nn.Conv2d)]
    *maxout, output = kernels
    assert sum(maxout) // cascadedcnn.PIECES + 5 * output == published
