"""What notebooks 4 and 6 show of networks behind a super-resolution besides tables: their input, CasGAN's diagrams,
thresholds, the doctors beside them, and predictions side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from softmask.analysis.finished import Fitted, data_of, distinct, example_of, firsts, needs_of
from softmask.analysis.table import values_of
from softmask.analysis.training import scores_of
from softmask.config import BASE_SEED, Config
from softmask.experiments.execute import Run
from softmask.experiments.inputs import feed
from softmask.experiments.prepared import Prepared
from softmask.experiments.spec import SOFTENED, RunSpec
from softmask.label import soft_mask
from softmask.measure.differences import Scores
from softmask.measure.images import DOCTORS
from softmask.nets import build
from softmask.nets.base import SegmentationNet
from softmask.nets.srgan import SCALE, Generator, transferred
from softmask.papers import display
from softmask.report import diagrams
from softmask.report.panels import Panel, grid
from softmask.report.result import Key
from softmask.train import seeded
from softmask.train.losses import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONSENSUS50 = "dice_consensus50"
BEYOND_NODULES = ("isbi2012", "promise12")


@dataclass(frozen=True, eq=False)
class Fed:
    """A training image as the network sees it, and the first four as a batch.

    Attributes:
        image: (S, S) in [0, 1].
        channels: (C, s, s), pictures in [0, 1].
        soft: the label in [0, 1], as large as the network's answers.
        batch: channels (4, C, s, s), masks and soft labels, float32.
        note: which super-resolution was used, in words.
    """

    name: str
    data: Prepared
    image: np.ndarray
    channels: np.ndarray
    soft: np.ndarray
    batch: Batch
    note: str


def example(spec: RunSpec, fitted: Fitted, config: Config) -> Fed:
    """Return the first training image of a run. Where the trained network to super-resolve it is missing, as with
    recorded runs, interpolation stands in, and random features."""
    data = example_of(spec, config)
    whole = data.train
    four = replace(
        whole,
        ids=whole.ids[:4],
        groups=whole.groups[:4],
        images=whole.images[:4],
        masks=whole.masks[:4],
        soft={name: labels[:4] for name, labels in whole.soft.items()},
        references={},
    )
    trained = needs_of(spec, fitted)
    needs = trained or [_stand_in(need) for need in spec.needs]
    fed = feed(spec, replace(data, train=four, validation=four), needs).train
    images, soft = torch.tensor(fed.images), fed.soft[spec.label]
    if spec.on_the_fly:
        generator = next(need for need in needs if need.spec == spec.sr).network()
        with torch.no_grad():
            images = transferred(generator, images, spec.scale)
    note = "super-resolved by the trained network"
    if not trained:
        note = "recorded: interpolated in place of super-resolved, features of a network that has learnt nothing"
    batch = Batch(images, torch.tensor(fed.masks), torch.tensor(soft))
    return Fed(fed.ids[0], data, whole.images[0, 0], images[0].numpy(), soft[0, 0], batch, note)


class _Interpolating(nn.Module):
    """A super-resolution network that has learnt nothing: its image is interpolated, its features are random."""

    def __init__(self, spec: RunSpec) -> None:
        super().__init__()
        with seeded(BASE_SEED):
            self.generator = build(spec.network, spec.width)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return F.interpolate(image, scale_factor=SCALE, mode="bilinear", align_corners=False)

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(image), self.generator.features(image)[1]


def _stand_in(spec: RunSpec) -> SimpleNamespace:
    """In place of a finished super-resolution run whose network is missing."""
    key = f"interpolated in place of {spec.name}"
    return SimpleNamespace(spec=spec, needs=(), key=key, failed=False, network=lambda: _Interpolating(spec).eval())


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
    """Draw CasGAN figure 5: how the soft mask of ``spec.prior`` becomes a channel of ``spec``'s network."""
    prior, size, network = spec.prior, spec.size, display("rows", spec.network)
    large, seen = size * prior.scale, size * spec.scale
    boxes = [
        diagrams.Box("image", 1, size, diagrams.INPUT),
        diagrams.Box("SRGAN", 1, large, diagrams.GROWS, (0,)),
        diagrams.Box("interpolation", 1, large, diagrams.GROWS, (0,)),
        diagrams.Box("CasGAN's segmentor:\nsoft mask", 1, large, diagrams.KEEPS, (1, 2)),
        diagrams.Box("mean over\nthe image's pixels", 1, size, diagrams.SHRINKS, (3,)),
        diagrams.Box(f"{network}:\nimage and prior,\nenlarged", len(spec.channels), seen, diagrams.GROWS, (0, 4)),
    ]
    losses = " + ".join(name.replace("_", " ") for name, _ in spec.losses)
    return diagrams.diagram(boxes, [("sigmoid → binary mask", losses)], size=(11, 6))


