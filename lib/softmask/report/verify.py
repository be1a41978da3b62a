"""Whether two runs have the same tables, cell by cell, and what moved those that do not: ``softmask verify``.

The rule. A cell is *identical* where all that its CSV says of it is: our number, its spread, what they are over, the
printed number; for words, the words. What is not identical is

- in a table that is computed (nothing was trained, or every training was read from a record of the same key):
  *different*; where versions or hardware differ, *within tolerance* up to :data:`ROUNDING` of its size.
- in a table of trained networks *within tolerance* up to what two seeds of one training usually differ by
  (:func:`tolerance`), else *different*. On like hardware, with the same code, training gives identical numbers.
- a *measured time*: told, never compared. Or *not judged*: p values, counts of failures and other numbers of trained
  networks that have no spread to hold them against.

Verdicts on the papers' claims are compared as words, and are different where they are not identical.
"""

from __future__ import annotations

import argparse
import io
import math
import subprocess
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from softmask.config import ROOT, output_root
from softmask.data import configure
from softmask.errors import ConfigError, DataError
from softmask.machine import git_state
from softmask.report import verdicts
from softmask.report.contents import read_table
from softmask.report.provenance import what_moved
from softmask.report.text import NOT_FINISHED

IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"
TIMED, UNJUDGED, MISSING, ADDED = "measured time", "not judged", "missing", "added"
STATES = (DIFFERENT, MISSING, ADDED, WITHIN, UNJUDGED, TIMED, IDENTICAL)
DIFFERING = STATES[:3]
COMPUTED, TRAINED = "computed", "trained"
VERDICT = "verdict"
"""Unit of a claim's verdict."""

ROUNDING = 1e-5
"""Share of a number that other versions or another processor may change: its CSV's sixth and last digit."""
SEEDS_APART = 0.3
"""Share of the spread over images by which the means of two trainings may differ. Of 3,063 pairs of seeds in the
committed tables of three seeds 83 % are nearer; half are within 0.1, 95 % within 0.7."""
TOLERANCE = (
    f"Tolerance: computed tables identical, or within {ROUNDING:g} of a number where versions or hardware differ; "
    f"trained ones within {SEEDS_APART:g} of the spread over images (over the root of the number of seeds), "
    "differences within half their interval."
)
MOST, WIDEST = 20, 60
"""Lines of a short list; characters of a column."""

