"""What notebook 7 computes from runs on lungs: LGAN's tables, 3D Dice of scans, nodules at the wall, activations.

LGAN (CMIG 2021), tables 2 to 4 and section 5. Every measure is taken at the size that the scanner stored
(:mod:`softmask.measure.lungs`); the paper prints means and medians over slices, and 3D Dice over scans.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch

from softmask import papers
from softmask.config import BASE_SEED, Config
from softmask.data import found
from softmask.data.splits import SCANS
from softmask.data.words import data_kind
from softmask.measure.lungs import dice3d, enlarge
from softmask.measure.verdicts import Scores, median_scores
from softmask.nets import build
from softmask.nets.critics import CRITICS, Critic
from softmask.papers import Claim, display
from softmask.report.result import Cell
from softmask.runs.execute import Run
from softmask.runs.inputs import soft_masks
from softmask.runs.methods import LUNGS_COMPARED
from softmask.runs.prepared import Part
from softmask.runs.spec import RunSpec
from softmask.runs.tables import rows_of
from softmask.studies import claims
from softmask.studies.training import (
    Fitted,
    data_of,
    firsts,
    kind_of,
    note_of,
    scores_of,
    spread_of,
    succeeded,
    values_of,
)
from softmask.train import seeded
from softmask.train.device import pick
from softmask.train.losses import Batch
from softmask.train.wasserstein import FASTEST, Wasserstein

REAL = "lungs-2d"
"""Real slices, one of each scan, in the place of the paper's collections of whole scans."""

DICE3D = "dice3d"
LEFT_BLANK = "left_blank"
"""Whether nothing is found in a slice without lung; the mean of it is a share."""
_STATISTICS = {"mean": np.mean, "median": np.median}
_PIXELS = ("pixels_true", "pixels_found", "pixels_common")


def real_rows(config: Config) -> dict[tuple[str, str], list[RunSpec]]:
    """The runs of all methods on :data:`REAL`; none where a run is to be of simulated data, or the slices are not there
    and records are not what is asked for."""
    if config.data == "embedded" or not (config.recorded or REAL in found(config.data_root)):
        return {}
    return rows_of(LUNGS_COMPARED, REAL, config, "lgan")


def scans_of(run: Run) -> dict[str, float]:
    """3D Dice of each test scan of a run, in [0, 1], over the slices that are tested."""
    record = run.record
    return dice3d(record.groups, *(record.measures[name] for name in _PIXELS))


def dice3d_of(runs: Sequence[Run]) -> np.ndarray:
    """(seeds, scans) 3D Dice in [0, 1]."""
    return np.array([list(scans_of(run).values()) for run in runs])


def _values(runs: Sequence[Run], measure: str) -> np.ndarray:
    """Over all seeds, (seeds, N): 3D Dice of scans, or a measure of slices, NaN for those without lung, on which one
    wrong pixel would weigh as much as a whole lung elsewhere (:data:`LEFT_BLANK` tells of them)."""
    if measure == DICE3D:
        return dice3d_of(runs)
    holds_lung = values_of(runs, "pixels_true") > 0
    if measure == LEFT_BLANK:
        return np.where(holds_lung, np.nan, values_of(runs, "pixels_found") == 0)
    return np.where(holds_lung, values_of(runs, measure), np.nan)


def _cell(row: str, dataset: str, metric: str, fitted: Fitted, extra: bool = False) -> Cell:
    """``mean_iou``, ``median_dice3d`` and so on: over slices or scans, pooled over seeds, on which it is finite."""
    every = fitted[row, dataset]
    runs = succeeded(every)
    statistic, _, measure = metric.partition("_")
    values = _values(runs, measure).ravel()
    finite = values[np.isfinite(values)]
    number = float(_STATISTICS[statistic](finite)) if len(finite) else float("nan")
    spread = float(finite.std(ddof=1)) if statistic == "mean" and len(finite) > 1 else float("nan")
    notes, beyond = [note_of(fitted, row, dataset)], int(np.isinf(values).sum())
    if beyond and statistic == "mean":
        name = f"{display('datasets', dataset)} {display('metrics', metric)}"
        notes.append(f"{name} is infinite on {beyond} of {len(values)} slices (one mask is empty), left out")
    counts = (len(finite), len(runs or every), kind_of(every[0]))
    return Cell(row, dataset, metric, number, spread, *counts, "; ".join(filter(None, notes)), extra)


