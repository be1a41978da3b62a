"""``softmask lungs``: the lungs of whole scans, by a trained network or by morphology."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from softmask.config import whole_path
from softmask.data.ct import Volume, read_volume
from softmask.errors import DataError, SoftmaskError, brief
from softmask.models import scans
from softmask.models.model import Model, load
from softmask.models.scan_files import check_paths, name_of, paths, write
from softmask.models.scans import MORPH, check_model, largest, lungs
from softmask.nets import morph


def run(arguments: argparse.Namespace) -> int:
    """Segment every scan that can be; the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: a model or option that is not known or does not fit, or outputs that are in each other's way;
            nothing is written.
    """
    folder = whole_path(arguments.out, "--out")
    if arguments.model is None:
        print(default(), file=sys.stderr)
    name = arguments.model or scans.best()
    model = None if name == MORPH else load(name)
    if model is not None:
        check_model(model)
    given_paths: dict[str, Path] = {}
    for given in arguments.scans:
        given_paths.setdefault(os.path.realpath(given), Path(given))  # each once
    check_paths(list(given_paths.values()), folder)
    failed = 0
    for scan in given_paths.values():
        try:
            print(_segment(scan, model, arguments.largest, folder), flush=True)
        except DataError as error:
            failed += 1
            print(f"softmask: {error}", file=sys.stderr)
    return 1 if failed else 0


def default() -> str:
    """Which method is taken where none is named, and why."""
    ordered = sorted(scans.IOU, key=scans.IOU.__getitem__, reverse=True)
    measured = ", ".join(f"{name} {scans.IOU[name]:.3f}" for name in ordered)
    return f"by {ordered[0]}, which does best on real test slices (mean IoU: {measured}); --model takes another"


def _segment(scan: Path, model: Model | None, only_largest: bool, folder: Path) -> str:
    """Write the files of one scan; what was found, in a line.

    Raises:
        DataError: names the scan or the file that cannot be read or written, and says what to do.
    """
    began = time.perf_counter()
    try:
        volume = read_volume(scan)
        mask = _found(scan, volume, model)
        if only_largest:
            mask = largest(mask)
    except OSError as error:
        where = error.filename or scan
        raise DataError(f"{where}: cannot be read ({error.strerror}); check the file and its rights") from error
    except (MemoryError, RuntimeError) as error:  # torch has no error of its own for it
        raise DataError(
            f"{scan}: could not be segmented, memory may be short ({brief(error)}); close other programs, or take a "
            "scan of fewer slices"
        ) from error
    places = paths(scan, folder)
    try:
        write(places, volume, mask)
    except OSError as error:
        raise DataError(
            f"{scan}: {folder} cannot be written to ({error.strerror}); choose another folder with --out"
        ) from error
    ml = np.count_nonzero(mask) * float(np.prod(volume.spacing_mm)) / 1000
    seconds = time.perf_counter() - began
    return f"{scan}: {len(mask)} slices, {ml:.0f} ml of lung, {seconds:.1f} s; {places['lungs']} and its overlay"


def _found(scan: Path, volume: Volume, model: Model | None) -> np.ndarray:
    """(D, H, W) bool. Raises DataError, naming the scan, where it does not fit the model."""
    try:
        if model is None:
            return morph.lungs(volume.hu, volume.spacing_mm)
        with tqdm(total=len(volume.hu), desc=name_of(scan), unit="slice", leave=False) as bar:
            return lungs(model, volume.hu, volume.spacing_mm[1:], bar.update)
    except SoftmaskError as error:
        raise DataError(f"{scan}: {error}") from error
