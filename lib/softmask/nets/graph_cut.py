"""Graph cut: the best labelling of all pixels at once, from their grey values and the edges between them.

Boykov and Funka-Lea, "Graph Cuts and Efficient N-D Image Segmentation", IJCV 2006, with the max-flow algorithm of
Boykov and Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy Minimization in Vision",
PAMI 2004 (PyMaxflow is a wrapper of Kolmogorov's implementation).

What differs: instead of a user's strokes, training images give the histograms of grey values, and a prior of place (how
often a training mask covers the pixel) says which of the bright things is meant. The weight of the edges is the one of
a few that segments the training images best.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from softmask.errors import DataError
from softmask.measure.segmentation import dice
from softmask.nets.classical import ClassicalSegmentor

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # half of the eight, so that each pair of pixels occurs once
SMOOTHNESS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # weights of the edges to choose from
BINS = 32
PLACE_SIGMA = 2.0  # pixels; few training masks leave the prior of place ragged


def contrast_of(images: np.ndarray) -> float:
    """Return the root mean square difference of neighbouring pixels in ``images`` (N, H, W): the sigma of :func:`cut`.

    Raises:
        DataError: where all images are flat.
    """
    rows, columns = np.diff(images, axis=-2), np.diff(images, axis=-1)
    contrast = float(np.sqrt((np.sum(rows**2) + np.sum(columns**2)) / max(rows.size + columns.size, 1)))
    if contrast == 0:
        raise DataError("the training images are flat: there is no contrast to learn from")
    return contrast


def cut(log_odds: np.ndarray, image: np.ndarray, contrast: float, smoothness: float) -> np.ndarray:
    """Return the labelling L (H, W) bool that minimises E(L), exactly.

    E(L) = sum over pixels p outside L of max(o_p, 0), and inside of max(-o_p, 0), + smoothness times the sum over
    neighbours p, q that L tells apart of exp(-(I_p - I_q)^2 / (2 contrast^2)) / |p - q|.

    Args:
        log_odds: (H, W), the o_p: logarithm of how much likelier the pixel is lesion than background.
        image: (H, W), the I_p.
        contrast: difference in grey value between neighbours from which on cutting between them is cheap.
        smoothness: weight of the second sum, at least 0.
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
