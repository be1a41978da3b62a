"""The model card: what people should know before they use a model."""

from __future__ import annotations

from softmask.models import card_lesions, card_lungs
from softmask.models.description import Description
from softmask.runs.record import Record

_LICENCES = {
    "lidc": "LIDC-IDRI (The Cancer Imaging Archive), CC BY 3.0: name it where you publish with this model",
    "lnsm": "LIDC-IDRI (The Cancer Imaging Archive, CC BY 3.0) or DeepLesion (NIH): name it where you publish",
    "lidc-lung": "LIDC-IDRI (The Cancer Imaging Archive), CC BY 3.0: name it where you publish with this model",
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
    kind = card_lungs if spec.of_lungs else card_lesions
    return f"""# {name}

{smoke}{kind.WHAT} **Not a medical device**: for
research only, not for diagnosis or treatment.

```sh
{kind.USE.format(name=name)}
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

The parts are divided by patient: on no test patient was anything trained or chosen. {kind.trained(about)}

## Measured

{kind.measured(about)}

Before the weights were rounded to float16 the mean Dice was {about.trained_dice:.4g}.

## Limits

{kind.limits(about)}
- Its probabilities are calibrated for nothing but images like the test images, if for those.
"""
