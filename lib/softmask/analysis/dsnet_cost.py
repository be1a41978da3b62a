"""Inference cost of DSNet's transfer (DSNet, TNNLS 2023, table 8).

Both networks are timed in turns, with fresh weights, at the profile's widths and at the published widths.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from softmask.analysis.table import numbers
from softmask.cache import cached_arrays
from softmask.config import BASE_SEED
from softmask.experiments.spec import RunSpec
from softmask.files import sha256_of
from softmask.machine import cores, cpu_model, package_version
from softmask.nets import build
from softmask.nets.cascade import Transferring, transferred
from softmask.nets.dsnet import PICTURES
from softmask.nets.registry import n_parameters
from softmask.nets.srgan import SCALE
from softmask.papers import display
from softmask.report.result import Cell
from softmask.train import seeded

WITHOUT, HAVING = "without_transfer", "with_transfer"
ROUNDS = (7, 200)
"""Minimum and maximum number of measurements of each network; with fewer than six, a median has no 95 % interval."""
SECONDS: Mapping[str, float] = {"smoke": 1.0, "cpu": 5.0, "night": 5.0, "full": 10.0}
"""Measuring time for each device and batch, by profile, unless the minimum number of rounds takes longer."""
BATCHES = (1, 32)
UNITS = {"parameters": "count", "multiply_adds": "millions"} | {
    f"{device}_{batch}": "ms" for device in ("cpu", "cuda") for batch in BATCHES
}


class Cost(NamedTuple):
    """Cost of two networks of one width."""

    width: str  # ``full``, or the profile's name
    parts: pd.DataFrame  # row, part, its parameters, and its multiply-adds for one image (adds)
    times: pd.DataFrame  # device, batch, row and milliseconds per image, a line for each round, in turns


def ratio(times: pd.DataFrame) -> tuple[float, float, float]:
    """Return the median ratio of times, and its 95 % interval by order statistics."""
    with_ms, without_ms = (times.loc[times["row"] == row, "milliseconds"].to_numpy() for row in (HAVING, WITHOUT))
    ratios = np.sort(with_ms / without_ms)
    first = max(int(binom.ppf(0.025, len(ratios), 0.5)) - 1, 0)
    return float(np.median(ratios)), float(ratios[first]), float(ratios[-1 - first])


def chosen(cost: Cost) -> pd.DataFrame:
    """Return the times that correspond to the paper's: one image, on the GPU if there is one."""
    single_times = cost.times[cost.times["batch"] == 1]
    return single_times[single_times["device"] == ("cuda" if "cuda" in set(single_times["device"]) else "cpu")]


def networks(without: RunSpec, having: RunSpec, full: bool = False) -> dict[str, nn.Module]:
    """Return both networks of table 8 with fresh weights, at the published widths and scale if ``full``."""
    with seeded(BASE_SEED):
        generator = build(having.sr.network, None if full else having.sr.width)
        scale, reduction = (SCALE, SCALE) if full else (having.scale, having.reduction)
        channels = PICTURES + generator.last.in_channels
        segmentor = build(having.network, None if full else having.width, channels, reduction)
        plain_network = build(without.network, None if full else without.width)
    return {WITHOUT: plain_network.eval(), HAVING: Transferring(generator, segmentor, scale).eval()}


def multiply_adds(call: Callable[[], object]) -> int:
    """Return the number of multiply-adds of the convolutions and dense layers in ``call()``."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


def parts_of(network: nn.Module, size: int) -> dict[str, tuple[int, int]]:
    """Return parameters and multiply-adds (of one image) of each part of a network."""
    image = torch.zeros(1, 1, size, size)
    if not isinstance(network, Transferring):
        return {"backbone": (n_parameters(network), multiply_adds(lambda: network(image)))}
    segmentor = network.network
    with torch.no_grad():
        segmentor_input = transferred(network.generator, image, network.scale)
        features = segmentor.module(segmentor_input)
        reduced_features = segmentor.reduce(features)
    calls = {
        "super-resolution": (network.generator, lambda: transferred(network.generator, image, network.scale)),
        "transfer": (segmentor.module, lambda: segmentor.module(segmentor_input)),
        "reduction to the image's size": (segmentor.reduce, lambda: segmentor.reduce(features)),
        "backbone": (segmentor.backbone, lambda: segmentor.backbone(reduced_features)),
    }
    return {name: (n_parameters(part), multiply_adds(call)) for name, (part, call) in calls.items()}


def measure(
    pair: Mapping[str, nn.Module],
    width: str,
    size: int = 64,
    batches: Sequence[int] = BATCHES,
    seconds: float = 10.0,
) -> Cost:
    """Return the cost of networks on images of ``size`` x ``size``, on one core and on the GPU if there is one.

    Times are cached by machine, networks and their code, so that tables do not change between runs.
    """
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    layers = {type(layer) for network in pair.values() for layer in network.modules()}
    sources = {Path(inspect.getfile(layer)) for layer in layers if layer.__module__.startswith("softmask.")}
    code_digest = sha256_of(
        *(f"{row}: {network}" for row, network in sorted(pair.items())), *sorted({*sources, Path(__file__)})
    )
    times = []
    for device in devices:
        machine = f"{package_version('torch')}, {device_name(device)}, {cores()} cores"
        for batch in batches:
            key = sha256_of(code_digest, machine, f"{batch} x {size} x {size}, {seconds} s")
            time = partial(_milliseconds, pair, device, batch, size, seconds)
            arrays = cached_arrays(f"dsnet-cost-{device}-{batch}", key, time)
            lines = pd.DataFrame(arrays).melt(var_name="row", value_name="milliseconds")
            times.append(lines.assign(device=device, batch=batch))
    parts = [(row, part, *counts) for row, network in pair.items() for part, counts in parts_of(network, size).items()]
    return Cost(width, pd.DataFrame(parts, columns=["row", "part", "parameters", "adds"]), pd.concat(times))


def _milliseconds(
    pair: Mapping[str, nn.Module], device: str, batch: int, size: int, seconds: float
) -> dict[str, np.ndarray]:
    """Return each network's milliseconds per image in every round, in turns."""
    images = torch.rand(batch, 1, size, size, generator=torch.Generator().manual_seed(BASE_SEED)).to(device)
    # the memory layout of training and testing
    device_networks = {row: network.to(device, memory_format=torch.channels_last) for row, network in pair.items()}
    times: dict[str, list[float]] = {row: [] for row in device_networks}
    wait = torch.cuda.synchronize if images.is_cuda else lambda: None

    def time_once(network: nn.Module) -> float:
        wait()
        start = perf_counter()
        network(images)
        wait()
        return 1000 * (perf_counter() - start) / batch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for network in device_networks.values():  # the first calls choose algorithms and allocate memory
                time_once(network)
            start = perf_counter()
            for i in range(ROUNDS[1]):
                if i >= ROUNDS[0] and perf_counter() - start > seconds:
                    break
                for row in sorted(device_networks, reverse=bool(i % 2)):  # neither is always the first
                    times[row].append(time_once(device_networks[row]))
    finally:
        torch.set_num_threads(threads)
    for network in pair.values():
        network.to("cpu")
    return {row: np.array(values) for row, values in times.items()}


