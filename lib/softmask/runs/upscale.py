"""A run that trains a super-resolution network. Made small and upscaled, test images are compared with themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from softmask.measure.resolution import measure_interpolated, measure_upscaled
from softmask.nets.registry import build
from softmask.runs.measured import Made, kept
from softmask.runs.prepared import Prepared
from softmask.runs.spec import RunSpec
from softmask.train.device import seeded
from softmask.train.loop import Progress
from softmask.train.super_resolution import degrade, train_super_resolution, upscale

SHOWN = 8
"""Super-resolved test images that a record keeps: grey pictures do not pack as masks do."""


def make(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence, progress: Progress | None) -> Made:
    """Train the network of ``spec`` and measure it on the test images. See :func:`softmask.runs.single.run_one`."""
    with seeded(spec.seed):
        network = build(spec.network, spec.width)
    outcome = train_super_resolution(
        network, spec.losses, data, spec.settings, spec.seed, folder, name=spec.name, progress=progress
    )
    images, masks = data.test.images[:, 0], data.test.masks[:, 0] > 0
    low = degrade(torch.from_numpy(data.test.images)).numpy()  # (N, 1, S/4, S/4)
    upscaled = upscale(network, low)[:, 0]  # (N, S, S)
    found = {
        "measures": measure_upscaled(upscaled, images, masks) | measure_interpolated(low[:, 0], images, masks),
        "calibration": None,
        "predictions": kept(data.test, upscaled, SHOWN),
    }
    return Made(network, outcome, found)
