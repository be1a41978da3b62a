"""Segmentors that are not networks: max-flow, level sets and morphology behind one interface, found by name.

Graph cut: Boykov and Funka-Lea, "Graph Cuts and Efficient N-D Image Segmentation", IJCV 2006, by PyMaxflow. Differs
from the publication: training images instead of a user's strokes give the histograms of grey values and a prior of
place (how often a training mask covers the pixel); the weight of the edges is the one of a few that segments them best.

Deep graph cut: Mukherjee, Huang and Bhagalia, "Lung nodule segmentation using deep learned prior based graph cut", ISBI
2017, as the CasGAN paper summarises it. Differs from the publication: two dimensions, and the map of any network alone
in the links to source and sink. The weight of the edges is fixed, since a network's probabilities on its training
images are too good to choose by.

Level set: Roy, Chakraborti and Chowdhury, "A deep learning-shape driven level set synergism for pulmonary nodule
segmentation", Pattern Recognition Letters 2019, as the CasGAN paper summarises it; morphological Chan-Vese evolution
(Márquez-Neila, Baumela and Álvarez, PAMI 2014) by scikit-image. The shape term is this workbook's: the two-phase model
divides the sum of the grey value, scaled to 0 outside and 1 inside the network's mask, and of a ramp that falls from 1
to 0 across that mask's contour and counts twice as much, so that a bright neighbour is included only near the contour.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from softmask.errors import DataError, unknown
from softmask.measure.segmentation import dice

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # half of the eight, so that each pair of pixels occurs once
SMOOTHNESS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # weights of the edges to choose from
BINS = 32  # of the histogram of grey values
PLACE_SIGMA = 2.0  # pixels; few training masks leave the prior of place ragged
DEEP_SMOOTHNESS = 1.0
CERTAINTY = 0.99  # bound of a network's probabilities: otherwise no edge could overrule a saturated network
REACH = 2  # half the width of the ramp, in pixels; chosen, like its weight, on simulated training nodules
SHAPE_WEIGHT = 2.0  # of the ramp, against the grey value's 1
STEPS = 8  # of about one pixel; even, as scikit-image's smoothing alternates between two operators from call to call


class ClassicalSegmentor:
    """Base of the classical segmentors: a subclass implements :meth:`segment`, and :meth:`learn` if it learns.

    Attributes:
        NEEDS_PROBABILITIES: whether it starts from a network's probabilities.
        LEARNS: whether :meth:`fit` must come before :meth:`predict`.
        NATIVE: whether it is given lung slices at the size that the scanner stored.
    """

    NEEDS_PROBABILITIES = False
    LEARNS = True
    NATIVE = False

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Learn from training images (N, H, W) in [0, 1] and their masks (N, H, W) bool."""

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        """Return the lesion (H, W) bool in ``image`` (H, W), from the network's ``probability`` (H, W) if needed."""
        raise NotImplementedError

    def fit(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Learn from training images (N, 1, H, W) in [0, 1] and their masks (N, 1, H, W) of {0, 1}."""
        self.learn(_unit(images), masks[:, 0].astype(bool))

    def predict(self, images: np.ndarray, probabilities: np.ndarray | None = None) -> np.ndarray:
        """Return the lesion (N, 1, H, W) float32 of {0, 1} in each of ``images`` (N, 1, H, W) in [0, 1], with a
        network's ``probabilities`` (N, 1, H, W)."""
        starts = _unit(probabilities) if self.NEEDS_PROBABILITIES else [None] * len(images)
        lesions = [self.segment(image, start) for image, start in zip(_unit(images), starts, strict=True)]
        return np.stack(lesions)[:, None].astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    """(N, H, W) float64 in [0, 1] of (N, 1, H, W), which resampling in float32 may leave a little outside."""
    return np.asarray(values, dtype=float)[:, 0].clip(0, 1)


def contrast_of(images: np.ndarray) -> float:
    """Return the root mean square difference of neighbouring pixels in ``images`` (N, H, W). Raises DataError where all
    are flat."""
    rows, columns = np.diff(images, axis=-2), np.diff(images, axis=-1)
    contrast = float(np.sqrt((np.sum(rows**2) + np.sum(columns**2)) / (rows.size + columns.size)))
    if not contrast:
        raise DataError("the training images are flat: there is no contrast to learn from")
    return contrast


def cut(log_odds: np.ndarray, image: np.ndarray, contrast: float, smoothness: float) -> np.ndarray:
    """Return the labelling L (H, W) bool that minimises E(L), exactly.

    E(L) = sum over pixels p outside L of max(o_p, 0), and inside of max(-o_p, 0), + smoothness times the sum over
    neighbours p, q that L separates of exp(-(I_p - I_q)^2 / (2 contrast^2)) / |p - q|, with the log odds of lesion
    against background o and the image I, (H, W) each.
    """
    import maxflow

    graph = maxflow.Graph[float]()
    nodes = graph.add_grid_nodes(image.shape)
    for row, column in NEIGHBOURS:
        # the roll wraps round the border, but PyMaxflow makes no edge there
        difference = image - np.roll(image, (-row, -column), axis=(0, 1))
        weights = smoothness * np.exp(-(difference**2) / (2 * contrast**2)) / np.hypot(row, column)
        step = np.zeros((3, 3))
        step[1 + row, 1 + column] = 1
        graph.add_grid_edges(nodes, weights, step, symmetric=True)
    graph.add_grid_tedges(nodes, np.maximum(log_odds, 0), np.maximum(-log_odds, 0))
    graph.maxflow()
    return ~graph.get_grid_segments(nodes)  # the source's side is the lesion


class GraphCut(ClassicalSegmentor):
    """Max-flow with the likelihoods of grey values and places learned from training images, all of one size."""

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        grey = _bins(images)
        lesion, background = (np.bincount(grey[where], minlength=BINS) + 1.0 for where in (masks, ~masks))
        self.grey_odds = np.log(lesion / lesion.sum()) - np.log(background / background.sum())  # (BINS,)
        covered = (masks.sum(axis=0) + 1.0) / (len(masks) + 2.0)  # (H, W), never 0 or 1
        place = gaussian_filter(covered, PLACE_SIGMA, mode="nearest")
        self.place_odds = np.log(place) - np.log1p(-place)
        self.contrast = contrast_of(images)

        def training_dice(smoothness: float) -> float:
            cuts = [cut(self.log_odds(image), image, self.contrast, smoothness) for image in images]
            return float(dice(np.stack(cuts), masks).mean())

        self.smoothness = max(SMOOTHNESS, key=training_dice)

    def log_odds(self, image: np.ndarray) -> np.ndarray:
        """Return the log odds (H, W) of lesion against background, from grey value and place."""
        return self.grey_odds[_bins(image)] + self.place_odds

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        return cut(self.log_odds(image), image, self.contrast, self.smoothness)


def _bins(images: np.ndarray) -> np.ndarray:
    """Histogram bin of each pixel of images in [0, 1]."""
    return np.minimum((images * BINS).astype(int), BINS - 1)


class DeepGraphCut(ClassicalSegmentor):
    """Max-flow with the log odds of a network's probabilities."""

    NEEDS_PROBABILITIES = True

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        self.contrast = contrast_of(images)

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        probability = np.clip(probability, 1 - CERTAINTY, CERTAINTY)
        return cut(np.log(probability) - np.log1p(-probability), image, self.contrast, DEEP_SMOOTHNESS)


class DeepLevelSet(ClassicalSegmentor):
    """Chan-Vese evolution with a shape term, from a network's mask (its probabilities binarised at 0.5)."""

    NEEDS_PROBABILITIES = True
    LEARNS = False

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        mask = probability >= 0.5
        lesion = np.zeros_like(mask)
        if mask.any():
            # pixels farther away must not enter the mean of the background
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            near = tuple(slice(max(at[0] - 2 * REACH, 0), at[-1] + 1 + 2 * REACH) for at in (rows, columns))
            lesion[near] = evolve(image[near], mask[near])
        return lesion


def evolve(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ``mask`` (H, W) bool, not empty, after the evolution of its contour on ``image`` (H, W).

    ``mask`` itself, if there is no background or smoothing removes the whole of a small lesion.
    """
    from skimage.segmentation import morphological_chan_vese

    if mask.all():
        return mask
    inside, outside = image[mask].mean(), image[~mask].mean()
    grey = np.clip((image - outside) / (inside - outside), 0, 1) if inside != outside else np.zeros(image.shape)
    # half a pixel less, since distances are to the nearest pixel's centre and the contour runs between pixels
    outwards = np.where(mask, 0.5 - distance_transform_edt(mask), distance_transform_edt(~mask) - 0.5)
    shape = np.clip(0.5 - outwards / (2 * REACH), 0, 1)
    evolved = morphological_chan_vese(grey + SHAPE_WEIGHT * shape, STEPS, init_level_set=mask, smoothing=1) > 0
    return evolved if evolved.any() else mask


class Morph(ClassicalSegmentor):
    """:func:`softmask.nets.morph.lungs` on grey images of the lung window."""

    LEARNS = False
    NATIVE = True

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        from softmask.data.image_files import LUNG_WINDOW
        from softmask.nets.morph import lungs

        low, high = LUNG_WINDOW
        return lungs(low + image * (high - low))


CLASSICAL: Mapping[str, type[ClassicalSegmentor]] = MappingProxyType(
    {"graph_cut": GraphCut, "graph_cut_deep": DeepGraphCut, "level_set_deep": DeepLevelSet, "morph": Morph}
)


def classical(name: str) -> ClassicalSegmentor:
    """Return a segmentor that has learned nothing yet. Raises ConfigError, listing the valid names, for others."""
    if name not in CLASSICAL:
        raise unknown("classical segmentor", name, sorted(CLASSICAL))
    return CLASSICAL[name]()
