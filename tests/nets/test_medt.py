"""MedT's gated axial attention against its equation, and the patches of its local branch."""

from math import exp

import pytest
import torch

from softmask.nets.medt import TRAINED, AxialAttention, MedT, join, split


def gated_equation(module: AxialAttention, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The gated attention of the publication, pixel by pixel, for one column of one head: (c, N) -> (c, N)."""
    gate_q, gate_k, gate_v1, gate_v2 = module.gates.tolist()
    r_q, r_k, r_v = module.embeddings.split(module.sizes)
    length = q.shape[1]
    y = torch.zeros_like(v)
    for i in range(length):
        terms = []
        for j in range(length):
            offset = j - i + module.reach - 1
            similarity = q[:, i] @ k[:, j] + gate_q * (q[:, i] @ r_q[:, offset]) + gate_k * (k[:, j] @ r_k[:, offset])
            terms.append((exp(similarity), gate_v1 * v[:, j] + gate_v2 * r_v[:, offset]))
        y[:, i] = sum(weight * value for weight, value in terms) / sum(weight for weight, _ in terms)
    return y


def queries_keys_values(module: AxialAttention, height: int, width: int) -> list[torch.Tensor]:
    return [torch.randn(2, module.heads, size, height, width) for size in module.sizes]


def test_attention_is_the_gated_equation() -> None:
    module = AxialAttention(channels=8, heads=2, axis=2, reach=5)
    with torch.no_grad():
        module.gates.copy_(torch.tensor([0.7, -0.4, 1.3, 0.6]))
        q, k, v = queries_keys_values(module, 5, 3)
        found = module.attend(q, k, v)
        assert found.shape == v.shape
        for image in range(2):
            for head in range(2):
                for column in range(3):
                    one = [x[image, head, :, :, column] for x in (q, k, v)]
                    torch.testing.assert_close(found[image, head, :, :, column], gated_equation(module, *one))


@pytest.mark.parametrize(
    ("axis", "seen"), [(2, [(row, 3) for row in range(5)]), (3, [(2, column) for column in range(6)])]
)
def test_a_pixel_attends_to_its_column_or_its_row(axis: int, seen: list[tuple[int, int]]) -> None:
    module = AxialAttention(channels=4, heads=1, axis=axis, reach=6).eval()
    x = torch.randn(1, 4, 5, 6, requires_grad=True)
    module(x)[0, :, 2, 3].sum().backward()
    assert [tuple(place) for place in x.grad.abs().sum((0, 1)).nonzero().tolist()] == seen


def test_pixels_further_apart_than_the_embeddings_reach_take_the_last() -> None:
    module = AxialAttention(channels=4, heads=1, axis=2, reach=3)
    near, far = module.positions(3)[0], module.positions(6)[0]  # (c, 3, 3), (c, 6, 6)
    assert torch.equal(far[:, :3, :3], near)
    assert torch.equal(far[:, 0, 3:], near[:, 0, 2:].expand(-1, 3))
    assert torch.equal(far[:, 5, 0], near[:, 2, 0])


def test_patches_are_cut_and_joined_again() -> None:
    image = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    patches = split(image)
    assert patches.shape == (32, 3, 2, 3)
    assert torch.equal(patches[16 + 4 * 2 + 1], image[1, :, 4:6, 3:6])  # second image, third row, second column
    assert torch.equal(join(patches), image)


def test_the_local_branch_sees_one_patch_only() -> None:
    network = MedT(1).eval()
    image = torch.rand(1, 1, TRAINED, TRAINED, requires_grad=True)
    join(network.local(split(image)))[0, :, 20, 40].sum().backward()  # second row of patches, third column
    touched = image.grad[0, 0].nonzero()
    assert {(row // 16, column // 16) for row, column in touched.tolist()} == {(1, 2)}
