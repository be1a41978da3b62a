"""``softmask lungs``: the lungs of whole scans, slice by slice by a trained network, or by threshold and morphology."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from softmask.apply.images import reading
from softmask.apply.models import Model, answer, enlarged, load, names, shown
from softmask.apply.outputs import check_outputs, writing
from softmask.apply.segment import REMEDY, for_each, segmenting
from softmask.config import Config
from softmask.data.ct import read_volume
from softmask.data.image_files import window_hu
from softmask.data.volume_files import image_of, name_of, nifti
from softmask.errors import ConfigError
from softmask.files import whole_path, write_atomic
from softmask.measure import segmentation
from softmask.measure.segmentation import hausdorff
from softmask.nets import morph
from softmask.pictures import overlay, png

SLICES = 16
"""Slices that a network is shown at once. No more of a scan than these is ever held in float32."""

TILES, COLUMNS, TILE = 12, 4, 384
"""Slices in the picture of a scan, slices in a row, and pixels of each slice's longer side."""

MORPH = "morph"
"""Name of threshold and morphology (:func:`softmask.nets.morph.lungs`) among the methods."""

REAL_SLICES = "lungs-2d"

IOU: Mapping[str, float] = MappingProxyType({MORPH: 0.974, "lungs": 0.959})
"""Mean IoU of the methods that come with the package, on the test slices of :data:`REAL_SLICES`.
``tests/apply/test_shipped.py`` measures it again where the slices are at hand."""


def run(arguments: argparse.Namespace) -> int:
    """Segment every scan that can be segmented; return the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: an unknown model or option, or outputs that overwrite one another or an input; nothing is written.
    """
    folder = whole_path(arguments.out, "--out")
    name = arguments.model or best()
    if arguments.model is None:
        measured = ", ".join(f"{method} {IOU[method]:.3f}" for method in sorted(IOU, key=IOU.__getitem__)[::-1])
        print(
            f"by {name}, which does best on real test slices (mean IoU: {measured}); --model takes another",
            file=sys.stderr,
        )
    model = None if name == MORPH else load(name)
    if model is not None:
        check_model(model)
    scans: dict[str, Path] = {}
    for path in arguments.scans:
        scans.setdefault(os.path.realpath(path), Path(path))  # each once
    check_outputs(((str(scan), _paths(scan, folder)) for scan in scans.values()), scans.values(), REMEDY)
    return 1 if for_each(scans.values(), lambda scan: _segment(scan, model, arguments.largest, folder)) else 0


def best() -> str:
    """Return the method of the package that does best on real slices: a model's name, or :data:`MORPH`."""
    return max(IOU, key=IOU.__getitem__)


def compare_methods(config: Config) -> dict[str, dict[str, np.ndarray]]:
    """Measure every method that comes with the package on the test slices of :data:`REAL_SLICES`.

    Returns:
        By method, ``iou`` in [0, 1] and ``hausdorff`` in pixels, (N,) each.

    Raises:
        MissingData: where the slices are missing; says how to get them.
    """
    from softmask.data import open_dataset
    from softmask.data.splits import split_rows

    dataset = open_dataset(REAL_SLICES, config)
    samples = [dataset[int(row)] for row in split_rows(REAL_SLICES, dataset)["test"]]
    masks = {MORPH: [morph.lungs(sample.hu) for sample in samples]}
    for model in map(load, names()):
        if model.target == "lung":
            masks[model.name] = [find_lungs(model, sample.hu[None])[0] for sample in samples]
    lungs = [sample.masks[0] for sample in samples]
    return {
        name: {
            "iou": np.array([float(segmentation.iou(*pair)) for pair in zip(predicted, lungs, strict=True)]),
            "hausdorff": np.array([hausdorff(*pair) for pair in zip(predicted, lungs, strict=True)]),
        }
        for name, predicted in masks.items()
    }


def check_model(model: Model) -> None:
    """Raise ConfigError for a model that does not segment lungs."""
    if not model.spec.of_lungs:
        raise ConfigError(
            f"the model {model.name} segments {model.target}s, not lungs; name one that was trained on lungs, or "
            f"{MORPH}"
        )


