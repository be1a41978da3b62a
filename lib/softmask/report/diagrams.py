"""Networks drawn from the modules themselves: one forward pass tells which layers there are, how large, and what joins.

A box is a layer, or the largest part that keeps the image's size all the way through. Its height is the height of what
it gives; above it stand its channels, below it its kernel and stride. Arrows that bow over boxes are skip connections.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from softmask.errors import ConfigError
from softmask.report import figures

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import nn

INPUT, KEEPS, SHRINKS, GROWS = "input", "keeps the size", "makes smaller", "makes larger"
_COLORS = {INPUT: "0.8", KEEPS: figures.COLORS[1], SHRINKS: figures.COLORS[0], GROWS: figures.COLORS[2]}
_WORDS = {
    "ConvTranspose": "transposed conv",
    "Conv": "conv",
    "BatchNorm": "batch norm",
    "Pool": "pool",
    "Linear": "dense layer",
}
LEAST_HEIGHT = 0.02
"""Of the tallest box: what is pooled to one pixel can still be seen."""


@dataclass
class Box:
    """One box of a diagram.

    Attributes:
        label: in words, with kernels and strides: ``conv 4×4, stride 2, ReLU``.
        channels, size: of its output; the size is the height in pixels.
        kind: ``input``, ``keeps the size``, ``makes smaller`` or ``makes larger``.
        sources: places, in the list of boxes, of those whose outputs it takes.
    """

    label: str
    channels: int
    size: int
    kind: str
    sources: tuple[int, ...] = ()


@dataclass
class _Trace:
    """Which box each tensor comes from; tensors are kept, so that no other gets the address of one that is gone."""

    boxes: list[Box] = field(default_factory=list)
    origins: dict[int, frozenset[int]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)
    inside: bool = False

    def of(self, *values: Any) -> frozenset[int]:
        return frozenset().union(*(self.origins.get(id(tensor), ()) for tensor in _tensors(values)))

    def set(self, value: Any, origin: frozenset[int]) -> None:
        for tensor in _tensors(value):
            self.origins[id(tensor)] = origin
            self.kept.append(tensor)


def _tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in ``value``, which may be nested lists, tuples and mappings."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for one in value for tensor in _tensors(one)] if isinstance(value, list | tuple) else []


def trace(network: nn.Module, inputs: Sequence[torch.Tensor], names: Sequence[str], layers: bool = False) -> list[Box]:
    """The boxes of ``network`` in the order in which it runs on ``inputs``, each (1, C, H, W), called ``names``.

    Args:
        layers: every layer its own box, for a network that never changes the size.

    Raises:
        ConfigError: for another number of names than of inputs.
    """
    import torch

    if len(names) != len(inputs):
        raise ConfigError(f"{len(names)} names for {len(inputs)} inputs; give one for each")
    found = _Trace()
    for name, value in zip(names, inputs, strict=True):
        found.boxes.append(Box(name, value.shape[1], value.shape[2], INPUT))
        found.set(value, frozenset([len(found.boxes) - 1]))
    training = network.training
    network.eval()
    try:
        units = _leaves(network) if layers else _units(network, inputs)
        with torch.no_grad(), _hooked(units, found), _following(found):
            network(*inputs)
    finally:
        network.train(training)
    return found.boxes


def _leaves(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if not list(module.children())]


def _units(network: nn.Module, inputs: Sequence[torch.Tensor]) -> list[nn.Module]:
    """The largest parts of ``network`` within which nothing changes the size; below others, their layers."""
    import torch

    sizes: dict[nn.Module, set[int]] = {}

    def look(module: nn.Module, given: tuple, named: dict, output: Any) -> None:
        seen = sizes.setdefault(module, set())
        seen.update(tensor.shape[2] for tensor in _tensors([given, named, output]) if tensor.ndim == 4)

    with ExitStack() as stack, torch.no_grad():
        for module in network.modules():
            stack.callback(module.register_forward_hook(look, with_kwargs=True).remove)
        network(*inputs)

    def largest(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            called = [sizes[part] for part in child.modules() if part in sizes]
            # attention pools to 1 x 1 on the side: what counts is what enters and leaves a part, and its own layers
            steady = child in sizes and len(set().union(*called) - {1}) <= 1 and len(sizes[child]) == 1
            if child in sizes and (steady or not list(child.children())):
                yield child
            else:
                yield from largest(child)

    return list(largest(network))


@contextmanager
def _hooked(units: Sequence[nn.Module], found: _Trace) -> Iterator[None]:
    """While it lasts, every call of a unit adds a box."""

    def enter(module: nn.Module, given: tuple) -> None:
        found.inside = True

    def leave(module: nn.Module, given: tuple, named: dict, output: torch.Tensor) -> None:
        found.inside = False
        sources, words, last = found.of(given, named), _describe(module), found.boxes[-1]
        before, after = _tensors([given, named])[0], output
        labelled = hasattr(module, "label")
        if _is_small(module) and not labelled and last.kind != INPUT and sources == {len(found.boxes) - 1}:
            last.label += f", {words}"  # what acts on single pixels belongs to the layer before it
            found.set(output, sources)
            return
        high, low = _height(before), _height(after)
        kind = KEEPS if low == high else SHRINKS if low < high else GROWS
        found.boxes.append(Box(words, after.shape[1], low, kind, tuple(sorted(sources))))
        found.set(output, frozenset([len(found.boxes) - 1]))

    with ExitStack() as stack:
        for module in units:
            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
        yield


@contextmanager
def _following(found: _Trace) -> Iterator[None]:
    """While it lasts, what functions outside boxes make of tensors (cat, +, ...) comes from the same boxes."""
    from torch.overrides import TorchFunctionMode

    class Follow(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if not found.inside:
                origin = found.of(args, kwargs)
                if origin:
                    found.set(result, origin)
            return result

    with Follow():
        yield


def _height(tensor: torch.Tensor) -> int:
    """In pixels; 1 of a vector (B, C)."""
    return tensor.shape[2] if tensor.ndim == 4 else 1


def _is_small(module: nn.Module) -> bool:
    """Whether it holds neither kernel nor full connection: activation, normalisation, dropout."""
    return not any(hasattr(part, "kernel_size") or hasattr(part, "in_features") for part in module.modules())


def _describe(module: nn.Module) -> str:
    """Kernel and stride of a layer; of a larger part name and kernels, 1 x 1 only where there are no others. A module
    with a ``label`` says it itself."""
    if hasattr(module, "label"):
        return module.label
    name = type(module).__name__
    if list(module.children()) and _is_small(module):
        return ", ".join(map(_describe, _leaves(module)))
    if list(module.children()):
        kernels = [_size(part.kernel_size) for part in module.modules() if _is_conv(part)]
        kernels = [kernel for kernel in kernels if kernel != "1×1"] or kernels
        named = kernels if len(kernels) <= 3 else [f"{len(kernels)} of {' and '.join(sorted(set(kernels)))}"]
        own = "convs" if name in ("Sequential", "ModuleList") else f"{name}:"
        return f"{own} {', '.join(named)}" if kernels else name
    for key, words in _WORDS.items():
        if key in name:
            name = words
            break
    if not hasattr(module, "kernel_size"):
        return name
    stride, dilation = _pair(module.stride)[0], _pair(getattr(module, "dilation", 1))[0]
    named = f"{name} {_size(module.kernel_size)}" + (f", stride {stride}" if stride > 1 else "")
    return named + (f", dilation {dilation}" if dilation > 1 else "")


def _is_conv(module: nn.Module) -> bool:
    return "Conv" in type(module).__name__ and hasattr(module, "kernel_size")


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    return (value, value) if isinstance(value, int) else value


def _size(kernel: int | Sequence[int]) -> str:
    return "×".join(map(str, _pair(kernel)))


def draw(ax: Axes, boxes: Sequence[Box]) -> None:
    """Draw ``boxes`` from left to right; x counts boxes, y pixels from the middle."""
    from matplotlib.patches import Rectangle

    tallest, widest = max(box.size for box in boxes), max(box.channels for box in boxes)
    half = [0.12 + 0.22 * math.log2(1 + box.channels) / math.log2(1 + widest) for box in boxes]  # of a box's width
    for x, box in enumerate(boxes):
        height = max(box.size, LEAST_HEIGHT * tallest)
        low = (x - half[x], -height / 2)
        ax.add_patch(Rectangle(low, 2 * half[x], height, facecolor=_COLORS[box.kind], edgecolor="black"))
        ax.text(x, box.size / 2 + 0.02 * tallest, str(box.channels), ha="center", va="bottom", fontsize=12)
        ax.text(x, -0.56 * tallest, box.label, ha="center", va="top", rotation=90, fontsize=12)
    gap = 0.06 * tallest
    skyline = [box.size / 2 + 2.5 * gap for box in boxes]  # the lowest free height above each box and its number
    edges = [(source, x) for x, box in enumerate(boxes) for source in box.sources]
    for source, x in sorted(edges, key=lambda edge: edge[1] - edge[0]):
        left, right = source + half[source], x - half[x]
        height = max(skyline[source + 1 : x], default=0)
        if x - source == 1 or height + gap < min(boxes[source].size, boxes[x].size) / 2:  # straight on
            _arrow(ax, [(left, height), (right, height)])
            skyline[source + 1 : x] = [height + gap] * (x - source - 1)
        else:
            height = max(skyline[source : x + 1])
            start, end = (boxes[place].size / 2 + 2.5 * gap for place in (source, x))
            _arrow(ax, [(source, start), (source, height + gap), (x, height + gap), (x, end)])
            skyline[source : x + 1] = [height + gap] * (x - source + 1)
    ax.set(xlim=(-0.7, len(boxes) - 0.3), ylim=(-0.56 * tallest, max(skyline) + gap))
    ax.set_axis_off()


def _arrow(ax: Axes, points: Sequence[tuple[float, float]]) -> None:
    if len(points) > 2:
        ax.plot(*zip(*points[:-1], strict=True), color="0.25", linewidth=1.6, solid_joinstyle="miter")
    arrow = {"arrowstyle": "-|>", "color": "0.25", "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 13}
    ax.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow)


def diagram(
    boxes: Sequence[Box], losses: Sequence[tuple[str, str]] = (), size: tuple[float, float] = (13, 6)
) -> Figure:
    """A figure of ``boxes``, with what becomes of the output at its right: (what is made of it, the loss of that)."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    fig, ax = plt.subplots(figsize=size)
    draw(ax, boxes)
    if losses:
        _losses(ax, boxes, losses)
    kinds = [kind for kind in _COLORS if any(box.kind == kind for box in boxes)]
    patches = [Patch(facecolor=_COLORS[kind], edgecolor="black", label=kind) for kind in kinds]
    fig.legend(handles=patches, loc="outside lower center", ncols=len(patches))
    return fig


def _losses(ax: Axes, boxes: Sequence[Box], losses: Sequence[tuple[str, str]]) -> None:
    """What becomes of the last box's output, one below another, with arrows from the box."""
    last, tallest = len(boxes) - 1, max(box.size for box in boxes)
    frame = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "black"}
    for i, (made, loss) in enumerate(losses):
        y = tallest * (0.5 - (i + 0.5) / len(losses))
        _arrow(ax, [(last + 0.3, 0), (last + 1.2, y)])
        ax.text(last + 1.3, y, f"{made}\n{loss}", ha="left", va="center", fontsize=12, bbox=frame)
    ax.set_xlim(right=last + 5.8)
