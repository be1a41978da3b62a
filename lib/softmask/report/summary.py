"""Summary at the top of the report: data, training and main results, in sentences with numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from softmask import papers
from softmask.data.sample import WORDS
from softmask.measure import verdicts as rule
from softmask.papers import display
from softmask.report.contents import DAMAGED, ClaimEntry, Contents, State, TableEntry
from softmask.report.evidence import Evidence, RowKey, Trained
from softmask.report.result import WORKBOOK, number
from softmask.report.verdicts import JudgedPair

PROPOSED: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "casgan": ("casgan_soft", ("table-1",), "dice"),
    "softgan": ("softgan", ("table-1", "table-2"), "dice"),
    "dsnet-v1": ("dsnet_v1", ("table-1", "table-2"), "dice"),
    "dsnet-v2": ("dsnet", ("table-1", "table-2"), "dice"),
    "lgan": ("lgan_regression", ("table-4",), "mean_dice3d"),
}
"""Each paper's own method, the tables that compare it with other networks, and the measure."""
UNDERTRAINED_MARK = "†"
_FEW = "few epochs"
_OPEN = {
    _FEW: "not judged: a network was trained for fewer than five epochs",
    rule.UNDERTRAINED: "not judged: a network was still improving",
    rule.FAILED_TRAINING: "not judged: most training runs of a network failed",
    rule.OUT_OF_REACH: "not judged: no method could reach the claimed multiple",
    rule.NOT_FINISHED: "not finished",
    rule.REPORTED: "reported and not judged (times on another device)",
    rule.NOT_RUN: "not run yet",
    DAMAGED: "damaged",
}
"""Reason for which a claim has no verdict."""
_TRUTHS = {"lnsm": "the truth is the soft mask made from a RECIST mark, cut at one half"}
"""Origin of a data set's reference masks, where no reader drew them."""
_SPECIMENS = {"isbi2012": "sections of one specimen"}
"""Content of data sets whose images are not of many patients."""
_IN_PLACE = {
    "lnsm": "LIDC patients, with RECIST axes measured on one reader's outline, in place of DeepLesion's",
    "lungs-2d": "slices, one of each scan, in place of the lungs of LIDC-IDRI and QIN",
}
"""Description of a substitute, and the data in whose place it stands."""


class Rivals(NamedTuple):
    """Mean of a paper's own method, and the best other network of its table (``row``) with its mean; ``words`` are both
    means as text, with a dagger where the network is undertrained. Of the ``others``, the number of other networks,
    ``finished`` have a mean."""

    own: float
    row: str
    best: float
    words: tuple[str, str]
    finished: int
    others: int


def rivals(
    entry: TableEntry, own: str, dataset: str, metric: str, mean: str, undertrained: Collection[RowKey] = ()
) -> Rivals | None:
    """Return the method ``own`` and the best other network; None where either is missing.

    Variants of the method itself (``casgan_bin``) do not count as other networks. ``mean`` is ``paper_mean`` or
    ``ours_mean``. Our means of ``undertrained`` rows are marked.
    """
    cells = [cell for cell in entry.cells if cell.printed and (cell.dataset, cell.metric) == (dataset, metric)]
    means = {cell.row: getattr(cell, mean) for cell in cells if not math.isnan(getattr(cell, mean))}
    other_rows = {cell.row for cell in cells if cell.row.partition("_")[0] != own.partition("_")[0]}
    other_means = {row: value for row, value in means.items() if row in other_rows}
    if own not in means or not other_means:
        return None
    best_row = max(other_means, key=other_means.get)
    texts = [number(value, math.nan, cells[0].decimals) for value in (means[own], means[best_row])]
    if mean == "ours_mean":
        texts = [
            text + UNDERTRAINED_MARK * ((entry.paper, row, dataset) in undertrained)
            for text, row in zip(texts, (own, best_row), strict=True)
        ]
        seeds = {cell.row: cell.n_seeds for cell in cells}
        texts[0] += f" (seeds: {seeds[own]})" * (seeds[own] != seeds[best_row])
    return Rivals(means[own], best_row, means[best_row], tuple(texts), len(other_means), len(other_rows))


def undertrained_rows(contents: Contents) -> set[RowKey]:
    """Return the networks that were undertrained, of those that are compared for a claim."""
    return {
        (entry.paper, row, judged.pair.dataset)
        for entry in contents.claims
        for judged in entry.pairs
        for row, training in zip((judged.pair.better, judged.pair.worse), judged.outcome.trainings, strict=False)
        if training.obstacle == rule.UNDERTRAINED
    }


