"""Preparation of the data: arrays of crops of one size with all labels, divided into parts.

Whole images are labelled as they are stored; then image and labels are cropped together (:mod:`softmask.data.splits`).
Soft masks that come with a data set are used unchanged. Slices for lung segmentation have no soft label. The arrays are
cached. A run depends only on :attr:`Prepared.digest`, not on the labels' last digits, which depend on the solver.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmask.cache import cached_arrays, code_digest
from softmask.config import Config
from softmask.errors import DataError, LabelError
from softmask.files import sha256_of
from softmask.label.soft_labels import FROM_MASK, GEODESIC, READERS_MEAN
from softmask.measure.images import DOCTORS

if TYPE_CHECKING:
    from softmask.data.sample import Dataset, Sample
    from softmask.experiments.spec import RunSpec

_LOG = logging.getLogger(__name__)

SOFT_LABELS = ("soft_mask", *FROM_MASK, GEODESIC, READERS_MEAN)
PARTS = ("train", "validation", "test")
NOT_MASKS = {"alpha", "native_image"}
"""References that are not binary masks."""

STORED = (512, 512)
"""Rows and columns of a slice of chest CT."""


@dataclass(frozen=True, eq=False)
class Part:
    """Training, validation or test part: N images of S x S pixels. N is 0 if an experiment has no such part.

    Attributes:
        ids: :attr:`~softmask.data.sample.Sample.id` of each image, with the crop's number if there are several crops.
        groups: patient of each image (section, in ISBI 2012); images of one patient are not independent.
        images: (N, 1, S, S) float32 in [0, 1].
        masks: (N, 1, S, S) float32 of 0 and 1, the truth: the readers' 50 % consensus (one reader's mask in ISBI 2012
            and PROMISE12); in ``lnsm`` the soft mask from the RECIST mark, binarised at 0.5, as in the papers.
        soft: soft labels by name in :data:`SOFT_LABELS`, (N, 1, S, S) float32 in [0, 1]; the readers' mean only if all
            images have readers; only the soft mask in super-resolution, and no soft label for lungs.
        references: further references for a prediction, by name, (N, 1, S, S) float32: ``alpha``, the true lesion
            fraction (embedded data); ``consensus``, the readers' 50 % consensus if ``masks`` are not made from it;
            ``doctor1`` to ``doctor4``, the readers' masks (``lidc-500``). For lungs, at the size :data:`STORED`:
            ``native``, the lung mask, and ``nodules``, both bool; ``native_image``, uint8, 255 for 1.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    images: np.ndarray
    masks: np.ndarray
    soft: Mapping[str, np.ndarray] = field(default_factory=dict)
    references: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Prepared:
    """One data set, ready for training.

    Attributes:
        left_out: id of each image that could not be used, and the reason.
        digest: hex digest of the data behind a result: the parts, the images in 8 bits with masks and reference masks
            (only the names of the images for data simulated on opening, which the annotation database and the code
            determine; on ``lnsm`` without masks, which the labelling makes), soft masks that come with the data set,
            and :data:`softmask.label.SETTINGS`. Without RECIST marks, and readers that are not references: if these
            are corrected, :data:`softmask.experiments.spec.NUMERICS` must be raised.
    """

    name: str
    source: str
    origin: str
    digest: str
    train: Part
    validation: Part
    test: Part
    left_out: tuple[tuple[str, str], ...] = ()


def prepare(spec: RunSpec, config: Config) -> Prepared:
    """Return the data for ``spec``, as determined by ``dataset``, ``source``, ``size``, ``n_train`` and ``upscales``.

    The training part has at most ``n_train`` images, the other two at most twice as many, to keep small profiles small.

    Raises:
        MissingData: if real data is not there; the message says where to get it.
        DataError: if a part has no usable image.
        ConfigError: for an unknown data set, or a ``size`` larger than the stored pixels of a crop.
    """
    from softmask.data.splits import PAPER_SIZES

    dataset = _open(spec, config)
    arrays = _cached(spec, dataset)
    left_out = tuple((str(where), str(why)) for where, why in arrays.pop("left_out"))
    parts = {}
    for part in PARTS:
        if part not in PAPER_SIZES[spec.dataset]:
            empty = np.zeros((0, 1, spec.size, spec.size), np.float32)
            parts[part] = Part((), (), empty, empty)
            continue
        fields = {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}
        if not len(fields["id"]):
            why = f"; {len(left_out)} left out, the first: {left_out[0][1]}" if left_out else ""
            raise DataError(f"{spec.dataset}: no usable image is left for the {part} part ({dataset.origin}){why}")
        references = {}
        for name, array in fields.items():
            if name.startswith("reference/"):
                is_stored_size = array.shape[-2:] == STORED
                references[name.removeprefix("reference/")] = array if is_stored_size else array.astype(np.float32)
        parts[part] = Part(
            ids=tuple(map(str, fields["id"])),
            groups=tuple(map(str, fields["group"])),
            images=fields["image"],
            masks=fields["mask"].astype(np.float32),
            soft={name: fields[f"soft/{name}"] for name in SOFT_LABELS if f"soft/{name}" in fields},
            references=references,
        )
    return Prepared(spec.dataset, spec.source, dataset.origin, _digest(spec, parts), **parts, left_out=left_out)


