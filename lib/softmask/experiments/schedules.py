"""Schedules: a table of training length, data and settings by profile, and the learning rates searched for ``night``.

The search is the same for every network, loss and data set (:mod:`softmask.experiments.night`): four learning rates are
tried in short trainings with one seed, and the rate with the best validation Dice is chosen; see ``rates.csv``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from softmask.config import Profile
from softmask.data.splits import CROP_PX, FOLDS, LUNGS, PAPER_SIZES, SECTION_FOLDS
from softmask.errors import ConfigError, DataError
from softmask.files import read_text, write_atomic
from softmask.nets.registry import NETWORKS, SR_NETWORKS, entry
from softmask.nets.srgan import SCALE
from softmask.train.loop import Settings

NODULES = {"learning_rate": 1e-3, "size": CROP_PX, "scale": 2}
SCHEDULES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "smoke": {
        "": NODULES | {"epochs": 2, "batch_size": 8, "discriminator_width": 4, "n_train": 16},
        "start": {"warmup": 1},
        "srgan": {"warmup": 1, "size": 128},
        "lungs": {"batch_size": 4, "scale": SCALE},
    },
    "cpu": {
        # 200 to 300 steps (ISBI 2012 135), so that all trainings end within 45 minutes on two slow cores
        "": NODULES | {"epochs": 2, "batch_size": 4, "discriminator_width": 8, "n_train": 400},
        "start": {"warmup": 2, "ramp": 50},
        "srgan": {"epochs": 4, "learning_rate": 2e-3, "warmup": 3, "n_train": 200, "size": 128},
        "lungs": {"epochs": 7, "n_train": 120, "size": 112, "scale": SCALE},
        "lidc-119": {"epochs": 14},
        # within two epochs DSNet's first version finds nothing on LIDC
        **{name: {"epochs": 3} for name in ("lidc", *FOLDS, "isbi2012")},
    },
    "night": {
        "": NODULES | {"epochs": 1, "batch_size": 8, "discriminator_width": 16, "steps": 3000, "n_train": None},
        "start": {"warmup": 5, "ramp": 200},
        # the adversarial losses at about 1e-4, as in Ledig et al.
        "srgan": {"epochs": 16, "learning_rate": 2e-3, "warmup": 8, "second_rate": 0.1, "size": 128},
        "lungs": {"steps": 1200, "size": 112, "scale": SCALE},
        "isbi2012": {"steps": 2000},
        "promise12": {"steps": 2000},
        "lidc-119": {"steps": 2000},
        "lidc-lung": {"steps": 4000},  # 680 steps show all its slices once; fewer than five epochs are not judged
    },
    "full": {
        # SoftGAN, section 3.3, except the start
        "": {"epochs": 60, "batch_size": 2, "learning_rate": 2e-4, "n_train": None, "size": CROP_PX, "scale": SCALE},
        "start": {"warmup": 5, "ramp": 200},
        # CasGAN, section "Training details"; batch size and duration of the decay are not in the paper
        "srgan": {"epochs": 40, "batch_size": 16, "learning_rate": 1e-2, "warmup": 10, "size": 128},
        "softgan_2020": {"epochs": 70, "batch_size": 4, "learning_rate": 2e-3, "power": 1.0, "hold": 35},
        # LGAN, section 4.2; epochs and batch size are not in the paper
        "lungs": {"epochs": 20, "batch_size": 8, "learning_rate": 1e-5, "size": 224},
        **{f"dsnet-v1/{name}": {"batch_size": 1} for name in PAPER_SIZES},
        **{f"dsnet-v2/{name}": {"epochs": 100, "batch_size": 4} for name in PAPER_SIZES},
    },
}
"""Settings by profile: the defaults (empty key), and the values that replace them for a network, for ``lungs``, for a
data set, and for everything that a paper's tables compare on a data set; ``start`` is added for segmentation networks,
except on lungs (:class:`softmask.train.loop.Start`).

