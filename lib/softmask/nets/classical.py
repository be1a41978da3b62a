"""Segmentors that are not networks: max-flow, level sets and morphology, behind one interface, looked up by name.

Graph cut: Boykov and Funka-Lea, "Graph Cuts and Efficient N-D Image Segmentation", IJCV 2006, by PyMaxflow. Differs
from the publication: the histograms of grey values and a spatial prior (how often a training mask covers the pixel)
come from training images instead of a user's strokes; the weight of the edges is chosen from a few values by the mean
Dice on the training images.

Deep graph cut: Mukherjee, Huang and Bhagalia, "Lung nodule segmentation using deep learned prior based graph cut", ISBI
2017, as the CasGAN paper summarises it. Differs from the publication: two dimensions; the links to source and sink
depend only on the probabilities, which may come from any network. The weight of the edges is fixed, because a network's
probabilities on its training images are too accurate to choose the weight by.

Level set: Roy, Chakraborti and Chowdhury, "A deep learning-shape driven level set synergism for pulmonary nodule
segmentation", Pattern Recognition Letters 2019, as the CasGAN paper summarises it; morphological Chan-Vese evolution
(Márquez-Neila, Baumela and Álvarez, PAMI 2014) by scikit-image. The shape term is this workbook's: the two-phase model
segments the sum of two images, the grey values, with means scaled to 0 outside and 1 inside the network's mask, and a
ramp with twice the weight that falls from 1 to 0 across the mask's contour. A bright neighbour is thus included only
near the contour.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from softmask.errors import DataError, unknown
from softmask.measure.segmentation import dice

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # half of the eight neighbours, so that each pair of pixels occurs once
SMOOTHNESS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # weights of the edges to choose from
BINS = 32  # number of bins of the histogram of grey values
PLACE_SIGMA = 2.0  # pixels; smooths the spatial prior, which is ragged with few training masks
DEEP_SMOOTHNESS = 1.0
CERTAINTY = 0.99  # bound of a network's probabilities: otherwise no edge could override a saturated network
REACH = 2  # half the width of the ramp, in pixels; chosen, like SHAPE_WEIGHT, on simulated training nodules
SHAPE_WEIGHT = 2.0  # weight of the ramp; that of the grey value is 1
STEPS = 8  # steps of about one pixel; even, because scikit-image alternates two smoothing operators across calls


class ClassicalSegmentor:
    """Base of the classical segmentors: a subclass implements :meth:`segment`, and :meth:`learn` if it learns.

    Attributes:
        NEEDS_PROBABILITIES: whether the segmentor starts from a network's probabilities.
        LEARNS: whether :meth:`fit` must come before :meth:`predict`.
        NATIVE: whether lung slices are given at the size that the scanner stored.
    """

    NEEDS_PROBABILITIES = False
    LEARNS = True
    NATIVE = False

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Learn from training images (N, H, W) in [0, 1] and their masks (N, H, W) bool."""

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        """Return the lesion mask (H, W) bool of ``image`` (H, W), from a network's ``probability`` (H, W) if needed."""
        raise NotImplementedError

    def fit(self, images: np.ndarray, masks: np.ndarray) -> None:
        """Learn from training images (N, 1, H, W) in [0, 1] and their masks (N, 1, H, W) of {0, 1}."""
        self.learn(_unit(images), masks[:, 0].astype(bool))

    def predict(self, images: np.ndarray, probabilities: np.ndarray | None = None) -> np.ndarray:
        """Return float32 masks of {0, 1} from ``images`` in [0, 1] and, if needed, ``probabilities`` (N, 1, H, W)."""
        starts = _unit(probabilities) if self.NEEDS_PROBABILITIES else [None] * len(images)
        lesions = [self.segment(image, start) for image, start in zip(_unit(images), starts, strict=True)]
        return np.stack(lesions)[:, None].astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    """Return (N, 1, H, W) as (N, H, W) float64, clipped to [0, 1], which resampling in float32 may slightly exceed."""
    return np.asarray(values, dtype=float)[:, 0].clip(0, 1)