def digest_of(spec: RunSpec, config: Config) -> str:
    """Return the :attr:`Prepared.digest` of the data for ``spec``, from the cache if it is there."""

    def build() -> dict[str, np.ndarray]:
        return {"digest": np.array(prepare(spec, config).digest)}

    key = _key(spec, _open(spec, config))
    return str(cached_arrays(f"digest-{spec.dataset}-{spec.source}", key, build)["digest"])


def _open(spec: RunSpec, config: Config) -> Dataset:
    from softmask.data import open_dataset
    from softmask.data.splits import dataset_name

    return open_dataset(dataset_name(spec.dataset), replace(config, data=spec.source))


def _key(spec: RunSpec, dataset: Dataset) -> str:
    """Return the hex digest of data, code and settings that the arrays come from."""
    code = sha256_of(code_digest("data", "label"), Path(__file__))
    settings = spec.size, spec.n_train, spec.upscales
    return sha256_of(dataset.fingerprint, code, spec.dataset, dataset.source, repr(settings))


def _digest(spec: RunSpec, parts: Mapping[str, Part]) -> str:
    """Return :attr:`Prepared.digest`."""
    from softmask.data.soft_lidc import NAME
    from softmask.label import SETTINGS

    content: list[str | bytes] = [repr((spec.dataset, spec.source, spec.size, SETTINGS))]
    for name, part in parts.items():
        content.append(repr((name, part.ids, part.groups)))
        if spec.dataset == NAME:
            content.append(np.rint(65535 * part.soft["soft_mask"]).astype(np.uint16).tobytes())
        if spec.source == "real" or spec.dataset == NAME:
            content.append(np.rint(255 * part.images).astype(np.uint8).tobytes())
            if spec.dataset != "lnsm":  # its masks come from the labelling
                content.append(np.packbits(part.masks > 0).tobytes())
            for reference in sorted(set(part.references) - NOT_MASKS):
                content += [reference, np.packbits(part.references[reference] > 0).tobytes()]
    return sha256_of(*content)


