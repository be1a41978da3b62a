"""Modules of single networks against the equations, counts and sizes of their papers."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets import NETWORKS, build, n_parameters
from softmask.nets.base import gaussian
from softmask.nets.cenet import DEPTHS, CENet, DenseAtrousConv
from softmask.nets.dsnet import (
    PICTURES,
    ChannelSelectiveFusion,
    DetailTextureEnhancement,
    WithoutDRTM,
    WithoutSelection,
    drtm,
    edrfm,
    sdrfm,
)
from softmask.nets.infnet import Res2NetBlock, ReverseAttention
from softmask.nets.lgan import SLOPE
from softmask.nets.medt import TRAINED, AxialAttention, MedT, join, split
from softmask.nets.segcaps import Capsules, squash
from softmask.nets.softgan_2020 import SoftGAN2020
from softmask.nets.srgan import REACH, SCALE, Generator

# ---- initial weights ----


@pytest.mark.parametrize(
    ("layer", "summed"),
    [
        (nn.Conv2d(16, 64, 3), 144),
        (nn.Linear(300, 64), 300),
        (nn.ConvTranspose2d(128, 32, 2, stride=2), 128),
        (nn.ConvTranspose2d(32, 64, 3, stride=2), 72),
    ],
)
def test_gaussian_is_hes(layer, summed):
    gaussian(layer, SLOPE)
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (1.04 * summed)), rel=0.05)
    assert not layer.bias.any()


# ---- CasGAN and SRGAN ----


@pytest.mark.parametrize(("inputs", "millions"), [(1, 54.408), (3, 54.414)])
def test_with_eight_levels_casgans_segmentor_has_the_parameters_of_pix2pix(inputs, millions):
    """As its code prints them, for as many channels out as in; ours gives one map."""

    class Pix2Pix(SoftGAN2020):
        LEVELS = 8

    with torch.device("meta"):
        count = n_parameters(Pix2Pix(64, inputs))
    assert round((count + (inputs - 1) * (2 * 64 * 4 * 4 + 1)) / 1e6, 3) == millions


def test_srgans_receptive_field_is_its_reach():
    generator = Generator(2).eval()
    for parameter in generator.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # all positive: nothing cancels
    far, size = REACH + 2, 2 * (REACH + 2) + 1
    image = torch.rand(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    generator.double()(image)[0, 0, SCALE * far : SCALE * far + SCALE, SCALE * far].sum().backward()
    seen = image.grad[0, 0].sum(1).nonzero().flatten()
    assert (seen.min().item(), seen.max().item()) == (far - REACH, far + REACH)


def test_srgan_has_the_publications_parameters():
    """Counted by hand: 9x9 and 3x3 kernels, with biases where no batch normalisation follows, slopes of PReLU."""
    w = 64
    first, last = 81 * w + w + 1, 81 * w + 1
    norm = 2 * w
    block = 2 * (9 * w * w + norm) + 1
    enlarge = 2 * (9 * w * 4 * w + 4 * w + 1)
    assert n_parameters(Generator(w)) == first + 5 * block + 9 * w * w + norm + enlarge + last


# ---- DSNet ----


def test_one_pass_gives_the_difference_of_both_convolutions():
    enhancement = DetailTextureEnhancement(6)
    features = torch.randn(2, 6, 20, 24)
    expected = torch.sigmoid(enhancement.fine(features) - enhancement.coarse(features))  # equation 9
    torch.testing.assert_close(enhancement.gate(features), expected)


def test_channel_selective_fusion_by_hand():
    fusion = ChannelSelectiveFusion(1)
    weights = {fusion.common[0]: [[2.0, 1.0]], fusion.of_context: [[1.0]], fusion.of_detail: [[-1.0]]}
    for layer, weight in weights.items():
        layer.weight.data = torch.tensor(weight)
        layer.bias.data.zero_()
    context, detail = torch.full((1, 1, 2, 2), 0.4), torch.full((1, 1, 2, 2), 0.3)
    a = torch.sigmoid(torch.tensor(2 * (2 * 0.3 + 0.4)))  # of 1 against -1; equation 11 has the detail first
    torch.testing.assert_close(fusion(context, detail), a * context + (1 - a) * detail)


@pytest.mark.parametrize("module", [drtm, WithoutSelection.transfer, WithoutDRTM.transfer, sdrfm, edrfm])
def test_every_transfer_keeps_the_size_and_reads_pictures_and_features(module):
    image = torch.randn(2, PICTURES + 6, 20, 24, requires_grad=True)
    transferred = module(6)(image)
    assert transferred.shape == (2, 6, 20, 24)
    transferred.square().mean().backward()
    assert (image.grad.abs().amax((0, 2, 3)) > 0).all()


# ---- CE-Net and Inf-Net ----


def test_atrous_cascades_are_the_published_ones():
    module = DenseAtrousConv(3)
    x = torch.randn(2, 3, 9, 9)
    first, third, fifth = module.dilated
    expected = (
        x
        + F.relu(first(x))
        + F.relu(module.point(third(x)))
        + F.relu(module.point(third(first(x))))
        + F.relu(module.point(fifth(third(first(x)))))
    )
    torch.testing.assert_close(module(x), expected)


def test_cenets_encoder_is_resnet_34():
    network = CENet(64)
    convolutions = [key for key, weight in network.stages.named_parameters() if weight.ndim == 4 and "convs" in key]
    assert len(convolutions) + 2 == 34  # with the stem and ImageNet's classifier, which is missing here
    assert [len(stage) for stage in network.stages] == list(DEPTHS)
    encoder = [*network.stem.parameters(), *network.stages.parameters()]
    assert sum(weight.numel() for weight in encoder) == 21_797_672 - 513_000 - 2 * 64 * 49  # torchvision's, one channel


def test_reverse_attention_hides_the_foreground():
    module = ReverseAttention(inputs=6, edges=2, channels=4, depth=2, kernel=3, last=3).eval()
    edges = torch.randn(1, 2, 16, 16)
    foreground, background = torch.full((1, 1, 4, 4), 50.0), torch.full((1, 1, 4, 4), -50.0)
    a, b = torch.randn(2, 1, 6, 8, 8)
    torch.testing.assert_close(module(a, edges, foreground), module(b, edges, foreground))
    assert not torch.allclose(module(a, edges, background), module(b, edges, background))


@pytest.mark.parametrize(("first", "reached"), [(False, [True, True, True]), (True, [True, False, False])])
def test_res2net_groups_pass_on_their_result_except_in_the_first_block(first, reached):
    block = Res2NetBlock(16, 4, stride=1, first=first)
    results: list[torch.Tensor] = []
    for conv in block.convs:
        conv.register_forward_hook(lambda module, inputs, result: results.append(result))
    block(torch.randn(2, 16, 8, 8))
    weight = block.convs[0][0].weight
    gradients = [torch.autograd.grad(x.sum(), weight, retain_graph=True, allow_unused=True)[0] for x in results]
    assert [gradient is not None for gradient in gradients] == reached


# ---- MedT ----


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
            terms.append((math.exp(similarity), gate_v1 * v[:, j] + gate_v2 * r_v[:, offset]))
        y[:, i] = sum(weight * value for weight, value in terms) / sum(weight for weight, _ in terms)
    return y


@torch.no_grad()
def test_attention_is_the_gated_equation():
    module = AxialAttention(channels=8, heads=2, axis=2, reach=5)
    module.gates.copy_(torch.tensor([0.7, -0.4, 1.3, 0.6]))
    q, k, v = (torch.randn(2, 2, size, 5, 3) for size in module.sizes)
    result = module.attend(q, k, v)
    assert result.shape == v.shape
    for image, head, column in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(3)).tolist():
        expected = gated_equation(module, *(x[image, head, :, :, column] for x in (q, k, v)))
        torch.testing.assert_close(result[image, head, :, :, column], expected)


@pytest.mark.parametrize(
    ("axis", "seen"), [(2, [(row, 3) for row in range(5)]), (3, [(2, column) for column in range(6)])]
)
def test_a_pixel_attends_to_its_column_or_its_row(axis, seen):
    module = AxialAttention(channels=4, heads=1, axis=axis, reach=6).eval()
    x = torch.randn(1, 4, 5, 6, requires_grad=True)
    module(x)[0, :, 2, 3].sum().backward()
    assert [tuple(place) for place in x.grad.abs().sum((0, 1)).nonzero().tolist()] == seen


def test_patches_are_cut_and_joined_again():
    image = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    patches = split(image)
    assert patches.shape == (32, 3, 2, 3)
    assert torch.equal(patches[16 + 4 * 2 + 1], image[1, :, 4:6, 3:6])  # second image, third row, second column
    assert torch.equal(join(patches), image)


def test_the_local_branch_sees_one_patch_only():
    network = MedT(1).eval()
    image = torch.rand(1, 1, TRAINED, TRAINED, requires_grad=True)
    join(network.local(split(image)))[0, :, 20, 40].sum().backward()  # second row of patches, third column
    touched = image.grad[0, 0].nonzero()
    assert {(row // 16, column // 16) for row, column in touched.tolist()} == {(1, 2)}


# ---- networks of the lungs ----


@pytest.mark.parametrize("name", ["fcn", "tiramisu"])
def test_any_size_fits(name):
    network = build(name, NETWORKS[name].smoke).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 33, 71)).shape == (1, 1, 33, 71)


def test_the_generators_levels_are_those_of_figure_2():
    network = build("lgan_generator", 4).eval()
    shapes = {name: tuple(x.shape[1:]) for name, x in network.levels(torch.rand(2, 1, 64, 64)).items()}
    encoder = {f"encoder{level + 1}": (4 * 2**level, 64 // 2**level, 64 // 2**level) for level in range(5)}
    decoder = {f"decoder{level}": encoder[f"encoder{level}"] for level in (4, 3, 2, 1)}
    assert shapes == {**encoder, **decoder, "logits": (1, 64, 64)}
    kinds = {type(layer) for layer in network.modules() if not list(layer.children())}
    assert kinds == {nn.Conv2d, nn.LeakyReLU, nn.MaxPool2d, nn.ConvTranspose2d}


def test_tiramisu_has_103_layers():
    """Convolutions: one first, 38 + 38 in the dense blocks, 15 at the bottom, 5 down, 5 up, the head."""
    with torch.device("meta"):
        network = build("tiramisu")
    assert sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules()) == 103


def test_segcaps_logits_are_those_of_the_lengths():
    network, capsules = build("segcaps", 2).eval(), []
    network.last.register_forward_hook(lambda *args: capsules.append(args[-1]))
    logits = network(torch.rand(1, 1, 16, 16))
    lengths = squash(capsules[0]).square().sum(2).sqrt()
    torch.testing.assert_close(torch.sigmoid(logits), lengths, atol=1.1e-3, rtol=0)


@pytest.mark.parametrize(("types", "rounds"), [(1, 3), (4, 1), (4, 3)])
def test_routing_is_the_publications(types, rounds):
    layer = Capsules(nn.Conv2d(3, types * 5, 1, bias=False), types, 5, rounds)
    x = torch.randn(2, 6, 3, 4, 4)
    votes = torch.einsum("tai,si->sta", layer.conv.weight.view(types, 5, 3), x[1, :, :, 2, 3])  # of one place
    b = torch.zeros(votes.shape[:2])
    for _ in range(rounds):
        s = torch.einsum("st,sta->ta", torch.softmax(b, dim=1), votes) + 0.1
        square = s.square().sum(1, keepdim=True)
        b = b + torch.einsum("sta,ta->st", votes, square / (1 + square) * s / square.sqrt())
    torch.testing.assert_close(layer(x)[1, :, :, 2, 3], s, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["softseg", "unet_softseg"])
def test_softseg_predicts_the_rectified_output_over_its_largest_value(name):
    torch.manual_seed(1)
    network = build(name, NETWORKS[name].smoke).eval()
    plain = type(network).__mro__[2](NETWORKS[name].smoke).eval()
    plain.load_state_dict(network.state_dict())
    images = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        values, probabilities = plain(images).clamp_min(0), network(images).sigmoid()
        alone = torch.cat([network(image[None]).sigmoid() for image in images])
    torch.testing.assert_close(probabilities, values / values.amax((1, 2, 3), keepdim=True), atol=2e-6, rtol=0)
    torch.testing.assert_close(probabilities, alone)  # no image's prediction depends on the others


def test_softseg_predicts_nothing_where_no_output_is_positive():
    network = build("unet_softseg", 2)
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, -1)
    logits = network(torch.rand(2, 1, 32, 32))
    assert (logits.sigmoid() < 2e-6).all()
    logits.sum().backward()
    assert all((parameter.grad == 0).all() for parameter in network.parameters())
