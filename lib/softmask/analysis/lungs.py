"""Results of runs on lungs for notebook 7 (LGAN, CMIG 2021, tables 2 to 4 and section 5).

Every measure is taken at the size that the scanner stores (:mod:`softmask.measure.lungs`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from softmask import papers
from softmask.analysis import claims, training
from softmask.analysis.finished import Fitted, kind_of, note_of, succeeded
from softmask.analysis.table import image_cells, of_runs, seed_cells, summarise, values_of
from softmask.analysis.training import scores_of
from softmask.config import Config
from softmask.data import real_paths
from softmask.data.sample import data_kind
from softmask.data.splits import SCANS
from softmask.experiments.rows import LUNGS_COMPARED, rows_of
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.measure.differences import Scores, median_scores
from softmask.measure.lungs import dice3d
from softmask.measure.verdicts import NOT_RUN
from softmask.papers import Claim, display
from softmask.report.result import Cell, Key
from softmask.report.verdicts import Verdict

REAL = "lungs-2d"
"""Data set of real slices, one of each scan, in place of the paper's collections of whole scans."""

DICE3D = "dice3d"

LEFT_BLANK = "left_blank"
"""Metric: whether the prediction of a slice without lung is empty; its mean is a share."""

BEYOND = tuple(f"{statistic}_{name}" for name in ("iou", "hausdorff", DICE3D) for statistic in ("mean", "median"))
SHARES = ("nodules_inside", "nodules_at_wall_inside", LEFT_BLANK)

UNITS = {metric: "pixels" if "hausdorff" in metric else "fraction" for metric in BEYOND}
UNITS |= dict.fromkeys((*SHARES, "share_first", "share_mean"), "percent")
"""Metrics of the workbook's own tables of lungs."""


def real_rows(config: Config) -> dict[tuple[str, str], list[RunSpec]]:
    """Return the runs of all methods on :data:`REAL`, if there are slices or records."""
    if config.data == "embedded" or not (config.recorded or REAL in real_paths(config.data_root)):
        return {}
    return rows_of(LUNGS_COMPARED, REAL, config, "lgan")


def scans_of(run: Run) -> dict[str, float]:
    """Return the 3D Dice, in [0, 1], of each test scan of a run, over its tested slices."""
    measures = run.record.measures
    return dice3d(run.record.groups, *(measures[f"pixels_{name}"] for name in ("true", "found", "common")))


def measured(runs: Sequence[Run], metric: str) -> np.ndarray:
    """Return a measure of slices, or 3D Dice of scans, over all seeds (seeds, N).

    A measure is NaN for slices without lung, on which one wrong pixel would weigh as much as a whole lung elsewhere;
    :data:`LEFT_BLANK` is NaN for the other slices. A prefix ``mean_`` or ``median_`` of ``metric`` is ignored.
    """
    metric = metric.removeprefix("mean_").removeprefix("median_")
    if metric == DICE3D:
        return np.array([list(scans_of(run).values()) for run in runs])
    holds_lung = values_of(runs, "pixels_true") > 0
    if metric == LEFT_BLANK:
        return np.where(holds_lung, np.nan, values_of(runs, "pixels_found") == 0)
    return np.where(holds_lung, values_of(runs, metric), np.nan)


def _cells(keys: Iterable[Key], fitted: Fitted, extra: bool = True) -> list[Cell]:
    """Return the cells of ``mean_iou`` and so on, over slices or scans with finite values, and seeds."""

    def remarks(row: str, dataset: str, metric: str, values: np.ndarray) -> Iterable[str]:
        yield note_of(fitted, row, dataset)
        if (n_infinite := int(np.isinf(values).sum())) and metric.startswith("mean_"):
            name = f"{display('datasets', dataset)} {display('metrics', metric)}"
            yield f"{name} is infinite on {n_infinite} of {len(values)} slices (one mask is empty), left out"

    return summarise(of_runs(fitted, keys, measured), np.isfinite, remarks, extra)


def table_cells(table: str, fitted: Fitted) -> list[Cell]:
    """Return the cells of a printed table of LGAN whose row has a finished run.

    Tables 2 and 3, which compare slices, are also given on :data:`REAL`."""
    printed_cells = papers.load("lgan").table(table).cells
    keys = [(cell.row, cell.dataset, cell.metric) for cell in printed_cells if (cell.row, cell.dataset) in fitted]
    slice_cells = [cell for cell in printed_cells if not cell.metric.endswith(DICE3D) and (cell.row, REAL) in fitted]
    return _cells(keys, fitted, extra=False) + _cells([(cell.row, REAL, cell.metric) for cell in slice_cells], fitted)


def method_cells(measures: Mapping[str, Mapping[str, np.ndarray]]) -> list[Cell]:
    """Return cells of methods that come with the package; infinite distances are left out."""
    cells = []
    for method, by_measure in measures.items():
        columns = {f"{kind}_{name}": values for name, values in by_measure.items() for kind in ("mean", "median")}
        cells += image_cells(f"shipped_{method}", REAL, columns, data_kind(REAL, "real"), defined=np.isfinite)
    return cells