def contrast_of(images: np.ndarray) -> float:
    """Return the RMS difference of neighbouring pixels in ``images`` (N, H, W). Raises DataError if it is 0."""
    rows, columns = np.diff(images, axis=-2), np.diff(images, axis=-1)
    contrast = float(np.sqrt((np.sum(rows**2) + np.sum(columns**2)) / (rows.size + columns.size)))
    if not contrast:
        raise DataError("the training images are flat: there is no contrast to learn from")
    return contrast


def cut(log_odds: np.ndarray, image: np.ndarray, contrast: float, smoothness: float) -> np.ndarray:
    """Return the labelling L (H, W) bool that minimises E(L), exactly.

    E(L) is the sum of max(o_p, 0) over all pixels p outside L, and of max(-o_p, 0) over all pixels p inside L, plus
    ``smoothness`` times the sum of exp(-(I_p - I_q)^2 / (2 contrast^2)) / |p - q| over all neighbours p, q that L
    separates, where o are the log odds of lesion against background and I is the image, (H, W) each.
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
    """Max-flow with likelihoods of grey values and positions, learned from training images of the same size."""

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        grey = _bins(images)
        lesion, background = (np.bincount(grey[where], minlength=BINS) + 1.0 for where in (masks, ~masks))
        self.grey_odds = np.log(lesion / lesion.sum()) - np.log(background / background.sum())  # (BINS,)
        coverage = (masks.sum(axis=0) + 1.0) / (len(masks) + 2.0)  # (H, W), never 0 or 1
        prior = gaussian_filter(coverage, PLACE_SIGMA, mode="nearest")
        self.place_odds = np.log(prior) - np.log1p(-prior)
        self.contrast = contrast_of(images)

        def training_dice(smoothness: float) -> float:
            cuts = [cut(self.log_odds(image), image, self.contrast, smoothness) for image in images]
            return float(dice(np.stack(cuts), masks).mean())

        self.smoothness = max(SMOOTHNESS, key=training_dice)

    def log_odds(self, image: np.ndarray) -> np.ndarray:
        """Return the log odds (H, W) of lesion against background, from grey value and position."""
        return self.grey_odds[_bins(image)] + self.place_odds

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        return cut(self.log_odds(image), image, self.contrast, self.smoothness)


def _bins(images: np.ndarray) -> np.ndarray:
    """Return the histogram bin of each pixel of images in [0, 1]."""
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
            box = tuple(slice(max(index[0] - 2 * REACH, 0), index[-1] + 1 + 2 * REACH) for index in (rows, columns))
            lesion[box] = evolve(image[box], mask[box])
        return lesion


def evolve(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ``mask`` (H, W) bool, not empty, after the evolution of its contour on ``image`` (H, W); ``mask`` itself
    if there is no background, or if smoothing removes a small lesion completely."""
    from skimage.segmentation import morphological_chan_vese

    if mask.all():
        return mask
    inside, outside = image[mask].mean(), image[~mask].mean()
    grey = np.clip((image - outside) / (inside - outside), 0, 1) if inside != outside else np.zeros(image.shape)
    # half a pixel less, because distances are to the nearest pixel's centre and the contour runs between pixels
    signed_distance = np.where(mask, 0.5 - distance_transform_edt(mask), distance_transform_edt(~mask) - 0.5)
    ramp = np.clip(0.5 - signed_distance / (2 * REACH), 0, 1)
    evolved = morphological_chan_vese(grey + SHAPE_WEIGHT * ramp, STEPS, init_level_set=mask, smoothing=1) > 0
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
    """Return an untrained segmentor. Raises ConfigError, listing the valid names, for an unknown name."""
    if name not in CLASSICAL:
        raise unknown("classical segmentor", name, sorted(CLASSICAL))
    return CLASSICAL[name]()
