"""Level set from a network's mask: the contour follows the grey values, but not far from the shape it started with.

Roy, Chakraborti and Chowdhury, "A deep learning-shape driven level set synergism for pulmonary nodule segmentation",
Pattern Recognition Letters 2019, as the CasGAN paper sums it up (deep learning, then shape driven level sets, from
coarse to fine). Chan and Vese, "Active Contours Without Edges", TIP 2001, evolved with the morphological operators of
Márquez-Neila, Baumela and Álvarez, PAMI 2014 (scikit-image).

The shape term here is this workbook's: the two-phase model divides the sum of the grey value, scaled to 0 outside and 1
inside the network's mask, and of a ramp that falls from 1 to 0 across that mask's contour and counts twice as much, so
that a neighbour as bright as the lesion is taken in only near the contour.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from softmask.nets.classical import ClassicalSegmentor

REACH = 2
"""Half the width of the ramp, in pixels. Like the weight, chosen on simulated training nodules, on masks that were
shifted and blurred in place of a network's."""

SHAPE_WEIGHT = 2.0  # of the ramp, against the grey value's 1
STEPS = 8
"""Steps of about one pixel. Even: scikit-image's smoothing alternates between two operators from call to call."""


class DeepLevelSet(ClassicalSegmentor):
    """Chan-Vese evolution with a shape term, from a network's mask (its probabilities cut at 0.5)."""

    NEEDS_PROBABILITIES = True
    LEARNS = False

    def segment(self, image: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
        mask = probability >= 0.5
        lesion = np.zeros_like(mask)
        if mask.any():
            # what lies farther away must not enter the mean of the background
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            near = tuple(slice(max(at[0] - 2 * REACH, 0), at[-1] + 1 + 2 * REACH) for at in (rows, columns))
            lesion[near] = evolve(image[near], mask[near])
        return lesion


def evolve(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ``mask`` (H, W) bool, not empty, after the evolution of its contour on ``image`` (H, W).

    Where there is no background, or smoothing leaves nothing of a lesion of a few pixels, ``mask`` itself.
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