Key = tuple[str, str, str]
Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table's provenance, and its cells by (row, data set, metric): fields of the CSV, missing numbers as None."""

    cells: Mapping[Key, Cell] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`.

    Attributes:
        here, there: names of the runs.
        cells: one line for each cell: table, kind (``computed`` or ``trained``), row, dataset, metric, state, there,
            here, difference, tolerance, and size (the difference over the tolerance, else over the spread or the
            number); what differs first, the biggest on top.
        moved: by table that is not identical, what differs in its provenance.
        damaged: by table, what is wrong with its files.
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
    """Print a comparison and return the exit status: 0 nothing differs, 1 something does.

    Raises:
        ConfigError: for a run, folder or commit that does not exist.
    """
    comparison = compare(arguments.name or configure().run, arguments.against)
    print(text(comparison, arguments.all))
    return 1 if comparison.differs else 0


def compare(name: str, against: str | None = None) -> Comparison:
    """Return every cell of a run beside that of ``against``, by the rule above.

    Args:
        name: of the run, or a folder of results.
        against: what should have come out: a run's name, a folder, or a commit; None for the checkout's last commit.

    Raises:
        ConfigError: for a run, folder or commit that does not exist; lists the runs there are.
    """
    folder = _folder(name)
    with TemporaryDirectory() as unpacked:
        try:
            other, there = _folder(against or ""), against
        except ConfigError as error:
            try:
                other, there = Path(unpacked), committed(Path(name).name, against or "HEAD", Path(unpacked))
            except ConfigError as no_commit:
                raise ConfigError(f"{error}; nor is it a commit: {no_commit}" if against else no_commit) from None
        (ours, damaged), (theirs, damaged_there) = read(folder), read(other)
    damaged = {table: f"{there}: {why}" for table, why in damaged_there.items()} | damaged
    return _compare(name, there, ours, theirs, damaged)


def _folder(name: str) -> Path:
    results = output_root() / "results"
    for folder in (results / name, Path(name)) if name else ():
        if (folder / "tables").is_dir() or (folder / "claims").is_dir():
            return folder
    runs = ", ".join(sorted(path.parent.name for path in results.glob("*/tables")))
    known = f"there are {runs}" if runs else "nothing has run yet: ./run_all.sh"
    raise ConfigError(f"{name!r} is no run in {results} and no folder with tables; {known}")


def has_committed(run: str) -> bool:
    """Return whether the checkout's commit holds tables of ``run``."""
    return git_state(ROOT)[0] is not None and bool(_git("ls-tree", "HEAD", "--", f"results/{run}/tables"))


def committed(run: str, commit: str, folder: Path) -> str:
    """Unpack the tables and claims of ``run`` as a commit of the checkout has them, and return what they are called.

    Raises:
        ConfigError: without a history (a downloaded archive), or for a commit without tables of that run.
    """
    if git_state(ROOT)[0] is None:
        raise ConfigError(
            f"{ROOT} has no git history to compare with (it may be a downloaded archive); unpack a second copy and "
            f"name its folder: softmask verify {run} --against COPY/results/{run}"
        )
    commit = _git("rev-parse", "--verify", "--short", "--end-of-options", f"{commit}^{{commit}}").decode().strip()
    parts = [f"results/{run}/{part}" for part in ("tables", "claims")]
    parts = _git("ls-tree", "--name-only", commit, "--", *parts).decode().split()
    if not parts:
        runs = ", ".join(
            Path(path).name for path in _git("ls-tree", "--name-only", commit, "results/").decode().split()
        )
        raise ConfigError(f"commit {commit} holds no tables of {run}; it holds {runs or 'no results'}")
    archive = _git("archive", f"{commit}:results/{run}", *(Path(part).name for part in parts))
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return f"{run} of commit {commit}"


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise ConfigError(f"git {arguments[0]} failed in {ROOT}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def read(folder: Path) -> tuple[dict[str, Table], dict[str, str]]:
    """Return the tables of a run by name, such as ``softgan/table-1``, and by name why others cannot be read.

    Verdicts on claims are a table ``<paper>/claims``, with the provenance of the table of their pairs.
    """
    read_tables: dict[str, Table] = {}
    damaged: dict[str, str] = {}
    for path in (*sorted(folder.glob("tables/*/*.csv")), *sorted(folder.glob("claims/*.json"))):
        name = f"{path.parent.name}/{path.stem}" if path.suffix == ".csv" else f"{path.stem}/claims"
        try:
            if path.suffix == ".csv":
                read_tables[name] = _table(path)
            else:
                pairs = read_tables.get(f"workbook/{path.stem}-claims", Table())
                read_tables[name] = Table(_claims(path), pairs.provenance)
        except DataError as error:
            damaged[name] = str(error).replace(f"{folder}/", "")
    return read_tables, damaged


def _table(path: Path) -> Table:
    frame, about = read_table(path)
    frame["note"] = frame["note"].where(frame["unit"] == "text", "")
    cells = frame.astype(object).where(frame.notna(), None).to_dict("records")
    place = ("row", "dataset", "metric")
    return Table({tuple(cell[name] for name in place): cell for cell in cells}, about["provenance"])


def _claims(path: Path) -> dict[Key, Cell]:
    empty = dict.fromkeys(("ours_mean", "ours_std", "data")) | {"unit": VERDICT}
    cells = {}
    for claim, words in verdicts.read(path).items():
        cells[claim, "", "verdict"] = empty | {"note": words["verdict"]}
        cells[claim, "", "verdict_by_readers"] = empty | {"note": words["by_readers"].partition(" (")[0] or "none"}
    return cells


def _compare(
    name: str, against: str, ours: Mapping[str, Table], theirs: Mapping[str, Table], damaged: Mapping[str, str]
) -> Comparison:
    lines: list[dict[str, Any]] = []
    moved = {}
    for table in dict.fromkeys((*theirs, *ours)):
        if table in damaged:
            continue
        here, there = ours.get(table, Table()), theirs.get(table, Table())
        causes = what_moved(here.provenance, there.provenance)
        judged = [_line(key, here, there, causes) for key in dict.fromkeys((*there.cells, *here.cells))]
        lines += [{"table": table, **line} for line in judged]
        if table in ours and table in theirs and any(line["state"] != IDENTICAL for line in judged):
            moved[table] = causes
    columns = ["table", "kind", "row", "dataset", "metric", "state", "there", "here", "difference", "tolerance", "size"]
    cells = pd.DataFrame(lines, columns=columns)
    cells = cells.sort_values("size", ascending=False, kind="stable")
    cells = cells.sort_values("state", key=lambda states: states.map(STATES.index), kind="stable", ignore_index=True)
    return Comparison(name, against, cells, moved, damaged)


def _line(key: Key, here: Table, there: Table, causes: Mapping[str, str]) -> dict[str, Any]:
    """How a cell that either table has compares."""
    exact = "trainings" not in causes and all(run["recorded"] for run in here.provenance.get("runs", ()))
    ours, theirs = here.cells.get(key), there.cells.get(key)
    allowed = None if exact else tolerance(key, here, there)
    apart = size = math.nan
    if ours is None or theirs is None:
        state = MISSING if ours is None else ADDED
    else:
        apart = _apart(ours["ours_mean"], theirs["ours_mean"])
        state = _state(ours, theirs, allowed, exact, rounded="packages" in causes or "machine" in causes)
        scale = allowed or next((abs(theirs[name]) for name in ("ours_std", "ours_mean") if theirs[name]), math.nan)
        size = math.inf if theirs["unit"] == VERDICT else apart / scale
    return {
        "kind": COMPUTED if exact else TRAINED,
        **dict(zip(("row", "dataset", "metric"), key, strict=True)),
        "state": state,
        "there": _shown(theirs),
        "here": _shown(ours),
        "difference": apart,
        "tolerance": math.nan if allowed is None else allowed,
        "size": size,
    }


def tolerance(key: Key, here: Table, there: Table) -> float | None:
    """Return by how much a trained cell's mean may differ, in its unit; None where there is no telling.

    :data:`SEEDS_APART` times the spread over images (root mean square of both), less by the root of the number of
    seeds that the mean is over. A median has the spread of its mean; a difference with an interval, and the ends of
    that, half the interval's width (mean of both).
    """
    *place, metric = key
    both = (here.cells, there.cells)
    if metric in ("difference", "low", "high"):
        ends = [cells.get((*place, end), {}).get("ours_mean") for cells in both for end in ("low", "high")]
        return None if None in ends else (ends[1] - ends[0] + ends[3] - ends[2]) / 4
    means = [cells.get((*place, metric.removeprefix("median_")), {}) for cells in both]
    spreads = [cell.get("ours_std") for cell in means]
    if None in spreads:
        return None
    return SEEDS_APART * math.hypot(*spreads) / math.sqrt(2 * min(cell["n_seeds"] for cell in means))


def _state(here: Cell, there: Cell, allowed: float | None, exact: bool, rounded: bool) -> str:
    changed = {name for name in here if here[name] != there[name]}
    if not changed:
        return IDENTICAL
    if here["unit"] == VERDICT or changed - {"ours_mean", "ours_std", "n_images", "note"}:
        return DIFFERENT  # other data, seeds, unit or printed number
    if here["unit"] in ("ms", "s"):
        return TIMED
    if exact:
        pairs = [(here[name], there[name]) for name in changed]
        near = (
            rounded and changed <= {"ours_mean", "ours_std"} and None not in (value for pair in pairs for value in pair)
        )
        return WITHIN if near and all(math.isclose(*pair, rel_tol=ROUNDING) for pair in pairs) else DIFFERENT
    apart = _apart(here["ours_mean"], there["ours_mean"])
    if apart == math.inf:  # undefined, or infinite, on one side only
        return DIFFERENT
    if allowed is None or here["unit"] == "text":
        return UNJUDGED
    return WITHIN if apart <= allowed else DIFFERENT


def _apart(ours: float | None, theirs: float | None) -> float:
    """Distance of two means; 0 where both are undefined or both infinite, infinite where one is."""
    if ours == theirs:
        return 0.0
    return math.inf if ours is None or theirs is None else abs(ours - theirs)


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    mean, spread = cell["ours_mean"], cell["ours_std"]
    if cell["note"] or mean is None:
        return cell["note"] or ("undefined" if cell["data"] else NOT_FINISHED)
    return f"{mean:.6g}" if spread is None else f"{mean:.6g} ± {spread:.6g}"


def text(comparison: Comparison, everything: bool = False) -> str:
    """Return the summary and every cell that differs (:data:`MOST` of them), or with ``everything`` every cell."""
    lines = [f"{comparison.here} here, beside {comparison.there}", "", *_counts(comparison)]
    lines += [f"damaged   {table}: {why}" for table, why in comparison.damaged.items()]
    causes = Counter(f"{kind}: {words}" for of in comparison.moved.values() for kind, words in of.items())
    if comparison.moved:
        lines += ["", "What may have moved them:"]
        lines += [f"  {cause}  (tables: {number})" for cause, number in causes.most_common(MOST)]
        lines += [] if causes else ["  nothing that the provenance names"]
    cells = comparison.cells if everything else comparison.cells[comparison.cells["state"].isin(DIFFERING)]
    if len(cells):
        chosen = cells if everything else cells.head(MOST)
        causes = [", ".join(comparison.moved.get(table, ())) for table in chosen["table"]]
        shown = chosen.drop(columns=["kind", "size"]).assign(moved_by=causes)
        for name in ("difference", "tolerance"):
            shown[name] = ["" if math.isnan(value) else f"{value:.3g}" for value in shown[name]]
        lines += ["", "Every cell:" if everything else "What differs, the biggest first:"]
        lines += [shown.to_string(index=False, justify="left", max_colwidth=WIDEST)]
        rest = len(cells) - len(chosen)
        lines += [f"... and {rest:,} more; --all lists every cell"] if rest else []
    return "\n".join([*lines, "", TOLERANCE])


def summary(comparison: Comparison) -> str:
    """Return a few lines, for the end of a run."""
    lines = [f"Beside {comparison.there}:", *_counts(comparison)]
    lines += [f"damaged   {', '.join(comparison.damaged)}"] if comparison.damaged else []
    lines += ["softmask verify tells what, and what may have moved it"] if comparison.differs else []
    return "\n".join(lines)


def _counts(comparison: Comparison) -> list[str]:
    """A line for each kind of table."""
    lines = []
    for kind, cells in comparison.cells.groupby("kind"):
        counts = Counter(cells["state"])
        states = cells.groupby("table")["state"].agg(set)
        said = ", ".join(f"{counts[state]:,} {state}" for state in reversed(STATES) if counts[state])
        same = sum(states.map(lambda of: of == {IDENTICAL}))
        lines.append(f"{kind:<8}  {len(states)} tables, {same} of them identical; cells: {said}")
        for state in (MISSING, ADDED):
            if names := [table for table, of in states.items() if of == {state}]:
                lines.append(f"{state:<8}  {len(names)} tables: {', '.join(names[:MOST])}")
    return lines or ["there is nothing to compare"]