def _cached(spec: RunSpec, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the arrays of all parts, named ``part/array``, and the images left out; from the cache if possible."""
    from softmask.data.splits import FOLDS

    make = _fold if spec.dataset in FOLDS else _arrays
    return cached_arrays(f"prepared-{spec.dataset}-{spec.source}", _key(spec, dataset), lambda: make(spec, dataset))


def _fold(spec: RunSpec, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the arrays of one of DSNet's folds: those of ``lidc``, divided differently, without labelling again."""
    from softmask.data.splits import split_rows

    lidc_arrays = _cached(replace(spec, dataset="lidc"), dataset)
    names = [name.removeprefix("test/") for name in lidc_arrays if name.startswith("test/")]
    names = [name for name in names if all(f"{part}/{name}" in lidc_arrays for part in PARTS)]
    joined = {name: np.concatenate([lidc_arrays[f"{part}/{name}"] for part in PARTS]) for name in names}
    index_by_id = {str(name): index for index, name in enumerate(joined["id"])}
    arrays = {"left_out": lidc_arrays["left_out"]}
    for part, rows in split_rows(spec.dataset, dataset).items():
        indices = [index_by_id[name] for name in map(dataset.name_of, rows) if name in index_by_id]
        arrays |= {f"{part}/{name}": array[indices[: _cap(spec, part)]] for name, array in joined.items()}
    return arrays


def _cap(spec: RunSpec, part: str) -> int | None:
    """Return the maximum number of images of a part; None for all images."""
    return None if spec.n_train is None else spec.n_train * (1 if part == "train" else 2)


def _arrays(spec: RunSpec, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the arrays of all parts, with labels."""
    from softmask.data.splits import CROPS, LUNGS, SCANS, scan_rows, split_rows
    from softmask.parallel import map_samples

    n_problems = len(dataset.problems)
    arrays: dict[str, np.ndarray] = {}
    of_scans = spec.dataset in SCANS  # their cap also limits the slices of a scan
    parts = scan_rows(spec.dataset, dataset, spec.n_train) if of_scans else split_rows(spec.dataset, dataset)
    for part, rows in parts.items():
        cap = None if of_scans else _cap(spec, part)
        if cap is not None:
            rows = rows[: math.ceil(cap / CROPS.get(spec.dataset, 1))]
        work = Labels(spec.dataset, spec.size, rivals=not spec.upscales)
        if spec.dataset in LUNGS:
            work = Lungs(spec.dataset, spec.size, stored=part == "test")
        records = map_samples(work, dataset, rows, title=f"{spec.dataset} {part}")[:cap]
        # keep only the references and labels that all images have (some may have no readers, for example)
        names = records[0] if records else ("id", "group")
        names = [name for name in names if all(name in record for record in records)]
        arrays |= {f"{part}/{name}": np.array([record[name] for record in records]) for name in names}
    problems = [(problem.where, problem.why) for problem in dataset.problems[n_problems:]]
    if problems:
        _LOG.warning("%s: images left out: %d; the first: %s", spec.dataset, len(problems), problems[0][1])
    arrays["left_out"] = np.array(problems, dtype=str).reshape(-1, 2)
    return arrays


@dataclass(frozen=True)
class Labels:
    """Callable that labels one sample and returns the arrays of its crops for a :class:`Part`. ``rivals``: whether to
    add the soft labels other than the soft mask."""

    dataset: str
    size: int
    rivals: bool = True

    def __call__(self, sample: Sample) -> list[dict]:
        """Return one record for each crop. Raises LabelError if there is no soft mask, or no lesion in a crop."""
        from softmask import label
        from softmask.data.splits import crops
        from softmask.label import consensus, soft_labels

        boxes = crops(self.dataset, sample, self.size)
        if self.dataset == "lnsm":
            labelled = label.label_sample(sample, "recist")
            alpha, mask = labelled.alpha, labelled.binary
        else:
            alpha = sample.soft["readers"] if "readers" in sample.soft else label.label_sample(sample, "readers").alpha
            mask = consensus.fifty_percent(sample.masks)
        record = {"image": sample.image, "mask": mask, "soft/soft_mask": alpha}
        if self.rivals:
            record |= {f"soft/{name}": soften(mask) for name, soften in FROM_MASK.items()}
            record[f"soft/{GEODESIC}"] = soft_labels.geodesic(mask, sample.image)
            if sample.present.any():
                record[f"soft/{READERS_MEAN}"] = soft_labels.readers_mean(sample.masks)
        if sample.alpha is not None:
            record["reference/alpha"] = sample.alpha
        if self.dataset == "lnsm" and sample.present.any():
            record["reference/consensus"] = consensus.fifty_percent(sample.masks)
        if self.dataset == "lidc-500":
            record |= {f"reference/{name}": mask for name, mask in zip(DOCTORS, sample.readers, strict=True)}
        cropped = [{name: box.of(array, self.size)[None] for name, array in record.items()} for box in boxes]
        if not all(crop["mask"].any() for crop in cropped):
            raise LabelError(f"{sample.id}: the {self.size} x {self.size} pixels of its crop hold no lesion")
        ids = [sample.id] if len(cropped) == 1 else [f"{sample.id}/{number}" for number in range(len(cropped))]
        return [{"id": name, "group": sample.patient, **crop} for name, crop in zip(ids, cropped, strict=True)]


@dataclass(frozen=True)
class Lungs:
    """Callable that returns the arrays of a slice for a :class:`Part`. ``stored``: whether to add the references."""

    dataset: str
    size: int
    stored: bool

    def __call__(self, sample: Sample) -> list[dict]:
        """Return one record. Raises DataError if the size of the slice is not :data:`STORED`."""
        from softmask.data.image_files import window_hu
        from softmask.data.splits import crops
        from softmask.nets.morph import without_surroundings

        if sample.image.shape != STORED:
            raise DataError(f"{sample.id}: a slice of {sample.image.shape}, not of {STORED}, pixels")
        (box,) = crops(self.dataset, sample, self.size)
        image = sample.image
        if self.dataset == "lung-ct-body":
            image = window_hu(without_surroundings(sample.hu, sample.spacing))
        mask = 2 * sample.masks.sum(axis=0) >= len(sample.masks)  # may be empty, unlike masks to label
        record = {"image": box.of(image, self.size), "mask": box.of(mask, self.size)}
        if self.stored:
            nodules = np.zeros(STORED, bool) if sample.nodules is None else sample.nodules
            native_image = np.rint(255 * image).astype(np.uint8)
            record |= {"reference/native": mask, "reference/nodules": nodules, "reference/native_image": native_image}
        return [{"id": sample.id, "group": sample.patient, **{name: array[None] for name, array in record.items()}}]
