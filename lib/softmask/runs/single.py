"""One run from first weights to record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from torch import nn

from softmask.nets.perceptual import LAYERS, Perceptual
from softmask.nets.registry import n_parameters
from softmask.runs.inputs import Finished
from softmask.runs.prepared import Prepared
from softmask.runs.record import Provenance, Record, WeightsFile, surroundings
from softmask.runs.spec import NUMERICS, RunSpec
from softmask.train.loop import Progress


def run_one(
    spec: RunSpec,
    data: Prepared,
    folder: Path,
    *,
    save: Callable[[nn.Module], WeightsFile],
    needs: Sequence[Finished] = (),
    progress: Progress | None = None,
) -> Record:
    """Train, measure on the test images, and put the record together.

    Args:
        folder: of the checkpoint, from which an interrupted training goes on.
        save: given the trained network, keeps its weights.
        needs: the finished runs of ``spec.needs``.
        progress: see :data:`softmask.train.loop.Progress`.
    """
    around = surroundings()  # of the code as it is when training starts
    kind = import_module(spec.kind)
    network, outcome, found = kind.make(spec, data, folder, needs, progress)
    return Record(
        spec=spec,
        ids=data.test.ids,
        groups=data.test.groups,
        curves=outcome.curves,
        best_epoch=outcome.best_epoch,
        n_parameters=n_parameters(network) if network else 0,
        provenance=Provenance(
            data=data.digest,
            numerics=NUMERICS,
            features=spec.features,
            origin="; ".join([data.origin, *(Perceptual(name).origin for name, _ in spec.losses if name in LAYERS)]),
            weights=save(network) if network else None,
            seconds=round(outcome.seconds, 1),
            **around,
            needs=tuple(need.key for need in needs),
        ),
        **found,
    )
