"""A network applied to many images without training it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn


@torch.inference_mode()
def evaluate(
    network: nn.Module, call: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray, batch_size: int
) -> np.ndarray:
    """What ``call`` gives for ``images`` (N, C, H, W), ``batch_size`` at a time on the network's device, with the
    ``network`` in evaluation mode meanwhile: (N, ...) float32."""
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    try:
        batches = torch.as_tensor(images, dtype=torch.float32).split(batch_size)
        return torch.cat([call(batch.to(device)).cpu() for batch in batches]).numpy()
    finally:
        network.train(training)