def threshold_frame(fitted: Fitted) -> pd.DataFrame:
    """Return one line for each run on softened labels: the cut that its validation images picked."""
    runs = [run for run in distinct(fitted) if run.spec.label == SOFTENED]
    cuts = [run.record.threshold for run in runs]
    return pd.DataFrame(
        {
            "data set": [display("datasets", run.spec.dataset) for run in runs],
            "seed": [run.spec.seed for run in runs],
            "threshold": cuts,
            "of 255": [round(255 * cut) for cut in cuts],
        }
    )


def thresholds(fitted: Fitted) -> dict[str, dict[str, float]]:
    """Return, for a table's details, the cut of every run that has one of its own, by name."""
    runs = [run for run in distinct(fitted) if run.spec.label == SOFTENED]
    return {"thresholds": {run.spec.name: run.record.threshold for run in runs}}


def doctors(fitted: Fitted, network: str = "casgan", known: Fitted = MappingProxyType({})) -> dict[Key, Scores]:
    """Return what the claim about doctors compares: Dice with the 50 % consensus, of the network (a row) and of each
    doctor, on the test images of its runs on ``lidc-500``; nothing without such a run.

    Args:
        known: runs among which the network's training is, whose curves count.
    """
    runs = fitted.get((network, "lidc-500"))
    if not runs:
        return {}
    made = {network: scores_of(runs, partial(values_of, metric="dice"), [fitted, known])}
    for doctor in DOCTORS:
        same = scores_of(runs[:1], partial(values_of, metric=f"truth_{doctor}"))  # for every seed
        made[doctor] = replace(same, curves=(), fixed=True)
    return {(row, "lidc-500", CONSENSUS50): scores for row, scores in made.items()}


def pictured(run: Run, config: Config, most: int = 3) -> list[list[Panel]]:
    """Return rows of CasGAN figure 8 for the first of a run's kept predictions; without data, the prediction alone."""
    data, rows = data_of(run.spec, config), []
    for name, prediction in list(run.record.shown().items())[:most]:
        predicted, absent = Panel(prediction.astype(float) / 255), Panel(None, note="image not\nat hand")
        if data is None:
            rows.append([absent, absent, absent, predicted, absent])
            continue
        i = data.test.ids.index(name)
        image, mask, soft = data.test.images[i, 0], data.test.masks[i, 0] > 0, data.test.soft["soft_mask"][i, 0]
        trimap = soft_mask(image, mask=mask).trimap
        rows.append([Panel(image), Panel(trimap), Panel(soft), predicted, Panel(mask.astype(float))])
    return rows


def side_by_side(fitted: Fitted, row: str, config: Config) -> Figure | None:
    """Draw CasGAN figure 8: :func:`pictured` of a row's first seed on :data:`BEYOND_NODULES`; None without such a
    run."""
    rows, names = [], []
    for dataset in BEYOND_NODULES:
        for run in firsts(fitted, [row], dataset).values():
            panels = pictured(run, config)
            rows += panels
            names += [display("datasets", dataset) if i == 0 else "" for i in range(len(panels))]
    return grid(rows, ["image", "trimap", "soft mask", "prediction", "truth"], names) if rows else None