def device_name(device: str) -> str:
    """Return ``one core of an Intel ...``, or the GPU's name."""
    return torch.cuda.get_device_name() if device == "cuda" else f"one core of {cpu_model()}"


def frame(costs: Sequence[Cost]) -> pd.DataFrame:
    """Return median milliseconds per image, and their ratio with its 95 % interval."""
    lines = []
    for cost in costs:
        for (device, batch), times in cost.times.groupby(["device", "batch"], sort=False):
            medians = times.groupby("row", sort=False)["milliseconds"].median()
            line = {"width": cost.width, "device": device, "batch": batch}
            line |= {display("rows", row): value for row, value in medians.items()}
            line |= dict(zip(("ratio", "low", "high"), ratio(times), strict=True))
            lines.append(line | {"rounds": len(times) // len(medians)})
    return pd.DataFrame(lines).round(3)


def parts_frame(costs: Sequence[Cost]) -> pd.DataFrame:
    """Return parameters, millions of multiply-adds and share of each part of the networks."""
    frame = pd.concat([cost.parts.assign(width=cost.width) for cost in costs], ignore_index=True)
    total = frame.groupby(["width", "row"])["adds"].transform("sum")
    frame["network"] = [display("rows", row) for row in frame["row"]]
    frame["multiply-adds (10⁶)"], frame["share"] = (frame["adds"] / 1e6).round(1), (frame["adds"] / total).round(3)
    return frame[["width", "network", "part", "parameters", "multiply-adds (10⁶)", "share"]]


def _time_cell(row: str, dataset: str, metric: str, values: pd.Series, source: str, note: str = "") -> Cell:
    """Return a cell with the median of times and their spread (N - 1)."""
    return Cell(row, dataset, metric, float(values.median()), float(values.std()), len(values), 1, source, note)


def cells(cost: Cost, source: str) -> list[Cell]:
    """Return table 8's times: the median and the spread over rounds of :func:`chosen`."""
    table = []
    for (row, device), times in chosen(cost).groupby(["row", "device"], sort=False)["milliseconds"]:
        note = f"median of {len(times)} measurements in turns, {device_name(device)}, one image at a time"
        table.append(_time_cell(row, "lnsm", "milliseconds", times, source, note))
    return table


def all_cells(costs: Sequence[Cost], source: str) -> list[Cell]:
    """Return the workbook's own table: parameters, multiply-adds and all times."""
    cells = []
    for cost in costs:
        for row, parts in cost.parts.groupby("row", sort=False):
            name = f"{display('rows', row)}, width of {cost.width}"
            counts = {"parameters": parts["parameters"].sum(), "multiply_adds": parts["adds"].sum() / 1e6}
            cells += numbers(name, "", counts, 1, 1, source)
            by_batch = cost.times[cost.times["row"] == row].groupby(["device", "batch"], sort=False)["milliseconds"]
            cells += [_time_cell(name, "", f"{device}_{batch}", times, source) for (device, batch), times in by_batch]
    return cells


def measured(cost: Cost) -> str:
    """Return a sentence on the times of :func:`chosen`, for the paper's claim about time."""
    times = chosen(cost)
    median, low, high = ratio(times)
    conditions = f"{device_name(times['device'].iloc[0])}, one image at a time, width of {cost.width}"
    return f"Ratio of times {median:.2f} ({low:.2f} to {high:.2f}), printed {6.7 / 5.1:.2f}; {conditions}"
