"""Inf-Net's reverse attention, deep supervision and Res2Net blocks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from softmask.nets.infnet import InfNet, PartialDecoder, Res2NetBlock, ReverseAttention, resize


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(2020)


def test_reverse_attention_is_one_minus_the_sigmoid() -> None:
    logits = torch.linspace(-6, 6, 13).view(1, 1, 1, 13)
    torch.testing.assert_close(ReverseAttention.weights(logits), 1 - torch.sigmoid(logits))


def test_reverse_attention_hides_what_is_already_found() -> None:
    module = ReverseAttention(inputs=6, edges=2, channels=4, depth=2, kernel=3, last=3).eval()
    edges = torch.randn(1, 2, 16, 16)
    found, missed = torch.full((1, 1, 4, 4), 50.0), torch.full((1, 1, 4, 4), -50.0)
    a, b = torch.randn(2, 1, 6, 8, 8)
    torch.testing.assert_close(module(a, edges, found), module(b, edges, found))
    assert not torch.allclose(module(a, edges, missed), module(b, edges, missed))


def test_refinement_adds_to_the_coarser_map() -> None:
    module = ReverseAttention(inputs=6, edges=2, channels=4, depth=2, kernel=3, last=3)
    nn.init.zeros_(module.refine[-1].weight)
    nn.init.zeros_(module.refine[-1].bias)
    logits, x = torch.randn(1, 1, 4, 4), torch.randn(1, 6, 8, 8)
    assert torch.equal(module(x, torch.randn(1, 2, 16, 16), logits), resize(logits, x))


def test_four_maps_of_the_images_size_the_finest_first() -> None:
    network = InfNet(2).eval()
    image = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        finest, _, _, decoded = network.outputs(image)
        assert len(network.outputs(image)) == 4
        for refinement in network.refinements:  # without refinements, every map is the partial decoder's
            nn.init.zeros_(refinement.refine[-1].weight)
            nn.init.zeros_(refinement.refine[-1].bias)
        unrefined, *_, same = network.outputs(image)
    assert finest.shape == decoded.shape == image.shape
    assert torch.equal(decoded, same)
    assert not torch.allclose(finest, unrefined)


def test_edge_features_guide_the_refinements_only() -> None:
    network = InfNet(2).eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        before = network.outputs(image)
        for weight in network.edges.parameters():
            weight.add_(1)
        after = network.outputs(image)
    assert [torch.equal(x, y) for x, y in zip(before, after, strict=True)] == [False, False, False, True]


def test_partial_decoder_gives_the_finest_of_its_sizes() -> None:
    decoder = PartialDecoder(4)
    assert decoder(torch.rand(2, 4, 8, 8), torch.rand(2, 4, 4, 4), torch.rand(2, 4, 2, 2)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(("first", "reached"), [(False, [True, True, True]), (True, [True, False, False])])
def test_res2net_groups_pass_on_their_result_except_in_the_first_block(first: bool, reached: list[bool]) -> None:
    block = Res2NetBlock(16, 4, stride=1, first=first)
    results: list[torch.Tensor] = []
    for conv in block.convs:
        conv.register_forward_hook(lambda module, inputs, result: results.append(result))
    block(torch.randn(2, 16, 8, 8))
    weight = block.convs[0][0].weight
    gradients = [torch.autograd.grad(x.sum(), weight, retain_graph=True, allow_unused=True)[0] for x in results]
    assert [gradient is not None for gradient in gradients] == reached


def test_a_block_with_a_stride_halves_its_input() -> None:
    assert Res2NetBlock(8, 4, stride=2, first=True)(torch.rand(2, 8, 8, 12)).shape == (2, 16, 4, 6)