The values are fields of :class:`softmask.train.loop.Settings`; ``n_train``, the maximum number of training images
(None: all images); ``size`` of the images, in pixels; ``scale``, the enlargement for networks that take enlarged
images; ``steps`` of the whole training, from which the number of epochs is computed.

The learning rates apply to ``full``. In the other profiles, every network has the rate of its entry in the registry,
because no single rate suits all networks within a few hundred steps; in ``night``, it has the rate that was searched.
"""

NIGHT_WIDTHS: Mapping[str, int] = {
    "cascadedcnn": 4,
    "mvdcnn": 6,
    **dict.fromkeys(("unetplusplus", "unet3plus", "medt", "medt_sr"), 8),
    # one backbone for SoftGAN and for DSNet, whose ablations add to it
    **dict.fromkeys(("improved_backbone", "softseg", "dsnet", "dsnet_dtm", "dsnet_without_drtm", "sr_input"), 12),
    **dict.fromkeys(("dsnet_v1", "dsnet_v1_edrfm", "dbresnet", "mcroicnn"), 12),
    **dict.fromkeys(("unet", "unet_softseg", "attention_unet", "segnet", "cfcnn", "infnet", "srgan"), 16),
    "softgan_2020": 16,
    "mccnn": 20,
}
"""Widths in ``night`` by network: those with which a step costs about as much as the U-Net's, as far as memory and the
published width allow; other networks have those of ``cpu``."""


@dataclass(frozen=True)
class Schedule:
    """Schedule of a run; the fields are those of :data:`SCHEDULES`."""

    settings: Settings
    n_train: int | None
    size: int
    scale: int


def schedule(
    profile: Profile,
    network: str,
    dataset: str,
    paper: str = "",
    losses: Sequence[tuple[str, float]] = (),
    source: str = "real",
) -> Schedule:
    """Return the schedule of ``network`` in ``profile``, on ``dataset`` from ``source``, with ``losses``, for the
    tables of ``paper``. Raises ConfigError for an unknown profile."""
    if profile.name not in SCHEDULES:
        raise ConfigError(f"profile {profile.name!r} has no settings to train with; known: {', '.join(SCHEDULES)}")
    table, is_segmentor, of_lungs = SCHEDULES[profile.name], network in NETWORKS, dataset in LUNGS
    dataset_key = "isbi2012" if dataset in SECTION_FOLDS else dataset  # its folds share its schedule
    fields = dict(table[""]) | table.get("lungs" if of_lungs else network, {})
    if is_segmentor:
        fields |= table.get(f"{paper}/{dataset_key}", table.get(dataset_key, {}))
    start, steps = table["start"], fields.pop("steps", None)
    if is_segmentor and steps:
        fields["epochs"] = round(steps / (PAPER_SIZES[dataset]["train"] // fields["batch_size"]))
    if is_segmentor and not of_lungs:
        fields |= start | {"warmup": min(start["warmup"], fields["epochs"] - 1)}
    if profile.name != "full" and network in {*NETWORKS, *SR_NETWORKS}:
        rate_searched = profile.name == "night" and is_segmentor
        subject = subject_of(source, dataset, network, width(profile, network), losses)
        rate = best_rate(subject) if rate_searched else None
        fields["learning_rate"] = rate or entry(network).rate
    data_fields = {name: fields.pop(name) for name in ("n_train", "size", "scale")}
    return Schedule(Settings(**fields), **data_fields)


def width(profile: Profile, network: str) -> int:
    """Return the number of channels of the first level of a network in ``profile``."""
    if profile.name == "night":
        return NIGHT_WIDTHS.get(network) or entry(network).width("cpu")
    return entry(network).width(profile.name)


RATES = (3e-4, 1e-3, 3e-3, 1e-2)
TABLE = Path(__file__).with_name("rates.csv")
LONGER = Path(__file__).with_name("longer.csv")
"""File of the rows (:attr:`softmask.experiments.spec.RunSpec.row`) that were still rising at the end of ``night``'s
steps, with the rise; they are trained twice as long."""


@dataclass(frozen=True)
class Trial:
    """Short training with one learning rate: the best validation Dice after the warm-up, and the training time in
    seconds. The Dice is 0 if numbers were no longer finite."""

    source: str
    dataset: str
    network: str
    width: int
    losses: str
    rate: float
    validation_dice: float
    seconds: float

    @property
    def subject(self) -> tuple[str, str, str, int, str]:
        """Combination for which a learning rate is chosen (:func:`subject_of`)."""
        return self.source, self.dataset, self.network, self.width, self.losses


def subject_of(
    source: str, dataset: str, network: str, width: int, losses: Sequence[tuple[str, float]]
) -> tuple[str, str, str, int, str]:
    """Return the combination for which a learning rate is chosen. The forms of DSNet share a rate; so does a network on
    plain and on super-resolved images. LGAN's critics are left out of the losses, so that rows differ only in the
    critic. Folds share the rate of their data set, ISBI 2012's from a search on the first fold (docs/choices.md)."""
    loss_text = "+".join(f"{weight:g}{name}" for name, weight in losses if not name.startswith("wasserstein_"))
    return source, dataset.partition("-fold")[0], network, width, loss_text


