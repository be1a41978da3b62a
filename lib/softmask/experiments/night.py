"""``softmask run --profile night``: all training runs of the profile, those behind the most important claims first.

Learning rates are searched before the training. ``docs/night.md`` explains how to start, stop and continue it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from joblib import delayed

from softmask.config import Config
from softmask.data.splits import FOLDS
from softmask.errors import SoftmaskError, TrainingError
from softmask.experiments import prepare, store
from softmask.experiments.inputs import feed
from softmask.experiments.kinds import fresh
from softmask.experiments.plan import distinct, likeness, plan, recorded, records_folder, seconds_known
from softmask.experiments.rows import LUNGS_COMPARED, METHODS, TABLES, labels_compared, name_of, rows_of, specs
from softmask.experiments.run import default_jobs, fit, processes
from softmask.experiments.schedules import RATES, Trial, add_lengthened, add_trial, lengthened, subject_of, trials
from softmask.experiments.spec import NUMERICS, RunSpec
from softmask.files import remove_parts, sha256_of
from softmask.machine import keep_freed_memory
from softmask.measure.verdicts import RISING, last_gain
from softmask.train.loop import NotFinite
from softmask.train.segmentation import train

NODULES = ("lidc", "lnsm")
LABELS = ("kats_dilation", "gros_interpolation")

SHARE = 800 / 3000
"""Length of the short training that tries a learning rate, as a share of the steps of the whole training."""


@dataclass(frozen=True)
class Group:
    """Runs that are trained together.

    Attributes:
        rows: names of rows, by paper.
        datasets: data sets on which the rows are trained.
        doubled: rows that are also trained twice as long, to show the remaining gain (:func:`doubled`).
    """

    title: str
    rows: Mapping[str, Sequence[str]]
    datasets: Sequence[str] = NODULES
    doubled: Sequence[str] = ()


_SOFTGAN = ("unet", "improved_backbone", "soft_mask_loss", "softgan", *LABELS)
_CASGAN = ("casgan_bin", "casgan_without_sr", "casgan_without_gan", "segnet", "deeplabv3plus", "cenet")
_CASGAN += ("unet_hard", "unet_student")
GROUPS = (
    Group("SoftGAN", {"softgan": _SOFTGAN}, doubled=("unet", "softgan")),
    Group("lungs on real slices", {"lgan": LUNGS_COMPARED}, ("lungs-2d",), ("baseline_unet", "lgan_regression")),
    Group("super-resolution", {"": ("srgan", "content_only")}, ("lnsm",)),
    # soft labels are compared with small networks; after them, each paper's network precedes its ablations and rivals
    *(
        Group(
            f"soft labels beyond the papers, {network} on {dataset}",
            {"": labels_compared(network, dataset)},
            (dataset,),
        )
        for dataset in NODULES
        for network in ("unet", "improved_backbone")
    ),
    Group("DSNet", {"dsnet-v2": ("dsnet",)}),
    Group("CasGAN", {"casgan": ("casgan_soft",)}, ("lnsm",)),
    # right after the training of these networks, because a record holds no weights of them
    Group("CasGAN and DSNet beside doctors", {"casgan": ("casgan",), "dsnet-v2": ("dsnet",)}, ("lidc-500",)),
    Group("DSNet's ablations", {"dsnet-v2": ("sr_input", "drtm", "soft_mask_loss", "neither", "dtm", *LABELS)}),
    Group("DSNet's other forms", {"dsnet-v2": ("dsnet_averaged", "dsnet_enlarged_twice", "dsnet_squared")}),
    Group("networks compared", {"dsnet-v2": ("unetplusplus", "cfcnn", "dbresnet", "infnet", "infnet_sr")}),
    Group("MedT", {"dsnet-v2": ("medt", "medt_sr")}),
    Group("CasGAN's ablations and rivals", {"casgan": _CASGAN}, ("lnsm",)),
    Group("DSNet's first version", {"dsnet-v1": ("edrfm", "sdrfm", "soft_mask_loss", "dsnet_v1")}),
    Group("DSNet's first version beside doctors", {"dsnet-v1": ("dsnet_v1",)}, ("lidc-500",)),
    Group("folds of LIDC", {"dsnet-v1": ("dsnet_v1",)}, FOLDS),
    Group("all losses on binary labels", {"dsnet-v2": ("all_losses_binary",)}),
    # before the rows that see their soft masks, which are trained anew if these networks are trained twice as long
    Group("CasGAN on other images", {"casgan": ("casgan_soft",)}, ("lidc-119", "isbi2012", "promise12")),
    Group("U-Net on lesions of one reader", {"casgan": ("unet",)}, ("lidc-119",)),
)
"""Groups in the order of training. All other rows of the papers' tables are trained after them."""


