"""Segmentors that are not networks: max-flow, level sets and morphology behind one interface, found by name."""

from importlib import import_module

import numpy as np

from softmask.errors import ConfigError


class ClassicalSegmentor:
    """Base of the classical segmentors: a subclass implements :meth:`segment`, and :meth:`learn` where it learns.

    Attributes:
        NEEDS_PROBABILITIES: whether it starts from a network's probabilities.
        LEARNS: whether :meth:`fit` must come before :meth:`predict`.
        NATIVE: whether it is given lung slices at the size that the scanner stored.
    """

    NEEDS_PROBABILITIES = False
    LEARNS = True
    NATIVE = False

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Take what is needed from training images (N, H, W) in [0, 1] and their masks (N, H, W) bool."""

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        """Return the lesion (H, W) bool in ``image`` (H, W), from the network's ``probability`` (H, W) where needed."""
        raise NotImplementedError

    def fit(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Learn from training images (N, 1, H, W) in [0, 1] and their masks (N, 1, H, W) of {0, 1}."""
        self.learn(_unit(images), masks[:, 0].astype(bool))

    def predict(self, images: np.ndarray, probabilities: np.ndarray | None = None) -> np.ndarray:
        """Return the lesion (N, 1, H, W) float32 of {0, 1} in each of ``images`` (N, 1, H, W) in [0, 1].

        Args:
            probabilities: (N, 1, H, W) in [0, 1], a network's; looked at only by those that need them.
        """
        starts = _unit(probabilities) if self.NEEDS_PROBABILITIES else [None] * len(images)
        lesions = [self.segment(image, start) for image, start in zip(_unit(images), starts, strict=True)]
        return np.stack(lesions)[:, None].astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    """(N, H, W) float64 in [0, 1] of (N, 1, H, W), which resampling in float32 may leave a little outside."""
    return np.asarray(values, dtype=float)[:, 0].clip(0, 1)


CLASSICAL = {
    # name: "file:class"
    "graph_cut": "graph_cut:GraphCut",
    "graph_cut_deep": "graph_cut_deep:DeepGraphCut",
    "level_set_deep": "level_set_deep:DeepLevelSet",
    "morph": "morph:Morph",
}


def classical(name: str) -> ClassicalSegmentor:
    """Return a segmentor that has learned nothing yet. Raises ConfigError, listing the valid names, for others."""
    if name not in CLASSICAL:
        raise ConfigError(f"unknown classical segmentor {name!r}; choose one of {', '.join(sorted(CLASSICAL))}")
    module, _, segmentor = CLASSICAL[name].partition(":")
    return getattr(import_module(f"softmask.nets.{module}"), segmentor)()
