"""Figures, diagrams and scores of CasGAN and DSNet for notebooks 4 and 6, besides tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from softmask.analysis.finished import Fitted, data_of, distinct, example_of, first_runs
from softmask.analysis.table import values_of
from softmask.analysis.training import scores_of
from softmask.config import BASE_SEED, Config
from softmask.experiments.inputs import channels, feed, super_resolved, with_channels
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rehearsal import Untrained
from softmask.experiments.spec import SOFTENED, RunSpec
from softmask.experiments.store import Run
from softmask.label import soft_mask
from softmask.measure.differences import Scores
from softmask.measure.images import DOCTORS
from softmask.nets import build
from softmask.nets.base import SegmentationNet
from softmask.nets.cascade import Transferring, transferred
from softmask.nets.dsnet import PICTURES, OnEnlarged, drtm, edrfm
from softmask.nets.srgan import SCALE, Generator
from softmask.papers import display
from softmask.report import diagrams
from softmask.report.diagrams import GROWS, INPUT, KEEPS, SHRINKS, Box
from softmask.report.figures import WIDEST
from softmask.report.panels import SOFT_MASK, Look, Panel, grid
from softmask.report.result import Key
from softmask.train import seeded
from softmask.train.losses import Batch
from softmask.train.segmentation import evaluate

BEYOND_NODULES = ("isbi2012", "promise12")


@dataclass(frozen=True, eq=False)
class Example:
    """First training image with the network's input, and the first four images as a batch.

    ``image`` (S, S), ``channels`` (C, s, s) and the label ``soft`` are in [0, 1], except channels that are features.
    ``titles`` of channels that are images, by name.
    """

    name: str
    data: Prepared
    image: np.ndarray
    channels: np.ndarray
    soft: np.ndarray
    batch: Batch
    note: str
    titles: Mapping[str, str]


def example(spec: RunSpec, fitted: Fitted, config: Config) -> Example:
    """Return the first training images of a run; without a trained super-resolution network, they are interpolated."""
    data = example_of(spec, config)
    train = data.train
    labels = {name: label[:4] for name, label in train.soft.items()}
    first_four = Part(train.ids[:4], train.groups[:4], train.images[:4], train.masks[:4], labels)
    trained_runs = next((run.needs for run in distinct(fitted) if run.spec == spec), ())  # none without weights
    needs = trained_runs or [_Interpolating(need) for need in spec.needs]
    inputs = feed(spec, replace(data, train=first_four, validation=first_four), needs).train
    images, soft = torch.tensor(inputs.images), inputs.soft[spec.label]
    if spec.on_the_fly:
        generator = next(need for need in needs if need.spec == spec.sr).network()
        with torch.no_grad():
            images = transferred(generator, images, spec.scale)
    note = "super-resolved by the trained network"
    titles = {"bilinear": "interpolated", "super_resolved": "super-resolved"}
    if not trained_runs:
        note = "recorded: interpolated in place of super-resolved, features of an untrained network"
        titles["super_resolved"] = "interpolated, not\nsuper-resolved"
    batch = Batch(images, torch.tensor(inputs.masks), torch.tensor(soft))
    return Example(inputs.ids[0], data, train.images[0, 0], images[0].numpy(), soft[0, 0], batch, note, titles)


class _Interpolating(Untrained):
    """Super-resolution run without weights, whose untrained network adds nothing to the interpolated image."""

    @property
    def weights(self) -> str:
        return f"interpolated in place of {self.spec.name}"

    def network(self) -> nn.Module:
        with seeded(BASE_SEED):
            network = super().network()
        nn.init.zeros_(network.last.weight)
        nn.init.zeros_(network.last.bias)
        return network


PARTS = {"generator": "super-resolution network, frozen", "segmentor": "segmentor"}
"""Names of the parts of :class:`Cascade` in diagrams."""


class Cascade(nn.Module):
    """Generator and segmentor as one module, for diagrams: (B, 1, H, W) to logits (B, 1, scale H, scale W)."""

    def __init__(self, generator: Generator, segmentor: SegmentationNet, scale: int) -> None:
        super().__init__()
        self.generator, self.segmentor = generator, segmentor
        self.average = nn.AvgPool2d(SCALE // scale) if scale < SCALE else nn.Identity()
        self.interpolate = nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        super_resolved = self.average(self.generator(image))  # (B, 1, s, s)
        return self.segmentor(torch.cat([self.interpolate(image), super_resolved], dim=1))


def prior_diagram(spec: RunSpec) -> Figure:
    """Draw CasGAN figure 5: the soft mask of ``spec.prior`` becomes an input channel."""
    prior, size, network = spec.prior, spec.size, display("rows", spec.network)
    large_size, input_size = size * prior.scale, size * spec.scale
    boxes = [
        Box("image", 1, size, INPUT),
        Box("SRGAN", 1, large_size, GROWS, (0,)),
        Box("interpolation", 1, large_size, GROWS, (0,)),
        Box("CasGAN's segmentor:\nsoft mask", 1, large_size, KEEPS, (1, 2)),
        Box("mean over\nthe image's pixels", 1, size, SHRINKS, (3,)),
        Box(f"{network}:\nimage and prior,\nenlarged", len(spec.channels), input_size, GROWS, (0, 4)),
    ]
    losses = " + ".join(name.replace("_", " ") for name, _ in spec.losses)
    return diagrams.diagram(boxes, [("sigmoid → binary mask", losses)], size=(11, 6))


def thresholds(fitted: Fitted) -> dict[str, dict[str, float]]:
    """Return, for a table's details, the threshold of each run that has its own, by name."""
    runs = [run for run in distinct(fitted) if run.spec.label == SOFTENED]
    return {"thresholds": {run.spec.name: run.record.threshold for run in runs}}


