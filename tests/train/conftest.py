"""Small images of bright discs, and a small network, for tests of training."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from softmask.nets import SegmentationNet


def part(n: int, seed: int, size: int = 16) -> SimpleNamespace:
    """``n`` noisy discs with their binary and soft masks, (n, 1, size, size) float32."""
    source = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centre = source.uniform(5, size - 5, (n, 2, 1, 1))
    radius = source.uniform(2.5, 4.5, (n, 1, 1))
    distance = np.hypot(rows - centre[:, 0], columns - centre[:, 1])  # (n, size, size)
    soft = np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)[:, None]
    noise = source.normal(0, 0.05, soft.shape)
    images = np.clip(0.2 + 0.6 * soft + noise, 0, 1).astype(np.float32)
    return SimpleNamespace(images=images, masks=(soft >= 0.5).astype(np.float32), soft={"soft_mask": soft})


def discs(n: int = 18, seed: int = 0) -> SimpleNamespace:
    """Training and validation parts, as the engine takes them."""
    return SimpleNamespace(train=part(n, seed), validation=part(6, seed + 1))


class Tiny(SegmentationNet):
    """Three convolutions, one dropout, and an output of deep supervision. No batch normalisation."""

    def __init__(self, width: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Conv2d(width, 1, 1)

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        early = self.first(image)
        return self.head(self.second(early)), self.head(early)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data() -> SimpleNamespace:
    return discs()


@pytest.fixture
def tiny() -> type[Tiny]:
    return Tiny