def trials() -> list[Trial]:
    """Return the trials of :data:`TABLE`. Raises DataError with the file and line that does not fit."""
    return list(_trials(TABLE, TABLE.stat().st_mtime_ns)) if TABLE.exists() else []


@lru_cache(maxsize=1)
def _trials(path: Path, _: int) -> tuple[Trial, ...]:
    table_trials = []
    for line_number, row in enumerate(csv.DictReader(read_text(path).splitlines()), start=2):
        try:
            numbers = {name: float(row[name]) for name in ("rate", "validation_dice", "seconds")}
            table_trials.append(Trial(**row | numbers | {"width": int(row["width"])}))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {line_number}: not a line of tried rates ({error!r})") from error
    return tuple(table_trials)


def add_trial(trial: Trial) -> None:
    """Insert ``trial`` into the sorted :data:`TABLE`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(trial)), lineterminator="\n")
    writer.writeheader()
    for each in sorted([*trials(), trial], key=lambda each: (*each.subject, each.rate)):
        writer.writerow(asdict(each) | {"rate": f"{each.rate:g}"})
    write_atomic(TABLE, text.getvalue())


def best_rate(subject: tuple) -> float | None:
    """Return the rate with the best validation Dice, of equal rates the lowest; None if not all of :data:`RATES` were
    tried."""
    subject_trials = [trial for trial in trials() if trial.subject == subject]
    if {trial.rate for trial in subject_trials} < set(RATES):
        return None
    return min(subject_trials, key=lambda trial: (-trial.validation_dice, trial.rate)).rate


def lengthened() -> Mapping[tuple[str, str], float]:
    """Return the rise in validation Dice of the rows in :data:`LONGER`, by source and row."""
    return _lengthened(LONGER, LONGER.stat().st_mtime_ns) if LONGER.exists() else {}


@lru_cache(maxsize=1)
def _lengthened(path: Path, _: int) -> Mapping[tuple[str, str], float]:
    lines = csv.DictReader(read_text(path).splitlines())
    try:
        return {(line["source"], line["row"]): float(line["rise"]) for line in lines}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a table of source, row and rise ({error!r})") from error


def add_lengthened(rises: Mapping[tuple[str, str], float]) -> None:
    """Add rows to :data:`LONGER`."""
    lines = sorted((lengthened() | rises).items())
    text = "".join(f"{source},{row},{rise:.4f}\n" for (source, row), rise in lines)
    write_atomic(LONGER, f"source,row,rise\n{text}")