def doctors(fitted: Fitted, network: str = "casgan", known: Fitted | None = None) -> dict[Key, Scores]:
    """Return Dice of the network (a row) and of each doctor with the 50 % consensus, on the images of ``lidc-500``.

    The network's training curves are those of its training run, which is in ``known`` (default: ``fitted``).
    """
    runs = fitted.get((network, "lidc-500"))
    if not runs:
        return {}
    scores_by_row = {network: scores_of(runs, "dice", known or fitted)}
    record, source = runs[0].record, runs[0].spec.source
    for doctor in DOCTORS:
        dice = values_of(runs[:1], f"truth_{doctor}")  # the same in every seed's record
        scores_by_row[doctor] = Scores(record.ids, record.groups, dice, source, fixed=True)
    return {(row, "lidc-500", "dice_consensus50"): scores for row, scores in scores_by_row.items()}


def pictured(run: Run, config: Config) -> list[list[Panel]]:
    """Return rows of CasGAN figure 8; without data, they show only the predictions."""
    data, rows = data_of(run.spec, config), []
    for name, prediction in list(run.record.some_predictions().items())[:3]:
        predicted, absent = Panel(prediction / 255.0, bar=SOFT_MASK), Panel(None, note="image not\nat hand")
        if data is None:
            rows.append([absent, absent, absent, predicted, absent])
            continue
        i = data.test.ids.index(name)
        image, mask, soft = data.test.images[i, 0], data.test.masks[i, 0] > 0, data.test.soft["soft_mask"][i, 0]
        trimap = soft_mask(image, mask=mask).trimap
        rows.append([Panel(image), Panel(trimap), Panel(soft, bar=SOFT_MASK), predicted, Panel(mask.astype(float))])
    return rows


def side_by_side(fitted: Fitted, row: str, config: Config) -> Figure | None:
    """Draw CasGAN figure 8 for a row's first seed, on :data:`BEYOND_NODULES`."""
    rows, names = [], []
    for dataset in BEYOND_NODULES:
        for run in first_runs(fitted, [row], dataset).values():
            panels = pictured(run, config)
            rows += panels
            names += [display("datasets", dataset) if i == 0 else "" for i in range(len(panels))]
    return grid(rows, ["image", "trimap", "soft mask", "prediction", "truth"], names) if rows else None


SIZE = 64
"""Height and width of the image passed through a network to trace its diagram."""


def attention(run: Run, images: np.ndarray) -> np.ndarray:
    """Return the first CBAM block's spatial attention weights (N, S, S) for ``images`` (N, 1, S, S)."""
    network = run.network()
    weights: list[torch.Tensor] = []
    module = (network.backbone if isinstance(network, OnEnlarged) else network).first.spatial_attention
    hook = module.register_forward_hook(lambda module, given, output: weights.append(module.weights(given[0])))
    try:
        wrapped_network = with_channels(run.spec, network, run.needs)
        evaluate(wrapped_network, wrapped_network, channels(run.spec, images, run.needs), batch_size=16)
    finally:
        hook.remove()
    return torch.cat(weights)[:, 0].cpu().numpy()


