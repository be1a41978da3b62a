"""What the card of a model of lesions says that is not true of every model."""

from __future__ import annotations

from softmask.models.description import Description

WHAT = "Segments a lesion in a grey image: a probability and a soft mask for every pixel."

USE = "softmask segment image.png --model {name}"

_MEASURES = {
    "dice": "Dice",
    "iou": "IoU",
    "sen": "sensitivity, by pixel",
    "ppv": "positive predictive value, by pixel",
    "acc": "accuracy, by pixel",
    "hd95": "95 % Hausdorff distance, pixels",
    "auc": "area under the ROC curve, by pixel",
    "brier": "Brier score",
    "soft_dice": "Dice of the soft mask",
    "mae_band": "mean absolute error of the soft mask in its edge band",
    "mse_band": "mean squared error of the soft mask in its edge band",
}
"""Those that the card names, in this order."""


def trained(about: Description) -> str:
    """On how much, and tested on how much."""
    at_most = "all" if about.spec.n_train is None else f"at most {about.spec.n_train}"
    return (
        f"Trained on {at_most} images of\n{_size(about)}; tested on {about.images} images of {about.patients} patients."
    )


def measured(about: Description) -> str:
    """Text and table."""
    rows = "\n".join(
        f"| {title} | {about.measures[measure][0]:.4g} | {about.measures[measure][1]} |"
        for measure, title in _MEASURES.items()
        if measure in about.measures
    )
    return f"""\
These weights on the test images, cut at {about.threshold:g}: the mean over the images on which a measure is a number,
and how many those are.

| measure | mean | images |
|---|---|---|
{rows}"""


def limits(about: Description) -> str:
    """As a list."""
    return f"""\
- Every image that it has seen is {_size(about)} around a lesion, none is without one. On a whole slice it marks
  other things too, and the measures above do not hold: crop around the lesion where you can.
- One seed, one data set, one split; another scanner, dose or pixel size is untried.
- Grey levels matter. Hounsfield units go through the lung window, -1000 to 400, unless `--window` or `--stretch` says
  otherwise; each published LIDC slice was stretched from its own minimum to its own maximum, as `--stretch` does."""


def _size(about: Description) -> str:
    return f"{about.spec.size} x {about.spec.size} pixels"