def all_cells(fitted: Fitted) -> list[Cell]:
    """Return the cells of the workbook's own table: every measure of every row."""
    slice_metrics = [metric for metric in BEYOND if not metric.endswith(DICE3D)]
    metrics = {True: [*BEYOND, *SHARES], False: slice_metrics}
    return _cells([(*key, metric) for key in fitted for metric in metrics[key[1] in SCANS]], fitted)


def share_cells(fitted: Fitted) -> list[Cell]:
    """Return the critics' share of the generator's gradient: first, and mean over epochs; zeros are left out."""
    cells = []
    for (row, dataset), all_runs in fitted.items():
        shares = [np.array(run.record.curves.get("adversarial_share", ())) for run in succeeded(all_runs)]
        nonzero_shares = [share[share > 0] for share in shares if np.any(share > 0)]
        if nonzero_shares:
            values = {"share_first": [s[0] for s in nonzero_shares], "share_mean": [s.mean() for s in nonzero_shares]}
            cells += seed_cells(row, dataset, values, len(all_runs[0].record.ids), kind_of(all_runs[0]))
    return cells


def seed_spread(fitted: Fitted) -> dict[str, object]:
    """Return mean IoU and mean 3D Dice of every seed, and their standard deviation."""
    keys = [(*key, "iou") for key in fitted] + [(*key, DICE3D) for key in fitted if key[1] in SCANS]
    return training.seed_spread(keys, fitted, measured)


def scores(fitted: Fitted) -> dict[Key, Scores]:
    """Return the scores by all metrics of LGAN's claims."""
    scores = {}
    for (row, dataset), runs in fitted.items():
        metrics = {*runs[0].record.measures, *([DICE3D] if dataset in SCANS else ())}
        for metric in claims.metrics("lgan"):
            if metric.removeprefix("median_") not in metrics:
                continue
            score = scores_of(runs, metric, fitted, measured)
            if metric.endswith(DICE3D):
                scans = tuple(scans_of(runs[0]))
                score = replace(score, ids=scans, patients=scans)
            if metric.startswith("median_"):
                score = replace(score, values=median_scores(score.values))
            scores[row, dataset, metric] = score
    return scores


def on_real(claim: Claim) -> Claim | None:
    """Return the claim with its comparisons of slices made on :data:`REAL`, or None if it has none."""
    pairs = {}
    for pair in claim.pairs:
        if pair.metric.removeprefix("median_") in ("iou", "hausdorff"):
            pairs.setdefault((pair.better, pair.worse, pair.metric), replace(pair, dataset=REAL))
    words = re.sub(r" (on lidc-lung )?\(tables?[- ].*\)$", ", on real slices", claim.words)
    return replace(claim, words=words, pairs=tuple(pairs.values())) if pairs else None


def decided_on_real(judged: Sequence[Verdict], scores: Mapping[Key, Scores]) -> list[Verdict]:
    """Return ``judged``, where claims about slices that are not run on the paper's own collections are judged by the
    ``scores`` on :data:`REAL`, if there are any."""
    real_claims = {claim.words: on_real(claim) for claim in papers.load("lgan").claims} if scores else {}
    return [
        replace(claims.judge(real_claims[verdict.claim], scores), claim=verdict.claim)
        if verdict.verdict == NOT_RUN and real_claims.get(verdict.claim)
        else verdict
        for verdict in judged
    ]


def against_morphology(rows: Sequence[str]) -> list[Claim]:
    """Return the claims that networks trained on real slices are better than morphology."""
    template = "A network trained on real slices has a {} than morphology"
    iou_claim = claims.own_claim(template.format("higher IoU"), *((row, "morph", REAL, "iou") for row in rows))
    hausdorff_claim = claims.own_claim(
        template.format("smaller Hausdorff distance"), *((row, "morph", REAL, "hausdorff") for row in rows)
    )
    return [iou_claim, replace(hausdorff_claim, unit="pixels", lower=True)]


def transfer_frame(fitted: Fitted) -> pd.DataFrame:
    """Return IoU of slices and 3D Dice of scans of each method and seed."""
    lines = []
    for (row, dataset), runs in fitted.items():
        for run in runs:
            iou = measured([run], "iou")[0]
            iou = iou[~np.isnan(iou)]
            line = {"shown": display("datasets", dataset), "method": display("rows", row)}
            line |= {"seed": run.spec.seed if run.spec.prior else "", "slices": len(iou)}
            dice = np.mean(list(scans_of(run).values()))
            lines.append(line | {"mean IoU": iou.mean(), "median IoU": np.median(iou), "3D Dice": dice})
    return pd.DataFrame(lines).round(4)
