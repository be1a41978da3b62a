"""Soft labels beyond the papers: predictions compared with the readers themselves, not with one mask binarised at 0.5;
and the soft mask compared with every other label.

Everything is computed from the predictions kept in the records and the readers' masks of the data set, so that runs of
any age are measured in the same way; nothing is trained, and no network is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from softmask.analysis.doctors import rows_named
from softmask.analysis.finished import Fitted, SpecsByKey, kind_of, note_of
from softmask.analysis.table import numbers, of_runs, summarise, values_of
from softmask.analysis.training import CONSENSUS, consensus_measure, remarks_on, scores_of, with_consensus
from softmask.cache import cached_arrays, code_digest
from softmask.config import Config
from softmask.data.splits import crops, dataset_name
from softmask.errors import DataError
from softmask.experiments.inputs import recorded_soft_masks
from softmask.experiments.night import NODULES
from softmask.experiments.rows import ILLUSTRATED, RIVALS, labels_compared, rows_of
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.files import sha256_of
from softmask.label.soft_labels import READERS_MEAN
from softmask.measure import readers as measures
from softmask.measure.differences import Scores
from softmask.measure.soft import Calibration
from softmask.measure.statistics import LEVEL, holm
from softmask.measure.verdicts import INCONCLUSIVE, LEAST_PATIENTS, judge_pair
from softmask.papers import Pair, display
from softmask.parallel import map_items, progress
from softmask.report.result import NOT_FINISHED, Cell, Key
from softmask.report.verdicts import JudgedPair

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORKS = ("improved_backbone", "unet")

IN_THE_PAPERS = ("no_soft_label", "soft_mask_loss", "softgan", "kats_dilation", "gros_interpolation", "unet")
"""Rows that are also in the papers' tables."""

LOWER_IS_BETTER = {CONSENSUS: False, "ged": True, "ece_vote": True}
"""Measures by which the soft mask is compared with other labels, and whether lower values are better."""

_PAIRS = {
    "soft_mask_cross_entropy": ("binary_cross_entropy", *RIVALS, READERS_MEAN),
    "softgan": ("kats_dilation", "gros_interpolation"),
    "soft_mask_loss": ("no_soft_label", "temperature_scaling", "softseg"),
}
PAIRS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "improved_backbone": _PAIRS,
    "unet": {
        "unet_soft_mask_cross_entropy": [f"unet_{row}" for row in _PAIRS["soft_mask_cross_entropy"]],
        "unet_soft_mask_loss": [
            "unet",
            *(f"unet_{row}" for row in ("kats_dilation", "gros_interpolation", "temperature_scaling", "softseg")),
        ],
    },
}
"""Rows of the soft mask and the rows compared with each, by network: rows with the same loss; for the soft-mask loss
also the binary mask with the Dice loss, the temperature scaling of its network, and SoftSeg, which has its own loss."""

BETTER, WORSE, OPEN = "better", "worse", "not significant"


def wanted(config: Config) -> SpecsByKey:
    """Return the runs that are compared. In the small profiles, these are only the rows of the papers' tables and, on
    LIDC, the pair :data:`~softmask.experiments.rows.ILLUSTRATED`."""
    runs: dict[tuple[str, str], Sequence[RunSpec]] = {}
    for network in NETWORKS:
        for dataset in NODULES:
            rows = list(labels_compared(network, dataset))
            if not config.profile.long:
                illustrated_rows = ILLUSTRATED if dataset == "lidc" else ()
                rows = [row for row in rows if row in (*illustrated_rows, *IN_THE_PAPERS)]
            runs |= rows_of(rows, dataset, config)
    return runs


