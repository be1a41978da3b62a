"""Figures, diagrams and scores of CasGAN and DSNet for notebooks 4 and 6, besides tables.

Functions between a module's layers (a product, a mean) do not appear in a diagram: :class:`Step` makes them boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from softmask.analysis.finished import Fitted, data_of, distinct, example_of, first_runs
from softmask.analysis.table import values_of
from softmask.analysis.training import scores_of
from softmask.config import BASE_SEED, Config
from softmask.experiments.inputs import channels, feed, super_resolved, with_channels
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import SOFTENED, RunSpec
from softmask.experiments.store import Run
from softmask.label import soft_mask
from softmask.measure.differences import Scores
from softmask.measure.images import DOCTORS
from softmask.nets import build
from softmask.nets.base import SegmentationNet
from softmask.nets.cascade import Transferring, transferred
from softmask.nets.dsnet import PICTURES, DetailTextureEnhancement, OnEnlarged, Transfer
from softmask.nets.softgan import CBAMBlock
from softmask.nets.srgan import SCALE, Generator
from softmask.papers import display
from softmask.report import diagrams
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


class _Interpolating(nn.Module):
    """Stand-in for a super-resolution run without weights, and for its network."""

    needs, failed = (), False

    def __init__(self, spec: RunSpec) -> None:
        super().__init__()
        self.spec, self.weights = spec, f"interpolated in place of {spec.name}"
        with seeded(BASE_SEED):
            self.generator = build(spec.network, spec.width).eval()

    def network(self) -> nn.Module:
        return self

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return F.interpolate(image, scale_factor=SCALE, mode="bilinear", align_corners=False)

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(image), self.generator.features(image)[1]


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
        diagrams.Box("image", 1, size, diagrams.INPUT),
        diagrams.Box("SRGAN", 1, large_size, diagrams.GROWS, (0,)),
        diagrams.Box("interpolation", 1, large_size, diagrams.GROWS, (0,)),
        diagrams.Box("CasGAN's segmentor:\nsoft mask", 1, large_size, diagrams.KEEPS, (1, 2)),
        diagrams.Box("mean over\nthe image's pixels", 1, size, diagrams.SHRINKS, (3,)),
        diagrams.Box(f"{network}:\nimage and prior,\nenlarged", len(spec.channels), input_size, diagrams.GROWS, (0, 4)),
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

    def keep(module: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        weights.append(module.weights(given[0]))

    block = (network.backbone if isinstance(network, OnEnlarged) else network).first
    hook = block.spatial_attention.register_forward_hook(keep)
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


class Step(nn.Module):
    """Function as a box of its own in a diagram, with the name ``label``."""

    def __init__(self, label: str, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.label, self.forward = label, function


class DrawnCBAM(nn.Module):
    """CBAM block with each step as a box, for features (B, C, H, W)."""

    def __init__(self, block: CBAMBlock) -> None:
        super().__init__()
        self.block = block
        self.mean = Step("mean over places", lambda x: x.mean((2, 3), keepdim=True))
        self.largest = Step("maximum over places", lambda x: x.amax((2, 3), keepdim=True))
        self.channels = Step("+, sigmoid", lambda mean, largest: torch.sigmoid(mean + largest))
        self.by_channel = Step("× channels' weights", lambda x, weights: x * weights)
        self.pooled = Step("mean and maximum\nover channels", lambda x: torch.stack([x.mean(1), x.amax(1)], dim=1))
        self.by_place = Step("× places' weights", lambda x, logits: x * torch.sigmoid(logits))
        self.add = Step("+ shortcut", lambda x, shortcut: x + shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        perceptron = self.block.channel_attention.perceptron
        shortcut, y = self.block.shortcut(x), self.block.convs(x)
        weights = self.channels(perceptron(self.mean(y)), perceptron(self.largest(y)))  # (B, C, 1, 1)
        y = self.by_channel(y, weights)
        y = self.by_place(y, self.block.spatial_attention.conv(self.pooled(y)))
        return self.add(y, shortcut)


class DrawnTransfer(nn.Module):
    """Transfer with each step as a box (EDRFM, which only joins its inputs, without steps), for two images
    (B, 1, H, W) and features (B, C, H, W)."""

    def __init__(self, transfer: nn.Module) -> None:
        super().__init__()
        self.transfer = transfer
        self.gate = Step("−, sigmoid: $F_h$", lambda fine, coarse: torch.sigmoid(fine - coarse))
        self.weigh = Step("× $F_h$: $F_d$", lambda features, gate: features * gate)
        self.vector = Step("join, mean over places: $v_z$", lambda *branches: torch.cat(branches, 1).mean((2, 3)))
        self.select = Step("softmax: a, b", lambda c, d: torch.cat([*torch.softmax(torch.stack([c, d]), 0)], 1))
        self.add = Step("$a F_c + b F_d$", self._weighted_sum)

    @staticmethod
    def _weighted_sum(context: torch.Tensor, detail: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        a, b = weights[..., None, None].chunk(2, dim=1)  # each (B, C, 1, 1)
        return a * context + b * detail

    def forward(self, interpolated: torch.Tensor, fine: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.transfer, Transfer):
            return self.transfer(torch.cat([interpolated, fine, features], dim=1))
        fuse, enhance = self.transfer.fuse, self.transfer.enhance
        context = self.transfer.context(torch.cat([interpolated, fine], dim=1))  # (B, C, H, W)
        if isinstance(enhance, DetailTextureEnhancement):
            detail = self.weigh(features, self.gate(enhance.fine(features), enhance.coarse(features)))
        else:
            detail = enhance(features)
        z = fuse.common(self.vector(detail, context))  # (B, C)
        return self.add(context, detail, self.select(fuse.of_context(z), fuse.of_detail(z)))


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
    """Draw DSNet (TNNLS 2023) figure 4: the backbone's second CBAM block."""
    with torch.device("meta"):
        block = build("improved_backbone").down[0][-1]
        x = torch.zeros(1, block.convs[0].in_channels, SIZE // 2, SIZE // 2)
        boxes = diagrams.trace(DrawnCBAM(block), [x], ["features"], layers=True)
    return diagrams.diagram(boxes)


def transfer(module: Callable[[int], nn.Module]) -> Figure:
    """Draw DSNet (TNNLS 2023) figure 5, or figure 4 of its first version, at full width."""
    names = ["interpolated image", "super-resolved image", "features $F_{SR}$"]
    with torch.device("meta"):
        built = module(Generator.FULL_WIDTH)
        inputs = [torch.zeros(1, n, SCALE * SIZE, SCALE * SIZE) for n in (1, 1, Generator.FULL_WIDTH)]
        boxes = diagrams.trace(DrawnTransfer(built), inputs, names, layers=True)
    return diagrams.diagram(boxes, size=(13, 5) if isinstance(built, Transfer) else (8, 4.5))
