"""Whether two runs have the same tables, cell by cell, and what moved those that do not.

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

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softmask.errors import DataError
from softmask.report import tables
from softmask.report.moved import unlike, what_moved
from softmask.report.text import NOT_FINISHED

if TYPE_CHECKING:
    import pandas as pd

IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"
TIMED, UNJUDGED, MISSING, ADDED = "measured time", "not judged", "missing", "added"
STATES = (DIFFERENT, MISSING, ADDED, WITHIN, UNJUDGED, TIMED, IDENTICAL)
DIFFERING = STATES[:3]
COMPUTED, TRAINED = "computed", "trained"

ROUNDING = 1e-5
"""Of a number's size: what other versions or another processor may change in the sixth and last digit of a CSV."""
SEEDS_APART = 0.3
"""Share of the spread over images by which the means of two trainings may differ. Of 3,063 pairs of seeds in the
committed tables of three seeds 83 % are nearer; half are within 0.1, 95 % within 0.7."""
TIMES = ("ms", "s")
"""Units of measured times."""
FIELDS = tables.COLUMNS[5:]
"""Of a CSV, what it says of a cell."""

VERDICT = "verdict"
"""The unit of a claim's verdict."""

Key = tuple[str, str, str]
Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """A table as a run has it.

    Attributes:
        cells: by (row, data set, metric): the CSV's fields, the ``unit``, and ``text``, the words where that is
            the unit. Numbers that are not there are None.
        provenance: as :func:`softmask.report.provenance.collect` gave it.
        runs: by name, the trainings behind it: the key, and whether it was read from a committed record.
    """

    cells: Mapping[Key, Cell]
    provenance: Mapping[str, Any]
    runs: Mapping[str, tuple[str, bool]]