def table_cells(table: str, fitted: Fitted) -> list[Cell]:
    """The cells of a printed table of LGAN whose row has a finished run.

    Tables 2 and 3, which compare slices, follow once more on :data:`REAL`."""
    printed = papers.load("lgan").table(table).cells()
    cells = [
        _cell(cell.row, cell.dataset, cell.metric, fitted) for cell in printed if (cell.row, cell.dataset) in fitted
    ]
    of_slices = [cell for cell in printed if not cell.metric.endswith(DICE3D) and (cell.row, REAL) in fitted]
    return cells + [_cell(cell.row, REAL, cell.metric, fitted, extra=True) for cell in of_slices]


BEYOND = (*(f"{statistic}_{measure}" for measure in ("iou", "hausdorff", DICE3D) for statistic in _STATISTICS),)
"""What the workbook's own tables of lungs hold for every row."""


def method_cells(measures: Mapping[str, Mapping[str, np.ndarray]]) -> list[Cell]:
    """Cells of methods that come with the package, from their measures of :data:`REAL`
    (:func:`softmask.models.scans.compared`); infinite distances are left out of means."""
    cells = []
    for method, of in measures.items():
        for measure, values in of.items():
            finite = values[np.isfinite(values)]
            for name, statistic in _STATISTICS.items():
                spread = float(finite.std(ddof=1)) if name == "mean" else float("nan")
                counts = (len(finite), 1, data_kind(REAL, "real"))
                cells.append(
                    Cell(f"shipped_{method}", REAL, f"{name}_{measure}", float(statistic(finite)), spread, *counts)
                )
    return cells


SHARES = ("nodules_inside", "nodules_at_wall_inside", LEFT_BLANK)


def all_cells(fitted: Fitted) -> list[Cell]:
    """The workbook's own table: every measure of every row, how many pixels of nodules lie in the lung, and how many
    slices without lung are left blank."""
    cells = []
    for (row, dataset), every in fitted.items():
        whole = dataset in SCANS
        of_slices = [metric for metric in BEYOND if whole or not metric.endswith(DICE3D)]
        cells += [_cell(row, dataset, metric, fitted, extra=True) for metric in of_slices]
        runs = succeeded(every)
        for measure in SHARES if whole else ():
            values = _values(runs, measure).ravel()
            kept = values[~np.isnan(values)]
            mean = float(kept.mean()) if len(kept) else float("nan")
            spread = float(kept.std(ddof=1)) if len(kept) > 1 else float("nan")
            counts = (len(kept), len(runs or every), kind_of(every[0]))
            cells.append(Cell(row, dataset, measure, mean, spread, *counts, note_of(fitted, row, dataset), extra=True))
    return cells


def share_cells(fitted: Fitted) -> list[Cell]:
    """For each row with a critic, the critic's share of the gradient that reaches the generator's output, averaged over
    seeds: in the first epoch in which it is followed, and over all of these."""
    cells = []
    for (row, dataset), every in fitted.items():
        shares = [np.array(run.record.curves.get("adversarial_share", ())) for run in succeeded(every)]
        followed = [share[share > 0] for share in shares if np.any(share > 0)]
        if not followed:
            continue
        counts = (len(every[0].record.ids), len(followed), kind_of(every[0]))
        for metric, of_seeds in (
            ("share_first", [share[0] for share in followed]),
            ("share_mean", [share.mean() for share in followed]),
        ):
            spread = float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else float("nan")
            cells.append(Cell(row, dataset, metric, float(np.mean(of_seeds)), spread, *counts, extra=True))
    return cells