class Comparison(NamedTuple):
    """Paper's own method beside the best other network of the same table, in print and here.

    ``kind`` is the kind of the data (empty where not run), ``epochs`` the number of epochs in the paper.
    """

    entry: TableEntry
    dataset: str
    metric: str
    kind: str
    trained: Trained | None
    epochs: int | None
    in_print: Rivals | None
    here: Rivals | None


def comparisons(contents: Contents, evidence: Evidence) -> list[Comparison]:
    """Return the main comparison of each paper, on each of its data sets."""
    entries = {(entry.paper, entry.name): entry for entry in contents.tables}
    undertrained = undertrained_rows(contents)
    result = []
    for paper, (row, tables, metric) in PROPOSED.items():
        for entry in (entries[paper, name] for name in tables):
            cells = [cell for cell in entry.cells if cell.printed and cell.metric == metric]
            for dataset in dict.fromkeys(cell.dataset for cell in cells):
                where = entry, row, dataset, metric
                sides = rivals(*where, "paper_mean"), rivals(*where, "ours_mean", undertrained)
                kinds = {WORDS.get(cell.source, cell.source) for cell in cells if cell.dataset == dataset and cell.run}
                kind, trained = " and ".join(sorted(kinds)), evidence.trained.get((paper, row, dataset))
                result.append(Comparison(entry, dataset, metric, kind, trained, papers.load(paper).epochs, *sides))
    return result


def trained_words(trained: Trained) -> str:
    """Return a description such as ``24 epochs, 3,000 steps of 8, 3 seeds, 0.4 h on cpu``."""
    seeds = len(trained.seeds) + trained.failed
    seed_text = f"{seeds} seed{'' if seeds == 1 else 's'}" + (f" ({trained.failed} failed)" if trained.failed else "")
    if not trained.epochs:
        return seed_text
    epochs = f"{trained.epochs} epoch{'' if trained.epochs == 1 else 's'}, {trained.steps:,} steps of {trained.batch}"
    return f"{epochs}, {seed_text}, {hours(trained.seconds)} on {trained.device}"


def hours(seconds: float) -> str:
    """Return a duration such as ``0.4 h`` or ``12 h``; below six minutes, in minutes."""
    if seconds < 360:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def training(evidence: Evidence, short: bool) -> str:
    """Return the amount of training and its machine, in words; ``short``: the profile trains for minutes only."""
    networks = [trained for trained in evidence.trained.values() if trained.epochs]
    if not networks:
        return "no record of a training run is beside this report"
    devices = sorted({trained.device for trained in networks})
    processors = sorted({trained.cpu for trained in networks})
    machine = f"on {' and '.join(devices)} ({', '.join(processors)})"
    steps = [trained.steps for trained in networks]
    amount = f"{min(steps):,} to {max(steps):,} steps each" if min(steps) < max(steps) else f"{steps[0]:,} steps each"
    text = f"{amount}, {hours(evidence.seconds)} of training in all, {machine}."
    if short:
        text += " Narrow networks, trained for minutes: this cannot decide claims about networks as published."
    return text


