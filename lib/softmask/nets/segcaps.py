"""SegCaps-R3: convolutional-deconvolutional capsules.

LaLonde and Bagci, "Capsules for Object Segmentation", arXiv 1804.04241, 2018; LaLonde, Xu, Irmakci, Jain and Bagci,
"Capsules for biomedical image segmentation", Medical Image Analysis 2021.

A capsule is a vector at a position of the map: its direction describes an object, and its length, in [0, 1), the
presence of this object. The capsules of one type around a position vote for the capsules of the next layer through one
convolution that all types share. Three rounds of routing weight the votes u by their agreement: b = 0; c = softmax(b);
s = sum c u + bias; b = b + u . squash(s).

Differs from the publication: no second loss for the reconstruction of the image from the capsules (about 11,000
parameters); the output is log |s|^2, the logit of the last capsule's length |s|^2 / (1 + |s|^2).
"""

import torch
from torch import Tensor, nn

from softmask.nets.base import SegmentationNet, gaussian

EPSILON = 1e-7  # under the square root, because a vector of zeros has no direction
SHORTEST = 1e-3  # added to |s|^2: without it, log's unbounded gradient near 0 led narrow networks to empty masks


def squash(x: Tensor) -> Tensor:
    """Return ``x`` (B, T, A, H, W) with the length |x|^2 / (1 + |x|^2) in place of |x|."""
    square = x.square().sum(2, keepdim=True)  # (B, T, 1, H, W)
    return x * square / ((1 + square) * torch.sqrt(square + EPSILON))


class Capsules(nn.Module):
    """Layer of capsules, (B, S, A', H, W) to (B, T, A, H', W') before squashing: T ``types`` of A ``atoms`` each.
    ``conv`` computes the votes of one type's capsules, from A' channels to T A; ``rounds`` of routing weight them."""

    def __init__(self, conv: nn.Module, types: int, atoms: int, rounds: int) -> None:
        super().__init__()
        self.conv, self.types, self.atoms, self.rounds = conv, types, atoms, rounds
        self.bias = nn.Parameter(torch.full((types, atoms, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        b, sources = x.shape[:2]
        votes = self.conv(x.flatten(0, 1)).contiguous()  # (B S, T A, H, W); channels last would scatter a vote's maps
        votes = votes.reshape(b, sources, self.types, self.atoms, *votes.shape[-2:])  # (B, S, T, A, H, W)
        x = votes.sum(1) / self.types + self.bias  # (B, T, A, H, W); equal weights in the first round
        agreement = 0.0
        for _ in range(self.rounds - 1 if self.types > 1 else 0):  # a single type has a weight of 1 in all rounds
            agreement = agreement + (votes * squash(x)[:, None]).sum(3, keepdim=True)  # (B, S, T, 1, H, W)
            x = (torch.softmax(agreement, dim=2) * votes).sum(1) + self.bias
        return x


def level(atoms_in: int, types: int, atoms: int, stride: int = 1, kernel: int = 5, rounds: int = 3) -> Capsules:
    """Return a layer of capsules whose votes a convolution computes."""
    conv = nn.Conv2d(atoms_in, types * atoms, kernel, stride=stride, padding=kernel // 2, bias=False)
    return Capsules(conv, types, atoms, rounds)


def enlarged(atoms_in: int, types: int, atoms: int) -> Capsules:
    """Return a layer of capsules at twice the height and width."""
    conv = nn.ConvTranspose2d(atoms_in, types * atoms, 4, stride=2, padding=1, bias=False)
    return Capsules(conv, types, atoms, 3)


class SegCaps(SegmentationNet):
    """Capsules at 1/2, 1/4 and 1/8 of the image's size and back; skips add types. The smallest have ``width`` atoms."""

    STRIDE = SMALLEST = 8
    FULL_WIDTH = 16
    PARAMETERS = 1_400_000  # table 1
    WEIGHT_DECAY = 5e-4  # as in the LGAN paper, for all of its networks

    def __init__(self, width: int) -> None:
        super().__init__()
        a = width
        self.first = nn.Sequential(nn.Conv2d(1, a, 5, padding=2), nn.ReLU())
        self.primary = level(a, 2, a, stride=2, rounds=1)
        self.down = nn.ModuleList(
            [
                nn.ModuleList([level(a, 4, a), level(a, 4, 2 * a, stride=2)]),
                nn.ModuleList([level(2 * a, 8, 2 * a), level(2 * a, 8, 4 * a, stride=2)]),
            ]
        )
        self.bottom = level(4 * a, 8, 2 * a)
        self.up = nn.ModuleList(
            [
                enlarged(2 * a, 8, 2 * a),
                enlarged(2 * a, 4, a),
                enlarged(a, 2, a),
            ]
        )
        self.merge = nn.ModuleList([level(2 * a, 4, 2 * a), level(a, 4, a)])
        self.last = level(a, 1, a, kernel=1)
        gaussian(self)

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        first = self.first(image)[:, None]  # (B, 1, a, H, W)
        x = squash(self.primary(first))  # (B, 2, a, H/2, W/2)
        skips = [first]
        for same, smaller in self.down:
            skips.append(squash(same(x)))  # (B, 4, a, H/2, W/2), then (B, 8, 2a, H/4, W/4)
            x = squash(smaller(skips[-1]))  # (B, 4, 2a, H/4, W/4), then (B, 8, 4a, H/8, W/8)
        x = squash(self.bottom(x))  # (B, 8, 2a, H/8, W/8)
        for up, merge in zip(self.up, [*self.merge, self.last], strict=True):
            x = merge(torch.cat([squash(up(x)), skips.pop()], dim=1))  # at H/4, H/2, H
            x = squash(x) if merge is not self.last else x
        return (torch.log(x.square().sum(2) + SHORTEST),)  # (B, 1, H, W)