class AgainstReaders:
    """Measures of finished runs against the readers of their test images (:mod:`softmask.measure.readers`).

    A function of the type :data:`softmask.analysis.table.Values`. Values are NaN for images whose prediction the record
    does not keep (small profiles keep eight) or that no reader marked. Readers' masks are read once, measures cached.

    Raises:
        MissingData: if real data is missing.
        DataError: for seeds with different test images, images that are missing from the data set, or no image with a
            reader.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._readers: dict[tuple, dict[str, np.ndarray]] = {}
        self._measures: dict[RunSpec, pd.DataFrame] = {}

    def __call__(self, runs: Sequence[Run], metric: str) -> np.ndarray:
        for run in runs:
            if run.record.ids != runs[0].record.ids:
                raise DataError(f"{run.spec.name}: measured on other test images than {runs[0].spec.name}")
        return np.array([self._measured(run)[metric] for run in runs])

    def table(self, fitted: Fitted) -> pd.DataFrame:
        """Return the long table (:data:`softmask.analysis.table.COLUMNS`) of all runs and measures of ``fitted``."""
        return of_runs(fitted, [(*key, metric) for key in fitted for metric in measures.MEASURES], self)

    def reliability(self, runs: Sequence[Run]) -> Calibration:
        """Return the calibration against the readers' votes, over all kept images of all ``runs`` together."""
        pairs = [pair for run in runs for pair in self._pairs(run).values()]
        return measures.reliability(*zip(*pairs, strict=True))

    def _measured(self, run: Run) -> pd.DataFrame:
        """Return a table with a line for each test image and a column for each measure."""
        if run.spec in self._measures:
            return self._measures[run.spec]
        pairs = self._pairs(run)

        def build() -> dict[str, list[float]]:
            lines = map_items(lambda pair: measures.against_readers(*pair), list(pairs.values()))
            return pd.DataFrame(lines).to_dict("list")

        content = [array.tobytes() for arrays in zip(*pairs.values(), strict=True) for array in arrays]
        values = cached_arrays("against-readers", sha256_of(code_digest("measure"), *pairs, *content), build)
        self._measures[run.spec] = pd.DataFrame(values, index=list(pairs)).reindex(list(run.record.ids))
        return self._measures[run.spec]

    def _pairs(self, run: Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return soft mask (S, S) and readers' masks (R, S, S) of the images with a prediction and readers, by name."""
        from softmask.data import open_dataset

        spec, soft_masks = run.spec, recorded_soft_masks(run.record)
        reader_masks = self._readers.setdefault((spec.dataset, spec.source, spec.size), {})
        if unread_names := [name for name in soft_masks if name not in reader_masks]:
            dataset = open_dataset(dataset_name(spec.dataset), replace(self.config, data=spec.source))
            for row in rows_named(dataset, unread_names):
                sample = dataset[row]
                [crop] = crops(spec.dataset, sample, spec.size)
                reader_masks[sample.id] = np.array([crop.of(mask, spec.size) for mask in sample.masks], bool)
        pairs = {name: (mask, reader_masks[name]) for name, mask in soft_masks.items() if len(reader_masks[name])}
        if not pairs:
            raise DataError(f"{spec.name}: no reader marked an image whose prediction its record keeps")
        return pairs


def judged_by_readers(fitted: Fitted) -> Fitted:
    """Return the finished runs whose test images have readers."""
    readable = {key: runs for key, runs in fitted.items() if consensus_measure(key[1]) in runs[0].record.measures}
    return Fitted(readable, fitted.wanted)


def run_cells(fitted: Fitted) -> list[Cell]:
    """Return how many runs of each label and network are finished, in words."""
    table: list[Cell] = []
    for (row, dataset), specs in fitted.wanted.items():
        runs = fitted.get((row, dataset), [])
        status = (note_of(fitted, row, dataset) or f"{len(runs)} of {len(specs)} finished") if runs else NOT_FINISHED
        source = kind_of(runs[0]) if runs else specs[0].source
        table += numbers(row, dataset, {"runs": status}, 0, len(runs), source)
    return table


def cells(fitted: Fitted, against: AgainstReaders) -> list[Cell]:
    """Return the cells of the measures against readers and, for simulated images, the error against the true alpha."""
    alpha_keys = [(*key, "mae_alpha") for key, runs in fitted.items() if "mae_alpha" in runs[0].record.measures]
    runs_with_readers = judged_by_readers(fitted)
    parts = [with_consensus(runs_with_readers), against.table(runs_with_readers), of_runs(fitted, alpha_keys)]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    result = summarise(table, remarks=remarks_on(fitted))
    return sorted(result, key=lambda cell: NODULES.index(cell.dataset))  # the columns of a data set side by side


def scores(fitted: Fitted, against: AgainstReaders) -> dict[Key, Scores]:
    """Return the scores by the measures of :data:`LOWER_IS_BETTER`, times 100."""
    scores_by_key = {}
    items = list(judged_by_readers(fitted).items())
    for (row, dataset), runs in progress(items, "against readers", unit="row"):
        for metric in LOWER_IS_BETTER:
            name, get_values = (consensus_measure(dataset), values_of) if metric == CONSENSUS else (metric, against)
            row_scores = scores_of(runs, name, fitted, get_values)
            scores_by_key[row, dataset, metric] = replace(row_scores, values=100 * row_scores.values)
    return scores_by_key


def compared(scores: Mapping[Key, Scores]) -> list[JudgedPair]:
    """Return the comparison of each pair of :data:`PAIRS` that has scores, on each data set and by each measure.

    Positive differences are in favour of the soft mask; intervals are over patients and seeds. ``p_holm`` of an outcome
    is two-sided and corrected for all of these pairs together; it is NaN for pairs that are not judged.
    """
    row_pairs = [(better, worse) for by_row in PAIRS.values() for better, rivals in by_row.items() for worse in rivals]
    judged, p = [], []
    for metric, dataset, (better, worse) in product(LOWER_IS_BETTER, NODULES, row_pairs):
        pair = Pair(better, worse, dataset, metric)
        if not scores.keys() >= set(pair.keys):
            continue
        outcome = judge_pair(*(scores[key] for key in pair.keys), lower=LOWER_IS_BETTER[metric])
        difference = outcome.difference
        judged.append(JudgedPair(pair, outcome))
        p.append(np.nan if np.isnan(outcome.p) else min(1.0, 2 * min(difference.p_below(0), difference.p_above(0))))
    return [
        replace(entry, outcome=replace(entry.outcome, p_holm=float(p_holm)))
        for entry, p_holm in zip(judged, holm(p), strict=True)
        if entry.outcome.difference is not None
    ]


def shown(judged: JudgedPair) -> str:
    """Return whether the soft mask is better, worse or neither at the corrected 5 % level, or why it is not judged."""
    p, difference = judged.outcome.p_holm, judged.outcome.difference
    if np.isnan(p):
        too_few_patients = judged.outcome.verdict == INCONCLUSIVE
        return f"not judged: fewer than {LEAST_PATIENTS} patients" if too_few_patients else judged.outcome.verdict
    return OPEN if p > 1 - LEVEL else BETTER if difference.mean > 0 else WORSE


def difference_cells(judged: Iterable[JudgedPair], fitted: Fitted) -> list[Cell]:
    """Return one row for each comparison and measure."""
    table: list[Cell] = []
    for entry in judged:
        pair, difference = entry.pair, entry.outcome.difference
        values = {"difference": difference.mean, "low": difference.low, "high": difference.high}
        values |= {"shown": shown(entry)} | ({} if np.isnan(entry.outcome.p_holm) else {"p_holm": entry.outcome.p_holm})
        counts = difference.images, min(difference.seeds), kind_of(fitted[pair.better, pair.dataset][0])
        table += numbers(str(pair), pair.dataset, values, *counts)
    return table


def figure(judged: Sequence[JudgedPair], dataset: str) -> Figure | None:
    """Return a figure of the differences on a data set: a panel for each measure, a line for each comparison."""
    from softmask.report.forest import Interval, intervals  # matplotlib is slow to import

    points = [
        Interval(
            fill(display("metrics", entry.pair.metric), width=18),  # panels are narrow
            f"{display('rows', entry.pair.better)} vs {display('rows', entry.pair.worse)}",
            shown(entry),
            entry.outcome.difference.mean,
            (entry.outcome.difference.low, entry.outcome.difference.high),
        )
        for entry in judged
        if entry.pair.dataset == dataset
    ]
    if not points:
        return None
    looks = {BETTER: ("o", "#0072B2", "#0072B2"), WORSE: ("X", "#D55E00", "#D55E00"), OPEN: ("o", "white", "black")}
    styles = {
        name: dict(zip(("marker", "markerfacecolor", "color"), looks.get(name, ("s", "white", "0.6")), strict=True))
        for name in dict.fromkeys([*looks, *(point.series for point in points)])
    }
    fig, axes = intervals(points, styles, "in favour of the\nsoft mask, times 100", sharex=False)
    for ax in axes:
        ax.axvline(0, color="0.5", linestyle=":")
    return fig


QUESTIONS = {
    "other soft labels": (*RIVALS, "kats_dilation", "gros_interpolation", "softseg"),
    "the readers' mean": (READERS_MEAN,),
    "binary masks": ("no_soft_label", "binary_cross_entropy"),
    "temperature scaling of the binary mask's network": ("temperature_scaling",),
}
"""Labels with which :func:`conclusions` compares the soft mask, and their rows for the improved backbone."""


def conclusions(judged: Sequence[JudgedPair], fitted: Fitted) -> list[str]:
    """Return sentences on the soft mask compared with each of :data:`QUESTIONS`: the number of comparisons with each
    outcome; for each data set, network and measure, the row that is best against the soft mask; and the comparisons
    that are not finished."""
    sentences, unfinished_comparisons = [], []
    for question, rows in QUESTIONS.items():
        details = []
        counts: Counter[str] = Counter()
        for network, dataset in product(NETWORKS, NODULES):
            names = {_row(row, network) for row in rows}
            where = f"{display('datasets', dataset)} with the {display('rows', network)}"
            if entries := [each for each in judged if each.pair.worse in names and each.pair.dataset == dataset]:
                by_metric = ([each for each in entries if each.pair.metric == metric] for metric in LOWER_IS_BETTER)
                rivals = [min(group, key=lambda each: each.outcome.difference.mean) for group in by_metric if group]
                text = "; ".join(map(_words, rivals))
                details.append(f"On {where} ({entries[0].outcome.data}), the soft mask against {question}: {text}.")
                counts.update(map(shown, entries))
            elif {(row, dataset) for row in names} & fitted.wanted.keys():
                unfinished_comparisons.append(f"{question} on {where}")
        if details:
            n_unjudged = counts.total() - sum(counts[outcome] for outcome in (BETTER, WORSE, OPEN))
            sentences.append(
                f"Against {question}, in {counts.total()} comparisons: the soft mask is better in {counts[BETTER]} and "
                f"worse in {counts[WORSE]}; {counts[OPEN]} are not significant; {n_unjudged} are not judged."
            )
        sentences += details
    return [*sentences, *([f"Not finished: {'; '.join(unfinished_comparisons)}."] if unfinished_comparisons else [])]


def _row(row: str, network: str) -> str:
    """Return the row of ``network`` that corresponds to ``row`` of the improved backbone."""
    if network != "unet":
        return row
    return "unet" if row == "no_soft_label" else f"unet_{row}"


def _words(judged: JudgedPair) -> str:
    pair, difference = judged.pair, judged.outcome.difference
    return (
        f"{display('metrics', pair.metric)} {difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f}; "
        f"{display('rows', pair.worse)}: {shown(judged)})"
    )
