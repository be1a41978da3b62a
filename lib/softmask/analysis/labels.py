"""Labelling methods compared with the known alpha (embedded data) and with the readers (real data).

Every label is made from the first reader's mask, the RECIST mark measured on this mask, or all readers' masks. Also
matting by itself (other algorithms, other settings, and time), and the Dice of perfectly learnt soft labels.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from softmask import label
from softmask.analysis.finished import Fitted, data_of, kind_of
from softmask.analysis.table import image_cells
from softmask.config import BASE_SEED, Config
from softmask.data.sample import Sample
from softmask.errors import ConfigError, LabelError
from softmask.experiments.prepare import SOFT_LABELS
from softmask.label import consensus, recist, soft_labels, trimap
from softmask.label.matting import closed_form_alpha
from softmask.machine import cpu_model
from softmask.measure import segmentation, soft
from softmask.measure.differences import Scores
from softmask.measure.statistics import holm, paired_test
from softmask.papers import display
from softmask.report.result import Cell, Key

PAIRS = (("mask_binary", "mask_soft"), ("readers_consensus", "readers_soft"), ("recist_grabcut", "recist_soft"))
"""Binary mask and soft mask of the papers' three strategies: the comparison behind their claim."""

EPSILONS = (1e-9, 1e-7, 1e-5, 1e-3, 1e-2)
WINDOW_RADII = (1, 2)
RADII = (1, 2, 3, 5, 8)

PAPER_MILLISECONDS = {"recist_trimap": 5.0, "matting": 15.0}
"""Times stated in the papers for one 256 x 256 image with a RECIST mark (CasGAN section 3.1, DSNet section III-A)."""

CEILINGS = {"ceiling": "percent", "ceiling_best": "percent"}
"""Metrics of :func:`ceiling_cells`, with their units."""


def first_mask(sample: Sample) -> np.ndarray:
    """Return the first present reader's mask (H, W) bool, or raise LabelError."""
    if not sample.present.any():
        raise LabelError(f"{sample.id}: no reader is present, only a RECIST mark: there is no mask to start from")
    return sample.masks[0]


def labels_of(sample: Sample) -> dict[str, np.ndarray]:
    """Return every label (H, W) in [0, 1] for a sample; raise LabelError if none is possible."""
    mask, masks, image = first_mask(sample), sample.masks, sample.image
    axes = recist.axes_from_mask(mask)
    from_mask = label.soft_mask(image, mask=mask)
    from_recist = label.soft_mask(image, recist=axes)
    labels = {
        "mask_binary": mask,
        "mask_soft": from_mask.alpha,
        "readers_consensus": consensus.fifty_percent(masks),
        "readers_mean": masks.mean(axis=0),
        "readers_soft": label.soft_mask(image, readers=sample.masks).alpha,
        "recist_ellipse": recist.ellipse_mask(axes, mask.shape),
        "recist_grabcut": from_recist.mask,
        "recist_soft": from_recist.alpha,
        "recist_soft_free": closed_form_alpha(image, trimap.from_mask(from_recist.mask)),
        **{name: soften(mask) for name, soften in soft_labels.FROM_MASK.items()},
        soft_labels.GEODESIC: soft_labels.geodesic(mask, image),
        "softened": soft_labels.softened(mask, from_mask.alpha),
    }
    return {name: values.astype(float) if values.dtype == bool else values for name, values in labels.items()}


def against_alpha(sample: Sample) -> list[dict]:
    """Return the errors of every label against the true alpha; raise ConfigError if it is unknown."""
    if sample.alpha is None:
        raise ConfigError(f"{sample.id}: real data has no true alpha; compare the labels with the readers instead")
    band, truth = soft.edge_band(sample.alpha), sample.alpha.astype(float)
    return [
        {
            "sample": sample.id,
            "patient": sample.patient,
            "kind": sample.kind,
            "label": name,
            "mae_band": float(soft.mae(values, truth, band)),
            "mse_band": float(soft.mse(values, truth, band)),
            "gradient_error": float(soft.gradient_error(values, truth)),
            "soft_dice": float(soft.soft_dice(values, truth)),
            "dice": float(segmentation.dice(values >= 0.5, truth >= 0.5)),
        }
        for name, values in labels_of(sample).items()
    ]


