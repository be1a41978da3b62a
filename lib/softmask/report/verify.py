"""Comparison of two runs' tables, cell by cell, with possible causes of differences: ``softmask verify``.

The rule. A cell is *identical* where all of its entries in the CSV are: our number, its spread, the numbers of images
and seeds, the printed number; for text, the text. Otherwise it is

- in a computed table (nothing was trained, or every training run was read from a record of the same key): *different*;
  where versions or hardware differ, *within tolerance* up to a relative difference of :data:`ROUNDING`.
- in a table of trained networks: *within tolerance* up to the usual difference between two seeds of one run
  (:func:`tolerance`), else *different*. The same code on the same kind of hardware gives identical numbers.
- a *measured time*: reported, never compared. Or *not judged*: p values, counts of failures and other numbers of
  trained networks without a spread to compare with.

Verdicts on the papers' claims are compared as text, and are different where they are not identical.
"""

from __future__ import annotations

import argparse
import io
import math
import subprocess
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from softmask.config import ROOT, output_root
from softmask.data import configure
from softmask.errors import ConfigError, DataError
from softmask.files import read_json, write_atomic
from softmask.machine import git_state
from softmask.report.contents import read_table
from softmask.report.provenance import what_moved
from softmask.report.result import NOT_FINISHED
from softmask.report.tables import AGAIN

IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"
TIMED, UNJUDGED, MISSING, ADDED = "measured time", "not judged", "missing", "added"
STATES = (DIFFERENT, MISSING, ADDED, WITHIN, UNJUDGED, TIMED, IDENTICAL)
DIFFERING = STATES[:3]
COMPUTED, TRAINED = "computed", "trained"
VERDICT = "verdict"
"""Unit of a claim's verdict."""

ROUNDING = 1e-5
"""Relative difference that other versions or another processor may cause: the sixth and last digit in the CSV."""
SEEDS_APART = 0.3
"""Largest tolerated difference between the means of two runs, as a share of the spread over images. Of 3,063 pairs of
seeds in the committed tables with three seeds, 83 % are closer; half are within 0.1, 95 % within 0.7."""
TOLERANCE = (
    f"Tolerance: computed tables identical, or within {ROUNDING:g} of a number where versions or hardware differ; "
    f"trained ones within {SEEDS_APART:g} of the spread over images (over the root of the number of seeds), "
    "differences within half their interval."
)
MOST, WIDEST = 20, 60
"""Number of lines of a short list; width of a column in characters."""

