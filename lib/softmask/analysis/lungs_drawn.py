"""LGAN's diagrams, drawn from the modules (how generator and critic work together, their layers), and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from softmask.analysis import lungs_shown
from softmask.analysis.finished import Fitted, firsts
from softmask.config import Config
from softmask.nets import build
from softmask.nets.critics import CRITICS, Critic
from softmask.report import diagrams, panels
from softmask.report.diagrams import GROWS, INPUT, KEEPS, SHRINKS, Box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = 224
"""Height and width of a slice as the paper's networks see it."""

_SHAPES = torch.device("meta")
"""A diagram needs shapes alone."""

DRAWN = {
    "basic": ("basic, product, early fusion", ("mask",)),
    "late_fusion": ("late fusion", ("image", "mask")),
    "regression": ("regression", ("predicted mask", "true mask")),
}
"""The critics of figure 3: what each is called, and its inputs."""


class Scored(nn.Module):
    """A critic as figure 3 has it, without the argument that it does not look at: inputs (B, 1, H, W) to (B, 1)."""

    def __init__(self, name: str, critic: Critic) -> None:
        super().__init__()
        self.name, self.critic = name, critic

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        image, mask, truth = {
            "basic": lambda mask: (mask, mask, mask),
            "late_fusion": lambda image, mask: (image, mask, mask),
            "regression": lambda mask, truth: (mask, mask, truth),
        }[self.name](*inputs)
        return self.critic.score(image, mask, truth)


def pipeline() -> Figure:
    """Figure 1: the generator's mask and the true one before the critic."""
    boxes = [
        Box("CT slice", 1, SIZE, INPUT),
        Box("true mask", 1, SIZE, INPUT),
        Box("generator, down", 1024, SIZE // 16, SHRINKS, (0,)),
        Box("generator, up", 64, SIZE, GROWS, (2,)),
        Box("predicted mask", 1, SIZE, KEEPS, (3,)),
        Box("critic", 512, SIZE // 16, SHRINKS, (0, 1, 4)),
        Box("a number:\nthe distance", 1, 1, SHRINKS, (5,)),
    ]
    losses = [
        ("critic lowers", "E[D(predicted)] − E[D(true)]"),
        ("generator lowers", "BCE − E[D(predicted)]"),
    ]
    return diagrams.diagram(boxes, losses, size=(13, 6))


def generator() -> Figure:
    """Figure 2: the generator's layers at full width."""
    with _SHAPES:
        boxes = diagrams.trace(build("lgan_generator"), [torch.zeros(1, 1, SIZE, SIZE)], ["CT slice"])
    return diagrams.diagram(boxes, [("sigmoid → lung mask", "BCE"), ("to the critic", "− E[D(.)]")], size=(15, 7))


def critic(name: str) -> Figure:
    """A part of figure 3: the layers of one of :data:`DRAWN` at full width."""
    with _SHAPES:
        made = Scored(name, CRITICS[name](Critic.FULL_WIDTH))
        names = DRAWN[name][1]
        boxes = diagrams.trace(made, [torch.zeros(1, 1, SIZE, SIZE) for _ in names], list(names))
    return diagrams.diagram(boxes, size=(11, 9))


def activations(fitted: Fitted, row: str, dataset: str, config: Config) -> Figure | None:
    """LGAN figure 5: what a row's network (first seed) responds to in a test slice, and the mask it finds there.

    None for a run that is not finished or recorded, which has no weights, and where the data is not at hand.
    """
    for one in lungs_shown.slices(fitted, [row], dataset, lungs_shown.spread_places, 1, config):
        maps = lungs_shown.activations(firsts(fitted, [row], dataset)[row], one.seen)
        return panels.activations(one.seen, maps, one.masks[row])
    return None
