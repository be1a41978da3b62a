"""``softmask segment``: segmentation of images by a trained network; ``softmask lungs``: segmentation of the lungs in
whole scans, by a network slice by slice, or by threshold and morphology."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.util import montage as tiled
from tqdm import tqdm

from softmask.apply.batch import Row, Settings, items_of, work_through
from softmask.apply.images import Grey, list_slices, reading, remarks, stem_of
from softmask.apply.items import Item
from softmask.apply.lesions import segment_lesion, segment_whole
from softmask.apply.models import LIST, Model, fit_square, list_models, load, names
from softmask.apply.outputs import WRITER, check_outputs, need_ours, overlay, png, signed
from softmask.cache import code_digest
from softmask.config import Config
from softmask.data.ct import read_volume
from softmask.data.image_files import doubt_stack, doubt_units, window_hu
from softmask.data.sample import Problem
from softmask.data.volume_files import axes_of, compressed_bytes, image_of, name_of, open_reader
from softmask.errors import ConfigError, SoftmaskError, brief, doubt
from softmask.files import remove_parts, sha256_of, sole_writer, whole_path, write_atomic
from softmask.measure import segmentation
from softmask.nets import morph

BATCH_SIZE = 16
"""Number of slices of a scan per batch: only the slices of one batch are held in float32 at a time."""

TILES, COLUMNS, TILE = 12, 4, 384
"""Number of slices in the overlay of a scan, slices per row, and length of each slice's longer side in pixels."""

MORPH = "morph"
"""Name of the method by threshold and morphology (:func:`softmask.nets.morph.lungs`)."""

REAL_SLICES = "lungs-2d"

IOU: Mapping[str, float] = MappingProxyType({MORPH: 0.974, "lungs": 0.959})
"""Mean IoU of the methods that come with the package, on the test slices of :data:`REAL_SLICES`.
``tests/apply/test_shipped.py`` measures it again if the slices are available."""

MAX_LOWEST_HU = -900
"""HU. A chest scan whose lowest value is higher is doubted: it shows no air, in airways or around the patient."""

MAX_LUNG_ML = 12_000
"""Volume in ml above which lungs are doubted: the total lung capacity is about 6 l, and rarely above 9 l."""

LESION = "lesion"
"""Default model of :func:`run_segment`: chosen by its validation Dice on real LIDC (docs/choices.md)."""

_REMEDY = "Rename one, or segment them apart with another --out each"


def run_segment(arguments: argparse.Namespace) -> int:
    """Segment every image that can be segmented, whole or around lesions; return exit status 1 if any image failed,
    otherwise 0.

    Files are written to ``--out``, with a manifest, or beside each image, without a manifest.

    Raises:
        ConfigError: for an unknown model or option, or outputs that overwrite one another or an input.
        DataError: for a list or report that cannot be read, or a folder that cannot be written to.
    """
    if arguments.model == LIST:
        print(list_models())
        return 0
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    folder = None if arguments.out is None else whole_path(arguments.out, "--out")
    formats = arguments.formats and tuple(arguments.formats)
    has_lesions = any(getattr(arguments, name) is not None for name in ("at", "recist", "report", "list"))
    if not has_lesions and not arguments.images:
        raise ConfigError("name the images to segment, or lesions with --list")
    if arguments.model is None:
        print(f"by the model {LESION}; softmask segment --model lists the others", file=sys.stderr)
    model = load(arguments.model or LESION)
    if arguments.threshold is not None:
        model = replace(model, description=replace(model.description, threshold=arguments.threshold))
    command_settings = f"model {model.name}; threshold {model.description.threshold:g}"
    code = code_digest("data", "measure", "nets", "train", "experiments", "apply")
    code = sha256_of(code, sha256_of(model.description.sha256, repr(model.spec)))
    settings = Settings("segment", grey, command_settings, formats if has_lesions else formats or ("png",), code)
    if has_lesions:
        items, problems, inputs = _lesions(arguments, model)
    else:
        items, problems = _whole_images(arguments, settings)
        inputs = []

    def say(item: Item, row: Row) -> str:
        n = len(row["slices"].split()) * int(row["rows"]) * int(row["columns"])
        axes_text = f", {row['long_mm']} x {row['short_mm']} mm" if row["long_mm"] and has_lesions else ""
        area = f"{row['mask_area_px']} of {n} pixels are {model.target}{axes_text}"
        return f"{item.where}: {area}; written to {folder or item.image.parent} as {item.name}"

    work = partial(segment_lesion if has_lesions else segment_whole, grey=grey, model=model)
    with sole_writer(folder):
        return work_through(settings, items, work, folder=folder, problems=problems, inputs=inputs, say=say)


