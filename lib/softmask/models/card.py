"""The model card: what people should know before they use a model."""

from __future__ import annotations

from softmask.models.description import Description
from softmask.runs.record import Record

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

_LICENCES = {
    "lidc": "LIDC-IDRI (The Cancer Imaging Archive), CC BY 3.0: name it where you publish with this model",
    "lnsm": "LIDC-IDRI (The Cancer Imaging Archive, CC BY 3.0) or DeepLesion (NIH): name it where you publish",
}


def card(name: str, about: Description, record: Record, n_bytes: int) -> str:
    """Markdown. ``n_bytes`` is the size of the weights."""
    spec = about.spec
    where = "public images" if spec.source == "real" else "simulated images around public annotations"
    licence = _LICENCES.get(spec.dataset, "the data set's own terms hold")
    sr = (
        f", on images super-resolved {spec.scale} times by `{spec.sr.network}`, width {spec.sr.width}"
        if spec.sr
        else ""
    )
    losses = " + ".join(f"{weight:g} {loss}" for loss, weight in spec.losses)
    state = ", with changes that were not committed" if about.dirty else ""
    smoke = (
        "**Not a result**: the smoke profile only checks that everything runs.\n\n" if spec.profile == "smoke" else ""
    )
    at_most = "all" if spec.n_train is None else f"at most {spec.n_train}"
    size = f"{spec.size} x {spec.size} pixels"
    rows = "\n".join(
        f"| {title} | {about.measures[measure][0]:.4g} | {about.measures[measure][1]} |"
        for measure, title in _MEASURES.items()
        if measure in about.measures
    )
    return f"""# {name}

{smoke}Segments a lesion in a grey image: a probability and a soft mask for every pixel. **Not a medical device**: for
research only, not for diagnosis or treatment.

```sh
softmask segment image.png --model {name}
```

## What it is

- Network: `{spec.network}`, width {spec.width}, {record.n_parameters:,} parameters{sr}.
- Training: label `{spec.label}`, loss {losses}; profile `{spec.profile}`, seed {spec.seed}, epoch {record.best_epoch}
  of {spec.settings.epochs}; commit {about.commit or "unknown"}{state}.
- Weights: float16, {n_bytes / 1e6:.2f} MB, SHA-256 `{about.sha256}`.

The whole description is in `model.json`.

## Data

`{spec.dataset}`, {spec.source} ({where}): {about.origin}.
Licence: {licence}. Digest of the prepared data: `{about.data}`.

The parts are divided by patient: on no test patient was anything trained or chosen. Trained on {at_most} images of
{size}; tested on {about.images} images of {about.patients} patients.

## Measured

These weights on the test images, cut at {about.threshold:g}: the mean over the images on which a measure is a number,
and how many those are.

| measure | mean | images |
|---|---|---|
{rows}

Before the weights were rounded to float16 the mean Dice was {about.trained_dice:.4g}.

## Limits

- Every image that it has seen is {size} around a lesion, none is without one. On a whole slice it marks other things
  too, and the measures above do not hold: crop around the lesion where you can.
- One seed, one data set, one split; another scanner, dose or pixel size is untried.
- Grey levels matter. Hounsfield units go through the lung window, -1000 to 400, unless `--window` or `--stretch` says
  otherwise; each published LIDC slice was stretched from its own minimum to its own maximum, as `--stretch` does.
- Its probabilities are calibrated for nothing but images like the test images, if for those.
"""
