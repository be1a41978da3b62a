"""Smooth and burr nodules of LNSM and LIDC, and the radiomics features of the regions of their masks.

CasGAN, section 4.3 (2): 93 features inside the binary mask or the soft mask. The soft masks are labels. On LIDC, both
masks are made from all readers; on LNSM, from the RECIST mark: the binary mask is the soft mask binarised at 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from softmask import data as datasets
from softmask import label
from softmask.config import Config
from softmask.data import selection
from softmask.data.annotations import load as load_annotations
from softmask.data.sample import WORDS, Dataset, Problem, Sample, data_kind
from softmask.errors import DataError
from softmask.label import consensus
from softmask.measure import radiomics
from softmask.measure.radiomics import BinCount, BinWidth, Regions
from softmask.papers import display
from softmask.parallel import map_samples

PAPER_NODULES: Mapping[str, int] = {"lnsm": 200, "lidc": 60}
"""Nodules of each data set in CasGAN's table 5, half of them smooth."""

STRATEGIES: Mapping[str, str] = {"lnsm": "recist", "lidc": "readers"}
"""Labelling strategy for the soft masks of each data set (:func:`softmask.label.label_sample`)."""

SMOOTH, BURR = "smooth", "burr"
SMOOTH_MOST, SMOOTH_MARGIN, BURR_LEAST = 1.5, 4.0, 2.5
"""Thresholds of :func:`class_of`: LIDC's ratings of spiculation and lobulation go from 1 (none) to 5 (marked), those of
the margin from 1 (poorly defined) to 5 (sharp)."""

RATED = ["spiculation", "lobulation", "margin"]
WHOLE = ("binary_roi", "soft_roi", "dilated_roi")
"""Regions that every nodule used has: inside each mask, and the binary mask dilated to the soft region's area."""

FIRST_ORDER = ("first_order_binary", "first_order_soft", "first_order_weighted")
"""Sets of only the 18 first-order features: inside each mask, and of all pixels weighted by alpha."""

FEATURE_SETS = (*WHOLE, "band_roi", "all_rois", *FIRST_ORDER, "area")
"""Inputs of the classifiers. ``band_roi``: between the two masks; ``all_rois``: binary, soft and band together;
``area``: only the binary mask's area."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """Nodule on its slice: ``values`` (H, W) in HU or in [0, 1], ``alpha`` in [0, 1], ``binary`` bool."""

    id: str
    patient: str
    values: np.ndarray = field(repr=False)
    alpha: np.ndarray = field(repr=False)
    binary: np.ndarray = field(repr=False)

    @cached_property
    def regions(self) -> Regions:
        return radiomics.regions(self.alpha, self.binary)

    @property
    def dilated(self) -> np.ndarray:
        """(H, W) bool, the binary mask dilated to the area of the soft mask's region."""
        return radiomics.dilated_to(self.binary, int(self.regions.soft.sum()))