def find_lungs(
    model: Model,
    hu: np.ndarray,
    spacing_mm: tuple[float, float] | None = None,
    progress: Callable[[int], object] = lambda n: None,
) -> np.ndarray:
    """Return (D, H, W) bool: the lungs in the slices ``hu`` (D, H, W), Hounsfield units, each by itself.

    What surrounds the patient is shown as air (:func:`softmask.nets.morph.without_surroundings`): couches are many, and
    a network takes what lies between one and the back for lung. Otherwise the same as :meth:`Model.segment` of each
    slice in the lung window, cut at the model's threshold.

    Args:
        spacing_mm: (row, column) distance.
        progress: called with the number of slices that are done since the last call.

    Raises:
        ConfigError: for a model that does not segment lungs.
        DataError: for slices smaller or larger than the model takes.
    """
    check_model(model)
    model.check_size(*hu.shape[1:])
    mask = np.empty(hu.shape, bool)
    for first in range(0, len(hu), SLICES):
        part = hu[first : first + SLICES]
        slices = [window_hu(morph.without_surroundings(values, spacing_mm)) for values in part]
        for z, probability in enumerate(answer(model, slices)[0], first):  # (S, S)
            mask[z] = enlarged(probability[None], hu.shape[1:])[0] >= model.description.threshold
        progress(len(slices))
    return mask


def largest(mask: np.ndarray, n: int = 2) -> np.ndarray:
    """Return (D, H, W) bool: the ``n`` largest parts of ``mask`` (D, H, W); voxels connect through their faces."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    return mask if count <= n else np.isin(labels, 1 + np.argsort(-sizes, kind="stable")[:n])


def montage(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return (h, w, 3) uint8: at most :data:`TILES` slices, evenly spaced from the feet up, in the lung window, with
    the outline of ``mask`` (D, H, W) bool; each with its number, from 0."""
    from PIL import Image, ImageDraw

    size = min(TILE, max(hu.shape[1:]))
    tiles = []
    for z in np.linspace(0, len(hu) - 1, min(len(hu), TILES)).round().astype(int).tolist():
        tile = Image.fromarray(overlay(shown(window_hu(hu[z]), size), shown(mask[z], size), TILE))
        ImageDraw.Draw(tile).text((4, 2), str(z), fill=(255, 255, 255))
        tiles.append(np.asarray(tile))
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])


def _paths(scan: Path, folder: Path) -> tuple[Path, Path]:
    return folder / f"{name_of(scan)}-lungs.nii.gz", folder / f"{name_of(scan)}-overlay.png"


def _segment(scan: Path, model: Model | None, only_largest: bool, folder: Path) -> str:
    """Write ``*-lungs.nii.gz`` (uint8, 1 is lung, on the scan's voxels) and ``*-overlay.png``; return the result in a
    line.

    Raises:
        DataError: names the scan or the file that cannot be read or written, and the remedy.
    """
    began = time.perf_counter()
    with segmenting(scan, "close other programs, or take a scan of fewer slices"), reading(scan):
        volume = read_volume(scan)
        if model is None:
            mask = morph.lungs(volume.hu, volume.spacing_mm)
        else:
            with tqdm(total=len(volume.hu), desc=name_of(scan), unit="slice", leave=False) as bar:
                mask = find_lungs(model, volume.hu, volume.spacing_mm[1:], bar.update)
        mask = largest(mask) if only_largest else mask
    lungs, picture = _paths(scan, folder)
    with writing(scan, folder):
        write_atomic(picture, png(montage(volume.hu, mask)))
        write_atomic(lungs, nifti(image_of(mask.astype(np.uint8), volume), folder))
    ml = np.count_nonzero(mask) * float(np.prod(volume.spacing_mm)) / 1000
    seconds = time.perf_counter() - began
    return f"{scan}: {len(mask)} slices, {ml:.0f} ml of lung, {seconds:.1f} s; {lungs} and its overlay"
