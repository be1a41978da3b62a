"""What DSNet's transfer costs when a trained network is used: time per image, parameters, multiply-adds.

DSNet (TNNLS 2023), table 8. Both networks are timed in turns in one run, so that what else the machine does meets both
alike; super-resolution is part of DSNet's time. How long a network takes depends on its shape and not on what it has
learnt, so that fresh weights are timed, of the profile's widths and of the publication's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

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
PRINTED_RATIO = 6.7 / 5.1
"""Of the times with and without the transfer."""
ROUNDS = (7, 200)
"""The fewest and the most measurements of each network; with fewer a median has no 95 % interval."""
SECONDS: Mapping[str, float] = {"smoke": 1.0, "cpu": 5.0, "night": 5.0, "full": 10.0}
"""By profile, how long is measured for each device and batch, where the fewest rounds do not take longer."""
BATCHES = (1, 32)
UNITS = {
    "parameters": "count",
    "multiply_adds": "millions",
    **{f"{d}_{b}": "ms" for d in ("cpu", "cuda") for b in BATCHES},
}


@dataclass(frozen=True)
class Timed:
    """Milliseconds per image of each network, (rounds,) by row, measured in turns."""

    device: str
    batch: int
    milliseconds: Mapping[str, np.ndarray]

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Median, over rounds, of the time with the transfer over that without, and its 95 % interval (by order
        statistics, so that single slow rounds do not move it)."""
        ratios = np.sort(self.milliseconds[HAVING] / self.milliseconds[WITHOUT])
        first = max(int(binom.ppf(0.025, len(ratios), 0.5)) - 1, 0)
        return float(np.median(ratios)), float(ratios[first]), float(ratios[-1 - first])


@dataclass(frozen=True)
class Cost:
    """Two networks of one width.

    Attributes:
        width: ``full``, or the profile's name.
        parts: by row and part, its parameters and its multiply-adds for one image.
        timed: on every device, at every batch size that was measured.
    """

    width: str
    parts: Mapping[str, Mapping[str, tuple[int, int]]]
    timed: Sequence[Timed]


def networks(without: RunSpec, having: RunSpec, full: bool = False) -> dict[str, nn.Module]:
    """Both networks of table 8 with fresh weights, in evaluation mode: images (B, 1, S, S) to logits (B, 1, S, S).

    Args:
        without, having: specs of the two rows.
        full: at the publication's widths and scale instead of the specs'.
    """
    with seeded(BASE_SEED):
        generator = build(having.sr.network, None if full else having.sr.width)
        scale, reduction = (SCALE, SCALE) if full else (having.scale, having.reduction)
        channels = PICTURES + generator.last.in_channels
        transferring = build(having.network, None if full else having.width, channels, reduction)
        plain = build(without.network, None if full else without.width)
    return {WITHOUT: plain.eval(), HAVING: Transferring(generator, transferring, scale).eval()}


def multiply_adds(call: Callable[[], object]) -> int:
    """Multiply-adds of the convolutions and dense layers in ``call()``; what acts on single pixels is not counted."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


def parts_of(network: nn.Module, size: int) -> dict[str, tuple[int, int]]:
    """Parameters and multiply-adds, for one image of ``size`` x ``size``, of each part of a network."""
    image = torch.zeros(1, 1, size, size)
    if not isinstance(network, Transferring):
        return {"backbone": (n_parameters(network), multiply_adds(lambda: network(image)))}
    with torch.no_grad():
        seen = transferred(network.generator, image, network.scale)
        passed_on = network.network.module(seen)
        reduced = network.network.reduce(passed_on)
    inside = network.network
    calls = {
        "super-resolution": (network.generator, lambda: transferred(network.generator, image, network.scale)),
        "transfer": (inside.module, lambda: inside.module(seen)),
        "reduction to the image's size": (inside.reduce, lambda: inside.reduce(passed_on)),
        "backbone": (inside.backbone, lambda: inside.backbone(reduced)),
    }
    return {name: (n_parameters(part), multiply_adds(call)) for name, (part, call) in calls.items()}


def measure(
    found: Mapping[str, nn.Module],
    width: str,
    size: int = 64,
    batches: Sequence[int] = BATCHES,
    seconds: float = 10.0,
    devices: Sequence[str] | None = None,
) -> Cost:
    """The cost of networks that :func:`networks` gave, on images of ``size`` x ``size``.

    Times are measured once for a machine, the networks, and their code, and kept in the cache folder
    (``dsnet-cost-*.npz``; without it they are measured again): what is written of them does not change from run to run.

    Args:
        devices: ``cpu`` (one thread) and ``cuda``; None: those that are there.
        seconds: see :data:`SECONDS`.
    """
    if devices is None:
        devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    parts = {row: parts_of(network, size) for row, network in found.items()}
    timed = [_kept(found, device, batch, size, seconds) for device in devices for batch in batches]
    return Cost(width, parts, timed)


def _kept(found: Mapping[str, nn.Module], device: str, batch: int, size: int, seconds: float) -> Timed:
    """:func:`_milliseconds`, from the cache folder where it was measured before."""
    layers = {type(layer) for network in found.values() for layer in network.modules()}
    sources = {Path(inspect.getfile(layer)) for layer in layers if layer.__module__.startswith("softmask.")}
    key = sha256_of(
        *(f"{row}: {network}" for row, network in sorted(found.items())),
        *sorted({*sources, Path(__file__)}),
        f"{package_version('torch')}, {device_name(device)}, {cores()} cores",
        f"{batch} x {size} x {size}, {seconds} s",
    )
    build = partial(_milliseconds, found, device, batch, size, seconds)
    return Timed(device, batch, cached_arrays(f"dsnet-cost-{device}-{batch}", key, build))


def _milliseconds(
    found: Mapping[str, nn.Module], device: str, batch: int, size: int, seconds: float
) -> dict[str, np.ndarray]:
    """Of each network, milliseconds per image of every round, in turns."""
    images = torch.rand(batch, 1, size, size, generator=torch.Generator().manual_seed(BASE_SEED)).to(device)
    # the layout that training and testing use
    placed = {row: network.to(device, memory_format=torch.channels_last) for row, network in found.items()}
    times: dict[str, list[float]] = {row: [] for row in placed}
    with torch.inference_mode(), _one_thread(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
        for network in placed.values():  # the first calls choose algorithms and take memory
            _seconds(network, images)
        began = perf_counter()
        for i in count():
            if i >= ROUNDS[1] or (i >= ROUNDS[0] and perf_counter() - began > seconds):
                break
            for row in sorted(placed, reverse=bool(i % 2)):  # neither is always the first
                times[row].append(1000 * _seconds(placed[row], images) / batch)
    for network in found.values():
        network.to("cpu")
    return {row: np.array(values) for row, values in times.items()}


def _seconds(network: nn.Module, images: torch.Tensor) -> float:
    _wait(images)
    began = perf_counter()
    network(images)
    _wait(images)
    return perf_counter() - began


def _wait(images: torch.Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def chosen(cost: Cost) -> Timed:
    """What the paper's number is: one image at a time, on the GPU where there is one."""
    single = [timed for timed in cost.timed if timed.batch == 1]
    return next((timed for timed in single if timed.device == "cuda"), single[0])


