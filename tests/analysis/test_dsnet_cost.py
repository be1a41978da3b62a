"""Counting by hand, and timing networks too small to take time."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from softmask.analysis import dsnet_cost as cost
from softmask.config import Config
from softmask.experiments.rows import spec
from softmask.nets import build
from softmask.nets.cascade import Transferring


@pytest.fixture(scope="module")
def networks():
    config = Config.from_parameters("smoke", "embedded")
    pair = (spec(row, "lnsm", config, paper="dsnet-v2") for row in (cost.WITHOUT, cost.HAVING))
    return cost.networks(*pair)


def made_up(ratios, device="cpu", width="cpu"):
    values = {cost.WITHOUT: np.full(len(ratios), 2.0), cost.HAVING: 2 * np.array(ratios)}
    times = pd.DataFrame(values).melt(var_name="row", value_name="milliseconds").assign(device=device, batch=1)
    parts = [(cost.WITHOUT, "backbone", 10, 100), (cost.HAVING, "super-resolution", 5, 300)]
    parts = pd.DataFrame([*parts, (cost.HAVING, "backbone", 10, 100)], columns=["row", "part", "parameters", "adds"])
    return cost.Cost(width, parts, times)


def test_a_convolution_by_hand():
    conv = nn.Conv2d(3, 8, 5, stride=2, padding=2)
    x = torch.zeros(1, 3, 16, 16)
    assert cost.multiply_adds(lambda: conv(x)) == (8 * 8) * 8 * (3 * 5 * 5)
    up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
    assert cost.multiply_adds(lambda: up(conv(x))) == 38400 + (8 * 8) * 8 * (4 * 4 * 4)
    assert cost.multiply_adds(lambda: nn.Linear(6, 7)(torch.zeros(1, 6))) == 42


def test_parts_add_up_to_the_whole(networks):
    having = networks[cost.HAVING]
    parts = cost.parts_of(having, 64)
    assert list(parts) == ["super-resolution", "transfer", "reduction to the image's size", "backbone"]
    whole = cost.multiply_adds(lambda: having(torch.zeros(1, 1, 64, 64)))
    assert sum(adds for _, adds in parts.values()) == whole
    assert sum(n for n, _ in parts.values()) == sum(p.numel() for p in having.parameters())
    [plain] = cost.parts_of(networks[cost.WITHOUT], 64).values()
    assert plain[0] == sum(p.numel() for p in build("improved_backbone", 4).parameters())


def test_both_are_timed_alike_and_left_where_they_were(networks):
    threads = torch.get_num_threads()
    measured = cost.measure(networks, "smoke", batches=(1, 2), seconds=0.0)
    assert torch.get_num_threads() == threads
    assert isinstance(networks[cost.HAVING], Transferring)
    assert measured.times["milliseconds"].min() > 0
    assert set(measured.times.groupby(["batch", "row"]).size()) == {cost.ROUNDS[0]}
    lines = cost.frame([measured])
    assert (list(lines["batch"]), set(lines["rounds"])) == ([1, 2], {cost.ROUNDS[0]})
    assert ((lines["low"] <= lines["ratio"]) & (lines["ratio"] <= lines["high"])).all()
    shares = cost.parts_frame([measured]).groupby("network")["share"].sum()
    assert shares.to_numpy() == pytest.approx(1, abs=0.01)


def test_times_are_kept_for_the_machine_the_networks_and_their_code(networks, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path))
    measured = []

    def milliseconds(*arguments):
        measured.append(arguments)
        return {row: np.full(7, len(measured)) for row in networks}

    def once(found=networks, **changes):
        timing = {"batches": (1,), "seconds": 0.0} | changes
        return cost.measure(found, "smoke", **timing).times["milliseconds"].iloc[0]

    monkeypatch.setattr(cost, "_milliseconds", milliseconds)
    assert [once(), once()] == [1, 1]
    assert [once(batches=(2,)), once(seconds=1.0), once()] == [2, 3, 1]
    wider = networks | {cost.WITHOUT: build("improved_backbone", 8).eval()}
    assert [once(wider), once()] == [4, 1]
    monkeypatch.setattr(cost, "cores", lambda: 1000)
    assert once() == 5


def test_the_interval_is_of_the_median():
    ratios = np.arange(1.0, 41.0)
    assert cost.ratio(made_up(ratios).times) == (20.5, 14.0, 27.0)  # 27 of 40: the table's ranks
    assert cost.ratio(made_up([1.0] * 6 + [50.0]).times)[0] == 1


def test_the_gpu_is_preferred_and_cells_hold_medians():
    both = made_up([1.0, 1.0, 4.0] * 3)
    both = both._replace(times=pd.concat([both.times, made_up([2.0] * 9, device="cuda").times]))
    assert set(cost.chosen(both)["device"]) == {"cuda"}
    [without, having] = cost.cells(made_up([1.0, 1.0, 4.0] * 3), "embedded")
    assert (without.row, without.dataset, without.metric) == ("without_transfer", "lnsm", "milliseconds")
    assert (without.ours_mean, having.ours_mean, having.n_images) == (2.0, 2.0, 9)
    assert having.note.startswith("median of 9 measurements")
    totals = {(cell.row, cell.metric): cell.ours_mean for cell in cost.all_cells([both], "embedded")}
    assert totals["with transfer, width of cpu", "parameters"] == 15
    assert {metric for _, metric in totals} <= set(cost.UNITS)