UNITS = {metric: "pixels" if "hausdorff" in metric else "fraction" for metric in BEYOND} | dict.fromkeys(
    (*SHARES, "share_first", "share_mean"), "percent"
)
"""Of :func:`all_cells` and :func:`share_cells`."""


def seed_spread(fitted: Fitted) -> dict[str, object]:
    """For a table's details: of each row mean IoU and mean 3D Dice of every seed, and their deviation (N - 1)."""
    found = {}
    for (row, dataset), every in fitted.items():
        runs = succeeded(every)
        for measure in (("iou", DICE3D) if dataset in SCANS else ("iou",)) if runs else ():
            found[f"{row} / {dataset} / {measure}"] = spread_of(runs, _values(runs, measure))
    return {"seeds": found}


def scores(fitted: Fitted) -> dict[tuple[str, str, str], Scores]:
    """What :func:`softmask.studies.claims.judge` compares, by row, data set and metric: ``iou`` and ``hausdorff`` of
    slices, ``dice3d`` of scans, ``nodules_at_wall_inside``, and ``median_iou`` and so on, whose means are the medians
    (:func:`softmask.measure.verdicts.median_scores`)."""
    made = {}
    for (row, dataset), runs in fitted.items():
        if not runs:
            continue
        for metric in ("iou", "hausdorff", "nodules_at_wall_inside"):
            made[row, dataset, metric] = scores_of(runs, partial(_values, measure=metric), [fitted])
        compared = ["iou", "hausdorff"]
        if dataset in SCANS:
            compared.append(DICE3D)
            scans = tuple(scans_of(runs[0]))
            made[row, dataset, DICE3D] = replace(scores_of(runs, dice3d_of, [fitted]), ids=scans, patients=scans)
        for metric in compared:
            means = made[row, dataset, metric]
            made[row, dataset, f"median_{metric}"] = replace(means, values=median_scores(means.values))
    return made


_ON_SLICES = ("iou", "hausdorff", "median_iou", "median_hausdorff")


def on_real(claim: Claim) -> Claim | None:
    """The claim with its comparisons of slices on :data:`REAL`, each once, beside what is printed of LIDC.

    None where it compares no slices."""
    pairs = {}
    for pair in claim.pairs:
        if pair.metric in _ON_SLICES:
            pairs.setdefault((pair.better, pair.worse, pair.metric), replace(pair, dataset=REAL))
    if not pairs:
        return None
    return replace(
        claim,
        words=re.sub(r" (on lidc-lung )?\(tables?[- ].*\)$", ", on real slices", claim.words),
        pairs=tuple(pairs.values()),
    )


def against_morphology(rows: Sequence[str]) -> list[Claim]:
    """Questions of the workbook's own: whether networks trained on real slices find more of the lungs than morphology
    does, and with outlines nearer to the reference."""
    pairs = [(row, "morph", REAL) for row in rows]
    return [
        claims.own("A network trained on real slices has a higher IoU than morphology", *((*p, "iou") for p in pairs)),
        replace(
            claims.own(
                "A network trained on real slices has a smaller Hausdorff distance than morphology",
                *((*p, "hausdorff") for p in pairs),
            ),
            unit="pixels",
            lower=True,
        ),
    ]


INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "basic": "one channel: a mask, predicted or true",
        "product": "one channel: the image where the mask is, 0 elsewhere",
        "early_fusion": "two channels: mask and image",
        "late_fusion": "mask and image in a branch each",
        "regression": "predicted and true mask in a branch each, one number for both",
    }
)
"""What each critic is given."""


def described(row: str) -> str:
    """Table 1's words for a structure, and the parameters of its critic at full width."""
    name = row.removeprefix("lgan_")
    parameters = sum(one.numel() for one in CRITICS[name](Critic.FULL_WIDTH).parameters())
    return f"{INPUTS[name]}; {parameters:,} parameters"


