"""The runs behind each printed table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from softmask.config import BASE_SEED, Config
from softmask.data.splits import SECTION_FOLDS, dataset_name
from softmask.errors import ConfigError
from softmask.experiments.methods import (
    FORMS,
    FULL_FEATURES,
    MAIN,
    MAIN_FORM,
    METHODS,
    PUBLISHED_SIZE,
    SRGAN,
    SRGAN_SMALL,
    Method,
    method,
    name_of,
)
from softmask.experiments.profiles import training, width
from softmask.experiments.spec import BY_SR, ENLARGED, RunSpec
from softmask.nets.registry import NETWORKS

TABLES = (
    "softgan/table-1",
    "softgan/table-2",
    "softgan/table-3",
    "softgan/table-4",
    "casgan/table-1",
    "casgan/table-3",
    "casgan/table-4",
    *(f"dsnet-v1/table-{number}" for number in (1, 2, 3, 5)),
    *(f"dsnet-v2/table-{number}" for number in (1, 2, 3, 4, 5, 7, 8)),
    *(f"lgan/table-{number}" for number in (2, 3, 4)),
)
"""Tables whose rows are trained here."""

CT = "lnsm"
"""The general CT that super-resolution is trained on."""

ONE_SRGAN = ("smoke", "cpu")
"""Profiles in which one super-resolution network serves all seeds and data sets."""

FOLDS_TRAINED = {"night": len(SECTION_FOLDS), "full": len(SECTION_FOLDS)}
"""By profile, how many folds of ISBI 2012 are trained; the other profiles have time for the first."""

ON_REQUEST = ("promise12", "lidc-lung", "qin-lung")
"""Data sets whose real data is large, and may be missing where the other data sets are real."""


def specs(table: str, config: Config) -> dict[tuple[str, str], list[RunSpec]]:
    """The runs behind each (row, data set) of a printed table such as ``softgan/table-1``, one per seed.

    On ISBI 2012 it is one per fold (:data:`FOLDS_TRAINED`), all with the first seed.

    Rows and data sets are the printed ones, in print order. A row without a method yet is left out.

    Raises:
        ConfigError: for a table that is not in :data:`TABLES`; it lists them.
    """
    from softmask import papers

    if table not in TABLES:
        raise ConfigError(f"no runs stand behind a table {table!r}; choose one of {', '.join(TABLES)}")
    paper, _, name = table.partition("/")
    places = dict.fromkeys((cell.row, cell.dataset) for cell in papers.load(paper).table(name).cells())
    return {
        place: seeds
        for row, name in places
        if name_of(row, paper) in METHODS
        for place, seeds in rows_of([row], name, config, paper).items()
    }


def rows_of(rows: Iterable[str], dataset: str, config: Config, paper: str = "") -> dict[tuple[str, str], list[RunSpec]]:
    """The runs behind rows, whether a table prints them or not, as :func:`specs` gives them."""
    trained = [(dataset, BASE_SEED + i) for i in range(config.seeds)]
    if dataset == "isbi2012":
        trained = [(fold, BASE_SEED) for fold in SECTION_FOLDS[: FOLDS_TRAINED.get(config.profile.name, 1)]]
    return {(row, dataset): [spec(row, name, config, seed, paper) for name, seed in trained] for row in rows}


def spec(row: str, dataset: str, config: Config, seed: int = BASE_SEED, paper: str = "") -> RunSpec:
    """One run of a row's method on a data set, as the profile trains it.

    ``paper``, such as ``dsnet-v2``, tells which one's row it is, where papers mean different things by a name.

    ``isbi2012`` is the first of its folds.


    Raises:
        ConfigError: for a row without a method; it lists those that have one.
    """
    dataset = SECTION_FOLDS[0] if dataset == "isbi2012" else dataset
    found = method(row, dataset, paper)
    if config.profile.name == "full":
        found = replace(found, **PUBLISHED_SIZE.get(found.network, {}))
    source = source_of(dataset, config)
    profile = training(config.profile, found.network, dataset, paper, found.losses, source)
    small = config.profile.name != "full"
    scale, reduction = _sizes(found, config, profile.scale)
    return RunSpec(
        dataset=dataset,
        source=source,
        profile=config.profile.name,
        network=found.network,
        width=width(config.profile, found.network) if found.losses else 0,
        label=found.label,
        losses=SRGAN_SMALL if found.losses == SRGAN and small else found.losses,
        seed=seed,
        size=profile.size,
        n_train=profile.n_train,
        settings=profile.settings,
        channels=found.channels,
        scale=scale,
        reduction=reduction,
        sr=_super_resolution(dataset, config, seed) if set(BY_SR) & set(found.channels) else None,
        prior=spec(found.prior, found.trained_on or dataset, config, seed, paper) if found.prior else None,
    )


def _super_resolution(dataset: str, config: Config, seed: int) -> RunSpec:
    """The run that super-resolves ``dataset``: for CT trained on :data:`CT`, for other images on the data set itself
    (CasGAN trains it anew), with the seed of what it serves. In the profiles of :data:`ONE_SRGAN` one run serves all.
    """
    if config.profile.name in ONE_SRGAN:
        return spec("srgan", CT, config)
    return spec("srgan", dataset if dataset in (*SECTION_FOLDS, "promise12") else CT, config, seed)


def _sizes(found: Method, config: Config, scale: int) -> tuple[int, int]:
    """``scale`` and ``reduction`` of a method's runs, whose profile enlarges images ``scale`` times."""
    if not set(ENLARGED) & set(found.channels):
        return 1, 1
    form = MAIN_FORM.get(config.profile.name, FULL_FEATURES) if found.form == MAIN else found.form
    return FORMS[form] if form else (scale, scale if NETWORKS[found.network].reduces else 1)


def source_of(dataset: str, config: Config) -> str:
    """``real`` or ``embedded``: what the configuration asks for; where it leaves that open, real data that is there.

    For :data:`ON_REQUEST` embedded data stands in for real data that is not there, and every table names the source.
    Of :data:`softmask.data.REAL_ONLY` there is no embedded data.
    """
    from softmask.data import REAL_ONLY, found

    dataset = dataset_name(dataset)
    if dataset in REAL_ONLY:
        return "real"
    if config.data == "embedded" or (config.data == "real" and dataset not in ON_REQUEST):
        return config.data
    return "real" if dataset in found(config.data_root) else "embedded"