def device_name(device: str) -> str:
    """``one core of an Intel ...``, or the GPU's name."""
    return torch.cuda.get_device_name() if device == "cuda" else f"one core of {cpu_model()}"


def frame(costs: Sequence[Cost]) -> pd.DataFrame:
    """One line for each width, device and batch: median milliseconds per image of both, and their ratio with its 95 %
    interval."""
    lines = []
    for cost in costs:
        for timed in cost.timed:
            medians = {display("rows", row): np.median(values) for row, values in timed.milliseconds.items()}
            ratio, low, high = timed.ratio
            place = {"width": cost.width, "device": timed.device, "batch": timed.batch}
            rounds = len(timed.milliseconds[WITHOUT])
            lines.append({**place, **medians, "ratio": ratio, "low": low, "high": high, "rounds": rounds})
    return pd.DataFrame(lines).round(3)


def parts_frame(costs: Sequence[Cost]) -> pd.DataFrame:
    """One line for each width, network and part: parameters, millions of multiply-adds for one image, and the part's
    share of the network's."""
    lines = []
    for cost in costs:
        for row, parts in cost.parts.items():
            total = sum(adds for _, adds in parts.values())
            for part, (parameters, adds) in parts.items():
                place = {"width": cost.width, "network": display("rows", row), "part": part}
                numbers = {"parameters": parameters, "multiply-adds (10⁶)": adds / 1e6, "share": adds / total}
                lines.append(place | numbers)
    return pd.DataFrame(lines).round({"multiply-adds (10⁶)": 1, "share": 3})


def cells(cost: Cost, source: str) -> list[Cell]:
    """Table 8's times: the median and the spread (N - 1) over rounds of :func:`chosen`."""
    timed = chosen(cost)
    note = f"median of {{}} measurements in turns, {device_name(timed.device)}, one image at a time"
    return [
        Cell(
            row,
            "lnsm",
            "milliseconds",
            float(np.median(values)),
            float(values.std(ddof=1)),
            len(values),
            1,
            source,
            note.format(len(values)),
        )
        for row, values in timed.milliseconds.items()
    ]


def all_cells(costs: Sequence[Cost], source: str) -> list[Cell]:
    """The workbook's own table: of each width and network parameters, millions of multiply-adds, and every time."""
    made = []
    for cost in costs:
        for row, parts in cost.parts.items():
            name = f"{display('rows', row)}, width of {cost.width}"
            parameters, adds = (sum(numbers) for numbers in zip(*parts.values(), strict=True))
            counted = {"parameters": float(parameters), "multiply_adds": adds / 1e6}
            made += [Cell(name, "", metric, value, float("nan"), 1, 1, source) for metric, value in counted.items()]
            for timed in cost.timed:
                values = timed.milliseconds[row]
                numbers = (float(np.median(values)), float(values.std(ddof=1)), len(values), 1, source)
                made.append(Cell(name, "", f"{timed.device}_{timed.batch}", *numbers))
    return made


def measured(cost: Cost) -> str:
    """What was measured for the paper's claim about time, by :func:`chosen`, in words."""
    timed = chosen(cost)
    ratio, low, high = timed.ratio
    where = f"{device_name(timed.device)}, one image at a time, width of {cost.width}"
    return f"Ratio of times {ratio:.2f} ({low:.2f} to {high:.2f}), printed {PRINTED_RATIO:.2f}; {where}"