def data(contents: Contents, evidence: Evidence) -> list[tuple[str, str]]:
    """Return the kinds of data behind the papers' tables, such as ``Real, substitute``, and the data sets of each."""
    patients = {dataset: trained.patients for (_, _, dataset), trained in evidence.trained.items()}
    images: dict[str, dict[str, int]] = {}
    for entry in (entry for entry in contents.tables if entry.paper != WORKBOOK):
        for cell in entry.cells:
            is_time = cell.unit == "ms"  # for times, n counts measurements
            tested = cell.run and cell.dataset and cell.source in WORDS and not is_time
            if tested and (cell.printed or cell.dataset in patients):
                sizes = images.setdefault(cell.source, {})
                # the largest count: undefined values leave out images
                sizes[cell.dataset] = max(sizes.get(cell.dataset, 0), (cell.n_images or 0) // max(cell.n_seeds or 1, 1))
    lines = []
    for kind, heading in WORDS.items():
        if kind not in images:
            continue
        parts = []
        for dataset, n in images[kind].items():
            origin = f" of {patients[dataset]} patients" if dataset in patients and dataset not in _SPECIMENS else ""
            notes = [_IN_PLACE if kind == "substitute" else {}, _TRUTHS, _SPECIMENS]
            remark = ", ".join(note[dataset] for note in notes if dataset in note)
            parts.append(f"{display('datasets', dataset)} ({n:,} test images{origin}){': ' if remark else ''}{remark}")
        text = "; ".join(parts)
        if kind == "embedded":
            text += ". Simulated images, with real readers' outlines of nodules: these are not the papers' experiments"
        lines.append((heading[0].upper() + heading[1:], f"{text}."))
    return lines


def sentences(contents: Contents, state: State, compared: Sequence[Comparison]) -> list[str]:
    """Return the results in three sentences: the verdicts, the main numbers, and the clearest differences."""
    n_few = sum(map(_has_too_few_epochs, contents.claims))
    claims = {**state.claims, rule.UNDERTRAINED: state.claims[rule.UNDERTRAINED] - n_few, _FEW: n_few}
    return [_verdicts(claims), _numbers(compared), _clearest(contents)]


def _has_too_few_epochs(entry: ClaimEntry) -> bool:
    """Return whether a paper's claim counts as undertrained because a network had too few epochs to judge its curve."""
    if not entry.quote or entry.verdict != rule.UNDERTRAINED or not entry.deciding_pair:
        return False
    return any(math.isinf(training.gain) for training in entry.deciding_pair.outcome.trainings)


def _verdicts(claims: Mapping[str, int]) -> str:
    counts = [(claims[rule.HOLDS], "hold"), (claims[rule.FAILS], "fail")]
    text = ", ".join(f"{n} {verb}{'s' if n == 1 else ''}" for n, verb in counts)
    n_unclear = claims[rule.INCONCLUSIVE]
    decided = f"{text} and {n_unclear} {'is' if n_unclear == 1 else 'are'} inconclusive"
    undecided = [f"{claims[verdict]} {why}" for verdict, why in _OPEN.items() if claims[verdict]]
    return f"Of the papers' {sum(claims.values())} claims, {'; '.join([decided, *undecided])}."


def _numbers(compared: Sequence[Comparison]) -> str:
    pairs = [pair for pair in compared if pair.in_print and pair.here]
    if not pairs:
        return "None of the papers' own methods is measured beside another network yet."
    pub_wins = sum(pair.in_print.own > pair.in_print.best for pair in pairs)
    our_wins = sum(pair.here.own > pair.here.best for pair in pairs)
    n_finished, n_others = sum(pair.here.finished for pair in pairs), sum(pair.here.others for pair in pairs)
    n_undertrained = sum(UNDERTRAINED_MARK in "".join(pair.here.words) for pair in pairs)
    note = f" ({n_undertrained} with an undertrained network)" if n_undertrained else ""
    note += f", where {n_finished} of {n_others} other networks are finished" if n_finished < n_others else ""
    return (
        f"The proposed method has the highest {display('metrics', 'dice')} of its table in {pub_wins} of {len(pairs)} "
        f"comparisons in print and in {our_wins} of {len(pairs)} here{note}."
    )


def _clearest(contents: Contents) -> str:
    parts = []
    sides = {rule.FAILS: "strongest evidence against a claim", rule.HOLDS: "strongest evidence for a claim"}
    for verdict, heading in sides.items():
        entries = [entry for entry in contents.claims if entry.verdict == verdict and entry.deciding_pair]
        # claims of a multiple of the other's mean are skipped: no method may be able to reach it
        entries = [entry for entry in entries if entry.deciding_pair.pair.times == 1]
        clearest = min(entries, key=lambda entry: _p_value(entry.deciding_pair), default=None)
        if clearest and _p_value(clearest.deciding_pair) < 1:
            parts.append(f"{heading}: {_difference(clearest.deciding_pair, clearest.unit)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else "No claim is decided."


def _p_value(judged: JudgedPair) -> float:
    """Return the one-sided p value of the difference against 0, or against the gain that it rules out; 1 where methods
    predict the same and nothing varies."""
    difference = judged.outcome.difference
    if not difference or not difference.error > 0:
        return 1.0
    bound = judged.pair.delta if judged.outcome.verdict == rule.NO_GAIN else 0
    return min(difference.p_below(bound), difference.p_above(bound))


def _difference(judged: JudgedPair, unit: str) -> str:
    pair, difference = judged.pair, judged.outcome.difference
    where = f"{display('datasets', pair.dataset)} ({judged.outcome.data})"
    text = f"{pair} on {where}, {signed(difference.mean)} {unit} "
    text += f"({signed(difference.low)} to {signed(difference.high)}"
    if judged.outcome.verdict == rule.NO_GAIN:
        text += f", which rules out {pair.delta:g}"
    text += "" if math.isnan(pair.printed) else f"; printed {signed(pair.printed)}"
    return text + (f", more than the {judged.outcome.room:.2f} possible here)" if judged.unreachable else ")")


def signed(value: float) -> str:
    """Return a difference with its sign (a true minus) and two decimals: ``+1.20``, ``−0.31``."""
    return f"{value:+.2f}".replace("-", "−").replace("+0.00", "0.00").replace("−0.00", "0.00")
