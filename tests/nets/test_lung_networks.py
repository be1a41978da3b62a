"""LGAN's generator and the networks of its table 4, each by what its paper says of it."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets import NETWORKS, build
from softmask.nets.fcn import bilinear
from softmask.nets.initial import gaussian
from softmask.nets.lgan import SLOPE
from softmask.nets.segcaps import Capsules, squash


@pytest.mark.parametrize("name", ["fcn", "tiramisu"])
def test_any_size_will_do(name) -> None:
    network = build(name, NETWORKS[name].smoke).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 33, 71)).shape == (1, 1, 33, 71)


def test_the_generators_levels_are_those_of_figure_2() -> None:
    network = build("lgan_generator", 4).eval()
    levels = network.levels(torch.rand(2, 1, 64, 64))
    shapes = {name: tuple(map_.shape[1:]) for name, map_ in levels.items()}
    assert shapes == {
        "encoder1": (4, 64, 64),
        "encoder2": (8, 32, 32),
        "encoder3": (16, 16, 16),
        "encoder4": (32, 8, 8),
        "encoder5": (64, 4, 4),
        "decoder4": (32, 8, 8),
        "decoder3": (16, 16, 16),
        "decoder2": (8, 32, 32),
        "decoder1": (4, 64, 64),
        "logits": (1, 64, 64),
    }
    kinds = {type(layer) for layer in network.modules() if not list(layer.children())}
    assert kinds == {nn.Conv2d, nn.LeakyReLU, nn.MaxPool2d, nn.ConvTranspose2d}


@pytest.mark.parametrize(
    ("layer", "summed"),
    [
        (nn.Conv2d(16, 64, 3), 144),
        (nn.Linear(300, 64), 300),
        (nn.ConvTranspose2d(128, 32, 2, stride=2), 128),
        (nn.ConvTranspose2d(32, 64, 3, stride=2), 72),
    ],
)
def test_gaussian_is_hes(layer, summed) -> None:
    gaussian(layer, SLOPE)
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (1.04 * summed)), rel=0.05)
    assert not layer.bias.any()


def test_bilinear_doubles_a_map_as_torch_does() -> None:
    x = torch.rand(1, 1, 6, 7)
    found = F.conv_transpose2d(x, bilinear(), stride=2, padding=1)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_tiramisu_has_103_layers() -> None:
    """Convolutions: one first, 38 + 38 in the dense blocks, 15 at the bottom, 5 down, 5 up, the head."""
    with torch.device("meta"):
        network = build("tiramisu")
    assert sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules()) == 103


def test_segcaps_logits_are_those_of_the_lengths() -> None:
    network, found = build("segcaps", 2).eval(), []
    network.last.register_forward_hook(lambda *args: found.append(args[-1]))
    logits = network(torch.rand(1, 1, 16, 16))
    lengths = squash(found[0]).square().sum(2).sqrt()
    torch.testing.assert_close(torch.sigmoid(logits), lengths, atol=1.1e-3, rtol=0)


def routed(votes: torch.Tensor, rounds: int) -> torch.Tensor:
    """Routing as the publication writes it: b = 0; c = softmax(b); s = sum c u + bias; b = b + u . squash(s).

    ``votes`` (S, T, A) of one place; returns s (T, A).
    """
    b = torch.zeros(votes.shape[:2])
    for _ in range(rounds):
        s = torch.einsum("st,sta->ta", torch.softmax(b, dim=1), votes) + 0.1
        square = s.square().sum(1, keepdim=True)
        b = b + torch.einsum("sta,ta->st", votes, square / (1 + square) * s / square.sqrt())
    return s


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("types", [1, 4])
def test_routing_is_the_publications(rounds, types) -> None:
    layer = Capsules(nn.Conv2d(3, types * 5, 1, bias=False), types, 5, rounds)
    x = torch.randn(2, 6, 3, 4, 4)
    found = layer(x)
    weight = layer.conv.weight.view(types, 5, 3)
    votes = torch.einsum("tai,sihw->stahw", weight, x[1])
    torch.testing.assert_close(found[1, :, :, 2, 3], routed(votes[..., 2, 3], rounds), atol=1e-5, rtol=1e-4)
