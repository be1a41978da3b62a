"""Diagrams of networks, drawn from the modules: one forward pass gives the layers, their sizes and their connections.

A box is a layer, or the largest part of the network that keeps the image size throughout. Its height is the height of
its output. The number of channels stands above it, kernel and stride, or a letter explained in the key, below it.
Arrows that pass over boxes are skip connections; brackets name the parts of a network.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, zip_longest
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.text import OffsetFrom
from torch import nn
from torch.overrides import TorchFunctionMode

from softmask.report.figures import COLORS, legend

INPUT, KEEPS, SHRINKS, GROWS = "input", "keeps the size", "makes smaller", "makes larger"
_COLORS = {INPUT: "0.8", KEEPS: COLORS[1], SHRINKS: COLORS[0], GROWS: COLORS[2]}
_JUDGE = "#F3D9E8"
DISCRIMINATOR = "discriminator:\nimage and mask,\nlabel or predicted?"
"""Label of a discriminator that judges an output of the diagram: its input and its question."""

_ARROW = {"color": "0.25", "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 13}
_CHARACTER, _BESIDE = 0.105, 0.6  # inches: width of a character; of a frame and its arrow without the text
_WORDS = {
    "ConvTranspose": "transposed conv",
    "Conv": "conv",
    "BatchNorm": "batch norm",
    "Pool": "pool",
    "Linear": "dense layer",
}


@dataclass
class Box:
    """One box of a diagram.

    Attributes:
        label: description with kernels and strides: ``conv 4×4, stride 2, ReLU``.
        channels, size: number of channels and height in pixels of the output.
        kind: ``input``, ``keeps the size``, ``makes smaller`` or ``makes larger``.
        sources: indices, in the list of boxes, of the boxes whose outputs it takes.
        part: name of the part of the network to which it belongs.
    """

    label: str
    channels: int
    size: int
    kind: str
    sources: tuple[int, ...] = ()
    part: str = ""


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


class _Trace(TorchFunctionMode):
    """Boxes recorded so far, and the boxes from which each tensor comes.

    While the mode is active, results of functions outside boxes (cat, +, ...) get the origins of their arguments.
    """

    def __init__(self, parts: Mapping[nn.Module, str]) -> None:
        super().__init__()
        self.boxes: list[Box] = []
        self.parts = parts
        self.origins: dict[int, tuple[torch.Tensor, set[int]]] = {}  # tensors are kept, so that no id is used twice
        self.inside = False

    def of(self, *values: Any) -> set[int]:
        return set().union(*(self.origins[id(t)][1] for t in _tensors(values) if id(t) in self.origins))

    def set(self, value: Any, boxes: set[int]) -> None:
        self.origins |= {id(tensor): (tensor, boxes) for tensor in _tensors(value)}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not self.inside and (origin := self.of(args, kwargs)):
            self.set(result, origin)
        return result

    def enter(self, module: nn.Module, given: tuple) -> None:
        self.inside = True

    def leave(self, module: nn.Module, given: tuple, named: dict, output: torch.Tensor) -> None:
        """Add the box of a unit that ends, or its description to the previous box (forward hook)."""
        self.inside = False
        sources, label, last = self.of(given, named), _describe(module), len(self.boxes) - 1
        if _is_small(module) and not hasattr(module, "label") and self.boxes[-1].kind != INPUT and sources == {last}:
            self.boxes[-1].label += f", {label}"  # pixelwise operations belong to the previous layer
            self.set(output, sources)
            return
        before, after = (t.shape[2] if t.ndim == 4 else 1 for t in (_tensors([given, named])[0], output))
        kind = KEEPS if before == after else SHRINKS if after < before else GROWS
        self.boxes.append(Box(label, output.shape[1], after, kind, tuple(sorted(sources)), self.parts.get(module, "")))
        self.set(output, {last + 1})


def trace(
    network: nn.Module,
    inputs: Sequence[torch.Tensor],
    names: Sequence[str],
    layers: bool = False,
    parts: Mapping[str, str] | None = None,
) -> list[Box]:
    """Return the boxes of ``network`` in the order of execution on ``inputs``, each (1, C, H, W), called ``names``.

    Args:
        layers: draw every layer as its own box, for a network that never changes the size.
        parts: titles of submodules, by the submodule's name. Without any, the boxes up to the smallest output are the
            encoder, and those from the first larger output after it are the decoder.
    """
    titles = {network.get_submodule(name): title for name, title in (parts or {}).items()}
    traced = _Trace({module: title for part, title in titles.items() for module in part.modules()})
    for index, (name, value) in enumerate(zip(names, inputs, strict=True)):
        traced.boxes.append(Box(name, value.shape[1], value.shape[2], INPUT))
        traced.set(value, {index})
    was_training = network.training
    network.eval()
    try:
        with ExitStack() as stack, torch.no_grad():
            for module in _leaves(network) if layers else _units(network, inputs):
                stack.callback(module.register_forward_pre_hook(traced.enter).remove)
                stack.callback(module.register_forward_hook(traced.leave, with_kwargs=True).remove)
            stack.enter_context(traced)
            network(*inputs)
    finally:
        network.train(was_training)
    if not parts:
        _encoder_and_decoder(traced.boxes)
    return traced.boxes


def _encoder_and_decoder(boxes: Sequence[Box]) -> None:
    smallest = min(range(len(boxes)), key=lambda place: boxes[place].size)
    larger = [place for place, box in enumerate(boxes) if place > smallest and box.kind == GROWS]
    for place, box in enumerate(boxes):
        if larger and box.kind != INPUT and not smallest < place < larger[0]:
            box.part = "encoder" if place <= smallest else "decoder"


def _leaves(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if not list(module.children())]


def _units(network: nn.Module, inputs: Sequence[torch.Tensor]) -> list[nn.Module]:
    """Return the largest parts of ``network`` that keep the size throughout, and the single layers of other parts."""
    sizes: dict[nn.Module, set[int]] = {}

    def record_heights(module: nn.Module, given: tuple, named: dict, output: Any) -> None:
        heights = {tensor.shape[2] for tensor in _tensors([given, named, output]) if tensor.ndim == 4}
        sizes.setdefault(module, set()).update(heights)

    with ExitStack() as stack:
        for module in network.modules():
            stack.callback(module.register_forward_hook(record_heights, with_kwargs=True).remove)
        network(*inputs)

    def largest_parts(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            part_sizes = [sizes[part] for part in child.modules() if part in sizes]
            # size 1 is ignored inside a part: attention pools to 1 x 1 in a side branch
            keeps_size = child in sizes and len(set().union(*part_sizes) - {1}) <= 1 and len(sizes[child]) == 1
            if child in sizes and (keeps_size or not list(child.children())):
                yield child
            else:
                yield from largest_parts(child)

    return list(largest_parts(network))


def _is_small(module: nn.Module) -> bool:
    """Return whether a module has no kernel and no dense layer: activation, normalisation, dropout."""
    return not any(hasattr(part, "kernel_size") or hasattr(part, "in_features") for part in module.modules())


def _describe(module: nn.Module) -> str:
    """Return kernel and stride of a layer, or name and kernels of a larger part (1 x 1 only where it has no others). A
    module with a ``label`` is described by it."""
    if hasattr(module, "label"):
        return module.label
    name = type(module).__name__
    if list(module.children()) and _is_small(module):
        return ", ".join(map(_describe, _leaves(module)))
    if list(module.children()):
        convs = [part for part in _leaves(module) if "Conv" in type(part).__name__]
        kernels = ["×".join(map(str, part.kernel_size)) for part in convs]
        kernels = [kernel for kernel in kernels if kernel != "1×1"] or kernels
        texts = kernels if len(kernels) <= 3 else [f"{len(kernels)} of {' and '.join(sorted(set(kernels)))}"]
        prefix = "convs" if name in ("Sequential", "ModuleList") else f"{name}:"
        return f"{prefix} {', '.join(texts)}" if kernels else name
    name = next((layer for key, layer in _WORDS.items() if key in name), name)
    if not hasattr(module, "kernel_size"):
        return name
    sizes = [np.broadcast_to(getattr(module, key, 1), 2) for key in ("kernel_size", "stride", "dilation")]
    name += f" {'×'.join(map(str, sizes[0]))}"
    for word, size in zip(("stride", "dilation"), sizes[1:], strict=True):
        name += f", {word} {size[0]}" if size[0] > 1 else ""
    return name


def _arrow(ax: Axes, points: Sequence[tuple[float, float]]) -> None:
    if len(points) > 2:
        ax.plot(*zip(*points[:-1], strict=True), color="0.25", linewidth=1.6, solid_joinstyle="miter")
    ax.annotate("", xy=points[-1], xytext=points[-2], arrowprops=_ARROW | {"arrowstyle": "-|>"})


def diagram(
    boxes: Sequence[Box], losses: Sequence[tuple[str, ...]] = (), size: tuple[float, float] = (13, 5)
) -> Figure:
    """Draw ``boxes`` from left to right, and right of them a line of frames for each entry of ``losses``: first the
    result with its loss, then the discriminators that judge it. x counts boxes, y pixels from the middle.
    """
    fig, ax = plt.subplots(figsize=size)
    tallest, widest = max(box.size for box in boxes), max(box.channels for box in boxes)
    half_widths = [0.12 + 0.22 * math.log2(1 + box.channels) / math.log2(1 + widest) for box in boxes]
    frame_texts = [[f"{result}\n{loss}", *judges] for result, loss, *judges in losses]  # text of each frame, row by row
    columns = zip_longest(*frame_texts, fillvalue="")
    lengths = [max(len(line) for words in column for line in words.split("\n")) for column in columns]
    pitch = (size[0] - sum(length * _CHARACTER + _BESIDE for length in lengths)) / (len(boxes) + 0.4)  # inches per box
    room = int(pitch / _CHARACTER)  # characters below a box
    words, key = _words([box.label for box in boxes], room)
    last_end, last_y = -math.inf, 0.0  # right end and height of the previous number of channels
    for x, (box, word) in enumerate(zip(boxes, words, strict=True)):
        height = max(box.size, 0.02 * tallest)  # keeps an output pooled to one pixel visible
        corner = (x - half_widths[x], -height / 2)
        ax.add_patch(Rectangle(corner, 2 * half_widths[x], height, facecolor=_COLORS[box.kind], edgecolor="black"))
        if x == 0 or boxes[x - 1].channels != box.channels:  # only where it changes, to save space
            y, half_word = height / 2 + 0.02 * tallest, (len(str(box.channels)) + 0.5) * _CHARACTER / pitch / 2
            if x - half_word < last_end and abs(y - last_y) < 0.055 * tallest:
                y = last_y + 0.055 * tallest
            last_end, last_y = x + half_word, y
            ax.text(x, y, str(box.channels), ha="center", va="bottom", fontsize=12)
        ax.text(x, -height / 2 - 0.03 * tallest, word, ha="center", va="top", fontsize=12)
    top = _connections(ax, boxes, half_widths, gap=0.06 * tallest)
    has_parts = any(box.part for box in boxes)
    ax.set(xlim=(-0.7, size[0] / pitch - 0.7), ylim=((-0.85 if has_parts else -0.62) * tallest, top))
    _brackets(ax, [box.part for box in boxes], -0.66 * tallest, 0.03 * tallest)
    ax.set_axis_off()
    kinds = [kind for kind in _COLORS if any(box.kind == kind for box in boxes)]
    entries = {kind: Patch(facecolor=_COLORS[kind], edgecolor="black") for kind in kinds}
    entries |= {f"{letter}   {label}": Patch(visible=False) for label, letter in key.items()}
    legend(fig, entries, columns=4)
    for i, (result, *judges) in enumerate(frame_texts):
        y = tallest * (0.5 - (i + 0.5) / len(frame_texts))
        frame = _framed(ax, result, "white", (len(boxes) - 0.7, 0), (len(boxes) + 0.3, y))
        for words in judges:
            coordinates = {"xycoords": frame, "textcoords": OffsetFrom(frame, (1, 0.5), "points")}
            frame = _framed(ax, words, _JUDGE, (1, 0.5), (72 * _BESIDE, 0), **coordinates)
    return fig


def _framed(
    ax: Axes, words: str, color: str, source: tuple[float, float], place: tuple[float, float], **coordinates: Any
) -> FancyBboxPatch:
    """Write ``words`` beside ``place`` in a frame with an arrow from ``source``, and return the frame."""
    box = {"boxstyle": "round,pad=0.4", "facecolor": color, "edgecolor": "black"}
    arrow = _ARROW | {"arrowstyle": "<|-", "relpos": (0, 0.5)}
    style = {"ha": "left", "va": "center", "fontsize": 12, "bbox": box, "arrowprops": arrow}
    text = ax.annotate(words, source, place, **style, **coordinates)
    text.set_in_layout(False)  # the axes already leave room for it
    return text.get_bbox_patch()


def _words(labels: Sequence[str], room: int) -> tuple[list[str], dict[str, str]]:
    """Return the text below each box, and the key (letters by label). The text is the label in lines of ``room``
    characters, or a letter for each label where a word is longer."""
    if max(len(word) for label in labels for word in label.split()) <= room:
        return ["\n".join(line for part in label.split("\n") for line in wrap(part, room)) for label in labels], {}
    key = dict(zip(dict.fromkeys(labels), string.ascii_letters, strict=False))
    return [key[label] for label in labels], {label.replace("\n", " "): letter for label, letter in key.items()}


def _brackets(ax: Axes, parts: Sequence[str], y: float, height: float) -> None:
    """Draw a bracket with the name of the part below consecutive boxes of one part."""
    for name, group in groupby(range(len(parts)), key=parts.__getitem__):
        indices = list(group)
        first, last = indices[0], indices[-1]
        if name:
            ends = [first - 0.4, first - 0.4, last + 0.4, last + 0.4]
            ax.plot(ends, [y + height, y, y, y + height], color="0.25", linewidth=1.6)
            ax.text((first + last) / 2, y - height, name, ha="center", va="top", fontsize=12)


def _connections(ax: Axes, boxes: Sequence[Box], half: Sequence[float], gap: float) -> float:
    """Draw an arrow to every box from each of its sources, and return the height above all arrows."""
    skyline = [box.size / 2 + 2.5 * gap for box in boxes]  # the lowest free height above each box and its number
    edges = [(source, x) for x, box in enumerate(boxes) for source in box.sources]
    for source, x in sorted(edges, key=lambda edge: edge[1] - edge[0]):
        height = max(skyline[source + 1 : x], default=0)
        if x - source == 1 or height + gap < min(boxes[source].size, boxes[x].size) / 2:  # straight arrow
            _arrow(ax, [(source + half[source], height), (x - half[x], height)])
            skyline[source + 1 : x] = [height + gap] * (x - source - 1)
        else:
            height = max(skyline[source : x + 1])
            start, end = (boxes[index].size / 2 + 2.5 * gap for index in (source, x))
            _arrow(ax, [(source, start), (source, height + gap), (x, height + gap), (x, end)])
            skyline[source : x + 1] = [height + gap] * (x - source + 1)
    return max(skyline) + gap
