"""Segmentors that are not networks: max-flow, level sets and morphology behind one interface, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from softmask.errors import ConfigError, DataError

_ROUNDING = 1e-6  # what resampling in float32 may leave outside [0, 1]


class ClassicalSegmentor:
    """Base of the classical segmentors: checks what :meth:`fit` and :meth:`predict` are given.

    A subclass implements :meth:`segment`, and :meth:`learn` where there is something to learn.

    Attributes:
        NEEDS_PROBABILITIES: whether it starts from a network's probabilities.
        LEARNS: whether :meth:`fit` must come before :meth:`predict`.
        NATIVE: whether it is given lung slices at the size that the scanner stored.
    """

    NEEDS_PROBABILITIES: ClassVar[bool] = False
    LEARNS: ClassVar[bool] = True
    NATIVE: ClassVar[bool] = False

    def __init__(self) -> None:
        self.fitted = False

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Take what is needed from training images (N, H, W) in [0, 1] and their masks (N, H, W) bool."""

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        """(H, W) bool: the lesion in ``image`` (H, W), from the network's ``probability`` (H, W) where needed."""
        raise NotImplementedError

    def fit(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Learn from training images (N, 1, H, W) in [0, 1] and their masks (N, 1, H, W) of {0, 1}.

        Raises:
            DataError: for other shapes or values, no image, or masks without a lesion or without a background.
        """
        images, values = _checked("training images", images), _checked("training masks", masks)
        masks = values.astype(bool)
        if not np.array_equal(masks, values):
            raise DataError("the training masks must hold 0 and 1 only; binarise soft masks first (at 0.5)")
        if images.shape != masks.shape:
            raise DataError(f"training images of shape {images.shape}, but masks of shape {masks.shape}")
        if not masks.any() or masks.all():
            raise DataError("the training masks must hold some lesion and some background")
        self.learn(images[:, 0], masks[:, 0])
        self.fitted = True

    def predict(self, images: np.ndarray, probabilities: np.ndarray | None = None) -> np.ndarray:
        """(N, 1, H, W) float32 of {0, 1}: the lesion in each of ``images`` (N, 1, H, W) in [0, 1].

        Args:
            probabilities: (N, 1, H, W) in [0, 1], a network's; looked at only by those that need them.

        Raises:
            ConfigError: before :meth:`fit`, or without the probabilities that are needed.
            DataError: for other shapes or values.
        """
        name = type(self).__name__
        if self.LEARNS and not self.fitted:
            raise ConfigError(f"{name} has not learned anything yet: call fit with the training images first")
        if self.NEEDS_PROBABILITIES and probabilities is None:
            raise ConfigError(f"{name} starts from a network's probabilities: hand them to predict with the images")
        images = _checked("images", images)
        starts = [None] * len(images)
        if self.NEEDS_PROBABILITIES:
            starts = _checked("probabilities", probabilities)[:, 0]
            if starts.shape != images[:, 0].shape:
                raise DataError(f"images of shape {images.shape}, but probabilities of {np.shape(probabilities)}")
        lesions = [self.segment(image, start) for image, start in zip(images[:, 0], starts, strict=True)]
        return np.stack(lesions)[:, None].astype(np.float32)


def _checked(what: str, values: np.ndarray) -> np.ndarray:
    """(N, 1, H, W) float64 in [0, 1], at least one image."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 4 or values.shape[1] != 1 or not values.size:
        raise DataError(f"the {what} must be (N, 1, H, W) with at least one image, not of shape {values.shape}")
    if not ((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all():
        raise DataError(f"the {what} have values outside [0, 1] or NaN")
    return values.clip(0, 1)


CLASSICAL: Mapping[str, str] = MappingProxyType(
    {
        # name: "file:class"
        "graph_cut": "graph_cut:GraphCut",
        "graph_cut_deep": "graph_cut_deep:DeepGraphCut",
        "level_set_deep": "level_set_deep:DeepLevelSet",
        "morph": "morph:Morph",
    }
)


def classical(name: str) -> ClassicalSegmentor:
    """A segmentor that has learned nothing yet. Raises ConfigError, listing the valid names, for an unknown one."""
    if name not in CLASSICAL:
        raise ConfigError(f"unknown classical segmentor {name!r}; choose one of {', '.join(sorted(CLASSICAL))}")
    module, _, segmentor = CLASSICAL[name].partition(":")
    return getattr(import_module(f"softmask.nets.{module}"), segmentor)()