def sign_frame(part: Part, config: Config) -> pd.DataFrame:
    """One line for each critic: the gap E[D(true)] - E[D(predicted)] before and after one step of it on four slices,
    and E[D(predicted)] before and after a step of the generator down the adversarial term alone.

    Generator and critics are fresh, of the profile's widths. Of regression, the gap is minus its one number.
    """
    spec = rows_of(["lgan_basic"], "lidc-lung", config, "lgan")["lgan_basic", "lidc-lung"][0]
    chosen = np.argsort(-part.masks.sum(axis=(1, 2, 3)))[:4]
    batch = Batch(*(torch.tensor(array[chosen]) for array in (part.images, part.masks, part.masks)))
    lines = {}
    for name, critic in CRITICS.items():
        losses = (("hard_cross_entropy", 1.0), (f"wasserstein_{name}", 1.0))
        with seeded(BASE_SEED):
            network, judge = build(spec.network, spec.width), critic(spec.settings.discriminator_width)
        loop = Wasserstein(network, judge, losses, pick(), FASTEST, steps=1)

        def state(loop: Wasserstein = loop) -> tuple[float, float]:
            with torch.no_grad():
                fake = torch.sigmoid(loop.modules["network"](batch.images))
                gap = -loop.modules["critic"](batch.images, batch.masks, fake).mean()
                return float(gap), float(loop.modules["critic"].score(batch.images, fake, batch.masks).mean())

        first, _ = state()
        loop.critic_step(batch, torch.sigmoid(network(batch.images)).detach())
        second, before = state()
        loop.generator_step(batch, list(network.training_outputs(batch.images)), [f"wasserstein_{name}"])
        _, after = state()
        numbers = {"gap": first, "after the critic's step": second}
        numbers |= {"D(predicted)": before, "after the generator's step": after}
        risen = {"critic": second > first, "generator": after > before}
        lines[display("rows", f"lgan_{name}")] = numbers | {f"{who}: risen": value for who, value in risen.items()}
    return pd.DataFrame.from_dict(lines, orient="index")


@dataclass(frozen=True, eq=False)
class Slice:
    """A test slice as stored, and what is known of it.

    Attributes:
        seen: (S, S) in [0, 1], as the networks see it.
        image: (512, 512) in [0, 1].
        lungs, nodules: (512, 512) bool, the reference.
        found: by row, (512, 512) bool.
    """

    name: str
    seen: np.ndarray
    image: np.ndarray
    lungs: np.ndarray
    nodules: np.ndarray
    found: Mapping[str, np.ndarray]


def around_nodules(one: Slice, reach: int = 72) -> Slice:
    """The part of a slice within ``reach`` pixels of its nodules' middle, moved inside where it would leave it."""
    middle = np.argwhere(one.nodules).mean(axis=0).round().astype(int)
    first = [int(np.clip(at - reach, 0, size - 2 * reach)) for at, size in zip(middle, one.image.shape, strict=True)]
    window = tuple(slice(at, at + 2 * reach) for at in first)
    found = {row: mask[window] for row, mask in one.found.items()}
    return Slice(one.name, one.seen, one.image[window], one.lungs[window], one.nodules[window], found)


Choose = Callable[[Sequence[Run], int], list[int]]
"""A choice of so many test slices, by their places among all of them, from runs that were tested on the same."""


def slices(
    fitted: Fitted, rows: Sequence[str], dataset: str, choose: Choose, count: int, config: Config
) -> list[Slice]:
    """``count`` test slices with what the first seed's networks find there, at the stored size.

    Empty where runs are not finished or come from records, which have no weights, or the data is not at hand.

    Args:
        choose: :func:`spread_places`, :func:`hardest_places` or :func:`wall_places`.
    """
    runs = firsts(fitted, rows, dataset)
    if not runs or any(run.folder is None for run in runs.values()):
        return []
    places, data = choose(list(runs.values()), count), data_of(next(iter(runs.values())).spec, config)
    if data is None or not places:
        return []
    images = data.test.images[list(places)]
    size = data.test.references["native"].shape[-2:]
    found = {row: enlarge(soft_masks(_network_of(run), images)[:, 0], size) >= 0.5 for row, run in runs.items()}
    stored = {name: data.test.references[name][list(places), 0] for name in ("native_image", "native", "nodules")}
    return [
        Slice(
            data.test.ids[place],
            images[i, 0],
            stored["native_image"][i].astype(float) / 255,
            stored["native"][i] > 0,
            stored["nodules"][i] > 0,
            {row: masks[i] for row, masks in found.items()},
        )
        for i, place in enumerate(places)
    ]


