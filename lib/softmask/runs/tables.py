"""The runs behind each printed table."""

from __future__ import annotations

from softmask.config import BASE_SEED, Config
from softmask.errors import ConfigError
from softmask.nets.registry import entry
from softmask.runs.methods import METHODS
from softmask.runs.profiles import training
from softmask.runs.spec import RunSpec

TABLES = (
    "softgan/table-1",
    "softgan/table-2",
    "softgan/table-3",
    "softgan/table-4",
    "dsnet-v1/table-1",
    "dsnet-v1/table-2",
)
"""Tables whose rows are trained here."""


def specs(table: str, config: Config) -> dict[tuple[str, str], list[RunSpec]]:
    """The runs behind each (row, data set) of a printed table such as ``softgan/table-1``, one per seed.

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
        (row, dataset): [spec(row, dataset, config, BASE_SEED + i) for i in range(config.seeds)]
        for row, dataset in places
        if row in METHODS
    }


def spec(row: str, dataset: str, config: Config, seed: int = BASE_SEED) -> RunSpec:
    """One run of a row's method on a data set, as the profile trains it.

    Raises:
        ConfigError: for a row without a method; it lists those that have one.
    """
    if row not in METHODS:
        raise ConfigError(f"row {row!r} has no method; choose one of {', '.join(METHODS)}")
    method = METHODS[row]
    profile = training(config.profile, method.network)
    return RunSpec(
        dataset=dataset,
        source=source_of(dataset, config),
        profile=config.profile.name,
        network=method.network,
        width=entry(method.network).width(config.profile.name),
        label=method.label,
        losses=method.losses,
        seed=seed,
        size=profile.size,
        n_train=profile.n_train,
        settings=profile.settings,
    )


def source_of(dataset: str, config: Config) -> str:
    """``real`` or ``embedded``: what the configuration asks for; where it leaves that open, real data that is there."""
    if config.data != "auto":
        return config.data
    from softmask.data import found

    return "real" if dataset in found(config.data_root) else "embedded"
