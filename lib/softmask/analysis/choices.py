"""Ledger of ambiguities: the effect of each choice that the papers leave open. Nothing is trained for it.

Choice and alternative are compared on the same images, with a 95 % bootstrap interval that draws whole patients. A
label is measured by its error against the true alpha or, if that is unknown, by its Dice with the consensus of the
readers from whom it was not made; tests of networks come from the records of finished runs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from softmask.analysis.doctors import PAIRS, of_four_readers, rows_named
from softmask.analysis.examples import spread
from softmask.analysis.labels import first_mask
from softmask.analysis.table import numbers
from softmask.config import BASE_SEED, Config
from softmask.data import open_dataset, selection
from softmask.data.sample import Dataset, Sample, data_kind
from softmask.data.splits import crops
from softmask.errors import MissingData
from softmask.experiments.plan import records_folder
from softmask.experiments.store import Record
from softmask.label import closed_form_alpha, consensus, recist, soft_labels, soft_mask, trimap
from softmask.measure import segmentation, soft
from softmask.measure.segmentation import dice_of_pairs
from softmask.measure.statistics import mean_difference
from softmask.parallel import map_samples
from softmask.report.result import Cell
from softmask.train.losses import uses_tanh

CROP = 64  # height and width of the networks' input, in pixels


class Choice(NamedTuple):
    """Comparison of a choice with an alternative."""

    where: str  # the open point
    choice: str
    instead: str  # the alternative
    measure: str  # the measure of both, with its unit
    chosen: float  # value with the choice
    other: float  # value with the alternative
    low: float  # 95 % interval of other - chosen
    high: float
    n: int  # number of images, or of what ``measure`` names
    source: str  # real or embedded


def compared(
    words: Sequence[str], a: Sequence, b: Sequence, groups: Sequence[Hashable], source: str, weights=None
) -> Choice:
    """Return the means of ``a`` and ``b``, and the interval of their difference.

    Args:
        words: where, choice, instead and measure of a :class:`Choice`.
        a, b: (N,) values with the choice and with the alternative, NaN where left out of the mean.
        groups: (N,) patients.
        weights: (N,) weights of the alternative's values.
    """
    means = mean_difference(np.asarray(a, float), np.asarray(b, float), BASE_SEED, list(groups), weights)
    return Choice(*words, *means, len(groups), source)


def read_slices(dataset: Dataset, rows: Iterable[int]) -> pd.DataFrame:
    """Return the measures for :func:`reader_choices`, a line for each slice that :func:`of_four_readers` reads."""
    measures_by_row = of_four_readers(_slice, dataset, rows, "choices about a consensus need", "readers' masks")
    index = dataset.index.iloc[list(measures_by_row)].reset_index(drop=True)
    nodules = index["patient"] + "/" + index["nodule"]
    slices = pd.DataFrame({"patient": index["patient"], "nodule": nodules, "area": index["area"]})
    return slices.join(pd.DataFrame(list(measures_by_row.values())))


def _slice(masks: np.ndarray) -> dict[str, float]:
    """Return the measures of one slice's masks (4, H, W)."""
    votes, sizes = masks.sum(axis=0), masks.sum(axis=(1, 2))
    matrix = dice_of_pairs(np.stack([*masks, votes >= 2, votes >= 3]))  # (6, 6)
    box = tuple(slice(max(0, (side - CROP) // 2), (side - CROP) // 2 + CROP) for side in masks.shape[1:])
    wider_masks = np.stack([binary_dilation(mask) for mask in masks])  # LIDC's contour is the first pixel outside
    area_sums = sizes[PAIRS[0]] + sizes[PAIRS[1]]
    return {
        "pairs": float(matrix[PAIRS].mean()),
        "pairs_size": float(np.mean(area_sums)),
        "pairs_pooled": float(np.mean(matrix[PAIRS] * area_sums)) / np.mean(area_sums),  # 2 |A and B| over the pairs
        "pairs_seen": float(dice_of_pairs(masks[:, *box])[PAIRS].mean()),
        "pairs_with_contour": float(dice_of_pairs(wider_masks)[PAIRS].mean()),
        "two_votes": float(matrix[:4, 4].mean()),
        "three_votes": float(matrix[:4, 5].mean()),
        "doctor1": float(matrix[0, 4]),
        "no_common_pixel": float(votes.max() < 4),
        "all_agree": float(votes[votes > 0].min() == 4),
        "mean_area": float(sizes.mean()),
        "mean_area_with_contour": float(wider_masks.sum(axis=(1, 2)).mean()),
    }


def by_nodule(slices: pd.DataFrame) -> pd.DataFrame:
    """Return, for each nodule, Dice of two doctors on its largest, middle and worst slice, and the mean over slices."""
    lines = []
    for nodule, nodule_lines in slices.groupby("nodule", sort=False):
        pairs = nodule_lines["pairs"].to_numpy()
        line = {"nodule": nodule, "patient": nodule_lines["patient"].iloc[0]}
        largest = int(np.argmax(nodule_lines["area"].to_numpy()))
        line |= {"largest": pairs[largest], "middle": pairs[(len(pairs) - 1) // 2]}
        lines.append(line | {"every": pairs.mean(), "least": pairs.min()})
    return pd.DataFrame(lines)


def reader_choices(slices: pd.DataFrame, source: str) -> list[Choice]:
    """Return the choices about readers' masks from :func:`read_slices`."""
    doctors = "Dice of two doctors, mean over the six pairs"
    reference = "Dice of a doctor with the consensus, mean over four"
    share = "share of slices whose label could differ"
    votes = ("50 % consensus", "at least half: 2 of 4", "more than half: 3 of 4")
    contour = ("the contour's own pixels", "outside the mask", "inside")
    largest = ("which slice of a nodule", "the largest")
    averaged = ("mean of Dice", "over slices")
    database = ("who is doctor 1", "the first of the database", "any, mean over all orders")
    core = ("readers who share no pixel", "the core of most votes is sure lesion", "any other")
    band = ("readers who agree on every pixel", "a band of one pixel is unknown", "any other")
    slices_per_patient = slices.groupby("patient")["pairs"].transform("size")
    slices = slices.assign(zero=0.0, share_of_patient=1 / slices_per_patient)
    nodules = by_nodule(slices)
    comparisons = [  # where, choice, instead, measure, columns of choice and alternative, weights of the alternative
        (*votes, reference, "two_votes", "three_votes", ""),
        (*database, "Dice of doctor 1 with the consensus", "doctor1", "two_votes", ""),
        (*largest, "the middle one", doctors, "largest", "middle", ""),
        (*largest, "all, averaged", doctors, "largest", "every", ""),
        (*largest, "the one on which doctors agree least", doctors, "largest", "least", ""),
        (*contour, doctors, "pairs", "pairs_with_contour", ""),
        (*contour, "area of a doctor's mask, pixels", "mean_area", "mean_area_with_contour", ""),
        (f"{CROP} pixels at the centre", "the crop", "the whole image", doctors, "pairs_seen", "pairs", ""),
        (*averaged, "over patients, of each the mean of its slices", doctors, "pairs", "pairs", "share_of_patient"),
        (*averaged, "pooled: over the pixels of all slices", doctors, "pairs", "pairs_pooled", "pairs_size"),
        (*core, share, "zero", "no_common_pixel", ""),
        (*band, share, "zero", "all_agree", ""),
    ]
    choices = []
    for *texts, a, b, weights in comparisons:
        frame = slices if a in slices else nodules
        weight_values = frame[weights].to_numpy() if weights else None
        choices.append(compared(texts, frame[a], frame[b], frame["patient"], source, weight_values))
    return choices


def label_lines(sample: Sample) -> list[dict]:
    """Return a record for each alternative way of making a label from the first reader's mask: its words, and the
    measure with the choice (a) and with the alternative (b). Dice is with the consensus of the other readers."""
    mask, image = first_mask(sample), sample.image
    axes = recist.axes_from_mask(mask)
    consensus_others = consensus.leave_one_out(sample.masks)[0]
    edge_band = None if sample.alpha is None else soft.edge_band(sample.alpha)

    def dice(label: np.ndarray) -> float:
        return float(segmentation.dice(label >= 0.5, consensus_others))

    def error(label: np.ndarray) -> float:
        return float(soft.mae(label, sample.alpha, edge_band))

    alpha = closed_form_alpha(image, trimap.from_mask(mask))
    rough = recist.grabcut_mask(image, axes)
    marked_alpha = closed_form_alpha(image, trimap.from_mask_and_axes(rough, axes))
    dilated, resampled = soft_labels.kats_dilation(mask), soft_labels.gros_interpolation(mask)
    stretched_image = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    stretched_alpha = closed_form_alpha(stretched_image, trimap.from_mask(mask))
    grey_text, band_text = "as the data set has them", f"{trimap.BAND:g} of the mask's radius"
    own = dice if edge_band is None else error  # measure of soft labels
    lines = []  # where, choice, instead, measure, label with the choice, label with the alternative
    for share in (0.1, 0.2, 0.3):
        other_alpha = closed_form_alpha(image, trimap.from_mask(mask, max(1, round(share * trimap.radius_of(mask)))))
        lines.append(("trimap from a mask", band_text, f"{share:g} of it", own, alpha, other_alpha))
    for at in (128 / 255, 0.3, 0.7, 0.9):
        lines.append(("where a soft mask is cut", "0.5", f"{at:.3g}", dice, marked_alpha, marked_alpha >= at))
    lines += [
        ("Kats, radius of the band", "1 pixel", "2 pixels", own, dilated, soft_labels.kats_dilation(mask, radius=2)),
        ("Kats, probability of the band", "0.3", "0.5", own, dilated, soft_labels.kats_dilation(mask, probability=0.5)),
        ("Gros, factor", "2", "4", own, resampled, soft_labels.gros_interpolation(mask, 4)),
        ("grey levels", grey_text, "stretched from minimum to maximum", own, alpha, stretched_alpha),
        ("GrabCut", "5 iterations", "1 iteration", dice, rough, recist.grabcut_mask(image, axes, 1)),
    ]
    words = {
        dice: "Dice with the consensus of the other readers",
        error: "mean absolute error of alpha in the edge band",
    }
    records = [(*texts, words[measure], measure(a), measure(b)) for *texts, measure, a, b in lines]
    names = ("where", "choice", "instead", "measure", "a", "b")
    return [{"sample": sample.id, "patient": sample.patient} | dict(zip(names, r, strict=True)) for r in records]


def label_choices(lines: pd.DataFrame, source: str) -> list[Choice]:
    """Return the choices from the records of :func:`label_lines`."""
    return [
        compared(texts, records["a"], records["b"], records["patient"], source)
        for texts, records in lines.groupby(["where", "choice", "instead", "measure"], sort=False)
    ]


def shrunk_lines(sample: Sample) -> list[dict]:
    """Return Dice between the truth as the networks see it and the truth sampled at the pixel centres."""
    mask, lines = first_mask(sample), []
    pixel_centres = (np.arange(CROP) + 0.5) / CROP
    for crop in crops(sample.dataset, sample, CROP):
        rows = np.clip((crop.top + pixel_centres * crop.height).astype(int), 0, mask.shape[0] - 1)
        columns = np.clip((crop.left + pixel_centres * crop.width).astype(int), 0, mask.shape[1] - 1)
        dice = segmentation.dice(mask[np.ix_(rows, columns)], crop.of(mask, CROP))
        lines.append({"patient": sample.patient, "dice": float(dice)})
    return lines


def cells(choices: Iterable[Choice]) -> list[Cell]:
    """Return the cells of a table with a numbered row for each choice."""
    cells = []
    for number, (where, choice, instead, measure, chosen, other, low, high, n, source) in enumerate(choices, start=1):
        values = {"choice_and_alternative": f"{choice} / {instead}", "measure": measure, "chosen": chosen}
        values |= {"alternative": other, "difference": other - chosen, "low": low, "high": high, "values": n}
        cells += numbers(f"{number}. {where}", "", values, n, 1, source)
    return cells


def measured(config: Config, lidc: Dataset, slices: pd.DataFrame) -> list[Choice]:
    """Return every choice that needs no training; ``slices`` come from :func:`read_slices`."""
    four_reader_rows = selection.four_reader_rows(lidc.index)
    label_rows = spread(selection.largest_per_nodule(lidc.index, four_reader_rows), 2 * config.profile.cap("matting"))
    lines = pd.DataFrame(map_samples(label_lines, lidc, label_rows, title="choices about labels"))
    choices = reader_choices(slices, lidc.source) + label_choices(lines, lidc.source)
    for name in ("isbi2012", "promise12"):  # shown with fewer pixels than are stored
        try:
            dataset = open_dataset(name, config)
        except MissingData:
            continue
        rows = spread(range(len(dataset)), 20)
        frame = pd.DataFrame(map_samples(shrunk_lines, dataset, rows, title=name))
        where, instead = f"images shown with fewer pixels, {name}", "the value at the pixel's centre"
        texts = (where, "lesion where half of a pixel is", instead, "Dice with the choice's mask")
        choices.append(compared(texts, np.ones(len(frame)), frame["dice"], frame["patient"], dataset.source))
    lidc_records = read_records(config, "lidc")
    choices += lesion_choices(lidc_records) + lesion_choices(read_records(config, "lnsm"))
    networks = [record for record in lidc_records if set(record.predictions) == set(lidc_records[0].predictions)]
    if networks:
        rows = rows_named(lidc, networks[0].predictions)
        lines = map_samples(partial(kept_lines, records=networks), lidc, rows, title="kept predictions")
        choices += kept_choices(lines, "lidc", lidc.source)
    return choices + lung_choices(read_records(config, "lidc-lung"))


def read_records(config: Config, dataset: str) -> list[Record]:
    """Return the run's records on a data set that contain Dice, without failed training runs."""
    records = map(Record.read, sorted(records_folder(config).glob(f"{dataset}-*.json")))
    dataset_records = (record for record in records if record.spec.dataset == dataset and not record.failed)
    return [record for record in dataset_records if "dice" in record.measures]


def lesion_choices(records: Sequence[Record]) -> list[Choice]:
    """Return the choices in testing networks on nodules, from records on one data set."""
    if not records:
        return []
    choices: list[Choice] = []
    first, images = records[0], pd.concat([record.frame() for record in records], ignore_index=True)
    dataset, patients = first.spec.dataset, images["group"]
    source = data_kind(dataset, first.spec.source, first.provenance.origin)
    scope = f"{dataset}, {len(records)} networks"

    def add(where: str, choice: str, instead: str, measure: str, a: pd.Series, b: pd.Series, weights=None) -> None:
        choices.append(compared((where, choice, instead, f"{measure} ({scope})"), a, b, patients, source, weights))

    dice, ppv, hd = images["dice"], images["ppv"], images["hausdorff"]
    finite = np.isfinite(hd)
    finite_hd, finite_hd95 = hd.where(finite), images["hd95"].where(finite)
    hd_with_diagonal = hd.where(finite, math.hypot(first.spec.size, first.spec.size))
    image_weights = 1 / patients.groupby(patients).transform("size").to_numpy()
    on_empty, found_mean = "where nothing was found", "mean in pixels, where something was found"
    hd_texts = ("left out and counted", "the image's diagonal", "mean in pixels")
    add(f"Dice {on_empty}", "0", "left out", "mean Dice", dice, dice.where(ppv.notna()))
    add(f"PPV {on_empty}", "left out", "0", "mean PPV", ppv, ppv.fillna(0))
    add("Hausdorff distance", "largest distance, both ways", "its 95th percentile", found_mean, finite_hd, finite_hd95)
    add(f"Hausdorff distance {on_empty}", *hd_texts, finite_hd, hd_with_diagonal)
    over_patients = "over patients, of each the mean of its images"
    add("mean of Dice", "over images", over_patients, "mean Dice", dice, dice, image_weights)
    if all("dice_consensus" in record.measures for record in records):
        texts = ("the label from the RECIST mark", "the readers' 50 % consensus", "mean Dice")
        add(f"truth of {dataset}'s test images", *texts, dice, images["dice_consensus"])
    trained = [record for record in records if record.curves.get("validation_dice")]
    if trained:
        measure = f"validation Dice, which selects the epoch, mean over networks ({scope})"
        texts = ("which epoch is tested", "best on validation", "last", measure)
        best = [record.curves["validation_dice"][record.best_epoch - 1] for record in trained]
        last = [record.curves["validation_dice"][-1] for record in trained]
        choices.append(compared(texts, best, last, range(len(trained)), source))
    return choices


def lung_choices(records: Sequence[Record]) -> list[Choice]:
    """Return the choice whether slices without lung count in LGAN's means, from records on one data set."""
    if not records:
        return []
    images = pd.concat([record.frame() for record in records])
    iou, holds_lung = images["iou"], images["pixels_true"] > 0
    measure = f"mean IoU of slices ({records[0].spec.dataset}, {len(records)} networks)"
    texts = ("slices without lung", "left out of the mean", "counted: 1 where none is found, else 0", measure)
    return [compared(texts, iou.where(holds_lung), iou, images["group"], records[0].spec.source)]


def kept_lines(sample: Sample, records: Sequence[Record]) -> list[dict]:
    """Return, for each network, Dice at each threshold and the error of each head; raise LabelError without readers."""
    spec, lines = records[0].spec, []  # all networks see the same pixels
    [crop] = crops(spec.dataset, sample, spec.size)
    truth = crop.of(consensus.fifty_percent(sample.masks), spec.size)
    alpha = crop.of(soft_mask(sample.image, readers=sample.masks).alpha, spec.size)
    band = soft.edge_band(alpha)
    for record in records:
        probabilities = record.predictions[sample.id] / 255
        line: dict = {"patient": sample.patient, "network": record.spec.name, "learnt": uses_tanh(record.spec.losses)}
        for threshold in (0.5, 0.3, 0.7, 0.9):
            line[f"{threshold:g}"] = float(segmentation.dice(probabilities >= threshold, truth))
        heads = {"sigmoid": probabilities, "tanh": soft.soft_head(probabilities)}
        lines.append(line | {name: float(soft.mae(values, alpha, band)) for name, values in heads.items()})
    return lines


def kept_choices(lines: Sequence[dict], dataset: str, source: str) -> list[Choice]:
    """Return the choices from the lines of :func:`kept_lines`, of few images and many networks."""
    if not lines:
        return []
    frame = pd.DataFrame(lines)
    learnt, n_networks = frame[frame["learnt"]], frame["network"].nunique()
    n_images = len(lines) // n_networks
    cut, scope = "where a network's output is cut", f"{dataset}, {n_networks} networks on {n_images} images"
    dice = f"Dice with the consensus ({scope})"
    choices = [
        compared((cut, "0.5", f"{threshold:g}", dice), frame["0.5"], frame[f"{threshold:g}"], frame["patient"], source)
        for threshold in (0.3, 0.7, 0.9)
    ]
    if len(learnt):
        scope = f"{dataset}, {learnt['network'].nunique()} networks on {n_images} images"
        texts = ("soft mask of a network that learnt one", "its tanh head", "the probabilities of its sigmoid head")
        measure = f"mean absolute error in the edge band ({scope})"
        choices.append(compared((*texts, measure), learnt["tanh"], learnt["sigmoid"], learnt["patient"], source))
    return choices
