"""One run from first weights to record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from softmask.measure.calibration import calibration
from softmask.measure.images import measure_images
from softmask.measure.soft import soft_head
from softmask.nets.base import SegmentationNet
from softmask.nets.registry import build, n_parameters
from softmask.runs.prepared import Prepared
from softmask.runs.record import Provenance, Record, WeightsFile, surroundings
from softmask.runs.spec import RunSpec
from softmask.train.device import seeded
from softmask.train.engine import Curves, predict, train
from softmask.train.losses import looking_at

SHOWN = 8
"""Test images whose predictions a record keeps."""


def run_one(
    spec: RunSpec,
    data: Prepared,
    folder: Path,
    *,
    code_digest: str,
    save: Callable[[SegmentationNet], WeightsFile],
    progress: Callable[[int, int, Curves], None] | None = None,
) -> Record:
    """Train, measure on the test images, and put the record together.

    Args:
        folder: of the checkpoint, from which an interrupted training goes on.
        code_digest: goes into the provenance.
        save: given the trained network, keeps its weights.
        progress: see :func:`softmask.train.engine.train`.
    """
    around = surroundings()  # of the code as it is when training starts
    with seeded(spec.seed):
        network = build(spec.network, spec.width)
    outcome = train(
        network, spec.losses, spec.label, data, spec.settings, spec.seed, folder, name=spec.name, progress=progress
    )
    test = data.test
    probabilities = predict(network, test.images)[:, 0]  # (N, S, S)
    alphas = soft_head(probabilities) if looking_at("soft", spec.losses) else probabilities
    masks = test.masks[:, 0] > 0
    references = {name: reference[:, 0] for name, reference in test.references.items()}
    return Record(
        spec=spec,
        ids=test.ids,
        groups=test.groups,
        measures=measure_images(probabilities, masks, test.soft["soft_mask"][:, 0], references, alphas),
        curves=outcome.curves,
        best_epoch=outcome.best_epoch,
        n_parameters=n_parameters(network),
        calibration=calibration(probabilities, masks),
        predictions={test.ids[i]: np.rint(probabilities[i] * 255).astype(np.uint8) for i in shown(len(test.ids))},
        provenance=Provenance(
            data=data.digest,
            code=code_digest,
            origin=data.origin,
            weights=save(network),
            seconds=round(outcome.seconds, 1),
            **around,
        ),
    )


def shown(n: int) -> list[int]:
    """Rows of the test images whose predictions are kept: at most :data:`SHOWN`, evenly spread over all ``n``."""
    return np.linspace(0, n - 1, min(n, SHOWN)).round().astype(int).tolist()
