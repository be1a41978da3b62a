"""Whole slices whose lungs are sought: shown to a network with fewer pixels, and its answers enlarged again.

As in training (:mod:`softmask.runs.prepared`), and as runs are measured (:mod:`softmask.measure.lungs`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softmask.data.splits import Crop
from softmask.measure.lungs import enlarge
from softmask.nets.base import SegmentationNet
from softmask.runs import inputs
from softmask.runs.spec import RunSpec
from softmask.train.engine import predict


def shown(image: np.ndarray, size: int) -> np.ndarray:
    """A slice (H, W), whole, with (size, size) pixels: each is the mean over the area that it covers, float32.

    Of a bool array the pixels that are at least half True, bool. A slice that is not square is set into the middle of
    a square of zeros (air), so that the chest keeps its proportions.
    """
    side = max(image.shape)
    square = np.pad(image, [(before, side - length - before) for before, length in _places(image.shape)])
    return Crop(0, 0, side, side).of(square, size)


def answers(network: SegmentationNet, spec: RunSpec, slices: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and soft masks, each (N, S, S) float32, for N slices (H, W) in [0, 1]; S is ``spec.size``."""
    seen = np.stack([shown(one, spec.size) for one in slices])[:, None]  # (N, 1, S, S)
    return inputs.read(spec, predict(network, seen))


def enlarged(answers: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(N, H, W) float32: ``answers`` (N, S, S), bilinearly, on the pixels of the slices of that shape (H, W)."""
    side = max(shape)
    (top, height), (left, width) = _places(shape)
    return enlarge(answers, (side, side))[:, top : top + height, left : left + width]


def _places(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Of rows and columns, where they begin in the square around them, and how many they are."""
    return [((max(shape) - length) // 2, length) for length in shape]