def against_readers(sample: Sample) -> list[dict]:
    """Return the agreement of every label with the readers; raise LabelError for fewer than two readers.

    The consensus of ``dice_consensus`` includes the labelling reader, as in the papers, that of ``dice_others`` does
    not; ``mae_mean`` is the difference from the mean of all masks where the masks disagree.
    """
    labels, masks = labels_of(sample), sample.masks
    consensus_all, consensus_others = consensus.fifty_percent(masks), consensus.leave_one_out(masks)[0]
    mean_mask = masks.mean(axis=0)
    disputed_pixels = (mean_mask > 0) & (mean_mask < 1)
    return [
        {
            "sample": sample.id,
            "patient": sample.patient,
            "nodule": f"{sample.patient}/{sample.nodule}",
            "label": name,
            "dice_consensus": float(segmentation.dice(values >= 0.5, consensus_all)),
            "dice_others": float(segmentation.dice(values >= 0.5, consensus_others)),
            "mae_mean": float(soft.mae(values, mean_mask, disputed_pixels)),
        }
        for name, values in labels.items()
    ]


def halved(sample: Sample) -> list[dict]:
    """Return Dice of GrabCut's mask after all and half of its iterations, and of alpha after half (CasGAN 3.1.2)."""
    axes = recist.axes_from_mask(first_mask(sample))
    full_mask, half_mask = (recist.grabcut_mask(sample.image, axes, n) for n in (6, 3))
    soft_half = closed_form_alpha(sample.image, trimap.from_mask_and_axes(half_mask, axes))
    masks = {"grabcut_all": full_mask, "grabcut_half": half_mask, "soft_half": soft_half}
    return [_score(sample, values, label=name) for name, values in masks.items()]


def _score(sample: Sample, alpha: np.ndarray, **names: object) -> dict:
    """Return the agreement of ``alpha`` with the consensus and, if known, with the true alpha."""
    record = {"sample": sample.id, "patient": sample.patient, **names}
    record["dice_consensus"] = float(segmentation.dice(alpha >= 0.5, consensus.fifty_percent(sample.masks)))
    if sample.alpha is not None:
        record["mae_band"] = float(soft.mae(alpha, sample.alpha, soft.edge_band(sample.alpha)))
    return record


def scores(records: pd.DataFrame, dataset: str, source: str, metric: str) -> dict[Key, Scores]:
    """Return the scores for :func:`softmask.analysis.claims.judge`; labels have no seeds."""
    return {
        (str(name), dataset, metric): Scores(
            tuple(lines["sample"]), tuple(lines["patient"]), lines[metric].to_numpy()[None], source, fixed=True
        )
        for name, lines in records.groupby("label", sort=False)
    }