def _network_of(run: Run) -> Run:
    """The run that was trained: of one that only tests another, that other."""
    return run.needs[0] if run.spec.prior is not None and not run.spec.learns else run


def spread_places(runs: Sequence[Run], count: int) -> list[int]:
    """Places of ``count`` test slices that hold lung, evenly spread over all of them."""
    holding = np.flatnonzero(np.array(runs[0].record.measures["pixels_true"]) > 0)
    return holding[np.linspace(0, len(holding) - 1, count + 2).round().astype(int)[1:-1]].tolist()


def hardest_places(runs: Sequence[Run], count: int) -> list[int]:
    """Places of the ``count`` slices, of different scans, with the least IoU averaged over ``runs``, lung in each."""
    iou = np.mean([run.record.measures["iou"] for run in runs], axis=0)
    true = np.array(runs[0].record.measures["pixels_true"])
    groups, chosen = runs[0].record.groups, []
    for place in np.argsort(np.where(true > 0.2 * true.max(), iou, np.inf)).tolist():
        if groups[place] not in {groups[other] for other in chosen}:
            chosen.append(place)
        if len(chosen) == count:
            break
    return chosen


def wall_places(runs: Sequence[Run], count: int) -> list[int]:
    """Places of ``count`` test slices with a nodule on the lung's boundary, of different scans if there are enough."""
    record = runs[0].record
    values = np.array(record.measures["nodules_at_wall_inside"], float)
    places = np.flatnonzero(~np.isnan(values)).tolist()
    of_scans: dict[str, int] = {}
    for place in places:
        of_scans.setdefault(record.groups[place], place)
    ordered = [*of_scans.values(), *(place for place in places if place not in of_scans.values())]
    return sorted(ordered[:count])


def activations(run: Run, image: np.ndarray) -> dict[str, np.ndarray]:
    """Of each of the generator's blocks, by name in the order in which they run, and of the logits: the most
    representative map, the one that correlates most with the mean of the absolute maps, (h, w) stretched to [0, 1].

    Args:
        image: (S, S) in [0, 1].

    Raises:
        ConfigError: for a recorded run, which has no weights.
    """
    network = run.network()
    with torch.inference_mode():
        levels = network.levels(torch.tensor(image, dtype=torch.float32)[None, None])
    return {name: _representative(maps[0].numpy()) for name, maps in levels.items()}


def _representative(maps: np.ndarray) -> np.ndarray:
    """Of maps (C, h, w) the one most like the mean of their absolute values, stretched to [0, 1]."""
    flat = maps.reshape(len(maps), -1)
    mean = np.abs(flat).mean(axis=0)
    centred = flat - flat.mean(axis=1, keepdims=True)
    likeness = centred @ (mean - mean.mean()) / (np.linalg.norm(centred, axis=1) + 1e-12)
    best = maps[int(np.abs(likeness).argmax())]
    low, high = float(best.min()), float(best.max())
    return (best - low) / ((high - low) or 1.0)


def transfer_frame(fitted: Fitted) -> pd.DataFrame:
    """One line for each method and seed on the real scans: median and mean IoU of slices, 3D Dice of scans."""
    lines = []
    for (row, dataset), runs in fitted.items():
        for run in runs:
            iou = _values([run], "iou")[0]
            iou = iou[~np.isnan(iou)]
            lines.append(
                {
                    "shown": display("datasets", dataset),
                    "method": display("rows", row),
                    "seed": run.spec.seed if run.spec.prior else "",
                    "slices": len(iou),
                    "mean IoU": iou.mean(),
                    "median IoU": np.median(iou),
                    "3D Dice": np.mean(list(scans_of(run).values())),
                }
            )
    return pd.DataFrame(lines).round(4)