def groups(config: Config) -> dict[str, list[RunSpec]]:
    """Return the runs of each group by title; a run of several groups is listed in the first of them."""
    candidates = {group.title: _specs(group, config) for group in GROUPS}
    candidates |= {table: [spec for row_runs in specs(table, config).values() for spec in row_runs] for table in TABLES}
    specs_by_title: dict[str, list[RunSpec]] = {}
    grouped_specs: set[RunSpec] = set()
    for title, runs in candidates.items():
        new_specs = [spec for spec in dict.fromkeys(runs) if spec not in grouped_specs]
        grouped_specs.update(new_specs)
        if new_specs:
            specs_by_title[title] = new_specs
    return specs_by_title


def _specs(group: Group, config: Config) -> list[RunSpec]:
    runs = []
    for paper, rows in group.rows.items():
        known_rows = [row for row in rows if name_of(row, paper) in METHODS]
        for dataset in group.datasets:
            for row_runs in rows_of(known_rows, dataset, config, paper).values():
                runs += row_runs
    return runs + [spec for row_runs in doubled(group, config).values() for spec in row_runs]


def doubled(group: Group, config: Config) -> dict[tuple[str, str], list[RunSpec]]:
    """Return runs of the usual length, then the same runs trained twice as long, by (row, data set): of the first seed,
    or of all seeds of a row that is trained twice as long because it was still rising."""
    runs_by_row = {}
    for paper, rows in group.rows.items():
        for dataset in group.datasets:
            doubled_rows = [row for row in rows if row in group.doubled]
            for key, runs in rows_of(doubled_rows, dataset, config, paper).items():
                usual_runs = [run.times(1 / 2) for run in runs] if is_longer(runs[0]) else runs[:1]
                runs_by_row[key] = [*usual_runs, *(run.times(2) for run in usual_runs)]
    return runs_by_row


def is_longer(spec: RunSpec) -> bool:
    """Return whether the run belongs to a row that is trained twice as long because it was still rising."""
    return (spec.source, spec.times(1 / 2).row) in lengthened()


def rising(specs: Iterable[RunSpec], config: Config) -> dict[tuple[str, str], tuple[float, list[RunSpec]]]:
    """Return the undertrained rows by (source, row): the rise in validation Dice at the end, averaged over seeds, and
    the runs of each finished row that was still rising, so that no verdict can be given. Rows that are already trained
    twice as long, for this reason or to show the gain, are left out."""
    runs_by_row: dict[tuple[str, str], list[RunSpec]] = {}
    candidates = [spec for spec in specs if spec.learns and not spec.upscales]
    doubled_specs = {spec.times(2) for spec in candidates}
    lengthened_rows = lengthened()
    for spec in candidates:
        if spec not in doubled_specs and not is_longer(spec) and (spec.source, spec.row) not in lengthened_rows:
            runs_by_row.setdefault((spec.source, spec.row), []).append(spec)
    rising_rows = {}
    for row, runs in runs_by_row.items():
        records = [recorded(spec, config) for spec in runs]
        rises = [last_gain(record.curves["validation_dice"]) for record in records if record and not record.failed]
        if all(records) and rises and (rise := float(np.mean(rises))) > RISING:
            rising_rows[row] = rise, runs
    return rising_rows


def run(config: Config, jobs: int | None = None, dask: str | None = None) -> int:
    """Search learning rates, train the runs, and train undertrained rows twice as long, group by group.

    Returns the exit status. A group with missing data or a failed run is reported; the other groups are still trained.
    Waits until no other process does the same.
    """
    os.nice(max(0, 19 - os.nice(0)))  # other processes on this machine come first
    with store.locked(store.root() / "night", "the profile night"):
        return _run(config, default_jobs() if jobs is None else jobs, dask)