def compare(records: pd.DataFrame, metric: str, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Return, for each (a, b) of ``pairs``, the mean of b - a over samples, with its 95 % bootstrap interval and
    Wilcoxon's p value over patients, also corrected for all pairs."""
    wide = records.pivot(index=["sample", "patient"], columns="label", values=metric)
    rows = []
    for a, b in pairs:
        pair_values = wide[[a, b]].dropna()
        patients = pair_values.index.get_level_values("patient")
        test = paired_test(pair_values[b].to_numpy(), pair_values[a].to_numpy(), BASE_SEED, patients)
        verdict = "lower" if test.high < 0 else "higher" if test.low > 0 else "no clear difference"
        row = {"a": display("rows", a), "b": display("rows", b)}
        row |= {"mean of a": pair_values[a].mean(), "mean of b": pair_values[b].mean()}
        row |= {"difference": test.mean_difference, "low": test.low, "high": test.high, "p": test.p, "n": test.n}
        rows.append(row | {"b is": verdict})
    frame = pd.DataFrame(rows)
    frame.insert(frame.columns.get_loc("p") + 1, "p (Holm)", holm(frame["p"]))
    return frame


def algorithms() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return matting algorithms by name, each ``(image (H, W), trimap (H, W)) -> alpha (H, W)``.

    ``closed_form`` is this package's; the others are pymatting's, on the grey image as three equal channels.
    """
    import pymatting

    def on_colour(estimate: Callable, image: np.ndarray, known: np.ndarray) -> np.ndarray:
        colour = np.repeat(np.asarray(image, dtype=np.float64)[..., None], 3, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):  # pymatting's solver divides 0 by 0 at an exact solution
            return estimate(colour, np.asarray(known, dtype=np.float64))

    estimators = {
        "pymatting_closed_form": pymatting.estimate_alpha_cf,
        "pymatting_knn": pymatting.estimate_alpha_knn,
        "pymatting_learning_based": pymatting.estimate_alpha_lbdm,
        "pymatting_large_kernel": pymatting.estimate_alpha_lkm,
        "pymatting_random_walk": pymatting.estimate_alpha_rw,
    }
    return {"closed_form": closed_form_alpha} | {name: partial(on_colour, call) for name, call in estimators.items()}


def compare_algorithms(sample: Sample) -> list[dict]:
    """Return one record per matting algorithm; ``converged`` is 0 if its solver did not converge."""
    mask = first_mask(sample)
    mask_trimap = trimap.from_mask(mask)
    records = [_score(sample, mask.astype(float), algorithm="binary_mask", converged=1.0)]
    for name, estimate in algorithms().items():
        try:
            alpha = np.clip(estimate(sample.image, mask_trimap), 0, 1)
        except ValueError as error:
            if "did not converge" not in str(error):
                raise
            records.append({"sample": sample.id, "patient": sample.patient, "algorithm": name, "converged": 0.0})
        else:
            records.append(_score(sample, alpha, algorithm=name, converged=1.0))
    return records


def compare_settings(sample: Sample) -> list[dict]:
    """Return one record per regularisation, window and trimap radius."""
    mask, image = first_mask(sample), sample.image
    mask_trimap = trimap.from_mask(mask)
    alphas = {f"epsilon={value:g}": closed_form_alpha(image, mask_trimap, epsilon=value) for value in EPSILONS}
    alphas |= {f"window_radius={value}": closed_form_alpha(image, mask_trimap, radius=value) for value in WINDOW_RADII}
    alphas["trimap_radius=automatic"] = closed_form_alpha(image, mask_trimap)
    for value in RADII:
        alphas[f"trimap_radius={value}"] = closed_form_alpha(image, trimap.from_mask(mask, radius=value))
    return [_score(sample, alpha, choice=name) for name, alpha in alphas.items()]


def measured(times: Mapping[str, float]) -> str:
    """Return a sentence with the times of :func:`time_labelling` and the printed times."""
    steps = {"recist_trimap": "trimap from a RECIST mark, GrabCut included,", "matting": "matting"}
    parts = [f"{step} {times[name]:.1f} ms (printed {PAPER_MILLISECONDS[name]:g})" for name, step in steps.items()]
    return f"On one core of {cpu_model()}: {', '.join(parts)}"


def time_labelling(samples: Sequence[Sample], size: int = 256, repeats: int = 5) -> dict[str, float]:
    """Return milliseconds for one image on one core: medians over samples of the best repeat."""
    import cv2
    from threadpoolctl import threadpool_limits

    peer = algorithms()["pymatting_closed_form"]
    times: list[dict[str, float]] = []
    threads = cv2.getNumThreads()
    with threadpool_limits(1):
        cv2.setNumThreads(1)
        for sample in samples:
            image = cv2.resize(sample.image, (size, size), interpolation=cv2.INTER_LINEAR)
            mask = cv2.resize(first_mask(sample).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST) > 0
            mask_trimap, axes = trimap.from_mask(mask), recist.axes_from_mask(mask)
            calls = {
                "trimap": partial(trimap.from_mask, mask),
                "recist_trimap": partial(trimap.from_recist, image, axes),
                "matting": partial(closed_form_alpha, image, mask_trimap),
                "pymatting": partial(peer, image, mask_trimap),
            }
            n_unknown = np.count_nonzero(mask_trimap == 0.5)
            best = {name: 1000 * min(timeit.repeat(call, number=1, repeat=repeats)) for name, call in calls.items()}
            times.append(best | {"unknown_pixels": n_unknown})
        cv2.setNumThreads(threads)
    medians = pd.DataFrame(times).median().to_dict()
    totals = {"total": "trimap", "recist_total": "recist_trimap"}
    return medians | {name: medians[first] + medians["matting"] for name, first in totals.items()}


def ceiling_cells(places: Collection[tuple[str, str]], fitted: Fitted, config: Config) -> list[Cell]:
    """Return the mean Dice of each row's soft label with the truth, binarised at 0.5 and at its best threshold."""
    table = []
    specs = {dataset: fitted[row, dataset][0].spec for row, dataset in places}  # all of the same images
    data_by_dataset = {dataset: data_of(spec, config) for dataset, spec in specs.items()}
    for row, dataset in places:
        run, data = fitted[row, dataset][0], data_by_dataset[dataset]
        if data is None or run.spec.label not in SOFT_LABELS:
            continue
        soft_label, truth = data.test.soft[run.spec.label][:, 0], data.test.masks[:, 0] > 0
        cuts = (0.5, *(round(0.05 * i, 2) for i in range(1, 20)))
        dice_by_cut = {cut: segmentation.dice(soft_label >= cut, truth) for cut in cuts}
        best_cut = max(dice_by_cut, key=lambda cut: dice_by_cut[cut].mean())
        values = {"ceiling": dice_by_cut[0.5], "ceiling_best": dice_by_cut[best_cut]}
        cells = image_cells(row, dataset, values, kind_of(run))
        note = f"best threshold on {display('datasets', dataset)} {best_cut:g}"
        table += [cells[0], replace(cells[1], note=note)]
    return table