def _lesions(arguments: argparse.Namespace, model: Model) -> tuple[list[Item], list[Problem], list[Path]]:
    """Return the lesions that the command line names, the lines that are not valid lesions, and other input files."""
    if model.spec.of_lungs:
        raise ConfigError(f"the model {model.name} segments whole slices; name one of lesions, or no lesion")
    if arguments.list is not None and arguments.out is None:
        raise ConfigError("--list needs --out, the folder of the results")
    if len(arguments.images) > 1 or len(arguments.slices or ()) > 1:
        raise ConfigError("a lesion lies in one image, and in one slice of it; name many with --list")
    lesion_options = {"image": next(iter(arguments.images), None), "slice": next(iter(arguments.slices or ()), None)}
    return items_of(argparse.Namespace(**vars(arguments) | lesion_options), ("point", "recist"))


def _whole_images(arguments: argparse.Namespace, settings: Settings) -> tuple[list[Item], list[Problem]]:
    """Return the images to segment whole, slice by slice if only PNG is written, and the images that cannot be read."""
    for option in ("order", "units", "name"):
        if getattr(arguments, option) is not None:
            raise ConfigError(f"--{option} goes with a lesion (--at, --recist); leave it out")
    items, problems = [], []
    for path in _each_once(arguments.images):
        try:
            with remarks() as texts:
                planes = list_slices(path, tuple(arguments.slices or ()))
                if planes[0].kind == "volume" and not settings.grey.stretch:  # MR may be oblique, CT may not
                    axes_of(path, open_reader(path))
        except SoftmaskError as error:
            problems.append(Problem(str(path), str(error).removeprefix(f"{path}: ")))
            continue
        if settings.formats == ("png",):  # other formats: the image is opened, and remarked upon, as a whole
            for text in texts:
                print(f"softmask: {path}: {text}", file=sys.stderr)
            items += [Item(plane.where, plane.stem, plane.path, planes=(plane,)) for plane in planes]
        else:
            items.append(Item(str(path), stem_of(path), path, planes=tuple(planes)))
    return items, problems


def run_lungs(arguments: argparse.Namespace) -> int:
    """Segment every scan that can be segmented; return exit status 1 if any scan failed, otherwise 0.

    Writes ``*-lungs.nii.gz`` (uint8, 1 is lung, on the voxels of the scan) and ``*-overlay.png``.

    Raises:
        ConfigError: for an unknown model or option, or outputs that overwrite one another or an input.
    """
    if arguments.model == LIST:
        print(f"{list_models()} {MORPH} is threshold and morphology.")
        return 0
    if not arguments.scans or arguments.out is None:
        raise ConfigError("name the scans, and with --out the folder of the results")
    folder = whole_path(arguments.out, "--out")
    name = arguments.model
    if name is None:
        name, *_ = ranking = sorted(IOU, key=IOU.__getitem__, reverse=True)
        scores = ", ".join(f"{method} {IOU[method]:.3f}" for method in ranking)
        text = f"by {name}, which does best on real test slices (mean IoU: {scores}); use --model to choose another"
        print(text, file=sys.stderr)
    model = None if name == MORPH else load(name)
    if model is not None and not model.spec.of_lungs:
        raise ConfigError(f"the model {model.name} segments {model.target}s, not lungs; name one of lungs, or {MORPH}")
    scans = _each_once(arguments.scans)

    def output_paths(scan: Path) -> tuple[Path, Path]:
        return folder / f"{name_of(scan)}-lungs.nii.gz", folder / f"{name_of(scan)}-overlay.png"

    def segment(scan: Path) -> str:
        started_at = time.perf_counter()
        need_ours(output_paths(scan))
        with reading(scan):
            volume = read_volume(scan)
            doubt_units(volume.hu)
            doubt_stack(volume.hu)
            if (lowest := volume.hu.min()) > MAX_LOWEST_HU:
                text = f"its lowest value is {lowest}, and air is -1000 HU; check that the values are HU"
                doubt(text)
        if model is None:
            mask = morph.lungs(volume.hu, volume.spacing_mm)
        else:
            mask = find_lungs(model, volume.hu, volume.spacing_mm[1:], name_of(scan))
        mask = largest(mask) if arguments.largest else mask
        if not mask.any():
            doubt("no lung was found; check that the values are HU")
        lungs_path, overlay_path = output_paths(scan)
        write_atomic(overlay_path, png(montage(volume.hu, mask), WRITER))
        write_atomic(lungs_path, compressed_bytes(signed(image_of(mask.astype(np.uint8), volume)), folder))
        lung_ml = np.count_nonzero(mask) * float(np.prod(volume.spacing_mm)) / 1000
        if lung_ml > MAX_LUNG_ML:
            text = f"{lung_ml:.0f} ml is more than lungs hold; check that the values are HU, and the size of the voxels"
            doubt(text)
        seconds = time.perf_counter() - started_at
        return f"{scan}: {len(mask)} slices, {lung_ml:.0f} ml of lung, {seconds:.1f} s; {lungs_path} and its overlay"

    check_outputs(((str(scan), output_paths(scan)) for scan in scans), scans, _REMEDY)
    with sole_writer(folder):
        remove_parts(folder)
        return _segment_scans(scans, segment)


