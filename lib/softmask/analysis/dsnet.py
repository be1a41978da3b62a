"""What notebook 6 shows of DSNet besides its tables: other forms of it, where it looks, and its figures.

The figures are drawn from the modules. What these do between their layers (a product, a mean, a softmax) is a function
call, which a diagram does not see: :class:`Drawn` makes every such call a box, with the module's own layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from softmask.analysis.finished import Fitted, Wanted, data_of, firsts, kind_of, sources_of, succeeded
from softmask.analysis.table import NAN, numbers
from softmask.analysis.training import extra_cells
from softmask.config import Config
from softmask.experiments.execute import Run
from softmask.experiments.inputs import channels, seeing, super_resolved
from softmask.experiments.night import NODULES
from softmask.experiments.tables import rows_of
from softmask.nets import build
from softmask.nets.dsnet import PICTURES, DetailTextureEnhancement, OnEnlarged, Transfer
from softmask.nets.softgan import CBAMBlock
from softmask.nets.srgan import SCALE, Generator, Transferring
from softmask.report import diagrams
from softmask.report.dsnet_panels import Look
from softmask.report.result import WORKBOOK, ResultTable
from softmask.train.segmentation import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHER = ("dsnet_averaged", "dsnet_full_features", "dsnet_enlarged_twice", "dsnet_squared", "all_losses_binary")
"""Rows of the journal version beside the printed ones: the forms of its input, and other readings of two rows."""

SIZE = 64
"""Height and width of the image that goes through a diagram."""


def other_rows(config: Config) -> Wanted:
    """Return the runs behind :data:`OTHER`; none in profiles that have no time for them."""
    if not config.profile.long:
        return {}
    return {place: runs for name in NODULES for place, runs in rows_of(OTHER, name, config, "dsnet-v2").items()}


def other_forms(fitted: Fitted) -> ResultTable | None:
    """Return the workbook's table of :data:`OTHER`, with the validation Dice of the best epoch, mean over seeds, by
    which the main form is chosen; None where none is finished."""
    cells = extra_cells(list(fitted), ["dice", "sen", "ppv"], fitted)
    for (row, dataset), every in fitted.items():
        runs = succeeded(every)
        best = [run.record.curves["validation_dice"][run.record.best_epoch - 1] for run in runs]
        if best:
            [cell] = numbers(row, dataset, {"validation_dice": np.mean(best)}, 0, len(best), kind_of(runs[0]))
            cells.append(replace(cell, ours_std=float(np.std(best, ddof=1)) if len(best) > 1 else NAN))
    title = "DSNet's other forms, and other readings of its rows"
    caption = f"{sources_of(fitted)}; validation Dice: of the best epoch, mean and spread over seeds."
    return ResultTable(WORKBOOK, "dsnet-forms", title, caption, cells) if cells else None


def attention(run: Run, images: np.ndarray) -> np.ndarray:
    """Return the weights of places in the first CBAM block of a run's network, (N, S, S) in [0, 1], for ``images``
    (N, 1, S, S).

    Raises:
        ConfigError: for a recorded run, which has no weights.
    """
    network = run.network()
    weights: list[torch.Tensor] = []

    def keep(module: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        weights.append(module.weights(given[0]))

    block = (network.backbone if isinstance(network, OnEnlarged) else network).first
    hook = block.spatial_attention.register_forward_hook(keep)
    try:
        whole = seeing(run.spec, network, run.needs)
        evaluate(whole, whole, channels(run.spec, images, run.needs), batch_size=16)
    finally:
        hook.remove()
    return torch.cat(weights)[:, 0].cpu().numpy()


def looks(fitted: Fitted, rows: tuple[str, str], dataset: str, config: Config, most: int = 3) -> list[Look]:
    """Return where two rows' networks (first seed) look, on the first ``most`` test images whose predictions the
    records keep.

    Empty for runs that are not finished or recorded, which have no weights, and where the data is missing.

    Args:
        rows: without and with the module that is compared.
    """
    runs = [run for run in firsts(fitted, rows, dataset).values() if run.folder is not None]
    data = data_of(runs[1].spec, config) if len(runs) == len(rows) else None
    if data is None:
        return []
    without, having = runs
    images = data.test.images[[data.test.ids.index(name) for name in list(having.record.shown())[:most]]]
    generator = next(need for need in having.needs if need.spec == having.spec.sr)
    seen = super_resolved(generator, images, having.spec.scale)[:, 0].astype(np.float32)
    both = (attention(run, images) for run in (without, having))
    return [Look(*arrays) for arrays in zip(images[:, 0], seen, *both, strict=True)]


class Step(nn.Module):
    """A function as a box of its own, called ``label``."""

    def __init__(self, label: str, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.label, self.forward = label, function


class Drawn(nn.Module):
    """A module step by step.

    Args:
        module: what is drawn.
        run: its forward pass, from the module, the steps and the inputs.
        steps: the function calls in it, by name, each with its label.
    """

    def __init__(self, module: nn.Module, run: Callable[..., Any], steps: Mapping[str, tuple[str, Callable]]) -> None:
        super().__init__()
        self.module, self.run = module, run
        self.steps = nn.ModuleDict({name: Step(*step) for name, step in steps.items()})

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.run(self.module, self.steps, *inputs)


def drawn_cbam(block: CBAMBlock) -> Drawn:
    """Return a CBAM block step by step, on features (B, C, H, W)."""

    def run(block: CBAMBlock, steps: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        perceptron = block.channel_attention.perceptron
        shortcut, y = block.shortcut(x), block.convs(x)
        weights = steps["channels"](perceptron(steps["mean"](y)), perceptron(steps["largest"](y)))  # (B, C, 1, 1)
        y = steps["by_channel"](y, weights)
        y = steps["by_place"](y, block.spatial_attention.conv(steps["pooled"](y)))
        return steps["add"](y, shortcut)

    steps = {
        "mean": ("mean over places", lambda x: x.mean((2, 3), keepdim=True)),
        "largest": ("maximum over places", lambda x: x.amax((2, 3), keepdim=True)),
        "channels": ("+, sigmoid", lambda mean, largest: torch.sigmoid(mean + largest)),
        "by_channel": ("× channels' weights", lambda x, weights: x * weights),
        "pooled": (
            "mean and maximum\nover channels",
            lambda x: torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1),
        ),
        "by_place": ("× places' weights", lambda x, logits: x * torch.sigmoid(logits)),
        "add": ("+ shortcut", lambda x, shortcut: x + shortcut),
    }
    return Drawn(block, run, steps)


def drawn_transfer(transfer: Transfer) -> Drawn:
    """Return a transfer with channel-wise selection step by step, on an interpolated and a super-resolved image
    (B, 1, H, W) and features (B, C, H, W)."""

    def run(
        transfer: Transfer, steps: nn.ModuleDict, interpolated: torch.Tensor, fine: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        fuse, enhance = transfer.fuse, transfer.enhance
        context = transfer.context(torch.cat([interpolated, fine], dim=1))  # (B, C, H, W)
        if isinstance(enhance, DetailTextureEnhancement):
            detail = steps["weigh"](features, steps["gate"](enhance.fine(features), enhance.coarse(features)))
        else:
            detail = enhance(features)
        z = fuse.common(steps["vector"](detail, context))  # (B, C)
        return steps["add"](context, detail, steps["select"](fuse.of_context(z), fuse.of_detail(z)))

    def add(context: torch.Tensor, detail: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        a, b = weights[..., None, None].chunk(2, dim=1)  # each (B, C, 1, 1)
        return a * context + b * detail

    steps = {
        "gate": ("−, sigmoid: $F_h$", lambda fine, coarse: torch.sigmoid(fine - coarse)),
        "weigh": ("× $F_h$: $F_d$", lambda features, gate: features * gate),
        "vector": (
            "join, mean over places: $v_z$",
            lambda detail, context: torch.cat([detail, context], 1).mean((2, 3)),
        ),
        "select": ("softmax: a, b", lambda c, d: torch.cat([*torch.softmax(torch.stack([c, d]), 0)], 1)),
        "add": ("$a F_c + b F_d$", add),
    }
    return Drawn(transfer, run, steps)


def overview(network: str, module: str, heads: list[tuple[str, str]]) -> Figure:
    """Draw DSNet's figure 3 (both versions): generator, transfer, backbone, at full width, for an image of
    :data:`SIZE`.

    Args:
        network: in :data:`softmask.nets.NETWORKS`.
        module: what its transfer is called.
        heads: what becomes of the output, as in :func:`softmask.report.diagrams.diagram`.
    """
    with torch.device("meta"):  # shapes are enough: at full width, numbers would take seconds
        built = build(network, inputs=PICTURES + Generator.FULL_WIDTH, reduction=SCALE)
        built.module.label = module
        boxes = diagrams.trace(Transferring(build("srgan"), built), [torch.zeros(1, 1, SIZE, SIZE)], ["image"])
    return diagrams.diagram(boxes, heads, size=(19, 8))


def cbam() -> Figure:
    """Draw DSNet (TNNLS 2023) figure 4: the backbone's second CBAM block at full width, whose channels double."""
    with torch.device("meta"):
        block = build("improved_backbone").down[0][-1]
        x = torch.zeros(1, block.convs[0].in_channels, SIZE // 2, SIZE // 2)
        boxes = diagrams.trace(drawn_cbam(block), [x], ["features"], layers=True)
    return diagrams.diagram(boxes, size=(13, 7))


def transfer(module: Callable[[int], nn.Module], channels: int = Generator.FULL_WIDTH) -> Figure:
    """Draw DSNet (TNNLS 2023) figure 5, its first version's figure 4: the module that transfers ``channels`` features.

    Args:
        module: such as :func:`softmask.nets.dsnet.drtm`.
    """
    names = ["interpolated image", "super-resolved image", "features $F_{SR}$"]
    with torch.device("meta"):
        made = module(channels)
        inputs = [torch.zeros(1, n, SCALE * SIZE, SCALE * SIZE) for n in (1, 1, channels)]
        steps = isinstance(made, Transfer)
        drawn = drawn_transfer(made) if steps else Drawn(made, lambda made, _, *x: made(torch.cat(x, dim=1)), {})
        boxes = diagrams.trace(drawn, inputs, names, layers=True)
    return diagrams.diagram(boxes, size=(13, 7) if steps else (8, 6))
