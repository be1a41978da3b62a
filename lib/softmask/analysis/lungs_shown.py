"""LGAN in notebook 7: its critics, test slices, activations, and diagrams drawn from the modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from softmask import papers
from softmask.analysis.finished import Fitted, data_of, first_runs
from softmask.analysis.table import numbers
from softmask.config import BASE_SEED, Config
from softmask.experiments.inputs import soft_masks
from softmask.experiments.prepare import Part
from softmask.experiments.rows import rows_of
from softmask.experiments.store import Run
from softmask.measure.lungs import enlarge
from softmask.nets import build
from softmask.nets.critics import CRITICS, Critic
from softmask.nets.registry import n_parameters
from softmask.papers import display
from softmask.report import diagrams, lung_panels
from softmask.report.diagrams import GROWS, INPUT, KEEPS, SHRINKS, Box
from softmask.report.result import Cell
from softmask.train import seeded
from softmask.train.device import pick
from softmask.train.losses import Batch, weighted
from softmask.train.objectives import FASTEST, Segmentation

SIZE = 224
"""Height and width of the slices that the paper's networks take as input."""

INPUTS = {
    "basic": "one channel: a mask, predicted or true",
    "product": "one channel: the image where the mask is, 0 elsewhere",
    "early_fusion": "two channels: mask and image",
    "late_fusion": "mask and image in a branch each",
    "regression": "predicted and true mask in a branch each, one number for both",
}
"""Input of each critic."""


def description_cells(source: str) -> list[Cell]:
    """Return table 1: the input of each critic, and its number of parameters at full width."""
    cells = []
    for cell in papers.load("lgan").table("table-1").cells:
        name = cell.row.removeprefix("lgan_")
        parameters = n_parameters(CRITICS[name](Critic.FULL_WIDTH))
        description = f"{INPUTS[name]}; {parameters:,} parameters"
        cells += numbers(cell.row, cell.dataset, {cell.metric: description}, 0, 1, source)
    return cells


def sign_frame(part: Part, config: Config) -> pd.DataFrame:
    """Return, for each critic, the gap E[D(true)] - E[D(predicted)] before and after one step of the critic.

    Also E[D(predicted)] before and after a step of the generator. The gap of the regression critic is minus its output.
    """
    spec = rows_of(["lgan_basic"], "lidc-lung", config, "lgan")["lgan_basic", "lidc-lung"][0]
    indices = np.argsort(-part.masks.sum(axis=(1, 2, 3)))[:4]
    device = pick()
    batch = Batch(*(torch.tensor(array[indices], device=device) for array in (part.images, part.masks, part.masks)))

    def state(objective: Segmentation) -> tuple[float, float]:
        critic = objective.adversary.module
        with torch.no_grad():
            fake = torch.sigmoid(objective.modules["network"](batch.images))
            gap = -critic(batch.images, batch.masks, fake).mean()
            return float(gap), float(critic.score(batch.images, fake, batch.masks).mean())

    lines = {}
    for name in CRITICS:
        adversarial = f"wasserstein_{name}"
        losses = (("hard_cross_entropy", 1.0), (adversarial, 1.0))
        with seeded(BASE_SEED):
            network = build(spec.network, spec.width).to(device)
        width = spec.settings.discriminator_width
        objective = Segmentation(network, losses, device, FASTEST, width=width, seed=BASE_SEED)
        gap_before, _ = state(objective)
        outputs = network.training_outputs(batch.images)
        mask = objective.adversary.mask(outputs[0])
        objective.adversary.update(batch, mask.detach())
        gap_after, score_before = state(objective)
        objective.adversary.backward(batch, mask, outputs, weighted(outputs, batch, objective.pixel), [adversarial])
        objective.optimisers["network"].step()
        _, score_after = state(objective)
        lines[display("rows", f"lgan_{name}")] = {
            "gap": gap_before,
            "after the critic's step": gap_after,
            "D(predicted)": score_before,
            "after the generator's step": score_after,
            "gap increased": gap_after > gap_before,
            "D(predicted) increased": score_after > score_before,
        }
    return pd.DataFrame.from_dict(lines, orient="index")


