"""What notebook 6 shows of DSNet besides its tables: how it is fed, and where it looks."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from softmask.config import BASE_SEED, Config
from softmask.nets import build
from softmask.nets.dsnet import OnEnlarged
from softmask.nets.softgan import CBAMBlock
from softmask.nets.srgan import transferred
from softmask.report.dsnet_panels import Look
from softmask.runs.execute import Run
from softmask.runs.inputs import channels, seeing, super_resolved
from softmask.studies.cascade import Fed
from softmask.studies.training import data_of, example_of
from softmask.train import seeded
from softmask.train.evaluate import evaluate
from softmask.train.losses import Batch


def example(run: Run, config: Config) -> Fed:
    """The first training image of a run on :data:`~softmask.nets.srgan.TRANSFERRED`. A recorded run has no network to
    super-resolve it: one that has learnt nothing stands in."""
    data = example_of(run, config)
    trained = next((need.network() for need in run.needs if need.spec == run.spec.sr), None)
    note = "super-resolved by the trained network"
    if trained is None:
        note = "recorded: super-resolved by a network that has learnt nothing"
        with seeded(BASE_SEED):
            trained = build(run.spec.sr.network, run.spec.sr.width).eval()
    part = data.train
    images, masks, soft = (torch.tensor(x[:4]) for x in (part.images, part.masks, part.soft[run.spec.label]))
    with torch.no_grad():
        seen = transferred(trained, images, run.spec.scale)
    return Fed(
        part.ids[0],
        data,
        part.images[0, 0],
        seen[0].numpy(),
        part.soft[run.spec.label][0, 0],
        Batch(seen, masks, soft),
        note,
    )


def first_block(network: nn.Module) -> CBAMBlock:
    """The first CBAM block of the backbone, with or without a transfer before it."""
    return (network.backbone if isinstance(network, OnEnlarged) else network).first


def attention(run: Run, images: np.ndarray) -> np.ndarray:
    """(N, S, S) in [0, 1]: the weights of places in the first CBAM block of a run's network, for ``images``
    (N, 1, S, S).

    Raises:
        ConfigError: for a recorded run, which has no weights.
    """
    network = run.network()
    found: list[torch.Tensor] = []

    def keep(module: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        found.append(module.weights(given[0]))

    hook = first_block(network).spatial_attention.register_forward_hook(keep)
    try:
        whole = seeing(run.spec, network, run.needs)
        evaluate(whole, whole, channels(run.spec, images, run.needs), batch_size=16)
    finally:
        hook.remove()
    return torch.cat(found)[:, 0].cpu().numpy()


def looks(without: Run, having: Run, config: Config, most: int = 3) -> list[Look]:
    """Where two networks look, on the first ``most`` test images whose predictions the records keep.

    None for recorded runs, which have no weights, and where the data is not at hand.

    Args:
        without, having: runs on the same data, without and with the module that is compared.
    """
    data = None if without.folder is None or having.folder is None else data_of(having, config)
    if data is None:
        return []
    places = [data.test.ids.index(name) for name in list(having.record.shown())[:most]]
    images = data.test.images[places]
    generator = next(need for need in having.needs if need.spec == having.spec.sr)
    seen = super_resolved(generator, images, having.spec.scale)[:, 0].astype(np.float32)
    both = (attention(run, images) for run in (without, having))
    return [Look(*one) for one in zip(images[:, 0], seen, *both, strict=True)]