@dataclass(frozen=True, eq=False)
class Nodules:
    """Nodules of a data set with their class and features.

    Attributes:
        burr: (N,) bool; the other nodules are smooth.
        features: by name of :data:`FEATURE_SETS`, (N, F) with named columns; NaN where a nodule's band is too small.
        pixels: (N, 3) number of pixels in each of :class:`~softmask.measure.radiomics.Regions`.
        left_out: nodules without features in one of :data:`WHOLE`, or without a soft mask, and why.
    """

    name: str
    source: str
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    burr: np.ndarray
    features: Mapping[str, pd.DataFrame] = field(repr=False)
    pixels: pd.DataFrame = field(repr=False)
    left_out: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, chosen: Sequence[int]) -> Nodules:
        """Return the nodules with the numbers ``chosen``, in this order."""
        return replace(
            self,
            ids=tuple(self.ids[i] for i in chosen),
            patients=tuple(self.patients[i] for i in chosen),
            burr=self.burr[list(chosen)],
            features={name: table.iloc[list(chosen)] for name, table in self.features.items()},
            pixels=self.pixels.iloc[list(chosen)],
        )

    def balanced(self, count: int) -> Nodules:
        """Return the first smooth and burr nodules, equally many of each, ``count`` at most in total."""
        class_size = min(count // 2, int(self.burr.sum()), int((~self.burr).sum()))
        indices = [np.flatnonzero(self.burr == burr)[:class_size] for burr in (True, False)]
        return self.rows(np.sort(np.concatenate(indices)))

    def having(self, features: str) -> Nodules:
        """Return the nodules that have these features."""
        return self.rows(np.flatnonzero(self.features[features].notna().all(axis=1).to_numpy()))


def open_sets(config: Config) -> dict[str, Dataset]:
    """Return ``lnsm`` and ``lidc``; DeepLesion, which has no ratings, is replaced by patients of LIDC."""
    opened = {name: datasets.open_dataset(name, config) for name in PAPER_NODULES}
    if not opened["lnsm"].index["n_readers"].any():
        opened["lnsm"] = opened["lidc"]
    return opened


def class_of(spiculation: float, lobulation: float, margin: float) -> str:
    """Return ``smooth``, ``burr`` or an empty string, from the means of the readers' ratings."""
    if max(spiculation, lobulation) <= SMOOTH_MOST and margin >= SMOOTH_MARGIN:
        return SMOOTH
    return BURR if max(spiculation, lobulation) >= BURR_LEAST else ""


def rated(name: str, dataset: Dataset) -> pd.DataFrame:
    """Return row, class and mean ratings of each nodule; raise DataError if none is rated."""
    rows = selection.lnsm_rows(dataset.index) if name == "lnsm" else selection.lidc_rows(dataset.index, None)
    index = dataset.index.iloc[rows].assign(row=rows).drop_duplicates(["patient", "nodule"])
    table = index[["row", "patient", "nodule"]].reset_index(drop=True)
    database = load_annotations()
    nodules = [database.find(*key) for key in table[["patient", "nodule"]].itertuples(index=False, name=None)]
    for rating in RATED:
        table[rating] = [
            np.nan if nodule is None else np.mean([reader.ratings[rating] for reader in nodule.readers])
            for nodule in nodules
        ]
    if table[RATED[0]].isna().all():
        raise DataError(f"{dataset.origin}: no nodule in it was rated; smooth and burr need LIDC's readers")
    table["class"] = [class_of(*ratings) for ratings in table[RATED].itertuples(index=False, name=None)]
    return table


def class_counts(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the number of nodules of each class, for each data set."""
    counts = {}
    for name, table in tables.items():
        kinds = table["class"].replace("", "between").mask(table[RATED[0]].isna(), "not rated")
        counts[display("datasets", name)] = kinds.value_counts()
    return pd.DataFrame(counts).reindex([SMOOTH, BURR, "between", "not rated"]).fillna(0).astype(int)


def lesion_of(sample: Sample, strategy: str) -> Lesion:
    """Return the sample's soft and binary mask, or raise LabelError or DataError."""
    labelled = label.label_sample(sample, strategy)
    binary = labelled.binary if strategy == "recist" else consensus.fifty_percent(sample.masks)
    if not binary.any():
        raise DataError(f"{sample.id}: no pixel is in the binary mask")
    return Lesion(sample.id, sample.patient, sample.image if sample.hu is None else sample.hu, labelled.alpha, binary)


def bins_of(dataset: Dataset, row: int) -> BinCount | BinWidth:
    """Return bins of 25 HU for calibrated images, else 32 bins between a region's minimum and maximum."""
    return BinCount() if dataset[row].hu is None else BinWidth()


def nodules_of(name: str, dataset: Dataset, cap: int | None = None) -> Nodules:
    """Return at most ``cap`` nodules with their features; raise DataError if there is none."""
    table = rated(name, dataset)
    table = table[table["class"] != ""]
    if cap is not None:
        table = table.groupby("class").head(cap // 2)
    n_earlier = len(dataset.problems)
    strategy = STRATEGIES[name]
    lesions = map_samples(
        lambda sample: [lesion_of(sample, strategy)], dataset, table["row"], title=f"soft masks of {name}"
    )
    if not lesions:
        raise DataError(f"{name}: no soft mask could be made of any of {len(table)} nodules")
    features, missing = features_of(lesions, bins_of(dataset, int(table["row"].iloc[0])))
    problems = [*dataset.problems[n_earlier:], *(Problem(lesions[i].id, why) for i, why in sorted(missing.items()))]
    if len(missing) == len(lesions):
        raise DataError(f"{name}: no nodule has features, the first because {problems[0].why}")
    kinds = {dataset.name_of(row): kind for row, kind in table[["row", "class"]].itertuples(index=False, name=None)}
    nodules = Nodules(
        name=name,
        source=data_kind(dataset.name, dataset.source, dataset.origin),
        ids=tuple(lesion.id for lesion in lesions),
        patients=tuple(lesion.patient for lesion in lesions),
        burr=np.array([kinds[lesion.id] == BURR for lesion in lesions]),
        features=features,
        pixels=pd.DataFrame([[mask.sum() for mask in lesion.regions] for lesion in lesions], columns=Regions._fields),
        left_out=tuple(problems),
    )
    return nodules.rows([i for i in range(len(lesions)) if i not in missing])


def features_of(lesions: Sequence[Lesion], bins: BinCount | BinWidth) -> tuple[dict[str, pd.DataFrame], dict[int, str]]:
    """Return the tables of :data:`FEATURE_SETS`, and the reason for each lesion without features."""
    masks = {
        "binary_roi": [lesion.regions.binary for lesion in lesions],
        "soft_roi": [lesion.regions.soft for lesion in lesions],
        "dilated_roi": [lesion.dilated for lesion in lesions],
        "band_roi": [lesion.regions.band for lesion in lesions],
    }
    n, values = len(lesions), [lesion.values for lesion in lesions]
    tables: dict[str, pd.DataFrame] = {}
    missing: dict[int, str] = {}
    for region, region_masks in masks.items():
        features, reasons = radiomics.extract(values, region_masks, bins)
        tables[region] = features.reindex(range(n))
        for i, reason in reasons.items():
            if region in WHOLE:
                missing.setdefault(i, f"{display('rows', region)}: {reason}")
    first_order_columns = [column for column in tables["binary_roi"] if column.startswith("firstorder_")]
    weighted_features = {}
    for i, lesion in enumerate(lesions):
        if i not in missing:
            try:
                alpha = np.where(lesion.regions.soft, lesion.alpha, 0)
                weighted_features[i] = radiomics.soft_first_order(lesion.values, alpha, bins=bins)
            except DataError as error:
                missing[i] = f"weighted by alpha: {error}"
    roi_tables = [tables[region].add_prefix(f"{region}_") for region in ("binary_roi", "soft_roi", "band_roi")]
    tables["all_rois"] = pd.concat(roi_tables, axis=1)
    tables["first_order_binary"] = tables["binary_roi"][first_order_columns]
    tables["first_order_soft"] = tables["soft_roi"][first_order_columns]
    frame = pd.DataFrame.from_dict(weighted_features, orient="index", columns=first_order_columns)
    tables["first_order_weighted"] = frame.reindex(range(n))
    tables["area"] = pd.DataFrame({"area": [np.count_nonzero(lesion.binary) for lesion in lesions]}, dtype=float)
    return tables, missing


def described(nodules: Nodules) -> str:
    """Return data set, nodules, patients and burr nodules for a caption."""
    n_patients, n_burr, description = len(set(nodules.patients)), int(nodules.burr.sum()), WORDS[nodules.source]
    return f"{nodules.name} ({description}): {len(nodules)} nodules of {n_patients} patients, {n_burr} of them burr"


def overview(sets: Mapping[str, Nodules]) -> pd.DataFrame:
    """Return nodules, patients and median pixels of each region, by data set and class."""
    lines = {}
    for name, nodules in sets.items():
        for kind, in_class in ((SMOOTH, ~nodules.burr), (BURR, nodules.burr)):
            pixels = nodules.pixels[in_class].median().rename(lambda region: f"{region}, pixels")
            counts = {"nodules": int(in_class.sum()), "patients": len(set(np.array(nodules.patients)[in_class]))}
            lines[display("datasets", name), kind] = counts | dict(pixels)
    return pd.DataFrame.from_dict(lines, orient="index")