@dataclass(frozen=True)
class RunTables:
    """All tables of a run by name, such as ``softgan/table-1``, and why others cannot be used."""

    name: str
    tables: Mapping[str, Kept]
    damaged: Mapping[str, str]


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        cells: one line for each cell: table, kind (``computed`` or ``trained``), row, dataset, metric, state, there,
            here, difference, tolerance, and size (the difference over the tolerance, else over the spread or the
            number); what differs first, the biggest on top.
        moved: by table that is not identical, what differs in its provenance, in words.
        damaged: by table, what is wrong with its files.
        missing, added: names of tables that only ``there`` has, and only ``here``.
    """

    here: str
    there: str
    cells: pd.DataFrame
    moved: Mapping[str, Sequence[str]]
    damaged: Mapping[str, str]
    missing: Sequence[str]
    added: Sequence[str]

    @property
    def differs(self) -> bool:
        """Whether anything is different, missing, added or damaged."""
        whole = self.damaged or self.missing or self.added
        return bool(whole) or bool(self.cells["state"].isin(DIFFERING).any())


def read(files: Mapping[str, bytes], name: str) -> RunTables:
    """The tables and verdicts in ``files``, by path below a run's folder (:mod:`softmask.report.kept`).

    Verdicts are tables ``<paper>/claims``. What cannot be read is listed as damaged, with the file and the remedy.
    """
    kept: dict[str, Kept] = {}
    damaged: dict[str, str] = {}
    for path in sorted(path for path in files if path.startswith("tables/") and path.endswith(".csv")):
        table = path.removeprefix("tables/").removesuffix(".csv")
        beside = f"{path.removesuffix('csv')}json"
        try:
            kept[table] = _table(files[path], path, files.get(beside), beside)
        except DataError as error:
            damaged[table] = str(error)
    for path in sorted(path for path in files if path.startswith("claims/")):
        paper = path.removeprefix("claims/").removesuffix(".json")
        try:
            kept[f"{paper}/claims"] = _claims(files[path], path, kept.get(f"workbook/{paper}-claims"))
        except DataError as error:
            damaged[f"{paper}/claims"] = str(error)
    return RunTables(name, kept, damaged)


def _table(content: bytes, path: str, beside: bytes | None, beside_path: str) -> Kept:
    import pandas as pd

    frame = tables.parse(content, path)
    if beside is None:
        raise DataError(f"{beside_path}: is missing; run its notebook again")
    about = _json(beside, beside_path)
    try:
        texts = {tuple(key): str(note) for *key, note in about["notes"]}
        cells = {}
        for line in frame.to_dict("records"):
            key = (line["row"], line["dataset"], line["metric"])
            unit = str(about["units"][line["metric"]])
            words = texts.get(key, "") if unit == "text" else ""
            numbers = {name: None if pd.isna(line[name]) else line[name] for name in FIELDS}
            cells[key] = numbers | {"unit": unit, "text": words}
        provenance = dict(about["provenance"])
        what_moved(provenance, provenance)  # whether it can be read
        return Kept(cells, provenance, _runs(provenance))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{beside_path}: lacks what it should hold ({error!r}); run its notebook again") from error


def _runs(provenance: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    return {str(run["name"]): (str(run["key"]), bool(run["recorded"])) for run in provenance.get("runs", ())}


def _claims(content: bytes, path: str, behind: Kept | None) -> Kept:
    """The verdicts on a paper's claims, with the provenance of the table of their pairs."""
    about = _json(content, path)
    empty = dict.fromkeys(FIELDS) | {"unit": VERDICT}
    try:
        cells = {
            (str(one["claim"]), "", metric): empty | {"text": str(one["verdict"])}
            for metric, of in (("verdict", "claims"), ("verdict_by_readers", "by_readers"))
            for one in about[of]
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: holds no verdicts ({error!r}); run its notebook again") from error
    return Kept(cells, behind.provenance if behind else {}, behind.runs if behind else {})


def _json(content: bytes, path: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run its notebook again") from error


def compare(here: RunTables, there: RunTables) -> Comparison:
    """Every cell of ``here`` beside that of ``there``, by the rule above; ``there`` is what should have come out."""
    import pandas as pd

    damaged = {name: f"{there.name}: {why}" for name, why in there.damaged.items()} | dict(here.damaged)
    lines: list[dict[str, Any]] = []
    moved: dict[str, tuple[str, ...]] = {}
    for name, theirs in there.tables.items():
        ours = here.tables.get(name)
        if ours is None:
            continue
        found = _lines(ours, theirs)
        lines += [{"table": name, **line} for line in found]
        if any(line["state"] != IDENTICAL for line in found):
            moved[name] = what_moved(ours.provenance, theirs.provenance)
    missing, added = (
        [name for name in one.tables if name not in other.tables and name not in damaged]
        for one, other in ((there, here), (here, there))
    )
    columns = ["table", "kind", "row", "dataset", "metric", "state", "there", "here", "difference", "tolerance", "size"]
    cells = pd.DataFrame(lines, columns=columns)
    ranks = cells["state"].map(STATES.index)
    cells = cells.assign(rank=ranks).sort_values(["rank", "size"], ascending=[True, False], kind="stable")
    cells = cells.drop(columns="rank").reset_index(drop=True)
    return Comparison(here.name, there.name, cells, moved, damaged, missing, added)


def _lines(here: Kept, there: Kept) -> list[dict[str, Any]]:
    """One for each cell that either has."""
    exact = _exact(here, there)
    rounding = ROUNDING if unlike(here.provenance, there.provenance) else 0.0
    lines = []
    for key in dict.fromkeys((*there.cells, *here.cells)):
        ours, theirs = here.cells.get(key), there.cells.get(key)
        allowed = None if exact else tolerance(key, here, there)
        if ours is None or theirs is None:
            state = MISSING if ours is None else ADDED
        else:
            state = _state(ours, theirs, rounding) if exact else _state_of_trained(ours, theirs, allowed)
        apart = _apart(ours, theirs) if ours and theirs else math.nan
        row, dataset, metric = key
        scale = (allowed or _scale(theirs)) if theirs else math.nan
        lines.append(
            {
                "kind": COMPUTED if exact else TRAINED,
                "row": row,
                "dataset": dataset,
                "metric": metric,
                "state": state,
                "there": _shown(theirs),
                "here": _shown(ours),
                "difference": apart,
                "tolerance": math.nan if allowed is None else allowed,
                "size": math.inf if theirs and theirs["unit"] == VERDICT else apart / scale,
            }
        )
    return lines


def _exact(here: Kept, there: Kept) -> bool:
    """Whether the table must be the same to the last digit: nothing trained, or what was trained read from records."""
    keys = [{name: key for name, (key, _) in kept.runs.items()} for kept in (here, there)]
    return keys[0] == keys[1] and all(recorded for _, recorded in here.runs.values())


def tolerance(key: Key, here: Kept, there: Kept) -> float | None:
    """By how much a trained cell's mean may differ, in its unit; None where there is no telling.

    :data:`SEEDS_APART` times the spread over images (root mean square of both), less by the root of the number of
    seeds that the mean is over. A median has the spread of its mean; a difference with an interval, and the ends of
    that, half the interval's width (mean of both).
    """
    row, dataset, metric = key
    both = (here.cells, there.cells)
    if metric in ("difference", "low", "high"):
        ends = [cells.get((row, dataset, end), {}).get("ours_mean") for cells in both for end in ("low", "high")]
        return None if None in ends else (ends[1] - ends[0] + ends[3] - ends[2]) / 4
    found = [cells.get((row, dataset, metric.removeprefix("median_")), {}) for cells in both]
    spreads = [cell.get("ours_std") for cell in found]
    if None in spreads:
        return None
    return SEEDS_APART * math.hypot(*spreads) / math.sqrt(2 * min(cell["n_seeds"] for cell in found))


def _state(here: Cell, there: Cell, rounding: float) -> str:
    changed = _changed(here, there)
    if not changed:
        return IDENTICAL
    if here["unit"] in TIMES and changed <= {"ours_mean", "ours_std", "n_images"}:
        return TIMED
    near = changed <= {"ours_mean", "ours_std"} and all(
        None not in (here[name], there[name]) and math.isclose(here[name], there[name], rel_tol=rounding)
        for name in changed
    )
    return WITHIN if near else DIFFERENT


def _state_of_trained(here: Cell, there: Cell, allowed: float | None) -> str:
    changed = _changed(here, there)
    if not changed:
        return IDENTICAL
    if changed - {"ours_mean", "ours_std", "n_images", "text"}:  # other data, seeds, unit, or printed number
        return DIFFERENT
    if here["unit"] in TIMES:
        return TIMED
    if here["unit"] == VERDICT:
        return DIFFERENT
    apart = _apart(here, there)
    if apart == math.inf:  # undefined, or infinite, on one side only
        return DIFFERENT
    if allowed is None or here["unit"] == "text":
        return UNJUDGED
    return WITHIN if apart <= allowed else DIFFERENT


def _changed(here: Cell, there: Cell) -> set[str]:
    return {name for name in here if here[name] != there[name]}


def _apart(here: Cell, there: Cell) -> float:
    """Distance of the means; 0 where both are undefined or both infinite, infinite where one is."""
    ours, theirs = here["ours_mean"], there["ours_mean"]
    if ours == theirs:
        return 0.0
    return math.inf if ours is None or theirs is None else abs(ours - theirs)


def _scale(cell: Cell) -> float:
    """What a difference is measured by: the spread over images, else the number itself."""
    return next((abs(cell[name]) for name in ("ours_std", "ours_mean") if cell[name]), math.nan)


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    mean, spread = cell["ours_mean"], cell["ours_std"]
    if cell["text"] or mean is None:
        return cell["text"] or ("undefined" if cell["data"] else NOT_FINISHED)
    return f"{mean:.6g}" if spread is None else f"{mean:.6g} ± {spread:.6g}"
