"""Graph cut on a network's probabilities: the network says where, the edges of the image say exactly where.

Mukherjee, Huang and Bhagalia, "Lung nodule segmentation using deep learned prior based graph cut", ISBI 2017, as the
CasGAN paper sums it up (graph cut and a probability map of deep learning). The publication works in 3D, on a map that
its own network gives; here the map of whatever network was trained stands alone in the links to source and sink, and
the links between pixels are those of :mod:`softmask.nets.graph_cut`. The weight of the edges is fixed, since a
network's probabilities on its training images are too good to choose by.
"""

import numpy as np

from softmask.nets.classical import ClassicalSegmentor
from softmask.nets.graph_cut import contrast_of, cut

SMOOTHNESS = 1.0

CERTAINTY = 0.99
"""No probability counts as nearer to 0 or 1 than this: else no edge could ever overrule a saturated network."""


class DeepGraphCut(ClassicalSegmentor):
    """Max-flow with the log odds of a network's probabilities."""

    NEEDS_PROBABILITIES = True

    def learn(self, images: np.ndarray, masks: np.ndarray) -> None:
        self.contrast = contrast_of(images)

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        probability = np.clip(probability, 1 - CERTAINTY, CERTAINTY)
        return cut(np.log(probability) - np.log1p(-probability), image, self.contrast, SMOOTHNESS)