def _segment_scans(scans: Iterable[Path], segment: Callable[[Path], str]) -> int:
    """Call ``segment`` for each scan, and print its summary or why it failed. Returns the exit status."""
    status = 0
    for scan in scans:
        summary, why = "", ""
        with remarks() as texts:
            try:
                summary = segment(scan)
            except SoftmaskError as error:
                why = str(error)
            except (MemoryError, RuntimeError) as error:  # torch raises RuntimeError when out of memory
                why = f"memory may be short ({brief(error)}); crop it, or close other programs"
            except OSError as error:  # while writing: errors of reading are DataErrors
                path = error.filename or "the results"
                why = f"{path} cannot be written ({error.strerror}); choose another folder with --out"
        if summary:
            tqdm.write(summary)  # keeps the progress bar intact
            sys.stdout.flush()
        else:
            texts, status = [*texts, why], 1
        for text in texts:
            tqdm.write(f"softmask: {scan}: {text.replace(f'{scan}: ', '')}", file=sys.stderr)
    return status


def _each_once(paths: Iterable[str]) -> list[Path]:
    """Return the paths without those that lead to the same file as an earlier path."""
    unique_paths: dict[str, Path] = {}
    for path in paths:
        unique_paths.setdefault(os.path.realpath(path), Path(path))
    return list(unique_paths.values())


def compare_methods(config: Config) -> dict[str, dict[str, np.ndarray]]:
    """Return the metrics of every lung segmentation method of the package on the test slices of :data:`REAL_SLICES`: by
    method, ``iou`` in [0, 1] and ``hausdorff`` in pixels, (N,) each. Raises MissingData if the slices are missing."""
    from softmask.data import open_dataset
    from softmask.data.splits import split_rows

    dataset = open_dataset(REAL_SLICES, config)
    samples = [dataset[int(row)] for row in split_rows(REAL_SLICES, dataset)["test"]]
    masks = {MORPH: [morph.lungs(sample.hu) for sample in samples]}
    for model in map(load, names()):
        if model.target == "lung":
            masks[model.name] = [find_lungs(model, sample.hu[None])[0] for sample in samples]
    true_masks = [sample.masks[0] for sample in samples]
    metrics = {"iou": segmentation.iou, "hausdorff": segmentation.hausdorff}
    values: dict[str, dict[str, np.ndarray]] = {}
    for name, predicted in masks.items():
        values[name] = {
            metric: np.array(list(map(measure, predicted, true_masks)), float) for metric, measure in metrics.items()
        }
    return values


def find_lungs(
    model: Model, hu: np.ndarray, spacing_mm: tuple[float, float] | None = None, title: str = ""
) -> np.ndarray:
    """Return (D, H, W) bool: the lungs in the slices ``hu`` (D, H, W), Hounsfield units, each segmented separately.

    Everything outside the body is replaced by air, because a network mistakes air between couch and back for lung.

    Args:
        spacing_mm: (row, column) spacing.
        title: of a progress bar over batches of slices; without a title there is no bar.

    Raises:
        DataError: for slices smaller or larger than the model takes.
    """
    mask = np.empty(hu.shape, bool)
    for first in tqdm(range(0, len(hu), BATCH_SIZE), desc=title, unit="batch", leave=False, disable=not title):
        part = hu[first : first + BATCH_SIZE]
        slices = [window_hu(morph.without_surroundings(values, spacing_mm)) for values in part]
        mask[first : first + BATCH_SIZE] = [segmented.mask for segmented in model.segment_all(slices)]
    return mask


def largest(mask: np.ndarray) -> np.ndarray:
    """Return (D, H, W) bool: the two largest components of ``mask`` (D, H, W), connected through faces."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    return np.isin(labels, 1 + np.argsort(-sizes, kind="stable")[:2])


def montage(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return (h, w, 3) uint8: at most :data:`TILES` slices, evenly spaced from the feet up, in the lung window. Each
    slice has the outline of ``mask`` (D, H, W) bool and its number, from 0."""
    size = min(TILE, max(hu.shape[1:]))
    tiles = []
    for z in np.linspace(0, len(hu) - 1, min(len(hu), TILES)).round().astype(int).tolist():
        tile = Image.fromarray(overlay(fit_square(window_hu(hu[z]), size), fit_square(mask[z], size), TILE))
        ImageDraw.Draw(tile).text((4, 2), str(z), fill=(255, 255, 255))
        tiles.append(np.asarray(tile))
    columns = min(COLUMNS, len(tiles))
    return tiled(tiles, fill=(0, 0, 0), grid_shape=(-(-len(tiles) // columns), columns), channel_axis=-1)
