"""Choices about how a network is tested, from the records of finished runs: nothing is trained or predicted.

A data set's records hold the same test images, image by image; every network counts alike, and a patient's images with
all networks are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from softmask.analysis.choices.comparison import Choice, compared
from softmask.config import Config
from softmask.data.sample import Sample
from softmask.data.splits import Crop, crops
from softmask.data.words import data_kind
from softmask.errors import LabelError
from softmask.experiments.plan import records_folder
from softmask.experiments.store import Record
from softmask.label import consensus, soft_mask
from softmask.measure import segmentation, soft
from softmask.train.losses import by_tanh

CUTS = (0.3, 0.7, 0.9)


def read(config: Config, datasets: Sequence[str]) -> dict[str, list[Record]]:
    """The run's records of segmentations of ``datasets``, by data set; a data set without any has an empty list.
    Trainings that failed to start are left out.

    Raises:
        DataError: names a record that cannot be read.
    """
    found: dict[str, list[Record]] = {name: [] for name in datasets}
    folder = records_folder(config)
    for name in datasets:
        records = (Record.read(path) for path in sorted(folder.glob(f"{name}-*.json")))
        found[name] = [one for one in records if one.spec.dataset == name and "dice" in one.measures and not one.failed]
    return found


def _values(records: Sequence[Record], metric: str) -> np.ndarray:
    """(networks x N,) of a measure."""
    return np.concatenate([np.array(record.measures[metric], float) for record in records])


def _patients(records: Sequence[Record]) -> list[str]:
    return [group for record in records for group in record.groups]


def lesions(records: Sequence[Record], dataset: str) -> list[Choice]:
    """Choices about measures of nodules: undefined and infinite values, averages, and which Hausdorff distance."""
    if not records:
        return []
    source, patients = data_kind(dataset, records[0].spec.source, records[0].provenance.origin), _patients(records)
    on = f"{dataset}, {len(records)} networks"
    dice, ppv, farthest, hd95 = (_values(records, name) for name in ("dice", "ppv", "hausdorff", "hd95"))
    finite = np.isfinite(farthest)
    diagonal = math.hypot(records[0].spec.size, records[0].spec.size)

    def choice(where: str, chosen: str, instead: str, measure: str, a: np.ndarray, b: np.ndarray) -> Choice:
        return compared(where, chosen, instead, f"{measure} ({on})", (a, b), patients, source)

    counts = {}
    for patient in patients:
        counts[patient] = counts.get(patient, 0) + 1
    made = [
        choice(
            "Dice where nothing was found", "0", "left out", "mean Dice", dice, np.where(np.isnan(ppv), np.nan, dice)
        ),
        choice("PPV where nothing was found", "left out", "0", "mean PPV", ppv, np.nan_to_num(ppv)),
        choice(
            "Hausdorff distance",
            "largest distance, both ways",
            "its 95th percentile",
            "mean in pixels, where something was found",
            np.where(finite, farthest, np.nan),
            np.where(finite, hd95, np.nan),
        ),
        choice(
            "Hausdorff distance where nothing was found",
            "left out and counted",
            "the image's diagonal",
            "mean in pixels",
            np.where(finite, farthest, np.nan),
            np.where(finite, farthest, diagonal),
        ),
        compared(
            "mean of Dice",
            "over images",
            "over patients, of each the mean of its images",
            f"mean Dice ({on})",
            (dice, dice),
            patients,
            source,
            np.array([1 / counts[patient] for patient in patients]),
        ),
    ]
    if all("dice_consensus" in record.measures for record in records):
        made.append(
            choice(
                f"truth of {dataset}'s test images",
                "the label from the RECIST mark",
                "the readers' 50 % consensus",
                "mean Dice",
                dice,
                _values(records, "dice_consensus"),
            )
        )
    return [*made, *_epochs(records, on, source)]


def _epochs(records: Sequence[Record], on: str, source: str) -> list[Choice]:
    """The best epoch against the last, on the validation images that chose it: the most that it can be worth."""
    curves = [record.curves["validation_dice"] for record in records if record.curves.get("validation_dice")]
    if not curves:
        return []
    values = (np.array([max(curve) for curve in curves]), np.array([curve[-1] for curve in curves]))
    names = [str(i) for i in range(len(curves))]
    measure = f"validation Dice, mean over networks ({on})"
    return [compared("which epoch is tested", "best on validation", "last", measure, values, names, source)]


def lungs(records: Sequence[Record], dataset: str) -> list[Choice]:
    """Whether slices without lung count in LGAN's means."""
    if not records:
        return []
    iou, holds = _values(records, "iou"), _values(records, "pixels_true") > 0
    return [
        compared(
            "slices without lung",
            "left out of the mean",
            "counted: 1 where none is found, else 0",
            f"mean IoU of slices ({dataset}, {len(records)} networks)",
            (np.where(holds, iou, np.nan), iou),
            _patients(records),
            records[0].spec.source,
        )
    ]


def kept(sample: Sample, records: Sequence[Record]) -> list[dict]:
    """Of a sample whose predictions the records keep, for each network: Dice with the consensus at each cut of
    :data:`CUTS` and at 0.5; of a network that learnt a soft mask, its error read from either head.

    Raises:
        LabelError: where the readers allow no soft mask.
    """
    if sample.present.sum() < 1:
        raise LabelError(f"{sample.id}: no reader marked it")
    truth = consensus.fifty_percent(sample.masks)
    alpha = soft_mask(sample.image, readers=sample.readers, present=sample.present).alpha
    found = []
    for record in records:
        [crop] = crops(record.spec.dataset, sample, record.spec.size)
        mask, label = (_cut(array, crop) for array in (truth, alpha))
        probabilities, band = record.predictions[sample.id] / 255, soft.edge_band(label)
        line: dict = {"patient": sample.patient, "network": record.spec.name}
        line |= {f"{at:g}": float(segmentation.dice(probabilities >= at, mask)) for at in (0.5, *CUTS)}
        line["sigmoid"] = float(soft.mae(probabilities, label, band))
        line["tanh"] = float(soft.mae(soft.soft_head(probabilities), label, band))
        line["learnt"] = by_tanh(record.spec.losses)
        found.append(line)
    return found


def _cut(array: np.ndarray, crop: Crop) -> np.ndarray:
    top, left = int(crop.top), int(crop.left)
    return array[top : top + int(crop.height), left : left + int(crop.width)]


def kept_choices(lines: Sequence[dict], dataset: str, source: str) -> list[Choice]:
    """What the lines of :func:`kept` say; few images, many networks."""
    if not lines:
        return []
    networks = len({line["network"] for line in lines})
    images = len(lines) // networks
    on = f"{dataset}, {networks} networks on {images} images"

    def values(name: str, of: Sequence[dict]) -> np.ndarray:
        return np.array([line[name] for line in of])

    made = [
        compared(
            "where a network's output is cut",
            "0.5",
            f"{at:g}",
            f"Dice with the consensus ({on})",
            (values("0.5", lines), values(f"{at:g}", lines)),
            [line["patient"] for line in lines],
            source,
        )
        for at in CUTS
    ]
    learnt = [line for line in lines if line["learnt"]]
    if learnt:
        on = f"{dataset}, {len({line['network'] for line in learnt})} networks on {images} images"
        made.append(
            compared(
                "soft mask of a network that learnt one",
                "its tanh head",
                "the probabilities of its sigmoid head",
                f"mean absolute error in the edge band ({on})",
                (values("tanh", learnt), values("sigmoid", learnt)),
                [line["patient"] for line in learnt],
                source,
            )
        )
    return made
