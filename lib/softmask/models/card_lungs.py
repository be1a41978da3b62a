"""What the card of a model of lungs says, where :mod:`softmask.models.card_lesions` speaks of lesions."""

from __future__ import annotations

from softmask.models.description import Description

WHAT = "Finds both lungs in slices of chest CT: a probability for every pixel."

USE = """\
softmask lungs ct-series/ --out results-of-mine --model {name}  # whole scans
softmask segment slice.png --model {name}                       # single slices"""

_MEASURES = {
    "iou": "IoU",
    "dice": "Dice",
    "hausdorff": "symmetric Hausdorff distance, stored pixels",
    "dice3d": "3D Dice, over the test slices of each scan",
    "nodules_inside": "share of a slice's nodule pixels that lie in the lung found",
    "nodules_at_wall_inside": "the same, of nodules at the lung's outline",
}


def trained(about: Description) -> str:
    """On how much, and tested on how much."""
    spec = about.spec
    at_most = "all" if spec.n_train is None else f"at most {spec.n_train}"
    alone = " The chests are simulated: it has seen no real scan." if spec.source == "embedded" else ""
    return (
        f"Trained on {at_most} whole\nslices, shown with {spec.size} x {spec.size} pixels, those above and below the "
        f"lungs included; tested on {about.images} slices\nof {about.patients} scans.{alone}"
    )


def measured(about: Description) -> str:
    """Text and table."""
    rows = "\n".join(
        f"| {title} | {about.measures[name][0]:.4g} | {about.measures[name][1]} "
        f"{'scans' if name == 'dice3d' else 'slices'} |"
        for name, title in _MEASURES.items()
        if name in about.measures and about.measures[name][1]  # the test slices may hold no nodule at the wall
    )
    finite = about.measures["hausdorff"][1]
    return f"""\
These weights on the test slices, at the size that the scanner stores: probabilities enlarged, and cut at
{about.threshold:g}. The mean over the slices, or scans, on which a measure is a finite number, and how many those are.
The Hausdorff distance is infinite on {about.images - finite} of {about.images} slices: of two masks, one is empty.

| measure | mean | over |
|---|---|---|
{rows}"""


def limits(about: Description) -> str:
    """As a list."""
    size = f"{about.spec.size} x {about.spec.size} pixels"
    simulated = """\
- The measures above are of simulated chests, and no promise for real ones. Compare its outline with your own on some
  scans first; `softmask lungs --morph`, which has learned nothing, is another opinion.
"""
    return f"""\
{simulated if about.spec.source == "embedded" else ""}\
- A slice is seen by itself, with {size}: small parts of a lung and fine detail of the outline are lost.
  Gas in the bowel may be taken for lung; `softmask lungs --largest` keeps the two largest parts of a scan.
- Air around the patient may be taken for lung, between back and couch above all. `softmask lungs` shows the network air
  in the place of everything outside the body, couch and all, and so avoids that; `softmask segment` shows the slice as
  it is.
- It expects whole axial slices of a patient on the back, front up. One that is not square is set into a square of air.
- The lungs are meant with their vessels and nodules, without trachea and main bronchi.
- One seed, one data set, one split; another scanner, dose or disease is untried.
- Hounsfield units go through the lung window, -1000 to 400, as in training. It has seen no other window, and nothing
  that was stretched."""
