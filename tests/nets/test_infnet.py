"""Inf-Net's reverse attention, deep supervision and Res2Net blocks."""

import pytest
import torch

from softmask.nets.infnet import Res2NetBlock, ReverseAttention


def test_reverse_attention_hides_what_is_already_found() -> None:
    module = ReverseAttention(inputs=6, edges=2, channels=4, depth=2, kernel=3, last=3).eval()
    edges = torch.randn(1, 2, 16, 16)
    found, missed = torch.full((1, 1, 4, 4), 50.0), torch.full((1, 1, 4, 4), -50.0)
    a, b = torch.randn(2, 1, 6, 8, 8)
    torch.testing.assert_close(module(a, edges, found), module(b, edges, found))
    assert not torch.allclose(module(a, edges, missed), module(b, edges, missed))


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