def views(fitted: Fitted, rows: tuple[str, str], dataset: str, config: Config) -> list[Look]:
    """Return the spatial attention of the networks of two rows on three test images."""
    runs = [run for run in first_runs(fitted, rows, dataset).values() if run.folder is not None]
    data = data_of(runs[1].spec, config) if len(runs) == len(rows) else None
    if data is None:
        return []
    transfer_run = runs[1]
    images = data.test.images[[data.test.ids.index(name) for name in list(transfer_run.record.some_predictions())[:3]]]
    generator = next(need for need in transfer_run.needs if need.spec == transfer_run.spec.sr)
    sr_images = super_resolved(generator, images, transfer_run.spec.scale)[:, 0].astype(np.float32)
    weights = (attention(run, images) for run in runs)
    return [Look(*arrays) for arrays in zip(images[:, 0], sr_images, *weights, strict=True)]


def overview(network: str, module: str, heads: list[tuple[str, str]]) -> Figure:
    """Draw DSNet's figure 3 (both versions) at full width; ``module`` is the name of the transfer."""
    with torch.device("meta"):  # shapes are enough: at full width, computing values would take seconds
        segmentor = build(network, inputs=PICTURES + Generator.FULL_WIDTH, reduction=SCALE)
        segmentor.module.label = module
        parts = {"generator": PARTS["generator"], "network": PARTS["segmentor"]}
        cascade = Transferring(build("srgan"), segmentor)
        boxes = diagrams.trace(cascade, [torch.zeros(1, 1, SIZE, SIZE)], ["image"], parts=parts)
    return diagrams.diagram(boxes, heads, size=(WIDEST, 6))


def cbam() -> Figure:
    """Draw DSNet (TNNLS 2023) figure 4: the backbone's second CBAM block at full width."""
    size, conv = SIZE // 2, "conv 3×3, ReLU, batch norm"
    boxes = [
        Box("features", 64, size, INPUT),
        Box("conv 1×1", 128, size, KEEPS, (0,)),
        Box(conv, 128, size, KEEPS, (0,)),
        Box(conv, 128, size, KEEPS, (2,)),
        Box("mean over places", 128, 1, SHRINKS, (3,)),
        Box("conv 1×1, ReLU", 8, 1, KEEPS, (4,)),
        Box("conv 1×1", 128, 1, KEEPS, (5,)),
        Box("maximum over places", 128, 1, SHRINKS, (3,)),
        Box("conv 1×1, ReLU", 8, 1, KEEPS, (7,)),
        Box("conv 1×1", 128, 1, KEEPS, (8,)),
        Box("+, sigmoid", 128, 1, KEEPS, (6, 9)),
        Box("× channels' weights", 128, size, KEEPS, (3, 10)),
        Box("mean and maximum\nover channels", 2, size, KEEPS, (11,)),
        Box("conv 7×7", 1, size, KEEPS, (12,)),
        Box("× places' weights", 128, size, KEEPS, (11, 13)),
        Box("+ shortcut", 128, size, KEEPS, (1, 14)),
    ]
    return diagrams.diagram(boxes)


def transfer(module: Callable[[int], nn.Module]) -> Figure:
    """Draw DSNet (TNNLS 2023) figure 5, or figure 4 of its first version, at full width: ``drtm``, ``sdrfm`` or
    ``edrfm``."""
    size, width, conv = SCALE * SIZE, Generator.FULL_WIDTH, "conv 3×3, ReLU"
    boxes = [
        Box("interpolated image", 1, size, INPUT),
        Box("super-resolved image", 1, size, INPUT),
        Box("features $F_{SR}$", width, size, INPUT),
        Box(conv, width, size, KEEPS, (0, 1, 2) if module is edrfm else (0, 1)),
    ]
    if module is edrfm:
        return diagrams.diagram(boxes, size=(8, 4.5))
    if module is drtm:
        boxes += [
            Box("conv 1×1", width, size, KEEPS, (2,)),
            Box("conv 3×3, dilation 2", width, size, KEEPS, (2,)),
            Box("−, sigmoid: $F_h$", width, size, KEEPS, (4, 5)),
            Box("× $F_h$: $F_d$", width, size, KEEPS, (2, 6)),
        ]
    else:
        boxes.append(Box(conv, width, size, KEEPS, (2,)))
    detail = len(boxes) - 1
    boxes += [
        Box("join, mean over places: $v_z$", 2 * width, 1, SHRINKS, (3, detail)),
        Box("dense layer, ReLU", width, 1, KEEPS, (detail + 1,)),
        Box("dense layer", width, 1, KEEPS, (detail + 2,)),
        Box("dense layer", width, 1, KEEPS, (detail + 2,)),
        Box("softmax: a, b", 2 * width, 1, KEEPS, (detail + 3, detail + 4)),
        Box("$a F_c + b F_d$", width, size, KEEPS, (3, detail, detail + 5)),
    ]
    return diagrams.diagram(boxes)
