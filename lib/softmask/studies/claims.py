"""What the papers' claims compare: each claim as pairs of rows, in the order in which the paper's file lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

from softmask import papers
from softmask.errors import ConfigError
from softmask.measure.images import DOCTORS
from softmask.nets.critics import CRITICS
from softmask.report.verdicts import Pair, Verdict
from softmask.studies.training import CONSENSUS


def over_all_others(paper: str, tables: Sequence[str], best: str, metrics: Sequence[str] = ("dice",)) -> list[Pair]:
    """``best`` over every other row of each of ``tables``, on the tables' own data sets, by each of ``metrics``."""
    return [
        Pair(best, row, dataset, metric)
        for metric in metrics
        for name in tables
        for dataset, rows in _rows(paper, name).items()
        for row in rows
        if row != best
    ]


def over_doctors(network: str) -> list[Pair]:
    """A network's Dice with the 50 % consensus over each doctor's, on the nodules that four doctors marked."""
    return [Pair(network, doctor, "lidc-500", "dice_consensus50") for doctor in DOCTORS]


def each_step(paper: str, table: str) -> list[Pair]:
    """Every row of an ablation over the one before it."""
    return [Pair(b, a, dataset) for dataset, rows in _rows(paper, table).items() for a, b in pairwise(rows)]


def _rows(paper: str, table: str) -> dict[str, list[str]]:
    """The rows of a printed table, in print order, for each of its data sets."""
    found: dict[str, list[str]] = {}
    for cell in papers.load(paper).table(table).cells():
        rows = found.setdefault(cell.dataset, [])
        if cell.row not in rows:
            rows.append(cell.row)
    return found


_PAIRS: Mapping[str, Sequence[Sequence[Pair]]] = MappingProxyType(
    {
        "casgan": (
            [Pair("casgan_soft", "casgan_bin", "lnsm")],
            [Pair("casgan_soft", "casgan_without_sr", "lnsm")],
            over_all_others("casgan", ("table-1",), "casgan_soft"),
            over_doctors("casgan"),
            [
                Pair(better, worse, dataset)
                for dataset in ("isbi2012", "promise12")
                for better, worse in (("cenet_plusplus", "cenet"), ("casgan_plusplus", "casgan_bin"))
            ],
            [],  # radiomics, in a notebook of its own (radiomics_tested)
        ),
        "softgan": (
            over_all_others("softgan", ("table-1", "table-2"), "softgan"),
            each_step("softgan", "table-3"),
            over_all_others("softgan", ("table-4",), "soft_mask"),
        ),
        "dsnet-v1": (
            over_all_others("dsnet-v1", ("table-1", "table-2"), "dsnet_v1", ("dice", "ppv")),
            each_step("dsnet-v1", "table-3"),
            [Pair("sdrfm", "edrfm", dataset) for dataset in ("lnsm", "lidc")],
            over_doctors("dsnet_v1"),
        ),
        "dsnet-v2": (
            over_all_others("dsnet-v2", ("table-1", "table-2"), "dsnet", ("dice", "sen", "ppv")),
            each_step("dsnet-v2", "table-3"),
            over_all_others("dsnet-v2", ("table-4",), "soft_mask"),
            each_step("dsnet-v2", "table-5"),
            over_doctors("dsnet"),
            [],  # time, judged by what was measured (dsnet_cost)
        ),
        "lgan": (
            [
                Pair(f"lgan_{critic}", "baseline_unet", dataset, "iou")
                for dataset in ("lidc-lung", "qin-lung")
                for critic in CRITICS
            ],
            [
                Pair("lgan_regression", row, dataset, "iou")
                for dataset in ("lidc-lung", "qin-lung")
                for row in ("baseline_unet", *(f"lgan_{critic}" for critic in CRITICS if critic != "regression"))
            ],
            over_all_others("lgan", ("table-4",), "lgan_regression", ("dice3d",)),
            [],  # nodules, judged by what lies inside (lungs)
        ),
    }
)


ABLATION = (
    Pair("casgan_soft", "casgan_without_gan", "lnsm"),
    Pair("casgan_soft", "casgan_bin", "lnsm"),
    Pair("casgan_soft", "casgan_without_sr", "lnsm"),
    Pair("unet_student", "unet_hard", "lnsm"),
)
"""CasGAN's parts, one at a time: the discriminator, the soft label, the super-resolved image; and the teacher."""

ABLATION_SOFT = tuple(replace(pair, metric="soft_dice") for pair in ABLATION)


def claims(paper: str) -> dict[str, Sequence[Pair]]:
    """A paper's claims, word for word, and the pairs that each is about.

    Raises:
        ConfigError: for a paper whose claims are not compared here; it lists those that are.
    """
    if paper not in _PAIRS:
        raise ConfigError(f"the claims of {paper!r} are not compared; choose one of {', '.join(_PAIRS)}")
    return dict(zip(papers.load(paper).claims, _PAIRS[paper], strict=True))


def against_readers(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs on LNSM that compare Dice, by Dice with the readers' consensus: LNSM's own truth is what the labelling
    made."""
    return [replace(pair, metric=CONSENSUS) for pair in pairs if pair.dataset == "lnsm" and pair.metric == "dice"]


def by_dice(verdict: Verdict) -> Verdict:
    """The verdict with those of its comparisons that are of Dice, for a figure whose axis is Dice."""
    return replace(verdict, pairs=tuple(one for one in verdict.pairs if one.pair.metric.startswith("dice")))
