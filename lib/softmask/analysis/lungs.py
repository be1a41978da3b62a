"""What notebook 7 computes from runs on lungs: LGAN's tables, 3D Dice of scans, nodules at the wall, activations.

LGAN (CMIG 2021), tables 2 to 4 and section 5. Every measure is taken at the size that the scanner stored
(:mod:`softmask.measure.lungs`); the paper prints means and medians over slices, and 3D Dice over scans.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch

from softmask import papers
from softmask.analysis import claims
from softmask.analysis.finished import Fitted, kind_of, note_of, succeeded
from softmask.analysis.training import scores_of, spread_of, values_of
from softmask.config import BASE_SEED, Config
from softmask.data import found
from softmask.data.splits import SCANS
from softmask.data.words import data_kind
from softmask.experiments.execute import Run
from softmask.experiments.methods import LUNGS_COMPARED
from softmask.experiments.prepared import Part
from softmask.experiments.spec import RunSpec
from softmask.experiments.tables import rows_of
from softmask.measure.differences import Scores, median_scores
from softmask.measure.lungs import dice3d
from softmask.nets import build
from softmask.nets.critics import CRITICS, Critic
from softmask.papers import Claim, display
from softmask.report.result import Cell
from softmask.train import seeded
from softmask.train.device import pick
from softmask.train.losses import Batch, weighted
from softmask.train.objectives import FASTEST, Segmentation

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
    (:func:`softmask.apply.segment.compare_methods`); infinite distances are left out of means."""
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
    """What :func:`softmask.analysis.claims.judge` compares, by row, data set and metric: ``iou`` and ``hausdorff`` of
    slices, ``dice3d`` of scans, ``nodules_at_wall_inside``, and ``median_iou`` and so on, whose means are the medians
    (:func:`softmask.measure.differences.median_scores`)."""
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
    for name in CRITICS:
        adversarial = f"wasserstein_{name}"
        losses = (("hard_cross_entropy", 1.0), (adversarial, 1.0))
        with seeded(BASE_SEED):
            network = build(spec.network, spec.width)
        objective = Segmentation(
            network, losses, pick(), FASTEST, width=spec.settings.discriminator_width, seed=BASE_SEED
        )

        def state(objective: Segmentation = objective) -> tuple[float, float]:
            critic = objective.adversary.module
            with torch.no_grad():
                fake = torch.sigmoid(objective.modules["network"](batch.images))
                gap = -critic(batch.images, batch.masks, fake).mean()
                return float(gap), float(critic.score(batch.images, fake, batch.masks).mean())

        first, _ = state()
        objective.adversary.update(batch, network(batch.images).detach())
        second, before = state()
        outputs = network.training_outputs(batch.images)
        objective.adversary.backward(batch, outputs, weighted(outputs, batch, objective.pixel), [adversarial])
        objective.optimisers["network"].step()
        _, after = state()
        numbers = {"gap": first, "after the critic's step": second}
        numbers |= {"D(predicted)": before, "after the generator's step": after}
        risen = {"critic": second > first, "generator": after > before}
        lines[display("rows", f"lgan_{name}")] = numbers | {f"{who}: risen": value for who, value in risen.items()}
    return pd.DataFrame.from_dict(lines, orient="index")


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
