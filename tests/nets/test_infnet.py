"""Inf-Net's reverse attention, deep supervision and Res2Net blocks."""

import pytest
import torch
from torch import nn

from softmask.nets.infnet import InfNet, Res2NetBlock, ReverseAttention


def test_reverse_attention_hides_what_is_already_found() -> None:
    module = ReverseAttention(inputs=6, edges=2, channels=4, depth=2, kernel=3, last=3).eval()
    edges = torch.randn(1, 2, 16, 16)
    found, missed = torch.full((1, 1, 4, 4), 50.0), torch.full((1, 1, 4, 4), -50.0)
    a, b = torch.randn(2, 1, 6, 8, 8)
    torch.testing.assert_close(module(a, edges, found), module(b, edges, found))
    assert not torch.allclose(module(a, edges, missed), module(b, edges, missed))


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
