"""How near each way of labelling comes: to the known alpha (embedded data), to the readers (real data).

Every label is made from what one annotator has: the first present reader's mask, the RECIST mark measured on
it, or (strategy 2 of the papers) the masks of all readers. Nothing of the true alpha or of the other readers
enters a label that it is then compared with, except where the row's name says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from softmask import label
from softmask.config import BASE_SEED
from softmask.data.sample import Sample
from softmask.errors import ConfigError, LabelError
from softmask.label import consensus, recist, soft_labels, trimap
from softmask.label.grabcut import grabcut_mask
from softmask.measure import segmentation, soft, statistics
from softmask.measure.differences import Scores
from softmask.papers import display

PAIRS = (("mask_binary", "mask_soft"), ("readers_consensus", "readers_soft"), ("recist_grabcut", "recist_soft"))
"""Binary mask and soft mask of the papers' three strategies: the comparison behind their claim."""

ITERATIONS = 6
"""Of GrabCut, which CasGAN (section 3.1.2) says are twice as many as are needed where matting follows."""

LABELS = (
    "mask_binary",
    "mask_soft",
    "readers_consensus",
    "readers_mean",
    "readers_soft",
    "recist_ellipse",
    "recist_grabcut",
    "recist_soft",
    "recist_soft_free",
    "kats_dilation",
    "gros_interpolation",
    "softened",
)


def first_mask(sample: Sample) -> np.ndarray:
    """(H, W) bool: the first present reader's mask; LabelError where no reader is present."""
    if not sample.present.any():
        raise LabelError(f"{sample.id}: no reader is present, only a RECIST mark: there is no mask to start from")
    return sample.masks[0]


def labels_of(sample: Sample) -> dict[str, np.ndarray]:
    """Every label of :data:`LABELS` for one sample, each (H, W) float in [0, 1].

    Raises:
        LabelError: when the mark or mask allows no label (a one-pixel lesion has no RECIST axes, say), or there is no
            reader's mask.
    """
    masks = sample.masks
    mask = first_mask(sample)
    axes = recist.axes_from_mask(mask)
    from_mask = label.soft_mask(sample.image, mask=mask)
    from_readers = label.soft_mask(sample.image, readers=sample.readers, present=sample.present)
    from_recist = label.soft_mask(sample.image, recist=axes)
    return {
        "mask_binary": mask.astype(float),
        "mask_soft": from_mask.alpha,
        "readers_consensus": consensus.fifty_percent(masks).astype(float),
        "readers_mean": masks.mean(axis=0),
        "readers_soft": from_readers.alpha,
        "recist_ellipse": recist.ellipse_mask(axes, mask.shape).astype(float),
        "recist_grabcut": from_recist.mask.astype(float),
        "recist_soft": from_recist.alpha,
        "recist_soft_free": label.closed_form_alpha(sample.image, trimap.from_mask(from_recist.mask)),
        "kats_dilation": soft_labels.kats_dilation(mask),
        "gros_interpolation": soft_labels.gros_interpolation(mask),
        "softened": soft_labels.softened(mask, from_mask.alpha),
    }


def against_alpha(sample: Sample) -> list[dict]:
    """One record per label: its error against the true alpha of an embedded sample.

    ``mae_band`` and ``mse_band`` are taken inside :func:`softmask.measure.soft.edge_band`.

    Raises:
        ConfigError: where the true alpha is not known.
        LabelError: as :func:`labels_of`.
    """
    if sample.alpha is None:
        raise ConfigError(f"{sample.id}: real data has no true alpha; compare the labels with the readers instead")
    band = soft.edge_band(sample.alpha)
    truth = sample.alpha.astype(float)
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
    """One record per label: its agreement with the readers of a sample that several readers marked.

    ``dice_consensus`` is between the label binarised at 0.5 and the 50 % consensus of all present readers (the
    labelling reader among them, as in the papers), ``dice_others`` against the consensus of all but the first reader
    (which the ``readers_*`` labels have seen, and no other label), ``mae_mean`` the mean absolute difference from the
    mean of all readers' masks where some but not all of them marked the pixel (NaN where they agree everywhere).

    Raises:
        LabelError: as :func:`labels_of`, and with fewer than two readers.
    """
    labels = labels_of(sample)
    masks = sample.masks
    everyone = consensus.fifty_percent(masks)
    others = consensus.leave_one_out(masks)[0]
    mean = masks.mean(axis=0)
    disputed = (mean > 0) & (mean < 1)
    records = []
    for name, values in labels.items():
        binary = values >= 0.5
        records.append(
            {
                "sample": sample.id,
                "patient": sample.patient,
                "nodule": f"{sample.patient}/{sample.nodule}",
                "label": name,
                "dice_consensus": float(segmentation.dice(binary, everyone)),
                "dice_others": float(segmentation.dice(binary, others)),
                "mae_mean": float(soft.mae(values, mean, disputed)),
            }
        )
    return records


