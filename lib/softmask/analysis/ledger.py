"""The ledger of ambiguities, measured: every choice that can be compared without training.

Beside those of :mod:`softmask.analysis.choices`, choices about how a network is tested, from the records of finished
runs. A data set's records hold the same test images, every network counts alike, and a patient's images with all
networks are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from softmask.analysis.choices import (
    Choice,
    compared,
    label_choices,
    label_lines,
    reader_choices,
    shrunk_choice,
    shrunk_lines,
)
from softmask.analysis.doctors import rows_named
from softmask.analysis.examples import spread
from softmask.analysis.table import numbers
from softmask.config import Config
from softmask.data import open_dataset, selection
from softmask.data.sample import Dataset, Sample, data_kind
from softmask.data.splits import crops
from softmask.errors import LabelError, MissingData
from softmask.experiments.plan import records_folder
from softmask.experiments.store import Record
from softmask.label import consensus, soft_mask
from softmask.measure import segmentation, soft
from softmask.parallel import map_samples
from softmask.report.result import WORKBOOK, ResultTable
from softmask.train.losses import by_tanh

NEEDS_TRAINING = (
    "warm-up of SoftGAN's segmentor",
    "one head or two, and their layers",
    "turns of the adversary, its loss and Adam's betas",
    "loss of the baselines, and encoders trained before",
    "augmentation, and features augmented with it",
    "size of the network's images (64, or super-resolved 256)",
    "what stands for the soft label where there is none",
    "width, epochs and learning rates of the small profiles",
    "DSNet's Dice loss, with squares or without",
    "LGAN's Lipschitz bound, critic's layers and first weights",
)
"""Open points whose alternatives take a training each, so that they are not compared here."""

NODULES = ("lidc", "lnsm")
SHOWN_SMALLER = {"isbi2012": 64, "promise12": 64}
"""Data sets that are shown with fewer pixels than are stored, and with how many."""
EACH = 20
"""Stored images of each of :data:`SHOWN_SMALLER` that are compared."""
OUTPUT_CUTS = (0.3, 0.7, 0.9)


def table(choices: Iterable[Choice], about: str) -> ResultTable:
    """Return the workbook's table of choices; ``about`` says in its caption what they were measured on."""
    cells = []
    for number, (where, choice, instead, measure, chosen, other, low, high, n, source) in enumerate(choices, start=1):
        values = {"choice_and_alternative": f"{choice} / {instead}", "measure": measure, "chosen": chosen}
        values |= {"alternative": other, "difference": other - chosen, "low": low, "high": high, "values": n}
        cells += numbers(f"{number}. {where}", "", values, n, 1, source)
    caption = (
        f"{about} Difference: alternative minus choice, with a 95 % interval (low to high) that draws whole patients. "
        f"Not here, because each takes a training: {'; '.join(NEEDS_TRAINING)}."
    )
    units = {"choice_and_alternative": "text", "measure": "text", "values": "count"}
    return ResultTable(WORKBOOK, "choices", "What open choices change", caption, cells, units)


def measured(config: Config, lidc: Dataset, slices: pd.DataFrame) -> list[Choice]:
    """Return every choice that can be compared without training: from readers' masks, from labels, and from the run's
    records as far as there are any.

    Args:
        slices: of :func:`read_slices`, the four-reader slices of ``lidc``.
    """
    four = selection.four_reader_rows(lidc.index)
    few = spread(selection.largest_per_nodule(lidc.index, four), 2 * config.profile.cap("matting"))
    lines = pd.DataFrame(map_samples(label_lines, lidc, few, title="choices about labels"))
    made = reader_choices(slices, lidc.source) + label_choices(lines, lidc.source)
    for name, size in SHOWN_SMALLER.items():
        try:
            dataset = open_dataset(name, config)
        except MissingData:
            continue
        rows = spread(range(len(dataset)), EACH)
        shrunk = map_samples(partial(shrunk_lines, dataset=name, size=size), dataset, rows, title=name)
        made.append(shrunk_choice(shrunk, name, dataset.source))
    records = read_records(config, (*NODULES, "lidc-lung"))
    made += [choice for name in NODULES for choice in lesion_choices(records[name], name)]
    kept = [record for record in records["lidc"] if set(record.predictions) == set(records["lidc"][0].predictions)]
    if kept:
        rows = rows_named(lidc, kept[0].predictions)
        lines = map_samples(partial(kept_lines, records=kept), lidc, rows, title="kept predictions")
        made += kept_choices(lines, "lidc", lidc.source)
    return made + lung_choices(records["lidc-lung"], "lidc-lung")


def read_records(config: Config, datasets: Sequence[str]) -> dict[str, list[Record]]:
    """Return the run's records of segmentations of ``datasets``, by data set; a data set without any has an empty list.
    Trainings that failed to start are left out.

    Raises:
        DataError: names a record that cannot be read.
    """
    kept: dict[str, list[Record]] = {}
    for name in datasets:
        records = [Record.read(path) for path in sorted(records_folder(config).glob(f"{name}-*.json"))]
        good = [record for record in records if "dice" in record.measures and not record.failed]
        kept[name] = [record for record in good if record.spec.dataset == name]
    return kept


def _values(records: Sequence[Record], metric: str) -> np.ndarray:
    """(networks x N,) of a measure."""
    return np.concatenate([np.array(record.measures[metric], float) for record in records])


def _patients(records: Sequence[Record]) -> list[str]:
    return [group for record in records for group in record.groups]


