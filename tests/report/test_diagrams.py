"""Diagrams of small modules whose layers and connections are known, and of the workbook's own."""

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets import NETWORKS, build
from softmask.nets.softgan import PixelDiscriminator
from softmask.report import diagrams
from softmask.report.diagrams import GROWS, INPUT, KEEPS, SHRINKS, Box

IMAGE = torch.zeros(1, 1, 64, 64)


class Skipping(nn.Module):
    """conv, pool, block, up; the first conv's output joins behind the up-sampling."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.block = nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 5, padding=2)
        )
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        fine = F.relu(self.first(x))
        coarse = self.up(self.block(self.pool(fine)))
        return self.last(torch.cat([fine, coarse], dim=1))


def test_layers_sizes_and_connections_are_the_modules_own():
    assert diagrams.trace(Skipping(), [IMAGE], ["image"]) == [
        Box("image", 1, 64, INPUT),
        Box("conv 3×3", 4, 64, KEEPS, (0,), "encoder"),
        Box("pool 2×2, stride 2", 4, 32, SHRINKS, (1,), "encoder"),
        Box("convs 3×3, 5×5", 8, 32, KEEPS, (2,)),
        Box("transposed conv 2×2, stride 2", 4, 64, GROWS, (3,), "decoder"),
        Box("conv 1×1", 1, 64, KEEPS, (1, 4), "decoder"),
    ]


def test_the_segmentors_skips_join_levels_of_one_size():
    boxes = diagrams.trace(build("improved_backbone", 4), [IMAGE], ["image"])
    assert len(boxes) == 19
    skips = [(i, x) for x, box in enumerate(boxes) for i in box.sources if x - i > 1]
    assert skips == [(7, 11), (5, 13), (3, 15), (1, 17)]
    assert all(boxes[i].size == boxes[x].size for i, x in skips)
    assert [box.size for box in boxes if box.kind == SHRINKS] == [32, 16, 8, 4]
    assert boxes[1].label == "CBAMBlock: 3×3, 3×3, 7×7"
    assert boxes[2].label == "conv 4×4, stride 2, ReLU"


def test_the_discriminator_takes_both_inputs_at_once():
    boxes = diagrams.trace(PixelDiscriminator(8), [IMAGE, IMAGE + 1], ["image", "mask"], layers=True)
    assert [box.label for box in boxes[2:]] == ["conv 3×3, LeakyReLU", "conv 3×3, batch norm, LeakyReLU", "conv 3×3"]
    assert boxes[2].sources == (0, 1)


@pytest.mark.parametrize("name", ["unet3plus", "dbresnet"])
def test_other_networks_can_be_drawn(name):
    network = build(name, NETWORKS[name].smoke).train()
    boxes = diagrams.trace(network, [IMAGE], ["image"])
    assert network.training
    assert boxes[0].kind == INPUT
    assert all(box.sources and max(box.sources) < x for x, box in enumerate(boxes) if x)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    plt.close(diagrams.diagram(boxes))


def test_few_boxes_have_their_words_below_them():
    boxes = [Box("image, enlarged", 1, 64, INPUT), Box("conv 3×3, batch norm", 4, 64, KEEPS, (0,))]
    fig = diagrams.diagram(boxes, [("tanh", "GAN loss", "discriminator")], size=(8, 4))
    words = {text.get_text().replace("\n", " ") for text in fig.axes[0].texts}
    assert {"image, enlarged", "conv 3×3, batch norm", "discriminator"} <= words
    assert not fig.legends[0].get_texts()[2:]
    plt.close(fig)


def test_parts_that_are_named_have_a_bracket_each():
    boxes = diagrams.trace(Skipping(), [IMAGE], ["image"], parts={"block": "middle", "last": "head"})
    assert [box.part for box in boxes] == ["", "", "", "middle", "", "head"]
    fig = diagrams.diagram(boxes)
    assert {"middle", "head"} <= {text.get_text() for text in fig.axes[0].texts}
    plt.close(fig)


def test_every_connection_is_an_arrow_and_every_box_has_its_words():
    boxes = diagrams.trace(Skipping(), [IMAGE], ["image"])
    fig = diagrams.diagram(boxes, [("sigmoid", "Dice loss")], size=(8, 5))
    words = {text.get_text() for text in fig.axes[0].texts}
    letters = "abcdef"
    assert {*letters, "8", "sigmoid\nDice loss", "encoder", "decoder"} <= words
    key = [text.get_text() for text in fig.legends[0].get_texts()]
    assert key[-6:] == [f"{letter}   {box.label}" for letter, box in zip(letters, boxes, strict=True)]
    arrows = [text for text in fig.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == sum(len(box.sources) for box in boxes) + 1
    heights = {patch.get_height() for patch in fig.axes[0].patches if patch.get_height() >= 32}
    assert heights == {32, 64}
    plt.close(fig)


@pytest.mark.parametrize("dpi", [80, 200])
def test_an_arrow_begins_where_the_frame_before_it_ends_whatever_the_resolution(dpi):
    boxes = diagrams.trace(Skipping(), [IMAGE], ["image"])
    fig = diagrams.diagram(boxes, [("sigmoid of a long name", "Dice loss", "judge")], size=(9, 5))
    fig.set_dpi(dpi)
    fig.draw_without_rendering()
    made, judge = (text for text in fig.axes[0].texts if text.get_bbox_patch())
    end, begin = (text.get_bbox_patch().get_window_extent() for text in (made, judge))
    arrow = judge.arrow_patch.get_window_extent()
    assert (arrow.x0, arrow.x1) == pytest.approx((end.x1, begin.x0), abs=0.05 * dpi)
    assert begin.x1 < fig.bbox.x1
    plt.close(fig)