@dataclass(frozen=True, eq=False)
class Slice:
    """Test slice: the networks' input ``seen`` (S, S); at the stored size (512, 512) its ``image`` in [0, 1], true
    ``lungs`` and ``nodules``, and the ``masks`` of predicted lungs by row."""

    seen: np.ndarray
    image: np.ndarray
    lungs: np.ndarray
    nodules: np.ndarray
    masks: Mapping[str, np.ndarray]


def around_nodules(whole: Slice, reach: int = 72) -> Slice:
    """Return the part of a slice within ``reach`` pixels of the centre of its nodules."""
    middle = np.argwhere(whole.nodules).mean(axis=0).round().astype(int)
    corner = np.clip(middle - reach, 0, np.array(whole.image.shape) - 2 * reach)
    window = tuple(slice(start, start + 2 * reach) for start in corner)
    masks = {row: mask[window] for row, mask in whole.masks.items()}
    return Slice(whole.seen, whole.image[window], whole.lungs[window], whole.nodules[window], masks)


def slices(
    fitted: Fitted,
    rows: Sequence[str],
    dataset: str,
    choose: Callable[[Sequence[Run], int], list[int]],
    count: int,
    config: Config,
) -> list[Slice]:
    """Return ``count`` test slices with the masks of the first seed's networks, at the stored size; no slices without
    weights or data. ``choose`` is :func:`spread_places`, :func:`hardest_places` or :func:`wall_places`."""
    runs = first_runs(fitted, rows, dataset)
    if not runs or any(run.folder is None for run in runs.values()):
        return []
    indices, data = choose(list(runs.values()), count), data_of(next(iter(runs.values())).spec, config)
    if data is None or not indices:
        return []
    test, size = data.test, data.test.references["native"].shape[-2:]
    masks = {}
    for row, run in runs.items():
        trained_run = run.needs[0] if run.spec.prior is not None and not run.spec.learns else run
        masks[row] = enlarge(soft_masks(trained_run, test.images[indices])[:, 0], size) >= 0.5
    images, lungs, nodules = (test.references[name][indices, 0] for name in ("native_image", "native", "nodules"))
    return [
        Slice(seen, images[i] / 255, lungs[i] > 0, nodules[i] > 0, {row: mask[i] for row, mask in masks.items()})
        for i, seen in enumerate(test.images[indices, 0])
    ]


def spread_places(runs: Sequence[Run], count: int) -> list[int]:
    """Return the indices of ``count`` test slices that contain lung, evenly spread over all such slices."""
    lung_indices = np.flatnonzero(np.array(runs[0].record.measures["pixels_true"]) > 0)
    return lung_indices[np.linspace(0, len(lung_indices) - 1, count + 2).round().astype(int)[1:-1]].tolist()


def hardest_places(runs: Sequence[Run], count: int) -> list[int]:
    """Return the indices of ``count`` slices, of different scans where possible: the slice with the lowest mean IoU in
    each part of the lungs, from the lowest to the highest part."""
    record = runs[0].record
    iou = np.mean([run.record.measures["iou"] for run in runs], axis=0)
    slices = pd.DataFrame({"iou": iou, "scan": record.groups, "lung": record.measures["pixels_true"]})
    slices = slices[slices["lung"] > 0.05 * slices["lung"].max()]
    iou_by_scan = slices.groupby("scan", sort=False)["iou"]
    part = iou_by_scan.cumcount() * count // iou_by_scan.transform("size")  # by the order of the scan's slices
    indices: list[int] = []
    for _, candidates in slices.groupby(part):
        new_scans = candidates[~candidates["scan"].isin(slices.loc[indices, "scan"])]
        indices.append(int((candidates if new_scans.empty else new_scans)["iou"].idxmin()))
    return indices


def wall_places(runs: Sequence[Run], count: int) -> list[int]:
    """Return the indices of slices with a nodule at the lung's boundary, of different scans first."""
    values, scans = np.array(runs[0].record.measures["nodules_at_wall_inside"], float), runs[0].record.groups
    indices = np.flatnonzero(~np.isnan(values)).tolist()
    first_by_scan = {scans[index]: index for index in reversed(indices)}
    return sorted([*dict.fromkeys([*sorted(first_by_scan.values()), *indices])][:count])