def _run(config: Config, jobs: int, dask: str | None) -> int:
    remove_parts(records_folder(config))  # left by a process that was killed while it wrote a record
    n_failed = 0
    for title in groups(config):
        try:
            trial_specs = untried(groups(config)[title])
            needs = list(dict.fromkeys(need for trial in trial_specs for need in trial.needs))
            if needs:  # a trial builds on their networks
                fit(needs, config, jobs=jobs, dask=dask, title=f"{title}, what it builds on", weights=True)
            for trial in processes(jobs)(delayed(try_rate)(spec, config) for spec in trial_specs):
                add_trial(trial)
                subject = ", ".join(map(str, trial.subject))
                print(f"{title}: {trial.rate:g} gives {trial.validation_dice} ({subject})", flush=True)
            group_specs = groups(config)[title]  # with the rates that were chosen
            print(f"{title}: {progress(group_specs, config)}", flush=True)
            fit(group_specs, config, jobs=jobs, dask=dask, title=title)
            if rising_rows := rising(group_specs, config):
                print(f"{title}, trained twice as long: {', '.join(row for _, row in rising_rows)}", flush=True)
                doubled_specs = [spec.times(2) for _, runs in rising_rows.values() for spec in runs]
                fit(doubled_specs, config, jobs=jobs, dask=dask, title=title)
                add_lengthened({row: rise for row, (rise, _) in rising_rows.items()})
        except SoftmaskError as error:
            n_failed += 1
            print(f"{title}: {error}", file=sys.stderr)
    print(summary(config), flush=True)
    return 1 if n_failed else 0


def progress(specs: Iterable[RunSpec], config: Config) -> str:
    """Return ``12 of 36 runs finished; 2.1 core-hours done, about 4.2 left``, from the records beside the tables. A run
    with no similar finished run is expected to take the mean of the known times."""
    records = {spec: recorded(spec, config) for spec in distinct(specs)}
    hours_done = [record.provenance.seconds / 3600 for record in records.values() if record]
    seconds = seconds_known(config)
    hours_left = [seconds.get(likeness(spec), np.nan) / 3600 for spec, record in records.items() if record is None]
    known_hours = [value for value in hours_left if value == value] + hours_done
    time_left = "time left not known yet"
    if known_hours or not hours_left:
        time_left = f"about {np.nan_to_num(hours_left, nan=np.mean(known_hours)).sum():.1f} left"
    return f"{len(hours_done)} of {len(records)} runs finished; {sum(hours_done):.1f} core-hours done, {time_left}"


def summary(config: Config) -> str:
    """Return the progress of each group and of all groups together, as one line each."""
    specs_by_title = groups(config)
    lines = [
        f"{title}: {progress(runs, config)}; {len(untried(runs))} learning rates to try, "
        f"{len(rising(runs, config))} rows to train twice as long"
        for title, runs in specs_by_title.items()
    ]
    all_specs = [spec for runs in specs_by_title.values() for spec in runs]
    return "\n".join([*lines, f"all: {progress(all_specs, config)}"])


def untried(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return the short training for each distinct network, loss and data set of ``specs`` and each learning rate that
    was not tried; warm-up and ramp are shortened in the same proportion."""
    tried_rates = {(*trial.subject, trial.rate) for trial in trials()}
    short_specs: dict[tuple, RunSpec] = {}
    for spec in specs:
        full_settings = spec.settings
        for rate in RATES if spec.learns and not spec.upscales else ():
            if (*_subject(spec), rate) not in tried_rates:
                settings = replace(
                    full_settings,
                    epochs=max(2, round(full_settings.epochs * SHARE)),
                    warmup=max(1, round(full_settings.warmup * SHARE)),
                    ramp=round(full_settings.ramp * SHARE),
                    learning_rate=rate,
                )
                short_specs.setdefault((*_subject(spec), rate), replace(spec, settings=settings))
    return list(short_specs.values())


def _subject(spec: RunSpec) -> tuple[str, str, str, int, str]:
    return subject_of(spec.source, spec.dataset, spec.network, spec.width, spec.losses)


def try_rate(spec: RunSpec, config: Config) -> Trial:
    """Train ``spec`` and return the trial. An interrupted trial continues from its checkpoint."""
    torch.set_num_threads(1)
    keep_freed_memory()
    needs = plan(spec.needs, config) if spec.needs else ()
    data = feed(spec, prepare.prepare(spec, config), needs)
    folder = store.root() / "rates" / sha256_of(repr(spec), str(NUMERICS))[:24]
    start_time = time.perf_counter()
    try:
        arguments = (spec.losses, spec.label, data, spec.settings, spec.seed, folder)
        outcome = train(fresh(spec, needs, spec.seed), *arguments, name=spec.name, upright=spec.of_lungs)
        validation_dice, seconds = outcome.curves["validation_dice"][outcome.best_epoch - 1], outcome.seconds
    except TrainingError as error:
        if not isinstance(error.__cause__, NotFinite):  # such as a full disk, which says nothing about the rate
            raise
        print(f"{spec.name}: {error}", file=sys.stderr)
        validation_dice, seconds = 0.0, time.perf_counter() - start_time
    shutil.rmtree(folder, ignore_errors=True)
    return Trial(*_subject(spec), spec.settings.learning_rate, round(validation_dice, 4), round(seconds, 1))