def halved(sample: Sample) -> list[dict]:
    """One record per label from a RECIST mark on the first reader's mask: GrabCut's mask after :data:`ITERATIONS` and
    after half of them, and the soft mask from the latter, binarised at 0.5; each with its Dice with the 50 % consensus.

    Raises:
        LabelError: as :func:`labels_of`.
    """
    axes = recist.axes_from_mask(first_mask(sample))
    everything, half = (grabcut_mask(sample.image, axes, n) for n in (ITERATIONS, ITERATIONS // 2))
    soft_half = label.closed_form_alpha(sample.image, trimap.from_mask_and_axes(half, axes)) >= 0.5
    consensus50 = consensus.fifty_percent(sample.masks)
    return [
        {
            "sample": sample.id,
            "patient": sample.patient,
            "label": name,
            "dice_consensus": float(segmentation.dice(mask, consensus50)),
        }
        for name, mask in (("grabcut_all", everything), ("grabcut_half", half), ("soft_half", soft_half))
    ]


def scores(records: pd.DataFrame, dataset: str, source: str, metric: str) -> dict[tuple[str, str, str], Scores]:
    """What :func:`softmask.analysis.claims.judge` compares, by (label, data set, metric); labels have no seeds.

    Args:
        records: of one label and sample each; every sample with every label.
    """
    made = {}
    for name, of in records.groupby("label", sort=False):
        names = (tuple(of["sample"]), tuple(of["patient"]))
        made[str(name), dataset, metric] = Scores(*names, of[metric].to_numpy()[None], source, fixed=True)
    return made


def compare(
    records: pd.DataFrame, metric: str, pairs: Sequence[tuple[str, str]], seed: int = BASE_SEED
) -> pd.DataFrame:
    """Paired tests between labels: for each (a, b) of ``pairs`` the mean of b - a over the samples, and how sure it is.

    Columns: the two labels' means, ``difference`` with its 95 % bootstrap interval ``low`` .. ``high`` over patients,
    the two-sided Wilcoxon signed-rank ``p`` over patients, also corrected for all lines of the table
    (:func:`softmask.measure.statistics.holm`), ``n`` samples, and ``b is``: ``lower``, ``higher``, or ``no clear
    difference`` where the interval holds 0. All of them over the samples on which both labels have a value.
    """
    wide = records.pivot(index=["sample", "patient"], columns="label", values=metric)
    rows = []
    for a, b in pairs:
        both = wide[[a, b]].dropna()
        patients = both.index.get_level_values("patient")
        test = statistics.paired_test(both[b].to_numpy(), both[a].to_numpy(), seed, patients)
        verdict = "lower" if test.high < 0 else "higher" if test.low > 0 else "no clear difference"
        rows.append(
            {
                "a": display("rows", a),
                "b": display("rows", b),
                "mean of a": both[a].mean(),
                "mean of b": both[b].mean(),
                "difference": test.mean_difference,
                "low": test.low,
                "high": test.high,
                "p": test.p,
                "n": test.n,
                "b is": verdict,
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(frame.columns.get_loc("p") + 1, "p (Holm)", statistics.holm(frame["p"]))
    return frame