def activations(run: Run, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the most representative map (h, w) in [0, 1] of each block and of the logits."""
    with torch.inference_mode():
        levels = run.network().levels(torch.tensor(image, dtype=torch.float32)[None, None])
    return {name: _representative(maps[0].numpy()) for name, maps in levels.items()}


def _representative(maps: np.ndarray) -> np.ndarray:
    """Return the map, of (C, h, w), that is most like the mean of their absolute values, scaled to [0, 1]."""
    flat = maps.reshape(len(maps), -1)
    mean = np.abs(flat).mean(axis=0)
    centred = flat - flat.mean(axis=1, keepdims=True)
    likeness = centred @ (mean - mean.mean()) / (np.linalg.norm(centred, axis=1) + 1e-12)
    best = maps[int(np.abs(likeness).argmax())]
    low, high = float(best.min()), float(best.max())
    return (best - low) / ((high - low) or 1.0)


def activation_figure(fitted: Fitted, row: str, dataset: str, config: Config) -> Figure | None:
    """Return LGAN figure 5: activations of a row's network, or None."""
    for test_slice in slices(fitted, [row], dataset, spread_places, 1, config):
        maps = activations(first_runs(fitted, [row], dataset)[row], test_slice.seen)
        return lung_panels.activations(test_slice.seen, maps, test_slice.masks[row])
    return None


CRITICS_DRAWN = {
    "basic": ("basic, product, early fusion", ("mask",)),
    "late_fusion": ("late fusion", ("image", "mask")),
    "regression": ("regression", ("predicted mask", "true mask")),
}
"""Critics of figure 3: the name of each, and its inputs."""


class ScoredMasks(nn.Module):
    """Critic without the arguments that it does not use: (B, 1, H, W) to (B, 1)."""

    def __init__(self, critic: Critic, inputs: Sequence[str]) -> None:
        super().__init__()
        self.critic, self.inputs = critic, inputs

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        inputs_by_name = dict(zip(self.inputs, values, strict=True))
        mask = inputs_by_name.get("mask", values[0])
        return self.critic.score(inputs_by_name.get("image", mask), mask, inputs_by_name.get("true mask", mask))


def pipeline() -> Figure:
    """Draw figure 1: the generator's mask and the true mask as inputs of the critic."""
    boxes = [
        Box("CT slice", 1, SIZE, INPUT),
        Box("true mask", 1, SIZE, INPUT),
        Box("generator, down", 1024, SIZE // 16, SHRINKS, (0,)),
        Box("generator, up", 64, SIZE, GROWS, (2,)),
        Box("predicted mask", 1, SIZE, KEEPS, (3,)),
        Box("critic", 512, SIZE // 16, SHRINKS, (0, 1, 4)),
        Box("a number:\nthe distance", 1, 1, SHRINKS, (5,)),
    ]
    losses = [("critic lowers", "E[D(predicted)] − E[D(true)]"), ("generator lowers", "BCE − E[D(predicted)]")]
    return diagrams.diagram(boxes, losses)


def generator() -> Figure:
    """Draw figure 2: the generator's layers at full width."""
    with torch.device("meta"):  # shapes are enough
        boxes = diagrams.trace(build("lgan_generator"), [torch.zeros(1, 1, SIZE, SIZE)], ["CT slice"])
    critic_loss = ("sigmoid → lung mask", "− E[D(.)]", "critic:\nhow far from\ntrue masks?")
    return diagrams.diagram(boxes, [("sigmoid → lung mask", "BCE"), critic_loss])


def critic(name: str) -> Figure:
    """Draw a part of figure 3: the layers of one of :data:`CRITICS_DRAWN` at full width."""
    input_names = CRITICS_DRAWN[name][1]
    with torch.device("meta"):
        scored_masks = ScoredMasks(CRITICS[name](Critic.FULL_WIDTH), input_names)
        boxes = diagrams.trace(scored_masks, [torch.zeros(1, 1, SIZE, SIZE) for _ in input_names], list(input_names))
    return diagrams.diagram(boxes, size=(11, 5))
