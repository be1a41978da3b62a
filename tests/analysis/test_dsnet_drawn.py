"""Drawn step by step, a module does what it does."""

import matplotlib.pyplot as plt
import pytest
import torch

from softmask.analysis import dsnet_drawn as drawn
from softmask.nets.dsnet import drtm, edrfm, sdrfm
from softmask.nets.softgan import CBAMBlock
from softmask.report import diagrams


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("inputs", [6, 8])
def test_a_block_in_steps_gives_what_the_block_gives(inputs):
    block, x = CBAMBlock(inputs, 8).eval(), torch.randn(2, inputs, 12, 10)
    torch.testing.assert_close(drawn.DrawnCBAM(block)(x), block(x))


@pytest.mark.parametrize("module", [drtm, sdrfm])
def test_a_transfer_in_steps_gives_what_the_transfer_gives(module):
    transfer, x = module(6), torch.randn(2, 8, 12, 10)
    torch.testing.assert_close(drawn.DrawnTransfer(transfer)(x[:, :1], x[:, 1:2], x[:, 2:]), transfer(x))


def test_the_transfers_steps_are_boxes_in_the_order_of_the_equations():
    x = torch.zeros(1, 6, 16, 16)
    boxes = diagrams.trace(
        drawn.DrawnTransfer(drtm(6)), [x[:, :1], x[:, 1:2], x + 1], ["image", "super-resolved", "features"], layers=True
    )
    labels = [box.label for box in boxes[3:]]
    assert labels[:3] == ["conv 3×3, ReLU", "conv 1×1", "conv 3×3, dilation 2"]
    assert labels[3].endswith("$F_h$")
    assert labels[6:9] == ["dense layer, ReLU", "dense layer", "dense layer"]
    assert boxes[-1].sources == (3, 7, 12)
    assert [box.size for box in boxes[8:13]] == [1] * 5


def test_figures_can_be_drawn():
    for fig in (drawn.cbam(), drawn.transfer(drtm), drawn.transfer(edrfm), drawn.overview("dsnet", "DRTM", [])):
        fig.canvas.draw()
        plt.close(fig)


def test_the_overview_names_the_transfer_once():
    fig = drawn.overview("dsnet_v1", "SDRFM", [("tanh", "L1")])
    assert [text.get_text() for text in fig.axes[0].texts].count("SDRFM") == 1
    plt.close(fig)
