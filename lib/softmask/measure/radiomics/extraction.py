"""Radiomics features of many regions of interest: in parallel, kept by content, what cannot be used left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from softmask.cache import cached_arrays, code_digest
from softmask.errors import DataError
from softmask.files import sha256_of
from softmask.machine import package_version
from softmask.measure.radiomics.features import FEATURES, Bins, bounding_box, feature_values
from softmask.measure.radiomics.validation import checked_values
from softmask.parallel import map_items

_FEW = 64  # regions that are done before a second process has started


@dataclass(frozen=True, eq=False)
class Features:
    """What :func:`extract` found.

    Attributes:
        table: one row for each region that has features, by its position in what was given, with the columns
            :data:`~softmask.measure.radiomics.FEATURES`, all finite.
        left_out: ``position``, ``name`` and ``reason`` of every other region, in order.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame


def extract(
    images: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    *,
    bins: Bins,
    names: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> Features:
    """The 93 features of one region of interest in each image: texture in 2D, neighbours at distance 1, spacing 1.

    Without spacing ``firstorder_TotalEnergy`` equals ``firstorder_Energy``. Regions are left out, with the reason,
    where :func:`softmask.measure.radiomics.validation.checked_values` says so (empty, too small, constant, NaN, sizes
    that differ), or where a feature is not finite. The same regions with the same bins are extracted once and then
    taken from the cache.

    Args:
        images: N of (H, W), of any number type and of any sizes.
        masks: N of (H, W) bool, the regions.
        bins: :class:`BinCount` for images that are not in HU, :class:`BinWidth` for HU.
        names: N, for what is left out; default the position.
        jobs: processes; default all cores.
        progress: whether to show a bar.

    Raises:
        DataError: when the numbers of images, masks and names differ.
    """
    images, masks = list(images), list(masks)
    names = [str(i) for i in range(len(images))] if names is None else list(names)
    if not len(images) == len(masks) == len(names):
        raise DataError(f"{len(images)} images, {len(masks)} masks, {len(names)} names: as many of each are needed")
    regions: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    reasons: dict[int, str] = {}
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        try:
            regions[i] = _cut_out(image, mask, bins)
        except DataError as error:
            reasons[i] = str(error)

    def build() -> dict[str, np.ndarray]:
        found = map_items(
            partial(_values, bins=bins),
            list(regions.values()),
            title="radiomics",
            unit="region",
            jobs=jobs if len(regions) > _FEW else 1,
            show=progress,
        )
        values = np.array([row for row, _ in found], float).reshape(len(found), len(FEATURES))
        return {"values": values, "reasons": np.array([why for _, why in found], dtype=str)}

    stored = cached_arrays("radiomics", _key(regions.values(), bins), build)
    reasons |= {i: str(why) for i, why in zip(regions, stored["reasons"], strict=True) if why}
    table = pd.DataFrame(stored["values"], index=pd.Index(list(regions), dtype=int), columns=list(FEATURES))
    return Features(
        table.loc[[i for i in regions if i not in reasons]],
        pd.DataFrame([(i, names[i], reasons[i]) for i in sorted(reasons)], columns=["position", "name", "reason"]),
    )


def _cut_out(image: np.ndarray, mask: np.ndarray, bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    """The region in its bounding box, (h, w) float and (h, w) bool: all that the features depend on."""
    values = checked_values(image, mask, bins)
    inside = np.asarray(mask)[bounding_box(mask)]
    cut = np.zeros(inside.shape)
    cut[inside] = values
    return cut, inside


def _values(region: tuple[np.ndarray, np.ndarray], *, bins: Bins) -> tuple[list[float], str]:
    """The features of one region, in order, and if they cannot be used, why."""
    image, mask = region
    try:
        values = feature_values(image[None], mask[None], {**bins.settings, "force2D": True})
    except DataError as error:
        return [np.nan] * len(FEATURES), str(error)
    undefined = [name for name, value in values.items() if not np.isfinite(value)]
    why = f"not defined in this region of {mask.sum()} pixels: {', '.join(undefined)}" if undefined else ""
    return list(values.values()), why


def _key(regions: Iterable[tuple[np.ndarray, np.ndarray]], bins: Bins) -> str:
    content = [part for image, mask in regions for part in (str(mask.shape), image.tobytes(), mask.tobytes())]
    versions = [f"{name} {package_version(name)}" for name in ("pyradiomics", "numpy")]
    return sha256_of(code_digest("measure/radiomics"), *versions, repr(bins), *content)
