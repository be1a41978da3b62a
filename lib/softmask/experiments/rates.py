"""Learning rates, chosen by the same search for every network: the papers' own, the baselines, each loss and data set.

Four rates are tried, in a short training with one seed, and the one with the best validation Dice is taken; no test
image is looked at. What was tried is in ``rates.csv`` beside this file, and the profile ``night`` takes its rates from
there. ``softmask run --profile night`` makes the search before it trains; what is in the table is not tried again.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from softmask.config import Config
from softmask.errors import DataError, TrainingError
from softmask.files import read_text, sha256_of, write_atomic

if TYPE_CHECKING:
    from softmask.experiments.spec import RunSpec

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
STEPS = 800
"""Steps of a short training, of the 3,000 of a whole one."""
SHARE = STEPS / 3000
TABLE = Path(__file__).with_name("rates.csv")
COLUMNS = ("source", "dataset", "network", "width", "losses", "rate", "validation_dice", "seconds")


@dataclass(frozen=True)
class Tried:
    """One short training: the best validation Dice with a rate, of the epochs that follow all losses, and its time.

    The Dice is 0 where numbers were no longer finite.
    """

    source: str
    dataset: str
    network: str
    width: int
    losses: str
    rate: float
    validation_dice: float
    seconds: float

    @property
    def what(self) -> tuple[str, str, str, int, str]:
        """What a rate is chosen for."""
        return self.source, self.dataset, self.network, self.width, self.losses


def name_of(losses: Sequence[tuple[str, float]]) -> str:
    """Return the losses as text: ``0.5dice+100soft_l1+1gan``.

    LGAN's critics are left out: its generator has the same rate with and without them, so that rows differ in the
    critic alone."""
    return "+".join(f"{weight:g}{name}" for name, weight in losses if not name.startswith("wasserstein_"))


def _set(dataset: str) -> str:
    """The data set that rates are chosen for: folds take that of the whole, from a search on the first of them, whose
    validation images are test images of another fold of ISBI 2012 (docs/choices.md)."""
    return dataset.partition("-fold")[0]


def table(path: Path = TABLE) -> list[Tried]:
    """What has been tried.

    Raises:
        DataError: names the file and line that does not fit.
    """
    return list(_table(path, path.stat().st_mtime_ns)) if path.exists() else []


@lru_cache(maxsize=4)
def _table(path: Path, _: int) -> tuple[Tried, ...]:
    tried = []
    for line, row in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
        try:
            numbers = {name: float(row[name]) for name in ("rate", "validation_dice", "seconds")}
            words = (row[name] for name in ("source", "dataset", "network"))
            tried.append(Tried(*words, int(row["width"]), row["losses"], **numbers))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {line}: not a line of tried rates ({error!r})") from error
    return tuple(tried)


def chosen(source: str, dataset: str, network: str, width: int, losses: Sequence[tuple[str, float]]) -> float | None:
    """The rate with the best validation Dice, the lowest of equals. None where not all of :data:`RATES` were tried."""
    mine = [one for one in table() if one.what == (source, _set(dataset), network, width, name_of(losses))]
    if {one.rate for one in mine} < set(RATES):
        return None
    return min(mine, key=lambda one: (-one.validation_dice, one.rate)).rate


def what_of(spec: RunSpec) -> tuple[str, str, str, int, str]:
    """What a rate is chosen for (:attr:`Tried.what`). The forms of DSNet, and a network on plain and on super-resolved
    images, share one: that of the first that is trained."""
    return spec.source, _set(spec.dataset), spec.network, spec.width, name_of(spec.losses)


def missing(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """For each distinct network, loss and data set of ``specs`` and each rate that was not tried: the spec to try."""
    there = {(*one.what, one.rate) for one in table()}
    trials: dict[tuple, RunSpec] = {}
    for spec in specs:
        for rate in RATES if spec.learns and not spec.upscales else ():
            what = (*what_of(spec), rate)
            if what not in there:
                trials.setdefault(what, _short(spec, rate))
    return list(trials.values())


def _short(spec: RunSpec, rate: float) -> RunSpec:
    """``spec`` as it is tried; the start's share of the training stays what it is."""
    settings = replace(
        spec.settings,
        epochs=max(2, round(spec.settings.epochs * SHARE)),
        warmup=max(1, round(spec.settings.warmup * SHARE)),
        ramp=round(spec.settings.ramp * SHARE),
        learning_rate=rate,
    )
    return replace(spec, settings=settings)


def search(specs: Iterable[RunSpec], config: Config, jobs: int) -> Iterator[Tried]:
    """Try what is :func:`missing`, ``jobs`` at a time, and write each result to the table as it comes.

    A trial that is interrupted goes on from its checkpoint when the search is started again.
    """
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        trials = (delayed(_trial)(spec, config, os.getpid()) for spec in missing(specs))
        for tried in Parallel(return_as="generator_unordered", batch_size=1)(trials):
            _add(tried)
            yield tried


def _add(tried: Tried, path: Path = TABLE) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in sorted([*table(path), tried], key=lambda one: (*one.what, one.rate)):
        writer.writerow(vars(one) | {"rate": f"{one.rate:g}"})
    write_atomic(path, text.getvalue())


def _trial(spec: RunSpec, config: Config, parent: int) -> Tried:
    import torch

    from softmask.experiments import prepared, store
    from softmask.experiments.inputs import feed, seeing
    from softmask.experiments.plan import plan
    from softmask.machine import end_with, keep_freed_memory
    from softmask.nets.registry import build
    from softmask.train.device import seeded
    from softmask.train.segmentation import train

    if os.getpid() != parent:
        end_with(parent)
    torch.set_num_threads(1)
    keep_freed_memory()
    needs = plan(spec.needs, config).runs if spec.needs else ()
    fed = feed(spec, prepared.prepare(spec, config), needs)
    folder = store.root() / "rates" / sha256_of(repr(spec))[:24]
    begun = time.perf_counter()
    try:
        with seeded(spec.seed):
            network = seeing(spec, build(spec.network, spec.width, spec.inputs, spec.reduction), needs)
        outcome = train(
            network,
            spec.losses,
            spec.label,
            fed,
            spec.settings,
            spec.seed,
            folder,
            name=spec.name,
            upright=spec.of_lungs,
        )
        reached, seconds = outcome.curves["validation_dice"][outcome.best_epoch - 1], outcome.seconds
    except TrainingError as error:  # a rate that is too high
        print(f"{spec.name}: {error}", file=sys.stderr)
        reached, seconds = 0.0, time.perf_counter() - begun
    shutil.rmtree(folder, ignore_errors=True)
    return Tried(*what_of(spec), spec.settings.learning_rate, round(reached, 4), round(seconds, 1))
