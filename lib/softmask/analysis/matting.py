"""Matting compared: other algorithms, other settings, and the time one label takes.

All of it from the same trimap (strategy 1 of the papers, one reader's mask), so that only the matting differs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from softmask.analysis.labelling import first_mask
from softmask.data.sample import Sample
from softmask.label import consensus, recist, trimap
from softmask.label.matting import closed_form_alpha
from softmask.machine import cpu_model
from softmask.measure import segmentation, soft

EPSILONS = (1e-9, 1e-7, 1e-5, 1e-3, 1e-2)
WINDOW_RADII = (1, 2)
RADII = (1, 2, 3, 5, 8)

PAPER_MILLISECONDS = {"trimap": 5.0, "matting": 15.0}
"""What the papers state for one 256 x 256 image (CasGAN section 3.1, DSNet section III-A)."""


def algorithms() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Matting algorithms by name, each ``(image (H, W), trimap (H, W)) -> alpha (H, W)``.

    ``closed_form`` is this package's; the others are pymatting's, on the grey image as three equal channels.
    """
    import pymatting

    def on_colour(estimate: Callable, image: np.ndarray, known: np.ndarray) -> np.ndarray:
        colour = np.repeat(np.asarray(image, dtype=np.float64)[..., None], 3, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):  # pymatting's solver divides 0 by 0 once it is exact
            return estimate(colour, np.asarray(known, dtype=np.float64))

    others = {
        "pymatting_closed_form": pymatting.estimate_alpha_cf,
        "pymatting_knn": pymatting.estimate_alpha_knn,
        "pymatting_learning_based": pymatting.estimate_alpha_lbdm,
        "pymatting_large_kernel": pymatting.estimate_alpha_lkm,
        "pymatting_random_walk": pymatting.estimate_alpha_rw,
    }
    return {"closed_form": closed_form_alpha} | {
        name: partial(on_colour, estimate) for name, estimate in others.items()
    }


def _score(sample: Sample, alpha: np.ndarray, **names: object) -> dict:
    """Agreement of ``alpha`` with the truth where it is known, and with the consensus of the readers."""
    record = {"sample": sample.id, "patient": sample.patient, **names}
    record["dice_consensus"] = float(segmentation.dice(alpha >= 0.5, consensus.fifty_percent(sample.masks)))
    if sample.alpha is not None:
        record["mae_band"] = float(soft.mae(alpha, sample.alpha, soft.edge_band(sample.alpha)))
    return record


def compare_algorithms(sample: Sample) -> list[dict]:
    """One record per algorithm of :func:`algorithms`, and one for the binary mask itself.

    ``converged`` is 0, and the measures are NaN, where pymatting's iterative solver gives up.
    """
    mask = first_mask(sample)
    known = trimap.from_mask(mask)
    records = [_score(sample, mask.astype(float), algorithm="binary_mask", converged=1.0)]
    for name, estimate in algorithms().items():
        try:
            alpha = np.clip(estimate(sample.image, known), 0, 1)
        except ValueError as error:
            if "did not converge" not in str(error):
                raise
            records.append({"sample": sample.id, "patient": sample.patient, "algorithm": name, "converged": 0.0})
        else:
            records.append(_score(sample, alpha, algorithm=name, converged=1.0))
    return records


def compare_settings(sample: Sample) -> list[dict]:
    """One record per regularisation, matting window and trimap radius; ``automatic`` is the package's own trimap."""
    mask = first_mask(sample)
    known = trimap.from_mask(mask)
    records = [
        _score(sample, closed_form_alpha(sample.image, known, epsilon=value), setting="epsilon", value=f"{value:g}")
        for value in EPSILONS
    ]
    records += [
        _score(sample, closed_form_alpha(sample.image, known, radius=value), setting="window_radius", value=str(value))
        for value in WINDOW_RADII
    ]
    for value in (None, *RADII):
        alpha = closed_form_alpha(sample.image, trimap.from_mask(mask, radius=value))
        records.append(
            _score(sample, alpha, setting="trimap_radius", value="automatic" if value is None else str(value))
        )
    return records


def measured(milliseconds: Mapping[str, float]) -> str:
    """What was measured for the papers' claim about the time of labelling, in words.

    Args:
        milliseconds: of :func:`time_labelling`.
    """
    parts = [
        f"{name} {milliseconds[name]:.0f} ms (printed {printed:g})" for name, printed in PAPER_MILLISECONDS.items()
    ]
    return f"On one core of {cpu_model()}: {', '.join(parts)}"


def time_labelling(samples: Sequence[Sample], size: int = 256, repeats: int = 5) -> dict[str, float]:
    """Milliseconds for one ``size`` x ``size`` image on one core: medians over samples of the best of ``repeats``.

    Images and masks are enlarged to ``size`` first. Keys: ``trimap`` (from a mask), ``recist_trimap`` (from a RECIST
    mark, GrabCut included), ``matting``, ``total`` (trimap from a mask, and matting) and, in the same run on the same
    trimaps, ``pymatting`` (its closed form); and ``unknown_pixels``, the median size of the band, with which the time
    grows.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    def best(call: Callable[[], object]) -> float:
        seconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return 1000 * min(seconds)

    peer = algorithms()["pymatting_closed_form"]
    times: dict[str, list[float]] = {"trimap": [], "recist_trimap": [], "matting": [], "pymatting": []}
    unknown: list[int] = []
    threads = cv2.getNumThreads()
    with threadpool_limits(1):
        cv2.setNumThreads(1)
        for sample in samples:
            image = cv2.resize(sample.image, (size, size), interpolation=cv2.INTER_LINEAR)
            mask = cv2.resize(first_mask(sample).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST) > 0
            known = trimap.from_mask(mask)
            axes = recist.axes_from_mask(mask)
            times["trimap"].append(best(partial(trimap.from_mask, mask)))
            times["recist_trimap"].append(best(partial(trimap.from_recist, image, axes)))
            times["matting"].append(best(partial(closed_form_alpha, image, known)))
            times["pymatting"].append(best(partial(peer, image, known)))
            unknown.append(np.count_nonzero(known == 0.5))
        cv2.setNumThreads(threads)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians | {"total": medians["trimap"] + medians["matting"], "unknown_pixels": statistics.median(unknown)}