_MEAN, _STD = "ours_mean", "ours_std"
_NUMBERS = ["paper_mean", "paper_std", _MEAN, _STD, "n_images", "n_seeds"]
_WORDS = ["data", "profile", "unit", "note"]
_KEYS = ["table", "row", "dataset", "metric"]


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`.

    Attributes:
        here, there: names of the runs.
        cells: a line for each cell; ``size`` is the difference divided by the tolerance, else by the spread or the
            number. Cells that differ come first, sorted by decreasing size.
        moved: differences in the provenance of each table that is not identical.
        damaged: errors in the files of a table, by table.
    """

    here: str
    there: str
    cells: pd.DataFrame
    moved: Mapping[str, Mapping[str, str]]
    damaged: Mapping[str, str]

    @property
    def differs(self) -> bool:
        """Whether anything is different, missing, added or damaged."""
        return bool(self.damaged) or bool(self.cells["state"].isin(DIFFERING).any())


def run(arguments: argparse.Namespace) -> int:
    """Print a comparison and return the exit status: 1 if anything differs, else 0."""
    comparison = compare(arguments.name or configure().run, arguments.against)
    print(text(comparison, arguments.all))
    return 1 if comparison.differs else 0


def compare(name: str, against: str | None = None) -> Comparison:
    """Return every cell of a run beside that of ``against``, by the rule above.

    Args:
        name: name of the run, or a folder of results.
        against: expected results: a run's name, a folder, or a commit; None for the checkout's last commit.

    Raises:
        ConfigError: for a run, folder or commit that does not exist; lists the existing runs.
    """
    if (folder := _folder(name)) is None:
        raise ConfigError(_unknown(name))
    if reference := _folder(against or ""):
        return _compare(name, against, read(folder), read(reference))
    with TemporaryDirectory() as scratch:
        run = Path(name).name
        label = _unpack(run, against, Path(scratch))
        return _compare(name, label, read(folder), read(Path(scratch) / "results" / run))


def _folder(name: str) -> Path | None:
    folders = (output_root() / "results" / name, Path(name)) if name else ()
    return next((f for f in folders if (f / "tables").is_dir() or (f / "claims").is_dir()), None)


def _unknown(name: str) -> str:
    results = output_root() / "results"
    runs = ", ".join(sorted(path.parent.name for path in results.glob("*/tables")))
    hint = f"there are {runs}" if runs else "nothing has run yet: ./run_all.sh"
    return f"{name!r} is no run in {results} and no folder with tables; {hint}"


def has_committed(run: str) -> bool:
    """Return whether the checkout's commit holds tables of ``run``."""
    return git_state(ROOT)[0] is not None and bool(_git("ls-tree", "HEAD", "--", f"results/{run}/tables"))


def _unpack(run: str, commit: str | None, folder: Path) -> str:
    """Unpack the tables and claims of ``results/<run>`` from a commit (None: the last), and return a label for them."""
    if (ROOT / ".git").exists():
        _git("rev-parse", "--git-dir")  # fails with git's message if another user owns the checkout
    if git_state(ROOT)[0] is None and commit is None:
        raise ConfigError(
            f"{ROOT} has no git history to compare with (it may be a downloaded archive); unpack a second copy and "
            f"name its folder: softmask verify {run} --against COPY/results/{run}"
        )
    try:
        name = _git("rev-parse", "--verify", "--short", "--end-of-options", f"{commit or 'HEAD'}^{{commit}}")
    except ConfigError as error:
        raise ConfigError(f"{_unknown(commit or 'HEAD')}; nor is it a commit") from error
    name = name.decode().strip()
    paths = [f"results/{run}/{part}/" for part in ("tables", "claims")]
    if not (entries := _git("ls-tree", "--name-only", name, "--", *(path.rstrip("/") for path in paths)).split()):
        runs = _git("ls-tree", "--name-only", name, "--", "results/").decode().split()
        run_names = ", ".join(run.removeprefix("results/") for run in runs)
        raise ConfigError(f"commit {name} holds no tables of {run}; it holds {run_names or 'no results'}")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", name, "--", *map(bytes.decode, entries)))) as archive:
        for member in archive:
            if member.isfile():  # safe names: they come from the git tree
                write_atomic(folder / member.name, archive.extractfile(member).read())
    return f"{run} of commit {name}"


def _git(*arguments: str) -> bytes:
    process = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if process.returncode:
        raise ConfigError(f"git {arguments[0]} failed in {ROOT}: {process.stderr.decode()}")
    return process.stdout


class Tables(NamedTuple):
    """Cells of a run by table, row, data set and metric; provenance by table; and the errors of unreadable tables."""

    cells: pd.DataFrame
    provenance: Mapping[str, Mapping[str, Any]]
    damaged: Mapping[str, str]


def read(folder: Path) -> Tables:
    """Return the tables of a run, with names such as ``softgan/table-1``. Verdicts on claims form a table
    ``<paper>/claims``, with the provenance of the table of their pairs."""
    frames = [pd.DataFrame(columns=[*_KEYS, *_NUMBERS, *_WORDS])]
    provenance: dict[str, Mapping[str, Any]] = {}
    damaged = {}
    for path in (*sorted(folder.glob("tables/*/*.csv")), *sorted(folder.glob("claims/*.json"))):
        is_table = path.suffix == ".csv"
        name = f"{path.parent.name}/{path.stem}" if is_table else f"{path.stem}/claims"
        try:
            if is_table:
                frame, metadata = read_table(path)
                frame["note"] = frame["note"].where(frame["unit"] == "text", "")
                frame = frame.astype({"n_images": float, "n_seeds": float})
                provenance[name] = metadata["provenance"]
            else:
                content = read_json(path, AGAIN)
                lines = []
                for metric, part in (("verdict", "claims"), ("verdict_by_readers", "by_readers")):
                    for claim in content[part]:
                        lines.append((str(claim["claim"]), metric, str(claim["verdict"])))
                frame = pd.DataFrame(lines, columns=["row", "metric", "note"]).assign(unit=VERDICT)
                provenance[name] = provenance.get(f"workbook/{path.stem}-claims", {})
            frames.append(frame.assign(table=name).astype(object))
        except DataError as error:
            damaged[name] = str(error).replace(f"{folder}/", "")
        except (KeyError, TypeError) as error:
            damaged[name] = f"claims/{path.name}: holds no verdicts ({error!r}); {AGAIN}"
    cells = pd.concat(frames)
    cells[[*_KEYS, *_WORDS]] = cells[[*_KEYS, *_WORDS]].fillna("")
    numbers = cells.astype(dict.fromkeys(_NUMBERS, float))
    return Tables(numbers.set_index(_KEYS)[[*_NUMBERS, *_WORDS]], provenance, damaged)


def _compare(name: str, against: str, ours: Tables, theirs: Tables) -> Comparison:
    damaged = {table: f"{against}: {why}" for table, why in theirs.damaged.items()} | dict(ours.damaged)
    index = theirs.cells.index.append(ours.cells.index.difference(theirs.cells.index, sort=False))
    index = index[~index.get_level_values("table").isin(damaged)]
    tables = index.get_level_values("table")
    causes, exact = {}, {}
    for table in dict.fromkeys(tables):
        provenance = [side.provenance.get(table, {}) for side in (ours, theirs)]
        causes[table] = what_moved(*provenance)
        recorded = all(run["recorded"] for run in provenance[0].get("runs", ()))
        exact[table] = recorded and "training runs" not in causes[table]
    may_round = tables.map({table: bool({"packages", "machine"} & cause.keys()) for table, cause in causes.items()})
    is_computed = tables.map(exact).to_numpy(bool)
    here, there = ours.cells.reindex(index), theirs.cells.reindex(index)
    missing, added = ~index.isin(ours.cells.index), ~index.isin(theirs.cells.index)
    changed = (here != there) & ~(here.isna() & there.isna())
    gap = (here[_MEAN] - there[_MEAN]).abs().where(changed[_MEAN], 0.0).fillna(math.inf)  # undefined on one side
    tolerances = tolerance(here, there).mask(is_computed)
    is_close = np.isclose(here[[_MEAN, _STD]], there[[_MEAN, _STD]], rtol=ROUNDING, atol=0, equal_nan=True).all(axis=1)
    is_rounded = is_close & may_round.to_numpy(bool) & ~changed.drop(columns=[_MEAN, _STD]).any(axis=1)
    rules = (
        (missing, MISSING),
        (added, ADDED),
        (~changed.any(axis=1), IDENTICAL),
        (here["unit"] == VERDICT, DIFFERENT),
        (changed.drop(columns=[_MEAN, _STD, "n_images", "note"]).any(axis=1), DIFFERENT),  # other data, seeds, print
        (here["unit"].isin(["ms", "s"]), TIMED),
        (is_computed & is_rounded, WITHIN),
        (is_computed | (gap == math.inf), DIFFERENT),
        (tolerances.isna() | (here["unit"] == "text"), UNJUDGED),
        (gap <= tolerances, WITHIN),
    )
    state = np.select([condition for condition, _ in rules], [state for _, state in rules], DIFFERENT)
    sizes = [measure.replace(0, math.nan) for measure in (tolerances, there[_STD], there[_MEAN].abs())]
    scale = sizes[0].fillna(sizes[1]).fillna(sizes[2])
    cells = index.to_frame(index=False).assign(
        kind=np.where(is_computed, COMPUTED, TRAINED),
        state=state,
        there=_shown(there),
        here=_shown(here),
        difference=gap.mask(missing | added).to_numpy(),
        tolerance=tolerances.to_numpy(),
        size=(gap / scale).mask(there["unit"] == VERDICT, math.inf).mask(missing | added).to_numpy(),
    )
    cells = cells.sort_values("size", ascending=False, kind="stable")
    cells = cells.sort_values("state", key=lambda states: states.map(STATES.index), kind="stable", ignore_index=True)
    unlike = set(cells.loc[cells["state"] != IDENTICAL, "table"]) & ours.provenance.keys() & theirs.provenance.keys()
    return Comparison(name, against, cells, {table: causes[table] for table in causes if table in unlike}, damaged)


def tolerance(here: pd.DataFrame, there: pd.DataFrame) -> pd.Series:
    """Return the largest tolerated difference of a trained cell's mean, in its unit; NaN where it has no spread.

    It is :data:`SEEDS_APART` times the spread over images (root mean square of both runs), divided by the square root
    of the number of seeds (the smaller of both). A median has the spread of the mean. The tolerance of a difference
    with an interval, and of the ends of the interval, is half the interval's width (mean of both).
    """
    *levels, metric = (here.index.get_level_values(key) for key in _KEYS)

    def values_of(column: str, metrics: Any) -> list[np.ndarray]:
        index = pd.MultiIndex.from_arrays([*levels, metrics], names=_KEYS)
        return [frame[column].reindex(index).to_numpy() for frame in (here, there)]

    names = metric.str.removeprefix("median_")
    spread = SEEDS_APART * np.hypot(*values_of(_STD, names)) / np.sqrt(2 * np.minimum(*values_of("n_seeds", names)))
    ends = [sum(values_of(_MEAN, np.full(len(metric), end))) for end in ("low", "high")]
    has_interval = metric.isin(["difference", "low", "high"])
    return pd.Series(np.where(has_interval, (ends[1] - ends[0]) / 4, spread), here.index)


def _shown(cells: pd.DataFrame) -> list[str]:
    spreads = cells[_STD].map(" ± {:.6g}".format).where(cells[_STD].notna(), "")
    numbers = cells[_MEAN].map("{:.6g}".format) + spreads
    missing = np.where(cells["data"] != "", "undefined", NOT_FINISHED)
    texts = numbers.where(cells[_MEAN].notna(), missing)
    return texts.where(cells["note"] == "", cells["note"]).fillna("").tolist()


def text(comparison: Comparison, everything: bool = False) -> str:
    """Return the summary and the first :data:`MOST` cells that differ, or with ``everything`` every cell."""
    lines = [f"{comparison.here} here, beside {comparison.there}", "", *_counts(comparison, MOST)]
    lines += [f"damaged   {table}: {why}" for table, why in comparison.damaged.items()]
    if comparison.moved:
        causes = Counter()
        for moved in comparison.moved.values():
            causes.update(f"{kind}: {change}" for kind, change in moved.items())
        cause_lines = [f"  {cause}  (tables: {number})" for cause, number in causes.most_common(MOST)]
        lines += ["", "What may have moved them:", *(cause_lines or ["  nothing that the provenance names"])]
    cells = comparison.cells if everything else comparison.cells[comparison.cells["state"].isin(DIFFERING)]
    if len(cells):
        frame = cells if everything else cells.head(MOST)
        frame = frame.drop(columns=["kind", "size"])
        frame["moved_by"] = [", ".join(comparison.moved.get(table, ())) for table in frame["table"]]
        for name in ("difference", "tolerance"):
            frame[name] = ["" if math.isnan(value) else f"{value:.3g}" for value in frame[name]]
        lines += ["", "Every cell:" if everything else "What differs, the biggest first:"]
        lines += [frame.to_string(index=False, justify="left", max_colwidth=WIDEST)]
        if len(cells) > len(frame):
            lines += [f"... and {len(cells) - len(frame):,} more; --all lists every cell"]
    return "\n".join([*lines, "", TOLERANCE])


def summary(comparison: Comparison) -> str:
    """Return a summary of a few lines, for the end of a run."""
    lines = [f"Beside {comparison.there}:", *_counts(comparison)]
    lines += [f"damaged   {', '.join(comparison.damaged)}"] if comparison.damaged else []
    lines += ["softmask verify tells what, and what may have moved it"] if comparison.differs else []
    return "\n".join(lines)


def _counts(comparison: Comparison, most: int = 0) -> list[str]:
    """Return a line for each kind of table, and the names of the first ``most`` tables that only one run has."""
    lines = []
    for kind, cells in comparison.cells.groupby("kind"):
        counts = Counter(cells["state"])
        states = cells.groupby("table")["state"].agg(set)
        state_counts = ", ".join(f"{counts[state]:,} {state}" for state in reversed(STATES) if counts[state])
        n_identical = sum(states == {IDENTICAL})
        lines.append(f"{kind:<8}  {len(states)} tables, {n_identical} of them identical; cells: {state_counts}")
        for state in (MISSING, ADDED):
            if names := list(states.index[states == {state}]):
                lines.append(f"{state:<8}  {len(names)} tables {', '.join(names[:most])}".rstrip())
    return lines or ["there is nothing to compare"]
