"""What notebook 4 shows of CasGAN besides its tables: how it is fed, what it builds on, its thresholds, the doctors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from softmask.analysis.finished import Fitted, data_of, distinct, example_of, firsts, needs_of
from softmask.analysis.training import scores_of, values_of
from softmask.config import Config
from softmask.experiments.inputs import feed
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import SOFTENED, RunSpec
from softmask.experiments.store import Run
from softmask.label import soft_mask
from softmask.measure.differences import Scores
from softmask.measure.images import DOCTORS
from softmask.nets.base import SegmentationNet
from softmask.nets.srgan import SCALE, Generator
from softmask.papers import display
from softmask.report import diagrams
from softmask.report.panels import Panel, grid
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
    """The first training image of a run. Without a trained network to super-resolve it, as with recorded runs,
    interpolation stands in."""
    data = example_of(spec, config)
    four = _first(data, 4)
    needs = needs_of(spec, fitted)
    fed = feed(spec, four, needs or [_Interpolated(need) for need in spec.needs]).train
    soft = fed.soft[spec.label]
    note = "super-resolved by the trained network" if needs else "recorded: interpolated in place of super-resolved"
    batch = Batch(*(torch.tensor(array) for array in (fed.images, fed.masks, soft)))
    return Fed(fed.ids[0], data, four.train.images[0, 0], fed.images[0], soft[0, 0], batch, note)


def _first(data: Prepared, n: int) -> Prepared:
    """``data`` with the first ``n`` images of each part."""

    def cut(part: Part) -> Part:
        return replace(
            part,
            ids=part.ids[:n],
            groups=part.groups[:n],
            images=part.images[:n],
            masks=part.masks[:n],
            soft={name: array[:n] for name, array in part.soft.items()},
            references={name: array[:n] for name, array in part.references.items()},
        )

    return replace(data, train=cut(data.train), validation=cut(data.validation), test=cut(data.test))


class _Interpolated:
    """In place of a super-resolution run whose network is not at hand."""

    needs = ()

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.key = spec, f"interpolated in place of {spec.name}"

    def network(self) -> nn.Module:
        return _Bilinear()


class _Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # tells on which device it is

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return _enlarged(image, SCALE)


def _enlarged(image: torch.Tensor, scale: int) -> torch.Tensor:
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


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
    """CasGAN figure 5: how the soft mask of ``spec.prior`` becomes a channel of ``spec``'s network."""
    prior, size = spec.prior, spec.size
    large, network = size * prior.scale, display("rows", spec.network)
    seen = size * spec.scale
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
    """One line for each run on softened labels: the cut that its validation images picked."""
    runs = [run for run in distinct(fitted) if run.spec.label == SOFTENED]
    return pd.DataFrame(
        {
            "data set": [display("datasets", run.spec.dataset) for run in runs],
            "seed": [run.spec.seed for run in runs],
            "threshold": [run.record.threshold for run in runs],
            "of 255": [round(255 * run.record.threshold) for run in runs],
        }
    )


def thresholds(fitted: Fitted) -> dict[str, Any]:
    """For a table's details: the cut of every run that has one of its own, by name."""
    found = {run.spec.name: run.record.threshold for run in distinct(fitted) if run.spec.label == SOFTENED}
    return {"thresholds": found}


def doctors(
    fitted: Fitted, network: str = "casgan", known: Fitted = MappingProxyType({})
) -> dict[tuple[str, str, str], Scores]:
    """What the claim about doctors compares: Dice with the 50 % consensus, of the network (a row) and of each doctor,
    on the test images of its runs on ``lidc-500``; nothing without such a run.

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
    """Rows of CasGAN figure 8 for the first of a run's kept predictions; without data, the prediction alone."""
    kept = list(run.record.shown().items())[:most]
    data = data_of(run.spec, config)
    absent = Panel(None, note="image not\nat hand")
    rows = []
    for name, prediction in kept:
        predicted = Panel(prediction.astype(float) / 255)
        if data is None:
            rows.append([absent, absent, absent, predicted, absent])
            continue
        i = data.test.ids.index(name)
        image, mask = data.test.images[i, 0], data.test.masks[i, 0] > 0
        trimap = soft_mask(image, mask=mask).trimap
        soft = data.test.soft["soft_mask"][i, 0]
        rows.append([Panel(image), Panel(trimap), Panel(soft), predicted, Panel(mask.astype(float))])
    return rows


def side_by_side(fitted: Fitted, row: str, config: Config) -> Figure | None:
    """CasGAN figure 8: :func:`pictured` of a row's first seed on :data:`BEYOND_NODULES`; None without such a run."""
    runs = {name: run for name in BEYOND_NODULES for run in firsts(fitted, [row], name).values()}
    found = {name: pictured(run, config) for name, run in runs.items()}
    rows = [panels for of in found.values() for panels in of]
    names = [display("datasets", name) if i == 0 else "" for name, of in found.items() for i in range(len(of))]
    if not rows:
        return None
    return grid(rows, ["image", "trimap", "soft mask", "prediction", "truth"], names)
