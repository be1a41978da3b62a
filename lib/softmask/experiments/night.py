"""``softmask run --profile night``: all trainings of the profile, the claims that matter most first.

Everything that is finished is kept: a run whose record is in ``results/<run>/records`` is not trained again, on another
machine neither, unless a missing run needs its weights. So the whole can be stopped at any time and started again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from softmask.config import Config
from softmask.data.splits import FOLDS
from softmask.errors import SoftmaskError
from softmask.experiments import rates
from softmask.experiments.execute import default_jobs, fit
from softmask.experiments.methods import LUNGS_COMPARED, METHODS, name_of
from softmask.experiments.plan import distinct, likeness, recorded, records_folder, seconds_known
from softmask.experiments.spec import RunSpec
from softmask.experiments.tables import TABLES, rows_of, specs
from softmask.files import remove_parts

NODULES = ("lidc", "lnsm")


@dataclass(frozen=True)
class Group:
    """Runs that are trained together.

    Attributes:
        rows: names of rows, by the paper whose rows they are.
        datasets: on which they are trained.
        doubled: rows of which one run is trained twice as long too, on each data set: what is left in its curve.
    """

    title: str
    rows: Mapping[str, Sequence[str]]
    datasets: Sequence[str] = NODULES
    doubled: Sequence[str] = ()


LABELS = ("kats_dilation", "gros_interpolation")

GROUPS = (
    Group(
        "SoftGAN",
        {"softgan": ("unet", "improved_backbone", "soft_mask_loss", "softgan", *LABELS)},
        doubled=("unet", "softgan"),
    ),
    Group("lungs on real slices", {"lgan": LUNGS_COMPARED}, ("lungs-2d",)),
    Group("super-resolution", {"": ("srgan", "content_only")}, ("lnsm",)),
    Group("DSNet", {"dsnet-v2": ("sr_input", "drtm", "soft_mask_loss", "gan_loss", "neither", "dtm", *LABELS)}),
    Group("DSNet's other forms", {"dsnet-v2": ("dsnet_averaged", "dsnet_enlarged_twice", "dsnet_squared")}),
    Group("networks compared", {"dsnet-v2": ("unetplusplus", "cfcnn", "dbresnet", "infnet", "infnet_sr")}),
    Group("MedT", {"dsnet-v2": ("medt", "medt_sr")}),
    Group(
        "CasGAN",
        {
            "casgan": (
                *("casgan_bin", "casgan_without_sr", "casgan_soft", "segnet", "deeplabv3plus", "cenet"),
                *("casgan_without_gan", "unet_hard", "unet_student"),
            )
        },
        ("lnsm",),
    ),
    Group("DSNet's first version", {"dsnet-v1": ("edrfm", "sdrfm", "soft_mask_loss", "dsnet_v1")}),
    Group("doctors", {"casgan": ("casgan",), "dsnet-v1": ("dsnet_v1",), "dsnet-v2": ("dsnet",)}, ("lidc-500",)),
    Group("folds of LIDC", {"dsnet-v1": ("dsnet_v1",)}, FOLDS),
)
"""In the order of training. All other rows of the papers' tables come after them, and at the end :data:`EXTRA`."""

EXTRA = (Group("all losses on binary labels", {"dsnet-v2": ("all_losses_binary",)}),)
"""Rows beside the papers'."""


def groups(config: Config) -> dict[str, list[RunSpec]]:
    """The runs of each group by its title, each run in the first group that has it; without data that is not there."""
    wanted = {group.title: _specs(group, config) for group in GROUPS}
    for table in TABLES:
        wanted[table] = [spec for seeds in specs(table, config).values() for spec in seeds]
    wanted |= {group.title: _specs(group, config) for group in EXTRA}
    seen: set[RunSpec] = set()
    by_title = {}
    for title, of in wanted.items():
        by_title[title] = [spec for spec in dict.fromkeys(of) if spec not in seen]
        seen.update(of)
    return {title: of for title, of in by_title.items() if of}


def _specs(group: Group, config: Config) -> list[RunSpec]:
    chosen = []
    for paper, rows in group.rows.items():
        for dataset in group.datasets:
            places = rows_of([row for row in rows if name_of(row, paper) in METHODS], dataset, config, paper)
            chosen += [spec for seeds in places.values() for spec in seeds]
    return chosen + [twice for _, twice in doubled(group, config).values()]


def doubled(group: Group, config: Config) -> dict[tuple[str, str], tuple[RunSpec, RunSpec]]:
    """The run of the first seed and that which is trained twice as long, by (row, data set)."""
    pairs = {}
    for paper, rows in group.rows.items():
        for dataset in group.datasets:
            chosen = [row for row in rows if row in group.doubled]
            for place, [once, *_] in rows_of(chosen, dataset, config, paper).items():
                longer = replace(once.settings, epochs=2 * once.settings.epochs)
                pairs[place] = once, replace(once, settings=longer)
    return pairs


def run(config: Config, jobs: int | None = None, dask: str | None = None) -> int:
    """Search the learning rates of each group and train it, one group after the other. The exit status.

    A group whose data is missing, or of which a run fails, is told and does not keep the others from their turn.
    """
    jobs = default_jobs() if jobs is None else jobs
    os.nice(max(0, 19 - os.nice(0)))  # others on this machine come first
    remove_parts(records_folder(config))  # of a kill while a record was written
    failed = 0
    for title in groups(config):
        try:
            _group(title, config, jobs, dask)
        except SoftmaskError as error:
            failed += 1
            print(f"{title}: {error}", file=sys.stderr)
    print(summary(config), flush=True)
    return 1 if failed else 0


def _group(title: str, config: Config, jobs: int, dask: str | None) -> None:
    wanted = groups(config)[title]
    needs = list(dict.fromkeys(need for trial in rates.missing(wanted) for need in trial.needs))
    if needs:  # a trial builds on their networks
        fit(needs, config, jobs=jobs, dask=dask, title=f"{title}, what it builds on", weights=True)
    for tried in rates.search(wanted, config, jobs):
        print(f"{title}: {tried.rate:g} gives {tried.validation_dice} ({', '.join(map(str, tried.what))})", flush=True)
    wanted = groups(config)[title]  # with the rates found
    print(f"{title}: {progress(wanted, config)}", flush=True)
    fit(wanted, config, jobs=jobs, dask=dask, title=title)


def progress(specs: Iterable[RunSpec], config: Config) -> str:
    """``12 of 36 runs finished; 2.1 core-hours done, about 4.2 left``, by the records beside the tables."""
    records = {spec: recorded(spec, config) for spec in distinct(specs)}
    hours = [record.provenance.seconds / 3600 for record in records.values() if record]
    known = {like: seconds / 3600 for like, seconds in seconds_known(config).items()}
    left = [known.get(likeness(spec)) for spec, record in records.items() if record is None]
    times = [time for time in left if time is not None] + hours
    mean = sum(times) / len(times) if times else None  # stands for runs of which none like them is finished
    ahead = "time left not known yet"
    if mean is not None or not left:
        ahead = f"about {sum(mean if time is None else time for time in left):.1f} left"
    return f"{len(hours)} of {len(records)} runs finished; {sum(hours):.1f} core-hours done, {ahead}"


def summary(config: Config) -> str:
    """How far each group is, a line each, and all together."""
    by_title = groups(config)
    lines = [
        f"{title}: {progress(of, config)}; {len(rates.missing(of))} learning rates to try"
        for title, of in by_title.items()
    ]
    return "\n".join([*lines, f"all: {progress([spec for of in by_title.values() for spec in of], config)}"])
