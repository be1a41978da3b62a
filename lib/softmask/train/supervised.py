"""Supervised training: one step under losses of masks and soft labels."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from softmask.nets.base import SegmentationNet
from softmask.train.device import Place
from softmask.train.losses import Batch, Weighted, weighted


class Outputs(nn.Module):
    """A network whose call gives all its training outputs: what can be compiled and shared between processes."""

    def __init__(self, network: SegmentationNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.training_outputs(images)


def adam(network: SegmentationNet, learning_rate: float) -> torch.optim.Optimizer:
    """Adam with betas 0.9 and 0.999 and the network's :attr:`~softmask.nets.base.SegmentationNet.WEIGHT_DECAY`."""
    return torch.optim.Adam(network.parameters(), learning_rate, weight_decay=network.WEIGHT_DECAY, fused=True)


class Supervised:
    """Adam, betas 0.9 and 0.999 and the network's weight decay, on the weighted sum of ``losses``.

    Attributes:
        modules, optimisers: what is trained and its optimisers, by name; their states make a checkpoint.
    """

    def __init__(self, network: SegmentationNet, losses: Weighted, place: Place, learning_rate: float, steps: int):
        self.losses, self.place = losses, place
        self.modules = {"network": network}
        self.optimisers = {"network": adam(network, learning_rate)}
        self.outputs = place.ready(Outputs(network), steps)

    def step(self, batch: Batch, followed: Collection[str]) -> dict[str, torch.Tensor]:
        """One update down the losses ``followed``. Returns each loss with its weight, by name: scalars."""
        with self.place.autocast():
            outputs = self.outputs(batch.images)  # each (B, 1, H, W)
        terms = weighted([logits.float() for logits in outputs], batch, self.losses)
        self.optimisers["network"].zero_grad()
        sum(terms[name] for name in followed).backward()
        self.optimisers["network"].step()
        return {f"loss_{name}": term.detach() for name, term in terms.items()}