def lesion_choices(records: Sequence[Record], dataset: str) -> list[Choice]:
    """Return choices about testing networks on nodules: undefined and infinite values, averages, which Hausdorff
    distance, and which epoch (on the validation images that chose it: the most that it can be worth)."""
    if not records:
        return []
    first, patients = records[0], _patients(records)
    source, on = data_kind(dataset, first.spec.source, first.provenance.origin), f"{dataset}, {len(records)} networks"
    dice, ppv, farthest, hd95 = (_values(records, name) for name in ("dice", "ppv", "hausdorff", "hd95"))
    finite = np.isfinite(farthest)
    seen, diagonal = np.where(finite, farthest, np.nan), math.hypot(first.spec.size, first.spec.size)
    nothing, distance = "where nothing was found", "Hausdorff distance"
    of_patients = "over patients, of each the mean of its images"
    asked = [
        ((f"Dice {nothing}", "0", "left out", "mean Dice"), dice, np.where(np.isnan(ppv), np.nan, dice)),
        ((f"PPV {nothing}", "left out", "0", "mean PPV"), ppv, np.nan_to_num(ppv)),
        (
            (
                distance,
                "largest distance, both ways",
                "its 95th percentile",
                "mean in pixels, where something was found",
            ),
            *(seen, np.where(finite, hd95, np.nan)),
        ),
        (
            (f"{distance} {nothing}", "left out and counted", "the image's diagonal", "mean in pixels"),
            *(seen, np.where(finite, farthest, diagonal)),
        ),
        (("mean of Dice", "over images", of_patients, "mean Dice"), dice, dice),
    ]
    if all("dice_consensus" in record.measures for record in records):
        truth = (f"truth of {dataset}'s test images", "the label from the RECIST mark", "the readers' 50 % consensus")
        asked.append(((*truth, "mean Dice"), dice, _values(records, "dice_consensus")))
    each = 1 / pd.Series(patients).groupby(patients).transform("size").to_numpy()
    made = [
        compared((*words[:3], f"{words[3]} ({on})"), a, b, patients, source, each if of_patients in words else None)
        for words, a, b in asked
    ]
    curves = [record.curves["validation_dice"] for record in records if record.curves.get("validation_dice")]
    if curves:
        measure = f"validation Dice, mean over networks ({on})"
        words, names = ("which epoch is tested", "best on validation", "last", measure), map(str, range(len(curves)))
        best, last = [max(curve) for curve in curves], [curve[-1] for curve in curves]
        made.append(compared(words, best, last, list(names), source))
    return made


def lung_choices(records: Sequence[Record], dataset: str) -> list[Choice]:
    """Return whether slices without lung count in LGAN's means."""
    if not records:
        return []
    iou, holds = _values(records, "iou"), _values(records, "pixels_true") > 0
    instead, measure = (
        "counted: 1 where none is found, else 0",
        f"mean IoU of slices ({dataset}, {len(records)} networks)",
    )
    words = ("slices without lung", "left out of the mean", instead, measure)
    return [compared(words, np.where(holds, iou, np.nan), iou, _patients(records), records[0].spec.source)]


def kept_lines(sample: Sample, records: Sequence[Record]) -> list[dict]:
    """Return, of a sample whose predictions the records keep, for each network: Dice with the consensus at each cut of
    :data:`OUTPUT_CUTS` and at 0.5; of a network that learnt a soft mask, its error read from either head.

    Raises:
        LabelError: where the readers allow no soft mask.
    """
    if sample.present.sum() < 1:
        raise LabelError(f"{sample.id}: no reader marked it")
    truth = consensus.fifty_percent(sample.masks)
    alpha = soft_mask(sample.image, readers=sample.masks).alpha
    lines = []
    for record in records:
        [crop] = crops(record.spec.dataset, sample, record.spec.size)
        top, left = int(crop.top), int(crop.left)
        seen = slice(top, top + int(crop.height)), slice(left, left + int(crop.width))
        probabilities, band = record.predictions[sample.id] / 255, soft.edge_band(alpha[seen])
        line: dict = {"patient": sample.patient, "network": record.spec.name, "learnt": by_tanh(record.spec.losses)}
        line |= {f"{at:g}": float(segmentation.dice(probabilities >= at, truth[seen])) for at in (0.5, *OUTPUT_CUTS)}
        heads = {"sigmoid": probabilities, "tanh": soft.soft_head(probabilities)}
        lines.append(line | {name: float(soft.mae(values, alpha[seen], band)) for name, values in heads.items()})
    return lines


def kept_choices(lines: Sequence[dict], dataset: str, source: str) -> list[Choice]:
    """Return what the lines of :func:`kept_lines` say; few images, many networks."""
    if not lines:
        return []
    frame = pd.DataFrame(lines)
    learnt, networks = frame[frame["learnt"]], frame["network"].nunique()
    images = len(lines) // networks
    cut, on = "where a network's output is cut", f"{dataset}, {networks} networks on {images} images"
    dice = f"Dice with the consensus ({on})"
    made = [
        compared((cut, "0.5", f"{at:g}", dice), frame["0.5"], frame[f"{at:g}"], frame["patient"], source)
        for at in OUTPUT_CUTS
    ]
    if len(learnt):
        on = f"{dataset}, {learnt['network'].nunique()} networks on {images} images"
        words = ("soft mask of a network that learnt one", "its tanh head", "the probabilities of its sigmoid head")
        measure = f"mean absolute error in the edge band ({on})"
        made.append(compared((*words, measure), learnt["tanh"], learnt["sigmoid"], learnt["patient"], source))
    return made
