"""What notebook 6 shows of DSNet besides its tables: how it is fed, and where it looks."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from softmask.analysis.cascade import Fed
from softmask.analysis.finished import (
    Fitted,
    Wanted,
    data_of,
    example_of,
    firsts,
    kind_of,
    needs_of,
    sources_of,
    succeeded,
)
from softmask.analysis.training import extra_cells
from softmask.config import BASE_SEED, Config
from softmask.experiments.execute import Run
from softmask.experiments.inputs import channels, seeing, super_resolved
from softmask.experiments.night import NODULES
from softmask.experiments.spec import RunSpec
from softmask.experiments.tables import rows_of
from softmask.nets import build
from softmask.nets.dsnet import OnEnlarged
from softmask.nets.softgan import CBAMBlock
from softmask.nets.srgan import transferred
from softmask.report.panels import Look
from softmask.report.result import WORKBOOK, Cell, ResultTable
from softmask.train import seeded
from softmask.train.losses import Batch
from softmask.train.segmentation import evaluate

OTHER = ("dsnet_averaged", "dsnet_full_features", "dsnet_enlarged_twice", "dsnet_squared", "all_losses_binary")
"""Rows of the journal version beside the printed ones: the forms of its input, and other readings of two rows."""


def other_rows(config: Config) -> Wanted:
    """The runs behind :data:`OTHER`; none in profiles that have no time for them."""
    if not config.profile.long:
        return {}
    return {place: runs for name in NODULES for place, runs in rows_of(OTHER, name, config, "dsnet-v2").items()}


def other_forms(fitted: Fitted) -> ResultTable | None:
    """The workbook's table of :data:`OTHER`, with the validation Dice of the best epoch, mean over seeds, by which the
    main form is chosen; None where none is finished."""
    cells = extra_cells(list(fitted), ["dice", "sen", "ppv"], fitted)
    for (row, dataset), every in fitted.items():
        runs = succeeded(every)
        best = [run.record.curves["validation_dice"][run.record.best_epoch - 1] for run in runs]
        mean, spread = (float(np.mean(best)), float(np.std(best, ddof=1))) if len(best) > 1 else (sum(best), np.nan)
        if best:
            cells.append(
                Cell(row, dataset, "validation_dice", mean, spread, 0, len(best), kind_of(runs[0]), extra=True)
            )
    title = "DSNet's other forms, and other readings of its rows"
    caption = f"{sources_of(fitted)}; validation Dice: of the best epoch, mean and spread over seeds."
    return ResultTable(WORKBOOK, "dsnet-forms", title, caption, cells) if cells else None


def example(spec: RunSpec, fitted: Fitted, config: Config) -> Fed:
    """The first training image of a run on :data:`~softmask.nets.srgan.TRANSFERRED`. Without a trained network to
    super-resolve it, as with recorded runs, one that has learnt nothing stands in."""
    data = example_of(spec, config)
    trained = next((need.network() for need in needs_of(spec, fitted) if need.spec == spec.sr), None)
    note = "super-resolved by the trained network"
    if trained is None:
        note = "recorded: super-resolved by a network that has learnt nothing"
        with seeded(BASE_SEED):
            trained = build(spec.sr.network, spec.sr.width).eval()
    part = data.train
    images, masks, soft = (torch.tensor(x[:4]) for x in (part.images, part.masks, part.soft[spec.label]))
    with torch.no_grad():
        seen = transferred(trained, images, spec.scale)
    return Fed(
        part.ids[0],
        data,
        part.images[0, 0],
        seen[0].numpy(),
        part.soft[spec.label][0, 0],
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


def looks(fitted: Fitted, rows: tuple[str, str], dataset: str, config: Config, most: int = 3) -> list[Look]:
    """Where two rows' networks (first seed) look, on the first ``most`` test images whose predictions the records keep.

    None for runs that are not finished or recorded, which have no weights, and where the data is not at hand.

    Args:
        rows: without and with the module that is compared.
    """
    runs = [run for run in firsts(fitted, rows, dataset).values() if run.folder is not None]
    data = data_of(runs[1].spec, config) if len(runs) == len(rows) else None
    if data is None:
        return []
    without, having = runs
    places = [data.test.ids.index(name) for name in list(having.record.shown())[:most]]
    images = data.test.images[places]
    generator = next(need for need in having.needs if need.spec == having.spec.sr)
    seen = super_resolved(generator, images, having.spec.scale)[:, 0].astype(np.float32)
    both = (attention(run, images) for run in (without, having))
    return [Look(*one) for one in zip(images[:, 0], seen, *both, strict=True)]
